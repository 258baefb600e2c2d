/** What the profile "freebsd" does otherwise: arrivals in the order of 4.4BSD's descendants, its window, its timers. */
import { describe, expect, test } from "vitest";
import { MILLISECOND, SECOND } from "../../src/base/time.js";
import type { ConnectionConfig } from "../../src/tcp/config.js";
import { PROFILES } from "../../src/tcp/profiles.js";
import { type Harness, reach, texts, WORLDS } from "./harness.js";

const PLAIN: Partial<ConnectionConfig> = {
  ...PROFILES.freebsd,
  timestamps: false,
  windowScaling: false,
  noDelay: true,
  receiveBufferBytes: 8_000,
};

describe.each(WORLDS)("arrivals as in 4.4BSD, $name", (world) => {
  const established = (config: Partial<ConnectionConfig> = {}): Harness => reach("ESTABLISHED", world, { ...PLAIN, ...config });

  test("RST while an ACK is delayed: what was last acknowledged counts, RCV.NXT is challenged (RFC 5961 §3.2)", () => {
    const h = established();
    h.rcv({ flags: "P.", data: 100 });
    expect(texts(h.rcv({ flags: "R" }))).toEqual([". 1+0 ack 101"]);
    expect(h.state).toBe("ESTABLISHED");
    h.rcv({ flags: "P.", data: 100 });
    h.rcv({ flags: "R", seq: 101 });
    expect(h.conn.failure).toBe("ECONNRESET");
  });

  test("RST at the right edge of the window and beyond is ignored, one before it is challenged (RFC 5961 §3.2)", () => {
    const h = established();
    const edge = 1 + h.tcb.receiveSpace;
    expect(h.rcv({ flags: "R", seq: edge })).toEqual([]);
    expect(h.rcv({ flags: "R", seq: 0 })).toEqual([]);
    expect(texts(h.rcv({ flags: "R", seq: edge - 1 }))).toEqual([". 1+0 ack 1"]);
  });

  test("each challenge is answered: nothing holds it back", () => {
    const h = established();
    for (let i = 0; i < 5; i++) expect(texts(h.rcv({ flags: "S", seq: 7_000 }))).toEqual([". 1+0 ack 1"]);
  });

  test("an old duplicate's ACK counts", () => {
    const h = established();
    h.rcv({ flags: "P.", data: 100 });
    h.send(50);
    expect(h.sndUna).toBe(1);
    expect(texts(h.rcv({ flags: "P.", seq: 1, data: 100 }))).toEqual([". 51+0 ack 101"]);
    expect(h.sndUna).toBe(51);
  });

  test("data that is new in part is cut, its old part is not taken again", () => {
    const h = established();
    h.rcv({ flags: "P.", data: 100 });
    h.rcv({ flags: "P.", seq: 51, data: 100 });
    expect(h.conn.readableBytes).toBe(150);
  });

  test("data that is too much in part is cut, and with it FIN", () => {
    const h = established({ receiveBufferBytes: 1_000 });
    h.rcv({ flags: "F.", data: 1_200 });
    expect(h.conn.readableBytes).toBe(1_000);
    expect(h.state).toBe("ESTABLISHED");
  });

  test("a closed window takes the ACK of a segment at RCV.NXT, and answers (MUST-66)", () => {
    const h = established({ receiveBufferBytes: 1_000 });
    h.rcv({ flags: "P.", data: 1_000 });
    h.send(10);
    expect(texts(h.rcv({ flags: "P.", data: 1 }))).toEqual([". 11+0 ack 1001"]);
    expect(h.sndUna).toBe(11);
    expect(h.conn.readableBytes).toBe(1_000);
  });

  test("two segments of any size are acknowledged at once, one after the delay (SHLD-19)", () => {
    const h = established();
    expect(h.rcv({ flags: "P.", data: 1_000 })).toEqual([]);
    expect(texts(h.rcv({ flags: "P.", data: 1 }))).toEqual([". 1+0 ack 1002"]);
    expect(h.rcv({ flags: "P.", data: 1 })).toEqual([]);
    expect(texts(h.advance(40 * MILLISECOND))).toEqual([". 1+0 ack 1003"]);
  });

  test("CLOSE with unread data sends FIN; data that comes later is answered as by a stranger", () => {
    const h = established();
    h.rcv({ flags: "P.", data: 100 });
    expect(texts(h.close())).toEqual(["F. 1+0 ack 101"]);
    expect(texts(h.rcv({ flags: "P.", data: 10, ack: 1 }))).toEqual(["R 1+0"]);
    expect(h.state).toBe("CLOSED");
  });

  test("data repeated after CLOSE is only acknowledged", () => {
    const h = established();
    h.rcv({ flags: "P.", data: 100 });
    h.close();
    expect(texts(h.rcv({ flags: "P.", seq: 1, data: 100 }))).toEqual([". 2+0 ack 101"]);
  });

  test("TIME-WAIT answers what says something new, and nothing else", () => {
    const h = reach("TIME-WAIT", world, PLAIN);
    expect(h.rcv({ flags: "." })).toEqual([]);
    expect(h.rcv({ flags: "R" })).toEqual([]);
    expect(h.rcv({ flags: "S", seq: 0 })).toEqual([]);
    expect(h.rcv({ flags: ".", seq: 0 })).toHaveLength(1);
    expect(h.rcv({ flags: "P.", data: 1 })).toHaveLength(1);
    expect(h.yieldTimeWait({ flags: "S" })).toBe(false);
    expect(h.yieldTimeWait({ flags: "S", seq: h.rcvNxt + 1 })).toBe(true);
  });

  test("a window that the same segment would shrink is not taken back", () => {
    const h = established();
    h.rcv({ flags: "." });
    h.rcv({ flags: ".", wnd: 100 });
    expect(h.tcb.snd.wnd).toBe(10_000);
    h.rcv({ flags: ".", wnd: 20_000 });
    expect(h.tcb.snd.wnd).toBe(20_000);
  });

  test("old data with timestamps is answered, an old bare segment is not (RFC 7323 §5)", () => {
    const h = reach("ESTABLISHED", world, { ...PLAIN, timestamps: true }, { peerTs: 1_000 });
    expect(h.rcv({ flags: ".", ts: [999, 0] })).toEqual([]);
    expect(texts(h.rcv({ flags: "P.", data: 10, ts: [999, 0] }))).toEqual([". 1+0 ack 1"]);
    expect(h.conn.readableBytes).toBe(0);
  });
});

describe.each(WORLDS)("FreeBSD's timers and window, $name", (world) => {
  const established = (config: Partial<ConnectionConfig> = {}): Harness => reach("ESTABLISHED", world, { ...PLAIN, ...config });

  test("the time-out has 200 ms of slop on top of its minimum of 30 ms", () => {
    const h = established();
    h.send(10);
    h.rcv({ flags: "." });
    h.send(10);
    const start = h.now;
    expect(h.nextTimer()).toHaveLength(1);
    expect(h.now - start).toBe(230 * MILLISECOND);
  });

  test("twelve repetitions, then the connection is given up", () => {
    const h = established();
    h.send(10);
    let sent = 0;
    while (h.state === "ESTABLISHED") sent += h.nextTimer().filter(({ flags }) => flags === "P.").length;
    expect(sent).toBe(12);
    expect(h.conn.failure).toBe("ETIMEDOUT");
  });

  test("a closed window is probed after five seconds, and never less often than every sixty", () => {
    const h = established();
    h.send(1_000);
    h.advance(100 * MILLISECOND);
    h.rcv({ flags: ".", wnd: 0 });
    h.send(10);
    const gaps: number[] = [];
    for (let i = 0; i < 14; i++) {
      const before = h.now;
      expect(texts(h.nextTimer())).toEqual([". 1001+1 ack 1"]);
      gaps.push(h.now - before);
      h.rcv({ flags: ".", ack: 1_001, wnd: 0 });
    }
    expect(gaps[0]).toBe(5 * SECOND);
    expect(gaps.at(-1)).toBe(60 * SECOND);
    expect(gaps.toSorted((a, b) => a - b)).toEqual(gaps);
  });

  test("what a burst begins on an idle connection it may end with less than a segment (SHLD-7)", () => {
    const h = established({ noDelay: false });
    expect(texts(h.send(1_500))).toEqual([". 1+1000 ack 1", "P. 1001+500 ack 1"]);
    expect(h.send(10)).toEqual([]);
    expect(texts(h.rcv({ flags: "." }))).toEqual(["P. 1501+10 ack 1"]);
  });

  test("who gives up says so by RST", () => {
    const h = established({ retransmitLimit: 1 });
    h.send(10);
    h.nextTimer();
    expect(texts(h.nextTimer())).toEqual(["R. 11+0 ack 1"]);
    expect(h.conn.failure).toBe("ETIMEDOUT");
  });

  test("an ACK adds two segments at the most in slow start, whether the window was full or not (RFC 3465 §2.3)", () => {
    const h = established();
    const before = h.tcb.congestion.cwnd;
    h.send(4_000);
    h.rcv({ flags: "." });
    expect(h.tcb.congestion.cwnd).toBe(before + 2_000);
  });

  test("FIN waits for the handshake when SYN-SENT is shut down, but not when it is closed", () => {
    const shut = reach("SYN-SENT", world, PLAIN);
    expect(shut.shutdown()).toEqual([]);
    expect(shut.state).toBe("SYN-SENT");
    expect(texts(shut.rcv({ flags: "S.", seq: 0, ack: 1 }))).toEqual(["F. 1+0 ack 1"]);
    const closed = reach("SYN-SENT", world, PLAIN);
    closed.close();
    expect(closed.state).toBe("CLOSED");
  });

  test("half of the largest window that the peer ever had is worth a segment (SHLD-7)", () => {
    const h = established({ noDelay: false });
    h.rcv({ flags: ".", wnd: 10_000 });
    h.send(10);
    expect(texts(h.send(400))).toEqual([]);
    h.rcv({ flags: "." });
    const small = reach("ESTABLISHED", world, { ...PLAIN, noDelay: false });
    small.tcb.snd.maxWnd = 800;
    small.send(10);
    expect(texts(small.send(400))).toEqual(["P. 11+400 ack 1"]);
  });

  test("a window update is due with a quarter of the buffer, or half of it (SHLD-14)", () => {
    const h = established({ receiveBufferBytes: 16_000 });
    for (let i = 0; i < 6; i++) h.rcv({ flags: "P.", data: 1_000 });
    h.read(3_999);
    expect(h.poll()).toEqual([]);
    h.read(1);
    expect(texts(h.poll())).toEqual([". 1+0 ack 6001"]);
  });

  test("the receive buffer is made whole segments", () => {
    expect(established({ receiveBufferBytes: 8_100 }).tcb.receiveBufferBytes).toBe(9_000);
    expect(established({ receiveBufferBytes: 9_000 }).tcb.receiveBufferBytes).toBe(9_000);
    expect(established({ receiveBufferBytes: 600 }).tcb.receiveBufferBytes).toBe(600);
  });
});
