import { describe, expect, it } from "vitest";
import { ACK, AE, CWR, ECE, FIN, formatFlags, nameFlags, PSH, RST, SYN, URG } from "../../src/wire/tcp-flags.js";

describe("formatFlags", () => {
  it.each([
    [0, "none"],
    [SYN, "S"],
    [SYN | ACK, "S."],
    [ACK, "."],
    [PSH | ACK, "P."],
    [FIN | ACK, "F."],
    [RST | ACK, "R."],
    [SYN | ECE | CWR, "SEW"],
    [0x1ff, "FSRP.UEWe"],
  ])("prints %d as %s", (flags, text) => {
    expect(formatFlags(flags)).toBe(text);
    // The second time it comes from the table.
    expect(formatFlags(flags)).toBe(text);
  });

  it("gives each bit its own letter", () => {
    const letters = [FIN, SYN, RST, PSH, ACK, URG, ECE, CWR, AE].map(formatFlags);
    expect(letters.join("")).toBe("FSRP.UEWe");
  });

  it("stands at the bits of the header", () => {
    expect([FIN, SYN, RST, PSH, ACK, URG, ECE, CWR, AE]).toEqual([1, 2, 4, 8, 16, 32, 64, 128, 256]);
  });
});

describe("nameFlags", () => {
  it("joins the names", () => {
    expect(nameFlags(0)).toBe("none");
    expect(nameFlags(SYN | ACK)).toBe("SYN+ACK");
    expect(nameFlags(0x1ff)).toBe("SYN+FIN+RST+PSH+ACK+URG+ECE+CWR+AE");
  });
});
