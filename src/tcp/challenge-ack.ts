/** Challenge ACKs (RFC 5961) and the answer to segments outside the window, both held back so that two ends cannot ping-pong. */
import type { Micros } from "../base/time.js";
import { askForAck } from "./output.js";
import type { Tcb } from "./tcb.js";

/** Asks the peer to prove itself: only the real one knows our RCV.NXT from the answer. Returns `note` (RFC 5961 §7: throttled). */
export function challengeAck(tcb: Tcb, note: string, now: Micros): string {
  tcb.observer?.drop(tcb.owner, note, now);
  if (allowed(tcb, now)) {
    tcb.counters.challengeAcks++;
    askForAck(tcb, "challenge ACK (RFC 5961)");
  }
  return note;
}

/** A bare segment outside the window, or with an old timestamp: a keep-alive probe, or an old ACK. Returns `note`. */
export function outOfWindowAck(tcb: Tcb, note: string, now: Micros): string {
  tcb.observer?.drop(tcb.owner, note, now);
  if (allowed(tcb, now)) askForAck(tcb, "answers a segment outside the window");
  return note;
}

function allowed(tcb: Tcb, now: Micros): boolean {
  if (now - tcb.lastChallengeAt < tcb.config.challengeAckIntervalUs) return false;
  tcb.lastChallengeAt = now;
  return true;
}
