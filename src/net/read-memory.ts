/** Memory for what a socket reads: small reads share it, for an allocation of their own would cost more than the copy. */
import type { Connection } from "../tcp/connection.js";
import { kArrayBufferOffset, kReadBytesOrError, streamBaseState } from "./internals.js";

const SHARED_READ_BYTES = 4096;
const SHARED_BYTES = 64 * 1024;

let shared = new ArrayBuffer(0);
let sharedUsed = 0;

/** Takes `count` bytes from a connection into memory that nobody else writes to, and says where they are, as libuv does. */
export function readInto(connection: Connection, count: number): ArrayBuffer {
  if (count > SHARED_READ_BYTES) {
    const bytes = Buffer.allocUnsafeSlow(count);
    connection.read(bytes, 0, count);
    noteRead(count, 0);
    return bytes.buffer as ArrayBuffer;
  }
  if (sharedUsed + count > shared.byteLength) {
    shared = Buffer.allocUnsafeSlow(SHARED_BYTES).buffer as ArrayBuffer;
    sharedUsed = 0;
  }
  const at = sharedUsed;
  // Typed arrays over it may begin at any multiple of eight.
  sharedUsed = (at + count + 7) & ~7;
  connection.read(new Uint8Array(shared, at, count), 0, count);
  noteRead(count, at);
  return shared;
}

/** What `onread` finds: a number of bytes, or libuv's errno. */
export function noteRead(count: number, offset: number): void {
  streamBaseState[kReadBytesOrError] = count;
  streamBaseState[kArrayBufferOffset] = offset;
}
