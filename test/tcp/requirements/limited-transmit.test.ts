/** Limited transmit without SACK (RFC 3042): the first duplicate ACKs keep the clock running. */
import { describe, expect, test } from "vitest";
import { newReno } from "../../../src/tcp/new-reno.js";
import { type Harness, reach, texts, WORLDS } from "../harness.js";

describe.each(WORLDS)("limited transmit (RFC 3042 §2), $name", (world) => {
  /** A congestion window of four segments in flight, and as much again waiting. */
  function full(wnd = 60_000): Harness {
    const h = reach("ESTABLISHED", world, { congestion: newReno, initialWindowSegments: 4 }, { synAck: { wnd } });
    h.rcv({ flags: ".", wnd });
    expect(h.send(8_000).length).toBe(4);
    return h;
  }

  test("the first two duplicate ACKs let one new segment out each, the third repeats what is missing", () => {
    const h = full();
    const answers = Array.from({ length: 3 }, () => texts(h.rcv({ flags: ".", ack: 1, wnd: 60_000 })));
    expect(answers).toEqual([[". 4001+1000 ack 1"], [". 5001+1000 ack 1"], [". 1+1000 ack 1"]]);
    expect(h.tcb.congestion.ssthresh, "the four segments of the window count, not the two beyond").toBe(2_000);
  });

  test("the congestion window stays as it was, and an ACK of new data ends the allowance", () => {
    const h = full();
    const { cwnd } = h.tcb.congestion;
    h.rcv({ flags: ".", ack: 1, wnd: 60_000 });
    expect(h.tcb.congestion.cwnd).toBe(cwnd);
    // It was reordering: five segments are out, one is acknowledged, slow start gives two.
    h.rcv({ flags: ".", ack: 1_001, wnd: 60_000 });
    expect(h.sndMax - h.sndUna).toBe(5_000);
  });

  test("the peer's window still is the limit", () => {
    const h = full(4_000);
    expect(h.rcv({ flags: ".", ack: 1, wnd: 4_000 })).toEqual([]);
  });
});
