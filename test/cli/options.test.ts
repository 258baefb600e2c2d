import { describe, expect, it } from "vitest";
import yargs, { type Argv } from "yargs";
import {
  connectionConfig,
  connectOptions,
  demoOptions,
  doctorOptions,
  flagMisuse,
  gatherRepeated,
  listenOptions,
  parserFor,
} from "../../src/cli/options.js";
import { cubic } from "../../src/tcp/cubic.js";
import { PROFILES } from "../../src/tcp/profiles.js";

/** Reads the words as `main` does; throws the message of what is wrong. */
function parse<T>(command: string, builder: (argv: Argv) => Argv<T>, words: string | readonly string[]): T {
  let parsed: unknown;
  const outer = yargs(typeof words === "string" ? words.split(" ") : words)
    .parserConfiguration(parserFor("listen"))
    .exitProcess(false)
    .strict()
    .fail((message, error) => {
      throw error ?? new Error(message);
    })
    .command(command, "", builder, (argv) => {
      parsed = argv;
    });
  outer.parseSync();
  return parsed as T;
}

const connect = (words: string) => parse("connect <host> <port>", connectOptions, `connect ${words}`);
const connectWith = (words: readonly string[]) => parse("connect <host> <port>", connectOptions, words);
const listen = (words: string) => parse("listen <port>", listenOptions, `listen ${words}`);
const demo = (words: string) => parse("demo", demoOptions, `demo ${words}`.trim());

describe("values that make sense", () => {
  it("connect: what was typed, and defaults", () => {
    const options = connect("localhost 8080 --mss 1460 --window 4096 --no-timestamps --msl .5 --timeout 2.5 -vv --guard nft");
    expect(options).toMatchObject({
      host: "localhost",
      port: 8080,
      mss: 1460,
      window: 4096,
      timeout: 2.5,
      verbose: 2,
      guard: "nft",
    });
    expect(options).toMatchObject({ link: "raw", checksum: "partial-ok", halfClose: false, abort: false, quiet: false });
    expect(connectionConfig(options)).toEqual({
      ...PROFILES.linux,
      mssBytes: 1460,
      receiveBufferBytes: 4096,
      mslUs: 500_000,
      timestamps: false,
      windowScaling: true,
      noDelay: false,
      finWait2Us: 1_000_000,
    });
  });

  it("absent --mss and --window leave the engine's defaults", () => {
    const keys = Object.keys(connectionConfig(connect("::1 1")));
    expect(keys).not.toContain("mssBytes");
    expect(keys).not.toContain("receiveBufferBytes");
  });

  it("a profile, and over it what is asked for by name", () => {
    const words =
      "h 1 --profile rfc --congestion cubic --ecn off --no-sack --keep-alive 9 --user-timeout 2.5 --send-buffer 77 --ttl 3 --tos 0xff";
    expect(() => connect(words)).toThrow('--tos: "0xff" is not a whole number from 0 to 255');
    const { delayedAckUs, rack } = PROFILES.rfc;
    expect(connectionConfig(connect(words.replace("0xff", "255")))).toMatchObject({
      delayedAckUs,
      rack,
      congestion: cubic,
      ecn: "off",
      sack: false,
      keepAlive: true,
      keepAliveIdleUs: 9_000_000,
      userTimeoutUs: 2_500_000,
      sendBufferBytes: 77,
      ttl: 3,
      // Two bits belong to ECN.
      tos: 0xfc,
    });
    expect(connectionConfig(connect("h 1 --profile rfc")).ecn).toBe("on");
  });

  it("--no-nagle turns Nagle off", () => {
    expect(connectionConfig(connect("h 1 --no-nagle")).noDelay).toBe(true);
  });

  it("an option given twice: the last one counts", () => {
    expect(connect("h 1 --mss 100 --mss 200").mss).toBe(200);
    expect(connect("h 1 --source 127.0.0.1 --source 127.0.0.2").source).toBe("127.0.0.2");
  });

  it("listen: --source is --bind", () => {
    expect(listen("1 --source 127.0.0.9").bind).toBe("127.0.0.9");
    expect(listen("65535")).toMatchObject({ port: 65_535, bind: "127.0.0.1", backlog: 511, synBacklog: 1024, keep: false });
    expect(listen("1 --bind 0.0.0.0 --allow-remote").bind).toBe("0.0.0.0");
  });

  it("demo and doctor", () => {
    expect(demo("")).toMatchObject({ closer: "ours", msl: 1 });
    expect(parse("doctor", doctorOptions, "doctor --json")).toMatchObject({ json: true });
  });
});

describe("values that make none: the message names the option, what was typed, and what may be", () => {
  const whole = "is not a whole number from";
  it.each([
    ["connect h x", `PORT: "x" ${whole} 1 to 65535`],
    ["connect h 0", `PORT: "0" ${whole} 1 to 65535`],
    ["connect h 65536", `PORT: "65536" ${whole} 1 to 65535`],
    ["connect h -1", `PORT: "-1" ${whole} 1 to 65535`],
    ["connect h 1e3", `PORT: "1e3" ${whole} 1 to 65535`],
    ["connect h 0x50", `PORT: "0x50" ${whole} 1 to 65535`],
    ["connect h 1 --mss 47", `--mss: "47" ${whole} 48 to 65495`],
    ["connect h 1 --no-mss", `--mss: "no" ${whole} 48 to 65495`],
    ["connect h 1 --window 0", `--window: "0" ${whole} 1 to 1073741824`],
    ["connect h 1 --source-port 70000", `--source-port: "70000" ${whole} 1 to 65535`],
    ["connect h 1 --width 99", `--width: "99" ${whole} 100 to 160`],
    ["connect h 1 --timeout 0", '--timeout: "0" is not a number of seconds from 0.1 to 3600'],
    ["connect h 1 --msl -1", '--msl: "-1" is not a number of seconds from 0 to 3600'],
    ["connect h 1 --msl Infinity", '--msl: "Infinity" is not a number of seconds from 0 to 3600'],
    ["connect h 1 --source here", '--source: "here" is not an IP address'],
    ["connect h 1 --guard ufw", '--guard: "ufw" is none of bpf, nft, iptables, none'],
    ["connect h 1 --link wire", '--link: "wire" is none of raw, pcap'],
    ["connect h 1 --checksum maybe", '--checksum: "maybe" is none of strict, partial-ok, off'],
    ["connect h 1 --log xml", '--log: "xml" is none of ladder, text'],
    ["connect h 1 --profile bsd", '--profile: "bsd" is none of linux, rfc'],
    ["connect h 1 --congestion bbr", '--congestion: "bbr" is none of cubic, newreno, reno'],
    ["connect h 1 --ecn yes", '--ecn: "yes" is none of off, accept, on, accurate-accept, accurate-on, accurate'],
    ["connect h 1 --keep-alive 0", '--keep-alive: "0" is not a number of seconds from 1 to 32767'],
    ["connect h 1 --no-pcap", '--pcap: "no" is no file name'],
    ["connect h 1 --abort --half-close", "--abort and --half-close exclude each other"],
    ["listen 1 --bind localhost", '--bind: "localhost" is not an IP address'],
    ["listen 1 --bind 0.0.0.0", "--bind 0.0.0.0 takes connections from other hosts: add --allow-remote"],
    ["listen 1 --bind ::", "--bind :: takes connections from other hosts: add --allow-remote"],
    ["listen 1 --backlog 0", `--backlog: "0" ${whole} 1 to 65535`],
    ["listen 1 --syn-backlog x", `--syn-backlog: "x" ${whole} 1 to 1000000`],
    ["listen 1 --echo --exec cat", "--echo and --exec exclude each other"],
    ["demo --closer me", '--closer: "me" is none of ours, kernel'],
  ])("%s", (words, message) => {
    const [command = "", ...rest] = words.split(" ");
    const run = { connect, listen, demo }[command];
    expect(() => run?.(rest.join(" "))).toThrow(message);
  });

  it("a flag with a value that is neither true nor false", () => {
    expect(flagMisuse("--json=yes")).toMatch(/^--json: "yes" is none of true, false/);
    expect(flagMisuse("--no-timestamps=yes")).toMatch(/^--timestamps: "yes"/);
    for (const fine of ["--json=true", "--json=false", "--json", "--mss=yes", "--pcap=json", "json=yes"]) {
      expect(flagMisuse(fine)).toBeUndefined();
    }
  });
});

describe("rules that bend the session", () => {
  it("all that are given count, in their order", () => {
    const words = gatherRepeated([
      "connect",
      "h",
      "1",
      "--bend",
      "drop out ack 1",
      "--bend=drop in fin",
      "--json",
      "--",
      "--bend",
      "x",
    ]);
    expect(words).toEqual(["connect", "h", "1", "--json", "--bend=drop out ack 1\ndrop in fin", "--", "--bend", "x"]);
    expect(gatherRepeated(["connect", "--bend"])).toEqual(["connect", "--bend"]);
  });

  it("one that cannot be read is told with its place", () => {
    const rule = (text: string) => () => connectWith(["connect", "h", "1", "--bend", text]);
    expect(rule("drop out ack 1")().bend?.map(({ text }) => text)).toEqual(["drop out ack 1"]);
    expect(rule("drop out acks")).toThrow('--bend: bend rule, line 1, column 10: "acks": expected a kind of segment');
    expect(() => connect("h 1 --bend-file /nowhere/rules")).toThrow(
      "--bend-file /nowhere/rules: ENOENT: no such file or directory",
    );
  });
});
