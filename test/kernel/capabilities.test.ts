import { describe, expect, it } from "vitest";
import { capabilityAdvice, readCapabilities } from "../../src/kernel/capabilities.js";

const status = (capEff: string) => `Name:\tnode\nCapPrm:\tffffffffffffffff\nCapEff:\t${capEff}\nCapBnd:\tffffffffffffffff\n`;

describe("readCapabilities", () => {
  it.each([
    ["0000000000000000", { netRaw: false, netAdmin: false }],
    ["0000000000001000", { netRaw: false, netAdmin: true }], // bit 12
    ["0000000000002000", { netRaw: true, netAdmin: false }], // bit 13
    ["000001ffffffffff", { netRaw: true, netAdmin: true }],
    ["ffffffffffffcfff", { netRaw: false, netAdmin: false }],
  ])("reads CapEff %s", (capEff, expected) => {
    expect(readCapabilities(status(capEff))).toEqual(expected);
  });

  it("has none where the line is missing", () => {
    expect(readCapabilities("")).toEqual({ netRaw: false, netAdmin: false });
  });
});

describe("capabilityAdvice", () => {
  it("names what is missing and the command, in one line", () => {
    const advice = capabilityAdvice({ netRaw: false, netAdmin: true });
    expect(advice).toContain("CAP_NET_RAW");
    expect(advice).not.toContain("CAP_NET_ADMIN");
    expect(advice).toContain("setcap");
    expect(advice).not.toContain("\n");
  });

  it("is silent when nothing is missing", () => {
    expect(capabilityAdvice({ netRaw: true, netAdmin: true })).toBe("");
  });
});
