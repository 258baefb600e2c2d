/** The receive buffer grows with what the user reads in a round trip, up to its maximum, and never when it was fixed. */
import { describe, expect, it } from "vitest";
import { MILLISECOND } from "../../src/base/time.js";
import { setReceiveBuffer } from "../../src/tcp/socket-options.js";
import { Harness, WORLDS } from "./harness.js";

/** Ten rounds of 20 ms; in each the peer fills the window as it was advertised, and the user reads it. Returns the buffer's size. */
function rounds(h: Harness, read = true, count = 10): number {
  for (let round = 0; round < count; round++) {
    h.now += 20 * MILLISECOND;
    let room = h.tcb.receiveWindow;
    while (room > 0) {
      const data = Math.min(room, 1_000);
      room -= data;
      h.rcv({ flags: ".", data });
      if (read) h.read();
    }
    h.poll();
  }
  return h.tcb.receiveBufferBytes;
}

const TUNED = { receiveBufferBytes: 4_000, receiveBufferMaxBytes: 60_000 };

describe.each(WORLDS)("receive buffer, $name", (world) => {
  it("grows while the user keeps up, to the maximum and no further; TCP_INFO tells why", () => {
    const h = new Harness(world, TUNED).accept();
    const first = rounds(h, true, 3);
    expect(first).toBeGreaterThan(4_000);
    expect(rounds(h)).toBe(60_000);
    const info = h.conn.info(h.now);
    expect(info.tcpi_rcv_ssthresh).toBe(60_000);
    expect(info.tcpi_rcv_rtt).toBeGreaterThan(0);
    expect(info.tcpi_rcv_space).toBeGreaterThan(4_000);
    // What is advertised follows.
    expect(h.tcb.receiveWindow).toBeGreaterThan(50_000);
  });

  it("stays when nobody reads", () => {
    const h = new Harness(world, TUNED).accept();
    expect(rounds(h, false)).toBe(4_000);
  });

  it("stays without a larger maximum", () => {
    expect(rounds(new Harness(world, { receiveBufferBytes: 4_000, receiveBufferMaxBytes: 0 }).accept())).toBe(4_000);
  });

  it("stays once the user has fixed it", () => {
    const h = new Harness(world, TUNED).accept();
    setReceiveBuffer(h.tcb, 5_000);
    expect(rounds(h)).toBe(5_000);
  });

  it("the window scale is offered for the maximum", () => {
    const h = new Harness(world, { ...TUNED, receiveBufferMaxBytes: 1 << 20, windowScaling: true });
    const [syn] = h.openActive();
    expect(syn?.options).toContainEqual({ kind: "window-scale", shift: 5 });
  });

  it("with timestamps the round trip is taken from their echo", () => {
    const h = new Harness(world, { ...TUNED, timestamps: true });
    h.peerTs = 100;
    h.accept();
    const [ours] = h.send(10);
    h.now += 30 * MILLISECOND;
    h.rcv({ flags: ".", data: 1_000, ts: [101, ours?.ts?.[0] ?? 0] });
    expect(h.conn.info(h.now).tcpi_rcv_rtt).toBe(30 * MILLISECOND);
  });
});
