/**
 * Kernel to kernel over a veth pair, captured by tcpdump, with segments dropped before or behind the capture: what `explain`
 * tells from the segments alone, beside the kernels' own states and tshark's analysis.
 */
import type { ChildProcess } from "node:child_process";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { explainBytes } from "../explain/capture.js";
import { differences, framesOf, tsharkFlags } from "../explain/tshark.js";
import { enterPrivateNamespace, eventually, type FarNamespace, openFarNamespace, run } from "../kernel/support.js";
import { type Build, buildCli, endProcesses, runToEnd } from "./support.js";

const COUNT = 20;
const FIRST_PORT = 7001;
const SENT = 200_000;
const ANSWER = 20_000;
const ports = Array.from({ length: COUNT }, (_, i) => FIRST_PORT + i);

/** Takes data on every port, answers once, and closes when it is told to. */
const SERVER = `
  const sockets = [];
  let listening = 0;
  for (let port = ${FIRST_PORT}; port < ${FIRST_PORT + COUNT}; port++)
    require("net").createServer({ allowHalfOpen: true }, (socket) => {
      sockets.push(socket);
      socket.on("error", () => {});
      socket.on("data", () => {});
      socket.write(Buffer.alloc(${ANSWER}, 1));
    }).listen(port, "10.77.0.2", () => { if (++listening === ${COUNT}) console.log("ready"); });
  process.stdin.on("data", () => { for (const socket of sockets) socket.end(); });
`;

let far: FarNamespace;
let build: Build;
let server: ChildProcess;
const dumps: ChildProcess[] = [];
const folder = mkdtempSync(join(tmpdir(), "rawtcp-explain-"));
const fileOf = (port: number) => join(folder, `${port}.pcap`);
const clients = new Map<number, Socket>();

beforeAll(async () => {
  enterPrivateNamespace();
  far = await openFarNamespace();
  build = buildCli();
  // Our data leave in segments, the far end's answers as super-segments.
  run("ip", "link", "set", "dev", "near0", "gso_max_segs", "1");
  const drop = (chain: string, match: (port: number, i: number) => string) =>
    ports.map((port, i) => `add rule inet faults ${chain} ${match(port, i)}`).join("\n");
  const table = (hook: string, rules: string) =>
    `add table inet faults\nadd chain inet faults c { type filter hook ${hook} priority 0; }\n${rules}\n`;
  const near = join(folder, "near.nft");
  const farRules = join(folder, "far.nft");
  // Behind the capture: ours are lost at the far end's door, theirs at ours. Some of theirs before it: on their way out.
  writeFileSync(
    near,
    table(
      "input",
      drop("c", (port, i) => `tcp sport ${port} numgen random mod 100 < ${i % 4 === 1 ? 15 : 0} drop`),
    ),
  );
  writeFileSync(
    farRules,
    table(
      "input",
      drop("c", (port, i) => `tcp dport ${port} numgen random mod 100 < ${[4, 6, 10, 8][i % 4]} drop`),
    ) +
      `add chain inet faults o { type filter hook output priority 0; }\n` +
      drop("o", (port, i) => `tcp sport ${port} numgen random mod 100 < ${i % 5 === 0 ? 8 : 0} drop`),
  );
  run("nft", "-f", near);
  far.run("nft", "-f", farRules);
  server = far.spawn(process.execPath, "-e", SERVER);
  if (server.stdout !== null) await once(server.stdout, "data");
  for (const port of ports) {
    const dump = spawn(
      "tcpdump",
      [
        "-i",
        "near0",
        "-U",
        "--immediate-mode",
        "-B",
        "16384",
        "-s",
        port % 5 === 0 ? "0" : "96",
        "-w",
        fileOf(port),
        `port ${port}`,
      ],
      {
        stdio: ["ignore", "ignore", "pipe"],
      },
    );
    dumps.push(dump);
    await once(dump.stderr, "data");
  }
}, 60_000);
afterEach(endProcesses);
afterAll(async () => {
  for (const dump of dumps) dump.kill("SIGKILL");
  for (const client of clients.values()) client.destroy();
  await far.close();
  build.remove();
  rmSync(folder, { recursive: true, force: true });
});

const KERNEL_NAMES: Readonly<Record<string, string>> = { ESTAB: "ESTABLISHED", "SYN-RECV": "SYN-RECEIVED" };

/** What the kernels say: the client's states by port, and the server's. */
function kernelStates(): string[] {
  const states = (text: string, column: number): Map<number, string> => {
    const rows = text.split("\n").map((line) => line.split(/\s+/));
    return new Map(
      rows.map((row) => [Number((row[column] ?? "").split(":").at(-1)), KERNEL_NAMES[row[0] ?? ""] ?? row[0] ?? ""]),
    );
  };
  const ours = states(run("ss", "-Htan", "dst", "10.77.0.2"), 4);
  const theirs = states(far.run("ss", "-Htan", "dst", "10.77.0.1"), 3);
  return ports.map((port) => `${port} ${ours.get(port) ?? "CLOSED"} ${theirs.get(port) ?? "CLOSED"}`);
}

/** What the captures tell so far. */
function toldStates(): string[] {
  return ports.map((port) => {
    const ends = explainBytes(readFileSync(fileOf(port))).connections.at(-1)?.ends;
    return `${port} ${ends?.[0].state} ${ends?.[1].state}`;
  });
}

/** Waits until both say the same and all ends are in `wanted` (client, server). */
async function agree(...wanted: readonly string[]): Promise<void> {
  const done = ports.map((port) => `${port} ${wanted.join(" ")}`).join("\n");
  // Retransmission timers back off: some need seconds.
  for (let i = 0; i < 6 && kernelStates().join("\n") !== done; i++) await eventually(() => kernelStates().join("\n"), done);
  expect(kernelStates().join("\n")).toBe(done);
  expect(await eventually(() => toldStates().join("\n"), done)).toBe(done);
}

describe("20 captures of kernels on a path that loses segments", () => {
  it("the states told from the segments are the kernels' own: open, half closed, closed", async () => {
    await Promise.all(
      ports.map(async (port) => {
        const client = connect({ port, host: "10.77.0.2", allowHalfOpen: true });
        clients.set(port, client);
        let received = 0;
        const answered = new Promise<void>((resolve) => {
          client.on("data", (data) => {
            received += data.length;
            if (received === ANSWER) resolve();
          });
        });
        await once(client, "connect");
        client.write(new Uint8Array(SENT));
        await answered;
      }),
    );
    await agree("ESTABLISHED", "ESTABLISHED");
    for (const client of clients.values()) client.end();
    await agree("FIN-WAIT-2", "CLOSE-WAIT");
    server.stdin?.write("close\n");
    await agree("TIME-WAIT", "CLOSED");
    for (const dump of dumps) {
      dump.kill("SIGINT");
      await once(dump, "exit");
    }
  });

  it.each(ports)("analysis as tshark's, frame by frame, port %i", (port) => {
    const ours = explainBytes(readFileSync(fileOf(port)));
    expect(framesOf(ours, ({ kind }) => kind === "retransmission" || kind === "out-of-order").length).toBeGreaterThan(0);
    expect(differences(ours, tsharkFlags(fileOf(port)))).toEqual([]);
    const [one] = ours.connections;
    expect([one?.handshake.name, one?.close.name(one.ends), one?.close.first]).toEqual(["three-way", "four-segment", 0]);
    // tcpdump itself may lose packets on a busy machine: what our kernel sends is complete before it, so a gap there is tcpdump's.
    const missed = framesOf(ours, ({ kind, end }) => kind === "unseen-acked" || (kind === "gap" && end === 0));
    if (missed.length === 0) expect([one?.ways[0].goodBytes, one?.ways[1].goodBytes]).toEqual([SENT, ANSWER]);
  });
});

describe("rawtcp explain", () => {
  const explain = (...words: string[]) => runToEnd(process.execPath, [build.main, "explain", ...words]);

  it("draws the one connection, sums it up, and speaks JSON; gzip and standard input too", async () => {
    const file = fileOf(FIRST_PORT);
    const drawn = await explain(file);
    expect([drawn.code, drawn.stderr]).toEqual([0, ""]);
    expect(drawn.stdout).toContain("SYN-SENT");
    expect(drawn.stdout).toContain("four-segment close");
    const { stdout } = await explain(file, "--json");
    const [capture, connection] = stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect([capture.type, capture.connections, connection.handshake.name, connection.close.name]).toEqual([
      "capture",
      1,
      "three-way",
      "four-segment",
    ]);
    const zipped = gzipSync(readFileSync(file));
    writeFileSync(`${file}.gz`, zipped);
    expect((await explain(`${file}.gz`)).stdout).toBe(drawn.stdout);
    const piped = await runToEnd("sh", ["-c", 'cat | "$@"', "sh", process.execPath, build.main, "explain", "-"], zipped);
    expect(piped.stdout).toBe(drawn.stdout);
  });

  it("says what is wrong with a file, and explains what could be read", async () => {
    const cut = join(folder, "cut.pcap");
    // How long the capture is depends on the kernel's pace.
    const whole = readFileSync(fileOf(FIRST_PORT));
    writeFileSync(cut, whole.subarray(0, -5));
    const { code, stdout, stderr } = await explain(cut, "--summary");
    expect(code).toBe(1);
    expect(stdout).toContain("opened: three-way handshake");
    expect(stderr).toMatch(/^rawtcp: .*cut\.pcap: the file ends inside .*; \d+ packets before it were read\n$/);
    const packed = gzipSync(whole);
    writeFileSync(cut, packed.subarray(0, Math.floor(0.75 * packed.length)));
    expect((await explain(cut)).stderr).toMatch(/; [1-9]\d* packets before it were read/);
    expect((await explain(join(folder, "none"))).stderr).toContain("cannot read the capture file");
    expect((await explain(folder)).code).toBe(2);
    expect((await explain(fileOf(FIRST_PORT), "--connection", "9")).stderr).toContain(
      "--connection: there is no 9, the capture has 1",
    );
    writeFileSync(cut, "no capture at all");
    expect((await explain(cut)).stderr).toContain("neither pcapng nor pcap");
  });
});
