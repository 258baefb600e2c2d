/**
 * When received data is acknowledged: at once or delayed (RFC 9293 §3.8.6.3, RFC 5681 §4.2), with Linux's quick-ACK phase.
 * A sender in slow start grows by ACKs, so the first segments of a connection and those after a pause are not delayed; a
 * user that answers what comes needs no ACK of its own, since the answer carries it.
 */
import { MILLISECOND, type Micros } from "../base/time.js";
import { askForAck } from "./output.js";
import type { Tcb } from "./tcb.js";

/** RFC 9293 MUST-40: an ACK is delayed by less than 0.5 s, whatever was configured. */
const LONGEST_DELAY: Micros = 499 * MILLISECOND;
/** Below this no quick-ACK phase is of use. Note: Linux does the same (tcp_incr_quickack). */
const FEWEST_QUICK_ACKS = 2;

export class DelayedAckVariables {
  /** Segments with data that are still acknowledged at once. */
  quick = 0;
  /** The user answers what comes within a delayed ACK's time (Linux: pingpong mode). */
  interactive = false;
  /** When data last came; -1 before the first. */
  lastDataAt: Micros = -1;
}

/** New data in order has come; tells whether to acknowledge it at once, the rule of every second segment apart. */
export function acknowledgesAtOnce(tcb: Tcb, now: Micros): boolean {
  const { ackDelay, config } = tcb;
  const pause = now - ackDelay.lastDataAt;
  if (ackDelay.lastDataAt < 0 || pause > tcb.rtt.rto) enterQuickPhase(tcb);
  ackDelay.lastDataAt = now;
  if (config.delayedAckUs === 0) return true;
  if (ackDelay.quick === 0 || ackDelay.interactive) return false;
  ackDelay.quick--;
  return true;
}

/** How long an ACK may wait, in µs (RFC 9293 MUST-40). */
export function ackDelayUs(tcb: Tcb): Micros {
  return Math.min(tcb.config.delayedAckUs, LONGEST_DELAY);
}

/** Data of ours leaves: soon after the peer's it is an answer, and the next ACK can ride on such a one. */
export function noteAnswer(tcb: Tcb, now: Micros): void {
  if (tcb.linux !== undefined) {
    tcb.linux.acks.answered(now);
    return;
  }
  const state = tcb.ackDelay;
  if (state.lastDataAt >= 0 && now - state.lastDataAt < tcb.config.delayedAckUs) state.interactive = true;
}

/** TCP_QUICKACK: `on` acknowledges at once what waits and the next segments, off goes back to delaying. Not for ever, either. */
export function setQuickAck(tcb: Tcb, on: boolean | number): void {
  if (tcb.linux !== undefined) {
    tcb.linux.acks.set(tcb, Number(on));
    return;
  }
  const state = tcb.ackDelay;
  state.interactive = !on;
  if (!on) {
    state.quick = 0;
    return;
  }
  state.quick = Math.max(tcb.config.quickAckSegments, FEWEST_QUICK_ACKS);
  if (tcb.unackedBytes > 0) askForAck(tcb, "quick ACK: the user asked for it");
}

/** As many as half the window holds: more would not open the sender's window any further. Note: Linux does the same. */
function enterQuickPhase(tcb: Tcb): void {
  const most = tcb.config.quickAckSegments;
  if (most === 0) return;
  const half = Math.floor(tcb.receiveWindow / (2 * Math.max(tcb.largestIn, 1)));
  tcb.ackDelay.quick = Math.max(tcb.ackDelay.quick, Math.min(most, Math.max(half, FEWEST_QUICK_ACKS)));
}
