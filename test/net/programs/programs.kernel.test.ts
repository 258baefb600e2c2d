/**
 * Programs that know nothing of us, over our TCP: each moves megabytes, checks them, and ends well. The other end is the kernel's TCP, or
 * ours in another process. The programs are in `app/`.
 */
import { execFileSync } from "node:child_process";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type Build, buildCli, type Ended, endProcesses, freePort, outputOf, type Running, start } from "../../cli/support.js";
import { enterPrivateNamespace } from "../../kernel/support.js";

let build: Build;
let capture = "";
beforeAll(() => {
  enterPrivateNamespace();
  build = buildCli();
  capture = join(build.folder, "program.pcapng");
  process.env["TLS_FOLDER"] = build.folder;
  execFileSync("openssl", [
    ...[
      "req",
      "-x509",
      "-newkey",
      "ec",
      "-pkeyopt",
      "ec_paramgen_curve:prime256v1",
      "-nodes",
      "-days",
      "2",
      "-subj",
      "/CN=localhost",
    ],
    ...["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", join(build.folder, "key.pem")],
    ...["-out", join(build.folder, "cert.pem")],
  ]);
});
afterEach(() => {
  endProcesses();
  rmSync(capture, { force: true });
});
afterAll(() => build.remove());

const app = (name: string): string => join(import.meta.dirname, "app", `${name}.mjs`);

type Side = "ours" | "the kernel's";

/** Starts a program over the TCP of a side. */
function program(side: Side, name: string, ...args: string[]): Running {
  const words = side === "ours" ? [build.main, "run", "--pcap", capture, "--", process.execPath] : [];
  return start(process.execPath, [...words, "--expose-gc", app(name), ...args]);
}

async function server(side: Side, name: string): Promise<{ server: Running; port: string }> {
  const running = program(side, name, "server");
  let port = "";
  running.child.stdout?.on("data", (text: string) => (port ||= /listening (\d+)/.exec(text)?.[1] ?? ""));
  await running.sees(/listening \d+/, "stdout");
  return { server: running, port };
}

async function stopped(running: Running): Promise<Ended> {
  running.child.kill("SIGTERM");
  return running.ended;
}

/** Every connection in the capture: opened and closed by the book, with a word of ours at what we sent. */
async function expectOurCapture(leastBytes: number): Promise<void> {
  const fields = ["tcp.flags.str", "tcp.len", "frame.comment", "tcp.analysis.retransmission"].flatMap((field) => ["-e", field]);
  const text = await outputOf("tshark", "-r", capture, "-T", "fields", "-E", "separator=|", ...fields);
  const rows = text.trimEnd().split("\n");
  const withFlag = (letter: string): number => rows.filter((row) => row.split("|")[0]?.includes(letter)).length;
  const bytes = rows.reduce((sum, row) => sum + Number(row.split("|")[1]), 0);
  expect(withFlag("S")).toBeGreaterThanOrEqual(2);
  // A client that has its answer may leave without reading TLS's last word: then the second end is a RST.
  expect(withFlag("F")).toBeGreaterThanOrEqual(1);
  expect(withFlag("F") + withFlag("R")).toBeGreaterThanOrEqual(2);
  expect(bytes).toBeGreaterThanOrEqual(leastBytes);
  expect(rows.filter((row) => (row.split("|")[2] ?? "") !== "").length).toBeGreaterThan(2);
}

const MEBIBYTE = 1 << 20;

describe.each<[Side, Side]>([
  ["ours", "the kernel's"],
  ["the kernel's", "ours"],
  ["ours", "ours"],
])("server over %s TCP, client over %s", (serverSide, clientSide) => {
  const cases: [string, number, RegExp][] = [
    ["http", 18, /^(ok 3145728 bytes\n){3}$/],
    ["https", 6, /^ok 3145728 bytes\n$/],
    ["http2", 6, /^(ok 1048576 bytes\n){3}$/],
    ["ws", 6, /^ok 3145728 bytes\nclosed 1005, 100 answers\n$/],
    ["ssh", 6, /^ok 3145728 bytes\n$/],
  ];
  it.each(cases)("%s", async (name, mebibytes, expected) => {
    const { server: running, port } = await server(serverSide, name);
    const client = await program(clientSide, name, "client", port).ended;
    expect(client.stdout).toMatch(expected);
    expect(client.code).toBe(0);
    if (clientSide === "ours")
      expect(client.stderr).toMatch(/^rawtcp: \d+ connections? over our TCP \([1-9]\d* opened, 0 accepted\)/);
    const ended = await stopped(running);
    expect(ended.code).toBe(0);
    if (serverSide === "ours")
      expect(ended.stderr).toMatch(/^rawtcp: \d+ connections? over our TCP \(0 opened, [1-9]\d* accepted\)/);
    await expectOurCapture(mebibytes * MEBIBYTE);
  });
});

describe("clients over our TCP", () => {
  it("undici's Client, its fetch, and Node's own fetch", async () => {
    const { server: running, port } = await server("the kernel's", "http");
    const client = await program("ours", "undici", "client", port).ended;
    expect(client.stdout).toBe("ok 3145728 bytes\nok 3145728 bytes\nok 1000000 bytes\n");
    expect(client.code).toBe(0);
    await stopped(running);
    await expectOurCapture(13_000_000);
  });

  it("ioredis with a Redis server", async () => {
    const port = await freePort();
    const redis = start("redis-server", ["--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", build.folder]);
    await redis.sees("Ready to accept connections", "stdout");
    const client = await program("ours", "redis", "client", port).ended;
    expect(client.stdout).toBe("ok 3145728 bytes\nok 5000 increments, heard hello\n");
    expect(client.code).toBe(0);
    await stopped(redis);
    await expectOurCapture(6 * MEBIBYTE);
  });

  it("pg with a PostgreSQL server", async () => {
    const port = await freePort();
    const postgres = startPostgres(port);
    await postgres.sees("database system is ready to accept connections");
    const client = await program("ours", "pg", "client", port).ended;
    expect(client.stdout).toMatch(/^(ok \d+ bytes\n){5}ok 20000 rows\n$/);
    expect(client.code).toBe(0);
    await stopped(postgres);
    await expectOurCapture(7 * MEBIBYTE);
  });
});

/** PostgreSQL refuses to run as root: it runs as its own user, in a folder of its own, and takes that folder with it. */
function startPostgres(port: string): Running {
  const script = [
    'folder=$(mktemp -d); trap "rm -rf \\"$folder\\"" EXIT',
    "bin=$(ls -d /usr/lib/postgresql/*/bin | tail -1)",
    '"$bin/initdb" -D "$folder/data" -A trust -U postgres --no-sync >/dev/null',
    `"$bin/postgres" -D "$folder/data" -p ${port} -h 127.0.0.1 -k "$folder" -F & child=$!`,
    'trap "kill -INT $child" TERM',
    "wait $child || true; wait $child",
  ].join("\n");
  return start("setpriv", ["--reuid=postgres", "--regid=postgres", "--init-groups", "bash", "-c", script], { cwd: "/" });
}

describe("servers over our TCP", () => {
  it("http under curl: megabytes down and up", async () => {
    const { server: running, port } = await server("ours", "http");
    const down = await outputOf("sh", "-c", `curl -sS http://127.0.0.1:${port}/bytes/5000000 | sha256sum`);
    const { pattern, sha256 } = (await import(app("common"))) as { pattern(size: number): Buffer; sha256(data: Buffer): string };
    expect(down.split(" ")[0]).toBe(sha256(pattern(5_000_000)));
    const up = await outputOf(
      "sh",
      "-c",
      `head -c 4000000 /dev/zero | curl -sS --data-binary @- http://127.0.0.1:${port}/ | sha256sum`,
    );
    expect(up.split(" ")[0]).toBe(sha256(Buffer.alloc(4_000_000)));
    expect((await stopped(running)).code).toBe(0);
    await expectOurCapture(13_000_000);
  });

  it("https under curl, which trusts the certificate", async () => {
    const { server: running, port } = await server("ours", "https");
    const size = await outputOf(
      "sh",
      "-c",
      `curl -sS --cacert ${join(build.folder, "cert.pem")} https://localhost:${port}/bytes/2000000 | wc -c`,
    );
    expect(size.trim()).toBe("2000000");
    expect((await stopped(running)).code).toBe(0);
    await expectOurCapture(2_000_000);
  });

  it("http under wrk: 50 connections, no socket errors", async () => {
    const running = start(process.execPath, [build.main, "run", "--", process.execPath, app("http"), "server"]);
    let port = "";
    running.child.stdout?.on("data", (text: string) => (port ||= /listening (\d+)/.exec(text)?.[1] ?? ""));
    await running.sees(/listening \d+/, "stdout");
    const report = await outputOf("wrk", "-t2", "-c50", "-d2s", `http://127.0.0.1:${port}/bytes/1000`);
    expect(report).not.toContain("Socket errors");
    expect(report).not.toContain("Non-2xx");
    expect(Number(/(\d+) requests in/.exec(report)?.[1])).toBeGreaterThan(100);
    expect((await stopped(running)).code).toBe(0);
  });

  it("the kernel has only its own end of a connection", async () => {
    const { server: running, port } = await server("ours", "idle-server");
    const clients = start(process.execPath, [app("idle-clients"), port, "3"]);
    await clients.sees("open 3", "stdout");
    const established = await outputOf("ss", "-Htan", "state", "established");
    expect(established.trimEnd().split("\n").length).toBe(3);
    clients.input("close\n");
    expect((await clients.ended).code).toBe(0);
    running.child.kill("SIGINT");
    await running.ended;
  });

  it("an Express app under autocannon with 100 connections: no error, and nothing left behind", async () => {
    const running = start(process.execPath, [
      ...[build.main, "run", "--", process.execPath, "--expose-gc", app("express"), "server"],
    ]);
    let port = "";
    running.child.stdout?.on("data", (text: string) => (port ||= /listening (\d+)/.exec(text)?.[1] ?? ""));
    await running.sees(/listening \d+/, "stdout");
    const stats = async (): Promise<{ files: number; heap: number }> =>
      JSON.parse(await outputOf("curl", "-sS", `http://127.0.0.1:${port}/stats`)) as { files: number; heap: number };
    const cannon = async (seconds: number): Promise<Record<string, number>> =>
      JSON.parse(
        await outputOf(
          process.execPath,
          join(import.meta.dirname, "../../../node_modules/autocannon/autocannon.js"),
          ...["-c", "100", "-d", String(seconds), "--json", "--no-progress", `http://127.0.0.1:${port}/json/x`],
        ),
      ) as Record<string, number>;
    await cannon(1); // the code is compiled, pools are filled
    const before = await stats();
    const report = await cannon(3);
    expect([report["errors"], report["timeouts"], report["non2xx"], report["resets"]]).toEqual([0, 0, 0, 0]);
    expect(report["2xx"]).toBeGreaterThan(500);
    const after = await stats();
    expect(after.files).toBeLessThanOrEqual(before.files);
    expect(after.heap - before.heap).toBeLessThan(8 * MEBIBYTE);
    expect((await stopped(running)).code).toBe(0);
  });

  it("10,000 idle connections: each still echoes, all close, and what they cost is printed", async () => {
    const count = 10_000;
    const running = start(process.execPath, [
      ...[build.main, "run", "--", process.execPath, "--expose-gc", app("idle-server"), "server"],
    ]);
    let port = "";
    let told = "";
    running.child.stdout?.on("data", (text: string) => {
      told += text;
      port ||= /listening (\d+)/.exec(text)?.[1] ?? "";
    });
    await running.sees(/listening \d+/, "stdout");
    const ask = async (): Promise<{ connections: number; rss: number; heapUsed: number; external: number }> => {
      const lines = told.split("\n").length;
      running.input("\n", "more");
      await expect.poll(() => told.split("\n").length, { timeout: 20_000, interval: 20 }).toBe(lines + 1);
      return JSON.parse(told.trimEnd().split("\n").at(-1) ?? "") as Awaited<ReturnType<typeof ask>>;
    };
    const before = await ask();
    const clients = start(process.execPath, [app("idle-clients"), port, String(count)]);
    await clients.sees(`open ${count}`, "stdout");
    const open = await ask();
    expect(open.connections).toBe(count);
    const each = (name: "rss" | "heapUsed" | "external"): string => ((open[name] - before[name]) / count / 1024).toFixed(1);
    console.log(
      `memory of an idle connection: ${each("heapUsed")} KiB of heap, ${each("external")} KiB beside, ${each("rss")} KiB resident`,
    );
    clients.input("echo\n", "more");
    await clients.sees(`echoed ${count}`, "stdout");
    clients.input("close\n");
    const ended = await clients.ended;
    expect([ended.code, ended.stderr]).toEqual([0, ""]);
    const left = async (): Promise<number> => {
      const after = await ask();
      return after.connections * count + (after.heapUsed - before.heapUsed) / count;
    };
    await expect.poll(left, { timeout: 20_000, interval: 100 }).toBeLessThan(1024);
    running.input("");
    const server_ = await running.ended;
    expect(server_.code).toBe(0);
    expect(server_.stderr).toContain(`${count} accepted`);
  }, 120_000);
});

describe("rawtcp run", () => {
  const runs = (args: readonly string[]): Promise<Ended> => {
    const running = start(process.execPath, [build.main, "run", ...args]);
    running.input("");
    return running.ended;
  };

  it("hands on the exit code, arguments, standard input and output", async () => {
    const running = start(process.execPath, [
      ...[build.main, "run", "--quiet", "--", process.execPath, "-e"],
      "process.stdin.on('data', (d) => process.stdout.write(process.argv[1] + d)); process.stdin.on('end', () => process.exit(7))",
      "said:",
    ]);
    running.input("hello");
    expect(await running.ended).toEqual({ code: 7, stdout: "said:hello", stderr: "" });
  });

  it("says nothing when there was no TCP", async () => {
    expect(await runs(["--", process.execPath, "-e", ""])).toEqual({ code: 0, stdout: "", stderr: "" });
  });

  it("a signal that ends the program is told as a shell tells it", async () => {
    const { code } = await runs(["--", process.execPath, "-e", "process.kill(process.pid, 'SIGKILL')"]);
    expect(code).toBe(137);
  });

  const wrong: [string, string[], number, RegExp][] = [
    ["nothing to run", [], 2, /^rawtcp: nothing to run: rawtcp run \[options\] -- node app\.js/],
    ["a program that does not exist", ["--", "no-such-program"], 127, /^rawtcp: no-such-program: no such command\n$/],
    ["a port that is none", ["--ports", "http", "--", "node"], 2, /--ports: "http" is no port or range/],
    ["a range upside down", ["--ports", "9-1", "--", "node"], 2, /--ports: "9-1"/],
    ["a bend that is none", ["--bend", "frobnicate", "--", "node"], 2, /--bend: /],
    ["a capture in a folder that does not exist", ["--pcap", "/nowhere/x", "--", "node"], 2, /--pcap \/nowhere\/x: .*mkdir/],
    ["an option that does not exist", ["--frob", "--", "node"], 2, /unknown argument: --frob/],
  ];
  it.each(wrong)("%s", async (_what, args, code, message) => {
    const ended = await runs(args);
    expect([ended.code, ended.stdout]).toEqual([code, ""]);
    expect(ended.stderr).toMatch(message);
    expect(ended.stderr.trimEnd().split("\n").length).toBe(1);
  });

  it("--only listen leaves connections to the kernel, --ports all other ports", async () => {
    const { server: running, port } = await server("the kernel's", "http");
    for (const choice of [
      ["--only", "listen"],
      ["--ports", "1"],
      ["--hosts", "elsewhere"],
    ]) {
      const ended = await runs([...choice, "--", process.execPath, app("http"), "client", port]);
      expect([ended.code, ended.stderr]).toEqual([0, ""]); // no line: nothing went over ours
    }
    const ours = await runs(["--only", "connect", "--ports", `1,${port}`, "--", process.execPath, app("http"), "client", port]);
    expect(ours.stderr).toMatch(/^rawtcp: 2 connections over our TCP \(2 opened/);
    await stopped(running);
  });

  it("--bend holds for the program: a lost segment is sent again", async () => {
    const { server: running, port } = await server("the kernel's", "http");
    const events = join(build.folder, "events.jsonl");
    const ended = await runs([
      ...["--bend", "drop out data 2", "--json", events, "--", process.execPath, app("http"), "client", port],
    ]);
    expect(ended.stdout).toMatch(/^(ok 3145728 bytes\n){3}$/);
    const lines = readFileSync(events, "utf8").trimEnd().split("\n");
    const faults = lines
      .map((line) => JSON.parse(line) as { type: string; fault?: string })
      .filter(({ type }) => type === "fault");
    expect(faults.map(({ fault }) => fault)).toContain("loss");
    await stopped(running);
  });

  it("--json=FILE as well as --json FILE", async () => {
    const events = join(build.folder, "joined.jsonl");
    const code = "require('node:net').createServer().listen(0).close()";
    expect((await runs(["--quiet", `--json=${events}`, "--", process.execPath, "-e", code])).code).toBe(0);
    expect(readFileSync(events, "utf8")).toContain('"action":"hold"');
  });

  it("a worker of a cluster cannot share a listening handle of ours: it is told so", async () => {
    const code =
      "const cluster = require('node:cluster'); if (cluster.isPrimary) cluster.fork(); else " +
      "try { require('node:net').createServer().listen(0); } catch (error) { console.log(error.code); process.exit(); }";
    const file = join(build.folder, "cluster.cjs");
    writeFileSync(file, code);
    expect((await runs(["--", process.execPath, file])).stdout).toBe("ERR_RAWTCP_BYPASSED\n");
  });

  it("--simulated needs no rights and finds its own servers", async () => {
    const code =
      "const net = require('node:net'); const s = net.createServer((c) => c.end('x')).listen(0, () => " +
      "net.connect(s.address().port).on('data', (d) => console.log(String(d))).on('close', () => s.close()))";
    const ended = await runs(["--simulated", "--", process.execPath, "-e", code]);
    expect([ended.code, ended.stdout]).toEqual([0, "x\n"]);
    expect(ended.stderr).toMatch(/2 connections over our TCP \(1 opened, 1 accepted\).*, simulated\n$/);
  });

  it("the kernel's TCP is closed to code that goes around us", async () => {
    const code =
      "const { TCP, TCPConnectWrap } = process.binding('tcp_wrap'); " +
      "try { new TCP(0).connect(new TCPConnectWrap(), '127.0.0.1', 9); } catch (error) { console.log(error.code); }";
    const file = join(build.folder, "cluster.cjs");
    writeFileSync(file, code);
    expect((await runs(["--", process.execPath, file])).stdout).toBe("ERR_RAWTCP_BYPASSED\n");
  });
});
