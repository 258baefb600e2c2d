/** What our `net` has beyond Node's, over the wire inside the process. */
import { once } from "node:events";
import http from "node:http";
import https from "node:https";
import type { AddressInfo, Socket } from "node:net";
import { Client } from "undici";
import { afterEach, describe, expect, it } from "vitest";
import { Agent, createConnection, HttpsAgent, undiciConnect } from "../../src/net/http.js";
import type { RawTcpSocket } from "../../src/net/index.js";
import ours, { createNet, type Net, type NetStack, simulatedStack } from "../../src/net/index.js";
import type { SegmentEvent, StateEvent } from "../../src/observe/events.js";
import { CERTIFICATE, KEY } from "./compliance/certificate.js";

const stacks: NetStack[] = [];
afterEach(() => {
  for (const stack of stacks.splice(0)) stack.close();
});

function simulate(options: Parameters<typeof simulatedStack>[0] = {}): { stack: NetStack; net: Net } {
  const stack = simulatedStack({ seed: 1, ...options });
  stacks.push(stack);
  return { stack, net: createNet(stack) };
}

async function listen(net: Net, onConnection: (socket: RawTcpSocket) => void, host = "127.0.0.1"): Promise<number> {
  const server = net.createServer({ allowHalfOpen: true }, onConnection).listen(0, host);
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

async function text(socket: Socket): Promise<string> {
  let all = "";
  for await (const chunk of socket) all += String(chunk);
  return all;
}

describe("events of the connection", () => {
  it("segment: from the SYN to the last ACK", async () => {
    const { net } = simulate();
    const port = await listen(net, (far) => far.pipe(far));
    const socket = net.connect(port, "127.0.0.1");
    const segments: SegmentEvent[] = [];
    socket.on("segment", (segment) => segments.push(segment));
    socket.end("hello");
    expect(await text(socket)).toBe("hello");
    expect(segments.slice(0, 3).map(({ dir, flags }) => `${dir} ${flags}`)).toEqual(["out S", "in S.", "out FP."]);
    expect(segments.filter(({ flags }) => flags.includes("F")).map(({ dir }) => dir)).toEqual(["out", "in"]);
    expect(segments.find(({ len, dir }) => len === 5 && dir === "out")?.dst).toBe(`127.0.0.1:${port}`);
  });

  it("state: the path of an active close", async () => {
    const { net } = simulate();
    const port = await listen(net, (far) => far.pipe(far));
    const socket = net.connect(port, "127.0.0.1");
    const states: StateEvent[] = [];
    socket.on("state", (change) => states.push(change));
    socket.end("x");
    await text(socket);
    expect(states.map(({ to }) => to)).toEqual(["ESTABLISHED", "FIN-WAIT-1", "FIN-WAIT-2", "TIME-WAIT"]);
  });

  it("of a server's socket too, and only of the one that is watched", async () => {
    const { net } = simulate();
    const seen: string[] = [];
    let count = 0;
    const port = await listen(net, (far) => {
      if (count++ === 0) far.on("segment", ({ src, dst, dir }) => seen.push(dir === "in" ? src : dst));
      far.pipe(far);
    });
    const sockets = [net.connect(port, "127.0.0.1"), net.connect(port, "127.0.0.1")];
    await Promise.all(sockets.map((socket) => once(socket, "connect")));
    for (const socket of sockets) socket.end("abc");
    await Promise.all(sockets.map(text));
    expect(new Set(seen).size).toBe(1);
  });

  it("nothing is traced that nobody asked for", async () => {
    const { net } = simulate();
    const port = await listen(net, (far) => far.pipe(far));
    const socket = net.connect(port, "127.0.0.1");
    let told = 0;
    const emit = socket.emit.bind(socket);
    socket.emit = (event: string, ...args: unknown[]) => {
      if (event === "segment" || event === "state") told++;
      return emit(event as "data", ...(args as [Buffer]));
    };
    socket.end("x");
    await text(socket);
    expect(told).toBe(0);
  });
});

describe("info", () => {
  it("is tcp_info of the connection", async () => {
    const { net } = simulate({ delayUs: 10_000, time: "virtual" });
    const port = await listen(net, (far) => far.pipe(far));
    const socket = net.connect(port, "127.0.0.1");
    await once(socket, "connect");
    socket.write(Buffer.alloc(100_000));
    await once(socket, "data");
    const info = socket.info();
    expect(info?.tcpi_state).toBe(1); // Linux's number of ESTABLISHED
    expect(info?.tcpi_rtt).toBeGreaterThanOrEqual(20_000);
    socket.destroy();
  });

  it("is undefined before there is a connection", () => {
    const { net } = simulate();
    expect(new net.Socket().info()).toBe(undefined);
  });
});

describe("bend", () => {
  it("rules given before the socket connects hold from its SYN on", async () => {
    const { net } = simulate({ time: "virtual" });
    const port = await listen(net, (far) => far.end("x"));
    const socket = new net.Socket();
    const sent: string[] = [];
    socket.on("segment", ({ dir, flags }) => dir === "out" && sent.push(flags));
    socket.bend("drop out syn 1");
    socket.connect(port, "127.0.0.1");
    expect(await text(socket)).toBe("x");
    expect(sent.slice(0, 2)).toEqual(["S", "S"]); // the first was lost
  });

  it("holds for its own connection alone", async () => {
    const { net } = simulate({ time: "virtual" });
    const port = await listen(net, (far) => far.pipe(far));
    const bent = net.connect(port, "127.0.0.1");
    const straight = net.connect(port, "127.0.0.1");
    await Promise.all([once(bent, "connect"), once(straight, "connect")]);
    const count = (socket: RawTcpSocket): { sent: number } => {
      const counter = { sent: 0 };
      socket.on("segment", ({ dir, len }) => {
        if (dir === "out" && len > 0) counter.sent++;
      });
      return counter;
    };
    const [ofBent, ofStraight] = [count(bent), count(straight)];
    bent.bend("drop out data 1..2");
    for (const socket of [bent, straight]) socket.end("data");
    expect(await Promise.all([text(bent), text(straight)])).toEqual(["data", "data"]);
    expect([ofBent.sent, ofStraight.sent]).toEqual([3, 1]);
  });

  it("of a server's socket", async () => {
    const { net } = simulate({ time: "virtual" });
    const port = await listen(net, (far) => {
      far.bend("set out data win=1");
      far.end("x");
    });
    const socket = net.connect(port, "127.0.0.1");
    const windows: number[] = [];
    socket.on("segment", ({ dir, len, win }) => dir === "in" && len > 0 && windows.push(win));
    await text(socket);
    expect(windows).toEqual([1]);
  });

  it("a rule that is none throws and names what is wrong", () => {
    const { net } = simulate();
    expect(() => new net.Socket().bend("frobnicate")).toThrow(/frobnicate/);
  });
});

it("abort is a RST", async () => {
  const { net } = simulate();
  const failed = new Promise<NodeJS.ErrnoException>((resolve) => {
    void listen(net, (far) => far.resume().on("error", resolve)).then((port) => {
      const socket = net.connect(port, "127.0.0.1", () => socket.abort());
    });
  });
  expect((await failed).code).toBe("ECONNRESET");
});

describe("stacks", () => {
  it("two stacks do not see each other", async () => {
    const one = simulate();
    const other = simulate();
    const port = await listen(one.net, (far) => far.end("one"));
    const socket = other.net.connect(port, "127.0.0.1");
    const error = await new Promise<NodeJS.ErrnoException>((resolve) => socket.once("error", resolve));
    expect(error.message).toBe(`connect ECONNREFUSED 127.0.0.1:${port}`);
  });

  it("the option stack takes another than the module's", async () => {
    const { stack } = simulate();
    const server = ours.createServer({ stack }, (far) => far.end("simulated")).listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    expect(await text(ours.connect({ port, host: "127.0.0.1", stack }))).toBe("simulated");
    expect(await text(new ours.Socket({ stack }).connect(port, "127.0.0.1"))).toBe("simulated");
    expect(stack.statistics).toMatchObject({ opened: 2, accepted: 2 });
  });

  it("an option stack that is none throws", () => {
    expect(() => new ours.Socket({ stack: {} as NetStack })).toThrow(/liveStack\(\) or simulatedStack\(\)/);
  });

  it("counts connections and bytes", async () => {
    const { net, stack } = simulate();
    const port = await listen(net, (far) => far.pipe(far));
    const socket = net.connect(port, "127.0.0.1");
    socket.end("12345");
    await text(socket);
    expect(stack.statistics).toEqual({ opened: 1, accepted: 1, bytesRead: 10, bytesWritten: 10 });
  });

  it("both families listen at one port without an address, and IPv4 is shown as in IPv6", async () => {
    const { net } = simulate();
    const seen: (string | undefined)[] = [];
    const server = net.createServer((far) => {
      seen.push(`${far.remoteAddress} ${far.remoteFamily}`);
      far.end();
    });
    server.listen(0);
    await once(server, "listening");
    const { address, family, port } = server.address() as AddressInfo;
    expect([address, family]).toEqual(["::", "IPv6"]);
    for (const host of ["::1", "127.0.0.1", "::ffff:127.0.0.1", "localhost"]) await text(net.connect(port, host));
    expect(seen.slice(0, 3)).toEqual(["::1 IPv6", "::ffff:127.0.0.1 IPv6", "::ffff:127.0.0.1 IPv6"]);
  });

  it("ipv6Only leaves IPv4 to others", async () => {
    const { net } = simulate();
    const server = net.createServer().listen({ port: 0, host: "::", ipv6Only: true });
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const other = net.createServer((far) => far.end("v4")).listen(port, "0.0.0.0");
    await once(other, "listening");
    expect(await text(net.connect(port, "127.0.0.1"))).toBe("v4");
  });

  it("an address that is not on the wire cannot be reached, one that was added can", async () => {
    const { net } = simulate({ addresses: ["10.0.0.1"] });
    const port = await listen(net, (far) => far.end(String(far.localAddress)), "10.0.0.1");
    expect(await text(net.connect(port, "10.0.0.1"))).toBe("10.0.0.1");
    const socket = net.connect(port, "10.0.0.2");
    const error = await new Promise<NodeJS.ErrnoException>((resolve) => socket.once("error", resolve));
    expect([error.code, error.syscall]).toEqual(["ENETUNREACH", "connect"]);
  });

  it("a closed stack ends its sockets, and opens no more", async () => {
    const { net, stack } = simulate();
    const port = await listen(net, (far) => far.on("error", () => undefined).resume());
    const socket = net.connect(port, "127.0.0.1");
    socket.on("error", () => undefined).resume();
    await once(socket, "connect");
    const closed = new Promise((resolve) => socket.once("close", resolve));
    stack.close();
    await closed;
    expect(() => net.connect(port, "127.0.0.1")).toThrow(/closed/);
  });

  it("virtual time: ten minutes of a lossy link take no time, and the data is whole", async () => {
    const { net } = simulate({ time: "virtual", delayUs: 200_000, faults: { loss: 0.05, seed: 3 } });
    const port = await listen(net, (far) => far.pipe(far));
    const socket = net.connect(port, "127.0.0.1");
    const data = Buffer.alloc(300_000, "rawtcp ");
    socket.end(data);
    expect(Buffer.from(await text(socket)).equals(data)).toBe(true);
  });

  it("the same seed gives the same segments", async () => {
    const run = async (): Promise<string[]> => {
      const { net } = simulate({ time: "virtual", delayUs: 1000, seed: 9, faults: { loss: 0.2, seed: 4 } });
      const port = await listen(net, (far) => far.pipe(far));
      const socket = net.connect(port, "127.0.0.1");
      const told: string[] = [];
      socket.on("segment", ({ t, dir, flags, seq, len }) => told.push(`${t} ${dir} ${flags} ${seq} ${len}`));
      socket.end(Buffer.alloc(500_000));
      await text(socket);
      return told;
    };
    const [first, second] = [await run(), await run()];
    expect(first.length).toBeGreaterThan(10);
    expect(second).toEqual(first);
  });

  it("a profile and single settings are those of its connections", async () => {
    const { net } = simulate({ profile: "rfc", connection: { mssBytes: 700 } });
    const port = await listen(net, (far) => far.pipe(far));
    const socket = net.connect(port, "127.0.0.1");
    const lengths: number[] = [];
    socket.on("segment", ({ dir, len }) => dir === "out" && lengths.push(len));
    socket.end(Buffer.alloc(5000));
    await text(socket);
    expect(Math.max(...lengths)).toBeLessThanOrEqual(700);
  });
});

describe("what TCP over raw IP cannot give", () => {
  const { net } = simulate();
  const refused: [string, () => unknown][] = [
    ["a pipe to connect to", () => net.connect({ path: "/tmp/socket" })],
    ["a pipe to connect to, by its name", () => new net.Socket().connect("/tmp/socket")],
    ["a pipe to listen at", () => net.createServer().listen("/tmp/socket")],
    ["a descriptor", () => new net.Socket({ fd: 3 })],
    ["a descriptor to listen at", () => net.createServer().listen({ fd: 3 })],
  ];
  it.each(refused)("%s is refused by name", (_what, action) => {
    expect(action).toThrow(expect.objectContaining({ code: "ERR_RAWTCP_NOT_TCP" }));
  });
});

describe("http", () => {
  async function httpServer(net: Net): Promise<number> {
    const server = http.createServer((request, response) => request.pipe(response));
    return listen(net, (far) => server.emit("connection", far));
  }

  it("Agent: requests over a stack, one connection for all", async () => {
    const { net, stack } = simulate();
    const port = await httpServer(net);
    const agent = new Agent({ stack, keepAlive: true, maxSockets: 1 });
    for (let i = 0; i < 3; i++) {
      const answer = await new Promise<string>((resolve, reject) => {
        const request = http.request({ port, host: "127.0.0.1", agent, method: "POST", path: "/" }, (response) =>
          resolve(text(response as unknown as Socket)),
        );
        request.on("error", reject).end(`request ${i}`);
      });
      expect(answer).toBe(`request ${i}`);
    }
    agent.destroy();
    expect(stack.statistics.opened).toBe(1);
  });

  it("createConnection for a single request", async () => {
    const { net, stack } = simulate();
    const port = await httpServer(net);
    const answer = await new Promise<string>((resolve, reject) => {
      http
        .request(
          {
            ...{ port, host: "127.0.0.1", method: "POST" },
            createConnection: (options) => createConnection({ ...(options as { port: number }), stack }),
          },
          (response) => resolve(text(response as unknown as Socket)),
        )
        .on("error", reject)
        .end("once");
    });
    expect(answer).toBe("once");
  });

  it("undici's Client", async () => {
    const { net, stack } = simulate();
    const port = await httpServer(net);
    const client = new Client(`http://127.0.0.1:${port}`, { connect: undiciConnect({ stack }) as never });
    const { body } = await client.request({ path: "/", method: "POST", body: "over undici" });
    expect(await body.text()).toBe("over undici");
    await client.close();
    expect(stack.statistics.opened).toBe(1);
  });

  it("HttpsAgent and undici over TLS: the certificate is checked against the name", async () => {
    const { net, stack } = simulate();
    const server = https.createServer({ key: KEY, cert: CERTIFICATE }, (request, response) => request.pipe(response));
    const port = await listen(net, (far) => server.emit("connection", far));
    const agent = new HttpsAgent({ stack, keepAlive: true, maxSockets: 1 });
    for (const sent of ["first", "second"]) {
      const answer = await new Promise<string>((resolve, reject) => {
        const options = { port, host: "127.0.0.1", servername: "localhost", ca: CERTIFICATE, agent, method: "POST" };
        const request = https.request(options, (response) => resolve(text(response as unknown as Socket)));
        request.on("error", reject).end(sent);
      });
      expect(answer).toBe(sent);
    }
    agent.destroy();
    expect(stack.statistics.opened).toBe(1);
    const secure = { ca: CERTIFICATE, servername: "localhost" };
    const client = new Client(`https://127.0.0.1:${port}`, { connect: undiciConnect({ stack, secure }) as never });
    const { body } = await client.request({ path: "/", method: "POST", body: "over undici" });
    expect(await body.text()).toBe("over undici");
    await client.close();
    const distrustful = new Client(`https://127.0.0.1:${port}`, { connect: undiciConnect({ stack }) as never });
    await expect(distrustful.request({ path: "/", method: "GET" })).rejects.toMatchObject({
      code: "DEPTH_ZERO_SELF_SIGNED_CERT",
    });
    await distrustful.close();
    expect(stack.statistics.opened).toBe(3);
  });

  it("undici is told of a refusal", async () => {
    const { stack } = simulate();
    const client = new Client("http://127.0.0.1:9", { connect: undiciConnect({ stack }) as never });
    await expect(client.request({ path: "/", method: "GET" })).rejects.toMatchObject({ code: "ECONNREFUSED" });
    await client.close();
  });
});
