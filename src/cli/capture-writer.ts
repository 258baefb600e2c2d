/** The file of `capture -w`: pcapng, with an interface described when its first packet comes. */
import { closeSync } from "node:fs";
import { release, type } from "node:os";
import type { CaptureInterface, CapturePacket } from "../pcapng/capture.js";
import {
  enhancedPacketBlock,
  interfaceDescriptionBlock,
  interfaceStatisticsBlock,
  type StatisticsOptions,
  sectionHeaderBlock,
} from "../pcapng/writer.js";
import { openForCapture } from "./logging.js";
import { writeAll } from "./output.js";

/** See the top of the file. Throws what the system says when the file cannot be opened (`ERR_PCAP_FILE`) or written. */
export class CaptureWriter {
  readonly #fd: number;
  readonly #ids = new Map<CaptureInterface, number>();
  #blocks: Uint8Array[] = [];
  #bytes = 0;
  #isGone = false;

  constructor(path: string) {
    this.#fd = openForCapture(path, "-w");
    this.#push(sectionHeaderBlock({ os: `${type()} ${release()}`, userAppl: "rawtcp capture" }));
  }

  /** Describes an interface; later calls for the same one do nothing. */
  interface(from: CaptureInterface): number {
    const known = this.#ids.get(from);
    if (known !== undefined) return known;
    const id = this.#ids.size;
    this.#ids.set(from, id);
    const { linkType, snapLen, name, description, filter, os, comments } = from;
    const described = { ...told({ name, description, filter, os }), linkType, snapLen, comments };
    this.#push(interfaceDescriptionBlock(described));
    return id;
  }

  /** A packet without a time gets 0, the beginning of 1970: the block has no way to say that there is none. */
  packet(packet: CapturePacket, from: CaptureInterface): void {
    const interfaceId = this.interface(from);
    const ns = packet.timeNs ?? 0n;
    const { data, originalLength, direction, comments } = packet;
    this.#push(
      enhancedPacketBlock({
        interfaceId,
        tsHigh: Number(BigInt.asUintN(32, ns >> 32n)),
        tsLow: Number(BigInt.asUintN(32, ns)),
        bytes: data,
        offset: 0,
        length: data.length,
        originalLength,
        ...(direction === null ? {} : { direction }),
        ...(comments.length === 0 ? {} : { comments }),
      }),
    );
  }

  /** Counts of an interface, at the end of a capture. */
  statistics(from: CaptureInterface, counts: Omit<StatisticsOptions, "interfaceId">): void {
    this.#push(interfaceStatisticsBlock({ ...counts, interfaceId: this.interface(from) }));
  }

  /** Writes what is collected. Returns false when the reader has gone. */
  flush(): boolean {
    if (this.#blocks.length === 0 || this.#isGone) return !this.#isGone;
    const bytes = Buffer.concat(this.#blocks, this.#bytes);
    this.#blocks = [];
    this.#bytes = 0;
    this.#isGone = !writeAll(this.#fd, bytes);
    return !this.#isGone;
  }

  close(): void {
    if (this.#fd !== 1) closeSync(this.#fd);
  }

  #push(block: Uint8Array): void {
    this.#blocks.push(block);
    this.#bytes += block.length;
    if (this.#bytes >= FLUSH_BYTES) this.flush();
  }
}

const FLUSH_BYTES = 1 << 18;

/** Without the fields that are empty. */
function told<T extends Record<string, string>>(fields: T): Partial<T> {
  return Object.fromEntries(Object.entries(fields).filter(([, text]) => text !== "")) as Partial<T>;
}
