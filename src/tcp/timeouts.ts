/** Time-outs (RFC 9293 §3.10.8): retransmission, persist, delayed ACK, 2MSL, and FIN-WAIT-2 without a user. */
import { type Micros, NEVER } from "../base/time.js";
import { corkTimeout } from "./cork.js";
import { awaitsData } from "./defer-accept.js";
import { EVENT_TROUBLE } from "./event-bits.js";
import type { Failure } from "./events.js";
import { synTimeout } from "./fast-open.js";
import { keepAliveTimeout } from "./keep-alive.js";
import { lingerTimeout } from "./linger.js";
import { awaitsThird, synAckTimeout } from "./linux-fast-open.js";
import { lossByShrinking, lossByTimeout, rackTimeout, tlpTimeout } from "./loss-recovery.js";
import { askForAck, persistDelay, startRetransmission } from "./output.js";
import { pacingTimeout } from "./pacing.js";
import { pathMtuAfterTimeout } from "./path-mtu.js";
import { fail, setState } from "./set-state.js";
import { isSynchronized } from "./state.js";
import type { Tcb } from "./tcb.js";
import { deadline } from "./user-calls.js";
import { closedEnd, patience, patienceEnd, windowPatienceEnd } from "./user-timeout.js";

/** Runs every timer whose deadline has come; calling early does nothing. */
export function handleTimeout(tcb: Tcb, now: Micros): void {
  const timers = tcb.timers;
  if (now < deadline(tcb)) return;
  if (now >= timers.delayedAck) delayedAck(tcb, now);
  if (now >= timers.sackCompression) {
    timers.sackCompression = NEVER;
    tcb.linux?.acks.expireCompression(tcb);
  }
  if (now >= timers.rack) rackTimeout(tcb, now);
  // A tail loss probe comes in the place of a time-out and starts that timer anew (RFC 8985 §7.2).
  if (now >= timers.tlp) tlpTimeout(tcb, now);
  else if (now >= timers.retransmission) retransmissionTimeout(tcb, now);
  if (now >= timers.persist) persistTimeout(tcb, now);
  if (now >= timers.keepAlive) keepAliveTimeout(tcb, now);
  if (now >= timers.cork) corkTimeout(tcb, now);
  if (now >= timers.pacing) pacingTimeout(tcb);
  if (now >= timers.linger) lingerTimeout(tcb, now);
  if (now >= timers.finWait2) finWait2Timeout(tcb, now);
  if (now >= timers.timeWait) timeWaitTimeout(tcb, now);
}

/** The time of the next timer; NEVER when none runs. */
export function nextTimeout(tcb: Tcb): Micros {
  return deadline(tcb);
}

function delayedAck(tcb: Tcb, now: Micros): void {
  tcb.timers.delayedAck = NEVER;
  tcb.linux?.acks.expire(tcb);
  // The answer that was to carry the ACK did not come.
  tcb.ackDelay.interactive = false;
  tcb.observer?.timer(tcb.owner, "delayed-ack", "expire", 0, "acknowledges what has come", now);
  askForAck(tcb, "delayed ACK");
}

/** RFC 6298 §5.4–5.7, RFC 5681 §3.1. */
function retransmissionTimeout(tcb: Tcb, now: Micros): void {
  const snd = tcb.snd;
  if (tcb.linuxSender !== undefined && awaitsThird(tcb)) {
    synAckTimeout(tcb, tcb.linuxSender, now);
    return;
  }
  tcb.timers.retransmission = NEVER;
  if (givesUp(tcb, now)) return;
  // What finds the window closed is a probe to Linux.
  if (tcb.linuxSender === undefined || snd.wnd > 0 || !isSynchronized(tcb.state)) tcb.counters.timeouts++;
  if (tcb.backoffs === 0) tcb.firstTimeoutAt = now;
  tcb.lastTimeoutAt = now;
  if (tcb.observer !== undefined) {
    tcb.observer.timer(tcb.owner, "retransmission", "expire", 0, `no ACK in time, try ${tcb.backoffs + 1} again`, now);
  }
  const first = tcb.backoffs === 0;
  tcb.backoffs++;
  if (tcb.backoffs === tcb.config.r1Retries) tcb.events |= EVENT_TROUBLE;
  if (!isSynchronized(tcb.state)) {
    if (awaitsData(tcb)) {
      startRetransmission(tcb, now);
      return;
    }
    if (tcb.state === "SYN-SENT") synTimeout(tcb);
    tcb.synRepeated = true;
    snd.nxt = tcb.iss;
    return;
  }
  if (snd.wnd === 0 && tcb.linuxSender === undefined) {
    // The peer took its window back after the data left: from now on it is probed, not blamed on congestion (SHLD-17).
    lossByShrinking(tcb);
    tcb.pending.probe = true;
    startPersistTimer(tcb, now);
    return;
  }
  // A probe to Linux, as it were: it counts for no retransmission.
  if (snd.wnd === 0) tcb.backoffs = 0;
  // First, so that congestion control reckons with the segments that are sent from now on.
  pathMtuAfterTimeout(tcb, now);
  lossByTimeout(tcb, first, now);
  startRetransmission(tcb, now);
}

/** R2 (RFC 9293 §3.8.3, MUST-20, MUST-23), and the bounded repetition of a SYN-ACK. */
function givesUp(tcb: Tcb, now: Micros): boolean {
  if (tcb.state === "SYN-RECEIVED" && tcb.passive) {
    if (tcb.backoffs < tcb.config.synAckRetries || awaitsData(tcb)) return false;
    // The user of a Fast Open connection has it already.
    if (tcb.fastOpen.accepted) fail(tcb, "ETIMEDOUT", "the third segment never came", now);
    else setState(tcb, "LISTEN", "the third segment never came", now);
    return true;
  }
  const isTired = isSynchronized(tcb.state) && tcb.backoffs >= tcb.config.retransmitLimit;
  if (now < patienceEnd(tcb) && now < closedEnd(tcb) && !isTired) return false;
  giveUp(tcb, tcb.softError ?? "ETIMEDOUT", "R2: no answer to any repetition", now);
  return true;
}

function giveUp(tcb: Tcb, failure: Failure, reason: string, now: Micros): void {
  if (tcb.config.resetsOnTimeout && tcb.state !== "SYN-SENT") {
    tcb.pending.rst = true;
    tcb.pending.rstReason = reason;
  }
  fail(tcb, failure, reason, now);
}

/** RFC 9293 §3.8.6.1: for ever, with growing intervals, as long as the peer answers (MUST-37, SHLD-30). */
function persistTimeout(tcb: Tcb, now: Micros): void {
  tcb.timers.persist = NEVER;
  // The peer may have been idle for long before: its silence counts from the first probe on.
  const limit = tcb.linuxSender === undefined ? patience(tcb) : tcb.config.r2Us;
  if (now - Math.max(tcb.lastReceiveAt, tcb.backoffSince) >= limit && tcb.backoffs > 0) {
    giveUp(tcb, "ETIMEDOUT", "R2: no answer to any zero-window probe", now);
    return;
  }
  if (now >= windowPatienceEnd(tcb)) {
    fail(tcb, "ETIMEDOUT", "the peer kept its window closed for too long", now);
    return;
  }
  if (tcb.backoffs === 0) tcb.firstTimeoutAt = now;
  tcb.observer?.timer(tcb.owner, "persist", "expire", 0, "probes the window", now);
  tcb.pending.probe = true;
  tcb.backoffs++;
  startPersistTimer(tcb, now);
}

function startPersistTimer(tcb: Tcb, now: Micros): void {
  tcb.timers.persist = Math.min(now + persistDelay(tcb), windowPatienceEnd(tcb));
}

function finWait2Timeout(tcb: Tcb, now: Micros): void {
  tcb.timers.finWait2 = NEVER;
  tcb.observer?.timer(tcb.owner, "fin-wait-2", "expire", 0, "the peer's FIN never came", now);
  setState(tcb, "CLOSED", "FIN-WAIT-2 without a user lasted too long", now);
}

function timeWaitTimeout(tcb: Tcb, now: Micros): void {
  tcb.observer?.timer(tcb.owner, "time-wait", "expire", 0, "2 MSL have passed", now);
  setState(tcb, "CLOSED", "2 MSL have passed", now);
}
