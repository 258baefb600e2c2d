/** An exchange as one line, in the manner of tcpdump, of hping, or as JSON. */
import type { Exchange } from "../driver/send-receive.js";
import { nameIcmp } from "../wire/icmp.js";
import { IpPacket, PROTOCOL_TCP, parseIpPacket } from "../wire/ip-packet.js";
import { describePacket } from "../wire/print.js";
import { parseSegment, Segment } from "../wire/segment.js";
import { ACK, AE, CWR, ECE, FIN, PSH, RST, SYN, URG } from "../wire/tcp-flags.js";
import { decodeTcpOptions, formatTcpOptions } from "../wire/tcp-options.js";
import type { AnswerFormat } from "./send-options.js";

/** What an answer says, read once for all formats. */
export interface AnswerView {
  readonly from: string;
  readonly ttl: number;
  /** IP packet, bytes. */
  readonly length: number;
  readonly id: number;
  readonly dontFragment: boolean;
  readonly tcp: TcpAnswer | undefined;
  /** "time-exceeded", "port-unreachable"; "" for TCP. */
  readonly icmp: string;
}

export interface TcpAnswer {
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly flags: number;
  readonly seq: number;
  readonly ack: number;
  readonly window: number;
  readonly options: string;
  readonly payloadLength: number;
}

/** Reads an answer; undefined for what is no IP packet. */
export function viewAnswer(bytes: Uint8Array): AnswerView | undefined {
  if (parseIpPacket(packet, bytes, 0, bytes.length, false) !== "") return undefined;
  const { source, ttl, id, dontFragment, protocol, payloadOffset: at, payloadLength: size, version } = packet;
  const view = { from: source.toString(), ttl, length: at + size, id, dontFragment };
  if (protocol === PROTOCOL_TCP && parseSegment(segment, bytes, at, size) === "")
    return { ...view, tcp: tcpAnswer(bytes, at), icmp: "" };
  const icmp = size >= 2 ? nameIcmp(version, bytes[at] ?? 0, bytes[at + 1] ?? 0) : "";
  return { ...view, tcp: undefined, icmp };
}

/** The line for an exchange: with its answer, without one, or that it was not sent. */
export function formatExchange(exchange: Exchange, format: AnswerFormat): string {
  if (format === "json") return JSON.stringify(jsonExchange(exchange));
  const { answer, problem, sent } = exchange;
  if (answer !== undefined) return format === "hping" ? hpingLine(exchange, answer) : tcpdumpLine(exchange, answer);
  const ipOffset = Math.max(0, sent.ipOffset);
  const what = describePacket(sent.bytes, ipOffset, sent.bytes.length - ipOffset);
  return problem === "" ? `no answer: ${what}` : `not sent (${problem}): ${what}`;
}

/** hping's letters: "SA", "RA", "" for none. */
export function flagLetters(flags: number): string {
  return HPING_LETTERS.filter(([bit]) => (flags & bit) !== 0)
    .map(([, letter]) => letter)
    .join("");
}

/** "0.123", milliseconds. */
export function milliseconds(us: number): string {
  return (us / 1000).toFixed(us < 10_000 ? 3 : 1);
}

const HPING_LETTERS: readonly (readonly [number, string])[] = [
  [RST, "R"],
  [SYN, "S"],
  [ACK, "A"],
  [FIN, "F"],
  [PSH, "P"],
  [URG, "U"],
  [ECE, "X"],
  [CWR, "Y"],
  [AE, "N"],
];

const packet = new IpPacket();
const segment = new Segment();

function tcpAnswer(bytes: Uint8Array, at: number): TcpAnswer {
  const { sourcePort, destinationPort, flags, seq, ack, wnd: window, payloadOffset, payloadLength } = segment;
  const options = formatTcpOptions(decodeTcpOptions(bytes, at + 20, payloadOffset - at - 20));
  return { sourcePort, destinationPort, flags, seq, ack, window, options, payloadLength };
}

function tcpdumpLine(exchange: Exchange, answer: Uint8Array): string {
  const doubt = exchange.strength === "ports" ? ", acknowledges something else" : "";
  return `${describePacket(answer, 0, answer.length)}, rtt ${milliseconds(exchange.rttUs)} ms${doubt}`;
}

function hpingLine(exchange: Exchange, answer: Uint8Array): string {
  const view = viewAnswer(answer);
  if (view === undefined) return tcpdumpLine(exchange, answer);
  const { from, ttl, length, id, dontFragment, tcp } = view;
  const start = `len=${length} ip=${from} ttl=${ttl}${dontFragment ? " DF" : ""} id=${id}`;
  const end = `seq=${exchange.index} ${tcp === undefined ? "" : `win=${tcp.window} `}rtt=${(exchange.rttUs / 1000).toFixed(1)} ms`;
  if (tcp === undefined) return `ICMP ${view.icmp} from ip=${from} ${end}`;
  return `${start} sport=${tcp.sourcePort} flags=${flagLetters(tcp.flags)} ${end}`;
}

/** One object an exchange; numbers as they stand in the headers, `rtt` in milliseconds. */
function jsonExchange(exchange: Exchange): object {
  const { index, attempts, problem, answer, strength, rttUs, sent } = exchange;
  const ipOffset = Math.max(0, sent.ipOffset);
  const base = {
    type: "exchange",
    index,
    attempts,
    sent: describePacket(sent.bytes, ipOffset, sent.bytes.length - ipOffset),
    ...(problem === "" ? {} : { problem }),
  };
  if (answer === undefined) return { ...base, answer: null };
  const view = viewAnswer(answer);
  const tcp = view?.tcp === undefined ? undefined : { ...view.tcp, flags: flagLetters(view.tcp.flags) };
  return {
    ...base,
    rtt: rttUs / 1000,
    match: strength,
    answer: { ...view, ...(tcp === undefined ? {} : { tcp }), text: describePacket(answer, 0, answer.length) },
  };
}
