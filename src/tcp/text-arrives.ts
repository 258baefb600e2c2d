/** The seventh and eighth step of SEGMENT ARRIVES: the segment text and the FIN bit (RFC 9293 §3.10.7.4), with reassembly. */
import { seqAdd, seqDiff, seqGt, seqLe } from "../base/seq.js";
import { type Micros, NEVER } from "../base/time.js";
import type { Segment } from "../wire/segment.js";
import { FIN, SYN } from "../wire/tcp-flags.js";
import { ackDelayUs, acknowledgesAtOnce } from "./delayed-ack.js";
import { EVENT_READABLE } from "./event-bits.js";
import { linuxFin } from "./linux-arrivals.js";
import { askForAck } from "./output.js";
import { setState, startTimeWait } from "./set-state.js";
import type { Tcb } from "./tcb.js";
import { acceptedWindow } from "./window.js";

/**
 * Takes what is new of the text into the receive queue. Bytes after a hole are written ahead into the same ring, where they
 * will belong, and remembered as a range:
 *
 *     receive queue │▓▓▓▓▓▓▓▓▓▓▓│ hole │▓▓ out of order ▓▓│        │
 *                  user      RCV.NXT                             RCV.ADV
 */
export function processText(tcb: Tcb, seg: Segment, now: Micros): string {
  if (!mayReceive(tcb)) return "";
  const rcv = tcb.rcv;
  let seq = (seg.flags & SYN) !== 0 ? seqAdd(seg.seq, 1) : seg.seq;
  let offset = seg.payloadOffset;
  let length = seg.payloadLength;
  let fin = (seg.flags & FIN) !== 0;
  const old = seqDiff(rcv.nxt, seq);
  if (old > 0) {
    // Never more than all of the text: the first step let the segment pass because its last number is new.
    if (tcb.sack.enabled) tcb.sack.duplicate(seq, rcv.nxt);
    seq = rcv.nxt;
    offset += old;
    length -= old;
  }
  const beyond = seqDiff(seqAdd(seq, length + (fin ? 1 : 0)), seqAdd(rcv.nxt, acceptedWindow(tcb)));
  if (beyond > 0) {
    length = Math.max(0, length + (fin ? 1 : 0) - beyond);
    fin = false;
  }
  if (fin) {
    rcv.finSeen = true;
    rcv.fin = seqAdd(seq, length);
  }
  if (length === 0) {
    if (beyond > 0 || (fin && rcv.fin !== rcv.nxt)) askForAck(tcb, "tells where we are");
    return beyond > 0 ? "no room: only its acknowledgment counts" : "";
  }
  if (tcb.readerGone) return resetUnread(tcb, now);
  const gap = seqDiff(seq, rcv.nxt);
  tcb.receiveQueue.writeAt(tcb.receiveQueue.length + gap, seg.bytes, offset, length);
  if (length > tcb.largestIn) tcb.largestIn = length;
  tcb.lastDataReceivedAt = now;
  if (gap > 0) return keepAhead(tcb, seq, length);
  const verdict = takeInOrder(tcb, length, beyond > 0, now);
  tcb.tuning.received(tcb, seg, now);
  return verdict;
}

/** FIN takes effect once everything before it is here. Returns "" while there is none to take. */
export function processFin(tcb: Tcb, now: Micros): string {
  const rcv = tcb.rcv;
  if (!rcv.finSeen || rcv.nxt !== rcv.fin || !mayReceive(tcb)) return "";
  rcv.nxt = seqAdd(rcv.nxt, 1);
  // A peer that has sent text beyond its own FIN is not told that we have it.
  tcb.outOfOrder.clear();
  tcb.events |= EVENT_READABLE;
  if (tcb.linux !== undefined) linuxFin(tcb, tcb.linux);
  else askForAck(tcb, "acknowledges FIN: it takes one sequence number");
  switch (tcb.state) {
    case "ESTABLISHED":
      setState(tcb, "CLOSE-WAIT", "rcv FIN", now);
      return "FIN: the peer sends no more; half-closed";
    case "FIN-WAIT-1":
      // Had our FIN been acknowledged by this segment, the fifth step would have moved on to FIN-WAIT-2.
      setState(tcb, "CLOSING", "rcv FIN: both sides closed at once", now);
      return "FIN: simultaneous close";
    default:
      setState(tcb, "TIME-WAIT", "rcv FIN", now);
      startTimeWait(tcb, "2 MSL", now);
      return "FIN: the last segment of the peer";
  }
}

function mayReceive(tcb: Tcb): boolean {
  if (tcb.state === "SYN-RECEIVED") return tcb.fastOpen.accepted;
  return tcb.state === "ESTABLISHED" || tcb.state === "FIN-WAIT-1" || tcb.state === "FIN-WAIT-2";
}

/** So that a peer that sends every other byte cannot make each further segment walk a list of half a million ranges. */
const MOST_RANGES = 4_096;

function keepAhead(tcb: Tcb, seq: number, length: number): string {
  if (tcb.outOfOrder.size >= MOST_RANGES) {
    askForAck(tcb, "duplicate ACK: something before it is missing");
    return "dropped: too many holes before it";
  }
  const end = seqAdd(seq, length);
  if (tcb.sack.enabled) tcb.sack.overlap(tcb.outOfOrder, seq, end);
  const index = tcb.outOfOrder.add(seq, end);
  tcb.sack.touched(tcb.outOfOrder.start(index));
  tcb.counters.outOfOrder++;
  // RFC 5681 §4.2: at once, so that the sender's fast retransmission works (MAY-13).
  askForAck(tcb, "duplicate ACK: something before it is missing");
  return "out of order: kept until the hole is filled";
}

function takeInOrder(tcb: Tcb, length: number, cut: boolean, now: Micros): string {
  const { rcv, outOfOrder } = tcb;
  const before = rcv.nxt;
  rcv.nxt = seqAdd(rcv.nxt, length);
  if (tcb.sack.enabled) tcb.sack.overlap(outOfOrder, before, rcv.nxt);
  const filled = outOfOrder.size > 0;
  // A segment may cover one range wholly and reach into the next.
  while (outOfOrder.size > 0 && seqLe(outOfOrder.start(0), rcv.nxt)) {
    const end = outOfOrder.end(0);
    if (seqGt(end, rcv.nxt)) rcv.nxt = end;
    outOfOrder.trimBefore(rcv.nxt);
  }
  const gained = seqDiff(rcv.nxt, before);
  tcb.receiveQueue.extend(gained);
  tcb.counters.bytesReceived += gained;
  tcb.unackedBytes += gained;
  tcb.events |= EVENT_READABLE;
  const atOnce = acknowledgesAtOnce(tcb, now);
  // RFC 5681 §4.2: a segment that fills a hole is acknowledged at once, as is every second full one (SHLD-19).
  if (filled) askForAck(tcb, "fills a hole");
  else if (cut || atOnce || isSecond(tcb)) askForAck(tcb, "");
  else if (tcb.timers.delayedAck === NEVER) tcb.timers.delayedAck = now + ackDelayUs(tcb);
  return "";
}

/** Whether an ACK of what came before waits already, so that this one is due at once (RFC 9293 SHLD-19). */
function isSecond(tcb: Tcb): boolean {
  if (tcb.config.countsSegmentsForAck) return tcb.timers.delayedAck !== NEVER;
  return tcb.unackedBytes >= 2 * tcb.largestIn;
}

/** New data after CLOSE: it would be lost without a word, so the peer is told by RST (RFC 9293 §3.6.1, SHLD-3). */
function resetUnread(tcb: Tcb, now: Micros): string {
  tcb.pending.rst = true;
  // As the answer to a stranger (§3.10.7.1), without an ACK. Note: Linux does the same.
  tcb.pending.rstIsBare = true;
  tcb.pending.rstReason = "data came after CLOSE: nobody will read it";
  setState(tcb, "CLOSED", "data after CLOSE", now);
  return "data after CLOSE: answered with RST";
}
