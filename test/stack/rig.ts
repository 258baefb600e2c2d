/** A stack without a world: packets go in as values, what it sends comes out as values, time moves when told. */
import { SeededRandom } from "../../src/base/random.js";
import { type Micros, SECOND } from "../../src/base/time.js";
import type { StackConfig } from "../../src/stack/config.js";
import { Stack } from "../../src/stack/stack.js";
import { OutgoingPacket } from "../../src/tcp/outgoing-packet.js";
import { IpAddress, parseAddress } from "../../src/wire/address.js";
import { putU16, putU32 } from "../../src/wire/bytes.js";
import { addBytes, finish, fold, pseudoHeaderSum } from "../../src/wire/checksum.js";
import { IpPacket, PROTOCOL_ICMP, PROTOCOL_ICMPV6, PROTOCOL_TCP, parseIpPacket } from "../../src/wire/ip-packet.js";
import { parseSegment, Segment, verifyChecksum } from "../../src/wire/segment.js";
import { formatFlags } from "../../src/wire/tcp-flags.js";

export const LOCAL = parseAddress("10.0.0.1");
export const REMOTE = parseAddress("10.0.0.2");
export const LOCAL6 = parseAddress("2001:db8::1");
export const REMOTE6 = parseAddress("2001:db8::2");

export interface TcpSpec {
  /** Default: REMOTE. */
  readonly from?: IpAddress;
  readonly fromPort: number;
  /** Default: LOCAL. */
  readonly to?: IpAddress;
  readonly toPort: number;
  readonly flags: number;
  readonly seq: number;
  readonly ack?: number;
  readonly window?: number;
  readonly payload?: Uint8Array;
  /** Option bytes, a multiple of four. */
  readonly options?: readonly number[];
  /** "partial" leaves the pseudo-header's sum, as Linux does; "bad" is off by one. Default "good". */
  readonly checksum?: "good" | "partial" | "bad";
}

/** A packet that the stack sent. */
export interface Sent {
  readonly at: Micros;
  readonly from: string;
  readonly fromPort: number;
  readonly to: string;
  readonly toPort: number;
  /** tcpdump's letters. */
  readonly flags: string;
  readonly seq: number;
  readonly ack: number;
  /** The field, not scaled. */
  readonly window: number;
  readonly payload: Uint8Array;
  readonly hasTimestamps: boolean;
  readonly bytes: Uint8Array;
  readonly note: string;
}

export class Rig {
  readonly stack: Stack;
  now: Micros;
  readonly #out = new OutgoingPacket();

  constructor(options: Partial<StackConfig> = {}, now: Micros = 1_000 * SECOND) {
    this.stack = new Stack({ random: new SeededRandom(7), ownsAddresses: true, checksums: "strict", ...options });
    this.now = now;
  }

  /** Hands the stack a packet and returns its verdict; nothing is drained. */
  give(packet: Uint8Array): string {
    return this.stack.receive(packet, 0, packet.length, this.now);
  }

  /** Hands the stack a segment and returns all that it sends at once. */
  inject(spec: TcpSpec): Sent[] {
    this.give(tcpPacket(spec));
    return this.drain();
  }

  /** All that is due. */
  drain(): Sent[] {
    const sent: Sent[] = [];
    while (this.stack.pollTransmit(this.now, this.#out)) {
      sent.push(readSent(this.#out.bytes.slice(0, this.#out.length), this.now, this.#out.note));
    }
    return sent;
  }

  /** Lets time pass up to `at`, timer by timer, and returns all that is sent. */
  runUntil(at: Micros): Sent[] {
    const sent = this.drain();
    for (;;) {
      const next = this.stack.nextTimeout();
      if (next > at) break;
      this.now = Math.max(this.now, next);
      this.stack.handleTimeout(this.now);
      sent.push(...this.drain());
    }
    this.now = at;
    return sent;
  }

  /** Makes a listener and opens a connection to it from outside; the connection is in the accept queue then. */
  handshake(spec: { from?: IpAddress; fromPort: number; to?: IpAddress; toPort: number; seq?: number }): Sent {
    const { seq = 0xffff_fff0, ...rest } = spec;
    const [synAck] = this.inject({ ...rest, seq, flags: 0x02 });
    if (synAck === undefined || synAck.flags !== "S.") throw new Error("no SYN-ACK");
    this.inject({ ...rest, seq: (seq + 1) >>> 0, ack: (synAck.seq + 1) >>> 0, flags: 0x10 });
    return synAck;
  }
}

/** An IP packet with one TCP segment. */
export function tcpPacket(spec: TcpSpec): Uint8Array {
  const from = spec.from ?? REMOTE;
  const to = spec.to ?? LOCAL;
  const options = spec.options ?? [];
  const payload = spec.payload ?? new Uint8Array(0);
  const length = 20 + options.length + payload.length;
  const tcp = new Uint8Array(length);
  putU16(tcp, 0, spec.fromPort);
  putU16(tcp, 2, spec.toPort);
  putU32(tcp, 4, spec.seq);
  putU32(tcp, 8, spec.ack ?? 0);
  putU16(tcp, 12, ((5 + options.length / 4) << 12) | spec.flags);
  putU16(tcp, 14, spec.window ?? 65_535);
  tcp.set(options, 20);
  tcp.set(payload, 20 + options.length);
  const pseudo = pseudoHeaderSum(from, to, PROTOCOL_TCP, length);
  let field = finish(addBytes(pseudo, tcp, 0, length));
  if (spec.checksum === "bad") field ^= 1;
  if (spec.checksum === "partial") field = fold(pseudo);
  putU16(tcp, 16, field);
  return ipPacket(from, to, PROTOCOL_TCP, tcp);
}

/** An ICMP error that quotes the beginning of `quoted`, a whole IP packet. */
export function icmpPacket(type: number, code: number, quoted: Uint8Array, from: IpAddress, to: IpAddress, rest = 0): Uint8Array {
  const quote = quoted.slice(0, (from.family === 4 ? 20 : 40) + 8);
  const icmp = new Uint8Array(8 + quote.length);
  icmp[0] = type;
  icmp[1] = code;
  putU32(icmp, 4, rest);
  icmp.set(quote, 8);
  const protocol = from.family === 4 ? PROTOCOL_ICMP : PROTOCOL_ICMPV6;
  const pseudo = from.family === 4 ? 0 : pseudoHeaderSum(from, to, protocol, icmp.length);
  putU16(icmp, 2, finish(addBytes(pseudo, icmp, 0, icmp.length)));
  return ipPacket(from, to, protocol, icmp);
}

function ipPacket(from: IpAddress, to: IpAddress, protocol: number, payload: Uint8Array): Uint8Array {
  const header = from.family === 4 ? 20 : 40;
  const bytes = new Uint8Array(header + payload.length);
  if (from.family === 4) {
    bytes[0] = 0x45;
    putU16(bytes, 2, bytes.length);
    bytes[8] = 64;
    bytes[9] = protocol;
    from.write(bytes, 12);
    to.write(bytes, 16);
    putU16(bytes, 10, finish(addBytes(0, bytes, 0, 20)));
  } else {
    bytes[0] = 0x60;
    putU16(bytes, 4, payload.length);
    bytes[6] = protocol;
    bytes[7] = 64;
    from.write(bytes, 8);
    to.write(bytes, 24);
  }
  bytes.set(payload, header);
  return bytes;
}

/** Reads a packet; a packet with any wrong checksum or length throws, so every test proves that too. */
export function readSent(bytes: Uint8Array, at: Micros, note: string): Sent {
  const packet = new IpPacket();
  const segment = new Segment();
  const problem =
    parseIpPacket(packet, bytes, 0, bytes.length, true) ||
    parseSegment(segment, bytes, packet.payloadOffset, packet.payloadLength);
  if (problem !== "") throw new Error(`sent a bad packet: ${problem}`);
  const { source, destination, payloadOffset, payloadLength } = packet;
  if (verifyChecksum(source, destination, bytes, payloadOffset, payloadLength, "strict") !== "ok")
    throw new Error("sent a bad checksum");
  return {
    at,
    from: String(source),
    fromPort: segment.sourcePort,
    to: String(destination),
    toPort: segment.destinationPort,
    flags: formatFlags(segment.flags),
    seq: segment.seq,
    ack: segment.ack,
    window: segment.wnd,
    payload: bytes.slice(segment.payloadOffset, segment.payloadOffset + segment.payloadLength),
    hasTimestamps: segment.hasTimestamps,
    bytes,
    note,
  };
}

/** 10.1.a.b */
export function address(n: number): IpAddress {
  return new IpAddress(4, 0, 0, 0, 0x0a010000 + n);
}
