/** What we tell the peer of data after a hole: SACK blocks, most recent first (RFC 2018 §4), a D-SACK before them (RFC 2883). */
import type { RangeSet } from "../base/range-set.js";
import { seqGt, seqLe, seqLt, seqMax, seqMin } from "../base/seq.js";
import { putU32 } from "../wire/bytes.js";
import { OPTION_NOP, OPTION_SACK } from "../wire/segment.js";
import type { Tcb } from "./tcb.js";

/** Blocks that fit beside timestamps; four without them (RFC 2018 §3). */
const MAX_BLOCKS = 4;

export class SackBlocks {
  enabled = false;
  /** What has come twice is told at all. */
  tellsDuplicates = true;
  /** Starts of ranges in `outOfOrder`, the most recently changed first. */
  readonly #recent: number[] = [];
  dsackStart = 0;
  dsackEnd = 0;
  /** A duplicate arrived and has not been told yet. */
  dsackDue = false;

  /** `[start, end)` of the out-of-order ranges has just grown. */
  touched(start: number): void {
    const recent = this.#recent;
    const at = recent.indexOf(start);
    if (at === 0) return;
    if (at > 0) recent.splice(at, 1);
    recent.unshift(start);
    if (recent.length > 16) recent.length = 16;
  }

  duplicate(start: number, end: number): void {
    if (!this.tellsDuplicates) return;
    this.dsackStart = start;
    this.dsackEnd = end;
    this.dsackDue = true;
  }

  /** `[start, end)` has come: what of it is in `ranges` already came twice; the first such part is told (RFC 2883 §4.2). */
  overlap(ranges: RangeSet, start: number, end: number): void {
    for (let i = 0; i < ranges.size && seqLt(ranges.start(i), end); i++) {
      if (seqLe(ranges.end(i), start)) continue;
      this.duplicate(seqMax(start, ranges.start(i)), seqMin(end, ranges.end(i)));
      return;
    }
  }

  /** What was told is not there any more. */
  forget(): void {
    this.#recent.length = 0;
    this.dsackDue = false;
  }

  /**
   * The same for what `[start, end)` brings into order, with the first part of it in view already: that is made longer by what touches it,
   * and kept otherwise. Note: Linux does so (tcp_dsack_extend).
   */
  extend(ranges: RangeSet, start: number, end: number): void {
    const { dsackStart, dsackEnd, dsackDue } = this;
    this.overlap(ranges, start, end);
    if (!dsackDue) return;
    const touches = seqLe(this.dsackStart, dsackEnd) && seqLe(dsackStart, this.dsackEnd);
    this.dsackStart = touches ? seqMin(this.dsackStart, dsackStart) : dsackStart;
    this.dsackEnd = touches ? seqMax(this.dsackEnd, dsackEnd) : dsackEnd;
  }

  /** Blocks that are to be told, as many as fit beside timestamps. */
  blocksDue(tcb: Tcb): number {
    if (!this.enabled || (tcb.outOfOrder.size === 0 && !this.dsackDue)) return 0;
    const room = tcb.ts.enabled ? MAX_BLOCKS - 1 : MAX_BLOCKS;
    return Math.min(room, tcb.outOfOrder.size + (this.dsackDue ? 1 : 0));
  }

  /** Bytes of the option with all of them, padding included. */
  optionBytes(tcb: Tcb): number {
    const blocks = this.blocksDue(tcb);
    return blocks === 0 ? 0 : 4 + 8 * blocks;
  }

  /** Writes the option with `count` blocks at `at`; returns where it ends. The D-SACK is told once. */
  put(tcb: Tcb, bytes: Uint8Array, at: number, count: number): number {
    bytes[at] = OPTION_NOP;
    bytes[at + 1] = OPTION_NOP;
    bytes[at + 2] = OPTION_SACK;
    bytes[at + 3] = 2 + 8 * count;
    let left = count;
    at += 4;
    if (this.dsackDue) {
      this.dsackDue = false;
      at = putBlock(bytes, at, this.dsackStart, this.dsackEnd);
      left--;
    }
    const ranges = tcb.outOfOrder;
    // The ranges that changed last; one that has merged into another no longer starts where it did.
    const recent = this.#recent;
    for (let i = 0; i < recent.length && left > 0; i++) {
      const index = ranges.indexOfStart(recent[i] ?? 0);
      if (index < 0) {
        recent.splice(i--, 1);
        continue;
      }
      at = putBlock(bytes, at, ranges.start(index), ranges.end(index));
      left--;
    }
    for (let i = ranges.size - 1; i >= 0 && left > 0; i--) {
      if (recent.includes(ranges.start(i))) continue;
      at = putBlock(bytes, at, ranges.start(i), ranges.end(i));
      left--;
    }
    return at;
  }
}

function putBlock(bytes: Uint8Array, at: number, start: number, end: number): number {
  putU32(bytes, at, start);
  putU32(bytes, at + 4, end);
  return at + 8;
}

/** Whether a D-SACK is among the blocks of an ACK: below it, or inside the second block (RFC 2883 §4). */
export function isDsack(start: number, end: number, ack: number, nextStart: number, nextEnd: number, more: boolean): boolean {
  if (seqLe(end, ack)) return true;
  return more && seqLe(nextStart, start) && seqLe(end, nextEnd) && seqGt(end, start);
}
