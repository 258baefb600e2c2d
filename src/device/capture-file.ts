/**
 * Capture files from disk or a pipe, plain or compressed by gzip, a piece at a time: a file of any size is read in the memory of a
 * few of its pieces.
 */
import { createReadStream } from "node:fs";
import { createGunzip } from "node:zlib";
import { RawTcpError } from "../base/errors.js";
import { CaptureError } from "../pcapng/blocks.js";
import type { CapturePacket } from "../pcapng/capture.js";
import { CaptureReader } from "../pcapng/reader.js";

/**
 * Gives the packets of the capture `path`, "-" for standard input, in the order of the file and in the pieces that it is read in.
 * `reader`, the caller's own, tells of interfaces and sections meanwhile. When all that is readable has been given, it throws
 * what is wrong: CaptureError for damage (with the place in the file; of a compressed one in what it unpacks to), RawTcpError
 * `ERR_CAPTURE_FILE` for a file that cannot be opened or read.
 */
export async function* readCaptureFile(
  path: string,
  reader: CaptureReader = new CaptureReader(),
): AsyncGenerator<CapturePacket[], void> {
  let failure: unknown;
  try {
    for await (const bytes of unpacked(pieces(path))) {
      const packets = reader.push(bytes);
      if (packets.length > 0) yield packets;
      if (reader.isOver) break;
    }
  } catch (error) {
    failure = error;
  }
  // A file that is damaged in its compression ends early in the format, too: the first cause is told.
  if (failure !== undefined) throw readFailure(path, failure);
  reader.end();
  if (reader.error !== null) throw reader.error;
}

/** A file's bytes in pieces that are not written again. */
function pieces(path: string): AsyncIterable<Uint8Array> {
  return path === "-" ? process.stdin : createReadStream(path, { highWaterMark: PIECE_BYTES });
}

const PIECE_BYTES = 256 << 10;
/** A gzip stream grows at most by a factor of 1032: what one of these unpacks to stays below 17 MB. */
const PACKED_PIECE_BYTES = 16 << 10;
const GZIP_MAGIC: readonly number[] = [0x1f, 0x8b];

/** Damage of the compression, after the last bytes that could be unpacked. */
class GzipError extends Error {}

async function* unpacked(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void> {
  let gunzip: Gunzip | undefined;
  let isPlain = false;
  let start: Uint8Array = new Uint8Array(0);
  for await (const piece of source) {
    let bytes = piece;
    if (!isPlain && gunzip === undefined) {
      // A pipe may begin with a single byte.
      bytes = start.length === 0 ? piece : Buffer.concat([start, piece]);
      start = bytes;
      if (bytes.length < GZIP_MAGIC.length) continue;
      isPlain = GZIP_MAGIC.some((byte, at) => bytes[at] !== byte);
      if (!isPlain) gunzip = new Gunzip();
    }
    if (gunzip === undefined) yield bytes;
    else
      for (let at = 0; at < bytes.length; at += PACKED_PIECE_BYTES)
        yield* await gunzip.push(bytes.subarray(at, at + PACKED_PIECE_BYTES));
    if (gunzip?.error !== undefined) throw gunzip.error;
  }
  if (gunzip !== undefined) {
    yield* await gunzip.end();
    if (gunzip.error !== undefined) throw gunzip.error;
  } else if (!isPlain && start.length > 0) yield start;
}

/** Node's gunzip, a piece in and its output back, so that nothing that was unpacked before a damage is lost with the stream. */
class Gunzip {
  error: GzipError | undefined;
  readonly #stream = createGunzip();
  #output: Uint8Array[] = [];
  #taken = 0;
  #settle: () => void = () => undefined;

  constructor() {
    this.#stream.on("data", (bytes: Uint8Array) => this.#output.push(bytes));
    this.#stream.on("error", (error) => {
      this.error ??= new GzipError(`damaged gzip data: ${error.message} (within byte ${this.#taken} of the compressed file)`);
      this.#settle();
    });
    this.#stream.on("end", () => this.#settle());
  }

  push(bytes: Uint8Array): Promise<Uint8Array[]> {
    this.#taken += bytes.length;
    return this.#step((done) => this.#stream.write(bytes, done));
  }

  end(): Promise<Uint8Array[]> {
    // The stream has ended when its output has.
    return this.#step(() => this.#stream.end());
  }

  async #step(act: (done: () => void) => void): Promise<Uint8Array[]> {
    if (this.error === undefined) {
      await new Promise<void>((resolve) => {
        this.#settle = resolve;
        act(resolve);
      });
    }
    const output = this.#output;
    this.#output = [];
    return output;
  }
}

function readFailure(path: string, error: unknown): RawTcpError {
  if (error instanceof GzipError) return new CaptureError(`${error.message}`, 0);
  const reason = error instanceof Error ? error.message.replace(/, (open|read)\b.*/, "") : String(error);
  const name = path === "-" ? "standard input" : path;
  return new RawTcpError("ERR_CAPTURE_FILE", `cannot read the capture file ${name}: ${reason}`);
}
