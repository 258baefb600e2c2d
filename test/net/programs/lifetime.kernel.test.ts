/** When a program over our TCP ends, and what it leaves behind: what was written gets through, and nothing else stays. */
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type Build, buildCli, type Ended, endProcesses, outputOf, type Running, start } from "../../cli/support.js";
import { enterPrivateNamespace } from "../../kernel/support.js";

let build: Build;
let server: Server | undefined;
beforeAll(() => {
  enterPrivateNamespace();
  build = buildCli();
});
afterEach(() => {
  endProcesses();
  server?.close();
  server = undefined;
});
afterAll(() => build.remove());

/** A server of the kernel; resolves with all that its first connection brought, and how it ended. */
async function kernelPeer(): Promise<{
  port: number;
  received: Promise<{ bytes: number; ending: string }>;
  socket: Promise<Socket>;
}> {
  const listening = createServer({ allowHalfOpen: false });
  server = listening;
  listening.listen(0, "127.0.0.1");
  await once(listening, "listening");
  const socket = once(listening, "connection").then(([accepted]) => accepted as Socket);
  const received = socket.then(
    (accepted) =>
      new Promise<{ bytes: number; ending: string }>((resolve) => {
        let ending = "nothing";
        accepted.on("data", () => undefined);
        accepted.on("end", () => (ending = "end"));
        accepted.on("error", (error: NodeJS.ErrnoException) => (ending = error.code ?? ""));
        accepted.on("close", () => resolve({ bytes: accepted.bytesRead, ending }));
      }),
  );
  const address = listening.address();
  return { port: typeof address === "object" ? (address?.port ?? 0) : 0, received, socket };
}

function node(code: string, ...options: string[]): Running {
  const running = start(process.execPath, [build.main, "run", "--quiet", ...options, "--", process.execPath, "-e", code]);
  return running;
}

const connecting = (port: number, then: string): string =>
  `const s = require("node:net").connect(${port}, "127.0.0.1", () => { ${then} });`;

describe("what was written gets through", () => {
  const endings: [string, string][] = [
    ["the program runs out of work", "s.end(Buffer.alloc(3e6))"],
    ["process.exit once all was handed over", "s.end(Buffer.alloc(3e5), () => process.exit())"],
    ["process.exit in the same turn", "s.end(Buffer.alloc(3e5)); process.exit()"],
    ["destroy after the write", "s.write(Buffer.alloc(3e5), () => s.destroy())"],
    ["an exception that nobody catches", "s.end(Buffer.alloc(3e5)); throw new Error('x')"],
  ];
  it.each(endings)("%s", async (_what, then) => {
    const { port, received } = await kernelPeer();
    const program = node(connecting(port, then));
    expect(await received).toEqual({ bytes: then.includes("3e6") ? 3_000_000 : 300_000, ending: "end" });
    await program.ended;
  });
});

describe("what keeps a program alive", () => {
  const quick: [string, string][] = [
    ["an unreferenced server", `require("node:net").createServer().listen(0).unref();`],
    ["a server that was closed", `const s = require("node:net").createServer().listen(0, () => s.close());`],
    [
      "TIME-WAIT",
      `const net = require("node:net"); const s = net.createServer((c) => c.resume().end()).listen(0, () => {
         const c = net.connect(s.address().port, "127.0.0.1").resume(); c.end(); c.on("close", () => s.close()); });`,
    ],
  ];
  it.each(quick)("not %s", async (_what, code) => {
    expect(await node(code).ended).toEqual({ code: 0, stdout: "", stderr: "" });
  });

  it("not an unreferenced socket", async () => {
    const { port, received } = await kernelPeer();
    expect((await node(connecting(port, "s.unref()")).ended).code).toBe(0);
    expect(await received).toEqual({ bytes: 0, ending: "end" });
  });

  it("an open connection, until its peer ends it", async () => {
    const { port, socket } = await kernelPeer();
    const program = node(connecting(port, "s.resume(); console.log('open')"));
    await program.sees("open", "stdout");
    (await socket).end();
    expect((await program.ended).code).toBe(0);
  });
});

describe("nothing stays", () => {
  async function held(port: number): Promise<string> {
    return (await outputOf("ss", "-Htan", `( sport = :${port} or dport = :${port} )`)).trim();
  }

  it.each<[string, NodeJS.Signals, number | string]>([
    ["Ctrl-C", "SIGINT", 130],
    ["SIGTERM", "SIGTERM", 143],
  ])("%s in the middle of a connection", async (_what, signal, code) => {
    const program = node(
      `const net = require("node:net"); const s = net.createServer((c) => c.pipe(c)).listen(0, "127.0.0.1", () => console.log("port " + s.address().port));`,
    );
    let port = 0;
    program.child.stdout?.on("data", (text: string) => (port ||= Number(/port (\d+)/.exec(text)?.[1])));
    await program.sees(/port \d+/, "stdout");
    program.child.kill(signal);
    const ended: Ended = await program.ended;
    expect(ended.code).toBe(code);
    expect(await held(port)).toBe("");
  });

  it("kill -9 of the program itself: its port is free at once", async () => {
    const program = node(
      `const s = require("node:net").createServer().listen(0, "127.0.0.1", () => console.log(process.pid + " " + s.address().port));`,
    );
    let told = "";
    program.child.stdout?.on("data", (text: string) => (told += text));
    await program.sees(/\d+ \d+\n/, "stdout");
    const [pid, port] = told.trim().split(" ").map(Number);
    process.kill(pid ?? 0, "SIGKILL");
    expect((await program.ended).code).toBe(137);
    const next = createServer().listen(port, "127.0.0.1");
    await once(next, "listening");
    next.close();
  });
});

it("a worker thread goes over our TCP as well", async () => {
  const file = join(build.folder, "worker.cjs");
  writeFileSync(
    file,
    `const net = require("node:net"); const s = net.createServer((c) => c.end("from a worker")).listen(0, "127.0.0.1", () =>
       net.connect(s.address().port, "127.0.0.1").on("data", (d) => console.log(String(d))).on("close", () => s.close()));`,
  );
  const running = start(process.execPath, [
    ...[build.main, "run", "--", process.execPath, "-e"],
    `new (require("node:worker_threads").Worker)(${JSON.stringify(file)})`,
  ]);
  const { code, stdout, stderr } = await running.ended;
  expect([code, stdout]).toEqual([0, "from a worker\n"]);
  expect(stderr).toContain("(1 opened, 1 accepted)");
});

it("node --import rawtcp/register does without rawtcp run", async () => {
  const register = join(build.folder, "dist/net/register.js");
  const code = `const net = require("node:net"); const s = net.createServer((c) => c.end("x")).listen(0, () =>
    net.connect(s.address().port, "127.0.0.1").on("data", (d) => console.log(String(d))).on("close", () => s.close()));`;
  const running = start(process.execPath, ["--import", register, "-e", code]);
  expect((await running.ended).stderr).toMatch(/^rawtcp: 2 connections over our TCP \(1 opened, 1 accepted\)/);
});
