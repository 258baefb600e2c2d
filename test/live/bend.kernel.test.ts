/**
 * Sessions that are bent, against the live kernel in both roles: each of the classic mishaps is one rule. The kernel's state and its
 * counters are the witnesses of the effect.
 */
import { once } from "node:events";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { createPeerObserver, type PeerObserver } from "../../src/kernel/peer-state.js";
import type { TcpStream } from "../../src/net/tcp-stream.js";
import { eventually, run } from "../kernel/support.js";
import type { KernelSocket } from "./kernel-peer.js";
import { type Live, LOOPBACK, World } from "./live.js";

vi.setConfig({ testTimeout: 20_000 });

let world: World;
let observer: PeerObserver;
beforeAll(async () => {
  world = await World.open();
  observer = createPeerObserver("sock_diag");
});
afterEach(async () => {
  world.closeSessions();
  await world.resets.take();
});
afterAll(async () => {
  observer.close();
  await world.close();
});

interface Pair {
  readonly live: Live;
  readonly stream: TcpStream;
  readonly kernel: KernelSocket;
}

const connection = { mslUs: 20_000 };

/** We connect; the handshake need not have ended. */
async function client(bend: string, more = {}): Promise<{ live: Live; stream: TcpStream; accepted: Promise<KernelSocket> }> {
  const live = await world.session(LOOPBACK, { bend, connection: { ...connection, ...more } });
  const peer = world.peer(LOOPBACK);
  const stream = live.connect(await peer.listen(LOOPBACK.kernel));
  return { live, stream, accepted: peer.accept(stream) };
}

async function connected(bend: string, more = {}): Promise<Pair> {
  const { live, stream, accepted } = await client(bend, more);
  await once(stream, "connect");
  return { live, stream, kernel: await accepted };
}

/** The kernel connects. */
async function served(bend: string, more = {}): Promise<Pair> {
  const live = await world.session(LOOPBACK, { bend, connection: { ...connection, ...more } });
  const { server, port } = live.listen();
  const coming = once(server, "connection");
  const kernel = await world.peer(LOOPBACK).connect(LOOPBACK.ours, port);
  const [stream] = (await coming) as [TcpStream];
  await kernel.until("connect");
  return { live, stream, kernel };
}

/** A counter of the kernel's in this namespace. */
function counter(name: string): number {
  return Number(new RegExp(`${name}\\s+(\\d+)`).exec(run("nstat", "-asz", name))?.[1]);
}

/** What the kernel says of its end. */
function kernelState(stream: TcpStream): string {
  const { localPort, remotePort } = stream.connection.tcb;
  return observer.query(LOOPBACK.kernel, remotePort, LOOPBACK.ours, localPort) ?? "unknown";
}

async function finish({ live, stream, kernel }: Pair): Promise<void> {
  stream.resume();
  stream.end();
  await kernel.until("end");
  await kernel.end();
  await live.session.driver.whenIdle();
  expect(live.session.unmatchedBends).toEqual([]);
}

describe("the handshake", () => {
  it("lose the third ACK: the kernel stays in SYN-RECEIVED and repeats its SYN-ACK", async () => {
    const before = counter("TcpExtTCPTimeouts");
    const { live, stream, accepted } = await client("drop out ack 1");
    await once(stream, "connect");
    expect(kernelState(stream)).toBe("SYN-RECEIVED");
    const kernel = await accepted;
    expect(counter("TcpExtTCPTimeouts")).toBeGreaterThan(before);
    expect(live.trace.segments("in").filter(({ flags }) => flags === "S.").length).toBe(2);
    await finish({ live, stream, kernel });
  });

  it("a wrong acknowledgment in SYN-RECEIVED: the kernel answers with RST, which is not exact for us, so that our challenge connects", async () => {
    const before = counter("TcpOutRsts");
    const { live, stream, accepted } = await client("set out ack 1 ack+=1000");
    await live.trace.until((event) => event.type === "segment" && event.dir === "in" && event.flags === "R");
    expect(counter("TcpOutRsts")).toBeGreaterThan(before);
    expect(await eventually(() => kernelState(stream), "ESTABLISHED")).toBe("ESTABLISHED");
    await finish({ live, stream, kernel: await accepted });
  });

  it("a stale SYN before ours: the kernel is set right by our RST, and the real one connects", async () => {
    const pair = await connected("inject S seq=12345 before out syn 1");
    expect(pair.live.trace.segments("out").some(({ flags }) => flags === "R")).toBe(true);
    await finish(pair);
  });

  it("a SYN-ACK split into SYN and ACK: the kernel takes it for a simultaneous open", async () => {
    const pair = await served("split out synack 1 into S and A");
    expect(pair.live.trace.segments("in").some(({ flags }) => flags === "S.")).toBe(true);
    expect(kernelState(pair.stream)).toBe("ESTABLISHED");
    await finish(pair);
  });

  it("answered in our place: the kernel's connect is refused", async () => {
    const live = await world.session(LOOPBACK, { bend: "answer in syn with RA seq=0 ack=seg.seq+1" });
    const { port } = live.listen();
    const kernel = await world.peer(LOOPBACK).connect(LOOPBACK.ours, port);
    await kernel.until("error");
    expect(kernel.error).toBe("ECONNREFUSED");
  });
});

describe.each([
  ["client", connected],
  ["server", served],
] as const)("we are %s", (_, open) => {
  it("lose the last ACK: the kernel stays in LAST-ACK and repeats its FIN", async () => {
    const before = counter("TcpRetransSegs");
    const pair = await open("drop out ack 1 where state = TIME-WAIT", { mslUs: 1_000_000 });
    const { stream, kernel } = pair;
    stream.resume();
    stream.end();
    await kernel.until("end");
    await kernel.end();
    expect(await eventually(() => kernelState(stream), "LAST-ACK")).toBe("LAST-ACK");
    expect(await eventually(() => counter("TcpRetransSegs") > before, true)).toBe(true);
    expect(await eventually(() => kernelState(stream), "CLOSED")).toBe("CLOSED");
  });

  it("a zero window for two seconds: the kernel probes it", async () => {
    const before = counter("TcpExtTCPKeepAlive") + counter("TcpExtTCPWinProbe");
    const pair = await open("set out any win=0 where state = ESTABLISHED and t < 2s");
    pair.stream.resume();
    await pair.kernel.write(2, 500_000);
    await eventually(() => counter("TcpExtTCPKeepAlive") + counter("TcpExtTCPWinProbe") > before, true);
    expect(counter("TcpExtTCPKeepAlive") + counter("TcpExtTCPWinProbe")).toBeGreaterThan(before);
    await finish(pair);
  });

  it("an RST in the window but not exact: the kernel challenges it, and the session lives (RFC 5961 §3.2)", async () => {
    const before = counter("TcpExtTCPChallengeACK");
    const pair = await open("inject out RST seq=snd.nxt+10 after in data 1");
    pair.stream.resume();
    await pair.kernel.write(2, 10);
    expect(await eventually(() => counter("TcpExtTCPChallengeACK") > before, true)).toBe(true);
    expect(kernelState(pair.stream)).toBe("ESTABLISHED");
    await finish(pair);
  });

  it("an exact RST: the kernel's end is reset", async () => {
    const pair = await open("inject out RST seq=snd.nxt after in data 1");
    // The kernel knows nothing of the connection any more, and will say so.
    pair.stream.on("error", () => undefined).resume();
    await pair.kernel.write(2, 10);
    await pair.kernel.until("error");
    expect(pair.kernel.error).toBe("ECONNRESET");
  });

  it("a FIN ignored: the kernel sends it again", async () => {
    const before = counter("TcpRetransSegs");
    const pair = await open("drop in fin 1");
    await finish(pair);
    expect(counter("TcpRetransSegs")).toBeGreaterThan(before);
  });

  it("a byte changed on the way: the kernel finds the checksum wrong, and gets it again", async () => {
    const before = counter("TcpInCsumErrors");
    const pair = await open("corrupt out data 1 byte 2");
    pair.stream.write("hello");
    await pair.kernel.untilBytes(5);
    expect(counter("TcpInCsumErrors")).toBe(before + 1);
    await finish(pair);
  });
});

it("an old duplicate into a new incarnation: the kernel does not take it (PAWS), and says so", async () => {
  const before = counter("TcpExtPAWSEstab") + counter("TcpExtTCPACKSkippedPAWS");
  const live = await world.session(LOOPBACK, {
    bend: "duplicate out data 1 after 600ms where t < 300ms",
    connection: { mslUs: 1_000 },
  });
  const peer = world.peer(LOOPBACK);
  const port = await peer.listen(LOOPBACK.kernel);
  const first = live.connect(port, { localPort: 50_123 });
  await once(first, "connect");
  const theirs = await peer.accept(first);
  first.resume();
  first.end("first");
  await theirs.until("end");
  await theirs.end();
  await live.session.driver.whenIdle();
  const second = live.connect(port, { localPort: 50_123 });
  await once(second, "connect");
  const again = await peer.accept(second);
  expect(await eventually(() => counter("TcpExtPAWSEstab") + counter("TcpExtTCPACKSkippedPAWS") > before, true)).toBe(true);
  second.resume();
  second.end("second");
  await again.until("end");
  expect(again.bytes).toBe(6);
  await again.end();
  await live.session.driver.whenIdle();
});
