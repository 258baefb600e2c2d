/** NewReno: slow start, congestion avoidance, fast recovery (RFC 5681, RFC 6582). */
import type { AckSample, CongestionControl } from "./congestion.js";

export function newReno(mss: number, initialWindow: number): CongestionControl {
  return new NewReno(mss, initialWindow);
}

class NewReno implements CongestionControl {
  readonly name = "newreno";
  cwnd: number;
  ssthresh = Number.POSITIVE_INFINITY;
  #mss: number;
  /** Bytes acknowledged in congestion avoidance since cwnd last grew (appropriate byte counting, RFC 3465). */
  #acked = 0;

  constructor(mss: number, initialWindow: number) {
    this.#mss = mss;
    this.cwnd = initialWindow;
  }

  onAck({ ackedBytes, limited }: AckSample): void {
    if (!limited) return;
    if (this.cwnd < this.ssthresh) {
      // RFC 5681 §3.1 (2) lets cwnd grow by a segment an ACK; with L = 2·SMSS of RFC 3465 an ACK for a whole batch counts more.
      // Note: Linux counts all that an ACK covers, as we do: acknowledging a batch once must not starve the sender.
      this.cwnd = Math.min(this.cwnd + ackedBytes, MAX_WINDOW);
      return;
    }
    this.#acked += ackedBytes;
    if (this.#acked >= this.cwnd) {
      this.#acked -= this.cwnd;
      this.cwnd = Math.min(this.cwnd + this.#mss, MAX_WINDOW);
    }
  }

  onEnterRecovery(flightSize: number): void {
    this.ssthresh = Math.max(flightSize >>> 1, 2 * this.#mss);
    // Three segments have left the network: they brought the duplicate ACKs.
    this.cwnd = this.ssthresh + 3 * this.#mss;
    this.#acked = 0;
  }

  onDuplicateAck(): void {
    this.cwnd = Math.min(this.cwnd + this.#mss, MAX_WINDOW);
  }

  onPartialAck(ackedBytes: number): void {
    this.cwnd = Math.max(this.cwnd - ackedBytes, this.#mss);
    if (ackedBytes >= this.#mss) this.cwnd += this.#mss;
  }

  onExitRecovery(flightSize: number): void {
    // The first of the two choices of RFC 6582 §3.2 step 3: no burst of a whole ssthresh.
    this.cwnd = Math.min(this.ssthresh, Math.max(flightSize, this.#mss) + this.#mss);
  }

  onTimeout(flightSize: number, first: boolean): void {
    if (first) this.ssthresh = Math.max(flightSize >>> 1, 2 * this.#mss);
    this.cwnd = this.#mss;
    this.#acked = 0;
  }

  onMss(mss: number): void {
    this.#mss = mss;
  }
}

/** The largest window that window scaling can express (RFC 7323 §2.3); more would never be used. */
const MAX_WINDOW = 2 ** 30;
