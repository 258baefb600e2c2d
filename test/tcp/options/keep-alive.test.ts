/** Keep-alive (RFC 9293 §3.8.4: MUST-24 to MUST-29, SHLD-12). */
import { describe, expect, test } from "vitest";
import { MILLISECOND, MINUTE, NEVER, SECOND } from "../../../src/base/time.js";
import { DEFAULT_CONFIG } from "../../../src/tcp/config.js";
import { type Harness, reach, texts, WORLDS } from "../harness.js";

const HOUR = 60 * MINUTE;
const FAST = { keepAlive: true, keepAliveIdleUs: 10 * SECOND, keepAliveIntervalUs: 3 * SECOND, keepAliveCount: 4 };

describe("defaults", () => {
  test("off (MUST-25), two hours (MUST-28), more than one probe (MUST-29)", () => {
    expect(DEFAULT_CONFIG.keepAlive).toBe(false);
    expect(DEFAULT_CONFIG.keepAliveIdleUs).toBe(2 * HOUR);
    expect(DEFAULT_CONFIG.keepAliveCount).toBeGreaterThan(1);
  });

  test("an idle connection without keep-alive runs no timer and sends nothing in a week (MUST-25)", () => {
    const h = reach("ESTABLISHED");
    expect(h.conn.nextTimeout()).toBe(NEVER);
    expect(h.advance(7 * 24 * HOUR)).toEqual([]);
    expect(h.state).toBe("ESTABLISHED");
  });
});

describe.each(WORLDS)("keep-alive (MAY-5), $name", (world) => {
  function answer(h: Harness): void {
    expect(h.rcv({ flags: "." })).toEqual([]);
  }

  test("after the idle time one segment at SND.NXT-1 without data (SHLD-12)", () => {
    const h = reach("ESTABLISHED", world, FAST);
    h.send(300);
    h.rcv({ flags: "." });
    expect(h.advance(10 * SECOND - 1)).toEqual([]);
    const sent = h.advance(1);
    expect(texts(sent)).toEqual([". 300+0 ack 1"]);
    expect(sent[0]?.note).toContain("keep-alive");
    expect(h.sndMax).toBe(301);
  });

  test("what arrives puts the probe off, data or ACK alike (MUST-26)", () => {
    const h = reach("ESTABLISHED", world, FAST);
    for (let i = 0; i < 5; i++) {
      expect(h.advance(9 * SECOND)).toEqual([]);
      h.rcv({ flags: "." });
    }
    h.advance(9 * SECOND);
    h.rcv({ flags: ".", data: 100 });
    expect(texts(h.advance(10 * SECOND - 1)).filter((text) => !text.includes("ack 101"))).toEqual([]);
    expect(texts(h.advance(1))).toEqual([". 0+0 ack 101"]);
  });

  test("the idle time counts from the last segment, not from the probe's answer alone", () => {
    const h = reach("ESTABLISHED", world, FAST);
    expect(h.advance(10 * SECOND)).toHaveLength(1);
    h.advance(SECOND);
    answer(h);
    expect(h.advance(10 * SECOND - 1)).toEqual([]);
    expect(h.advance(1)).toHaveLength(1);
    expect(h.tcb.keepAlive.probes).toBe(1);
  });

  test("one unanswered probe is no death (MUST-29): the answer to a later one keeps the connection", () => {
    const h = reach("ESTABLISHED", world, FAST);
    expect(h.advance(10 * SECOND + 3 * 3 * SECOND)).toHaveLength(4);
    expect(h.state).toBe("ESTABLISHED");
    answer(h);
    expect(h.advance(9 * SECOND)).toEqual([]);
    expect(h.advance(SECOND + 3 * 3 * SECOND)).toHaveLength(4);
    expect(h.state).toBe("ESTABLISHED");
    expect(h.events()).toEqual([]);
  });

  test("as many unanswered probes as configured end it with RST and ETIMEDOUT, at the configured times (MUST-27)", () => {
    const h = reach("ESTABLISHED", world, FAST);
    const start = h.now;
    const sent = h.advance(HOUR);
    expect(sent.map((packet) => packet.at - start)).toEqual([10, 13, 16, 19, 22].map((s) => s * SECOND));
    expect(texts(sent)).toEqual([...new Array(4).fill(". 0+0 ack 1"), "R. 1+0 ack 1"]);
    expect(h.state).toBe("CLOSED");
    expect(h.conn.failure).toBe("ETIMEDOUT");
    expect(h.events()).toEqual(["readable", "failed", "closed"]);
    expect(h.conn.nextTimeout()).toBe(NEVER);
  });

  test("not while data is outstanding: the retransmission timer sees to that (MUST-26)", () => {
    const h = reach("ESTABLISHED", world, { ...FAST, rtoMinUs: 60 * SECOND });
    h.advance(9 * SECOND);
    h.send(100);
    expect(h.advance(40 * SECOND)).toEqual([]);
    h.rcv({ flags: "." });
    expect(h.advance(10 * SECOND - 1)).toEqual([]);
    expect(texts(h.advance(1))).toEqual([". 100+0 ack 1"]);
  });

  test("data that the user sends in the same moment is probe enough", () => {
    const h = reach("ESTABLISHED", world, FAST);
    h.now = h.conn.nextTimeout();
    h.conn.handleTimeout(h.now);
    expect(texts(h.send(100))).toEqual(["P. 1+100 ack 1"]);
  });

  test("not while the window is closed over data: it is probed anyway", () => {
    const h = reach("ESTABLISHED", world, FAST);
    h.rcv({ flags: ".", wnd: 0 });
    h.send(500);
    for (let i = 0; i < 20; i++) {
      const sent = h.nextTimer();
      for (const packet of sent) expect(packet.text).toBe(". 1+1 ack 1");
      if (sent.length > 0) h.rcv({ flags: ".", ack: 1, wnd: 0 });
    }
    expect(h.state).toBe("ESTABLISHED");
    expect(h.tcb.keepAlive.probes).toBe(0);
  });

  test("switched on and off while the connection lives (MUST-24, MUST-27)", () => {
    const h = reach("ESTABLISHED", world);
    h.conn.setKeepAlive(true, h.now, 5 * SECOND, SECOND, 2);
    expect(h.advance(5 * SECOND)).toHaveLength(1);
    answer(h);
    h.conn.setKeepAlive(false, h.now);
    expect(h.conn.nextTimeout()).toBe(NEVER);
    h.advance(HOUR);
    // Long silence: the first probe is due at once, and the times of before hold.
    h.conn.setKeepAlive(true, h.now);
    expect(h.conn.nextTimeout()).toBe(h.now);
    expect(h.advance(0)).toHaveLength(1);
    expect(texts(h.advance(2 * SECOND)).at(-1)).toBe("R. 1+0 ack 1");
  });

  test.each([
    [0, 1, 1],
    [-1, 1, 1],
    [1.5, 1, 1],
    [1, 0, 1],
    [1, 1, 0],
    [1, 1, 128],
  ])("times %d, %d and count %d are refused and change nothing", (idle, interval, count) => {
    const h = reach("ESTABLISHED", world);
    const call = () => h.conn.setKeepAlive(true, h.now, idle, interval, count);
    expect(call).toThrow(expect.objectContaining({ code: "EINVAL" }));
    expect(h.tcb.config.keepAlive).toBe(false);
    expect(h.conn.nextTimeout()).toBe(NEVER);
  });

  test("switched on before OPEN it starts with the connection, and ends with it", () => {
    const h = reach("SYN-SENT", world);
    h.conn.setKeepAlive(true, h.now, 5 * SECOND, SECOND, 2);
    h.rcv({ flags: "S.", seq: 0, ack: 1 });
    expect(h.conn.nextTimeout()).toBe(h.now + 5 * SECOND);
    h.shutdown();
    h.rcv({ flags: "." });
    h.rcv({ flags: "F." });
    expect(h.state).toBe("TIME-WAIT");
    expect(h.advance(50 * SECOND)).toEqual([]);
    expect(h.state).toBe("TIME-WAIT");
  });

  test.each(["FIN-WAIT-2", "CLOSE-WAIT"] as const)("watches a half-closed connection in %s", (state) => {
    const h = reach(state, world, FAST);
    const sent = h.advance(10 * SECOND);
    expect(sent).toHaveLength(1);
    expect(sent[0]?.seq).toBe(h.sndMax - 1);
    h.advance(HOUR);
    expect(h.conn.failure).toBe("ETIMEDOUT");
  });

  test("a user time-out replaces the count, but not the second probe (Linux: TCP_USER_TIMEOUT)", () => {
    const h = reach("ESTABLISHED", world, { ...FAST, userTimeoutUs: 17 * SECOND });
    const start = h.now;
    const sent = h.advance(HOUR);
    expect(sent.map((packet) => (packet.at - start) / SECOND)).toEqual([10, 13, 16, 19]);
    expect(sent.at(-1)?.flags).toBe("R.");
    const short = reach("ESTABLISHED", world, { ...FAST, userTimeoutUs: 500 * MILLISECOND });
    expect(texts(short.advance(HOUR))).toEqual([". 0+0 ack 1", ". 0+0 ack 1", "R. 1+0 ack 1"]);
  });

  test("the peer's own probe is answered", () => {
    const h = reach("ESTABLISHED", world);
    expect(texts(h.rcv({ flags: ".", seq: 0 }))).toEqual([". 1+0 ack 1"]);
  });
});
