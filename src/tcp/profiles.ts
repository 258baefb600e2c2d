/**
 * Behaviour profiles: how a connection behaves on the wire, as data for `ConnectionConfig`. Sizes that belong to the host and
 * its memory (MTU, buffers) are in none of them.
 */
import { RawTcpError } from "../base/errors.js";
import { MILLISECOND, MINUTE, NEVER, SECOND } from "../base/time.js";
import type { ConnectionConfig } from "./config.js";
import { cubic } from "./cubic.js";
import { newReno } from "./new-reno.js";

export const PROFILES = {
  /** What a current Linux shows with its default sysctls; the default of every connection. */
  linux: {
    windowScaling: true,
    timestamps: true,
    sack: true,
    noDelay: false,
    // TCP_DELACK_MIN.
    delayedAckUs: 40 * MILLISECOND,
    // TCP_MAX_QUICKACKS.
    quickAckSegments: 16,
    // TCP_TIMEOUT_INIT, TCP_RTO_MIN, TCP_RTO_MAX.
    rtoInitialUs: SECOND,
    rtoMinUs: 200 * MILLISECOND,
    rtoMaxUs: 120 * SECOND,
    // tcp_synack_retries.
    synAckRetries: 5,
    // tcp_retries1; tcp_retries2 of 15 is about 15 minutes.
    r1Retries: 3,
    r2Us: 15 * MINUTE,
    // TCP_TIMEWAIT_LEN of 60 s in all.
    mslUs: 30 * SECOND,
    // tcp_fin_timeout.
    finWait2Us: 60 * SECOND,
    // tcp_orphan_retries of 0 stands for 8, which is (2^9 - 1) times 200 ms.
    orphanTimeoutUs: 102_200 * MILLISECOND,
    // tcp_keepalive_time, _intvl and _probes.
    keepAlive: false,
    keepAliveIdleUs: 120 * MINUTE,
    keepAliveIntervalUs: 75 * SECOND,
    keepAliveCount: 9,
    // tcp_invalid_ratelimit.
    challengeAckIntervalUs: 500 * MILLISECOND,
    // TCP_INIT_CWND counts segments of any size.
    initialWindowSegments: 10,
    initialWindowBytes: NEVER,
    // tcp_slow_start_after_idle.
    restartAfterIdle: true,
    // tcp_recovery, tcp_early_retrans.
    rack: true,
    tailLossProbe: true,
    congestion: cubic,
    // tcp_fastopen.
    fastOpen: "client",
    // tcp_ecn 2, tcp_ecn_fallback, tcp_ecn_option, tcp_ecn_option_beacon.
    ecn: "accept",
    ecnFallback: true,
    accurateEcnOption: "full",
    accurateEcnBeacon: 3,
  },
  /** The RFCs' plain choices: RFC 9293, 5681, 6298, 6582, 6928. */
  rfc: {
    windowScaling: true,
    timestamps: true,
    sack: true,
    noDelay: false,
    // RFC 9293 MUST-40 and RFC 5681 §4.2: below 500 ms. 200 ms is what most stacks of the RFC's age chose.
    delayedAckUs: 200 * MILLISECOND,
    quickAckSegments: 0,
    // RFC 6298 §2.1, §2.4, §2.5.
    rtoInitialUs: SECOND,
    rtoMinUs: SECOND,
    rtoMaxUs: 60 * SECOND,
    synAckRetries: 5,
    // RFC 9293 SHLD-10, SHLD-11: the least that they ask for.
    r1Retries: 3,
    r2Us: 100 * SECOND,
    // RFC 9293 §3.4.2.
    mslUs: 2 * MINUTE,
    // RFC 9293 knows neither time-out.
    finWait2Us: NEVER,
    orphanTimeoutUs: NEVER,
    // RFC 9293 MUST-25, MUST-28.
    keepAlive: false,
    keepAliveIdleUs: 120 * MINUTE,
    keepAliveIntervalUs: 75 * SECOND,
    keepAliveCount: 9,
    challengeAckIntervalUs: 500 * MILLISECOND,
    // RFC 6928 §2: min(10 · MSS, max(2 · MSS, 14600)).
    initialWindowSegments: 10,
    initialWindowBytes: 14_600,
    restartAfterIdle: true,
    // RFC 6675, which RFC 8985 does not replace.
    rack: false,
    tailLossProbe: false,
    congestion: newReno,
    // RFC 7413 is experimental.
    fastOpen: "off",
    // RFC 9293 SHLD-8; RFC 9768 §3.2.3.3.
    ecn: "on",
    ecnFallback: true,
    accurateEcnOption: "full",
    accurateEcnBeacon: 3,
  },
  /** What FreeBSD 14 shows with its default sysctls and its default TCP stack. */
  freebsd: {
    windowScaling: true,
    timestamps: true,
    sack: true,
    noDelay: false,
    // kern.ipc.maxsockbuf.
    scaleForBytes: 2 << 20,
    wholeSegmentBuffer: true,
    windowRule: "bsd",
    optionLayout: "bsd",
    arrivalRules: "bsd",
    resetsOverflow: true,
    socketRules: "bsd",
    // net.inet.tcp.delacktime.
    delayedAckUs: 40 * MILLISECOND,
    quickAckSegments: 0,
    countsSegmentsForAck: true,
    // net.inet.tcp.rexmit_initial, rexmit_min, rexmit_slop; TCPTV_REXMTMAX.
    rtoInitialUs: SECOND,
    rtoMinUs: 30 * MILLISECOND,
    rtoSlopUs: 200 * MILLISECOND,
    rtoMaxUs: 64 * SECOND,
    timesSynAck: false,
    // net.inet.tcp.syncache.rexmtlimit.
    synAckRetries: 3,
    // net.inet.tcp.keepinit.
    synTimeoutUs: 75 * SECOND,
    corkUs: NEVER,
    r1Retries: 3,
    // net.inet.tcp.retries.
    r2Us: NEVER,
    retransmitLimit: 12,
    orphanTimeoutUs: NEVER,
    // net.inet.tcp.persmin, persmax.
    persistMinUs: 5 * SECOND,
    persistMaxUs: 60 * SECOND,
    zeroWindowProbe: "byte",
    // net.inet.tcp.msl.
    mslUs: 30 * SECOND,
    // keepcnt times keepintvl; finwait2_timeout holds with fast_finwait2_recycle alone.
    finWait2Us: 10 * MINUTE,
    resetsUnread: false,
    // net.inet.tcp.always_keepalive, keepidle, keepintvl, keepcnt.
    keepAlive: false,
    alwaysKeepAlive: true,
    keepAliveIdleUs: 120 * MINUTE,
    keepAliveIntervalUs: 75 * SECOND,
    keepAliveCount: 8,
    // Every segment outside the window is answered.
    challengeAckIntervalUs: 0,
    // net.inet.tcp.minmss.
    leastPeerMss: 216,
    // net.inet.tcp.initcwnd_segments; tcp_compute_initwnd has RFC 6928's bound.
    initialWindowSegments: 10,
    initialWindowBytes: 14_600,
    // net.inet.tcp.abc_l_var, newcwv.
    slowStartSegments: 2,
    validatesWindow: false,
    resetsOnTimeout: true,
    restartAfterIdle: true,
    // Without the module tcp_rack.
    rack: false,
    tailLossProbe: false,
    mtuProbing: 0,
    congestion: cubic,
    // net.inet.tcp.fastopen.client_enable is 1, server_enable 0.
    fastOpen: "client",
    // net.inet.tcp.ecn.enable 2; of accurate ECN it sends no option.
    ecn: "accept",
    ecnFallback: true,
    ecnSynRepeats: 1,
    accurateEcnOption: "off",
    accurateEcnBeacon: 0,
  },
} as const satisfies Record<string, Partial<ConnectionConfig>>;

export type ProfileName = keyof typeof PROFILES;

/** The profile of that name, in lower case. Throws RawTcpError `ERR_UNKNOWN_PROFILE` for any other; the message lists them. */
export function profileByName(name: string): Partial<ConnectionConfig> {
  if (!isProfileName(name)) {
    throw new RawTcpError("ERR_UNKNOWN_PROFILE", `no profile "${name}"; there are: ${Object.keys(PROFILES).join(", ")}`);
  }
  return PROFILES[name];
}

function isProfileName(name: string): name is ProfileName {
  // Not `in`: that would find "constructor" too.
  return Object.hasOwn(PROFILES, name);
}
