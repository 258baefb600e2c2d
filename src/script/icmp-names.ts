/** Types and codes of ICMP by the names that scripts have for them, those of tcpdump (RFC 792, RFC 1122 §3.2.2.1, RFC 4443). */
import type { Family } from "../wire/address.js";

/** The number of a type; undefined for a name that is not known. `type_7` is 7. */
export function icmpType(family: Family, name: string): number | undefined {
  return numbered("type", name) ?? (family === 4 ? TYPES_V4 : TYPES_V6)[name];
}

/** The number of a code of that type; "" is 0. `code_7` is 7. */
export function icmpCode(family: Family, type: number, name: string): number | undefined {
  if (name === "") return 0;
  return numbered("code", name) ?? (family === 4 ? CODES_V4 : CODES_V6)[type]?.[name];
}

function numbered(what: string, name: string): number | undefined {
  const digits = new RegExp(`^${what}_(\\d{1,3})$`).exec(name)?.[1];
  return digits === undefined || Number(digits) > 255 ? undefined : Number(digits);
}

type Table = Readonly<Record<string, number>>;

const TYPES_V4: Table = {
  echo_reply: 0,
  unreachable: 3,
  source_quench: 4,
  redirect: 5,
  echo_request: 8,
  time_exceeded: 11,
  parameter_problem: 12,
  timestamp_request: 13,
  timestamp_reply: 14,
  information_request: 15,
  information_reply: 16,
  address_mask_request: 17,
  address_mask_reply: 18,
};

const TYPES_V6: Table = {
  unreachable: 1,
  packet_too_big: 2,
  time_exceeded: 3,
  parameter_problem: 4,
  echo_request: 128,
  echo_reply: 129,
};

const CODES_V4: Readonly<Record<number, Table>> = {
  3: {
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
    net_unreachable_for_tos: 11,
    host_unreachable_for_tos: 12,
    net_tos: 11,
    host_tos: 12,
    packet_filtered: 13,
    communication_prohibited: 13,
    precedence_violation: 14,
    precedence_cutoff: 15,
  },
  11: { ttl_exceeded: 0, exceeded_ttl: 0, frag_time_exceeded: 1, exceeded_frag_time: 1 },
};

const CODES_V6: Readonly<Record<number, Table>> = {
  1: {
    net_unreachable: 0,
    no_route: 0,
    admin_prohibited: 1,
    not_neighbour: 2,
    address_unreachable: 3,
    port_unreachable: 4,
  },
  3: { exceeded_hop_limit: 0, exceeded_frag_time: 1 },
  4: { header_field: 0, unknown_next_header: 1, unknown_option: 2 },
};
