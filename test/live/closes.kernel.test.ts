/** Opening and every way of closing, with the kernel as the server. */
import { once } from "node:events";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import type { TcpStream } from "../../src/net/tcp-stream.js";
import type { KernelSocket } from "./kernel-peer.js";
import { doubles, type Live, type LiveOptions, LOOPBACK, PATHS, World } from "./live.js";
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

describe.each(PATHS)("$name", (path) => {
  async function connected(options: LiveOptions = {}): Promise<{ live: Live; stream: TcpStream; kernel: KernelSocket }> {
    const live = await world.session(path, options);
    const peer = world.peer(path);
    const stream = live.connect(await peer.listen(path.kernel));
    await once(stream, "connect");
    return { live, stream, kernel: await peer.accept(stream) };
  }

  it("10 MiB each way at once arrive bit for bit", async () => {
    const { live, stream, kernel } = await connected({ trace: false });
    const received = intake(stream);
    const bytes = 10 << 20;
    stream.end(pattern(1, bytes));
    await kernel.write(2, bytes);
    await kernel.end();
    expect(await received.done).toBe(sha256(pattern(2, bytes)));
    await kernel.until("end");
    expect([kernel.bytes, kernel.sha256]).toEqual([bytes, sha256(pattern(1, bytes))]);
    await live.session.driver.whenIdle();
    expect(stream.connection.state).toBe("CLOSED");
  });

  it("active close: FIN-WAIT-1, FIN-WAIT-2, TIME-WAIT (MUST-13)", async () => {
    const { live, stream, kernel } = await connected();
    const received = intake(stream);
    stream.end();
    await kernel.until("end");
    await live.trace.untilState("FIN-WAIT-2");
    await kernel.end();
    await received.done;
    await live.session.driver.whenIdle();
    expect(live.trace.states()).toEqual(["SYN-SENT", "ESTABLISHED", "FIN-WAIT-1", "FIN-WAIT-2", "TIME-WAIT", "CLOSED"]);
    if (path === LOOPBACK) {
      const seen = ["LISTEN", "SYN-RECEIVED", "ESTABLISHED", "CLOSE-WAIT", "LAST-ACK", "CLOSED"];
      expect(live.trace.peerStates()).toEqual(seen);
    }
  });

  it("passive close: CLOSE-WAIT, LAST-ACK", async () => {
    const { live, stream, kernel } = await connected();
    const received = intake(stream);
    await kernel.end();
    await received.done;
    if (path === LOOPBACK) await live.trace.untilPeer("FIN-WAIT-2");
    stream.end();
    await live.session.driver.whenIdle();
    await kernel.until("close");
    expect(live.trace.states()).toEqual(["SYN-SENT", "ESTABLISHED", "CLOSE-WAIT", "LAST-ACK", "CLOSED"]);
    if (path === LOOPBACK) {
      const seen = ["LISTEN", "SYN-RECEIVED", "ESTABLISHED", "FIN-WAIT-1", "FIN-WAIT-2", "TIME-WAIT"];
      expect(live.trace.peerStates()).toEqual(seen);
    }
  });

  it("simultaneous close: the FINs cross, CLOSING", async () => {
    const { live, stream, kernel } = await connected();
    const received = intake(stream);
    live.hold("fin");
    await kernel.end();
    await live.untilHeld(1);
    stream.end();
    // Behind its FIN waits the kernel's ACK of ours: it must not overtake.
    await kernel.until("end");
    await live.untilHeld(2);
    live.release();
    await received.done;
    await live.session.driver.whenIdle();
    expect(live.trace.states()).toEqual(["SYN-SENT", "ESTABLISHED", "FIN-WAIT-1", "CLOSING", "TIME-WAIT", "CLOSED"]);
  });

  it("half-close, ours first: the kernel's data streams on", async () => {
    const { live, stream, kernel } = await connected();
    const received = intake(stream);
    stream.end(pattern(3, 1000));
    await kernel.until("end");
    expect(kernel.sha256).toBe(sha256(pattern(3, 1000)));
    await kernel.write(4, 1 << 20);
    await kernel.end();
    expect(await received.done).toBe(sha256(pattern(4, 1 << 20)));
    await live.session.driver.whenIdle();
    expect(live.trace.states().slice(2)).toEqual(["FIN-WAIT-1", "FIN-WAIT-2", "TIME-WAIT", "CLOSED"]);
  });

  it("half-close, the kernel's first: our data streams on", async () => {
    const { live, stream, kernel } = await connected();
    const received = intake(stream);
    await kernel.write(5, 1000);
    await kernel.end();
    expect(await received.done).toBe(sha256(pattern(5, 1000)));
    expect(stream.connection.state).toBe("CLOSE-WAIT");
    stream.end(pattern(6, 1 << 20));
    await kernel.until("end");
    expect(kernel.sha256).toBe(sha256(pattern(6, 1 << 20)));
    await live.session.driver.whenIdle();
    expect(live.trace.states().slice(2)).toEqual(["CLOSE-WAIT", "LAST-ACK", "CLOSED"]);
  });

  it("our abort resets the kernel's end (MUST-12)", async () => {
    const { live, stream, kernel } = await connected();
    stream.abort();
    await kernel.until("close");
    expect(kernel.error).toBe("ECONNRESET");
    expect(live.trace.states().slice(2)).toEqual(["CLOSED"]);
    expect(await world.resets.take()).toEqual({ kernel: [], ours: 1 });
  });

  it("closing the session from an event's handler resets the kernel's end, too", async () => {
    const { live, stream, kernel } = await connected();
    stream.once("data", () => live.close());
    await kernel.write(8, 1000);
    await kernel.until("close");
    expect(kernel.error).toBe("ECONNRESET");
    expect(await world.resets.take()).toEqual({ kernel: [], ours: 1 });
  });

  it("the kernel's abort resets ours", async () => {
    const { live, stream, kernel } = await connected();
    const failed = failure(stream);
    await kernel.reset();
    expect(await failed).toBe("ECONNRESET");
    expect(live.trace.states().slice(2)).toEqual(["CLOSED"]);
    expect(live.stack.connectionCount).toBe(0);
  });

  it.each(["the kernel's reset", "our destroy"])("a write that is under way fails by %s", async (by) => {
    const live = await world.session(path);
    const peer = world.peer(path);
    const stream = live.connect(await peer.listen(path.kernel, { paused: true }));
    const failed = failure(stream);
    const kernel = await peer.accept(stream);
    const written = new Promise((resolve) => stream.write(Buffer.alloc(8 << 20), resolve));
    await live.trace.until((event) => event.type === "timer" && event.timer === "persist");
    if (by === "our destroy") stream.destroy();
    else await kernel.reset();
    expect(await written).toBeInstanceOf(Error);
    expect(await failed).toBe(by === "our destroy" ? "" : "ECONNRESET");
  });

  it("unread data at our close is told by RST (SHLD-3)", async () => {
    const { live, stream, kernel } = await connected();
    await kernel.write(7, 1000);
    await live.trace.until((event) => event.type === "segment" && event.dir === "in" && event.len === 1000);
    stream.destroy();
    await kernel.until("close");
    expect(kernel.error).toBe("ECONNRESET");
  });

  it("a port without a listener refuses", async () => {
    const live = await world.session(path);
    const stream = live.connect(9);
    expect(await failure(stream)).toBe("ECONNREFUSED");
    expect(live.trace.states()).toEqual(["SYN-SENT", "CLOSED"]);
  });

  it("no answer: SYN again at doubling times, then ETIMEDOUT (MUST-22)", async () => {
    const rtoUs = 50_000;
    const live = await world.session(path, {
      // With SYNs at 0, 50, 150, 350 and 750 ms the time-out falls between the last of them and the next at 1550 ms.
      connection: { rtoInitialUs: rtoUs, rtoMinUs: rtoUs, synTimeoutUs: 1_150_000 },
      rules: [{ dir: "out", fault: "loss", nth: 1, count: Number.POSITIVE_INFINITY }],
    });
    const stream = live.connect(9);
    expect(await failure(stream)).toBe("ETIMEDOUT");
    const syns = live.trace.segments("out", "S");
    expect(syns.map((syn) => syn.lost)).toEqual([true, true, true, true, true]);
    expect(new Set(syns.map((syn) => syn.seq)).size).toBe(1);
    const times = syns.map((syn) => syn.t);
    expect(doubles(times, rtoUs), String(times)).toBe(true);
  });
});
