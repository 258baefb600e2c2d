/** What the reader makes of a capture file, classic or pcapng. */
import { CaptureError, type Direction } from "./blocks.js";

/** A section of a pcapng file; a classic file has none. */
export interface CaptureSection {
  readonly littleEndian: boolean;
  readonly hardware: string;
  readonly os: string;
  readonly userAppl: string;
  readonly comments: readonly string[];
}

export interface CaptureInterface {
  /** Index into `Capture.sections`, -1 in a classic file. */
  readonly section: number;
  /** One of LINKTYPE, or any other number. */
  readonly linkType: number;
  /** Most bytes kept of a packet; 0 means no limit. */
  readonly snapLen: number;
  readonly name: string;
  readonly description: string;
  readonly filter: string;
  readonly os: string;
  readonly comments: readonly string[];
  /** Units of time in a second: 1_000_000n unless if_tsresol says otherwise. */
  readonly unitsPerSecond: bigint;
  /** Seconds to add to every stamp (if_tsoffset). */
  readonly tsOffset: bigint;
  /** Bytes of frame check sequence at the end of each packet; 0 when there is none or the file does not tell. */
  readonly fcsLength: number;
}

export interface CapturePacket {
  /** Index into `Capture.interfaces`. */
  readonly interfaceIndex: number;
  /** Nanoseconds since 1970, rounded down; null where the file holds no stamp (Simple Packet Block). */
  readonly timeNs: bigint | null;
  /** A view into the bytes that were read, not a copy: keeping it keeps the piece of the file around it in memory. */
  readonly data: Uint8Array;
  /** Length on the wire; more than `data.length` when the packet was cut. */
  readonly originalLength: number;
  readonly direction: Direction | null;
  readonly comments: readonly string[];
  /** Where its block begins in the file. */
  readonly offset: number;
}

/** An Interface Statistics Block; counts are packets, null where the file does not tell. */
export interface CaptureStatistics {
  readonly interfaceIndex: number;
  readonly received: bigint | null;
  readonly dropped: bigint | null;
}

export type CaptureFormat = "pcapng" | "pcap" | "unknown";

/** A capture that was read whole. */
export interface Capture {
  readonly format: CaptureFormat;
  readonly sections: readonly CaptureSection[];
  readonly interfaces: readonly CaptureInterface[];
  readonly packets: readonly CapturePacket[];
  /** The last of each interface: the counts go on through the file. */
  readonly statistics: readonly CaptureStatistics[];
  /** The first damage met, null when the whole file was sound. */
  readonly error: CaptureError | null;
}

/** What has been read so far; the reader of each format adds to it. */
export class CaptureState {
  readonly sections: CaptureSection[] = [];
  readonly interfaces: CaptureInterface[] = [];
  readonly #statistics = new Map<number, CaptureStatistics>();
  error: CaptureError | null = null;

  get statistics(): CaptureStatistics[] {
    return [...this.#statistics.values()];
  }

  addStatistics(statistics: CaptureStatistics): void {
    this.#statistics.set(statistics.interfaceIndex, statistics);
  }

  /** Keeps the first error; `offset` is in bytes from the start of the file. Returns 0, which ends the reading where it is told. */
  fail(message: string, offset: number): 0 {
    this.error ??= new CaptureError(`${message} (byte ${offset})`, offset);
    return 0;
  }
}

/** Reads one format, a record at a time. */
export interface RecordReader {
  /**
   * Reads the record at `bytes[at]`, which stands at `offset` in the file, and appends its packet, if it holds one, to `out`.
   * Returns its length; where the array ends before the record does, the negative of the bytes that are needed from `at` on to
   * tell more; 0 when there is no way on.
   */
  read(bytes: Uint8Array, view: DataView, at: number, offset: number, out: CapturePacket[]): number;
  /** Notes that the file ended inside the record at `at`: `left` bytes of the `needed` that `read` asked for. */
  truncated(left: number, needed: number, offset: number): void;
}

/**
 * Records and blocks beyond this are damage: Wireshark and libpcap take at most 256 KiB a packet and 16 MiB a block, and
 * a length without a bound would have a reader collect the rest of the file in memory.
 */
export const MOST_RECORD_BYTES = 64 << 20;
