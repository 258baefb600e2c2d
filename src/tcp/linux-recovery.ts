/**
 * Loss recovery as Linux has it: its states (open, disorder, CWR, recovery, loss), segments counted instead of bytes, proportional
 * rate reduction, F-RTO, and all the ways in which a reduction is taken back (net/ipv4/tcp_input.c, tcp_recovery.c). It runs where
 * `config.sender` is "linux", in the place of `loss-recovery.ts`; both find what is lost in the list of what was sent.
 */
import { seqDiff, seqGt, seqLe, seqLt } from "../base/seq.js";
import { MILLISECOND, type Micros, NEVER } from "../base/time.js";
import type { Segment } from "../wire/segment.js";
import { tellsMarks } from "./ecn.js";
import { updatePacingRate } from "./linux-batch.js";
import { isPast, justBefore, type LinuxControl } from "./linux-control.js";
import { afterRepeatedSyn, measure, noteRepeated, told } from "./linux-delivery.js";
import { startTlp, takeSack } from "./loss-recovery.js";
import { startRetransmission } from "./output.js";
import type { Tcb } from "./tcb.js";

/** Added to RACK's wait: the timer must not come before its time (TCP_TIMEOUT_MIN_US). */
const TIMER_MARGIN: Micros = 2 * MILLISECOND;
/** Recoveries without D-SACK until the reordering window is small again (RFC 8985 §6.2 step 4). */
const REO_WND_PERSIST = 16;
const MOST_REORDERING = 300;

/** SEG.ACK and the SACK blocks, after SND.UNA has moved (or not); `previousUna` is where it was. */
export function linuxAck(tcb: Tcb, lx: LinuxControl, seg: Segment, previousUna: number, now: Micros): void {
  const { snd, sent, sack, recovery } = tcb;
  const advanced = snd.una !== previousUna;
  const isOld = seqLt(seg.ack, snd.una);
  const window = seg.wnd << snd.windShift;
  const opensWindow = advanced || seqGt(seg.seq, snd.wl1) || (seg.seq === snd.wl1 && (window > snd.wnd || window === 0));
  const had = sent.length;
  const firstRepeated = sent.first?.retransmitted === true;
  const priorFack = sack.enabled && sent.sackedSegments > 0 ? lx.highestSack : previousUna;
  const deliveredBefore = lx.delivered;
  const bytesBefore = tcb.rate.deliveredBytes;
  const lostBefore = sent.lostSegments;
  told.begin(tcb, lx, seg, now);
  lx.waitsForOrder = false;
  let dsack = false;
  let tlpDsack = false;
  if (sack.enabled && seg.sackCount > 0) {
    dsack = takeSack(tcb, seg, told) && countDsack(tcb, lx, previousUna);
    tlpDsack = dsack && recovery.tlpActive && recovery.dsackEnd === recovery.tlpEndSeq;
    if (told.isReordered && (lx.state !== "loss" || lx.mayUndo)) noteReordering(tcb, lx, told.reordered);
  }
  if (had === 0) {
    const marked = !isOld && tellsMarks(tcb, seg, 0, 0, false);
    if (dsack) settle(tcb, lx, { advanced, dupAcks: 0, dsack, ece: marked, priorFack, firstRepeated, previousUna }, now);
    if (recovery.tlpActive) tlpAnswered(tcb, lx, seg, advanced, opensWindow, tlpDsack, now);
    updatePacingRate(tcb, lx);
    if (advanced) afterRepeatedSyn(tcb);
    tcb.batch.holdsNow = false;
    return;
  }
  told.bySack = false;
  if (advanced) {
    told.passes(tcb);
    sent.acknowledge(snd.una, told);
  }
  // Passed by, it would seem to lie ahead after 2 GiB.
  if (lx.state === "open" && seqGt(snd.una, lx.highSeq)) lx.highSeq = justBefore(snd.una);
  if (advanced && !sack.enabled && told.acked > 0) removeRenoSacks(tcb, lx, told.acked);
  const rttUs = measure(tcb, lx, now);
  if (advanced) afterRepeatedSyn(tcb);
  tcb.batch.holdsNow = false;
  if (told.hasLowest && sack.enabled && seqLt(told.lowestAcked, priorFack)) noteReordering(tcb, lx, told.lowestAcked);
  tcb.rate.acknowledged(tcb.rtt.min, now);
  lx.measured(rttUs, snd.una, snd.max, lx.pacingRate, now);
  const isFresh = told.acked > 0 || told.sacked > 0;
  const bytes = tcb.rate.deliveredBytes - bytesBefore;
  const ece = tcb.ecn.enabled && !isOld && tellsMarks(tcb, seg, lx.delivered - deliveredBefore, bytes, isFresh);
  if (recovery.tlpActive) tlpAnswered(tcb, lx, seg, advanced, opensWindow, tlpDsack, now);
  const isData = seg.payloadLength > 0;
  const tellsNews = isData || opensWindow || told.acked > 0;
  const dubious = !tellsNews || told.sacked > 0 || ece || dsack || lx.state !== "open";
  const dupAcks = tellsNews || advanced || dsack || isOld ? 0 : 1;
  if (dubious) settle(tcb, lx, { advanced, dupAcks, dsack, ece, priorFack, firstRepeated, previousUna }, now);
  else lx.repeatedAt = -1;
  if (isOld) return;
  const delivered = lx.delivered - deliveredBefore;
  if (lx.isReducing) reduce(tcb, lx, delivered, advanced && sent.lostSegments <= lostBefore);
  else if (told.acked > 0 || (lx.reordering > tcb.config.reorderingSegments && told.sacked > 0)) lx.avoid(delivered, now);
  updatePacingRate(tcb, lx);
  mirror(tcb, lx);
  if (!advanced && told.firstSacked >= 0 && sackIsNewer(tcb, now)) {
    if (sent.length > 0) startRetransmission(tcb, now);
    startTlp(tcb, now);
  }
}

/** The round-trip time of a SACK measures data that left after the head did: the timer may begin anew. */
function sackIsNewer(tcb: Tcb, now: Micros): boolean {
  const { first } = tcb.sent;
  return first !== undefined && tcb.recovery.dupAcks === 0 && now - told.firstSacked > now - first.sentAt;
}

/** Segments in the network (tcp_packets_in_flight). */
export function linuxFlight(tcb: Tcb, lx: LinuxControl): number {
  const { sent } = tcb;
  return sent.length - (tcb.sack.enabled ? sent.sackedSegments : lx.renoSacked) - sent.lostSegments;
}

/** For all that looks at the RFCs' variables. */
function mirror(tcb: Tcb, lx: LinuxControl): void {
  const { recovery } = tcb;
  recovery.active = lx.state === "recovery";
  recovery.loss = lx.state === "loss";
  recovery.dupAcks = tcb.sack.enabled ? 0 : lx.renoSacked;
  recovery.recover = lx.highSeq;
}

function changeState(tcb: Tcb, lx: LinuxControl, state: LinuxControl["state"], now: Micros): void {
  lx.setState(state, tcb.snd.max, now);
  mirror(tcb, lx);
}

// What an ACK means in each state (tcp_fastretrans_alert)

interface Tidings {
  advanced: boolean;
  dupAcks: number;
  dsack: boolean;
  ece: boolean;
  priorFack: number;
  firstRepeated: boolean;
  previousUna: number;
}

function settle(tcb: Tcb, lx: LinuxControl, tidings: Tidings, now: Micros): void {
  const { snd, sack } = tcb;
  const { advanced, dupAcks, ece } = tidings;
  if (sentNothing(tcb)) lx.renoSacked = 0;
  if (ece) lx.priorThreshold = 0;
  if (tcb.sent.first?.sacked) {
    // It has SACKed what stands at SND.UNA and does not acknowledge it: it may have taken it back (RFC 2018 §8).
    if (advanced) lx.renegWait = Math.max(tcb.rtt.srtt >>> 1, 10 * MILLISECOND);
    return;
  }
  if (lx.state === "open") lx.repeatedAt = -1;
  else if (isPast(lx, snd.una)) {
    if (lx.state === "cwr") {
      // Only something beyond it proves that CWR has arrived.
      if (snd.una !== lx.highSeq) {
        endReduction(lx, now);
        changeState(tcb, lx, "open", now);
      }
    } else if (lx.state === "recovery") {
      if (!sack.enabled) lx.renoSacked = 0;
      if (undoAtEnd(tcb, lx, now)) return;
      endReduction(lx, now);
    }
  }
  if (lx.state === "recovery") {
    if (!advanced) {
      if (!sack.enabled) addRenoSacks(tcb, lx, dupAcks);
    } else if (undoPartial(tcb, lx, tidings, now)) {
      return;
    }
    if (undoByDsack(lx, now)) tryToOpen(tcb, lx, ece, now);
    findLosses(tcb, lx, advanced, now);
    if (lx.state !== "recovery") {
      if (tcb.sent.lostSegments === 0) return;
      enterRecovery(tcb, lx, ece, now);
    }
  } else if (lx.state === "loss") {
    const goesOn = whileInLoss(tcb, lx, advanced, dupAcks, now);
    const lostRepetitions = findLosses(tcb, lx, advanced, now);
    if (!goesOn) return;
    if (stateOf(lx) !== "open" && !lostRepetitions) return;
    if (!otherwise(tcb, lx, advanced, dupAcks, ece, now)) return;
  } else if (!otherwise(tcb, lx, advanced, dupAcks, ece, now)) {
    return;
  }
  lx.repetition = "lost";
}

/** Not narrowed by what was read before the call that changes it. */
function stateOf(lx: LinuxControl): LinuxControl["state"] {
  return lx.state;
}

/** Open, disorder, CWR. Returns whether recovery begins. */
function otherwise(tcb: Tcb, lx: LinuxControl, advanced: boolean, dupAcks: number, ece: boolean, now: Micros): boolean {
  if (!tcb.sack.enabled) {
    if (advanced) lx.renoSacked = 0;
    addRenoSacks(tcb, lx, dupAcks);
  }
  if (lx.state === "open" || lx.state === "disorder") undoByDsack(lx, now);
  findLosses(tcb, lx, advanced, now);
  if (tcb.sent.lostSegments === 0) {
    tryToOpen(tcb, lx, ece, now);
    return false;
  }
  const { mtuSearch } = tcb;
  const probe = mtuSearch.probeBytes > 0 ? tcb.sent.find(mtuSearch.probeSeq) : undefined;
  if ((lx.state === "open" || lx.state === "disorder") && probe !== undefined && probe === tcb.sent.first) {
    // A probe of the path MTU that is lost is no loss to recovery (RFC 4821 §7.6).
    mtuSearch.failed();
    lx.window++;
    simpleRetransmit(tcb, lx, now);
    return false;
  }
  enterRecovery(tcb, lx, ece, now);
  return true;
}

function sentNothing(tcb: Tcb): boolean {
  return tcb.sent.length === 0;
}

function tryToOpen(tcb: Tcb, lx: LinuxControl, ece: boolean, now: Micros): void {
  if (!anyRepeated(tcb)) lx.repeatedAt = -1;
  if (ece) enterCwr(tcb, lx, now);
  if (lx.state !== "cwr") keepOpen(tcb, lx, now);
}

function keepOpen(tcb: Tcb, lx: LinuxControl, now: Micros): void {
  const { sent } = tcb;
  const left = (tcb.sack.enabled ? sent.sackedSegments : lx.renoSacked) + sent.lostSegments + retransOut(tcb);
  const state = left > 0 || anyRepeated(tcb) ? "disorder" : "open";
  if (lx.state === state) return;
  changeState(tcb, lx, state, now);
  lx.highSeq = tcb.snd.max;
}

/** The head of the queue was sent again, or something still is out again (tcp_any_retrans_done). */
function anyRepeated(tcb: Tcb): boolean {
  return retransOut(tcb) > 0 || tcb.sent.first?.retransmitted === true;
}

/** Segments out again, tail loss probes not counted. */
export function retransOut(tcb: Tcb): number {
  return tcb.sent.repeatedSegments;
}

/** RACK, or the count of duplicate ACKs. Returns whether a repetition turned out to be lost too. */
function findLosses(tcb: Tcb, lx: LinuxControl, advanced: boolean, now: Micros): boolean {
  const { sent, rack, sack } = tcb;
  if (sent.length === 0) return false;
  if (!sack.enabled) {
    const few = lx.state === "open" || lx.state === "disorder" || lx.state === "cwr";
    if ((few && lx.renoSacked >= lx.reordering) || (lx.state === "recovery" && advanced)) {
      if (sent.first !== undefined) sent.markLost(sent.first);
    }
    return false;
  }
  const before = sent.retransmittedSegments;
  rack.reoWnd = reorderingWindow(tcb, lx);
  const wait = rack.detectLoss(sent, now);
  lx.waitsForOrder = wait !== NEVER;
  if (lx.waitsForOrder) tcb.timers.tlp = NEVER;
  tcb.timers.rack = lx.waitsForOrder ? now + wait + TIMER_MARGIN : NEVER;
  return sent.retransmittedSegments < before;
}

function reorderingWindow(tcb: Tcb, lx: LinuxControl): Micros {
  const { rack, rtt } = tcb;
  if (lx.reorderings === 0) {
    if (lx.state === "recovery" || lx.state === "loss") return 0;
    if (tcb.sent.sackedSegments >= lx.reordering) return 0;
  }
  if (rack.minRtt === NEVER) return 0;
  // In virtual time a round trip may take no time at all; on no wire it does.
  return Math.min(Math.max(1, Math.floor(rack.minRtt / 4)) * lx.reoWndSteps, Math.max(1, rtt.srtt));
}

function noteReordering(tcb: Tcb, lx: LinuxControl, low: number): void {
  const fack = highestDelivered(tcb, lx);
  if (!seqLt(low, fack)) return;
  const metric = seqDiff(fack, low);
  if (metric > lx.reordering * lx.mss) lx.reordering = Math.min(Math.ceil(metric / lx.mss), MOST_REORDERING);
  lx.reorderings++;
  tcb.counters.reorderings++;
}

/** tcp_highest_sack_seq: duplicate ACKs do not tell what has arrived, so it may be all. */
function highestDelivered({ sack, sent, snd }: Tcb, lx: LinuxControl): number {
  if (!sack.enabled) return lx.renoSacked > 0 ? snd.max : snd.una;
  return sent.sackedSegments > 0 ? lx.highestSack : snd.una;
}

// Without SACK

function addRenoSacks(tcb: Tcb, lx: LinuxControl, dupAcks: number): void {
  if (dupAcks === 0) return;
  const before = lx.renoSacked;
  lx.renoSacked += dupAcks;
  limitRenoSacks(tcb, lx, 0);
  lx.delivered += Math.max(0, lx.renoSacked - before);
}

function removeRenoSacks(tcb: Tcb, lx: LinuxControl, acked: number): void {
  lx.delivered += Math.max(acked - lx.renoSacked, 1);
  lx.renoSacked = Math.max(0, lx.renoSacked - (acked - 1));
  limitRenoSacks(tcb, lx, acked);
}

/** More duplicates than segments: the network reorders. */
function limitRenoSacks(tcb: Tcb, lx: LinuxControl, addend: number): void {
  const { sent } = tcb;
  const holes = Math.min(Math.max(sent.lostSegments + retransOut(tcb), 1), sent.length);
  if (lx.renoSacked + holes <= sent.length) return;
  lx.renoSacked = sent.length - holes;
  lx.reordering = Math.min(sent.length + addend, MOST_REORDERING);
  lx.reorderings++;
  tcb.counters.reorderings++;
}

// Reductions

function enterRecovery(tcb: Tcb, lx: LinuxControl, ece: boolean, now: Micros): void {
  lx.priorThreshold = 0;
  rememberForUndo(tcb, lx);
  if (!lx.isReducing) {
    if (!ece) lx.priorThreshold = lx.presentThreshold;
    beginReduction(tcb, lx);
  }
  changeState(tcb, lx, "recovery", now);
  tcb.counters.fastRetransmits++;
}

/** A mark of the network (RFC 3168 §6.1.2). */
function enterCwr(tcb: Tcb, lx: LinuxControl, now: Micros): void {
  lx.priorThreshold = 0;
  if (lx.state !== "open" && lx.state !== "disorder") return;
  lx.mayUndo = false;
  beginReduction(tcb, lx);
  tcb.ecn.reductions++;
  changeState(tcb, lx, "cwr", now);
}

function beginReduction(tcb: Tcb, lx: LinuxControl): void {
  lx.highSeq = tcb.snd.max;
  tcb.recovery.tlpActive = false;
  lx.clearCount();
  lx.priorWindow = lx.window;
  lx.prrDelivered = 0;
  lx.prrOut = 0;
  lx.threshold = lx.reducedThreshold();
  tcb.ecn.cwrPending = tcb.ecn.enabled && tcb.ecn.accurate === undefined;
}

/** Proportional rate reduction (RFC 6937; `safe`: RFC 6937bis §6.2). */
function reduce(tcb: Tcb, lx: LinuxControl, delivered: number, safe: boolean): void {
  if (delivered <= 0 || lx.priorWindow === 0) return;
  const flight = linuxFlight(tcb, lx);
  const delta = lx.threshold - flight;
  lx.prrDelivered += delivered;
  let count: number;
  if (delta < 0) {
    count = Math.floor((lx.threshold * lx.prrDelivered + lx.priorWindow - 1) / lx.priorWindow) - lx.prrOut;
  } else {
    count = Math.max(lx.prrDelivered - lx.prrOut, delivered);
    if (safe) count++;
    count = Math.min(delta, count);
  }
  // The first repetition goes at once.
  count = Math.max(count, lx.prrOut > 0 ? 0 : 1);
  lx.window = Math.max(1, flight + count);
}

function endReduction(lx: LinuxControl, now: Micros): void {
  if (lx.threshold === NEVER || !(lx.state === "cwr" || lx.mayUndo)) return;
  lx.window = lx.threshold;
  lx.usedAt = now;
}

function rememberForUndo(tcb: Tcb, lx: LinuxControl): void {
  lx.mayUndo = true;
  lx.undoMarker = tcb.snd.una;
  const { tlpActive, tlpRetransmitted } = tcb.recovery;
  lx.undoRetransmits = retransOut(tcb) + (tlpActive && tlpRetransmitted ? 1 : 0);
  if (lx.undoRetransmits === 0) lx.undoRetransmits = -1;
}

// Reductions that were a mistake

/** Nothing was sent again, or what arrived left before it (Eifel, RFC 3522). */
function wasDelayed(lx: LinuxControl): boolean {
  if (lx.repeatedAt < 0) return true;
  return told.hasEcho && seqLt(told.tsEcr, lx.repeatedTs);
}

function mayUndo(lx: LinuxControl): boolean {
  return lx.mayUndo && (lx.undoRetransmits === 0 || wasDelayed(lx));
}

function undo(tcb: Tcb, lx: LinuxControl, unmarks: boolean, now: Micros): void {
  if (unmarks) tcb.sent.unmarkAllLost();
  if (lx.priorThreshold > 0) {
    lx.window = Math.max(lx.window, lx.priorWindow);
    if (lx.priorThreshold > lx.threshold) {
      lx.threshold = lx.priorThreshold;
      tcb.ecn.cwrPending = false;
    }
  }
  lx.usedAt = now;
  lx.mayUndo = false;
  tcb.counters.undos++;
}

/** A peer without SACK: what was acknowledged up to `highSeq` exactly may bring duplicates still (RFC 6582 §3.2). */
function holdsState(tcb: Tcb, lx: LinuxControl): boolean {
  if (tcb.snd.una !== lx.highSeq || tcb.sack.enabled) return false;
  if (!anyRepeated(tcb)) lx.repeatedAt = -1;
  return true;
}

/** All that was outstanding when recovery began is acknowledged. Returns whether the state is kept a little longer. */
export function undoAtEnd(tcb: Tcb, lx: LinuxControl, now: Micros): boolean {
  if (mayUndo(lx)) undo(tcb, lx, false, now);
  else if (lx.reoWndPersist > 0) lx.reoWndPersist--;
  if (lx.reoWndPersist === 0) lx.reoWndSteps = 1;
  if (holdsState(tcb, lx)) return true;
  changeState(tcb, lx, "open", now);
  return false;
}

function undoByDsack(lx: LinuxControl, now: Micros): boolean {
  if (!lx.mayUndo || lx.undoRetransmits !== 0) return false;
  lx.reoWndPersist = Math.min(REO_WND_PERSIST, lx.reoWndPersist + 1);
  const { tcb } = told;
  if (tcb !== undefined) undo(tcb, lx, false, now);
  return true;
}

/** The hole was filled by the first copy. Returns whether nothing more is to be done. */
function undoPartial(tcb: Tcb, lx: LinuxControl, { previousUna }: Tidings, now: Micros): boolean {
  if (!lx.mayUndo || !wasDelayed(lx)) return false;
  noteReordering(tcb, lx, previousUna);
  if (retransOut(tcb) > 0) return true;
  if (!anyRepeated(tcb)) lx.repeatedAt = -1;
  undo(tcb, lx, true, now);
  keepOpen(tcb, lx, now);
  return false;
}

/** Each D-SACK is for as many segments as it covers. Returns whether it counts. */
function countDsack(tcb: Tcb, lx: LinuxControl, previousUna: number): boolean {
  const { recovery, counters } = tcb;
  const length = seqDiff(recovery.dsackEnd, recovery.dsackStart);
  const segments = Math.max(1, Math.ceil(length / lx.mss));
  const isProbe = length <= lx.mss && recovery.tlpActive && recovery.tlpEndSeq === recovery.dsackEnd;
  counters.dsacksIn += segments;
  // The network duplicates too.
  if (counters.dsacksIn > counters.retransmits) return false;
  if (lx.reorderings > 0 && !isProbe) lx.dsackSeen = true;
  lx.delivered += segments;
  if (lx.dsackSeen) {
    if (lx.delivered >= lx.dsackDelivered) {
      lx.reoWndSteps = Math.min(0xff, lx.reoWndSteps + 1);
      lx.dsackDelivered = lx.delivered + tcb.sent.length;
      lx.reoWndPersist = REO_WND_PERSIST;
    }
    lx.dsackSeen = false;
  }
  if (lx.mayUndo && lx.undoRetransmits > 0 && seqGt(recovery.dsackEnd, lx.undoMarker) && seqLe(recovery.dsackEnd, tcb.snd.max)) {
    if (seqLe(recovery.dsackEnd, previousUna) || tcb.sent.find(recovery.dsackStart)?.retransmitted === true)
      lx.undoRetransmits = Math.max(0, lx.undoRetransmits - segments);
  }
  return true;
}

// After a time-out

/** The retransmission timer has expired (tcp_enter_loss); `tcb.backoffs` counts this expiry already. */
export function linuxTimeout(tcb: Tcb, lx: LinuxControl, now: Micros): void {
  const { sent, snd, recovery, rack } = tcb;
  const isNew = lx.state !== "recovery" && lx.state !== "loss";
  const few = lx.state === "open" || lx.state === "disorder";
  const sackedBefore = tcb.sack.enabled ? sent.sackedSegments : lx.renoSacked;
  if (sent.first?.sacked) sent.forgetSacks();
  else if (!tcb.sack.enabled) lx.renoSacked = 0;
  for (let i = 0; i < sent.length; i++) {
    const segment = sent.at(i);
    if (segment === undefined) continue;
    // What left a moment ago may well arrive.
    if (i > 0 && tcb.sack.enabled && segment.sentAt + rack.rtt - now > 0) continue;
    sent.markLost(segment);
  }
  if (few || isPast(lx, snd.una) || (lx.state === "loss" && tcb.backoffs <= 1)) {
    lx.priorThreshold = lx.presentThreshold;
    lx.priorWindow = lx.window;
    lx.threshold = lx.reducedThreshold();
    rememberForUndo(tcb, lx);
  }
  lx.window = linuxFlight(tcb, lx) + 1;
  lx.clearCount();
  lx.usedAt = now;
  const { forwardRto, reorderingSegments, thinLinearTimeouts } = tcb.config;
  if (few && sackedBefore >= reorderingSegments) lx.reordering = Math.min(lx.reordering, reorderingSegments);
  changeState(tcb, lx, "loss", now);
  lx.highSeq = snd.max;
  recovery.tlpActive = false;
  tcb.timers.rack = NEVER;
  tcb.timers.tlp = NEVER;
  tcb.ecn.cwrPending = tcb.ecn.enabled && tcb.ecn.accurate === undefined;
  lx.frto = forwardRto && (isNew || tcb.backoffs > 1);
  if (tcb.mtuSearch.probeBytes > 0) lx.frto = false;
  lx.repetition = "none";
  lx.headDue = true;
  lx.backOff(thinLinearTimeouts && tcb.state === "ESTABLISHED", sent.length, tcb.backoffs);
  mirror(tcb, lx);
}

/** tcp_process_loss. Returns whether the rest of `settle` is to be done. */
function whileInLoss(tcb: Tcb, lx: LinuxControl, advanced: boolean, dupAcks: number, now: Micros): boolean {
  const { snd } = tcb;
  const recovered = isPast(lx, snd.una);
  if (advanced && undoLoss(tcb, lx, false, now)) return true;
  if (lx.frto) {
    if (told.originalDelivered && !(told.repetitionAcked && !tcb.sack.enabled) && undoLoss(tcb, lx, true, now)) return true;
    if (seqGt(snd.max, lx.highSeq)) {
      if (told.sacked > 0 || dupAcks > 0) lx.frto = false;
    } else if (advanced && !recovered) {
      lx.highSeq = snd.max;
      // New data tells more than a repetition (RFC 5682 §2.1 step 2b).
      const hasNew = seqGt(tcb.dataEnd, snd.max) && seqDiff(snd.nxt, snd.una) < snd.wnd;
      if (hasNew) {
        lx.repetition = "new-first";
        return false;
      }
      lx.frto = false;
    }
  }
  if (recovered) {
    undoAtEnd(tcb, lx, now);
    return true;
  }
  if (!tcb.sack.enabled) {
    if (seqGt(snd.max, lx.highSeq) && dupAcks > 0) addRenoSacks(tcb, lx, dupAcks);
    else if (advanced) lx.renoSacked = 0;
  }
  lx.repetition = "lost";
  return true;
}

function undoLoss(tcb: Tcb, lx: LinuxControl, byFrto: boolean, now: Micros): boolean {
  if (!byFrto && !mayUndo(lx)) return false;
  undo(tcb, lx, true, now);
  tcb.backoffs = 0;
  if (holdsState(tcb, lx)) return true;
  if (byFrto || tcb.sack.enabled) changeState(tcb, lx, "open", now);
  return true;
}

/** What is outstanding is too large for the path, or the probe was: sent again at no one's blame (tcp_simple_retransmit). */
export function simpleRetransmit(tcb: Tcb, lx: LinuxControl, now: Micros): void {
  if (!tcb.sack.enabled) limitRenoSacks(tcb, lx, 0);
  if (lx.state !== "loss") {
    lx.highSeq = tcb.snd.max;
    lx.threshold = lx.presentThreshold;
    lx.priorThreshold = 0;
    lx.mayUndo = false;
    changeState(tcb, lx, "loss", now);
  }
  lx.repetition = "lost";
}

/** RACK's reordering timer: what was in doubt is lost by now (tcp_rack_reo_timeout). */
export function linuxReorderingTimeout(tcb: Tcb, lx: LinuxControl, now: Micros): void {
  const { sent } = tcb;
  tcb.timers.rack = NEVER;
  const before = sent.lostSegments;
  findLosses(tcb, lx, false, now);
  if (sent.lostSegments === before) return;
  if (lx.state !== "recovery") {
    enterRecovery(tcb, lx, false, now);
    reduce(tcb, lx, 1, false);
  }
  lx.repetition = "lost";
  startRetransmission(tcb, now);
}

/** Tail loss probe answered (RFC 8985 §7.4). */
function tlpAnswered(
  tcb: Tcb,
  lx: LinuxControl,
  seg: Segment,
  advanced: boolean,
  opensWindow: boolean,
  dsack: boolean,
  now: Micros,
): void {
  const { recovery } = tcb;
  if (seqLt(seg.ack, recovery.tlpEndSeq)) return;
  if (!recovery.tlpRetransmitted || dsack) recovery.tlpActive = false;
  else if (seqGt(seg.ack, recovery.tlpEndSeq)) {
    // It has repaired a loss, of which congestion control must hear.
    beginReduction(tcb, lx);
    changeState(tcb, lx, "cwr", now);
    endReduction(lx, now);
    keepOpen(tcb, lx, now);
  } else if (!advanced && !opensWindow && seg.payloadLength === 0 && told.acked === 0 && told.sacked === 0) {
    recovery.tlpActive = false;
  }
}

/** A segment leaves once more: what the states must know of it. */
export function linuxRepeated(tcb: Tcb, lx: LinuxControl, now: Micros): void {
  noteRepeated(tcb, lx, now);
  if (lx.undoRetransmits < 0) lx.undoRetransmits = 0;
  lx.undoRetransmits++;
  if (lx.isReducing) lx.prrOut++;
}
