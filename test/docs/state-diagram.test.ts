import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { stateDiagram } from "../../src/observe/state-diagram.js";
import { STATES, TRANSITIONS } from "../../src/tcp/state.js";

describe("state diagram", () => {
  it("the one in src/README.md is drawn from the table as it is now (mend: node scripts/state-diagram.mjs --write)", () => {
    const page = readFileSync(new URL("../../src/README.md", import.meta.url), "utf8");
    const [, drawn = ""] = /-->\n```mermaid\n(stateDiagram-v2.*?)\n```\n<!-- end/s.exec(page) ?? [];
    expect(drawn).toBe(stateDiagram(STATES, TRANSITIONS));
  });

  it("has an arrow for each transition, and one to the first state", () => {
    const lines = stateDiagram(STATES, TRANSITIONS).split("\n");
    expect(lines.filter((line) => line.includes(" --> "))).toHaveLength(TRANSITIONS.length + 1);
    expect(lines).toContain("    [*] --> CLOSED");
    expect(lines).toContain("    SYN_SENT --> ESTABLISHED: rcv SYN,ACK / ACK");
    expect(lines).toContain("    ESTABLISHED --> CLOSED: RST, ABORT or time-out *");
  });

  it("no arrow names a state with a dash, which mermaid would read as an arrow", () => {
    const arrows = stateDiagram(STATES, TRANSITIONS)
      .split("\n")
      .filter((line) => line.includes(" --> "));
    expect(arrows.filter((line) => /-/.test(line.split(":")[0]?.replace(" --> ", "") ?? ""))).toEqual([]);
  });
});
