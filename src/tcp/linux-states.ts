/**
 * Linux's states of recovery (TCP_CA_*) and the reductions that begin with them: proportional rate reduction, and what is remembered
 * in case it was a mistake, see `linux-undo.ts` (net/ipv4/tcp_input.c).
 */
import { type Micros, NEVER } from "../base/time.js";
import type { LinuxControl } from "./linux-control.js";
import { anyRepeated, linuxFlight, retransOut } from "./linux-loss.js";
import type { Tcb } from "./tcb.js";

/** For all that looks at the RFCs' variables. */
export function mirror(tcb: Tcb, lx: LinuxControl): void {
  const { recovery } = tcb;
  recovery.active = lx.state === "recovery";
  recovery.loss = lx.state === "loss";
  recovery.dupAcks = tcb.sack.enabled ? 0 : lx.renoSacked;
  recovery.recover = lx.highSeq;
}

export function changeState(tcb: Tcb, lx: LinuxControl, state: LinuxControl["state"], now: Micros): void {
  lx.setState(state, tcb.snd.max, now);
  mirror(tcb, lx);
}

/** Open, or disorder as long as something is SACKed, lost or out again (tcp_try_keep_open). */
export function keepOpen(tcb: Tcb, lx: LinuxControl, now: Micros): void {
  const { sent } = tcb;
  const left = (tcb.sack.enabled ? sent.sackedSegments : lx.renoSacked) + sent.lostSegments + retransOut(tcb);
  const state = left > 0 || anyRepeated(tcb) ? "disorder" : "open";
  if (lx.state === state) return;
  changeState(tcb, lx, state, now);
  lx.highSeq = tcb.snd.max;
}

export function enterRecovery(tcb: Tcb, lx: LinuxControl, ece: boolean, now: Micros): void {
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
export function enterCwr(tcb: Tcb, lx: LinuxControl, now: Micros): void {
  lx.priorThreshold = 0;
  if (lx.state !== "open" && lx.state !== "disorder") return;
  lx.mayUndo = false;
  beginReduction(tcb, lx);
  tcb.ecn.reductions++;
  changeState(tcb, lx, "cwr", now);
}

export function beginReduction(tcb: Tcb, lx: LinuxControl): void {
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
export function reduce(tcb: Tcb, lx: LinuxControl, delivered: number, safe: boolean): void {
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

export function endReduction(lx: LinuxControl, now: Micros): void {
  if (lx.threshold === NEVER || !(lx.state === "cwr" || lx.mayUndo)) return;
  lx.window = lx.threshold;
  lx.usedAt = now;
}

export function rememberForUndo(tcb: Tcb, lx: LinuxControl): void {
  lx.mayUndo = true;
  lx.undoMarker = tcb.snd.una;
  const { tlpActive, tlpRetransmitted } = tcb.recovery;
  lx.undoRetransmits = retransOut(tcb) + (tlpActive && tlpRetransmitted ? 1 : 0);
  if (lx.undoRetransmits === 0) lx.undoRetransmits = -1;
}
