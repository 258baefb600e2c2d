/** What the user of a connection is told and may rely on (RFC 9293 §3.6, §3.8.6, §3.9.1). */
import { describe, expect, test } from "vitest";
import { MINUTE } from "../../../src/base/time.js";
import { reach, texts, WORLDS } from "../harness.js";

describe.each(WORLDS)("the end of a connection, $name", (world) => {
  test("a normal close, an abort of the peer's and one of ours are told apart (MUST-12)", () => {
    const normal = reach("ESTABLISHED", world);
    normal.rcv({ flags: "F." });
    normal.shutdown();
    normal.rcv({ flags: "." });
    expect([normal.state, normal.events(), normal.conn.failure]).toEqual(["CLOSED", ["readable", "closed"], undefined]);

    const aborted = reach("ESTABLISHED", world);
    aborted.rcv({ flags: "R" });
    expect([aborted.state, aborted.events(), aborted.conn.failure]).toEqual([
      "CLOSED",
      ["readable", "failed", "closed"],
      "ECONNRESET",
    ]);

    const ours = reach("ESTABLISHED", world);
    ours.abort();
    expect([ours.state, ours.conn.failure]).toEqual(["CLOSED", "ECONNABORTED"]);
  });
});

describe.each(WORLDS)("SEND without PUSH, $name", (world) => {
  test("calls in a row make one segment with one PSH (SHLD-27), the last of what is queued (MUST-61)", () => {
    const h = reach("ESTABLISHED", world);
    for (let i = 0; i < 5; i++) h.conn.send(new Uint8Array(300));
    expect(h.poll().map((packet) => [packet.flags, packet.payload.length])).toEqual([
      [".", 1_000],
      ["P.", 500],
    ]);
  });

  test("small data waits for an ACK at the longest, and for a small window no longer than the override (MUST-60)", () => {
    const nagle = reach("ESTABLISHED", world, { noDelay: false });
    nagle.send(1);
    expect(nagle.send(1)).toEqual([]);
    expect(texts(nagle.rcv({ flags: "." }))).toEqual(["P. 2+1 ack 1"]);

    const window = reach("ESTABLISHED", world);
    window.rcv({ flags: ".", wnd: 10 });
    expect(window.send(1_000)).toEqual([]);
    const asked = window.now;
    expect(texts(window.nextTimer())).toEqual([". 1+10 ack 1"]);
    expect(window.now - asked).toBeLessThanOrEqual(window.conn.status().rto);
  });
});

describe.each(WORLDS)("error reports, $name", (world) => {
  test("a user who pulls none misses nothing else (SHLD-20)", () => {
    const h = reach("ESTABLISHED", world);
    h.send(100);
    for (let i = 0; i < 3; i++) h.icmp("host-unreachable");
    h.rcv({ flags: ".", data: 10 });
    expect(h.read().length).toBe(10);
    expect(texts(h.send(100))).toEqual(["P. 101+100 ack 11"]);
    // All of it was told in two bits, and can still be asked for.
    expect(h.events().sort()).toEqual(["readable", "trouble"]);
  });
});

describe.each(WORLDS)("a user who does not read, $name", (world) => {
  test("keeps the window closed for a day, and every probe is answered (MAY-8)", () => {
    const h = reach("ESTABLISHED", world, {}, { fill: true });
    for (let i = 0; i < 24 * 60; i++) {
      h.advance(MINUTE);
      const answers = h.rcv({ flags: ".", data: 1 });
      expect(answers.map((packet) => [packet.text, packet.wnd])).toEqual([[". 1+0 ack 4001", 0]]);
    }
    expect(h.state).toBe("ESTABLISHED");
    expect(h.events()).toEqual([]);
    h.read();
    expect(h.poll().map((packet) => packet.wnd)).toEqual([4_000]);
  });
});

describe.each(WORLDS)("the Diffserv field, $name", (world) => {
  test("can be changed during the connection, from the next segment on (MUST-48, SHLD-21); ECN's bits are not the user's", () => {
    const h = reach("ESTABLISHED", world, { tos: 0x20 });
    expect(h.send(10)[0]?.tos).toBe(0x20);
    h.conn.setTos(0xb8 | 3);
    expect(h.send(10)[0]?.tos).toBe(0xb8);
    expect(h.shutdown()[0]?.tos).toBe(0xb8);
  });
});
