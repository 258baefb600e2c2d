import { describe, expect, it } from "vitest";
import { ScriptFailure, UnsupportedError } from "../../src/script/errors.js";
import { type Names, runCode } from "../../src/script/evaluator.js";

function run(code: string, names: Record<string, number> = {}): { printed: string[]; names: Names } {
  const printed: string[] = [];
  const table: Names = new Map(Object.entries(names));
  runCode(code, table, (text) => printed.push(text));
  return { printed, names: table };
}

describe("assert", () => {
  const holding = [
    "1 == 1",
    "1 < 2 <= 2",
    "not 1 > 2",
    "1 == 1 and 2 == 2 or 3 == 4",
    "(1 == 2) == False",
    "x == 5",
    "x in (4, 5)",
    "x not in [1, 2]",
    "x * 2 + 1 == 11",
    "7 // 2 == 3",
    "-7 % 3 == 2",
    "2 ** 3 == 8",
    "1 << 4 == 16",
    "0x10 == 16",
    "x & 4 == 4",
    "abs(-3) == 3 and min(1, 2) == 1 and max(1, 2) == 2",
    "'a' == \"a\"",
    "1 if x == 5 else 0",
    "1.5 > 1",
  ];
  it.each(holding)("%s", (code) => {
    expect(() => run(`assert ${code}`, { x: 5 })).not.toThrow();
  });

  it.each(["1 == 2", "1 < 2 < 2", "x != 5", "x in (1, 2)", "not x", "0", "''", "None"])("%s does not hold", (code) => {
    expect(() => run(`assert ${code}`, { x: 5 })).toThrow(ScriptFailure);
  });

  it("a failure names the values and the remark", () => {
    expect(() => run("assert x == 6, 'should be six'", { x: 5 })).toThrow(
      expect.objectContaining({ message: "assert x == 6 (should be six)", expected: "x == 6", got: "x is 5" }),
    );
  });
});

it("statements by line, by semicolon, over brackets and backslashes; comments", () => {
  expect(run("a = 1; b = 2\nc = (a +\n b) # sum\nprint(a, b, c)\nassert a \\\n == 1").printed).toEqual(["1 2 3"]);
});

it("assignments are kept", () => {
  expect(run("y = x + 1", { x: 1 }).names.get("y")).toBe(2);
});

it.each(["if x: y", "for i in x: pass", "assert unknown", "f(1)", "x.y", "x = ", "assert (1", "x + 'a'", "$"])(
  "%s is named as not supported",
  (code) => {
    expect(() => run(code, { x: 1 })).toThrow(UnsupportedError);
  },
);
