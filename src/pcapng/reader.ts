/**
 * Reads capture files: pcapng and classic pcap, in one piece or as their bytes come. Nothing in a file makes it throw: damage
 * ends the reading or skips a block, and is told in `error`.
 */

import type { CaptureError } from "./blocks.js";
import { BLOCK } from "./blocks.js";
import {
  type Capture,
  type CaptureFormat,
  type CaptureInterface,
  type CapturePacket,
  type CaptureSection,
  CaptureState,
  type CaptureStatistics,
  type RecordReader,
} from "./capture.js";
import { classicPcapReader } from "./classic-pcap.js";
import { PcapngReader } from "./pcapng-reader.js";

/** Reads all packets of a capture that is whole in memory. Never throws: see `error`. */
export function readCapture(bytes: Uint8Array): Capture {
  const reader = new CaptureReader();
  const packets = reader.push(bytes);
  reader.end();
  const { format, sections, interfaces, statistics, error } = reader;
  return { format, sections, interfaces, packets, statistics, error };
}

/**
 * Reads a capture as its bytes come, and keeps of them no more than the block that is not yet complete.
 *
 *     for (chunk of file) for (packet of reader.push(chunk)) …
 *     reader.end();
 *     if (reader.error !== null) …
 */
export class CaptureReader {
  readonly #state = new CaptureState();
  #records: RecordReader | undefined;
  #format: CaptureFormat = "unknown";
  /** What was pushed and is not yet read, in pieces until there is enough of it: joining at every push could be quadratic. */
  #pieces: Uint8Array[] = [];
  #length = 0;
  #needed = MAGIC_BYTES;
  /** Where the first piece stands in the file. */
  #offset = 0;
  #isOver = false;

  /** "unknown" until four bytes were there, and for what is no capture. */
  get format(): CaptureFormat {
    return this.#format;
  }

  get sections(): readonly CaptureSection[] {
    return this.#state.sections;
  }

  /** Those described so far; a packet's interface is described before it. */
  get interfaces(): readonly CaptureInterface[] {
    return this.#state.interfaces;
  }

  /** The last statistics of each interface. */
  get statistics(): readonly CaptureStatistics[] {
    return this.#state.statistics;
  }

  /** The first damage met so far; what follows it was read where that was possible. */
  get error(): CaptureError | null {
    return this.#state.error;
  }

  /** Nothing more will be read, whatever is pushed: the damage leaves no way on, or `end` was called. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /**
   * Takes the next bytes of the file, any number of them, and returns the packets that are complete with them. The packets' data
   * are views into `chunk`: hand over memory that is not written again. Never throws.
   */
  push(chunk: Uint8Array): CapturePacket[] {
    const packets: CapturePacket[] = [];
    if (this.#isOver || chunk.length === 0) return packets;
    this.#pieces.push(chunk);
    this.#length += chunk.length;
    if (this.#length >= this.#needed) this.#read(this.#joined(), packets);
    return packets;
  }

  /** The file has ended: where that was inside a block, `error` says so. Later calls do nothing. */
  end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    if (this.#records === undefined) this.#state.fail("the file is too short for a capture", 0);
    else if (this.#length > 0) this.#records.truncated(this.#length, this.#needed, this.#offset);
    this.#pieces = [];
  }

  #joined(): Uint8Array {
    const [first] = this.#pieces;
    if (this.#pieces.length === 1 && first !== undefined) return first;
    const all = new Uint8Array(this.#length);
    let at = 0;
    for (const piece of this.#pieces) {
      all.set(piece, at);
      at += piece.length;
    }
    return all;
  }

  #read(bytes: Uint8Array, packets: CapturePacket[]): void {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#records ??= this.#recognise(view);
    let at = 0;
    while (this.#records !== undefined && at < bytes.length) {
      const length = this.#records.read(bytes, view, at, this.#offset, packets);
      if (length < 0) {
        this.#keep(bytes, at, -length);
        return;
      }
      if (length === 0) break;
      at += length;
      this.#offset += length;
    }
    this.#isOver = at < bytes.length;
    this.#keep(bytes, bytes.length, 1);
  }

  /** Keeps the bytes from `at` on until there are `needed` of them. */
  #keep(bytes: Uint8Array, at: number, needed: number): void {
    this.#pieces = at < bytes.length ? [bytes.subarray(at)] : [];
    this.#length = bytes.length - at;
    this.#needed = needed;
  }

  /** The reader for the format that the first word tells. */
  #recognise(view: DataView): RecordReader | undefined {
    if (view.getUint32(0, true) === BLOCK.sectionHeader) {
      this.#format = "pcapng";
      return new PcapngReader(this.#state);
    }
    for (const littleEndian of [true, false]) {
      const found = classicPcapReader(view.getUint32(0, littleEndian), littleEndian, this.#state);
      if (found === undefined) continue;
      this.#format = "pcap";
      return found;
    }
    this.#state.fail("neither pcapng nor pcap: unknown magic number", 0);
    return undefined;
  }
}

const MAGIC_BYTES = 4;
