/** A tracer that is asked only while somebody watches: a stack that serves thousands of connections may have one of them followed. */
import type { TraceSink } from "../observe/events.js";
import type { PacketDevice, PacketHandler } from "../wire/packet-device.js";
import { Below } from "./below.js";
import { type TracerOptions, traceDevice } from "./tracer.js";
import { Wrapper } from "./wrapper.js";

export class SwitchedTracer extends Wrapper {
  /** How many watch; 0 costs a comparison a packet. */
  watchers = 0;
  readonly #below: Below;
  readonly #tracer: PacketDevice;

  constructor(inner: PacketDevice, sink: TraceSink, options: Omit<TracerOptions, "sink">) {
    super(inner);
    this.#below = new Below(inner);
    this.#tracer = traceDevice(this.#below, { ...options, sink }).device;
  }

  override send(bytes: Uint8Array, offset: number, length: number, note: string): boolean {
    return (this.watchers > 0 ? this.#tracer : this.inner).send(bytes, offset, length, note);
  }

  override start(onPacket: PacketHandler, onBatchEnd: () => void): void {
    const below = this.#below;
    this.#tracer.start(onPacket, onBatchEnd);
    this.inner.start(
      (bytes, offset, length) => (this.watchers > 0 ? below.onPacket : onPacket)(bytes, offset, length),
      onBatchEnd,
    );
  }

  override setPorts(ports: Iterable<number>): void {
    this.#tracer.setPorts(ports);
    this.inner.setPorts(ports);
  }
}
