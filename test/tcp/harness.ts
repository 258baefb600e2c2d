/**
 * One connection driven by hand. Segments go in as values whose numbers are relative (SEQ to IRS, ACK to ISS: the SYN is 0,
 * the first byte 1) and through the real encoder and parser; packets come out decoded, checksums verified, relative again.
 */
import { type Micros, NEVER, SECOND } from "../../src/base/time.js";
import { type ConnectionConfig, DEFAULT_CONFIG } from "../../src/tcp/config.js";
import { Connection } from "../../src/tcp/connection.js";
import type { ConnectionEvent } from "../../src/tcp/events.js";
import { OutgoingPacket } from "../../src/tcp/outgoing-packet.js";
import type { State } from "../../src/tcp/state.js";
import { type IpAddress, parseAddress } from "../../src/wire/address.js";
import { putU16, putU32 } from "../../src/wire/bytes.js";
import { addBytes, finish, pseudoHeaderSum } from "../../src/wire/checksum.js";
import { IcmpError, type IcmpErrorKind } from "../../src/wire/icmp.js";
import { IpPacket, PROTOCOL_TCP, parseIpPacket } from "../../src/wire/ip-packet.js";
import { parseSegment, Segment, verifyChecksum } from "../../src/wire/segment.js";
import { ACK, AE, CWR, ECE, FIN, formatFlags, PSH, RST, SYN, URG } from "../../src/wire/tcp-flags.js";
import { decodeTcpOptions, encodeTcpOptions, type TcpOption } from "../../src/wire/tcp-options.js";

/** Initial sequence numbers; every sequence test runs in both worlds. */
export interface World {
  readonly name: string;
  readonly iss: number;
  readonly irs: number;
}

/** Ours wrap after 16 bytes, the peer's after 256. */
export const WRAPPING: World = { name: "numbers that wrap", iss: 0xffff_fff0, irs: 0xffff_ff00 };
export const PLAIN: World = { name: "numbers that do not", iss: 1_000, irs: 50_000 };
export const WORLDS: readonly World[] = [WRAPPING, PLAIN];

/** A small window and no options, so that every number in a test can be seen through. */
export const BARE: Partial<ConnectionConfig> = {
  timestamps: false,
  windowScaling: false,
  noDelay: true,
  quickAckSegments: 0,
  receiveBufferBytes: 4_000,
  mtuBytes: 1_040,
  // Segments stay as they were cut however often they are repeated; see path-mtu.test.ts.
  mtuProbing: 0,
};

/** What the peer offers when a test says nothing else. */
export const PEER_MSS = 1_000;
export const PEER_WND = 10_000;

/** A segment of the peer. */
export interface Stimulus {
  /** tcpdump's letters; "" is a segment without any control bit. */
  readonly flags: string;
  /** Relative to IRS. Default: the connection's RCV.NXT. */
  readonly seq?: number;
  /** Relative to ISS. Default: all that the connection ever sent (SND.MAX). Stands in the field even without the ACK bit. */
  readonly ack?: number;
  readonly wnd?: number;
  readonly up?: number;
  /** Payload, or how many bytes of a pattern that depends on the sequence number. */
  readonly data?: number | Uint8Array;
  readonly options?: readonly TcpOption[];
  /** TSval and TSecr. */
  readonly ts?: readonly [val: number, ecr: number];
  /** ECN field of the IP header that carries it: 2 ECT(0), 3 CE. */
  readonly ecn?: number;
}

/** A packet of the connection. */
export interface Sent {
  readonly at: Micros;
  /** tcpdump's letters. */
  readonly flags: string;
  /** Relative to ISS. */
  readonly seq: number;
  /** Relative to IRS; 0 without the ACK bit. */
  readonly ack: number;
  /** As it stands in the header. */
  readonly wnd: number;
  readonly up: number;
  readonly payload: Uint8Array;
  readonly options: readonly TcpOption[];
  readonly ts: readonly [val: number, ecr: number] | undefined;
  readonly note: string;
  readonly ttl: number;
  readonly tos: number;
  readonly ipLength: number;
  /** "flags seq+length ack n": `P. 1+10 ack 1`. The short form that most tests compare. */
  readonly text: string;
}

export class Harness {
  readonly conn: Connection;
  readonly world: World;
  now: Micros = 1_000 * SECOND;
  /** What `receive` said of the last segment. */
  verdict = "";
  /** When set, every stimulus that says nothing else carries it as TSval (TSecr 0 gives no round-trip time). */
  peerTs: number | undefined;
  readonly #out = new OutgoingPacket();
  readonly #segment = new Segment();
  readonly #local: IpAddress;
  readonly #remote: IpAddress;

  constructor(world: World = WRAPPING, config: Partial<ConnectionConfig> = {}, family: 4 | 6 = 4, tsOffset = 0xffff_ff00) {
    this.world = world;
    this.#local = parseAddress(family === 4 ? "10.0.0.1" : "2001:db8::1");
    this.#remote = parseAddress(family === 4 ? "10.0.0.2" : "2001:db8::2");
    const full = { ...DEFAULT_CONFIG, ...BARE, ...config };
    this.conn = new Connection(1, full, this.#local, 4_000, this.#remote, 80, { tsOffset, ipId: 0xfffe });
  }

  get tcb() {
    return this.conn.tcb;
  }

  get state(): State {
    return this.conn.state;
  }

  /** RCV.NXT relative to IRS. */
  get rcvNxt(): number {
    return (this.tcb.rcv.nxt - this.world.irs) >>> 0;
  }

  /** SND.MAX relative to ISS. */
  get sndMax(): number {
    return (this.tcb.snd.max - this.world.iss) >>> 0;
  }

  /** SND.UNA relative to ISS. */
  get sndUna(): number {
    return (this.tcb.snd.una - this.world.iss) >>> 0;
  }

  openActive(): Sent[] {
    this.conn.openActive(this.world.iss, this.now);
    return this.poll();
  }

  openPassive(): void {
    this.conn.openPassive(this.world.iss, this.now);
  }

  /** Lets a segment arrive and drains nothing. */
  give(stimulus: Stimulus): string {
    const bytes = this.#encode(stimulus);
    const offset = this.#local.family === 4 ? 20 : 40;
    const problem = parseSegment(this.#segment, bytes, offset, bytes.length - offset);
    if (problem !== "") throw new Error(`bad stimulus: ${problem}`);
    this.#segment.ecn = stimulus.ecn ?? 0;
    this.verdict = this.conn.receive(this.#segment, this.now);
    // The memory is lent for the call only: whoever kept it sees noise.
    bytes.fill(0xdb);
    return this.verdict;
  }

  /** Lets a segment arrive and returns what is sent at once. */
  rcv(stimulus: Stimulus): Sent[] {
    this.give(stimulus);
    return this.poll();
  }

  /** Offers a SYN to TIME-WAIT; `hasRoom`: of a listener. */
  yieldTimeWait(stimulus: Stimulus, hasRoom = true): boolean {
    const bytes = this.#encode(stimulus);
    const offset = this.#local.family === 4 ? 20 : 40;
    parseSegment(this.#segment, bytes, offset, bytes.length - offset);
    return this.conn.yieldTimeWait(this.#segment, this.now, hasRoom);
  }

  /** An ICMP error about the segment at `seq` (relative to ISS). */
  icmp(kind: IcmpErrorKind, seq = this.sndUna): string {
    const error = new IcmpError();
    error.kind = kind;
    error.quotedSeq = (this.world.iss + seq) >>> 0;
    error.hasSeq = true;
    return this.conn.receiveIcmp(error, this.now);
  }

  /** All packets that are due. */
  poll(): Sent[] {
    const sent: Sent[] = [];
    while (this.conn.pollTransmit(this.now, this.#out)) {
      sent.push(this.#decode());
      if (sent.length > 100_000) throw new Error("pollTransmit never ends");
    }
    return sent;
  }

  /** SEND of `length` bytes of a pattern, then a drain. */
  send(length: number, urgent = false): Sent[] {
    this.conn.send(pattern(length, this.tcb.sendQueue.length), 0, length, urgent);
    return this.poll();
  }

  /** RECEIVE of all that is there. */
  read(limit = this.conn.readableBytes): Uint8Array {
    const target = new Uint8Array(limit);
    return target.subarray(0, this.conn.read(target));
  }

  shutdown(): Sent[] {
    this.conn.shutdown(this.now);
    return this.poll();
  }

  close(): Sent[] {
    this.conn.close(this.now);
    return this.poll();
  }

  abort(): Sent[] {
    this.conn.abort(this.now);
    return this.poll();
  }

  /** Lets `us` pass, timer by timer, and returns all that is sent. */
  advance(us: Micros): Sent[] {
    const end = this.now + us;
    const sent: Sent[] = [];
    for (;;) {
      const next = this.conn.nextTimeout();
      if (next > end) break;
      this.now = Math.max(this.now, next);
      this.conn.handleTimeout(this.now);
      sent.push(...this.poll());
    }
    this.now = end;
    return sent;
  }

  /** Lets time pass up to the next timer, and returns what is sent; [] when none runs. */
  nextTimer(): Sent[] {
    const next = this.conn.nextTimeout();
    if (next === NEVER) return [];
    this.now = Math.max(this.now, next);
    this.conn.handleTimeout(this.now);
    return this.poll();
  }

  /** All events that are to be told. */
  events(): ConnectionEvent[] {
    const events: ConnectionEvent[] = [];
    for (;;) {
      const event = this.conn.pollEvent();
      if (event === undefined) return events;
      events.push(event);
    }
  }

  /** The handshake, we first. */
  connect(synAck: Partial<Stimulus> = {}): this {
    this.openActive();
    this.rcv({ flags: "S.", seq: 0, ack: 1, wnd: PEER_WND, options: [{ kind: "mss", mss: PEER_MSS }], ...synAck });
    if (this.state !== "ESTABLISHED") throw new Error(`not connected: ${this.verdict}`);
    return this;
  }

  /** The handshake, the peer first. */
  accept(syn: Partial<Stimulus> = {}, ack: Partial<Stimulus> = {}): this {
    this.openPassive();
    this.rcv({ flags: "S", seq: 0, ack: 0, wnd: PEER_WND, options: [{ kind: "mss", mss: PEER_MSS }], ...syn });
    this.rcv({ flags: ".", wnd: PEER_WND, ...ack });
    if (this.state !== "ESTABLISHED") throw new Error(`not connected: ${this.verdict}`);
    return this;
  }

  #encode(stimulus: Stimulus): Uint8Array {
    const { seq = this.rcvNxt, ack = this.sndMax, data = 0 } = stimulus;
    const payload = typeof data === "number" ? pattern(data, seq) : data;
    const list = [...(stimulus.options ?? [])];
    const ts = stimulus.ts ?? (this.peerTs === undefined ? undefined : [this.peerTs, 0]);
    if (ts !== undefined) list.push({ kind: "timestamps", tsVal: ts[0], tsEcr: ts[1] });
    const options = encodeTcpOptions(list);
    const length = 20 + options.length + payload.length;
    const ip = this.#local.family === 4 ? 20 : 40;
    const bytes = new Uint8Array(ip + length);
    putU16(bytes, ip, 80);
    putU16(bytes, ip + 2, 4_000);
    putU32(bytes, ip + 4, (this.world.irs + seq) >>> 0);
    putU32(bytes, ip + 8, (this.world.iss + ack) >>> 0);
    putU16(bytes, ip + 12, ((5 + options.length / 4) << 12) | flagBits(stimulus.flags));
    putU16(bytes, ip + 14, stimulus.wnd ?? PEER_WND);
    putU16(bytes, ip + 18, stimulus.up ?? 0);
    bytes.set(options, ip + 20);
    bytes.set(payload, ip + 20 + options.length);
    const pseudo = pseudoHeaderSum(this.#remote, this.#local, PROTOCOL_TCP, length);
    putU16(bytes, ip + 16, finish(addBytes(pseudo, bytes, ip, length)));
    return bytes;
  }

  #decode(): Sent {
    const bytes = this.#out.bytes.slice(0, this.#out.length);
    const packet = new IpPacket();
    const segment = new Segment();
    const problem =
      parseIpPacket(packet, bytes, 0, bytes.length, true) ||
      parseSegment(segment, bytes, packet.payloadOffset, packet.payloadLength);
    if (problem !== "") throw new Error(`sent a bad packet: ${problem}`);
    const { source, destination, payloadOffset, payloadLength } = packet;
    if (verifyChecksum(source, destination, bytes, payloadOffset, payloadLength, "strict") !== "ok")
      throw new Error("sent a bad checksum");
    const seq = (segment.seq - this.world.iss) >>> 0;
    const hasAck = (segment.flags & ACK) !== 0;
    const ack = hasAck ? (segment.ack - this.world.irs) >>> 0 : segment.ack;
    const flags = formatFlags(segment.flags);
    const optionsAt = payloadOffset + 20;
    return {
      at: this.now,
      flags,
      seq,
      ack,
      wnd: segment.wnd,
      up: segment.up,
      payload: bytes.slice(segment.payloadOffset),
      options: decodeTcpOptions(bytes, optionsAt, segment.payloadOffset - optionsAt).options,
      ts: segment.hasTimestamps ? [segment.tsVal, segment.tsEcr] : undefined,
      note: this.#out.note,
      ttl: packet.ttl,
      tos: packet.tos,
      ipLength: bytes.length,
      text: `${flags} ${seq}+${segment.payloadLength}${hasAck ? ` ack ${ack}` : ""}`,
    };
  }
}

/** The short forms of what was sent. */
export function texts(sent: readonly Sent[]): string[] {
  return sent.map((packet) => packet.text);
}

/** `length` bytes that depend on where in the stream they stand. */
export function pattern(length: number, from = 0): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => ((from + i) * 31) & 0xff);
}

const BITS: Readonly<Record<string, number>> = { F: FIN, S: SYN, R: RST, P: PSH, ".": ACK, U: URG, E: ECE, W: CWR, e: AE };

function flagBits(letters: string): number {
  let bits = 0;
  for (const letter of letters) bits |= BITS[letter] ?? 0;
  return bits;
}

/** How a connection in some state came there. */
export type Origin = "active" | "passive";

/** States that `reach` can make; SYN-RECEIVED differs by origin. */
export type Reachable = Exclude<State, "CLOSED">;

export interface ReachOptions {
  readonly origin?: Origin;
  readonly fill?: boolean;
  /** Changes to the peer's SYN or SYN-ACK. */
  readonly synAck?: Partial<Stimulus>;
  /** See `Harness.peerTs`. */
  readonly peerTs?: number;
}

/**
 * A connection in `state`, drained, its events pulled. With `fill` the peer has filled the receive window before that (the
 * user has read nothing), so that RCV.WND is 0; only synchronized states can have that.
 */
export function reach(
  state: Reachable,
  world: World = WRAPPING,
  config: Partial<ConnectionConfig> = {},
  options: ReachOptions = {},
): Harness {
  const h = new Harness(world, config);
  h.peerTs = options.peerTs;
  const origin = options.origin ?? "active";
  bring(h, state, origin, options.fill === true, options.synAck ?? {});
  h.poll();
  h.events();
  if (h.state !== state) throw new Error(`reached ${h.state} instead of ${state}`);
  return h;
}

function bring(h: Harness, state: Reachable, origin: Origin, fill: boolean, synAck: Partial<Stimulus>): void {
  switch (state) {
    case "LISTEN":
      h.openPassive();
      return;
    case "SYN-SENT":
      h.openActive();
      return;
    case "SYN-RECEIVED":
      if (origin === "passive") h.openPassive();
      else h.openActive();
      h.rcv({ flags: "S", seq: 0, ack: 0, options: [{ kind: "mss", mss: PEER_MSS }], ...synAck });
      return;
    default:
  }
  if (origin === "passive") h.accept(synAck);
  else h.connect(synAck);
  const peerCloses = state !== "ESTABLISHED" && state !== "FIN-WAIT-1" && state !== "FIN-WAIT-2";
  // FIN takes the last place of the window.
  const bytes = fill ? h.tcb.receiveWindow - (peerCloses ? 1 : 0) : 0;
  for (let left = bytes; left > 0; left -= Math.min(left, PEER_MSS)) h.rcv({ flags: ".", data: Math.min(left, PEER_MSS) });
  const peerFin = { flags: "F." } as const;
  switch (state) {
    case "FIN-WAIT-1":
      h.shutdown();
      break;
    case "FIN-WAIT-2":
      h.shutdown();
      h.rcv({ flags: "." });
      break;
    case "CLOSE-WAIT":
      h.rcv(peerFin);
      break;
    case "CLOSING":
      h.shutdown();
      h.rcv({ ...peerFin, ack: 1 });
      break;
    case "LAST-ACK":
      h.rcv(peerFin);
      h.shutdown();
      break;
    case "TIME-WAIT":
      h.shutdown();
      h.rcv({ flags: "." });
      h.rcv(peerFin);
      break;
    default:
      break;
  }
}
