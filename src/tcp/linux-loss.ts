/**
 * What Linux takes for lost, and what for late only: RACK's reordering window, the degree of reordering, and for peers without SACK
 * duplicate ACKs counted as segments that have arrived (net/ipv4/tcp_recovery.c, tcp_input.c).
 */
import { seqDiff } from "../base/seq.js";
import { MILLISECOND, type Micros, NEVER } from "../base/time.js";
import type { LinuxControl } from "./linux-control.js";
import type { Tcb } from "./tcb.js";

/** Added to RACK's wait: the timer must not come before its time (TCP_TIMEOUT_MIN_US). */
const TIMER_MARGIN: Micros = 2 * MILLISECOND;
const MOST_REORDERING = 300;
/** Recoveries without D-SACK until the reordering window is small again (RFC 8985 §6.2 step 4). */
export const MOST_PERSISTENT = 16;

/** Segments in the network (tcp_packets_in_flight). */
export function linuxFlight(tcb: Tcb, lx: LinuxControl): number {
  const { sent } = tcb;
  return sent.length - (tcb.sack.enabled ? sent.sackedSegments : lx.renoSacked) - sent.lostSegments + sent.twiceSegments;
}

/** The head of the queue was sent again, or something still is out again (tcp_any_retrans_done). */
export function anyRepeated(tcb: Tcb): boolean {
  return retransOut(tcb) > 0 || tcb.sent.first?.retransmitted === true;
}

/** Segments out again, tail loss probes not counted. */
export function retransOut(tcb: Tcb): number {
  return tcb.sent.repeatedSegments;
}

/** RACK, or the count of duplicate ACKs. Returns whether a repetition turned out to be lost too. */
export function findLosses(tcb: Tcb, lx: LinuxControl, advanced: boolean, now: Micros): boolean {
  const { sent, rack, sack } = tcb;
  if (sent.length === 0) {
    tcb.timers.rack = NEVER;
    return false;
  }
  if (!sack.enabled) {
    const few = lx.state === "open" || lx.state === "disorder" || lx.state === "cwr";
    if ((few && lx.renoSacked >= lx.reordering) || (lx.state === "recovery" && advanced)) {
      sent.markLost(sent.first);
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

/**
 * The reordering window grows with a D-SACK, once until something is delivered that left after it has grown (tcp_rack_update_reo_wnd).
 * What the ACK delivers is counted in `tcb.rate` already.
 */
export function adaptReorderingWindow({ rate }: Tcb, lx: LinuxControl): void {
  if (rate.priorDelivered < 0) return;
  if (lx.dsackSeen && rate.priorDelivered >= lx.dsackDelivered) {
    lx.reoWndSteps = Math.min(0xff, lx.reoWndSteps + 1);
    lx.dsackDelivered = rate.deliveredBytes;
    lx.reoWndPersist = MOST_PERSISTENT;
  } else if (lx.reoWndPersist === 0) lx.reoWndSteps = 1;
  lx.dsackSeen = false;
}

function reorderingWindow(tcb: Tcb, lx: LinuxControl): Micros {
  const { rack, rtt } = tcb;
  if (lx.reorderings === 0) {
    if (lx.state === "recovery" || lx.state === "loss") return 0;
    if (tcb.sent.sackedSegments >= lx.reordering) return 0;
  }
  // In virtual time a round trip may take no time at all; on no wire it does.
  return Math.min(Math.max(1, Math.floor(rack.minRtt / 4)) * lx.reoWndSteps, Math.max(1, rtt.srtt));
}

/** Something from `low` on has arrived after what lies above it (tcp_check_sack_reordering). */
export function noteReordering(tcb: Tcb, lx: LinuxControl, low: number): void {
  const metric = seqDiff(tcb.sent.sackedSegments > 0 ? lx.highestSack : tcb.snd.una, low);
  if (metric > lx.reordering * lx.mss) lx.reordering = Math.min(Math.ceil(metric / lx.mss), MOST_REORDERING);
  lx.reorderings++;
  tcb.counters.reorderings++;
}

// Without SACK

export function addRenoSacks(tcb: Tcb, lx: LinuxControl, dupAcks: number): void {
  if (dupAcks === 0) return;
  const before = lx.renoSacked;
  lx.renoSacked += dupAcks;
  limitRenoSacks(tcb, lx, 0);
  lx.delivered += Math.max(0, lx.renoSacked - before);
}

export function removeRenoSacks(tcb: Tcb, lx: LinuxControl, acked: number): void {
  lx.delivered += Math.max(acked - lx.renoSacked, 1);
  lx.renoSacked = Math.max(0, lx.renoSacked - (acked - 1));
  limitRenoSacks(tcb, lx, acked);
}

/** More duplicates than segments: the network reorders. */
export function limitRenoSacks(tcb: Tcb, lx: LinuxControl, addend: number): void {
  const { sent } = tcb;
  const holes = Math.min(Math.max(sent.lostSegments + retransOut(tcb), 1), sent.length);
  if (lx.renoSacked + holes <= sent.length) return;
  lx.renoSacked = sent.length - holes;
  lx.reordering = Math.min(sent.length + addend, MOST_REORDERING);
  lx.reorderings++;
  tcb.counters.reorderings++;
}
