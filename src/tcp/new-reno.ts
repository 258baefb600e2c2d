/** NewReno: slow start, congestion avoidance, fast recovery (RFC 5681, RFC 6582). */
import type { Micros } from "../base/time.js";
import {
  type AckSample,
  afterIdle,
  afterPartialAck,
  afterRecovery,
  type CongestionControl,
  idleSsthresh,
  MAX_WINDOW,
} from "./congestion.js";

export function newReno(mss: number, initialWindow: number, ssthresh = Number.POSITIVE_INFINITY): CongestionControl {
  return new NewReno(mss, initialWindow, ssthresh);
}

class NewReno implements CongestionControl {
  readonly name = "newreno";
  cwnd: number;
  ssthresh: number;
  #mss: number;
  /** Bytes acknowledged in congestion avoidance since cwnd last grew (appropriate byte counting, RFC 3465). */
  #acked = 0;
  #inRecovery = false;
  /** What held before the last loss, for `onUndo`; `#undoCwnd` is 0 when there is nothing to undo. */
  #undoCwnd = 0;
  #undoSsthresh = 0;

  constructor(mss: number, initialWindow: number, ssthresh: number) {
    this.#mss = mss;
    this.ssthresh = ssthresh;
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
    this.#remember();
    this.ssthresh = Math.max(flightSize >>> 1, 2 * this.#mss);
    // Three segments have left the network: they brought the duplicate ACKs.
    this.cwnd = this.ssthresh + 3 * this.#mss;
    this.#acked = 0;
    this.#inRecovery = true;
  }

  onDuplicateAck(): void {
    this.cwnd = Math.min(this.cwnd + this.#mss, MAX_WINDOW);
  }

  onPartialAck(ackedBytes: number): void {
    this.cwnd = afterPartialAck(this.cwnd, ackedBytes, this.#mss);
  }

  onExitRecovery(flightSize: number): void {
    this.cwnd = afterRecovery(this.ssthresh, flightSize, this.#mss);
    this.#inRecovery = false;
  }

  onTimeout(flightSize: number, first: boolean): void {
    if (first) {
      this.#remember();
      this.ssthresh = Math.max(flightSize >>> 1, 2 * this.#mss);
    }
    this.cwnd = this.#mss;
    this.#acked = 0;
    this.#inRecovery = false;
  }

  onEcn(flightSize: number): void {
    const reduced = Math.floor(flightSize * BETA_ECN);
    this.ssthresh = Math.max(reduced, 2 * this.#mss);
    // A window of one segment is the least; below that the retransmission timer slows the sender (RFC 3168 §6.1.2).
    this.cwnd = Math.min(this.cwnd, Math.max(reduced, this.#mss));
    this.#acked = 0;
    this.#undoCwnd = 0;
  }

  onUndo(): void {
    if (this.#undoCwnd === 0) return;
    this.cwnd = this.#deflated();
    this.#inRecovery = false;
    if (this.cwnd < this.#undoCwnd) {
      this.cwnd = this.#undoCwnd;
      this.ssthresh = this.#undoSsthresh;
    }
    this.#undoCwnd = 0;
  }

  onIdle(idleUs: Micros, rtoUs: Micros, initialWindow: number): void {
    const cwnd = afterIdle(this.cwnd, idleUs, rtoUs, initialWindow);
    if (cwnd === this.cwnd) return;
    this.ssthresh = idleSsthresh(this.ssthresh, this.cwnd);
    this.cwnd = cwnd;
    this.#acked = 0;
  }

  onMss(mss: number): void {
    this.#mss = mss;
    // The least that either may be is counted in segments of the size that goes from now on (RFC 5681 §3.1).
    this.cwnd = Math.max(this.cwnd, mss);
    this.ssthresh = Math.max(this.ssthresh, 2 * mss);
  }

  #remember(): void {
    this.#undoCwnd = this.#deflated();
    this.#undoSsthresh = this.ssthresh;
  }

  /** The window without the inflation of recovery, which stands for segments that have left the network. */
  #deflated(): number {
    return this.#inRecovery ? Math.min(this.cwnd, this.ssthresh) : this.cwnd;
  }
}

/** What is left of the window after an ECN mark: queues that mark are short, so less has to drain (RFC 8511 §3.1). */
const BETA_ECN = 0.8;
