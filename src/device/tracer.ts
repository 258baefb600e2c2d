/**
 * A device around a device that tells every packet as an event, and puts the events of the engine in the order in which a
 * reader wants them: first the segment that came in, then what it did.
 *
 *     handler of the inner device ──► decode ──► engine's handler ──┬─► state, timer, drop events (held)
 *                                                                   └─► note
 *     then: segment event with the note as its reason, then the held events
 */
import { seqAdd } from "../base/seq.js";
import type { Micros } from "../base/time.js";
import type { PacketEvent, SegmentEvent, TraceEvent, TraceSink } from "../observe/events.js";
import { formatEndpoint, type IpAddress } from "../wire/address.js";
import { IpPacket, PROTOCOL_TCP, parseIpPacket } from "../wire/ip-packet.js";
import type { PacketDevice, PacketHandler } from "../wire/packet-device.js";
import { describePacket } from "../wire/print.js";
import { parseSegment, Segment, verifyChecksum } from "../wire/segment.js";
import { ACK, formatFlags, SYN } from "../wire/tcp-flags.js";
import { decodeTcpOptions, formatTcpOptions, type TcpOption } from "../wire/tcp-options.js";
import { asSet } from "./port-set.js";
import { Wrapper } from "./wrapper.js";

/** The number of the connection between our port and the peer's, 0 when there is none (now). */
export type ConnectionNumber = (local: IpAddress, localPort: number, remote: IpAddress, remotePort: number) => number;

export interface TracerOptions {
  /** Where all events go. Without it nothing is traced and nothing is wrapped. */
  readonly sink: TraceSink | undefined;
  /** Microseconds since the trace began. */
  readonly now: () => Micros;
  /** Without it the tracer numbers connections itself, by their SYNs; then the engine's events must use those numbers. */
  readonly connOf?: ConnectionNumber;
  /** Characters of payload shown in an event; 0 when left out, for payloads may be secret. */
  readonly payloadChars?: number;
}

export interface Tracing {
  /** The device to use in place of the inner one: the inner one itself when there is no sink. */
  readonly device: PacketDevice;
  /** Where the engine, the driver and a fault injector send their events, so that they fall in line; undefined when there is no sink. */
  readonly events: TraceSink | undefined;
}

/** Wraps `inner` so that its packets are traced. */
export function traceDevice(inner: PacketDevice, options: TracerOptions): Tracing {
  if (options.sink === undefined) return { device: inner, events: undefined };
  const tracer = new Tracer(inner, options.sink, options);
  return { device: tracer, events: (event) => tracer.emit(event) };
}

/** Connections whose initial numbers are remembered; the one unused for longest is forgotten first. */
const MAX_CONNECTIONS = 4096;

/** What must be known of a connection to print relative numbers and windows in bytes. */
interface Memory {
  conn: number;
  /** Initial sequence numbers, null when not seen. */
  iss: number | null;
  irs: number | null;
  /** Window scale of either SYN: -1 when it had none, null when no SYN was seen. */
  ourShift: number | null;
  theirShift: number | null;
}

/** What a packet becomes. */
type Told = SegmentEvent | PacketEvent;

class Tracer extends Wrapper {
  readonly #sink: TraceSink;
  readonly #now: () => Micros;
  readonly #connOf: ConnectionNumber | undefined;
  readonly #payloadChars: number;
  readonly #memories = new Map<string, Memory>();
  #lastConn = 0;
  /** Ports that were asked for; a device that cannot filter brings more, which is not ours to tell. Null: all. */
  #ports: ReadonlySet<number> | null = null;
  /** How many packets are being handled, one inside the other. */
  #depth = 0;
  #held: TraceEvent[] = [];

  constructor(inner: PacketDevice, sink: TraceSink, options: TracerOptions) {
    super(inner);
    this.#sink = sink;
    this.#now = options.now;
    this.#connOf = options.connOf;
    this.#payloadChars = options.payloadChars ?? 0;
  }

  /** Passes an event on, or keeps it until the packet that caused it has been told. */
  emit(event: TraceEvent): void {
    if (this.#depth > 0) this.#held.push(event);
    else this.#sink(event);
  }

  override send(bytes: Uint8Array, offset: number, length: number, note: string): boolean {
    // Decoded first: a device below may change what it was lent.
    const event = this.#decode("out", bytes, offset, length, note);
    const at = this.#held.length;
    let taken = false;
    this.#depth++;
    try {
      taken = this.inner.send(bytes, offset, length, note);
      return taken;
    } finally {
      this.#depth--;
      const { t, conn } = event;
      if (!taken)
        this.#held.splice(at, 0, {
          t,
          conn,
          type: "fault",
          dir: "out",
          fault: "refusal",
          reason: "the device did not take the packet",
        });
      let lost = false;
      // The faults that this packet met are the first that were told; they come from a device that knows no connections.
      for (let i = at; i < this.#held.length; i++) {
        const fault = this.#held[i];
        if (fault?.type !== "fault" || fault.dir !== "out") break;
        lost ||= fault.fault === "loss" || fault.fault === "refusal";
        if (fault.conn === 0) this.#held[i] = { ...fault, conn };
      }
      this.#held.splice(at, 0, event.type === "segment" ? { ...event, lost } : event);
      this.#flush();
    }
  }

  override start(onPacket: PacketHandler, onBatchEnd: () => void): void {
    this.inner.start((bytes, offset, length) => this.#receive(onPacket, bytes, offset, length), onBatchEnd);
  }

  override setPorts(ports: Iterable<number>): void {
    const set = asSet(ports);
    this.#ports = set;
    this.inner.setPorts(set);
  }

  #receive(onPacket: PacketHandler, bytes: Uint8Array, offset: number, length: number): string {
    if (!this.#isWanted(bytes, offset, length)) return onPacket(bytes, offset, length);
    const event = this.#decode("in", bytes, offset, length, "");
    const at = this.#held.length;
    let reason = "";
    this.#depth++;
    try {
      reason = onPacket(bytes, offset, length);
      return reason;
    } finally {
      this.#depth--;
      this.#held.splice(at, 0, { ...this.#renumber(event, bytes, offset, length), reason });
      this.#flush();
    }
  }

  #flush(): void {
    if (this.#depth > 0) return;
    const held = this.#held;
    this.#held = [];
    for (const event of held) this.#sink(event);
  }

  /** Whether an incoming packet may be ours. What cannot be read is told: it may be the very thing that is looked for. */
  #isWanted(bytes: Uint8Array, offset: number, length: number): boolean {
    if (this.#ports === null || !parse(bytes, offset, length)) return true;
    return this.#ports.has(segment.destinationPort);
  }

  #decode(dir: "out" | "in", bytes: Uint8Array, offset: number, length: number, reason: string): Told {
    const t = this.#now();
    if (!parse(bytes, offset, length))
      return { t, conn: 0, type: "packet", dir, text: describePacket(bytes, offset, length), reason };
    const { flags, seq, ack, wnd: win, payloadLength: len } = segment;
    const src = formatEndpoint(packet.source, segment.sourcePort);
    const dst = formatEndpoint(packet.destination, segment.destinationPort);
    const memory = this.#remember(dir, dir === "out" ? `${src} ${dst}` : `${dst} ${src}`);
    const [own, other] = dir === "out" ? [memory.iss, memory.irs] : [memory.irs, memory.iss];
    const shift = dir === "out" ? memory.ourShift : memory.theirShift;
    const scaled =
      (flags & SYN) === 0 && shift !== null && shift >= 0 && (memory.ourShift ?? -1) >= 0 && (memory.theirShift ?? -1) >= 0;
    return {
      t,
      conn: memory.conn,
      type: "segment",
      dir,
      src,
      dst,
      flags: formatFlags(flags),
      seq,
      ack,
      relSeq: own === null ? null : seqAdd(seq, -own),
      relAck: other === null || (flags & ACK) === 0 ? null : seqAdd(ack, -other),
      len,
      win,
      // RFC 7323 §2.3: a shift above 14 counts as 14.
      winBytes: scaled ? win * 2 ** Math.min(shift, 14) : win,
      options: optionsText(bytes, other),
      checksum: verifyChecksum(
        packet.source,
        packet.destination,
        bytes,
        packet.payloadOffset,
        packet.payloadLength,
        "partial-ok",
      ),
      payload:
        this.#payloadChars === 0 || len === 0 ? "" : payloadText(bytes, segment.payloadOffset, Math.min(len, this.#payloadChars)),
      lost: false,
      reason,
    };
  }

  /** Finds or makes the memory of the connection of the scratch segment, and learns from its SYN. */
  #remember(dir: "out" | "in", key: string): Memory {
    const number = this.#ask(dir);
    let memory = this.#memories.get(key);
    if (memory !== undefined) this.#memories.delete(key);
    if (memory === undefined || isAnother(memory, dir, number)) {
      if (this.#memories.size >= MAX_CONNECTIONS) this.#memories.delete(this.#memories.keys().next().value ?? "");
      memory = newMemory(this.#connOf === undefined ? ++this.#lastConn : number);
    } else if (number !== 0) {
      memory.conn = number;
    }
    this.#memories.set(key, memory);
    if ((segment.flags & SYN) !== 0) learn(memory, dir);
    return memory;
  }

  /**
   * The incoming event with the number of its connection: a SYN has one only after it was handled, a last ACK only before.
   * A SYN that ended a TIME-WAIT (RFC 9293 §3.10.7.4) belongs to the new connection.
   */
  #renumber(event: Told, bytes: Uint8Array, offset: number, length: number): Told {
    if (this.#connOf === undefined || event.type !== "segment" || !parse(bytes, offset, length)) return event;
    const conn = this.#ask("in");
    if (conn === 0 || conn === event.conn) return event;
    const key = `${event.dst} ${event.src}`;
    const memory = this.#memories.get(key);
    if (memory !== undefined && event.conn === 0) {
      memory.conn = conn;
      return { ...event, conn };
    }
    if ((segment.flags & (SYN | ACK)) !== SYN) return event;
    const successor = newMemory(conn);
    learn(successor, "in");
    this.#memories.set(key, successor);
    return { ...event, conn, relSeq: 0 };
  }

  #ask(dir: "out" | "in"): number {
    if (this.#connOf === undefined) return 0;
    const { source, destination } = packet;
    const { sourcePort, destinationPort } = segment;
    return dir === "out"
      ? this.#connOf(source, sourcePort, destination, destinationPort)
      : this.#connOf(destination, destinationPort, source, sourcePort);
  }
}

/** Scratch of this module: used between a parse and the next packet, never across a call of someone else's code. */
const packet = new IpPacket();
const segment = new Segment();

/** Reads a packet into the scratch objects; false when it is not a TCP segment. */
function parse(bytes: Uint8Array, offset: number, length: number): boolean {
  if (parseIpPacket(packet, bytes, offset, length, false) !== "" || packet.protocol !== PROTOCOL_TCP) return false;
  return parseSegment(segment, bytes, packet.payloadOffset, packet.payloadLength) === "";
}

function newMemory(conn: number): Memory {
  return { conn, iss: null, irs: null, ourShift: null, theirShift: null };
}

/** Whether the scratch segment belongs to another connection of the same addresses. `number` is the engine's, 0 for none. */
function isAnother(memory: Memory, dir: "out" | "in", number: number): boolean {
  if (number !== 0 && memory.conn !== 0 && number !== memory.conn) return true;
  // A SYN with a new number begins a new connection, unless the engine says that it is still the old one.
  const isn = dir === "out" ? memory.iss : memory.irs;
  return (segment.flags & (SYN | ACK)) === SYN && isn !== null && isn !== segment.seq && number !== memory.conn;
}

/** Takes the initial number and the window scale from the scratch segment, a SYN; one that does not fit must not spoil them. */
function learn(memory: Memory, dir: "out" | "in"): void {
  const { flags, seq, ack, windowScale } = segment;
  const [own, other] = dir === "out" ? [memory.iss, memory.irs] : [memory.irs, memory.iss];
  if (own !== null) return;
  if ((flags & ACK) !== 0 && other !== null && ack !== seqAdd(other, 1)) return;
  if (dir === "out") {
    memory.iss = seq;
    memory.ourShift = windowScale;
  } else {
    memory.irs = seq;
    memory.theirShift = windowScale;
  }
}

/** The options of the scratch segment; SACK edges relative to the initial number `isn` of the data that they acknowledge. */
function optionsText(bytes: Uint8Array, isn: number | null): string {
  const at = packet.payloadOffset + 20;
  if (segment.payloadOffset === at) return "";
  const list = decodeTcpOptions(bytes, at, segment.payloadOffset - at);
  if (isn === null || segment.sackCount === 0) return formatTcpOptions(list);
  const options = list.options.map((option): TcpOption => {
    if (option.kind !== "sack") return option;
    return {
      kind: "sack",
      blocks: option.blocks.map(({ left, right }) => ({ left: seqAdd(left, -isn), right: seqAdd(right, -isn) })),
    };
  });
  return formatTcpOptions({ options, trailing: list.trailing });
}

/** Bytes as ASCII, what is not printable as ".". */
function payloadText(bytes: Uint8Array, offset: number, length: number): string {
  let text = "";
  for (let i = offset; i < offset + length; i++) {
    const byte = bytes[i] ?? 0;
    text += byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : ".";
  }
  return text;
}
