/** Behaviour profiles, the initial window, the restart after a pause (RFC 6928, RFC 5681 §4.1), the tail loss probe's switch. */
import { describe, expect, test } from "vitest";
import { MILLISECOND, MINUTE, NEVER, SECOND } from "../../../src/base/time.js";
import { DEFAULT_CONFIG } from "../../../src/tcp/config.js";
import { PROFILES, profileByName } from "../../../src/tcp/profiles.js";
import { Harness, reach, texts, WORLDS } from "../harness.js";

describe("profiles", () => {
  test("linux is the default of every connection", () => {
    expect(DEFAULT_CONFIG).toMatchObject(PROFILES.linux);
  });

  test("both say the same things", () => {
    expect(Object.keys(PROFILES.rfc)).toEqual(Object.keys(PROFILES.linux));
  });

  test("rfc keeps to the RFCs' numbers", () => {
    const { rfc } = PROFILES;
    // RFC 6298 §2.4, RFC 9293 §3.4.2, SHLD-11, MUST-28, MUST-40.
    expect(rfc.rtoMinUs).toBe(SECOND);
    expect(rfc.rtoMaxUs).toBeGreaterThanOrEqual(60 * SECOND);
    expect(rfc.mslUs).toBe(2 * MINUTE);
    expect(rfc.r2Us).toBeGreaterThanOrEqual(100 * SECOND);
    expect(rfc.r1Retries).toBeGreaterThanOrEqual(3);
    expect(rfc.keepAliveIdleUs).toBeGreaterThanOrEqual(120 * MINUTE);
    expect(rfc.delayedAckUs).toBeLessThan(500 * MILLISECOND);
    expect(rfc.congestion(1_000, 1_000).name).toBe("newreno");
  });

  test("by name, or an error that lists the names", () => {
    expect(profileByName("rfc")).toBe(PROFILES.rfc);
    expect(profileByName("linux")).toBe(PROFILES.linux);
    for (const name of ["Linux", "", "constructor"]) {
      expect(() => profileByName(name)).toThrow(expect.objectContaining({ code: "ERR_UNKNOWN_PROFILE" }));
    }
    expect(() => profileByName("bsd")).toThrow("linux, rfc");
  });

  test.each([
    ["linux", 300 * MILLISECOND],
    ["rfc", 1 * SECOND],
  ] as const)("%s as seen on the wire: the time-out of the first data", (name, latest) => {
    const h = reach("ESTABLISHED", WORLDS[0], { ...PROFILES[name], noDelay: true, timestamps: false, windowScaling: false });
    const start = h.now;
    h.send(100);
    const [again] = h.nextTimer();
    expect(again?.text).toBe("P. 1+100 ack 1");
    expect(h.now - start).toBeLessThanOrEqual(latest);
    expect(h.now - start).toBeGreaterThan(latest - 200 * MILLISECOND);
  });
});

describe.each(WORLDS)("initial window, $name", (world) => {
  test.each([
    // RFC 6928 §2: min(10 · MSS, max(2 · MSS, 14600)).
    [1_000, 14_600, 10_000],
    [1_460, 14_600, 14_600],
    [4_000, 14_600, 14_600],
    [8_960, 14_600, 17_920],
    [8_960, NEVER, 89_600],
  ])("MSS %d and a bound of %d bytes give %d bytes", (mss, initialWindowBytes, bytes) => {
    const h = new Harness(world, { mtuBytes: 9_000, initialWindowBytes });
    h.connect({ options: [{ kind: "mss", mss }] });
    expect(h.conn.status().cwnd).toBe(bytes);
  });
});

describe.each(WORLDS)("after a pause, $name", (world) => {
  /** A window of 18 segments (one ACK counts as eight at most, RFC 9406 §4.2), nothing outstanding. */
  function grown(config = {}): Harness {
    const h = reach("ESTABLISHED", world, { rtoMinUs: SECOND, ...config });
    h.rcv({ flags: ".", wnd: 60_000 });
    h.send(10_000);
    h.rcv({ flags: ".", wnd: 60_000 });
    expect(h.conn.status().cwnd).toBe(18_000);
    return h;
  }

  test.each(["cubic", "reno"])("%s: half for every RTO, not below the initial window (RFC 5681 §4.1)", (name) => {
    const h = grown();
    h.conn.setCongestionControl(name);
    h.advance(60 * SECOND);
    expect(h.send(30_000)).toHaveLength(10);
    expect(h.conn.status().cwnd).toBe(10_000);
    expect(h.conn.status().ssthresh).toBeGreaterThanOrEqual(13_500);
  });

  test("no pause, no loss of the window", () => {
    const h = grown();
    h.advance(h.tcb.rtt.rto - 1);
    expect(h.send(30_000)).toHaveLength(18);
  });

  test("a pause is counted from the last acknowledgment, and once", () => {
    const h = grown({ initialWindowSegments: 10 });
    h.advance(60 * SECOND);
    h.send(1_000);
    h.rcv({ flags: ".", wnd: 60_000 });
    const { cwnd } = h.conn.status();
    h.advance(SECOND / 2);
    h.send(1_000);
    expect(h.conn.status().cwnd).toBe(cwnd);
  });

  test("without the restart the window stays", () => {
    const h = grown({ restartAfterIdle: false });
    h.advance(60 * SECOND);
    expect(h.send(30_000)).toHaveLength(18);
  });

  test("waiting for a window is a pause too", () => {
    const h = grown();
    h.rcv({ flags: ".", wnd: 0 });
    h.advance(60 * SECOND);
    h.conn.send(new Uint8Array(30_000));
    expect(h.rcv({ flags: ".", wnd: 60_000 })).toHaveLength(10);
  });
});

describe.each(WORLDS)("switches of recovery, $name", (world) => {
  test.each([true, false])("tail loss probe: %s", (tailLossProbe) => {
    const h = reach(
      "ESTABLISHED",
      world,
      { tailLossProbe, rtoMinUs: 5 * SECOND },
      {
        synAck: { options: [{ kind: "mss", mss: 1_000 }, { kind: "sack-permitted" }] },
      },
    );
    h.send(3_000);
    const start = h.now;
    h.nextTimer();
    expect(h.tcb.counters.tailLossProbes).toBe(tailLossProbe ? 1 : 0);
    expect(h.tcb.counters.timeouts).toBe(tailLossProbe ? 0 : 1);
    if (!tailLossProbe) expect(h.now - start).toBe(5 * SECOND);
  });

  const SACKED = { synAck: { options: [{ kind: "mss", mss: 1_000 }, { kind: "sack-permitted" }] } } as const;

  function sackUpTo(h: Harness, end: number) {
    const blocks = [{ left: (world.iss + 2_001) >>> 0, right: (world.iss + end) >>> 0 }];
    return h.rcv({ flags: ".", ack: 1_001, options: [{ kind: "sack", blocks }] });
  }

  test("without RACK three SACKed segments are a loss, at once and whatever the time (RFC 6675 §4)", () => {
    const h = reach("ESTABLISHED", world, { rack: false, tailLossProbe: false }, SACKED);
    h.send(6_000);
    sackUpTo(h, 3_001);
    sackUpTo(h, 4_001);
    expect(h.tcb.recovery.active).toBe(false);
    expect(texts(sackUpTo(h, 5_001))).toEqual([". 1001+1000 ack 1"]);
    expect(h.tcb.recovery.active).toBe(true);
    // The repetition is not taken for lost by what was sent before it.
    expect(sackUpTo(h, 6_001)).toEqual([]);
    h.rcv({ flags: "." });
    expect(h.tcb.recovery.active).toBe(false);
    expect(h.tcb.counters.retransmits).toBe(1);
  });

  test("without RACK two SACKed segments are no loss, and no reordering timer runs", () => {
    const h = reach("ESTABLISHED", world, { rack: false, tailLossProbe: false }, SACKED);
    h.send(6_000);
    sackUpTo(h, 4_001);
    expect(h.tcb.timers.rack).toBe(NEVER);
    expect(h.tcb.counters.retransmits).toBe(0);
    // All that was not reported is sent again after the time-out, in slow start (RFC 6675 §5.1).
    expect(texts(h.nextTimer())).toEqual([". 1001+1000 ack 1"]);
    expect(h.tcb.sent.lostBytes).toBe(2_000);
  });

  test("limited transmit: the first two duplicate ACKs each let a new segment go (RFC 3042) (RFC 3042 §2)", () => {
    const h = reach("ESTABLISHED", world, { initialWindowSegments: 4, sack: false });
    h.send(20_000);
    expect(h.sndMax).toBe(4_001);
    expect(texts(h.rcv({ flags: ".", ack: 1 }))).toEqual([". 4001+1000 ack 1"]);
    expect(texts(h.rcv({ flags: ".", ack: 1 }))).toEqual([". 5001+1000 ack 1"]);
    expect(texts(h.rcv({ flags: ".", ack: 1 }))[0]).toBe(". 1+1000 ack 1");
    // What it sent does not count for the threshold (RFC 5681 §3.2 step 2): cubic keeps 0.7 of four segments.
    expect(h.conn.status().ssthresh).toBeLessThanOrEqual(2_800);
  });
});
