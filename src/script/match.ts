/** Whether a packet that the stack has sent is the one that the script expects. */
import { seqAdd, seqDiff } from "../base/seq.js";
import type { Micros } from "../base/time.js";
import { getU32 } from "../wire/bytes.js";
import { IpPacket, parseIpPacket } from "../wire/ip-packet.js";
import { parseSegment, Segment } from "../wire/segment.js";
import { ACK, AE, CWR, ECE, formatFlags, PSH, RST, SYN, URG } from "../wire/tcp-flags.js";
import { decodeTcpOptions, encodeTcpOptions, formatTcpOptions, type TcpOption } from "../wire/tcp-options.js";
import type { IpMarks, PacketEvent, PacketOption } from "./ast.js";

/**
 * How the numbers of the script lie to those of the wire. As tcpdump prints them: in segments with SYN the script's numbers are absolute,
 * in all others they count from the first SYN of their side. The peer's initial number is the script's own, ours is chosen by the stack.
 */
export interface Numbers {
  /** Our initial sequence number on the wire; 0 before it is known. */
  ourIsn: number;
  /** The same as the script's SYN has it. */
  scriptIsn: number;
  /** The peer's initial sequence number, in the script and on the wire. */
  peerIsn: number;
  /** Added to a timestamp of ours in the script it gives that of the wire; null before one was seen. */
  stampOffset: number | null;
}

/** Numbers of a connection of which nothing was seen. */
export function unknownNumbers(): Numbers {
  return { ourIsn: 0, scriptIsn: 0, peerIsn: 0, stampOffset: null };
}

/** Added to a number of ours in the script (a sequence number out; an acknowledgment or SACK in) it gives that of the wire. */
export function ourOffset({ ourIsn, scriptIsn }: Numbers, flags: number): number {
  return (flags & SYN) !== 0 ? (ourIsn - scriptIsn) >>> 0 : ourIsn;
}

/** The same for numbers of the peer. */
export function peerOffset({ peerIsn }: Numbers, flags: number): number {
  return (flags & SYN) !== 0 ? 0 : peerIsn;
}

/** A segment of ours in the script's numbers. */
export interface SeenSegment {
  readonly at: Micros;
  readonly flags: number;
  readonly seq: number;
  /** As it was on the wire. */
  readonly wireSeq: number;
  readonly length: number;
  readonly ack: number;
  readonly window: number;
  readonly urgent: number;
  readonly tos: number;
  readonly ttl: number;
  /** Of IPv6. */
  readonly flowLabel: number;
  readonly options: readonly TcpOption[];
}

export interface MatchOptions {
  /** Ignores the order of options, padding and the window. */
  readonly tolerant: boolean;
  /** Compares what timestamps echo, which packetdrill does not. */
  readonly echoes: boolean;
}

const packet = new IpPacket();
const segment = new Segment();

/** Reads a packet of ours; undefined when it is no TCP segment. */
export function seeSegment(bytes: Uint8Array, at: Micros, numbers: Numbers): SeenSegment | undefined {
  if (parseIpPacket(packet, bytes, 0, bytes.length, false) !== "") return undefined;
  if (packet.protocol !== 6) return undefined;
  if (parseSegment(segment, bytes, packet.payloadOffset, packet.payloadLength) !== "") return undefined;
  const from = packet.payloadOffset + 20;
  const { options, trailing } = decodeTcpOptions(bytes, from, segment.payloadOffset - from);
  const { flags } = segment;
  const peers = peerOffset(numbers, flags);
  return {
    at,
    flags,
    seq: seqAdd(segment.seq, -ourOffset(numbers, flags)),
    wireSeq: segment.seq,
    length: segment.payloadLength,
    ack: (flags & ACK) !== 0 ? seqAdd(segment.ack, -peers) : segment.ack,
    window: segment.wnd,
    urgent: segment.up,
    tos: packet.tos,
    ttl: packet.ttl,
    flowLabel: (bytes[0] ?? 0) >> 4 === 6 ? getU32(bytes, 0) & 0xf_ffff : 0,
    options: [...options.map((option) => toScript(option, numbers, peers)), ...padding(options, trailing)],
  };
}

/** Scripts write each byte of padding as an "eol". */
function padding(options: readonly TcpOption[], trailing: Uint8Array): TcpOption[] {
  if (options.at(-1)?.kind !== "eol" || trailing.some((byte) => byte !== 0)) return [];
  return Array.from(trailing, () => ({ kind: "eol" }) as const);
}

/** What identifies a segment of ours, with its numbers of the wire. */
export interface SegmentFacts {
  readonly localPort: number;
  readonly remotePort: number;
  readonly seq: number;
  readonly flags: number;
}

/** Undefined when it is no TCP segment. */
export function factsOf(bytes: Uint8Array): SegmentFacts | undefined {
  if (parseIpPacket(packet, bytes, 0, bytes.length, false) !== "" || packet.protocol !== 6) return undefined;
  if (parseSegment(segment, bytes, packet.payloadOffset, packet.payloadLength) !== "") return undefined;
  return { localPort: segment.sourcePort, remotePort: segment.destinationPort, seq: segment.seq, flags: segment.flags };
}

function toScript(option: TcpOption, { stampOffset }: Numbers, peers: number): TcpOption {
  if (option.kind === "timestamps") return { ...option, tsVal: seqAdd(option.tsVal, -(stampOffset ?? 0)) };
  return option.kind === "sack" ? shifted(option, -peers) : option;
}

function shifted(option: TcpOption & { readonly kind: "sack" }, by: number): TcpOption {
  return { kind: "sack", blocks: option.blocks.map(({ left, right }) => ({ left: seqAdd(left, by), right: seqAdd(right, by) })) };
}

/** Options of the script for the wire: what we acknowledge and echo is in our numbers. */
export function toWire(option: PacketOption, numbers: Numbers, flags: number): TcpOption {
  switch (option.kind) {
    case "ts": {
      const ecr = option.ecr ?? 0;
      return {
        kind: "timestamps",
        tsVal: option.val ?? 0,
        tsEcr:
          option.isAbsolute === true
            ? ecr
            : ecr === 0 && numbers.stampOffset === null
              ? 0
              : seqAdd(ecr, numbers.stampOffset ?? 0),
      };
    }
    case "sack":
      return shifted(option, ourOffset(numbers, flags));
    case "any-scale":
      return { kind: "window-scale", shift: 0 };
    default:
      return option;
  }
}

/** What must be the same in segments that are joined: CWR, FIN and PSH may differ. */
const JOINED = SYN | RST | ACK | URG | ECE | AE;

/**
 * Joins segments that follow one another, as an adapter with segmentation offload would hand them out together; undefined when they do
 * not belong together. All but the last have the same length; the header is that of the last, with the CWR of the first.
 */
export function joined(first: SeenSegment, second: SeenSegment, previousLength: number, wanted: number): SeenSegment | undefined {
  const length = first.length + second.length;
  const isSame =
    second.seq === seqAdd(first.seq, first.length) &&
    (first.flags & JOINED) === (second.flags & JOINED) &&
    second.ack === first.ack &&
    second.window === first.window &&
    second.urgent === first.urgent &&
    optionBytes(second.options) === optionBytes(first.options);
  if (!isSame || length > wanted || (length < wanted && second.length !== previousLength)) return undefined;
  return {
    ...second,
    at: first.at,
    seq: first.seq,
    wireSeq: first.wireSeq,
    length,
    flags: (second.flags & ~CWR) | (first.flags & CWR),
  };
}

function optionBytes(options: readonly TcpOption[]): number {
  return encodeTcpOptions(options).length;
}

/** What is wrong with a segment, in a few words; "" when it is the one. */
export function mismatch(expected: PacketEvent, seen: SeenSegment, options: MatchOptions): string {
  if (seen.flags !== expected.flags)
    return `flags are ${formatFlags(seen.flags)}, expected ${formatFlags(expected.flags)}${onlyPush(seen.flags ^ expected.flags)}`;
  const seq = expected.seqRule === "absolute" ? seen.wireSeq : seen.seq;
  if (seq !== expected.seq && expected.seqRule !== "any")
    return `sequence number is ${seq}, expected ${expected.seq} (off by ${seqDiff(seq, expected.seq)})`;
  if (seen.length !== expected.length) return `length is ${seen.length}, expected ${expected.length}`;
  if (seen.ack !== (expected.ack ?? 0)) return `acknowledgment number is ${seen.ack}, expected ${expected.ack ?? 0}`;
  if (expected.window !== null && !options.tolerant && seen.window !== expected.window)
    return `window is ${seen.window}, expected ${expected.window}`;
  if (seen.urgent !== (expected.urgent ?? 0)) return `urgent pointer is ${seen.urgent}, expected ${expected.urgent ?? 0}`;
  return markMismatch(expected.ip, seen) || optionMismatch(expected.options, seen, options);
}

function onlyPush(difference: number): string {
  return difference === PSH ? " (PSH alone differs)" : "";
}

function markMismatch(marks: IpMarks, seen: SeenSegment): string {
  const ecn = seen.tos & 3;
  if (marks.ecn === "ect01" ? ecn !== 1 && ecn !== 2 : marks.ecn !== undefined && ecn !== marks.ecn)
    return `ECN field is ${ecn}, expected ${marks.ecn}`;
  if (marks.tos !== undefined && seen.tos !== marks.tos) return `TOS is ${seen.tos}, expected ${marks.tos}`;
  if (marks.flowLabel !== undefined && marks.flowLabel !== 0 && seen.flowLabel !== marks.flowLabel)
    return `flow label is ${seen.flowLabel}, expected ${marks.flowLabel}`;
  if (marks.ttl !== undefined && seen.ttl !== marks.ttl) return `TTL is ${seen.ttl}, expected ${marks.ttl}`;
  return "";
}

function optionMismatch(expected: readonly PacketOption[] | null, seen: SeenSegment, options: MatchOptions): string {
  const { tolerant, echoes } = options;
  if (expected === null) return "";
  const wanted = tolerant ? withoutPadding(expected) : expected;
  const found = tolerant ? withoutPadding(seen.options) : seen.options;
  const text = (list: readonly PacketOption[]): string => `<${list.map(formatOption).join(",")}>`;
  const differ = `options are ${text(seen.options)}, expected ${text(expected)}`;
  if (wanted.length !== found.length) return differ;
  const left = [...found];
  for (const option of wanted) {
    const at = tolerant ? left.findIndex((candidate) => isSame(option, candidate as TcpOption, echoes)) : 0;
    const candidate = left[at] as TcpOption | undefined;
    if (candidate === undefined || !isSame(option, candidate, echoes)) return differ;
    left.splice(at, 1);
  }
  return "";
}

function withoutPadding<T extends PacketOption>(options: readonly T[]): T[] {
  return options.filter(({ kind }) => kind !== "nop" && kind !== "eol");
}

function isSame(expected: PacketOption, seen: TcpOption, echoes: boolean): boolean {
  if (expected.kind === "ts") {
    if (seen.kind !== "timestamps") return false;
    // What our own value says of the time is checked with the time, where the script asks for it (--tcp_ts_tick_usecs).
    return !echoes || expected.ecr === null || expected.ecr === seen.tsEcr;
  }
  if (expected.kind === "any-scale") return seen.kind === "window-scale";
  const [a, b] = [encodeTcpOptions([expected]), encodeTcpOptions([seen])];
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

function formatOption(option: PacketOption): string {
  if (option.kind === "any-scale") return "wscale *";
  if (option.kind !== "ts") return formatTcpOptions([option]);
  return `TS val ${option.val ?? "."} ecr ${option.ecr ?? "."}`;
}

/** A segment as scripts write it. */
export function formatSeen(seen: SeenSegment): string {
  const ack = (seen.flags & ACK) !== 0 ? ` ack ${seen.ack}` : "";
  const options = seen.options.length === 0 ? "" : ` <${formatTcpOptions(seen.options)}>`;
  return `${formatFlags(seen.flags)} ${seen.seq}:${seqAdd(seen.seq, seen.length)}(${seen.length})${ack} win ${seen.window}${options}`;
}
