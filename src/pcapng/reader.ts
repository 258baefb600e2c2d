/**
 * Reads capture files that are whole in memory: pcapng in both byte orders with any number of sections and interfaces, and
 * classic pcap. Nothing in a file makes it throw: damage ends the reading or skips a block, and is told in `error`.
 */
import { utf8Decode } from "../base/utf8.js";
import {
  BLOCK,
  BYTE_ORDER_MAGIC,
  CaptureError,
  type Direction,
  OPTION,
  PCAP_MAGIC_MICROSECONDS,
  PCAP_MAGIC_NANOSECONDS,
  padded,
} from "./blocks.js";
import type { Capture, CaptureInterface, CapturePacket, CaptureSection, CaptureStatistics } from "./capture.js";
import { readClassicPcap } from "./classic-pcap.js";

/** Reads all packets of a capture. Never throws: see `error`. */
export function readCapture(bytes: Uint8Array): Capture {
  if (bytes.length >= 4) {
    const magic = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(0, true);
    if (magic === BLOCK.sectionHeader) return new PcapngReader(bytes).read();
    for (const littleEndian of [true, false]) {
      const value = littleEndian ? magic : swap32(magic);
      if (value === PCAP_MAGIC_MICROSECONDS) return readClassicPcap(bytes, littleEndian, 1000n);
      if (value === PCAP_MAGIC_NANOSECONDS) return readClassicPcap(bytes, littleEndian, 1n);
    }
  }
  const error = new CaptureError(
    bytes.length < 4 ? "the file is too short for a capture" : "neither pcapng nor pcap: unknown magic number",
    0,
  );
  return { format: "unknown", sections: [], interfaces: [], packets: [], statistics: [], error };
}

/** Type, two lengths. */
const SMALLEST_BLOCK = 12;

class PcapngReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #littleEndian = true;
  /** Index of the first interface of the current section: interface numbers begin anew in each. */
  #firstInterface = 0;
  readonly #sections: CaptureSection[] = [];
  readonly #interfaces: CaptureInterface[] = [];
  readonly #packets: CapturePacket[] = [];
  readonly #statistics: CaptureStatistics[] = [];
  #error: CaptureError | null = null;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  read(): Capture {
    let at = 0;
    while (at < this.#bytes.length) {
      const next = this.#block(at);
      if (next === 0) break;
      at = next;
    }
    return {
      format: "pcapng",
      sections: this.#sections,
      interfaces: this.#interfaces,
      packets: this.#packets,
      statistics: this.#statistics,
      error: this.#error,
    };
  }

  /** Reads the block at `at`; returns where the next one begins, or 0 when the frame is damaged and there is no way on. */
  #block(at: number): number {
    const left = this.#bytes.length - at;
    if (left < SMALLEST_BLOCK) return this.#fail(`the file ends inside a block: ${left} of at least ${SMALLEST_BLOCK} bytes`, at);
    const type = this.#u32(at);
    if (type === BLOCK.sectionHeader) {
      const magic = this.#view.getUint32(at + 8, true);
      if (magic !== BYTE_ORDER_MAGIC && swap32(magic) !== BYTE_ORDER_MAGIC)
        return this.#fail("a section header without byte-order magic", at + 8);
      this.#littleEndian = magic === BYTE_ORDER_MAGIC;
    }
    const total = this.#u32(at + 4);
    if (total < SMALLEST_BLOCK || total % 4 !== 0) return this.#fail(`a block cannot be ${total} bytes long`, at + 4);
    if (total > left) return this.#fail(`the file ends inside a block: ${left} of ${total} bytes`, at);
    const end = at + total - 4;
    if (this.#u32(end) !== total) return this.#fail(`the two lengths of a block differ: ${total} and ${this.#u32(end)}`, end);
    const body = at + 8;
    switch (type) {
      case BLOCK.sectionHeader:
        if (!this.#sectionHeader(body, end)) return 0;
        break;
      case BLOCK.interfaceDescription:
        // A description that cannot be read would shift the numbers of all later interfaces.
        if (!this.#interfaceDescription(body, end)) return 0;
        break;
      case BLOCK.enhancedPacket:
        this.#packet(at, body, end, 4);
        break;
      case BLOCK.packet:
        this.#packet(at, body, end, 2);
        break;
      case BLOCK.simplePacket:
        this.#simplePacket(at, body, end);
        break;
      case BLOCK.interfaceStatistics:
        this.#interfaceStatistics(body, end);
        break;
      default:
        // Names, secrets, custom blocks: a reader skips what it does not know (pcapng §3.1).
        break;
    }
    return end + 4;
  }

  #sectionHeader(body: number, end: number): boolean {
    if (end - body < 16) {
      this.#fail("a section header is too short", body);
      return false;
    }
    const major = this.#u16(body + 4);
    if (major !== 1) {
      this.#fail(`version ${major}.${this.#u16(body + 6)} of pcapng is unknown`, body + 4);
      return false;
    }
    const options = this.#options(body + 16, end);
    this.#firstInterface = this.#interfaces.length;
    this.#sections.push({
      littleEndian: this.#littleEndian,
      hardware: this.#text(options, OPTION.shbHardware),
      os: this.#text(options, OPTION.shbOs),
      userAppl: this.#text(options, OPTION.shbUserAppl),
      comments: this.#comments(options),
    });
    return true;
  }

  #interfaceDescription(body: number, end: number): boolean {
    if (end - body < 8) {
      this.#fail("an interface description is too short", body);
      return false;
    }
    const options = this.#options(body + 8, end);
    const resolution = find(options, OPTION.ifTsResol);
    const tsOffset = find(options, OPTION.ifTsOffset);
    this.#interfaces.push({
      section: this.#sections.length - 1,
      linkType: this.#u16(body),
      snapLen: this.#u32(body + 4),
      name: this.#text(options, OPTION.ifName),
      description: this.#text(options, OPTION.ifDescription),
      filter: this.#text(options, OPTION.ifFilter).replace(/^\0/, ""),
      os: this.#text(options, OPTION.ifOs),
      comments: this.#comments(options),
      unitsPerSecond:
        resolution !== undefined && resolution.length >= 1 ? unitsPerSecond(this.#bytes[resolution.at] ?? 6) : 1_000_000n,
      tsOffset: tsOffset !== undefined && tsOffset.length >= 8 ? this.#view.getBigInt64(tsOffset.at, this.#littleEndian) : 0n,
    });
    return true;
  }

  /** Enhanced Packet Block, and the obsolete Packet Block that differs in its first word alone: 16 bits of interface, 16 of drops. */
  #packet(at: number, body: number, end: number, idBytes: 2 | 4): void {
    if (end - body < 20) return void this.#fail("a packet block is too short", body);
    const interfaceIndex = this.#firstInterface + (idBytes === 4 ? this.#u32(body) : this.#u16(body));
    const captured = this.#u32(body + 12);
    const dataAt = body + 20;
    if (captured > end - dataAt)
      return void this.#fail(`a packet of ${captured} bytes in a block with room for ${end - dataAt}`, body + 12);
    const from = this.#interfaces[interfaceIndex];
    if (from === undefined) return void this.#fail("a packet of an interface that was not described", body);
    const options = this.#options(dataAt + padded(captured), end);
    this.#packets.push({
      interfaceIndex,
      timeNs: this.#time(from, body + 4),
      data: this.#bytes.subarray(dataAt, dataAt + captured),
      originalLength: this.#u32(body + 16),
      direction: this.#direction(options),
      comments: this.#comments(options),
      offset: at,
    });
  }

  /** Simple Packet Block: no stamp, no options, and the captured length follows from the snap length of interface 0. */
  #simplePacket(at: number, body: number, end: number): void {
    const room = end - body - 4;
    const from = this.#interfaces[this.#firstInterface];
    if (room < 0) return void this.#fail("a packet block is too short", body);
    if (from === undefined) return void this.#fail("a packet of an interface that was not described", body);
    const originalLength = this.#u32(body);
    const captured = from.snapLen === 0 ? originalLength : Math.min(originalLength, from.snapLen);
    if (captured > room) return void this.#fail(`a packet of ${captured} bytes in a block with room for ${room}`, body);
    const data = this.#bytes.subarray(body + 4, body + 4 + captured);
    this.#packets.push({
      interfaceIndex: this.#firstInterface,
      timeNs: null,
      data,
      originalLength,
      direction: null,
      comments: [],
      offset: at,
    });
  }

  #interfaceStatistics(body: number, end: number): void {
    if (end - body < 12) return void this.#fail("interface statistics are too short", body);
    const options = this.#options(body + 12, end);
    const count = (code: number): bigint | null => {
      const option = find(options, code);
      return option !== undefined && option.length >= 8 ? this.#view.getBigUint64(option.at, this.#littleEndian) : null;
    };
    const interfaceIndex = this.#firstInterface + this.#u32(body);
    if (interfaceIndex >= this.#interfaces.length)
      return void this.#fail("statistics of an interface that was not described", body);
    this.#statistics.push({ interfaceIndex, received: count(OPTION.isbIfRecv), dropped: count(OPTION.isbIfDrop) });
  }

  /** The options in `[at, end)`; a damaged one ends the list, the block itself stays of use. */
  #options(at: number, end: number): OptionSpan[] {
    const list: OptionSpan[] = [];
    let pos = at;
    while (pos + 4 <= end) {
      const code = this.#u16(pos);
      const length = this.#u16(pos + 2);
      if (code === OPTION.endOfOptions) break;
      if (pos + 4 + length > end) {
        this.#fail(`option ${code} of ${length} bytes reaches beyond its block`, pos);
        break;
      }
      list.push({ code, at: pos + 4, length });
      pos += 4 + padded(length);
    }
    return list;
  }

  #comments(options: readonly OptionSpan[]): string[] {
    const list: string[] = [];
    for (const { code, at, length } of options) if (code === OPTION.comment) list.push(utf8Decode(this.#bytes, at, at + length));
    return list;
  }

  #text(options: readonly OptionSpan[], code: number): string {
    const option = find(options, code);
    return option === undefined ? "" : utf8Decode(this.#bytes, option.at, option.at + option.length);
  }

  #direction(options: readonly OptionSpan[]): Direction | null {
    const flags = find(options, OPTION.packetFlags);
    if (flags === undefined || flags.length < 4) return null;
    const bits = this.#u32(flags.at) & 3;
    return bits === 1 ? "inbound" : bits === 2 ? "outbound" : null;
  }

  #time(from: CaptureInterface, at: number): bigint {
    const units = (BigInt(this.#u32(at)) << 32n) | BigInt(this.#u32(at + 4));
    return (units * 1_000_000_000n) / from.unitsPerSecond + from.tsOffset * 1_000_000_000n;
  }

  #u16(at: number): number {
    return this.#view.getUint16(at, this.#littleEndian);
  }

  #u32(at: number): number {
    return this.#view.getUint32(at, this.#littleEndian);
  }

  /** Keeps the first error, returns 0. */
  #fail(message: string, offset: number): 0 {
    this.#error ??= new CaptureError(`${message} (byte ${offset})`, offset);
    return 0;
  }
}

interface OptionSpan {
  readonly code: number;
  readonly at: number;
  readonly length: number;
}

function find(options: readonly OptionSpan[], code: number): OptionSpan | undefined {
  return options.find((option) => option.code === code);
}

/** if_tsresol: a power of ten, or of two when the top bit is set. */
function unitsPerSecond(resolution: number): bigint {
  return (resolution & 0x80) === 0 ? 10n ** BigInt(resolution) : 2n ** BigInt(resolution & 0x7f);
}

function swap32(value: number): number {
  return ((value << 24) | ((value & 0xff00) << 8) | ((value >>> 8) & 0xff00) | (value >>> 24)) >>> 0;
}
