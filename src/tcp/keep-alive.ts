/**
 * Keep-alive (RFC 9293 §3.8.4): after long silence a bare segment that the peer must answer, to learn whether it is still
 * there. Off unless asked for (MUST-25). The timer is not touched by arriving segments: when it expires it looks how long
 * the silence has lasted.
 */
import { type Micros, NEVER } from "../base/time.js";
import { fail } from "./set-state.js";
import { isSynchronized } from "./state.js";
import type { Tcb } from "./tcb.js";

export class KeepAliveVariables {
  /** Probes without an answer, in a row. */
  probes = 0;
  /** When the last of them was asked for. */
  probedAt: Micros = 0;
}

/** Starts or stops the timer as the options and the state want it; for entering ESTABLISHED and for the switch. */
export function startKeepAlive(tcb: Tcb, now: Micros): void {
  const { config, timers } = tcb;
  tcb.keepAlive.probes = 0;
  timers.keepAlive = NEVER;
  if (!(config.keepAlive || config.alwaysKeepAlive) || !isSynchronized(tcb.state) || tcb.state === "TIME-WAIT") return;
  timers.keepAlive = Math.max(tcb.lastReceiveAt + config.keepAliveIdleUs, now);
}

/** The timer expired. */
export function keepAliveTimeout(tcb: Tcb, now: Micros): void {
  const { config, keepAlive, timers } = tcb;
  const silence = now - tcb.lastReceiveAt;
  if (tcb.lastReceiveAt >= keepAlive.probedAt) keepAlive.probes = 0;
  // MUST-26: only in silence, and only when nothing is outstanding; what is has a timer of its own to end it.
  if (tcb.snd.una !== tcb.snd.max || tcb.sendQueue.length > 0) {
    keepAlive.probes = 0;
    timers.keepAlive = now + config.keepAliveIdleUs;
    return;
  }
  if (silence < config.keepAliveIdleUs) {
    timers.keepAlive = tcb.lastReceiveAt + config.keepAliveIdleUs;
    return;
  }
  if (givesUp(tcb, silence)) {
    // Should the peer live after all, it is not left with half a connection. Note: Linux does the same.
    tcb.pending.rst = true;
    tcb.pending.rstReason = "keep-alive: no answer to any probe";
    fail(tcb, tcb.softError ?? "ETIMEDOUT", "keep-alive: no answer to any probe", now);
    return;
  }
  tcb.observer?.timer(tcb.owner, "keep-alive", "expire", 0, `silence, probe ${keepAlive.probes + 1}`, now);
  keepAlive.probes++;
  keepAlive.probedAt = now;
  tcb.pending.keepAlive = true;
  timers.keepAlive = now + config.keepAliveIntervalUs;
}

/** MUST-29: one unanswered probe is no death. A user time-out replaces the count (Linux: TCP_USER_TIMEOUT). */
function givesUp(tcb: Tcb, silence: Micros): boolean {
  const { config, keepAlive } = tcb;
  if (config.userTimeoutUs !== NEVER) return keepAlive.probes > 1 && silence >= config.userTimeoutUs;
  return keepAlive.probes >= config.keepAliveCount;
}
