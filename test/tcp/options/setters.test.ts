/** Options that change while a connection lives: no delay, cork, TTL, Diffserv, segment size, buffers, low-water mark, congestion control. */
import { describe, expect, test } from "vitest";
import { MILLISECOND, NEVER, SECOND } from "../../../src/base/time.js";
import { holdForMore, written } from "../../../src/tcp/cork.js";
import { Harness, pattern, reach, texts, WORLDS } from "../harness.js";

describe.each(WORLDS)("no delay and cork, $name", (world) => {
  test("setNoDelay turns Nagle off and on (MUST-17)", () => {
    const h = reach("ESTABLISHED", world, { noDelay: false });
    expect(h.send(10)).toHaveLength(1);
    expect(h.send(10)).toEqual([]);
    h.conn.setNoDelay(true);
    expect(texts(h.poll())).toEqual(["P. 11+10 ack 1"]);
    h.conn.setNoDelay(false);
    expect(h.send(10)).toEqual([]);
  });

  test("cork holds what does not fill a segment, and lets go of it when it is taken off", () => {
    const h = reach("ESTABLISHED", world);
    h.conn.setCork(true);
    expect(h.send(400)).toEqual([]);
    expect(texts(h.send(700))).toEqual([". 1+1000 ack 1"]);
    expect(h.send(50)).toEqual([]);
    h.conn.setCork(false);
    expect(texts(h.poll())).toEqual(["P. 1001+150 ack 1"]);
    expect(texts(h.send(5))).toEqual(["P. 1151+5 ack 1"]);
  });

  test("cork holds for 200 ms at the most, counted from what is held first (MUST-60)", () => {
    const h = reach("ESTABLISHED", world);
    h.conn.setCork(true);
    h.send(400);
    h.advance(150 * MILLISECOND);
    h.send(100);
    expect(h.advance(50 * MILLISECOND - 1)).toEqual([]);
    expect(texts(h.advance(1))).toEqual(["P. 1+500 ack 1"]);
    // Still corked: what comes next waits anew.
    expect(h.send(10)).toEqual([]);
    expect(texts(h.advance(200 * MILLISECOND))).toContain("P. 501+10 ack 1");
  });

  test("FIN takes held data with it", () => {
    const h = reach("ESTABLISHED", world);
    h.conn.setCork(true);
    h.send(400);
    expect(texts(h.shutdown())).toEqual(["FP. 1+400 ack 1"]);
    expect(h.tcb.timers.cork).toBe(NEVER);
  });

  test("what more is to follow waits for it, as long as nobody corks (MSG_MORE)", () => {
    const h = reach("ESTABLISHED", world);
    holdForMore(h.tcb);
    expect(h.send(300)).toEqual([]);
    expect(written(h.tcb, true, false, false)).toBe(false);
    h.conn.send(pattern(100, 300));
    expect(written(h.tcb, false, false, false)).toBe(true);
    expect(texts(h.poll())).toEqual(["P. 1+400 ack 1"]);
    // The user's own cork stays.
    h.conn.setCork(true);
    holdForMore(h.tcb);
    h.conn.send(pattern(100, 400));
    expect(written(h.tcb, false, false, true)).toBe(false);
    expect(h.poll()).toEqual([]);
  });

  test("cork beats no delay, and taking it off with nothing held sends nothing", () => {
    const h = reach("ESTABLISHED", world, { noDelay: true });
    h.conn.setCork(true);
    h.conn.setCork(false);
    expect(h.poll()).toEqual([]);
    expect(h.conn.nextTimeout()).toBe(NEVER);
  });
});

describe.each(WORLDS)("IP fields, $name", (world) => {
  test.each([4, 6] as const)(
    "TTL and Diffserv change for all segments from now on (MUST-48, MUST-49, SHLD-21, SHLD-22), IPv%d",
    (family) => {
      const h = new Harness(world, { ttl: 64, tos: 0 }, family).connect();
      expect(h.send(10)[0]).toMatchObject({ ttl: 64, tos: 0 });
      h.conn.setTtl(3);
      h.conn.setTos(0xb8);
      expect(h.send(10)[0]).toMatchObject({ ttl: 3, tos: 0xb8 });
      expect(h.shutdown()[0]).toMatchObject({ ttl: 3, tos: 0xb8, flags: "F." });
    },
  );

  test("the ECN bits are not the user's", () => {
    const h = reach("ESTABLISHED", world);
    h.conn.setTos(0xff);
    expect(h.send(10)[0]?.tos).toBe(0xfc);
  });

  test.each([0, 256, -1, 1.5])("a TTL of %d is refused", (ttl) => {
    expect(() => new Harness(world).conn.setTtl(ttl)).toThrow(expect.objectContaining({ code: "EINVAL" }));
  });

  test.each([256, -1, 0.5])("a TOS of %d is refused", (tos) => {
    expect(() => new Harness(world).conn.setTos(tos)).toThrow(expect.objectContaining({ code: "EINVAL" }));
  });
});

describe.each(WORLDS)("sizes, $name", (world) => {
  test("setMaxSegment before OPEN bounds what we announce and what we send", () => {
    const h = new Harness(world);
    h.conn.setMaxSegment(500);
    const [syn] = h.openActive();
    expect(syn?.options).toContainEqual(expect.objectContaining({ kind: "mss", mss: 500 }));
    h.rcv({ flags: "S.", seq: 0, ack: 1, wnd: 10_000, options: [{ kind: "mss", mss: 1_000 }] });
    expect(h.send(800).map((packet) => packet.payload.length)).toEqual([500, 300]);
    expect(() => h.conn.setMaxSegment(400)).toThrow(expect.objectContaining({ code: "EISCONN" }));
    expect(() => new Harness(world).conn.setMaxSegment(87)).toThrow(expect.objectContaining({ code: "EINVAL" }));
  });

  test("a larger send buffer tells a user that was refused; a smaller one takes nothing until it is drained", () => {
    const h = reach("ESTABLISHED", world, { sendBufferBytes: 1_000 });
    h.rcv({ flags: ".", wnd: 0 });
    expect(h.conn.send(new Uint8Array(1_500))).toBe(1_000);
    h.conn.setSendBuffer(4_000);
    expect(h.events()).toEqual(["writable"]);
    expect(h.conn.writableBytes).toBe(3_000);
    h.conn.setSendBuffer(500);
    expect(h.conn.writableBytes).toBe(0);
    expect(h.conn.send(new Uint8Array(10))).toBe(0);
    expect(() => h.conn.setSendBuffer(0)).toThrow(expect.objectContaining({ code: "EINVAL" }));
  });

  test("a larger receive buffer is advertised at once when that is worth a segment", () => {
    const h = reach("ESTABLISHED", world, { receiveBufferBytes: 4_000 });
    h.conn.setReceiveBuffer(20_000);
    expect(h.poll().map((packet) => packet.wnd)).toEqual([20_000]);
    expect(() => h.conn.setReceiveBuffer(-5)).toThrow(expect.objectContaining({ code: "EINVAL" }));
  });

  test("a smaller receive buffer takes no window back (SHLD-14)", () => {
    const h = reach("ESTABLISHED", world, { receiveBufferBytes: 4_000 });
    h.conn.setReceiveBuffer(1_000);
    expect(h.poll()).toEqual([]);
    const acks = [1, 2, 3, 4].flatMap(() => [...h.rcv({ flags: ".", data: 1_000 }), ...h.nextTimer()]);
    // The right edge stays where it was.
    expect(acks.every((packet) => packet.ack + packet.wnd === 4_001)).toBe(true);
    expect(h.conn.readableBytes).toBe(4_000);
    h.read();
    expect(h.poll().map((packet) => packet.wnd)).toEqual([1_000]);
  });
});

describe.each(WORLDS)("more of the options, $name", (world) => {
  test.each(["FIN-WAIT-1", "FIN-WAIT-2"] as const)(
    "a larger receive buffer is advertised in %s, where data still comes",
    (state) => {
      const h = reach(state, world);
      h.conn.setReceiveBuffer(20_000);
      expect(h.poll().map((packet) => packet.wnd)).toEqual([20_000]);
    },
  );

  test("a larger receive buffer says nothing in CLOSE-WAIT, where none comes", () => {
    const h = reach("CLOSE-WAIT", world);
    h.conn.setReceiveBuffer(20_000);
    expect(h.poll()).toEqual([]);
  });

  test("a pacing rate spreads what is sent from then on, NEVER ends that, and none below a byte a second is taken", () => {
    const h = new Harness(world);
    h.openActive();
    h.advance(100 * MILLISECOND);
    h.rcv({ flags: "S.", seq: 0, ack: 1, wnd: 60_000, options: [{ kind: "mss", mss: 1_000 }] });
    h.conn.setMaxPacingRate(10_000);
    expect(h.send(3_000)).toHaveLength(1);
    expect(h.advance(250 * MILLISECOND)).toHaveLength(2);
    h.rcv({ flags: ".", wnd: 60_000 });
    h.conn.setMaxPacingRate(NEVER);
    expect(h.send(3_000)).toHaveLength(3);
    for (const rate of [0, -1, 0.5]) {
      expect(() => h.conn.setMaxPacingRate(rate)).toThrow(expect.objectContaining({ code: "EINVAL" }));
    }
  });
});

describe.each(WORLDS)("low-water mark of what was not sent, $name", (world) => {
  test("SEND takes nothing above it, and the user hears when enough has left", () => {
    const h = reach("ESTABLISHED", world, { notSentLowWaterBytes: 2_000, initialWindowSegments: 2 });
    expect(h.conn.send(new Uint8Array(5_000))).toBe(5_000);
    expect(h.conn.send(new Uint8Array(100))).toBe(0);
    expect(h.conn.writableBytes).toBe(0);
    expect(h.poll()).toHaveLength(2);
    expect(h.events()).toEqual([]);
    // The window grows to four segments: all but a few bytes leave, none is acknowledged by that.
    expect(h.rcv({ flags: ".", ack: 2_001, wnd: 60_000 })).toHaveLength(3);
    expect(h.events()).toEqual(["writable"]);
    expect(h.conn.writableBytes).toBeGreaterThan(0);
    expect(h.conn.send(new Uint8Array(100))).toBe(100);
  });

  test("set while the connection lives", () => {
    const h = reach("ESTABLISHED", world);
    h.rcv({ flags: ".", wnd: 0 });
    h.conn.send(new Uint8Array(3_000));
    h.conn.setNotSentLowWater(3_000);
    expect(h.conn.send(new Uint8Array(1))).toBe(0);
    h.conn.setNotSentLowWater(NEVER);
    expect(h.events()).toEqual(["writable"]);
    expect(h.conn.send(new Uint8Array(1))).toBe(1);
    expect(() => h.conn.setNotSentLowWater(0)).toThrow(expect.objectContaining({ code: "EINVAL" }));
  });
});

describe.each(WORLDS)("congestion control by name, $name", (world) => {
  test("before OPEN it is the connection's", () => {
    const h = new Harness(world);
    h.conn.setCongestionControl("reno");
    h.connect();
    expect(h.conn.status().congestion).toBe("newreno");
  });

  test.each([
    ["reno", "newreno"],
    ["cubic", "cubic"],
  ])("%s takes over window and threshold", (name, shown) => {
    const h = reach("ESTABLISHED", world, { rtoMinUs: SECOND });
    h.send(8_000);
    h.nextTimer();
    h.rcv({ flags: ".", wnd: 60_000 });
    const { cwnd, ssthresh } = h.conn.status();
    expect(ssthresh).toBeLessThan(NEVER);
    h.conn.setCongestionControl(name);
    expect(h.conn.status()).toMatchObject({ congestion: shown, cwnd, ssthresh });
  });

  test("an unknown name changes nothing", () => {
    const h = reach("ESTABLISHED", world);
    const before = h.tcb.congestion;
    expect(() => h.conn.setCongestionControl("constructor")).toThrow(
      expect.objectContaining({ code: "ERR_UNKNOWN_CONGESTION_CONTROL" }),
    );
    expect(h.tcb.congestion).toBe(before);
  });

  test("in the midst of recovery the stream still arrives whole", () => {
    const h = reach("ESTABLISHED", world);
    h.send(10_000);
    for (let i = 0; i < 3; i++) h.rcv({ flags: ".", ack: 1 });
    expect(h.tcb.recovery.active).toBe(true);
    h.conn.setCongestionControl("reno");
    h.rcv({ flags: ".", ack: 3_001 });
    h.rcv({ flags: "." });
    expect(h.tcb.recovery.active).toBe(false);
    expect(h.conn.status().sendQueueBytes).toBe(0);
    expect(h.tcb.congestion.cwnd).toBeGreaterThanOrEqual(1_000);
  });
});
