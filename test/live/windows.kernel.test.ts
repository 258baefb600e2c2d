/** Closed windows both ways, and urgent data both ways. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { doubles, LOOPBACK, VETH, World } from "./live.js";
import { pattern, sha256 } from "./pattern.js";
import { intake } from "./streams.js";

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

/** More than the kernel takes from a sender whose data nobody reads. */
const MUCH = 8 << 20;

describe.each([LOOPBACK, VETH])("a closed window, $name", (path) => {
  it("the kernel does not read: we probe at growing times, and send on when it reads (MUST-35, SHLD-30)", async () => {
    const rtoUs = 50_000;
    const live = await world.session(path, { connection: { rtoMinUs: rtoUs } });
    const peer = world.peer(path);
    const stream = live.connect(await peer.listen(path.kernel, { paused: true }));
    await once(stream, "connect");
    const kernel = await peer.accept(stream);
    stream.write(pattern(1, MUCH));
    const isProbe = (note: string) => note.startsWith("zero-window probe");
    const probes = () => live.trace.segments("out").filter((segment) => isProbe(segment.reason));
    await live.trace.until(() => probes().length >= 3);
    const { snd, counters } = stream.connection.status();
    expect(snd.wnd).toBe(0);
    expect(counters.zeroWindowProbes).toBeGreaterThanOrEqual(3);
    const times = probes().map((probe) => probe.t);
    // The wait before the first probe is one time-out, the next is twice that.
    expect(doubles(times, 2 * rtoUs), String(times)).toBe(true);
    await kernel.resume();
    await kernel.untilBytes(MUCH);
    const received = intake(stream);
    stream.end();
    await kernel.until("end");
    expect(kernel.sha256).toBe(sha256(pattern(1, MUCH)));
    await kernel.end();
    await received.done;
    await live.session.driver.whenIdle();
  });

  it("we do not read: the kernel probes, and sends on when we read", async () => {
    const live = await world.session(path, { connection: { receiveBufferBytes: 100_000 } });
    const peer = world.peer(path);
    const stream = live.connect(await peer.listen(path.kernel));
    await once(stream, "connect");
    const kernel = await peer.accept(stream);
    const written = kernel.write(2, MUCH);
    // Linux probes with the sequence number before the first that is not acknowledged, and no data.
    const probes = () => {
      const before = stream.connection.status().rcv.nxt - stream.connection.status().irs - 1;
      return live.trace.segments("in").filter((segment) => segment.len === 0 && segment.relSeq === before);
    };
    await live.trace.until(() => probes().length >= 2);
    expect(stream.connection.status().rcv.wnd).toBe(0);
    const answers = live.trace.segments("out").filter((segment) => segment.win === 0);
    expect(answers.length).toBeGreaterThanOrEqual(2);
    const received = intake(stream);
    await written;
    await kernel.end();
    expect(await received.done).toBe(sha256(pattern(2, MUCH)));
    expect(received.bytes).toBe(MUCH);
    stream.end();
    await live.session.driver.whenIdle();
  });
});

describe("urgent data", () => {
  const children: ChildProcess[] = [];
  afterEach(() => {
    for (const child of children.splice(0)) child.kill("SIGKILL");
  });

  /** A kernel server in Python, for node:net knows no MSG_OOB; its lines are what it has to say. */
  async function python(script: string): Promise<{ port: number; next: () => Promise<string> }> {
    const start = `import socket, select
s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen(1); print(s.getsockname()[1], flush=True)
c, _ = s.accept()
`;
    const child = spawn("python3", ["-c", start + script], { stdio: ["ignore", "pipe", "inherit"] });
    children.push(child);
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    const next = async (): Promise<string> => (await lines.next()).value ?? "";
    return { port: Number(await next()), next };
  }

  it("the kernel's is announced, with its place in the stream (MUST-30, MUST-32, MUST-33)", async () => {
    const { port } = await python(`c.send(b"abc"); c.send(b"!", socket.MSG_OOB); c.send(b"def"); c.shutdown(1); c.recv(1)`);
    const live = await world.session(LOOPBACK);
    const stream = live.connect(port);
    await once(stream, "urgent");
    const { tcb } = stream.connection;
    // The pointer names the byte after the urgent one (RFC 9293 MUST-62).
    expect((tcb.rcv.up - tcb.irs - 1) >>> 0).toBe(4);
    const received = intake(stream);
    expect(await received.done).toBe(sha256(Buffer.from("abc!def")));
    stream.end();
    await live.session.driver.whenIdle();
  });

  it("ours reaches a program that asks for it (MUST-30, MUST-62)", async () => {
    const { port, next } = await python(`select.select([], [], [c]); print(c.recv(1, socket.MSG_OOB).decode(), flush=True)
rest = b""
while part := c.recv(100): rest += part
print(rest.decode(), flush=True)
`);
    const live = await world.session(LOOPBACK);
    const stream = live.connect(port);
    await once(stream, "connect");
    stream.connection.send(Buffer.from("xyz!"), 0, 4, true);
    expect(await next()).toBe("!");
    stream.end("after");
    expect(await next()).toBe("xyzafter");
    const received = intake(stream);
    await received.done;
    await live.session.driver.whenIdle();
  });
});
