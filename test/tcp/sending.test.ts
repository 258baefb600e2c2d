/** What goes out and how large: Nagle, silly-window avoidance, PSH, MSS, IP fields, urgent data (RFC 9293 §3.7, §3.8.5, §3.8.6.2.1). */
import { describe, expect, test } from "vitest";
import { DEFAULT_CONFIG } from "../../src/tcp/config.js";
import { Harness, PLAIN, reach, texts, WORLDS } from "./harness.js";

describe.each(WORLDS)("Nagle (SHLD-7), $name", (world) => {
  test("on: the first small segment goes, the next waits for its acknowledgment, then all of it", () => {
    const h = reach("ESTABLISHED", world, { noDelay: false });
    expect(texts(h.send(10))).toEqual(["P. 1+10 ack 1"]);
    expect(h.send(20)).toEqual([]);
    expect(h.send(30)).toEqual([]);
    expect(texts(h.rcv({ flags: ".", ack: 11 }))).toEqual(["P. 11+50 ack 1"]);
  });

  test("on: full segments do not wait, the rest does (SHLD-28)", () => {
    const h = reach("ESTABLISHED", world, { noDelay: false });
    h.send(10);
    expect(texts(h.send(2_500))).toEqual([". 11+1000 ack 1", ". 1011+1000 ack 1"]);
    expect(texts(h.rcv({ flags: ".", ack: 2_011 }))).toEqual(["P. 2011+500 ack 1"]);
  });

  test("on: FIN takes the rest along", () => {
    const h = reach("ESTABLISHED", world, { noDelay: false });
    h.send(10);
    h.send(20);
    expect(texts(h.shutdown())).toEqual(["FP. 11+20 ack 1"]);
  });

  test("off: nothing waits (MUST-17)", () => {
    const h = reach("ESTABLISHED", world, { noDelay: true });
    expect([...h.send(10), ...h.send(20)].map((packet) => packet.text)).toEqual(["P. 1+10 ack 1", "P. 11+20 ack 1"]);
  });

  test("the retransmission timer runs while something waits", () => {
    const h = reach("ESTABLISHED", world, { noDelay: false });
    h.send(10);
    h.send(20);
    // As it was cut the first time; what waits for Nagle goes on waiting.
    expect(texts(h.nextTimer())).toEqual([". 1+10 ack 1"]);
  });
});

describe.each(WORLDS)("windows, $name", (world) => {
  test("no more than the peer's window", () => {
    const h = reach("ESTABLISHED", world);
    h.rcv({ flags: ".", wnd: 2_500 });
    expect(texts(h.send(5_000))).toEqual([". 1+1000 ack 1", ". 1001+1000 ack 1"]);
    expect(texts(h.rcv({ flags: ".", ack: 1_001, wnd: 2_500 }))).toEqual([". 2001+1000 ack 1"]);
  });

  test("no more than the congestion window", () => {
    const h = reach("ESTABLISHED", world, { initialWindowSegments: 2 });
    expect(h.send(5_000).length).toBe(2);
    expect(h.rcv({ flags: ".", ack: 2_001 }).length).toBe(3);
  });

  test("PSH stands on the segment that empties the buffer, and on no other (MUST-61)", () => {
    const h = reach("ESTABLISHED", world);
    expect(h.send(2_000).map((packet) => packet.flags)).toEqual([".", "P."]);
    h.rcv({ flags: "." });
    h.rcv({ flags: ".", wnd: 1_000 });
    expect(h.send(1_500).map((packet) => packet.flags)).toEqual(["."]);
    expect(h.rcv({ flags: ".", wnd: 1_000 }).map((packet) => packet.flags)).toEqual(["P."]);
  });

  test("the bytes are those that were given, repetitions included", () => {
    const h = reach("ESTABLISHED", world);
    const data = Uint8Array.from({ length: 2_500 }, (_, i) => (i * 7) & 0xff);
    h.conn.send(data);
    const sent = h.poll();
    h.rcv({ flags: ".", ack: 501 });
    const again = h.nextTimer();
    expect(again[0]?.payload).toEqual(data.slice(500, 1_000));
    expect(sent.flatMap((packet) => [...packet.payload])).toEqual([...data]);
  });
});

describe("the segment size (RFC 9293 §3.7.1) (MUST-14)", () => {
  const mssOf = (h: Harness) => h.tcb.snd.mss;
  const announced = (h: Harness) => h.openActive()[0]?.options.find((option) => option.kind === "mss");

  test.each([
    ["IPv4 without the option: 536 (MUST-15)", 4, 1_500, [], 536],
    ["IPv6 without the option: 1220 (MUST-15)", 6, 1_500, [], 1_220],
    ["the option", 4, 1_500, [{ kind: "mss", mss: 700 }], 700],
    ["our path is smaller", 4, 1_040, [{ kind: "mss", mss: 1_460 }], 1_000],
    ["IPv6 headers are larger", 6, 1_500, [{ kind: "mss", mss: 9_000 }], 1_440],
    ["a peer that asks for the absurd gets 48", 4, 1_500, [{ kind: "mss", mss: 0 }], 48],
  ] as const)("%s", (_, family, mtuBytes, options, expected) => {
    const h = new Harness(PLAIN, { mtuBytes }, family).connect({ options });
    expect(mssOf(h)).toBe(expected);
    expect(h.send(expected + 1).map((packet) => packet.payload.length)).toEqual([expected, 1]);
  });

  test("timestamps are taken off (MUST-16): the packet fills the MTU exactly", () => {
    const h = new Harness(PLAIN, { timestamps: true, mtuBytes: 1_500 });
    h.peerTs = 1;
    h.connect({ options: [{ kind: "mss", mss: 1_460 }] });
    const [first] = h.send(3_000);
    expect(first?.payload.length).toBe(1_448);
    expect(first?.ipLength).toBe(1_500);
  });

  test.each([
    [4, 1_500, 1_460],
    [6, 1_500, 1_440],
    [4, 65_536, 65_495],
  ] as const)("announced on IPv%d with an MTU of %d: %d (MUST-67) (SHLD-5, MAY-3)", (family, mtuBytes, mss) => {
    expect(announced(new Harness(PLAIN, { mtuBytes }, family))).toEqual({ kind: "mss", mss });
  });

  test("announced at most what the configuration allows", () => {
    expect(announced(new Harness(PLAIN, { mtuBytes: 1_500, mssBytes: 300 }))).toEqual({ kind: "mss", mss: 300 });
  });

  test("never on a segment without SYN (MUST-65)", () => {
    const h = reach("ESTABLISHED", PLAIN, { timestamps: true });
    const sent = [...h.send(3_000), ...h.nextTimer(), ...h.rcv({ flags: ".", seq: 5_000 }), ...h.shutdown(), ...h.abort()];
    expect(sent.length).toBeGreaterThan(5);
    expect(sent.flatMap((packet) => packet.options.map((option) => option.kind))).not.toContain("mss");
  });
});

describe("the IP header", () => {
  test("TTL and TOS are those of the configuration (MUST-48, MUST-49) (SHLD-22)", () => {
    for (const family of [4, 6] as const) {
      const h = new Harness(PLAIN, { ttl: 3, tos: 0xb8 }, family);
      const [syn] = h.openActive();
      expect([syn?.ttl, syn?.tos]).toEqual([3, 0xb8]);
    }
  });
});

describe.each(WORLDS)("a life over IPv6, $name", (world) => {
  test("open, both directions, loss, close; every checksum and length is checked on the way (MUST-2)", () => {
    const h = new Harness(world, { ...DEFAULT_CONFIG, delayedAckUs: 0, noDelay: true }, 6);
    h.peerTs = 7;
    h.connect({ options: [{ kind: "mss", mss: 1_440 }] });
    const sent = h.send(3_000);
    expect(sent.map((packet) => packet.payload.length)).toEqual([1_428, 1_428, 144]);
    expect(sent[0]?.ipLength).toBe(1_500);
    h.rcv({ flags: ".", ack: 1_429 });
    expect(texts(h.nextTimer())).toEqual([". 1429+1428 ack 1"]);
    expect(texts(h.rcv({ flags: "P.", data: 100 }))).toEqual([". 3001+0 ack 101"]);
    expect(h.read().length).toBe(100);
    expect(texts(h.shutdown())).toEqual(["F. 3001+0 ack 101"]);
    h.rcv({ flags: "F." });
    expect(h.state).toBe("TIME-WAIT");
  });
});

describe.each(WORLDS)("urgent data of ours (RFC 9293 §3.8.5) (MUST-30), $name", (world) => {
  test.each([4, 6] as const)("over IPv%d it is marked, and the checksum counts that", (family) => {
    const h = new Harness(world, {}, family).connect();
    const [sent] = h.send(10, true);
    expect(sent?.flags).toContain("U");
    expect(sent?.up).toBe(10);
  });

  test("the pointer names the byte behind it (MUST-62), on every segment up to there", () => {
    const h = reach("ESTABLISHED", world);
    h.conn.send(new Uint8Array(1_200));
    h.conn.send(new Uint8Array(300), 0, 300, true);
    h.conn.send(new Uint8Array(1_000));
    expect(h.poll().map((packet) => [packet.flags, packet.up])).toEqual([
      [".U", 1_500],
      [".U", 500],
      ["P.", 0],
    ]);
  });

  test("a repetition carries it, an acknowledgment of all ends it", () => {
    const h = reach("ESTABLISHED", world);
    h.send(5, true);
    expect(h.nextTimer().map((packet) => [packet.flags, packet.up])).toEqual([["P.U", 5]]);
    h.rcv({ flags: "." });
    expect(h.tcb.urgentOut).toBe(false);
    expect(h.send(5).map((packet) => packet.flags)).toEqual(["P."]);
  });

  test("further away than the field can say: as far as it can (MUST-31)", () => {
    const h = reach("ESTABLISHED", world);
    const sent = h.send(100_000, true);
    expect(sent[0]?.up).toBe(0xffff);
    expect(sent[0]?.flags).toBe(".U");
  });

  test("partly acknowledged: the pointer stays where it was", () => {
    const h = reach("ESTABLISHED", world);
    h.send(800, true);
    h.rcv({ flags: ".", ack: 301 });
    expect(h.nextTimer().map((packet) => [packet.text, packet.up])).toEqual([["P.U 301+500 ack 1", 500]]);
  });
});
