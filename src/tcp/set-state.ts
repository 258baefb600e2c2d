/** The one place where a connection's state changes. */
import { invariant } from "../base/errors.js";
import { type Micros, NEVER } from "../base/time.js";
import { EVENT_CLOSED, EVENT_ESTABLISHED, EVENT_FAILED, EVENT_READABLE } from "./event-bits.js";
import type { Failure } from "./events.js";
import { startKeepAlive } from "./keep-alive.js";
import { isTransition, type State } from "./state.js";
import type { Tcb } from "./tcb.js";

/** Changes the state along the transition table and tells it; `reason` in a few words. */
export function setState(tcb: Tcb, to: State, reason: string, now: Micros): void {
  const from = tcb.state;
  invariant(isTransition(from, to), `no transition from ${from} to ${to}`);
  tcb.state = to;
  if (to === "ESTABLISHED") {
    tcb.events |= EVENT_ESTABLISHED;
    startKeepAlive(tcb, now);
  }
  // Note: in Linux what is left in TIME-WAIT, or comes out of the SYN queue, is another socket, with a rate limit of its own.
  if (tcb.linux !== undefined && (to === "TIME-WAIT" || from === "SYN-RECEIVED")) tcb.lastChallengeAt = -NEVER;
  if (to === "CLOSED" || to === "LISTEN") {
    release(tcb);
    tcb.transmitMarks?.releaseAll(tcb, now);
  }
  if (to === "CLOSED") tcb.events |= EVENT_CLOSED;
  tcb.observer?.state(tcb.owner, from, to, reason, now);
}

/** The connection is lost: tells the user why, drops what was queued, and is CLOSED. */
export function fail(tcb: Tcb, failure: Failure, reason: string, now: Micros): void {
  tcb.failure = failure;
  tcb.events |= EVENT_FAILED | EVENT_READABLE;
  tcb.sendQueue.release();
  setState(tcb, "CLOSED", reason, now);
}

/** Starts the wait of 2 MSL, or starts it anew (RFC 9293 §3.10.8, "TIME-WAIT TIMEOUT"). */
export function startTimeWait(tcb: Tcb, reason: string, now: Micros): void {
  const delay = 2 * tcb.config.mslUs;
  tcb.timers.retransmission = NEVER;
  tcb.timers.persist = NEVER;
  tcb.timers.rack = NEVER;
  tcb.timers.tlp = NEVER;
  tcb.timers.finWait2 = NEVER;
  tcb.timers.keepAlive = NEVER;
  tcb.timers.linger = NEVER;
  tcb.timers.cork = NEVER;
  tcb.timers.timeWait = now + delay;
  tcb.observer?.timer(tcb.owner, "time-wait", "start", delay, reason, now);
}

/** Received bytes stay for the user to read; all else goes. */
function release(tcb: Tcb): void {
  tcb.sendQueue.release();
  tcb.outOfOrder.clear();
  tcb.sent.clear();
  if (tcb.receiveQueue.length === 0) tcb.receiveQueue.release();
  const timers = tcb.timers;
  timers.retransmission = NEVER;
  timers.persist = NEVER;
  timers.delayedAck = NEVER;
  timers.rack = NEVER;
  timers.tlp = NEVER;
  timers.timeWait = NEVER;
  timers.finWait2 = NEVER;
  timers.keepAlive = NEVER;
  timers.linger = NEVER;
  timers.cork = NEVER;
  timers.sackCompression = NEVER;
  tcb.pending.ack = false;
  tcb.pending.keepAlive = false;
  tcb.pending.tlp = false;
  tcb.pending.probe = false;
}
