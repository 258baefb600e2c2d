/**
 * What scripts ask of the host, as options of the stack: `sysctl net.ipv4.x=y`, the same in set_sysctls.py's notation, and the common
 * preludes. Nothing is ever run.
 */
import { MILLISECOND, NEVER, SECOND } from "../base/time.js";
import type { StackConfig } from "../stack/config.js";
import type { ConnectionConfig } from "../tcp/config.js";
import { UnsupportedError } from "./errors.js";
import { congestionOf, freeBsdConnection, freeBsdStack, isFreeBsdName } from "./sysctl-freebsd.js";

/** What the prelude of Linux's own scripts sets, as far as it differs from what a host has anyway. */
const PRELUDE: readonly [name: string, value: string][] = [["net.ipv4.tcp_rmem", "4096 540000 15728640"]];

/** Changes that a command asks for. */
export interface HostChanges {
  readonly connection: Partial<ConnectionConfig>;
  readonly stack: Partial<Pick<StackConfig, "synCookies" | "challengeAcksPerSecond" | "closedPorts">>;
}

/** What a value of a sysctl changes of connections. */
export type Reader = (value: string) => Partial<ConnectionConfig>;

/** A script's prelude, which brings a host to known values. */
const PRELUDES = /(?:^|\/)(?:defaults|default|set_default\w*|initialize|init|common)\.(?:sh|py)$/;

const last = (value: string): number =>
  Number(
    value
      .trim()
      .split(/[\s,]+/)
      .at(-1),
  );
const middle = (value: string): number => Number(value.trim().split(/[\s,]+/)[1] ?? value);
const isOn = (value: string): boolean => Number(value) !== 0;
const NOTHING: Reader = () => ({});

const IPV4: Readonly<Record<string, Reader>> = {
  tcp_timestamps: (value) => ({ timestamps: isOn(value) }),
  tcp_sack: (value) => ({ sack: isOn(value) }),
  tcp_window_scaling: (value) => ({ windowScaling: isOn(value) }),
  tcp_ecn: (value) => {
    const policy = (["off", "on", "accept", "accurate", "accurate-on", "accurate-accept"] as const)[Number(value)];
    if (policy === undefined) throw new UnsupportedError(`sysctl net.ipv4.tcp_ecn=${value}`);
    return { ecn: policy };
  },
  tcp_ecn_fallback: (value) => ({ ecnFallback: isOn(value) }),
  tcp_ecn_option: (value) => ({ accurateEcnOption: (["off", "minimum", "full", "persist"] as const)[Number(value)] ?? "full" }),
  tcp_ecn_option_beacon: (value) => ({ accurateEcnBeacon: Number(value) }),
  tcp_rmem: (value) => ({ receiveBufferBytes: Math.min(middle(value), last(value)), receiveBufferMaxBytes: last(value) }),
  tcp_wmem: (value) => ({ sendBufferBytes: last(value) }),
  tcp_congestion_control: (value) => ({ congestion: congestionOf(value) }),
  tcp_slow_start_after_idle: (value) => ({ restartAfterIdle: isOn(value) }),
  tcp_recovery: (value) => ({ rack: (Number(value) & 1) !== 0 }),
  tcp_early_retrans: (value) => ({ tailLossProbe: Number(value) >= 3 }),
  tcp_fin_timeout: (value) => ({ finWait2Us: Number(value) * SECOND }),
  tcp_syn_retries: (value) => ({ synTimeoutUs: (2 ** (Number(value) + 1) - 1) * SECOND }),
  tcp_syn_linear_timeouts: (value) => ({ synLinearTimeouts: Number(value) }),
  tcp_rfc1337: (value) => ({ timeWaitIgnoresReset: isOn(value) }),
  tcp_comp_sack_delay_ns: (value) => ({ ackCompressionUs: Math.floor(Number(value) / 1000) }),
  tcp_comp_sack_slack_ns: NOTHING,
  tcp_synack_retries: (value) => ({ synAckRetries: Number(value) }),
  tcp_keepalive_time: (value) => ({ keepAliveIdleUs: Number(value) * SECOND }),
  tcp_keepalive_intvl: (value) => ({ keepAliveIntervalUs: Number(value) * SECOND }),
  tcp_keepalive_probes: (value) => ({ keepAliveCount: Number(value) }),
  tcp_mtu_probing: (value) => ({ mtuProbing: ([0, 1, 2] as const)[Number(value)] ?? 0 }),
  tcp_invalid_ratelimit: (value) => ({ challengeAckIntervalUs: Number(value) * MILLISECOND }),
  tcp_notsent_lowat: (value) => ({ notSentLowWaterBytes: Number(value) >= 0xffff_ffff ? NEVER : Number(value) }),
  tcp_retries1: (value) => ({ r1Retries: Number(value) }),
  ip_default_ttl: (value) => ({ ttl: Number(value) }),
  tcp_fastopen: (value) => {
    const bits = Number(value);
    const policy = (["off", "client", "server", "both"] as const)[bits & 3] ?? "off";
    return { fastOpen: policy, fastOpenWithoutCookie: (bits & 0x204) !== 0 };
  },
  // What our stack does as with the value that scripts set.
  tcp_no_metrics_save: NOTHING,
  tcp_dsack: NOTHING,
  tcp_moderate_rcvbuf: NOTHING,
  tcp_adv_win_scale: NOTHING,
  tcp_autocorking: NOTHING,
  tcp_tso_win_divisor: NOTHING,
  tcp_min_tso_segs: NOTHING,
  tcp_limit_output_bytes: NOTHING,
  tcp_pacing_ss_ratio: NOTHING,
  tcp_pacing_ca_ratio: NOTHING,
  tcp_fwmark_accept: NOTHING,
  tcp_max_syn_backlog: NOTHING,
  tcp_low_latency: NOTHING,
  tcp_fastopen_blackhole_timeout_sec: NOTHING,
  tcp_comp_sack_nr: (value) => ({ compressedAcks: Number(value) }),
  tcp_shrink_window: (value) => ({ shrinksWindow: isOn(value) }),
  tcp_frto: NOTHING,
  tcp_reordering: NOTHING,
  tcp_abort_on_overflow: (value) => ({ resetsOverflow: isOn(value) }),
  tcp_l3mdev_accept: NOTHING,
  tcp_mem: NOTHING,
  tcp_tw_reuse: NOTHING,
};

const CORE =
  /^net\.core\.(default_qdisc|netdev_\w+|rmem_\w+|wmem_\w+|somaxconn|optmem_max|high_order_\w+|dev_weight|tstamp_\w+)$/;

/** Reads a command; throws UnsupportedError that names what we do not have. */
export function readCommand(command: string): HostChanges {
  let connection: Partial<ConnectionConfig> = {};
  let stack: HostChanges["stack"] = {};
  for (const [name, value] of sysctlsOf(command)) {
    if (name === "net.ipv4.tcp_syncookies")
      stack = { ...stack, synCookies: (["off", "when-full", "always"] as const)[Number(value)] ?? "off" };
    else if (name === "net.ipv4.tcp_challenge_ack_limit")
      stack = { ...stack, challengeAcksPerSecond: Math.min(Number(value), 1e9) };
    else if (isFreeBsdName(name)) {
      stack = { ...stack, ...freeBsdStack(name, value) };
      connection = { ...connection, ...freeBsdConnection(name, value, command) };
    } else connection = { ...connection, ...readOne(name, value) };
  }
  return { connection, stack };
}

/** The sysctls that a command sets, name and value, in their order. Throws UnsupportedError for a command that does anything else. */
export function sysctlsOf(command: string): [name: string, value: string][] {
  return (
    command
      .split(/\n|;|&&/)
      // Where the output goes is nothing to us.
      .map((line) =>
        line
          .replace(/\s*\d?>{1,2}\s*(?:&\d|[^\s>]+)/g, "")
          .trim()
          .replace(/\s+/g, " "),
      )
      .filter((line) => line !== "" && !line.startsWith("#"))
      .flatMap(assignments)
  );
}

function readOne(name: string, value: string): Partial<ConnectionConfig> {
  if (CORE.test(name)) return {};
  const read = /^net\.ipv4\.(\w+)$/.exec(name)?.[1];
  const reader = read !== undefined && Object.hasOwn(IPV4, read) ? IPV4[read] : undefined;
  if (reader === undefined) throw new UnsupportedError(`sysctl ${name}`);
  return reader(value);
}

/** Pairs of name and value of one line of shell. */
function assignments(text: string): [string, string][] {
  const words = text.match(/(?:[^\s"']|"[^"]*"|'[^']*')+/g) ?? [];
  const [program = "", ...args] = words;
  if (PRELUDES.test(program)) return [...PRELUDE];
  // What brings the host back afterwards is of no use to a stack that ends with the script.
  if (/(?:restore_sysctls|reset_sysctls|restore)\w*\.(?:py|sh)$/.test(program)) return [];
  if (/^(?:sleep|true|echo|modprobe)$/.test(program)) return [];
  // Modules of FreeBSD hold congestion controls and TCP stacks; what is used of them is asked for by a sysctl or a socket option.
  if (/^(?:tc|ethtool|ip|kldload|kldunload|kldstat|ifconfig|route|arp|ndp|nstat|netstat)$/.test(program) && !text.includes("|"))
    return [];
  // A name alone is one that is printed.
  if (/(?:^|\/)sysctl$/.test(program)) return pairs(args.filter((word) => !/^-[a-z]+$|^[\w.-]+$/.test(word)));
  if (/set_sysctls\.py$/.test(program)) {
    return pairs(args).map(([path, value]) => [path.replace(/^\/proc\/sys\//, "").replaceAll("/", "."), value]);
  }
  throw new UnsupportedError(`the command ${JSON.stringify(text)}`);
}

function pairs(words: readonly string[]): [string, string][] {
  return words.map((word) => {
    const [, name = "", value = ""] = /^([\w./-]+)=(.*)$/s.exec(word) ?? [];
    if (name === "") throw new UnsupportedError(`sysctl ${word}`);
    return [name, value.replace(/^(["'])(.*)\1$/, "$2").trim()];
  });
}
