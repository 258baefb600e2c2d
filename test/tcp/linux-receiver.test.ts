/** The receiver "linux": each case was measured on Linux 6.18, see also `test/pkt`. */
import { describe, expect, test } from "vitest";
import { MILLISECOND, SECOND } from "../../src/base/time.js";
import type { ConnectionConfig } from "../../src/tcp/config.js";
import { bufferBytes, ReceiveMemory } from "../../src/tcp/linux-memory.js";
import { Harness, reach, texts, WORLDS } from "./harness.js";

const LINUX: Partial<ConnectionConfig> = {
  receiver: "linux",
  mtuBytes: 1_500,
  receiveBufferBytes: 131_072,
  receiveBufferMaxBytes: 6_291_456,
};

describe("memory", () => {
  test("what a packet takes up: a small one 832 bytes, then twice as much with each power of two", () => {
    expect([41, 190, 192, 193, 340, 640, 641, 1_500, 1_665].map(bufferBytes)).toEqual([
      832, 832, 832, 1_280, 1_280, 1_280, 2_304, 2_304, 4_352,
    ]);
  });

  test("small segments are copied in behind one another while there is room", () => {
    const memory = new ReceiveMemory();
    const used = [0, 50, 100, 150].map((at) => {
      memory.queue(at, at + 50, 90);
      return memory.used;
    });
    expect(used).toEqual([832, 832, 832, 1_664]);
    memory.read(150);
    expect(memory.used).toBe(832);
    memory.read(200);
    expect(memory.isEmpty).toBe(true);
  });

  test("segments that are not worth their memory are copied together, a page at a time", () => {
    const memory = new ReceiveMemory();
    for (let at = 0; at < 4_000; at += 100) memory.queue(at, at + 100, 140);
    expect(memory.used).toBe(40 * 832);
    memory.collapse(0, (bytes) => bytes >> 1);
    expect(memory.used).toBe(4_352 + 832);
    memory.read(3_776);
    expect(memory.used).toBe(832);
  });

  test("what is ahead costs, once, until it is read", () => {
    const memory = new ReceiveMemory();
    memory.keepAhead(2_000, 3_000, 1_040);
    memory.keepAhead(2_000, 3_000, 1_040);
    memory.keepAhead(1_000, 2_000, 1_040);
    expect(memory.used).toBe(2 * 2_304);
    memory.queue(0, 1_000, 1_040);
    memory.advance(3_000);
    expect(memory.used).toBe(3 * 2_304);
    memory.read(3_000);
    expect(memory.used).toBe(0);
  });

  test("what is ahead of each hole is copied together; where it is little it stays, and after much of that nothing more is looked at", () => {
    const made = (): ReceiveMemory => {
      const memory = new ReceiveMemory();
      for (let hole = 0; hole < 3; hole++) memory.keepAhead(hole * 10_000, hole * 10_000 + 100, 140);
      for (let i = 0; i < 4; i++) memory.keepAhead(30_000 + i * 1_000, 31_000 + i * 1_000, 1_040);
      return memory;
    };
    const memory = made();
    expect(memory.used).toBe(3 * 832 + 4 * 2_304);
    memory.collapseAhead((bytes) => bytes, 10_000);
    expect(memory.used).toBe(3 * 832 + 4_352 + 832);
    const other = made();
    other.collapseAhead((bytes) => bytes, 2 * 832);
    expect(other.used).toBe(3 * 832 + 4 * 2_304);
  });

  test("what is ahead is dropped from its end on, a goal at a time, until there is room, and not before the newcomer", () => {
    const made = (): ReceiveMemory => {
      const memory = new ReceiveMemory();
      for (let i = 0; i < 6; i++) memory.keepAhead(i * 2_000, i * 2_000 + 1_000, 1_040);
      return memory;
    };
    const memory = made();
    let asked = 0;
    expect(memory.prune(0, 2 * 2_304, () => ++asked === 2)).toBe(3_000);
    expect([memory.used, asked]).toEqual([2 * 2_304, 2]);
    const other = made();
    expect(other.prune(6_000, 2_304, () => false)).toBe(5_000);
    expect(other.used).toBe(3 * 2_304);
    expect(made().prune(50_000, 2_304, () => false)).toBeUndefined();
  });
});

describe.each(WORLDS)("receiver as in Linux, $name", (world) => {
  const established = (config: Partial<ConnectionConfig> = {}): Harness =>
    reach("ESTABLISHED", world, { ...LINUX, ...config }, { origin: "passive" });
  const data = (h: Harness, bytes = 1_000): string[] => texts(h.rcv({ flags: "P.", data: bytes }));

  test("the first window is half the buffer in whole segments, its right edge stays where segments cost more than they bring", () => {
    const h = established();
    expect(h.tcb.receiveWindow).toBe(64_240);
    expect(h.rcv({ flags: "P.", data: 1_000 })[0]?.wnd).toBe(63_240);
    expect(h.tcb.linux?.ratio).toBe(111);
    expect(h.tcb.linux?.threshold).toBe(56_832);
  });

  test("sixteen segments are acknowledged at once, the next one later", () => {
    const h = established();
    for (let i = 1; i <= 16; i++) expect(data(h)).toEqual([`. 1+0 ack ${1 + 1_000 * i}`]);
    expect(data(h)).toEqual([]);
    expect(texts(h.advance(40 * MILLISECOND))).toEqual([". 1+0 ack 17001"]);
  });

  test("a user that reads all sends the ACK of what was pushed", () => {
    const h = established();
    for (let i = 0; i < 16; i++) data(h);
    h.read(100_000);
    h.poll();
    data(h);
    h.read(100_000);
    expect(texts(h.poll())).toEqual([". 1+0 ack 17001"]);
  });

  test("after an answer the ACK waits for the next one; when that does not come the user is not interactive any more", () => {
    const h = established();
    data(h, 100);
    h.send(100);
    h.rcv({ flags: "." });
    expect(data(h, 100)).toEqual([]);
    expect(texts(h.advance(40 * MILLISECOND))).toEqual([". 101+0 ack 201"]);
    expect(data(h, 100)).toEqual([". 101+0 ack 301"]);
  });

  test("a segment that ends before what was acknowledged is old; one that ends there is a duplicate that counts", () => {
    const h = established();
    data(h);
    expect(texts(h.rcv({ flags: ".", seq: 0 }))).toEqual([". 1+0 ack 1001"]);
    expect(texts(h.rcv({ flags: ".", seq: 0 }))).toEqual([]);
    expect(texts(h.rcv({ flags: ".", seq: 1, data: 1_000 }))).toEqual([". 1+0 ack 1001"]);
  });

  test("a segment that reaches beyond the window is taken while nothing waits for the user, and else dropped", () => {
    const h = established({ receiveBufferBytes: 8_000, receiveBufferMaxBytes: 0 });
    const window = h.tcb.receiveWindow;
    h.rcv({ flags: ".", data: window + 500 });
    expect(h.conn.readableBytes).toBe(window + 500);
    h.rcv({ flags: ".", data: 500 });
    expect(h.conn.readableBytes).toBe(window + 500);
  });

  test("small segments fill the memory long before the window: they are copied together, and the window opens no further", () => {
    const h = established({ receiveBufferBytes: 8_000, receiveBufferMaxBytes: 0 });
    for (let i = 0; i < 40; i++) h.rcv({ flags: "P.", data: 100 });
    expect(h.conn.readableBytes).toBe(4_000);
    expect(h.tcb.linux?.memory.used).toBeLessThan(16_000);
    expect(h.tcb.linux?.threshold).toBe(2_920);
  });

  test("an empty FIN that comes first is acknowledged with the next tick, unless CLOSE says it", () => {
    const h = established();
    expect(h.rcv({ flags: "F." })).toEqual([]);
    expect(texts(h.advance(MILLISECOND))).toEqual([". 1+0 ack 2"]);
    const other = established();
    other.rcv({ flags: "F." });
    expect(texts(other.close())).toEqual(["F. 1+0 ack 2"]);
  });

  test("RST in TIME-WAIT ends it, unless RFC 1337 is asked for", () => {
    const h = reach("TIME-WAIT", world, LINUX);
    h.rcv({ flags: "R" });
    expect(h.state).toBe("CLOSED");
    const other = reach("TIME-WAIT", world, { ...LINUX, timeWaitIgnoresReset: true });
    other.rcv({ flags: "R" });
    expect(other.state).toBe("TIME-WAIT");
  });

  test("data on a SYN-ACK is left to be sent again, unless Fast Open was tried", () => {
    for (const trying of [false, true]) {
      const h = reach("SYN-SENT", world, LINUX);
      h.tcb.fastOpen.trying = trying;
      const acks = texts(h.rcv({ flags: "S.", seq: 0, data: 100, options: [{ kind: "mss", mss: 1_000 }] }));
      expect(acks).toEqual([trying ? ". 1+0 ack 101" : ". 1+0 ack 1"]);
      expect(h.conn.readableBytes).toBe(trying ? 100 : 0);
    }
  });

  test("a SYN that is repeated is answered once in half a second", () => {
    const h = reach("SYN-RECEIVED", world, LINUX, { origin: "passive" });
    expect(h.rcv({ flags: "S", seq: 0 }).map((packet) => packet.flags)).toEqual(["S."]);
    expect(h.rcv({ flags: "S", seq: 0 })).toEqual([]);
    h.advance(500 * MILLISECOND);
    expect(h.rcv({ flags: "S", seq: 0 }).map((packet) => packet.flags)).toEqual(["S."]);
  });

  test("four time-outs of a SYN are as long as the first", () => {
    const h = reach("SYN-SENT", world, { ...LINUX, synLinearTimeouts: 4 });
    const begun = h.now;
    const times = [1, 2, 3, 4, 5, 6].map(() => {
      h.nextTimer();
      return (h.now - begun) / SECOND;
    });
    expect(times).toEqual([1, 2, 3, 4, 5, 7]);
  });
});

describe.each(WORLDS)("net.ipv4.tcp_shrink_window, $name", (world) => {
  /** A buffer of 16,000 bytes of memory and a window scale; `small` segments of 100 bytes have come since. */
  function shrinking(small: number): Harness {
    const h = new Harness(world, {
      ...LINUX,
      windowScaling: true,
      shrinksWindow: true,
      receiveBufferBytes: 8_000,
      receiveBufferMaxBytes: 0,
    });
    h.openPassive();
    const options = [
      { kind: "mss", mss: 1_000 },
      { kind: "window-scale", shift: 7 },
    ] as const;
    h.rcv({ flags: "S", seq: 0, ack: 0, options });
    h.rcv({ flags: ".", wnd: 1_000 });
    // Its scale is what the largest buffer asks for.
    h.tcb.rcv.windShift = 7;
    for (let i = 0; i < small; i++) h.rcv({ flags: "P.", data: 100 });
    return h;
  }
  const receiver = (h: Harness) => {
    if (h.tcb.linux === undefined) throw new Error("no receiver");
    return h.tcb.linux;
  };

  test("the window is what there is memory for, in whole units, not above the threshold", () => {
    const h = shrinking(0);
    const linux = receiver(h);
    linux.threshold = 1_000;
    expect(linux.select(h.tcb)).toBe(1_024);
    linux.threshold = 1 << 20;
    expect(linux.select(h.tcb) % 128).toBe(0);
    expect(linux.select(h.tcb)).toBeGreaterThan(1_024);
  });

  test("less than half of the memory is free: no more quick ACKs, and the window is smaller than what was promised", () => {
    const h = shrinking(0);
    const linux = receiver(h);
    const before = linux.window;
    for (let i = 0; i < 5; i++) linux.memory.queue(i * 2_000, i * 2_000 + 1_000, 1_040);
    linux.acks.quick = 5;
    const wanted = linux.select(h.tcb);
    expect([wanted > 0, wanted < before, wanted % 128, linux.acks.quick]).toEqual([true, true, 0, 0]);
    expect(linux.advertise(h.tcb, 7) * 128).toBe(wanted);
  });

  test("less than a sixteenth, or a segment, is free: no window", () => {
    const h = shrinking(0);
    const linux = receiver(h);
    for (let i = 0; i < 7; i++) linux.memory.queue(i * 2_000, i * 2_000 + 1_000, 1_040);
    expect(linux.select(h.tcb)).toBe(0);
    expect(linux.advertise(h.tcb, 7)).toBe(0);
  });

  test("no memory at all: no window", () => {
    const h = shrinking(0);
    receiver(h).buffer = 1;
    expect(receiver(h).select(h.tcb)).toBe(0);
  });

  test("SO_RCVBUF before OPEN is what the first window is chosen by", () => {
    const h = new Harness(world, LINUX);
    h.conn.setReceiveBuffer(4_000);
    h.openPassive();
    h.rcv({ flags: "S", seq: 0, ack: 0, options: [{ kind: "mss", mss: 1_000 }] });
    expect(receiver(h).window).toBeLessThanOrEqual(4_000);
    expect(receiver(h).buffer).toBe(8_000);
  });
});
