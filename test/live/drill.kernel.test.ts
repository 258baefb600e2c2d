/** `rawtcp drill --live`: our scripts against this machine's kernel, which has to do what they say. */
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Build, buildCli, type Ended, endProcesses, runToEnd, start } from "../cli/support.js";
import { enterPrivateNamespace, type FarNamespace, openFarNamespace } from "../kernel/support.js";

const scripts = resolve(import.meta.dirname, "../pkt");

let build: Build;
let far: FarNamespace;
beforeAll(async () => {
  enterPrivateNamespace();
  execFileSync("sysctl", ["-qw", "net.ipv4.tcp_rmem=4096 131072 6291456", "net.ipv4.tcp_wmem=4096 16384 4194304"]);
  far = await openFarNamespace();
  build = buildCli();
});
afterAll(async () => {
  endProcesses();
  build.remove();
  await far.close();
});

const drill = (...args: string[]): Promise<Ended> => runToEnd(process.execPath, [build.main, "drill", ...args]);

interface Told {
  readonly file: string;
  readonly outcome: string;
  readonly line: number;
  readonly message: string;
}

function told(ended: Ended): Told[] {
  return ended.stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Told)
    .map((one) => ({ ...one, file: one.file.slice(scripts.length + 1) }));
}

/** Rows of the table "Where live kernels differ": what it says of which scripts. */
function differences(): { readonly pattern: RegExp; readonly script: string }[] {
  const text = readFileSync(join(scripts, "README.md"), "utf8");
  const [, table = ""] = text.split("## Where live kernels differ");
  return [...table.matchAll(/^\| `([^`]+)` \|/gm)].map(([, script = ""]) => {
    return { script, pattern: new RegExp(`^${script.replaceAll(".", "\\.").replaceAll("*", "[^/]*")}\\.pkt$`) };
  });
}

describe("drill --live namespace", () => {
  const table = differences();

  it("the scripts of test/pkt pass, but for those of which test/pkt/README.md says why not", async () => {
    const results = told(await drill("--live", "namespace", "--live-seconds", "30", "--json", scripts));
    expect(results.length).toBeGreaterThan(240);
    const isListed = (file: string): boolean => table.some(({ pattern }) => pattern.test(file));
    const failed = results.filter(({ outcome, file }) => outcome !== "pass" && !isListed(file));
    // Scripts that need more time than a test has, and FreeBSD's, are not asked.
    const others = failed.filter(({ message, file }) => !/s on the clock/.test(message) && !file.startsWith("freebsd/"));
    expect(others.map(({ file, line, message }) => `${file}:${line}: ${message}`)).toEqual([]);
    expect(results.filter(({ outcome }) => outcome === "pass").length).toBeGreaterThan(240);
    const stale = table.filter(({ pattern }) =>
      results.filter(({ file }) => pattern.test(file)).every(({ outcome }) => outcome === "pass"),
    );
    expect(
      stale.map(({ script }) => script),
      "rows of the table that no longer differ",
    ).toEqual([]);
  }, 240_000);

  it("leaves no namespace, device or socket behind when it is killed in the middle", async () => {
    const before = readdirSync("/proc/self/task").length;
    expect(before).toBeGreaterThan(0);
    const running = start(process.execPath, [build.main, "drill", "--live", "namespace", join(scripts, "states")]);
    const namespaces = (): string[] => namespacesOf(running.child.pid ?? 0);
    const [own] = namespacesOf(process.pid);
    while (namespaces().every((name) => name === own)) await new Promise((resolve) => setImmediate(resolve));
    const made = namespaces().filter((name) => name !== own);
    running.child.kill("SIGKILL");
    await running.ended;
    expect(made.length).toBeGreaterThan(0);
    const left = readdirSync("/proc")
      .filter((name) => /^\d+$/.test(name))
      .flatMap((pid) => namespacesOf(Number(pid)));
    expect(left.filter((name) => made.includes(name))).toEqual([]);
    expect(execFileSync("ip", ["-o", "link"], { encoding: "utf8" })).not.toContain("tun");
  });
});

describe("drill --live ADDRESS", () => {
  it("127.0.0.1: the kernel of this host over loopback, which joins segments and has a large MTU", async () => {
    const folders = ["states", "close", "urgent"].map((name) => join(scripts, name));
    const results = told(await drill("--live", "127.0.0.1", "--live-seconds", "10", "--json", ...folders));
    expect(results.filter(({ outcome }) => outcome === "pass").length).toBeGreaterThan(90);
    const isListed = (file: string): boolean => differences().some(({ pattern }) => pattern.test(file));
    const failed = results.filter(({ outcome, file }) => outcome === "fail" && !isListed(file));
    expect(failed.map(({ file, line, message }) => `${file}:${line}: ${message}`)).toEqual([]);
  }, 120_000);

  it("sysctls of a host that others use are not changed: unsupported, with what it has", async () => {
    const results = told(await drill("--live", "127.0.0.1", "--json", join(scripts, "ecn/active.pkt")));
    expect(results).toMatchObject([
      { outcome: "unsupported", message: "sysctl net.ipv4.tcp_ecn=1: it is 2, and --live namespace would set it" },
    ]);
    expect(readFileSync("/proc/sys/net/ipv4/tcp_ecn", "utf8")).toBe("2\n");
  });

  it("another kernel's: not without --allow-remote; with it, scripts that leave the calls to the server there", async () => {
    const refused = await drill("--live", "10.77.0.2", join(scripts, "states"));
    expect(refused).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/^rawtcp: 10\.77\.0\.2 is beyond this host: add --allow-remote.*\n$/),
    });
    const server = far.spawn(
      process.execPath,
      "-e",
      "require('node:net').createServer({ allowHalfOpen: true }, (socket) => socket.on('error', () => {}).resume()).listen(7, () => console.log('up'))",
    );
    await new Promise((resolve) => server.stdout?.once("data", resolve));
    const results = told(
      await drill(
        "--live",
        "10.77.0.2",
        "--live-port",
        "7",
        "--allow-remote",
        "--live-seconds",
        "10",
        "--json",
        join(scripts, "states"),
      ),
    );
    const passed = results.filter(({ outcome }) => outcome === "pass").map(({ file }) => file);
    expect(passed).toEqual(
      expect.arrayContaining([
        "states/established-data-partly-in-window.pkt",
        "states/listen-fin.pkt",
        "states/syn-received-data.pkt",
      ]),
    );
    const unsupported = results.find(({ file }) => file === "states/fin-wait-1-fin.pkt");
    expect(unsupported?.message).toBe("shutdown at 10.77.0.2: a program there decides what it calls");
  }, 60_000);

  it("what is no address, or has no route: one line, exit code 2", async () => {
    const ended = await drill("--live", "no.such.name.invalid", scripts);
    expect(ended).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/^rawtcp: unknown host "no\.such\.name\.invalid": neither an address nor a name/),
    });
    expect(ended.stderr.trim().split("\n").length).toBe(1);
  });

  it("without the rights: one line with what mends it, exit code 7", async () => {
    const ended = await runToEnd("setpriv", [
      "--bounding-set=-sys_admin",
      "--inh-caps=-sys_admin",
      process.execPath,
      build.main,
      "drill",
      "--live",
      "namespace",
      scripts,
    ]);
    expect(ended).toMatchObject({
      code: 7,
      stdout: "",
      stderr: expect.stringMatching(/^rawtcp: --live namespace: missing CAP_SYS_ADMIN: run with sudo.*\n$/),
    });
  });
});

/** Names of the network namespaces that a process's threads are in. */
function namespacesOf(pid: number): string[] {
  try {
    const threads = readdirSync(`/proc/${pid}/task`);
    return [...new Set(threads.map((thread) => readlinkSync(`/proc/${pid}/task/${thread}/ns/net`)))];
  } catch {
    return [];
  }
}
