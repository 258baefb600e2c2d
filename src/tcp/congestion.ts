/**
 * Congestion control is told facts and asked for a window (RFC 5681). Loss detection lives elsewhere: a control never sees
 * a segment. All amounts are bytes.
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
  /** Fast recovery begins (RFC 5681 §3.2 step 2–3), or ECN reported congestion. */
  onEnterRecovery(flightSize: number, now: Micros): void;
  /** NewReno's inflation: another duplicate ACK in recovery, a segment has left the network (RFC 5681 §3.2 step 4). */
  onDuplicateAck(): void;
  /** An ACK for some but not all of what was outstanding when recovery began (RFC 6582 §3.2 step 3). */
  onPartialAck(ackedBytes: number): void;
  /** All of it is acknowledged (RFC 6582 §3.2 step 3). */
  onExitRecovery(flightSize: number, now: Micros): void;
  /** The retransmission timer expired; `first` unless the same data timed out before (RFC 5681 §3.1). */
  onTimeout(flightSize: number, first: boolean, now: Micros): void;
  /** The effective send size changed, by path MTU discovery. */
  onMss(mss: number): void;
}

/** Makes the control of one connection. `mss` is the effective send size, `initialWindow` the first window in bytes. */
export type CongestionFactory = (mss: number, initialWindow: number) => CongestionControl;
