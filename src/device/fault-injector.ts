/**
 * A device around a device that makes a good path bad: loss, duplication, reordering, corruption and delay, by chance from
 * a seed or by rule ("drop the second outgoing packet with payload"). The same seed and the same packets give the same
 * faults.
 */
import { chance, randomBelow, SeededRandom } from "../base/random.js";
import type { Micros } from "../base/time.js";
import type { FaultEvent, TraceSink } from "../observe/events.js";
import { IpPacket, PROTOCOL_TCP, parseIpPacket } from "../wire/ip-packet.js";
import type { PacketDevice, PacketHandler } from "../wire/packet-device.js";
import { describePacket } from "../wire/print.js";
import { parseSegment, Segment } from "../wire/segment.js";
import { Wrapper } from "./wrapper.js";

export type FaultDirection = "out" | "in";

/** What can be done to a packet. */
export type FaultKind = Exclude<FaultEvent["fault"], "refusal" | "change" | "injection">;

/** Probabilities (0..1) that a packet meets a fault; 0 where left out. All but loss may come together. */
export interface FaultRates {
  readonly loss?: number;
  readonly duplication?: number;
  /** Held back until the next packet of the same direction has passed, or for `reorderingUs`. */
  readonly reordering?: number;
  /** One bit of the IP payload is flipped, behind the ports: the packet still belongs to its connection. */
  readonly corruption?: number;
  readonly delay?: number;
  /** A delay is uniform in `[delayMinUs, delayMaxUs]`; 1 to 10 ms when left out. */
  readonly delayMinUs?: Micros;
  readonly delayMaxUs?: Micros;
  /** 10 ms when left out. */
  readonly reorderingUs?: Micros;
}

/** Looks at an IP packet, `bytes[offset, offset + length)`. */
export type PacketMatch = (bytes: Uint8Array, offset: number, length: number) => boolean;

/** A fault that is sure to come. Packets that a rule hits are spared the faults by chance. */
export interface FaultRule {
  readonly dir: FaultDirection;
  readonly fault: FaultKind;
  /** Which of the packets that match, counted from 1. */
  readonly nth: number;
  /** How many in a row from there on; 1 when left out, Infinity for all. */
  readonly count?: number;
  /** All packets when left out; see `matchSegment`. */
  readonly match?: PacketMatch;
  /** For "delay"; 10 ms when left out. */
  readonly delayUs?: Micros;
  /** Said in the trace; "rule 2" when left out. */
  readonly reason?: string;
}

export interface FaultInjectorOptions {
  readonly seed: number;
  readonly out?: FaultRates;
  readonly in?: FaultRates;
  /** The first rule that hits a packet decides; each rule counts its own matches all the same. */
  readonly rules?: readonly FaultRule[];
  /** Calls `action` after `delayUs` microseconds. */
  readonly schedule: (delayUs: Micros, action: () => void) => void;
  /** Where the faults are told; `now` stamps them. */
  readonly events?: TraceSink;
  /** Microseconds since the trace began; 0 when left out. */
  readonly now?: () => Micros;
}

/** How many packets came by in a direction, and how many met what. */
export interface FaultCounts {
  packets: number;
  loss: number;
  duplication: number;
  reordering: number;
  corruption: number;
  delay: number;
}

/** A match on the TCP header of a packet; false for what is no TCP. The segment is lent for the call only. */
export function matchSegment(match: (segment: Readonly<Segment>) => boolean): PacketMatch {
  return (bytes, offset, length) => {
    if (parseIpPacket(scratchPacket, bytes, offset, length, false) !== "" || scratchPacket.protocol !== PROTOCOL_TCP)
      return false;
    if (parseSegment(scratchSegment, bytes, scratchPacket.payloadOffset, scratchPacket.payloadLength) !== "") return false;
    return match(scratchSegment);
  };
}

/** The device with faults. Its `send` returns true for a packet that was lost: that is how a network behaves. */
export class FaultInjector extends Wrapper {
  readonly #random: SeededRandom;
  readonly #out: Path;
  readonly #in: Path;
  readonly #rules: readonly { readonly rule: FaultRule; matched: number }[];
  readonly #schedule: (delayUs: Micros, action: () => void) => void;
  readonly #events: TraceSink | undefined;
  readonly #now: () => Micros;
  #onPacket: PacketHandler = () => "";
  #onBatchEnd: () => void = () => {};
  #closed = false;

  constructor(inner: PacketDevice, options: FaultInjectorOptions) {
    super(inner);
    this.#random = new SeededRandom(options.seed);
    this.#out = newPath(options.out ?? {});
    this.#in = newPath(options.in ?? {});
    this.#rules = (options.rules ?? []).map((rule) => ({ rule, matched: 0 }));
    this.#schedule = options.schedule;
    this.#events = options.events;
    this.#now = options.now ?? (() => 0);
  }

  /** What was done so far; the objects are live. */
  get counts(): { readonly out: Readonly<FaultCounts>; readonly in: Readonly<FaultCounts> } {
    return { out: this.#out.counts, in: this.#in.counts };
  }

  override send(bytes: Uint8Array, offset: number, length: number, note: string): boolean {
    const deliver = (data: Uint8Array, at: number, size: number): boolean => this.inner.send(data, at, size, note);
    return this.#pass("out", this.#out, bytes, offset, length, deliver, true);
  }

  override start(onPacket: PacketHandler, onBatchEnd: () => void): void {
    this.#onPacket = onPacket;
    this.#onBatchEnd = onBatchEnd;
    this.inner.start((bytes, offset, length) => {
      const deliver = (data: Uint8Array, at: number, size: number): string => this.#onPacket(data, at, size);
      return this.#pass("in", this.#in, bytes, offset, length, deliver, "");
    }, onBatchEnd);
  }

  /** Packets that are still held back are lost. */
  override close(): void {
    this.#closed = true;
    this.#out.held = null;
    this.#in.held = null;
    this.inner.close();
  }

  /** Decides what becomes of a packet and does it. Returns what `deliver` gave, or `absent` when the packet does not go on now. */
  #pass<R>(
    dir: FaultDirection,
    path: Path,
    bytes: Uint8Array,
    offset: number,
    length: number,
    deliver: Deliver<R>,
    absent: R,
  ): R {
    path.counts.packets++;
    const plan = this.#planByRule(dir, bytes, offset, length) ?? this.#planByChance(path.rates);
    if (plan === null) return this.#deliver(path, bytes, offset, length, deliver);
    // Two packets that wait for the next one would wait for each other.
    const faults = path.held === null ? plan.faults : plan.faults.filter((fault) => fault !== "reordering");
    for (const fault of faults) {
      path.counts[fault]++;
      this.#tell(dir, fault, plan.reason, bytes, offset, length);
    }
    if (faults.includes("loss")) return absent;
    // From here on the packet may change or wait: it is only lent, so a copy does.
    const copy = bytes.slice(offset, offset + length);
    if (faults.includes("corruption")) this.#flipBit(copy);
    if (faults.includes("delay")) {
      this.#later(dir, plan.delayUs, () => {
        this.#deliver(path, copy, 0, length, deliver);
        if (faults.includes("duplication")) this.#deliver(path, copy, 0, length, deliver);
        return true;
      });
      return absent;
    }
    if (faults.includes("duplication")) this.#deliver(path, copy.slice(), 0, length, deliver);
    if (faults.includes("reordering")) {
      this.#holdBack(dir, path, () => deliver(copy, 0, length));
      return absent;
    }
    return this.#deliver(path, copy, 0, length, deliver);
  }

  /** Hands a packet on, and after it the one that was held back for it to overtake. */
  #deliver<R>(path: Path, bytes: Uint8Array, offset: number, length: number, deliver: Deliver<R>): R {
    const result = deliver(bytes, offset, length);
    const held = path.held;
    path.held = null;
    held?.();
    return result;
  }

  #holdBack(dir: FaultDirection, path: Path, release: () => void): void {
    path.held = release;
    this.#later(dir, path.rates.reorderingUs ?? DEFAULT_DELAY_US, () => {
      if (path.held !== release) return false;
      path.held = null;
      release();
      return true;
    });
  }

  /** Does something after a while; incoming packets then come as a batch of their own. `action` tells whether there were any. */
  #later(dir: FaultDirection, delayUs: Micros, action: () => boolean): void {
    this.#schedule(delayUs, () => {
      if (!this.#closed && action() && dir === "in") this.#onBatchEnd();
    });
  }

  #planByRule(dir: FaultDirection, bytes: Uint8Array, offset: number, length: number): Plan | null {
    let plan: Plan | null = null;
    for (const [i, state] of this.#rules.entries()) {
      const { rule } = state;
      if (rule.dir !== dir || (rule.match !== undefined && !rule.match(bytes, offset, length))) continue;
      state.matched++;
      const hit = state.matched >= rule.nth && state.matched < rule.nth + (rule.count ?? 1);
      if (hit)
        plan ??= { faults: [rule.fault], delayUs: rule.delayUs ?? DEFAULT_DELAY_US, reason: rule.reason ?? `rule ${i + 1}` };
    }
    return plan;
  }

  #planByChance(rates: FaultRates): Plan | null {
    const random = this.#random;
    if (chance(random, rates.loss ?? 0)) return { faults: ["loss"], delayUs: 0, reason: `probability ${rates.loss}` };
    const faults: FaultKind[] = [];
    for (const fault of ["corruption", "duplication", "delay", "reordering"] as const)
      if (chance(random, rates[fault] ?? 0)) faults.push(fault);
    if (faults.length === 0) return null;
    // A packet that is late is overtaken anyway.
    const kept = faults.includes("delay") ? faults.filter((fault) => fault !== "reordering") : faults;
    const low = rates.delayMinUs ?? Math.min(1000, rates.delayMaxUs ?? DEFAULT_DELAY_US);
    const high = Math.max(low, rates.delayMaxUs ?? DEFAULT_DELAY_US);
    const delayUs = kept.includes("delay") ? low + randomBelow(random, high - low + 1) : 0;
    return { faults: kept, delayUs, reason: `probability ${kept.map((fault) => rates[fault]).join(" and ")}` };
  }

  /** Flips one bit behind the ports, so that what is damaged still reaches its connection and no other. */
  #flipBit(packet: Uint8Array): void {
    const first = headerLength(packet) + 4;
    if (first >= packet.length) return;
    const bit = randomBelow(this.#random, (packet.length - first) * 8);
    const at = first + (bit >>> 3);
    packet[at] = (packet[at] ?? 0) ^ (1 << (bit & 7));
  }

  #tell(dir: FaultDirection, fault: FaultKind, reason: string, bytes: Uint8Array, offset: number, length: number): void {
    if (this.#events === undefined) return;
    // The trace shows an outgoing segment of itself, an incoming one that was lost it never sees.
    const what = dir === "in" ? `${reason}: ${describePacket(bytes, offset, length)}` : reason;
    this.#events({ t: this.#now(), conn: 0, type: "fault", dir, fault, reason: what });
  }
}

const DEFAULT_DELAY_US: Micros = 10_000;

type Deliver<R> = (bytes: Uint8Array, offset: number, length: number) => R;

/** What is to become of a packet. */
interface Plan {
  readonly faults: readonly FaultKind[];
  readonly delayUs: Micros;
  readonly reason: string;
}

/** One direction. */
interface Path {
  readonly rates: FaultRates;
  readonly counts: FaultCounts;
  /** Delivers the packet that waits to be overtaken. */
  held: (() => void) | null;
}

function newPath(rates: FaultRates): Path {
  return { rates, counts: { packets: 0, loss: 0, duplication: 0, reordering: 0, corruption: 0, delay: 0 }, held: null };
}

const scratchPacket = new IpPacket();
const scratchSegment = new Segment();

/** Length of the IP header, IPv6 extensions left aside. */
function headerLength(packet: Uint8Array): number {
  const first = packet[0] ?? 0;
  return first >>> 4 === 6 ? 40 : (first & 15) << 2;
}
