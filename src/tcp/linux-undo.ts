/**
 * Reductions that were a mistake, and how Linux finds that out: nothing was sent again, an echo from before the repetition (Eifel,
 * RFC 3522), a D-SACK for every repetition (RFC 3708), F-RTO (net/ipv4/tcp_input.c: tcp_try_undo_*).
 */
import { seqDiff, seqGt, seqLe, seqLt } from "../base/seq.js";
import type { Micros } from "../base/time.js";
import { isPast, type LinuxControl } from "./linux-control.js";
import { told } from "./linux-delivery.js";
import { anyRepeated, MOST_PERSISTENT, noteReordering, retransOut } from "./linux-loss.js";
import { changeState, keepOpen } from "./linux-states.js";
import type { Tcb } from "./tcb.js";

/** Nothing was sent again, or what arrived left before it (Eifel, RFC 3522). */
function wasDelayed(tcb: Tcb, lx: LinuxControl): boolean {
  // Where a peer without SACK keeps the state on, the time of the repetition is forgotten, not the repetition.
  if (lx.repeatedAt < 0) return tcb.sack.enabled || !isPast(lx, tcb.snd.una);
  return told.hasEcho && seqLt(told.tsEcr, lx.repeatedTs);
}

function mayUndo(tcb: Tcb, lx: LinuxControl): boolean {
  return lx.mayUndo && (lx.undoRetransmits === 0 || wasDelayed(tcb, lx));
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
  if (mayUndo(tcb, lx)) undo(tcb, lx, false, now);
  else if (lx.reoWndPersist > 0) lx.reoWndPersist--;
  if (holdsState(tcb, lx)) return true;
  changeState(tcb, lx, "open", now);
  return false;
}

/** Every repetition has turned out to be a duplicate (RFC 3708). Returns whether that was so. */
export function undoByDsack(tcb: Tcb, lx: LinuxControl, now: Micros): boolean {
  if (!lx.mayUndo || lx.undoRetransmits !== 0) return false;
  lx.reoWndPersist = Math.min(MOST_PERSISTENT, lx.reoWndPersist + 1);
  undo(tcb, lx, false, now);
  return true;
}

/** The hole was filled by the first copy. Returns whether nothing more is to be done. */
export function undoPartial(tcb: Tcb, lx: LinuxControl, previousUna: number, now: Micros): boolean {
  if (!lx.mayUndo || !wasDelayed(tcb, lx)) return false;
  noteReordering(tcb, lx, previousUna);
  if (retransOut(tcb) > 0) return true;
  if (!anyRepeated(tcb)) lx.repeatedAt = -1;
  undo(tcb, lx, true, now);
  keepOpen(tcb, lx, now);
  return false;
}

/** Each D-SACK is for as many segments as it covers. Returns whether it counts. */
export function countDsack(tcb: Tcb, lx: LinuxControl, previousUna: number): boolean {
  const { recovery, counters } = tcb;
  const length = seqDiff(recovery.dsackEnd, recovery.dsackStart);
  const segments = Math.max(1, Math.ceil(length / lx.mss));
  const isProbe = length <= lx.mss && recovery.tlpActive && recovery.tlpEndSeq === recovery.dsackEnd;
  counters.dsacksIn += segments;
  // The network duplicates too.
  if (counters.dsacksIn > counters.retransmits) return false;
  if (lx.reorderings > 0 && !isProbe) lx.dsackSeen = true;
  lx.delivered += segments;
  if (lx.mayUndo && lx.undoRetransmits > 0 && seqGt(recovery.dsackEnd, lx.undoMarker) && seqLe(recovery.dsackEnd, tcb.snd.max)) {
    if (seqLe(recovery.dsackEnd, previousUna) || tcb.sent.find(recovery.dsackStart)?.retransmitted === true)
      lx.undoRetransmits = Math.max(0, lx.undoRetransmits - segments);
  }
  return true;
}

/** A time-out: undone by Eifel or D-SACK, or because F-RTO says so (tcp_try_undo_loss). Returns whether it was. */
export function undoLoss(tcb: Tcb, lx: LinuxControl, byFrto: boolean, now: Micros): boolean {
  if (!byFrto && !mayUndo(tcb, lx)) return false;
  undo(tcb, lx, true, now);
  tcb.backoffs = 0;
  if (holdsState(tcb, lx)) return true;
  if (byFrto || tcb.sack.enabled) changeState(tcb, lx, "open", now);
  return true;
}
