/** The scripts of `test/pkt`: each passes on our stack, and with it strictly none that its script does not know. */
import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { parseScript } from "../../src/script/parser.js";
import { readSettings } from "../../src/script/settings.js";
import { judge, told } from "./support.js";

const root = resolve(import.meta.dirname, "../pkt");
const scripts = readdirSync(root, { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith(".pkt"));

describe("test/pkt", () => {
  it("holds scripts", () => {
    expect(scripts.length).toBeGreaterThan(150);
  });

  it.each(scripts.sort())("%s", (file) => {
    const text = readFileSync(join(root, file), "utf8");
    // A packet that is put in last would prove nothing, unless a call still waits for it.
    const { events } = parseScript(text, (lines) => readSettings(lines).definitions);
    const last = events.at(-1)?.action;
    const waits = events.some(({ time }) => time.returnsUs !== undefined);
    expect(
      last?.kind === "packet" && last.packet.direction === "in" && !waits,
      "it ends with something that the stack does",
    ).toBe(false);
    expect(told(judge(text, { echoes: true }))).toBe("pass");
    expect(told(judge(text, { seed: 77, echoes: true }))).toBe("pass");
  });
});
