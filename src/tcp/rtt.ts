/** The retransmission timer's estimate (RFC 6298). Times in µs. */
import type { Micros } from "../base/time.js";

/** K of RFC 6298 §2.2. */
const K = 4;
/** Clock granularity G: the engine's clock counts µs, timers of a real driver wake within a millisecond. */
const G: Micros = 1_000;

export class RttEstimator {
  /** Smoothed round-trip time; 0 before the first sample. */
  srtt: Micros = 0;
  rttvar: Micros = 0;
  /** The time-out as computed, without back-off. */
  rto: Micros;
  hasSample = false;
  /** What the last ACK measured, 0 when it measured nothing. */
  latest: Micros = 0;
  readonly #min: Micros;
  readonly #max: Micros;

  constructor(initial: Micros, min: Micros, max: Micros) {
    this.rto = initial;
    this.#min = min;
    this.#max = max;
  }

  /** Takes a measurement. Karn's rule is the caller's: never of data that was sent twice (RFC 6298 §3). */
  sample(rtt: Micros): void {
    this.latest = rtt;
    if (!this.hasSample) {
      this.hasSample = true;
      this.srtt = rtt;
      this.rttvar = rtt >>> 1;
    } else {
      this.rttvar = Math.round(0.75 * this.rttvar + 0.25 * Math.abs(this.srtt - rtt));
      this.srtt = Math.round(0.875 * this.srtt + 0.125 * rtt);
    }
    this.rto = this.#bounded(this.srtt + Math.max(G, K * this.rttvar));
  }

  /** The time-out after `backoffs` expiries in a row (RFC 6298 §5.5). */
  backedOff(backoffs: number): Micros {
    return Math.min(this.rto * 2 ** Math.min(backoffs, 16), this.#max);
  }

  /** Sets the time-out anew, as RFC 6298 §5.7 asks after a repeated SYN. */
  restart(rto: Micros): void {
    this.rto = this.#bounded(rto);
  }

  #bounded(rto: Micros): Micros {
    return Math.min(Math.max(rto, this.#min), this.#max);
  }
}
