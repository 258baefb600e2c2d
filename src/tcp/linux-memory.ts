/**
 * What received segments cost in the memory of a Linux host: a segment of 100 bytes takes up ten times as much, and Linux lets that, not
 * the bytes, fill a receive buffer. Only a receiver that counts so advertises the windows that Linux does. The costs are those of packets
 * that come from a TUN device (`tun_alloc_skb`, `__alloc_skb`).
 */
import { seqAdd, seqDiff, seqLe, seqLt } from "../base/seq.js";

/** Room that a driver leaves before a packet (NET_SKB_PAD). */
const HEADROOM = 64;
/** `struct skb_shared_info` at the end of every buffer. */
const SHARED_INFO = 320;
/** `struct sk_buff`. */
const BUFFER_HEAD = 256;
/** Small packets share a cache of buffers of this size (SKB_SMALL_HEAD_CACHE_SIZE). */
const SMALL = 576;
const PAGE = 4096;

/** A segment that waits; also of bytes that were copied behind those of an earlier one. */
interface Held {
  /** Sequence numbers. */
  start: number;
  end: number;
  readonly bytes: number;
  /** Bytes that may still be copied in behind it. */
  tailroom: number;
}

export class ReceiveMemory {
  /** What all that is held takes up (sk_rmem_alloc). */
  used = 0;
  readonly #queue: Held[] = [];
  readonly #ahead: Held[] = [];

  /** Whether segments wait for the user. */
  get isEmpty(): boolean {
    return this.#queue.length === 0;
  }

  /** A segment with `[start, end)` in order; `packetBytes` is the whole packet with its headers. */
  queue(start: number, end: number, packetBytes: number): void {
    this.#append(held(start, end, packetBytes));
  }

  /** One after a hole. */
  keepAhead(start: number, end: number, packetBytes: number): void {
    const one = held(start, end, packetBytes);
    let at = this.#ahead.length;
    let before = this.#ahead.at(-1);
    while (before !== undefined && seqLt(start, before.start)) before = this.#ahead[--at - 1];
    if (before !== undefined && seqLe(end, before.end)) return;
    if (before?.end === start && this.#join(before, one)) return;
    // What the new one covers goes.
    for (let one = this.#ahead[at]; one !== undefined && seqLe(one.end, end); one = this.#ahead[at]) {
      this.used -= one.bytes;
      this.#ahead.splice(at, 1);
    }
    this.#ahead.splice(at, 0, one);
    this.used += one.bytes;
  }

  /** RCV.NXT has reached `next`: what was ahead is in order now. */
  advance(next: number): void {
    for (;;) {
      const [first] = this.#ahead;
      if (first === undefined || seqLt(next, first.end)) return;
      this.#ahead.shift();
      this.used -= first.bytes;
      const last = this.#queue.at(-1);
      // Wholly old by now.
      if (last !== undefined && seqLe(first.end, last.end)) continue;
      this.#append(first);
    }
  }

  /**
   * Copies what waits for the user together, from the first segment on that is not worth its memory, into buffers of a page each
   * (tcp_collapse). `start`: the next byte that the user reads; `worth`: the payload that memory should hold.
   */
  collapse(start: number, worth: (bytes: number) => number): void {
    const first = this.#queue.findIndex((one) => seqLt(one.start, start) || worth(one.bytes) > seqDiff(one.end, one.start));
    const { start: from = start } = this.#queue[first] ?? {};
    const { end = from } = this.#queue.at(-1) ?? {};
    if (first < 0) return;
    for (const { bytes } of this.#queue.splice(first)) this.used -= bytes;
    let at = seqLt(from, start) ? start : from;
    while (seqLt(at, end)) {
      const length = Math.min(seqDiff(end, at), PAGE - SHARED_INFO);
      const area = areaOf(length - HEADROOM);
      const next = seqAdd(at, length);
      this.#queue.push({ start: at, end: next, bytes: area + BUFFER_HEAD, tailroom: area - SHARED_INFO - length });
      this.used += area + BUFFER_HEAD;
      at = next;
    }
  }

  /** The user has read up to `seq`. */
  read(seq: number): void {
    for (let [first] = this.#queue; first !== undefined && seqLe(first.end, seq); [first] = this.#queue) {
      this.used -= first.bytes;
      this.#queue.shift();
    }
  }

  #append(one: Held): void {
    const last = this.#queue.at(-1);
    if (last !== undefined && this.#join(last, one)) return;
    this.#queue.push(one);
    this.used += one.bytes;
  }

  /** Copies a small segment in behind another. */
  #join(before: Held, one: Held): boolean {
    const length = seqDiff(one.end, one.start);
    if (before.end !== one.start || length > before.tailroom) return false;
    before.tailroom -= length;
    before.end = one.end;
    return true;
  }
}

/** What a packet takes up (`truesize`). */
export function bufferBytes(packetBytes: number): number {
  return areaOf(packetBytes) + BUFFER_HEAD;
}

function areaOf(packetBytes: number): number {
  const wanted = ((packetBytes + HEADROOM + 63) & ~63) + SHARED_INFO;
  if (wanted <= SMALL) return SMALL;
  let area = 1024;
  while (area < wanted) area *= 2;
  return area;
}

function held(start: number, end: number, packetBytes: number): Held {
  const tailroom = areaOf(packetBytes) - SHARED_INFO - HEADROOM - packetBytes;
  return { start, end, bytes: bufferBytes(packetBytes), tailroom };
}
