/** Fields by the names that rules use. */
import type { Layer } from "../craft/fields.js";

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
  sport: { layer: "tcp", name: "sourcePort" },
  dport: { layer: "tcp", name: "destinationPort" },
  sum: { layer: "tcp", name: "checksum" },
  ttl: { layer: "ip", name: "ttl", six: "hopLimit" },
  tos: { layer: "ip", name: "tos", six: "trafficClass" },
  id: { layer: "ip", name: "id" },
  df: { layer: "ip", name: "dontFragment" },
  len: { layer: "tcp", name: "len" },
};
