/**
 * The numbers of the capture file formats and the types that the writer and the reader share.
 * Sources: draft-ietf-opsawg-pcapng (pcapng), draft-ietf-opsawg-pcap (classic pcap), draft-ietf-opsawg-pcaplinktype.
 */
import { RawTcpError } from "../base/errors.js";

export { LINKTYPE } from "../wire/link-layer.js";

/** Block types (pcapng §4). */
export const BLOCK = {
  interfaceDescription: 1,
  /** The obsolete Packet Block: read, never written. */
  packet: 2,
  simplePacket: 3,
  nameResolution: 4,
  interfaceStatistics: 5,
  enhancedPacket: 6,
  /** A palindrome, so that it reads the same in both byte orders. */
  sectionHeader: 0x0a0d0d0a,
} as const;

/** The field of the Section Header that tells the byte order. */
export const BYTE_ORDER_MAGIC = 0x1a2b3c4d;

/** Option codes; 0 and 1 mean the same in every block, the others belong to the block in their name. */
export const OPTION = {
  endOfOptions: 0,
  comment: 1,
  shbHardware: 2,
  shbOs: 3,
  shbUserAppl: 4,
  ifName: 2,
  ifDescription: 3,
  ifTsResol: 9,
  ifFilter: 11,
  ifOs: 12,
  ifFcsLen: 13,
  ifTsOffset: 14,
  packetFlags: 2,
  isbStartTime: 2,
  isbEndTime: 3,
  isbIfRecv: 4,
  isbIfDrop: 5,
  isbFilterAccept: 6,
  isbOsDrop: 7,
} as const;

/** Magic numbers of classic pcap: the second says that fractions of a second are nanoseconds. */
export const PCAP_MAGIC_MICROSECONDS = 0xa1b2c3d4;
export const PCAP_MAGIC_NANOSECONDS = 0xa1b23c4d;
/** Of a patched libpcap that Linux distributions carried: its record headers are 24 bytes long. */
export const PCAP_MAGIC_MODIFIED = 0xa1b2cd34;

/** Whether a packet came in or went out (bits 0 and 1 of epb_flags). */
export type Direction = "inbound" | "outbound";

/** A capture that cannot be read on, or a value that cannot be written. Code `ERR_CAPTURE`. */
export class CaptureError extends RawTcpError {
  /** Where in the file the damage was seen, in bytes from its start; 0 in the writer. */
  readonly offset: number;

  constructor(message: string, offset: number) {
    super("ERR_CAPTURE", message);
    this.name = "CaptureError";
    this.offset = offset;
  }
}

/** The size of `length` bytes padded to the 32-bit boundary that every block and option keeps. */
export function padded(length: number): number {
  return (length + 3) & ~3;
}
