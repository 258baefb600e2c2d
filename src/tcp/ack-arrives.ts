/** The fifth step of SEGMENT ARRIVES, "check the ACK field" (RFC 9293 §3.10.7.4), with RFC 5681, 6298 and 6582. */
import { seqAdd, seqDiff, seqGe, seqGt, seqLe, seqLt, seqMax } from "../base/seq.js";
import { MILLISECOND, type Micros, NEVER, SECOND } from "../base/time.js";
import type { Segment } from "../wire/segment.js";
import { FIN, SYN } from "../wire/tcp-flags.js";
import { challengeAck } from "./challenge-ack.js";
import type { AckSample } from "./congestion.js";
import { timestampNow } from "./emit.js";
import { EVENT_WRITABLE } from "./event-bits.js";
import { startRetransmission } from "./output.js";
import { setState, startTimeWait } from "./set-state.js";
import type { Tcb } from "./tcb.js";

/** Takes SEG.ACK and SEG.WND. Returns "" to go on with the sixth step, or what became of the segment. */
export function processAck(tcb: Tcb, seg: Segment, now: Micros): string {
  const snd = tcb.snd;
  if (seqGt(seg.ack, snd.max)) return challengeAck(tcb, "acknowledges what was never sent: challenged", now);
  // RFC 5961 §5.2: SND.UNA - MAX.SND.WND ≤ SEG.ACK, or it is a blind guess.
  if (seqLt(seg.ack, seqAdd(snd.una, -Math.max(snd.maxWnd, 0xffff)))) {
    return challengeAck(tcb, "acknowledgment far too old: challenged", now);
  }
  if (tcb.state === "TIME-WAIT") return "";
  if (seqGt(seg.ack, snd.una)) {
    const finAcked = acknowledge(tcb, seg, now);
    updateWindow(tcb, seg);
    if (finAcked) return afterFin(tcb, now);
    return "";
  }
  if (seg.ack === snd.una && isDuplicate(tcb, seg)) duplicateAck(tcb, now);
  updateWindow(tcb, seg);
  return "";
}

/** SEG.ACK covers new bytes. Returns whether our FIN is among them. */
function acknowledge(tcb: Tcb, seg: Segment, now: Micros): boolean {
  const snd = tcb.snd;
  const flight = tcb.flightSize;
  const bytes = Math.min(seqDiff(seg.ack, tcb.dataStart), tcb.sendQueue.length);
  const finAcked = tcb.finQueued && seqGt(seg.ack, tcb.dataEnd);
  measure(tcb, seg, now);
  snd.una = seg.ack;
  tcb.synAcked = true;
  if (bytes > 0) {
    tcb.sendQueue.discard(bytes);
    tcb.counters.bytesAcked += bytes;
  }
  if (seqLt(snd.nxt, snd.una)) snd.nxt = snd.una;
  if (tcb.urgentOut && seqGe(snd.una, snd.up)) tcb.urgentOut = false;
  tcb.backoffs = 0;
  // The peer is there again: what a router said before is no reason any more. Note: Linux does the same.
  tcb.softError = undefined;
  // SYN and FIN are no bytes to a congestion window.
  recover(tcb, bytes, flight, now);
  // RFC 6298 §5.2, §5.3.
  if (snd.una === snd.max) {
    tcb.timers.retransmission = NEVER;
    // A probe's byte was the last: nothing waits for a window any more.
    if (tcb.sendQueue.length === 0 && (finAcked || !tcb.finQueued)) tcb.timers.persist = NEVER;
  } else if (!tcb.recovery.active || !tcb.recovery.partialSeen) startRetransmission(tcb, now);
  if (tcb.recovery.active) tcb.recovery.partialSeen = true;
  if (tcb.writeBlocked && tcb.sendQueue.length * 2 <= tcb.config.sendBufferBytes) {
    tcb.writeBlocked = false;
    tcb.events |= EVENT_WRITABLE;
  }
  return finAcked;
}

/** Congestion control and NewReno's recovery for an ACK of new data (RFC 5681 §3.1, RFC 6582 §3.2 step 3). */
function recover(tcb: Tcb, acked: number, flight: number, now: Micros): void {
  const { recovery, snd } = tcb;
  if (!recovery.active) {
    recovery.dupAcks = 0;
    // Kept close behind SND.UNA, or after 2 GiB it would seem to lie ahead.
    if (seqGt(snd.una, recovery.recover)) recovery.recover = seqAdd(snd.una, -1);
    ackSample.now = now;
    ackSample.ackedBytes = acked;
    ackSample.flightSize = flight;
    // The congestion window was the limit if less than a segment of it was unused (RFC 7661 §4.1 in spirit).
    ackSample.limited = flight + snd.mss >= tcb.congestion.cwnd;
    ackSample.rttUs = tcb.rtt.latest;
    ackSample.srttUs = tcb.rtt.srtt;
    ackSample.una = snd.una;
    ackSample.nxt = snd.nxt;
    tcb.congestion.onAck(ackSample);
    return;
  }
  if (seqGe(tcb.snd.una, recovery.recover)) {
    recovery.active = false;
    recovery.dupAcks = 0;
    tcb.pending.retransmit = false;
    tcb.congestion.onExitRecovery(tcb.flightSize, now);
  } else {
    tcb.congestion.onPartialAck(acked);
    tcb.pending.retransmit = true;
  }
}

/** Filled anew for every ACK: congestion control copies what it keeps. */
const ackSample: AckSample = {
  now: 0,
  ackedBytes: 0,
  flightSize: 0,
  limited: false,
  rttUs: 0,
  srttUs: 0,
  una: 0,
  nxt: 0,
};

/** A round-trip time: of the timed segment, or by the echoed timestamp when data was repeated (RFC 6298 §3, RFC 7323 §4.1). */
function measure(tcb: Tcb, seg: Segment, now: Micros): void {
  tcb.rtt.latest = 0;
  if (tcb.timing && seqLe(tcb.timedEnd, seg.ack)) {
    tcb.timing = false;
    tcb.rtt.sample(Math.max(1, now - tcb.timedAt));
  } else if (!tcb.timing && tcb.ts.enabled && seg.hasTimestamps && seg.tsEcr !== 0) {
    const elapsed = seqDiff(timestampNow(tcb, now), seg.tsEcr);
    // A peer may echo nonsense: only the last few minutes can be true.
    if (elapsed >= 0 && elapsed < 300_000) tcb.rtt.sample(Math.max(1, elapsed) * MILLISECOND);
  }
  if (tcb.synRepeated) {
    tcb.synRepeated = false;
    // RFC 6298 §5.7.
    if (!tcb.rtt.hasSample && tcb.rtt.rto < 3 * SECOND) tcb.rtt.restart(3 * SECOND);
  }
}

/** The five conditions of a duplicate ACK (RFC 5681 §2). */
function isDuplicate(tcb: Tcb, seg: Segment): boolean {
  return (
    tcb.snd.max !== tcb.snd.una &&
    seg.payloadLength === 0 &&
    (seg.flags & (SYN | FIN)) === 0 &&
    seg.wnd << tcb.snd.windShift === tcb.snd.wnd &&
    tcb.timers.persist === NEVER
  );
}

/** Three of them mean a loss (RFC 5681 §3.2), unless they are about data from before the last recovery (RFC 6582 §3.2 step 1). */
function duplicateAck(tcb: Tcb, now: Micros): void {
  const { recovery, snd } = tcb;
  tcb.counters.dupAcksIn++;
  if (recovery.active) {
    tcb.congestion.onDuplicateAck();
    return;
  }
  recovery.dupAcks++;
  if (recovery.dupAcks !== 3 || seqLe(snd.una, recovery.recover)) return;
  tcb.congestion.onEnterRecovery(tcb.flightSize, now);
  recovery.active = true;
  recovery.partialSeen = false;
  recovery.recover = snd.max;
  tcb.pending.retransmit = true;
  tcb.counters.fastRetransmits++;
}

/** SND.WND, SND.WL1, SND.WL2: not from an old segment. */
function updateWindow(tcb: Tcb, seg: Segment): void {
  const snd = tcb.snd;
  if (!(seqLt(snd.wl1, seg.seq) || (snd.wl1 === seg.seq && seqLe(snd.wl2, seg.ack)))) return;
  snd.wl1 = seqMax(snd.wl1, seg.seq);
  snd.wl2 = seg.ack;
  // The window of a SYN is never scaled (RFC 7323 §2.2).
  snd.wnd = (seg.flags & SYN) !== 0 ? seg.wnd : seg.wnd << snd.windShift;
  snd.maxWnd = Math.max(snd.maxWnd, snd.wnd);
  if (snd.wnd > 0 && tcb.timers.persist !== NEVER) {
    tcb.timers.persist = NEVER;
    tcb.backoffs = 0;
  }
}

/** Our FIN is acknowledged. Returns "" when the sixth step still has something to do. */
function afterFin(tcb: Tcb, now: Micros): string {
  switch (tcb.state) {
    case "FIN-WAIT-1":
      setState(tcb, "FIN-WAIT-2", "rcv ACK of FIN", now);
      if (tcb.readerGone) startFinWait2(tcb, now);
      return "";
    case "CLOSING":
      setState(tcb, "TIME-WAIT", "rcv ACK of FIN", now);
      startTimeWait(tcb, "2 MSL", now);
      return "";
    case "LAST-ACK":
      setState(tcb, "CLOSED", "rcv ACK of FIN", now);
      return "ACK of FIN: closed";
    default:
      return "";
  }
}

/** Nobody reads any more: do not wait for the peer's FIN for ever. Note: Linux does the same (tcp_fin_timeout). */
export function startFinWait2(tcb: Tcb, now: Micros): void {
  const delay = tcb.config.finWait2Us;
  if (delay === NEVER) return;
  tcb.timers.finWait2 = now + delay;
  tcb.observer?.timer(tcb.owner, "fin-wait-2", "start", delay, "the user is gone; waits for the peer's FIN", now);
}
