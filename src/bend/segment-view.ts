/** What the rules see of a packet and its connection. */
import { seqDiff } from "../base/seq.js";
import type { Micros } from "../base/time.js";
import type { State } from "../tcp/state.js";
import type { IpAddress } from "../wire/address.js";
import { IpPacket, PROTOCOL_TCP, parseIpPacket } from "../wire/ip-packet.js";
import { parseSegment, Segment } from "../wire/segment.js";
import { ACK, FIN, PSH, RST, SYN, URG } from "../wire/tcp-flags.js";
import type { Comparison, Condition, Direction, Expression, SegmentKind, Selector, VariableName } from "./ast.js";

/** Our end of the connection, as the engine knows it. */
export interface ConnectionView {
  readonly state: State;
  readonly iss: number;
  readonly irs: number;
  readonly snd: { readonly una: number; readonly nxt: number; readonly max: number; readonly wnd: number };
  readonly rcv: { readonly nxt: number; readonly adv: number };
}

/** A connection as the bender follows it: by what passes. */
export class Track {
  /** Since when. */
  readonly since: Micros;
  /** Initial numbers, from the SYNs; null before. */
  iss: number | null = null;
  irs: number | null = null;
  /** The last segment that went each way, as bytes of its packet: the pattern for those that are made. */
  readonly last: Record<Direction, Uint8Array | null> = { out: null, in: null };
  /** How many segments matched each rule, and each release, by its index. */
  readonly counts: number[] = [];

  constructor(since: Micros) {
    this.since = since;
  }
}

/** One packet, read once for all rules. Objects are reused: copy what is kept. */
export class SegmentView {
  readonly packet = new IpPacket();
  readonly segment = new Segment();
  direction: Direction = "out";
  bytes: Uint8Array = new Uint8Array(0);
  offset = 0;
  length = 0;
  now: Micros = 0;
  track: Track = new Track(0);
  connection: ConnectionView | undefined;

  /** Reads a packet; false when it is no TCP segment that can be read. */
  read(direction: Direction, bytes: Uint8Array, offset: number, length: number): boolean {
    this.direction = direction;
    this.bytes = bytes;
    this.offset = offset;
    this.length = length;
    const { packet, segment } = this;
    if (parseIpPacket(packet, bytes, offset, length, false) !== "" || packet.protocol !== PROTOCOL_TCP) return false;
    if (parseSegment(segment, bytes, packet.payloadOffset, packet.payloadLength) !== "") return false;
    segment.ttl = packet.ttl;
    return true;
  }

  /** Our address and port first. */
  get key(): string {
    const { packet, segment, direction } = this;
    const ours = direction === "out";
    const local = ours ? packet.source : packet.destination;
    const remote = ours ? packet.destination : packet.source;
    const [localPort, remotePort] = ours
      ? [segment.sourcePort, segment.destinationPort]
      : [segment.destinationPort, segment.sourcePort];
    return `${local} ${localPort} ${remote} ${remotePort}`;
  }

  /** The addresses as new objects: local, remote. */
  endpoints(): { local: IpAddress; localPort: number; remote: IpAddress; remotePort: number } {
    const { packet, segment, direction } = this;
    const [source, destination] = [packet.source.clone(), packet.destination.clone()];
    return direction === "out"
      ? { local: source, localPort: segment.sourcePort, remote: destination, remotePort: segment.destinationPort }
      : { local: destination, localPort: segment.destinationPort, remote: source, remotePort: segment.sourcePort };
  }

  matches(selector: Selector): boolean {
    return (
      selector.direction === this.direction &&
      isKind(this.segment, selector.kind) &&
      selector.where.every((condition) => this.#holds(condition))
    );
  }

  /** The value of an expression, modulo 2^32. */
  evaluate(expression: Expression): number {
    switch (expression.kind) {
      case "number":
        return expression.value >>> 0;
      case "name":
        return this.#variable(expression.name) >>> 0;
      case "sum":
        return (this.evaluate(expression.left) + expression.sign * this.evaluate(expression.right)) >>> 0;
    }
  }

  #holds(condition: Condition): boolean {
    switch (condition.kind) {
      case "state":
        return (this.connection?.state === condition.state) !== condition.not;
      case "time":
        return compare(this.now - this.track.since, condition.comparison, condition.value);
      case "payload":
        return contains(this.segment, condition.bytes);
      case "compare":
        if (condition.field === "port") {
          const port = this.evaluate(condition.value);
          const { sourcePort, destinationPort } = this.segment;
          return compare(sourcePort, condition.comparison, port) || compare(destinationPort, condition.comparison, port);
        }
        return compare(
          this.#field(condition.field, condition.absolute),
          condition.comparison,
          this.#bound(condition.field, condition.value, condition.absolute),
        );
      case "range": {
        const value = this.#field(condition.field, condition.absolute);
        const from = this.#bound(condition.field, condition.from, condition.absolute);
        const to = this.#bound(condition.field, condition.to, condition.absolute);
        return value >= from && value <= to;
      }
    }
  }

  /** A number of the segment; of sequence space as the distance from its sender's, or the receiver's, initial number. */
  #field(name: string, absolute: boolean): number {
    const { segment, packet, bytes } = this;
    switch (name) {
      case "seq":
        return absolute ? segment.seq : relative(segment.seq, this.#initial("seq"));
      case "ack":
        return absolute ? segment.ack : relative(segment.ack, this.#initial("ack"));
      case "win":
      case "window":
        return segment.wnd;
      case "flags":
        return segment.flags;
      case "urgptr":
        return segment.up;
      case "sport":
        return segment.sourcePort;
      case "dport":
        return segment.destinationPort;
      case "len":
        return segment.payloadLength;
      case "ttl":
        return packet.ttl;
      case "tos":
        return packet.tos;
      case "id":
        return packet.id;
      case "df":
        return packet.dontFragment ? 1 : 0;
      case "offset":
        return (bytes[packet.payloadOffset + 12] ?? 0) >>> 4;
      case "reserved":
        return ((bytes[packet.payloadOffset + 12] ?? 0) >>> 1) & 7;
      default:
        return ((bytes[packet.payloadOffset + 16] ?? 0) << 8) | (bytes[packet.payloadOffset + 17] ?? 0);
    }
  }

  /** The right side of a comparison: a name stands for its place in the same space as the left side. */
  #bound(field: string, expression: Expression, absolute: boolean): number {
    const value = this.evaluate(expression);
    const isRelative = (field === "seq" || field === "ack") && !absolute && hasName(expression);
    return isRelative ? relative(value, this.#initial(field)) : value;
  }

  #initial(field: "seq" | "ack"): number {
    const ours = (this.direction === "out") === (field === "seq");
    return (ours ? (this.connection?.iss ?? this.track.iss) : (this.track.irs ?? this.connection?.irs)) ?? 0;
  }

  #variable(name: VariableName): number {
    const { connection, segment, track } = this;
    switch (name) {
      case "snd.una":
        return connection?.snd.una ?? 0;
      case "snd.nxt":
        return connection?.snd.nxt ?? 0;
      case "snd.max":
        return connection?.snd.max ?? 0;
      case "snd.wnd":
        return connection?.snd.wnd ?? 0;
      case "rcv.nxt":
        return connection?.rcv.nxt ?? 0;
      case "rcv.wnd":
        return connection === undefined ? 0 : seqDiff(connection.rcv.adv, connection.rcv.nxt);
      case "iss":
        return connection?.iss ?? track.iss ?? 0;
      case "irs":
        return connection?.irs ?? track.irs ?? 0;
      case "peer.rcv.nxt":
        return connection?.snd.una ?? 0;
      case "seg.seq":
        return segment.seq;
      case "seg.ack":
        return segment.ack;
      case "seg.len":
        return segment.len;
      case "seg.wnd":
        return segment.wnd;
      case "ts.val":
        return segment.tsVal;
      case "ts.ecr":
        return segment.tsEcr;
    }
  }
}

/** Whether the segment is of that kind; see `SegmentKind`. */
export function isKind(segment: Segment, kind: SegmentKind): boolean {
  const { flags, payloadLength } = segment;
  switch (kind) {
    case "any":
      return true;
    case "syn":
      return (flags & (SYN | ACK)) === SYN;
    case "synack":
      return (flags & (SYN | ACK)) === (SYN | ACK);
    case "ack":
      return (flags & (SYN | FIN | RST | ACK)) === ACK && payloadLength === 0;
    case "data":
      return payloadLength > 0;
    case "fin":
      return (flags & FIN) !== 0;
    case "rst":
      return (flags & RST) !== 0;
    case "psh":
      return (flags & PSH) !== 0;
    case "urg":
      return (flags & URG) !== 0;
  }
}

function relative(value: number, initial: number): number {
  return (value - initial) >>> 0;
}

function hasName(expression: Expression): boolean {
  return expression.kind === "sum" ? hasName(expression.left) || hasName(expression.right) : expression.kind === "name";
}

function compare(left: number, comparison: Comparison, right: number): boolean {
  switch (comparison) {
    case "=":
      return left === right;
    case "!=":
      return left !== right;
    case "<":
      return left < right;
    case "<=":
      return left <= right;
    case ">":
      return left > right;
    case ">=":
      return left >= right;
  }
}

function contains({ bytes, payloadOffset, payloadLength }: Segment, wanted: Uint8Array): boolean {
  for (let at = payloadOffset; at + wanted.length <= payloadOffset + payloadLength; at++) {
    let i = 0;
    while (i < wanted.length && bytes[at + i] === wanted[i]) i++;
    if (i === wanted.length) return true;
  }
  return false;
}
