/** One direction of a wire: delay, rate with a drop-tail queue, an MTU of its own, and seeded faults. */
import { chance, randomBelow } from "../base/random.js";
import { MILLISECOND, type Micros, NEVER, SECOND } from "../base/time.js";
import type { IpAddress } from "../wire/address.js";
import { putU16 } from "../wire/bytes.js";
import { addBytes, finish } from "../wire/checksum.js";
import { buildIcmpError } from "../wire/icmp.js";
import { PROTOCOL_ICMP, PROTOCOL_ICMPV6 } from "../wire/ip-packet.js";
import type { SimHost } from "./host.js";
import type { PacketFate, Simulation } from "./simulation.js";

export interface LinkOptions {
  /** One-way delay. Default 10 ms. */
  readonly delayUs?: Micros;
  /** Added to the delay, uniform in 0…jitter; keeps the order. Default 0. */
  readonly jitterUs?: Micros;
  /** Bits a second; 0 is without limit. Default 0. */
  readonly rateBps?: number;
  /** Bytes that wait for a limited rate, the packet on the wire included, at the most. Default 256 KiB. */
  readonly queueBytes?: number;
  /** Probabilities 0…1 for each packet. */
  readonly loss?: number;
  readonly duplicate?: number;
  readonly reorder?: number;
  readonly corrupt?: number;
  /** Probability that an ECN-capable packet is marked (RFC 3168); the others pass as they are. */
  readonly mark?: number;
  /** Bytes in the queue of a limited rate from which on every ECN-capable packet is marked. Default: none is. */
  readonly markQueueBytes?: number;
  /** How much later a reordered packet comes. Default: the delay once more, at least 1 ms. */
  readonly reorderDelayUs?: Micros;
  /** Larger packets do not pass: the router answers with ICMP. IPv4 without DF passes, as if fragmented and put together again. */
  readonly mtuBytes?: number;
  /** The router drops what is too big and says nothing. */
  readonly blackhole?: boolean;
  /** It answers as routers did before RFC 1191: without its MTU. */
  readonly oldRouter?: boolean;
}

/** Looks at a packet on its way in; false loses it. For tests and lessons that want one certain packet lost. */
export type PacketFilter = (bytes: Uint8Array, note: string, index: number) => boolean;

export class Link {
  /** May be replaced while the world runs: the route has changed. */
  options: LinkOptions;
  filter: PacketFilter | undefined;
  readonly counters = {
    packets: 0,
    bytes: 0,
    lost: 0,
    tooBig: 0,
    queueFull: 0,
    duplicated: 0,
    reordered: 0,
    corrupted: 0,
    marked: 0,
  };
  readonly #sim: Simulation;
  readonly #from: SimHost;
  readonly #to: SimHost;
  /** When the last byte accepted so far has left. */
  #busyUntil: Micros = 0;
  /** No packet that keeps the order arrives before this. */
  #lastArrival: Micros = 0;

  constructor(sim: Simulation, from: SimHost, to: SimHost, options: LinkOptions) {
    this.#sim = sim;
    this.#from = from;
    this.#to = to;
    this.options = options;
  }

  get destination(): SimHost {
    return this.#to;
  }

  /** Takes a packet; the bytes are copied. */
  send(bytes: Uint8Array, length: number, note: string): void {
    const { loss = 0, duplicate = 0, reorder = 0, corrupt = 0, delayUs = 10 * MILLISECOND, jitterUs = 0 } = this.options;
    const { random, now } = this.#sim;
    const packet = bytes.slice(0, length);
    const index = this.counters.packets++;
    this.counters.bytes += length;
    this.#tell("sent", packet, note);
    if ((this.filter !== undefined && !this.filter(packet, note, index)) || chance(random, loss)) {
      this.counters.lost++;
      this.#tell("lost", packet, note);
      return;
    }
    if (this.#isTooBig(packet)) {
      this.counters.tooBig++;
      this.#tell("too big", packet, note);
      if (this.options.blackhole !== true) this.#answerTooBig(packet, now + delayUs);
      return;
    }
    const leaves = this.#transmit(length, now);
    if (leaves < 0) {
      this.counters.queueFull++;
      this.#tell("queue full", packet, note);
      return;
    }
    if (chance(random, corrupt)) {
      const at = randomBelow(random, length);
      packet[at] = (packet[at] ?? 0) ^ (1 + randomBelow(random, 255));
      this.counters.corrupted++;
      this.#tell("corrupted", packet, note);
    }
    const waiting = ((leaves - now) * (this.options.rateBps ?? 0)) / (8 * SECOND);
    if ((waiting >= (this.options.markQueueBytes ?? NEVER) || chance(random, this.options.mark ?? 0)) && markCongestion(packet)) {
      this.counters.marked++;
      this.#tell("marked", packet, note);
    }
    let arrives = leaves + delayUs + (jitterUs > 0 ? randomBelow(random, jitterUs + 1) : 0);
    if (chance(random, reorder)) {
      arrives += this.options.reorderDelayUs ?? Math.max(delayUs, MILLISECOND);
      this.counters.reordered++;
      this.#tell("reordered", packet, note);
    } else {
      arrives = Math.max(arrives, this.#lastArrival);
      this.#lastArrival = arrives;
    }
    this.#deliver(packet, arrives, note);
    if (chance(random, duplicate)) {
      this.counters.duplicated++;
      this.#tell("duplicated", packet, note);
      this.#deliver(packet, arrives, note);
    }
  }

  /** When the packet has left, or -1 when the queue has no room for it. */
  #transmit(length: number, now: Micros): Micros {
    const { rateBps = 0, queueBytes = 256 * 1024 } = this.options;
    if (rateBps === 0) return now;
    const start = Math.max(now, this.#busyUntil);
    const waitingBytes = ((start - now) * rateBps) / (8 * SECOND);
    if (waitingBytes > 0 && waitingBytes + length > queueBytes) return -1;
    this.#busyUntil = start + Math.ceil((length * 8 * SECOND) / rateBps);
    return this.#busyUntil;
  }

  #isTooBig(packet: Uint8Array): boolean {
    const { mtuBytes = Number.POSITIVE_INFINITY } = this.options;
    if (packet.length <= mtuBytes) return false;
    const isIpv4 = (packet[0] ?? 0) >>> 4 === 4;
    return !isIpv4 || ((packet[6] ?? 0) & 0x40) !== 0;
  }

  /** "Fragmentation needed" or "packet too big" to the sender, in the name of the far end (RFC 792, RFC 1191 §4, RFC 4443 §3.2). */
  #answerTooBig(packet: Uint8Array, at: Micros): void {
    const { mtuBytes = 0, oldRouter = false } = this.options;
    const router = this.#to.address;
    const sender = this.#from.address;
    const mtu = oldRouter ? 0 : mtuBytes;
    const [type, code] = router.family === 4 ? [3, 4] : [2, 0];
    const answer = ipPacketOf(router, sender, buildIcmpError(type, code, mtu, packet, router, sender));
    this.#sim.schedule(at, () => this.#from.deliver(answer));
  }

  #deliver(packet: Uint8Array, at: Micros, note: string): void {
    this.#sim.schedule(at, () => {
      this.#tell("arrived", packet, note);
      this.#to.deliver(packet);
    });
  }

  #tell(fate: PacketFate, packet: Uint8Array, note: string): void {
    this.#sim.witness?.(this.#sim.now, this.#from.name, this.#to.name, fate, packet, note);
  }
}

/** Sets CE in an ECN-capable packet; returns whether it is one. */
function markCongestion(packet: Uint8Array): boolean {
  const isIpv4 = (packet[0] ?? 0) >>> 4 === 4;
  // In IPv6 the traffic class lies across the first two bytes.
  const [at, shift] = isIpv4 ? [1, 0] : [1, 4];
  const field = ((packet[at] ?? 0) >>> shift) & 3;
  if (field !== 1 && field !== 2) return false;
  packet[at] = (packet[at] ?? 0) | (3 << shift);
  if (isIpv4) {
    putU16(packet, 10, 0);
    putU16(packet, 10, finish(addBytes(0, packet, 0, ((packet[0] ?? 0) & 15) << 2)));
  }
  return true;
}

/** An IP packet around an ICMP message. */
function ipPacketOf(source: IpAddress, destination: IpAddress, message: Uint8Array): Uint8Array {
  const header = source.family === 4 ? 20 : 40;
  const bytes = new Uint8Array(header + message.length);
  if (source.family === 4) {
    bytes[0] = 0x45;
    putU16(bytes, 2, bytes.length);
    bytes[8] = 64;
    bytes[9] = PROTOCOL_ICMP;
    source.write(bytes, 12);
    destination.write(bytes, 16);
    putU16(bytes, 10, finish(addBytes(0, bytes, 0, 20)));
  } else {
    bytes[0] = 0x60;
    putU16(bytes, 4, message.length);
    bytes[6] = PROTOCOL_ICMPV6;
    bytes[7] = 64;
    source.write(bytes, 8);
    destination.write(bytes, 24);
  }
  bytes.set(message, header);
  return bytes;
}
