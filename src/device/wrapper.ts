/** A device around a device: all passes, until a class of its own says otherwise. */
import type { PacketDevice, PacketHandler } from "../wire/packet-device.js";

export abstract class Wrapper implements PacketDevice {
  protected readonly inner: PacketDevice;

  constructor(inner: PacketDevice) {
    this.inner = inner;
  }

  get name(): string {
    return this.inner.name;
  }

  get mtuBytes(): number {
    return this.inner.mtuBytes;
  }

  abstract send(bytes: Uint8Array, offset: number, length: number, note: string): boolean;

  abstract start(onPacket: PacketHandler, onBatchEnd: () => void): void;

  setPorts(ports: Iterable<number>): void {
    this.inner.setPorts(ports);
  }

  setRef(keepAlive: boolean): void {
    this.inner.setRef(keepAlive);
  }

  close(): void {
    this.inner.close();
  }
}
