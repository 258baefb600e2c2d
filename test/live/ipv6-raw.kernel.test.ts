/** IPv6 over the raw link: at ::1 and across a veth pair, in both roles, against the kernel and against ourselves. */
import { once } from "node:events";
import { existsSync, readdirSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { openSession } from "../../src/driver/session.js";
import type { TcpStream } from "../../src/net/tcp-stream.js";
import { eventually } from "../kernel/support.js";
import type { KernelSocket } from "./kernel-peer.js";
import { type Live, type LiveOptions, LOOPBACK_RAW_IPV6, type Path, VETH_RAW_IPV6, World } from "./live.js";
import { pattern, sha256 } from "./pattern.js";
import { failure, intake } from "./streams.js";

vi.setConfig({ testTimeout: 20_000 });

const HAS_IPV6 = existsSync("/proc/sys/net/ipv6/conf");

describe(HAS_IPV6 ? "IPv6 over the raw link" : "a kernel without IPv6", HAS_IPV6 ? overTheRawLink : withoutIpv6);

/** What such a host's tests come to; a host that has IPv6 is tested for this in test/device/no-ipv6.kernel.test.ts. */
function withoutIpv6(): void {
  it("a session says so", async () => {
    await expect(openSession({ target: "::1" })).rejects.toMatchObject({
      code: "EAFNOSUPPORT",
      message: expect.stringContaining("::1: this host has no IPv6: its kernel runs without it"),
    });
  });
}

function overTheRawLink(): void {
  let world: World;
  beforeAll(async () => {
    world = await World.open();
  });
  afterEach(async () => {
    world.closeSessions();
    expect((await world.resets.take()).kernel).toEqual([]);
  });
  afterAll(() => world.close());

  const MEBIBYTE = 1 << 20;

  interface Pair {
    readonly live: Live;
    readonly stream: TcpStream;
    readonly kernel: KernelSocket;
  }

  async function asClient(path: Path, options: LiveOptions = {}): Promise<Pair> {
    const live = await world.session(path, options);
    const peer = world.peer(path);
    const stream = live.connect(await peer.listen(path.kernel));
    await once(stream, "connect");
    return { live, stream, kernel: await peer.accept(stream) };
  }

  async function asServer(path: Path, options: LiveOptions = {}): Promise<Pair> {
    const live = await world.session(path, options);
    const { server, port } = live.listen();
    const coming = once(server, "connection");
    const kernel = await world.peer(path).connect(path.ours, port);
    const [stream] = (await coming) as [TcpStream];
    await kernel.until("connect");
    return { live, stream, kernel };
  }

  describe.each([
    // The link's MTU less the headers of IPv6 and TCP (RFC 9293 §3.7.1) and the timestamps.
    [LOOPBACK_RAW_IPV6, 65_536 - 40 - 20 - 12],
    [VETH_RAW_IPV6, 1500 - 40 - 20 - 12],
  ] as const)("$name", (path, mss) => {
    describe.each([
      ["client", asClient, ["SYN-SENT", "ESTABLISHED"]],
      ["server", asServer, ["SYN-RECEIVED", "ESTABLISHED"]],
    ] as const)("we are %s", (_, open, opening) => {
      it("10 MiB each way at once arrive bit for bit", async () => {
        const { live, stream, kernel } = await open(path, { trace: false });
        const received = intake(stream);
        const bytes = 10 * MEBIBYTE;
        stream.end(pattern(1, bytes));
        await kernel.write(2, bytes);
        await kernel.end();
        expect(await received.done).toBe(sha256(pattern(2, bytes)));
        await kernel.until("end");
        expect([kernel.bytes, kernel.sha256]).toEqual([bytes, sha256(pattern(1, bytes))]);
        await live.session.driver.whenIdle();
        expect(stream.connection.state).toBe("CLOSED");
      });

      it.each([
        ["we", ["FIN-WAIT-1", "FIN-WAIT-2", "TIME-WAIT", "CLOSED"]],
        ["kernel", ["CLOSE-WAIT", "LAST-ACK", "CLOSED"]],
      ] as const)("handshake, data and a close of four segments, %s first", async (closer, closing) => {
        const { live, stream, kernel } = await open(path);
        const { local, remote, snd } = stream.connection.status();
        expect([local, remote]).toEqual([
          expect.stringContaining(`[${path.ours}]:`),
          expect.stringContaining(`[${path.kernel}]:`),
        ]);
        expect(snd.mss).toBe(mss);
        const received = intake(stream);
        if (closer === "we") {
          stream.end("over");
          await kernel.until("end");
          await live.trace.untilState("FIN-WAIT-2");
          await kernel.end();
          await received.done;
        } else {
          await kernel.end();
          await received.done;
          stream.end("over");
          await kernel.until("end");
        }
        expect(kernel.sha256).toBe(sha256(Buffer.from("over")));
        await live.session.driver.whenIdle();
        expect(live.trace.states().filter((state) => state !== "LISTEN")).toEqual([...opening, ...closing]);
        if (path === LOOPBACK_RAW_IPV6) expect(live.trace.peerStates()).toContain("ESTABLISHED");
      });
    });

    it("a port without a listener refuses: ECONNREFUSED", async () => {
      const live = await world.session(path);
      expect(await failure(live.connect(9))).toBe("ECONNREFUSED");
    });
  });

  it("without the guard the kernel's RST ends it, and the watch of this file sees that", async () => {
    const live = await world.session(LOOPBACK_RAW_IPV6, { guard: "none" });
    const stream = live.connect(await world.peer(LOOPBACK_RAW_IPV6).listen("::1"));
    expect(await failure(stream)).toBe("ECONNRESET");
    expect((await world.resets.take()).kernel).toHaveLength(1);
  });

  it.each(["nft", "iptables"] as const)("guard %s holds at ::1 too", async (guard) => {
    const { stream, kernel, live } = await asClient(LOOPBACK_RAW_IPV6, { guard });
    stream.end(pattern(3, MEBIBYTE));
    await kernel.until("end");
    expect(kernel.sha256).toBe(sha256(pattern(3, MEBIBYTE)));
    await kernel.end();
    await intake(stream).done;
    await live.session.driver.whenIdle();
  });

  it("a listener at :: leaves IPv4 of the same port to others, and takes clients of every address", async () => {
    const live = await world.session({ ...LOOPBACK_RAW_IPV6, kernel: "::" });
    const { server, port } = live.listen({ address: live.session.target });
    const kernelServer = createServer().listen(port, "127.0.0.1");
    await once(kernelServer, "listening");
    for (const [path, own] of [
      [LOOPBACK_RAW_IPV6, "::1"],
      [VETH_RAW_IPV6, VETH_RAW_IPV6.ours],
    ] as const) {
      const coming = once(server, "connection");
      const kernel = await world.peer(path).connect(own, port);
      const [stream] = (await coming) as [TcpStream];
      stream.end("here");
      await kernel.until("end");
      expect(kernel.sha256).toBe(sha256(Buffer.from("here")));
      await kernel.end();
      await intake(stream).done;
    }
    kernelServer.close();
  });

  it("ours to ours at ::1: a mebibyte there and back", async () => {
    const live = await world.session(LOOPBACK_RAW_IPV6);
    const { server, port } = live.listen();
    server.on("connection", (stream: TcpStream) => stream.pipe(stream));
    const stream = live.connect(port);
    const received = intake(stream);
    stream.end(pattern(4, MEBIBYTE));
    expect(await received.done).toBe(sha256(pattern(4, MEBIBYTE)));
    server.close();
    await live.session.driver.whenIdle();
  });

  it("what a far firewall says with ICMPv6 reaches the connection", async () => {
    const live = await world.session(VETH_RAW_IPV6);
    world.far("ip6tables", "-A", "INPUT", "-p", "tcp", "--dport", "9", "-j", "REJECT", "--reject-with", "icmp6-port-unreachable");
    try {
      expect(await failure(live.connect(9))).toBe("ECONNREFUSED");
      expect(JSON.stringify(live.trace.events)).toContain("ICMP");
    } finally {
      world.far("ip6tables", "-F", "INPUT");
    }
  });

  it("a session that is closed gives its port back to the kernel", async () => {
    const { stream, kernel, live } = await asClient(LOOPBACK_RAW_IPV6);
    const { localPort } = stream.connection.tcb;
    live.close();
    await kernel.until("error");
    expect(kernel.error).toBe("ECONNRESET");
    const server = createServer().listen(localPort, "::1");
    await once(server, "listening");
    expect((server.address() as AddressInfo).port).toBe(localPort);
    server.close();
    await once(server, "close");
  });

  it("a session leaves no descriptor open", async () => {
    const descriptors = () => readdirSync("/proc/self/fd").length;
    const before = descriptors();
    const session = await openSession({ target: "::1" });
    expect(descriptors()).toBeGreaterThan(before);
    session.close();
    expect(await eventually(descriptors, before)).toBe(before);
  });
}
