/** Zero windows, shrunken windows and the persist timer (RFC 9293 §3.8.6, MUST-34 to MUST-37, SHLD-15 to 17, SHLD-29, SHLD-30). */
import { describe, expect, test } from "vitest";
import { MINUTE, NEVER, SECOND } from "../../src/base/time.js";
import { type Harness, reach, type Sent, texts, WORLDS } from "./harness.js";

const HOUR = 60 * MINUTE;

describe.each(WORLDS)("zero window, $name", (world) => {
  /** Everything sent is acknowledged, the window is closed, nothing is queued. */
  function closedWindow(config = {}): Harness {
    const h = reach("ESTABLISHED", world, config);
    h.send(1_000);
    h.rcv({ flags: ".", wnd: 0 });
    return h;
  }

  test("with nothing to send no timer runs", () => {
    expect(closedWindow().conn.nextTimeout()).toBe(NEVER);
  });

  test("the first probe after one RTO, one byte at SND.UNA; the intervals grow up to the maximum (MUST-35, MUST-36, SHLD-29, SHLD-30)", () => {
    const h = closedWindow();
    expect(h.send(500)).toEqual([]);
    const times = [h.now];
    for (let i = 0; i < 12; i++) {
      const sent = h.nextTimer();
      expect(texts(sent)).toEqual([". 1001+1 ack 1"]);
      times.push(h.now);
      expect(h.rcv({ flags: ".", ack: 1_001, wnd: 0 })).toEqual([]);
    }
    const rto = h.conn.status().rto;
    const gaps = times.slice(1).map((time, i) => time - (times[i] as number));
    expect(gaps).toEqual(gaps.map((_, i) => Math.min(rto * 2 ** i, 120 * SECOND)));
    expect(h.tcb.counters.zeroWindowProbes).toBe(12);
    expect(h.tcb.counters.timeouts).toBe(0);
    expect(h.tcb.congestion.cwnd).toBeGreaterThan(1_000);
  });

  test("answered probes keep the connection for hours (MUST-37)", () => {
    const h = closedWindow();
    h.send(500);
    const end = h.now + 24 * HOUR;
    while (h.now < end) {
      expect(h.nextTimer().length).toBe(1);
      h.rcv({ flags: ".", ack: 1_001, wnd: 0 });
    }
    expect(h.state).toBe("ESTABLISHED");
    expect(h.events()).toEqual([]);
    expect(texts(h.rcv({ flags: ".", ack: 1_001, wnd: 10_000 }))).toEqual(["P. 1001+500 ack 1"]);
  });

  test("unanswered probes end it at R2", () => {
    const h = closedWindow();
    h.send(500);
    const start = h.now;
    h.advance(HOUR);
    expect(h.state).toBe("CLOSED");
    expect(h.conn.failure).toBe("ETIMEDOUT");
    expect(h.tcb.lastReceiveAt).toBe(start);
  });

  test("R2 counts from the first probe, not from when the peer last spoke: an idle peer is no dead peer", () => {
    const h = closedWindow();
    h.advance(HOUR);
    h.send(500);
    h.nextTimer();
    // The first probe or its answer is lost.
    h.nextTimer();
    h.nextTimer();
    expect(h.state).toBe("ESTABLISHED");
    h.rcv({ flags: ".", ack: 1_001, wnd: 10_000 });
    expect(h.state).toBe("ESTABLISHED");
  });

  test("reopening: all goes out at once, the probe's byte too", () => {
    const h = closedWindow();
    h.send(1_500);
    h.nextTimer();
    expect(texts(h.rcv({ flags: ".", ack: 1_001, wnd: 10_000 }))).toEqual([". 1001+1000 ack 1", "P. 2001+500 ack 1"]);
    expect(h.tcb.timers.persist).toBe(NEVER);
    expect(h.tcb.timers.retransmission).not.toBe(NEVER);
  });

  test("reopening by the probe's acknowledgment", () => {
    const h = closedWindow();
    h.send(1_500);
    h.nextTimer();
    expect(texts(h.rcv({ flags: ".", ack: 1_002, wnd: 10_000 }))).toEqual([". 1002+1000 ack 1", "P. 2002+499 ack 1"]);
  });

  test("a lost window update is found by the next probe", () => {
    const h = closedWindow();
    h.send(100);
    h.nextTimer();
    h.rcv({ flags: ".", ack: 1_001, wnd: 0 });
    // The update that is sent now gets lost; the answer to the next probe repeats it.
    h.nextTimer();
    expect(texts(h.rcv({ flags: ".", ack: 1_002, wnd: 5_000 }))).toEqual(["P. 1002+99 ack 1"]);
  });

  test("the peer takes the probe's byte, which was the last: no timer, no failure later", () => {
    const h = closedWindow();
    h.send(1);
    h.nextTimer();
    h.rcv({ flags: ".", ack: 1_002, wnd: 0 });
    expect(h.conn.nextTimeout()).toBe(NEVER);
    h.advance(HOUR);
    expect(h.state).toBe("ESTABLISHED");
  });

  test("the peer takes the probe's byte but keeps the window closed: the next byte is probed", () => {
    const h = closedWindow();
    h.send(3);
    h.nextTimer();
    h.rcv({ flags: ".", ack: 1_002, wnd: 0 });
    expect(texts(h.nextTimer())).toEqual([". 1002+1 ack 1"]);
  });

  test("while a probe is out, ACKs of the peer's data carry a number that it accepts", () => {
    const h = closedWindow();
    h.send(500);
    h.nextTimer();
    h.rcv({ flags: ".", ack: 1_001, wnd: 0 });
    // With its window closed the peer accepts only its RCV.NXT, and that is the probe's number, not the one behind it.
    expect(texts(h.rcv({ flags: "F.", ack: 1_001, wnd: 0, data: 10 }))).toEqual([". 1001+0 ack 12"]);
  });

  test("RST hits the peer's RCV.NXT though a probe is out", () => {
    const h = closedWindow();
    h.send(500);
    h.nextTimer();
    expect(texts(h.abort())).toEqual(["R. 1001+0 ack 1"]);
  });

  test("an acknowledgment that is due together with a probe that is not needed any more is still sent", () => {
    const h = closedWindow();
    h.send(1);
    h.nextTimer();
    h.now = h.conn.nextTimeout();
    h.conn.handleTimeout(h.now);
    h.give({ flags: "F.", ack: 1_002, wnd: 0 });
    expect(texts(h.poll())).toEqual([". 1002+0 ack 2"]);
  });

  test("FIN alone is held by a closed window and probed (SND.NXT stays)", () => {
    const h = closedWindow();
    expect(h.shutdown()).toEqual([]);
    expect(h.state).toBe("FIN-WAIT-1");
    expect(texts(h.nextTimer())).toEqual(["F. 1001+0 ack 1"]);
    h.rcv({ flags: ".", ack: 1_001, wnd: 0 });
    expect(texts(h.nextTimer())).toEqual(["F. 1001+0 ack 1"]);
    h.rcv({ flags: ".", ack: 1_002, wnd: 0 });
    expect(h.state).toBe("FIN-WAIT-2");
    expect(h.conn.nextTimeout()).toBe(NEVER);
    h.advance(HOUR);
    expect(h.state).toBe("FIN-WAIT-2");
  });

  test("FIN alone goes out when the window opens", () => {
    const h = closedWindow();
    h.shutdown();
    expect(texts(h.rcv({ flags: ".", ack: 1_001, wnd: 10 }))).toEqual(["F. 1001+0 ack 1"]);
    h.rcv({ flags: ".", ack: 1_002 });
    expect(h.state).toBe("FIN-WAIT-2");
  });

  test("data and FIN behind a closed window: the byte first, then the rest", () => {
    const h = closedWindow();
    h.conn.send(new Uint8Array(2));
    h.shutdown();
    expect(texts(h.nextTimer())).toEqual([". 1001+1 ack 1"]);
    h.rcv({ flags: ".", ack: 1_002, wnd: 0 });
    expect(texts(h.nextTimer())).toEqual([". 1002+1 ack 1"]);
    expect(texts(h.rcv({ flags: ".", ack: 1_003, wnd: 1 }))).toEqual(["F. 1003+0 ack 1"]);
  });

  test("a window with room for the data but not for FIN: FIN waits", () => {
    const h = reach("ESTABLISHED", world);
    h.rcv({ flags: ".", wnd: 10 });
    h.conn.send(new Uint8Array(10));
    expect(texts(h.shutdown())).toEqual(["P. 1+10 ack 1"]);
    expect(texts(h.rcv({ flags: ".", ack: 11, wnd: 10 }))).toEqual(["F. 11+0 ack 1"]);
  });

  test("probes carry the urgent pointer", () => {
    const h = closedWindow();
    h.send(5, true);
    const [probe] = h.nextTimer();
    expect(probe?.flags).toBe(".U");
    expect(probe?.up).toBe(5);
  });
});

describe.each(WORLDS)("a window too small to be worth a segment (MUST-38), $name", (world) => {
  function small(): Harness {
    const h = reach("ESTABLISHED", world);
    h.rcv({ flags: ".", wnd: 100 });
    return h;
  }

  test("is filled after the override time-out, and the loss of that segment is repaired like any other", () => {
    const h = small();
    expect(h.send(2_000)).toEqual([]);
    expect(texts(h.nextTimer())).toEqual([". 1+100 ack 1"]);
    expect(h.tcb.timers.persist).toBe(NEVER);
    // Lost: the retransmission timer takes over. R2 begins here, not at the epoch of the clock.
    expect(texts(h.nextTimer())).toEqual([". 1+100 ack 1"]);
    expect(h.state).toBe("ESTABLISHED");
    h.rcv({ flags: ".", ack: 101, wnd: 10_000 });
    expect(h.sndMax).toBe(1_101);
  });

  test("half of the largest window is worth it", () => {
    const h = reach("ESTABLISHED", world, {}, { synAck: { wnd: 400 } });
    h.rcv({ flags: ".", wnd: 200 });
    expect(texts(h.send(2_000))).toEqual([". 1+200 ack 1"]);
  });

  test("the largest window counts, not that of the SYN", () => {
    const h = reach("ESTABLISHED", world, {}, { synAck: { wnd: 400 } });
    h.rcv({ flags: ".", wnd: 8_000 });
    h.rcv({ flags: ".", wnd: 300 });
    expect(h.send(2_000)).toEqual([]);
  });

  test("less than that is not", () => {
    const h = reach("ESTABLISHED", world, {}, { synAck: { wnd: 400 } });
    h.rcv({ flags: ".", wnd: 199 });
    expect(h.send(2_000)).toEqual([]);
    expect(h.tcb.timers.persist).not.toBe(NEVER);
  });
});

describe.each(WORLDS)("a window that shrinks (MUST-34), $name", (world) => {
  function inFlight(): Harness {
    const h = reach("ESTABLISHED", world);
    h.send(8_000);
    expect(h.sndMax).toBe(8_001);
    return h;
  }

  test("no new data beyond the edge (SHLD-15), the acknowledged part moves on", () => {
    const h = inFlight();
    h.rcv({ flags: ".", ack: 1_001, wnd: 2_000 });
    expect(h.send(1_000)).toEqual([]);
    expect(h.rcv({ flags: ".", ack: 5_001, wnd: 3_000 })).toEqual([]);
    expect(texts(h.rcv({ flags: ".", ack: 8_001, wnd: 3_000 }))).toEqual(["P. 8001+1000 ack 1"]);
  });

  test("repetitions inside the window (SHLD-16)", () => {
    const h = inFlight();
    h.rcv({ flags: ".", ack: 1_001, wnd: 500 });
    expect(texts(h.nextTimer())).toEqual([". 1001+500 ack 1"]);
  });

  test("so that FIN lies beyond it: FIN was sent before and is repeated with the data", () => {
    const h = reach("ESTABLISHED", world);
    h.conn.send(new Uint8Array(10));
    h.shutdown();
    h.rcv({ flags: ".", ack: 1, wnd: 10 });
    expect(texts(h.nextTimer())).toEqual(["FP. 1+10 ack 1"]);
  });

  test("to nothing: probed at SND.UNA, no time-out of the connection (SHLD-17)", () => {
    const h = inFlight();
    h.rcv({ flags: ".", ack: 1_001, wnd: 0 });
    const cwnd = h.tcb.congestion.cwnd;
    let sent: Sent[] = [];
    for (let i = 0; i < 100; i++) {
      sent = h.nextTimer();
      expect(texts(sent)).toEqual([". 1001+1 ack 1"]);
      h.rcv({ flags: ".", ack: 1_001, wnd: 0 });
    }
    expect(h.state).toBe("ESTABLISHED");
    expect(h.tcb.congestion.cwnd).toBe(cwnd);
    const all = h.rcv({ flags: ".", ack: 1_001, wnd: 10_000 });
    expect(texts(all).at(0)).toBe(". 1001+1000 ack 1");
    expect(texts(all).at(-1)).toBe("P. 7001+1000 ack 1");
    h.rcv({ flags: ".", ack: 8_001 });
    expect(h.conn.nextTimeout()).toBe(NEVER);
  });

  test("to nothing, and a peer that never answers again: R2", () => {
    const h = inFlight();
    h.rcv({ flags: ".", ack: 1_001, wnd: 0 });
    h.advance(HOUR);
    expect(h.conn.failure).toBe("ETIMEDOUT");
  });

  test("to nothing, then all of it is acknowledged all the same: no timer is left over", () => {
    const h = inFlight();
    h.rcv({ flags: ".", ack: 1_001, wnd: 0 });
    h.nextTimer();
    h.rcv({ flags: ".", ack: 8_001, wnd: 0 });
    expect(h.conn.nextTimeout()).toBe(NEVER);
    h.advance(HOUR);
    expect(h.state).toBe("ESTABLISHED");
  });
});
