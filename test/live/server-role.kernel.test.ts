/** The roles turned: the kernel's clients connect to our server. And both connect at once. */
import { once } from "node:events";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { matchSegment } from "../../src/device/fault-injector.js";
import type { TcpServer, TcpStream } from "../../src/net/tcp-stream.js";
import { parseAddress } from "../../src/wire/address.js";
import { SYN } from "../../src/wire/tcp-flags.js";
import type { KernelSocket } from "./kernel-peer.js";
import { doubles, type Live, type LiveOptions, LOOPBACK, PATHS, VETH, World } from "./live.js";
import { pattern, sha256 } from "./pattern.js";
import { failure, intake } from "./streams.js";

vi.setConfig({ testTimeout: 20_000 });

let world: World;
beforeAll(async () => {
  world = await World.open();
});
afterEach(async () => {
  world.closeSessions();
  expect((await world.resets.take()).kernel).toEqual([]);
});
afterAll(() => world.close());

async function nextStream(server: TcpServer): Promise<TcpStream> {
  const [stream] = (await once(server, "connection")) as [TcpStream];
  return stream;
}

describe.each(PATHS)("$name", (path) => {
  async function accepted(options: LiveOptions = {}): Promise<{ live: Live; stream: TcpStream; kernel: KernelSocket }> {
    const live = await world.session(path, options);
    const { server, port } = live.listen();
    const coming = nextStream(server);
    const kernel = await world.peer(path).connect(path.ours, port);
    const stream = await coming;
    await kernel.until("connect");
    return { live, stream, kernel };
  }

  it("10 MiB each way at once arrive bit for bit", async () => {
    const { live, stream, kernel } = await accepted({ trace: false });
    const received = intake(stream);
    const bytes = 10 << 20;
    stream.end(pattern(1, bytes));
    await kernel.write(2, bytes);
    await kernel.end();
    expect(await received.done).toBe(sha256(pattern(2, bytes)));
    await kernel.until("end");
    expect([kernel.bytes, kernel.sha256]).toEqual([bytes, sha256(pattern(1, bytes))]);
    await live.session.driver.whenIdle();
  });

  it("the kernel closes first, our data streams on", async () => {
    const { live, stream, kernel } = await accepted();
    const received = intake(stream);
    await kernel.end();
    await received.done;
    stream.end(pattern(3, 100_000));
    await kernel.until("close");
    expect(kernel.sha256).toBe(sha256(pattern(3, 100_000)));
    await live.session.driver.whenIdle();
    expect(live.trace.states()).toEqual(["LISTEN", "SYN-RECEIVED", "ESTABLISHED", "CLOSE-WAIT", "LAST-ACK", "CLOSED"]);
    if (path === LOOPBACK) {
      const seen = live.trace.peerStates();
      expect(seen.slice(0, 2)).toEqual(["SYN-SENT", "ESTABLISHED"]);
      expect(seen.at(-1)).toBe("TIME-WAIT");
    }
  });

  it("we close first, the kernel's data streams on", async () => {
    const { live, stream, kernel } = await accepted();
    const received = intake(stream);
    stream.end();
    await kernel.until("end");
    await kernel.write(4, 100_000);
    await kernel.end();
    expect(await received.done).toBe(sha256(pattern(4, 100_000)));
    await live.session.driver.whenIdle();
    const states = ["LISTEN", "SYN-RECEIVED", "ESTABLISHED", "FIN-WAIT-1", "FIN-WAIT-2", "TIME-WAIT", "CLOSED"];
    expect(live.trace.states()).toEqual(states);
  });

  it("both close at once", async () => {
    const { live, stream, kernel } = await accepted();
    const received = intake(stream);
    live.hold("fin");
    await kernel.end();
    await live.untilHeld(1);
    stream.end();
    await live.untilHeld(2);
    live.release();
    await received.done;
    await live.session.driver.whenIdle();
    expect(live.trace.states().slice(2)).toEqual(["ESTABLISHED", "FIN-WAIT-1", "CLOSING", "TIME-WAIT", "CLOSED"]);
  });

  it("our abort resets the kernel's end, and the kernel's ours", async () => {
    const first = await accepted();
    first.stream.abort();
    await first.kernel.until("close");
    expect(first.kernel.error).toBe("ECONNRESET");
    const second = await accepted();
    const failed = failure(second.stream);
    await second.kernel.reset();
    expect(await failed).toBe("ECONNRESET");
    expect(second.live.stack.connectionCount).toBe(0);
  });

  it("a port that we hold without listening refuses the kernel", async () => {
    const peer = world.peer(path);
    const live = await world.session(path);
    const stream = live.connect(await peer.listen(path.kernel));
    await once(stream, "connect");
    const kernel = await peer.connect(path.ours, stream.connection.tcb.localPort);
    await kernel.until("close");
    expect(kernel.error).toBe("ECONNREFUSED");
    expect(await world.resets.take()).toEqual({ kernel: [], ours: 1 });
  });

  it("the kernel's third segment never comes: SYN-ACK again at growing times, then forgotten", async () => {
    const rtoUs = 50_000;
    const live = await world.session(path, {
      connection: { rtoInitialUs: rtoUs, rtoMinUs: rtoUs, synAckRetries: 3 },
      rules: [
        {
          dir: "in",
          fault: "loss",
          nth: 1,
          count: Number.POSITIVE_INFINITY,
          match: matchSegment((segment) => (segment.flags & SYN) === 0),
        },
      ],
    });
    const { server, port } = live.listen();
    const kernel = await world.peer(path).connect(path.ours, port);
    await kernel.until("connect");
    await live.trace.untilState("LISTEN");
    await live.session.driver.whenIdle();
    const answers = live.trace.segments("out", "S.");
    expect(answers).toHaveLength(4);
    const times = answers.map((answer) => answer.t);
    expect(doubles(times, rtoUs), String(times)).toBe(true);
    expect(server.listener?.counters).toMatchObject({ handshakesFailed: 1, accepted: 0 });
    expect(server.listener?.synQueue.size).toBe(0);
  });
});

describe.each([LOOPBACK, VETH])("simultaneous open, $name", (path) => {
  it("both send SYN, both send SYN-ACK, and data flows both ways (MUST-10)", async () => {
    const live = await world.session(path);
    const ours = 50_001;
    const theirs = 30_001;
    live.hold("out");
    const stream = live.connect(theirs, { localPort: ours, local: parseAddress(path.ours) });
    const received = intake(stream);
    const opened = once(stream, "connect");
    // Our SYN waits, so that the kernel's finds us in SYN-SENT; then ours finds the kernel in SYN-SENT.
    const kernel = await world.peer(path).connect(path.ours, ours, theirs);
    await live.trace.untilState("SYN-RECEIVED");
    await live.untilHeld(2);
    live.release();
    await opened;
    await kernel.until("connect");
    expect(live.trace.states()).toEqual(["SYN-SENT", "SYN-RECEIVED", "ESTABLISHED"]);
    expect(live.trace.segments("in").map((segment) => segment.flags)).toEqual(expect.arrayContaining(["S", "S."]));
    stream.end(pattern(5, 100_000));
    await kernel.until("end");
    await kernel.write(6, 100_000);
    await kernel.end();
    expect(kernel.sha256).toBe(sha256(pattern(5, 100_000)));
    expect(await received.done).toBe(sha256(pattern(6, 100_000)));
    await live.session.driver.whenIdle();
  });
});
