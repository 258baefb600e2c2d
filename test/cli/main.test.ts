import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Build, buildCli, type Ended, runToEnd, start } from "./support.js";

let build: Build;
beforeAll(() => {
  build = buildCli();
});
afterAll(() => build.remove());

const rawtcp = (...words: string[]): Promise<Ended> => runToEnd(process.execPath, [build.main, ...words]);

describe("help", () => {
  it.each(["demo", "connect", "listen", "capture", "explain", "doctor"])(
    "%s --help has examples and exit codes",
    async (command) => {
      const { code, stdout, stderr } = await rawtcp(command, "--help");
      expect([code, stderr]).toEqual([0, ""]);
      expect(stdout).toMatch(new RegExp(`Examples:\\n +rawtcp ${command}`));
      expect(stdout).toMatch(/Exit codes?:? /);
      expect(stdout.split("\n").filter((line) => line.length > 121)).toEqual([]);
    },
  );

  it("no command: the help, on standard error", async () => {
    const { code, stdout, stderr } = await rawtcp();
    expect([code, stdout]).toEqual([2, ""]);
    for (const command of ["demo", "connect", "listen", "doctor", "completion"]) expect(stderr).toContain(`rawtcp ${command}`);
  });

  it("--version is the package's", async () => {
    const manifest = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"));
    expect(await rawtcp("--version")).toEqual({ code: 0, stdout: `${manifest.version}\n`, stderr: "" });
  });

  it("a reader that takes one line only is no failure", async () => {
    const help = start(process.execPath, [build.main, "connect", "--help"]);
    help.child.stdout?.destroy();
    expect(await help.ended).toMatchObject({ code: 0, stderr: "" });
  });
});

it("output that cannot be written: one line and exit code 1", async () => {
  const { code, stderr } = await runToEnd("sh", ["-c", '"$0" "$1" doctor >/dev/full', process.execPath, build.main]);
  expect([code, stderr]).toEqual([1, "rawtcp: standard output: ENOSPC: no space left on device, write\n"]);
});

describe("completion", () => {
  it("prints a script for the shell", async () => {
    const { code, stdout } = await rawtcp("completion");
    expect(code).toBe(0);
    expect(stdout).toContain("rawtcp --get-yargs-completions");
  });

  it("knows commands, options, and their values", async () => {
    expect((await rawtcp("--get-yargs-completions", "rawtcp", "")).stdout).toMatch(/\bconnect\b/);
    expect((await rawtcp("--get-yargs-completions", "rawtcp", "connect", "--ha")).stdout).toMatch(/--half-close/);
    expect((await rawtcp("--get-yargs-completions", "rawtcp", "demo", "--closer", "")).stdout).toMatch(/\bkernel\b/);
  });
});

describe("a wrong command line: one line that says where the help is, and exit code 2", () => {
  it.each([
    [["nonsense"], "unknown argument: nonsense (see rawtcp --help)"],
    [["conect"], "unknown command; did you mean connect? (see rawtcp --help)"],
    [["--foo"], "which command: demo, connect, listen, send, capture, explain, run, drill or doctor? (see rawtcp --help)"],
    [["connect"], "an argument is missing: 0 of 2 given (see rawtcp connect --help)"],
    [["connect", "h", "1", "2"], "unknown argument: 2 (see rawtcp connect --help)"],
    [["connect", "h", "1", "--jsn"], "unknown argument: --jsn (see rawtcp connect --help)"],
    [["connect", "h", "1", "--mss"], "--mss needs a value (see rawtcp connect --help)"],
    [["connect", "h", "1", "--pcap", ""], '--pcap: "" is no file name (see rawtcp connect --help)'],
    [["listen", "1", "--exec", " "], '--exec: " " is no command (see rawtcp listen --help)'],
    [
      ["connect", "h", "1", "--json=x"],
      '--json: "x" is none of true, false; the option alone means true, --no-json false (see rawtcp connect --help)',
    ],
    [["connect", "h", "1", "--guard", "a\nb"], '--guard: "a b" is none of bpf, nft, iptables, none (see rawtcp connect --help)'],
  ])("%j", async (words, message) => {
    expect(await rawtcp(...words)).toEqual({ code: 2, stdout: "", stderr: `rawtcp: ${message}\n` });
  });
});
