import { describe, expect, it } from "vitest";
import yargs from "yargs";
import { parserFor } from "../../src/cli/options.js";
import { countingPort, parsePorts } from "../../src/cli/port-plan.js";
import { type SendOptions, sendOptions } from "../../src/cli/send-options.js";
import { packetsOf } from "../../src/cli/send-spec.js";
import { craft } from "../../src/craft/build.js";
import { dissect } from "../../src/craft/dissect.js";
import { FIELDS } from "../../src/craft/fields.js";
import { describePacket } from "../../src/wire/print.js";
import { decodeTcpOptions, formatTcpOptions } from "../../src/wire/tcp-options.js";

/** The options as the command gets them. Rejects with what the user is told. */
async function read(...words: string[]): Promise<SendOptions> {
  let got: SendOptions | undefined;
  await yargs(["send", "127.0.0.1", ...words])
    .command("send <host>", "", sendOptions, (argv) => {
      got = argv as unknown as SendOptions;
    })
    .strict()
    .parserConfiguration(parserFor("listen"))
    .exitProcess(false)
    .fail((message: string | null, error: Error | undefined) => {
      throw error ?? new Error(message ?? "");
    })
    .parseAsync();
  if (got === undefined) throw new Error("no options");
  return got;
}

async function packets(...words: string[]): Promise<string[]> {
  const options = await read(...words);
  return [...packetsOf(options, 4)].map((spec) => {
    const { bytes } = craft(spec);
    return describePacket(bytes, 0, bytes.length);
  });
}

describe("the packet that the options describe", () => {
  it.each([
    [[], "Flags [S], seq 0, win 64240, length 0"],
    [["-S", "-A"], "Flags [S.], seq 0, ack 0, win 64240, length 0"],
    [["--flags", "syn,ack", "--ece"], "Flags [S.E], seq 0, ack 0, win 64240, length 0"],
    [["--flags", "none"], "Flags [none], win 64240, length 0"],
    [["-F", "-P", "-U", "--urgptr", "9"], "Flags [FPU], seq 0, win 64240, urg 9, length 0"],
    [["-R", "--seq", "0xffffffff", "-w", "0"], "Flags [R], seq 4294967295, win 0, length 0"],
    [
      ["--tcp-options", "M5B4NNS", "--wscale", "7"],
      "Flags [S], seq 0, win 64240, options [mss 1460,nop,nop,sackOK,nop,wscale 7], length 0",
    ],
    [
      ["--mss", "536", "--sack-ok", "--timestamp", "5"],
      "Flags [S], seq 0, win 64240, options [mss 536,sackOK,TS val 5 ecr 0], length 0",
    ],
    [["-d", "3"], "Flags [S], seq 0:3, win 64240, length 3"],
    [["--data-string", "hé"], "Flags [S], seq 0:3, win 64240, length 3"],
    [["--data-hex", "00 ff"], "Flags [S], seq 0:2, win 64240, length 2"],
    [["-b"], "Flags [S], seq 0, win 64240, length 0, bad TCP checksum"],
    [["--badsum-ip"], "Flags [S], seq 0, win 64240, length 0, bad IP header checksum"],
    [["--data-offset", "4"], "TCP, bad TCP data offset, length 20"],
  ])("%j", async (words, text) => {
    const [packet = ""] = await packets(...words);
    expect(packet).toContain(text);
  });

  it("lists, ranges and counting ports, and rounds", async () => {
    const ports = async (...words: string[]): Promise<unknown[]> =>
      [...packetsOf(await read(...words), 4)].map(({ tcp }) => [tcp?.sourcePort, tcp?.destinationPort]);
    expect(await ports("-p", "22,80-81")).toEqual([
      [undefined, 22],
      [undefined, 80],
      [undefined, 81],
    ]);
    expect(await ports("-p", "++80", "-s", "++65535", "-c", "3")).toEqual([
      [65_535, 80],
      [0, 81],
      [1, 82],
    ]);
    expect(await ports("-p", "1-2", "-s", "7,8")).toEqual([
      [7, 1],
      [7, 2],
      [8, 1],
      [8, 2],
    ]);
  });

  it("every field with a flag on the command line is set by it", async () => {
    const help = await sendOptions(yargs([])).getHelp();
    const names = FIELDS.flatMap(({ flag }) => flag.split("/")).filter((name) => name.startsWith("-"));
    expect(names.length).toBeGreaterThan(25);
    for (const name of names) expect(help).toMatch(new RegExp(`(^|[ ,])${name}[ ,]`, "m"));
  });
});

describe("what is wrong is told", () => {
  it.each([
    [
      ["-p", "99999"],
      '--dest-port: "99999" is no port: expected 0-65535, a range such as 8000-8010, a list with commas, or ++80',
    ],
    [["-p", "9-1"], '--dest-port: "9-1": the range ends before it begins'],
    [["--flags", "SX"], '--flags: flags "SX": "X" is no flag'],
    [["--tcp-options", "mss=x"], '--tcp-options: TCP option "mss=x": expected a whole number from 0 to 65535'],
    [["--ip-options", "lsrr=1"], '--ip-options: IP option "lsrr=1": expected IPv4 addresses with / between'],
    [["--ttl", "256"], '--ttl: "256" is not a whole number from 0 to 255'],
    [["-i", "fast"], '--interval: "fast" is neither seconds nor u and microseconds, at most an hour'],
    [["--data-hex", "abc"], '--data-hex: "abc" is not pairs of hexadecimal digits'],
    [["--timestamp", "x"], '--timestamp: "x" is not VALUE or VALUE:ECHO'],
    [["-d", "1", "--data-string", "x"], "--data and --data-string exclude each other"],
    [["-i", "1", "--rate", "5"], "--interval and --rate exclude each other"],
    [["--traceroute", "--scan", "1"], "--traceroute and --scan exclude each other"],
    [["--timeout", "0"], '--timeout: "0" is not a number of seconds from 0.001 to 3600'],
  ])("%j", async (words, message) => {
    await expect(read(...words)).rejects.toThrow(message);
  });
});

describe("ports", () => {
  it.each([
    ["80", [80]],
    ["22,80,80", [22, 80]],
    ["-3", [1, 2, 3]],
    ["65534-", [65_534, 65_535]],
  ])("%s", (text, ports) => {
    expect(parsePorts(text)).toEqual({ kind: "list", ports });
  });

  it.each(["", "x", "1,,2", "70000", "1-70000", "+", "++x"])("%j is refused", (text) => {
    expect(() => parsePorts(text)).toThrow();
  });

  it("counts over the end", () => {
    expect([0, 1, 2].map((i) => countingPort(65_535, i))).toEqual([65_535, 0, 1]);
  });
});

it("IP options by name are those of RFC 791", async () => {
  const options = await read("--ip-options", "rr=2,nop,ra");
  const [spec] = packetsOf(options, 4);
  expect(spec?.ip?.family === 4 && Array.from(spec.ip.options ?? [])).toEqual([
    7, 11, 4, 0, 0, 0, 0, 0, 0, 0, 0, 1, 148, 4, 0, 0,
  ]);
});

it("a packet of the options, taken apart, has their options", async () => {
  const [spec = {}] = packetsOf(await read("--tcp-options", "fo=0102,mss=9"), 4);
  const { bytes } = craft(spec);
  const { tcp } = dissect(bytes, 0, bytes.length);
  const space = tcp?.options;
  expect(space instanceof Uint8Array && formatTcpOptions(decodeTcpOptions(space, 0, space.length))).toBe(
    "tfo [bad length 4] 0x0102,mss 9",
  );
});
