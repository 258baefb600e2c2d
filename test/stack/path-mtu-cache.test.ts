import { describe, expect, it } from "vitest";
import { MINUTE } from "../../src/base/time.js";
import { PathMtuCache } from "../../src/stack/path-mtu-cache.js";
import type { Connection } from "../../src/tcp/connection.js";
import { parseAddress } from "../../src/wire/address.js";
import { ACK, SYN } from "../../src/wire/tcp-flags.js";
import { address, icmpPacket, LOCAL, REMOTE, Rig, type Sent } from "./rig.js";

const ROUTER = parseAddress("10.0.0.254");
/** MSS 1460. */
const MSS = [2, 4, 0x05, 0xb4];

describe("path MTU cache", () => {
  it("finds what was learned until its time has passed (RFC 8201 §5)", () => {
    const cache = new PathMtuCache();
    cache.learn(REMOTE, 1_000, 500);
    expect(cache.find(REMOTE, 499)?.mtu).toBe(1_000);
    expect(cache.find(LOCAL, 499)).toBeUndefined();
    expect(cache.find(REMOTE, 500)).toBeUndefined();
    expect(cache.size).toBe(0);
  });

  it("is bounded: what was learned first makes way, and learning again counts as new", () => {
    const cache = new PathMtuCache(3);
    for (const n of [1, 2, 3, 1, 4]) cache.learn(address(n), 1_000 + n, 500);
    expect(cache.size).toBe(3);
    expect([1, 2, 3, 4].map((n) => cache.find(address(n), 0)?.mtu)).toEqual([1_001, undefined, 1_003, 1_004]);
  });
});

function open(rig: Rig, remote = REMOTE): { connection: Connection; syn: Sent } {
  const connection = rig.stack.connect({ local: LOCAL, remote, remotePort: 80 }, rig.now);
  const [syn] = rig.drain();
  if (syn === undefined) throw new Error("no SYN");
  const fields = { from: remote, fromPort: 80, toPort: syn.fromPort, seq: 900, ack: (syn.seq + 1) >>> 0 };
  rig.inject({ ...fields, flags: SYN | ACK, options: MSS });
  return { connection, syn };
}

describe("the path MTU is shared with later connections to the same destination", () => {
  it("they begin with it, others do not, and after ten minutes nobody", () => {
    const rig = new Rig();
    const first = open(rig);
    first.connection.send(new Uint8Array(1_460));
    const [data] = rig.drain();
    expect(data?.payload.length).toBe(1_460);
    expect(rig.give(icmpPacket(3, 4, (data as Sent).bytes, ROUTER, LOCAL, 1_100))).toContain("path MTU lowered");
    expect(rig.drain().map((sent) => sent.payload.length)).toEqual([1_060, 400]);
    expect(open(rig).connection.tcb.snd.mss).toBe(1_060);
    expect(open(rig, parseAddress("10.0.0.3")).connection.tcb.snd.mss).toBe(1_460);
    // The data is never acknowledged: those time-outs may be a dead peer's and teach nothing.
    rig.runUntil(rig.now + 10 * MINUTE);
    expect(first.connection.tcb.snd.mss).toBe(536);
    expect(open(rig).connection.tcb.snd.mss).toBe(1_460);
  });

  it("the MSS that we announce stays that of our link (RFC 6691)", () => {
    const rig = new Rig();
    const { connection } = open(rig);
    connection.send(new Uint8Array(1_460));
    const [data] = rig.drain();
    rig.give(icmpPacket(3, 4, (data as Sent).bytes, ROUTER, LOCAL, 1_100));
    rig.drain();
    const { syn } = open(rig);
    expect([...syn.bytes.subarray(40, 44)]).toEqual([2, 4, 1_460 >>> 8, 1_460 & 255]);
  });
});
