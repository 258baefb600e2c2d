/** How a connection was opened, by name, and what was agreed on (RFC 9293 §3.5, RFC 7413). */
import { seqAdd, seqGt } from "../base/seq.js";
import type { Micros } from "../base/time.js";
import type { Segment } from "../wire/segment.js";
import { ACK, CWR, ECE, RST, SYN } from "../wire/tcp-flags.js";

export type HandshakeName =
  | "three-way"
  | "Fast Open"
  | "simultaneous"
  | "split"
  | "refused"
  | "unanswered"
  | "incomplete"
  | "not captured";

/** What an end offered in its SYN or SYN+ACK. */
export interface SynOffer {
  readonly isn: number;
  /** Bytes; -1 where none was told, which means 536 (IPv4) or 1220 (IPv6). */
  readonly mss: number;
  /** -1: no window scaling. */
  readonly windowScale: number;
  readonly sackPermitted: boolean;
  readonly timestamps: boolean;
  /** RFC 3168 §6.1.1: ECE and CWR in a SYN, ECE alone in a SYN+ACK. */
  readonly ecn: boolean;
  /** -1 without the option, 0 where a cookie is asked for, else its bytes. */
  readonly fastOpenCookie: number;
}

/** Watches the opening. End 0 is the one that was seen first. */
export class Handshake {
  readonly offers: [SynOffer | null, SynOffer | null] = [null, null];
  /** Round trip of the opening at the ends: first SYN to the ACK that ends it; -1 unknown, or where something was sent twice. */
  rttUs: Micros = -1;
  isComplete = false;
  readonly #syn: [number, number] = [0, 0];
  readonly #synAck: [number, number] = [0, 0];
  #synAt: Micros = -1;
  #synPayload = 0;
  #synDataTaken = false;
  #refused = false;
  #ackBeforeSyn = false;
  #sawOther = false;

  /** Takes the next segment, from end `from`. */
  segment(tcp: Segment, from: 0 | 1, t: Micros): void {
    const { flags } = tcp;
    const to = from === 0 ? 1 : 0;
    if ((flags & RST) !== 0) {
      if (!this.isComplete && this.#syn[to] > 0 && this.offers[from] === null) this.#refused = true;
      return;
    }
    if ((flags & SYN) !== 0) {
      this.#takeSyn(tcp, from, to, t);
      return;
    }
    if (this.offers[0] === null && this.offers[1] === null) this.#sawOther = true;
    if (this.isComplete || (flags & ACK) === 0) return;
    const [mine, theirs] = [this.offers[from], this.offers[to]];
    if (mine !== null && theirs === null && this.#syn[to] === 0) return;
    if (theirs === null) return;
    if (mine === null) {
      // Its SYN is to come yet, or was not captured.
      this.#ackBeforeSyn = true;
      return;
    }
    if (!seqGt(tcp.ack, theirs.isn)) return;
    this.isComplete = true;
    const once = this.#syn[0] + this.#syn[1] === 1 && this.#synAck[to] === 1 && this.#synAck[from] === 0;
    if (once && this.#synAt >= 0) this.rttUs = t - this.#synAt;
  }

  get name(): HandshakeName {
    const [first, second] = this.#syn;
    if (this.#refused) return "refused";
    if (this.#sawOther || (this.offers[0] === null && this.offers[1] === null)) return "not captured";
    if (first > 0 && second > 0) return this.#ackBeforeSyn || this.#synAck[1] === 0 ? "split" : "simultaneous";
    if (this.#synAck[0] + this.#synAck[1] === 0) return "unanswered";
    if (this.#synDataTaken) return "Fast Open";
    return this.isComplete ? "three-way" : "incomplete";
  }

  /** SYNs and SYN+ACKs that were sent again. */
  get repeats(): number {
    return [...this.#syn, ...this.#synAck].reduce((sum, n) => sum + Math.max(0, n - 1), 0);
  }

  #takeSyn(tcp: Segment, from: 0 | 1, to: 0 | 1, t: Micros): void {
    const isAnswer = (tcp.flags & ACK) !== 0;
    if (isAnswer) {
      this.#synAck[from]++;
      const theirs = this.offers[to];
      if (theirs !== null && this.#synPayload > 0 && seqGt(tcp.ack, seqAdd(theirs.isn, 1))) this.#synDataTaken = true;
    } else {
      this.#syn[from]++;
      if (this.#synAt < 0) this.#synAt = t;
      if (from === 0) this.#synPayload = Math.max(this.#synPayload, tcp.payloadLength);
    }
    this.offers[from] ??= {
      isn: tcp.seq,
      mss: tcp.mss,
      windowScale: tcp.windowScale,
      sackPermitted: tcp.sackPermitted,
      timestamps: tcp.hasTimestamps,
      ecn: (tcp.flags & ECE) !== 0 && isAnswer === ((tcp.flags & CWR) === 0),
      fastOpenCookie: tcp.fastOpenLength,
    };
  }
}

/** What holds for the connection: what both ends offered; null where a SYN was not captured. */
export interface Negotiated {
  readonly windowScaling: boolean;
  readonly sack: boolean;
  readonly timestamps: boolean;
  readonly ecn: boolean;
}

/** See `Negotiated`. */
export function negotiated({ offers: [a, b] }: Handshake): Negotiated | null {
  if (a === null || b === null) return null;
  return {
    windowScaling: a.windowScale >= 0 && b.windowScale >= 0,
    sack: a.sackPermitted && b.sackPermitted,
    timestamps: a.timestamps && b.timestamps,
    ecn: a.ecn && b.ecn,
  };
}
