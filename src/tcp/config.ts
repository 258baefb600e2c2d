/** What can be chosen for a connection. Every default carries its source. */
import { MILLISECOND, MINUTE, type Micros, SECOND } from "../base/time.js";
import type { CongestionFactory } from "./congestion.js";
import { cubic } from "./cubic.js";

export interface ConnectionConfig {
  /** Largest IP packet on the path, headers included. */
  readonly mtuBytes: number;
  /** Upper bound of the MSS that we announce and use; the MTU may lower it further. */
  readonly mssBytes: number;
  /** Bytes taken from the user and not yet acknowledged, at the most. */
  readonly sendBufferBytes: number;
  /** Bytes received and not yet read by the user, at the most: the largest window that we advertise. */
  readonly receiveBufferBytes: number;
  /** Offer and accept window scaling (RFC 7323 §2). */
  readonly windowScaling: boolean;
  /** Offer and accept timestamps (RFC 7323 §3). */
  readonly timestamps: boolean;
  /** Offer and accept selective acknowledgments (RFC 2018). */
  readonly sack: boolean;
  /** Turns the Nagle algorithm off (RFC 9293 MUST-17). */
  readonly noDelay: boolean;
  /** Longest wait before received data is acknowledged; 0 acknowledges at once (RFC 9293 MUST-40: below 0.5 s). */
  readonly delayedAckUs: Micros;
  readonly rtoInitialUs: Micros;
  readonly rtoMinUs: Micros;
  readonly rtoMaxUs: Micros;
  /** How long a SYN of ours is repeated before OPEN fails. */
  readonly synTimeoutUs: Micros;
  /** How often a SYN-ACK is repeated before the half-open connection is forgotten. */
  readonly synAckRetries: number;
  /** R2: how long data or FIN may stay unacknowledged while it is being repeated. */
  readonly r2Us: Micros;
  /** R1: repetitions after which the user is told (RFC 9293 SHLD-9, SHLD-10). */
  readonly r1Retries: number;
  /** Maximum segment lifetime; TIME-WAIT lasts twice as long. */
  readonly mslUs: Micros;
  /** How long FIN-WAIT-2 lasts once nobody can read any more; Infinity waits for ever, as RFC 9293 does. */
  readonly finWait2Us: Micros;
  /** Least time between two challenge ACKs of one connection (RFC 5961 §7). */
  readonly challengeAckIntervalUs: Micros;
  /** Initial congestion window in segments. */
  readonly initialWindowSegments: number;
  readonly congestion: CongestionFactory;
  /** TTL or hop limit (RFC 9293 MUST-49). */
  readonly ttl: number;
  /** TOS or traffic class byte; ECN bits zero (RFC 9293 MUST-48). */
  readonly tos: number;
}

export const DEFAULT_CONFIG: ConnectionConfig = {
  mtuBytes: 1500,
  mssBytes: 65_495,
  sendBufferBytes: 1 << 20,
  receiveBufferBytes: 1 << 20,
  windowScaling: true,
  timestamps: true,
  sack: true,
  noDelay: false,
  // Note: Linux does the same (TCP_DELACK_MIN).
  delayedAckUs: 40 * MILLISECOND,
  // RFC 6298 §2.1.
  rtoInitialUs: SECOND,
  // RFC 6298 §2.4 asks for 1 s. Note: Linux uses 200 ms (TCP_RTO_MIN), which its delayed ACKs of at most 200 ms allow.
  rtoMinUs: 200 * MILLISECOND,
  // RFC 6298 §2.5 wants at least 60 s. Note: Linux does the same (TCP_RTO_MAX).
  rtoMaxUs: 120 * SECOND,
  // RFC 9293 MUST-23: at least 3 minutes.
  synTimeoutUs: 3 * MINUTE,
  // Note: Linux does the same (net.ipv4.tcp_synack_retries).
  synAckRetries: 5,
  // RFC 9293 SHLD-11 wants at least 100 s. Linux's tcp_retries2 of 15 comes to about 15 minutes.
  r2Us: 15 * MINUTE,
  // RFC 9293 SHLD-10.
  r1Retries: 3,
  // RFC 9293 §3.4.2: 2 minutes. Linux's TIME-WAIT lasts 60 s in all, as if MSL were 30 s; we do the same.
  mslUs: 30 * SECOND,
  // Note: Linux does the same (net.ipv4.tcp_fin_timeout).
  finWait2Us: 60 * SECOND,
  // Note: Linux does the same (net.ipv4.tcp_invalid_ratelimit).
  challengeAckIntervalUs: 500 * MILLISECOND,
  // RFC 6928 §2.
  initialWindowSegments: 10,
  congestion: cubic,
  // RFC 1700; Note: Linux does the same.
  ttl: 64,
  tos: 0,
};
