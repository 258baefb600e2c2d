/** The stack under test, alone in virtual time: packets are put in, what it sends is kept with its time. */
import type { Random } from "../base/random.js";
import type { Micros } from "../base/time.js";
import type { StackConfig } from "../stack/config.js";
import { Listener } from "../stack/listener.js";
import { Stack } from "../stack/stack.js";
import { OutgoingPacket } from "../tcp/outgoing-packet.js";
import type { PassedPacket, ScriptWorld } from "./host.js";

/** More events than any script has: a stack that answers itself without end. */
const MOST_STEPS = 1_000_000;

export class VirtualWorld implements ScriptWorld {
  readonly joinsSegments = false;
  readonly toleranceUs = 4000;
  readonly stack: Stack;
  /** What was sent and is not matched yet, oldest first. */
  readonly sent: PassedPacket[] = [];
  /** Everything that passed. */
  readonly passed: PassedPacket[] = [];
  readonly #out = new OutgoingPacket();
  #now: Micros;
  #steps = 0;

  constructor(config: Omit<StackConfig, "random">, random: Random, start: Micros) {
    this.stack = new Stack({ ownsAddresses: true, checksums: "strict", ...config, random });
    this.#now = start;
  }

  get now(): Micros {
    return this.#now;
  }

  openPort(): void {}

  settle(): void {}

  /** A packet arrives now. */
  inject(bytes: Uint8Array): void {
    const at = this.passed.length;
    const note = this.stack.receive(bytes, 0, bytes.length, this.#now);
    this.passed.splice(at, 0, { direction: "in", at: this.#now, bytes, note });
    this.drain();
  }

  /** Sends what is due and takes the events away: sockets are asked, not told. */
  drain(): void {
    for (;;) {
      while (this.stack.pollTransmit(this.#now, this.#out)) {
        const { bytes, length, note } = this.#out;
        const packet: PassedPacket = { direction: "out", at: this.#now, bytes: bytes.slice(0, length), note };
        this.sent.push(packet);
        this.passed.push(packet);
        if (++this.#steps > MOST_STEPS) throw new Error("the stack does not come to rest");
      }
      const next = this.stack.pollEventful();
      if (next === undefined) return;
      if (!(next instanceof Listener)) while (next.pollEvent() !== undefined);
    }
  }

  /** Lets time pass up to `until`, or until `isEnough` says so after something has happened. */
  advance(until: Micros, isEnough: () => boolean = () => false): void {
    this.drain();
    while (!isEnough()) {
      const next = this.stack.nextTimeout();
      if (next > until) break;
      this.#now = Math.max(this.#now, next);
      if (++this.#steps > MOST_STEPS) throw new Error("the stack does not come to rest");
      this.stack.handleTimeout(this.#now);
      this.drain();
    }
    if (!isEnough()) this.#now = Math.max(this.#now, until);
  }
}
