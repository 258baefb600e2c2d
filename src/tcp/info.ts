/**
 * What Linux calls TCP_INFO: every field has the name, the unit and the meaning of `struct tcp_info` (include/uapi/linux/tcp.h),
 * so that a script or a person who knows one knows the other. RFC 9293's own STATUS is in `status.ts`.
 */
import { seqDiff } from "../base/seq.js";
import { MILLISECOND, type Micros, NEVER } from "../base/time.js";
import { CE, ECT_0, ECT_1 } from "./ecn-codepoints.js";
import { announcedMss } from "./emit.js";
import { awaitsThird, FALLBACK_RTO } from "./linux-fast-open.js";
import { retransOut } from "./linux-loss.js";
import { congestionWindow } from "./loss-recovery.js";
import { doublings } from "./output.js";
import { pacingRate } from "./pacing.js";
import type { State } from "./state.js";
import type { Tcb } from "./tcb.js";

/** `tcpi_state` by the names of RFC 9293. */
export const TCP_STATE_NUMBERS: Readonly<Record<State, number>> = {
  ESTABLISHED: 1,
  "SYN-SENT": 2,
  "SYN-RECEIVED": 3,
  "FIN-WAIT-1": 4,
  "FIN-WAIT-2": 5,
  "TIME-WAIT": 6,
  CLOSED: 7,
  "CLOSE-WAIT": 8,
  "LAST-ACK": 9,
  LISTEN: 10,
  CLOSING: 11,
};

/** `tcpi_ca_state`: nothing wrong, duplicates or SACKs seen, window reduced by ECN, fast recovery, recovery after a time-out. */
export const TCP_CA_STATES = { Open: 0, Disorder: 1, CWR: 2, Recovery: 3, Loss: 4 } as const;

/** Bits of `tcpi_options`. */
export const TCPI_OPTIONS = { TIMESTAMPS: 1, SACK: 2, WSCALE: 4, ECN: 8, ECN_SEEN: 16, SYN_DATA: 32, TFO_CHILD: 128 } as const;

/** See the top of the file. Times in µs and amounts in bytes unless a field says otherwise. */
export interface TcpInfo {
  /** See TCP_STATE_NUMBERS. */
  tcpi_state: number;
  /** See TCP_CA_STATES. */
  tcpi_ca_state: number;
  /** Retransmission time-outs in a row. */
  tcpi_retransmits: number;
  /** Window probes in a row. */
  tcpi_probes: number;
  /** Doublings of the time-out that runs. */
  tcpi_backoff: number;
  /** See TCPI_OPTIONS. */
  tcpi_options: number;
  tcpi_snd_wscale: number;
  tcpi_rcv_wscale: number;
  /** The user, not the network, was the limit of `tcpi_delivery_rate`; 0 or 1. */
  tcpi_delivery_rate_app_limited: number;
  /** With its back-off. */
  tcpi_rto: Micros;
  /** Longest delay of an ACK. */
  tcpi_ato: Micros;
  tcpi_snd_mss: number;
  /** What the peer's segments seem to carry. */
  tcpi_rcv_mss: number;
  /** Segments sent and not cumulatively acknowledged; of a listener, connections that wait for accept. */
  tcpi_unacked: number;
  /** Of these, SACKed (without SACK, duplicate ACKs counted); of a listener, its backlog. */
  tcpi_sacked: number;
  /** Of these, taken for lost, sent again or not. */
  tcpi_lost: number;
  /** Of these, sent again. */
  tcpi_retrans: number;
  /** 0, as in every Linux since 4.15. */
  tcpi_fackets: number;
  /** Milliseconds since payload left; 0 when none did. */
  tcpi_last_data_sent: number;
  /** 0, as in every Linux. */
  tcpi_last_ack_sent: number;
  /** Milliseconds since payload came; 0 when none did. */
  tcpi_last_data_recv: number;
  /** Milliseconds since an ACK came; 0 when none did. */
  tcpi_last_ack_recv: number;
  tcpi_pmtu: number;
  /** The largest window that is to be advertised now. */
  tcpi_rcv_ssthresh: number;
  /** Smoothed. */
  tcpi_rtt: Micros;
  tcpi_rttvar: Micros;
  /** In segments; 0x7fffffff before the first loss. */
  tcpi_snd_ssthresh: number;
  /** In segments. */
  tcpi_snd_cwnd: number;
  /** The MSS that we announced, less timestamps. */
  tcpi_advmss: number;
  /** Segments that later data may overtake before it looks like a loss; RACK's window is in time, so this stays 3. */
  tcpi_reordering: number;
  /** The receiver's own estimate. */
  tcpi_rcv_rtt: Micros;
  /** What the user reads in a round trip. */
  tcpi_rcv_space: number;
  /** Segments sent again in all, SYN included. */
  tcpi_total_retrans: number;
  /** What pacing would allow, bytes a second; 0 before the first round-trip time. */
  tcpi_pacing_rate: number;
  /** Bytes a second; Infinity without a bound. */
  tcpi_max_pacing_rate: number;
  /** SYN of an active open and FIN count one each. */
  tcpi_bytes_acked: number;
  /** FIN counts one. */
  tcpi_bytes_received: number;
  tcpi_segs_out: number;
  tcpi_segs_in: number;
  /** Taken from the user and never sent. */
  tcpi_notsent_bytes: number;
  /** 0xffffffff before the first measurement. */
  tcpi_min_rtt: Micros;
  tcpi_data_segs_in: number;
  tcpi_data_segs_out: number;
  /** Bytes a second. */
  tcpi_delivery_rate: number;
  /** Time with anything to send or outstanding; the next two are parts of it. */
  tcpi_busy_time: Micros;
  tcpi_rwnd_limited: Micros;
  tcpi_sndbuf_limited: Micros;
  /** Segments delivered, SYN included, and those of them with a congestion mark. */
  tcpi_delivered: number;
  tcpi_delivered_ce: number;
  /** Payload, repetitions included, and repetitions alone. */
  tcpi_bytes_sent: number;
  tcpi_bytes_retrans: number;
  tcpi_dsack_dups: number;
  /** Times that reordering was seen. */
  tcpi_reord_seen: number;
  /** Segments received out of order. */
  tcpi_rcv_ooopack: number;
  /** The peer's window, scaled. */
  tcpi_snd_wnd: number;
  /** Our window as the peer knows it. */
  tcpi_rcv_wnd: number;
  /** Retransmission time-outs in all. */
  tcpi_total_rto: number;
  /** Why data did not go with our SYN, or was not taken: see FAST_OPEN_FAILURES. */
  tcpi_fastopen_client_fail: number;
  /** Segments received with a congestion mark, bare ACKs too (with accurate ECN alone, as the rest). */
  tcpi_received_ce: number;
  /** Payload that the peer says came with ECT(1), ECT(0) and CE, modulo 2^32. */
  tcpi_delivered_e1_bytes: number;
  tcpi_delivered_e0_bytes: number;
  tcpi_delivered_ce_bytes: number;
  /** Payload that came with ECT(1), ECT(0) and CE, modulo 2^32. */
  tcpi_received_e1_bytes: number;
  tcpi_received_e0_bytes: number;
  tcpi_received_ce_bytes: number;
  /** Bits: 1 ACE and 4 option do not pass to the peer, 2 and 8 do not pass to us. */
  tcpi_accecn_fail_mode: number;
  /** 0 no option came, 1 an empty one, 2 one with counters, 3 one that was wiped. */
  tcpi_accecn_opt_seen: number;
}

/** TCP_INFO of a connection at `now`. Plain values, safe to keep. */
export function tcpInfo(tcb: Tcb, now: Micros): TcpInfo {
  const { snd, rcv, rtt, sent, sack, counters, congestion, config, recovery, rate, limits, linux, linuxSender: control } = tcb;
  const { accurate } = tcb.ecn;
  const probing = tcb.timers.persist !== NEVER;
  const backoff = probing ? tcb.backoffs : doublings(tcb);
  const ssthresh = congestion.ssthresh === NEVER ? INFINITE_SSTHRESH : Math.floor(congestion.ssthresh / snd.mss);
  const isWaiting = awaitsThird(tcb);
  const synOut = !tcb.synAcked && !isWaiting && snd.max !== tcb.iss ? 1 : 0;
  const opens = tcb.state === "SYN-SENT" && config.sender === "linux";
  const synData = opens && tcb.fastOpen.synBytes > 0 ? 1 : 0;
  // To Linux a SYN is a segment as others: that it times out is a loss.
  const isSynLost = opens && tcb.backoffs > 0;
  const cwnd =
    control?.window ??
    (opens ? (isSynLost ? 1 : config.initialWindowSegments) : Math.max(1, Math.floor(congestionWindow(tcb) / snd.mss)));
  const unacked = sent.length + synOut + synData;
  // A tail loss probe repeats what is not taken for lost.
  const probed = recovery.tlpActive && recovery.tlpRetransmitted ? 1 : 0;
  const advmss = announcedMss(tcb) - (tcb.ts.enabled ? 12 : 0);
  return {
    tcpi_state: TCP_STATE_NUMBERS[tcb.state],
    tcpi_ca_state: isSynLost ? TCP_CA_STATES.Loss : caState(tcb),
    tcpi_retransmits: probing ? 0 : tcb.backoffs,
    tcpi_probes: probing ? tcb.backoffs : 0,
    tcpi_backoff: isWaiting ? 0 : opens ? Math.max(0, backoff - config.synLinearTimeouts) : backoff,
    tcpi_options: optionBits(tcb),
    tcpi_snd_wscale: snd.windShift,
    tcpi_rcv_wscale: rcv.windShift,
    tcpi_delivery_rate_app_limited: rate.rateAppLimited || (control !== undefined && rate.rateIntervalUs === 0) ? 1 : 0,
    tcpi_rto: isWaiting ? FALLBACK_RTO : rtt.backedOff(probing && control !== undefined ? control.backoff : backoff),
    tcpi_ato: linux?.acks.delayUs ?? config.delayedAckUs,
    tcpi_snd_mss: snd.mss,
    tcpi_rcv_mss: linux !== undefined ? linux.mss : tcb.largestIn > 0 ? tcb.largestIn : Math.min(advmss, 536),
    tcpi_unacked: unacked,
    tcpi_sacked: sack.enabled ? sent.sackedSegments : Math.min(recovery.dupAcks, unacked),
    tcpi_lost: isSynLost
      ? unacked
      : sent.lostSegments +
        (control === undefined ? Math.max(0, sent.retransmittedSegments - probed) : sent.repeatedSegments - sent.twiceSegments),
    tcpi_retrans: isSynLost ? 1 : control === undefined ? sent.retransmittedSegments : retransOut(tcb),
    tcpi_fackets: 0,
    tcpi_last_data_sent: elapsedMs(tcb.lastDataSentAt, now),
    tcpi_last_ack_sent: 0,
    tcpi_last_data_recv: elapsedMs(tcb.lastDataReceivedAt, now),
    tcpi_last_ack_recv: elapsedMs(tcb.lastAckReceivedAt, now),
    tcpi_pmtu: Math.min(config.mtuBytes, tcb.pathMtu.bytes),
    tcpi_rcv_ssthresh: linux?.threshold ?? tcb.receiveBufferBytes,
    tcpi_rtt: rtt.srtt,
    tcpi_rttvar: rtt.rttvar,
    tcpi_snd_ssthresh: ssthresh,
    tcpi_snd_cwnd: cwnd,
    tcpi_advmss: advmss,
    tcpi_reordering: control?.reordering ?? 3,
    tcpi_rcv_rtt: linux === undefined ? tcb.tuning.rttUs : linux.rttUs8 >>> 3,
    tcpi_rcv_space: linux?.readBytes ?? tcb.tuning.spaceBytes,
    tcpi_total_retrans: counters.retransmits,
    tcpi_pacing_rate: control === undefined ? Math.floor(pacingRate(tcb)) : control.pacingRate,
    tcpi_max_pacing_rate: config.maxPacingRate,
    tcpi_bytes_acked: counters.bytesAcked + (tcb.synAcked && !tcb.passive ? 1 : 0) + (finAcked(tcb) ? 1 : 0),
    tcpi_bytes_received: counters.bytesReceived + (rcv.finSeen && seqDiff(rcv.nxt, rcv.fin) === 1 ? 1 : 0),
    tcpi_segs_out: counters.segmentsOut,
    tcpi_segs_in: counters.segmentsIn,
    tcpi_notsent_bytes: Math.max(
      0,
      seqDiff(tcb.dataEnd, snd.nxt) +
        (control !== undefined && tcb.finQueued && !finAcked(tcb) && tcb.state !== "SYN-RECEIVED" ? 1 : 0),
    ),
    tcpi_min_rtt: Math.min(rtt.min, 0xffff_ffff),
    tcpi_data_segs_in: counters.dataSegmentsIn,
    tcpi_data_segs_out: counters.dataSegmentsOut,
    tcpi_delivery_rate: rate.bytesPerSecond,
    tcpi_busy_time: limits.busyUs(now),
    tcpi_rwnd_limited: limits.receiveWindowUs(now),
    tcpi_sndbuf_limited: limits.sendBufferUs(now),
    tcpi_delivered: (control?.delivered ?? rate.deliveredSegments) + (tcb.synAcked ? 1 : 0),
    tcpi_delivered_ce: tcb.ecn.deliveredCe,
    tcpi_bytes_sent: counters.bytesSent,
    tcpi_bytes_retrans: counters.bytesRetransmitted,
    tcpi_dsack_dups: counters.dsacksIn,
    tcpi_reord_seen: counters.reorderings,
    tcpi_rcv_ooopack: counters.outOfOrder,
    tcpi_snd_wnd: snd.wnd,
    tcpi_rcv_wnd: linux?.window ?? tcb.receiveWindow,
    tcpi_total_rto: counters.timeouts,
    tcpi_fastopen_client_fail: tcb.fastOpen.clientFail,
    tcpi_received_ce: accurate?.receivedCe ?? 0,
    tcpi_delivered_e1_bytes: accurate?.deliveredBytes[ECT_1] ?? 0,
    tcpi_delivered_e0_bytes: accurate?.deliveredBytes[ECT_0] ?? 0,
    tcpi_delivered_ce_bytes: accurate?.deliveredBytes[CE] ?? 0,
    tcpi_received_e1_bytes: accurate?.receivedBytes[ECT_1] ?? 0,
    tcpi_received_e0_bytes: accurate?.receivedBytes[ECT_0] ?? 0,
    tcpi_received_ce_bytes: accurate?.receivedBytes[CE] ?? 0,
    tcpi_accecn_fail_mode: accurate?.failures ?? 0,
    tcpi_accecn_opt_seen: accurate?.optionSeen ?? 0,
  };
}

/** TCP_INFINITE_SSTHRESH. */
const INFINITE_SSTHRESH = 0x7fff_ffff;

const LINUX_STATES = { open: 0, disorder: 1, cwr: 2, recovery: 3, loss: 4 } as const;

function caState(tcb: Tcb): number {
  const { recovery, sent } = tcb;
  if (tcb.linuxSender !== undefined) return LINUX_STATES[tcb.linuxSender.state];
  if (recovery.loss) return TCP_CA_STATES.Loss;
  if (recovery.active) return TCP_CA_STATES.Recovery;
  if (tcb.ecn.reduced) return TCP_CA_STATES.CWR;
  if (sent.sackedSegments > 0 || recovery.dupAcks > 0) return TCP_CA_STATES.Disorder;
  return TCP_CA_STATES.Open;
}

function optionBits(tcb: Tcb): number {
  return (
    (tcb.ts.enabled ? TCPI_OPTIONS.TIMESTAMPS : 0) |
    (tcb.sack.enabled ? TCPI_OPTIONS.SACK : 0) |
    (tcb.scaling ? TCPI_OPTIONS.WSCALE : 0) |
    (tcb.ecn.enabled ? TCPI_OPTIONS.ECN : 0) |
    (tcb.ecn.seen ? TCPI_OPTIONS.ECN_SEEN : 0) |
    (tcb.fastOpen.synDataAcked ? TCPI_OPTIONS.SYN_DATA : 0) |
    (tcb.fastOpen.accepted ? TCPI_OPTIONS.TFO_CHILD : 0)
  );
}

function elapsedMs(at: Micros, now: Micros): number {
  return at === 0 ? 0 : Math.floor((now - at) / MILLISECOND);
}

function finAcked(tcb: Tcb): boolean {
  return tcb.state === "FIN-WAIT-2" || tcb.state === "TIME-WAIT";
}
