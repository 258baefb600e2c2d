/**
 * What scripts ask of the host, as options of the stack: `sysctl net.ipv4.x=y`, the same in set_sysctls.py's notation, and the common
 * preludes. Nothing is ever run.
 */
import { MILLISECOND, type Micros, NEVER, SECOND } from "../base/time.js";
import type { StackChanges } from "../stack/config.js";
import type { ConnectionConfig } from "../tcp/config.js";
import { UnsupportedError } from "./errors.js";
import { parseFastOpenKey } from "./fast-open-key.js";
import { ifconfigCommand, ipCommand, type PathChanges, routeCommand, tcCommand } from "./network-commands.js";
import { baseName, pipelinesOf, type SimpleCommand } from "./shell.js";
import { congestionOf, freeBsdConnection, freeBsdStack, isFreeBsdName } from "./sysctl-freebsd.js";

/** What the prelude of Linux's own scripts sets, as far as it differs from what a host has anyway. */
const PRELUDE: readonly [name: string, value: string][] = [["net.ipv4.tcp_rmem", "4096 540000 15728640"]];

/** Changes that a command asks for. */
export interface HostChanges {
  readonly connection: Partial<ConnectionConfig>;
  readonly stack: StackChanges;
  /** What is known of peers from earlier connections is gone. */
  readonly forgetsPeers: boolean;
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
  tcp_retries2: (value) => ({ r2Us: patienceOf(Number(value)) }),
  // 0 stands for 8.
  tcp_orphan_retries: (value) => ({ orphanTimeoutUs: patienceOf(Number(value) || 8) }),
  tcp_rto_min_us: (value) => ({ rtoMinUs: Number(value) }),
  tcp_rto_max_ms: (value) => ({ rtoMaxUs: Number(value) * MILLISECOND }),
  tcp_min_snd_mss: (value) => ({ leastPeerMss: Number(value) }),
  ip_default_ttl: (value) => ({ ttl: Number(value) }),
  tcp_fastopen: (value) => {
    const bits = Number(value);
    const policy = (["off", "client", "server", "both"] as const)[bits & 3] ?? "off";
    // TFO_CLIENT_NO_COOKIE, TFO_SERVER_COOKIE_NOT_REQD, TFO_SERVER_WO_SOCKOPT1.
    const without = ([false, "client", "server", true] as const)[((bits & 4) >> 2) | ((bits & 0x200) >> 8)] ?? false;
    return { fastOpen: policy, fastOpenWithoutCookie: without, fastOpenForAll: (bits & 0x400) !== 0 };
  },
  // What our stack does as with the value that scripts set.
  tcp_no_metrics_save: NOTHING,
  tcp_dsack: (value) => ({ dsack: isOn(value) }),
  tcp_moderate_rcvbuf: (value) => ({ tunesReceiveBuffer: isOn(value) }),
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
  tcp_frto: (value) => ({ forwardRto: isOn(value) }),
  tcp_reordering: (value) => ({ reorderingSegments: Number(value) }),
  tcp_abort_on_overflow: (value) => ({ resetsOverflow: isOn(value) }),
  tcp_l3mdev_accept: NOTHING,
  tcp_mem: NOTHING,
  tcp_tw_reuse: NOTHING,
  tcp_tw_reuse_delay: NOTHING,
  tcp_fack: NOTHING,
  tcp_early_demux: NOTHING,
  tcp_max_orphans: NOTHING,
  tcp_max_tw_buckets: NOTHING,
  tcp_max_reordering: NOTHING,
  tcp_min_rtt_wlen: NOTHING,
  tcp_app_win: NOTHING,
  tcp_tso_rtt_log: NOTHING,
  tcp_backlog_ack_defer: NOTHING,
  tcp_migrate_req: NOTHING,
  tcp_child_ehash_entries: NOTHING,
  tcp_ehash_entries: NOTHING,
  tcp_no_ssthresh_metrics_save: NOTHING,
  tcp_allowed_congestion_control: NOTHING,
  tcp_available_congestion_control: NOTHING,
  tcp_available_ulp: NOTHING,
  tcp_retrans_collapse: NOTHING,
  tcp_plb_enabled: NOTHING,
  tcp_plb_idle_rehash_rounds: NOTHING,
  tcp_plb_rehash_rounds: NOTHING,
  tcp_plb_suspend_rto_sec: NOTHING,
  tcp_plb_cong_thresh: NOTHING,
  tcp_thin_dupack: NOTHING,
  tcp_tw_recycle: NOTHING,
  tcp_dma_copybreak: NOTHING,
  tcp_max_ssthresh: NOTHING,
  tcp_abc: NOTHING,
  // Other values would show.
  tcp_stdurg: only("tcp_stdurg", "0"),
  tcp_workaround_signed_windows: only("tcp_workaround_signed_windows", "0"),
  tcp_reflect_tos: (value) => ({ reflectsTos: isOn(value) }),
  tcp_thin_linear_timeouts: (value) => ({ thinLinearTimeouts: isOn(value) }),
  tcp_pingpong_thresh: only("tcp_pingpong_thresh", "1"),
  tcp_base_mss: (value) => ({ mtuBaseMss: Number(value) }),
  tcp_mtu_probe_floor: only("tcp_mtu_probe_floor", "48"),
  tcp_probe_interval: only("tcp_probe_interval", "600"),
  tcp_probe_threshold: only("tcp_probe_threshold", "8"),
  ip_no_pmtu_disc: only("ip_no_pmtu_disc", "0"),
};

/** Accepts one value alone: we do as it says, and cannot do otherwise. */
function only(name: string, wanted: string): Reader {
  return (value) => {
    if (value !== wanted) throw new UnsupportedError(`sysctl net.ipv4.${name}=${value}`);
    return {};
  };
}

/** How long so many repetitions take, counted from the least time-out whatever the real one is (tcp_model_timeout). */
function patienceOf(retries: number): Micros {
  const [least, most] = [200 * MILLISECOND, 120 * SECOND];
  const doublings = Math.floor(Math.log2(most / least));
  if (retries <= doublings) return (2 ** (retries + 1) - 1) * least;
  return (2 ** (doublings + 1) - 1) * least + (retries - doublings) * most;
}

/** What shows in no packet, whatever it is set to. */
const HARMLESS = new RegExp(
  `^(?:${[
    "net\\.core\\..*|net\\.netfilter\\..*|net\\.unix\\..*|net\\.mptcp\\..*|net\\.bridge\\..*|net\\.packet\\..*",
    "(?:kernel|fs|vm|dev|user|abi|sunrpc)\\..*",
    "net\\.ipv[46]\\.(?:neigh|route)\\..*|net\\.ipv4\\.(?:icmp_|igmp_|udp_|inet_|fib_|ping_|nexthop_|raw_|ipfrag_|cipso_|fwmark_).*",
    "net\\.ipv4\\.ip_(?:forward\\w*|nonlocal_bind|early_demux|dynaddr|autobind_reuse|local_reserved_ports|unprivileged_port_start)",
    "net\\.ipv4\\.conf\\.(?!.*\\.forwarding$).*",
    "net\\.ipv6\\.(?:icmp|bindv6only|anycast_\\w+|idgen_\\w+|ip6frag_\\w+|mld_\\w+|xfrm6_\\w+|seg6_\\w+|ioam6_\\w+|calipso_\\w+).*",
    "net\\.ipv6\\.(?:auto_flowlabels|flowlabel_\\w+|fib_\\w+|fwmark_reflect|ip_nonlocal_bind|max_\\w+|skip_notify_on_dev_down)",
    "net\\.ipv6\\.conf\\.[^.]+\\.(?!mtu$|disable_ipv6$|hop_limit$).*",
  ].join("|")})$`,
);

/** Reads a command; throws UnsupportedError that names what we do not have. */
export function readCommand(command: string): HostChanges {
  let connection: Partial<ConnectionConfig> = {};
  let stack: StackChanges = {};
  let forgetsPeers = false;
  for (const change of changesOf(command)) {
    if (Array.isArray(change)) {
      const [name, value] = change;
      stack = { ...stack, ...stackOne(name, value) };
      connection = { ...connection, ...connectionOne(name, value, command) };
    } else {
      connection = { ...connection, ...change.connection };
      forgetsPeers ||= change.forgetsPeers;
    }
  }
  return { connection, stack, forgetsPeers };
}

/** The sysctls that a command sets, name and value, in their order. Throws UnsupportedError for a command that does anything else. */
export function sysctlsOf(command: string): [name: string, value: string][] {
  return changesOf(command).flatMap((change) => {
    if (Array.isArray(change)) return [change];
    const [name] = Object.keys(change.connection);
    if (name !== undefined) throw new UnsupportedError(`the command ${JSON.stringify(command)} on a kernel`);
    return [];
  });
}

/** How long a command takes, in microseconds: `sleep`. */
export function commandTime(command: string): Micros {
  if (!command.includes("sleep")) return 0;
  let us = 0;
  for (const [{ words }] of pipelinesOf(command) as [SimpleCommand][]) {
    const [program = "", ...times] = words;
    const unit = baseName(program) === "usleep" ? 1 : baseName(program) === "sleep" ? SECOND : 0;
    for (const text of times) us += unit * (Number.parseFloat(text) || 0) * (UNITS[text.at(-1) ?? ""] ?? 1);
  }
  return Math.round(us);
}

const UNITS: Readonly<Record<string, number>> = { m: 60, h: 3600, d: 86_400 };

function stackOne(name: string, value: string): StackChanges {
  switch (name) {
    case "net.ipv4.tcp_syncookies":
      return { synCookies: (["off", "when-full", "always"] as const)[Number(value)] ?? "off" };
    case "net.ipv4.tcp_challenge_ack_limit":
      return { challengeAcksPerSecond: Math.min(Number(value), 1e9) };
    case "net.ipv4.tcp_fastopen_key": {
      const fastOpenKey = parseFastOpenKey(value);
      if (fastOpenKey === undefined) throw new UnsupportedError(`sysctl ${name}=${value}`);
      return { fastOpenKey };
    }
    case "net.ipv4.ip_local_port_range": {
      const [first = 0, end = 0] = value
        .trim()
        .split(/[\s,]+/)
        .map(Number);
      if (!(first > 0 && first <= end && end < 65_536)) throw new UnsupportedError(`sysctl ${name}=${value}`);
      return { ephemeralPorts: [first, end] };
    }
    default:
      return isFreeBsdName(name) ? freeBsdStack(name, value) : {};
  }
}

const OF_THE_STACK = /^net\.ipv4\.(?:tcp_syncookies|tcp_challenge_ack_limit|tcp_fastopen_key|ip_local_port_range)$/;

function connectionOne(name: string, value: string, command: string): Partial<ConnectionConfig> {
  if (value.includes("$")) throw new UnsupportedError(`sysctl ${name}=${value}: a variable of a shell`);
  if (isFreeBsdName(name)) return freeBsdConnection(name, value, command);
  if (OF_THE_STACK.test(name) || HARMLESS.test(name)) return {};
  const read = /^net\.ipv4\.(\w+)$/.exec(name)?.[1];
  const reader = read !== undefined && Object.hasOwn(IPV4, read) ? IPV4[read] : undefined;
  if (reader !== undefined) return reader(value);
  const ofDevice = /^net\.ipv6\.conf\.[^.]+\.(mtu|hop_limit)$/.exec(name)?.[1];
  if (ofDevice === "mtu") return { mtuBytes: Number(value) };
  if (ofDevice === "hop_limit") return { ttl: Number(value) };
  throw new UnsupportedError(`sysctl ${name}`);
}

/** Programs that change nothing that a packet would show. */
const IDLE = new RegExp(
  `^(?:${[
    "true|:|sleep|usleep|echo|printf|date|uname|hostname|id|whoami|pwd|ls|cat|head|tail|wc|stat|which|logger|dmesg|sync|wait|test_ok",
    "set|unset|export|cd|umask|ulimit|exit|shopt|trap|mkdir|rmdir|rm|touch|cp|mv|ln|chmod|chown|mount|umount|truncate",
    "modprobe|rmmod|insmod|lsmod|depmod|kldload|kldunload|kldstat|ethtool|arp|ndp|nstat|netstat|sockstat|ss|lsof|ps|top|tcpdump|ifstat",
    "taskset|chrt|renice|cpupower|perf|trace-cmd|bpftrace|tput|clear|procstat|vmstat|sysrc|service|systemctl",
  ].join("|")})$`,
);

type Change = [name: string, value: string] | PathChanges;

/** What the commands of a text ask for, in their order. */
function changesOf(text: string): Change[] {
  return pipelinesOf(text).flatMap((pipeline) => {
    const [first, ...readers] = pipeline;
    if (first === undefined) return [];
    const written = writtenTo(first, readers);
    if (written !== undefined) return [written];
    // A check of what a program tells is none that could be made.
    const reader = readers.find(({ words }) => !/^(?:tee|cat|head|tail|sort|uniq|wc|logger)$/.test(baseName(words[0] ?? "")));
    if (reader !== undefined) throw new UnsupportedError(`the command ${JSON.stringify(textOf([first, ...readers]))}`);
    return changesOfOne(first);
  });
}

function textOf(commands: readonly SimpleCommand[]): string {
  return commands.map(({ words }) => words.join(" ")).join(" | ");
}

/** `echo VALUE > /proc/sys/…`, also by tee. */
function writtenTo({ words, into }: SimpleCommand, readers: readonly SimpleCommand[]): Change | undefined {
  const [program = "", ...args] = words;
  const name = baseName(program);
  if (name !== "echo" && name !== "printf") return undefined;
  const [tee, path] = readers[0]?.words.filter((word) => !word.startsWith("-")) ?? [];
  const file = baseName(tee ?? "") === "tee" ? (path ?? "") : into;
  if (!file.startsWith("/proc/sys/")) return undefined;
  const value = args.filter((word) => !/^-[neE]+$/.test(word)).join(" ");
  return [nameOf(file), value.replace(/\\n$/, "").trim()];
}

function changesOfOne(command: SimpleCommand): Change[] {
  const [program = "", ...args] = command.words;
  if (PRELUDES.test(program)) return [...PRELUDE];
  // What brings the host back afterwards is of no use to a stack that ends with the script.
  if (/restore\w*(?:\$\{?\w+\}?)?\w*\.(?:py|sh)$|reset_sysctls\w*\.(?:py|sh)$/.test(program)) return [];
  const none = { connection: {}, forgetsPeers: false };
  const name = baseName(program);
  switch (name) {
    case "sysctl":
      // A name alone is one that is printed, and what follows -p a file.
      if (args.some((word) => /^-\w*[pf]\w*$|^--load|^--system/.test(word))) break;
      return pairs(args.filter((word) => !/^-[a-z-]+$|^[\w./-]+$/.test(word)));
    case "set_sysctls.py":
      return pairs(args);
    case "ip":
      return [ipCommand(args)];
    case "tc":
      tcCommand(args);
      return [];
    case "ifconfig":
      return [{ ...none, connection: ifconfigCommand(args) }];
    case "route":
      return [{ ...none, connection: routeCommand(args) }];
    case "iptables":
    case "ip6tables":
    case "nft":
    case "pfctl":
    case "ipfw":
      if (!args.some((word) => /^-[AIRP]$|^--(?:append|insert|replace|policy)$|^(?:add|insert|replace|-f|-e)$/.test(word)))
        return [];
      throw new UnsupportedError(`the command ${name}`);
    default:
      if (IDLE.test(name)) return [];
  }
  throw new UnsupportedError(`the command ${JSON.stringify(textOf([command]))}`);
}

/** As sysctl(8) takes it: with dots, with slashes, or as the path of a file. */
function nameOf(path: string): string {
  const name = path.replace(/^\/?proc\/sys\//, "");
  return /^\w+\//.test(name) ? name.replaceAll(".", "\u0000").replaceAll("/", ".").replaceAll("\u0000", "/") : name;
}

function pairs(words: readonly string[]): [string, string][] {
  return words.map((word) => {
    const [, name = "", value = ""] = /^([\w./@:-]+)=(.*)$/s.exec(word) ?? [];
    if (name === "") throw new UnsupportedError(`sysctl ${word}`);
    return [nameOf(name), value.replace(/^(["'])(.*)\1$/s, "$2").trim()];
  });
}
