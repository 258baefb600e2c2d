/**
 * How fast data is delivered: a sample an ACK, over the longer of the time in which it was sent and the time in which it was
 * acknowledged (draft-cheng-iccrg-delivery-rate-estimation). Shown by `info`; congestion controls may use it.
 */
import { type Micros, NEVER } from "../base/time.js";
import type { SentSegment } from "./sent-list.js";

export class DeliveryRate {
  /** Bytes (FIN counts one) and segments delivered so far, by ACK or by SACK. */
  deliveredBytes = 0;
  deliveredSegments = 0;
  /** The best current estimate: so many bytes in so many µs; 0 before the first sample. */
  rateBytes = 0;
  rateIntervalUs: Micros = 0;
  /** The user, not the network, was the limit of that estimate. */
  rateAppLimited = false;
  /** When something was last delivered, and when the first segment of the present sampling interval was sent. */
  #deliveredAt: Micros = 0;
  #firstSentAt: Micros = 0;
  /** Samples are limited by the user until so much is delivered; 0 when they are not. */
  #appLimitedUntil = 0;
  // The sample of the ACK at hand; #priorAt is NEVER while it has none.
  #priorDelivered = 0;
  #priorAt: Micros = NEVER;
  #sendUs: Micros = 0;
  #limited = false;

  /** A segment has left, new or again; `only` when nothing else was outstanding. */
  sent(segment: SentSegment, only: boolean, now: Micros): void {
    if (only) {
      this.#deliveredAt = now;
      this.#firstSentAt = now;
    }
    segment.deliveredBefore = this.deliveredBytes;
    segment.deliveredAt = this.#deliveredAt;
    segment.firstSentAt = this.#firstSentAt;
    segment.appLimited = this.#appLimitedUntil > 0;
  }

  /** A segment was delivered, for the first time. */
  delivered(segment: SentSegment, now: Micros): void {
    this.deliveredBytes += segment.length;
    this.deliveredSegments++;
    this.#deliveredAt = now;
    // Of several segments the most recently sent one counts: its interval is the shortest.
    if (this.#priorAt !== NEVER && segment.deliveredBefore <= this.#priorDelivered) return;
    this.#priorDelivered = segment.deliveredBefore;
    this.#priorAt = segment.deliveredAt;
    this.#sendUs = segment.sentAt - segment.firstSentAt;
    this.#limited = segment.appLimited;
    this.#firstSentAt = segment.sentAt;
  }

  /** Bytes that were delivered when what the ACK at hand delivers left (of it, what left last); -1 when it delivers nothing. */
  get priorDelivered(): number {
    return this.#priorAt === NEVER ? -1 : this.#priorDelivered;
  }

  /** The ACK is taken in: makes its sample, if it is one. */
  acknowledged(minRtt: Micros, now: Micros): void {
    if (this.#priorAt === NEVER) return;
    const interval = Math.max(this.#sendUs, now - this.#priorAt);
    const bytes = this.deliveredBytes - this.#priorDelivered;
    this.#priorAt = NEVER;
    if (this.#appLimitedUntil > 0 && this.deliveredBytes > this.#appLimitedUntil) this.#appLimitedUntil = 0;
    // Shorter than any round trip: the time-stamp is of a copy that was not the one delivered.
    if (interval <= 0 || (minRtt !== NEVER && interval < minRtt)) return;
    // What the user held back may prove the path faster, never slower.
    if (this.#limited && bytes * this.rateIntervalUs < this.rateBytes * interval) return;
    this.rateBytes = bytes;
    this.rateIntervalUs = interval;
    this.rateAppLimited = this.#limited;
  }

  /** The user has left the connection without enough to send, `inFlight` bytes being on their way. */
  applicationLimited(inFlight: number): void {
    this.#appLimitedUntil = Math.max(1, this.deliveredBytes + inFlight);
  }

  /** Bytes a second; 0 before the first sample. */
  get bytesPerSecond(): number {
    return this.rateIntervalUs === 0 ? 0 : Math.floor((this.rateBytes * 1_000_000) / this.rateIntervalUs);
  }
}
