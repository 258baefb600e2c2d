import { describe, expect, it } from "vitest";
import type { Action, PacketEvent } from "../../src/script/ast.js";
import { ScriptSyntaxError } from "../../src/script/errors.js";
import { parseScript } from "../../src/script/parser.js";

const action = (text: string): Action | undefined => parseScript(text).events[0]?.action;
function packet(text: string): PacketEvent {
  const found = action(`0 ${text}`);
  if (found?.kind !== "packet") throw new Error(`no packet: ${text}`);
  return found.packet;
}

describe("times", () => {
  const times: [string, object][] = [
    ["0.1", { relative: false, us: 100_000 }],
    ["0", { relative: false, us: 0 }],
    ["1.000001", { relative: false, us: 1_000_001 }],
    [".5", { relative: false, us: 500_000 }],
    ["+0.1", { relative: true, us: 100_000 }],
    ["+.1", { relative: true, us: 100_000 }],
    ["+0", { relative: true, us: 0 }],
    ["+10", { relative: true, us: 10_000_000 }],
    ["+.1~+.2", { relative: true, us: 100_000, untilUs: 200_000 }],
    ["0.1~0.2", { relative: false, us: 100_000, untilUs: 200_000 }],
    ["0...0.5", { relative: false, us: 0, returnsUs: 500_000 }],
    ["+0...+0.5", { relative: true, us: 0, returnsUs: 500_000 }],
    ["0.100...0.200", { relative: false, us: 100_000, returnsUs: 200_000 }],
    ["*", { relative: true, us: null }],
  ];
  it.each(times)("%s", (text, time) => {
    const event = text.includes("...") ? "close(3) = 0" : "> . 1:1(0) ack 1";
    expect(parseScript(`${text} ${event}`).events[0]?.time).toEqual(time);
  });
});

describe("packets", () => {
  it("every flag", () => {
    expect(packet("> FSRPUEWA. 0:0(0) ack 1").flags).toBe(0x1ff);
    expect(packet("> - 0:0(0)").flags).toBe(0);
    expect(packet("> S5. 0:0(0) ack 1").flags).toBe(0x2 | 0x10 | 0x100 | 0x40); // accurate ECN: 101 in AE, CWR, ECE
  });

  it("marks in either bracket, several in one", () => {
    expect(packet("> (ect0) . 1:1(0) ack 1").ip).toEqual({ ecn: 2 });
    expect(packet("> [tos 0x10, flowlabel 0x1] . 1:1(0) ack 1").ip).toEqual({ tos: 16, flowLabel: 1 });
    expect(packet("> [ce] (ttl 5) . 1:1(0) ack 1").ip).toEqual({ ecn: 3, ttl: 5 });
  });

  it("numbers, with and without the end", () => {
    expect(packet("< P. 1:1001(1000) ack 5 win 7 urg 3")).toMatchObject({ seq: 1, length: 1000, ack: 5, window: 7, urgent: 3 });
    expect(packet("< . 9(0) ack 5 win 7")).toMatchObject({ seq: 9, length: 0 });
    expect(packet("> R 4294967295:4294967295(0)")).toMatchObject({ seq: 0xffff_ffff, ack: null, window: null, urgent: null });
  });

  const options: [string, unknown][] = [
    ["", []],
    ["<...>", null],
    ["<mss 1460>", [{ kind: "mss", mss: 1460 }]],
    [
      "<sackOK,nop,wscale 7,eol>",
      [{ kind: "sack-permitted" }, { kind: "nop" }, { kind: "window-scale", shift: 7 }, { kind: "eol" }],
    ],
    ["<TS val 1 ecr 2>", [{ kind: "ts", val: 1, ecr: 2 }]],
    ["<TS ecr 2>", [{ kind: "ts", val: null, ecr: 2 }]],
    [
      "<nop,nop,sack 1:2 5:6>",
      [
        { kind: "nop" },
        { kind: "nop" },
        {
          kind: "sack",
          blocks: [
            { left: 1, right: 2 },
            { left: 5, right: 6 },
          ],
        },
      ],
    ],
    ["<FO abcd>", [{ kind: "fast-open", cookie: new Uint8Array([0xab, 0xcd]) }]],
    ["<FO,nop>", [{ kind: "fast-open", cookie: new Uint8Array(0) }, { kind: "nop" }]],
    ["<FOEXP aa>", [{ kind: "unknown", number: 254, data: new Uint8Array([0xf9, 0x89, 0xaa]) }]],
    ["<ECN>", [{ kind: "accecn1", counters: [] }]],
    ["<wscale *,nop>", [{ kind: "any-scale" }, { kind: "nop" }]],
    ["<AccECN0>", [{ kind: "accecn0", counters: [] }]],
    ["<AccECN0 ee0b 1 eceb 2 ee1b 3>", [{ kind: "accecn0", counters: [1, 2, 3] }]],
    ["<AccECN1 ee1b 7>", [{ kind: "accecn1", counters: [7] }]],
    ["<exp-AccECN0 EE0B 1 ECEB 258>", [{ kind: "unknown", number: 254, data: Uint8Array.of(0xac, 0xc0, 0, 0, 1, 0, 1, 2) }]],
    ["<exp-tarr 5>", [{ kind: "unknown", number: 254, data: Uint8Array.of(0, 0xac, 10) }]],
    ["<exp-00ac>", [{ kind: "unknown", number: 254, data: Uint8Array.of(0, 0xac) }]],
    ["<exp-f989 0a0b>", [{ kind: "unknown", number: 254, data: Uint8Array.of(0xf9, 0x89, 10, 11) }]],
    ["<EXP-FO 0a>", [{ kind: "unknown", number: 254, data: Uint8Array.of(0xf9, 0x89, 10) }]],
    ["<gen-77 0102>", [{ kind: "unknown", number: 77, data: Uint8Array.of(1, 2) }]],
    ["<gen-77>", [{ kind: "unknown", number: 77, data: new Uint8Array(0) }]],
    ["<ECN e0b 1 ceb 0>", [{ kind: "accecn0", counters: [1, 0] }]],
    ["<ECN e1b 1 ceb 0 e0b 2>", [{ kind: "accecn1", counters: [1, 0, 2] }]],
    ["<77 0x0102>", [{ kind: "unknown", number: 77, data: new Uint8Array([1, 2]) }]],
  ];
  it.each(options)("options %s", (text, expected) => {
    expect(packet(`> S 0:0(0) ${text}`).options).toEqual(expected);
  });

  const marks: [string, object][] = [
    ["[ect0]", { ecn: 2 }],
    ["[ect1]", { ecn: 1 }],
    ["[ce]", { ecn: 3 }],
    ["[noecn]", { ecn: 0 }],
    ["[ect01]", { ecn: "ect01" }],
    ["(tos 0x10)", { tos: 16 }],
    ["(ttl 5, tos 0x4)", { ttl: 5, tos: 4 }],
    ["(hlim 5)", { ttl: 5 }],
    ["(flowlabel 0x1)", { flowLabel: 1 }],
  ];
  it.each(marks)("marks %s", (text, expected) => {
    expect(packet(`> ${text} . 1:1(0) ack 1`).ip).toEqual(expected);
  });

  it("ICMP with the quoted segment", () => {
    expect(action("0 < icmp unreachable frag_needed mtu 1200 [1:1461(1460)]")).toEqual({
      kind: "icmp",
      icmp: {
        direction: "in",
        ip: {},
        type: "unreachable",
        code: "frag_needed",
        mtu: 1200,
        id: 0,
        quoted: { protocol: "tcp", seq: 1, length: 1460 },
      },
    });
    expect(action("0 < icmp echo_request id 7 [raw (64)]")).toMatchObject({
      icmp: { type: "echo_request", code: "", mtu: null, id: 7, quoted: { protocol: "raw", length: 64 } },
    });
    expect(action("0 < icmp unreachable port_unreachable [udp (100)]")).toMatchObject({
      icmp: { code: "port_unreachable", quoted: { protocol: "udp", seq: 0, length: 100 } },
    });
  });

  it("UDP, and ports that are not those of the connection", () => {
    expect(action("0 < udp (100)")).toEqual({ kind: "udp", udp: { direction: "in", ip: {}, length: 100 } });
    expect(action("0 < udp 5 > 6 (100)")).toMatchObject({ udp: { ports: { source: 5, destination: 6 } } });
    expect(packet("< 1234 > 80 S 0:0(0) win 1")).toMatchObject({ ports: { source: 1234, destination: 80 }, flags: 2 });
  });

  it("other protocols are named as not supported", () => {
    for (const [text, feature] of [
      ["0 < gre: . 1:1(0)\n", "gre packets"],
      ["0 < ipv4 1.2.3.4 > 5.6.7.8: . 1:1(0)\n", "ipv4 packets"],
      ["0 < mpls (label 0,tc 0,ttl 0): . 1:1(0)\n", "mpls packets"],
      ["0 > S 0:0(0) <mp_capable v1 flags[flag_h] nokey>", "the TCP option mp_capable"],
      ["0 < S 0:0(0) win 1 <mss 1460> {mut tcp mss}", "mutated packets"],
    ] as const)
      expect(action(text)).toEqual({ kind: "unsupported", feature });
  });
});

it("words that were defined stand for others, but not in texts, commands, code and comments", () => {
  const text =
    '-D SIZE=1000\n--define=FD=4\n--define=NAME="reno"\n0 write(FD, ..., SIZE) = SIZE // SIZE\n+0 f("SIZE", NAME) = 0\n+0 `SIZE`\n+0 %{ SIZE }%';
  const actions = parseScript(text).events.map((event) => event.action);
  const number = (value: number): object => ({ kind: "number", value });
  expect(actions[0]).toMatchObject({ call: { args: [number(4), { kind: "any" }, number(1000)], result: number(1000) } });
  expect(actions[1]).toMatchObject({
    call: {
      args: [
        { kind: "text", value: "SIZE" },
        { kind: "text", value: "reno" },
      ],
    },
  });
  expect(actions[2]).toEqual({ kind: "command", command: "SIZE" });
  expect(actions[3]).toEqual({ kind: "code", code: " SIZE " });
  expect(parseScript("0 close(FD) = 0", () => ({ FD: "3" })).events[0]?.action).toMatchObject({ call: { args: [number(3)] } });
});

it("any time and ranges are for packets that the stack sends", () => {
  expect(() => parseScript("* close(3) = 0")).toThrow("only packets that the stack sends");
  expect(() => parseScript("+0~+1 < . 1:1(0) ack 1 win 1")).toThrow("only packets that the stack sends");
});

describe("calls", () => {
  it("texts: one after another, over lines, with escapes, with more to come", () => {
    const text = (script: string): unknown =>
      (action(`0 f(${script}) = 0`) as unknown as { call: { args: unknown[] } }).call.args[0];
    expect(text('"ab" "cd"')).toEqual({ kind: "text", value: "abcd" });
    expect(text('"a\nb"...')).toEqual({ kind: "text", value: "a\nb" });
    expect(text('"a\\x41\\t\\0b"')).toEqual({ kind: "text", value: "aA\t\0b" });
  });

  it("arguments of every kind", () => {
    const found = action('0 f(..., 1, -2, 0x10, A|B, "te\\n", [1, 2], {a=1, b(2)=[{..., 3}]}, g(1)) = -1 EAGAIN (remark)');
    expect(found).toMatchObject({
      kind: "call",
      call: {
        name: "f",
        errno: "EAGAIN",
        result: { kind: "number", value: -1 },
        args: [
          { kind: "any" },
          { value: 1 },
          { value: -2 },
          { value: 16 },
          { kind: "binary", operator: "|" },
          { kind: "text", value: "te\n" },
          { kind: "list" },
          { kind: "struct", fields: [{ name: "a" }, { name: "b", length: { value: 2 } }] },
          { kind: "call", name: "g" },
        ],
      },
    });
  });

  it("a result of any kind, and the time of the next event is none of it", () => {
    const { events } = parseScript("0 f() = ...\n+0 g() = 3\n+.1 < . 1:1(0) ack 1 win 5\n* > . 1:1(0) ack 1");
    expect(events.length).toBe(4);
    expect(events[0]?.action).toMatchObject({ call: { result: null } });
  });
});

describe("comments, options, commands, code", () => {
  it("three forms of comments", () => {
    const { events } = parseScript("// one\n0 f() = 0 /* two\nlines */ # three\n+0 g() = 0");
    expect(events.map(({ text, place }) => [text, place.line])).toEqual([
      ["0 f() = 0", 2],
      ["+0 g() = 0", 4],
    ]);
  });

  it("option lines and definitions", () => {
    expect(parseScript('--tolerance_usecs=10\n--strict_segments\n-D N=5\n--local_ip="1.2.3.4"\n0 f() = 0').options).toMatchObject(
      [
        { name: "tolerance_usecs", value: "10" },
        { name: "strict_segments", value: "" },
        { name: "-D N", value: "5" },
        { name: "local_ip", value: "1.2.3.4" },
      ],
    );
  });

  it("commands and code, with and without a time", () => {
    expect(
      parseScript("`./defaults.sh`\n+0 `sysctl a=b`\n+1 %{ assert 1\nprint(2) }%").events.map((event) => event.action),
    ).toEqual([
      { kind: "command", command: "./defaults.sh" },
      { kind: "command", command: "sysctl a=b" },
      { kind: "code", code: " assert 1\nprint(2) " },
    ]);
  });
});

it("blanks may stand between the parts of an option line, of sequence numbers and of blocks", () => {
  const { options, events } = parseScript("--mtu = 1400\n--strict_segments\n0 > . 1 : 1001 ( 1000 ) ack 1 <sack 5 : 6>");
  expect(options.map(({ name, value }) => [name, value])).toEqual([
    ["mtu", "1400"],
    ["strict_segments", ""],
  ]);
  expect(events[0]?.action).toMatchObject({ packet: { seq: 1, length: 1000, options: [{ blocks: [{ left: 5, right: 6 }] }] } });
});

describe("what is no script", () => {
  const wrong: [string, number, number, string][] = [
    ["x", 1, 1, 'a time, such as 0.1, +0.1, +.1~+.2, 0.1...0.2 or "*"'],
    ["0 < S", 1, 6, "start:end(length)"],
    ["0 < S 0:5(0) win 1", 1, 12, "the length is not the distance"],
    ["0 < S 0:0(0) <mss>", 1, 15, "an option: mss"],
    ["0 < S 0:0(0) <mss 1", 1, 20, '"," or ">"'],
    ["0 < Q 0:0(0)", 1, 5, "flags"],
    ["0 f(1 = 0", 1, 7, '"," or ")"'],
    ["0 f(1)", 1, 7, '"=" and what the call returns'],
    ["0 f(1) =", 1, 9, "a value"],
    ["0 f([1) = 0", 1, 7, '"," or "]"'],
    ["0 f({a=1) = 0", 1, 9, '"," or "}"'],
    ["0 f() = 0\n\n  +0 ?", 3, 6, "a packet (< or >), a system call"],
    ["0.5~0.1 > . 1:1(0)", 1, 8, "ends before it begins"],
    ["/* never", 1, 1, "has no end"],
    ["0 `never", 1, 3, "no end"],
    ["0 %{ never", 1, 3, "no end"],
    ["0 < S 0:0(0) win 65536", 1, 18, "a window of 65536 is more than 65535"],
    ["0 < S 4294967296:0(0)", 1, 7, "a sequence number of 4294967296 is more than 4294967295"],
    ["0 < S 0:70000(70000)", 1, 15, "a length of 70000 is more than 65535"],
    ["0 < . 1:1(0) ack 5000000000", 1, 18, "an acknowledgment number"],
    ["0 < . 1:1(0) ack 1 win 1 urg 70000", 1, 30, "an urgent pointer"],
    ["0 < S 0:0(0) <mss 70000>", 1, 19, "mss of 70000"],
    ["0 < S 0:0(0) <wscale 256>", 1, 22, "wscale of 256"],
    ["0 < S 0:0(0) <TS val 4294967296 ecr 0>", 1, 22, "a timestamp"],
    ["0 < . 1:1(0) <sack 1:4294967296>", 1, 22, "an edge"],
    ["0 < S 0:0(0) <gen-300 00>", 1, 19, "an option of 300"],
    ["0 < [tos 0x100] S 0:0(0)", 1, 10, "tos of 0x100"],
    ["0 > (flowlabel 0x100000) S 0:0(0)", 1, 16, "flowlabel of 0x100000"],
    ["0 < 70000 > 80 S 0:0(0)", 1, 5, "a port of 70000"],
    ["0 < udp (70000)", 1, 10, "a length of 70000"],
    ["0 < icmp echo_request id 70000", 1, 26, "id of 70000"],
    ["0 < icmp unreachable [1:70001(70000)]", 1, 31, "a length of 70000"],
    [`0 f(${"[".repeat(1000)}`, 1, 65, "too many brackets within brackets"],
    [`0 f(${"(".repeat(1000)}`, 1, 65, "too many brackets within brackets"],
  ];
  it.each(wrong)("%j: line %i, column %i", (text, line, column, message) => {
    let caught: unknown;
    try {
      parseScript(text);
    } catch (error) {
      caught = error;
    }
    expect(caught).toBeInstanceOf(ScriptSyntaxError);
    expect((caught as ScriptSyntaxError).place).toEqual({ line, column });
    expect((caught as ScriptSyntaxError).message).toContain(message);
  });
});
