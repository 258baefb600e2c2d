/**
 * Classic pcap (draft-ietf-opsawg-pcap): a header of 24 bytes, then records of 16 bytes and a packet each.
 * Both byte orders and both resolutions are read, and the records of 24 bytes of a patched libpcap; nothing is written.
 */
import { type Direction, PCAP_MAGIC_MICROSECONDS, PCAP_MAGIC_MODIFIED, PCAP_MAGIC_NANOSECONDS } from "./blocks.js";
import { type CapturePacket, type CaptureState, MOST_RECORD_BYTES, type RecordReader } from "./capture.js";

/** Reads a file whose first word, in the byte order `littleEndian`, is `magic`; undefined when that is none of pcap's. */
export function classicPcapReader(magic: number, littleEndian: boolean, state: CaptureState): RecordReader | undefined {
  switch (magic) {
    case PCAP_MAGIC_MICROSECONDS:
      return new ClassicPcapReader(littleEndian, 1000, RECORD_HEADER, state);
    case PCAP_MAGIC_NANOSECONDS:
      return new ClassicPcapReader(littleEndian, 1, RECORD_HEADER, state);
    case PCAP_MAGIC_MODIFIED:
      return new ClassicPcapReader(littleEndian, 1000, MODIFIED_RECORD_HEADER, state);
    default:
      return undefined;
  }
}

const FILE_HEADER = 24;
const RECORD_HEADER = 16;
const MODIFIED_RECORD_HEADER = 24;
/** Bit 26 of the link type's word: the four bits above tell the length of frame check sequences in units of 16 bits. */
const FCS_KNOWN = 0x0400_0000;
/** PACKET_OUTGOING of if_packet.h. */
const PACKET_OUTGOING = 4;

class ClassicPcapReader implements RecordReader {
  readonly #littleEndian: boolean;
  readonly #nsPerUnit: number;
  readonly #recordHeader: number;
  readonly #state: CaptureState;

  constructor(littleEndian: boolean, nsPerUnit: number, recordHeader: number, state: CaptureState) {
    this.#littleEndian = littleEndian;
    this.#nsPerUnit = nsPerUnit;
    this.#recordHeader = recordHeader;
    this.#state = state;
  }

  read(bytes: Uint8Array, view: DataView, at: number, offset: number, out: CapturePacket[]): number {
    const left = bytes.length - at;
    if (offset === 0) return left < FILE_HEADER ? -FILE_HEADER : this.#fileHeader(view, at);
    if (left < this.#recordHeader) return -this.#recordHeader;
    const captured = view.getUint32(at + 8, this.#littleEndian);
    if (captured > MOST_RECORD_BYTES) return this.#state.fail(`a packet cannot be ${captured} bytes long`, offset);
    const length = this.#recordHeader + captured;
    if (length > left) return -length;
    const seconds = BigInt(view.getUint32(at, this.#littleEndian));
    // A fraction beyond a second is kept: some writers left the carry to the reader.
    const fraction = BigInt(view.getUint32(at + 4, this.#littleEndian) * this.#nsPerUnit);
    out.push({
      interfaceIndex: 0,
      timeNs: seconds * 1_000_000_000n + fraction,
      data: bytes.subarray(at + this.#recordHeader, at + length),
      originalLength: view.getUint32(at + 12, this.#littleEndian),
      direction: this.#direction(bytes, at),
      comments: [],
      offset,
    });
    return length;
  }

  truncated(left: number, needed: number, offset: number): void {
    const header = this.#recordHeader;
    if (offset === 0) this.#state.fail(`the file ends inside its header: ${left} of ${FILE_HEADER} bytes`, 0);
    else if (left < header) this.#state.fail("the file ends inside a record header", offset);
    else this.#state.fail(`the file ends inside a packet: ${left - header} of ${needed - header} bytes`, offset);
  }

  #fileHeader(view: DataView, at: number): number {
    const link = view.getUint32(at + 20, this.#littleEndian);
    this.#state.interfaces.push({
      section: -1,
      // The upper half of the word tells of frame check sequences, not of the link.
      linkType: link & 0xffff,
      snapLen: view.getUint32(at + 16, this.#littleEndian),
      name: "",
      description: "",
      filter: "",
      os: "",
      comments: [],
      unitsPerSecond: BigInt(1_000_000_000 / this.#nsPerUnit),
      tsOffset: 0n,
      fcsLength: (link & FCS_KNOWN) === 0 ? 0 : (link >>> 28) * 2,
    });
    const major = view.getUint16(at + 4, this.#littleEndian);
    return major === 2 ? FILE_HEADER : this.#state.fail(`version ${major} of pcap is unknown`, 4);
  }

  /** The patched libpcap noted the packet's type: interface 4, protocol 2, type 1. */
  #direction(bytes: Uint8Array, at: number): Direction | null {
    if (this.#recordHeader !== MODIFIED_RECORD_HEADER) return null;
    return bytes[at + 22] === PACKET_OUTGOING ? "outbound" : "inbound";
  }
}
