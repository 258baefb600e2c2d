/** Many connections, one after another and at once, and nothing left of them. */
import { once } from "node:events";
import { readdirSync } from "node:fs";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterAll, afterEach, beforeAll, expect, it, vi } from "vitest";
import { openSession } from "../../src/driver/session.js";
import { type Live, LOOPBACK, PATHS, World } from "./live.js";
import { pattern, sha256 } from "./pattern.js";
import { intake } from "./streams.js";

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

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

const BYTES = 20_000;
const FEW_MS = { mslUs: 1000 };
/** TIME-WAIT outlasts the peer's time-out of 200 ms: a last ACK that the link did not take is asked for again while the port is ours. */
const PAST_REPEATED_FIN = { mslUs: 150_000 };

/** Sends, has it echoed, and closes. */
async function echo(live: Live, port: number, seed: number): Promise<void> {
  const stream = live.connect(port);
  const received = intake(stream);
  const sent = pattern(seed, BYTES);
  stream.end(sent);
  expect(await received.done).toBe(sha256(sent));
}

async function heapBytes(): Promise<number> {
  // What a collection has only marked, the next one frees.
  await new Promise(setImmediate);
  collectGarbage();
  return process.memoryUsage().heapUsed + process.memoryUsage().arrayBuffers;
}

const openFiles = () => readdirSync("/proc/self/fd").length;

/** What the stack holds beside connections. */
const holdings = (live: Live) => [live.stack.connectionCount, [...live.stack.ports()].length, live.stack.nextTimeout()];

it("1,000 connections one after another leave no descriptor, port, timer or memory behind", async () => {
  const live = await world.session(LOOPBACK, { trace: false, connection: FEW_MS });
  const port = await world.peer(LOOPBACK).listen("127.0.0.1", { echo: true });
  const round = async (from: number, count: number): Promise<void> => {
    for (let seed = from; seed < from + count; seed++) await echo(live, port, seed);
    await live.session.driver.whenIdle();
  };
  await round(0, 100); // everything that is made once is made
  const before = { files: openFiles(), heap: await heapBytes() };
  await round(100, 1000);
  expect(openFiles()).toBe(before.files);
  expect(holdings(live)).toEqual([0, 0, Number.POSITIVE_INFINITY]);
  // A leak of a kilobyte a connection would show.
  await expect.poll(heapBytes).toBeLessThan(before.heap + (1 << 20));
});

it.each(PATHS)("200 at once, $name", async (path) => {
  const live = await world.session(path, { trace: false, connection: PAST_REPEATED_FIN });
  const port = await world.peer(path).listen(path.kernel, { echo: true });
  const files = await settledFiles();
  await Promise.all(Array.from({ length: 200 }, (_, seed) => echo(live, port, seed)));
  await live.session.driver.whenIdle();
  expect(openFiles()).toBe(files);
  expect(holdings(live)).toEqual([0, 0, Number.POSITIVE_INFINITY]);
});

it.each(PATHS)("200 clients of the kernel's at once, $name", async (path) => {
  const live = await world.session(path, { trace: false, connection: PAST_REPEATED_FIN });
  const files = await settledFiles();
  const { server, port } = live.listen();
  let open = 0;
  let most = 0;
  server.on("connection", (stream) => {
    open++;
    most = Math.max(most, open);
    stream.on("close", () => open--);
    stream.pipe(stream);
  });
  expect(await world.peer(path).clients(path.ours, port, 200, BYTES)).toBe(200);
  await live.session.driver.whenIdle();
  expect(server.listener?.counters).toMatchObject({ accepted: 200, handshakesFailed: 0 });
  expect(most).toBeGreaterThan(1);
  expect([...live.stack.ports()]).toEqual([port]);
  server.close();
  expect(openFiles()).toBe(files);
  expect(holdings(live)).toEqual([0, 0, Number.POSITIVE_INFINITY]);
});

it("a session that is closed gives everything back", async () => {
  // What the first session makes once for all (netlink, tables) is made by now.
  world.closeSessions();
  const files = await settledFiles();
  for (const guard of ["bpf", "nft", "iptables"] as const) {
    const live = await world.session(LOOPBACK, { guard });
    const stream = live.connect(await world.peer(LOOPBACK).listen("127.0.0.1"));
    await once(stream, "connect");
    const kernel = await world.peer(LOOPBACK).accept(stream);
    live.close();
    live.close();
    await kernel.until("close");
  }
  await expect.poll(openFiles).toBe(files);
});

it.each(PATHS)("a session that cannot be opened gives everything back, $name", async ({ link, kernel, ours }) => {
  world.closeSessions();
  const files = await settledFiles();
  const wrap = (): never => {
    throw new Error("no such wrapper");
  };
  const opening = openSession({ link, target: kernel, source: ours, allowRemote: true, guard: "nft", wrap });
  await expect(opening).rejects.toThrow("no such wrapper");
  await expect.poll(openFiles).toBe(files);
});

/** The number of open files once the session of the test before has let go of its last: a capture's takes a few turns of the event loop. */
async function settledFiles(): Promise<number> {
  let files = openFiles();
  for (let same = 0; same < 20; ) {
    await new Promise((resolve) => setImmediate(resolve));
    const now = openFiles();
    same = now === files ? same + 1 : 0;
    files = now;
  }
  return files;
}
