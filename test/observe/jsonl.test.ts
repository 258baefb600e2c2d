import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import type { TraceEvent } from "../../src/observe/events.js";
import { formatJson } from "../../src/observe/jsonl.js";
import { COMMON_FIELDS, checkEvent, EVENT_FIELDS, type Field } from "../../src/observe/schema.js";
import { HTTP_EXCHANGE, TROUBLE } from "./sample-trace.js";

const EVENTS: readonly TraceEvent[] = [...HTTP_EXCHANGE, ...TROUBLE];
const types = Object.keys(EVENT_FIELDS) as TraceEvent["type"][];

describe("JSON Lines", () => {
  test("the sample holds every type of event", () => {
    expect(new Set(EVENTS.map((event) => event.type))).toEqual(new Set(types));
  });

  test("a line is one line, parses to the event, and fits the schema", () => {
    for (const event of EVENTS) {
      const line = formatJson(event);
      expect(line).not.toContain("\n");
      const parsed: unknown = JSON.parse(line);
      expect(parsed).toEqual(event);
      expect(checkEvent(parsed)).toBeNull();
    }
  });

  test("keys come in the order of the schema, whatever the order in the event", () => {
    for (const event of EVENTS) {
      const shuffled = Object.fromEntries(Object.entries(event).reverse()) as unknown as TraceEvent;
      const keys = Object.keys(JSON.parse(formatJson(shuffled)) as object);
      expect(keys).toEqual([...Object.keys(COMMON_FIELDS), ...Object.keys(EVENT_FIELDS[event.type])]);
    }
  });

  test("a key that is in no schema is not written", () => {
    const more = { t: 0, type: "drop", conn: 1, reason: "x", secret: 1 } as unknown as TraceEvent;
    expect(formatJson(more)).toBe('{"t":0,"type":"drop","conn":1,"reason":"x"}');
  });
});

describe("the schema refuses", () => {
  const segment = EVENTS.find((event) => event.type === "segment");
  const state = EVENTS.find((event) => event.type === "state");
  test.each<[string, unknown, string]>([
    ["what is no object", [1], "not an object"],
    ["null", null, "not an object"],
    ["an unknown type", { ...state, type: "status" }, '"type" cannot be "status"'],
    ["a type that every object has", { ...state, type: "toString" }, '"type" cannot be "toString"'],
    ["a missing key", { t: 0, type: "drop", conn: 1 }, '"reason" is missing'],
    ["an unknown key", { ...state, extra: 1 }, 'unknown key "extra"'],
    ["a state of another spelling", { ...state, to: "SYN_SENT" }, '"to" cannot be "SYN_SENT"'],
    ["a negative time", { ...state, t: -1 }, '"t" cannot be -1'],
    ["a fraction of a microsecond", { ...state, t: 0.5 }, '"t" cannot be 0.5'],
    ["a sequence number beyond 32 bits", { ...segment, seq: 2 ** 32 }, '"seq" cannot be 4294967296'],
    ["a window beyond 16 bits", { ...segment, win: 65536 }, '"win" cannot be 65536'],
    ["a missing relative number", { ...segment, relSeq: undefined }, '"relSeq" cannot be undefined'],
    ["a number for a flag", { ...segment, lost: 0 }, '"lost" cannot be 0'],
  ])("%s", (_name, value, problem) => {
    expect(checkEvent(value)).toBe(problem);
  });
});

describe("the README", () => {
  const sections = readFileSync(new URL("../../src/observe/README.md", import.meta.url), "utf8").split(/^#+ /m);
  const keysOf = (section: string): string[] => [...section.matchAll(/^\| `(\w+)` \|/gm)].map((match) => match[1] ?? "");

  test.each(types)("lists the keys of %s in order, with every word that they may hold", (type) => {
    const section = sections.find((part) => part.startsWith(`\`${type}\``)) ?? "";
    const fields: Readonly<Record<string, Field>> = EVENT_FIELDS[type];
    expect(keysOf(section)).toEqual(Object.keys(fields));
    for (const [key, { kind }] of Object.entries(fields)) {
      // The states are listed in RFC 9293, not here.
      if (typeof kind === "string" || kind.includes("LISTEN")) continue;
      const line = section.split("\n").find((row) => row.startsWith(`| \`${key}\``)) ?? "";
      for (const word of kind) expect(line).toContain(`\`"${word}"\``);
    }
  });

  test("lists the keys of all events and every type", () => {
    const section = sections.find((part) => part.startsWith("JSON Lines")) ?? "";
    expect(keysOf(section)).toEqual(Object.keys(COMMON_FIELDS));
    for (const type of types) expect(section).toContain(`\`"${type}"\``);
  });
});
