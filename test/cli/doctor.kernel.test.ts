import { afterEach, beforeAll, describe, expect, it } from "vitest";
import { enterPrivateNamespace } from "../kernel/support.js";
import { type Build, buildCli, endProcesses, kernelServer, runToEnd } from "./support.js";

const builds: Build[] = [];
beforeAll(enterPrivateNamespace);
afterEach(() => {
  endProcesses();
  for (const build of builds.splice(0)) build.remove();
});

function buildWith(packages?: readonly string[]): Build {
  const build = buildCli(packages);
  builds.push(build);
  return build;
}

interface Line {
  readonly name: string;
  readonly ok: boolean;
  readonly optional: boolean;
  readonly detail: string;
  readonly mend: string;
}

async function doctor(build: Build, ...around: string[]): Promise<{ code: unknown; lines: Map<string, Line> }> {
  const [program = "", ...args] = [...around, process.execPath, build.main, "doctor", "--json"];
  const { code, stdout, stderr } = await runToEnd(program, args);
  expect(stderr).toBe("");
  const lines = stdout
    .trimEnd()
    .split("\n")
    .map((line): Line => JSON.parse(line));
  return { code, lines: new Map(lines.map((line) => [line.name, line])) };
}

const NAMES = [
  "node",
  "koffi",
  "CAP_NET_RAW",
  "CAP_NET_ADMIN",
  "raw sockets",
  "guard bpf",
  "guard nft",
  "guard iptables",
  "IPv6",
];

describe("doctor", () => {
  it("as root with everything installed: all lines ok, exit code 0", async () => {
    const { code, lines } = await doctor(buildWith());
    expect(code).toBe(0);
    expect([...lines.values()].filter(({ ok, mend }) => !ok || mend !== "")).toEqual([]);
    expect([...lines.keys()]).toEqual([...NAMES, "kernel's states", "libpcap", "interface lo"]);
    expect(lines.get("interface lo")?.detail).toMatch(/^MTU 65536, 127\.0\.0\.1 ::1, offloads: .*tso/);
  });

  it("for a human: a line each", async () => {
    const { stdout } = await runToEnd(process.execPath, [buildWith().main, "doctor"]);
    const lines = stdout.trimEnd().split("\n");
    expect(lines.filter((line) => !line.startsWith("ok  "))).toEqual([]);
    expect(lines.length).toBe(12);
  });

  it("without rights: what is missing, each with the command, exit code 7", async () => {
    const { code, lines } = await doctor(buildWith(), "setpriv", "--bounding-set=-all", "--inh-caps=-all");
    expect(code).toBe(7);
    const missing = [...lines.values()].filter(({ ok }) => !ok);
    expect(missing.map(({ name }) => name)).toEqual([
      "CAP_NET_RAW",
      "CAP_NET_ADMIN",
      "raw sockets",
      "guard bpf",
      "guard nft",
      "guard iptables",
      "IPv6",
      "libpcap",
    ]);
    for (const { mend, detail } of missing) {
      expect(mend).toMatch(/^sudo rawtcp/);
      expect(detail).not.toMatch(/setcap|sudo/);
    }
  });
});

describe("without packages", () => {
  const YARGS = ["yargs", "yargs-parser", "y18n", "cliui", "escalade", "string-width", "get-caller-file"];

  it("without cap and raw-socket koffi steps in: the demo runs, --link pcap says what to install", async () => {
    const build = buildWith([...YARGS, "koffi", "@koromix"]);
    const { code, lines } = await doctor(build);
    expect(code).toBe(0);
    expect(lines.get("raw sockets")).toMatchObject({ ok: true, detail: expect.stringMatching(/^koffi/) });
    expect(lines.get("libpcap")).toMatchObject({ ok: false, optional: true, mend: expect.stringContaining("cap") });
    const demo = ["demo", "-q", "--msl", "0", "--pcap", "/dev/null"];
    expect(await runToEnd(process.execPath, [build.main, ...demo])).toEqual({ code: 0, stdout: "", stderr: "" });
    const pcap = await runToEnd(process.execPath, [build.main, ...demo, "--link", "pcap"]);
    expect(pcap.code).toBe(7);
    expect(pcap.stderr).toMatch(/^rawtcp: .*npm install cap.*\n$/);
  });

  it("without koffi: one line that says what to install, and no demo", async () => {
    const build = buildWith(YARGS);
    const { code, lines } = await doctor(build);
    expect(code).toBe(7);
    expect(lines.get("koffi")).toMatchObject({ ok: false, mend: "npm install koffi" });
    expect(await runToEnd(process.execPath, [build.main, "connect", "--help"])).toMatchObject({ code: 0, stderr: "" });
    const server = await kernelServer();
    const { code: exitCode, stderr } = await runToEnd(process.execPath, [build.main, "connect", "127.0.0.1", server.port]);
    server.close();
    expect(exitCode).toBe(7);
    expect(stderr).toMatch(/^rawtcp: koffi cannot be loaded .*npm install koffi\n$/);
  });
});
