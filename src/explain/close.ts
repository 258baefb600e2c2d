/** How a connection ended, by name, and what caused a reset (RFC 9293 §3.6, §3.5.2, §3.5.3). */
import { seqGe } from "../base/seq.js";
import type { State } from "../tcp/state.js";
import type { Segment } from "../wire/segment.js";
import { ACK, FIN, RST } from "../wire/tcp-flags.js";
import type { End } from "./end.js";

export type CloseName =
  | "four-segment"
  | "merged three-segment"
  | "simultaneous"
  | "half-close"
  | "unacknowledged"
  | "abort"
  | "refused"
  | "still open";

/** What made an end send RST. */
export type ResetCause =
  /** Nobody listens: the answer to a SYN. */
  | "refused"
  /** The user gave up, or closed with data unread. */
  | "abort"
  /** Data came after it had closed: nobody is left to read them. */
  | "data after close"
  /** It knows nothing of the connection: it was restarted, or had ended it (RFC 9293 §3.5.1). */
  | "half-open"
  /** It had sent again and again without an answer. */
  | "time-out";

/** Watches FINs, what acknowledges them, and RSTs. */
export class Close {
  /** The end whose FIN came first; null before. */
  first: 0 | 1 | null = null;
  /** The first RST that was sent, and why. */
  reset: { readonly by: 0 | 1; readonly frame: number; readonly cause: ResetCause } | null = null;
  #hasSecond = false;
  #isSeparate = false;
  #isCrossing = false;
  #previous: { from: 0 | 1; flags: number; payloadLength: number; ack: number } | null = null;
  /** Segments of each end since the other one was last heard. */
  readonly #unanswered: [number, number] = [0, 0];

  /** Takes the next segment, after `ends` have taken what it shows; `before` is the sender's state ahead of it. */
  segment(tcp: Segment, from: 0 | 1, frame: number, ends: readonly [End, End], before: State): ResetCause | null {
    const to = from === 0 ? 1 : 0;
    const { flags } = tcp;
    let cause: ResetCause | null = null;
    if ((flags & RST) !== 0) {
      cause = this.#causeOf(tcp, from, ends, before);
      this.reset ??= { by: from, frame, cause };
    } else {
      const theirs = ends[to].fin;
      const covers = theirs !== null && (flags & ACK) !== 0 && seqGe(tcp.ack, theirs);
      if ((flags & FIN) !== 0 && this.first === null) this.first = from;
      else if ((flags & FIN) !== 0 && from !== this.first && !this.#hasSecond) {
        this.#hasSecond = true;
        this.#isCrossing = !covers;
      } else if (covers && this.first === to && !this.#hasSecond) this.#isSeparate = true;
    }
    this.#unanswered[from]++;
    this.#unanswered[to] = 0;
    if (this.#previous === null) this.#previous = { from, flags, payloadLength: tcp.payloadLength, ack: tcp.ack };
    else {
      this.#previous.from = from;
      this.#previous.flags = flags;
      this.#previous.payloadLength = tcp.payloadLength;
      this.#previous.ack = tcp.ack;
    }
    return cause;
  }

  name(ends: readonly [End, End]): CloseName {
    if (this.reset !== null && this.reset.cause === "refused") return "refused";
    if (this.first === null) return this.reset === null ? "still open" : "abort";
    if (!this.#hasSecond) return this.reset === null ? "half-close" : "abort";
    const acked = ([0, 1] as const).every((i) => {
      const { fin } = ends[i];
      const ack = ends[i === 0 ? 1 : 0].rcvNxt;
      return fin !== null && ack !== null && seqGe(ack, fin);
    });
    if (!acked) return this.reset === null ? "unacknowledged" : "abort";
    if (this.#isCrossing) return "simultaneous";
    return this.#isSeparate ? "four-segment" : "merged three-segment";
  }

  #causeOf(tcp: Segment, from: 0 | 1, ends: readonly [End, End], before: State): ResetCause {
    const own = ends[from];
    const peer = ends[from === 0 ? 1 : 0];
    const asked = this.#previous !== null && this.#previous.from !== from ? this.#previous : null;
    if (own.sndNxt === null && peer.sentSyn && peer.fin === null && !peer.wasSynchronized) return "refused";
    // A segment without a connection is answered in its own numbers (RFC 9293 §3.10.7.1).
    const isAnswer = asked !== null && (asked.flags & ACK) !== 0 && (tcp.flags & ACK) === 0 && tcp.seq === asked.ack;
    if (own.fin !== null && (isAnswer || (asked?.payloadLength ?? 0) > 0)) return "data after close";
    if (isAnswer && (before === "SYN-SENT" || asked.payloadLength > 0 || before === "CLOSED")) return "half-open";
    if (this.#unanswered[from] >= UNANSWERED) return "time-out";
    return isAnswer ? "half-open" : "abort";
  }
}

/** Linux sends nine keep-alive probes and 15 retransmissions; fewer than these may be in flight by chance. */
const UNANSWERED = 4;
