/** A wire whose two ends are one: what is sent comes back in, as on `lo`, but inside the process and without any rights. */
import type { Micros } from "../base/time.js";
import type { PacketDevice, PacketHandler } from "../wire/packet-device.js";

export interface LoopDeviceOptions {
  /** Calls `action` after `delayUs` microseconds, never at once. */
  readonly schedule: (delayUs: Micros, action: () => void) => void;
  /** Largest IP packet; that of Linux's `lo` (65,535) when left out. */
  readonly mtuBytes?: number;
  /** Time on the wire. Default 0. */
  readonly delayUs?: Micros;
  readonly now: () => Micros;
}

/** Packets that left at the same moment, and arrive so. */
interface Batch {
  readonly at: Micros;
  readonly packets: Uint8Array[];
}

export class LoopDevice implements PacketDevice {
  readonly name = "loop";
  readonly mtuBytes: number;
  readonly #options: LoopDeviceOptions;
  readonly #delayUs: Micros;
  #last: Batch | undefined;
  #onPacket: PacketHandler = () => "";
  #onBatchEnd: () => void = () => {};
  #isOpen = true;

  constructor(options: LoopDeviceOptions) {
    this.#options = options;
    this.mtuBytes = options.mtuBytes ?? 65_535;
    this.#delayUs = options.delayUs ?? 0;
  }

  send(bytes: Uint8Array, offset: number, length: number, _note: string): boolean {
    if (!this.#isOpen || length > this.mtuBytes) return false;
    const at = this.#options.now();
    let batch = this.#last;
    if (batch === undefined || batch.at !== at) {
      const opened: Batch = { at, packets: [] };
      batch = opened;
      this.#last = opened;
      this.#options.schedule(this.#delayUs, () => this.#deliver(opened));
    }
    batch.packets.push(bytes.slice(offset, offset + length));
    return true;
  }

  start(onPacket: PacketHandler, onBatchEnd: () => void): void {
    this.#onPacket = onPacket;
    this.#onBatchEnd = onBatchEnd;
  }

  /** Nobody else is on this wire: there is nothing to filter. */
  setPorts(): void {}

  /** What keeps the process alive is the clock. */
  setRef(): void {}

  /** Packets on their way are lost. */
  close(): void {
    this.#isOpen = false;
  }

  #deliver(batch: Batch): void {
    if (this.#last === batch) this.#last = undefined;
    if (!this.#isOpen) return;
    for (const packet of batch.packets) this.#onPacket(packet, 0, packet.length);
    this.#onBatchEnd();
  }
}
