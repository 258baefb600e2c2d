/**
 * A device around a device that asks the kernel, after each packet, what state its own end of the connection is in, and tells
 * when it changed. On loopback the kernel has dealt with a packet before `send` returns, so the sample after a SYN finds
 * SYN-RECEIVED, and the one after the last ACK finds CLOSED.
 */
import type { PeerObserver } from "../kernel/peer-state.js";
import type { PeerEvent, TraceSink } from "../observe/events.js";
import type { IpAddress } from "../wire/address.js";
import { IpPacket, PROTOCOL_TCP, parseIpPacket } from "../wire/ip-packet.js";
import type { PacketDevice, PacketHandler } from "../wire/packet-device.js";
import { parseSegment, Segment } from "../wire/segment.js";
import { ACK, SYN } from "../wire/tcp-flags.js";
import type { ConnectionNumber } from "./tracer.js";
import { Wrapper } from "./wrapper.js";

export interface PeerWatchOptions {
  readonly observer: PeerObserver;
  readonly sink: TraceSink;
  /** Microseconds since the trace began. */
  readonly now: () => number;
  readonly connOf: ConnectionNumber;
  /** Whether an address is this host's: only then its kernel can be asked. */
  readonly isOwn: (address: string) => boolean;
}

/** States remembered, the oldest forgotten first. */
const MAX_CONNECTIONS = 4096;

export class PeerWatch extends Wrapper {
  readonly #options: PeerWatchOptions;
  readonly #last = new Map<string, PeerEvent["state"]>();
  readonly #packet = new IpPacket();
  readonly #segment = new Segment();
  readonly #own = new Map<string, boolean>();

  constructor(inner: PacketDevice, options: PeerWatchOptions) {
    super(inner);
    this.#options = options;
  }

  override send(bytes: Uint8Array, offset: number, length: number, note: string): boolean {
    // Before the first packet: the peer's listener, if it has one.
    if (this.#read(bytes, offset, length)) this.#sample(this.#packet.source, this.#packet.destination, true, true);
    const taken = this.inner.send(bytes, offset, length, note);
    if (this.#read(bytes, offset, length)) this.#sample(this.#packet.source, this.#packet.destination, true, false);
    return taken;
  }

  override start(onPacket: PacketHandler, onBatchEnd: () => void): void {
    this.inner.start((bytes, offset, length) => {
      const note = onPacket(bytes, offset, length);
      if (this.#read(bytes, offset, length)) this.#sample(this.#packet.destination, this.#packet.source, false, false);
      return note;
    }, onBatchEnd);
  }

  override close(): void {
    this.inner.close();
    this.#options.observer.close();
  }

  #read(bytes: Uint8Array, offset: number, length: number): boolean {
    if (parseIpPacket(this.#packet, bytes, offset, length, false) !== "" || this.#packet.protocol !== PROTOCOL_TCP) return false;
    return parseSegment(this.#segment, bytes, this.#packet.payloadOffset, this.#packet.payloadLength) === "";
  }

  /** Asks for the kernel's end and tells it if it is new. `first`: only when nothing is known of the connection yet. */
  #sample(our: IpAddress, peer: IpAddress, outgoing: boolean, first: boolean): void {
    const peerText = peer.toString();
    if (!this.#isOwn(peerText)) return;
    const { sourcePort, destinationPort } = this.#segment;
    const ourPort = outgoing ? sourcePort : destinationPort;
    const peerPort = outgoing ? destinationPort : sourcePort;
    const ourText = our.toString();
    const key = `${ourText} ${ourPort} ${peerText} ${peerPort}`;
    const last = this.#last.get(key);
    if (first && last !== undefined) return;
    const { observer, sink, now, connOf } = this.#options;
    let state: PeerEvent["state"] = observer.query(peerText, peerPort, ourText, ourPort) ?? "unknown";
    // A listener is the peer's state only before there is a connection: once it is over, the next SYN begins another.
    const isBegin = last === "LISTEN" || (last === undefined && outgoing && (this.#segment.flags & (SYN | ACK)) === SYN);
    if (state === "CLOSED" && isBegin && observer.listening(peerPort)) state = "LISTEN";
    if (state === last) return;
    if (this.#last.size >= MAX_CONNECTIONS) this.#last.delete(this.#last.keys().next().value ?? "");
    // A connection that the kernel has forgotten is over; the same ports may begin anew.
    if (state === "CLOSED") this.#last.delete(key);
    else this.#last.set(key, state);
    if (state === "CLOSED" && last === undefined) return;
    sink({ type: "peer", t: now(), conn: connOf(our, ourPort, peer, peerPort), state, source: observer.source });
  }

  #isOwn(address: string): boolean {
    let own = this.#own.get(address);
    if (own === undefined) {
      own = this.#options.isOwn(address);
      this.#own.set(address, own);
    }
    return own;
  }
}
