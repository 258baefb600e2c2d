/** What can be chosen for a connection. Every default carries its source. */
import { MILLISECOND, MINUTE, type Micros, NEVER, SECOND } from "../base/time.js";
import type { AccurateEcnOption } from "./accurate-ecn-option.js";
import type { CongestionFactory } from "./congestion.js";
import { cubic } from "./cubic.js";
import type { EcnPolicy } from "./ecn.js";
import type { FastOpenPolicy } from "./fast-open.js";
import type { MtuProbing } from "./mtu-probing.js";
import type { WindowRule } from "./window.js";

export interface ConnectionConfig {
  /** Largest IP packet of our link, headers included; path MTU discovery may find less. */
  readonly mtuBytes: number;
  /** Upper bound of the MSS that we announce and use; the MTU may lower it further. */
  readonly mssBytes: number;
  /** Bytes taken from the user and not yet acknowledged, at the most. */
  readonly sendBufferBytes: number;
  /** Bytes received and not yet read by the user, at the most: the largest window that we advertise. */
  readonly receiveBufferBytes: number;
  /** The receive buffer may grow up to this with what the user reads in a round trip; it does not if this is not larger. */
  readonly receiveBufferMaxBytes: number;
  /** The window scale is chosen for a buffer of at least as many bytes, whatever the present one has (FreeBSD: kern.ipc.maxsockbuf). */
  readonly scaleForBytes: number;
  /** The receive buffer is made a multiple of the MSS once that is known. Note: FreeBSD does so (tcp_mss). */
  readonly wholeSegmentBuffer: boolean;
  /** When the window is told and what of it, see `window.ts`: as Linux does, or as the descendants of 4.4BSD. */
  readonly windowRule: WindowRule;
  /** An ICMP error that says that nobody is there ends SYN-SENT where `arrivalRules` are "bsd" (FreeBSD: net.inet.tcp.icmp_may_rst). */
  readonly icmpEndsSynSent: boolean;
  /** Order and padding of the options of SYN and SYN-ACK: Linux's, or that of FreeBSD (tcp_addoptions); "none" sends not even an MSS. */
  readonly optionLayout: "linux" | "bsd" | "none";
  /** Offer and accept window scaling (RFC 7323 §2). */
  readonly windowScaling: boolean;
  /** How long a partial segment is held back for TCP_CORK at the most; NEVER as long as the user does not let go (FreeBSD). */
  readonly corkUs: Micros;
  /** Offer and accept timestamps (RFC 7323 §3). */
  readonly timestamps: boolean;
  /** Offer and accept selective acknowledgments (RFC 2018). */
  readonly sack: boolean;
  /** Turns the Nagle algorithm off (RFC 9293 MUST-17). */
  readonly noDelay: boolean;
  /** Longest wait before received data is acknowledged; 0 acknowledges at once (RFC 9293 MUST-40: below 0.5 s). */
  readonly delayedAckUs: Micros;
  /**
   * How segments are received: by RFC 9293 with what practice has added to it ("rfc9293"), or all as Linux does it, also where an RFC
   * recommends or says otherwise ("linux"): the order of checks and their tolerance, the window by memory, delayed ACKs by the peer's
   * pace. See `linux-arrivals.ts`, `linux-receiver.ts`, `linux-acks.ts`. For scripts that were written for Linux.
   */
  readonly receiver: "rfc9293" | "linux";
  /** Of the receiver "linux": no ACK is delayed longer (Linux: net.ipv4.tcp_delack_max, a route's setting too). */
  readonly delayedAckMaxUs: Micros;
  /** The same: how long duplicate ACKs are held back at the most, and how many of them (Linux: tcp_comp_sack_delay_ns, tcp_comp_sack_nr). */
  readonly ackCompressionUs: Micros;
  readonly compressedAcks: number;
  /** The same: no larger window is advertised; 0 for no bound of its own (Linux: TCP_WINDOW_CLAMP). */
  readonly windowClampBytes: number;
  /** The same: the window may be taken back (Linux: net.ipv4.tcp_shrink_window; RFC 9293 SHLD-14 says not). */
  readonly shrinksWindow: boolean;
  /** A third segment that finds the accept queue full is answered with RST, and its connection forgotten (Linux: tcp_abort_on_overflow). */
  readonly resetsOverflow: boolean;
  /** The same: RST does not end TIME-WAIT (RFC 1337; Linux: net.ipv4.tcp_rfc1337). */
  readonly timeWaitIgnoresReset: boolean;
  /** What has come twice is told (RFC 2883; Linux: net.ipv4.tcp_dsack). */
  readonly dsack: boolean;
  /** The receive buffer grows with what is read (the same receiver; Linux: net.ipv4.tcp_moderate_rcvbuf). */
  readonly tunesReceiveBuffer: boolean;
  /** The same: segments that the first window has room for, 0 for as many as the buffer has (Linux: a route's initrwnd). */
  readonly initialReceiveSegments: number;
  /** The same: no ACK is delayed (Linux: a route's quickack). */
  readonly acknowledgesAtOnce: boolean;
  /** A connection has the Diffserv field that the peer's SYN had (Linux: net.ipv4.tcp_reflect_tos). */
  readonly reflectsTos: boolean;
  /** Segments that are acknowledged at once at the start and after a pause, whatever `delayedAckUs` says; 0 for none. */
  readonly quickAckSegments: number;
  /** Two segments of any size are acknowledged at once, not only as many bytes as two full ones have (RFC 9293 SHLD-19). */
  readonly countsSegmentsForAck: boolean;
  readonly rtoInitialUs: Micros;
  readonly rtoMinUs: Micros;
  readonly rtoMaxUs: Micros;
  /**
   * Added to every time-out that was computed, after its bound below; NEVER for none, and a margin of its own where the round-trip
   * time hardly varies (FreeBSD: net.inet.tcp.rexmit_slop).
   */
  readonly rtoSlopUs: Micros;
  /** The SYN-ACK gives a round-trip time of its own; else only the timestamp that comes back with the third segment does. */
  readonly timesSynAck: boolean;
  /** Repetitions of data or FIN in a row after which the connection is given up, besides R2; NEVER for no such limit. */
  readonly retransmitLimit: number;
  /** Bounds of the time between zero-window probes; without the first they follow the RTO alone. */
  readonly persistMinUs: Micros;
  readonly persistMaxUs: Micros;
  /** How long a SYN of ours is repeated before OPEN fails. */
  readonly synTimeoutUs: Micros;
  /** Repetitions of a SYN before the time between them begins to double (Linux: tcp_syn_linear_timeouts; RFC 6298 §5.5 says 0). */
  readonly synLinearTimeouts: number;
  /** How often a SYN-ACK is repeated before the half-open connection is forgotten. */
  readonly synAckRetries: number;
  /** R2: how long data or FIN may stay unacknowledged while it is being repeated. */
  readonly r2Us: Micros;
  /**
   * How long data may stay unacknowledged, or wait for a window; NEVER for no limit of its own. It then takes the place of R2,
   * shortens the SYN's time, and ends keep-alive instead of its count (RFC 5482 §2; Linux: TCP_USER_TIMEOUT).
   */
  readonly userTimeoutUs: Micros;
  /** The same after CLOSE, when nobody is there to wait; NEVER for no difference. */
  readonly orphanTimeoutUs: Micros;
  /** R1: repetitions after which the user is told (RFC 9293 SHLD-9, SHLD-10). */
  readonly r1Retries: number;
  /** Maximum segment lifetime; TIME-WAIT lasts twice as long. */
  readonly mslUs: Micros;
  /** How long FIN-WAIT-2 lasts once nobody can read any more; Infinity waits for ever, as RFC 9293 does. */
  readonly finWait2Us: Micros;
  /** After CLOSE: RST when not all is acknowledged within this time; 0 is RST at once, NEVER lets it take its time (SO_LINGER). */
  readonly lingerUs: Micros;
  /** CLOSE with unread data tells the peer by RST that it is lost (SHLD-3); else FIN follows, and only what comes later meets RST. */
  readonly resetsUnread: boolean;
  /** Probe a silent peer (RFC 9293 §3.8.4, MUST-24). */
  readonly keepAlive: boolean;
  /** Probe it whatever the user has asked for (FreeBSD: net.inet.tcp.always_keepalive). */
  readonly alwaysKeepAlive: boolean;
  /** Silence before the first probe. */
  readonly keepAliveIdleUs: Micros;
  /** Time between probes. */
  readonly keepAliveIntervalUs: Micros;
  /** Probes without an answer that end the connection (MUST-29: more than one). */
  readonly keepAliveCount: number;
  /**
   * In which order an arriving segment is checked, and what is answered to one that does not pass: RFC 9293 §3.10.7 with RFC 5961,
   * or as the descendants of 4.4BSD do it, see `bsd-arrivals.ts`.
   */
  readonly arrivalRules: "rfc9293" | "bsd";
  /** A segment without timestamps on a connection that uses them is taken all the same (RFC 7323 §3.2 says not). */
  readonly toleratesMissingTimestamps: boolean;
  /** A RST anywhere in the window ends the connection (RFC 793), without the challenge of RFC 5961 §3.2. */
  readonly acceptsInexactReset: boolean;
  /** A SYN in the window ends the connection (RFC 793), without the challenge of RFC 5961 §4.2. */
  readonly acceptsSynReset: boolean;
  /** What the calls of a socket say in each state, and what poll shows: as on Linux, or as on FreeBSD. */
  readonly socketRules: "linux" | "bsd";
  /** Segments with SYN and FIN are dropped (FreeBSD: net.inet.tcp.drop_synfin). */
  readonly dropsSynFin: boolean;
  /** A peer's MSS below this counts as this. */
  readonly leastPeerMss: number;
  /** The peer's MSS when its SYN tells none; 0 for that of RFC 9293 (MUST-15). */
  readonly defaultPeerMss: number;
  /** Least time between two challenge ACKs of one connection (RFC 5961 §7). */
  readonly challengeAckIntervalUs: Micros;
  /**
   * Path MTU discovery without the help of routers (RFC 4821; Linux: net.ipv4.tcp_mtu_probing). 0: none. 1: after time-outs of
   * large segments smaller ones, then a search upwards by probes. 2: such a search from the start.
   */
  readonly mtuProbing: MtuProbing;
  /** The MSS with which Linux's search begins (net.ipv4.tcp_base_mss). */
  readonly mtuBaseMss: number;
  /** What asks a peer with a closed window: a byte beyond it (RFC 9293 §3.8.6.1), or an old number without data, as Linux has it. */
  readonly zeroWindowProbe: "byte" | "old-number";
  /** Initial congestion window in segments. */
  readonly initialWindowSegments: number;
  /** The same in bytes: the smaller of both counts, but two segments may always go (RFC 6928 §2). NEVER for no bound. */
  readonly initialWindowBytes: number;
  /** L of RFC 3465: segments that one ACK may add to the congestion window in slow start; NEVER for all that it acknowledges. */
  readonly slowStartSegments: number;
  /** The congestion window grows only when it was what held the sender back (RFC 7661 in spirit); else the peer's window must allow it. */
  readonly validatesWindow: boolean;
  /** A connection that is given up for want of an answer says so by RST. Note: FreeBSD does so (tcp_drop), Linux does not. */
  readonly resetsOnTimeout: boolean;
  /** Forget the congestion window, step by step, when nothing was sent for an RTO (RFC 5681 §4.1). */
  readonly restartAfterIdle: boolean;
  /** Find losses by time (RFC 8985 §6) instead of by counting what was SACKed above them (RFC 6675 §4); needs SACK. */
  readonly rack: boolean;
  /** Probe for a lost tail before the time-out (RFC 8985 §7); needs SACK. */
  readonly tailLossProbe: boolean;
  /** SEND takes nothing while as many bytes were never sent; NEVER for no such mark (Linux: TCP_NOTSENT_LOWAT). */
  readonly notSentLowWaterBytes: number;
  readonly congestion: CongestionFactory;
  /**
   * Whose sender it is. "rfc": loss recovery and congestion control as the RFCs have them, in bytes. "linux": as Linux has them, in
   * segments and batches of segments (`linux-recovery.ts`, `linux-control.ts`, `linux-batch.ts`), to be compared with it.
   */
  readonly sender: "rfc" | "linux";
  /** The same: a time-out is tested for spuriousness (RFC 5682; Linux: net.ipv4.tcp_frto). */
  readonly forwardRto: boolean;
  /** The same: segments that a later one may overtake before it is a loss, at first (Linux: net.ipv4.tcp_reordering). */
  readonly reorderingSegments: number;
  /** The same: the time-out of a thin stream does not double at first (Linux: net.ipv4.tcp_thin_linear_timeouts). */
  readonly thinLinearTimeouts: boolean;
  /** Segments leave evenly over a round trip. */
  readonly pacing: boolean;
  /** Bytes a second that pacing allows at the most (Linux: SO_MAX_PACING_RATE); NEVER for no bound. */
  readonly maxPacingRate: number;
  /** For which role TCP Fast Open may be used (RFC 7413). A connection must ask for it, and a listener have a queue for it. */
  readonly fastOpen: FastOpenPolicy;
  /** Send and take data on a SYN without a cookie: for networks where no address is forged (RFC 7413 §8.2, Linux: TCP_FASTOPEN_NO_COOKIE), in one role or both. */
  readonly fastOpenWithoutCookie: boolean | "client" | "server";
  /** Every listener has a queue for Fast Open, as long as its backlog, unless it is told otherwise (Linux: net.ipv4.tcp_fastopen 0x400). */
  readonly fastOpenForAll: boolean;
  /** Explicit congestion notification, classic (RFC 3168) and accurate (RFC 9768). */
  readonly ecn: EcnPolicy;
  /** A SYN that gets no answer is repeated without ECN, and a codepoint that was overwritten on the way ends it (Linux: net.ipv4.tcp_ecn_fallback). */
  readonly ecnFallback: boolean;
  /** Repetitions of a SYN that still ask for classic ECN (FreeBSD: net.inet.tcp.ecn.maxretries). */
  readonly ecnSynRepeats: number;
  /** When the option of accurate ECN is sent. */
  readonly accurateEcnOption: AccurateEcnOption;
  /** How often a round trip at the least; 0 not for its own sake (Linux: net.ipv4.tcp_ecn_option_beacon). */
  readonly accurateEcnBeacon: number;
  /** Of a listener: how long a connection without data stays in SYN-RECEIVED; 0 does not defer (Linux: TCP_DEFER_ACCEPT). */
  readonly deferAcceptUs: Micros;
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
  receiveBufferMaxBytes: 0,
  scaleForBytes: 0,
  wholeSegmentBuffer: false,
  windowRule: "linux",
  optionLayout: "linux",
  icmpEndsSynSent: true,
  windowScaling: true,
  corkUs: 200 * MILLISECOND,
  timestamps: true,
  sack: true,
  noDelay: false,
  // Note: Linux does the same (TCP_DELACK_MIN).
  delayedAckUs: 40 * MILLISECOND,
  // Note: Linux does the same (TCP_MAX_QUICKACKS).
  quickAckSegments: 16,
  countsSegmentsForAck: false,
  receiver: "rfc9293",
  delayedAckMaxUs: 200 * MILLISECOND,
  ackCompressionUs: MILLISECOND,
  compressedAcks: 44,
  windowClampBytes: 0,
  shrinksWindow: false,
  resetsOverflow: false,
  timeWaitIgnoresReset: false,
  dsack: true,
  tunesReceiveBuffer: true,
  initialReceiveSegments: 0,
  acknowledgesAtOnce: false,
  reflectsTos: false,
  // RFC 6298 §2.1.
  rtoInitialUs: SECOND,
  // RFC 6298 §2.4 asks for 1 s. Note: Linux uses 200 ms (TCP_RTO_MIN), which its delayed ACKs of at most 200 ms allow.
  rtoMinUs: 200 * MILLISECOND,
  // RFC 6298 §2.5 wants at least 60 s. Note: Linux does the same (TCP_RTO_MAX).
  rtoMaxUs: 120 * SECOND,
  rtoSlopUs: NEVER,
  timesSynAck: true,
  retransmitLimit: NEVER,
  persistMinUs: 0,
  persistMaxUs: NEVER,
  // RFC 9293 MUST-23: at least 3 minutes.
  synTimeoutUs: 3 * MINUTE,
  synLinearTimeouts: 0,
  // Note: Linux does the same (net.ipv4.tcp_synack_retries).
  synAckRetries: 5,
  // RFC 9293 SHLD-11 wants at least 100 s. Linux's tcp_retries2 of 15 comes to about 15 minutes.
  r2Us: 15 * MINUTE,
  userTimeoutUs: NEVER,
  // Linux's tcp_orphan_retries of 0 stands for 8: (2^9 - 1) times the least RTO.
  orphanTimeoutUs: 102_200 * MILLISECOND,
  // RFC 9293 SHLD-10.
  r1Retries: 3,
  // RFC 9293 §3.4.2: 2 minutes. Linux's TIME-WAIT lasts 60 s in all, as if MSL were 30 s; we do the same.
  mslUs: 30 * SECOND,
  // Note: Linux does the same (net.ipv4.tcp_fin_timeout).
  finWait2Us: 60 * SECOND,
  lingerUs: NEVER,
  resetsUnread: true,
  // RFC 9293 MUST-25: off. MUST-28: at least two hours. Note: Linux does the same (net.ipv4.tcp_keepalive_*).
  keepAlive: false,
  alwaysKeepAlive: false,
  keepAliveIdleUs: 120 * MINUTE,
  keepAliveIntervalUs: 75 * SECOND,
  keepAliveCount: 9,
  arrivalRules: "rfc9293",
  toleratesMissingTimestamps: false,
  acceptsInexactReset: false,
  acceptsSynReset: false,
  dropsSynFin: false,
  socketRules: "linux",
  // Below this a peer's MSS would make us send more header than data. Note: Linux does the same (TCP_MIN_SND_MSS).
  leastPeerMss: 48,
  defaultPeerMss: 0,
  // Note: Linux does the same (net.ipv4.tcp_invalid_ratelimit).
  challengeAckIntervalUs: 500 * MILLISECOND,
  // Linux's default is 0, and a connection whose path is a black hole hangs.
  mtuProbing: 1,
  mtuBaseMss: 1024,
  zeroWindowProbe: "byte",
  // RFC 6928 §2.
  initialWindowSegments: 10,
  // RFC 6928 §2 has 14,600 here. Note: Linux counts segments alone, as we do; with an MSS up to 1,460 it is the same.
  initialWindowBytes: NEVER,
  slowStartSegments: NEVER,
  validatesWindow: true,
  resetsOnTimeout: false,
  // Note: Linux does the same (net.ipv4.tcp_slow_start_after_idle).
  restartAfterIdle: true,
  // Note: Linux does the same (net.ipv4.tcp_recovery, net.ipv4.tcp_early_retrans).
  rack: true,
  tailLossProbe: true,
  notSentLowWaterBytes: NEVER,
  congestion: cubic,
  sender: "rfc",
  forwardRto: true,
  reorderingSegments: 3,
  thinLinearTimeouts: false,
  // Note: Linux does the same, unless the congestion control asks for it (BBR).
  pacing: false,
  maxPacingRate: NEVER,
  // Note: Linux does the same (net.ipv4.tcp_fastopen 1).
  fastOpen: "client",
  fastOpenWithoutCookie: false,
  fastOpenForAll: false,
  // Note: Linux does the same (net.ipv4.tcp_ecn 2). RFC 9293 SHLD-8 wants it.
  ecn: "accept",
  // Note: Linux does the same (net.ipv4.tcp_ecn_fallback, tcp_ecn_option, tcp_ecn_option_beacon).
  ecnFallback: true,
  ecnSynRepeats: 0,
  accurateEcnOption: "full",
  accurateEcnBeacon: 3,
  deferAcceptUs: 0,
  // RFC 1700; Note: Linux does the same.
  ttl: 64,
  tos: 0,
};
