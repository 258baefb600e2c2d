/**
 * Congestion control is told facts and asked for a window (RFC 5681). Loss detection lives elsewhere: a control never sees
 * a segment. All amounts are bytes. Below the interface stands what every control of this family does alike.
 */
import type { Micros } from "../base/time.js";

/** What an ACK of new data tells. One object, filled anew for every ACK: copy what is to be kept. */
export interface AckSample {
  now: Micros;
  /** Bytes acknowledged by this ACK, cumulatively or for the first time by SACK. */
  ackedBytes: number;
  /** Sent and not acknowledged before this ACK (FlightSize, RFC 5681 §2). */
  flightSize: number;
  /** The window, not the user, was what held the sender back: only then may it grow (RFC 7661 in spirit). */
  limited: boolean;
  /** The latest round-trip sample, 0 when this ACK gave none. */
  rttUs: Micros;
  srttUs: Micros;
  /** SND.UNA after this ACK and SND.NXT: a round of slow start ends when the first passes what the second was (RFC 9406 §4.2). */
  una: number;
  nxt: number;
}

export interface CongestionControl {
  readonly name: string;
  /** Congestion window. */
  readonly cwnd: number;
  /** Slow start threshold; Infinity until the first loss. */
  readonly ssthresh: number;
  /** New data was acknowledged outside recovery. */
  onAck(sample: AckSample): void;
  /** Fast recovery begins (RFC 5681 §3.2 step 2–3). */
  onEnterRecovery(flightSize: number, now: Micros): void;
  /** NewReno's inflation: another duplicate ACK in recovery, a segment has left the network (RFC 5681 §3.2 step 4). */
  onDuplicateAck(): void;
  /** An ACK for some but not all of what was outstanding when recovery began (RFC 6582 §3.2 step 3). */
  onPartialAck(ackedBytes: number): void;
  /** All of it is acknowledged (RFC 6582 §3.2 step 3). */
  onExitRecovery(flightSize: number, now: Micros): void;
  /** The retransmission timer expired; `first` unless the same data timed out before (RFC 5681 §3.1). */
  onTimeout(flightSize: number, first: boolean, now: Micros): void;
  /**
   * The peer echoed a congestion mark (RFC 3168 §6.1.2). As for a loss, but nothing is missing, so nothing is inflated, the
   * reduction is milder (RFC 8511) and cannot prove spurious. At most once a window of data and never in recovery: the caller's rule.
   */
  onEcn(flightSize: number, now: Micros): void;
  /**
   * The loss behind the last reduction never happened (RFC 4015, RFC 9438 §4.9): what was before it holds again, unless
   * the window is already as large. Without such a reduction, or after an ECN mark, it does nothing. The caller leaves recovery
   * without `onExitRecovery`, and bounds the burst that a suddenly larger window allows.
   */
  onUndo(): void;
  /**
   * Data is about to be sent after nothing was outstanding for `idleUs`. The window decays once that passes `rtoUs`: what it
   * knew of the path is old (RFC 5681 §4.1), never below `initialWindow` bytes. Shorter pauses may be told too.
   */
  onIdle(idleUs: Micros, rtoUs: Micros, initialWindow: number): void;
  /** The effective send size changed, by path MTU discovery. */
  onMss(mss: number): void;
}

/**
 * Makes the control of one connection. `mss` is the effective send size, `initialWindow` the first window in bytes; `ssthresh` is
 * given when the control takes over from another one, and absent at the start of a connection.
 */
export type CongestionFactory = (mss: number, initialWindow: number, ssthresh?: number) => CongestionControl;

/** The largest window that window scaling can express (RFC 7323 §2.3); more would never be used. */
export const MAX_WINDOW = 2 ** 30;

/** The window after a partial ACK: deflated by what has left the network, one segment more may go (RFC 6582 §3.2 step 3). */
export function afterPartialAck(cwnd: number, ackedBytes: number, mss: number): number {
  const deflated = Math.max(cwnd - ackedBytes, mss);
  return ackedBytes >= mss ? deflated + mss : deflated;
}

/** The window after recovery: the first of the two choices of RFC 6582 §3.2 step 3, no burst of a whole ssthresh. */
export function afterRecovery(ssthresh: number, flightSize: number, mss: number): number {
  return Math.min(ssthresh, Math.max(flightSize, mss) + mss);
}

/**
 * The window after `idleUs` without anything outstanding: half for every `rtoUs`, but not below `initialWindow`.
 *
 * Note: Linux does the same (tcp_cwnd_restart). RFC 5681 §4.1 goes to the initial window at once, RFC 7661 §4.4.3 halves
 * once, after five minutes; this lies between them.
 */
export function afterIdle(cwnd: number, idleUs: Micros, rtoUs: Micros, initialWindow: number): number {
  if (idleUs <= rtoUs || cwnd <= initialWindow) return cwnd;
  const halvings = Math.ceil(idleUs / rtoUs) - 1;
  return Math.max(Math.floor(cwnd / 2 ** halvings), initialWindow);
}

/** The threshold to return to after idling: most of the former window (RFC 7661 §4.4.3), or where it was if that is higher. */
export function idleSsthresh(ssthresh: number, cwnd: number): number {
  return Math.max(ssthresh, Math.floor((3 * cwnd) / 4));
}
