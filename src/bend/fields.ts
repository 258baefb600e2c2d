/** Fields by the names that rules use. */
import type { Layer } from "../craft/fields.js";

import type { TcpOption } from "../wire/tcp-options.js";

export interface RuleField {
  /** "ip": whichever family the packet is of. */
  readonly layer: Layer | "ip";
  /** In the spec of the layer; for IPv6 `six`. */
  readonly name: string;
  readonly six?: string;
}

/** What is a number, and may be compared and set. "len" is the payload's, and may be compared only. */
export const NUMBER_FIELDS: Readonly<Record<string, RuleField>> = {
  seq: { layer: "tcp", name: "seq" },
  ack: { layer: "tcp", name: "ack" },
  win: { layer: "tcp", name: "window" },
  window: { layer: "tcp", name: "window" },
  flags: { layer: "tcp", name: "flags" },
  urgptr: { layer: "tcp", name: "urgentPointer" },
  offset: { layer: "tcp", name: "dataOffset" },
  reserved: { layer: "tcp", name: "reserved" },
  port: { layer: "tcp", name: "port" },
  sport: { layer: "tcp", name: "sourcePort" },
  dport: { layer: "tcp", name: "destinationPort" },
  sum: { layer: "tcp", name: "checksum" },
  ttl: { layer: "ip", name: "ttl", six: "hopLimit" },
  tos: { layer: "ip", name: "tos", six: "trafficClass" },
  id: { layer: "ip", name: "id" },
  df: { layer: "ip", name: "dontFragment" },
  len: { layer: "tcp", name: "len" },
};

/** Fields that may be compared only: of the payload, and either of the ports. */
export const COMPARED_ONLY: readonly string[] = ["len", "port"];

/** Numbers inside of options, and how an option of that kind takes another one. They may be set only, where the option is there. */
export const OPTION_FIELDS: Readonly<
  Record<string, { readonly bits: number; change(option: TcpOption, value: number): TcpOption }>
> = {
  mss: { bits: 16, change: (option, mss) => (option.kind === "mss" ? { ...option, mss } : option) },
  wscale: { bits: 8, change: (option, shift) => (option.kind === "window-scale" ? { ...option, shift } : option) },
  "ts.val": { bits: 32, change: (option, tsVal) => (option.kind === "timestamps" ? { ...option, tsVal } : option) },
  "ts.ecr": { bits: 32, change: (option, tsEcr) => (option.kind === "timestamps" ? { ...option, tsEcr } : option) },
};
