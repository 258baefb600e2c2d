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
  return tcb.readerGone ? Math.min(limit, config.orphanTimeoutUs) : limit;
}

/**
 * How long data may wait for a window that the peer keeps closed, answering all the while. For ever (RFC 9293 MUST-37), unless
 * the user has set a limit, or has gone: then nobody is there who could end it (RFC 6429). Note: Linux does the same.
 */
export function windowPatience(tcb: Tcb): Micros {
  const { userTimeoutUs, orphanTimeoutUs } = tcb.config;
  return tcb.readerGone ? Math.min(userTimeoutUs, orphanTimeoutUs) : userTimeoutUs;
}

/** After a change of the limits: timers that would miss the new ones are brought forward. */
export function hastenTimers(tcb: Tcb): void {
  const { timers, backoffSince } = tcb;
  if (timers.retransmission !== NEVER) timers.retransmission = Math.min(timers.retransmission, backoffSince + patience(tcb));
  if (timers.persist !== NEVER) timers.persist = Math.min(timers.persist, backoffSince + windowPatience(tcb));
}
