/** The congestion window of a sender that knows nothing of the path: at the start, and again after a pause (RFC 6928, RFC 5681 §4.1). */
import { type Micros, NEVER } from "../base/time.js";
import type { Tcb } from "./tcb.js";

/** IW in bytes: min(segments · MSS, max(2 · MSS, bytes)) of RFC 6928 §2; after a lost SYN one segment (RFC 5681 §3.1). */
export function initialWindow(tcb: Tcb): number {
  const { mss } = tcb.snd;
  // Linux overlooks the first repetition: a second is little to wait, and it may have been needless. A server's it overlooks always.
  if (tcb.synRepeated && (tcb.config.sender !== "linux" || (!tcb.passive && tcb.counters.retransmits > 1))) return mss;
  const { initialWindowSegments, initialWindowBytes } = tcb.config;
  return Math.min(initialWindowSegments * mss, Math.max(2 * mss, initialWindowBytes));
}

/** New data leaves while nothing is outstanding: congestion control learns how long that was so (RFC 5681 §4.1). */
export function restartAfterIdle(tcb: Tcb, now: Micros): void {
  if (tcb.linuxSender !== undefined) {
    // Its measure is when data last left.
    if (tcb.lastDataSentAt === 0) return;
    const silent = now - tcb.lastDataSentAt;
    if (tcb.config.restartAfterIdle)
      tcb.linuxSender.onIdle(silent, tcb.rtt.backedOff(tcb.linuxSender.backoff), initialWindow(tcb));
    tcb.linuxSender.transmissionBegins(silent, now);
    return;
  }
  const idle = now - tcb.idleSince;
  tcb.idleSince = now;
  if (idle <= 0) return;
  // Without the restart a control still learns of the pause, in which its clock must not run on, but loses nothing.
  const rto = tcb.config.restartAfterIdle ? tcb.rtt.rto : NEVER;
  tcb.congestion.onIdle(idle, rto, initialWindow(tcb));
}
