/**
 * What received segments cost in the memory of a Linux host: a segment of 100 bytes takes up ten times as much, and Linux lets that, not
 * the bytes, fill a receive buffer. Only a receiver that counts so advertises the windows that Linux does. The costs are those of packets
 * that come from a TUN device (`tun_alloc_skb`, `__alloc_skb`).
 */
import { seqAdd, seqDiff, seqLe, seqLt, seqMax } from "../base/seq.js";

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
  /** What the socket was given in pages and has not used (sk_forward_alloc). */
  reserve = 0;
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
    if (before?.end === start && join(before, one)) return;
    // What the new one covers goes.
    for (let covered = this.#ahead[at]; covered !== undefined && seqLe(covered.end, end); covered = this.#ahead[at]) {
      this.#free(covered.bytes);
      this.#ahead.splice(at, 1);
    }
    this.#ahead.splice(at, 0, one);
    this.#charge(one.bytes);
  }

  /** RCV.NXT has reached `next`: what was ahead is in order now. */
  advance(next: number): void {
    for (;;) {
      const [first] = this.#ahead;
      if (first === undefined || seqLt(next, first.end)) return;
      this.#ahead.shift();
      const last = this.#queue.at(-1);
      // Wholly old by now, or copied in behind the last.
      if (last !== undefined && (seqLe(first.end, last.end) || join(last, first))) this.#free(first.bytes);
      else this.#queue.push(first);
    }
  }

  /** Bytes that the user takes at once from `start` on: what is left of the first segment. */
  firstBytes(start: number): number {
    const [first] = this.#queue;
    return first === undefined ? 0 : Math.max(0, seqDiff(first.end, start));
  }

  /**
   * Drops what is ahead, last first, until there is room by `isEnough`, but nothing before `seq` (tcp_prune_ofo_queue). `goal`: how much
   * is dropped before one looks again. Returns where what is left ends; undefined if nothing was dropped.
   */
  prune(seq: number, goal: number, isEnough: () => boolean): number | undefined {
    let isPruned = false;
    let left = goal;
    for (;;) {
      const last = this.#ahead.at(-1);
      if (last === undefined || seqLt(last.start, seq)) break;
      this.#ahead.pop();
      this.#free(last.bytes);
      isPruned = true;
      left -= last.bytes;
      if (left > 0 && this.#ahead.length > 0) continue;
      if (isEnough()) break;
      left = goal;
    }
    return isPruned ? (this.#ahead.at(-1)?.end ?? seq) : undefined;
  }

  /** The same for what is ahead of each hole, unless it is little (tcp_collapse_ofo_queue). */
  collapseAhead(worth: (bytes: number) => number, most: number): void {
    const queue = this.#ahead;
    let little = 0;
    let from = 0;
    for (let head = queue[from]; head !== undefined; head = queue[from]) {
      let { bytes, end } = head;
      let to = from + 1;
      for (let next = queue[to]; next !== undefined && seqLe(next.start, end); next = queue[++to]) {
        bytes += next.bytes;
        end = seqMax(end, next.end);
      }
      if (to - from > 1 || seqDiff(end, head.start) >= PAGE - SHARED_INFO) {
        const copies = this.#collapsed(queue.splice(from, to - from), head.start, worth);
        queue.splice(from, 0, ...copies);
        from += copies.length;
        continue;
      }
      little += bytes;
      if (little > most) return;
      from = to;
    }
  }

  /**
   * Copies what waits for the user together, from the first segment on that is not worth its memory, into buffers of a page each
   * (tcp_collapse). `start`: the next byte that the user reads; `worth`: the payload that memory should hold.
   */
  collapse(start: number, worth: (bytes: number) => number): void {
    this.#queue.push(...this.#collapsed(this.#queue.splice(0), start, worth));
  }

  #collapsed(queue: Held[], start: number, worth: (bytes: number) => number): Held[] {
    const head = queue.find(
      (one, i) =>
        seqLt(one.start, start) || worth(one.bytes) > seqDiff(one.end, one.start) || (queue[i + 1]?.start ?? one.end) !== one.end,
    );
    if (head === undefined) return queue;
    const from = head.start;
    let end = from;
    for (const one of queue.splice(queue.indexOf(head))) {
      this.#free(one.bytes);
      end = seqMax(end, one.end);
    }
    let at = seqLt(from, start) ? start : from;
    while (seqLt(at, end)) {
      const length = Math.min(seqDiff(end, at), PAGE - SHARED_INFO);
      const area = areaOf(length - HEADROOM);
      const next = seqAdd(at, length);
      queue.push({ start: at, end: next, bytes: area + BUFFER_HEAD, tailroom: area - SHARED_INFO - length });
      this.#charge(area + BUFFER_HEAD);
      at = next;
    }
    return queue;
  }

  /** The user has read up to `seq`. */
  read(seq: number): void {
    for (let [first] = this.#queue; first !== undefined && seqLe(first.end, seq); [first] = this.#queue) {
      this.#free(first.bytes);
      this.#queue.shift();
    }
  }

  /** Memory for a segment, in pages (sk_rmem_schedule). */
  schedule(bytes: number): void {
    if (bytes > this.reserve) this.reserve += Math.ceil((bytes - this.reserve) / PAGE) * PAGE;
  }

  #append(one: Held): void {
    const last = this.#queue.at(-1);
    if (last !== undefined && join(last, one)) return;
    this.#queue.push(one);
    this.#charge(one.bytes);
  }

  #charge(bytes: number): void {
    this.used += bytes;
    this.reserve -= bytes;
  }

  /** Whole pages go back. */
  #free(bytes: number): void {
    this.used -= bytes;
    this.reserve = (this.reserve + bytes) % PAGE;
  }
}

/** Copies a small segment in behind another. */
function join(before: Held, one: Held): boolean {
  const length = seqDiff(one.end, one.start);
  if (before.end !== one.start || length > before.tailroom) return false;
  before.tailroom -= length;
  before.end = one.end;
  return true;
}

/** What a packet takes up (`truesize`). */
export function bufferBytes(packetBytes: number): number {
  return areaOf(packetBytes) + BUFFER_HEAD;
}

function areaOf(packetBytes: number): number {
  const wanted = ((packetBytes + HEADROOM + 63) & ~63) + SHARED_INFO;
  if (wanted <= SMALL) return SMALL;
  let area = 1024;
  while (area < wanted && area < 2 * PAGE) area *= 2;
  // Beyond two pages it is whole pages.
  return area < wanted ? Math.ceil(wanted / PAGE) * PAGE : area;
}

function held(start: number, end: number, packetBytes: number): Held {
  const tailroom = areaOf(packetBytes) - SHARED_INFO - HEADROOM - packetBytes;
  return { start, end, bytes: bufferBytes(packetBytes), tailroom };
}
