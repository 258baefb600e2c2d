/**
 * What happens to a segment as Linux does it (tcp_input.c: tcp_validate_incoming, tcp_data_queue; tcp_minisocks.c: tcp_check_req,
 * tcp_timewait_state_process), where that is not what RFC 9293 §3.10.7 says or recommends. Scripts that were written for Linux
 * expect it. What is the same stands in `segment-arrives.ts`.
 */
import { seqAdd, seqDiff, seqGe, seqGt, seqLe, seqLt } from "../base/seq.js";
import { MILLISECOND, type Micros } from "../base/time.js";
import type { Segment } from "../wire/segment.js";
import { ACK, FIN, RST, SYN } from "../wire/tcp-flags.js";
import { duplicateCame } from "./accurate-ecn-option.js";
import { challengeAck, outOfWindowAck } from "./challenge-ack.js";
import { takeRepeatedSyn } from "./ecn.js";
import { EVENT_READABLE } from "./event-bits.js";
import { bufferBytes } from "./linux-memory.js";
import { type LinuxReceiver, packetBytesOf } from "./linux-receiver.js";
import { askForAck } from "./output.js";
import { fail, setState, startTimeWait } from "./set-state.js";
import type { Tcb } from "./tcb.js";

/** The checks before the fifth step. Returns what became of the segment; undefined when it goes on. */
export function linuxArrives(tcb: Tcb, linux: LinuxReceiver, seg: Segment, now: Micros): string | undefined {
  if (tcb.state === "TIME-WAIT") return timeWait(tcb, seg, now);
  if (tcb.fastOpen.accepted && !tcb.synAcked) {
    const stopped = halfOpen(tcb, linux, seg, now);
    if (stopped !== undefined) return stopped;
  } else if (tcb.state === "SYN-RECEIVED" && tcb.passive) return halfOpen(tcb, linux, seg, now);
  if ((seg.flags & (ACK | RST | SYN)) === 0) return dropped(tcb, "dropped: no ACK", now);
  const { rcv } = tcb;
  const isReset = (seg.flags & RST) !== 0;
  const isSyn = (seg.flags & SYN) !== 0;
  if (!isReset && pawsRejects(tcb, seg, 1, now) && !isHarmlessOldAck(tcb, seg)) {
    if (isSyn) return challengeAck(tcb, "SYN with an old timestamp: challenged", now);
    tcb.counters.pawsDrops++;
    if (seg.len === 0 && seqLt(seg.seq, rcv.nxt)) return dropped(tcb, "dropped: old ACK (PAWS)", now);
    return answerOutside(tcb, linux, seg, "dropped: old duplicate (PAWS)", now);
  }
  const end = seqAdd(seg.seq, seg.len);
  const edge = seqAdd(rcv.nxt, linux.offered(tcb));
  // Some peers forget that FIN takes a number of its own.
  const last = (seg.flags & FIN) !== 0 ? seqAdd(end, -1) : end;
  const isBeyond = seqGt(last, edge) && (seqGt(seg.seq, edge) || !linux.memory.isEmpty);
  if (seqLt(end, linux.windowAt) || isBeyond) {
    if (isReset) return isResetBeforeFin(tcb, seg) ? undefined : dropped(tcb, "dropped: RST outside the window", now);
    if (isSyn) takeRepeatedSyn(tcb, seg, false);
    if (isSyn) return challengeAck(tcb, "SYN outside the window: challenged", now);
    return answerOutside(tcb, linux, seg, "dropped: outside the window", now);
  }
  if (isReset) {
    if (seg.seq === rcv.nxt || isResetBeforeFin(tcb, seg) || isAtSackEnd(tcb, seg)) return undefined;
    return challengeAck(tcb, "RST in the window but not exact: challenged", now);
  }
  if (isSyn && !isSynAckOfBoth(tcb, seg)) {
    takeRepeatedSyn(tcb, seg, false);
    return challengeAck(tcb, "SYN on a synchronized connection: challenged", now);
  }
  noteTimestamp(tcb, linux.windowAt, seg, now);
  return undefined;
}

/**
 * The text and FIN of a segment that has passed, in every state (tcp_data_queue). Returns what became of it.
 */
export function linuxText(tcb: Tcb, linux: LinuxReceiver, seg: Segment, now: Micros): string {
  const { rcv } = tcb;
  const { acks } = linux;
  let start = seg.seq;
  const end = seqAdd(seg.seq, seg.len);
  const fin = (seg.flags & FIN) !== 0;
  if (seg.len === 0) return "";
  const isClosing = tcb.state === "CLOSE-WAIT" || tcb.state === "CLOSING" || tcb.state === "LAST-ACK";
  if (isClosing && seqGe(start, rcv.nxt)) return "dropped: beyond the FIN of the peer";
  const isShut = isClosing || tcb.readerGone || tcb.readerShut;
  if (tcb.state !== "ESTABLISHED" && isShut && seqGt(seqAdd(end, fin ? -1 : 0), rcv.nxt)) return refuse(tcb, seg, now);
  linux.measureByEcho(tcb, seg, now);
  if (start === rcv.nxt) {
    if (linux.offered(tcb) === 0 && !(seg.payloadLength === 0 && fin)) return outOfWindow(linux);
  } else if (seqLe(end, rcv.nxt)) {
    duplicateCame(tcb, start, end);
    if (tcb.sack.enabled) tcb.sack.duplicate(start, end);
    outOfWindow(linux);
    return "here already: answered";
  } else if (seqGe(start, seqAdd(rcv.nxt, linux.offered(tcb)))) {
    return outOfWindow(linux);
  } else if (seqLt(start, rcv.nxt)) {
    if (tcb.sack.enabled) tcb.sack.duplicate(start, rcv.nxt);
    if (linux.offered(tcb) === 0) return outOfWindow(linux);
    start = rcv.nxt;
  } else return keepAhead(tcb, linux, seg);
  const packetBytes = packetBytesOf(tcb, seg);
  const isPredicted = linux.isPredicted(tcb, seg);
  if (!isPredicted && !linux.canTake(tcb, seg)) {
    acks.isOutOfMemory = true;
    acks.isNow = true;
    acks.isScheduled = true;
    if (!linux.memory.isEmpty && seg.payloadLength > 0) return "dropped: no memory for it";
    linux.memory.schedule(bufferBytes(packetBytes));
  }
  const length = seqDiff(end, start) - (fin ? 1 : 0);
  if (length > 0) write(tcb, seg, start, length);
  if (fin) {
    rcv.finSeen = true;
    rcv.fin = seqAdd(start, length);
  }
  const before = rcv.nxt;
  rcv.nxt = seqAdd(rcv.nxt, length);
  linux.memory.queue(before, seqAdd(rcv.nxt, fin ? 1 : 0), packetBytes);
  if (seg.payloadLength > 0) {
    acks.isScheduled = true;
    linux.received(tcb, seg, now);
    tcb.lastDataReceivedAt = now;
  }
  takeAhead(tcb, linux, before);
  if (seqGt(rcv.nxt, rcv.adv)) rcv.adv = rcv.nxt;
  if (!isPredicted) linux.predict(tcb);
  tcb.events |= EVENT_READABLE;
  return "";
}

/** The peer's FIN is about to take effect (tcp_fin): if we may still send, an answer can carry its ACK. */
export function linuxFin(tcb: Tcb, linux: LinuxReceiver): void {
  const { rcv } = tcb;
  if (seqGt(rcv.nxt, rcv.adv)) rcv.adv = rcv.nxt;
  linux.acks.isScheduled = true;
  if (tcb.state === "ESTABLISHED" || tcb.state === "SYN-RECEIVED") linux.acks.isInteractive = true;
  else linux.acks.isNow = true;
}

/** Bytes for the user, or for later. */
function write(tcb: Tcb, seg: Segment, start: number, length: number): void {
  const skip = seqDiff(start, seg.seq) - ((seg.flags & SYN) !== 0 ? 1 : 0);
  const gap = seqDiff(start, tcb.rcv.nxt);
  tcb.receiveQueue.writeAt(tcb.receiveQueue.length + gap, seg.bytes, seg.payloadOffset + skip, length);
  if (length > tcb.largestIn) tcb.largestIn = length;
}

/** What was ahead, as far as it is in order now (tcp_ofo_queue). `before`: RCV.NXT when the segment came. */
function takeAhead(tcb: Tcb, linux: LinuxReceiver, before: number): void {
  const { outOfOrder, rcv } = tcb;
  // A FIN that text has passed over was none.
  if (rcv.finSeen && seqLt(rcv.fin, rcv.nxt)) rcv.finSeen = false;
  if (outOfOrder.size > 0) {
    if (tcb.sack.enabled) tcb.sack.extend(outOfOrder, before, rcv.nxt);
    while (outOfOrder.size > 0 && seqLe(outOfOrder.start(0), rcv.nxt)) {
      const end = outOfOrder.end(0);
      linux.memory.advance(end);
      const last = rcv.finSeen && seqGt(end, rcv.fin) ? rcv.fin : end;
      if (seqGt(last, rcv.nxt)) rcv.nxt = last;
      outOfOrder.trimBefore(end);
    }
    // RFC 5681 §4.2, once the last hole is filled.
    if (outOfOrder.size === 0) linux.acks.isNow = true;
  }
  const gained = seqDiff(rcv.nxt, before);
  tcb.receiveQueue.extend(gained);
  tcb.counters.bytesReceived += gained;
  tcb.unackedBytes += gained;
}

/** So that a peer that sends every other byte cannot make each further segment walk a list of half a million ranges. */
const MOST_RANGES = 4_096;

function keepAhead(tcb: Tcb, linux: LinuxReceiver, seg: Segment): string {
  const { outOfOrder, rcv, sack } = tcb;
  const { acks } = linux;
  const end = seqAdd(seg.seq, seg.len);
  if (!linux.canTake(tcb, seg) || outOfOrder.size >= MOST_RANGES) return "dropped: no memory for it";
  linux.measureAhead(tcb, seg);
  linux.isPredicting = false;
  acks.isScheduled = true;
  if ((seg.flags & FIN) !== 0) {
    rcv.finSeen = true;
    rcv.fin = seqAdd(end, -1);
  }
  if (seg.payloadLength > 0) write(tcb, seg, seg.seq, seg.payloadLength);
  if (sack.enabled) sack.overlap(outOfOrder, seg.seq, end);
  if (sack.enabled) linux.grow(tcb, seg);
  linux.memory.keepAhead(seg.seq, end, packetBytesOf(tcb, seg));
  const index = outOfOrder.add(seg.seq, end);
  sack.touched(outOfOrder.start(index));
  tcb.counters.outOfOrder++;
  // Not before the user has the connection, nor after it has closed it.
  if ((!tcb.passive || tcb.fastOpen.handedOver) && !tcb.readerGone) linux.growBuffer(tcb, linux.readBytes);
  return "out of order: kept until the hole is filled";
}

/** Old, or beyond the window: acknowledged quickly for a while, the peer seems to be in trouble. */
function outOfWindow(linux: LinuxReceiver): string {
  linux.acks.enterQuick();
  linux.acks.isScheduled = true;
  return "no room: only its acknowledgment counts";
}

/** RFC 1122 §4.2.2.13: data for a user that reads no more. */
function refuse(tcb: Tcb, seg: Segment, now: Micros): string {
  answerAsStranger(tcb, seg);
  if (tcb.readerGone) setState(tcb, "CLOSED", "data after CLOSE", now);
  else fail(tcb, "ECONNRESET", "data after SHUTDOWN", now);
  return "data that nobody will read: answered with RST";
}

/** Outside the window, or too old: says where we are (tcp_send_dupack). */
function answerOutside(tcb: Tcb, linux: LinuxReceiver, seg: Segment, note: string, now: Micros): string {
  if (seg.len === 0) return outOfWindowAck(tcb, note, now);
  const { nxt } = tcb.rcv;
  if (seqLt(seg.seq, nxt)) {
    linux.acks.enterQuick();
    const end = seqAdd(seg.seq, seg.len);
    duplicateCame(tcb, seg.seq, end);
    if (tcb.sack.enabled) tcb.sack.duplicate(seg.seq, seqGt(end, nxt) ? nxt : end);
  }
  askForAck(tcb, "answers a segment outside the window");
  return dropped(tcb, note, now);
}

/** The SYN-ACK of a simultaneous open. */
function isSynAckOfBoth(tcb: Tcb, seg: Segment): boolean {
  return tcb.state === "SYN-RECEIVED" && (seg.flags & ACK) !== 0 && seg.seq === tcb.irs && seg.len === 1;
}

/** After the peer's FIN its RST may carry the number before it. */
function isResetBeforeFin(tcb: Tcb, seg: Segment): boolean {
  if (tcb.state !== "CLOSE-WAIT" && tcb.state !== "LAST-ACK" && tcb.state !== "CLOSING") return false;
  return seg.seq === seqAdd(tcb.rcv.nxt, -1);
}

/** The peer has sent more than has come, and its RST follows that: RFC 5961 §3.2 with what was SACKed for RCV.NXT. */
function isAtSackEnd(tcb: Tcb, seg: Segment): boolean {
  const { outOfOrder } = tcb;
  return tcb.sack.enabled && outOfOrder.size > 0 && seg.seq === outOfOrder.end(outOfOrder.size - 1);
}

/** PAWS (RFC 7323 §5.3), with a tolerance for clocks that are read twice in a tick. */
function pawsRejects(tcb: Tcb, seg: Segment, tolerance: number, now: Micros): boolean {
  const { ts } = tcb;
  if (!ts.enabled || !seg.hasTimestamps || ts.recent === 0) return false;
  return seqDiff(ts.recent, seg.tsVal) > tolerance && now - ts.recentAt < PAWS_IDLE;
}

/** 24 days (RFC 7323 §5.5). */
const PAWS_IDLE: Micros = 24 * 86_400_000 * MILLISECOND;

/** A duplicate ACK that was overtaken says nothing that could do harm (tcp_disordered_ack). */
function isHarmlessOldAck(tcb: Tcb, seg: Segment): boolean {
  const { snd, ts } = tcb;
  if ((seg.flags & ACK) === 0 || seg.len > 0 || seg.seq !== tcb.rcv.nxt || seg.ack !== snd.una) return false;
  const window = seg.wnd << snd.windShift;
  const updates = seqGt(seg.seq, snd.wl1) || (seg.seq === snd.wl1 && window > snd.wnd);
  return !updates && seqDiff(ts.recent, seg.tsVal) * MILLISECOND <= 1.2 * tcb.rtt.rto;
}

/** RFC 7323 §4.3, but never back. */
function noteTimestamp(tcb: Tcb, edge: number, seg: Segment, now: Micros): void {
  const { ts } = tcb;
  if (!ts.enabled || !seg.hasTimestamps || seqGt(seg.seq, edge) || pawsRejects(tcb, seg, 0, now)) return;
  const { accurate } = tcb.ecn;
  if (accurate !== undefined) accurate.isFresh = seqGt(seg.tsVal, ts.recent);
  ts.recent = seg.tsVal;
  ts.recentAt = now;
}

/** A half-open connection of a listener, or one of Fast Open that waits for its third segment (tcp_check_req). */
function halfOpen(tcb: Tcb, linux: LinuxReceiver, seg: Segment, now: Micros): string | undefined {
  const { irs, fastOpen } = tcb;
  const next = fastOpen.accepted ? fastOpen.rcvNxt : tcb.rcv.nxt;
  const isOld = pawsRejects(tcb, seg, 0, now);
  const control = seg.flags & (RST | SYN | ACK);
  if (control === SYN && seg.seq === irs && !isOld) {
    if (now - tcb.lastChallengeAt < tcb.config.challengeAckIntervalUs) return dropped(tcb, "SYN again, so soon", now);
    tcb.lastChallengeAt = now;
    if (fastOpen.accepted) tcb.pending.synAck = true;
    else tcb.snd.nxt = tcb.iss;
    takeRepeatedSyn(tcb, seg, true);
    return "SYN again: SYN-ACK is repeated";
  }
  if ((control & ACK) !== 0 && seg.ack !== seqAdd(tcb.iss, 1) && !fastOpen.accepted) {
    answerAsStranger(tcb, seg);
    return dropped(tcb, "wrong acknowledgment in SYN-RECEIVED: answered with RST", now);
  }
  const end = seqAdd(seg.seq, seg.len);
  const edge = seqAdd(next, Math.min(linux.firstWindow, 0xffff));
  const isInside = seg.seq === next || (seqGt(end, next) && seqLt(seg.seq, edge)) || (seg.seq === edge && seg.seq === end);
  if (isOld || !isInside) {
    if ((control & RST) !== 0) return dropped(tcb, "dropped: RST outside the window", now);
    return answerLimited(tcb, seg, "dropped: outside the window", now);
  }
  if ((control & RST) !== 0 && seg.seq !== next) return challengeAck(tcb, "RST in the window but not exact: challenged", now);
  if (!fastOpen.accepted) noteTimestamp(tcb, next, seg, now);
  if (seg.seq === irs) seg.flags &= ~SYN;
  if ((seg.flags & (RST | SYN)) !== 0) {
    if (fastOpen.accepted && (seg.flags & RST) !== 0) return undefined;
    answerAsStranger(tcb, seg);
    if (fastOpen.accepted) return dropped(tcb, "SYN in the window: answered with RST", now);
    setState(tcb, "LISTEN", (seg.flags & RST) !== 0 ? "rcv RST" : "rcv SYN in the window", now);
    return "half-open connection forgotten, back to LISTEN";
  }
  return (control & ACK) === 0 ? dropped(tcb, "dropped: no ACK", now) : undefined;
}

/** Whatever is not the next number is acknowledged; RST ends the wait (RFC 1337 says not: net.ipv4.tcp_rfc1337). */
function timeWait(tcb: Tcb, seg: Segment, now: Micros): string {
  const isReset = (seg.flags & RST) !== 0;
  const isOld = pawsRejects(tcb, seg, 0, now);
  if (!isOld && seg.seq === tcb.rcv.nxt && (seg.len === 0 || isReset)) {
    if (isReset && !tcb.config.timeWaitIgnoresReset) {
      setState(tcb, "CLOSED", "rcv RST in TIME-WAIT", now);
      return "RST: TIME-WAIT is over";
    }
    startTimeWait(tcb, "2 MSL anew", now);
    return "nothing new in TIME-WAIT";
  }
  if (isOld) tcb.counters.pawsDrops++;
  if (isReset) return dropped(tcb, "dropped: RST in TIME-WAIT", now);
  if (isOld || (seg.flags & ACK) !== 0) startTimeWait(tcb, "2 MSL anew", now);
  return answerLimited(tcb, seg, "TIME-WAIT: tells where we are", now);
}

/** Only what may be part of a loop of ACKs is answered rarely (tcp_oow_rate_limited). */
function answerLimited(tcb: Tcb, seg: Segment, note: string, now: Micros): string {
  const isData = seg.len > 0 && (seg.flags & SYN) === 0;
  if (!isData) return outOfWindowAck(tcb, note, now);
  askForAck(tcb, "answers a segment outside the window");
  return dropped(tcb, note, now);
}

/** RST as to a segment of no connection (RFC 9293 §3.10.7.1). None for a RST. */
function answerAsStranger(tcb: Tcb, seg: Segment): void {
  if ((seg.flags & RST) !== 0) return;
  const { pending } = tcb;
  const hasAck = (seg.flags & ACK) !== 0;
  pending.strayReset = true;
  pending.strayResetHasAck = !hasAck;
  pending.strayResetSeq = hasAck ? seg.ack : seqAdd(seg.seq, seg.len);
  pending.strayResetIsPlain = true;
}

function dropped(tcb: Tcb, reason: string, now: Micros): string {
  tcb.observer?.drop(tcb.owner, reason, now);
  return reason;
}
