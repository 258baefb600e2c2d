/**
 * HyStart++ (RFC 9406): leaves the first slow start when the round-trip time rises, before the queue overflows.
 *
 * ```
 *                RTT rose by RttThresh                    CSS_ROUNDS rounds
 *   slow-start ─────────────────────────► css ──────────────────────────────► done (congestion avoidance)
 *              ◄─────────────────────────
 *              RTT fell below the baseline: jitter
 * ```
 *
 * A round lasts until what was SND.NXT at its beginning is acknowledged. Needs several RTT samples a round: without
 * timestamps there is one, and slow start goes on until a loss, as it would without HyStart++.
 */
import { seqGe } from "../base/seq.js";
import { MILLISECOND, type Micros, NEVER } from "../base/time.js";
import type { AckSample } from "./congestion.js";

/** Standard slow start, Conservative Slow Start (RFC 9406 §4.2), or over: congestion avoidance begins. */
export type HyStartPhase = "slow-start" | "css" | "done";

export class HyStart {
  #phase: HyStartPhase = "slow-start";
  /** A round is under way: `#windowEnd` means something. */
  #inRound = false;
  #windowEnd = 0;
  #lastRoundMinRtt: Micros = NEVER;
  #currentRoundMinRtt: Micros = NEVER;
  #rttSampleCount = 0;
  /** The round-trip time that made us doubt; a lower one in CSS says that the doubt was wrong. */
  #cssBaselineMinRtt: Micros = NEVER;
  #cssRounds = 0;

  get phase(): HyStartPhase {
    return this.#phase;
  }

  /** Takes an ACK of new data in slow start, limited or not: rounds go on while the user is the limit, decisions do not. */
  onAck(sample: AckSample): void {
    if (!this.#inRound || seqGe(sample.una, this.#windowEnd)) this.#startRound(sample.nxt);
    if (sample.rttUs > 0) {
      this.#rttSampleCount++;
      if (sample.rttUs < this.#currentRoundMinRtt) this.#currentRoundMinRtt = sample.rttUs;
    }
    if (!sample.limited || this.#rttSampleCount < N_RTT_SAMPLE) return;
    if (this.#phase === "slow-start") this.#checkForRise();
    else if (this.#phase === "css") this.#checkForFall();
  }

  /** Forgets the rounds and begins with standard slow start, as at the start of the connection. */
  restart(): void {
    this.#phase = "slow-start";
    this.#inRound = false;
    this.#lastRoundMinRtt = NEVER;
    this.#currentRoundMinRtt = NEVER;
    this.#rttSampleCount = 0;
    this.#cssBaselineMinRtt = NEVER;
    this.#cssRounds = 0;
  }

  #startRound(nxt: number): void {
    // The round in whose middle CSS began counts (RFC 9406 §4.2).
    if (this.#phase === "css" && ++this.#cssRounds >= CSS_ROUNDS) this.#phase = "done";
    this.#inRound = true;
    this.#windowEnd = nxt;
    this.#lastRoundMinRtt = this.#currentRoundMinRtt;
    this.#currentRoundMinRtt = NEVER;
    this.#rttSampleCount = 0;
  }

  #checkForRise(): void {
    const last = this.#lastRoundMinRtt;
    if (last === NEVER) return;
    const rttThresh = Math.max(MIN_RTT_THRESH, Math.min(last / MIN_RTT_DIVISOR, MAX_RTT_THRESH));
    if (this.#currentRoundMinRtt < last + rttThresh) return;
    this.#phase = "css";
    this.#cssBaselineMinRtt = this.#currentRoundMinRtt;
    this.#cssRounds = 0;
  }

  #checkForFall(): void {
    if (this.#currentRoundMinRtt >= this.#cssBaselineMinRtt) return;
    this.#phase = "slow-start";
    this.#cssBaselineMinRtt = NEVER;
  }
}

/** What slow start adds to the window in Conservative Slow Start, divided by this (RFC 9406 §4.3). */
export const CSS_GROWTH_DIVISOR = 4;

/** A rise of less than this is noise, of more than MAX_RTT_THRESH never is (RFC 9406 §4.3). */
const MIN_RTT_THRESH: Micros = 4 * MILLISECOND;
const MAX_RTT_THRESH: Micros = 16 * MILLISECOND;
/** Between the two: an eighth of the former round's least (RFC 9406 §4.3). */
const MIN_RTT_DIVISOR = 8;
/** Samples a round before its least means anything (RFC 9406 §4.3). */
const N_RTT_SAMPLE = 8;
/** Rounds of CSS without a fall that make the rise certain (RFC 9406 §4.3). */
const CSS_ROUNDS = 5;
