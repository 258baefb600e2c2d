/**
 * SEGMENT ARRIVES (RFC 9293 §3.10.7), in the RFC's order: LISTEN, SYN-SENT, and the eight steps of all other states. The
 * CLOSED state has no TCB; its answer is the stack's. Each function returns what was made of the segment, in a few
 * constant words; nothing that a peer sends throws.
 */
import { seqAdd, seqGt, seqInRange, seqLe, seqLt } from "../base/seq.js";
import { MILLISECOND, type Micros } from "../base/time.js";
import type { Segment } from "../wire/segment.js";
import { ACK, FIN, RST, SYN, URG } from "../wire/tcp-flags.js";
import { type AccurateEcn, acknowledgeChange, countReceived, inspectOption, thirdSegment } from "./accurate-ecn.js";
import { duplicateCame } from "./accurate-ecn-option.js";
import { processAck } from "./ack-arrives.js";
import { bsdArrives, refuse } from "./bsd-arrivals.js";
import { challengeAck, outOfWindowAck } from "./challenge-ack.js";
import { defersAccept } from "./defer-accept.js";
import { ecnReceived, takeRepeatedSyn, takeSynEcn } from "./ecn.js";
import { offeredShift } from "./emit.js";
import { EVENT_URGENT } from "./event-bits.js";
import { takeSynAck } from "./fast-open.js";
import { initialWindow } from "./initial-window.js";
import { linuxArrives, linuxText } from "./linux-arrivals.js";
import { useCongestion } from "./linux-choice.js";
import { awaitsThird } from "./linux-fast-open.js";
import { askForAck } from "./output.js";
import { largestWindowGrew } from "./path-mtu.js";
import { fail, setState, startTimeWait } from "./set-state.js";
import type { Tcb } from "./tcb.js";
import { processFin, processText } from "./text-arrives.js";
import { setEffectiveMss } from "./user-calls.js";
import { wholeSegments } from "./window.js";

/** A segment for this connection. */
export function segmentArrives(tcb: Tcb, seg: Segment, now: Micros): string {
  tcb.counters.segmentsIn++;
  if (seg.payloadLength > 0) tcb.counters.dataSegmentsIn++;
  tcb.lastReceiveAt = now;
  switch (tcb.state) {
    case "CLOSED":
      return "dropped: the connection is closed";
    case "LISTEN":
      return listen(tcb, seg, now);
    case "SYN-SENT":
      return synSent(tcb, seg, now);
    default:
      return otherStates(tcb, seg, now);
  }
}

/** Counts and tells a segment that is dropped. */
export function drop(tcb: Tcb, reason: string, now: Micros): string {
  tcb.observer?.drop(tcb.owner, reason, now);
  return reason;
}

// §3.10.7.2 LISTEN STATE. RST and ACK were answered by the stack, which makes a TCB for a SYN alone.
function listen(tcb: Tcb, seg: Segment, now: Micros): string {
  takeSyn(tcb, seg, now);
  // Third: other control or text of the SYN. Note: Linux drops text on a SYN without Fast Open, as we do; the peer repeats it.
  setState(tcb, "SYN-RECEIVED", "rcv SYN", now);
  if (tcb.fastOpen.accepted) return fastOpenText(tcb, seg, now);
  return "SYN: half-open, waits in the SYN queue";
}

/** RFC 7413 §4.2.2: the stack found the cookie good, so the text goes to the user before the handshake is done. FIN will come again. */
function fastOpenText(tcb: Tcb, seg: Segment, now: Micros): string {
  const { rcv } = tcb;
  seg.flags &= ~FIN;
  // No window was told yet: all that there is room for.
  rcv.adv = seqAdd(rcv.nxt, Math.min(tcb.receiveSpace, seg.payloadLength));
  tcb.linux?.established(tcb, now);
  processText(tcb, seg, now);
  // Note: Linux opens the whole window behind what the SYN brought.
  if (tcb.linux !== undefined) {
    tcb.linux.windowAt = rcv.nxt;
    rcv.adv = seqAdd(rcv.nxt, tcb.linux.window);
  }
  tcb.fastOpen.rcvNxt = rcv.nxt;
  if (tcb.linuxSender !== undefined) largestWindowGrew(tcb);
  tcb.fastOpen.synDataAcked = rcv.nxt !== seqAdd(tcb.irs, 1);
  return "SYN with a good Fast Open cookie: its data goes to the user at once";
}

// §3.10.7.3 SYN-SENT STATE
function synSent(tcb: Tcb, seg: Segment, now: Micros): string {
  const snd = tcb.snd;
  const hasAck = (seg.flags & ACK) !== 0;
  // First, check the ACK bit.
  if (hasAck && (seqLe(seg.ack, tcb.iss) || seqGt(seg.ack, snd.max))) {
    if (seg.flags & RST) return drop(tcb, "dropped: RST with a wrong acknowledgment", now);
    // The peer holds an old connection of these ports (RFC 9293 §3.5.1, figure 9): our RST clears it, and the SYN may come at
    // once instead of a whole RTO later. Note: Linux does the same.
    if (tcb.backoffs === 0 && tcb.config.arrivalRules !== "bsd")
      tcb.timers.retransmission = Math.min(tcb.timers.retransmission, now + SYN_AFTER_RESET);
    return strayReset(tcb, seg, "wrong acknowledgment in SYN-SENT: answered with RST", now);
  }
  // Second, check the RST bit.
  if (seg.flags & RST) {
    if (!hasAck) return drop(tcb, "dropped: RST without acknowledgment in SYN-SENT", now);
    fail(tcb, "ECONNREFUSED", "rcv RST: connection refused", now);
    return "connection refused";
  }
  // Fourth, check the SYN bit. Fifth, if neither SYN nor RST is set, drop.
  if ((seg.flags & SYN) === 0) return drop(tcb, "dropped: no SYN in SYN-SENT", now);
  takeSyn(tcb, seg, now);
  const { trying } = tcb.fastOpen;
  takeSynAck(tcb, seg);
  if (!hasAck) {
    // Simultaneous open: our SYN goes out again, with the ACK (MUST-10). Note: Linux repeats no cookie.
    if (tcb.linux !== undefined) {
      tcb.fastOpen.cookie = undefined;
      // Note: and scales its windows though the peer did not ask for it, which RFC 7323 §2.2 forbids.
      if (tcb.config.windowScaling) tcb.rcv.windShift = tcb.linux.shift;
    }
    snd.nxt = tcb.iss;
    setState(tcb, "SYN-RECEIVED", "rcv SYN: simultaneous open", now);
    return "SYN: simultaneous open";
  }
  setState(tcb, "ESTABLISHED", "rcv SYN,ACK", now);
  acceptWindow(tcb, seg, now);
  tcb.linux?.established(tcb, now);
  if (tcb.linux?.acks.isInteractive === true) {
    tcb.linux.acks.delayHandshake(tcb, now);
    return "SYN,ACK: connected, the ACK goes with the first data";
  }
  askForAck(tcb, "third segment: both directions work");
  // Note: Linux lets the peer repeat them, unless Fast Open was tried.
  if (tcb.linux !== undefined) {
    if (!trying) return "SYN,ACK: connected";
    seg.flags &= ~SYN;
    seg.seq = seqAdd(seg.seq, 1);
    seg.len--;
  }
  // Text and FIN may ride on the SYN-ACK: on with the sixth step.
  return textSteps(tcb, seg, now, "SYN,ACK: connected");
}

/** Time for the RST to arrive first; Linux's TCP_TIMEOUT_MIN. */
const SYN_AFTER_RESET: Micros = 2 * MILLISECOND;

// §3.10.7.4 OTHER STATES
function otherStates(tcb: Tcb, seg: Segment, now: Micros): string {
  if (tcb.config.arrivalRules === "bsd") return bsdArrives(tcb, seg, now) ?? fifthStep(tcb, seg, now);
  const { linux } = tcb;
  if (linux !== undefined) return linuxArrives(tcb, linux, seg, now) ?? afterLinuxChecks(tcb, seg, now);
  // RFC 7323 §5.3 R1: PAWS comes before the sequence check.
  if (tcb.ts.enabled && (seg.flags & RST) === 0) {
    if (!seg.hasTimestamps) return drop(tcb, "dropped: no timestamp on a connection that uses them", now);
    if (pawsRejects(tcb, seg, now)) {
      tcb.counters.pawsDrops++;
      if (seg.len === 0) return outOfWindowAck(tcb, "dropped: old duplicate (PAWS), carries nothing", now);
      askForAck(tcb, "answers an old duplicate (PAWS)");
      return drop(tcb, "dropped: old duplicate (PAWS)", now);
    }
  }
  // First, check the sequence number.
  if (!acceptable(tcb, seg) || isSynAgain(tcb, seg)) {
    if (seg.flags & RST) return drop(tcb, "dropped: RST outside the window", now);
    return unacceptable(tcb, seg, now);
  }
  // RFC 7323 §4.3: TS.Recent follows segments that cover the last ACK sent.
  const { accurate } = tcb.ecn;
  if (tcb.ts.enabled && seg.hasTimestamps && seqLe(seg.seq, tcb.ts.lastAckSent)) {
    if (accurate !== undefined) accurate.isFresh = seqGt(seg.tsVal, tcb.ts.recent);
    tcb.ts.recent = seg.tsVal;
    tcb.ts.recentAt = now;
  }
  // Second, check the RST bit (RFC 5961 §3.2: exact, or challenged).
  if (seg.flags & RST) {
    if (seg.seq === tcb.rcv.nxt) return reset(tcb, now);
    return challengeAck(tcb, "RST in the window but not exact: challenged", now);
  }
  // Fourth, check the SYN bit (RFC 5961 §4.2).
  if (seg.flags & SYN) {
    if (tcb.state !== "SYN-RECEIVED") takeRepeatedSyn(tcb, seg, false);
    if (tcb.state !== "SYN-RECEIVED") return challengeAck(tcb, "SYN on a synchronized connection: challenged", now);
    // RFC 9293 §3.10.7.4: a passive open goes back to LISTEN, that is, this half-open connection is forgotten.
    if (tcb.passive && !tcb.fastOpen.accepted) {
      setState(tcb, "LISTEN", "rcv SYN in the window", now);
      return "SYN in the window: back to LISTEN";
    }
    // A SYN-ACK that answers ours in a simultaneous open comes below the window; this one is none.
    return challengeAck(tcb, "SYN in the window: challenged", now);
  }
  // Fifth, check the ACK field.
  if ((seg.flags & ACK) === 0) return drop(tcb, "dropped: no ACK", now);
  return fifthStep(tcb, seg, now);
}

/** A RST that is good, a SYN-ACK of a simultaneous open, or the fifth step. */
function afterLinuxChecks(tcb: Tcb, seg: Segment, now: Micros): string {
  return (seg.flags & RST) !== 0 ? reset(tcb, now) : fifthStep(tcb, seg, now);
}

/** The fifth step, for a segment with ACK, and those after it. */
function fifthStep(tcb: Tcb, seg: Segment, now: Micros): string {
  const { snd } = tcb;
  const { accurate } = tcb.ecn;
  if (tcb.state === "SYN-RECEIVED") {
    if (!(seqLt(snd.una, seg.ack) && seqLe(seg.ack, snd.max))) return strayReset(tcb, seg, WRONG_ACK, now);
    if (defersAccept(tcb, seg)) return drop(tcb, "dropped: the third segment is bare, its connection waits for data", now);
    if (!tcb.owner.mayEstablish(now)) return tcb.config.resetsOverflow ? refuse(tcb, seg, now) : drop(tcb, GATE_CLOSED, now);
    establish(tcb, seg, now);
    if (accurate !== undefined) accurateEstablished(tcb, accurate, seg);
  } else if (tcb.state === "FIN-WAIT-1" && awaitsThird(tcb)) {
    // CLOSE came before the third segment did.
    tcb.owner.mayEstablish(now);
  } else if (accurate?.thirdDue === true) {
    accurate.thirdDue = false;
    accurate.handshake = true;
    thirdSegment(tcb, accurate, seg);
  }
  if (accurate !== undefined) countReceived(tcb, accurate, seg);
  const verdict = processAck(tcb, seg, now);
  if (accurate !== undefined) {
    accurate.isFresh = false;
    accurate.handshake = false;
  }
  if (verdict !== "") return verdict;
  return textSteps(tcb, seg, now, "");
}

/** The ACK of our SYN-ACK has come: the third segment, or in a simultaneous open the peer's SYN-ACK, which has an answer of its own. */
function accurateEstablished(tcb: Tcb, accurate: AccurateEcn, seg: Segment): void {
  if ((seg.flags & SYN) === 0) {
    thirdSegment(tcb, accurate, seg);
    return;
  }
  takeRepeatedSyn(tcb, seg, false);
  inspectOption(accurate, seg);
  accurate.thirdDue = true;
  askForAck(tcb, "answers the SYN,ACK of a simultaneous open");
}

/** Sixth, URG; seventh, the text; eighth, FIN. */
function textSteps(tcb: Tcb, seg: Segment, now: Micros, note: string): string {
  if ((seg.flags & URG) !== 0) processUrgent(tcb, seg);
  const { linux } = tcb;
  const { accurate } = tcb.ecn;
  if (linux !== undefined) {
    const text = linuxText(tcb, linux, seg, now);
    // Behind the text, whose first segment begins a quick phase of its own.
    if (tcb.ecn.enabled) ecnReceived(tcb, seg);
    const fin = processFin(tcb, now);
    linux.acks.check(tcb, now);
    return fin || text || note;
  }
  if (tcb.ecn.enabled) ecnReceived(tcb, seg);
  if (seg.len === 0 || (seg.flags & (ACK | SYN)) === SYN) return note;
  const text = processText(tcb, seg, now);
  if (accurate !== undefined) acknowledgeChange(tcb, accurate, seg);
  const fin = processFin(tcb, now);
  if (fin !== "") return fin;
  return text !== "" ? text : note;
}

/** Whether the segment occupies a part of the receive window, by the table of RFC 9293 §3.10.7.4. */
function acceptable(tcb: Tcb, seg: Segment): boolean {
  const nxt = tcb.rcv.nxt;
  const wnd = tcb.receiveWindow;
  if (wnd === 0) {
    // MUST-66 and §3.10.7.4: with a closed window ACK, RST and URG of the segment at RCV.NXT still count, its text does not.
    return seg.seq === nxt;
  }
  if (seg.len === 0) return seqInRange(seg.seq, nxt, wnd);
  return seqInRange(seg.seq, nxt, wnd) || seqInRange(seqAdd(seg.seq, seg.len - 1), nxt, wnd);
}

/** The SYN of SYN-RECEIVED once more; text that it carries may reach into the window. */
function isSynAgain(tcb: Tcb, seg: Segment): boolean {
  return tcb.state === "SYN-RECEIVED" && (seg.flags & (SYN | RST)) === SYN && seg.seq === tcb.irs;
}

function unacceptable(tcb: Tcb, seg: Segment, now: Micros): string {
  if (isSynAgain(tcb, seg)) {
    if (seg.flags & ACK) {
      // Simultaneous open: the peer's SYN,ACK repeats its SYN below our window; its ACK is what we wait for.
      if (!seqLt(tcb.snd.una, seg.ack) || !seqLe(seg.ack, tcb.snd.max)) return strayReset(tcb, seg, WRONG_ACK, now);
      if (!tcb.owner.mayEstablish(now)) return drop(tcb, GATE_CLOSED, now);
      establish(tcb, seg, now);
      if (tcb.ecn.accurate !== undefined) accurateEstablished(tcb, tcb.ecn.accurate, seg);
      processAck(tcb, seg, now);
      askForAck(tcb, "answers the SYN,ACK of a simultaneous open");
      return "SYN,ACK: connected both ways at once";
    }
    takeRepeatedSyn(tcb, seg, true);
    // The peer has not heard our SYN-ACK. A bare ACK, as the RFC has it, would not help it. Note: Linux does the same.
    tcb.snd.nxt = tcb.iss;
    return "SYN again: SYN-ACK is repeated";
  }
  // RFC 5961 §4.2: a SYN is challenged wherever it lies.
  if ((seg.flags & SYN) !== 0) takeRepeatedSyn(tcb, seg, false);
  if ((seg.flags & SYN) !== 0) return challengeAck(tcb, "SYN outside the window: challenged", now);
  if (tcb.rcv.finSeen && seqGt(tcb.rcv.nxt, tcb.rcv.fin)) return repeatedFin(tcb, seg, now);
  if (seg.len > 0) {
    noteDuplicate(tcb, seg);
    askForAck(tcb, "answers a segment outside the window");
    return drop(tcb, "dropped: outside the window", now);
  }
  return outOfWindowAck(tcb, BARE_OUTSIDE, now);
}

const BARE_OUTSIDE = "dropped: outside the window, carries nothing";

/** Data below RCV.NXT is here already: the next ACK says so (RFC 2883 §4). */
function noteDuplicate(tcb: Tcb, seg: Segment): void {
  if (!tcb.sack.enabled || seg.payloadLength === 0) return;
  const end = seqAdd(seg.seq, seg.payloadLength);
  if (!seqLe(end, tcb.rcv.nxt)) return;
  duplicateCame(tcb, seg.seq, end);
  tcb.sack.duplicate(seg.seq, end);
}

/** After the peer's FIN only its repetition can come: the last ACK was lost (RFC 9293 §3.10.7.4, eighth, TIME-WAIT). */
function repeatedFin(tcb: Tcb, seg: Segment, now: Micros): string {
  if (seg.len === 0) return outOfWindowAck(tcb, BARE_OUTSIDE, now);
  if ((seg.flags & FIN) === 0) {
    askForAck(tcb, "answers data that is here already");
    return drop(tcb, "dropped: outside the window", now);
  }
  askForAck(tcb, "acknowledges the repeated FIN once more");
  if (tcb.state !== "TIME-WAIT") return "FIN again: acknowledged once more";
  startTimeWait(tcb, "rcv FIN again: 2 MSL anew", now);
  return "FIN again: acknowledged once more, the 2MSL wait starts anew";
}

const GATE_CLOSED = "dropped: the accept queue is full";
const WRONG_ACK = "wrong acknowledgment in SYN-RECEIVED: answered with RST";

/** <SEQ=SEG.ACK><CTL=RST>: the sender speaks of a connection that is not this one; ours stays as it is. */
function strayReset(tcb: Tcb, seg: Segment, note: string, now: Micros): string {
  tcb.pending.strayReset = true;
  tcb.pending.strayResetSeq = seg.ack;
  return drop(tcb, note, now);
}

/** TS.Recent is newer than the segment's timestamp, and not so old that the clock may have wrapped (RFC 7323 §5.3, §5.5). */
function pawsRejects(tcb: Tcb, seg: Segment, now: Micros): boolean {
  return seqLt(seg.tsVal, tcb.ts.recent) && now - tcb.ts.recentAt < PAWS_IDLE;
}

/** 24 days (RFC 7323 §5.5). */
const PAWS_IDLE: Micros = 24 * 86_400_000 * MILLISECOND;

/** IRS, RCV.NXT and the options of a SYN. */
function takeSyn(tcb: Tcb, seg: Segment, now: Micros): void {
  const { config, rcv, snd, ts } = tcb;
  tcb.irs = seg.seq;
  rcv.nxt = seqAdd(seg.seq, 1);
  rcv.adv = rcv.nxt;
  rcv.up = rcv.nxt;
  if (config.windowScaling && seg.windowScale >= 0) {
    tcb.scaling = true;
    // RFC 7323 §2.3: a shift beyond 14 is taken as 14.
    snd.windShift = Math.min(seg.windowScale, 14);
    rcv.windShift = offeredShift(tcb);
  }
  if (config.timestamps && seg.hasTimestamps) {
    ts.enabled = true;
    ts.recent = seg.tsVal;
    ts.recentAt = now;
  }
  tcb.sack.enabled = config.sack && seg.sackPermitted;
  takeSynEcn(tcb, seg);
  // Our SYN announced 64 KiB at the most: what it promised stands (SYN-SENT), or will be promised by the SYN-ACK.
  if (tcb.state === "SYN-SENT") rcv.adv = seqAdd(rcv.nxt, Math.min(tcb.receiveBufferBytes, 0xffff));
  const { linux } = tcb;
  if (linux !== undefined) {
    if (tcb.state === "LISTEN") linux.begin(tcb);
    if (tcb.scaling) rcv.windShift = linux.shift;
    linux.windowAt = rcv.nxt;
    rcv.adv = seqAdd(rcv.nxt, linux.window);
  }
  setEffectiveMss(tcb, seg.mss);
  // The window of a SYN is never scaled (RFC 7323 §2.2).
  snd.wnd = seg.wnd;
  snd.maxWnd = seg.wnd;
  snd.wl1 = seg.seq;
  snd.wl2 = seg.ack;
}

/** SYN-RECEIVED to ESTABLISHED (fifth step), and at once on to FIN-WAIT-1 if CLOSE was called meanwhile. */
function establish(tcb: Tcb, seg: Segment, now: Micros): void {
  setState(tcb, "ESTABLISHED", "rcv ACK of SYN", now);
  const isWaiting = awaitsThird(tcb);
  if (!isWaiting) {
    const shift = (seg.flags & SYN) !== 0 ? 0 : tcb.snd.windShift;
    tcb.snd.wnd = seg.wnd << shift;
    tcb.snd.maxWnd = tcb.linuxSender === undefined ? Math.max(tcb.snd.maxWnd, tcb.snd.wnd) : tcb.snd.wnd;
    if (tcb.linuxSender !== undefined) largestWindowGrew(tcb);
    tcb.snd.wl1 = seg.seq;
    tcb.snd.wl2 = seg.ack;
  }
  // RFC 5681 §3.1: after a lost SYN,ACK one segment. (For a lost SYN `setEffectiveMss` has seen to it.)
  if (tcb.synRepeated && !isWaiting) useCongestion(tcb, tcb.config.congestion, initialWindow(tcb));
  if (tcb.config.wholeSegmentBuffer) tcb.receiveBufferBytes = wholeSegments(tcb, tcb.receiveBufferBytes);
  tcb.linux?.established(tcb, now);
  if (tcb.finQueued) setState(tcb, "FIN-WAIT-1", "CLOSE was called before", now);
}

/** The ACK of our SYN in SYN-SENT. */
function acceptWindow(tcb: Tcb, seg: Segment, now: Micros): void {
  processAck(tcb, seg, now);
  if (tcb.finQueued) setState(tcb, "FIN-WAIT-1", "CLOSE was called before", now);
}

/** RST at RCV.NXT (second step). */
function reset(tcb: Tcb, now: Micros): string {
  switch (tcb.state) {
    case "SYN-RECEIVED":
      if (tcb.fastOpen.accepted) break;
      if (tcb.passive) {
        setState(tcb, "LISTEN", "rcv RST", now);
        return "RST: half-open connection forgotten, back to LISTEN";
      }
      // Note: Linux says "refused" in SYN-SENT alone.
      fail(tcb, tcb.linux === undefined ? "ECONNREFUSED" : "ECONNRESET", "rcv RST: connection refused", now);
      return "connection refused";
    case "CLOSING":
    case "LAST-ACK":
      // The RFC makes no failure of it. With data of ours unacknowledged it is one, and the user must know (MUST-12).
      if (tcb.sendQueue.length > 0) fail(tcb, "ECONNRESET", "rcv RST: our last data may be lost", now);
      else setState(tcb, "CLOSED", "rcv RST", now);
      return "RST: closed";
    case "TIME-WAIT":
      // RFC 1337, fix F1: RST must not cut TIME-WAIT short.
      return drop(tcb, "dropped: RST in TIME-WAIT (RFC 1337)", now);
    default:
  }
  fail(tcb, "ECONNRESET", "rcv RST: connection reset by the peer", now);
  return "connection reset by the peer";
}

/** RCV.UP follows the furthest urgent pointer; it names the byte after the urgent data (RFC 9293 §3.8.5, MUST-62). */
function processUrgent(tcb: Tcb, seg: Segment): void {
  switch (tcb.state) {
    case "ESTABLISHED":
    case "FIN-WAIT-1":
    case "FIN-WAIT-2": {
      const up = seqAdd(seg.seq, seg.up);
      // RCV.UP of urgent data that was read counts no more: after 2 GiB it would seem to lie ahead.
      if (seqGt(up, tcb.rcv.nxt) && (!tcb.urgentIn || seqGt(up, tcb.rcv.up))) {
        tcb.rcv.up = up;
        tcb.urgentIn = true;
        tcb.events |= EVENT_URGENT;
      }
      break;
    }
    default:
      break;
  }
}
