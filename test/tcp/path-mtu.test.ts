/** Path MTU discovery at a connection (RFC 1191, RFC 8201, RFC 5927 §7) and black holes (RFC 4821 §7.7). */
import { describe, expect, test } from "vitest";
import { MINUTE, SECOND } from "../../src/base/time.js";
import type { ConnectionConfig } from "../../src/tcp/config.js";
import { IcmpError } from "../../src/wire/icmp.js";
import { Harness, type Sent, texts, WORLDS, type World } from "./harness.js";

/** The peer takes 1,460 bytes a segment, and our link 1,500. */
const WIDE: Partial<ConnectionConfig> = { mtuBytes: 1_500, sack: false, initialWindowSegments: 4 };

function connected(world: World, config: Partial<ConnectionConfig> = {}): Harness {
  const h = new Harness(world, { ...WIDE, ...config }).connect({ options: [{ kind: "mss", mss: 1_460 }], wnd: 65_535 });
  h.events();
  return h;
}

/** "Packet too big" about the segment at `seq` (relative to ISS) in a packet of `length` bytes. */
function tooBig(h: Harness, mtu: number, seq: number, length: number): string {
  const error = new IcmpError();
  error.kind = "packet-too-big";
  error.nextHopMtu = mtu;
  error.quotedSeq = (h.world.iss + seq) >>> 0;
  error.quotedLength = length;
  error.hasSeq = true;
  return h.conn.receiveIcmp(error, h.now);
}

function lengths(sent: readonly Sent[]): number[] {
  return sent.map((packet) => packet.payload.length);
}

describe.each(WORLDS)("packet too big, $name", (world) => {
  test("what was lost is cut anew and sent again at once; congestion control is not blamed (SHLD-6, RFC 1191 §6, RFC 8201 §5)", () => {
    const h = connected(world);
    expect(texts(h.send(2_920))).toEqual([". 1+1460 ack 1", "P. 1461+1460 ack 1"]);
    const { cwnd, ssthresh } = h.tcb.congestion;
    expect(tooBig(h, 1_040, 1, 1_500)).toContain("lowered");
    const sent = h.poll();
    expect(texts(sent)).toEqual([". 1+1000 ack 1", ". 1001+460 ack 1", ". 1461+1000 ack 1", "P. 2461+460 ack 1"]);
    expect(sent[0]?.note).toContain("too large for the path");
    expect(h.tcb.snd.mss).toBe(1_000);
    expect(h.tcb.congestion).toMatchObject({ cwnd, ssthresh });
    expect([h.tcb.counters.timeouts, h.tcb.counters.fastRetransmits]).toEqual([0, 0]);
    expect(h.events()).toEqual([]);
    // The second message of the same burst tells nothing new, and nothing is sent for it.
    expect(tooBig(h, 1_040, 1_461, 1_500)).toContain("known already");
    expect(h.poll()).toEqual([]);
    h.rcv({ flags: ".", ack: 2_921 });
    expect(h.tcb.sent.length).toBe(0);
    expect(lengths(h.send(2_000))).toEqual([1_000, 1_000]);
  });

  test("small segments are not touched, and their duplicate ACKs begin no recovery (RFC 8201 §5.4)", () => {
    const h = connected(world);
    h.send(1_460);
    for (let i = 0; i < 4; i++) h.send(100);
    tooBig(h, 1_040, 1, 1_500);
    expect(texts(h.poll())).toEqual([". 1+1000 ack 1", ". 1001+460 ack 1"]);
    const { cwnd } = h.tcb.congestion;
    for (let i = 0; i < 4; i++) h.rcv({ flags: ".", ack: 1 });
    expect(h.tcb.counters.fastRetransmits).toBe(0);
    expect(h.tcb.congestion.cwnd).toBe(cwnd);
  });

  test("in NewReno's recovery what is cut anew begins no other (RFC 8201 §5.4)", () => {
    const h = connected(world);
    h.send(5_840);
    for (let i = 0; i < 3; i++) h.rcv({ flags: ".", ack: 1, wnd: 65_535 });
    expect(h.tcb.recovery.active).toBe(true);
    const { recover } = h.tcb.recovery;
    tooBig(h, 1_040, 1_461, 1_500);
    expect(h.tcb.recovery).toMatchObject({ active: true, recover });
    h.rcv({ flags: ".", ack: 5_841 });
    expect(h.tcb.sent.length).toBe(0);
    expect(h.tcb.recovery.active).toBe(false);
    expect(h.tcb.counters.fastRetransmits).toBe(1);
  });

  test("what the peer has by SACK is not cut, where a message is believed that contradicts it (as in FreeBSD)", () => {
    const h = new Harness(world, { ...WIDE, sack: true, arrivalRules: "bsd", rack: false });
    h.connect({ options: [{ kind: "mss", mss: 1_460 }, { kind: "sack-permitted" }], wnd: 65_535 });
    h.send(4_380);
    const blocks = [{ left: (world.iss + 1_461) >>> 0, right: (world.iss + 2_921) >>> 0 }];
    h.rcv({ flags: ".", ack: 1, wnd: 65_535, options: [{ kind: "sack", blocks }] });
    tooBig(h, 1_040, 1, 1_500);
    const seqs = h.poll().map(({ seq }) => seq);
    expect(seqs.slice(0, 2)).toEqual([1, 1_001]);
    expect(seqs).not.toContain(1_461);
    expect(seqs).not.toContain(2_461);
  });

  test("with timestamps what has arrived is reckoned with them (RFC 5927 §7.2)", () => {
    const h = new Harness(world, { ...WIDE, timestamps: true });
    h.peerTs = 1;
    h.connect({ options: [{ kind: "mss", mss: 1_460 }], wnd: 65_535 });
    h.send(1_448);
    h.rcv({ flags: "." });
    h.send(1_448);
    expect(tooBig(h, 1_499, 1_449, 1_500)).toContain("waits for a time-out");
    const small = new Harness(world, { ...WIDE, timestamps: true });
    small.peerTs = 1;
    small.connect({ options: [{ kind: "mss", mss: 1_460 }], wnd: 65_535 });
    small.send(988);
    small.rcv({ flags: "." });
    small.send(1_448);
    // 988 bytes with timestamps are a packet of 1,040.
    expect(tooBig(small, 1_040, 989, 1_500)).toContain("lowered");
  });

  test("what another connection has learned of the path holds from the beginning, until its time is over", () => {
    const h = new Harness(world, WIDE);
    h.tcb.pathMtu.adopt(1_040, h.now + MINUTE);
    h.connect({ options: [{ kind: "mss", mss: 1_460 }], wnd: 65_535 });
    expect(lengths(h.send(2_000))).toEqual([1_000, 1_000]);
    h.rcv({ flags: "." });
    h.advance(MINUTE);
    expect(lengths(h.send(1_460))).toEqual([1_460]);
  });

  test("FIN at the end of a large segment goes with its last part", () => {
    const h = connected(world);
    h.conn.send(new Uint8Array(1_460));
    expect(texts(h.shutdown())).toEqual(["FP. 1+1460 ack 1"]);
    tooBig(h, 1_040, 1, 1_500);
    expect(texts(h.poll())).toEqual([". 1+1000 ack 1", "FP. 1001+460 ack 1"]);
    h.rcv({ flags: ".", ack: 1_462 });
    expect(h.state).toBe("FIN-WAIT-2");
  });

  test("with SACK the pipe is emptied by what is lost, and the rest of the window still goes", () => {
    const h = new Harness(world, { ...WIDE, sack: true }).connect({
      options: [{ kind: "mss", mss: 1_460 }, { kind: "sack-permitted" }],
      wnd: 65_535,
    });
    h.send(5_840);
    tooBig(h, 1_040, 1, 1_500);
    expect(lengths(h.poll())).toEqual([1_000, 460, 1_000, 460, 1_000, 460, 1_000, 460]);
    expect(h.tcb.sent.inFlightBytes).toBe(5_840);
    expect(h.tcb.recovery.active).toBe(false);
  });

  test("a router that does not tell its MTU: the next plateau below the packet (RFC 1191 §7.1)", () => {
    const h = connected(world);
    h.send(2_920);
    tooBig(h, 0, 1, 1_500);
    expect(h.tcb.pathMtu.bytes).toBe(1_492);
    h.poll();
    // The other one of the burst was as large: no further plateau.
    expect(tooBig(h, 0, 1_461, 1_500)).toContain("known already");
    expect(tooBig(h, 0, 1, 1_492)).toContain("lowered");
    expect(h.tcb.pathMtu.bytes).toBe(1_006);
  });

  test("forged or senseless ones change nothing (RFC 5927 §7)", () => {
    const h = connected(world);
    h.send(2_920);
    expect(tooBig(h, 1_040, 2_921, 1_500)).toContain("quotes nothing that is outstanding");
    expect(tooBig(h, 1_040, 0, 1_500)).toContain("quotes nothing that is outstanding");
    expect(tooBig(h, 1_500, 1, 1_500)).toContain("small enough");
    expect(tooBig(h, 1_040, 1, 576)).toContain("small enough");
    expect(tooBig(h, 67, 1, 1_500)).toContain("no link is that narrow");
    expect(tooBig(h, 0, 1, 0)).toContain("small enough");
    expect(h.tcb.snd.mss).toBe(1_460);
    expect(h.poll()).toEqual([]);
    h.rcv({ flags: ".", ack: 2_921 });
    expect(tooBig(h, 1_040, 2_920, 1_500)).toContain("quotes nothing that is outstanding");
  });

  test("below 576 the path MTU does not go: routers may fragment instead", () => {
    const h = connected(world);
    h.send(1_460);
    tooBig(h, 300, 1, 1_500);
    expect(h.tcb.pathMtu).toMatchObject({ bytes: 576, mayFragment: true });
    expect(lengths(h.poll())).toEqual([536, 536, 388]);
    expect(tooBig(h, 300, 1, 576)).toContain("known already");
    expect(h.poll()).toEqual([]);
  });

  test("when larger ones have arrived it waits for a time-out to confirm it (RFC 5927 §7.2)", () => {
    const h = connected(world);
    h.send(1_460);
    h.rcv({ flags: ".", ack: 1_461 });
    h.send(1_460);
    expect(tooBig(h, 1_040, 1_461, 1_500)).toContain("waits for a time-out");
    expect(h.poll()).toEqual([]);
    expect(h.tcb.snd.mss).toBe(1_460);
    expect(texts(h.nextTimer())).toEqual([". 1461+1000 ack 1"]);
    expect(h.tcb.counters.timeouts).toBe(1);
    expect(h.tcb.snd.mss).toBe(1_000);
  });

  test("an unconfirmed one lets no router fragment either", () => {
    const h = connected(world);
    h.send(1_460);
    h.rcv({ flags: ".", ack: 1_461 });
    h.send(1_460);
    tooBig(h, 300, 1_461, 1_500);
    expect(h.tcb.pathMtu.mayFragment).toBe(false);
    h.nextTimer();
    expect(h.tcb.pathMtu).toMatchObject({ bytes: 576, mayFragment: true });
  });

  test("and is forgotten when a large one arrives after all", () => {
    const h = connected(world);
    h.send(1_460);
    h.rcv({ flags: ".", ack: 1_461 });
    h.send(1_460);
    tooBig(h, 1_040, 1_461, 1_500);
    h.rcv({ flags: ".", ack: 2_921 });
    expect(h.tcb.pathMtu.pending).toBe(0);
    h.send(1_460);
    expect(texts(h.nextTimer())).toEqual(["P. 2921+1460 ack 1"]);
  });

  test("after ten minutes the link's MTU is tried again (RFC 1191 §6.3)", () => {
    const h = connected(world);
    h.send(1_460);
    tooBig(h, 1_040, 1, 1_500);
    h.poll();
    h.rcv({ flags: ".", ack: 1_461 });
    h.advance(10 * MINUTE - SECOND);
    expect(lengths(h.send(1_000))).toEqual([1_000]);
    h.rcv({ flags: ".", ack: 2_461 });
    h.advance(SECOND);
    expect(lengths(h.send(1_460))).toEqual([1_460]);
    expect(h.tcb.snd.mss).toBe(1_460);
    // The path is as narrow as before.
    expect(tooBig(h, 1_040, 2_461, 1_500)).toContain("lowered");
    expect(lengths(h.poll())).toEqual([1_000, 460]);
  });
});

describe("packet too big over IPv6 (RFC 8201)", () => {
  test("down to 1280 and never below (RFC 8201 §4)", () => {
    const config = { ...WIDE, mtuBytes: 1_500 };
    const h = new Harness(WORLDS[0], config, 6).connect({ options: [{ kind: "mss", mss: 1_440 }], wnd: 65_535 });
    expect(lengths(h.send(1_440))).toEqual([1_440]);
    expect(tooBig(h, 1_279, 1, 1_500)).toContain("no link is that narrow");
    expect(h.poll()).toEqual([]);
    expect(tooBig(h, 1_280, 1, 1_500)).toContain("lowered");
    expect(lengths(h.poll())).toEqual([1_220, 220]);
  });
});

describe.each(WORLDS)("black holes, $name", (world) => {
  const config = { mtuProbing: 1 as const, rtoMaxUs: 2 * SECOND };

  test("the third time-out of a full segment lowers the MSS to 1024, the fifth to what every host takes (RFC 4821 §7)", () => {
    const h = connected(world, config);
    h.send(1_460);
    const sizes = Array.from({ length: 7 }, () => lengths(h.nextTimer()).at(0));
    expect(sizes).toEqual([1_460, 1_460, 1_024, 1_024, 536, 536, 536]);
  });

  test("when segments as large have arrived, bad luck is likelier than a new route: the fifth time-out lowers it", () => {
    const h = connected(world, config);
    h.send(1_460);
    h.rcv({ flags: ".", ack: h.sndMax });
    h.send(1_460);
    const sizes = Array.from({ length: 8 }, () => lengths(h.nextTimer()).at(0));
    expect(sizes).toEqual([1_460, 1_460, 1_460, 1_460, 1_024, 1_024, 536, 536]);
  });

  test("what then passes is all sent that small, and ten minutes later one step more is tried", () => {
    const h = connected(world, config);
    h.send(2_920);
    for (let i = 0; i < 3; i++) h.nextTimer();
    h.rcv({ flags: ".", ack: 1_025 });
    for (let i = 0; i < 4; i++) h.rcv({ flags: ".", ack: h.sndMax });
    expect(h.sndUna).toBe(2_921);
    expect(h.tcb.pathMtu.bytes).toBe(1_064);
    expect(lengths(h.send(1_024))).toEqual([1_024]);
    h.rcv({ flags: "." });
    h.advance(10 * MINUTE);
    expect(lengths(h.send(1_460))).toEqual([1_460]);
  });

  test("lowered although segments as large had arrived: a step more after 15 seconds, all after 15 more", () => {
    const h = connected(world, config);
    h.send(1_460);
    h.rcv({ flags: ".", ack: h.sndMax });
    h.send(1_460);
    for (let i = 0; i < 7; i++) h.nextTimer();
    expect(h.tcb.snd.mss).toBe(536);
    for (let i = 0; i < 4; i++) h.rcv({ flags: ".", ack: h.sndMax });
    expect(h.sndUna).toBe(2_921);
    // The second step down doubled the wait: 15 s, then 30 s.
    h.advance(29 * SECOND);
    expect(lengths(h.send(536))).toEqual([536]);
    h.rcv({ flags: ".", ack: h.sndMax });
    h.advance(SECOND);
    expect(lengths(h.send(1_024))).toEqual([1_024]);
    h.rcv({ flags: ".", ack: h.sndMax });
    h.advance(15 * SECOND);
    expect(lengths(h.send(1_460))).toEqual([1_460]);
  });

  test("time-outs of small segments say nothing about the size", () => {
    const h = connected(world, config);
    h.send(500);
    for (let i = 0; i < 8; i++) h.nextTimer();
    expect(h.tcb.snd.mss).toBe(1_460);
  });

  test("switched off, the size stays", () => {
    const h = connected(world, { ...config, mtuProbing: 0 });
    h.send(1_460);
    expect(Array.from({ length: 7 }, () => lengths(h.nextTimer()).at(0))).toEqual(new Array(7).fill(1_460));
  });

  test("over IPv6 1280 is the only step", () => {
    const h = new Harness(world, { ...WIDE, ...config }, 6).connect({ options: [{ kind: "mss", mss: 1_440 }], wnd: 65_535 });
    h.send(1_440);
    expect(Array.from({ length: 6 }, () => lengths(h.nextTimer()).at(0))).toEqual([1_440, 1_440, 1_220, 1_220, 1_220, 1_220]);
  });
});
