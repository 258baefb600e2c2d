/** Challenge ACKs (RFC 5961) and the answer to segments outside the window, both held back so that two ends cannot ping-pong. */
import type { Random } from "../base/random.js";
import { type Micros, SECOND } from "../base/time.js";
import { askForAck } from "./output.js";
import type { Tcb } from "./tcb.js";

/**
 * What all connections of a stack may send in challenge ACKs, so that spoofed segments to many of them do not make a flood
 * (RFC 5961 §7). The number of a second is drawn anew between half and one and a half of the limit: with a fixed one an outsider
 * could count what is left and learn of other connections (CVE-2016-5696). Note: Linux does the same (tcp_challenge_ack_limit).
 */
export class ChallengeBudget {
  /** Takes effect with the next second. */
  perSecond: number;
  readonly #random: Random;
  #left = 0;
  #until: Micros = -Infinity;
  /** Challenge ACKs that were not sent for this reason. */
  held = 0;

  constructor(perSecond: number, random: Random) {
    this.perSecond = perSecond;
    this.#random = random;
  }

  /** Whether one more may go. */
  take(now: Micros): boolean {
    if (now >= this.#until) {
      this.#until = now + SECOND;
      this.#left = (this.perSecond >>> 1) + (this.perSecond > 1 ? this.#random.u32() % this.perSecond : this.perSecond);
    }
    if (this.#left <= 0) {
      this.held++;
      return false;
    }
    this.#left--;
    return true;
  }
}

/** Asks the peer to prove itself: only the real one knows our RCV.NXT from the answer. Returns `note` (RFC 5961 §7: throttled). */
export function challengeAck(tcb: Tcb, note: string, now: Micros): string {
  tcb.observer?.drop(tcb.owner, note, now);
  if (allowed(tcb, now) && (tcb.owner.challengeBudget?.take(now) ?? true)) {
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
