/**
 * A device around a device that records every packet as pcapng, with nanosecond stamps, the direction, and as packet
 * comments why it was sent or what was made of it. Wireshark shows the comments beside the packets.
 */
import {
  enhancedPacketLength,
  interfaceDescriptionBlock,
  interfaceStatisticsBlock,
  type PacketToWrite,
  sectionHeaderBlock,
  writeEnhancedPacket,
} from "../pcapng/writer.js";
import type { PacketDevice, PacketHandler } from "../wire/packet-device.js";
import type { PacketMatch } from "./fault-injector.js";
import { Wrapper } from "./wrapper.js";

export interface PcapngTapOptions {
  /** Takes the next bytes of the file. They are the receiver's to keep. What it throws comes out of `send`, of the packet handler, or of `close`. */
  readonly write: (bytes: Uint8Array) => void;
  /** Nanoseconds since 1970. Called once a packet. */
  readonly nowNs: () => bigint;
  /** The name of the interface in the file; the device's name when left out. */
  readonly interfaceName?: string;
  /** "x86_64" */
  readonly hardware?: string;
  /** "Linux 6.18" */
  readonly os?: string;
  /** "rawtcp 0.1.0" */
  readonly userAppl?: string;
  /**
   * Bytes that are gathered before they are written, for bulk transfers; 0 when left out: every packet at once, so that a
   * reader at the other end of a pipe sees it and nothing is lost when the process is killed. A batch of received packets
   * ends with a write in either case; so do `flush` and `close`.
   */
  readonly bufferBytes?: number;
  /** Whether a packet that comes in was recorded on its way out: both ends of its connection are ours. Never when left out. */
  readonly isEcho?: PacketMatch;
}

/** Records what passes. The file begins when the tap is made and is complete after `close`. */
export class PcapngTap extends Wrapper {
  readonly #write: (bytes: Uint8Array) => void;
  readonly #nowNs: () => bigint;
  readonly #bufferBytes: number;
  readonly #isEcho: PacketMatch | undefined;
  readonly #startNs: bigint;
  /** Splits a stamp into words without arithmetic on bigints. */
  readonly #clock = new DataView(new ArrayBuffer(8));
  /** What is gathered: `#buffer[0, #used)`. */
  #buffer: Uint8Array = NO_BYTES;
  #view: DataView = new DataView(NO_BYTES.buffer);
  #used = 0;
  /** How many received packets are being handled, one inside the other. */
  #depth = 0;
  /** Packets sent while a received one is handled: they come after it in the file, as their stamps do. */
  #later: PacketToWrite[] = [];
  #received = 0;
  #closed = false;

  constructor(inner: PacketDevice, options: PcapngTapOptions) {
    super(inner);
    this.#write = options.write;
    this.#nowNs = options.nowNs;
    this.#bufferBytes = options.bufferBytes ?? 0;
    this.#isEcho = options.isEcho;
    this.#startNs = this.#nowNs();
    const { interfaceName: name = inner.name, hardware, os, userAppl } = options;
    this.#write(
      sectionHeaderBlock({
        ...(hardware === undefined ? {} : { hardware }),
        ...(os === undefined ? {} : { os }),
        ...(userAppl === undefined ? {} : { userAppl }),
      }),
    );
    this.#write(interfaceDescriptionBlock({ name, ...(os === undefined ? {} : { os }) }));
  }

  override send(bytes: Uint8Array, offset: number, length: number, note: string): boolean {
    this.#clock.setBigUint64(0, this.#nowNs());
    const tsHigh = this.#clock.getUint32(0);
    const tsLow = this.#clock.getUint32(4);
    const taken = this.inner.send(bytes, offset, length, note);
    const comments = taken ? (note === "" ? NO_COMMENTS : [note]) : note === "" ? NOT_TAKEN : [note, ...NOT_TAKEN];
    if (this.#closed) return taken;
    if (this.#depth === 0) {
      this.#record({ interfaceId: 0, tsHigh, tsLow, bytes, offset, length, direction: "outbound", comments });
    } else {
      // Only lent: the packet that is being handled must be recorded first.
      const copy = bytes.slice(offset, offset + length);
      this.#later.push({ interfaceId: 0, tsHigh, tsLow, bytes: copy, offset: 0, length, direction: "outbound", comments });
    }
    return taken;
  }

  override start(onPacket: PacketHandler, onBatchEnd: () => void): void {
    this.inner.start(
      (bytes, offset, length) => this.#receive(onPacket, bytes, offset, length),
      () => {
        onBatchEnd();
        this.flush();
      },
    );
  }

  /** Writes what was gathered. */
  flush(): void {
    if (this.#used === 0) return;
    const chunk = this.#buffer.subarray(0, this.#used);
    // The receiver keeps this memory; a small rest of it is worth using, a new block is not.
    this.#buffer = this.#buffer.subarray(this.#used);
    this.#view = new DataView(this.#buffer.buffer, this.#buffer.byteOffset, this.#buffer.byteLength);
    this.#used = 0;
    this.#write(chunk);
  }

  /** Ends the file with the statistics of the interface, then closes the inner device. */
  override close(): void {
    if (!this.#closed) {
      this.#closed = true;
      this.flush();
      const now = this.#nowNs();
      const received = BigInt(this.#received);
      this.#write(interfaceStatisticsBlock({ interfaceId: 0, timeNs: now, startNs: this.#startNs, endNs: now, received }));
    }
    this.inner.close();
  }

  #receive(onPacket: PacketHandler, bytes: Uint8Array, offset: number, length: number): string {
    if (this.#isEcho?.(bytes, offset, length)) return onPacket(bytes, offset, length);
    if (this.#closed) return onPacket(bytes, offset, length);
    this.#clock.setBigUint64(0, this.#nowNs());
    const tsHigh = this.#clock.getUint32(0);
    const tsLow = this.#clock.getUint32(4);
    const at = this.#later.length;
    let note = "";
    this.#depth++;
    this.#received++;
    try {
      note = onPacket(bytes, offset, length);
      return note;
    } finally {
      this.#depth--;
      const comments = note === "" ? NO_COMMENTS : [note];
      const packet: PacketToWrite = { interfaceId: 0, tsHigh, tsLow, bytes, offset, length, direction: "inbound", comments };
      if (this.#depth > 0) {
        this.#later.splice(at, 0, { ...packet, bytes: bytes.slice(offset, offset + length), offset: 0 });
      } else {
        this.#record(packet);
        if (this.#later.length > 0) {
          const later = this.#later;
          this.#later = [];
          for (const sent of later) this.#record(sent);
        }
      }
    }
  }

  #record(packet: PacketToWrite): void {
    if (this.#closed) return;
    const total = enhancedPacketLength(packet);
    if (total > this.#buffer.length - this.#used) {
      this.flush();
      const size = Math.max(total, this.#bufferBytes);
      this.#buffer = new Uint8Array(size);
      this.#view = new DataView(this.#buffer.buffer);
    }
    this.#used = writeEnhancedPacket(packet, this.#buffer, this.#view, this.#used, total);
    if (this.#used >= this.#bufferBytes) this.flush();
  }
}

const NO_BYTES = new Uint8Array(0);
const NO_COMMENTS: readonly string[] = [];
const NOT_TAKEN: readonly string[] = ["not sent: the device did not take it"];
