/** FreeBSD's sysctls as options of the stack (tcp(4), ip(4)). What is not here by name is reported as unsupported. */
import { MILLISECOND, SECOND } from "../base/time.js";
import type { ConnectionConfig } from "../tcp/config.js";
import { congestionByName } from "../tcp/congestion-controls.js";
import { UnsupportedError } from "./errors.js";
import type { HostChanges, Reader } from "./sysctl.js";

/** Whether a sysctl is one of FreeBSD's trees. */
export function isFreeBsdName(name: string): boolean {
  return (
    /^(?:net\.inet6?|net\.link|net\.isr|net\.route|net\.fibs|net\.pf|net\.bpf|kern|hw|debug|security|vfs|vm)\./.test(name) &&
    !/^kern\.core/.test(name)
  );
}

/** What it changes of the whole stack. */
export function freeBsdStack(name: string, value: string): HostChanges["stack"] {
  switch (name) {
    case "net.inet.tcp.syncookies":
      return { synCookies: isOn(value) ? "when-full" : "off" };
    case "net.inet.tcp.syncookies_only":
      return isOn(value) ? { synCookies: "always" } : {};
    case "net.inet.tcp.blackhole":
      return { closedPorts: (["reset", "silent-to-syn"] as const)[Number(value)] ?? "silent" };
    default:
      return {};
  }
}

/** What it changes of connections; `command` is the whole line. Throws UnsupportedError. */
export function freeBsdConnection(name: string, value: string, command: string): Partial<ConnectionConfig> {
  const ofTcp = /^net\.inet\.tcp\.(.+)$/.exec(name)?.[1];
  if (ofTcp === undefined) return OTHERS.get(name)?.(value) ?? {};
  // Without the other it counts for nothing.
  if (ofTcp === "finwait2_timeout" && !/fast_finwait2_recycle=1/.test(command)) return {};
  const read = Object.hasOwn(TCP, ofTcp) ? TCP[ofTcp] : undefined;
  if (read !== undefined) return read(value);
  if (HARMLESS.test(ofTcp)) return {};
  throw new UnsupportedError(`sysctl ${name}`);
}

const isOn = (value: string): boolean => Number(value) !== 0;
const ms = (value: string): number => Number(value) * MILLISECOND;

/** Accepts one value alone: we do as it says, and cannot do otherwise. */
function only(name: string, wanted: string): Reader {
  return (value) => {
    if (value !== wanted) throw new UnsupportedError(`sysctl net.inet.tcp.${name}=${value}`);
    return {};
  };
}

const TCP: Readonly<Record<string, Reader>> = {
  // 2 is window scaling alone, 3 timestamps alone.
  rfc1323: (value) => ({ timestamps: value === "1" || value === "3", windowScaling: value === "1" || value === "2" }),
  "sack.enable": (value) => ({ sack: isOn(value) }),
  "ecn.enable": (value) => {
    // 3 and 4: accurate ECN, active and passive.
    const policy = (["off", "on", "accept", "accurate", "accurate-accept"] as const)[Number(value)];
    if (policy === undefined) throw new UnsupportedError(`sysctl net.inet.tcp.ecn.enable=${value}`);
    return { ecn: policy };
  },
  "ecn.maxretries": (value) => ({ ecnSynRepeats: Number(value) }),
  msl: (value) => ({ mslUs: ms(value) }),
  keepinit: (value) => ({ synTimeoutUs: ms(value) }),
  keepidle: (value) => ({ keepAliveIdleUs: ms(value) }),
  keepintvl: (value) => ({ keepAliveIntervalUs: ms(value) }),
  keepcnt: (value) => ({ keepAliveCount: Number(value) }),
  always_keepalive: (value) => ({ alwaysKeepAlive: isOn(value) }),
  fast_finwait2_recycle: (value) => (isOn(value) ? { finWait2Us: 60 * SECOND } : {}),
  finwait2_timeout: (value) => ({ finWait2Us: ms(value) }),
  "cc.algorithm": (value) => ({ congestion: congestionOf(value) }),
  functions_default: (value) => stackOf(value),
  delacktime: (value) => ({ delayedAckUs: ms(value) }),
  delayed_ack: (value) => (isOn(value) ? {} : { delayedAckUs: 0 }),
  initcwnd_segments: (value) => initialWindow(Number(value)),
  rexmit_initial: (value) => ({ rtoInitialUs: ms(value) }),
  rexmit_min: (value) => ({ rtoMinUs: ms(value) }),
  rexmit_slop: (value) => ({ rtoSlopUs: ms(value) }),
  rexmit_max: (value) => ({ rtoMaxUs: ms(value) }),
  rexmit_drop_options: only("rexmit_drop_options", "0"),
  retries: (value) => ({ retransmitLimit: Number(value) }),
  maxunacktime: only("maxunacktime", "0"),
  persmin: (value) => ({ persistMinUs: ms(value) }),
  persmax: (value) => ({ persistMaxUs: ms(value) }),
  drop_synfin: (value) => ({ dropsSynFin: isOn(value) }),
  insecure_rst: (value) => ({ acceptsInexactReset: isOn(value) }),
  insecure_syn: (value) => ({ acceptsSynReset: isOn(value) }),
  insecure_ack: only("insecure_ack", "0"),
  tolerate_missing_ts: (value) => ({ toleratesMissingTimestamps: isOn(value) }),
  icmp_may_rst: (value) => ({ icmpEndsSynSent: value !== "0" }),
  minmss: (value) => ({ leastPeerMss: Number(value) }),
  mssdflt: (value) => ({ defaultPeerMss: Number(value) }),
  recvspace: (value) => ({ receiveBufferBytes: Number(value) }),
  sendspace: (value) => ({ sendBufferBytes: Number(value) }),
  sendbuf_auto: (value) => (isOn(value) ? {} : { sendBufferBytes: 32_768 }),
  "syncache.rexmtlimit": (value) => ({ synAckRetries: Number(value) }),
  "fastopen.client_enable": (value) => ({ fastOpen: isOn(value) ? "both" : "server" }),
  "fastopen.server_enable": (value) => ({ fastOpen: isOn(value) ? "both" : "client" }),
  pmtud_blackhole_detection: only("pmtud_blackhole_detection", "0"),
  udp_tunneling_port: only("udp_tunneling_port", "0"),
  rfc3042: only("rfc3042", "1"),
  newcwv: (value) => ({ validatesWindow: isOn(value) }),
  abc_l_var: (value) => ({ slowStartSegments: Number(value) }),
  // Without it each ACK counts for a segment.
  rfc3465: (value) => (isOn(value) ? {} : { slowStartSegments: 1 }),
};

/** What shows in no segment, or what our stack does as with each value that makes sense. */
const HARMLESS = new RegExp(
  `^(?:${[
    "hostcache\\..*|reass\\..*|sack\\.(?!enable$).*|ecn\\.(?!enable$).*|bb\\..*|rack\\..*|bbr\\..*|hpts\\..*|lro\\..*|cc\\.(?!algorithm$).*",
    "fastopen\\.(?!client_enable$|server_enable$).*|syncache\\.(?!rexmtlimit$).*|functions_inherit_listen_socket_stack",
    "tso|path_mtu_discovery|do_prr|do_prr_conservative|do_lrd|rfc3390|rfc6675_pipe|v6mssdflt|v6pmtud_blackhole_mss",
    "pmtud_blackhole_mss|udp_tunneling_overhead|(?:send|recv)buf_(?:inc|max|auto_lowat)|recvbuf_auto|nolocaltimewait|maxtcptw",
    "log_.*|blackhole|blackhole_local|syncookies|syncookies_only|isn_reseed_interval|ts_offset_per_conn|ack_war_\\w+|per_cpu_timers",
    "functions_available|pcap_packets|pcbcount|stats_perconn\\w*|timer_race|do_tcpdrain|tcbhashsize|soreceive_stream|signature_verify_input|always_.*_sack|split_limit|map_limit|msl_local|nolocal_timewait",
  ].join("|")})$`,
);

/** Trees beside that of TCP: what shows in a segment of TCP. */
const OTHERS: ReadonlyMap<string, Reader> = new Map<string, Reader>([
  ["kern.ipc.maxsockbuf", (value) => ({ scaleForBytes: Number(value) })],
  ["net.inet.ip.ttl", (value) => ({ ttl: Number(value) })],
]);

/** tcp_compute_initwnd; 0 is RFC 3390. */
function initialWindow(segments: number): Partial<ConnectionConfig> {
  if (segments === 0) return { initialWindowSegments: 4, initialWindowBytes: 4380 };
  return { initialWindowSegments: segments, initialWindowBytes: segments * 1460 };
}

/** The TCP stacks of FreeBSD by name: "rack" differs for us in how losses are found (RFC 8985). */
export function stackOf(name: string): Partial<ConnectionConfig> {
  if (name === "freebsd") return { rack: false, tailLossProbe: false };
  if (name === "rack") return { rack: true, tailLossProbe: true };
  throw new UnsupportedError(`the TCP stack ${name}`);
}

/** The congestion control of that name. Throws UnsupportedError when there is none. */
export function congestionOf(name: string): ConnectionConfig["congestion"] {
  try {
    return congestionByName(name);
  } catch {
    throw new UnsupportedError(`the congestion control ${name}`);
  }
}
