/** Where `pollTransmit` writes: one IP packet, headers included, in memory that is used again for the next. */
import { addBytes } from "../wire/checksum.js";

/** As `addBytes` of the checksum: who brings the memory may know a faster way to sum it, with the same result. */
export type AddBytes = (sum: number, bytes: Uint8Array, offset: number, length: number) => number;

export class OutgoingPacket {
  /** Large enough for any IP packet. */
  readonly bytes: Uint8Array;
  /** Sums what stands in `bytes`. */
  readonly addBytes: AddBytes;
  length = 0;
  /** Why it goes out, in a few words. */
  note = "";

  /** `bytes` holds 65,536 bytes. */
  constructor(bytes: Uint8Array = new Uint8Array(65_536), sumOf: AddBytes = addBytes) {
    this.bytes = bytes;
    this.addBytes = sumOf;
  }
}
