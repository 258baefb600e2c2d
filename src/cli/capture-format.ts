/** A captured packet for people (one line in tcpdump's manner, fields, hexadecimal) and for programs (JSON). */
import { craft } from "../craft/build.js";
import { dissect } from "../craft/dissect.js";
import type { CaptureInterface, CapturePacket } from "../pcapng/capture.js";
import { getU16 } from "../wire/bytes.js";
import { parseCapturedIp } from "../wire/captured-ip.js";
import { IpPacket, PROTOCOL_TCP } from "../wire/ip-packet.js";
import { decodeIpv4Header } from "../wire/ipv4.js";
import { type CookedDirection, LINKTYPE, LinkHeader, locateIp, readLinkHeader } from "../wire/link-layer.js";
import { describeFrame, describeLinkHeader } from "../wire/print-frame.js";
import { parseSegment, Segment } from "../wire/segment.js";
import { formatFlags } from "../wire/tcp-flags.js";
import { decodeTcpOptions, formatTcpOptions } from "../wire/tcp-options.js";
import type { CaptureOptions } from "./capture-options.js";
import { fieldLines } from "./print-packet.js";

/** What the formatting is chosen by. */
export type FormatOptions = Pick<CaptureOptions, "t" | "nano" | "number" | "verbose" | "e" | "x" | "X" | "A" | "q" | "json">;

/** A packet with what is known of its interface. */
export interface ShownPacket {
  /** From 1 on. */
  readonly number: number;
  readonly packet: CapturePacket;
  readonly from: CaptureInterface;
  /** The interface's name where it should be told, "" where it goes without saying. */
  readonly interfaceName: string;
}

/** Formats packet after packet: times may be shown as differences. */
export class CaptureFormat {
  readonly #options: FormatOptions;
  #firstNs: bigint | undefined;
  #lastNs: bigint | undefined;

  constructor(options: FormatOptions) {
    this.#options = options;
  }

  /** The lines for a packet, without line ends. Never throws, whatever the packet holds. */
  lines(shown: ShownPacket): string[] {
    const options = this.#options;
    if (options.json) return [JSON.stringify(jsonOf(shown))];
    const { packet, from } = shown;
    const { data, originalLength } = packet;
    const words: string[] = options.number ? [String(shown.number).padStart(5)] : [];
    if (options.t !== 1) words.push(this.#time(packet.timeNs));
    if (shown.interfaceName !== "") words.push(shown.interfaceName.padEnd(5));
    const direction = directionOf(packet, from);
    if (direction !== "") words.push(direction.padEnd(3));
    const link = options.e ? describeLinkHeader(data, 0, data.length, from.linkType, originalLength) : "";
    if (link !== "") words.push(`${link}:`);
    words.push(describeFrame(data, 0, data.length, from.linkType, originalLength, options.q));
    const lines = [words.join(" "), ...packet.comments.map((comment) => `\t; ${comment.replace(/\s*[\r\n]+\s*/g, " ")}`)];
    if (options.verbose > 0) lines.push(...fieldsOf(packet, from, options.e));
    const [hexCount, isAscii] = options.X > 0 ? [options.X, true] : [options.x, false];
    if (hexCount > 0) lines.push(...hexLines(hexCount > 1 ? data : withoutLink(packet, from), isAscii));
    if (options.A) lines.push(asciiOf(withoutLink(packet, from)));
    return lines;
  }

  #time(ns: bigint | null): string {
    if (ns === null) return "no time";
    const { t, nano } = this.#options;
    this.#firstNs ??= ns;
    const last = this.#lastNs ?? ns;
    this.#lastNs = ns;
    if (t === 2) return secondsOf(ns, nano);
    if (t === 3) return differenceOf(ns - last, nano);
    if (t >= 5) return differenceOf(ns - this.#firstNs, nano);
    const date = dateOf(ns);
    if (date === undefined) return secondsOf(ns, nano);
    const time = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${fractionOf(ns, nano)}`;
    if (t !== 4) return time;
    return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${time}`;
  }
}

/** "1700000000.123456", or with nine digits; rounded down as the kernel's stamps are. */
export function secondsOf(ns: bigint, nano: boolean): string {
  const seconds = ns / BILLION - (ns < 0n && ns % BILLION !== 0n ? 1n : 0n);
  return `${seconds}.${fractionOf(ns, nano)}`;
}

/** tcpdump's rows: "\t0x0000:  4500 003c …  E..<". */
export function hexLines(bytes: Uint8Array, isAscii: boolean): string[] {
  const lines: string[] = [];
  for (let at = 0; at < bytes.length; at += 16) {
    const row = bytes.subarray(at, at + 16);
    let hex = "";
    for (let i = 0; i < row.length; i++) hex += (i > 0 && i % 2 === 0 ? " " : "") + (row[i] ?? 0).toString(16).padStart(2, "0");
    const start = `\t0x${at.toString(16).padStart(4, "0")}:  ${hex}`;
    lines.push(isAscii ? `${start.padEnd(51)} ${printable(row)}` : start);
  }
  return lines;
}

const BILLION = 1_000_000_000n;

const link = new LinkHeader();
const ip = new IpPacket();
const segment = new Segment();

/** tcpdump's words. */
const COOKED: Readonly<Record<CookedDirection, string>> = {
  "": "",
  "to us": "In",
  broadcast: "B",
  multicast: "M",
  "to others": "P",
  "from us": "Out",
};

function directionOf(packet: CapturePacket, from: CaptureInterface): string {
  if (packet.direction !== null) return packet.direction === "inbound" ? "In" : "Out";
  const { linkType } = from;
  if (linkType !== LINKTYPE.LINUX_SLL && linkType !== LINKTYPE.LINUX_SLL2) return "";
  return readLinkHeader(link, packet.data, 0, packet.data.length, linkType) === "" ? COOKED[link.direction] : "";
}

/** Each header field by field: from the IP header on, or with the Ethernet header where that is asked for. */
function fieldsOf(packet: CapturePacket, from: CaptureInterface, withLink: boolean): string[] {
  const { data } = packet;
  const start = withLink && from.linkType === LINKTYPE.ETHERNET ? 0 : locateIp(data, 0, data.length, from.linkType);
  if (start < 0) return [];
  try {
    const spec = dissect(
      data,
      start,
      data.length - start,
      withLink && start === 0 && from.linkType === LINKTYPE.ETHERNET ? "ethernet" : "ip",
    );
    return fieldLines(spec, craft(spec), "");
  } catch (error) {
    return [`  fields cannot be told: ${error instanceof Error ? error.message : String(error)}`];
  }
}

function withoutLink(packet: CapturePacket, from: CaptureInterface): Uint8Array {
  const { data } = packet;
  return readLinkHeader(link, data, 0, data.length, from.linkType) === "" ? data.subarray(link.payloadOffset) : data;
}

function jsonOf({ number, packet, from, interfaceName }: ShownPacket): object {
  const { data, originalLength, timeNs, comments } = packet;
  const { linkType } = from;
  const direction = directionOf(packet, from);
  const at = locateIp(data, 0, data.length, linkType);
  const problem = readLinkHeader(link, data, 0, data.length, linkType);
  return {
    type: "packet",
    number,
    time: timeNs === null ? null : secondsOf(timeNs, true),
    ...(interfaceName === "" && from.name === "" ? {} : { interface: interfaceName === "" ? from.name : interfaceName }),
    ...(direction === "" ? {} : { direction }),
    linkType,
    length: originalLength,
    captured: data.length,
    ...(problem === "" && link.vlanCount > 0 ? { vlans: [...link.vlans.subarray(0, link.vlanCount)] } : {}),
    ...(at < 0 ? {} : ipOf(data, at, originalLength - at)),
    ...(comments.length === 0 ? {} : { comments }),
    text: describeFrame(data, 0, data.length, linkType, originalLength),
  };
}

function ipOf(data: Uint8Array, at: number, wireLength: number): object {
  const problem = parseCapturedIp(ip, data, at, data.length - at, Math.max(wireLength, data.length - at));
  if (problem === "IP fragment") return fragmentOf(data, at);
  if (problem !== "") return { problem };
  const { version, protocol, ttl, tos, id, dontFragment, payloadOffset, payloadLength } = ip;
  const header = {
    version,
    source: String(ip.source),
    destination: String(ip.destination),
    protocol,
    ttl,
    tos,
    id,
    dontFragment,
  };
  const captured = data.length - payloadOffset;
  if (protocol === PROTOCOL_TCP && captured >= 20) return { ip: header, ...tcpOf(data, payloadOffset, payloadLength) };
  if (protocol === PROTOCOL_UDP && captured >= 8 && payloadLength >= 8) {
    const udp = {
      sourcePort: getU16(data, payloadOffset),
      destinationPort: getU16(data, payloadOffset + 2),
      payloadLength: payloadLength - 8,
    };
    return { ip: header, udp };
  }
  return { ip: header, payloadLength };
}

const PROTOCOL_UDP = 17;

/** Where a fragment stands in its packet; in IPv4 only, in whose header that is told. */
function fragmentOf(data: Uint8Array, at: number): object {
  const header = decodeIpv4Header(data, at, data.length - at);
  if (typeof header === "string") return { problem: "IP fragment" };
  const { version, source, destination, protocol, ttl, tos, id, dontFragment } = header;
  const fragment = { offset: 8 * header.fragmentOffset, more: header.moreFragments, length: header.totalLength - 4 * header.ihl };
  return {
    ip: { version, source: String(source), destination: String(destination), protocol, ttl, tos, id, dontFragment },
    fragment,
  };
}

function tcpOf(data: Uint8Array, at: number, size: number): object {
  if (parseSegment(segment, data, at, size) !== "") return { payloadLength: size };
  const { sourcePort, destinationPort, seq, ack, flags, wnd: window, up: urgent, payloadLength, payloadOffset } = segment;
  const optionBytes = Math.min(payloadOffset, data.length) - at - 20;
  const options = formatTcpOptions(decodeTcpOptions(data, at + 20, optionBytes));
  return { tcp: { sourcePort, destinationPort, seq, ack, flags: formatFlags(flags), window, urgent, options, payloadLength } };
}

/** Undefined for a time that the calendar does not hold. */
function dateOf(ns: bigint): Date | undefined {
  const date = new Date(Number(ns / 1_000_000n));
  return Number.isNaN(date.getTime()) ? undefined : date;
}

function differenceOf(ns: bigint, nano: boolean): string {
  const size = ns < 0n ? -ns : ns;
  const seconds = size / BILLION;
  const clock = [seconds / 3600n, (seconds / 60n) % 60n, seconds % 60n].map((part) => String(part).padStart(2, "0")).join(":");
  return `${ns < 0n ? "-" : " "}${clock}.${fractionOf(size, nano)}`;
}

function fractionOf(ns: bigint, nano: boolean): string {
  const digits = (((ns % BILLION) + BILLION) % BILLION).toString().padStart(9, "0");
  return nano ? digits : digits.slice(0, 6);
}

function two(value: number): string {
  return String(value).padStart(2, "0");
}

function printable(row: Uint8Array): string {
  return Array.from(row, (byte) => (byte > 0x20 && byte < 0x7f ? String.fromCharCode(byte) : ".")).join("");
}

/** Line ends and tabs stay as they are. */
function asciiOf(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) =>
    (byte >= 0x20 && byte < 0x7f) || byte === 0x0a || byte === 0x09 ? String.fromCharCode(byte) : ".",
  ).join("");
}
