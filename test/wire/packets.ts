/** Packets that Linux 6.18 sent on loopback in a network namespace, captured with tcpdump 4.99, and tools to make others. */

/** Reads hexadecimal digits; white space is for the reader. */
export function fromHex(text: string): Uint8Array {
  const digits = text.replaceAll(/\s/g, "");
  return Uint8Array.from({ length: digits.length / 2 }, (_, i) => Number.parseInt(digits.slice(2 * i, 2 * i + 2), 16));
}

/** IPv4 SYN with mss, sackOK, timestamps, window scale. The TCP checksum is partial: loopback never finishes it. */
export const SYN_V4 = fromHex(`
  4500003c cbe94000 400670d0 7f000001 7f000001
  cf480050 c7c9a241 00000000 a002ffd7 fe300000 0204ffd7 0402080a bed60484 00000000 0103030a`);

/** IPv4 FIN+ACK with timestamps. */
export const FIN_V4 = fromHex(`
  45000034 10654000 40062c5d 7f000001 7f000001
  0050cf48 433bc63e c7c9a242 80110040 fe280000 0101080a 6567a5ef bed60484`);

/** IPv4 PSH+ACK that carries "hello\n". */
export const DATA_V4 = fromHex(`
  4500003a cbeb4000 400670d0 7f000001 7f000001
  cf480050 c7c9a242 433bc63f 80180040 fe2e0000 0101080a bed60484 6567a5ef 68656c6c 6f0a`);

/** IPv4 RST+ACK from a closed port, with a finished checksum. */
export const RST_V4 = fromHex(`
  45000028 00004000 40063cce 7f000001 7f000001
  0052d224 00000000 1bbdf239 50140000 d1600000`);

/** IPv6 SYN with a flow label. */
export const SYN_V6 = fromHex(`
  600ea5a9 00280640 00000000000000000000000000000001 00000000000000000000000000000001
  a0de0050 503d8f1f 00000000 a002ffc4 00300000 0204ffc4 0402080a a1621395 00000000 0103030a`);

/** IPv6 PSH+ACK that carries "hello\n". */
export const DATA_V6 = fromHex(`
  600ea5a9 00260640 00000000000000000000000000000001 00000000000000000000000000000001
  a0de0050 503d8f20 12588ade 80180040 002e0000 0101080a a1621395 00873867 68656c6c 6f0a`);

/** ICMP port unreachable, from a firewall rule that rejects, about a SYN to port 81. */
export const UNREACHABLE_V4 = fromHex(`
  45c00058 7ba00000 40010043 7f000001 7f000001
  030306a9 00000000
  4500003c 78de4000 4006c3db 7f000001 7f000001
  e4da0051 6583a889 00000000 a002ffd7 fe300000 0204ffd7 0402080a f9855994 00000000 0103030a`);

/** ICMPv6 "administratively prohibited", from a firewall rule that rejects, about a SYN to port 81. */
export const PROHIBITED_V6 = fromHex(`
  600fef6e 00583a40 00000000000000000000000000000001 00000000000000000000000000000001
  01018020 00000000
  60073d3e 00280640 00000000000000000000000000000001 00000000000000000000000000000001
  d6cc0051 e3a29a44 00000000 a002ffc4 00300000 0204ffc4 0402080a 98253b96 00000000 0103030a`);

export const ALL = {
  SYN_V4,
  FIN_V4,
  DATA_V4,
  RST_V4,
  SYN_V6,
  DATA_V6,
  UNREACHABLE_V4,
  PROHIBITED_V6,
} as const;

/** All pieces behind one another. */
export function concat(...pieces: readonly (Uint8Array | readonly number[])[]): Uint8Array {
  return Uint8Array.from(pieces.flatMap((piece) => [...piece]));
}

/** A copy of `bytes` with `values` written at `at`. */
export function patched(bytes: Uint8Array, at: number, ...values: number[]): Uint8Array {
  const copy = bytes.slice();
  copy.set(values, at);
  return copy;
}

/** `bytes` behind `before` bytes of noise and before `after` of it, so that an offset that is left out shows. */
export function embedded(bytes: Uint8Array, before = 7, after = 5): Uint8Array {
  return concat(new Uint8Array(before).fill(0xa5), bytes, new Uint8Array(after).fill(0x5a));
}
