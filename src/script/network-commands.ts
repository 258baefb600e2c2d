/** What `ip`, `tc`, `ifconfig` and `route` change of the path to the peer, as options of connections. */
import { MILLISECOND, SECOND } from "../base/time.js";
import type { ConnectionConfig } from "../tcp/config.js";
import { UnsupportedError } from "./errors.js";
import { congestionOf } from "./sysctl-freebsd.js";

type Changes = Partial<ConnectionConfig>;

/** `forgetsPeers`: what is known of peers from earlier connections is gone. */
export interface PathChanges {
  readonly connection: Changes;
  readonly forgetsPeers: boolean;
}

const NOTHING: PathChanges = { connection: {}, forgetsPeers: false };

/** Words of iproute2 that only show something, or that take away what a script has not got. */
const READS = /^(?:show|list|ls|lst|get|save|monitor|del|delete|flush|help|restore|)$/;

/** `ip [options] OBJECT COMMAND …`. Throws UnsupportedError for what would show in packets and is not had. */
export function ipCommand(words: readonly string[]): PathChanges {
  const from = words.findIndex(
    (word, i) => !word.startsWith("-") && !/^-(?:f|family|n|netns|b|batch|rc)$/.test(words[i - 1] ?? ""),
  );
  const [object = "", verb = "", ...rest] = from < 0 ? [] : words.slice(from);
  const isOf = (name: string, least: number): boolean => object.length >= least && name.startsWith(object);
  if (isOf("tcp_metrics", 2) || object === "tcpmetrics") return { ...NOTHING, forgetsPeers: /^(?:flush|del)/.test(verb) };
  if (isOf("xfrm", 1) || isOf("mptcp", 2) || object === "macsec") throw new UnsupportedError(`the command "ip ${object}"`);
  if (READS.test(verb)) return NOTHING;
  if (isOf("route", 1)) return { ...NOTHING, connection: routeMetrics(rest) };
  if (isOf("link", 1) && verb === "set") return { ...NOTHING, connection: linkSettings(rest) };
  if (isOf("rule", 2)) throw new UnsupportedError('the command "ip rule"');
  return NOTHING;
}

function linkSettings(words: readonly string[]): Changes {
  const isLoopback = words[0] === "lo" || (words[0] === "dev" && words[1] === "lo");
  if (isLoopback) return {};
  if (words.includes("down")) throw new UnsupportedError('the command "ip link set down"');
  const mtu = words[words.indexOf("mtu") + 1];
  return words.includes("mtu") && mtu !== undefined ? { mtuBytes: bytesOf(mtu, "ip link set mtu") } : {};
}

/** The metrics of a route (ip-route(8)). */
function routeMetrics(words: readonly string[]): Changes {
  let changes: Changes = {};
  for (let i = 0; i < words.length; i++) {
    const name = words[i] ?? "";
    if (/^(?:blackhole|unreachable|prohibit|throw|nat|encap)$/.test(name))
      throw new UnsupportedError(`the command "ip route ${name}"`);
    const read = Object.hasOwn(METRICS, name) ? METRICS[name] : undefined;
    if (read === undefined) {
      if (FOREIGN.has(name)) throw new UnsupportedError(`the metric ${name} of a route`);
      continue;
    }
    // A metric that is locked is not changed by what is learned.
    if (words[i + 1] === "lock") i++;
    const value = words[++i] ?? "";
    changes = { ...changes, ...read(value) };
  }
  return changes;
}

const METRICS: Readonly<Record<string, (value: string) => Changes>> = {
  mtu: (value) => ({ mtuBytes: bytesOf(value, "the metric mtu") }),
  advmss: (value) => ({ mssBytes: bytesOf(value, "the metric advmss") }),
  initcwnd: (value) => ({ initialWindowSegments: bytesOf(value, "the metric initcwnd") }),
  initrwnd: (value) => ({ initialReceiveSegments: bytesOf(value, "the metric initrwnd") }),
  window: (value) => ({ windowClampBytes: bytesOf(value, "the metric window") }),
  rto_min: (value) => ({ rtoMinUs: timeOf(value) }),
  quickack: (value) => ({ acknowledgesAtOnce: value !== "0" }),
  hoplimit: (value) => ({ ttl: bytesOf(value, "the metric hoplimit") }),
  congctl: (value) => ({ congestion: congestionOf(value) }),
  reordering: (value) => ({ reorderingSegments: bytesOf(value, "the metric reordering") }),
  features: (value) => {
    if (value !== "ecn") throw new UnsupportedError(`the feature ${value} of a route`);
    return { ecn: "on" };
  },
  fastopen_no_cookie: (value) => ({ fastOpenWithoutCookie: value !== "0" }),
};

/** Those whose effect is not had. */
const FOREIGN: ReadonlySet<string> = new Set(["cwnd", "ssthresh", "rtt", "rttvar"]);

function bytesOf(text: string, what: string): number {
  if (!/^\d+$/.test(text)) throw new UnsupportedError(`${what} ${text}`);
  return Number(text);
}

/** `200ms`, `1s`, or milliseconds without a unit. */
function timeOf(text: string): number {
  const [, digits = "", unit = "ms"] = /^(\d+(?:\.\d+)?)(ms|msec|msecs|s|sec|secs|us|usec|usecs)?$/.exec(text) ?? [];
  if (digits === "") throw new UnsupportedError(`the metric rto_min ${text}`);
  return Math.round(Number(digits) * (unit.startsWith("us") ? 1 : unit.startsWith("ms") ? MILLISECOND : SECOND));
}

/** Queues that pass packets on as they come, unless options of theirs say otherwise. */
const PLAIN_QUEUES = /^(?:fq|fq_codel|pfifo|pfifo_fast|bfifo|noqueue|mq|codel|sfq|clsact|ingress)$/;

/** `tc qdisc …`. Throws UnsupportedError for one that delays, marks or drops. */
export function tcCommand(words: readonly string[]): void {
  const rest = words.filter((word) => !word.startsWith("-"));
  const [object = "", verb = ""] = rest;
  if (READS.test(verb)) return;
  if (!"qdisc".startsWith(object)) throw new UnsupportedError(`the command "tc ${object}"`);
  const kind = rest
    .slice(2)
    .find((word, i, all) => !QUEUE_PLACES.test(word) && !/^(?:dev|handle|parent)$/.test(all[i - 1] ?? ""));
  const bends = rest.find((word) =>
    /^(?:delay|loss|limit|flow_limit|maxrate|ce_threshold|rate|drop|duplicate|corrupt|reorder)$/.test(word),
  );
  if (kind === undefined || !PLAIN_QUEUES.test(kind)) throw new UnsupportedError(`the command "tc qdisc ${kind ?? ""}"`);
  if (bends !== undefined) throw new UnsupportedError(`the command "tc qdisc ${kind} ${bends}"`);
}

const QUEUE_PLACES = /^(?:dev|root|handle|parent|ingress|clsact|[\da-f]+:[\da-f]*)$/;

/** `ifconfig DEVICE … mtu N`. */
export function ifconfigCommand(words: readonly string[]): Changes {
  const mtu = words[words.indexOf("mtu") + 1];
  if (/^lo\d*$/.test(words[0] ?? "") || !words.includes("mtu") || mtu === undefined) return {};
  return { mtuBytes: bytesOf(mtu, "ifconfig mtu") };
}

/** `route change … -mtu N`. */
export function routeCommand(words: readonly string[]): Changes {
  const at = words.indexOf("-mtu");
  const mtu = words[at + 1];
  return at < 0 || mtu === undefined ? {} : { mtuBytes: bytesOf(mtu, "route -mtu") };
}
