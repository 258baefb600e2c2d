/**
 * A packet's bytes from its spec: what is not set is computed from the rest, from the inside out, as an honest sender would;
 * what is set is written as it is.
 */
import { RawTcpError } from "../base/errors.js";
import { IpAddress } from "../wire/address.js";
import { putU16 } from "../wire/bytes.js";
import { addBytes, finish, pseudoHeaderSum } from "../wire/checksum.js";
import { ETHERTYPE_IPV4, ETHERTYPE_IPV6, type EthernetHeader, encodeEthernetHeader } from "../wire/ethernet.js";
import { PROTOCOL_ICMP, PROTOCOL_ICMPV6, PROTOCOL_TCP } from "../wire/ip-packet.js";
import { ipv4Checksum } from "../wire/ipv4.js";
import { SYN } from "../wire/tcp-flags.js";
import { tcpChecksum } from "../wire/tcp-header.js";
import { encodeTcpOptions, tcpOptionsLength } from "../wire/tcp-options.js";
import {
  checkField,
  type Field,
  type FieldValue,
  fieldsOfLayer,
  findField,
  HEADER_BYTES,
  type Layer,
  writeField,
} from "./fields.js";
import { parseTcpOptions } from "./options-text.js";
import type { ChecksumSpec, EthernetSpec, IcmpSpec, Ipv4Spec, Ipv6Spec, PacketSpec, TcpSpec } from "./spec.js";

/** A packet's bytes, and where its parts begin. An offset is -1 where there is no such part. */
export interface CraftedPacket {
  readonly bytes: Uint8Array;
  /** 0 with an Ethernet header. */
  readonly ethernetOffset: number;
  readonly ipOffset: number;
  /** Where TCP or ICMP begins. */
  readonly transportOffset: number;
  readonly payloadOffset: number;
  /** Where the trailer begins: the end of all else. */
  readonly endOffset: number;
}

/** Number for experiments (RFC 3692): the protocol of a payload of which nothing is said. */
const PROTOCOL_EXPERIMENT = 253;

const DEFAULT_SOURCE_PORT = 49_152;
const DEFAULT_DESTINATION_PORT = 80;
/** Linux's window on a SYN over Ethernet. */
const DEFAULT_WINDOW = 64_240;
const DEFAULT_TTL = 64;
const ECHO_REQUEST = { 4: 8, 6: 128 } as const;

const NO_BYTES = new Uint8Array(0);

/**
 * Builds the packet. Throws RawTcpError: `ERR_CRAFT_FIELD` for a value that its field cannot hold (names field, value and
 * range), `ERR_CRAFT_LAYERS` for layers that exclude each other, `ERR_CRAFT_OPTIONS` for options beyond the header's room.
 */
export function craft(spec: PacketSpec): CraftedPacket {
  if (spec.tcp !== undefined && spec.icmp !== undefined) {
    throw new RawTcpError("ERR_CRAFT_LAYERS", "a packet carries TCP or ICMP, not both");
  }
  if (spec.ip === undefined && spec.icmp !== undefined) {
    throw new RawTcpError("ERR_CRAFT_LAYERS", "ICMP needs an IP header: its checksum depends on the family");
  }
  const payload = spec.payload ?? NO_BYTES;
  const transport = transportHeader(spec);
  const network = spec.ip === undefined ? NO_BYTES : ipHeader(spec.ip, protocolOf(spec), transport.length + payload.length);
  const link = spec.ethernet === undefined ? NO_BYTES : ethernetHeader(spec.ethernet, spec.ip?.family);
  const trailer = spec.trailer ?? NO_BYTES;

  const bytes = join([link, network, transport, payload, trailer]);
  const ipOffset = link.length;
  const transportOffset = ipOffset + network.length;
  const payloadOffset = transportOffset + transport.length;
  const endOffset = payloadOffset + payload.length;
  if (spec.tcp !== undefined) finishTcp(spec, spec.tcp, bytes, ipOffset, transportOffset, endOffset);
  if (spec.icmp !== undefined) finishIcmp(spec, spec.icmp, bytes, ipOffset, transportOffset, endOffset);
  if (spec.ip?.family === 4) finishIpv4(spec.ip, bytes, ipOffset, network.length);
  return {
    bytes,
    ethernetOffset: spec.ethernet === undefined ? -1 : 0,
    ipOffset: spec.ip === undefined ? -1 : ipOffset,
    transportOffset: transport.length === 0 ? -1 : transportOffset,
    payloadOffset,
    endOffset,
  };
}

function protocolOf(spec: PacketSpec): number {
  if (spec.tcp !== undefined) return PROTOCOL_TCP;
  if (spec.icmp !== undefined) return spec.ip?.family === 6 ? PROTOCOL_ICMPV6 : PROTOCOL_ICMP;
  return PROTOCOL_EXPERIMENT;
}

function ethernetHeader(spec: EthernetSpec, family: 4 | 6 | undefined): Uint8Array {
  const header: EthernetHeader = {
    destination: macOf("destination", spec.destination),
    source: macOf("source", spec.source),
    tags: spec.tags ?? [],
    etherType: checkedNumber("ethernet", "etherType", spec.etherType ?? (family === 6 ? ETHERTYPE_IPV6 : ETHERTYPE_IPV4)),
  };
  return encodeEthernetHeader(header);
}

function macOf(name: string, value: Uint8Array | string | undefined): Uint8Array {
  const checked = value === undefined ? undefined : checkField(fieldNamed("ethernet", name), value);
  return checked instanceof Uint8Array ? checked : new Uint8Array(6);
}

/** The header, its checksum left zero. `length` is that of the transport header and the payload. */
function ipHeader(spec: Ipv4Spec | Ipv6Spec, protocol: number, length: number): Uint8Array {
  return spec.family === 4 ? ipv4Header(spec, protocol, length) : ipv6Header(spec, protocol, length);
}

function ipv4Header(spec: Ipv4Spec, protocol: number, length: number): Uint8Array {
  const options = spec.options ?? NO_BYTES;
  const size = HEADER_BYTES.ipv4 + roundUp(options.length);
  if (size > 60 && spec.ihl === undefined) {
    throw new RawTcpError(
      "ERR_CRAFT_OPTIONS",
      `${options.length} bytes of IPv4 options: a header has room for 40; set ihl to send them anyway`,
    );
  }
  const bytes = new Uint8Array(size);
  const computed = {
    version: 4,
    ihl: Math.min(15, size >>> 2),
    // What does not fit the field is sent modulo its width only when the user sets it.
    totalLength: fitLength("ipv4", "totalLength", spec.totalLength, size + length),
    id: 1,
    ttl: DEFAULT_TTL,
    protocol,
    source: LOOPBACK_V4,
    destination: LOOPBACK_V4,
  };
  writeLayer(bytes, "ipv4", spec, computed);
  bytes.set(options, HEADER_BYTES.ipv4);
  return bytes;
}

function ipv6Header(spec: Ipv6Spec, protocol: number, length: number): Uint8Array {
  const extensions = spec.extensions ?? [];
  const size = extensions.reduce((sum, extension) => sum + 1 + extension.body.length, HEADER_BYTES.ipv6);
  const bytes = new Uint8Array(size);
  const computed = {
    version: 6,
    payloadLength: fitLength("ipv6", "payloadLength", spec.payloadLength, size - HEADER_BYTES.ipv6 + length),
    nextHeader: extensions[0]?.protocol ?? protocol,
    hopLimit: DEFAULT_TTL,
    source: LOOPBACK_V6,
    destination: LOOPBACK_V6,
  };
  writeLayer(bytes, "ipv6", spec, computed);
  let at: number = HEADER_BYTES.ipv6;
  for (const [i, extension] of extensions.entries()) {
    bytes[at] = extension.nextHeader ?? extensions[i + 1]?.protocol ?? protocol;
    bytes.set(extension.body, at + 1);
    at += 1 + extension.body.length;
  }
  return bytes;
}

function transportHeader(spec: PacketSpec): Uint8Array {
  if (spec.tcp !== undefined) return tcpHeader(spec.tcp);
  if (spec.icmp !== undefined) return icmpHeader(spec.icmp, spec.ip?.family ?? 4);
  return NO_BYTES;
}

function tcpHeader(spec: TcpSpec): Uint8Array {
  const options = tcpOptionBytes(spec);
  const size = HEADER_BYTES.tcp + options.length;
  if (size > 60 && spec.dataOffset === undefined) {
    throw new RawTcpError(
      "ERR_CRAFT_OPTIONS",
      `${options.length} bytes of TCP options: a header has room for 40; set dataOffset to send them anyway`,
    );
  }
  const bytes = new Uint8Array(size);
  const computed = {
    sourcePort: DEFAULT_SOURCE_PORT,
    destinationPort: DEFAULT_DESTINATION_PORT,
    dataOffset: Math.min(15, size >>> 2),
    flags: SYN,
    window: DEFAULT_WINDOW,
  };
  writeLayer(bytes, "tcp", spec, computed);
  bytes.set(options, HEADER_BYTES.tcp);
  return bytes;
}

/** The option space, filled up to a word. */
function tcpOptionBytes(spec: TcpSpec): Uint8Array {
  const { options = [], padding = 0 } = spec;
  let bytes: Uint8Array;
  if (options instanceof Uint8Array) bytes = options;
  else if (typeof options === "string") bytes = parseTcpOptions(options).bytes;
  else bytes = encodeTcpOptions(options).subarray(0, tcpOptionsLength(options));
  const filled = new Uint8Array(roundUp(bytes.length)).fill(padding, bytes.length);
  filled.set(bytes);
  return filled;
}

function icmpHeader(spec: IcmpSpec, family: 4 | 6): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES.icmp);
  writeLayer(bytes, "icmp", spec, { type: ECHO_REQUEST[family] });
  return bytes;
}

function finishTcp(spec: PacketSpec, tcp: TcpSpec, bytes: Uint8Array, ipOffset: number, offset: number, end: number): void {
  if (typeof tcp.checksum === "number") return;
  const [source, destination] = addressesOf(spec, bytes, ipOffset);
  // A header that was cut or bent may be shorter than its checksum field needs; the sum is over what there is.
  putChecksum(bytes, offset + 16, tcp.checksum, tcpChecksum(source, destination, bytes, offset, end - offset));
}

function finishIcmp(spec: PacketSpec, icmp: IcmpSpec, bytes: Uint8Array, ipOffset: number, offset: number, end: number): void {
  if (typeof icmp.checksum === "number") return;
  let sum = 0;
  if (spec.ip?.family === 6) {
    const [source, destination] = addressesOf(spec, bytes, ipOffset);
    sum = pseudoHeaderSum(source, destination, PROTOCOL_ICMPV6, end - offset);
  }
  putChecksum(bytes, offset + 2, icmp.checksum, finish(addBytes(sum, bytes, offset, end - offset)));
}

function finishIpv4(ip: Ipv4Spec, bytes: Uint8Array, offset: number, size: number): void {
  if (typeof ip.checksum === "number") return;
  putChecksum(bytes, offset + 10, ip.checksum, ipv4Checksum(bytes, offset, size));
}

function putChecksum(bytes: Uint8Array, at: number, wanted: ChecksumSpec | undefined, right: number): void {
  putU16(bytes, at, wanted === "bad" ? (right + 1) & 0xffff : right);
}

/** Those of the pseudo-header; a bare segment is summed as if it went from 127.0.0.1 to itself. */
function addressesOf(spec: PacketSpec, bytes: Uint8Array, ipOffset: number): [IpAddress, IpAddress] {
  if (spec.ip === undefined) return [LOOPBACK_V4, LOOPBACK_V4];
  const { family } = spec.ip;
  const [source, destination] = [new IpAddress(), new IpAddress()];
  source.read(family, bytes, ipOffset + (family === 4 ? 12 : 8));
  destination.read(family, bytes, ipOffset + (family === 4 ? 16 : 24));
  return [source, destination];
}

/** Writes what is set, else what is computed, else zero. */
function writeLayer(bytes: Uint8Array, layer: Layer, spec: object, computed: Readonly<Record<string, FieldValue>>): void {
  const set = spec as Readonly<Record<string, unknown>>;
  for (const field of fieldsOfLayer(layer)) {
    const wanted = set[field.name];
    if (wanted === undefined && field.partOf !== undefined) continue;
    // Checksums are written when all else stands.
    const value = wanted === undefined || wanted === "bad" ? computed[field.name] : checkField(field, wanted);
    if (value !== undefined) writeField(bytes, 0, field, value);
  }
}

function fitLength(layer: Layer, name: string, set: number | undefined, length: number): number {
  if (set === undefined && length > 0xffff) {
    throw new RawTcpError(
      "ERR_CRAFT_FIELD",
      `${layer} ${name}: a packet of ${length} bytes is longer than the field can say (65535)`,
    );
  }
  return length & 0xffff;
}

function checkedNumber(layer: Layer, name: string, value: number): number {
  return Number(checkField(fieldNamed(layer, name), value));
}

function fieldNamed(layer: Layer, name: string): Field {
  const field = findField(layer, name);
  if (field === undefined) throw new RawTcpError("ERR_CRAFT_FIELD", `${layer} has no field ${name}`);
  return field;
}

function roundUp(length: number): number {
  return (length + 3) & ~3;
}

function join(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of parts) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return bytes;
}

const LOOPBACK_V4 = new IpAddress(4, 0, 0, 0, 0x7f000001);
const LOOPBACK_V6 = new IpAddress(6, 0, 0, 0, 1);
