/** What the kernel tells of one of its own TCP connections: struct tcp_info of include/uapi/linux/tcp.h. */

import { HOST_LITTLE_ENDIAN } from "./libc.js";

/** The main fields. A kernel older than a field gives 0 for it. Windows and segments are counted as the kernel counts them. */
export interface TcpInfo {
  /** Options agreed on: timestamps, SACK, window scaling, ECN. */
  readonly options: {
    readonly timestamps: boolean;
    readonly sack: boolean;
    readonly windowScale: boolean;
    readonly ecn: boolean;
    /** An ECN-capable packet of the peer came. */
    readonly ecnSeen: boolean;
  };
  /** Shift counts of the windows that the kernel sends to and receives with (RFC 7323 §2). */
  readonly sndWscale: number;
  readonly rcvWscale: number;
  /** Retransmission timeout and delayed-ACK timeout in microseconds. */
  readonly rtoUs: number;
  readonly atoUs: number;
  /** Maximum segment sizes in bytes. */
  readonly sndMss: number;
  readonly rcvMss: number;
  /** In segments. */
  readonly unacked: number;
  readonly sacked: number;
  readonly lost: number;
  readonly retrans: number;
  /** Path MTU in bytes. */
  readonly pmtu: number;
  /** Smoothed round-trip time and its variation in microseconds. */
  readonly rttUs: number;
  readonly rttvarUs: number;
  /** Congestion window and slow start threshold in segments. */
  readonly sndCwnd: number;
  readonly sndSsthresh: number;
  /** Segments retransmitted over the whole life of the connection. */
  readonly totalRetrans: number;
  readonly bytesAcked: number;
  readonly bytesReceived: number;
  /** Segments sent and received, all and with data. */
  readonly segsOut: number;
  readonly segsIn: number;
  /** Segments delivered to the peer, retransmissions that were not needed included. */
  readonly delivered: number;
  /** Window that the peer announces, in bytes. */
  readonly sndWnd: number;
}

/** Reads a struct tcp_info of any kernel version. */
export function parseTcpInfo(info: DataView): TcpInfo {
  const u8 = (at: number) => (at < info.byteLength ? info.getUint8(at) : 0);
  const u32 = (at: number) => (at + 4 <= info.byteLength ? info.getUint32(at, HOST_LITTLE_ENDIAN) : 0);
  const u64 = (at: number) => (at + 8 <= info.byteLength ? Number(info.getBigUint64(at, HOST_LITTLE_ENDIAN)) : 0);
  const options = u8(5);
  // Two bit fields of four bits share a byte; which comes first follows the byte order.
  const [low, high] = [u8(6) & 0xf, u8(6) >> 4];
  return {
    options: {
      timestamps: (options & 1) !== 0,
      sack: (options & 2) !== 0,
      windowScale: (options & 4) !== 0,
      ecn: (options & 8) !== 0,
      ecnSeen: (options & 16) !== 0,
    },
    sndWscale: HOST_LITTLE_ENDIAN ? low : high,
    rcvWscale: HOST_LITTLE_ENDIAN ? high : low,
    rtoUs: u32(8),
    atoUs: u32(12),
    sndMss: u32(16),
    rcvMss: u32(20),
    unacked: u32(24),
    sacked: u32(28),
    lost: u32(32),
    retrans: u32(36),
    pmtu: u32(60),
    rttUs: u32(68),
    rttvarUs: u32(72),
    sndSsthresh: u32(76),
    sndCwnd: u32(80),
    totalRetrans: u32(100),
    bytesAcked: u64(120),
    bytesReceived: u64(128),
    segsOut: u32(136),
    segsIn: u32(140),
    delivered: u32(192),
    sndWnd: u32(228),
  };
}

/** Fields of struct tcp_info behind its first eight bytes: name, offset, bytes. */
const FIELDS: readonly (readonly [name: string, at: number, bytes: 2 | 4 | 8])[] = [
  ...words(8, ["rto", "ato", "snd_mss", "rcv_mss", "unacked", "sacked", "lost", "retrans", "fackets", "last_data_sent"]),
  ...words(48, ["last_ack_sent", "last_data_recv", "last_ack_recv", "pmtu", "rcv_ssthresh", "rtt", "rttvar", "snd_ssthresh"]),
  ...words(80, ["snd_cwnd", "advmss", "reordering", "rcv_rtt", "rcv_space", "total_retrans"]),
  ...longs(104, ["pacing_rate", "max_pacing_rate", "bytes_acked", "bytes_received"]),
  ...words(136, ["segs_out", "segs_in", "notsent_bytes", "min_rtt", "data_segs_in", "data_segs_out"]),
  ...longs(160, ["delivery_rate", "busy_time", "rwnd_limited", "sndbuf_limited"]),
  ...words(192, ["delivered", "delivered_ce"]),
  ...longs(200, ["bytes_sent", "bytes_retrans"]),
  ...words(216, ["dsack_dups", "reord_seen", "rcv_ooopack", "snd_wnd", "rcv_wnd", "rehash"]),
  ["tcpi_total_rto", 240, 2],
  ["tcpi_total_rto_recoveries", 242, 2],
  ...words(244, ["total_rto_time", "received_ce", "delivered_e1_bytes", "delivered_e0_bytes", "delivered_ce_bytes"]),
  ...words(264, ["received_e1_bytes", "received_e0_bytes", "received_ce_bytes"]),
  ["tcpi_accecn_fail_mode", 276, 2],
  ["tcpi_accecn_opt_seen", 278, 2],
];

/** Every field under the kernel's own name, as it stands there. What a kernel is too old for is absent. */
export function tcpInfoFields(info: DataView): Record<string, number> {
  const fields: Record<string, number> = {};
  for (const [at, name] of ["state", "ca_state", "retransmits", "probes", "backoff", "options"].entries())
    fields[`tcpi_${name}`] = info.getUint8(at);
  const [shifts, bits] = [info.getUint8(6), info.getUint8(7)];
  const [low, high] = HOST_LITTLE_ENDIAN ? [shifts & 0xf, shifts >> 4] : [shifts >> 4, shifts & 0xf];
  fields["tcpi_snd_wscale"] = low;
  fields["tcpi_rcv_wscale"] = high;
  fields["tcpi_delivery_rate_app_limited"] = HOST_LITTLE_ENDIAN ? bits & 1 : bits >> 7;
  fields["tcpi_fastopen_client_fail"] = HOST_LITTLE_ENDIAN ? (bits >> 1) & 3 : (bits >> 5) & 3;
  for (const [name, at, bytes] of FIELDS) {
    if (at + bytes > info.byteLength) continue;
    if (bytes === 8) fields[name] = Number(info.getBigUint64(at, HOST_LITTLE_ENDIAN));
    else fields[name] = bytes === 4 ? info.getUint32(at, HOST_LITTLE_ENDIAN) : info.getUint16(at, HOST_LITTLE_ENDIAN);
  }
  return fields;
}

function words(from: number, names: readonly string[]): [string, number, 4][] {
  return names.map((name, i) => [`tcpi_${name}`, from + 4 * i, 4]);
}

function longs(from: number, names: readonly string[]): [string, number, 8][] {
  return names.map((name, i) => [`tcpi_${name}`, from + 8 * i, 8]);
}
