/** Packets as scripts write them: `< S 0:0(0) win 32792 <mss 1460,sackOK>`, `> [ect0] P. 1:1001(1000) ack 1`, `< icmp unreachable …`. */
import { parseHex } from "../wire/bytes.js";
import { ACK, AE, CWR, ECE, FIN, PSH, RST, SYN, URG } from "../wire/tcp-flags.js";
import type { Action, IpMarks, PacketDirection, PacketOption } from "./ast.js";
import type { Scanner } from "./scanner.js";

export function isPacketStart(scanner: Scanner): boolean {
  return scanner.looksAt(/[<>]/y);
}

/** Reads a packet. Throws ScriptSyntaxError. */
export function parsePacket(scanner: Scanner): Action {
  const direction: PacketDirection = scanner.expect(/[<>]/y, '"<" or ">"')[0] === "<" ? "in" : "out";
  const ip = readMarks(scanner);
  if (scanner.looksAt(/icmp\b/y)) return readIcmp(scanner, direction, ip);
  const other = scanner.accept(/(udp|sctp|gre|mpls|ipv4|ipv6)\b[^\n]*/y);
  if (other !== undefined) return { kind: "unsupported", feature: `${other[1]} packets` };
  return readTcp(scanner, direction, ip);
}

const ECN_MARKS = { noecn: 0, ect1: 1, ect0: 2, ce: 3, ect01: "ect01" } as const;

function readMarks(scanner: Scanner): IpMarks {
  let marks: IpMarks = {};
  for (;;) {
    const ecn = scanner.accept(/\[(noecn|ect01|ect0|ect1|ce)\]/y)?.[1] as keyof typeof ECN_MARKS | undefined;
    if (ecn !== undefined) {
      marks = { ...marks, ecn: ECN_MARKS[ecn] };
      continue;
    }
    if (!scanner.looksAt(/\((?:tos|tclass|ttl|hlim|flowlabel)\b/y)) return marks;
    scanner.expect(/\(/y, '"("');
    for (;;) {
      const [, name, value] = scanner.expect(
        /(tos|tclass|ttl|hlim|flowlabel)\s+(0x[\da-fA-F]+|\d+)/y,
        "tos, ttl, hlim or flowlabel",
      );
      const number = Number(value);
      if (name === "tos" || name === "tclass") marks = { ...marks, tos: number };
      else if (name === "flowlabel") marks = { ...marks, flowLabel: number };
      else marks = { ...marks, ttl: number };
      if (scanner.accept(/\)/y) !== undefined) break;
      scanner.expect(/,/y, '"," or ")"');
    }
  }
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

function readTcp(scanner: Scanner, direction: PacketDirection, ip: IpMarks): Action {
  const [letters] = scanner.expect(/[FSRPUEWA.\d,]+(?=\s|$)|-(?=\s|$)/y, "flags, such as S, S., P. or - for none");
  let flags = 0;
  for (const letter of letters) {
    // The count of accurate ECN stands in the three bits AE, CWR and ECE (RFC 9768 §3.2.2).
    if (/[0-7]/.test(letter)) {
      const count = Number(letter);
      flags |= ((count & 4) !== 0 ? AE : 0) | ((count & 2) !== 0 ? CWR : 0) | ((count & 1) !== 0 ? ECE : 0);
    } else flags |= FLAGS[letter] ?? 0;
  }
  const [, start, end, size] = scanner.expect(
    /(\d+)(?::(\d+))?\((\d+)\)/y,
    "sequence numbers as start:end(length), such as 1:1001(1000)",
  );
  const seq = Number(start);
  const length = Number(size);
  if (end !== undefined && (seq + length) % 2 ** 32 !== Number(end) % 2 ** 32)
    throw scanner.error(`${start}:${end}(${size}): the length is not the distance`, scanner.at - 1);
  const ack = scanner.accept(/ack\s+(\d+)/y)?.[1];
  const window = scanner.accept(/win\s+(\d+)/y)?.[1];
  const urgent = scanner.accept(/urg\s+(\d+)/y)?.[1];
  return {
    kind: "packet",
    packet: {
      direction,
      ip,
      flags,
      seq: seq >>> 0,
      length,
      ack: ack === undefined ? null : Number(ack) >>> 0,
      window: window === undefined ? null : Number(window),
      urgent: urgent === undefined ? null : Number(urgent),
      options: readOptions(scanner),
    },
  };
}

function readOptions(scanner: Scanner): PacketOption[] | null {
  // `<` may also begin a packet of the next event, but then its time would stand before it.
  if (scanner.accept(/</y) === undefined) return [];
  if (scanner.accept(/\.\.\.\s*>/y) !== undefined) return null;
  const options: PacketOption[] = [];
  for (;;) {
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
  if (mss !== undefined) return { kind: "mss", mss: Number(mss[1]) };
  const shift = scanner.accept(/wscale\s+(\d+)/y);
  if (shift !== undefined) return { kind: "window-scale", shift: Number(shift[1]) };
  const ts = scanner.accept(/(?:TS|ts)(?:\s+val\s+(\d+|\.))?(?:\s+ecr\s+(\d+|\.))?/y);
  if (ts !== undefined) return { kind: "ts", val: stamp(ts[1]), ecr: stamp(ts[2]) };
  if (scanner.accept(/sack\b/y) !== undefined) {
    const blocks = [];
    for (let block = scanner.accept(BLOCK); block !== undefined; block = scanner.accept(BLOCK))
      blocks.push({ left: Number(block[1]) >>> 0, right: Number(block[2]) >>> 0 });
    return { kind: "sack", blocks };
  }
  const cookie = scanner.accept(/(FOEXP|FO)\b\s*([\da-fA-F]*)/y);
  if (cookie !== undefined) {
    const bytes = parseHex(cookie[2] ?? "") ?? new Uint8Array(0);
    if (cookie[1] === "FO") return { kind: "fast-open", cookie: bytes };
    return { kind: "unknown", number: 254, data: new Uint8Array([0xf9, 0x89, ...bytes]) };
  }
  const md5 = scanner.accept(/md5\b\s*([\da-fA-F]*)/y);
  if (md5 !== undefined) return { kind: "md5", digest: parseHex(md5[1] ?? "") ?? new Uint8Array(0) };
  const counters = scanner.accept(/(?:ECN|AccECN|accecn|exp-accecn)((?:\s+(?:e0b|ceb|e1b)\s+\d+)*)/y);
  if (counters !== undefined) return accurateEcn(counters[1] ?? "");
  const unknown = scanner.accept(/(?:unknown-)?(\d+)\s+(?:0x)?([\da-fA-F]*)/y);
  if (unknown !== undefined)
    return { kind: "unknown", number: Number(unknown[1]), data: parseHex(unknown[2] ?? "") ?? new Uint8Array(0) };
  scanner.expect(/(?!)/y, "an option: mss, sackOK, wscale, TS, sack, nop, eol, FO, FOEXP, md5 or AccECN");
  return { kind: "nop" };
}

const BLOCK = /(\d+):(\d+)/y;

function stamp(text: string | undefined): number | null {
  return text === undefined || text === "." ? null : Number(text) >>> 0;
}

/** The order of the fields says which of the two forms it is (RFC 9768 §3.2.3). */
function accurateEcn(text: string): PacketOption {
  const fields = [...text.matchAll(/(e0b|ceb|e1b)\s+(\d+)/g)];
  const counters = fields.map(([, , value]) => Number(value));
  return fields[0]?.[1] === "e1b" ? { kind: "accecn1", counters } : { kind: "accecn0", counters };
}

/** Names of types and codes: ICMPv4's numbers. */
const UNREACHABLE: Readonly<Record<string, number>> = {
  net_unreachable: 0,
  host_unreachable: 1,
  protocol_unreachable: 2,
  port_unreachable: 3,
  frag_needed: 4,
  source_route_failed: 5,
  net_unknown: 6,
  host_unknown: 7,
  source_host_isolated: 8,
  net_prohibited: 9,
  host_prohibited: 10,
  net_tos: 11,
  host_tos: 12,
  communication_prohibited: 13,
};

function readIcmp(scanner: Scanner, direction: PacketDirection, ip: IpMarks): Action {
  scanner.expect(/icmp/y, "icmp");
  const [, type = ""] = scanner.expect(
    /(unreachable|source_quench|time_exceeded|packet_too_big|parameter_problem|\w+)/y,
    "a type of ICMP",
  );
  const code = scanner.accept(/(?!mtu\b)([a-z_]+)/y)?.[1];
  const mtu = scanner.accept(/mtu\s+(\d+)/y)?.[1];
  const quoted = scanner.accept(/\[\s*(?:tcp\s+)?(\d+):(\d+)\((\d+)\)[^\]]*\]/y);
  const number = type === "unreachable" ? 3 : type === "source_quench" ? 4 : type === "time_exceeded" ? 11 : -1;
  if (type === "packet_too_big") return { kind: "unsupported", feature: "ICMPv6 packets" };
  if (number < 0) return { kind: "unsupported", feature: `ICMP ${type}` };
  const codeNumber = code === undefined ? 0 : (UNREACHABLE[code] ?? (code.startsWith("ttl") ? 0 : -1));
  if (codeNumber < 0) return { kind: "unsupported", feature: `ICMP ${type} ${code}` };
  return {
    kind: "icmp",
    icmp: {
      direction,
      ip,
      type: number,
      code: codeNumber,
      mtu: mtu === undefined ? null : Number(mtu),
      seq: Number(quoted?.[1] ?? 1) >>> 0,
      length: Number(quoted?.[3] ?? 0),
    },
  };
}
