/** SEGMENT ARRIVES in LISTEN (RFC 9293 §3.10.7.2). A TCB in LISTEN exists for one SYN; RST, ACK and the rest are the stack's. */
import { describe, expect, test } from "vitest";
import { PEER_MSS, reach, texts, WORLDS } from "../harness.js";

describe.each(WORLDS)("LISTEN, $name", (world) => {
  test("SYN: SYN-RECEIVED, SYN,ACK with what was offered and understood", () => {
    const h = reach("LISTEN", world, { timestamps: true, windowScaling: true });
    const sent = h.rcv({ flags: "S", seq: 0, ack: 77, options: [{ kind: "mss", mss: PEER_MSS }] });
    expect(texts(sent)).toEqual(["S. 0+0 ack 1"]);
    expect(sent[0]?.options).toEqual([{ kind: "mss", mss: 1_000 }]);
    expect(h.state).toBe("SYN-RECEIVED");
    expect(h.tcb.irs).toBe(world.irs);
    expect(h.tcb.snd.mss).toBe(PEER_MSS);
    expect(h.events()).toEqual([]);
  });

  test("SYN with all options: SYN,ACK repeats them", () => {
    const h = reach("LISTEN", world, { timestamps: true, windowScaling: true });
    const [synAck] = h.rcv({ flags: "S", seq: 0, ts: [9, 0], options: [{ kind: "window-scale", shift: 7 }] });
    expect(synAck?.options.map((option) => option.kind)).toEqual(["mss", "nop", "nop", "timestamps", "nop", "window-scale"]);
    expect(synAck?.ts?.[1]).toBe(9);
  });

  test("text and FIN on the SYN are left for the peer to repeat", () => {
    const h = reach("LISTEN", world);
    expect(texts(h.rcv({ flags: "SF", seq: 0, data: 10 }))).toEqual(["S. 0+0 ack 1"]);
    expect(h.conn.readableBytes).toBe(0);
    expect(h.tcb.rcv.finSeen).toBe(false);
    h.rcv({ flags: ".", seq: 1 });
    h.rcv({ flags: "F.", seq: 1, data: 10 });
    expect(h.state).toBe("CLOSE-WAIT");
    expect(h.conn.readableBytes).toBe(10);
  });

  test("nothing is sent and no timer runs before the SYN", () => {
    const h = reach("LISTEN", world);
    expect(h.poll()).toEqual([]);
    expect(h.conn.nextTimeout()).toBe(Number.POSITIVE_INFINITY);
  });
});
