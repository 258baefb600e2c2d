/** `rawtcp drill` as its users see it. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readCapture } from "../../src/pcapng/reader.js";
import { ACCEPTED } from "../script/support.js";
import { type Build, buildCli, type Ended, runToEnd } from "./support.js";

let build: Build;
let folder: string;
beforeAll(() => {
  build = buildCli();
  folder = mkdtempSync(join(tmpdir(), "rawtcp-drill-"));
  mkdirSync(join(folder, "a"));
  mkdirSync(join(folder, "b"));
  writeFileSync(join(folder, "a/good.pkt"), ACCEPTED);
  writeFileSync(join(folder, "a/printing.pkt"), `${ACCEPTED} +0 %{ print("cwnd", tcpi_snd_cwnd) }%`);
  writeFileSync(join(folder, "b/bad.pkt"), `${ACCEPTED} +0 > . 1:1(0) ack 1`);
  writeFileSync(join(folder, "b/beyond.pkt"), `${ACCEPTED} +0 mmap(1) = 0`);
  writeFileSync(join(folder, "b/broken.pkt"), "0 < S");
});
afterAll(() => {
  build.remove();
  rmSync(folder, { recursive: true, force: true });
});

const drill = (...args: string[]): Promise<Ended> => runToEnd(process.execPath, [build.main, "drill", ...args]);

describe("drill", () => {
  it("sums up by folder, shows what is wrong, and fails", async () => {
    const { code, stdout, stderr } = await drill(folder);
    expect([code, stderr]).toEqual([1, ""]);
    expect(stdout).toContain("printing.pkt: cwnd 10\n");
    expect(stdout).toMatch(
      /FAIL .*bad\.pkt:10: no packet was sent\n {2}event {5}\+0 > \. 1:1\(0\) ack 1\n {2}expected {2}at 0\.1/,
    );
    expect(stdout).toMatch(/UNSUPPORTED .*beyond\.pkt:10: the system call mmap\n/);
    expect(stdout).toMatch(/ERROR .*broken\.pkt:1: line 1, column 6: the script ends here: expected sequence numbers/);
    expect(stdout).toMatch(/\/a +2 +2 +0 +0 +0\n.*\/b +3 +0 +1 +1 +1\nall +5 +2 +1 +1 +1\n$/);
  });

  it("exit codes: 0 for all passed, 3 when some are not supported", async () => {
    expect((await drill(join(folder, "a"))).code).toBe(0);
    expect((await drill(join(folder, "a"), join(folder, "b/beyond.pkt"))).code).toBe(3);
  });

  it("takes what runners give packetdrill, in place of a script's own lines", async () => {
    const script = join(folder, "defined.pkt");
    writeFileSync(script, `-D LENGTH=5\n--ip_version=ipv4\n${ACCEPTED.replace("1460", "MSS")} +0 write(4, ..., LENGTH) = 10`);
    const given = ["-D", "LENGTH=10", "--define=MSS=1440", "--ip_version=ipv6", "--tolerance_usecs", "9000", script];
    expect((await drill(...given)).stdout).toContain("   1           1           0");
    expect((await drill(script)).code).toBe(1);
    expect((await drill("--dry_run", "-DMSS=1", script)).code).toBe(0);
    const wrong = await drill("-D", "LENGTH", script);
    rmSync(script);
    expect([wrong.code, wrong.stderr]).toEqual([2, 'rawtcp: -D: "LENGTH" is no definition, such as NAME=value\n']);
  });

  it("--json: one object a script", async () => {
    const { stdout } = await drill("--json", folder);
    const lines = stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as { outcome: string; line: number });
    expect(lines.map(({ outcome }) => outcome)).toEqual(["pass", "pass", "fail", "unsupported", "error"]);
  });

  it("--tolerant: what passes only so is told, and counted apart", async () => {
    const script = join(folder, "tolerated.pkt");
    writeFileSync(script, ACCEPTED.replace("<mss 1460>", "win 1 <mss 1460>"));
    const { code, stdout } = await drill("--tolerant", script, join(folder, "a"));
    expect([code, stdout]).toEqual([
      0,
      expect.stringMatching(
        /^TOLERATED .*tolerated\.pkt: line 7: window is \d+, expected 1\n[\s\S]* tolerated [\s\S]*all +3 +2 +1 +0 +0 +0\n$/,
      ),
    ]);
    expect((await drill("-q", script)).code).toBe(1);
    rmSync(script);
  });

  it("--option may be given again, and all count", async () => {
    const script = join(folder, "option.pkt");
    writeFileSync(script, ACCEPTED.replace("mss 1460", "mss 1340"));
    const { code, stdout } = await drill("--option", "ip_version=ipv6", "--option=mtu=1400", script);
    expect([stdout, code]).toEqual([expect.stringMatching(/ 1 +1 +0 +0 +0\n$/), 0]);
    rmSync(script);
  });

  it("a script that cannot be read is an error among the others", async () => {
    const script = join(folder, "a/folder.pkt");
    mkdirSync(script);
    const { code, stdout } = await drill("-q", folder);
    expect([code, stdout]).toEqual([1, expect.stringMatching(/\nall +6 +2 +1 +1 +2\n$/)]);
    rmSync(script, { recursive: true });
  });

  it("several folders: all are run; of other options the last one counts", async () => {
    const { code, stdout } = await drill("-q", "--seed", "1", join(folder, "a"), join(folder, "b"), "--seed", "2");
    expect([code, stdout]).toEqual([1, expect.stringMatching(/\nall +5 +2 +1 +1 +1\n$/)]);
  });

  it("--junit and --keep-trace", async () => {
    const report = join(folder, "report.xml");
    const traces = join(folder, "traces");
    await drill("-q", "--junit", report, "--keep-trace", traces, folder);
    expect(readFileSync(report, "utf8")).toContain('tests="5" failures="1" errors="1" skipped="1"');
    const capture = readCapture(readFileSync(join(traces, "a/good.pcapng")));
    expect(capture.packets.length).toBe(3);
  });

  it("threads give the same as one after another", async () => {
    const many = join(folder, "many");
    mkdirSync(many);
    for (let i = 0; i < 60; i++) writeFileSync(join(many, `${i}.pkt`), i % 7 === 0 ? `${ACCEPTED} +0 close(9) = 0` : ACCEPTED);
    const [alone, together] = [await drill("-q", "-j", "1", many), await drill("-q", "-j", "2", many)];
    expect(together.stdout).toBe(alone.stdout);
    expect(together.stdout).toMatch(/ 60 +51 +9 +0 +0\n$/);
    rmSync(many, { recursive: true });
  });

  const wrong: [string, string[], RegExp][] = [
    ["a path that is none", ["/no/such/path"], /^rawtcp: \/no\/such\/path: there is no such file or folder\n$/],
    ["no path", [], /rawtcp drill --help/],
    ["an option line that is none", ["--option", "=", "x.pkt"], /rawtcp: /],
    ["a profile that is none", ["--profile", "bsd", "x.pkt"], /--profile: "bsd" is none of linux, rfc/],
  ];
  it.each(wrong)("%s: one line, exit code 2", async (_what, args, message) => {
    const { code, stderr } = await drill(...args);
    expect(code).toBe(2);
    expect(stderr).toMatch(message);
    expect(stderr.trimEnd().split("\n").length).toBe(1);
  });
});
