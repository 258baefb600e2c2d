/** Packets as scripts write them: `< S 0:0(0) win 32792 <mss 1460,sackOK>`, `> [ect0] P. 1:1001(1000) ack 1`, `< icmp unreachable …`. */
import { parseHex } from "../wire/bytes.js";
import { ACK, AE, CWR, ECE, FIN, PSH, RST, SYN, URG } from "../wire/tcp-flags.js";
import type { Action, IcmpQuote, IpMarks, PacketDirection, PacketEvent, PacketOption } from "./ast.js";
import type { Scanner } from "./scanner.js";

export function isPacketStart(scanner: Scanner): boolean {
  return scanner.looksAt(/[<>]/y);
}

/** Reads a packet. Throws ScriptSyntaxError. */
export function parsePacket(scanner: Scanner): Action {
  const direction: PacketDirection = scanner.expect(/[<>]/y, '"<" or ">"')[0] === "<" ? "in" : "out";
  const ip = readMarks(scanner);
  const quoted = scanner.looksAt(/\[/y) ? readQuote(scanner) : undefined;
  if (typeof quoted === "string") return unsupportedLine(scanner, quoted);
  if (quoted !== undefined || scanner.looksAt(/icmp(?:v6)?\b/y)) return readIcmp(scanner, direction, ip, quoted);
  if (scanner.looksAt(/udp\b/y)) return readUdp(scanner, direction, ip);
  const other = scanner.accept(/(sctp|udplite|gre|GREv0|mpls|ipv4|ipv6|raw|psp)\b/y);
  if (other !== undefined) return unsupportedLine(scanner, `${other[1]} packets`);
  return readTcp(scanner, direction, ip);
}

/** What goes on over several lines within brackets is one packet. */
function unsupportedLine(scanner: Scanner, feature: string): Action {
  let depth = 0;
  while (scanner.at < scanner.text.length) {
    const letter = scanner.text[scanner.at] ?? "";
    if (letter === "[" || letter === "{") depth++;
    if (letter === "]" || letter === "}") depth--;
    if (letter === "\n" && depth <= 0) break;
    scanner.at++;
  }
  return { kind: "unsupported", feature };
}

const U32 = 0xffff_ffff;
const ECN_MARKS = { noecn: 0, ect1: 1, ect0: 2, ce: 3, ect01: "ect01" } as const;

/** `[ect0]`, `(tos 0x10)`, `(ttl 5)`, `(tos 0x10, flowlabel 0x1)`: either bracket, and several of them. */
function readMarks(scanner: Scanner): IpMarks {
  let marks: IpMarks = {};
  while (scanner.looksAt(/[[(]\s*(?:noecn|ect01|ect0|ect1|ce|tos|tclass|ttl|hlim|flowlabel)\b/y)) {
    const end = scanner.expect(/[[(]/y, '"[" or "("')[0] === "[" ? /\]/y : /\)/y;
    for (;;) {
      marks = { ...marks, ...readMark(scanner) };
      if (scanner.accept(end) !== undefined) break;
      scanner.expect(/,/y, '"," or the closing bracket');
    }
  }
  return marks;
}

function readMark(scanner: Scanner): IpMarks {
  const ecn = scanner.accept(/(noecn|ect01|ect0|ect1|ce)\b/y)?.[1] as keyof typeof ECN_MARKS | undefined;
  if (ecn !== undefined) return { ecn: ECN_MARKS[ecn] };
  const [, name, value] = scanner.expect(
    /(tos|tclass|ttl|hlim|flowlabel)\s+(0x[\da-fA-F]+|\d+)/y,
    "tos, ttl, hlim, flowlabel or a mark of ECN",
  );
  const most = name === "flowlabel" ? 0xf_ffff : 0xff;
  const number = scanner.number(value ?? "0", most, name ?? "");
  if (name === "tos" || name === "tclass") return { tos: number };
  return name === "flowlabel" ? { flowLabel: number } : { ttl: number };
}

const FLAGS: Readonly<Record<string, number>> = {
  F: FIN,
  S: SYN,
  R: RST,
  P: PSH,
  ".": ACK,
  U: URG,
  E: ECE,
  W: CWR,
  A: AE,
};

/** `1234 > 80`: ports that are not those of the connection. */
function readPorts(scanner: Scanner): PacketEvent["ports"] {
  const ports = scanner.accept(/(\d+)\s*>\s*(\d+)(?=\s|\()/y);
  if (ports === undefined) return undefined;
  const [source, destination] = [1, 2].map((at) => scanner.number(ports[at] ?? "0", 0xffff, "a port"));
  return { source: source ?? 0, destination: destination ?? 0 };
}

/** `udp (1000)`. */
function readUdp(scanner: Scanner, direction: PacketDirection, ip: IpMarks): Action {
  scanner.expect(/udp/y, "udp");
  const ports = readPorts(scanner);
  const [, length] = scanner.expect(/\(\s*(\d+)\s*\)/y, "the length of the payload, such as (1000)");
  const bytes = scanner.number(length ?? "0", 0xffff, "a length");
  return { kind: "udp", udp: { direction, ip, ...(ports === undefined ? {} : { ports }), length: bytes } };
}

function readTcp(scanner: Scanner, direction: PacketDirection, ip: IpMarks): Action {
  const ports = readPorts(scanner);
  const [letters] = scanner.expect(/[FSRPUEWA.\d,]+(?=\s|$)|-(?=\s|$)/y, "flags, such as S, S., P. or - for none");
  let flags = 0;
  for (const letter of letters) {
    // The count of accurate ECN stands in the three bits AE, CWR and ECE (RFC 9768 §3.2.2).
    if (/[0-7]/.test(letter)) {
      const count = Number(letter);
      flags |= ((count & 4) !== 0 ? AE : 0) | ((count & 2) !== 0 ? CWR : 0) | ((count & 1) !== 0 ? ECE : 0);
    } else flags |= FLAGS[letter] ?? 0;
  }
  const [, start = "", end, size, mark] = scanner.expect(
    /(\d+|\.\.\.)(?:\s*:\s*(\d+))?\s*\(\s*(\d+)\s*\)(!)?/y,
    "sequence numbers as start:end(length), such as 1:1001(1000)",
  );
  const seqRule = start === "..." ? "any" : mark === "!" ? "absolute" : undefined;
  const seq = start === "..." ? 0 : scanner.number(start, U32, "a sequence number");
  const length = scanner.number(size ?? "0", 0xffff, "a length");
  if (end !== undefined && (seq + length) % 2 ** 32 !== Number(end) % 2 ** 32)
    throw scanner.error(`${start}:${end}(${size}): the length is not the distance`, scanner.at - 1);
  const field = (pattern: RegExp, most: number, what: string): number | null => {
    const digits = scanner.accept(pattern)?.[1];
    return digits === undefined ? null : scanner.number(digits, most, what);
  };
  const ack = field(/ack\s+(\d+)/y, U32, "an acknowledgment number");
  const window = field(/win\s+(\d+)/y, 0xffff, "a window");
  const urgent = field(/urg\s+(\d+)/y, 0xffff, "an urgent pointer");
  const options = readOptions(scanner);
  if (typeof options === "string") return { kind: "unsupported", feature: `the TCP option ${options}` };
  if (scanner.accept(/\/\s*udp\s*\(\s*\d+\s*>\s*\d+\s*\)/y) !== undefined) return { kind: "unsupported", feature: "TCP in UDP" };
  if (scanner.accept(/\{[^}]*\}/y) !== undefined) return { kind: "unsupported", feature: "mutated packets" };
  return {
    kind: "packet",
    packet: {
      direction,
      ip,
      ...(ports === undefined ? {} : { ports }),
      flags,
      seq: seq >>> 0,
      ...(seqRule === undefined ? {} : { seqRule }),
      length,
      ack,
      window,
      urgent,
      options,
    },
  };
}

/** Null for any; the name of one that we do not have. */
function readOptions(scanner: Scanner): PacketOption[] | null | string {
  // `<` may also begin a packet of the next event, but then its time would stand before it.
  if (scanner.accept(/</y) === undefined) return [];
  if (scanner.accept(/\.\.\.\s*>/y) !== undefined) return null;
  const options: PacketOption[] = [];
  for (;;) {
    const foreign = scanner.accept(/(mp_?\w+|dss|add_addr\w*|remove_addr\w*|tcp-?ao\w*|AO|psp)\b[^>]*>/iy)?.[1];
    if (foreign !== undefined) return foreign;
    options.push(readOption(scanner));
    if (scanner.accept(/>/y) !== undefined) return options;
    scanner.expect(/,/y, '"," or ">"');
  }
}

function readOption(scanner: Scanner): PacketOption {
  const simple = scanner.accept(/(nop|NOP|eol|EOL|sackOK|sackok)\b/y)?.[1]?.toLowerCase();
  if (simple === "nop") return { kind: "nop" };
  if (simple === "eol") return { kind: "eol" };
  if (simple === "sackok") return { kind: "sack-permitted" };
  const mss = scanner.accept(/mss\s+(\d+)/y);
  if (mss !== undefined) return { kind: "mss", mss: scanner.number(mss[1] ?? "0", 0xffff, "mss") };
  if (scanner.accept(/wscale\s+\*/y) !== undefined) return { kind: "any-scale" };
  const shift = scanner.accept(/wscale\s+(\d+)/y);
  if (shift !== undefined) return { kind: "window-scale", shift: scanner.number(shift[1] ?? "0", 0xff, "wscale") };
  const ts = scanner.accept(/(?:TS|ts)(?:\s+val\s+(\d+|\.+))?(?:\s+ecr\s+(\d+|\.+)(!)?)?/y);
  if (ts !== undefined)
    return {
      kind: "ts",
      val: stamp(scanner, ts[1]),
      ecr: stamp(scanner, ts[2]),
      ...(ts[3] === undefined ? {} : { isAbsolute: true }),
    };
  if (scanner.accept(/sack\b/y) !== undefined) {
    const blocks = [];
    for (let block = scanner.accept(BLOCK); block !== undefined; block = scanner.accept(BLOCK))
      blocks.push({
        left: scanner.number(block[1] ?? "", U32, "an edge"),
        right: scanner.number(block[2] ?? "", U32, "an edge"),
      });
    return { kind: "sack", blocks };
  }
  const cookie = scanner.accept(/(FOEXP|EXP-FO|FO)\b\s*([\da-fA-F]*)(?!\w)/y);
  if (cookie !== undefined) {
    const bytes = parseHex(cookie[2] ?? "") ?? new Uint8Array(0);
    if (cookie[1] === "FO") return { kind: "fast-open", cookie: bytes };
    return { kind: "unknown", number: 254, data: new Uint8Array([0xf9, 0x89, ...bytes]) };
  }
  const md5 = scanner.accept(/md5\b\s*([\da-fA-F]*)/y);
  if (md5 !== undefined) return { kind: "md5", digest: parseHex(md5[1] ?? "") ?? new Uint8Array(0) };
  const counters = scanner.accept(
    /(exp-)?(?:ECN|AccECN|accecn)([01]?)\b((?:\s+e{1,2}(?:0b|ceb|1b)\s+\d+|\s+(?:ceb|e0b|e1b)\s+\d+)*)/iy,
  );
  if (counters !== undefined) return accurateEcn(counters[3] ?? "", counters[2] ?? "", counters[1] !== undefined);
  if (scanner.accept(/exp-tarr\b/y) !== undefined) {
    const rate = scanner.accept(/\d+/y)?.[0];
    return { kind: "unknown", number: 254, data: Uint8Array.of(0, 0xac, ...(rate === undefined ? [] : [Number(rate) << 1])) };
  }
  const experimental = scanner.accept(/exp-([\da-fA-F]{4})\b\s*([\da-fA-F]*)/y);
  if (experimental !== undefined) {
    const data = parseHex(`${experimental[1]}${experimental[2]}`) ?? new Uint8Array(0);
    return { kind: "unknown", number: 254, data };
  }
  const unknown = scanner.accept(/(?:unknown-|gen-)?(\d+)\b\s*(?:0x)?([\da-fA-F]*)/y);
  if (unknown !== undefined)
    return {
      kind: "unknown",
      number: scanner.number(unknown[1] ?? "0", 0xff, "an option"),
      data: parseHex(unknown[2] ?? "") ?? new Uint8Array(0),
    };
  scanner.expect(/(?!)/y, "an option: mss, sackOK, wscale, TS, sack, nop, eol, FO, FOEXP, md5 or AccECN");
  return { kind: "nop" };
}

const BLOCK = /(\d+)\s*:\s*(\d+)/y;

function stamp(scanner: Scanner, text: string | undefined): number | null {
  return text === undefined || text.startsWith(".") ? null : scanner.number(text, U32, "a timestamp");
}

/**
 * `order` or else the order of the fields says which of the two forms it is (RFC 9768 §3.2.3). The experimental form has the kind 254 and
 * a number of its own.
 */
function accurateEcn(text: string, order: string, isExperimental: boolean): PacketOption {
  const fields = [...text.toLowerCase().matchAll(/(0b|ceb|1b)\s+(\d+)/g)];
  const counters = fields.map(([, , value]) => Number(value));
  // The first field tells the order; without any it is the one that Linux sends.
  const isFirst = order === "" ? fields[0] === undefined || fields[0][1] === "1b" : order === "1";
  if (!isExperimental) return { kind: isFirst ? "accecn1" : "accecn0", counters };
  const data = counters.flatMap((counter) => [(counter >>> 16) & 0xff, (counter >>> 8) & 0xff, counter & 0xff]);
  return { kind: "unknown", number: 254, data: Uint8Array.of(0xac, isFirst ? 0xc1 : 0xc0, ...data) };
}

/** Names are resolved when the family is known. What is quoted stands before the message or behind it. */
function readIcmp(scanner: Scanner, direction: PacketDirection, ip: IpMarks, before: IcmpQuote | undefined): Action {
  scanner.expect(/icmp(?:v6)?/y, "icmp");
  const [, type = ""] = scanner.expect(/([A-Za-z_]\w*)/y, "a type of ICMP, such as unreachable");
  const code = scanner.accept(/(?!(?:mtu|id|icmp)\b)([a-z_]\w*)(?!\s*\()/y)?.[1] ?? "";
  const mtu = scanner.accept(/mtu\s+(\d+)/y)?.[1];
  const id = scanner.accept(/id\s+(\d+)/y)?.[1];
  const quoted = before ?? readQuote(scanner);
  if (typeof quoted === "string") return unsupportedLine(scanner, quoted);
  return {
    kind: "icmp",
    icmp: {
      direction,
      ip,
      type,
      code,
      mtu: mtu === undefined ? null : scanner.number(mtu, U32, "mtu"),
      id: scanner.number(id ?? "0", 0xffff, "id"),
      quoted: quoted ?? { protocol: "tcp", seq: 0, length: 0 },
    },
  };
}

/** `[1:1001(1000)]`, `[udp (1000)]`, `[raw (1000)]`; undefined for none, the feature for one that we do not have. */
function readQuote(scanner: Scanner): IcmpQuote | string | undefined {
  const other = scanner.accept(/\[\s*(udp|raw)\s*\(\s*(\d+)\s*\)\s*\]/y);
  if (other !== undefined) {
    const length = scanner.number(other[2] ?? "0", 0xffff, "a length");
    return { protocol: other[1] === "udp" ? "udp" : "raw", seq: 0, length };
  }
  const foreign = scanner.accept(/\[\s*(sctp|udplite)\b[^\]]*\]/y)?.[1];
  if (foreign !== undefined) return `ICMP that quotes ${foreign}`;
  const tcp = scanner.accept(/\[\s*(?:tcp\s+)?(\d+)\s*:\s*(\d+)\s*\(\s*(\d+)\s*\)([^\]]*)\]/y);
  if (tcp === undefined) return undefined;
  if (/\/\s*udp/.test(tcp[4] ?? "")) return "TCP in UDP";
  const seq = scanner.number(tcp[1] ?? "0", U32, "a sequence number");
  return { protocol: "tcp", seq, length: scanner.number(tcp[3] ?? "0", 0xffff, "a length") };
}
