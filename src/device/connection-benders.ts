/** Bend rules that hold for single connections: each has a bender of its own, all other packets pass as they are. */
import type { BendRule } from "../bend/ast.js";
import { formatEndpoint, type IpAddress } from "../wire/address.js";
import { IpPacket, PROTOCOL_TCP, parseIpPacket } from "../wire/ip-packet.js";
import type { PacketDevice, PacketHandler } from "../wire/packet-device.js";
import { parseSegment, Segment } from "../wire/segment.js";
import { Below } from "./below.js";
import { BenderDevice, type BenderDeviceOptions } from "./bender.js";
import { Wrapper } from "./wrapper.js";

interface Bent {
  readonly below: Below;
  readonly bender: BenderDevice;
}

export class ConnectionBenders extends Wrapper {
  readonly #options: Omit<BenderDeviceOptions, "rules">;
  readonly #bent = new Map<string, Bent>();
  #onPacket: PacketHandler = () => "";
  #onBatchEnd: () => void = () => {};

  constructor(inner: PacketDevice, options: Omit<BenderDeviceOptions, "rules">) {
    super(inner);
    this.#options = options;
  }

  /** From now on `rules` hold for this connection, in place of those that held before. Returns what ends it. */
  add(local: IpAddress, localPort: number, remote: IpAddress, remotePort: number, rules: readonly BendRule[]): () => void {
    const key = `${formatEndpoint(local, localPort)} ${formatEndpoint(remote, remotePort)}`;
    const below = new Below(this.inner);
    const bender = new BenderDevice(below, { ...this.#options, rules });
    bender.start(this.#onPacket, this.#onBatchEnd);
    const bent = { below, bender };
    this.#bent.set(key, bent);
    return () => {
      if (this.#bent.get(key) === bent) this.#bent.delete(key);
      bender.close();
    };
  }

  override send(bytes: Uint8Array, offset: number, length: number, note: string): boolean {
    const bent = this.#bent.size === 0 ? undefined : this.#find("out", bytes, offset, length);
    return (bent?.bender ?? this.inner).send(bytes, offset, length, note);
  }

  override start(onPacket: PacketHandler, onBatchEnd: () => void): void {
    this.#onPacket = onPacket;
    this.#onBatchEnd = onBatchEnd;
    this.inner.start((bytes, offset, length) => {
      const bent = this.#bent.size === 0 ? undefined : this.#find("in", bytes, offset, length);
      return (bent?.below.onPacket ?? onPacket)(bytes, offset, length);
    }, onBatchEnd);
  }

  override close(): void {
    for (const { bender } of this.#bent.values()) bender.close();
    this.#bent.clear();
    this.inner.close();
  }

  #find(direction: "in" | "out", bytes: Uint8Array, offset: number, length: number): Bent | undefined {
    if (parseIpPacket(packet, bytes, offset, length, false) !== "" || packet.protocol !== PROTOCOL_TCP) return undefined;
    if (parseSegment(segment, bytes, packet.payloadOffset, packet.payloadLength) !== "") return undefined;
    const source = formatEndpoint(packet.source, segment.sourcePort);
    const destination = formatEndpoint(packet.destination, segment.destinationPort);
    return this.#bent.get(direction === "out" ? `${source} ${destination}` : `${destination} ${source}`);
  }
}

/** Scratch of this module: used within one call. */
const packet = new IpPacket();
const segment = new Segment();
