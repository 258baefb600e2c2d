/** The option lines of a script. */
import type { Micros } from "../base/time.js";
import { type IpAddress, tryParseAddress } from "../wire/address.js";
import type { ScriptOption } from "./ast.js";
import { ScriptSyntaxError, UnsupportedError } from "./errors.js";
import { usualDefinitions } from "./fast-open-key.js";
import { definitionsOf } from "./parser.js";

/** The addresses and ports of a script: "local" is what is tested. */
export type ScriptEnds = Pick<Settings, "local" | "localPort" | "remote" | "remotePort">;

export interface Settings {
  /** How far from its time what happens may be; undefined when the script does not say. */
  readonly toleranceUs: Micros | undefined;
  /** The same as a share of the time since the event before; the larger one holds. */
  readonly tolerancePercent: number;
  /** Of the packets. */
  readonly family: 4 | 6;
  /** Sockets of IPv6 with addresses of IPv4 (RFC 4038 §4.2). */
  readonly isMapped: boolean;
  readonly mtuBytes: number;
  readonly local: IpAddress;
  readonly remote: IpAddress;
  readonly localPort: number;
  readonly remotePort: number;
  /** A tick of our timestamps; 0 does not check them. */
  readonly tickUs: Micros;
  /** Segments must come as the script has them, neither joined nor split. */
  readonly strictSegments: boolean;
  /** The script is read, and not run. */
  readonly isDry: boolean;
  /** `-D NAME=value`. */
  readonly definitions: Readonly<Record<string, string>>;
}

const ADDRESSES = {
  4: { local: "192.168.0.1", remote: "192.0.2.1" },
  6: { local: "fd3d:a0b:17d6::1", remote: "fd3d:fa7b:d17d::1" },
} as const;

/** Options that say how packetdrill itself is to run, and nothing of the stack. */
const IGNORED: ReadonlySet<string> = new Set([
  ...["verbose", "debug", "no_cleanup", "code_command", "code_format", "code_sockopt", "wire_client_dev", "persistent_tun_dev"],
  ...[
    "init_scripts",
    "send_omit_free",
    "non_fatal",
    "netmask_ip",
    "gateway_ip",
    "speed",
    "is_anyip",
    "define",
    "tun_dev",
    "local_linux",
  ],
  ...["tcp_ts_ecr_scaled", "bind_port_any", "so_filename", "so_flags", "fm_filename", "scripts_path", "mss", "prefix_len"],
]);

/**
 * Reads the options of a script; as with packetdrill those of the command line take their place. Throws ScriptSyntaxError,
 * UnsupportedError.
 */
export function readSettings(options: readonly ScriptOption[], commandLine: Readonly<Record<string, string>> = {}): Settings {
  const values = new Map<string, string>();
  const places = new Map<string, ScriptOption["place"]>();
  for (const { name, value, place } of options) {
    if (!name.startsWith("-D ")) values.set(name, value);
    places.set(name, place);
  }
  for (const [name, value] of Object.entries(commandLine)) if (!name.startsWith("-D ")) values.set(name, value);
  const number = <T>(name: string, otherwise: T): T | number => {
    const text = values.get(name);
    if (text === undefined) return otherwise;
    if (/^\d+$/.test(text) || (name === "tolerance_percent" && /^\d*\.?\d+$/.test(text))) return Number(text);
    throw new ScriptSyntaxError(places.get(name) ?? { line: 1, column: 1 }, `--${name}=${text}: expected a whole number`);
  };
  for (const name of values.keys()) {
    if (!KNOWN.has(name) && !IGNORED.has(name)) throw new UnsupportedError(`the option --${name}`);
  }
  const version = values.get("ip_version") ?? "ipv4";
  if (!/^ipv4$|^ipv6$|^ipv4-mapped-ipv6$/.test(version))
    throw new ScriptSyntaxError(
      places.get("ip_version") ?? { line: 1, column: 1 },
      `--ip_version=${version}: expected ipv4, ipv6 or ipv4-mapped-ipv6`,
    );
  const family = version === "ipv6" ? 6 : 4;
  const address = (name: "local_ip" | "remote_ip", otherwise: string): IpAddress => {
    const text = values.get(name) ?? otherwise;
    const found = tryParseAddress(text.replace(/\/\d+$/, ""));
    if (found?.family !== family) {
      const place = places.get(name) ?? { line: 1, column: 1 };
      throw new ScriptSyntaxError(
        place,
        `--${name}=${text}: expected an IPv${family} address, as --ip_version=${version} has it`,
      );
    }
    return found;
  };
  const local = address("local_ip", ADDRESSES[family].local);
  const remote = address("remote_ip", ADDRESSES[family].remote);
  return {
    toleranceUs: number("tolerance_usecs", undefined),
    // As packetdrill has it: the timers of a kernel keep their time to an eighth.
    tolerancePercent: number("tolerance_percent", 12.5),
    family,
    isMapped: version === "ipv4-mapped-ipv6",
    mtuBytes: number("mtu", 1500),
    local,
    remote,
    localPort: number("bind_port", 8080),
    remotePort: number("connect_port", 8080),
    tickUs: number("tcp_ts_tick_usecs", 0),
    strictSegments: values.has("strict_segments"),
    isDry: values.has("dry_run"),
    definitions: {
      ...usualDefinitions(version === "ipv4" ? 4 : 6, local, remote),
      ...definitionsOf([...options, ...Object.entries(commandLine).map(([name, value]) => ({ name, value }))]),
    },
  };
}

const KNOWN: ReadonlySet<string> = new Set([
  ...[
    "tolerance_usecs",
    "tolerance_percent",
    "ip_version",
    "mtu",
    "local_ip",
    "remote_ip",
    "bind_port",
    "connect_port",
    "tcp_ts_tick_usecs",
    "strict_segments",
    "dry_run",
  ],
]);
