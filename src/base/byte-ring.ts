/**
 * A growable ring of bytes addressed by distance from its head. Send and receive buffers are rings: bytes are written once,
 * may be written ahead of the tail (out-of-order data), and are released from the head. Memory follows use: it starts
 * empty, doubles up to what is asked for, and an idle connection gives it back.
 */
import { invariant } from "./errors.js";

const SMALLEST = 4096;

/** See the top of the file. */
export class ByteRing {
  #bytes: Uint8Array = EMPTY;
  #mask = -1;
  /** Index of the first byte held. */
  #head = 0;
  #length = 0;

  /** Bytes between head and tail. */
  get length(): number {
    return this.#length;
  }

  /** Bytes of memory in use. */
  get allocatedBytes(): number {
    return this.#bytes.length;
  }

  /** Appends `source[offset, offset + count)` at the tail. */
  append(source: Uint8Array, offset: number, count: number): void {
    this.writeAt(this.#length, source, offset, count);
    this.#length += count;
  }

  /** Writes at `distance` bytes from the head, within or beyond the tail, and leaves the tail where it is. */
  writeAt(distance: number, source: Uint8Array, offset: number, count: number): void {
    if (count === 0) return;
    this.#reserve(distance + count);
    const bytes = this.#bytes;
    const at = (this.#head + distance) & this.#mask;
    const first = Math.min(count, bytes.length - at);
    copy(bytes, at, source, offset, first);
    if (first < count) copy(bytes, 0, source, offset + first, count - first);
  }

  /** Moves the tail on over `count` bytes that were written ahead. */
  extend(count: number): void {
    this.#length += count;
    invariant(this.#length <= this.#bytes.length, "ring extended over bytes that were never written");
  }

  /** Copies `count` bytes from `distance` after the head into `target`. */
  copyOut(distance: number, target: Uint8Array, offset: number, count: number): void {
    if (count === 0) return;
    const bytes = this.#bytes;
    const at = (this.#head + distance) & this.#mask;
    const first = Math.min(count, bytes.length - at);
    copy(target, offset, bytes, at, first);
    if (first < count) copy(target, offset + first, bytes, 0, count - first);
  }

  /** Releases `count` bytes at the head. */
  discard(count: number): void {
    invariant(count <= this.#length, "ring discards more than it holds");
    this.#length -= count;
    this.#head = (this.#head + count) & this.#mask;
  }

  /** Gives the memory back; only for an empty ring with nothing written ahead. */
  release(): void {
    this.#bytes = EMPTY;
    this.#mask = -1;
    this.#head = 0;
    this.#length = 0;
  }

  /** Makes room for `needed` bytes from the head on. */
  #reserve(needed: number): void {
    const old = this.#bytes;
    if (needed <= old.length) return;
    let size = Math.max(SMALLEST, old.length);
    while (size < needed) size *= 2;
    const bytes = new Uint8Array(size);
    // Bytes written ahead lie anywhere up to the old capacity, so the whole of it moves.
    copy(bytes, 0, old, this.#head, old.length - this.#head);
    copy(bytes, old.length - this.#head, old, 0, this.#head);
    this.#bytes = bytes;
    this.#mask = size - 1;
    this.#head = 0;
  }
}

const EMPTY = new Uint8Array(0);

/** Below this a loop beats the call into `set` and the view that it needs. */
const LOOP_BYTES = 48;

/** Copies bytes between arrays; short runs by a loop, long ones by the engine's memmove. */
export function copy(target: Uint8Array, targetOffset: number, source: Uint8Array, offset: number, count: number): void {
  if (count <= LOOP_BYTES) {
    for (let i = 0; i < count; i++) target[targetOffset + i] = source[offset + i] as number;
  } else if (offset === 0 && count === source.length) {
    target.set(source, targetOffset);
  } else {
    target.set(source.subarray(offset, offset + count), targetOffset);
  }
}
