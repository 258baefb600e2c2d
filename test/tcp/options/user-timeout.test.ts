/** R2, the user time-out (RFC 9293 §3.8.3, RFC 5482; Linux: TCP_USER_TIMEOUT), and the patience with a peer when the user is gone. */
import { describe, expect, test } from "vitest";
import { MINUTE, NEVER, SECOND } from "../../../src/base/time.js";
import { Harness, reach, texts, WORLDS } from "../harness.js";

const HOUR = 60 * MINUTE;

describe.each(WORLDS)("user time-out (RFC 5482 §3), $name", (world) => {
  test("data: the connection ends to the microsecond, R2 or not (MUST-21)", () => {
    const h = reach("ESTABLISHED", world, { userTimeoutUs: 7 * SECOND });
    h.send(100);
    h.advance(7 * SECOND - 1);
    expect(h.state).toBe("ESTABLISHED");
    h.advance(1);
    expect(h.conn.failure).toBe("ETIMEDOUT");
  });

  test("data: longer than R2 it takes R2's place, as it does when shorter", () => {
    const h = reach("ESTABLISHED", world, { userTimeoutUs: HOUR, r2Us: 100 * SECOND });
    h.send(100);
    h.advance(HOUR - 1);
    expect(h.state).toBe("ESTABLISHED");
    h.advance(1);
    expect(h.state).toBe("CLOSED");
  });

  test("the user is still advised at R1 (SHLD-9)", () => {
    const h = reach("ESTABLISHED", world, { userTimeoutUs: 60 * SECOND });
    h.send(100);
    h.advance(20 * SECOND);
    expect(h.events()).toEqual(["trouble"]);
  });

  test("an ACK of something starts the time anew", () => {
    const h = reach("ESTABLISHED", world, { userTimeoutUs: 7 * SECOND });
    h.send(2_000);
    h.advance(6 * SECOND);
    h.rcv({ flags: ".", ack: 1_001 });
    h.advance(6 * SECOND);
    expect(h.state).toBe("ESTABLISHED");
    h.advance(SECOND);
    expect(h.state).toBe("CLOSED");
  });

  test("SYN: OPEN fails earlier, but a longer one does not make it wait longer", () => {
    const short = reach("SYN-SENT", world, { userTimeoutUs: 5 * SECOND });
    short.advance(5 * SECOND - 1);
    expect(short.state).toBe("SYN-SENT");
    short.advance(1);
    expect(short.conn.failure).toBe("ETIMEDOUT");
    const long = reach("SYN-SENT", world, { userTimeoutUs: HOUR });
    long.advance(3 * MINUTE);
    expect(long.conn.failure).toBe("ETIMEDOUT");
  });

  test("SYN-ACK: repetitions are counted, whatever the user time-out (no burst of them, either)", () => {
    const h = reach("SYN-RECEIVED", world, { userTimeoutUs: SECOND, synAckRetries: 9 }, { origin: "passive" });
    const sent = h.advance(HOUR);
    expect(sent).toHaveLength(9);
    const gaps = sent.slice(1).map((packet, i) => packet.at - (sent[i]?.at ?? 0));
    expect(Math.min(...gaps)).toBeGreaterThanOrEqual(2 * SECOND);
    expect(h.state).toBe("LISTEN");
  });

  test("a closed window: answered probes keep it only so long", () => {
    const h = reach("ESTABLISHED", world, { userTimeoutUs: 30 * SECOND });
    h.rcv({ flags: ".", wnd: 0 });
    const start = h.now;
    h.send(500);
    while (h.state === "ESTABLISHED") {
      const sent = h.nextTimer();
      if (sent.length > 0 && h.state === "ESTABLISHED") h.rcv({ flags: ".", ack: 1, wnd: 0 });
    }
    expect(h.conn.failure).toBe("ETIMEDOUT");
    expect(h.now - start).toBe(30 * SECOND);
  });

  test("set and lifted while data is outstanding", () => {
    const h = reach("ESTABLISHED", world);
    h.send(100);
    const start = h.now;
    h.advance(2 * SECOND);
    h.conn.setUserTimeout(3 * SECOND);
    expect(h.conn.nextTimeout()).toBeLessThanOrEqual(start + 3 * SECOND);
    h.conn.setUserTimeout(NEVER);
    h.advance(10 * SECOND);
    expect(h.state).toBe("ESTABLISHED");
    h.conn.setUserTimeout(3 * SECOND);
    h.advance(0);
    expect(h.conn.failure).toBe("ETIMEDOUT");
  });

  test("set while a closed window is probed: the next probe is not waited for", () => {
    const h = reach("ESTABLISHED", world);
    h.rcv({ flags: ".", wnd: 0 });
    const start = h.now;
    h.send(500);
    h.advance(2 * SECOND);
    h.conn.setUserTimeout(3 * SECOND);
    expect(h.conn.nextTimeout()).toBeLessThanOrEqual(start + 3 * SECOND);
    h.advance(SECOND);
    expect(h.conn.failure).toBe("ETIMEDOUT");
  });

  test.each([0, -1, 0.5, Number.NaN])("%d is refused", (us) => {
    const h = reach("ESTABLISHED", world);
    expect(() => h.conn.setUserTimeout(us)).toThrow(expect.objectContaining({ code: "EINVAL" }));
    expect(h.tcb.config.userTimeoutUs).toBe(NEVER);
  });

  test("a change touches one connection, though many share a configuration", () => {
    const config = { userTimeoutUs: 7 * SECOND };
    const [one, other] = [new Harness(world, config), new Harness(world, config)];
    const shared = one.tcb.config;
    one.conn.setUserTimeout(SECOND);
    expect(shared.userTimeoutUs).toBe(7 * SECOND);
    expect(other.tcb.config.userTimeoutUs).toBe(7 * SECOND);
    expect(one.tcb.config.userTimeoutUs).toBe(SECOND);
  });
});

describe.each(WORLDS)("after CLOSE, $name", (world) => {
  test("unacknowledged data is given up earlier than with a user", () => {
    const h = reach("ESTABLISHED", world, { orphanTimeoutUs: 20 * SECOND });
    h.send(100);
    h.close();
    h.advance(20 * SECOND - 1);
    expect(h.state).toBe("FIN-WAIT-1");
    h.advance(1);
    expect(h.state).toBe("CLOSED");
    const withUser = reach("ESTABLISHED", world, { orphanTimeoutUs: 20 * SECOND });
    withUser.send(100);
    withUser.shutdown();
    withUser.advance(60 * SECOND);
    expect(withUser.state).toBe("FIN-WAIT-1");
  });

  test.each([
    [NEVER, 20],
    [30 * SECOND, 30],
  ])(
    "as Linux: with a user time-out of %d it ends by that, else by the orphans', from the first repetition on",
    (userTimeoutUs, limit) => {
      const h = reach("ESTABLISHED", world, { sender: "linux", receiver: "linux", orphanTimeoutUs: 20 * SECOND, userTimeoutUs });
      h.send(100);
      h.close();
      const first = h.nextTimer().length === 0 ? h.nextTimer()[0] : undefined;
      const start = first?.at ?? h.now;
      while (h.state === "FIN-WAIT-1") h.nextTimer();
      const silent = (h.now - start) / SECOND;
      // Asked when a time-out has expired; the user's own is kept to the microsecond.
      if (userTimeoutUs === NEVER) expect(silent).toBeGreaterThanOrEqual(limit);
      else expect(silent).toBe(limit);
      expect(silent).toBeLessThan(2 * limit);
    },
  );

  test("a peer that keeps its window closed does not hold it for ever, though it answers", () => {
    const h = reach("ESTABLISHED", world, { orphanTimeoutUs: 20 * SECOND });
    h.rcv({ flags: ".", wnd: 0 });
    h.send(500);
    h.close();
    const start = h.now;
    while (h.state === "FIN-WAIT-1") {
      h.nextTimer();
      if (h.state === "FIN-WAIT-1") h.rcv({ flags: ".", ack: 1, wnd: 0 });
    }
    expect(h.now - start).toBe(20 * SECOND);
  });

  test("FIN-WAIT-2 ends without the peer's FIN; linger2 says when, and only after CLOSE", () => {
    const h = reach("FIN-WAIT-2", world);
    h.conn.setLinger2(9 * SECOND);
    h.advance(HOUR);
    expect(h.state).toBe("FIN-WAIT-2");
    h.close();
    h.advance(9 * SECOND - 1);
    expect(h.state).toBe("FIN-WAIT-2");
    expect(h.advance(1)).toEqual([]);
    expect(h.state).toBe("CLOSED");
    expect(() => h.conn.setLinger2(-1)).toThrow(expect.objectContaining({ code: "EINVAL" }));
  });
});

describe.each(WORLDS)("linger, $name", (world) => {
  test.each(["ESTABLISHED", "FIN-WAIT-1", "FIN-WAIT-2", "CLOSE-WAIT", "SYN-RECEIVED"] as const)(
    "0 makes CLOSE send RST in %s",
    (state) => {
      const h = reach(state, world);
      h.conn.setLinger(0);
      const sent = h.close();
      expect(sent.map((packet) => packet.flags)).toEqual(["R."]);
      expect(h.state).toBe("CLOSED");
    },
  );

  test("0 drops what was queued", () => {
    const h = reach("ESTABLISHED", world, { lingerUs: 0 });
    h.rcv({ flags: ".", wnd: 0 });
    h.send(500);
    expect(texts(h.close())).toEqual(["R. 1+0 ack 1"]);
  });

  test("0 leaves TIME-WAIT alone, and shutdown too", () => {
    const waiting = reach("TIME-WAIT", world, { lingerUs: 0 });
    expect(waiting.close()).toEqual([]);
    expect(waiting.state).toBe("TIME-WAIT");
    const h = reach("ESTABLISHED", world, { lingerUs: 0 });
    expect(texts(h.shutdown())).toEqual(["F. 1+0 ack 1"]);
  });

  test("a time: FIN first, RST when not all is acknowledged by then", () => {
    const h = reach("ESTABLISHED", world, { lingerUs: 5 * SECOND, rtoMinUs: 60 * SECOND, sack: false });
    h.send(100);
    expect(texts(h.close())).toEqual(["F. 101+0 ack 1"]);
    expect(h.advance(5 * SECOND - 1)).toEqual([]);
    expect(texts(h.advance(1))).toEqual(["R. 102+0 ack 1"]);
    expect(h.conn.failure).toBe("ECONNABORTED");
  });

  test("a time: no RST once all is acknowledged", () => {
    const h = reach("ESTABLISHED", world, { lingerUs: 5 * SECOND, finWait2Us: NEVER });
    h.send(100);
    h.close();
    h.rcv({ flags: "." });
    expect(h.state).toBe("FIN-WAIT-2");
    expect(h.conn.nextTimeout()).toBe(NEVER);
    expect(h.advance(HOUR)).toEqual([]);
    const both = reach("CLOSE-WAIT", world, { lingerUs: 5 * SECOND });
    both.close();
    both.rcv({ flags: "." });
    expect(both.state).toBe("CLOSED");
    expect(both.conn.failure).toBeUndefined();
  });

  test("a time: SYN-SENT ends at once, and nothing is waited for", () => {
    const h = reach("SYN-SENT", world, { lingerUs: 5 * SECOND });
    expect(h.close()).toEqual([]);
    expect(h.state).toBe("CLOSED");
    expect(h.conn.nextTimeout()).toBe(NEVER);
    expect(h.conn.failure).toBeUndefined();
  });

  test.each(["FIN-WAIT-2", "TIME-WAIT"] as const)("a time: nothing to wait for in %s", (state) => {
    const h = reach(state, world, { lingerUs: 5 * SECOND, finWait2Us: NEVER });
    h.close();
    expect(h.tcb.timers.linger).toBe(NEVER);
    expect(h.state).toBe(state);
  });

  test("a negative time is refused", () => {
    expect(() => new Harness(world).conn.setLinger(-1)).toThrow(expect.objectContaining({ code: "EINVAL" }));
  });
});
