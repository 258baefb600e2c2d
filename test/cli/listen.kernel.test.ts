import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { checkEvent } from "../../src/observe/schema.js";
import { enterPrivateNamespace, run } from "../kernel/support.js";
import {
  type Build,
  buildCli,
  endProcesses,
  faultsOf,
  freePort,
  outputOf,
  type Running,
  readWithTshark,
  runToEnd,
  start,
  TSHARK,
} from "./support.js";

let build: Build;
beforeAll(() => {
  enterPrivateNamespace();
  build = buildCli();
});
afterEach(endProcesses);
afterAll(() => build.remove());

interface Listening extends Running {
  readonly port: string;
}

async function listen(...options: string[]): Promise<Listening> {
  const port = await freePort();
  const server = start(process.execPath, [build.main, "listen", port, "--msl", "0", ...options]);
  await server.sees(/listening on|"action":"hold"/);
  return { ...server, port };
}

/** A kernel client that sends all, half-closes, and returns what came until the FIN, or the error's code. */
function ask(port: string, data: Uint8Array | string): Promise<string> {
  const socket = connect({ port: Number(port), host: "127.0.0.1", allowHalfOpen: true });
  socket.end(data);
  return answerOf(socket);
}

function answerOf(socket: Socket): Promise<string> {
  const chunks: Buffer[] = [];
  return new Promise((resolve) => {
    socket.on("data", (chunk) => chunks.push(chunk));
    socket.on("end", () => resolve(Buffer.concat(chunks).toString("latin1")));
    socket.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? ""));
  });
}

const sha256 = (text: string): string => createHash("sha256").update(Buffer.from(text, "latin1")).digest("hex");

describe("one connection", () => {
  it("at ::1", async () => {
    const server = await listen("--bind", "::1", "--echo");
    const socket = connect({ port: Number(server.port), host: "::1", allowHalfOpen: true });
    socket.end("six");
    expect(await answerOf(socket)).toBe("six");
    expect((await server.ended).code).toBe(0);
  });

  it("joins it with standard input and output, and ends with it", async () => {
    const server = await listen("-q");
    const client = connect(Number(server.port), "127.0.0.1");
    const answer = answerOf(client);
    client.write("from the client");
    await server.sees("from the client", "stdout");
    server.input("from the server");
    expect(await answer).toBe("from the server");
    expect(await server.ended).toMatchObject({ code: 0, stdout: "from the client" });
  });

  it("a second client is refused while the first is there", async () => {
    const server = await listen("-q");
    const first = connect(Number(server.port), "127.0.0.1");
    first.write("first");
    await server.sees("first", "stdout");
    expect(await ask(server.port, "second")).toBe("ECONNREFUSED");
    first.end();
    server.input("");
    expect(await server.ended).toMatchObject({ code: 0, stdout: "first" });
  });

  it("a client that resets gives exit code 5", async () => {
    const server = await listen("-q");
    const client = connect(Number(server.port), "127.0.0.1");
    client.write("x");
    await server.sees("x", "stdout");
    client.resetAndDestroy();
    const { code, stderr } = await server.ended;
    expect(code).toBe(5);
    expect(stderr).toMatch(/^rawtcp: listening .*\nrawtcp: read ECONNRESET .*\n$/);
  });

  it("--json: standard error holds events alone", async () => {
    const server = await listen("--json", "--echo");
    expect(await ask(server.port, "ping")).toBe("ping");
    const { code, stderr } = await server.ended;
    expect(code).toBe(0);
    const lines = stderr.trimEnd().split("\n");
    expect(lines.length).toBeGreaterThan(10);
    expect(lines.flatMap((line) => checkEvent(JSON.parse(line)) ?? [])).toEqual([]);
  });

  it("--pcap -: what the client sends does not fall into the capture", async () => {
    const server = await listen("-q", "--pcap", "-");
    server.input("");
    expect(await ask(server.port, "must not fall into the capture")).toBe("");
    const { stdout } = await server.ended;
    const tshark = await readWithTshark(stdout);
    expect(faultsOf(tshark, 7)).toEqual([]);
  });

  it.each([
    ["SIGINT", 130],
    ["SIGTERM", 143],
  ] as const)("%s while it waits gives exit code %i and frees the port", async (signal, exitCode) => {
    const server = await listen("-q");
    server.child.kill(signal);
    expect((await server.ended).code).toBe(exitCode);
    expect(run("ss", "-Htanl")).toBe("");
    expect(await ask(server.port, "x")).toBe("ECONNREFUSED");
  });
});

describe("--keep", () => {
  it("--echo serves several clients at once, with 1 MiB each, until Ctrl-C", async () => {
    const server = await listen("-q", "--keep", "--echo");
    const data = Array.from({ length: 4 }, () => randomBytes(1 << 20).toString("latin1"));
    const answers = await Promise.all(data.map((text) => ask(server.port, Buffer.from(text, "latin1"))));
    expect(answers.map(sha256)).toEqual(data.map(sha256));
    server.child.kill("SIGINT");
    const { code, stderr } = await server.ended;
    expect(code).toBe(0);
    expect(stderr.split("\n")).toHaveLength(2);
  });

  it("a client that resets is told of in one line, and the next one is served", async () => {
    const server = await listen("-q", "--keep", "--echo");
    const client = connect(Number(server.port), "127.0.0.1");
    client.write("x");
    await once(client, "data");
    client.resetAndDestroy();
    await server.sees("ECONNRESET");
    expect(await ask(server.port, "still there")).toBe("still there");
    server.child.kill("SIGTERM");
    expect((await server.ended).code).toBe(0);
  });

  it("curl gets its answer from --exec, and ncat its echo", async () => {
    const server = await listen(
      "-q",
      "--keep",
      "--exec",
      'read line; printf "HTTP/1.0 200 OK\\r\\n\\r\\nyou asked: %s\\n" "$line"',
    );
    expect(await outputOf("curl", "-s", `http://127.0.0.1:${server.port}/path`)).toContain("you asked: GET /path HTTP/1.1");
    const echo = await listen("-q", "--keep", "--exec", "cat");
    const ncat = await runToEnd("ncat", ["127.0.0.1", echo.port], "hello from ncat\n");
    expect(ncat).toMatchObject({ code: 0, stdout: "hello from ncat\n" });
  });
});

describe("--exec", () => {
  it("a command that ends at once and reads nothing: the client gets FIN, not RST", async () => {
    const server = await listen("-q", "--exec", "true");
    expect(await ask(server.port, "x".repeat(300_000))).toBe("");
    expect((await server.ended).code).toBe(0);
  });

  it("a command that writes megabytes and reads nothing is received whole", async () => {
    const server = await listen("-q", "--exec", "head -c 8000000 /dev/zero");
    expect((await ask(server.port, "")).length).toBe(8_000_000);
    expect((await server.ended).code).toBe(0);
  });

  it("megabytes through cat come back whole", async () => {
    const server = await listen("-q", "--exec", "cat");
    const data = randomBytes(8 << 20);
    expect(sha256(await ask(server.port, data))).toBe(sha256(data.toString("latin1")));
    expect((await server.ended).code).toBe(0);
  });

  it("the command gets no descriptor of ours: a raw socket would let it read and send any packet", async () => {
    // Not in a pipeline: while it sets one up, the shell has the pipe's ends open itself.
    const list = "ls -l /proc/$$/fd";
    for (const link of ["raw", "pcap"]) {
      const server = await listen("-q", "--link", link, "--exec", list);
      const open = [...(await ask(server.port, "")).matchAll(/ (\d+) ->/g)].map((match) => match[1]);
      expect(open).toEqual(["0", "1", "2"]);
      await server.ended;
    }
  });

  it("what the shell has started ends with the connection, even at Ctrl-C", async () => {
    const server = await listen("-q", "--exec", "echo begun; sleep 1000 | cat");
    const client = connect(Number(server.port), "127.0.0.1");
    client.on("error", () => undefined);
    await once(client, "data");
    server.child.kill("SIGINT");
    // Standard error is the command's, too: "ended" waits until the last of its processes has let go of it.
    expect((await server.ended).code).toBe(130);
  });
});

describe("failures: one line, and an exit code of their own", () => {
  it("a port that another program listens on: 8", async () => {
    const holder = await listen("-q", "--keep", "--echo");
    const { code, stderr } = await runToEnd(process.execPath, [build.main, "listen", holder.port, "-q"]);
    expect(code).toBe(8);
    expect(stderr).toMatch(new RegExp(`^rawtcp: .*port ${holder.port}.*EADDRINUSE.*ss -ltnp\\)\\n$`));
  });
});

describe("demo", () => {
  const demo = (...options: string[]): Running =>
    start(process.execPath, [build.main, "demo", "--msl", "0", ...options], { cwd: build.folder });

  it("shows the handshake, the data, the close and TIME-WAIT with both ends' states, and the command for Wireshark", async () => {
    const { code, stdout, stderr } = await demo().ended;
    expect([code, stderr]).toEqual([0, ""]);
    const stages = ["SYN-SENT", "SYN+ACK", "ESTABLISHED", "PSH+ACK", "FIN-WAIT-1", "CLOSE-WAIT", "TIME-WAIT", "CLOSED"];
    const text = Buffer.from(stdout, "latin1").toString();
    expect(stages.filter((stage) => !text.includes(stage))).toEqual([]);
    expect(text.trimEnd().split("\n").at(-1)).toMatch(/wireshark rawtcp-demo\.pcapng$/);
    const tshark = await outputOf("tshark", "-r", join(build.folder, "rawtcp-demo.pcapng"), ...TSHARK);
    expect(faultsOf(tshark, 8)).toEqual([]);
    expect(tshark).toContain("open: tells our initial sequence number");
  });

  it("--closer kernel: TIME-WAIT is the kernel's, and we go through CLOSE-WAIT and LAST-ACK", async () => {
    const { code, stdout } = await demo("--closer", "kernel", "--json").ended;
    expect(code).toBe(0);
    const events = stdout
      .trimEnd()
      .split("\n")
      .map((line): Record<string, unknown> => JSON.parse(line));
    expect(events.flatMap((event) => checkEvent(event) ?? [])).toEqual([]);
    const states = events.filter((event) => event["type"] === "state").map((event) => event["to"]);
    expect(states).toEqual(["SYN-SENT", "ESTABLISHED", "CLOSE-WAIT", "LAST-ACK", "CLOSED"]);
    expect(events.filter((event) => event["type"] === "peer").map((event) => event["state"])).toContain("FIN-WAIT-2");
  });

  it("--pcap -: standard output is the capture, standard error the ladder", async () => {
    const { code, stdout, stderr } = await demo("--pcap", "-").ended;
    expect(code).toBe(0);
    expect(stderr).toContain("SYN-SENT");
    const tshark = await readWithTshark(stdout);
    expect(faultsOf(tshark, 8)).toEqual([]);
  });

  it("a file name with a blank is quoted in the command", async () => {
    const { stdout } = await demo("--pcap", "it's mine.pcapng").ended;
    expect(stdout.trimEnd().split("\n").at(-1)).toMatch(/wireshark 'it'\\''s mine\.pcapng'$/);
  });

  it.each(["pcap", "raw"])("link %s with guard nft", async (link) => {
    const { code, stderr } = await demo("-q", "--link", link, "--guard", "nft").ended;
    expect([code, stderr]).toEqual([0, ""]);
    expect(run("nft", "list", "tables")).not.toContain("rawtcp");
  });

  it("SIGINT in TIME-WAIT ends it with 130 and leaves nothing", async () => {
    const running = start(process.execPath, [build.main, "demo", "--msl", "60", "--pcap", "/dev/null"]);
    await running.sees("TIME-WAIT", "stdout");
    running.child.kill("SIGINT");
    expect((await running.ended).code).toBe(130);
    expect(run("ss", "-Htanl")).toBe("");
    expect(run("ss", "-Hwan")).toBe("");
  });

  it("without the guard the kernel's RST ends it: exit code 5 and one line that says so", async () => {
    const { code, stderr } = await demo("-q", "--guard", "none").ended;
    expect(code).toBe(5);
    expect(stderr).toMatch(/^rawtcp: .*ECONNRESET.*with --guard none .*\n$/);
  });
});
