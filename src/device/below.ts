/**
 * What a device that is switched in and out stands on: it sends through the device that is always there, and is handed what comes
 * in only while it is switched in.
 */
import type { PacketDevice, PacketHandler } from "../wire/packet-device.js";

export class Below implements PacketDevice {
  /** The handler of the device above, once it has started. */
  onPacket: PacketHandler = () => "";
  readonly #inner: PacketDevice;

  constructor(inner: PacketDevice) {
    this.#inner = inner;
  }

  get name(): string {
    return this.#inner.name;
  }

  get mtuBytes(): number {
    return this.#inner.mtuBytes;
  }

  send(bytes: Uint8Array, offset: number, length: number, note: string): boolean {
    return this.#inner.send(bytes, offset, length, note);
  }

  /** The inner device has its own start, by whoever does the switching. */
  start(onPacket: PacketHandler): void {
    this.onPacket = onPacket;
  }

  setPorts(): void {}

  setRef(): void {}

  close(): void {}
}
