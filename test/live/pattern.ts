/** Bytes that both ends of a test can make for themselves; `peer-program.js` has the same function. */
import { createCipheriv, createHash } from "node:crypto";

/** `bytes` bytes that follow from `seed`, with no pattern in which a shift or a swap could hide: a key stream of AES. */
export function pattern(seed: number, bytes: number): Buffer {
  const key = Buffer.alloc(16);
  key.writeUInt32BE(seed);
  return createCipheriv("aes-128-ctr", key, Buffer.alloc(16)).update(Buffer.alloc(bytes));
}

/** In hexadecimal. */
export function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}
