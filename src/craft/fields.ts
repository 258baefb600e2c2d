/**
 * Every field of every header in one table: where it stands, how wide it is, what it is called here, on the command line and
 * by tshark. What builds, dissects, prints and bends packets reads it, and so does the test that sends each of them.
 */
import { RawTcpError } from "../base/errors.js";
import { IpAddress, parseAddress } from "../wire/address.js";
import { formatMac, parseMac } from "../wire/ethernet.js";

export type Layer = "ethernet" | "ipv4" | "ipv6" | "tcp" | "icmp";

/** What a field holds. A flag is one bit, true when it is set. */
export type FieldKind = "number" | "flag" | "address" | "mac";

export type FieldValue = number | boolean | IpAddress | Uint8Array;

export interface Field {
  readonly layer: Layer;
  /** As in the spec of the layer. */
  readonly name: string;
  readonly kind: FieldKind;
  /** Bits from the start of the header. */
  readonly at: number;
  /** Width in bits. */
  readonly bits: number;
  /** The field of which this one is a part: setting both, the part counts. */
  readonly partOf?: string;
  /** What tshark calls it. */
  readonly tshark: string;
  /** Options of `rawtcp send` that set it; "" when a template does. */
  readonly flag: string;
  readonly doc: string;
}

/** In the order of the header; parts behind what they are parts of. */
export const FIELDS: readonly Field[] = [
  mac("ethernet", "destination", 0, "eth.dst", "to whom the frame goes"),
  mac("ethernet", "source", 48, "eth.src", "who sent the frame"),
  // Behind the VLAN tags, if there are any: `readField` and `writeField` are told.
  number("ethernet", "etherType", 96, 16, "eth.type", "", "protocol of what follows (IEEE 802)"),

  number("ipv4", "version", 0, 4, "ip.version", "", "4 (RFC 791 §3.1)"),
  number("ipv4", "ihl", 4, 4, "ip.hdr_len", "", "header length in 32-bit words"),
  number("ipv4", "tos", 8, 8, "ip.dsfield", "-o/--tos", "DSCP and ECN"),
  part("ipv4", "dscp", "tos", 8, 6, "ip.dsfield.dscp", "differentiated services (RFC 2474)"),
  part("ipv4", "ecn", "tos", 14, 2, "ip.dsfield.ecn", "congestion (RFC 3168)"),
  number("ipv4", "totalLength", 16, 16, "ip.len", "", "bytes of header and payload"),
  number("ipv4", "id", 32, 16, "ip.id", "-N/--id", "which datagram a fragment belongs to"),
  flag("ipv4", "reservedFlag", 48, "ip.flags.rb", "", "the first of the three flags, zero in honest packets"),
  flag("ipv4", "dontFragment", 49, "ip.flags.df", "--df", "routers may not fragment it"),
  flag("ipv4", "moreFragments", 50, "ip.flags.mf", "--mf", "not the last fragment"),
  number("ipv4", "fragmentOffset", 51, 13, "ip.frag_offset", "--frag-offset", "in units of 8 bytes"),
  number("ipv4", "ttl", 64, 8, "ip.ttl", "-t/--ttl", "hops it may still take"),
  number("ipv4", "protocol", 72, 8, "ip.proto", "", "what the payload is (IANA)"),
  number("ipv4", "checksum", 80, 16, "ip.checksum", "--badsum-ip", "of the header"),
  address("ipv4", "source", 96, 32, "ip.src", "--source-ip", "where it comes from"),
  address("ipv4", "destination", 128, 32, "ip.dst", "HOST", "where it goes"),

  number("ipv6", "version", 0, 4, "ipv6.version", "", "6 (RFC 8200 §3)"),
  number("ipv6", "trafficClass", 4, 8, "ipv6.tclass", "-o/--tos", "DSCP and ECN"),
  part("ipv6", "dscp", "trafficClass", 4, 6, "ipv6.tclass.dscp", "differentiated services (RFC 2474)"),
  part("ipv6", "ecn", "trafficClass", 10, 2, "ipv6.tclass.ecn", "congestion (RFC 3168)"),
  number("ipv6", "flowLabel", 12, 20, "ipv6.flow", "", "packets of one flow (RFC 6437)"),
  number("ipv6", "payloadLength", 32, 16, "ipv6.plen", "", "bytes behind this header"),
  number("ipv6", "nextHeader", 48, 8, "ipv6.nxt", "", "what follows (IANA)"),
  number("ipv6", "hopLimit", 56, 8, "ipv6.hlim", "-t/--ttl", "hops it may still take"),
  address("ipv6", "source", 64, 128, "ipv6.src", "--source-ip", "where it comes from"),
  address("ipv6", "destination", 192, 128, "ipv6.dst", "HOST", "where it goes"),

  number("tcp", "sourcePort", 0, 16, "tcp.srcport", "-s/--source-port", "the sender's port"),
  number("tcp", "destinationPort", 16, 16, "tcp.dstport", "-p/--dest-port", "the receiver's port"),
  number("tcp", "seq", 32, 32, "tcp.seq_raw", "--seq", "of the first byte, or of the SYN"),
  number("tcp", "ack", 64, 32, "tcp.ack_raw", "--ack-num", "what the sender expects next"),
  number("tcp", "dataOffset", 96, 4, "tcp.hdr_len", "--data-offset", "header length in 32-bit words"),
  number("tcp", "reserved", 100, 3, "tcp.flags.res", "--reserved", "three bits, zero in honest segments"),
  number("tcp", "flags", 103, 9, "tcp.flags", "--flags", "control bits"),
  bit("ae", 103, "tcp.flags.ae", "--ae", "accurate ECN (RFC 9768)"),
  bit("cwr", 104, "tcp.flags.cwr", "--cwr", "congestion window reduced (RFC 3168)"),
  bit("ece", 105, "tcp.flags.ece", "--ece", "congestion experienced (RFC 3168)"),
  bit("urg", 106, "tcp.flags.urg", "-U", "the urgent pointer counts"),
  bit("ackFlag", 107, "tcp.flags.ack", "-A", "the acknowledgment number counts"),
  bit("psh", 108, "tcp.flags.push", "-P", "asks for delivery"),
  bit("rst", 109, "tcp.flags.reset", "-R", "resets the connection"),
  bit("syn", 110, "tcp.flags.syn", "-S", "synchronizes sequence numbers"),
  bit("fin", 111, "tcp.flags.fin", "-F", "no more data from the sender"),
  number("tcp", "window", 112, 16, "tcp.window_size_value", "-w/--win", "what the sender will take, not scaled"),
  number("tcp", "checksum", 128, 16, "tcp.checksum", "-b/--badsum", "of pseudo-header, header and payload"),
  number("tcp", "urgentPointer", 144, 16, "tcp.urgent_pointer", "--urgptr", "end of urgent data, from the sequence number on"),

  number("icmp", "type", 0, 8, "icmp.type", "", "which message (RFC 792, RFC 4443)"),
  number("icmp", "code", 8, 8, "icmp.code", "", "which kind of it"),
  number("icmp", "checksum", 16, 16, "icmp.checksum", "", "of the message"),
  number("icmp", "rest", 32, 32, "", "", "the second word"),
  part("icmp", "identifier", "rest", 32, 16, "icmp.ident", "of an echo"),
  part("icmp", "sequence", "rest", 48, 16, "icmp.seq", "of an echo"),
  part("icmp", "mtu", "rest", 48, 16, "icmp.mtu", 'next-hop MTU of "fragmentation needed" (RFC 1191 §4)'),
];

const BY_LAYER: Readonly<Record<Layer, readonly Field[]>> = {
  ethernet: FIELDS.filter((field) => field.layer === "ethernet"),
  ipv4: FIELDS.filter((field) => field.layer === "ipv4"),
  ipv6: FIELDS.filter((field) => field.layer === "ipv6"),
  tcp: FIELDS.filter((field) => field.layer === "tcp"),
  icmp: FIELDS.filter((field) => field.layer === "icmp"),
};

/** Fixed bytes of each header. */
export const HEADER_BYTES: Readonly<Record<Layer, number>> = { ethernet: 14, ipv4: 20, ipv6: 40, tcp: 20, icmp: 8 };

/** The fields of a layer, in the order of the header. */
export function fieldsOfLayer(layer: Layer): readonly Field[] {
  return BY_LAYER[layer];
}

/** The field, or undefined when the layer has none of that name. */
export function findField(layer: Layer, name: string): Field | undefined {
  return BY_LAYER[layer].find((field) => field.name === name);
}

/** Reads a field of the header that starts at `offset`. The header's fixed bytes must be there. */
export function readField(bytes: Uint8Array, offset: number, field: Field): FieldValue {
  const at = offset + (field.at >>> 3);
  switch (field.kind) {
    case "address": {
      const address = new IpAddress();
      address.read(field.bits === 32 ? 4 : 6, bytes, at);
      return address;
    }
    case "mac":
      return bytes.slice(at, at + 6);
    case "flag":
      return getBits(bytes, offset, field.at, 1) !== 0;
    case "number":
      return getBits(bytes, offset, field.at, field.bits);
  }
}

/** Writes a field. `value` is as `checkField` gave it. */
export function writeField(bytes: Uint8Array, offset: number, field: Field, value: FieldValue): void {
  const at = offset + (field.at >>> 3);
  if (value instanceof IpAddress) value.write(bytes, at);
  else if (value instanceof Uint8Array) bytes.set(value, at);
  else putBits(bytes, offset, field.at, field.bits, Number(value));
}

/** A value that the field can hold. Throws RawTcpError `ERR_CRAFT_FIELD` that names the field, the value and its range. */
export function checkField(field: Field, value: unknown): FieldValue {
  switch (field.kind) {
    case "number":
      if (Number.isInteger(value) && Number(value) >= 0 && Number(value) < 2 ** field.bits) return Number(value);
      return refuse(field, value, `a whole number from 0 to ${2 ** field.bits - 1}`);
    case "flag":
      if (value === 0 || value === 1) return value === 1;
      return typeof value === "boolean" ? value : refuse(field, value, "true or false");
    case "address":
      return checkAddress(field, value);
    case "mac":
      if (value instanceof Uint8Array && value.length === 6) return value;
      return typeof value === "string" ? parseMac(value) : refuse(field, value, "six bytes, as 02:00:00:00:00:01");
  }
}

/** Anything that was given where a value should be, for a message. */
export function showValue(value: unknown): string {
  if (typeof value === "string") return `"${value}"`;
  if (Array.isArray(value)) return "a list";
  if (value instanceof Uint8Array || value instanceof IpAddress) return String(value);
  return typeof value === "object" && value !== null ? "an object" : String(value);
}

/** "49152", "127.0.0.1", "true": a value for people. */
export function formatField(value: FieldValue): string {
  return value instanceof Uint8Array ? formatMac(value) : String(value);
}

function checkAddress(field: Field, value: unknown): IpAddress {
  const family = field.bits === 32 ? 4 : 6;
  const address = typeof value === "string" ? parseAddress(value) : value;
  if (address instanceof IpAddress && address.family === family) return address;
  return refuse(field, value, `an IPv${family} address`);
}

function refuse(field: Field, value: unknown, wanted: string): never {
  throw new RawTcpError("ERR_CRAFT_FIELD", `${field.layer} ${field.name}: ${showValue(value)} is not ${wanted}`);
}

/** Unsigned, up to 32 bits, over any byte borders. */
function getBits(bytes: Uint8Array, offset: number, at: number, bits: number): number {
  let value = 0;
  for (let i = at; i < at + bits; ) {
    const byte = bytes[offset + (i >>> 3)] ?? 0;
    const take = Math.min(8 - (i & 7), at + bits - i);
    value = value * 2 ** take + ((byte >>> (8 - (i & 7) - take)) & ((1 << take) - 1));
    i += take;
  }
  return value;
}

function putBits(bytes: Uint8Array, offset: number, at: number, bits: number, value: number): void {
  for (let i = at; i < at + bits; ) {
    const index = offset + (i >>> 3);
    const take = Math.min(8 - (i & 7), at + bits - i);
    const shift = 8 - (i & 7) - take;
    const mask = ((1 << take) - 1) << shift;
    const piece = Math.floor(value / 2 ** (at + bits - i - take)) << shift;
    bytes[index] = ((bytes[index] ?? 0) & ~mask) | (piece & mask);
    i += take;
  }
}

function number(layer: Layer, name: string, at: number, bits: number, tshark: string, flags: string, doc: string): Field {
  return { layer, name, kind: "number", at, bits, tshark, flag: flags, doc };
}

function part(layer: Layer, name: string, partOf: string, at: number, bits: number, tshark: string, doc: string): Field {
  return { layer, name, kind: "number", at, bits, partOf, tshark, flag: "", doc };
}

function flag(layer: Layer, name: string, at: number, tshark: string, flags: string, doc: string): Field {
  return { layer, name, kind: "flag", at, bits: 1, tshark, flag: flags, doc };
}

function bit(name: string, at: number, tshark: string, flags: string, doc: string): Field {
  return { layer: "tcp", name, kind: "flag", at, bits: 1, partOf: "flags", tshark, flag: flags, doc };
}

function address(layer: Layer, name: string, at: number, bits: number, tshark: string, flags: string, doc: string): Field {
  return { layer, name, kind: "address", at, bits, tshark, flag: flags, doc };
}

function mac(layer: Layer, name: string, at: number, tshark: string, doc: string): Field {
  return { layer, name, kind: "mac", at, bits: 48, tshark, flag: "", doc };
}
