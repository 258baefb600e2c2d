/**
 * ICMP for IPv4 (RFC 792) and IPv6 (RFC 4443), as far as TCP is concerned: error messages with the packet that they quote.
 * `parseIcmpError` is the fast way in for the stack; `decodeIcmp` and `encodeIcmp` hold a message as a value.
 *
 *      0      1      2      3
 *   ┌──────┬──────┬─────────────┐
 *   │ type │ code │  checksum   │
 *   ├──────┴──────┴─────────────┤
 *   │ rest: MTU, pointer, id…   │   the next-hop MTU is the lower half in IPv4, all of it in IPv6
 *   ├───────────────────────────┤
 *   │ body: quoted IP header,   │
 *   │ at least 8 bytes of TCP   │   that is ports and sequence number
 *   └───────────────────────────┘
 */
import { type Family, IpAddress } from "./address.js";
import { getU16, getU32, putU16, putU32 } from "./bytes.js";
import { addBytes, finish, fold, pseudoHeaderSum } from "./checksum.js";
import { extensionHeaderLength, isExtensionHeader, isPartialFragment, PROTOCOL_ICMPV6, PROTOCOL_TCP } from "./ip-packet.js";

/** What an error message says, the same for both families. */
export type IcmpErrorKind =
  | "network-unreachable"
  | "host-unreachable"
  | "protocol-unreachable"
  | "port-unreachable"
  /** IPv4 "fragmentation needed and DF set", IPv6 "packet too big": path MTU discovery (RFC 1191, RFC 8201). */
  | "packet-too-big"
  | "source-route-failed"
  | "admin-prohibited"
  /** TCP must ignore it (RFC 9293 MUST-55, RFC 6633). */
  | "source-quench"
  | "redirect"
  | "time-exceeded"
  | "parameter-problem"
  /** An error message of a type or code that is not known here. */
  | "unknown";

/** Why bytes are not an error message about a TCP segment; "" when they are. */
export type IcmpProblem =
  | ""
  | "too short for an ICMP header"
  | "bad ICMP checksum"
  | "not an ICMP error"
  | "ICMP quote too short"
  | "bad IP header in ICMP quote"
  | "ICMP quote is a later fragment"
  | "ICMP quote is not TCP";

/** A parsed error message: a scratch object that is reused. "Quoted" is what stands in the packet that caused the error, ours. */
export class IcmpError {
  family: Family = 4;
  type = 0;
  code = 0;
  kind: IcmpErrorKind = "unknown";
  /** Bytes, of a "packet-too-big" only; 0 when the router does not tell (before RFC 1191) and in all other messages. */
  nextHopMtu = 0;
  readonly quotedSource = new IpAddress();
  readonly quotedDestination = new IpAddress();
  /** Bytes of the quoted packet when it was sent, IP header included, as that header tells. */
  quotedLength = 0;
  quotedProtocol = 0;
  quotedSourcePort = 0;
  quotedDestinationPort = 0;
  /** SEG.SEQ of the quoted segment, to be checked against the window of the connection (RFC 5927 §4.1). */
  quotedSeq = 0;
  /** Whether the quote reached to the sequence number: always when parsing gave "". */
  hasSeq = false;
}

/**
 * Parses `bytes[offset, offset + length)`, the payload of an IP packet with protocol ICMP or ICMPv6, into `error`.
 * `source` and `destination` are those of that IP packet: the ICMPv6 checksum covers them (RFC 4443 §2.3) and is not verified
 * without them. With a reason other than "" the fields behind the point of failure mean nothing.
 */
export function parseIcmpError(
  error: IcmpError,
  bytes: Uint8Array,
  offset: number,
  length: number,
  family: Family,
  source?: IpAddress,
  destination?: IpAddress,
): IcmpProblem {
  error.hasSeq = false;
  if (length < 8) return "too short for an ICMP header";
  error.family = family;
  error.type = bytes[offset]!;
  error.code = bytes[offset + 1]!;
  if (!isIcmpError(family, error.type)) return "not an ICMP error";
  if (!isChecksumGood(bytes, offset, length, family, source, destination)) return "bad ICMP checksum";
  error.kind = classifyIcmpError(family, error.type, error.code);
  error.nextHopMtu = error.kind === "packet-too-big" ? nextHopMtuOf(family, getU32(bytes, offset + 4)) : 0;
  return parseQuote(error, bytes, offset + 8, offset + length);
}

/** Whether messages of a type quote a packet. In IPv6 the errors are the types below 128 (RFC 4443 §2.1). */
export function isIcmpError(family: Family, type: number): boolean {
  if (family === 6) return type < 128;
  return (
    type === DESTINATION_UNREACHABLE ||
    type === SOURCE_QUENCH ||
    type === REDIRECT ||
    type === TIME_EXCEEDED ||
    type === PARAMETER_PROBLEM
  );
}

/** What an error of this type and code says; "unknown" for one that is not known here. */
export function classifyIcmpError(family: Family, type: number, code: number): IcmpErrorKind {
  const kinds = (family === 4 ? KINDS_V4 : KINDS_V6)[type];
  if (typeof kinds === "string") return kinds;
  return kinds?.[code] ?? "unknown";
}

/** An ICMP message as a value. */
export interface IcmpMessage {
  readonly family: Family;
  readonly type: number;
  readonly code: number;
  /** As it stands in the message. */
  readonly checksum: number;
  /** The second 32-bit word: MTU, pointer, or identifier and sequence number. */
  readonly rest: number;
  readonly body: Uint8Array;
}

/** Decodes an ICMP message of any type, with a copy of its body. The checksum is not verified, see `icmpChecksum`. */
export function decodeIcmp(
  bytes: Uint8Array,
  offset: number,
  length: number,
  family: Family,
): IcmpMessage | "too short for an ICMP header" {
  if (length < 8) return "too short for an ICMP header";
  return {
    family,
    type: bytes[offset]!,
    code: bytes[offset + 1]!,
    checksum: getU16(bytes, offset + 2),
    rest: getU32(bytes, offset + 4),
    body: bytes.slice(offset + 8, offset + length),
  };
}

/** Encodes a message with the checksum that it states. */
export function encodeIcmp(message: IcmpMessage): Uint8Array {
  const bytes = new Uint8Array(8 + message.body.length);
  bytes[0] = message.type;
  bytes[1] = message.code;
  putU16(bytes, 2, message.checksum);
  putU32(bytes, 4, message.rest);
  bytes.set(message.body, 8);
  return bytes;
}

/** The checksum that a message should have; `source` and `destination` count in IPv6 only (RFC 4443 §2.3). */
export function icmpChecksum(message: IcmpMessage, source: IpAddress, destination: IpAddress): number {
  const bytes = encodeIcmp({ ...message, checksum: 0 });
  return finish(addBytes(pseudoSum(message.family, source, destination, bytes.length), bytes, 0, bytes.length));
}

/**
 * Builds the error message that a node at `source` sends to `destination` about `packet`, a whole IP packet of the same
 * family: the quote is cut so that the IP packet keeps to 576 bytes in IPv4 (RFC 1812 §4.3.2.3), 1280 in IPv6 (RFC 4443 §2.4).
 * `rest` is the second word: give the MTU of "packet-too-big" there.
 */
export function buildIcmpError(
  type: number,
  code: number,
  rest: number,
  packet: Uint8Array,
  source: IpAddress,
  destination: IpAddress,
): Uint8Array {
  const family = source.family;
  const body = packet.slice(0, family === 4 ? 576 - 20 - 8 : 1280 - 40 - 8);
  const message: IcmpMessage = { family, type, code, checksum: 0, rest, body };
  return encodeIcmp({ ...message, checksum: icmpChecksum(message, source, destination) });
}

/** "port-unreachable", "echo request", "type 13 code 0": what a message is, in a few words. */
export function nameIcmp(family: Family, type: number, code: number): string {
  const kind = isIcmpError(family, type) ? classifyIcmpError(family, type, code) : "unknown";
  if (kind !== "unknown") return kind;
  return (family === 4 ? QUERIES_V4 : QUERIES_V6).get(type) ?? `type ${type} code ${code}`;
}

const DESTINATION_UNREACHABLE = 3;
const SOURCE_QUENCH = 4;
const REDIRECT = 5;
const TIME_EXCEEDED = 11;
const PARAMETER_PROBLEM = 12;

/** By type; where the code decides, by code. */
type KindTable = Readonly<Record<number, IcmpErrorKind | readonly IcmpErrorKind[]>>;

/** RFC 792, RFC 1122 §3.2.2.1, RFC 1812 §5.2.7.1. */
const KINDS_V4: KindTable = {
  [DESTINATION_UNREACHABLE]: [
    "network-unreachable",
    "host-unreachable",
    "protocol-unreachable",
    "port-unreachable",
    "packet-too-big",
    "source-route-failed",
    "network-unreachable", // destination network unknown
    "host-unreachable", // destination host unknown
    "host-unreachable", // source host isolated
    "admin-prohibited", // network
    "admin-prohibited", // host
    "network-unreachable", // for this type of service
    "host-unreachable", // for this type of service
    "admin-prohibited", // communication
    "admin-prohibited", // host precedence violation
    "admin-prohibited", // precedence cutoff
  ],
  [SOURCE_QUENCH]: "source-quench",
  [REDIRECT]: "redirect",
  [TIME_EXCEEDED]: "time-exceeded",
  [PARAMETER_PROBLEM]: "parameter-problem",
};

/** RFC 4443 §3. */
const KINDS_V6: KindTable = {
  1: [
    "network-unreachable", // no route
    "admin-prohibited",
    "host-unreachable", // beyond the scope of the source address
    "host-unreachable", // address unreachable
    "port-unreachable",
    "admin-prohibited", // source address failed policy
    "admin-prohibited", // reject route
    "source-route-failed", // RFC 8883 §2
  ],
  2: "packet-too-big",
  3: "time-exceeded",
  4: "parameter-problem",
};

const QUERIES_V4: ReadonlyMap<number, string> = new Map([
  [0, "echo reply"],
  [8, "echo request"],
  [9, "router advertisement"],
  [10, "router solicitation"],
  [13, "time stamp query"],
  [14, "time stamp reply"],
]);

const QUERIES_V6: ReadonlyMap<number, string> = new Map([
  [128, "echo request"],
  [129, "echo reply"],
  [133, "router solicitation"],
  [134, "router advertisement"],
  [135, "neighbor solicitation"],
  [136, "neighbor advertisement"],
  [137, "redirect"],
  [143, "multicast listener report"],
]);

function nextHopMtuOf(family: Family, rest: number): number {
  return family === 4 ? rest & 0xffff : rest;
}

function isChecksumGood(
  bytes: Uint8Array,
  offset: number,
  length: number,
  family: Family,
  source: IpAddress | undefined,
  destination: IpAddress | undefined,
): boolean {
  if (family === 6 && (source === undefined || destination === undefined)) return true;
  return fold(addBytes(pseudoSum(family, source, destination, length), bytes, offset, length)) === 0xffff;
}

function pseudoSum(family: Family, source: IpAddress | undefined, destination: IpAddress | undefined, length: number): number {
  if (family === 4 || source === undefined || destination === undefined) return 0;
  return pseudoHeaderSum(source, destination, PROTOCOL_ICMPV6, length);
}

/** The quoted packet, `bytes[at, end)`: cut short as a rule, so that its own lengths are no measure of what is there. */
function parseQuote(error: IcmpError, bytes: Uint8Array, at: number, end: number): IcmpProblem {
  if (end - at < 20) return "ICMP quote too short";
  if (bytes[at]! >>> 4 !== error.family) return "bad IP header in ICMP quote";
  return error.family === 4 ? parseQuoteV4(error, bytes, at, end) : parseQuoteV6(error, bytes, at, end);
}

function parseQuoteV4(error: IcmpError, bytes: Uint8Array, at: number, end: number): IcmpProblem {
  const headerLength = (bytes[at]! & 15) << 2;
  if (headerLength < 20) return "bad IP header in ICMP quote";
  if ((getU16(bytes, at + 6) & 0x1fff) !== 0) return "ICMP quote is a later fragment";
  error.quotedLength = getU16(bytes, at + 2);
  error.quotedProtocol = bytes[at + 9]!;
  error.quotedSource.read(4, bytes, at + 12);
  error.quotedDestination.read(4, bytes, at + 16);
  return parseQuotedTcp(error, bytes, at + headerLength, end);
}

function parseQuoteV6(error: IcmpError, bytes: Uint8Array, at: number, end: number): IcmpProblem {
  if (end - at < 40) return "ICMP quote too short";
  error.quotedLength = 40 + getU16(bytes, at + 4);
  error.quotedSource.read(6, bytes, at + 8);
  error.quotedDestination.read(6, bytes, at + 24);
  let protocol = bytes[at + 6]!;
  let next = at + 40;
  while (isExtensionHeader(protocol)) {
    if (next + 8 > end) return "ICMP quote too short";
    // The first of several fragments still begins with the TCP header.
    if (isPartialFragment(protocol, bytes, next) && (getU16(bytes, next + 2) & 0xfff8) !== 0)
      return "ICMP quote is a later fragment";
    const size = extensionHeaderLength(protocol, bytes, next);
    protocol = bytes[next]!;
    next += size;
  }
  error.quotedProtocol = protocol;
  return parseQuotedTcp(error, bytes, next, end);
}

function parseQuotedTcp(error: IcmpError, bytes: Uint8Array, at: number, end: number): IcmpProblem {
  if (error.quotedProtocol !== PROTOCOL_TCP) return "ICMP quote is not TCP";
  if (at + 8 > end) return "ICMP quote too short";
  error.quotedSourcePort = getU16(bytes, at);
  error.quotedDestinationPort = getU16(bytes, at + 2);
  error.quotedSeq = getU32(bytes, at + 4);
  error.hasSeq = true;
  return "";
}
