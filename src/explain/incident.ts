/** What stands out in a connection: one entry for each, tied to the frame that shows it. */
import type { Micros } from "../base/time.js";

/** The kinds, in the order in which a report counts them. What each means is told in `README.md` beside this file. */
export const INCIDENT_KINDS = [
  "retransmission",
  "out-of-order",
  "gap",
  "unseen-acked",
  "duplicate-ack",
  "repeated-ack",
  "d-sack",
  "zero-window",
  "zero-window-probe",
  "zero-window-probe-ack",
  "window-full",
  "window-update",
  "keep-alive",
  "keep-alive-ack",
  "congestion-mark",
  "bad-checksum",
  "stray-syn",
  "reset",
] as const;

export type IncidentKind = (typeof INCIDENT_KINDS)[number];

/** What made an end send again: its timer, evidence of loss from the peer, a tail loss probe (RFC 8985 §7), or the network, which doubled it. */
export const RETRANSMISSION_CAUSES = ["rto", "fast", "tlp", "duplicated", "unclear"] as const;

export type RetransmissionCause = (typeof RETRANSMISSION_CAUSES)[number];

/** Something worth a look. All but the two marked fields are settled when it is told. */
export interface Incident {
  readonly frame: number;
  /** µs since the first packet of the file. */
  readonly t: Micros;
  /** Who sent the frame: 0 is the end that opened the connection, or was seen first. */
  readonly end: 0 | 1;
  readonly kind: IncidentKind;
  /** In words, with numbers relative to the initial ones. */
  readonly text: string;
  /** Of retransmissions. */
  readonly cause: RetransmissionCause | null;
  /** The frame that it repeats or answers, null where none is known. */
  readonly of: number | null;
  /** Of retransmissions: all of it had been acknowledged in the capture before it was sent again. */
  readonly alreadyAcked: boolean;
  /** Of retransmissions: it was not needed, because it was acknowledged before, or because a D-SACK says so. Set when that comes. */
  spurious: boolean;
}
