/** Names of ICMP's types and codes, as scripts write them. */
import { describe, expect, it } from "vitest";
import { icmpCode, icmpType } from "../../src/script/icmp-names.js";

describe("types", () => {
  it.each([
    [4, "unreachable", 3],
    [4, "source_quench", 4],
    [4, "time_exceeded", 11],
    [4, "parameter_problem", 12],
    [6, "unreachable", 1],
    [6, "packet_too_big", 2],
    [6, "time_exceeded", 3],
    [6, "parameter_problem", 4],
    [6, "echo_request", 128],
  ] as const)("IPv%i: %s is %i (RFC 792, RFC 4443)", (family, name, type) => {
    expect(icmpType(family, name)).toBe(type);
  });

  it("a name of the other family is none", () => {
    expect(icmpType(4, "packet_too_big")).toBeUndefined();
    expect(icmpType(6, "source_quench")).toBeUndefined();
  });

  it("by number, within a byte", () => {
    expect(icmpType(4, "type_255")).toBe(255);
    expect(icmpType(6, "type_0")).toBe(0);
    for (const name of ["type_256", "type_", "type_1x", "code_1", "7"]) expect(icmpType(4, name), name).toBeUndefined();
  });
});

describe("codes", () => {
  it.each([
    [4, 3, "frag_needed", 4],
    [4, 3, "packet_filtered", 13],
    [4, 3, "precedence_cutoff", 15],
    [4, 11, "frag_time_exceeded", 1],
    [6, 1, "port_unreachable", 4],
    [6, 3, "exceeded_frag_time", 1],
    [6, 4, "unknown_option", 2],
  ] as const)("IPv%i, type %i: %s is %i (RFC 1122 §3.2.2.1, RFC 4443)", (family, type, name, code) => {
    expect(icmpCode(family, type, name)).toBe(code);
  });

  it("none is 0, of any type", () => {
    expect(icmpCode(4, 12, "")).toBe(0);
    expect(icmpCode(6, 200, "")).toBe(0);
  });

  it("a name belongs to its type", () => {
    expect(icmpCode(4, 11, "frag_needed")).toBeUndefined();
    expect(icmpCode(4, 200, "frag_needed")).toBeUndefined();
    expect(icmpCode(6, 1, "net_tos")).toBeUndefined();
  });

  it("by number, of any type", () => {
    expect(icmpCode(4, 200, "code_9")).toBe(9);
    expect(icmpCode(4, 3, "code_256")).toBeUndefined();
    expect(icmpCode(4, 3, "type_9")).toBeUndefined();
  });
});
