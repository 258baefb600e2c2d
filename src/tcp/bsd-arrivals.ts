/**
 * What happens to a segment before its ACK field is looked at, in the order in which the descendants of 4.4BSD do it (FreeBSD:
 * tcp_input.c, tcp_syncache.c, tcp_timewait.c). Where RFC 9293 asks first whether a segment is acceptable, they ask for RST and SYN, then
 * cut off what does not fit and go on with the rest, so that even an old duplicate's ACK counts.
 */
import { seqAdd, seqDiff, seqGt, seqInRange, seqLe, seqLt } from "../base/seq.js";
import { MILLISECOND, type Micros } from "../base/time.js";
import type { Segment } from "../wire/segment.js";
import { ACK, FIN, PSH, RST, SYN } from "../wire/tcp-flags.js";
import { challengeAck } from "./challenge-ack.js";
import { askForAck } from "./output.js";
import { fail, setState, startTimeWait } from "./set-state.js";
import type { Tcb } from "./tcb.js";
import { acceptedWindow } from "./window.js";

/**
 * The checks for every state but LISTEN and SYN-SENT. Returns what became of the segment; undefined when it goes on to the fifth step of
 * RFC 9293 §3.10.7.4, perhaps with less in it than it had.
 */
export function bsdArrives(tcb: Tcb, seg: Segment, now: Micros): string | undefined {
  const { config } = tcb;
  if (config.dropsSynFin && (seg.flags & (SYN | FIN)) === (SYN | FIN)) return dropped(tcb, "dropped: SYN and FIN together", now);
  if (tcb.state === "TIME-WAIT") return timeWait(tcb, seg, now);
  if (tcb.state === "SYN-RECEIVED" && tcb.passive && !tcb.fastOpen.accepted) return halfOpen(tcb, seg, now);
  if (lacksTimestamps(tcb, seg) && (seg.flags & RST) === 0) return dropped(tcb, NO_TIMESTAMP, now);
  if (tcb.state === "SYN-RECEIVED" && (seg.flags & ACK) !== 0 && !acknowledgesSyn(tcb, seg)) {
    return answerAndDrop(tcb, seg, "wrong acknowledgment in SYN-RECEIVED: answered with RST", now);
  }
  if ((seg.flags & RST) !== 0) return reset(tcb, seg, now);
  if ((seg.flags & SYN) !== 0 && tcb.state !== "SYN-RECEIVED") return synAgain(tcb, seg, now);
  if (tcb.ts.enabled && isOldDuplicate(tcb, seg, now)) {
    tcb.counters.pawsDrops++;
    if (seg.payloadLength > 0) askForAck(tcb, "answers an old duplicate (PAWS)");
    return dropped(tcb, "dropped: old duplicate (PAWS)", now);
  }
  if (tcb.state === "SYN-RECEIVED" && seqLt(seg.seq, tcb.irs)) {
    return answerAndDrop(tcb, seg, "below the peer's SYN: answered with RST", now);
  }
  const wasSyn = (seg.flags & SYN) !== 0;
  cutOld(tcb, seg);
  if (tcb.readerGone && seg.payloadLength > 0) {
    answerAsStranger(tcb, seg);
    setState(tcb, "CLOSED", "data after CLOSE", now);
    return "data after CLOSE: answered with RST";
  }
  const window = acceptedWindow(tcb);
  const beyond = seqDiff(seqAdd(seg.seq, seg.payloadLength), seqAdd(tcb.rcv.nxt, window));
  if (beyond > 0) {
    if (beyond >= seg.payloadLength) {
      askForAck(tcb, "answers a segment outside the window");
      if (window !== 0 || seg.seq !== tcb.rcv.nxt) return dropped(tcb, "dropped: outside the window", now);
    }
    cutEnd(seg, Math.min(beyond, seg.payloadLength));
  }
  noteTimestamp(tcb, seg, now);
  if ((seg.flags & ACK) !== 0) return undefined;
  // Simultaneous open: the peer has not heard our SYN-ACK.
  if (tcb.state === "SYN-RECEIVED" && wasSyn) tcb.snd.nxt = tcb.iss;
  return dropped(tcb, "dropped: no ACK", now);
}

/** The accept queue is full: the peer is told so (FreeBSD: net.inet.tcp.syncache.rst_on_sock_fail). */
export function refuse(tcb: Tcb, seg: Segment, now: Micros): string {
  answerAsStranger(tcb, seg);
  setState(tcb, "LISTEN", "the accept queue is full", now);
  return "the accept queue is full: answered with RST";
}

/** RST as to a segment of no connection (RFC 9293 §3.10.7.1): without options. None for a RST. */
function answerAsStranger(tcb: Tcb, seg: Segment): void {
  if ((seg.flags & RST) !== 0) return;
  const { pending } = tcb;
  const hasAck = (seg.flags & ACK) !== 0;
  const length = seg.payloadLength + ((seg.flags & SYN) !== 0 ? 1 : 0) + ((seg.flags & FIN) !== 0 ? 1 : 0);
  pending.strayReset = true;
  pending.strayResetHasAck = !hasAck;
  pending.strayResetSeq = hasAck ? seg.ack : seqAdd(seg.seq, length);
  // One whose other end was SYN-SENT is known to us, and says so.
  pending.strayResetIsPlain = tcb.passive || tcb.state !== "SYN-RECEIVED";
}

const NO_TIMESTAMP = "dropped: no timestamp on a connection that uses them";

function dropped(tcb: Tcb, reason: string, now: Micros): string {
  tcb.observer?.drop(tcb.owner, reason, now);
  return reason;
}

function answerAndDrop(tcb: Tcb, seg: Segment, reason: string, now: Micros): string {
  answerAsStranger(tcb, seg);
  return dropped(tcb, reason, now);
}

/** A challenge ACK, whose window is that of an answer. */
function challenge(tcb: Tcb, note: string, now: Micros): string {
  tcb.pending.ackIsAnswer = !tcb.pending.ack;
  return challengeAck(tcb, note, now);
}

function lacksTimestamps(tcb: Tcb, seg: Segment): boolean {
  return tcb.ts.enabled && !seg.hasTimestamps && !tcb.config.toleratesMissingTimestamps;
}

function acknowledgesSyn(tcb: Tcb, seg: Segment): boolean {
  return seqLt(tcb.snd.una, seg.ack) && seqLe(seg.ack, tcb.snd.max);
}

/**
 * RFC 5961 §3.2, with the last number that was acknowledged in the place of RCV.NXT: a peer that has not heard of more, because the ACK is
 * delayed, can know no other.
 */
function reset(tcb: Tcb, seg: Segment, now: Micros): string {
  const edge = tcb.ts.lastAckSent;
  const window = acceptedWindow(tcb);
  const isInside = window === 0 ? seg.seq === edge : seqInRange(seg.seq, edge, window);
  if (!isInside) return dropped(tcb, "dropped: RST outside the window", now);
  if (seg.seq !== edge && !tcb.config.acceptsInexactReset)
    return challenge(tcb, "RST in the window but not exact: challenged", now);
  if (tcb.state === "SYN-RECEIVED") {
    fail(tcb, "ECONNREFUSED", "rcv RST: connection refused", now);
    return "connection refused";
  }
  fail(tcb, "ECONNRESET", "rcv RST: connection reset by the peer", now);
  return "connection reset by the peer";
}

/** RFC 5961 §4.2. */
function synAgain(tcb: Tcb, seg: Segment, now: Micros): string {
  if (!tcb.config.acceptsSynReset || !seqInRange(seg.seq, tcb.ts.lastAckSent, acceptedWindow(tcb)))
    return challenge(tcb, "SYN on a synchronized connection: challenged", now);
  tcb.pending.rst = true;
  tcb.pending.rstReason = "SYN in the window";
  fail(tcb, "ECONNRESET", "rcv SYN in the window", now);
  return "SYN in the window: connection reset";
}

/** PAWS (RFC 7323 §5.3); a TS.Recent of more than 24 days is forgotten (§5.5). */
function isOldDuplicate(tcb: Tcb, seg: Segment, now: Micros): boolean {
  if (!seg.hasTimestamps || tcb.ts.recent === 0 || !seqLt(seg.tsVal, tcb.ts.recent)) return false;
  if (now - tcb.ts.recentAt <= PAWS_IDLE) return true;
  tcb.ts.recent = 0;
  return false;
}

const PAWS_IDLE: Micros = 24 * 86_400_000 * MILLISECOND;

/** Takes away what lies below RCV.NXT. Of a wholly old segment the ACK is left, and it is answered. */
function cutOld(tcb: Tcb, seg: Segment): void {
  const { rcv } = tcb;
  let old = seqDiff(rcv.nxt, seg.seq);
  if (old <= 0) return;
  if ((seg.flags & SYN) !== 0) {
    seg.flags &= ~SYN;
    seg.seq = seqAdd(seg.seq, 1);
    seg.len--;
    old--;
    if (old === 0 && seg.payloadLength > 0) return;
  }
  // What is old in part is cut where the text is taken.
  if (old < seg.payloadLength || (old === seg.payloadLength && (seg.flags & FIN) !== 0)) return;
  if (tcb.sack.enabled && seg.payloadLength > 0) tcb.sack.duplicate(seg.seq, seqAdd(seg.seq, seg.payloadLength));
  seg.flags &= ~FIN;
  seg.seq = seqAdd(seg.seq, seg.payloadLength);
  seg.payloadLength = 0;
  seg.len = 0;
  askForAck(tcb, "answers a segment outside the window");
}

/** Takes away what lies beyond the window, and with it FIN. */
function cutEnd(seg: Segment, bytes: number): void {
  const hadFin = (seg.flags & FIN) !== 0;
  seg.flags &= ~(PSH | FIN);
  seg.payloadLength -= bytes;
  seg.len -= bytes + (hadFin ? 1 : 0);
}

/** RFC 7323 §4.3 with Stevens' amendment: Last.ACK.sent lies in the segment, or at its end. */
function noteTimestamp(tcb: Tcb, seg: Segment, now: Micros): void {
  const { ts } = tcb;
  if (!ts.enabled || !seg.hasTimestamps || !seqLe(seg.seq, ts.lastAckSent)) return;
  const end = seqAdd(seg.seq, seg.payloadLength + ((seg.flags & (SYN | FIN)) !== 0 ? 1 : 0));
  if (seqLt(end, ts.lastAckSent)) return;
  ts.recent = seg.tsVal;
  ts.recentAt = now;
}

/** A half-open connection of a listener: no more than an entry in a cache (FreeBSD: the SYN cache). */
function halfOpen(tcb: Tcb, seg: Segment, now: Micros): string | undefined {
  const { irs, ts } = tcb;
  const first = seqAdd(irs, 1);
  const window = Math.min(tcb.receiveSpace, 0xffff);
  if ((seg.flags & RST) !== 0) {
    if (!seqInRange(seg.seq, first, window)) return dropped(tcb, "dropped: RST outside the window", now);
    if (seg.seq !== first && !tcb.config.acceptsInexactReset)
      return challenge(tcb, "RST in the window but not exact: challenged", now);
    setState(tcb, "LISTEN", "rcv RST", now);
    return "RST: half-open connection forgotten, back to LISTEN";
  }
  if ((seg.flags & (SYN | ACK)) === (SYN | ACK)) {
    answerAsStranger(tcb, seg);
    setState(tcb, "LISTEN", "rcv SYN,ACK", now);
    return "SYN,ACK: half-open connection forgotten, answered with RST";
  }
  if ((seg.flags & SYN) !== 0) {
    if (seg.hasTimestamps) ts.recent = seg.tsVal;
    else ts.enabled = false;
    // The count of repetitions begins anew.
    tcb.backoffs = 0;
    tcb.snd.nxt = tcb.iss;
    tcb.synRepeated = false;
    return "SYN again: SYN-ACK is repeated";
  }
  if ((seg.flags & ACK) === 0) return dropped(tcb, "dropped: no SYN in LISTEN", now);
  if (ts.enabled && seg.hasTimestamps && seqLt(seg.tsVal, ts.recent)) return dropped(tcb, "dropped: old duplicate (PAWS)", now);
  if (lacksTimestamps(tcb, seg)) return dropped(tcb, NO_TIMESTAMP, now);
  if (seg.ack !== seqAdd(tcb.iss, 1)) {
    return answerAndDrop(tcb, seg, "wrong acknowledgment in SYN-RECEIVED: answered with RST", now);
  }
  if (!seqInRange(seg.seq, first, window)) return challenge(tcb, "ACK outside the window: challenged", now);
  noteTimestamp(tcb, seg, now);
  return undefined;
}

/** FreeBSD's tcp_twcheck. A SYN that begins a new incarnation does not come here: see `time-wait.ts`. */
function timeWait(tcb: Tcb, seg: Segment, now: Micros): string {
  const { rcv, snd } = tcb;
  if ((seg.flags & RST) !== 0) return dropped(tcb, "dropped: RST in TIME-WAIT (RFC 1337)", now);
  if ((seg.flags & ACK) === 0) return dropped(tcb, "dropped: no ACK", now);
  if (lacksTimestamps(tcb, seg)) return dropped(tcb, NO_TIMESTAMP, now);
  if ((seg.flags & FIN) !== 0 && seqAdd(seg.seq, seg.len) === rcv.nxt) startTimeWait(tcb, "rcv FIN again: 2 MSL anew", now);
  if (seg.flags === ACK && seg.payloadLength === 0 && seg.seq === rcv.nxt && seg.ack === snd.nxt) {
    return dropped(tcb, "dropped: nothing new in TIME-WAIT", now);
  }
  tcb.pending.ackIsAnswer = !tcb.pending.ack;
  askForAck(tcb, "TIME-WAIT: tells where we are");
  return seqGt(seg.seq, rcv.nxt) ? "beyond our end in TIME-WAIT: answered" : "old duplicate in TIME-WAIT: answered";
}
