/** Keep-alive (RFC 9293 §3.8.4) and the user time-out (RFC 5482), as the RFCs word them. */
import { describe, expect, test } from "vitest";
import { MINUTE, NEVER, SECOND } from "../../../src/base/time.js";
import { DEFAULT_CONFIG } from "../../../src/tcp/config.js";
import { type Harness, reach, texts, WORLDS } from "../harness.js";

const HOUR = 60 * MINUTE;
const QUICK = { keepAlive: true, keepAliveIdleUs: 10 * SECOND, keepAliveIntervalUs: SECOND, keepAliveCount: 3 };

describe.each(WORLDS)("keep-alive, $name", (world) => {
  test("is off by default: a silent connection has no timer and sends nothing for a day (MUST-25)", () => {
    expect(DEFAULT_CONFIG.keepAlive).toBe(false);
    const h = reach("ESTABLISHED", world);
    expect(h.conn.nextTimeout()).toBe(NEVER);
    expect(h.advance(24 * HOUR)).toEqual([]);
  });

  test("is switched on and off for one connection, also while it lives (MUST-24, MAY-5)", () => {
    const on = reach("ESTABLISHED", world);
    const other = reach("ESTABLISHED", world);
    on.conn.setKeepAlive(true, on.now);
    expect(on.advance(3 * HOUR).length).toBeGreaterThan(0);
    expect(other.advance(3 * HOUR)).toEqual([]);
    const off = reach("ESTABLISHED", world, { keepAlive: true });
    off.conn.setKeepAlive(false, off.now);
    expect(off.advance(3 * HOUR)).toEqual([]);
  });

  test("by default the first probe comes after two hours of silence, not before (MUST-28)", () => {
    const h = reach("ESTABLISHED", world, { keepAlive: true });
    expect(h.advance(2 * HOUR - 1)).toEqual([]);
    expect(h.advance(1).length).toBe(1);
  });

  test("the interval can be set (MUST-27)", () => {
    const h = reach("ESTABLISHED", world, { keepAlive: true, keepAliveIdleUs: 7 * SECOND });
    expect(h.advance(7 * SECOND - 1)).toEqual([]);
    expect(h.advance(1).length).toBe(1);
  });

  test("the probe is empty, its number one below what the peer expects, so that it must answer (SHLD-12)", () => {
    const h = reach("ESTABLISHED", world, QUICK);
    h.send(100);
    h.rcv({ flags: "." });
    expect(texts(h.advance(10 * SECOND))).toEqual([". 100+0 ack 1"]);
  });

  test("whatever arrives puts it off, data and bare ACKs (MUST-26)", () => {
    const h = reach("ESTABLISHED", world, { ...QUICK, receiveBufferBytes: 40_000, delayedAckUs: 0 });
    for (let i = 0; i < 10; i++) {
      expect(h.advance(9 * SECOND)).toEqual([]);
      if (i % 2 === 0) h.rcv({ flags: ".", data: 10 });
      else h.rcv({ flags: "." });
    }
    expect(h.advance(10 * SECOND).length).toBe(1);
  });

  test("nothing is probed while data of ours is outstanding: that has its own timer (MUST-26)", () => {
    const h = reach("ESTABLISHED", world, QUICK);
    h.send(100);
    const sent = h.advance(60 * SECOND);
    expect(sent.length).toBeGreaterThan(3);
    expect(new Set(texts(sent))).toEqual(new Set(["P. 1+100 ack 1"]));
  });

  test("unanswered probes are no dead connection until there are as many as were asked for (MUST-29)", () => {
    const h = reach("ESTABLISHED", world, QUICK);
    h.advance(12 * SECOND);
    expect(h.state).toBe("ESTABLISHED");
    h.rcv({ flags: "." });
    // The answer to the third starts the count anew.
    expect(h.advance(10 * SECOND).length).toBe(1);
    h.advance(2 * SECOND);
    expect(h.state).toBe("ESTABLISHED");
    h.advance(SECOND);
    expect([h.state, h.conn.failure]).toEqual(["CLOSED", "ETIMEDOUT"]);
  });
});

describe.each(WORLDS)("the user time-out (RFC 5482 §3), $name", (world) => {
  const failsAfter = (h: Harness, us: number): void => {
    h.advance(us - 1);
    expect(h.state).toBe("ESTABLISHED");
    h.advance(SECOND);
    expect([h.state, h.conn.failure]).toEqual(["CLOSED", "ETIMEDOUT"]);
  };

  test("takes the place of R2, shorter or longer (MUST-21)", () => {
    for (const userTimeoutUs of [5 * SECOND, HOUR]) {
      const h = reach("ESTABLISHED", world, { userTimeoutUs });
      h.send(100);
      failsAfter(h, userTimeoutUs);
    }
  });

  test("can be set while data is waiting for its acknowledgment", () => {
    const h = reach("ESTABLISHED", world);
    h.send(100);
    h.conn.setUserTimeout(5 * SECOND);
    failsAfter(h, 5 * SECOND);
  });
});
