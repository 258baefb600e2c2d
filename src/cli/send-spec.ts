/** From the options of `rawtcp send` to packets. */
import { readFileSync } from "node:fs";
import { parse as parseYaml } from "yaml";
import { RawTcpError } from "../base/errors.js";
import { product, Variants, type VariedPacketSpec } from "../craft/product.js";
import type { Ipv4Spec, Ipv6Spec, PacketSpec, TcpSpec } from "../craft/spec.js";
import { parseTemplate } from "../craft/template.js";
import { tryParseAddress } from "../wire/address.js";
import { ACK, AE, CWR, ECE, FIN, PSH, RST, SYN, URG } from "../wire/tcp-flags.js";
import { encodeTcpOptions, type TcpOption } from "../wire/tcp-options.js";
import { countingPort, type PortPlan } from "./port-plan.js";
import type { SendOptions } from "./send-options.js";

/**
 * Every packet in its turn, `count` rounds of it (0: without end). Throws RawTcpError: what `parseTemplate` throws, and
 * `ERR_SEND_FILE` for a file that cannot be read.
 */
export function* packetsOf(options: SendOptions, family: 4 | 6): Generator<PacketSpec, void, undefined> {
  const base = baseSpec(options, family);
  let index = 0;
  for (let round = 0; options.count === 0 || round < options.count; round++) {
    for (const spec of product(base)) yield withCountingPorts(spec, options, index++);
  }
}

/** The packet that the options describe; lists of ports are variants. */
export function baseSpec(options: SendOptions, family: 4 | 6): VariedPacketSpec {
  const template: VariedPacketSpec = options.template === undefined ? {} : readTemplate(options.template);
  const payload = payloadOf(options) ?? template.payload;
  const ip = { family, ...template.ip, ...ipFields(options, template.ip?.family ?? family) };
  const hasTcp = template.tcp !== undefined || template.icmp === undefined;
  return {
    ...template,
    ip: ip as NonNullable<VariedPacketSpec["ip"]>,
    ...(hasTcp ? { tcp: { ...template.tcp, ...tcpFields(options, template.tcp !== undefined) } } : {}),
    ...(payload === undefined ? {} : { payload }),
  };
}

function ipFields(options: SendOptions, family: 4 | 6): Partial<Ipv4Spec> | Partial<Ipv6Spec> {
  const { ttl, tos, sourceIp } = options;
  const source = sourceIp === undefined ? undefined : tryParseAddress(sourceIp);
  if (family === 6) return defined({ hopLimit: ttl, trafficClass: tos, source });
  return defined({
    source,
    ttl,
    tos,
    id: options.id,
    dontFragment: options.df ? true : undefined,
    moreFragments: options.mf ? true : undefined,
    fragmentOffset: options.fragOffset,
    options: options.ipOptions,
    checksum: options.badsumIp ? ("bad" as const) : undefined,
  });
}

function tcpFields(options: SendOptions, hasTemplate: boolean): Partial<VariedPacketSpec["tcp"] & object> {
  const letters = [
    [options.S, SYN],
    [options.A, ACK],
    [options.F, FIN],
    [options.R, RST],
    [options.P, PSH],
    [options.U, URG],
    [options.ece, ECE],
    [options.cwr, CWR],
    [options.ae, AE],
  ] as const;
  const bits = letters.reduce((flags, [isSet, bit]) => flags | (isSet ? bit : 0), 0);
  const isNamed = options.flags !== undefined || bits !== 0;
  const flags = isNamed ? (options.flags ?? 0) | bits : hasTemplate ? undefined : SYN;
  return defined({
    flags,
    sourcePort: listed(options.sourcePort),
    destinationPort: listed(options.destPort),
    seq: options.seq,
    ack: options.ackNum,
    dataOffset: options.dataOffset,
    reserved: options.reserved,
    window: options.win,
    urgentPointer: options.urgptr,
    checksum: options.badsum ? ("bad" as const) : undefined,
    options: tcpOptionsOf(options),
  });
}

/** The options by their own flags, behind those of --tcp-options. */
function tcpOptionsOf(options: SendOptions): TcpSpec["options"] {
  const named: TcpOption[] = [];
  if (options.mss !== undefined) named.push({ kind: "mss", mss: options.mss });
  if (options.sackOk) named.push({ kind: "sack-permitted" });
  if (options.timestamp !== undefined) {
    const [tsVal = 0, tsEcr = 0] = options.timestamp.split(":").map(Number);
    named.push({ kind: "timestamps", tsVal, tsEcr });
  }
  if (options.wscale !== undefined) named.push({ kind: "nop" }, { kind: "window-scale", shift: options.wscale });
  if (options.tcpOptions === undefined) return named.length === 0 ? undefined : named;
  if (named.length === 0) return options.tcpOptions;
  const padded = encodeTcpOptions(named);
  const bytes = new Uint8Array(options.tcpOptions.length + padded.length);
  bytes.set(options.tcpOptions);
  bytes.set(padded, options.tcpOptions.length);
  return bytes;
}

function payloadOf(options: SendOptions): Uint8Array | undefined {
  if (options.data !== undefined) return new Uint8Array(options.data).fill(0x58);
  if (options.dataString !== undefined) return new Uint8Array(Buffer.from(options.dataString));
  if (options.dataHex !== undefined) return options.dataHex;
  return options.dataFile === undefined ? undefined : new Uint8Array(readFile(options.dataFile));
}

function listed(plan: PortPlan | undefined): number | Variants<number> | undefined {
  if (plan?.kind !== "list") return undefined;
  const { ports } = plan;
  return ports.length === 1 ? ports[0] : new Variants(ports.length, (i) => ports[i] ?? 0);
}

function withCountingPorts(spec: PacketSpec, options: SendOptions, index: number): PacketSpec {
  const { sourcePort, destPort } = options;
  const counted = defined({
    sourcePort: sourcePort?.kind === "counting" ? countingPort(sourcePort.first, index) : undefined,
    destinationPort: destPort?.kind === "counting" ? countingPort(destPort.first, index) : undefined,
  });
  return Object.keys(counted).length === 0 ? spec : { ...spec, tcp: { ...spec.tcp, ...counted } };
}

function readTemplate(path: string): VariedPacketSpec {
  const text = Buffer.from(readFile(path)).toString("utf8");
  let value: unknown;
  try {
    // JSON is YAML.
    value = parseYaml(text);
  } catch (error) {
    const [reason = ""] = (error instanceof Error ? error.message : String(error)).split("\n");
    throw new RawTcpError("ERR_CRAFT_TEMPLATE", `${path}: ${reason.replace(/:$/, "")}`);
  }
  try {
    return parseTemplate(value);
  } catch (error) {
    if (!(error instanceof RawTcpError)) throw error;
    throw new RawTcpError(error.code, `${path}: ${error.message}`);
  }
}

function readFile(path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (error) {
    const reason = error instanceof Error ? error.message.replace(/, (?:open|read).*/, "") : String(error);
    throw new RawTcpError("ERR_SEND_FILE", `cannot read ${path}: ${reason}`);
  }
}

/** Without what is undefined: a field that is there counts as set. */
function defined<T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}
