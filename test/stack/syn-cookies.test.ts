/** SYN cookies (RFC 4987 §3.6): nothing is kept until the third segment, and then all that matters is there. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { SeededRandom } from "../../src/base/random.js";
import { MINUTE, SECOND } from "../../src/base/time.js";
import type { StackConfig } from "../../src/stack/config.js";
import type { Listener, ListenOptions } from "../../src/stack/listener.js";
import { SynCookies } from "../../src/stack/syn-cookies.js";
import type { IpAddress } from "../../src/wire/address.js";
import { parseSegment, Segment } from "../../src/wire/segment.js";
import { ACK, FIN, PSH, RST, SYN } from "../../src/wire/tcp-flags.js";
import { LOCAL, LOCAL6, REMOTE, REMOTE6, Rig, type Sent } from "./rig.js";

const PORT = 80;
const SEQ = 0xffff_ffff;

function listening(stack: Partial<StackConfig> = {}, options: Partial<ListenOptions> = {}): { rig: Rig; listener: Listener } {
  const rig = new Rig({ synCookies: "always", ...stack });
  return { rig, listener: rig.stack.listen({ address: LOCAL, port: PORT, ...options }) };
}

interface Offer {
  readonly mss?: number;
  readonly windowScale?: number;
  readonly sack?: boolean;
  /** TSval. */
  readonly ts?: number;
}

/** Option bytes of a SYN. */
function options(offer: Offer): number[] {
  const bytes: number[] = [];
  if (offer.mss !== undefined) bytes.push(2, 4, offer.mss >>> 8, offer.mss & 255);
  if (offer.sack === true) bytes.push(1, 1, 4, 2);
  if (offer.windowScale !== undefined) bytes.push(1, 3, 3, offer.windowScale);
  if (offer.ts !== undefined) bytes.push(...timestamps(offer.ts, 0));
  return bytes;
}

function timestamps(val: number, ecr: number): number[] {
  const word = (n: number): number[] => [n >>> 24, (n >>> 16) & 255, (n >>> 8) & 255, n & 255];
  return [1, 1, 8, 10, ...word(val), ...word(ecr)];
}

/** The header of a packet that was sent, with its options. */
function header(sent: Sent): Segment {
  const segment = new Segment();
  const ip = (sent.bytes[0] ?? 0) >>> 4 === 4 ? 20 : 40;
  expect(parseSegment(segment, sent.bytes, ip, sent.bytes.length - ip)).toBe("");
  return segment;
}

function syn(rig: Rig, offer: Offer = {}, fromPort = 4000, from: IpAddress = REMOTE, to: IpAddress = LOCAL): Sent[] {
  return rig.inject({ from, to, fromPort, toPort: PORT, seq: SEQ, flags: SYN, options: options(offer) });
}

function only(sent: readonly Sent[]): Sent {
  expect(sent).toHaveLength(1);
  return sent[0] as Sent;
}

interface Third {
  readonly offBy?: number;
  readonly seqOffBy?: number;
  readonly fromPort?: number;
  readonly flags?: number;
  readonly payload?: Uint8Array;
  readonly window?: number;
}

/** The third segment; with timestamps if the SYN-ACK has them. */
function third(rig: Rig, synAck: Sent, change: Third = {}): Sent[] {
  const { offBy = 0, seqOffBy = 0, fromPort = synAck.toPort, flags = ACK, payload, window = 1_000 } = change;
  const seg = header(synAck);
  return rig.inject({
    fromPort,
    toPort: PORT,
    seq: (synAck.ack + seqOffBy) >>> 0,
    ack: (synAck.seq + 1 + offBy) >>> 0,
    flags,
    window,
    ...(payload === undefined ? {} : { payload }),
    options: seg.hasTimestamps ? timestamps(777, seg.tsVal) : [],
  });
}

describe("SYN cookies", () => {
  it("nothing is kept of a SYN, and its third segment makes the connection", () => {
    const { rig, listener } = listening();
    const synAck = only(syn(rig, { mss: 1_460 }));
    expect(synAck).toMatchObject({ flags: "S.", ack: 0, fromPort: PORT, toPort: 4000 });
    expect([rig.stack.connectionCount, listener.synQueue.size, rig.stack.nextTimeout()]).toEqual([0, 0, Infinity]);
    expect(third(rig, synAck)).toEqual([]);
    expect(rig.stack.pollEventful()).toBe(listener);
    const connection = listener.accept();
    expect(connection).toMatchObject({ state: "ESTABLISHED" });
    expect(connection?.tcb.snd).toMatchObject({ mss: 1_460, wnd: 1_000, windShift: 0 });
    expect(connection?.tcb.rtt.hasSample).toBe(false);
    expect(listener.counters).toMatchObject({
      synsReceived: 1,
      cookiesSent: 1,
      cookiesReceived: 1,
      cookiesFailed: 0,
      established: 1,
    });
    // Both directions work, from the right numbers.
    connection?.send(Uint8Array.of(1, 2, 3));
    const data = only(rig.drain());
    expect(data).toMatchObject({ flags: "P.", seq: (synAck.seq + 1) >>> 0, ack: 0 });
    rig.inject({ fromPort: 4000, toPort: PORT, seq: 0, ack: (data.seq + 3) >>> 0, flags: PSH | ACK, payload: Uint8Array.of(9) });
    expect([connection?.readableBytes, connection?.tcb.snd.una]).toEqual([1, (data.seq + 3) >>> 0]);
    rig.drain();
    expect(rig.runUntil(rig.now + 10 * SECOND).map((sent) => sent.flags)).toEqual(["."].slice(0, 0));
  });

  it("data and FIN may come with it, or in place of a third segment that was lost", () => {
    const { rig, listener } = listening();
    const synAck = only(syn(rig));
    const answer = third(rig, synAck, { flags: PSH | FIN | ACK, payload: Uint8Array.of(5, 6) });
    expect(answer).toMatchObject([{ flags: ".", ack: 3 }]);
    const connection = listener.accept();
    expect([connection?.state, connection?.readableBytes]).toEqual(["CLOSE-WAIT", 2]);
  });

  it("over IPv6 too", () => {
    const rig = new Rig({ synCookies: "always" });
    const listener = rig.stack.listen({ address: LOCAL6, port: PORT });
    const synAck = only(syn(rig, {}, 4000, REMOTE6, LOCAL6));
    rig.inject({ from: REMOTE6, to: LOCAL6, fromPort: 4000, toPort: PORT, seq: 0, ack: (synAck.seq + 1) >>> 0, flags: ACK });
    // Without the option 1220 is meant (RFC 9293 MUST-15).
    expect(listener.accept()?.tcb.snd.mss).toBe(1_220);
  });

  it("of the MSS the largest size is kept that is not larger", () => {
    for (const [mss, kept] of [
      [1_460, 1_460],
      [9_000, 8_940],
      [1_459, 1_440],
      [1_300, 1_220],
      [600, 536],
      [100, 48],
    ] as const) {
      const { rig, listener } = listening({ connection: { mtuBytes: 65_535 } });
      third(rig, only(syn(rig, { mss })));
      expect(listener.accept()?.tcb.pathMtu.peerMss).toBe(kept);
    }
  });

  it("the peer's timestamps carry window scale and SACK", () => {
    fc.assert(
      fc.property(fc.option(fc.nat(14), { nil: undefined }), fc.boolean(), fc.nat(100_000), (windowScale, sack, ms) => {
        const { rig, listener } = listening();
        rig.now += ms * 1_000;
        const before = rig.now;
        const offer = { mss: 1_460, sack, ts: 777, ...(windowScale === undefined ? {} : { windowScale }) };
        const synAck = only(syn(rig, offer));
        const seg = header(synAck);
        expect([seg.hasTimestamps, seg.tsEcr, seg.sackPermitted]).toEqual([true, 777, sack]);
        expect(seg.windowScale >= 0).toBe(windowScale !== undefined);
        rig.now += 37_000;
        third(rig, synAck, { window: 500 });
        const connection = listener.accept();
        expect(connection?.tcb.snd).toMatchObject({ windShift: windowScale ?? 0, wnd: 500 << (windowScale ?? 0), mss: 1_448 });
        expect([connection?.tcb.sack.enabled, connection?.tcb.scaling]).toEqual([sack, windowScale !== undefined]);
        expect(connection?.tcb.rcv.windShift).toBe(Math.max(0, seg.windowScale));
        // Our clock goes on from there: never back (RFC 7323 §5), and no more than 64 ms ahead of what the SYN-ACK said.
        connection?.send(Uint8Array.of(1));
        const ticks = (header(only(rig.drain())).tsVal - seg.tsVal) | 0;
        expect(ticks).toBeGreaterThanOrEqual((rig.now - before) / 1_000);
        expect(ticks).toBeLessThan((rig.now - before) / 1_000 + 64);
      }),
      { numRuns: 60 },
    );
  });

  it("without timestamps nothing but the MSS is negotiated", () => {
    const { rig, listener } = listening();
    const synAck = only(syn(rig, { mss: 1_460, windowScale: 7, sack: true }));
    expect(header(synAck)).toMatchObject({ hasTimestamps: false, windowScale: -1, sackPermitted: false });
    third(rig, synAck, { window: 60_000 });
    const connection = listener.accept();
    expect(connection?.tcb).toMatchObject({ scaling: false, sack: { enabled: false } });
    expect(connection?.tcb.snd.wnd).toBe(60_000);
  });

  it("the window that the SYN-ACK offers is the one that the connection keeps", () => {
    const { rig, listener } = listening({ connection: { receiveBufferBytes: 20_000 } });
    const synAck = only(syn(rig));
    third(rig, synAck);
    expect(listener.accept()?.tcb.receiveWindow).toBe(synAck.window);
  });

  it("a cookie lives one to two minutes", () => {
    for (const [wait, good] of [
      [59 * SECOND, true],
      [119 * SECOND, true],
      [120 * SECOND, false],
      [600 * MINUTE, false],
    ] as const) {
      const { rig, listener } = listening();
      rig.now = 1_000 * MINUTE;
      const synAck = only(syn(rig));
      rig.now += wait;
      const answer = third(rig, synAck);
      expect(answer.map((sent) => sent.flags)).toEqual(good ? [] : ["R"]);
      expect(listener.acceptQueue.length).toBe(good ? 1 : 0);
    }
  });

  it.each<[string, Third]>([
    ["another acknowledgment", { offBy: 1 }],
    ["another minute", { offBy: 0x0100_0000 }],
    ["another sequence number", { seqOffBy: 1 }],
    ["another port", { fromPort: 4001 }],
  ])("%s: RST, counted, nothing is kept", (_, change) => {
    const { rig, listener } = listening();
    const synAck = only(syn(rig));
    expect(third(rig, synAck, change)).toMatchObject([{ flags: "R", seq: (synAck.seq + 1 + (change.offBy ?? 0)) >>> 0 }]);
    expect(listener.counters).toMatchObject({ cookiesReceived: 0, cookiesFailed: 1 });
    expect(rig.stack.connectionCount).toBe(0);
  });

  it("RST and SYN,ACK bring no cookie, and where none was sent none is looked for", () => {
    const { rig, listener } = listening();
    const synAck = only(syn(rig));
    expect(third(rig, synAck, { flags: RST | ACK })).toEqual([]);
    expect(third(rig, synAck, { flags: SYN | ACK })).toMatchObject([{ flags: "R" }]);
    expect(rig.stack.connectionCount).toBe(0);
    const other = listening();
    expect(third(other.rig, synAck)).toMatchObject([{ flags: "R" }]);
    expect(other.listener.counters.cookiesFailed + listener.counters.cookiesFailed).toBe(0);
  });

  it("cookies of two stacks, of two peers and of two SYNs have nothing in common", () => {
    const tuple = { local: LOCAL, localPort: PORT, remote: REMOTE, remotePort: 4000 };
    const seg = new Segment();
    const one = new SynCookies(new SeededRandom(1));
    const made = new Set([
      one.make(tuple, seg, 0),
      one.make({ ...tuple, remotePort: 4001 }, seg, 0),
      one.make({ ...tuple, remote: LOCAL }, seg, 0),
      one.make(tuple, seg, 60 * SECOND),
      new SynCookies(new SeededRandom(2)).make(tuple, seg, 0),
    ]);
    expect(made.size).toBe(5);
    expect(one.make(tuple, seg, 59 * SECOND)).toBe(one.make(tuple, seg, 0));
  });

  it("of a hundred thousand guesses none is good", () => {
    const random = new SeededRandom(3);
    const cookies = new SynCookies(random);
    const tuple = { local: LOCAL, localPort: PORT, remote: REMOTE, remotePort: 4000 };
    const seg = new Segment();
    cookies.make(tuple, seg, 0);
    for (let i = 0; i < 100_000; i++) {
      seg.ack = random.u32();
      expect(cookies.check(tuple, seg, 0, 0)).toBeUndefined();
    }
  });
});

describe("SYN cookies: when", () => {
  it("by default once the SYN queue is full, and not before", () => {
    const { rig, listener } = listening({ synCookies: "when-full" }, { synBacklog: 2 });
    for (let port = 1; port <= 2; port++) only(syn(rig, {}, port));
    expect(listener.counters.cookiesSent).toBe(0);
    const synAck = only(syn(rig, {}, 3));
    expect(listener.synQueue.size).toBe(2);
    expect(listener.counters).toMatchObject({ synQueueOverflows: 1, cookiesSent: 1 });
    third(rig, synAck);
    expect(listener.accept()?.tcb.remotePort).toBe(3);
    expect(new Rig().stack.listen({ address: LOCAL, port: PORT, synBacklog: 0 }).admit()).toBe("cookie");
  });

  it("a flood of SYNs leaves nothing behind, and at most 256 are answered at once", () => {
    const { rig, listener } = listening({ synCookies: "when-full" }, { synBacklog: 0 });
    for (let port = 1; port <= 50; port++) syn(rig, { mss: 1_460, ts: 1 }, port);
    expect([listener.counters.cookiesSent, rig.stack.connectionCount, rig.stack.nextTimeout()]).toEqual([50, 0, Infinity]);
    const packets: Sent[] = [];
    rig.stack.onWake = undefined;
    for (let port = 1; port <= 300; port++) packets.push(...syn(rig, {}, port));
    expect(packets).toHaveLength(300);
    expect(packets.every((sent) => sent.flags === "S.")).toBe(true);
  });

  it("a full accept queue drops the SYN, and the third segment in silence", () => {
    const { rig, listener } = listening({}, { backlog: 1 });
    const [one, two] = [only(syn(rig, {}, 1)), only(syn(rig, {}, 2))];
    third(rig, one);
    expect(third(rig, two)).toEqual([]);
    expect(syn(rig, {}, 3)).toEqual([]);
    expect(listener.counters).toMatchObject({ acceptQueueOverflows: 2, cookiesReceived: 1, cookiesFailed: 0 });
    listener.accept();
    third(rig, two, { flags: PSH | ACK, payload: Uint8Array.of(1) });
    expect(listener.accept()?.readableBytes).toBe(1);
  });
});
