/**
 * Congestion control is told facts and asked for a window (RFC 5681). Loss detection lives elsewhere: a control never sees
 * a segment. All amounts are bytes.
 */
import type { Micros } from "../base/time.js";

export interface CongestionControl {
  readonly name: string;
  /** Congestion window. */
  readonly cwnd: number;
  /** Slow start threshold; Infinity until the first loss. */
  readonly ssthresh: number;
  /** New data was acknowledged outside recovery. `limited`: the window, not the user, was what held the sender back. */
  onAck(ackedBytes: number, limited: boolean, now: Micros): void;
  /** Fast recovery begins (RFC 5681 §3.2 step 2–3). */
  onEnterRecovery(flightSize: number, now: Micros): void;
  /** Another duplicate ACK in recovery: a segment has left the network (RFC 5681 §3.2 step 4). */
  onDuplicateAck(): void;
  /** An ACK for some but not all of what was outstanding when recovery began (RFC 6582 §3.2 step 3). */
  onPartialAck(ackedBytes: number): void;
  /** All of it is acknowledged (RFC 6582 §3.2 step 3). */
  onExitRecovery(flightSize: number): void;
  /** The retransmission timer expired; `first` unless the same data timed out before (RFC 5681 §3.1). */
  onTimeout(flightSize: number, first: boolean, now: Micros): void;
  /** The effective send size changed, by path MTU discovery. */
  onMss(mss: number): void;
}

/** Makes the control of one connection. `mss` is the effective send size, `initialWindow` the first window in bytes. */
export type CongestionFactory = (mss: number, initialWindow: number) => CongestionControl;
