import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { BendSyntaxError } from "../../src/bend/lexer.js";
import { parseBend } from "../../src/bend/parser.js";
import { ACK, RST, SYN } from "../../src/wire/tcp-flags.js";

const one = (text: string) => {
  const [rule] = parseBend(text);
  if (rule === undefined) throw new Error("no rule");
  return rule;
};
const ALL = { first: 1, last: Number.POSITIVE_INFINITY, every: 1 };

describe("selectors", () => {
  it.each([
    ["drop out ack 1", { direction: "out", kind: "ack", ordinals: { first: 1, last: 1, every: 1 }, where: [] }],
    ["drop in fin", { direction: "in", kind: "fin", ordinals: ALL, where: [] }],
    ["DROP IN data 2..5", { direction: "in", kind: "data", ordinals: { first: 2, last: 5, every: 1 }, where: [] }],
    [
      "drop in data 3..",
      { direction: "in", kind: "data", ordinals: { first: 3, last: Number.POSITIVE_INFINITY, every: 1 }, where: [] },
    ],
    ["drop in any every 10", { direction: "in", kind: "any", ordinals: { ...ALL, every: 10 }, where: [] }],
  ])("%s", (text, selector) => {
    expect(one(text)).toMatchObject({ text, selector, action: { kind: "drop" } });
  });

  it("conditions", () => {
    const text =
      'drop out any where seq in 0..3000 and abs ack = rcv.nxt+1 and payload "GET" and payload 0x00ff and state != FIN-WAIT-1 and t > 1.5s and len >= 5 and flags = SA';
    expect(one(text).selector.where).toEqual([
      { kind: "range", field: "seq", from: { kind: "number", value: 0 }, to: { kind: "number", value: 3000 }, absolute: false },
      {
        kind: "compare",
        field: "ack",
        comparison: "=",
        value: { kind: "sum", left: { kind: "name", name: "rcv.nxt" }, right: { kind: "number", value: 1 }, sign: 1 },
        absolute: true,
      },
      { kind: "payload", bytes: new Uint8Array([71, 69, 84]) },
      { kind: "payload", bytes: new Uint8Array([0, 255]) },
      { kind: "state", state: "FIN-WAIT-1", not: true },
      { kind: "time", comparison: ">", value: 1_500_000 },
      { kind: "compare", field: "len", comparison: ">=", value: { kind: "number", value: 5 }, absolute: false },
      { kind: "compare", field: "flags", comparison: "=", value: { kind: "number", value: SYN | ACK }, absolute: false },
    ]);
  });
});

describe("actions", () => {
  it.each([
    ["delay out data 2 by 200ms", { kind: "delay", byUs: 200_000 }],
    ["duplicate out syn 1 after 50ms", { kind: "duplicate", times: 1, afterUs: 50_000 }],
    ["duplicate out data 3 times", { kind: "duplicate", times: 3, afterUs: 0 }],
    ["duplicate out data 1 2 times after 1s", { kind: "duplicate", times: 2, afterUs: 1_000_000 }],
    ["reorder out data 3 behind 2", { kind: "reorder", behind: 2 }],
    ["hold in ack until t > 2s", { kind: "hold", until: { kind: "time", atUs: 2_000_000 } }],
    ["hold in ack until 2s", { kind: "hold", until: { kind: "time", atUs: 2_000_000 } }],
    ["hold in ack until state = TIME-WAIT", { kind: "hold", until: { kind: "state", state: "TIME-WAIT" } }],
    ["corrupt out data 1 byte 5 xor 0x0f", { kind: "corrupt", byte: 5, xor: 15 }],
    ["corrupt out data 1", { kind: "corrupt", byte: 0, xor: 255 }],
    [
      "set out synack win=0",
      { kind: "set", assignments: [{ field: "win", operator: "=", value: { kind: "number", value: 0 } }], badChecksum: false },
    ],
    ["set out data badsum", { kind: "set", assignments: [], badChecksum: true }],
    [
      'replace in data 1 with payload="hé", ttl=3',
      { kind: "set", assignments: [{ field: "payload", value: new Uint8Array([0x68, 0xc3, 0xa9]) }, { field: "ttl" }] },
    ],
    [
      "set out any seq+=1000",
      { kind: "set", assignments: [{ field: "seq", operator: "+=", value: { kind: "number", value: 1000 } }] },
    ],
    ["inject RST seq=rcv.nxt after in data 1", { kind: "inject", place: "after", direction: "in", segment: { flags: RST } }],
    ["inject RST seq=snd.nxt-1 after in data 1", { kind: "inject", place: "after", direction: "out", segment: { flags: RST } }],
    ["inject out SA before in fin 1", { kind: "inject", place: "before", direction: "out", segment: { flags: SYN | ACK } }],
    [
      "inject before out fin 1 flags=SA win=3 badsum",
      {
        kind: "inject",
        place: "before",
        direction: "out",
        segment: { flags: SYN | ACK, badChecksum: true, assignments: [{ field: "win" }] },
      },
    ],
    ["answer in syn with R", { kind: "answer", segment: { flags: RST } }],
    ["split out synack into syn and ack", { kind: "split", parts: [{ flags: SYN }, { flags: ACK }] }],
  ])("%s", (text, action) => {
    expect(one(text).action).toMatchObject(action);
  });

  it("hold until another segment", () => {
    expect(one("hold out data 3 until out data 5").action).toMatchObject({
      until: { kind: "segment", selector: { kind: "data", ordinals: { first: 5 } } },
    });
  });
});

it("rules stand one a line, or with ; between; # begins a comment", () => {
  const rules = parseBend('# all of them\ndrop out ack 1; drop in fin # the rest\n\nset out data payload="a;#b"\n');
  expect(rules.map(({ text }) => text)).toEqual(["drop out ack 1", "drop in fin", 'set out data payload="a;#b"']);
});

describe("what is wrong is told by line and column, with what was expected", () => {
  it.each([
    ["drp out ack", 'line 1, column 1: "drp": expected one of the actions (drop, delay, duplicate'],
    ["drop ack", 'line 1, column 6: "ack": expected out or in'],
    ["drop out acks", 'line 1, column 10: "acks": expected a kind of segment (any, syn, synack'],
    ["drop out ack 0", 'line 1, column 14: "0": expected which one, from 1: a number from 1 on'],
    ["drop out ack 5..3", 'line 1, column 17: "3": expected a number from 5 on'],
    ["delay out data", 'line 1, column 15: the rule ends: expected "by"'],
    ["delay out data by 5", 'line 1, column 19: "5": expected a time, such as 200ms or 1.5s'],
    ["set out data", "line 1, column 13: the rule ends: expected a change, such as win=0 or badsum"],
    ["set out data wim=0", 'line 1, column 14: "wim": expected a field (seq, ack, win'],
    ["set out data win=70000", 'line 1, column 18: "70000": expected a number up to 65535, all that win can hold'],
    ["set out syn mss=70000", 'line 1, column 17: "70000": expected a number up to 65535, all that mss can hold'],
    ["set out data len=1", 'line 1, column 14: "len": expected a field that can be set: this one can be compared only'],
    ["set out data win=foo", 'line 1, column 18: "foo": expected a number or one of snd.una'],
    ['set out data options="mss=x"', 'TCP option "mss=x": expected a whole number from 0 to 65535'],
    ["drop out ack 1 please", 'line 1, column 16: "please": expected the end of the rule'],
    ["drop out ack where state = OPEN", 'line 1, column 28: "OPEN": expected a state ('],
    ["drop out ack\ndrop in fin ?", 'line 2, column 13: unexpected "?"'],
    ["drop out ack; drop", "line 1, column 19: the rule ends: expected out or in"],
    ["inject R seq=1", "line 1, column 15: the rule ends: expected before or after"],
    ["split out synack into S", 'line 1, column 24: the rule ends: expected "and" and the second segment'],
    ["answer in syn with XX", 'line 1, column 20: flags "XX": "X" is no flag'],
  ])("%s", (text, message) => {
    expect(() => parseBend(text)).toThrow(message);
  });

  it("an expression that would overflow the stack is refused, one that a person writes is not", () => {
    const seq = (value: string) => parseBend(`set out any seq=${value}`);
    expect(() => seq(`${"(".repeat(20_000)}1`)).toThrow('line 1, column 38: "(": expected parentheses at most 20 deep');
    expect(() => seq(`1${"+1".repeat(20_000)}`)).toThrow("expected a sum of at most 100 terms");
    expect(seq(`${"(".repeat(20)}1${")".repeat(20)}${"+1".repeat(99)}`)).toHaveLength(1);
    // What is closed again does not count.
    expect(seq(`1${"+(1)".repeat(99)}`)).toHaveLength(1);
  });

  it("nothing else is thrown, whatever is read", () => {
    const words =
      'drop out in ack data 1 .. where seq in abs = + - ( ) payload "x" 0x0 state t > 5ms by until set win += badsum inject R SA after before with into and every , ; # \n hold reorder behind'.split(
        " ",
      );
    const texts = fc.oneof(
      fc.string(),
      fc.array(fc.constantFrom(...words), { maxLength: 14 }).map((list) => list.join(" ")),
    );
    fc.assert(
      fc.property(texts, (text) => {
        try {
          parseBend(text);
        } catch (error) {
          if (!(error instanceof BendSyntaxError)) throw error;
        }
      }),
      { numRuns: 5000 },
    );
  });
});
