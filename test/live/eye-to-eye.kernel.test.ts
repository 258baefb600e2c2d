/**
 * The kernel and we see the same connection: what was agreed on in the handshake, and what each makes of the other's SACK
 * blocks, D-SACKs and reordering. Ours is read by `status` and `tcpInfo`, the kernel's by sock_diag and `ss -i`.
 */
import { once } from "node:events";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { type FaultRule, matchSegment } from "../../src/device/fault-injector.js";
import { createPeerObserver, type PeerObserver } from "../../src/kernel/peer-state.js";
import type { TcpInfo as KernelInfo } from "../../src/kernel/tcp-info.js";
import type { TcpStream } from "../../src/net/tcp-stream.js";
import { TCPI_OPTIONS, tcpInfo } from "../../src/tcp/info.js";
import type { Segment } from "../../src/wire/segment.js";
import { eventually, run } from "../kernel/support.js";
import type { KernelSocket } from "./kernel-peer.js";
import { type Live, type LiveOptions, LOOPBACK, World } from "./live.js";
import { pattern, sha256 } from "./pattern.js";
import { intake } from "./streams.js";

vi.setConfig({ testTimeout: 20_000 });

let world: World;
let observer: PeerObserver;
beforeAll(async () => {
  world = await World.open();
  observer = createPeerObserver("sock_diag");
});
afterEach(async () => {
  world.closeSessions();
  expect((await world.resets.take()).kernel).toEqual([]);
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
const SEGMENT = 1000;
const BYTES = 20 * SEGMENT;
const hasData = (segment: Readonly<Segment>) => segment.payloadLength > 0;

async function asClient(options: LiveOptions): Promise<Pair> {
  const live = await world.session(LOOPBACK, options);
  const peer = world.peer(LOOPBACK);
  const stream = live.connect(await peer.listen(LOOPBACK.kernel));
  await once(stream, "connect");
  return { live, stream, kernel: await peer.accept(stream) };
}

async function asServer(options: LiveOptions): Promise<Pair> {
  const live = await world.session(LOOPBACK, options);
  const { server, port } = live.listen();
  const coming = once(server, "connection");
  const kernel = await world.peer(LOOPBACK).connect(LOOPBACK.ours, port);
  const [stream] = (await coming) as [TcpStream];
  await kernel.until("connect");
  return { live, stream, kernel };
}

function kernelView(stream: TcpStream): KernelInfo {
  const { localPort, remotePort } = stream.connection.tcb;
  const info = observer.tcpInfo(LOOPBACK.kernel, remotePort, LOOPBACK.ours, localPort);
  if (info === undefined) throw new Error("the kernel knows nothing of the connection");
  return info;
}

/** A number that `ss -i` gives for the kernel's end ("dsack_dups:1"); 0 when it does not tell. */
function ss(stream: TcpStream, name: string): number {
  const { localPort, remotePort } = stream.connection.tcb;
  const text = run("ss", "-tinH", "sport", "=", `:${remotePort}`, "and", "dport", "=", `:${localPort}`);
  return Number(new RegExp(`\\b${name}:(\\d+)`).exec(text)?.[1] ?? 0);
}

function ourView({ live, stream }: Pair): ReturnType<typeof tcpInfo> {
  return tcpInfo(stream.connection.tcb, live.session.driver.now());
}

/** Both ends close, and every byte of both directions is proved; what was written before is `pattern(seed, bytes)`. */
async function finish({ live, stream, kernel }: Pair, sent: number, received: Promise<string>, theirs: number): Promise<void> {
  stream.end();
  await kernel.until("end");
  await kernel.end();
  expect(kernel.sha256).toBe(sha256(pattern(1, sent)));
  expect(await received).toBe(sha256(pattern(2, theirs)));
  await live.session.driver.whenIdle();
}

describe.each([
  ["client", asClient],
  ["server", asServer],
] as const)("we are %s", (_, open) => {
  it("timestamps, SACK and window scales are agreed on, and the windows are what the other advertised (RFC 2018 §2, RFC 7323 §2, §3)", async () => {
    const pair = await open({ trace: false });
    const { stream, kernel } = pair;
    const received = intake(stream);
    const much = 8 << 20;
    stream.write(pattern(1, much));
    await kernel.write(2, much);
    await kernel.untilBytes(much);
    await received.until(much);
    const settled = () => kernelView(stream).unacked === 0 && stream.connection.status().sendQueueBytes === 0;
    expect(await eventually(settled, true)).toBe(true);
    const theirs = kernelView(stream);
    const { snd, rcv, timestamps } = stream.connection.status();
    expect(theirs.options).toMatchObject({ timestamps: true, sack: true, windowScale: true });
    expect(timestamps).toBe(true);
    const { TIMESTAMPS, SACK, WSCALE } = TCPI_OPTIONS;
    expect(ourView(pair).tcpi_options & (TIMESTAMPS | SACK | WSCALE)).toBe(TIMESTAMPS | SACK | WSCALE);
    expect([theirs.sndWscale, theirs.rcvWscale]).toEqual([rcv.windShift, snd.windShift]);
    expect(snd.windShift).toBeGreaterThan(0);
    expect(rcv.windShift).toBeGreaterThan(0);
    // Used: windows that the 16 bits of the header could not tell, and the kernel reads ours as we mean it.
    expect(stream.connection.tcb.snd.maxWnd).toBeGreaterThan(0xffff);
    expect(theirs.sndWnd).toBeGreaterThan(0xffff);
    expect(await eventually(() => kernelView(stream).sndWnd === stream.connection.status().rcv.wnd, true)).toBe(true);
    expect(theirs.bytesReceived).toBe(much);
    await finish(pair, much, received.done, much);
  });

  it.each([
    ["timestamps", { timestamps: false }],
    ["sack", { sack: false }],
    ["windowScale", { windowScaling: false }],
  ] as const)("without %s on our side the kernel does without", async (option, connection) => {
    const pair = await open({ trace: false, connection });
    const received = intake(pair.stream);
    const { options, sndWscale, rcvWscale } = kernelView(pair.stream);
    expect(options).toMatchObject({ timestamps: true, sack: true, windowScale: true, [option]: false });
    if (option === "windowScale") expect([sndWscale, rcvWscale]).toEqual([0, 0]);
    pair.stream.write(pattern(1, BYTES));
    await pair.kernel.write(2, BYTES);
    await pair.kernel.untilBytes(BYTES);
    await finish(pair, BYTES, received.done, BYTES);
  });

  /** Loses one segment of the data in `dir` and all its repetitions, until it is told to let them through. */
  function hole(dir: "in" | "out"): { readonly rule: FaultRule; fill(): void } {
    let seq = -1;
    let seen = 0;
    let filled = false;
    const match = matchSegment((segment) => {
      if (filled || !hasData(segment)) return false;
      if (++seen === 3) ({ seq } = segment);
      return segment.seq === seq;
    });
    return {
      rule: { dir, fault: "loss", nth: 1, count: Number.POSITIVE_INFINITY, match },
      fill: () => {
        filled = true;
      },
    };
  }

  it("the kernel's SACK blocks tell us what has arrived behind a hole (RFC 2018 §5)", async () => {
    const { rule, fill } = hole("out");
    const pair = await open({ trace: false, rules: [rule], connection: { mssBytes: SEGMENT + 12 } });
    const received = intake(pair.stream);
    pair.stream.write(pattern(1, 8 * SEGMENT));
    expect(await eventually(() => ourView(pair).tcpi_sacked >= 5, true)).toBe(true);
    expect(ourView(pair).tcpi_unacked).toBe(6);
    fill();
    await pair.kernel.untilBytes(8 * SEGMENT);
    expect(await eventually(() => ourView(pair).tcpi_unacked, 0)).toBe(0);
    expect(ourView(pair)).toMatchObject({ tcpi_sacked: 0, tcpi_lost: 0, tcpi_retrans: 0 });
    expect(ourView(pair).tcpi_total_retrans).toBeGreaterThanOrEqual(1);
    await finish(pair, 8 * SEGMENT, received.done, 0);
  });

  it("our SACK blocks tell the kernel what has arrived behind a hole (RFC 2018 §4)", async () => {
    const { rule, fill } = hole("in");
    const pair = await open({ trace: false, rules: [rule], connection: { mssBytes: SEGMENT + 12 } });
    const received = intake(pair.stream);
    // Each write is a segment of its own: large ones would come to us as one packet.
    for (let i = 0; i < 8; i++) {
      await pair.kernel.write(10 + i, SEGMENT);
      expect(await eventually(() => kernelView(pair.stream).segsOut > i, true)).toBe(true);
    }
    expect(await eventually(() => kernelView(pair.stream).sacked >= 1, true)).toBe(true);
    expect(pair.stream.connection.status().outOfOrderRanges).toBe(1);
    fill();
    await received.until(8 * SEGMENT);
    expect(await eventually(() => kernelView(pair.stream).unacked, 0)).toBe(0);
    expect(kernelView(pair.stream)).toMatchObject({ sacked: 0, lost: 0, retrans: 0 });
    expect(kernelView(pair.stream).totalRetrans).toBeGreaterThanOrEqual(1);
    pair.stream.end();
    await pair.kernel.until("end");
    await pair.kernel.end();
    const all = Buffer.concat(Array.from({ length: 8 }, (_, i) => pattern(10 + i, SEGMENT)));
    expect(await received.done).toBe(sha256(all));
    await pair.live.session.driver.whenIdle();
  });

  it("our D-SACK tells the kernel that it sent in vain (RFC 2883 §4)", async () => {
    const pair = await open({});
    const received = intake(pair.stream);
    pair.live.hold("out");
    await pair.kernel.write(2, BYTES);
    // Our ACK, and the D-SACK that answers the kernel's repetition.
    await pair.live.untilHeld(2);
    pair.live.release();
    expect(await eventually(() => ss(pair.stream, "dsack_dups") > 0, true)).toBe(true);
    expect(kernelView(pair.stream).totalRetrans).toBeGreaterThanOrEqual(1);
    await finish(pair, 0, received.done, BYTES);
  });

  it("the kernel's D-SACK tells us that we sent in vain (RFC 2883 §5)", async () => {
    const pair = await open({});
    const received = intake(pair.stream);
    pair.live.hold("in");
    pair.stream.write(pattern(1, BYTES));
    await pair.live.untilHeld(2);
    pair.live.release();
    expect(await eventually(() => ourView(pair).tcpi_dsack_dups > 0, true)).toBe(true);
    expect(ourView(pair).tcpi_total_retrans).toBeGreaterThanOrEqual(1);
    await finish(pair, BYTES, received.done, 0);
  });

  it("the kernel's SACK blocks tell us that our segments were overtaken", async () => {
    // The other way round it cannot be seen: we acknowledge a batch once, after the packet that was overtaken has come too.
    const late: FaultRule = { dir: "out", fault: "reordering", nth: 4, count: 200, match: matchSegment(hasData) };
    const pair = await open({ trace: false, rules: [late], connection: { mssBytes: SEGMENT + 12 } });
    const received = intake(pair.stream);
    const much = 1 << 20;
    pair.stream.write(pattern(1, much));
    await pair.kernel.untilBytes(much);
    expect(ourView(pair).tcpi_reord_seen).toBeGreaterThan(0);
    await finish(pair, much, received.done, 0);
  });
});
