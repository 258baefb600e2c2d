/** Each way to keep the kernel quiet, and the proof that the watch for its RSTs would see them. */
import { once } from "node:events";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { openRawSocketDevice } from "../../src/device/raw-socket-device.js";
import { Driver } from "../../src/driver/driver.js";
import { createPortGuard, type HeldPort } from "../../src/kernel/port-guard.js";
import { TcpStream } from "../../src/net/tcp-stream.js";
import { parseAddress } from "../../src/wire/address.js";
import { LOOPBACK, PATHS, VETH, World } from "./live.js";
import { pattern, sha256 } from "./pattern.js";
import { failure, intake } from "./streams.js";

vi.setConfig({ testTimeout: 20_000 });

let world: World;
beforeAll(async () => {
  world = await World.open();
});
afterEach(() => world.closeSessions());
afterAll(() => world.close());

describe.each(["bpf", "nft", "iptables"] as const)("guard %s", (guard) => {
  it.each(PATHS)("$name: a whole session and an abort without an RST of the kernel's", async (path) => {
    const peer = world.peer(path);
    const live = await world.session(path, { guard });
    const port = await peer.listen(path.kernel);
    const stream = live.connect(port);
    const received = intake(stream);
    await once(stream, "connect");
    const kernel = await peer.accept(stream);
    stream.end(pattern(1, 300_000));
    await kernel.until("end");
    await kernel.write(2, 300_000);
    await kernel.end();
    expect(kernel.sha256).toBe(sha256(pattern(1, 300_000)));
    expect(await received.done).toBe(sha256(pattern(2, 300_000)));
    await live.session.driver.whenIdle();

    // Our own RST is let through.
    const second = live.connect(port);
    await once(second, "connect");
    const reset = await peer.accept(second);
    second.abort();
    await reset.until("close");
    expect(reset.error).toBe("ECONNRESET");
    expect(await world.resets.take()).toEqual({ kernel: [], ours: 1 });
  });
});

describe.each(["bpf", "nft", "iptables"] as const)("guard %s, the kernel's client", (guard) => {
  it.each(PATHS)("$name: a whole session without an RST of the kernel's", async (path) => {
    const live = await world.session(path, { guard });
    const { server, port } = live.listen();
    const coming = once(server, "connection");
    const kernel = await world.peer(path).connect(path.ours, port);
    const [stream] = (await coming) as [TcpStream];
    const received = intake(stream);
    await kernel.write(1, 300_000);
    await kernel.end();
    expect(await received.done).toBe(sha256(pattern(1, 300_000)));
    stream.end(pattern(2, 300_000));
    await kernel.until("end");
    expect(kernel.sha256).toBe(sha256(pattern(2, 300_000)));
    await live.session.driver.whenIdle();
    expect(await world.resets.take()).toEqual({ kernel: [], ours: 0 });
  });
});

describe("no guard", () => {
  it.each([LOOPBACK, VETH])("$name: the kernel's RST is seen, and it kills the session", async (path) => {
    const live = await world.session(path, { guard: "none" });
    const stream = live.connect(await world.peer(path).listen(path.kernel));
    expect(await failure(stream)).toBe("ECONNRESET");
    const { kernel, ours } = await world.resets.take();
    expect(ours).toBe(0);
    expect(kernel.length).toBeGreaterThan(0);
    expect(kernel[0]).toContain(`${path.ours}:${stream.connection.tcb.localPort} > `);
  });
});

it("the koffi backend carries a session as the add-on does", async () => {
  const guard = createPortGuard("bpf");
  const held = new Map<number, HeldPort>();
  const driver = new Driver({
    device: world.resets.counting(openRawSocketDevice({ backend: "koffi" })),
    connection: { mtuBytes: 65_535, mslUs: 20_000 },
    checksums: "partial-ok",
    ports: {
      hold: (address, port) => void held.set(port, guard.hold(address.toString(), port)),
      release: (_address, port) => held.get(port)?.release(),
    },
  });
  try {
    const address = parseAddress("127.0.0.1");
    const peer = world.peer(LOOPBACK);
    const stream = TcpStream.connect(driver, {
      local: address,
      remote: address,
      remotePort: await peer.listen("127.0.0.1"),
    });
    const received = intake(stream);
    stream.end(pattern(3, 10 << 20));
    const kernel = await peer.accept(stream);
    await kernel.write(4, 10 << 20);
    await kernel.end();
    await kernel.until("end");
    expect(kernel.sha256).toBe(sha256(pattern(3, 10 << 20)));
    expect(await received.done).toBe(sha256(pattern(4, 10 << 20)));
    await driver.whenIdle();
    expect(await world.resets.take()).toEqual({ kernel: [], ours: 0 });
  } finally {
    driver.close();
    guard.close();
  }
});

it("two sessions with the same port of two addresses leave each other's peers in peace, though raw sockets see both", async () => {
  const pair = await Promise.all(
    [LOOPBACK, VETH].map(async (path) => {
      const peer = world.peer(path);
      const live = await world.session(path, { guard: "bpf" });
      const stream = live.connect(await peer.listen(path.kernel), { localPort: 45_000 });
      const received = intake(stream);
      await once(stream, "connect");
      return { live, stream, received, kernel: await peer.accept(stream) };
    }),
  );
  await Promise.all(
    pair.map(async ({ live, stream, received, kernel }, i) => {
      stream.end(pattern(i, 100_000));
      await kernel.until("end");
      expect(kernel.sha256).toBe(sha256(pattern(i, 100_000)));
      await kernel.write(i + 5, 100_000);
      await kernel.end();
      expect(await received.done).toBe(sha256(pattern(i + 5, 100_000)));
      await live.session.driver.whenIdle();
    }),
  );
  expect(await world.resets.take()).toEqual({ kernel: [], ours: 0 });
});
