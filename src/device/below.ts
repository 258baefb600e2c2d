/**
 * What a device that is switched in and out stands on: it sends through the device that is always there, and is handed what comes
 * in only while it is switched in.
 */
import type { PacketDevice, PacketHandler } from "../wire/packet-device.js";
import { Wrapper } from "./wrapper.js";

export class Below extends Wrapper {
  /** The handler of the device above, once it has started. */
  onPacket: PacketHandler = () => "";

  constructor(inner: PacketDevice) {
    super(inner);
  }

  override send(bytes: Uint8Array, offset: number, length: number, note: string): boolean {
    return this.inner.send(bytes, offset, length, note);
  }

  /** The inner device has its own start, by whoever does the switching. */
  override start(onPacket: PacketHandler): void {
    this.onPacket = onPacket;
  }

  override setPorts(): void {}

  override setRef(): void {}

  override close(): void {}
}
