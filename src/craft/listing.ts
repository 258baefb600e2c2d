/** A packet field by field, in the order of its bytes: what `--print` shows. */
import { toHex } from "../wire/bytes.js";
import { formatFlags } from "../wire/tcp-flags.js";
import { decodeTcpOptions, formatTcpOption, tcpOptionsLength } from "../wire/tcp-options.js";
import type { CraftedPacket } from "./build.js";
import { type Field, fieldsOfLayer, formatField, HEADER_BYTES, type Layer, readField } from "./fields.js";
import type { PacketSpec } from "./spec.js";

/** One field, option or run of bytes. */
export interface ListedField {
  /** A layer, or "payload", "trailer". */
  readonly layer: string;
  readonly name: string;
  /** Bits from the start of the packet. */
  readonly bitOffset: number;
  readonly bitLength: number;
  /** The value for people: "1460", "0x0012 [S.]", "mss 1460". */
  readonly text: string;
  /** Whether the spec set it; else it was computed. */
  readonly isSet: boolean;
  readonly doc: string;
}

/** Lists all of `packet`, which `craft(spec)` gave; every bit is in exactly one entry. */
export function listFields(spec: PacketSpec, packet: CraftedPacket): ListedField[] {
  const listed: ListedField[] = [];
  const { bytes, ipOffset, transportOffset, payloadOffset, endOffset } = packet;
  if (spec.ethernet !== undefined) listEthernet(listed, spec, bytes, ipOffset < 0 ? payloadOffset : ipOffset);
  if (spec.ip !== undefined) {
    const layer = spec.ip.family === 4 ? "ipv4" : "ipv6";
    listLayer(listed, layer, spec.ip, bytes, ipOffset);
    const end = transportOffset < 0 ? payloadOffset : transportOffset;
    const what = layer === "ipv4" ? "options" : "extensions";
    listBytes(listed, layer, what, bytes, ipOffset + HEADER_BYTES[layer], end, true);
  }
  if (spec.tcp !== undefined) {
    listLayer(listed, "tcp", spec.tcp, bytes, transportOffset);
    listOptions(listed, bytes, transportOffset + HEADER_BYTES.tcp, payloadOffset);
  }
  if (spec.icmp !== undefined) listLayer(listed, "icmp", spec.icmp, bytes, transportOffset);
  listBytes(listed, "payload", "data", bytes, payloadOffset, endOffset, true);
  listBytes(listed, "trailer", "data", bytes, endOffset, bytes.length, true);
  return listed;
}

function listEthernet(listed: ListedField[], spec: PacketSpec, bytes: Uint8Array, end: number): void {
  const tagBytes = end - HEADER_BYTES.ethernet;
  for (const field of fieldsOfLayer("ethernet")) {
    if (field.name !== "etherType") listed.push(entry(field, spec.ethernet, bytes, 0));
    else {
      listBytes(listed, "ethernet", "tags", bytes, 12, 12 + tagBytes, true);
      listed.push(entry(field, spec.ethernet, bytes, tagBytes));
    }
  }
}

function listLayer(listed: ListedField[], layer: Layer, spec: object, bytes: Uint8Array, offset: number): void {
  for (const field of fieldsOfLayer(layer)) {
    if (field.partOf === undefined) listed.push(entry(field, spec, bytes, offset));
  }
}

function entry(field: Field, spec: object | undefined, bytes: Uint8Array, offset: number): ListedField {
  const set = spec as Readonly<Record<string, unknown>> | undefined;
  const parts = fieldsOfLayer(field.layer).filter((other) => other.partOf === field.name);
  return {
    layer: field.layer,
    name: field.name,
    bitOffset: 8 * offset + field.at,
    bitLength: field.bits,
    text: textOf(field, bytes, offset),
    isSet: [field, ...parts].some(({ name }) => set?.[name] !== undefined),
    doc: field.doc,
  };
}

/** Numbers that people know in hexadecimal are shown so. */
const HEXADECIMAL = new Set(["checksum", "id", "tos", "trafficClass", "etherType", "flowLabel", "rest"]);

function textOf(field: Field, bytes: Uint8Array, offset: number): string {
  const value = readField(bytes, offset, field);
  if (field.layer === "tcp" && field.name === "flags")
    return `0x${Number(value).toString(16).padStart(3, "0")} [${formatFlags(Number(value))}]`;
  if (field.kind === "number" && HEXADECIMAL.has(field.name))
    return `0x${Number(value)
      .toString(16)
      .padStart(Math.ceil(field.bits / 4), "0")}`;
  if (field.name === "dataOffset" || field.name === "ihl") return `${formatField(value)} (${4 * Number(value)} bytes)`;
  return field.kind === "flag" ? (value === true ? "1" : "0") : formatField(value);
}

function listOptions(listed: ListedField[], bytes: Uint8Array, start: number, end: number): void {
  const { options, trailing } = decodeTcpOptions(bytes, start, end - start);
  let at = start;
  for (const option of options) {
    const size = tcpOptionsLength([option]);
    const text = formatTcpOption(option);
    listed.push({ layer: "tcp", name: "option", bitOffset: 8 * at, bitLength: 8 * size, text, isSet: true, doc: "" });
    at += size;
  }
  if (trailing.length > 0) listBytes(listed, "tcp", "padding", bytes, at, end, false);
}

/** Longer runs are shown by their beginning. */
const SHOWN_BYTES = 32;

function listBytes(
  listed: ListedField[],
  layer: string,
  name: string,
  bytes: Uint8Array,
  start: number,
  end: number,
  isSet: boolean,
): void {
  if (end <= start) return;
  const shown = toHex(bytes.subarray(start, Math.min(end, start + SHOWN_BYTES)));
  const text = `${shown}${end - start > SHOWN_BYTES ? "…" : ""} (${end - start} bytes)`;
  listed.push({ layer, name, bitOffset: 8 * start, bitLength: 8 * (end - start), text, isSet, doc: "" });
}
