/** A tracer that is asked only while somebody watches: a stack that serves thousands of connections may have one of them followed. */
import type { TraceSink } from "../observe/events.js";
import type { PacketDevice, PacketHandler } from "../wire/packet-device.js";
import { Below } from "./below.js";
import { type TracerOptions, traceDevice } from "./tracer.js";

export class SwitchedTracer implements PacketDevice {
  /** How many watch; 0 costs a comparison a packet. */
  watchers = 0;
  readonly #inner: PacketDevice;
  readonly #below: Below;
  readonly #tracer: PacketDevice;

  constructor(inner: PacketDevice, sink: TraceSink, options: Omit<TracerOptions, "sink">) {
    this.#inner = inner;
    this.#below = new Below(inner);
    this.#tracer = traceDevice(this.#below, { ...options, sink }).device;
  }

  get name(): string {
    return this.#inner.name;
  }

  get mtuBytes(): number {
    return this.#inner.mtuBytes;
  }

  send(bytes: Uint8Array, offset: number, length: number, note: string): boolean {
    return (this.watchers > 0 ? this.#tracer : this.#inner).send(bytes, offset, length, note);
  }

  start(onPacket: PacketHandler, onBatchEnd: () => void): void {
    const below = this.#below;
    this.#tracer.start(onPacket, onBatchEnd);
    this.#inner.start(
      (bytes, offset, length) => (this.watchers > 0 ? below.onPacket : onPacket)(bytes, offset, length),
      onBatchEnd,
    );
  }

  setPorts(ports: Iterable<number>): void {
    this.#tracer.setPorts(ports);
    this.#inner.setPorts(ports);
  }

  setRef(keepAlive: boolean): void {
    this.#inner.setRef(keepAlive);
  }

  close(): void {
    this.#inner.close();
  }
}
