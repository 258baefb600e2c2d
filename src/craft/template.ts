/**
 * Packet templates: what a YAML or JSON file says, made a spec. For packets that no flag of the command line describes.
 *
 *   ipv4: { destination: 127.0.0.1, ttl: 1-4 }
 *   tcp: { destinationPort: [22, 80], flags: SA, options: "mss=1460,nop", checksum: bad }
 *   payload: { text: hello }
 */
import { RawTcpError } from "../base/errors.js";
import { utf8Encode } from "../base/utf8.js";
import { parseHex } from "../wire/bytes.js";
import { ETHERTYPE_VLAN } from "../wire/ethernet.js";
import { checkField, type Field, fieldsOfLayer, findField, type Layer, showValue } from "./fields.js";
import { parseFlags } from "./flags-text.js";
import { parseTcpOptions } from "./options-text.js";
import { oneOf, range, Variants, type VariedPacketSpec } from "./product.js";

/** Layers by the names that a template may use. */
const LAYERS = ["ethernet", "ipv4", "ipv6", "tcp", "icmp"] as const;
const OTHERS = ["payload", "trailer"] as const;

/**
 * Reads a template: the value that a YAML or JSON parser gave. A field may be a list, or "1-1024" where it is a number: then
 * the template stands for every combination. Throws RawTcpError `ERR_CRAFT_TEMPLATE` that names the place and what may stand
 * there.
 */
export function parseTemplate(value: unknown): VariedPacketSpec {
  const template = objectAt("template", value);
  const spec: Record<string, unknown> = {};
  for (const [name, content] of Object.entries(template)) {
    if (name === "payload" || name === "trailer") spec[name] = bytesAt(name, content);
    else if (isLayer(name)) {
      const key = name === "ipv4" || name === "ipv6" ? "ip" : name;
      if (key in spec) throw wrong(name, "stands beside another IP header", "one of ipv4, ipv6");
      spec[key] = layerAt(name, objectAt(name, content));
    } else throw wrong(name, "is no part of a packet", `one of ${[...LAYERS, ...OTHERS].join(", ")}`);
  }
  return spec as VariedPacketSpec;
}

function isLayer(name: string): name is Layer {
  return (LAYERS as readonly string[]).includes(name);
}

function layerAt(layer: Layer, content: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  const spec: Record<string, unknown> = {};
  if (layer === "ipv4" || layer === "ipv6") spec["family"] = layer === "ipv4" ? 4 : 6;
  for (const [name, value] of Object.entries(content)) spec[name] = memberAt(layer, name, value);
  return spec;
}

function memberAt(layer: Layer, name: string, value: unknown): unknown {
  const path = `${layer}.${name}`;
  if (layer === "tcp" && name === "options") return optionsAt(path, value);
  if (layer === "tcp" && name === "padding") return wholeNumber(path, value, 255);
  if (layer === "ipv4" && name === "options") return bytesAt(path, value);
  if (layer === "ipv6" && name === "extensions") return listAt(path, value).map((item, i) => extensionAt(`${path}[${i}]`, item));
  if (layer === "ethernet" && name === "tags") return listAt(path, value).map((item, i) => tagAt(`${path}[${i}]`, item));
  const field = findField(layer, name);
  // The bits of the flags are written as one word: "SA".
  if (field === undefined || (layer === "tcp" && field.partOf === "flags")) throw wrong(path, "is no field", fieldNames(layer));
  if (!Array.isArray(value)) return valueAt(path, field, value);
  if (value.length === 0) throw wrong(path, "is an empty list", "at least one value");
  return oneOf(...value.flatMap((item, i) => flat(valueAt(`${path}[${i}]`, field, item))));
}

function flat(value: unknown): unknown[] {
  return value instanceof Variants ? [...value] : [value];
}

function fieldNames(layer: Layer): string {
  const extra = { tcp: ["options", "padding"], ipv4: ["options"], ipv6: ["extensions"], ethernet: ["tags"], icmp: [] }[layer];
  const fields = fieldsOfLayer(layer).filter((field) => field.partOf !== "flags");
  return `one of ${[...fields.map((field) => field.name), ...extra].join(", ")}`;
}

function valueAt(path: string, field: Field, value: unknown): unknown {
  if (field.name === "checksum" && value === "bad") return value;
  if (field.layer === "tcp" && field.name === "flags" && typeof value === "string") return told(path, () => parseFlags(value));
  if (field.kind === "number" && typeof value === "string") {
    const match = /^(\d+|0x[0-9a-f]+)(?:-(\d+|0x[0-9a-f]+)(?:\/(\d+))?)?$/i.exec(value.trim());
    if (match === null) throw wrong(path, `is "${value}"`, "a number, or a range such as 1-1024 or 0-100/10");
    const [, first = "", last, step = "1"] = match;
    const low = told(path, () => checkField(field, Number(first)));
    if (last === undefined) return low;
    told(path, () => checkField(field, Number(last)));
    return told(path, () => range(Number(first), Number(last), Number(step)));
  }
  return told(path, () => checkField(field, value));
}

function optionsAt(path: string, value: unknown): unknown {
  if (Array.isArray(value))
    return told(
      path,
      () => parseTcpOptions(value.map((item) => (typeof item === "string" ? item : showValue(item))).join(",")).options,
    );
  if (typeof value === "string") return told(path, () => parseTcpOptions(value).bytes);
  return bytesAt(path, value);
}

function extensionAt(path: string, value: unknown): unknown {
  const { protocol, nextHeader, body, ...rest } = objectAt(path, value);
  refuseMore(path, rest, "protocol, nextHeader, body");
  return {
    protocol: wholeNumber(`${path}.protocol`, protocol, 255),
    body: bytesAt(`${path}.body`, body),
    ...(nextHeader === undefined ? {} : { nextHeader: wholeNumber(`${path}.nextHeader`, nextHeader, 255) }),
  };
}

function tagAt(path: string, value: unknown): unknown {
  const { tpid = ETHERTYPE_VLAN, priority = 0, dropEligible = false, vlan = 0, ...rest } = objectAt(path, value);
  refuseMore(path, rest, "tpid, priority, dropEligible, vlan");
  return {
    tpid: wholeNumber(`${path}.tpid`, tpid, 0xffff),
    priority: wholeNumber(`${path}.priority`, priority, 7),
    dropEligible: dropEligible === true,
    vlan: wholeNumber(`${path}.vlan`, vlan, 0xfff),
  };
}

/** Text, `{ text }`, `{ hex }`, or `{ zeros: N }`. */
function bytesAt(path: string, value: unknown): Uint8Array {
  if (typeof value === "string") return utf8Encode(value);
  if (value instanceof Uint8Array) return value;
  const { text, hex, zeros, ...rest } = objectAt(path, value, "text, { text: … }, { hex: … } or { zeros: N }");
  refuseMore(path, rest, "text, hex, zeros");
  if ([text, hex, zeros].filter((form) => form !== undefined).length !== 1)
    throw wrong(path, "is not clear", "one of text, hex, zeros");
  if (text !== undefined) return utf8Encode(typeof text === "string" ? text : showValue(text));
  if (zeros !== undefined) return new Uint8Array(wholeNumber(`${path}.zeros`, zeros, 0xffff));
  // YAML reads 0x10 and 1e3 as numbers, whose digits are no longer those that were written.
  const bytes = typeof hex === "string" ? parseHex(hex) : undefined;
  if (bytes === undefined) throw wrong(`${path}.hex`, `is ${showValue(hex)}`, "pairs of hexadecimal digits in quotes");
  return bytes;
}

function wholeNumber(path: string, value: unknown, most: number): number {
  const number = typeof value === "string" && /^(?:\d+|0x[0-9a-f]+)$/i.test(value) ? Number(value) : value;
  if (Number.isInteger(number) && Number(number) >= 0 && Number(number) <= most) return Number(number);
  throw wrong(path, `is ${showValue(value)}`, `a whole number from 0 to ${most}`);
}

function objectAt(path: string, value: unknown, wanted = "names and values"): Readonly<Record<string, unknown>> {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Readonly<Record<string, unknown>>;
  throw wrong(path, value === undefined ? "is missing" : `is ${showValue(value)}`, wanted);
}

function listAt(path: string, value: unknown): readonly unknown[] {
  if (Array.isArray(value)) return value;
  throw wrong(path, `is ${showValue(value)}`, "a list");
}

function refuseMore(path: string, rest: Readonly<Record<string, unknown>>, wanted: string): void {
  const [name] = Object.keys(rest);
  if (name !== undefined) throw wrong(`${path}.${name}`, "is unknown", `one of ${wanted}`);
}

/** The message of an error below, with the place in the template. */
function told<T>(path: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof RawTcpError) throw new RawTcpError("ERR_CRAFT_TEMPLATE", `${path}: ${error.message}`);
    throw error;
  }
}

function wrong(path: string, what: string, wanted: string): RawTcpError {
  return new RawTcpError("ERR_CRAFT_TEMPLATE", `${path} ${what}: expected ${wanted}`);
}
