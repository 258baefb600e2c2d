/**
 * How long a connection waits for a peer that does not answer: R2 of RFC 9293 §3.8.3, the user time-out (RFC 5482 as a local
 * option, with the meaning of Linux's TCP_USER_TIMEOUT), and the shorter patience for a connection whose user is gone.
 */
import { type Micros, NEVER } from "../base/time.js";
import { isSynchronized } from "./state.js";
import type { Tcb } from "./tcb.js";

/** How long what was sent may be repeated without an answer. NEVER for a SYN-ACK, whose repetitions are counted. */
export function patience(tcb: Tcb): Micros {
  const { config } = tcb;
  if (!isSynchronized(tcb.state)) {
    if (tcb.passive) return NEVER;
    return Math.min(config.synTimeoutUs, config.userTimeoutUs);
  }
  const limit = config.userTimeoutUs === NEVER ? config.r2Us : config.userTimeoutUs;
  if (!tcb.readerGone) return limit;
  // Note: Linux's time for a connection without user takes the place of its R2, but not of the user's.
  if (tcb.linuxSender !== undefined) return config.userTimeoutUs === NEVER ? config.orphanTimeoutUs : limit;
  return Math.min(limit, config.orphanTimeoutUs);
}

/**
 * How long data may wait for a window that the peer keeps closed, answering all the while. For ever (RFC 9293 MUST-37), unless
 * the user has set a limit, or has gone: then nobody is there who could end it (RFC 6429). Note: Linux does the same.
 */
export function windowPatience(tcb: Tcb): Micros {
  const { userTimeoutUs, orphanTimeoutUs } = tcb.config;
  return tcb.readerGone ? Math.min(userTimeoutUs, orphanTimeoutUs) : userTimeoutUs;
}

/**
 * When what was sent, and is not answered, is given up. Note: to Linux silence begins with the first time-out: nothing is given up
 * before that, and it need not come any earlier (tcp_write_timeout).
 */
export function patienceEnd(tcb: Tcb): Micros {
  if (!countsTimeouts(tcb)) return tcb.backoffSince + patience(tcb);
  return tcb.backoffs > 0 ? tcb.firstTimeoutAt + patience(tcb) : NEVER;
}

/** The same of data that waits for a window; Linux counts from the first probe on (icsk_probes_tstamp). */
export function windowPatienceEnd(tcb: Tcb): Micros {
  if (!countsTimeouts(tcb)) return tcb.backoffSince + windowPatience(tcb);
  return tcb.backoffs > 0 ? tcb.firstTimeoutAt + windowPatience(tcb) : NEVER;
}

/** When the retransmission timer expires that is `due` by itself. Note: Linux asks when it has expired, but for what the user has set. */
export function withinPatience(tcb: Tcb, due: Micros): Micros {
  if (countsTimeouts(tcb) && tcb.config.userTimeoutUs === NEVER) return due;
  return Math.min(due, patienceEnd(tcb), closedEnd(tcb));
}

/**
 * When what was sent into a window that has closed since is given up: by the user's time from its first repetition on, whatever the peer
 * answers (tcp_rtx_probe0_timed_out); NEVER where that does not hold.
 */
export function closedEnd({ linuxSender, snd, config }: Tcb): Micros {
  if (linuxSender === undefined || snd.wnd > 0 || linuxSender.repeatedAt < 0) return NEVER;
  return linuxSender.repeatedAt + config.userTimeoutUs;
}

function countsTimeouts(tcb: Tcb): boolean {
  return tcb.linuxSender !== undefined && isSynchronized(tcb.state);
}

/** After a change of the limits: timers that would miss the new ones are brought forward. Note: not in Linux. */
export function hastenTimers(tcb: Tcb): void {
  if (tcb.linuxSender !== undefined) return;
  const { timers } = tcb;
  if (timers.retransmission !== NEVER) timers.retransmission = Math.min(timers.retransmission, patienceEnd(tcb));
  if (timers.persist !== NEVER) timers.persist = Math.min(timers.persist, windowPatienceEnd(tcb));
}
