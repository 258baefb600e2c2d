/** What the reader makes of a capture file, classic or pcapng. */
import type { CaptureError, Direction } from "./blocks.js";

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
}

export interface CapturePacket {
  /** Index into `Capture.interfaces`. */
  readonly interfaceIndex: number;
  /** Nanoseconds since 1970, rounded down; null where the file holds no stamp (Simple Packet Block). */
  readonly timeNs: bigint | null;
  /** A view into the bytes that were read, not a copy. */
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

export interface Capture {
  readonly format: "pcapng" | "pcap" | "unknown";
  readonly sections: readonly CaptureSection[];
  readonly interfaces: readonly CaptureInterface[];
  readonly packets: readonly CapturePacket[];
  readonly statistics: readonly CaptureStatistics[];
  /** The first damage met, null when the whole file was sound. */
  readonly error: CaptureError | null;
}
