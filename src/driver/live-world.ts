/** The wire and the clock of a script that speaks to a kernel: real time, in a thread that waits. */
import type { Micros } from "../base/time.js";
import { type PollRequest, pollfdsOf, type SystemCalls, timespecOf } from "../kernel/system-calls.js";
import type { PassedPacket, ScriptWorld } from "../script/host.js";
import { monotonicNow } from "./clock.js";

/** Where packets of the kernel are read and ours are written, whole from their IP header on. */
export interface LiveWire {
  /** Readable when a packet waits. */
  readonly fd: number;
  /** The kernel hands out segments joined. */
  readonly joinsSegments: boolean;
  /** Takes a port of ours that packets will come from. Throws PortGuardError. */
  openPort(port: number): void;
  /** Throws LibcError when the kernel refuses it. */
  send(bytes: Uint8Array): void;
  /** The next packet that concerns the script; undefined when none waits. */
  receive(): Uint8Array | undefined;
  close(): void;
}

const POLLIN = 1;
/** Other threads may have the processor. */
const TOLERANCE: Micros = 10_000;
/** The thread wakes this often, so that the process can end it. */
const LONGEST_WAIT: Micros = 50_000;

export class LiveWorld implements ScriptWorld {
  readonly sent: PassedPacket[] = [];
  readonly passed: PassedPacket[] = [];
  readonly toleranceUs = TOLERANCE;
  /** Descriptors that a call waits for; what is ready there is worth a look. */
  waitedFor: readonly PollRequest[] = [];
  /** When a call that waits gives up; Infinity for never. */
  waitedUntil: Micros = Number.POSITIVE_INFINITY;
  readonly #wire: LiveWire;
  readonly #calls: SystemCalls;
  #origin: Micros;
  /** The script's time zero. */
  readonly start: Micros;

  constructor(wire: LiveWire, calls: SystemCalls, start: Micros) {
    this.#wire = wire;
    this.#calls = calls;
    this.#origin = monotonicNow() - start;
    this.start = start;
  }

  get now(): Micros {
    return monotonicNow() - this.#origin;
  }

  get joinsSegments(): boolean {
    return this.#wire.joinsSegments;
  }

  openPort(port: number): void {
    this.#wire.openPort(port);
  }

  settle(at: Micros): void {
    if (this.now > at) this.#origin = monotonicNow() - at;
  }

  inject(bytes: Uint8Array): void {
    this.drain();
    this.passed.push({ direction: "in", at: this.now, bytes, note: "" });
    this.#wire.send(bytes);
    this.drain();
  }

  drain(): void {
    for (let bytes = this.#wire.receive(); bytes !== undefined; bytes = this.#wire.receive()) {
      const packet: PassedPacket = { direction: "out", at: this.now, bytes, note: "" };
      this.sent.push(packet);
      this.passed.push(packet);
    }
  }

  advance(until: Micros, isEnough: () => boolean = () => false): void {
    this.drain();
    while (!isEnough()) {
      const left = until - this.now;
      if (left <= 0) return;
      const watched = [{ fd: this.#wire.fd, events: POLLIN }, ...this.waitedFor];
      this.#calls.ppoll(
        pollfdsOf(watched),
        watched.length,
        timespecOf(Math.max(0, Math.min(left, LONGEST_WAIT, this.waitedUntil - this.now))),
      );
      this.drain();
    }
  }
}
