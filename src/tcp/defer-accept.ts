/**
 * A listener that is not woken before there is something to read (Linux: TCP_DEFER_ACCEPT): the bare third segment is ignored,
 * the connection stays in SYN-RECEIVED until data comes or the time is over. Then the SYN-ACK is repeated, and the peer's answer
 * to that counts. The time is counted in time-outs of the SYN-ACK. Note: Linux does the same (secs_to_retrans).
 */
import type { Micros } from "../base/time.js";
import type { Segment } from "../wire/segment.js";
import { FIN } from "../wire/tcp-flags.js";
import type { Tcb } from "./tcb.js";

export class DeferAccept {
  /** Time-outs of the SYN-ACK until the bare third segment counts; 0: at once. */
  timeouts = 0;
  /** A bare third segment has come: the SYN-ACK has arrived and need not be repeated. */
  acked = false;
}

/** The number of time-outs that the time covers, from the first of `firstUs`, each twice as long but at most `mostUs`. */
export function timeoutsWithin(us: Micros, firstUs: Micros, mostUs: Micros): number {
  if (us <= 0) return 0;
  let count = 1;
  let timeout = firstUs;
  let period = timeout;
  while (us > period && count < 255) {
    count++;
    timeout = Math.min(timeout * 2, mostUs);
    period += timeout;
  }
  return count;
}

/** The time after which so many time-outs are over: what `timeoutsWithin` was rounded to. */
export function timeOf(timeouts: number, firstUs: Micros, mostUs: Micros): Micros {
  let period = 0;
  let timeout = firstUs;
  for (let i = 0; i < timeouts; i++) {
    period += timeout;
    timeout = Math.min(timeout * 2, mostUs);
  }
  return period;
}

/** Whether this acknowledgment of our SYN has to wait for data. */
export function defersAccept(tcb: Tcb, seg: Segment): boolean {
  const { deferAccept } = tcb;
  if (tcb.backoffs >= deferAccept.timeouts || seg.payloadLength > 0 || (seg.flags & FIN) !== 0) return false;
  deferAccept.acked = true;
  return true;
}

/** At a time-out of the SYN-ACK: whether it need not be repeated. */
export function awaitsData(tcb: Tcb): boolean {
  return tcb.deferAccept.acked && tcb.backoffs < tcb.deferAccept.timeouts;
}
