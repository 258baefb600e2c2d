/** Packets that are changed or made after the pattern of another one. */
import { craft } from "../craft/build.js";
import { dissect } from "../craft/dissect.js";
import { fieldsOfLayer } from "../craft/fields.js";
import type { PacketSpec, TcpSpec } from "../craft/spec.js";
import { SYN } from "../wire/tcp-flags.js";
import { decodeTcpOptions, encodeTcpOptions, type TcpOption } from "../wire/tcp-options.js";
import type { Assignment, Direction, MadeSegment } from "./ast.js";
import { NUMBER_FIELDS, OPTION_FIELDS } from "./fields.js";
import type { SegmentView } from "./segment-view.js";

/** The packet of `view` with fields changed. Lengths and checksums follow, unless they are what is changed. */
export function changed(view: SegmentView, assignments: readonly Assignment[], badChecksum: boolean): Uint8Array {
  return build(apply(honest(view.bytes, view.offset, view.length), view, assignments), badChecksum);
}

/** The packet with one byte changed and its checksum left as it was. */
export function corrupted(view: SegmentView, byte: number, xor: number): Uint8Array {
  const copy = view.bytes.slice(view.offset, view.offset + view.length);
  const { segment, packet } = view;
  const start = (segment.payloadLength > 0 ? segment.payloadOffset : packet.payloadOffset) - view.offset;
  const at = start + (byte % Math.max(1, copy.length - start));
  copy[at] = (copy[at] ?? 0) ^ xor;
  return copy;
}

/**
 * A segment that goes `direction`, after the pattern of the last one that did (or the mirror of one that came the other way):
 * ports, addresses, window, timestamps. Its numbers are the connection's next unless they are assigned.
 */
export function made(view: SegmentView, direction: Direction, wanted: MadeSegment): Uint8Array {
  const pattern = view.track.last[direction];
  const base = pattern === null ? honestTowards(view, direction) : honest(pattern, 0, pattern.length);
  const { connection, segment } = view;
  const known = connection !== undefined && connection.state !== "LISTEN";
  // Without a connection of ours (a SYN to a listener) the segment at hand tells what comes next.
  const next = known ? connection.snd.nxt : segment.ack;
  const expected = known && connection.irs !== 0 ? connection.rcv.nxt : (segment.seq + segment.len) >>> 0;
  const [seq, ack] = direction === "out" ? [next, expected] : [expected, next];
  const tcp: TcpSpec = {
    ...base.tcp,
    flags: wanted.flags,
    seq,
    ack: (wanted.flags & 0x10) === 0 ? 0 : ack,
    urgentPointer: 0,
    options: kept(base.tcp, wanted.flags),
  };
  return build(apply({ ...base, tcp, payload: NO_BYTES }, view, wanted.assignments), wanted.badChecksum);
}

/** The pieces of a segment that is split: the same numbers, each part behind what the parts before it occupy. */
export function split(view: SegmentView, parts: readonly MadeSegment[]): Uint8Array[] {
  const whole = honest(view.bytes, view.offset, view.length);
  let seq = view.segment.seq;
  return parts.map((part, i) => {
    const isLast = i === parts.length - 1;
    const payload = isLast ? (whole.payload ?? NO_BYTES) : NO_BYTES;
    const ack = (part.flags & 0x10) === 0 ? 0 : view.segment.ack;
    const tcp: TcpSpec = { ...whole.tcp, flags: part.flags, seq, ack, options: kept(whole.tcp, part.flags) };
    seq = (seq + ((part.flags & SYN) !== 0 ? 1 : 0)) >>> 0;
    return build(apply({ ...whole, tcp, payload }, view, part.assignments), part.badChecksum);
  });
}

const NO_BYTES = new Uint8Array(0);

/** The packet as a spec whose lengths and checksums are computed anew. */
function honest(bytes: Uint8Array, offset: number, length: number): PacketSpec {
  const { ip, tcp, payload = NO_BYTES } = dissect(bytes, offset, length);
  const { checksum: _tcpSum, dataOffset: _words, ...segment } = tcp ?? {};
  if (ip?.family === 6) {
    const { payloadLength: _length, ...header } = ip;
    return { ip: header, tcp: segment, payload };
  }
  if (ip === undefined) return { payload };
  const { checksum: _sum, totalLength: _total, ihl: _ihl, ...header } = ip;
  return { ip: header, tcp: segment, payload };
}

/** The segment at hand, turned round when the other direction is wanted. */
function honestTowards(view: SegmentView, direction: Direction): PacketSpec {
  const spec = honest(view.bytes, view.offset, view.length);
  return view.direction === direction ? spec : mirrored(spec);
}

/** The same the other way: addresses and ports change places. */
function mirrored({ ip, tcp, ...rest }: PacketSpec): PacketSpec {
  if (ip === undefined || tcp === undefined) return rest;
  const { source, destination } = ip;
  const { sourcePort, destinationPort } = tcp;
  const turned = {
    ...ip,
    ...(destination === undefined ? {} : { source: destination }),
    ...(source === undefined ? {} : { destination: source }),
  };
  const ports = {
    ...(destinationPort === undefined ? {} : { sourcePort: destinationPort }),
    ...(sourcePort === undefined ? {} : { destinationPort: sourcePort }),
  };
  return { ...rest, ip: turned, tcp: { ...tcp, ...ports } };
}

/** Options that a made segment keeps of its pattern: a SYN all, any other the timestamps. */
function kept(tcp: TcpSpec | undefined, flags: number): readonly TcpOption[] | Uint8Array {
  const { options } = tcp ?? {};
  if (!(options instanceof Uint8Array) || options.length === 0) return NO_BYTES;
  if ((flags & SYN) !== 0) return options;
  const timestamps = decodeTcpOptions(options, 0, options.length).options.filter(({ kind }) => kind === "timestamps");
  return timestamps.length === 0 ? NO_BYTES : [{ kind: "nop" }, { kind: "nop" }, ...timestamps];
}

function apply(spec: PacketSpec, view: SegmentView, assignments: readonly Assignment[]): PacketSpec {
  let { ip, tcp, payload } = spec;
  for (const { field, operator, value } of assignments) {
    if (field === "payload" && value instanceof Uint8Array) payload = value;
    else if (field === "options" && value instanceof Uint8Array) tcp = { ...tcp, options: value };
    else if (OPTION_FIELDS[field] !== undefined && typeof value === "object" && !(value instanceof Uint8Array)) {
      tcp = { ...tcp, options: withOption(tcp?.options, field, view.evaluate(value)) };
    } else if (typeof value === "object" && !(value instanceof Uint8Array)) {
      const wanted = NUMBER_FIELDS[field] ?? { layer: "tcp", name: field };
      const name = wanted.layer === "ip" && ip?.family === 6 && wanted.six !== undefined ? wanted.six : wanted.name;
      const target = wanted.layer === "ip" ? ip : tcp;
      const before = Number((target as Readonly<Record<string, unknown>> | undefined)?.[name] ?? 0);
      const amount = view.evaluate(value);
      const number = wrapped(
        wanted.layer === "ip" ? (ip?.family === 6 ? "ipv6" : "ipv4") : "tcp",
        name,
        operator === "=" ? amount : operator === "+=" ? before + amount : before - amount,
      );
      if (wanted.layer === "ip") ip = { ...ip, [name]: number } as NonNullable<PacketSpec["ip"]>;
      else tcp = { ...tcp, [name]: number };
    }
  }
  return {
    ...spec,
    ...(ip === undefined ? {} : { ip }),
    ...(tcp === undefined ? {} : { tcp }),
    ...(payload === undefined ? {} : { payload }),
  };
}

/** The options with another number in one of them; what is not understood of them stays as it is. */
function withOption(options: TcpSpec["options"], field: string, value: number): Uint8Array {
  if (!(options instanceof Uint8Array)) return NO_BYTES;
  const wanted = OPTION_FIELDS[field];
  const list = decodeTcpOptions(options, 0, options.length);
  if (wanted === undefined) return options;
  return encodeTcpOptions(
    list.options.map((option) => wanted.change(option, value % 2 ** wanted.bits)),
    list.trailing,
  );
}

/** Modulo the field's width: seq-=1 of 0 is 2^32 - 1. A field that the layer does not have is left out by `craft`. */
function wrapped(layer: "ipv4" | "ipv6" | "tcp", name: string, value: number): number {
  const bits = fieldsOfLayer(layer).find((field) => field.name === name)?.bits ?? 32;
  const size = 2 ** bits;
  return ((value % size) + size) % size;
}

function build(spec: PacketSpec, badChecksum: boolean): Uint8Array {
  return craft(badChecksum ? { ...spec, tcp: { ...spec.tcp, checksum: "bad" } } : spec).bytes;
}
