/** The control bits of the TCP header (RFC 9293 §3.1, RFC 3168, RFC 9768), as a 9-bit number with AE at the top. */

/** No more data from the sender. */
export const FIN = 0x001;
/** Synchronizes sequence numbers. */
export const SYN = 0x002;
/** Resets the connection. */
export const RST = 0x004;
/** Asks the receiver to deliver what it has. */
export const PSH = 0x008;
/** The acknowledgment field counts. */
export const ACK = 0x010;
/** The urgent pointer counts. */
export const URG = 0x020;
/** Congestion was experienced (RFC 3168). */
export const ECE = 0x040;
/** The congestion window was reduced (RFC 3168). */
export const CWR = 0x080;
/** Accurate ECN (RFC 9768), once the NS bit. */
export const AE = 0x100;

const LETTERS: readonly (readonly [number, string])[] = [
  [FIN, "F"],
  [SYN, "S"],
  [RST, "R"],
  [PSH, "P"],
  [ACK, "."],
  [URG, "U"],
  [ECE, "E"],
  [CWR, "W"],
  [AE, "e"],
];

const PRINTED: (string | undefined)[] = new Array<string | undefined>(512);

/** tcpdump's letters in tcpdump's order: "S.", "P.", "none". */
export function formatFlags(flags: number): string {
  const known = PRINTED[flags & 0x1ff];
  if (known !== undefined) return known;
  let text = "";
  for (const [bit, letter] of LETTERS) if ((flags & bit) !== 0) text += letter;
  if (text === "") text = "none";
  PRINTED[flags & 0x1ff] = text;
  return text;
}

const NAMES: readonly (readonly [number, string])[] = [
  [SYN, "SYN"],
  [FIN, "FIN"],
  [RST, "RST"],
  [PSH, "PSH"],
  [ACK, "ACK"],
  [URG, "URG"],
  [ECE, "ECE"],
  [CWR, "CWR"],
  [AE, "AE"],
];

/** The bits by name: "SYN+ACK", "none". */
export function nameFlags(flags: number): string {
  const names = NAMES.filter(([bit]) => (flags & bit) !== 0).map(([, name]) => name);
  return names.length === 0 ? "none" : names.join("+");
}
