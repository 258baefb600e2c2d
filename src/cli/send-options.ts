/** What `rawtcp send` takes from the command line: hping's and nping's habits. */
import type { Argv } from "yargs";
import { parseFlags } from "../craft/flags-text.js";
import { parseIpOptions } from "../craft/ip-options-text.js";
import { parseTcpOptions } from "../craft/options-text.js";
import { parseHex } from "../wire/bytes.js";
import { EXIT_HELP } from "./exit-codes.js";
import { type PortPlan, parsePorts } from "./port-plan.js";
import { ipAddress, oneOf, shown, wholeNumber, words } from "./values.js";

export type AnswerFormat = "tcpdump" | "hping" | "json";

export interface SendOptions {
  host: string;
  S: boolean;
  A: boolean;
  F: boolean;
  R: boolean;
  P: boolean;
  U: boolean;
  ece: boolean;
  cwr: boolean;
  ae: boolean;
  flags: number | undefined;
  destPort: PortPlan | undefined;
  sourcePort: PortPlan | undefined;
  sourceIp: string | undefined;
  seq: number | undefined;
  ackNum: number | undefined;
  win: number | undefined;
  dataOffset: number | undefined;
  urgptr: number | undefined;
  reserved: number | undefined;
  tcpOptions: Uint8Array | undefined;
  mss: number | undefined;
  wscale: number | undefined;
  sackOk: boolean;
  timestamp: string | undefined;
  ttl: number | undefined;
  id: number | undefined;
  tos: number | undefined;
  df: boolean;
  mf: boolean;
  fragOffset: number | undefined;
  mtu: number | undefined;
  ipOptions: Uint8Array | undefined;
  badsum: boolean;
  badsumIp: boolean;
  /** Bytes. */
  data: number | undefined;
  dataString: string | undefined;
  dataHex: Uint8Array | undefined;
  dataFile: string | undefined;
  /** Rounds; 0 is without end. */
  count: number;
  /** Microseconds. */
  interval: number | undefined;
  /** Packets a second. */
  rate: number | undefined;
  /** Seconds. */
  timeout: number;
  retries: number;
  Q: boolean;
  traceroute: boolean;
  maxTtl: number;
  scan: PortPlan | undefined;
  format: AnswerFormat;
  pcap: string | undefined;
  print: boolean;
  template: string | undefined;
  reset: boolean;
  guard: "bpf" | "nft" | "iptables" | "none";
  verbose: number;
  quiet: boolean;
  allowRemote: boolean;
}

const FORMATS: readonly AnswerFormat[] = ["tcpdump", "hping", "json"];
const GUARDS = ["bpf", "nft", "iptables", "none"] as const;

const FLAGS = "TCP flags (SYN when none is given):";
const HEADER = "TCP header:";
const IP = "IP header:";
const DATA = "Data:";
const PACE = "How often:";
const MODE = "Modes:";
const OUTPUT = "Output:";

export function sendOptions(argv: Argv): Argv<SendOptions> {
  const flag = (name: string, group: string, describe: string) => ({
    [name]: { group, type: "boolean", default: false, describe } as const,
  });
  const number = (name: string, group: string, least: number, most: number, describe: string, alias?: string) => ({
    [name]: {
      group,
      requiresArg: true,
      coerce: anyNumber(`--${name}`, least, most),
      describe,
      ...(alias === undefined ? {} : { alias }),
    } as const,
  });
  return argv
    .positional("host", { type: "string", demandOption: true, describe: "address or name" })
    .options({
      ...flag("S", FLAGS, "SYN"),
      ...flag("A", FLAGS, "ACK"),
      ...flag("F", FLAGS, "FIN"),
      ...flag("R", FLAGS, "RST"),
      ...flag("P", FLAGS, "PSH"),
      ...flag("U", FLAGS, "URG"),
      ...flag("ece", FLAGS, "ECE"),
      ...flag("cwr", FLAGS, "CWR"),
      ...flag("ae", FLAGS, "AE"),
      flags: {
        group: FLAGS,
        type: "string",
        requiresArg: true,
        coerce: asked("--flags", parseFlags),
        describe: "all at once: SA, syn,ack, none, 0x12",
      },
      "dest-port": {
        group: HEADER,
        alias: "p",
        type: "string",
        requiresArg: true,
        coerce: ports("--dest-port"),
        describe: "22,80,8000-8010, or ++80: one more with each packet (default 80)",
      },
      "source-port": {
        group: HEADER,
        alias: "s",
        type: "string",
        requiresArg: true,
        coerce: ports("--source-port"),
        describe: "as --dest-port (default: a free one, held)",
      },
      ...number("seq", HEADER, 0, 0xffff_ffff, "sequence number (default: random)"),
      ...number("ack-num", HEADER, 0, 0xffff_ffff, "acknowledgment number (default: random with -A, else 0)"),
      ...number("win", HEADER, 0, 0xffff, "window field (default 64240)", "w"),
      ...number("data-offset", HEADER, 0, 15, "header length in words, right or wrong"),
      ...number("urgptr", HEADER, 0, 0xffff, "urgent pointer"),
      ...number("reserved", HEADER, 0, 7, "the three reserved bits"),
      "tcp-options": {
        group: HEADER,
        type: "string",
        requiresArg: true,
        coerce: asked("--tcp-options", (text) => parseTcpOptions(text).bytes),
        describe: "mss=1460,sackok,ts=1:0,nop,wscale=7; nmap's M5B4NNSNW7; or 0x…",
      },
      ...number("mss", HEADER, 0, 0xffff, "MSS option"),
      ...number("wscale", HEADER, 0, 255, "window scale option"),
      ...flag("sack-ok", HEADER, "SACK-permitted option"),
      timestamp: { group: HEADER, type: "string", coerce: timestamps, describe: "timestamps option, VALUE[:ECHO] (default 1:0)" },
      ...flag("badsum", HEADER, "a wrong TCP checksum"),
      "source-ip": {
        group: IP,
        type: "string",
        requiresArg: true,
        coerce: ipAddress("--source-ip"),
        describe: "source address (default: the kernel's choice)",
      },
      ...number("ttl", IP, 0, 255, "TTL or hop limit (default 64)", "t"),
      ...number("id", IP, 0, 0xffff, "identification (default 1)", "N"),
      ...number("tos", IP, 0, 255, "TOS or traffic class: DSCP and ECN", "o"),
      ...flag("df", IP, "do not fragment"),
      ...flag("mf", IP, "more fragments"),
      ...number("frag-offset", IP, 0, 0x1fff, "fragment offset in units of 8 bytes"),
      ...number("mtu", IP, 28, 65_535, "cut each packet into fragments of this many bytes"),
      "ip-options": {
        group: IP,
        type: "string",
        requiresArg: true,
        coerce: asked("--ip-options", parseIpOptions),
        describe: "rr, ts, ra, lsrr=10.0.0.1/10.0.0.2, ssrr=…, nop, or 0x…",
      },
      ...flag("badsum-ip", IP, "a wrong IP checksum, by the link layer"),
      ...number("data", DATA, 0, 65_495, "so many bytes of X", "d"),
      "data-string": { group: DATA, type: "string", requiresArg: true, describe: "this text" },
      "data-hex": {
        group: DATA,
        type: "string",
        requiresArg: true,
        coerce: asked("--data-hex", hexBytes),
        describe: "these bytes, as hexadecimal digits",
      },
      "data-file": {
        group: DATA,
        alias: "E",
        type: "string",
        requiresArg: true,
        coerce: words("--data-file", "file name"),
        describe: "what is in this file",
      },
      count: {
        group: PACE,
        alias: "c",
        default: 1,
        requiresArg: true,
        coerce: wholeNumber("--count", 0, 1e9),
        describe: "how often each packet is sent; 0 is until Ctrl-C",
      },
      interval: {
        group: PACE,
        alias: "i",
        type: "string",
        requiresArg: true,
        coerce: interval,
        describe: "between two packets: seconds, or u1000 for microseconds (default 1 with --count above 1)",
      },
      ...number("rate", PACE, 1, 1_000_000, "packets a second, instead of --interval"),
      timeout: {
        group: PACE,
        default: 1,
        requiresArg: true,
        coerce: positiveSeconds,
        describe: "seconds that an answer may take",
      },
      ...number("retries", PACE, 0, 100, "how often a packet without an answer is sent again (default 0, with --scan 1)"),
      ...flag("Q", MODE, "show the sequence numbers of the answers and how they differ"),
      ...flag("traceroute", MODE, "TTL 1, 2, 3 …: who answers on the way"),
      ...number("max-ttl", MODE, 1, 255, "where --traceroute gives up (default 30)"),
      scan: {
        group: MODE,
        type: "string",
        requiresArg: true,
        coerce: ports("--scan"),
        describe: "a SYN to each port: open, closed or filtered",
      },
      ...flag("print", MODE, "show the bytes field by field, send nothing"),
      template: {
        group: MODE,
        type: "string",
        requiresArg: true,
        coerce: words("--template", "file name"),
        describe: "a packet in YAML or JSON; other options overrule it",
      },
      format: {
        group: OUTPUT,
        choices: FORMATS,
        default: "tcpdump" as const,
        coerce: oneOf("--format", FORMATS),
        describe: "how an answer looks",
      },
      pcap: {
        group: OUTPUT,
        type: "string",
        requiresArg: true,
        coerce: words("--pcap", "file name"),
        describe: "write what was sent and what answered to a pcapng file",
      },
      verbose: { group: OUTPUT, alias: "v", type: "count", describe: "tell of packets without an answer too" },
      quiet: { group: OUTPUT, alias: "q", type: "boolean", default: false, describe: "the statistics only" },
      reset: {
        group: MODE,
        type: "boolean",
        default: true,
        describe: "answer a SYN-ACK with RST; --no-reset leaves the peer half-open",
      },
      guard: {
        group: MODE,
        choices: GUARDS,
        default: "bpf" as const,
        coerce: oneOf("--guard", GUARDS),
        describe: "what keeps the kernel from answering for our ports",
      },
      "allow-remote": {
        group: MODE,
        type: "boolean",
        default: false,
        describe: "allow targets beyond this host and its namespaces",
      },
    })
    .alias("badsum", "b")
    .check((given) => {
      exclusive(given, ["data", "dataString", "dataHex", "dataFile"]);
      exclusive(given, ["interval", "rate"]);
      if (given["traceroute"] === true && given["scan"] !== undefined)
        throw new Error("--traceroute and --scan exclude each other");
      return true;
    })
    .example("$0 send localhost -S -p 80", "is the port open?")
    .example("$0 send localhost --scan 1-1024", "which ports are?")
    .example("$0 send localhost -A -p 80 --seq 7 --ack-num 9 -w 0", "an ACK out of the blue: the RST takes its number from ours")
    .example("$0 send localhost -p 80 --tcp-options M5B4NNSNW7 --print", "what would be sent, bit by bit")
    .example("$0 send localhost -p 80 -c 5 -i u1000 -Q", "five SYNs, a millisecond apart, and the peer's sequence numbers")
    .example("$0 send localhost -p 80 -b", "a wrong TCP checksum: no answer")
    .epilogue(
      `Targets: this host's addresses and network namespaces; others need --allow-remote. Foreign source addresses and more than 10,000 packets a second go to loopback and own namespaces only. Exit code 0 when something answered, 1 when nothing did. ${EXIT_HELP}`,
    ) as unknown as Argv<SendOptions>;
}

/** Reads with a parser of `craft`, whose message says what is wrong with the text. */
function asked<T>(name: string, parse: (text: string) => T): (typed: unknown) => T | undefined {
  return (typed) => {
    if (typed === undefined) return undefined;
    try {
      return parse(String(typed));
    } catch (error) {
      throw new Error(`${name}: ${error instanceof Error ? error.message : String(error)}`);
    }
  };
}

function ports(name: string): (typed: unknown) => PortPlan | undefined {
  return asked(name, parsePorts);
}

/** A whole number, decimal or as 0x…. */
function anyNumber(name: string, least: number, most: number): (typed: unknown) => number | undefined {
  return (typed) => {
    if (typed === undefined) return undefined;
    const value = /^(?:\d+|0x[0-9a-f]+)$/i.test(String(typed)) ? Number(typed) : Number.NaN;
    if (value >= least && value <= most) return value;
    throw new Error(`${name}: "${shown(typed)}" is not a whole number from ${least} to ${most}`);
  };
}

/** hping's u1000, or seconds; in microseconds. */
function interval(typed: unknown): number | undefined {
  if (typed === undefined) return undefined;
  const [, micro = "", amount = ""] = /^(u?)(\d+(?:\.\d*)?|\.\d+)$/.exec(String(typed)) ?? [];
  const value = Number(amount) * (micro === "u" ? 1 : 1_000_000);
  if (amount !== "" && value <= 3600e6) return value;
  throw new Error(`--interval: "${shown(typed)}" is neither seconds nor u and microseconds, at most an hour`);
}

function positiveSeconds(typed: unknown): number {
  const value = /^\d+(\.\d*)?$|^\.\d+$/.test(String(typed)) ? Number(typed) : Number.NaN;
  if (value >= 0.001 && value <= 3600) return value;
  throw new Error(`--timeout: "${shown(typed)}" is not a number of seconds from 0.001 to 3600`);
}

function timestamps(typed: unknown): string | undefined {
  if (typed === undefined) return undefined;
  const text = typed === "" || typed === true ? "1:0" : String(typed);
  if (/^\d+(?::\d+)?$/.test(text)) return text;
  throw new Error(`--timestamp: "${shown(typed)}" is not VALUE or VALUE:ECHO`);
}

function hexBytes(text: string): Uint8Array {
  const bytes = parseHex(text);
  if (bytes === undefined) throw new Error(`"${shown(text)}" is not pairs of hexadecimal digits`);
  return bytes;
}

function exclusive(given: Readonly<Record<string, unknown>>, names: readonly string[]): void {
  const used = names.filter((name) => given[name] !== undefined);
  if (used.length < 2) return;
  throw new Error(
    `${used.map((name) => `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`).join(" and ")} exclude each other`,
  );
}
