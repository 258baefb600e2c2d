/**
 * Right-sizing of the receive buffer: the window follows what the user reads in a round trip, so that it is never what holds
 * the peer back, and an idle connection promises little. Note: Linux does the same (tcp_rcv_space_adjust); the idea is
 * Fisk's and Feng's "Dynamic Right-Sizing".
 */
import { seqAdd, seqDiff, seqGe } from "../base/seq.js";
import { MILLISECOND, type Micros } from "../base/time.js";
import type { Segment } from "../wire/segment.js";
import { announcedMss, timestampNow } from "./emit.js";
import type { Tcb } from "./tcb.js";

export class ReceiveTuning {
  /** The receiver's estimate of the round-trip time; 0 before the first. */
  rttUs: Micros = 0;
  /** What the user read in the last round trip that was measured. */
  spaceBytes = 0;
  /** The user has fixed the buffer's size: it stays. */
  locked = false;
  /** When the present round began, and how much had been read by then. */
  #roundAt: Micros = 0;
  #readBefore = 0;
  /** Without timestamps: when `#edge` was the right edge of the window; a whole window takes a round trip at least. */
  #edgeAt: Micros = 0;
  #edge = 0;
  #lastEcr = 0;

  /** Payload has come, in order. Looks at most once a round trip at what was read, and may enlarge `tcb.receiveBufferBytes`. */
  received(tcb: Tcb, seg: Segment, now: Micros): void {
    if (this.#roundAt === 0) this.#begin(tcb, now);
    this.#measure(tcb, seg, now);
    if (this.rttUs === 0 || now - this.#roundAt < this.rttUs) return;
    const read = tcb.counters.bytesReceived - tcb.receiveQueue.length;
    const copied = read - this.#readBefore;
    this.#roundAt = now;
    this.#readBefore = read;
    if (copied <= this.spaceBytes) return;
    if (!this.locked) this.#grow(tcb, copied);
    this.spaceBytes = copied;
  }

  #begin(tcb: Tcb, now: Micros): void {
    this.#roundAt = now;
    this.#readBefore = tcb.counters.bytesReceived - tcb.receiveQueue.length;
    this.#edgeAt = now;
    this.#edge = tcb.rcv.adv;
    // The peer's initial window (RFC 6928).
    this.spaceBytes = Math.min(tcb.receiveWindow, 10 * announcedMss(tcb));
  }

  /** Twice what was read: a sender in slow start doubles; more if the reading itself grows. */
  #grow(tcb: Tcb, copied: number): void {
    const wanted = 2 * copied + 16 * announcedMss(tcb);
    const growth = this.spaceBytes === 0 ? 0 : Math.floor((wanted * (copied - this.spaceBytes)) / this.spaceBytes);
    const most = Math.max(tcb.config.receiveBufferMaxBytes, tcb.receiveBufferBytes);
    tcb.receiveBufferBytes = Math.min(Math.max(wanted + 2 * growth, tcb.receiveBufferBytes), most);
  }

  #measure(tcb: Tcb, seg: Segment, now: Micros): void {
    if (tcb.ts.enabled && seg.hasTimestamps) {
      if (seg.tsEcr === 0 || seg.tsEcr === this.#lastEcr || seg.payloadLength < tcb.largestIn) return;
      this.#lastEcr = seg.tsEcr;
      const elapsed = seqDiff(timestampNow(tcb, now), seg.tsEcr);
      if (elapsed < 0 || elapsed > 300_000) return;
      const sample = Math.max(1, elapsed) * MILLISECOND;
      this.rttUs = this.rttUs === 0 ? sample : Math.round(0.875 * this.rttUs + 0.125 * sample);
    } else if (seqGe(tcb.rcv.nxt, this.#edge)) {
      const sample = Math.max(1, now - this.#edgeAt);
      this.rttUs = this.rttUs === 0 ? sample : Math.min(this.rttUs, sample);
      this.#edgeAt = now;
      this.#edge = seqAdd(tcb.rcv.nxt, tcb.receiveWindow);
    }
  }
}
