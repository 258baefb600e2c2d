/** SEGMENT ARRIVES in FIN-WAIT-2 (RFC 9293 §3.10.7.4). */
import { describe, expect, test } from "vitest";
import { reach, texts, WORLDS } from "../harness.js";
import { describeSteps } from "./steps.js";

describeSteps({ state: "FIN-WAIT-2", rst: "reset", receives: true });

describe.each(WORLDS)("FIN-WAIT-2, its own, $name", (world) => {
  test("half-close: receives on for ever, nothing is sent but ACKs", () => {
    const h = reach("FIN-WAIT-2", world);
    for (let i = 0; i < 10; i++) {
      const sent = h.rcv({ flags: "P.", data: 1_000 });
      expect(sent.every((packet) => packet.flags === "." && packet.payload.length === 0)).toBe(true);
      expect(h.read().length).toBe(1_000);
      h.advance(60_000_000);
    }
    expect(h.state).toBe("FIN-WAIT-2");
  });

  test("CLOSE starts the wait for the peer's FIN, its end is CLOSED without a word", () => {
    const h = reach("FIN-WAIT-2", world);
    expect(h.close()).toEqual([]);
    expect(h.conn.nextTimeout()).toBe(h.now + h.tcb.config.finWait2Us);
    expect(h.nextTimer()).toEqual([]);
    expect(h.state).toBe("CLOSED");
    expect(h.events()).toEqual(["closed"]);
  });

  test("CLOSE before the ACK of FIN: the wait starts with that ACK", () => {
    const h = reach("ESTABLISHED", world);
    h.close();
    h.rcv({ flags: "." });
    expect(h.state).toBe("FIN-WAIT-2");
    expect(h.conn.nextTimeout()).toBe(h.now + h.tcb.config.finWait2Us);
    expect(texts(h.rcv({ flags: "F." }))).toEqual([". 2+0 ack 2"]);
    expect(h.conn.nextTimeout()).toBe(h.now + 2 * h.tcb.config.mslUs);
  });

  test("finWait2Us of Infinity waits for ever, as RFC 9293 does", () => {
    const h = reach("FIN-WAIT-2", world, { finWait2Us: Number.POSITIVE_INFINITY });
    h.close();
    expect(h.conn.nextTimeout()).toBe(Number.POSITIVE_INFINITY);
  });

  test("data after CLOSE: RST (MAY-1, SHLD-3)", () => {
    const h = reach("FIN-WAIT-2", world);
    h.close();
    expect(texts(h.rcv({ flags: "P.", data: 10 }))).toEqual(["R 2+0"]);
    expect(h.state).toBe("CLOSED");
  });
});
