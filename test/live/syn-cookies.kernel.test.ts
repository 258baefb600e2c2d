/** SYN cookies before the kernel's clients: a listener without any room for half-open connections serves them all the same. */
import { once } from "node:events";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import type { TcpStream } from "../../src/net/tcp-stream.js";
import { LOOPBACK, VETH, World } from "./live.js";
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

describe.each([LOOPBACK, VETH])("$name", (path) => {
  it("the kernel's timestamps bring back window scale and SACK, and a MiB each way arrives bit for bit", async () => {
    const live = await world.session(path);
    const { server, port } = live.listen({ synBacklog: 0 });
    const coming = once(server, "connection");
    const kernel = await world.peer(path).connect(path.ours, port);
    const [stream] = (await coming) as [TcpStream];
    const { tcb } = stream.connection;
    expect([tcb.ts.enabled, tcb.sack.enabled, tcb.scaling]).toEqual([true, true, true]);
    expect(tcb.snd.windShift).toBeGreaterThan(0);
    expect(server.listener?.counters).toMatchObject({ cookiesSent: 1, cookiesReceived: 1, cookiesFailed: 0, accepted: 1 });
    const received = intake(stream);
    const bytes = 1 << 20;
    stream.end(pattern(1, bytes));
    await kernel.write(2, bytes);
    await kernel.end();
    expect(await received.done).toBe(sha256(pattern(2, bytes)));
    await kernel.until("end");
    expect([kernel.bytes, kernel.sha256]).toEqual([bytes, sha256(pattern(1, bytes))]);
    await live.session.driver.whenIdle();
  });
});
