/**
 * Classic pcap (draft-ietf-opsawg-pcap): a header of 24 bytes, then records of 16 bytes and a packet each.
 * Both byte orders and both resolutions are read; nothing is written.
 */
import { CaptureError } from "./blocks.js";
import type { Capture, CapturePacket } from "./capture.js";

/** Reads a file whose magic was recognised; `nsPerUnit` is 1000n or 1n, the unit of the fractions of a second. */
export function readClassicPcap(bytes: Uint8Array, littleEndian: boolean, nsPerUnit: bigint): Capture {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const packets: CapturePacket[] = [];
  if (bytes.length < FILE_HEADER) {
    return result(
      packets,
      null,
      new CaptureError(`the file ends inside its header: ${bytes.length} of ${FILE_HEADER} bytes (byte 0)`, 0),
    );
  }
  const header: FileHeader = {
    snapLen: view.getUint32(16, littleEndian),
    // The upper half of the word tells of frame check sequences, not of the link.
    linkType: view.getUint32(20, littleEndian) & 0xffff,
    unitsPerSecond: 1_000_000_000n / nsPerUnit,
  };
  const major = view.getUint16(4, littleEndian);
  if (major !== 2) return result(packets, header, new CaptureError(`version ${major} of pcap is unknown (byte 4)`, 4));
  let at = FILE_HEADER;
  while (at < bytes.length) {
    const left = bytes.length - at;
    if (left < RECORD_HEADER)
      return result(packets, header, new CaptureError(`the file ends inside a record header (byte ${at})`, at));
    const captured = view.getUint32(at + 8, littleEndian);
    if (captured > left - RECORD_HEADER) {
      return result(
        packets,
        header,
        new CaptureError(`the file ends inside a packet: ${left - RECORD_HEADER} of ${captured} bytes (byte ${at})`, at),
      );
    }
    const seconds = BigInt(view.getUint32(at, littleEndian));
    const fraction = BigInt(view.getUint32(at + 4, littleEndian));
    packets.push({
      interfaceIndex: 0,
      timeNs: seconds * 1_000_000_000n + fraction * nsPerUnit,
      data: bytes.subarray(at + RECORD_HEADER, at + RECORD_HEADER + captured),
      originalLength: view.getUint32(at + 12, littleEndian),
      direction: null,
      comments: [],
      offset: at,
    });
    at += RECORD_HEADER + captured;
  }
  return result(packets, header, null);
}

const FILE_HEADER = 24;
const RECORD_HEADER = 16;

interface FileHeader {
  readonly snapLen: number;
  readonly linkType: number;
  readonly unitsPerSecond: bigint;
}

function result(packets: CapturePacket[], header: FileHeader | null, error: CaptureError | null): Capture {
  const interfaces =
    header === null
      ? []
      : [{ section: -1, ...header, name: "", description: "", filter: "", os: "", comments: [], tsOffset: 0n }];
  return { format: "pcap", sections: [], interfaces, packets, statistics: [], error };
}
