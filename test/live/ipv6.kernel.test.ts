/** IPv6 in earnest: over the pcap link and a veth pair to another network namespace, in both roles. */
import { once } from "node:events";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { matchSegment } from "../../src/device/fault-injector.js";
import type { TcpStream } from "../../src/net/tcp-stream.js";
import type { KernelSocket } from "./kernel-peer.js";
import { type Live, type LiveOptions, VETH_IPV6, World } from "./live.js";
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

const MEBIBYTE = 1 << 20;
/** 1,500 bytes less the headers of IPv6 and TCP (RFC 9293 §3.7.1) and the timestamps. */
const MSS = 1500 - 40 - 20 - 12;

interface Pair {
  readonly live: Live;
  readonly stream: TcpStream;
  readonly kernel: KernelSocket;
}

async function asClient(options: LiveOptions = {}): Promise<Pair> {
  const live = await world.session(VETH_IPV6, options);
  const peer = world.peer(VETH_IPV6);
  const stream = live.connect(await peer.listen(VETH_IPV6.kernel));
  await once(stream, "connect");
  return { live, stream, kernel: await peer.accept(stream) };
}

async function asServer(options: LiveOptions = {}): Promise<Pair> {
  const live = await world.session(VETH_IPV6, options);
  const { server, port } = live.listen();
  const coming = once(server, "connection");
  const kernel = await world.peer(VETH_IPV6).connect(VETH_IPV6.ours, port);
  const [stream] = (await coming) as [TcpStream];
  await kernel.until("connect");
  return { live, stream, kernel };
}

/** A mebibyte each way at once; every byte is proved, and whoever is asked to closes first. */
async function exchange({ live, stream, kernel }: Pair, closer: "we" | "kernel"): Promise<void> {
  const received = intake(stream);
  stream.write(pattern(1, MEBIBYTE));
  await kernel.write(2, MEBIBYTE);
  await Promise.all([received.until(MEBIBYTE), kernel.untilBytes(MEBIBYTE)]);
  if (closer === "we") {
    stream.end();
    await kernel.until("end");
    await kernel.end();
  } else {
    await kernel.end();
    await once(stream, "end");
    stream.end();
    await kernel.until("end");
  }
  expect(kernel.sha256).toBe(sha256(pattern(1, MEBIBYTE)));
  expect(await received.done).toBe(sha256(pattern(2, MEBIBYTE)));
  await live.session.driver.whenIdle();
}

describe.each([
  ["client", asClient, ["SYN-SENT", "ESTABLISHED"]],
  ["server", asServer, ["SYN-RECEIVED", "ESTABLISHED"]],
] as const)("we are %s", (_, open, opening) => {
  it.each([
    ["we", ["FIN-WAIT-1", "FIN-WAIT-2", "TIME-WAIT", "CLOSED"]],
    ["kernel", ["CLOSE-WAIT", "LAST-ACK", "CLOSED"]],
  ] as const)("handshake, a mebibyte each way, %s closes first", async (closer, closing) => {
    const pair = await open();
    const { live, stream } = pair;
    const { local, remote, snd } = stream.connection.status();
    expect(local).toContain(`[${VETH_IPV6.ours}]:`);
    expect(remote).toContain(`[${VETH_IPV6.kernel}]:`);
    expect(snd.mss).toBe(MSS);
    await exchange(pair, closer);
    expect(live.trace.states().filter((state) => state !== "LISTEN")).toEqual([...opening, ...closing]);
  });

  it("the same through loss, duplication and reordering both ways", async () => {
    const rates = { loss: 0.01, duplication: 0.02, reordering: 0.02 };
    const hasData = matchSegment((segment) => segment.payloadLength > 0);
    // One loss is sure, whatever the sizes in which the kernel's data comes.
    const rules = (["out", "in"] as const).map((dir) => ({ dir, fault: "loss", nth: 3, match: hasData }) as const);
    const pair = await open({ rates: { out: rates, in: rates }, rules });
    await exchange(pair, "we");
    const lost = pair.live.trace.events.filter((event) => event.type === "fault" && event.fault === "loss");
    expect(new Set(lost.map((event) => event.type === "fault" && event.dir))).toEqual(new Set(["out", "in"]));
  });
});

it("a port without a listener refuses: the far kernel's RST is taken for what it is", async () => {
  const live = await world.session(VETH_IPV6);
  const stream = live.connect(9);
  const [error] = (await once(stream, "error")) as [NodeJS.ErrnoException];
  expect(error.code).toBe("ECONNREFUSED");
});

it("without the guard the kernel's RST ends it, and the watch of this file sees that", async () => {
  const live = await world.session(VETH_IPV6, { guard: "none" });
  const stream = live.connect(await world.peer(VETH_IPV6).listen(VETH_IPV6.kernel));
  const [error] = (await once(stream, "error")) as [NodeJS.ErrnoException];
  expect(error.code).toBe("ECONNRESET");
  expect((await world.resets.take()).kernel).toHaveLength(1);
});
