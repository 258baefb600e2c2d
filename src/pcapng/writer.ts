/**
 * Writes pcapng: each function returns one whole block, little-endian, that the caller owns and may append to a file.
 * A file is one `sectionHeaderBlock`, one `interfaceDescriptionBlock` for each interface (numbered from 0 in the order
 * written), packets, and at the end `interfaceStatisticsBlock`. All stamps are nanoseconds since 1970 (if_tsresol 9).
 *
 *      0               4               8                          total-4
 *      ┌───────────────┬───────────────┬──────────────────────────┬───────────────┐
 *      │ block type    │ total length  │ body, options            │ total length  │
 *      └───────────────┴───────────────┴──────────────────────────┴───────────────┘
 */
import { utf8Encode, utf8Length, utf8Write } from "../base/utf8.js";
import { BLOCK, BYTE_ORDER_MAGIC, CaptureError, type Direction, LINKTYPE, OPTION, padded } from "./blocks.js";

/** Who made the capture; all are free text. */
export interface SectionOptions {
  /** "x86_64" */
  readonly hardware?: string;
  /** "Linux 6.18" */
  readonly os?: string;
  /** "rawtcp 0.1.0" */
  readonly userAppl?: string;
  readonly comments?: readonly string[];
}

/** An interface that packets are captured on. */
export interface InterfaceOptions {
  /** One of LINKTYPE; RAW when left out. */
  readonly linkType?: number;
  /** Most bytes kept of a packet; 0 (when left out) means no limit. */
  readonly snapLen?: number;
  readonly name?: string;
  readonly description?: string;
  readonly filter?: string;
  readonly os?: string;
  readonly comments?: readonly string[];
}

/** One packet to write: `bytes[offset, offset + length)`. */
export interface PacketToWrite {
  readonly interfaceId: number;
  /** Nanoseconds since 1970, upper and lower 32 bits: a bigint a packet would cost more than the rest of the block. */
  readonly tsHigh: number;
  readonly tsLow: number;
  readonly bytes: Uint8Array;
  readonly offset: number;
  readonly length: number;
  /** Length on the wire when the packet was cut; `length` when left out. */
  readonly originalLength?: number;
  readonly direction?: Direction;
  readonly comments?: readonly string[];
}

/** What is known of an interface when its capture ends; counts are packets. */
export interface StatisticsOptions {
  readonly interfaceId: number;
  /** Now, in nanoseconds since 1970. */
  readonly timeNs: bigint;
  readonly startNs?: bigint;
  readonly endNs?: bigint;
  readonly received?: bigint;
  readonly dropped?: bigint;
  readonly osDropped?: bigint;
  readonly comments?: readonly string[];
}

/** Section Header Block (pcapng §4.1). The section length is left open (-1), for it is not known while capturing. */
export function sectionHeaderBlock(options: SectionOptions = {}): Uint8Array {
  const list: BlockOption[] = [];
  pushComments(list, options.comments);
  pushText(list, OPTION.shbHardware, options.hardware);
  pushText(list, OPTION.shbOs, options.os);
  pushText(list, OPTION.shbUserAppl, options.userAppl);
  const { bytes, view } = newBlock(BLOCK.sectionHeader, 16, list);
  view.setUint32(8, BYTE_ORDER_MAGIC, true);
  view.setUint16(12, 1, true);
  view.setUint16(14, 0, true);
  view.setUint32(16, 0xffffffff, true);
  view.setUint32(20, 0xffffffff, true);
  return bytes;
}

/** Interface Description Block (pcapng §4.2). Throws CaptureError for a link type beyond 16 bits. */
export function interfaceDescriptionBlock(options: InterfaceOptions = {}): Uint8Array {
  const linkType = options.linkType ?? LINKTYPE.RAW;
  if (!Number.isInteger(linkType) || linkType < 0 || linkType > 0xffff)
    throw new CaptureError(`link type ${linkType} does not fit in 16 bits`, 0);
  const list: BlockOption[] = [];
  pushComments(list, options.comments);
  pushText(list, OPTION.ifName, options.name);
  pushText(list, OPTION.ifDescription, options.description);
  list.push({ code: OPTION.ifTsResol, value: Uint8Array.of(9) });
  // The first byte of if_filter tells the kind of filter; 0 is a string in libpcap's language.
  if (options.filter !== undefined) list.push({ code: OPTION.ifFilter, value: cutOption(utf8Encode(`\0${options.filter}`)) });
  pushText(list, OPTION.ifOs, options.os);
  const { bytes, view } = newBlock(BLOCK.interfaceDescription, 8, list);
  view.setUint16(8, linkType, true);
  view.setUint32(12, options.snapLen ?? 0, true);
  return bytes;
}

/** The bytes that `writeEnhancedPacket` will take. */
export function enhancedPacketLength(packet: PacketToWrite): number {
  let options = packet.direction === undefined ? 0 : 8;
  if (packet.comments !== undefined) {
    for (const comment of packet.comments) options += 4 + padded(Math.min(utf8Length(comment), MAX_OPTION_LENGTH));
  }
  return ENHANCED_PACKET_HEADER + padded(packet.length) + (options === 0 ? 0 : options + 4) + 4;
}

/**
 * Writes an Enhanced Packet Block (pcapng §4.3) at `target[at]` and returns the offset after it. `view` is a DataView over
 * all of `target`; `total` is what `enhancedPacketLength` gave. The target needs no zeroing.
 */
export function writeEnhancedPacket(
  packet: PacketToWrite,
  target: Uint8Array,
  view: DataView,
  at: number,
  total: number,
): number {
  const { bytes, offset, length, direction, comments } = packet;
  view.setUint32(at, BLOCK.enhancedPacket, true);
  view.setUint32(at + 4, total, true);
  view.setUint32(at + 8, packet.interfaceId, true);
  view.setUint32(at + 12, packet.tsHigh, true);
  view.setUint32(at + 16, packet.tsLow, true);
  view.setUint32(at + 20, length, true);
  view.setUint32(at + 24, packet.originalLength ?? length, true);
  let pos = at + ENHANCED_PACKET_HEADER;
  target.set(offset === 0 && length === bytes.length ? bytes : bytes.subarray(offset, offset + length), pos);
  pos = zeroPad(target, pos + length, at);
  const end = at + total - 4;
  if (pos < end) {
    if (comments !== undefined) {
      for (const comment of comments) pos = writeComment(comment, target, view, pos, at);
    }
    if (direction !== undefined) {
      view.setUint16(pos, OPTION.packetFlags, true);
      view.setUint16(pos + 2, 4, true);
      view.setUint32(pos + 4, direction === "inbound" ? 1 : 2, true);
      pos += 8;
    }
    view.setUint32(pos, 0, true);
  }
  view.setUint32(end, total, true);
  return end + 4;
}

/** An Enhanced Packet Block of its own. */
export function enhancedPacketBlock(packet: PacketToWrite): Uint8Array {
  const total = enhancedPacketLength(packet);
  const block = new Uint8Array(total);
  writeEnhancedPacket(packet, block, new DataView(block.buffer), 0, total);
  return block;
}

/** Interface Statistics Block (pcapng §4.6). */
export function interfaceStatisticsBlock(options: StatisticsOptions): Uint8Array {
  const list: BlockOption[] = [];
  pushComments(list, options.comments);
  pushStamp(list, OPTION.isbStartTime, options.startNs);
  pushStamp(list, OPTION.isbEndTime, options.endNs);
  pushCount(list, OPTION.isbIfRecv, options.received);
  pushCount(list, OPTION.isbIfDrop, options.dropped);
  pushCount(list, OPTION.isbOsDrop, options.osDropped);
  const { bytes, view } = newBlock(BLOCK.interfaceStatistics, 12, list);
  view.setUint32(8, options.interfaceId, true);
  view.setUint32(12, Number(BigInt.asUintN(64, options.timeNs) >> 32n), true);
  view.setUint32(16, Number(BigInt.asUintN(32, options.timeNs)), true);
  return bytes;
}

/** Block type, total length, interface, two words of time, two lengths. */
const ENHANCED_PACKET_HEADER = 28;
/** The length field of an option has 16 bits. */
const MAX_OPTION_LENGTH = 0xffff;

interface BlockOption {
  readonly code: number;
  readonly value: Uint8Array;
}

/** A block with its frame and options in place; `bodyLength` bytes from offset 8 are left for the caller. */
function newBlock(type: number, bodyLength: number, options: readonly BlockOption[]): { bytes: Uint8Array; view: DataView } {
  let total = 12 + bodyLength;
  for (const option of options) total += 4 + padded(option.value.length);
  if (options.length > 0) total += 4;
  const bytes = new Uint8Array(total);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, type, true);
  view.setUint32(4, total, true);
  let pos = 8 + bodyLength;
  for (const { code, value } of options) {
    view.setUint16(pos, code, true);
    view.setUint16(pos + 2, value.length, true);
    bytes.set(value, pos + 4);
    pos += 4 + padded(value.length);
  }
  view.setUint32(total - 4, total, true);
  return { bytes, view };
}

function pushComments(list: BlockOption[], comments: readonly string[] | undefined): void {
  for (const comment of comments ?? []) pushText(list, OPTION.comment, comment);
}

function pushText(list: BlockOption[], code: number, text: string | undefined): void {
  if (text !== undefined) list.push({ code, value: cutOption(utf8Encode(text)) });
}

function pushCount(list: BlockOption[], code: number, count: bigint | undefined): void {
  if (count === undefined) return;
  const value = new Uint8Array(8);
  new DataView(value.buffer).setBigUint64(0, count, true);
  list.push({ code, value });
}

/** A stamp is two 32-bit words, the upper one first, whatever the byte order. */
function pushStamp(list: BlockOption[], code: number, ns: bigint | undefined): void {
  if (ns === undefined) return;
  const value = new Uint8Array(8);
  const view = new DataView(value.buffer);
  view.setUint32(0, Number(BigInt.asUintN(64, ns) >> 32n), true);
  view.setUint32(4, Number(BigInt.asUintN(32, ns)), true);
  list.push({ code, value });
}

function writeComment(comment: string, target: Uint8Array, view: DataView, at: number, block: number): number {
  let pos = at + 4;
  const length = utf8Length(comment);
  if (length <= MAX_OPTION_LENGTH) {
    pos = utf8Write(comment, target, pos);
  } else {
    const cut = cutOption(utf8Encode(comment));
    target.set(cut, pos);
    // A cut inside a character would shorten the option by up to three bytes; keep the length that was promised.
    target.fill(0x20, pos + cut.length, pos + MAX_OPTION_LENGTH);
    pos += MAX_OPTION_LENGTH;
  }
  view.setUint16(at, OPTION.comment, true);
  view.setUint16(at + 2, pos - at - 4, true);
  return zeroPad(target, pos, block);
}

/** Cuts what does not fit in an option, never inside a character. */
function cutOption(value: Uint8Array): Uint8Array {
  if (value.length <= MAX_OPTION_LENGTH) return value;
  let end = MAX_OPTION_LENGTH;
  while (((value[end] ?? 0) & 0xc0) === 0x80) end--;
  return value.subarray(0, end);
}

/** Zeroes up to the next 32-bit boundary counted from the start of the block, which itself may stand anywhere. */
function zeroPad(target: Uint8Array, pos: number, block: number): number {
  const end = block + padded(pos - block);
  for (let i = pos; i < end; i++) target[i] = 0;
  return end;
}
