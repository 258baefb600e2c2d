/** A device around a device through which rules bend the segments of live sessions, out and in. What the rules mean is in `bend`. */

import type { Micros } from "../base/time.js";
import type { BendRule, Direction } from "../bend/ast.js";
import { Bender, type BendReport } from "../bend/bender.js";
import type { ConnectionView } from "../bend/segment-view.js";
import type { TraceSink } from "../observe/events.js";
import type { IpAddress } from "../wire/address.js";
import type { PacketDevice, PacketHandler } from "../wire/packet-device.js";
import { Wrapper } from "./wrapper.js";

export interface BenderDeviceOptions {
  readonly rules: readonly BendRule[];
  /** Microseconds since the trace began; stamps the events and is the rules' clock. */
  readonly now: () => Micros;
  readonly schedule: (delayUs: Micros, action: () => void) => void;
  /** Our end of a connection; undefined when there is none. */
  readonly connection: (local: IpAddress, localPort: number, remote: IpAddress, remotePort: number) => ConnectionView | undefined;
  /** Where it is told what was bent. */
  readonly events?: TraceSink | undefined;
}

/** The device whose packets the rules bend. `send` returns true for a packet that a rule took: that is how a network behaves. */
export class BenderDevice extends Wrapper {
  readonly #bender: Bender;
  readonly #options: BenderDeviceOptions;
  #onPacket: PacketHandler = () => "";
  #onBatchEnd: () => void = () => {};
  /** Inside `send`, and inside the handler of a packet that came in. */
  #sending = false;
  #receiving = false;
  #closed = false;

  constructor(inner: PacketDevice, options: BenderDeviceOptions) {
    super(inner);
    this.#options = options;
    this.#bender = new Bender(options.rules, {
      now: options.now,
      schedule: (delayUs, action) =>
        options.schedule(delayUs, () => {
          if (!this.#closed) action();
        }),
      connection: options.connection,
      forward: (direction, packet, rule) => this.#forward(direction, packet, rule),
      report: options.events === undefined ? undefined : (report) => this.#tell(report),
    });
  }

  /** Rules that never did anything, as they were written. */
  get unmatched(): readonly string[] {
    return this.#bender.unmatched;
  }

  override send(bytes: Uint8Array, offset: number, length: number, note: string): boolean {
    const outer = this.#sending;
    this.#sending = true;
    try {
      if (!this.#bender.pass("out", bytes, offset, length)) return true;
    } finally {
      this.#sending = outer;
    }
    return this.inner.send(bytes, offset, length, note);
  }

  override start(onPacket: PacketHandler, onBatchEnd: () => void): void {
    this.#onPacket = onPacket;
    this.#onBatchEnd = onBatchEnd;
    this.inner.start((bytes, offset, length) => {
      this.#receiving = true;
      try {
        return this.#bender.pass("in", bytes, offset, length) ? onPacket(bytes, offset, length) : "";
      } finally {
        this.#receiving = false;
      }
    }, onBatchEnd);
  }

  /** Packets that are still held are lost. */
  override close(): void {
    this.#closed = true;
    this.inner.close();
  }

  #forward(direction: Direction, given: Uint8Array | (() => Uint8Array), rule: string): void {
    if (this.#closed) return;
    if (direction === "in" && this.#sending) {
      // Our TCP is in the middle of sending: what it is to receive comes to it from outside.
      this.#options.schedule(0, () => this.#deliver(given));
    } else if (direction === "in" && !this.#receiving) this.#deliver(given);
    else {
      const packet = given instanceof Uint8Array ? given : given();
      if (direction === "in") this.#onPacket(packet, 0, packet.length);
      else this.inner.send(packet, 0, packet.length, rule === "" ? "" : `bent: ${rule}`);
    }
  }

  /** A batch of its own. */
  #deliver(given: Uint8Array | (() => Uint8Array)): void {
    if (this.#closed) return;
    const packet = given instanceof Uint8Array ? given : given();
    this.#onPacket(packet, 0, packet.length);
    this.#onBatchEnd();
  }

  #tell({ direction, effect, rule, instead, was }: BendReport): void {
    // The trace shows an outgoing segment of itself, as it would have gone; an incoming one that was lost it never sees.
    const original = direction === "out" ? "" : was;
    const what = instead === "" ? original : original === "" ? instead : `${instead} in place of ${original}`;
    const reason = what === "" ? rule : `${rule}: ${what}`;
    this.#options.events?.({
      t: this.#options.now(),
      conn: 0,
      type: "fault",
      dir: direction,
      fault: effect,
      reason,
    });
  }
}
