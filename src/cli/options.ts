/** Options that `connect`, `listen` and `demo` share, and what becomes of them. */
import type { Argv } from "yargs";
import type { LinkKind } from "../driver/session.js";
import type { GuardMethod } from "../kernel/port-guard.js";
import type { ConnectionConfig } from "../tcp/config.js";
import type { ChecksumPolicy } from "../wire/segment.js";

export interface CommonOptions {
  source: string | undefined;
  mss: number | undefined;
  window: number | undefined;
  timestamps: boolean;
  windowScaling: boolean;
  noDelay: boolean;
  json: boolean;
  log: LogKind;
  pcap: string | undefined;
  guard: GuardMethod;
  link: LinkKind;
  checksum: ChecksumPolicy;
  msl: number;
  verbose: number;
  quiet: boolean;
  width: number | undefined;
  allowRemote: boolean;
}

export type LogKind = "ladder" | "text";

const GUARDS: readonly GuardMethod[] = ["bpf", "nft", "iptables", "none"];
const LINKS: readonly LinkKind[] = ["raw", "pcap"];
const CHECKSUMS: readonly ChecksumPolicy[] = ["strict", "partial-ok", "off"];
const LOGS: readonly LogKind[] = ["ladder", "text"];

/** Adds the shared options to a command. */
export function withCommonOptions<T>(argv: Argv<T>): Argv<T & CommonOptions> {
  return argv
    .option("source", { type: "string", requiresArg: true, describe: "source address (default: the kernel's choice)" })
    .option("mss", { type: "number", requiresArg: true, describe: "largest segment that we announce and send, bytes (48-65495)" })
    .option("window", { type: "number", requiresArg: true, describe: "receive buffer, hence the largest window, bytes" })
    .option("timestamps", { type: "boolean", default: true, describe: "offer timestamps (RFC 7323); --no-timestamps does not" })
    .option("window-scaling", { type: "boolean", default: true, describe: "offer window scaling; --no-window-scaling does not" })
    .option("no-delay", { type: "boolean", default: false, describe: "turn the Nagle algorithm off" })
    .option("json", { type: "boolean", default: false, describe: "log as JSON Lines, one event a line" })
    .option("log", { choices: LOGS, default: "ladder" as LogKind, describe: "how the log looks" })
    .option("pcap", {
      type: "string",
      requiresArg: true,
      describe: "write a pcapng file; - is standard output, for wireshark -k -i -",
    })
    .option("guard", {
      choices: GUARDS,
      default: "bpf" as GuardMethod,
      describe: "what keeps the kernel from sending RST for our ports",
    })
    .option("link", {
      choices: LINKS,
      default: "raw" as LinkKind,
      describe: "raw sockets, or libpcap on the interface towards the peer",
    })
    .option("checksum", {
      choices: CHECKSUMS,
      default: "partial-ok" as ChecksumPolicy,
      describe: "TCP checksums of what comes in; partial-ok takes those that offload left unfinished",
    })
    .option("msl", {
      type: "number",
      default: 1,
      requiresArg: true,
      describe: "maximum segment lifetime, seconds; TIME-WAIT lasts twice as long (RFC 9293: 120)",
    })
    .option("verbose", { alias: "v", type: "count", describe: "-v: all timers; -vv: all options of every segment too" })
    .option("quiet", { alias: "q", type: "boolean", default: false, describe: "no log" })
    .option("width", {
      type: "number",
      requiresArg: true,
      describe: "columns of the ladder, 100-160 (default: the terminal's, else 120)",
    })
    .option("allow-remote", { type: "boolean", default: false, describe: "allow peers beyond this host" })
    .check((options: Partial<Record<keyof CommonOptions, unknown>>) => {
      checkRange("--mss", options.mss, 48, 65_495);
      checkRange("--window", options.window, 1, 2 ** 30);
      checkRange("--msl", options.msl, 0, 3600, false);
      checkRange("--width", options.width, 100, 160);
      if (options.pcap === "") throw new Error('--pcap: "" is not a file name');
      return true;
    }) as unknown as Argv<T & CommonOptions>;
}

/** Throws unless `value` is absent or a number in the range; the message names the option and the value. */
export function checkRange(name: string, value: unknown, least: number, most: number, integer = true): void {
  if (value === undefined) return;
  const ok = typeof value === "number" && value >= least && value <= most && (!integer || Number.isInteger(value));
  if (!ok)
    throw new Error(`${name}: ${String(value)} is not ${integer ? "a whole number" : "a number"} from ${least} to ${most}`);
}

/** The part of the options that a connection is made with. */
export function connectionConfig(options: CommonOptions): Partial<ConnectionConfig> {
  return {
    mslUs: Math.round(options.msl * 1_000_000),
    timestamps: options.timestamps,
    windowScaling: options.windowScaling,
    noDelay: options.noDelay,
    ...(options.mss === undefined ? {} : { mssBytes: options.mss }),
    ...(options.window === undefined ? {} : { receiveBufferBytes: options.window }),
  };
}
