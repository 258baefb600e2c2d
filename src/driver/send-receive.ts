/**
 * Crafted packets sent over the wire, and what came back for each. The kernel knows nothing of it: our ports are held by the
 * port guard, so that it does not answer in our place.
 */
import { RawTcpError } from "../base/errors.js";
import type { Random } from "../base/random.js";
import type { Micros } from "../base/time.js";
import { type CraftedPacket, craft } from "../craft/build.js";
import { fragment } from "../craft/fragments.js";
import { type MatchStrength, matchAnswer, type Probe, probeOf } from "../craft/match.js";
import type { PacketSpec, TcpSpec } from "../craft/spec.js";
import { openProbeLink, type ProbeLink } from "../device/probe-link.js";
import { isOwnAddress } from "../kernel/interfaces.js";
import { createPortGuard, type GuardMethod, type HeldPort, type PortGuard, PortGuardError } from "../kernel/port-guard.js";
import { type Reach, reachOf } from "../kernel/reach.js";
import { type Route, routeTo } from "../kernel/route.js";
import { type IpAddress, parseAddress } from "../wire/address.js";
import { IpPacket, PROTOCOL_TCP, parseIpPacket } from "../wire/ip-packet.js";
import { parseSegment, Segment } from "../wire/segment.js";
import { ACK, RST, SYN } from "../wire/tcp-flags.js";
import { monotonicNow } from "./clock.js";
import { SystemRandom } from "./entropy.js";

export interface ProberOptions {
  /** Where the packets go: the route, and the destination of those that name none. */
  readonly target: string;
  /** Default: the kernel's choice for the target. */
  readonly source?: string | undefined;
  /** Default: a free port, held for the time of the probing. */
  readonly sourcePort?: number | undefined;
  /** Lets targets beyond this host and its namespaces be sent to. */
  readonly allowRemote?: boolean;
  readonly guard?: GuardMethod;
  /**
   * What the packets will be, so that only what they need is opened: "tcp" needs no libpcap over IPv4. "any" when left out.
   */
  readonly kind?: "tcp" | "any";
  /** Whether packets come that the kernel would mend, see `needsFrame`. `sendReceive` judges by the first when this is left out. */
  readonly frames?: boolean;
  /** Packets are cut into IP fragments of this many bytes. */
  readonly fragmentBytes?: number | undefined;
  /** Sends a RST for a SYN-ACK, as a half-open scan does; true when left out. */
  readonly resetOpened?: boolean;
  /** Every packet that goes out and every one that is an answer, for a capture file; lent for the call. */
  readonly onPacket?: (dir: "out" | "in", bytes: Uint8Array, offset: number, length: number) => void;
  readonly random?: Random;
}

/** A packet that was sent, and its answer as soon as there is one. */
export interface Exchange {
  /** Counted from 0 in the order of sending. */
  readonly index: number;
  readonly spec: PacketSpec;
  readonly sent: CraftedPacket;
  /** How often it was sent so far. */
  readonly attempts: number;
  /** Why it could not be sent: "EMSGSIZE"; "" when it was. */
  readonly problem: string;
  /** The IP packet that answered, a copy; undefined when none did in time. */
  readonly answer: Uint8Array | undefined;
  readonly strength: MatchStrength;
  /** From the last sending to the answer; -1 without one. */
  readonly rttUs: Micros;
}

export interface SendReceiveOptions extends ProberOptions {
  /** How long an answer may take, ms; 1,000 when left out. */
  readonly timeoutMs?: number;
  /** How often a packet without an answer is sent again; 0 when left out. */
  readonly retries?: number;
  /** Between two packets, ms; 0 when left out. */
  readonly intervalMs?: number;
  /** How many packets may wait for an answer at once; 64 when left out. */
  readonly inFlight?: number;
  /** Ends the sending; what waits for an answer is given up. */
  readonly signal?: AbortSignal;
}

/** Whether the kernel would change the packet on its way through a raw socket (raw(7)), or refuse it. */
export function needsFrame(spec: PacketSpec): boolean {
  if (spec.ethernet !== undefined || spec.trailer !== undefined) return true;
  const { ip } = spec;
  // The sender fills one in.
  if (ip === undefined) return false;
  const { source } = ip;
  const isFromNowhere = source !== undefined && (typeof source === "string" ? parseAddress(source) : source).isUnspecified();
  if (ip.version !== undefined && ip.version !== ip.family) return true;
  if (ip.family === 6) return false;
  const set = [ip.checksum, ip.totalLength, ip.ihl];
  return set.some((field) => field !== undefined) || ip.id === 0 || isFromNowhere;
}

/**
 * Sends each packet and gives it back with its answer, or without one when the time is up: in the order in which that is
 * known. What is unset and would make answers ambiguous is filled in: source address and port, a random sequence number (and
 * acknowledgment number, with ACK). Throws what `Prober.open` and `craft` throw.
 */
export async function* sendReceive(
  specs: Iterable<PacketSpec>,
  options: SendReceiveOptions,
): AsyncGenerator<Exchange, void, undefined> {
  const { timeoutMs = 1000, retries = 0, inFlight = 64, signal } = options;
  const done: Exchange[] = [];
  let wake: () => void = () => {};
  const source = specs[Symbol.iterator]();
  let next = source.next();
  const prober = await Prober.open({
    ...options,
    frames: options.frames ?? (next.done !== true && needsFrame(next.value)),
    timeoutMs,
    onDone: (exchange) => {
      done.push(exchange);
      wake();
    },
    retries,
  });
  const intervalMs = options.intervalMs ?? (prober.reach === "remote" ? MIN_REMOTE_INTERVAL_MS : 0);
  if (prober.reach === "remote" && intervalMs < MIN_REMOTE_INTERVAL_MS) {
    prober.close();
    throw new RawTcpError(
      "ERR_RATE",
      `more than 10,000 packets a second go to loopback and own namespaces only: ${options.target} is neither`,
    );
  }
  const stopped = () => signal?.aborted === true;
  const onAbort = (): void => wake();
  signal?.addEventListener("abort", onAbort);
  try {
    let notBefore = 0;
    while (!stopped() && (next.done !== true || prober.waiting > 0 || done.length > 0)) {
      for (let exchange = done.shift(); exchange !== undefined; exchange = done.shift()) yield exchange;
      const now = monotonicNow();
      if (next.done !== true && prober.waiting < inFlight && now >= notBefore) {
        prober.send(next.value);
        notBefore = Math.max(notBefore + intervalMs * 1000, now - MAX_BURST_US);
        next = source.next();
        continue;
      }
      if (done.length > 0) continue;
      if (next.done === true && prober.waiting === 0) break;
      const pause = next.done !== true && prober.waiting < inFlight ? Math.max(0, (notBefore - now) / 1000) : -1;
      await new Promise<void>((resolve) => {
        const timer = pause >= 0 ? setTimeout(resolve, pause) : undefined;
        wake = () => {
          clearTimeout(timer);
          resolve();
        };
        if (stopped()) wake();
      });
      wake = () => {};
    }
  } finally {
    signal?.removeEventListener("abort", onAbort);
    prober.close();
  }
}

const MIN_REMOTE_INTERVAL_MS = 0.1;

/** What a pause of the event loop may be made up for at once. */
const MAX_BURST_US: Micros = 20_000;

/** What a prober tells of. */
export interface ProberEvents {
  readonly timeoutMs: number;
  readonly retries?: number;
  /** A packet has its answer, or will get none. */
  readonly onDone: (exchange: Exchange) => void;
  /** Another answer to a packet that has one: a repeated SYN-ACK. Lent for the call. */
  readonly onRepeated?: (exchange: Exchange, bytes: Uint8Array, offset: number, length: number) => void;
}

interface Waiting {
  readonly exchange: { -readonly [K in keyof Exchange]: Exchange[K] };
  readonly probe: Probe | undefined;
  sentAt: Micros;
}

/** Ports that are held at once. */
const MOST_HELD = 256;

/** How many answered packets are remembered, for answers that come twice. */
const REMEMBERED = 256;

/** Sends packets one by one and finds their answers. */
export class Prober {
  readonly source: IpAddress;
  readonly target: IpAddress;
  readonly reach: Reach;
  readonly route: Route;
  readonly #options: ProberOptions & ProberEvents;
  readonly #guard: PortGuard;
  readonly #random: Random;
  readonly #held = new Map<number, HeldPort | undefined>();
  #link: ProbeLink | undefined;
  /** The port in use, and where packets went from it. */
  #sourcePort = 0;
  #reached = new Set<number>();
  /** In the order of sending, hence of time-out; by index. */
  readonly #waiting = new Map<number, Waiting>();
  readonly #answered: Waiting[] = [];
  #timer: NodeJS.Timeout | undefined;
  #count = 0;

  /**
   * Opens what is needed. Rejects with RawTcpError: `ERR_REMOTE_TARGET` without `allowRemote`, `ERR_SPOOFED_SOURCE` for a
   * foreign source address towards a foreign host, `EPERM`, PortGuardError, CaptureError, LibcError (`ENETUNREACH`).
   */
  static async open(options: ProberOptions & ProberEvents): Promise<Prober> {
    const route = routeTo(options.target);
    const reach = reachOf(route);
    if (reach === "remote" && options.allowRemote !== true) {
      throw new RawTcpError(
        "ERR_REMOTE_TARGET",
        `${options.target} is not an address of this host: add --allow-remote if you may send there`,
      );
    }
    if (options.source !== undefined && reach === "remote" && !isOwnAddress(options.source)) {
      throw new RawTcpError(
        "ERR_SPOOFED_SOURCE",
        `source ${options.source} is not an address of this host: foreign sources go to loopback and own namespaces only`,
      );
    }
    const prober = new Prober(options, route, reach);
    try {
      await prober.#openLink();
    } catch (error) {
      prober.close();
      throw error;
    }
    return prober;
  }

  private constructor(options: ProberOptions & ProberEvents, route: Route, reach: Reach) {
    this.#options = options;
    this.route = route;
    this.reach = reach;
    this.target = parseAddress(options.target);
    this.source = parseAddress(options.source ?? route.source);
    this.#guard = createPortGuard(options.guard ?? "bpf");
    this.#random = options.random ?? new SystemRandom();
  }

  /** How many packets wait for an answer. */
  get waiting(): number {
    return this.#waiting.size;
  }

  async #openLink(): Promise<void> {
    const { kind = "any", frames = false, target } = this.#options;
    this.#link = await openProbeLink({
      target,
      route: this.route,
      receive: kind === "tcp" && !frames ? "ports" : "any",
      frames,
      mark: this.#guard.mark,
      onPacket: (bytes, offset, length) => this.#receive(bytes, offset, length),
    });
  }

  /** The spec with everything filled in that the sender has to know. */
  complete(spec: PacketSpec): PacketSpec {
    const family = this.target.family;
    const ip = { source: this.source, destination: this.target, ...(spec.ip ?? { family }) };
    const tcp = spec.tcp === undefined ? undefined : this.#completeTcp(spec.tcp);
    return { ...spec, ip: ip as NonNullable<PacketSpec["ip"]>, ...(tcp === undefined ? {} : { tcp }) };
  }

  #completeTcp(tcp: TcpSpec): TcpSpec {
    const flags = tcp.flags ?? SYN;
    const numbers = { seq: this.#random.u32(), ...((flags & ACK) !== 0 ? { ack: this.#random.u32() } : {}) };
    return tcp.sourcePort === undefined
      ? { ...numbers, ...tcp, sourcePort: this.#ownPort(tcp.destinationPort ?? 0) }
      : { ...numbers, ...tcp };
  }

  /**
   * The port that was asked for, or a free one: another for each packet to the same port, for two SYNs with the same endpoints
   * would meet in one half-open connection.
   */
  #ownPort(destinationPort: number): number {
    if (this.#options.sourcePort !== undefined) return this.#options.sourcePort;
    if (this.#sourcePort !== 0 && !this.#reached.has(destinationPort)) {
      this.#reached.add(destinationPort);
      return this.#sourcePort;
    }
    const held = this.#hold(0);
    // Without a guard any of RFC 6335's dynamic ports will do.
    this.#sourcePort = held?.port ?? 49_152 + (this.#random.u32() & 0x3fff);
    this.#reached = new Set([destinationPort]);
    this.#keep(this.#sourcePort, held);
    return this.#sourcePort;
  }

  #keep(port: number, held: HeldPort | undefined): void {
    this.#held.set(port, held);
    // The oldest was used long ago: a sending without end must not use up all ports.
    for (const [oldest, reservation] of this.#held) {
      if (this.#held.size <= MOST_HELD) break;
      reservation?.release();
      this.#held.delete(oldest);
    }
    this.#link?.setPorts(new Set(this.#held.keys()));
  }

  /** Sends the packet and waits for its answer. Throws what `craft` throws, and PortGuardError where the port is taken. */
  send(wanted: PacketSpec): Exchange {
    const spec = this.complete(wanted);
    const sent = craft(spec);
    const { bytes, endOffset } = sent;
    const ipOffset = Math.max(0, sent.ipOffset);
    const probe = probeOf(bytes, ipOffset, endOffset - ipOffset);
    if (spec.tcp?.sourcePort !== undefined) this.#claim(spec.tcp.sourcePort);
    const exchange = {
      index: this.#count++,
      spec,
      sent,
      attempts: 0,
      problem: "",
      answer: undefined,
      strength: "none" as const,
      rttUs: -1,
    };
    const waiting: Waiting = { exchange, probe, sentAt: 0 };
    this.#transmit(waiting);
    return exchange;
  }

  /** Ends everything; packets that wait get no answer any more. Later calls do nothing. */
  close(): void {
    clearTimeout(this.#timer);
    this.#waiting.clear();
    this.#link?.close();
    this.#link = undefined;
    this.#guard.close();
  }

  #transmit(waiting: Waiting): void {
    const { exchange } = waiting;
    const problem = this.#put(exchange.spec, exchange.sent);
    exchange.attempts++;
    exchange.problem = problem;
    if (problem !== "") {
      this.#options.onDone(exchange);
      return;
    }
    waiting.sentAt = monotonicNow();
    this.#waiting.set(exchange.index, waiting);
    this.#arm();
  }

  #put(spec: PacketSpec, sent: CraftedPacket): string {
    const link = this.#link;
    if (link === undefined) return "closed";
    const { bytes } = sent;
    const ipOffset = Math.max(0, sent.ipOffset);
    this.#options.onPacket?.("out", bytes, ipOffset, bytes.length - ipOffset);
    const { fragmentBytes } = this.#options;
    if (fragmentBytes !== undefined && bytes.length - ipOffset > fragmentBytes) {
      const pieces = fragment(bytes.subarray(ipOffset), fragmentBytes, this.#random.u32());
      return pieces.map((piece) => link.send(piece, 0, piece.length)).find((problem) => problem !== "") ?? "";
    }
    if (!needsFrame(spec)) return link.send(bytes, ipOffset, bytes.length - ipOffset);
    if (this.#options.frames !== true) return "it needs the link layer: say frames: true";
    const ethernet = { source: link.sourceMac, destination: link.nextHopMac, ...spec.ethernet };
    return link.sendFrame(craft({ ...spec, ethernet }).bytes);
  }

  /** Keeps the kernel from answering for a port of ours; foreign addresses it does not answer for anyway. */
  #claim(port: number): void {
    if (port !== 0 && !this.#held.has(port)) this.#keep(port, this.#hold(port));
  }

  #hold(port: number): HeldPort | undefined {
    try {
      return this.#guard.hold(this.source.toString(), port);
    } catch (error) {
      if (error instanceof PortGuardError && error.code === "EADDRNOTAVAIL") return undefined;
      throw error;
    }
  }

  #receive(bytes: Uint8Array, offset: number, length: number): void {
    let best: Waiting | undefined;
    let strength: MatchStrength = "none";
    for (const waiting of this.#waiting.values()) {
      const found = waiting.probe === undefined ? "none" : matchAnswer(waiting.probe, bytes, offset, length);
      if (found === "none" || (found === "ports" && best !== undefined)) continue;
      best = waiting;
      strength = found;
      if (found === "exact") break;
    }
    if (best === undefined) this.#repeated(bytes, offset, length);
    else this.#answer(best, strength, bytes, offset, length);
  }

  #answer(waiting: Waiting, strength: MatchStrength, bytes: Uint8Array, offset: number, length: number): void {
    const { exchange } = waiting;
    this.#options.onPacket?.("in", bytes, offset, length);
    this.#waiting.delete(exchange.index);
    exchange.answer = bytes.slice(offset, offset + length);
    exchange.strength = strength;
    exchange.rttUs = monotonicNow() - waiting.sentAt;
    this.#answered.push(waiting);
    if (this.#answered.length > REMEMBERED) this.#answered.shift();
    this.#options.onDone(exchange);
    if (this.#options.resetOpened !== false) this.#reset(exchange.answer);
  }

  /** A second answer to what has one already. */
  #repeated(bytes: Uint8Array, offset: number, length: number): void {
    const known = this.#answered.find(
      ({ probe }) => probe !== undefined && matchAnswer(probe, bytes, offset, length) === "exact",
    );
    if (known === undefined) return;
    this.#options.onPacket?.("in", bytes, offset, length);
    this.#options.onRepeated?.(known.exchange, bytes, offset, length);
  }

  /** Lets the peer's half-open connection go (RFC 9293 §3.5.2, group 2). */
  #reset(answer: Uint8Array): void {
    if (parseIpPacket(packet, answer, 0, answer.length, false) !== "" || packet.protocol !== PROTOCOL_TCP) return;
    if (parseSegment(segment, answer, packet.payloadOffset, packet.payloadLength) !== "") return;
    if ((segment.flags & (SYN | ACK)) !== (SYN | ACK)) return;
    const { sourcePort, destinationPort, ack } = segment;
    const spec = this.complete({
      tcp: { sourcePort: destinationPort, destinationPort: sourcePort, seq: ack, flags: RST, window: 0 },
    });
    const reset: PacketSpec = {
      ...spec,
      ip: { ...spec.ip, source: packet.destination.clone() } as NonNullable<PacketSpec["ip"]>,
    };
    this.#put(reset, craft(reset));
  }

  /** One timer, for the packet that has waited longest: all have the same time. */
  #arm(): void {
    if (this.#timer !== undefined) return;
    const [oldest] = this.#waiting.values();
    if (oldest === undefined) return;
    const due = oldest.sentAt + this.#options.timeoutMs * 1000 - monotonicNow();
    this.#timer = setTimeout(() => this.#expire(), Math.max(0, Math.ceil(due / 1000)));
  }

  #expire(): void {
    this.#timer = undefined;
    const limit = monotonicNow() - this.#options.timeoutMs * 1000;
    for (const waiting of [...this.#waiting.values()]) {
      if (waiting.sentAt > limit) break;
      this.#waiting.delete(waiting.exchange.index);
      if (waiting.exchange.attempts <= (this.#options.retries ?? 0)) this.#transmit(waiting);
      else this.#options.onDone(waiting.exchange);
    }
    this.#arm();
  }
}

const packet = new IpPacket();
const segment = new Segment();
