/** How Linux cuts what is to be sent, when a batch waits for more, and how much SEND takes. */
import { describe, expect, test } from "vitest";
import { SECOND } from "../../../src/base/time.js";
import type { ConnectionConfig } from "../../../src/tcp/config.js";
import { noteWrite, sizeGoal } from "../../../src/tcp/linux-batch.js";
import { newReno } from "../../../src/tcp/new-reno.js";
import { sendSpace } from "../../../src/tcp/send-space.js";
import { Harness, type Sent, WORLDS, type World } from "../harness.js";

/** µs; a path so short that batches are as large as they may be. */
const RTT = 100;

/** A connection with an established window of ten segments of 1,000 bytes; the peer's window is `wnd`. */
function linux(world: World, wnd = 60_000, config: Partial<ConnectionConfig> = {}): Harness {
  const h = new Harness(world, {
    sender: "linux",
    receiver: "linux",
    congestion: newReno,
    noDelay: true,
    mtuBytes: 1_500,
    sendBufferBytes: 1 << 20,
    ...config,
  });
  h.openPassive();
  h.rcv({ flags: "S", seq: 0, ack: 0, wnd, options: [{ kind: "mss", mss: 1_000 }, { kind: "sack-permitted" }] });
  h.now += RTT;
  h.rcv({ flags: ".", wnd });
  return h;
}

function spans(sent: readonly Sent[]): string[] {
  return sent.map(({ flags, seq, payload }) => `${flags} ${seq}+${payload.length}`);
}

/** SEND of several records; nothing leaves before all are there. */
function records(h: Harness, ...lengths: number[]): Sent[] {
  for (const length of lengths) {
    h.conn.send(new Uint8Array(length), 0, length);
    noteWrite(h.tcb, false, true);
  }
  return h.poll();
}

/** SEND of what belongs to no record. */
function write(h: Harness, length: number): Sent[] {
  h.conn.send(new Uint8Array(length), 0, length);
  noteWrite(h.tcb, false, false);
  return h.poll();
}

describe.each(WORLDS)("a batch that could be larger (tcp_tso_should_defer), $name", (world) => {
  /** Seven segments are out, three have room in the window, and the first ACK is half a round trip away at most. */
  function nearlyFull(wnd?: number): Harness {
    const h = linux(world, wnd);
    expect(write(h, 7_000)).toHaveLength(7);
    h.now += 60;
    return h;
  }

  test("waits for the ACK that is near, and goes with it", () => {
    const h = nearlyFull();
    expect(write(h, 2_500)).toEqual([]);
    h.now += 40;
    expect(spans(h.rcv({ flags: ".", ack: 1_001, wnd: 60_000 }))).toEqual([". 7001+1000", ". 8001+1000", "P. 9001+500"]);
  });

  test("goes when the ACK is far", () => {
    const h = linux(world);
    write(h, 7_000);
    h.now += 40;
    expect(write(h, 2_500)).toHaveLength(3);
  });

  test("goes when it is a record, and more is behind it: it can grow no larger", () => {
    const h = nearlyFull();
    // The third does not fit in the window any more.
    expect(spans(records(h, 2_500, 600))).toEqual([". 7001+1000", ". 8001+1000", "P. 9001+500"]);
  });

  test("waits when it is a record that the window would cut", () => {
    const h = nearlyFull();
    expect(records(h, 3_500, 600)).toEqual([]);
  });

  test("waits for the peer's window as for the congestion window", () => {
    const h = nearlyFull(9_500);
    expect(write(h, 2_900)).toEqual([]);
  });

  test("goes when FIN is behind it: nothing is to come", () => {
    const h = nearlyFull();
    h.conn.send(new Uint8Array(2_500), 0, 2_500);
    noteWrite(h.tcb, false, false);
    h.conn.shutdown(h.now);
    expect(spans(h.poll()).at(-1)).toBe("FP. 9001+500");
  });

  test("goes after a millisecond without data", () => {
    const h = linux(world);
    write(h, 7_000);
    h.now += 1_001;
    expect(write(h, 2_500)).toHaveLength(3);
  });
});

describe.each(WORLDS)("records (MSG_EOR), $name", (world) => {
  test("each ends its segment with PSH, whatever is behind it", () => {
    const h = linux(world);
    expect(spans(records(h, 300, 1_200, 50))).toEqual(["P. 1+300", ". 301+1000", "P. 1301+200", "P. 1501+50"]);
  });

  test("what is sent again is joined to nothing behind a record's end", () => {
    const h = linux(world, 60_000, { tailLossProbe: false });
    records(h, 300);
    write(h, 200);
    write(h, 100);
    expect(spans(h.nextTimer())).toEqual(["P. 1+300"]);
    const other = linux(world, 60_000, { tailLossProbe: false });
    write(other, 300);
    write(other, 200);
    write(other, 100);
    expect(spans(other.nextTimer())).toEqual(["P. 1+600"]);
  });

  test("nor is what would not fit in one segment", () => {
    const h = linux(world, 60_000, { tailLossProbe: false });
    write(h, 600);
    write(h, 300);
    write(h, 200);
    expect(spans(h.nextTimer())).toEqual(["P. 1+900"]);
  });
});

describe.each(WORLDS)("how much SEND takes (tcp_sendmsg), $name", (world) => {
  test("one buffer is as large as the largest batch, and not more than half of the largest window", () => {
    expect(sizeGoal(linux(world).tcb)).toBe(30_000);
    expect(sizeGoal(linux(world, 5_000).tcb)).toBe(2_000);
    // Below the least MSS the window is no measure.
    const narrow = linux(world, 500);
    expect(sizeGoal(narrow.tcb)).toBeGreaterThan(60_000);
  });

  test("nothing while more is held than twice the buffer's size, the segments' own memory included", () => {
    const h = linux(world, 60_000, { sendBufferBytes: 4_000 });
    expect(sendSpace(h.tcb)).toBeGreaterThanOrEqual(10_000);
    // All of it has left, and waits for its ACK: 10,000 bytes and five buffers.
    write(h, 10_000);
    expect([h.sndMax, sendSpace(h.tcb)]).toEqual([10_001, 0]);
    h.now += SECOND / 100;
    h.rcv({ flags: ".", ack: 10_001, wnd: 60_000 });
    expect(sendSpace(h.tcb)).toBeGreaterThanOrEqual(20_000);
  });

  test("a buffer that was begun is filled, though more is held than that", () => {
    const h = linux(world, 60_000, { sendBufferBytes: 8_000 });
    write(h, 12_000);
    expect([h.sndMax, h.tcb.sendQueue.length]).toEqual([10_001, 12_000]);
    expect(sendSpace(h.tcb)).toBe(28_000);
  });
});
