/** The round-trip time estimate as Linux makes it (tcp_rtt_estimator): RFC 6298 with a variation that falls once a round trip only. */
import { seqGt } from "../base/seq.js";
import type { Micros } from "../base/time.js";
import { RttEstimator } from "./rtt.js";

/** What the estimate has to know of the connection. */
export interface RttRound {
  readonly una: number;
  readonly nxt: number;
}

export class LinuxRttEstimator extends RttEstimator {
  readonly #round: RttRound;
  /** Eight times the smoothed round-trip time, and four times its mean deviation. */
  #srtt8 = 0;
  #mdev4 = 0;
  /** The largest deviation of this round, and what stands for the variation in the time-out. */
  #mdevMax4 = 0;
  #rttvar4 = 0;
  #roundEnd = 0;

  constructor(initial: Micros, min: Micros, max: Micros, round: RttRound) {
    super(initial, min, max);
    this.#round = round;
  }

  override sample(rtt: Micros, newest: Micros = rtt): void {
    this.latest = rtt;
    if (newest < this.min) this.min = newest;
    if (!this.hasSample) {
      this.hasSample = true;
      this.#srtt8 = rtt * 8;
      this.#mdev4 = rtt * 2;
      this.#rttvar4 = Math.max(this.#mdev4, this.least);
      this.#mdevMax4 = this.#rttvar4;
      this.#roundEnd = this.#round.nxt;
    } else {
      this.#next(rtt);
    }
    this.srtt = this.#srtt8 >>> 3;
    this.rttvar = this.#mdev4 >>> 2;
    this.rto = this.bounded(this.srtt + this.#rttvar4);
  }

  #next(rtt: Micros): void {
    const error = rtt - (this.#srtt8 >>> 3);
    this.#srtt8 = Math.max(1, this.#srtt8 + error);
    let change = Math.abs(error) - (this.#mdev4 >>> 2);
    // A round-trip time that falls is no reason for a longer time-out.
    if (error < 0 && change > 0) change >>= 3;
    this.#mdev4 += change;
    if (this.#mdev4 > this.#mdevMax4) {
      this.#mdevMax4 = this.#mdev4;
      this.#rttvar4 = Math.max(this.#rttvar4, this.#mdevMax4);
    }
    const { una, nxt } = this.#round;
    if (!seqGt(una, this.#roundEnd)) return;
    if (this.#mdevMax4 < this.#rttvar4) this.#rttvar4 -= (this.#rttvar4 - this.#mdevMax4) >>> 2;
    this.#roundEnd = nxt;
    this.#mdevMax4 = this.least;
  }
}
