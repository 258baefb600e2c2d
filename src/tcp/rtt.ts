/** The retransmission timer's estimate (RFC 6298). Times in µs. */
import { type Micros, NEVER } from "../base/time.js";

/** K of RFC 6298 §2.2. */
const K = 4;
/** Clock granularity G: the engine's clock counts µs, timers of a real driver wake within a millisecond. */
const G: Micros = 1_000;
/**
 * A round-trip time that hardly varies, behind a full queue say, must not leave a time-out of hardly more: the next long
 * recovery would be cut short by it. RFC 6298's minimum of 1 s sees to that by itself, a minimum of 200 ms does not.
 * Note: Linux does the same (tcp_rtt_estimator).
 */
const LEAST_MARGIN: Micros = 200_000;

export class RttEstimator {
  /** Smoothed round-trip time; 0 before the first sample. */
  srtt: Micros = 0;
  rttvar: Micros = 0;
  /** The time-out as computed, without back-off. */
  rto: Micros;
  hasSample = false;
  /** What the last ACK measured, 0 when it measured nothing. */
  latest: Micros = 0;
  /** The smallest measurement; NEVER before the first. */
  min: Micros = NEVER;
  protected least: Micros;
  #max: Micros;
  readonly #slop: Micros;

  /** `slop` is added to every time-out that is computed; NEVER for none, and a least margin instead. */
  constructor(initial: Micros, min: Micros, max: Micros, slop: Micros = NEVER) {
    this.rto = initial;
    this.least = min;
    this.#max = max;
    this.#slop = slop;
  }

  /** Takes a measurement. Karn's rule is the caller's: never of data that was sent twice (RFC 6298 §3). `newest`: of what left last. */
  sample(rtt: Micros, newest: Micros = rtt): void {
    this.latest = rtt;
    if (newest < this.min) this.min = newest;
    if (!this.hasSample) {
      this.hasSample = true;
      this.srtt = rtt;
      this.rttvar = rtt >>> 1;
    } else {
      this.rttvar = Math.round(0.75 * this.rttvar + 0.25 * Math.abs(this.srtt - rtt));
      this.srtt = Math.round(0.875 * this.srtt + 0.125 * rtt);
    }
    if (this.#slop !== NEVER) {
      this.rto = Math.min(Math.max(this.srtt + K * this.rttvar, this.least) + this.#slop, this.#max);
      return;
    }
    this.rto = this.bounded(this.srtt + Math.max(G, Math.min(this.least, LEAST_MARGIN), K * this.rttvar));
  }

  /** What probes of a closed window are spaced by before their bounds, about twice the RTO without slop (FreeBSD: tcp_setpersist). */
  get persistBase(): Micros {
    return this.hasSample ? 4 * this.srtt + 2 * K * this.rttvar : 2 * (this.rto - (this.#slop === NEVER ? 0 : this.#slop));
  }

  /** Sets the bounds of time-outs that are computed from now on. */
  bound(least: Micros, most: Micros): void {
    this.least = least;
    this.#max = most;
  }

  /** The time-out after `backoffs` expiries in a row (RFC 6298 §5.5). */
  backedOff(backoffs: number): Micros {
    return Math.min(this.rto * 2 ** Math.min(backoffs, 16), this.#max);
  }

  /** Sets the time-out anew, as RFC 6298 §5.7 asks after a repeated SYN. */
  restart(rto: Micros): void {
    this.rto = this.bounded(rto);
  }

  protected bounded(rto: Micros): Micros {
    return Math.min(Math.max(rto, this.least), this.#max);
  }
}
