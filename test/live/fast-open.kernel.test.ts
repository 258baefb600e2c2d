/** Fast Open with the kernel at the other end, both roles; its counters and tcp_info are the witnesses. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import type { TcpStream } from "../../src/net/tcp-stream.js";
import { TCPI_OPTIONS } from "../../src/tcp/info.js";
import { run } from "../kernel/support.js";
import { LOOPBACK, World } from "./live.js";

vi.setConfig({ testTimeout: 20_000 });

let world: World;
beforeAll(async () => {
  world = await World.open();
  // Client and server (3), in this namespace alone.
  writeFileSync("/proc/sys/net/ipv4/tcp_fastopen", "3");
  // Cookies are remembered among the metrics.
  writeFileSync("/proc/sys/net/ipv4/tcp_no_metrics_save", "0");
});
afterEach(async () => {
  world.closeSessions();
  expect((await world.resets.take()).kernel).toEqual([]);
});
afterAll(() => world.close());

/** What one of the kernel's sockets tells: the data that it got, and `tcpi_options`. */
interface Told {
  readonly port?: number;
  readonly data?: string;
  readonly options?: number;
}

/** A server that takes Fast Open and answers with "answer"; a line for each connection. */
const SERVER = `
import json, socket
s = socket.socket()
s.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 5)
s.bind(("127.0.0.1", 0))
s.listen(5)
print(json.dumps({"port": s.getsockname()[1]}), flush=True)
while True:
    c, _ = s.accept()
    data = c.recv(100).decode()
    options = c.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 8)[5]
    c.sendall(b"answer")
    print(json.dumps({"data": data, "options": options}), flush=True)
    while c.recv(100): pass
    c.close()
`;

/** A client that connects with MSG_FASTOPEN. */
const CLIENT = `
import json, socket, sys
s = socket.socket()
s.sendto(b"request", socket.MSG_FASTOPEN, ("127.0.0.1", int(sys.argv[1])))
data = s.recv(100).decode()
options = s.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 8)[5]
print(json.dumps({"data": data, "options": options}), flush=True)
s.shutdown(socket.SHUT_WR)
while s.recv(100): pass
`;

function python(program: string, ...args: string[]): { child: ChildProcess; next(): Promise<Told> } {
  const child = spawn("python3", ["-c", program, ...args], { stdio: ["ignore", "pipe", "inherit"] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return { child, next: async () => JSON.parse((await lines.next()).value ?? "{}") as Told };
}

/** A counter of the kernel's in this namespace. */
function counter(name: string): number {
  return Number(new RegExp(`${name}\\s+(\\d+)`).exec(run("nstat", "-asz", name))?.[1]);
}

const SYN_DATA = TCPI_OPTIONS.SYN_DATA;

describe("our client, the kernel's server", () => {
  it("learns a cookie, then sends its request with the SYN; the kernel takes it, and counts it (RFC 7413 §4.2)", async () => {
    const server = python(SERVER);
    try {
      const { port = 0 } = await server.next();
      const live = await world.session(LOOPBACK);
      const seen: unknown[] = [];
      for (let i = 0; i < 2; i++) {
        const [asked, passive] = [counter("TcpExtTCPFastOpenCookieReqd"), counter("TcpExtTCPFastOpenPassive")];
        const stream = live.connect(port, { data: Buffer.from("request") });
        const [answer] = (await once(stream, "data")) as [Buffer];
        const told = await server.next();
        const info = stream.connection.info(live.session.driver.now());
        const grown = [counter("TcpExtTCPFastOpenCookieReqd") - asked, counter("TcpExtTCPFastOpenPassive") - passive];
        const withSyn = [(told.options ?? 0) & SYN_DATA, info.tcpi_options & SYN_DATA, info.tcpi_fastopen_client_fail];
        seen.push([told.data, answer.toString(), grown, withSyn]);
        stream.end();
        await once(stream, "close");
      }
      expect(seen).toEqual([
        ["request", "answer", [1, 0], [0, 0, 1]],
        ["request", "answer", [0, 1], [SYN_DATA, SYN_DATA, 0]],
      ]);
      await live.session.driver.whenIdle();
    } finally {
      server.child.kill();
    }
  });

  it("shows a cookie of an old key: the kernel takes no data, it goes again at once, and the new cookie is used", async () => {
    const server = python(SERVER);
    try {
      const { port = 0 } = await server.next();
      const live = await world.session(LOOPBACK);
      const exchange = async (): Promise<number[]> => {
        const stream = live.connect(port, { data: Buffer.from("request") });
        const [answer] = (await once(stream, "data")) as [Buffer];
        expect([answer.toString(), (await server.next()).data]).toEqual(["answer", "request"]);
        const info = stream.connection.info(live.session.driver.now());
        stream.end();
        await once(stream, "close");
        return [info.tcpi_options & SYN_DATA, info.tcpi_fastopen_client_fail, info.tcpi_total_rto];
      };
      const outcomes = [await exchange()];
      writeFileSync("/proc/sys/net/ipv4/tcp_fastopen_key", "00000001-00000002-00000003-00000004");
      outcomes.push(await exchange(), await exchange());
      expect(outcomes).toEqual([
        [0, 1, 0],
        [0, 2, 0],
        [SYN_DATA, 0, 0],
      ]);
      await live.session.driver.whenIdle();
    } finally {
      server.child.kill();
    }
  });
});

describe("our server, the kernel's client", () => {
  it("grants a cookie, then takes the request with the SYN and answers before the handshake is done (RFC 7413 §4.2)", async () => {
    const live = await world.session(LOOPBACK, { connection: { fastOpen: "server" } });
    const { server, port } = live.listen({ fastOpenQueue: 4 });
    const states: string[] = [];
    server.on("connection", (stream: TcpStream) => {
      states.push(stream.connection.state);
      stream.once("data", (data: Buffer) => stream.end(data.toString() === "request" ? "answer" : "what?"));
    });
    const seen: unknown[] = [];
    for (let i = 0; i < 2; i++) {
      const before = counter("TcpExtTCPFastOpenActive");
      const client = python(CLIENT, String(port));
      const gone = once(client.child, "exit");
      const { data, options = 0 } = await client.next();
      seen.push([data, options & SYN_DATA, counter("TcpExtTCPFastOpenActive") - before]);
      await gone;
    }
    expect(seen).toEqual([
      ["answer", 0, 0],
      ["answer", SYN_DATA, 1],
    ]);
    expect(states).toEqual(["ESTABLISHED", "SYN-RECEIVED"]);
    expect(server.listener?.counters).toMatchObject({ fastOpenCookiesSent: 1, fastOpenAccepted: 1, fastOpenCookiesFailed: 0 });
    await live.session.driver.whenIdle();
  });
});
