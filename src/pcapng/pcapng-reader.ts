/**
 * Reads the blocks of pcapng in both byte orders, with any number of sections and interfaces. Blocks of unknown types, names,
 * secrets and custom blocks are stepped over (pcapng §3.1); a block that is damaged inside a sound frame is left out.
 */
import { utf8Decode } from "../base/utf8.js";
import { BLOCK, BYTE_ORDER_MAGIC, type Direction, OPTION, padded } from "./blocks.js";
import { type CaptureInterface, type CapturePacket, type CaptureState, MOST_RECORD_BYTES, type RecordReader } from "./capture.js";

/** See the top of the file. */
export class PcapngReader implements RecordReader {
  readonly #state: CaptureState;
  #bytes: Uint8Array = new Uint8Array(0);
  #view = new DataView(this.#bytes.buffer);
  /** What to add to a place in `#bytes` for its place in the file. */
  #base = 0;
  #out: CapturePacket[] = [];
  #littleEndian = true;
  /** Index of the first interface of the current section: interface numbers begin anew in each. */
  #firstInterface = 0;

  constructor(state: CaptureState) {
    this.#state = state;
  }

  read(bytes: Uint8Array, view: DataView, at: number, offset: number, out: CapturePacket[]): number {
    this.#bytes = bytes;
    this.#view = view;
    this.#base = offset - at;
    this.#out = out;
    const left = bytes.length - at;
    if (left < SMALLEST_BLOCK) return -SMALLEST_BLOCK;
    const type = this.#u32(at);
    if (type === BLOCK.sectionHeader) {
      const magic = view.getUint32(at + 8, true);
      if (magic !== BYTE_ORDER_MAGIC && swap32(magic) !== BYTE_ORDER_MAGIC)
        return this.#fail("a section header without byte-order magic", at + 8);
      this.#littleEndian = magic === BYTE_ORDER_MAGIC;
    }
    const total = this.#u32(at + 4);
    if (total < SMALLEST_BLOCK || total % 4 !== 0 || total > MOST_RECORD_BYTES)
      return this.#fail(`a block cannot be ${total} bytes long`, at + 4);
    if (total > left) return -total;
    const end = at + total - 4;
    if (this.#u32(end) !== total) return this.#fail(`the two lengths of a block differ: ${total} and ${this.#u32(end)}`, end);
    return this.#block(type, at, end) ? total : 0;
  }

  truncated(left: number, needed: number, offset: number): void {
    const least = left < SMALLEST_BLOCK ? "at least " : "";
    this.#state.fail(`the file ends inside a block: ${left} of ${least}${needed} bytes`, offset);
  }

  /** Reads what stands between the frame's first 8 bytes and `end`; false when there is no way on. */
  #block(type: number, at: number, end: number): boolean {
    const body = at + 8;
    switch (type) {
      case BLOCK.sectionHeader:
        return this.#sectionHeader(body, end);
      case BLOCK.interfaceDescription:
        // A description that cannot be read would shift the numbers of all later interfaces.
        return this.#interfaceDescription(body, end);
      case BLOCK.enhancedPacket:
        this.#packet(at, body, end, 4);
        return true;
      case BLOCK.packet:
        this.#packet(at, body, end, 2);
        return true;
      case BLOCK.simplePacket:
        this.#simplePacket(at, body, end);
        return true;
      case BLOCK.interfaceStatistics:
        this.#interfaceStatistics(body, end);
        return true;
      default:
        return true;
    }
  }

  #sectionHeader(body: number, end: number): boolean {
    if (end - body < 16) return this.#fail("a section header is too short", body) !== 0;
    if (this.#state.sections.length === MOST_SECTIONS) return this.#fail(`more than ${MOST_SECTIONS} sections`, body) !== 0;
    const major = this.#u16(body + 4);
    if (major !== 1) return this.#fail(`version ${major}.${this.#u16(body + 6)} of pcapng is unknown`, body + 4) !== 0;
    const options = this.#options(body + 16, end);
    this.#firstInterface = this.#state.interfaces.length;
    this.#state.sections.push({
      littleEndian: this.#littleEndian,
      hardware: this.#text(options, OPTION.shbHardware),
      os: this.#text(options, OPTION.shbOs),
      userAppl: this.#text(options, OPTION.shbUserAppl),
      comments: this.#comments(options),
    });
    return true;
  }

  #interfaceDescription(body: number, end: number): boolean {
    if (end - body < 8) return this.#fail("an interface description is too short", body) !== 0;
    if (this.#state.interfaces.length === MOST_INTERFACES)
      return this.#fail(`more than ${MOST_INTERFACES} interfaces`, body) !== 0;
    const options = this.#options(body + 8, end);
    const resolution = find(options, OPTION.ifTsResol);
    const tsOffset = find(options, OPTION.ifTsOffset);
    const fcs = find(options, OPTION.ifFcsLen);
    this.#state.interfaces.push({
      section: this.#state.sections.length - 1,
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
      // The field counts bits in the first drafts and bytes in the later ones.
      fcsLength: fcs === undefined || fcs.length < 1 ? 0 : fcsBytes(this.#bytes[fcs.at] ?? 0),
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
    const from = this.#state.interfaces[interfaceIndex];
    if (from === undefined) return void this.#fail("a packet of an interface that was not described", body);
    const options = this.#options(dataAt + padded(captured), end);
    this.#out.push({
      interfaceIndex,
      timeNs: this.#time(from, body + 4),
      data: this.#bytes.subarray(dataAt, dataAt + captured),
      originalLength: this.#u32(body + 16),
      direction: this.#direction(options),
      comments: this.#comments(options),
      offset: this.#base + at,
    });
  }

  /** Simple Packet Block: no stamp, no options, and the captured length follows from the snap length of interface 0. */
  #simplePacket(at: number, body: number, end: number): void {
    const room = end - body - 4;
    const from = this.#state.interfaces[this.#firstInterface];
    if (room < 0) return void this.#fail("a packet block is too short", body);
    if (from === undefined) return void this.#fail("a packet of an interface that was not described", body);
    const originalLength = this.#u32(body);
    const captured = from.snapLen === 0 ? originalLength : Math.min(originalLength, from.snapLen);
    if (captured > room) return void this.#fail(`a packet of ${captured} bytes in a block with room for ${room}`, body);
    const data = this.#bytes.subarray(body + 4, body + 4 + captured);
    this.#out.push({
      interfaceIndex: this.#firstInterface,
      timeNs: null,
      data,
      originalLength,
      direction: null,
      comments: [],
      offset: this.#base + at,
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
    if (interfaceIndex >= this.#state.interfaces.length)
      return void this.#fail("statistics of an interface that was not described", body);
    this.#state.addStatistics({ interfaceIndex, received: count(OPTION.isbIfRecv), dropped: count(OPTION.isbIfDrop) });
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
    const ns = from.unitsPerSecond === 1_000_000_000n ? units : (units * 1_000_000_000n) / from.unitsPerSecond;
    return from.tsOffset === 0n ? ns : ns + from.tsOffset * 1_000_000_000n;
  }

  #u16(at: number): number {
    return this.#view.getUint16(at, this.#littleEndian);
  }

  #u32(at: number): number {
    return this.#view.getUint32(at, this.#littleEndian);
  }

  /** Keeps the first error, at the place `at` in `#bytes`. */
  #fail(message: string, at: number): 0 {
    return this.#state.fail(message, this.#base + at);
  }
}

/** Type, two lengths. */
const SMALLEST_BLOCK = 12;
/** A file that describes more is made to fill memory. */
const MOST_SECTIONS = 65_536;
const MOST_INTERFACES = 65_536;

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

function fcsBytes(stated: number): number {
  return stated >= 16 ? stated >>> 3 : stated;
}

function swap32(value: number): number {
  return ((value << 24) | ((value & 0xff00) << 8) | ((value >>> 8) & 0xff00) | (value >>> 24)) >>> 0;
}
