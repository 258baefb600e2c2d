/** ECN with the kernel at the other end, both roles: agreed on, marked on the way by nft, echoed, answered. `ss -i` and sock_diag are the witnesses. */
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { createPeerObserver, type PeerObserver } from "../../src/kernel/peer-state.js";
import type { TcpStream } from "../../src/net/tcp-stream.js";
import type { EcnPolicy } from "../../src/tcp/ecn.js";
import { TCPI_OPTIONS, tcpInfo } from "../../src/tcp/info.js";
import { eventually, run } from "../kernel/support.js";
import type { KernelSocket } from "./kernel-peer.js";
import { type Live, LOOPBACK, World } from "./live.js";
import { pattern, sha256 } from "./pattern.js";
import { intake } from "./streams.js";

vi.setConfig({ testTimeout: 20_000 });

const BYTES = 4 << 20;
let world: World;
let observer: PeerObserver;
beforeAll(async () => {
  world = await World.open();
  observer = createPeerObserver("sock_diag");
  kernelAsks(true);
});
afterEach(async () => {
  world.closeSessions();
  expect((await world.resets.take()).kernel).toEqual([]);
});
afterAll(async () => {
  observer.close();
  await world.close();
});

/** In this namespace alone: 1 asks and accepts, 0 does neither. */
function kernelAsks(asks: boolean): void {
  writeFileSync("/proc/sys/net/ipv4/tcp_ecn", asks ? "1" : "0");
}

interface Pair {
  readonly live: Live;
  readonly stream: TcpStream;
  readonly kernel: KernelSocket;
}

async function asClient(ecn: EcnPolicy): Promise<Pair> {
  // Many small segments, of which some are marked.
  const live = await world.session(LOOPBACK, { trace: false, connection: { ecn, mssBytes: 8_000 } });
  const peer = world.peer(LOOPBACK);
  const stream = live.connect(await peer.listen(LOOPBACK.kernel));
  await once(stream, "connect");
  return { live, stream, kernel: await peer.accept(stream) };
}

async function asServer(ecn: EcnPolicy): Promise<Pair> {
  const live = await world.session(LOOPBACK, { trace: false, connection: { ecn, mssBytes: 8_000 } });
  const { server, port } = live.listen();
  const coming = once(server, "connection");
  const kernel = await world.peer(LOOPBACK).connect(LOOPBACK.ours, port);
  const [stream] = (await coming) as [TcpStream];
  await kernel.until("connect");
  return { live, stream, kernel };
}

/** Every so many of the ECN-capable segments to a port are marked on their way out. Returns what takes the rule away. */
function mark(port: number): () => void {
  run("nft", "add", "table", "ip", "marks");
  run("nft", "add", "chain", "ip", "marks", "out", "{ type filter hook output priority 0; }");
  const match = ["tcp", "dport", String(port), "ip", "ecn", "ect0", "numgen", "inc", "mod", "40", "==", "0"];
  run("nft", "add", "rule", "ip", "marks", "out", ...match, "ip", "ecn", "set", "ce");
  return () => run("nft", "delete", "table", "ip", "marks");
}

/** What `ss -i` says of the kernel's end. */
function ss(stream: TcpStream): string {
  const { localPort, remotePort } = stream.connection.tcb;
  return run("ss", "-tinH", "sport", "=", `:${remotePort}`, "and", "dport", "=", `:${localPort}`);
}

function kernelOptions(stream: TcpStream): { readonly ecn: boolean; readonly ecnSeen: boolean } | undefined {
  const { localPort, remotePort } = stream.connection.tcb;
  return observer.tcpInfo(LOOPBACK.kernel, remotePort, LOOPBACK.ours, localPort)?.options;
}

function weAgreed({ live, stream }: Pair): boolean {
  return (tcpInfo(stream.connection.tcb, live.session.driver.now()).tcpi_options & TCPI_OPTIONS.ECN) !== 0;
}

async function finish({ live, stream, kernel }: Pair): Promise<void> {
  stream.end();
  await kernel.until("end");
  await kernel.end();
  await live.session.driver.whenIdle();
}

describe.each([
  ["client", asClient, "on"],
  ["server", asServer, "accept"],
] as const)("we are %s", (role, open, ecn) => {
  it("both ends say that ECN is agreed on (RFC 3168 §6.1.1)", async () => {
    const pair = await open(ecn);
    pair.stream.resume();
    expect([weAgreed(pair), kernelOptions(pair.stream)?.ecn]).toEqual([true, true]);
    await finish(pair);
  });

  it("our data is marked: the kernel echoes, we slow down and say so, nothing is sent again (RFC 3168 §6.1.2)", async () => {
    const pair = await open(ecn);
    const { stream, kernel } = pair;
    stream.resume();
    const unmark = mark(stream.connection.tcb.remotePort);
    try {
      stream.write(pattern(1, BYTES));
      await kernel.untilBytes(BYTES);
    } finally {
      unmark();
    }
    const acknowledged = () => stream.connection.status().sendQueueBytes === 0;
    expect(await eventually(acknowledged, true)).toBe(true);
    const { ecn: seen, counters } = stream.connection.tcb;
    expect(seen.reductions).toBeGreaterThan(0);
    expect(seen.deliveredCe).toBeGreaterThan(0);
    expect(counters.retransmits).toBe(0);
    expect(kernelOptions(stream)).toMatchObject({ ecn: true, ecnSeen: true });
    await finish(pair);
    expect(kernel.sha256).toBe(sha256(pattern(1, BYTES)));
  });

  it("the kernel's data is marked: we echo, and the kernel counts what was delivered with marks (RFC 3168 §6.1.3)", async () => {
    const pair = await open(ecn);
    const { stream, kernel } = pair;
    const received = intake(stream);
    const unmark = mark(stream.connection.tcb.localPort);
    try {
      await kernel.write(2, BYTES);
      await received.until(BYTES);
    } finally {
      unmark();
    }
    expect(stream.connection.tcb.ecn.marksIn).toBeGreaterThan(0);
    expect(await eventually(() => Number(/delivered_ce:(\d+)/.exec(ss(stream))?.[1] ?? 0) > 0, true)).toBe(true);
    await finish(pair);
    expect(await received.done).toBe(sha256(pattern(2, BYTES)));
  });

  it("we take accurate ECN, the kernel classic alone: classic, and a transfer with marks is whole (RFC 9768 §3.1.2)", async () => {
    const pair = await open("accurate");
    const { stream, kernel } = pair;
    stream.resume();
    const { ecn: state } = stream.connection.tcb;
    expect([weAgreed(pair), kernelOptions(stream)?.ecn, state.accurate]).toEqual([true, true, undefined]);
    const unmark = mark(stream.connection.tcb.remotePort);
    try {
      stream.write(pattern(1, BYTES));
      await kernel.untilBytes(BYTES);
    } finally {
      unmark();
    }
    await finish(pair);
    expect(kernel.sha256).toBe(sha256(pattern(1, BYTES)));
    expect(state.deliveredCe).toBeGreaterThan(0);
  });

  it("a kernel without ECN, or we without: neither end says so", async () => {
    const without = await open("off");
    without.stream.resume();
    expect([weAgreed(without), kernelOptions(without.stream)?.ecn]).toEqual([false, false]);
    await finish(without);
    kernelAsks(false);
    try {
      const pair = await open(ecn);
      pair.stream.resume();
      expect([role, weAgreed(pair), kernelOptions(pair.stream)?.ecn]).toEqual([role, false, false]);
      await finish(pair);
    } finally {
      kernelAsks(true);
    }
  });
});
