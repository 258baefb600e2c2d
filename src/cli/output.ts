/** Writing to standard output and standard error so that nothing is lost and a reader that has gone harms nobody. */
import { writeSync } from "node:fs";

/** The one line that a user is told on standard error. */
export function tell(message: string): void {
  try {
    writeAll(2, `rawtcp: ${message}\n`);
  } catch {
    // Standard error itself cannot be written (a full disk): there is nobody left to tell.
  }
}

/**
 * Writes all of it, also into a pipe that is full for a moment. Returns false when the reader has gone (EPIPE).
 * Throws the system's other errors (ENOSPC, EBADF).
 */
export function writeAll(fd: number, data: string | Uint8Array): boolean {
  let bytes = typeof data === "string" ? Buffer.from(data) : data;
  while (bytes.length > 0) {
    try {
      bytes = bytes.subarray(writeSync(fd, bytes));
    } catch (error) {
      const code = error instanceof Error && "code" in error ? error.code : "";
      if (code === "EPIPE") return false;
      if (code !== "EAGAIN") throw error;
      Atomics.wait(PAUSE, 0, 0, 1);
    }
  }
  return true;
}

const PAUSE = new Int32Array(new SharedArrayBuffer(4));
