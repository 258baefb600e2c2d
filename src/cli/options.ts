/**
 * What each command takes from the command line. Nothing heavy is imported here, so that `--help` and completion are quick.
 */

import { readFileSync } from "node:fs";
import type { Argv, ParserConfigurationOptions } from "yargs";
import type { BendRule } from "../bend/ast.js";
import { parseBend } from "../bend/parser.js";
import type { LinkKind } from "../driver/session.js";
import type { GuardMethod } from "../kernel/port-guard.js";
import type { ConnectionConfig } from "../tcp/config.js";
import { tryParseAddress } from "../wire/address.js";
import type { ChecksumPolicy } from "../wire/segment.js";
import { EXIT_HELP } from "./exit-codes.js";
import { configOfChoices, type TcpChoices, withTcpChoices } from "./tcp-choices.js";
import { ipAddress, oneOf, seconds, shown, wholeNumber, words } from "./values.js";

/** How the log looks to a human. */
export type LogKind = "ladder" | "text";

/** Options that `connect`, `listen` and `demo` share. */
export interface CommonOptions extends TcpChoices {
  /** Bytes. */
  mss: number | undefined;
  /** Receive buffer, bytes. */
  window: number | undefined;
  timestamps: boolean;
  windowScaling: boolean;
  nagle: boolean;
  json: boolean;
  log: LogKind;
  /** A file, or "-" for standard output. */
  pcap: string | undefined;
  guard: GuardMethod;
  link: LinkKind;
  checksum: ChecksumPolicy;
  /** Seconds. */
  msl: number;
  /** How often -v was given. */
  verbose: number;
  quiet: boolean;
  /** Columns of the ladder. */
  width: number | undefined;
  allowRemote: boolean;
  /** Rules that bend the session. */
  bend: readonly BendRule[] | undefined;
  bendFile: readonly BendRule[] | undefined;
}

export interface DemoOptions extends CommonOptions {
  source: string | undefined;
  closer: "ours" | "kernel";
}

export interface ConnectOptions extends CommonOptions {
  host: string;
  port: number;
  source: string | undefined;
  sourcePort: number | undefined;
  halfClose: boolean;
  abort: boolean;
  /** Seconds. */
  timeout: number | undefined;
  /** Data goes with the SYN. */
  fastOpen: boolean;
  /** Sent before standard input. */
  data: string | undefined;
}

export interface ListenOptions extends CommonOptions {
  port: number;
  bind: string;
  echo: boolean;
  exec: string | undefined;
  keep: boolean;
  backlog: number;
  synBacklog: number;
  /** Take data with SYNs. */
  fastOpen: boolean;
}

export interface DoctorOptions {
  json: boolean;
}

/** Headings of the help. */
const COMMAND = "Command:";
const TCP = "TCP:";
const LINK = "Link:";
const LOG = "Log and capture:";

/** How the words of a command are read; goes to `parserConfiguration`. */
export function parserFor(command: string): Partial<ParserConfigurationOptions> {
  return {
    // An option given twice: the last one counts, as with other tools. Without lists yargs would keep the last of drill's paths alone.
    "duplicate-arguments-array": command === "drill",
    // Ours are stricter: 0x50 and 1e3 are no ports.
    "parse-numbers": false,
    "parse-positional-numbers": false,
  };
}

export const GUARDS: readonly GuardMethod[] = ["bpf", "nft", "iptables", "none"];
const LINKS: readonly LinkKind[] = ["raw", "pcap"];
const CHECKSUMS: readonly ChecksumPolicy[] = ["strict", "partial-ok", "off"];
const LOGS: readonly LogKind[] = ["ladder", "text"];
const CLOSERS: readonly DemoOptions["closer"][] = ["ours", "kernel"];

export function demoOptions(argv: Argv): Argv<DemoOptions> {
  const own = argv.option("closer", {
    group: COMMAND,
    choices: CLOSERS,
    default: "ours" as const,
    coerce: oneOf("--closer", CLOSERS),
    describe: "which end sends the first FIN",
  });
  return withCommonOptions(withSource(own))
    .example("$0 demo", "watch three segments open a connection and four close it")
    .example("$0 demo --closer kernel", "the server closes first, as HTTP/1.0 does: TIME-WAIT is on its side")
    .example("$0 demo --msl 5", "TIME-WAIT of 10 seconds")
    .example("$0 demo --json", "the same as JSON Lines")
    .epilogue(`The capture is written to rawtcp-demo.pcapng unless --pcap says otherwise. ${EXIT_HELP}`);
}

export function connectOptions(argv: Argv): Argv<ConnectOptions> {
  const own = argv
    .positional("host", { type: "string", demandOption: true, describe: "address or name" })
    .positional("port", { demandOption: true, coerce: wholeNumber("PORT", 1, 65_535), describe: "port, 1-65535" })
    .option("source-port", {
      group: COMMAND,
      requiresArg: true,
      coerce: wholeNumber("--source-port", 1, 65_535),
      describe: "source port (default: a free one, RFC 6056)",
    })
    .option("half-close", {
      group: COMMAND,
      type: "boolean",
      default: false,
      describe: "one direction may end long before the other: neither FIN limits what still comes or goes",
    })
    .option("abort", { group: COMMAND, type: "boolean", default: false, describe: "at the end of input send RST instead of FIN" })
    .option("timeout", {
      group: COMMAND,
      requiresArg: true,
      coerce: seconds("--timeout", 0.1, 3600),
      describe: "seconds until an unanswered SYN is given up (default 180)",
    })
    .option("fast-open", {
      group: TCP,
      type: "boolean",
      default: false,
      describe: "the first data goes with the SYN (RFC 7413); one connection before that fetches a cookie",
    })
    .option("data", {
      group: COMMAND,
      type: "string",
      requiresArg: true,
      coerce: words("--data", "text to send"),
      describe: "send this text first, then standard input",
    });
  // Argv knows the options by their names with dashes, the handler by their names in camel case.
  return withCommonOptions(withSource(own))
    .check(({ abort, halfClose }) => {
      if (abort && halfClose) throw new Error("--abort and --half-close exclude each other");
      return true;
    })
    .example("$0 connect localhost 8080", "talk to a server, watch the ladder on standard error")
    .example(
      "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | $0 connect localhost 8080 --half-close",
      "FIN after the request, then the answer",
    )
    .example("$0 connect localhost 8080 -q < file > answer", "only the data")
    .example("$0 connect localhost 8080 --pcap - -q < file | wireshark -k -i -", "live in Wireshark")
    .epilogue(
      `At the end of input our side closes with FIN. What the peer still sends is received until its own FIN, or until nothing has come for 10 s (--half-close: without limit). ${EXIT_HELP}`,
    ) as unknown as Argv<ConnectOptions>;
}

export function listenOptions(argv: Argv): Argv<ListenOptions> {
  const own = argv
    .positional("port", { demandOption: true, coerce: wholeNumber("PORT", 1, 65_535), describe: "port, 1-65535" })
    .option("bind", {
      group: COMMAND,
      alias: "source",
      type: "string",
      default: "127.0.0.1",
      requiresArg: true,
      coerce: ipAddress("--bind"),
      describe: "address to listen at; 0.0.0.0 needs --allow-remote",
    })
    .option("echo", { group: COMMAND, type: "boolean", default: false, describe: "send back what comes" })
    .option("exec", {
      group: COMMAND,
      type: "string",
      requiresArg: true,
      coerce: words("--exec", "command"),
      describe: "run a shell command for each connection, joined to its standard input and output",
    })
    .option("keep", {
      group: COMMAND,
      alias: "k",
      type: "boolean",
      default: false,
      describe: "go on after the first connection, until Ctrl-C",
    })
    .option("backlog", {
      group: COMMAND,
      default: 511,
      requiresArg: true,
      coerce: wholeNumber("--backlog", 1, 65_535),
      describe: "size of the accept queue",
    })
    .option("syn-backlog", {
      group: COMMAND,
      default: 1024,
      requiresArg: true,
      coerce: wholeNumber("--syn-backlog", 1, 1_000_000),
      describe: "size of the SYN queue",
    })
    .option("fast-open", {
      group: TCP,
      type: "boolean",
      default: false,
      describe: "grant cookies and take data with SYNs (RFC 7413)",
    });
  // As in connectOptions.
  return withCommonOptions(own)
    .check(({ echo, exec, bind, allowRemote }) => {
      if (echo && exec !== undefined) throw new Error("--echo and --exec exclude each other");
      if (tryParseAddress(bind)?.isUnspecified() && !allowRemote) {
        throw new Error(`--bind ${bind} takes connections from other hosts: add --allow-remote if you may do that`);
      }
      return true;
    })
    .example("$0 listen 8080 --echo --keep", "an echo server; try: ncat localhost 8080")
    .example(
      "$0 listen 8080 --exec 'printf \"HTTP/1.0 200 OK\\r\\n\\r\\nhello\\n\"' --keep",
      "answer curl http://localhost:8080/",
    )
    .example("$0 listen 8080 -q > file", "receive a file from ncat")
    .epilogue(
      `Without --echo and --exec the connection is joined to standard input and output. Ctrl-C is how --keep ends: exit code 0. ${EXIT_HELP}`,
    ) as unknown as Argv<ListenOptions>;
}

export function doctorOptions(argv: Argv): Argv<DoctorOptions> {
  return argv
    .option("json", { type: "boolean", default: false, describe: "one JSON object a line: name, ok, optional, detail, mend" })
    .example("$0 doctor", "each line says ok, or the command that mends it")
    .example("$0 doctor --json | jq -r 'select(.ok | not).mend'", "only the commands")
    .epilogue("Exit code 0 when everything needed is there (lines marked - are optional), else 7.");
}

/** Options without a value; yargs would take `--json=nonsense` for false without a word. */
const FLAGS =
  "half-close abort echo keep fast-open sack json nano quiet timestamps window-scaling nagle allow-remote simulated strict tolerant help version".split(
    " ",
  );

/** Options that may be given again. */
const REPEATED = ["--bend", "--option"];

/**
 * The words with all that were given to --bend, and to --option of `drill`, in one word each, a line for each: of other options the last
 * one counts, of these all do.
 */
export function gatherRepeated(words: readonly string[]): string[] {
  const values = new Map<string, string[]>();
  const rest: string[] = [];
  let i = 0;
  for (; i < words.length && words[i] !== "--"; i++) {
    const word = words[i] ?? "";
    const name = REPEATED.find((option) => word === option || word.startsWith(`${option}=`));
    const isLast = word === name && i + 1 === words.length;
    if (name === undefined || isLast) rest.push(word);
    else values.set(name, [...(values.get(name) ?? []), word === name ? (words[++i] ?? "") : word.slice(name.length + 1)]);
  }
  const gathered = [...values].map(([name, lines]) => `${name}=${lines.join("\n")}`);
  return [...rest, ...gathered, ...words.slice(i)];
}

/** What is wrong with a word of the command line that gives a flag a value, or undefined. `run` names a file with --json. */
export function flagMisuse(word: string, command = ""): string | undefined {
  if (command === "run" && word.startsWith("--json=")) return undefined;
  const [, name = "", value = ""] = /^--(?:no-)?([a-z-]+)=(.*)$/s.exec(word) ?? [];
  if (!FLAGS.includes(name) || value === "true" || value === "false") return undefined;
  return `--${name}: "${shown(value)}" is none of true, false; the option alone means true, --no-${name} false`;
}

/** The part of the options that a connection is made with. */
export function connectionConfig(options: CommonOptions): Partial<ConnectionConfig> {
  return {
    ...configOfChoices(options),
    mslUs: Math.round(options.msl * 1_000_000),
    timestamps: options.timestamps,
    windowScaling: options.windowScaling,
    noDelay: !options.nagle,
    finWait2Us: FIN_WAIT_2_US,
    ...(options.mss === undefined ? {} : { mssBytes: options.mss }),
    ...(options.window === undefined ? {} : { receiveBufferBytes: options.window }),
  };
}

/** The relay gives a connection up in FIN-WAIT-2 after a long silence of the peer; no need to wait a minute more. */
const FIN_WAIT_2_US = 1_000_000;

function withSource<T>(argv: Argv<T>): Argv<T & { source: string | undefined }> {
  return argv.option("source", {
    group: TCP,
    type: "string",
    requiresArg: true,
    coerce: ipAddress("--source"),
    describe: "source address (default: the kernel's choice)",
  });
}

/** Adds the shared options to a command. */
function withCommonOptions<T>(argv: Argv<T>): Argv<T & CommonOptions> {
  const common = withTcpChoices(argv, TCP)
    .option("mss", {
      group: TCP,
      requiresArg: true,
      coerce: wholeNumber("--mss", 48, 65_495),
      describe: "largest segment that we announce and send, bytes, 48-65495",
    })
    .option("window", {
      group: TCP,
      requiresArg: true,
      coerce: wholeNumber("--window", 1, 2 ** 30),
      describe: "receive buffer, hence the largest window, bytes",
    })
    .option("timestamps", {
      group: TCP,
      type: "boolean",
      default: true,
      describe: "offer timestamps (RFC 7323); --no-timestamps does not",
    })
    .option("window-scaling", {
      group: TCP,
      type: "boolean",
      default: true,
      describe: "offer window scaling; --no-window-scaling does not",
    })
    .option("nagle", {
      group: TCP,
      type: "boolean",
      default: true,
      describe: "gather small writes; --no-nagle sends each at once",
    })
    .option("json", { group: LOG, type: "boolean", default: false, describe: "log as JSON Lines, one event a line" })
    .option("log", {
      group: LOG,
      choices: LOGS,
      default: "ladder" as const,
      coerce: oneOf("--log", LOGS),
      describe: "how the log looks",
    })
    .option("pcap", {
      group: LOG,
      type: "string",
      requiresArg: true,
      coerce: words("--pcap", "file name"),
      describe: "write a pcapng file; - is standard output, for wireshark -k -i -",
    })
    .option("guard", {
      group: LINK,
      choices: GUARDS,
      default: "bpf" as const,
      coerce: oneOf("--guard", GUARDS),
      describe: "what keeps the kernel from sending RST for our ports",
    })
    .option("link", {
      group: LINK,
      choices: LINKS,
      default: "raw" as const,
      coerce: oneOf("--link", LINKS),
      describe: "raw sockets, or libpcap on the interface towards the peer",
    })
    .option("checksum", {
      group: LINK,
      choices: CHECKSUMS,
      default: "partial-ok" as const,
      coerce: oneOf("--checksum", CHECKSUMS),
      describe: "TCP checksums of what comes in; partial-ok takes those that offload left unfinished",
    })
    .option("msl", {
      group: TCP,
      default: 1,
      requiresArg: true,
      coerce: seconds("--msl", 0, 3600),
      describe: "maximum segment lifetime, seconds; TIME-WAIT lasts twice as long (RFC 9293: 120)",
    })
    .option("verbose", {
      group: LOG,
      alias: "v",
      type: "count",
      describe: "-v: all timers; -vv: all options of every segment too",
    })
    .option("quiet", { group: LOG, alias: "q", type: "boolean", default: false, describe: "no log" })
    .option("width", {
      group: LOG,
      requiresArg: true,
      coerce: wholeNumber("--width", 100, 160),
      describe: "columns of the ladder, 100-160 (default: the terminal's, else 120)",
    })
    .option("bend", {
      group: LINK,
      type: "string",
      requiresArg: true,
      coerce: bendRules,
      describe: "bend the session by a rule; may be given again: 'drop out ack 1', 'set out synack win=0', … (see the README)",
    })
    .option("bend-file", {
      group: LINK,
      type: "string",
      requiresArg: true,
      coerce: bendFile,
      describe: "bend the session by the rules of this file, one a line",
    })
    .option("allow-remote", { group: LINK, type: "boolean", default: false, describe: "allow peers beyond this host" });
  // yargs' types cannot follow a generic T through the chain.
  return common as unknown as Argv<T & CommonOptions>;
}

export function bendRules(typed: unknown): BendRule[] {
  if (typed === undefined) return [];
  try {
    return parseBend(String(typed));
  } catch (error) {
    throw new Error(`--bend: ${error instanceof Error ? error.message : String(error)}`);
  }
}

export function bendFile(typed: unknown): BendRule[] {
  if (typed === undefined) return [];
  try {
    return parseBend(readFileSync(String(typed), "utf8"));
  } catch (error) {
    throw new Error(`--bend-file ${String(typed)}: ${error instanceof Error ? error.message : String(error)}`);
  }
}
