/**
 * Proportional Rate Reduction: how much may leave in fast recovery, so that the flight shrinks evenly to ssthresh instead of
 * in one silence and one burst (RFC 6937, with the safe ACK of RFC 6937bis).
 */

export class ProportionalRateReduction {
  /** RecoverFS: bytes in flight when recovery began. */
  #recoverFlight = 0;
  #delivered = 0;
  #out = 0;
  /** What may be in flight now. */
  cwnd = 0;

  /** `flight` is in flight or lost; `unanswered` was delivered before, by ACKs after which nothing has been sent yet. */
  begin(flight: number, mss: number, unanswered = 0): void {
    this.#recoverFlight = Math.max(flight + unanswered, mss);
    this.#delivered = unanswered;
    this.#out = 0;
    this.cwnd = flight;
  }

  /** Bytes that left in recovery, new or again. */
  sent(bytes: number): void {
    this.#out += bytes;
  }

  /**
   * For each ACK. `pipe` is what is in flight after it, `delivered` the bytes that it delivered, `safe` whether SND.UNA
   * advanced and it told of no further loss.
   */
  update(delivered: number, pipe: number, ssthresh: number, mss: number, safe: boolean): void {
    this.#delivered += delivered;
    let count: number;
    if (pipe > ssthresh) {
      count = Math.ceil((this.#delivered * ssthresh) / this.#recoverFlight) - this.#out;
    } else {
      // Slow start reduction bound: up to ssthresh, no faster than what is delivered (and a segment more when it is safe).
      let limit = Math.max(this.#delivered - this.#out, delivered);
      if (safe) limit += mss;
      count = Math.min(limit, ssthresh - pipe);
    }
    // The first retransmission goes out at once.
    if (this.#out === 0) count = Math.max(count, mss);
    this.cwnd = pipe + Math.max(count, 0);
  }
}
