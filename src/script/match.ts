/** Whether a packet that the stack has sent is the one that the script expects. */
import { seqAdd, seqDiff } from "../base/seq.js";
import type { Micros } from "../base/time.js";
import { IpPacket, parseIpPacket } from "../wire/ip-packet.js";
import { parseSegment, Segment } from "../wire/segment.js";
import { ACK, formatFlags, PSH } from "../wire/tcp-flags.js";
import { decodeTcpOptions, encodeTcpOptions, formatTcpOptions, type TcpOption } from "../wire/tcp-options.js";
import type { IpMarks, PacketEvent, PacketOption } from "./ast.js";

/** How the numbers of the script lie to those of the wire. */
export interface Numbers {
  /** Added to a sequence number of ours in the script it gives that of the wire. */
  ourOffset: number;
  /** The same for our timestamps, once one was seen; null before. */
  stampOffset: number | null;
}

/** A segment of ours in the script's numbers. */
export interface SeenSegment {
  readonly at: Micros;
  readonly flags: number;
  readonly seq: number;
  readonly length: number;
  readonly ack: number;
  readonly window: number;
  readonly urgent: number;
  readonly tos: number;
  readonly ttl: number;
  readonly options: readonly TcpOption[];
}

export interface MatchOptions {
  /** Ignores the order of options, padding and the window. */
  readonly tolerant: boolean;
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
  return {
    at,
    flags: segment.flags,
    seq: seqAdd(segment.seq, -numbers.ourOffset),
    length: segment.payloadLength,
    ack: segment.ack,
    window: segment.wnd,
    urgent: segment.up,
    tos: packet.tos,
    ttl: packet.ttl,
    options: [...options.map((option) => toScript(option, numbers)), ...padding(options, trailing)],
  };
}

/** Scripts write each byte of padding as an "eol". */
function padding(options: readonly TcpOption[], trailing: Uint8Array): TcpOption[] {
  if (options.at(-1)?.kind !== "eol" || trailing.some((byte) => byte !== 0)) return [];
  return Array.from(trailing, () => ({ kind: "eol" }) as const);
}

/** Ports of a packet, ours first. */
export function portsOf(
  bytes: Uint8Array,
): { readonly local: number; readonly remote: number; readonly seq: number; readonly flags: number } | undefined {
  if (parseIpPacket(packet, bytes, 0, bytes.length, false) !== "" || packet.protocol !== 6) return undefined;
  if (parseSegment(segment, bytes, packet.payloadOffset, packet.payloadLength) !== "") return undefined;
  return { local: segment.sourcePort, remote: segment.destinationPort, seq: segment.seq, flags: segment.flags };
}

function toScript(option: TcpOption, { stampOffset }: Numbers): TcpOption {
  if (option.kind !== "timestamps") return option;
  return { ...option, tsVal: seqAdd(option.tsVal, -(stampOffset ?? 0)) };
}

/** Options of the script for the wire: what we acknowledge and echo is in our numbers. */
export function toWire(option: PacketOption, numbers: Numbers): TcpOption {
  switch (option.kind) {
    case "ts": {
      const ecr = option.ecr ?? 0;
      return {
        kind: "timestamps",
        tsVal: option.val ?? 0,
        tsEcr: ecr === 0 && numbers.stampOffset === null ? 0 : seqAdd(ecr, numbers.stampOffset ?? 0),
      };
    }
    case "sack":
      return {
        kind: "sack",
        blocks: option.blocks.map(({ left, right }) => ({
          left: seqAdd(left, numbers.ourOffset),
          right: seqAdd(right, numbers.ourOffset),
        })),
      };
    default:
      return option;
  }
}

/**
 * Joins segments that follow one another into one, as an adapter with segmentation offload would hand them out together; undefined when
 * they do not belong together.
 */
export function joined(first: SeenSegment, second: SeenSegment): SeenSegment | undefined {
  if (first.length === 0 || second.length === 0) return undefined;
  if (second.seq !== seqAdd(first.seq, first.length) || (first.flags & 7) !== 0 || second.ack !== first.ack) return undefined;
  return { ...first, flags: first.flags | second.flags, length: first.length + second.length };
}

/** What is wrong with a segment, in a few words; "" when it is the one. */
export function mismatch(expected: PacketEvent, seen: SeenSegment, options: MatchOptions): string {
  if (seen.flags !== expected.flags)
    return `flags are ${formatFlags(seen.flags)}, expected ${formatFlags(expected.flags)}${onlyPush(seen.flags ^ expected.flags)}`;
  if (seen.seq !== expected.seq)
    return `sequence number is ${seen.seq}, expected ${expected.seq} (off by ${seqDiff(seen.seq, expected.seq)})`;
  if (seen.length !== expected.length) return `length is ${seen.length}, expected ${expected.length}`;
  if (expected.ack !== null && (expected.flags & ACK) !== 0 && seen.ack !== expected.ack)
    return `acknowledgment number is ${seen.ack}, expected ${expected.ack}`;
  if (expected.window !== null && !options.tolerant && seen.window !== expected.window)
    return `window is ${seen.window}, expected ${expected.window}`;
  if (expected.urgent !== null && seen.urgent !== expected.urgent)
    return `urgent pointer is ${seen.urgent}, expected ${expected.urgent}`;
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
  if (marks.ttl !== undefined && seen.ttl !== marks.ttl) return `TTL is ${seen.ttl}, expected ${marks.ttl}`;
  return "";
}

function optionMismatch(expected: readonly PacketOption[] | null, seen: SeenSegment, { tolerant }: MatchOptions): string {
  if (expected === null) return "";
  const wanted = tolerant ? withoutPadding(expected) : expected;
  const found = tolerant ? withoutPadding(seen.options) : seen.options;
  const text = (list: readonly PacketOption[]): string => `<${list.map(formatOption).join(",")}>`;
  const differ = `options are ${text(seen.options)}, expected ${text(expected)}`;
  if (wanted.length !== found.length) return differ;
  const left = [...found];
  for (const option of wanted) {
    const at = tolerant ? left.findIndex((candidate) => isSame(option, candidate as TcpOption)) : 0;
    const candidate = left[at] as TcpOption | undefined;
    if (candidate === undefined || !isSame(option, candidate)) return differ;
    left.splice(at, 1);
  }
  return "";
}

function withoutPadding<T extends PacketOption>(options: readonly T[]): T[] {
  return options.filter(({ kind }) => kind !== "nop" && kind !== "eol");
}

function isSame(expected: PacketOption, seen: TcpOption): boolean {
  if (expected.kind === "ts") {
    if (seen.kind !== "timestamps") return false;
    // What our own value says of the time is checked with the time, where the script asks for it (--tcp_ts_tick_usecs).
    return expected.ecr === null || expected.ecr === seen.tsEcr;
  }
  const [a, b] = [encodeTcpOptions([expected]), encodeTcpOptions([seen])];
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

function formatOption(option: PacketOption): string {
  if (option.kind !== "ts") return formatTcpOptions([option]);
  return `TS val ${option.val ?? "."} ecr ${option.ecr ?? "."}`;
}

/** A segment as scripts write it. */
export function formatSeen(seen: SeenSegment): string {
  const ack = (seen.flags & ACK) !== 0 ? ` ack ${seen.ack}` : "";
  const options = seen.options.length === 0 ? "" : ` <${formatTcpOptions(seen.options)}>`;
  return `${formatFlags(seen.flags)} ${seen.seq}:${seqAdd(seen.seq, seen.length)}(${seen.length})${ack} win ${seen.window}${options}`;
}
