/**
 * Loss recovery as Linux has it, with segments counted instead of bytes: what an ACK, a time-out and RACK's timer mean in each state
 * (net/ipv4/tcp_input.c: tcp_ack, tcp_fastretrans_alert). What is lost is found in `linux-loss.ts`, reductions are made in
 * `linux-states.ts` and taken back in `linux-undo.ts`. It runs where `config.sender` is "linux", in the place of `loss-recovery.ts`;
 * both look at the list of what was sent.
 */
import { seqDiff, seqGt, seqLt } from "../base/seq.js";
import { MILLISECOND, type Micros, NEVER } from "../base/time.js";
import type { Segment } from "../wire/segment.js";
import { tellsMarks } from "./ecn.js";
import { cutAnew, updatePacingRate } from "./linux-batch.js";
import { isPast, justBefore, type LinuxControl } from "./linux-control.js";
import { afterRepeatedSyn, measure, noteRepeated, told } from "./linux-delivery.js";
import {
  adaptReorderingWindow,
  addRenoSacks,
  anyRepeated,
  findLosses,
  limitRenoSacks,
  linuxFlight,
  noteReordering,
  removeRenoSacks,
} from "./linux-loss.js";
import { linuxProbeAcked, linuxProbeLost } from "./linux-mtu-probing.js";
import {
  beginReduction,
  changeState,
  endReduction,
  enterCwr,
  enterRecovery,
  keepOpen,
  mirror,
  reduce,
  rememberForUndo,
} from "./linux-states.js";
import { countDsack, undoAtEnd, undoByDsack, undoLoss, undoPartial } from "./linux-undo.js";
import { startTlp, takeSack } from "./loss-recovery.js";
import { startRetransmission } from "./output.js";
import type { Tcb } from "./tcb.js";

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
  lx.hasAckedNone = false;
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
  if (isOld) {
    // It came late, and tells of what has arrived at most.
    settle(tcb, lx, { advanced: false, dupAcks: 0, dsack, ece: false, priorFack, firstRepeated, previousUna }, now);
    mirror(tcb, lx);
    return;
  }
  told.bySack = false;
  if (advanced) {
    told.passes(tcb);
    if (sent.acknowledge(snd.una, told) > 0) cutByAck(tcb, lx);
  }
  lx.hasAckedNone = advanced && told.acked === 0;
  // Passed by, it would seem to lie ahead after 2 GiB.
  if (lx.state === "open" && seqGt(snd.una, lx.highSeq)) lx.highSeq = justBefore(snd.una);
  if (advanced && !sack.enabled && told.acked > 0) removeRenoSacks(tcb, lx, told.acked);
  const rttUs = measure(tcb, lx, now);
  if (advanced) linuxProbeAcked(tcb, lx, now);
  if (advanced) afterRepeatedSyn(tcb);
  tcb.batch.holdsNow = false;
  if (told.hasLowest && sack.enabled && seqLt(told.lowestAcked, priorFack)) noteReordering(tcb, lx, told.lowestAcked);
  adaptReorderingWindow(tcb, lx);
  tcb.rate.acknowledged(tcb.rtt.min, now);
  lx.measured(rttUs, snd.una, snd.max, lx.pacingRate, now);
  const isFresh = told.acked > 0 || told.sacked > 0;
  const bytes = tcb.rate.deliveredBytes - bytesBefore;
  const ece = tcb.ecn.enabled && tellsMarks(tcb, seg, lx.delivered - deliveredBefore, bytes, isFresh);
  if (recovery.tlpActive) tlpAnswered(tcb, lx, seg, advanced, opensWindow, tlpDsack, now);
  const isData = seg.payloadLength > 0;
  const tellsNews = isData || opensWindow || told.acked > 0;
  const dubious = !tellsNews || told.sacked > 0 || ece || dsack || lx.state !== "open";
  const dupAcks = tellsNews || advanced || dsack ? 0 : 1;
  if (dubious) settle(tcb, lx, { advanced, dupAcks, dsack, ece, priorFack, firstRepeated, previousUna }, now);
  else lx.repeatedAt = -1;
  const delivered = lx.delivered - deliveredBefore;
  if (lx.isReducing) reduce(tcb, lx, delivered, advanced && sent.lostSegments <= lostBefore);
  else if (told.acked > 0 || (lx.reordering > tcb.config.reorderingSegments && told.sacked > 0)) {
    lx.avoid(delivered, now);
    lx.usedAt = now;
  }
  updatePacingRate(tcb, lx);
  mirror(tcb, lx);
  if (!advanced && told.firstSacked >= 0 && sackIsNewer(tcb, now)) {
    startRetransmission(tcb, now);
    startTlp(tcb, now);
  }
}

/** SEG.ACK ends within a segment: of what is left of its batch there may be fewer by now (tcp_tso_acked). */
function cutByAck(tcb: Tcb, lx: LinuxControl): void {
  const { sent } = tcb;
  const { first, length } = sent;
  if (first === undefined) return;
  cutAnew(tcb, first, lx.mss);
  told.acked += length - sent.length;
  if (tcb.sack.enabled) lx.delivered += length - sent.length;
}

/** The round-trip time of a SACK measures data that left after the head did: the timer may begin anew. */
function sackIsNewer(tcb: Tcb, now: Micros): boolean {
  const { first } = tcb.sent;
  return first !== undefined && tcb.recovery.dupAcks === 0 && now - told.firstSacked > now - first.sentAt;
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
  if (advanced && tcb.sent.first?.sacked) {
    // It has SACKed what stands at SND.UNA and does not acknowledge it: it may have taken it back (RFC 2018 §8).
    lx.renegWait = Math.max(tcb.rtt.srtt >>> 1, 10 * MILLISECOND);
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
    } else if (undoPartial(tcb, lx, tidings.previousUna, now)) {
      return;
    }
    if (undoByDsack(tcb, lx, now)) tryToOpen(tcb, lx, ece, now);
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
  if (lx.state === "open" || lx.state === "disorder") undoByDsack(tcb, lx, now);
  findLosses(tcb, lx, advanced, now);
  if (tcb.sent.lostSegments === 0) {
    tryToOpen(tcb, lx, ece, now);
    return false;
  }
  const { mtuSearch } = tcb;
  const probe = mtuSearch.probeBytes > 0 ? tcb.sent.find(mtuSearch.probeSeq) : undefined;
  if ((lx.state === "open" || lx.state === "disorder") && probe !== undefined && probe === tcb.sent.first) {
    // A probe of the path MTU that is lost is no loss to recovery (RFC 4821 §7.6).
    linuxProbeLost(tcb);
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
    // What left a moment ago may well arrive.
    const isRecent = segment !== undefined && i > 0 && tcb.sack.enabled && segment.sentAt + rack.rtt - now > 0;
    if (!isRecent) sent.markLost(segment);
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
      const hasNew = seqGt(tcb.dataEnd, snd.max) && seqDiff(snd.nxt, snd.una) < told.window;
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
