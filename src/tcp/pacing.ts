/**
 * Pacing: segments leave evenly over a round trip instead of a window at once, so that queues on the way stay short (RFC 9438
 * §4.1 and RFC 9002 §7.7 recommend it; RFC 3742 and Aggarwal et al., INFOCOM 2000, weigh it).
 *
 * Note: the rate is Linux's (tcp_update_pacing_rate): twice the window a round trip in slow start, so that it can grow, 1.2 times
 * after that.
 */
import { type Micros, NEVER, SECOND } from "../base/time.js";
import { congestionWindow } from "./loss-recovery.js";
import type { Tcb } from "./tcb.js";

const SLOW_START_RATIO = 2;
const RATIO = 1.2;
/** What a late timer may be made up for at once: the event loop's own resolution. */
const MOST_CREDIT: Micros = 1_000;

/** See `pace` (tcp_update_skb_after_send). */
const UNPACED = 10;

/** Bytes a second that pacing would allow; 0 before the first round-trip time, when nothing is paced. */
export function pacingRate(tcb: Tcb): number {
  const { congestion, rtt, config } = tcb;
  if (rtt.srtt === 0) return 0;
  // Note: Linux counts what is lost and what is SACKed too (packets_out).
  const outstanding = tcb.linuxSender === undefined ? tcb.sent.inFlightBytes : tcb.sent.length * tcb.snd.mss;
  const window = Math.max(congestionWindow(tcb), outstanding);
  const ratio = window < congestion.ssthresh / 2 ? SLOW_START_RATIO : RATIO;
  return Math.min(config.maxPacingRate, (ratio * window * SECOND) / rtt.srtt);
}

/** Whether a segment has to wait for its time; then the pacing timer runs. */
export function isPaced(tcb: Tcb, now: Micros): boolean {
  if (!tcb.config.pacing || now >= tcb.pacedUntil) return false;
  tcb.timers.pacing = tcb.pacedUntil;
  return true;
}

/** A segment of so many bytes, headers left out, has left; or a batch of such. */
export function pace(tcb: Tcb, bytes: number, now: Micros): void {
  if (!tcb.config.pacing) return;
  const rate = pacingRate(tcb);
  // The first window goes at once: nothing is known of the path. Note: in Linux ten segments do, whatever is known.
  if (rate === 0 || (tcb.linuxSender !== undefined && tcb.counters.dataSegmentsOut < UNPACED)) return;
  const duration = Math.ceil((bytes * SECOND) / rate);
  if (tcb.linuxSender === undefined) {
    tcb.pacedUntil = Math.max(tcb.pacedUntil, now - MOST_CREDIT) + duration;
    return;
  }
  // Note: a pause is worth half of what has left after it (tcp_update_skb_after_send).
  const credit = Math.min(duration / 2, Math.max(0, now - tcb.pacedUntil));
  tcb.pacedUntil = Math.max(tcb.pacedUntil, now) + Math.ceil(duration - credit);
}

/** The time has come: `pollTransmit` sends what waits. */
export function pacingTimeout(tcb: Tcb): void {
  tcb.timers.pacing = NEVER;
  // Note: in Linux what is lost then comes first (tcp_tsq_write).
  if (tcb.linuxSender !== undefined && tcb.sent.lostSegments > 0) tcb.linuxSender.repetition = "lost";
}
