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
    "0xffffffff & 0xff00000000 == 0",
    "(1 << 40 | 1) ^ 1 == 1 << 40",
    "~5 == -6 and - -5 == +5 and -2 ** 2 == -4",
    "1 < x < 9 and not x < 1",
    "x is not None and x is 5",
    "[1, 2] == [1, 2] and (1,) == [1] and () == []",
    "[1, 2, 3][1] == 2 and (4, 5)[-1] == 5 and 'abc'[1:] == 'bc' and [1, 2, 3][:2] == [1, 2]",
    "len([1, 2]) == 2 and sum((1, 2)) == 3 and max([3, 9, 4]) == 9",
    "all([x, 1]) and any((0, 1)) and sorted([2, 1]) == [1, 2]",
    "'b' in 'abc' and 'z' not in 'abc'",
    "0b101 == 5 and 0o17 == 15 and 1_000 == 1000 and 1e3 == 1000",
    "hex(255) == '0xff' and int('12') == 12 and int('ff', 16) == 255",
    "round(2.567, 2) == 2.57 and divmod(7, 2) == [3, 1]",
    "'%d of %s is %.1f%%' % (1, 'x', 2.26) == '1 of x is 2.3%'",
    "f'{x:03d} {x + 1} {{}} {x=}' == '005 6 {} x=5'",
    "'{} {1} {:x}'.format(1, 255) == '1 255 ff'",
    "'a' 'b' + \"c\" == '''abc'''",
    "True or unknown",
    "not (False and unknown)",
    "1 if x else unknown",
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

describe("blocks", () => {
  it("if, elif and else, on one line and on several", () => {
    const code =
      "if x > 5:\n  print('a')\nelif x == 5:\n  print('b')\n  if True: print('c'); print('d')\nelse:\n  print('e')\nprint('f')";
    expect(run(code, { x: 5 }).printed).toEqual(["b", "c", "d", "f"]);
    expect(run(code, { x: 6 }).printed).toEqual(["a", "f"]);
    expect(run(code, { x: 1 }).printed).toEqual(["e", "f"]);
  });

  it("for and while, break and continue, several names", () => {
    expect(run("for i, j in [(1, 2), (3, 4)]: pass\nprint(i, j)").printed).toEqual(["3 4"]);
    expect(run("for i in range(9):\n  if i == 1: continue\n  if i == 4: break\n  print(i)").printed).toEqual(["0", "2", "3"]);
    expect(run("n = 0\nwhile True:\n  n += 2\n  if n >= 6: break\nprint(n)").printed).toEqual(["6"]);
  });

  it("what does not come to an end is told", () => {
    expect(() => run("while 1: pass")).toThrow("code that does not come to an end");
    expect(() => run("range(10 ** 9)")).toThrow("code that does not come to an end");
  });

  it("lines that are set in without need belong to the same block", () => {
    expect(run("\n   a = 1\n   assert a == 1\n", {}).names.get("a")).toBe(1);
  });
});

it("assignments to several names, in a chain, and with an operator", () => {
  const { names } = run("a = b = 2\nc, d = a + 1, 4\na *= 3\n(e, f) = [5, 6]");
  expect(Object.fromEntries(names)).toEqual({ a: 6, b: 2, c: 3, d: 4, e: 5, f: 6 });
});

it("print, as both Pythons have it", () => {
  const code = "print 'x', 1\nprint('y', [1, 'a'], None, file=sys.stderr)\nprint >>x, 2";
  expect(run(code, { x: 1 }).printed).toEqual(["x 1", "y [1, 'a'] None", "2"]);
});

it("imports are passed over, and what is raised fails", () => {
  expect(() => run("import sys, os\nfrom math import *\nglobal x")).not.toThrow();
  expect(() => run("raise AssertionError('no')")).toThrow('raise AssertionError ( "no" )');
  expect(() => run("x = 1 / 0")).toThrow("code divides 1 by zero");
});

it("an assertion in brackets with a comma holds, as in Python", () => {
  expect(() => run("assert (1 == 2, 'never')")).not.toThrow();
});

it.each([
  ["if x: y", "the name y in code"],
  ["for i in x: pass", "code that goes through 1"],
  ["assert unknown", "the name unknown in code"],
  ["f(1)", "the function f in code"],
  ["x.y", 'code "x . y"'],
  ["x = ", 'code "x ="'],
  ["assert (1", 'code "assert ( 1"'],
  ["x + 'a'", "code that counts with a"],
  ["$", 'code "$"'],
  ["def f(): pass", 'code with "def"'],
  ["try:\n  x\nexcept: pass", 'code with "try"'],
  ["y = lambda z: z", 'code with "lambda"'],
  ["[i for i in x]", 'code with "for" in brackets'],
  ["sum(i for i in x)", 'code with "for" in brackets'],
  ["else: pass", 'code with "else"'],
  ["if x:", 'code "if x :"'],
  ["'abc", "code with a text that has no end"],
  ["1 = 2", 'code "1 = 2"'],
  ["a, b = 1", "code that goes through 1"],
  ["[1][5]", "code with an index out of range: 5"],
  ["(".repeat(2000), "code that is nested too deeply"],
  ["-".repeat(5000), "code"],
  ["2 ** ".repeat(3000), "code that is nested too deeply"],
])("%j is named as not supported", (code, feature) => {
  expect(() => run(code, { x: 1 })).toThrow(UnsupportedError);
  expect(() => run(code, { x: 1 })).toThrow(`not supported: ${feature}`);
});
