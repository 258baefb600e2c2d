/** The fifth step of SEGMENT ARRIVES, "check the ACK field" (RFC 9293 §3.10.7.4), with RFC 6298. What it means for recovery is in `loss-recovery.ts`. */
import { seqAdd, seqDiff, seqGe, seqGt, seqLe, seqLt, seqMax } from "../base/seq.js";
import { type Micros, NEVER } from "../base/time.js";
import type { Segment } from "../wire/segment.js";
import { FIN, SYN } from "../wire/tcp-flags.js";
import { challengeAck } from "./challenge-ack.js";
import { synAcknowledged } from "./fast-open.js";
import { ackedBefore, awaitsThird, thirdArrived } from "./linux-fast-open.js";
import { ackForRecovery, startTlp } from "./loss-recovery.js";
import { persistDelay, startRetransmission } from "./output.js";
import { largestWindowGrew } from "./path-mtu.js";
import { tellWritable } from "./send-space.js";
import { setState, startTimeWait } from "./set-state.js";
import type { Tcb } from "./tcb.js";
import { windowPatienceEnd } from "./user-timeout.js";

/** Takes SEG.ACK and SEG.WND. Returns "" to go on with the sixth step, or what became of the segment. */
export function processAck(tcb: Tcb, seg: Segment, now: Micros): string {
  const snd = tcb.snd;
  if (seqGt(seg.ack, snd.max)) return challengeAck(tcb, "acknowledges what was never sent: challenged", now);
  // RFC 5961 §5.2: SND.UNA - MAX.SND.WND ≤ SEG.ACK, or it is a blind guess.
  if (seqLt(seg.ack, seqAdd(snd.una, -Math.max(snd.maxWnd, 0xffff)))) {
    return challengeAck(tcb, "acknowledgment far too old: challenged", now);
  }
  tcb.lastAckReceivedAt = now;
  tcb.batch.isDeferred = false;
  if (tcb.state === "TIME-WAIT") return "";
  const previousUna = snd.una;
  if (seqGt(seg.ack, previousUna)) {
    const isThird = awaitsThird(tcb);
    const before = ackedBefore(tcb);
    const finAcked = acknowledge(tcb, seg, now);
    ackForRecovery(tcb, seg, before, false, now);
    if (isThird && tcb.linuxSender !== undefined) thirdArrived(tcb, tcb.linuxSender, now);
    afterAck(tcb, finAcked, now);
    // Note: Linux probes for no tail before an ACK has covered data.
    if (isThird && snd.una === before) tcb.timers.tlp = NEVER;
    updateWindow(tcb, seg, now);
    if (finAcked) return afterFin(tcb, seg, now);
    return "";
  }
  if (tcb.linuxSender !== undefined) {
    // An old ACK may bring SACK blocks still.
    if (seg.ack === previousUna || seg.sackCount > 0) ackForRecovery(tcb, seg, previousUna, false, now);
  } else if (seg.ack === previousUna) {
    const duplicate = snd.max !== previousUna && isDuplicate(tcb, seg);
    if (duplicate) tcb.counters.dupAcksIn++;
    // A D-SACK of the tail comes when all is acknowledged.
    // Accurate ECN counts on, if the segment is surely no old one.
    const counts = tcb.ecn.accurate?.isFresh === true;
    if (duplicate || counts || seg.sackCount > 0 || tcb.recovery.tlpActive) ackForRecovery(tcb, seg, previousUna, duplicate, now);
  }
  updateWindow(tcb, seg, now);
  // Note: every ACK with which the window stays closed puts off Linux's next probe (tcp_ack_probe).
  if (tcb.linuxSender !== undefined && tcb.timers.persist !== NEVER && tcb.sent.length === 0)
    tcb.timers.persist = Math.min(now + persistDelay(tcb), windowPatienceEnd(tcb));
  return "";
}

/** SEG.ACK covers new bytes. Returns whether our FIN is among them. */
function acknowledge(tcb: Tcb, seg: Segment, now: Micros): boolean {
  const snd = tcb.snd;
  const bytes = Math.min(seqDiff(seg.ack, tcb.dataStart), tcb.sendQueue.length);
  const finAcked = tcb.finQueued && seqGt(seg.ack, tcb.dataEnd);
  measureSyn(tcb, now);
  snd.una = seg.ack;
  if (!tcb.synAcked) synAcknowledged(tcb);
  tcb.synAcked = true;
  if (bytes > 0) {
    tcb.sendQueue.discard(bytes);
    tcb.counters.bytesAcked += bytes;
  }
  // A SYN-ACK that was to be repeated has taken SND.NXT back, also behind what a Fast Open server has sent after it.
  if (seqLt(snd.nxt, snd.una)) snd.nxt = seqMax(snd.una, tcb.sent.last?.end ?? snd.una);
  if (tcb.urgentOut && seqGe(snd.una, snd.up)) tcb.urgentOut = false;
  // The peer is there again: what a router said before is no reason any more. Note: Linux does the same.
  tcb.softError = undefined;
  tcb.transmitMarks?.noteAcknowledged(tcb, now);
  tellWritable(tcb);
  return finAcked;
}

/** RFC 6298 §5.2, §5.3, and the restart of the probe timer. */
function afterAck(tcb: Tcb, finAcked: boolean, now: Micros): void {
  const { snd, recovery, timers } = tcb;
  tcb.backoffs = 0;
  if (snd.una === snd.max) {
    timers.retransmission = NEVER;
    timers.tlp = NEVER;
    tcb.idleSince = now;
    // A probe's byte was the last: nothing waits for a window any more.
    if (tcb.sendQueue.length === 0 && (finAcked || !tcb.finQueued)) timers.persist = NEVER;
    return;
  }
  if (tcb.linuxSender?.hasAckedNone) return;
  // RFC 6582 §3.2 step 3: in NewReno's recovery only the first partial ACK restarts the timer.
  if (!recovery.active || tcb.sack.enabled || !recovery.partialSeen) startRetransmission(tcb, now);
  if (recovery.active) recovery.partialSeen = true;
  const { linuxSender } = tcb;
  if (linuxSender !== undefined && linuxSender.renegWait > 0) {
    timers.retransmission = now + linuxSender.renegWait;
    timers.tlp = NEVER;
    linuxSender.renegWait = 0;
    return;
  }
  startTlp(tcb, now);
}

/** The handshake's round-trip time, unless the SYN was repeated (RFC 6298 §3, Karn). */
function measureSyn(tcb: Tcb, now: Micros): void {
  if (tcb.synAcked || tcb.synRepeated || tcb.synSentAt === NEVER) return;
  if (!tcb.config.timesSynAck && tcb.passive && !tcb.ts.enabled) return;
  const rtt = Math.max(1, now - tcb.synSentAt);
  tcb.rtt.sample(rtt);
  if (tcb.linuxSender !== undefined) tcb.rack.measured(rtt, now);
}

/** The five conditions of a duplicate ACK (RFC 5681 §2). */
function isDuplicate(tcb: Tcb, seg: Segment): boolean {
  return (
    seg.payloadLength === 0 &&
    (seg.flags & (SYN | FIN)) === 0 &&
    seg.wnd << tcb.snd.windShift === tcb.snd.wnd &&
    tcb.timers.persist === NEVER
  );
}

/** Linux overlooks a window that shrinks without news of anything else, unless it closes (tcp_may_update_window). */
function keepsWindow({ snd }: Tcb, seg: Segment): boolean {
  const window = seg.wnd << ((seg.flags & SYN) === 0 ? snd.windShift : 0);
  return seg.ack === snd.wl2 && seg.seq === snd.wl1 && window !== 0 && window <= snd.wnd;
}

/** SND.WND, SND.WL1, SND.WL2: not from an old segment. */
function updateWindow(tcb: Tcb, seg: Segment, now: Micros): void {
  const snd = tcb.snd;
  if (tcb.linuxSender !== undefined && keepsWindow(tcb, seg)) return;
  if (!(seqLt(snd.wl1, seg.seq) || (snd.wl1 === seg.seq && seqLe(snd.wl2, seg.ack)))) return;
  // Note: FreeBSD has it so: what shrinks the window must be newer than what told it.
  const isSame = snd.wl1 === seg.seq && snd.wl2 === seg.ack;
  if (isSame && tcb.config.windowRule === "bsd" && seg.wnd << snd.windShift <= snd.wnd) return;
  snd.wl1 = seqMax(snd.wl1, seg.seq);
  snd.wl2 = seg.ack;
  // The window of a SYN is never scaled (RFC 7323 §2.2).
  snd.wnd = (seg.flags & SYN) !== 0 ? seg.wnd : seg.wnd << snd.windShift;
  if (snd.wnd > snd.maxWnd) {
    snd.maxWnd = snd.wnd;
    if (tcb.linuxSender !== undefined) largestWindowGrew(tcb);
  }
  if (snd.wnd > 0 && tcb.timers.persist !== NEVER) {
    tcb.timers.persist = NEVER;
    tcb.backoffs = 0;
    if (tcb.sent.length > 0 && tcb.timers.retransmission === NEVER) startRetransmission(tcb, now);
  }
}

/** Our FIN is acknowledged. Returns "" when the sixth step still has something to do. */
function afterFin(tcb: Tcb, seg: Segment, now: Micros): string {
  switch (tcb.state) {
    case "FIN-WAIT-1":
      setState(tcb, "FIN-WAIT-2", "rcv ACK of FIN", now);
      if (!tcb.readerGone) return "";
      if (tcb.config.finWait2Us <= 0) return endWithoutWaiting(tcb, seg, now);
      startFinWait2(tcb, now);
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

/** TCP_LINGER2 below 0: the user is gone and wants no FIN-WAIT-2. Note: Linux answers with RST, as we do. */
function endWithoutWaiting(tcb: Tcb, seg: Segment, now: Micros): string {
  tcb.pending.strayReset = true;
  tcb.pending.strayResetSeq = seg.ack;
  tcb.pending.strayResetIsPlain = true;
  setState(tcb, "CLOSED", "FIN-WAIT-2 is not waited for", now);
  return "ACK of FIN: closed without waiting for the peer's FIN";
}

/** Nobody reads any more: do not wait for the peer's FIN for ever. Note: Linux does the same (tcp_fin_timeout). */
export function startFinWait2(tcb: Tcb, now: Micros): void {
  // All of ours is acknowledged: nothing is left to linger for.
  tcb.timers.linger = NEVER;
  const delay = tcb.config.finWait2Us;
  if (delay === NEVER) return;
  tcb.timers.finWait2 = now + delay;
  tcb.observer?.timer(tcb.owner, "fin-wait-2", "start", delay, "the user is gone; waits for the peer's FIN", now);
}
