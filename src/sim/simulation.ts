/**
 * A world in virtual time: hosts with a stack each, joined by links with faults. One seed decides everything, so the same
 * scenario with the same seed gives the same trace to the byte.
 */
import { RawTcpError } from "../base/errors.js";
import { type Random, SeededRandom } from "../base/random.js";
import { type Micros, NEVER } from "../base/time.js";
import type { IpAddress } from "../wire/address.js";
import { EventQueue } from "./event-queue.js";
import { SimHost, type SimHostOptions } from "./host.js";
import { Link, type LinkOptions } from "./link.js";

/** What happened to a packet on its way; "arrived" is told when it reaches the other end. */
export type PacketFate =
  | "sent"
  | "arrived"
  | "lost"
  | "queue full"
  | "duplicated"
  | "reordered"
  | "corrupted"
  | "too big"
  | "marked";

/** Sees every packet; `bytes` is lent. */
export type PacketWitness = (t: Micros, from: string, to: string, fate: PacketFate, bytes: Uint8Array, note: string) => void;

export interface RunLimits {
  /** Stops when virtual time would pass this. Default: an hour. */
  readonly until?: Micros;
  /** Stops when it returns true; asked after every event. */
  readonly done?: () => boolean;
  /** Throws ERR_SIM_RUNAWAY beyond so many events: a loop between two hosts. Default: 50 million. */
  readonly maxEvents?: number;
}

export class Simulation {
  readonly random: Random;
  witness: PacketWitness | undefined;
  readonly #queue = new EventQueue();
  readonly #hosts: SimHost[] = [];
  #now: Micros = 0;

  constructor(seed: number) {
    this.random = new SeededRandom(seed);
  }

  /** Virtual time in µs since the simulation began. */
  get now(): Micros {
    return this.#now;
  }

  /** Adds a host that owns `address`. */
  host(name: string, address: IpAddress, options: SimHostOptions = {}): SimHost {
    const seed = this.random.u32();
    const host = new SimHost(this, name, address, new SeededRandom(seed), options);
    this.#hosts.push(host);
    return host;
  }

  /** Joins two hosts, each direction with its own faults. */
  link(a: SimHost, b: SimHost, options: LinkOptions = {}, back: LinkOptions = options): [Link, Link] {
    const there = new Link(this, a, b, options);
    const here = new Link(this, b, a, back);
    a.attach(there);
    b.attach(here);
    return [there, here];
  }

  /** Calls `action` at time `at` (now, if that has passed). */
  schedule(at: Micros, action: () => void): void {
    this.#queue.push(Math.max(at, this.#now), action);
  }

  /** Lets the world run until nothing is left to happen or a limit is reached. Returns whether `done` said so (or all came to rest). */
  run(limits: RunLimits = {}): boolean {
    const until = limits.until ?? 3_600_000_000;
    const maxEvents = limits.maxEvents ?? 50_000_000;
    for (const host of this.#hosts) host.drain();
    if (limits.done?.()) return true;
    for (let events = 0; ; events++) {
      if (events > maxEvents) throw new RawTcpError("ERR_SIM_RUNAWAY", `no end after ${maxEvents} events at ${this.#now} µs`);
      const at = this.#queue.nextTime;
      if (at === NEVER) return limits.done === undefined;
      if (at > until) {
        this.#now = Math.max(this.#now, until);
        return false;
      }
      this.#now = at;
      this.#queue.pop()?.();
      if (limits.done?.()) return true;
    }
  }
}
