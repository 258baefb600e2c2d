/**
 * The Internet checksum (RFC 1071). Sums are kept as plain integers and folded at the end, so pieces may be chained as
 * long as every piece but the last has an even length.
 */
import type { IpAddress } from "./address.js";

/** Below this many bytes a plain loop beats the view on 32-bit words. */
const WORD_LOOP_BYTES = 96;

/** Whether 32-bit loads are little-endian; the folded sum is then byte-swapped (RFC 1071 §2 (B)). */
const LITTLE_ENDIAN = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1;

/**
 * Adds `bytes[offset, offset + length)` to `sum`, as big-endian 16-bit words; an odd last byte is padded with zero.
 * `sum` and the result are unfolded, below 2^53 for any chain of packets.
 */
export function addBytes(sum: number, bytes: Uint8Array, offset: number, length: number): number {
  const end = offset + length;
  let i = offset;
  if (length >= WORD_LOOP_BYTES) {
    // Head up to a 4-byte boundary of the memory.
    const head = -(bytes.byteOffset + offset) & 3;
    if ((head & 1) !== 0) {
      // From an odd address every later byte changes its place in its word: sum the rest by itself and swap (RFC 1071 §2 (B)).
      return sum + (bytes[i]! << 8) + swap(fold(addBytes(0, bytes, offset + 1, length - 1)));
    }
    for (const stop = offset + head; i < stop; i += 2) sum += (bytes[i]! << 8) | bytes[i + 1]!;
    const words = wordsOf(bytes);
    const first = (bytes.byteOffset + i) >>> 2;
    const last = first + ((end - i) >>> 2);
    sum += sumWords(words, first, last);
    i += (last - first) << 2;
  }
  for (; i + 1 < end; i += 2) sum += (bytes[i]! << 8) | bytes[i + 1]!;
  if (i < end) sum += bytes[i]! << 8;
  return sum;
}

/** The pseudo-header of IPv4 (RFC 9293 §3.1) or IPv6 (RFC 8200 §8.1). `length` is that of the upper layer, in bytes. */
export function pseudoHeaderSum(source: IpAddress, destination: IpAddress, protocol: number, length: number): number {
  return source.wordSum() + destination.wordSum() + protocol + (length >>> 16) + (length & 0xffff);
}

/** Folds a sum to 16 bits without complementing it. */
export function fold(sum: number): number {
  while (sum > 0xffff) sum = Math.floor(sum / 0x10000) + (sum & 0xffff);
  return sum;
}

/** The checksum field for a sum: its folded one's complement. */
export function finish(sum: number): number {
  return ~fold(sum) & 0xffff;
}

let viewedBuffer: ArrayBufferLike | undefined;
let view: Uint32Array = new Uint32Array(0);

/** A 32-bit view on the whole memory below `bytes`; receive and transmit memory stay the same, so the last one is kept. */
function wordsOf(bytes: Uint8Array): Uint32Array {
  if (bytes.buffer !== viewedBuffer) {
    viewedBuffer = bytes.buffer;
    view = new Uint32Array(viewedBuffer, 0, viewedBuffer.byteLength >>> 2);
  }
  return view;
}

/** The sum of aligned words as big-endian 16-bit halves. */
function sumWords(words: Uint32Array, first: number, last: number): number {
  let total = 0;
  let i = first;
  while (i < last) {
    // 16-bit halves of up to 16,384 words in int32 registers: 16,384 * 65,535 < 2^31.
    const stop = Math.min(last, i + 16_384);
    let low = 0;
    let high = 0;
    for (; i + 3 < stop; i += 4) {
      const a = words[i]!;
      const b = words[i + 1]!;
      const c = words[i + 2]!;
      const d = words[i + 3]!;
      low = (low + (a & 0xffff) + (b & 0xffff) + (c & 0xffff) + (d & 0xffff)) | 0;
      high = (high + (a >>> 16) + (b >>> 16) + (c >>> 16) + (d >>> 16)) | 0;
    }
    for (; i < stop; i++) {
      const a = words[i]!;
      low = (low + (a & 0xffff)) | 0;
      high = (high + (a >>> 16)) | 0;
    }
    total += low + high;
  }
  if (!LITTLE_ENDIAN) return total;
  return swap(fold(total));
}

/** Exchanges the bytes of a folded sum: that of words in the other byte order (RFC 1071 §2 (B)). */
export function swap(folded: number): number {
  return ((folded & 0xff) << 8) | (folded >>> 8);
}
