/**
 * The steps of RFC 9293 §3.10.7.4 that are the same in every synchronized state, in the RFC's order, as tests. Each file of
 * this folder runs them for its state and adds what is its own.
 */
import { describe, expect, test } from "vitest";
import type { ConnectionConfig } from "../../../src/tcp/config.js";
import { type Harness, type Reachable, reach, type Stimulus, texts, WORLDS } from "../harness.js";

export interface StepOptions {
  readonly state: Exclude<Reachable, "LISTEN" | "SYN-SENT" | "SYN-RECEIVED">;
  /** What RST at RCV.NXT does. */
  readonly rst: "reset" | "closed" | "ignored";
  /** Whether the state takes text. */
  readonly receives: boolean;
}

/** The bare ACK that tells where the connection stands. */
export function bareAck(h: Harness): string {
  return `. ${h.sndMax}+0 ack ${h.rcvNxt}`;
}

/** Expects that a segment changes nothing and is answered by nothing. */
export function expectSilence(h: Harness, stimulus: Stimulus): void {
  const before = h.conn.status();
  expect(texts(h.rcv(stimulus))).toEqual([]);
  expect(withoutCounters(h)).toEqual({ ...before, counters: undefined });
  expect(h.events()).toEqual([]);
}

/** Expects that a segment changes nothing and is answered by one bare ACK. */
export function expectAckOnly(h: Harness, stimulus: Stimulus): void {
  const before = h.conn.status();
  const answer = bareAck(h);
  expect(texts(h.rcv(stimulus))).toEqual([answer]);
  expect(withoutCounters(h)).toEqual({ ...before, counters: undefined });
  expect(h.events()).toEqual([]);
}

function withoutCounters(h: Harness): object {
  return { ...h.conn.status(), counters: undefined };
}

export function describeSteps({ state, rst, receives }: StepOptions): void {
  describe.each(WORLDS)(`${state}, $name`, (world) => {
    const make = (config: Partial<ConnectionConfig> = {}) => reach(state, world, config);
    const filled = () => {
      const h = reach(state, world, {}, { fill: true });
      expect(h.tcb.receiveWindow).toBe(0);
      return h;
    };
    // ACK numbers that acknowledge nothing new, so that the state stays.
    const idle = (h: Harness) => ({ flags: ".", ack: h.sndUna }) as const;

    describe("first, the sequence number", () => {
      test.each([
        ["at RCV.NXT", 0],
        ["last of the window", -1],
      ])("an empty segment %s is acceptable: silence", (_, from) => {
        const h = make();
        expectSilence(h, { ...idle(h), seq: h.rcvNxt + (from < 0 ? h.tcb.receiveWindow + from : from) });
        expect(h.verdict).not.toContain("dropped");
      });

      test("an empty segment before RCV.NXT: ACK, dropped", () => {
        const h = make();
        expectAckOnly(h, { ...idle(h), seq: h.rcvNxt - 1 });
        expect(h.verdict).toContain("outside the window");
      });

      test("an empty segment behind the window: ACK, dropped; the next one at once: held back", () => {
        const h = make();
        const seq = h.rcvNxt + h.tcb.receiveWindow;
        expectAckOnly(h, { ...idle(h), seq });
        expectSilence(h, { ...idle(h), seq });
        h.now += h.tcb.config.challengeAckIntervalUs;
        if (state !== "TIME-WAIT") expectAckOnly(h, { ...idle(h), seq });
      });

      test("text before RCV.NXT: ACK each time, dropped", () => {
        const h = make();
        expectAckOnly(h, { ...idle(h), seq: h.rcvNxt - 1, data: 1 });
        expectAckOnly(h, { ...idle(h), seq: h.rcvNxt - 1, data: 1 });
      });

      test("text behind the window: ACK, dropped", () => {
        const h = make();
        expectAckOnly(h, { ...idle(h), seq: h.rcvNxt + h.tcb.receiveWindow, data: 10 });
      });

      test("the acknowledgment of an unacceptable segment does not count", () => {
        const h = make();
        const una = h.sndUna;
        h.rcv({ flags: ".", seq: h.rcvNxt - 1, wnd: 77 });
        expect(h.state).toBe(state);
        expect(h.sndUna).toBe(una);
        expect(h.tcb.snd.wnd).not.toBe(77);
      });

      test("zero window: an empty segment at RCV.NXT is acceptable", () => {
        const h = filled();
        h.rcv({ ...idle(h), wnd: 77 });
        expect(h.verdict).not.toContain("dropped");
        if (state !== "TIME-WAIT") expect(h.tcb.snd.wnd).toBe(77);
      });

      test.each([1, -1])("zero window: an empty segment at RCV.NXT %+d: ACK, dropped", (distance) => {
        const h = filled();
        expectAckOnly(h, { ...idle(h), seq: h.rcvNxt + distance });
      });

      test.each([1, -1])("zero window: text at RCV.NXT %+d: ACK, dropped", (distance) => {
        const h = filled();
        expectAckOnly(h, { ...idle(h), seq: h.rcvNxt + distance, data: 1 });
      });
    });

    describe("PAWS (RFC 7323 §5)", () => {
      const stamped = () => {
        const h = reach(state, world, { timestamps: true }, { peerTs: 0x8000_0001 });
        expect(h.conn.status().timestamps).toBe(true);
        return h;
      };

      test("an older timestamp: ACK, dropped, even in the window", () => {
        const h = stamped();
        expectAckOnly(h, { ...idle(h), data: 10, ts: [0x8000_0000, 0] });
        expect(h.tcb.counters.pawsDrops).toBe(1);
        expect(h.verdict).toContain("PAWS");
      });

      test("bare segments with an older timestamp: ACK, held back", () => {
        const h = stamped();
        expectAckOnly(h, { ...idle(h), ts: [0x8000_0000, 0] });
        expectSilence(h, { ...idle(h), ts: [0x8000_0000, 0] });
      });

      test("no timestamp: dropped without a word", () => {
        const h = stamped();
        h.peerTs = undefined;
        expectSilence(h, { ...idle(h), data: 10 });
      });

      test("RST is exempt", () => {
        const h = stamped();
        h.rcv({ flags: "R", ts: [0, 0] });
        expect(h.tcb.counters.pawsDrops).toBe(0);
        expect(h.state).toBe(rst === "ignored" ? state : "CLOSED");
      });

      test("TS.Recent: after 24 idle days an older timestamp is believed (RFC 7323 §5.5)", () => {
        const h = stamped();
        h.tcb.timers.timeWait = Number.POSITIVE_INFINITY;
        h.now += 24 * 86_400 * 1_000_000;
        h.rcv({ ...idle(h), ts: [5, 0] });
        expect(h.tcb.counters.pawsDrops).toBe(0);
        expect(h.tcb.ts.recent).toBe(5);
      });
    });

    describe("second, RST (RFC 5961 §3)", () => {
      test("at RCV.NXT", () => {
        const h = make();
        expect(h.rcv({ flags: "R" })).toEqual([]);
        expectReset(h);
      });

      test("at RCV.NXT of a closed window (MUST-66)", () => {
        const h = filled();
        expect(h.rcv({ flags: "R" })).toEqual([]);
        expectReset(h);
      });

      test("with data (SHLD-2)", () => {
        const h = make();
        expect(h.rcv({ flags: "R.", data: 20 })).toEqual([]);
        expectReset(h);
      });

      test.each([
        ["one further", 1],
        ["last of the window", -1],
      ])("in the window, %s: challenge ACK", (_, from) => {
        const h = make();
        expectAckOnly(h, { flags: "R", seq: h.rcvNxt + (from < 0 ? h.tcb.receiveWindow + from : from) });
        expect(h.tcb.counters.challengeAcks).toBe(1);
      });

      test("outside the window: silence", () => {
        const h = make();
        expectSilence(h, { flags: "R", seq: h.rcvNxt - 1 });
        expectSilence(h, { flags: "R", seq: h.rcvNxt + h.tcb.receiveWindow });
        expectSilence(h, { flags: "R.", seq: h.rcvNxt + 0x7000_0000, data: 5 });
      });

      function expectReset(h: Harness): void {
        if (rst === "ignored") {
          expect(h.state).toBe(state);
          expect(h.events()).toEqual([]);
          return;
        }
        expect(h.state).toBe("CLOSED");
        expect(h.conn.failure).toBe(rst === "reset" ? "ECONNRESET" : undefined);
        expect(h.events()).toEqual(rst === "reset" ? ["readable", "failed", "closed"] : ["closed"]);
        expect(h.conn.nextTimeout()).toBe(Number.POSITIVE_INFINITY);
      }
    });

    describe("fourth, SYN (RFC 5961 §4)", () => {
      test("in the window: challenge ACK, and at most one in the interval (RFC 5961 §7)", () => {
        const h = make();
        expectAckOnly(h, { flags: "S", seq: h.rcvNxt + 5 });
        expectSilence(h, { flags: "S", seq: h.rcvNxt + 5 });
        expect(h.tcb.counters.challengeAcks).toBe(1);
      });

      test("the old SYN again: ACK", () => {
        const h = make();
        expectAckOnly(h, { flags: "S", seq: 0, ack: 0 });
      });

      test("the old SYN,ACK again: ACK, that is, the third segment once more", () => {
        const h = make();
        expectAckOnly(h, { flags: "S.", seq: 0, ack: 1 });
      });
    });

    describe("fifth, the ACK field", () => {
      test("no ACK bit: dropped without a word, text and FIN too", () => {
        const h = make();
        expectSilence(h, { flags: "", data: 10 });
        expectSilence(h, { flags: "F" });
        expectSilence(h, { flags: "UP", up: 5, data: 10 });
        expect(h.verdict).toBe("dropped: no ACK");
      });

      test("of what was never sent: challenge ACK, the text is not taken", () => {
        const h = make();
        expectAckOnly(h, { flags: ".", ack: h.sndMax + 1, data: 10 });
        expect(h.tcb.counters.challengeAcks).toBe(1);
      });

      test("further back than any window (RFC 5961 §5): challenge ACK, the text is not taken (MAY-12)", () => {
        const h = make();
        expectAckOnly(h, { flags: ".", ack: h.sndUna - 65_536, data: 10 });
        expect(h.tcb.counters.challengeAcks).toBe(1);
      });

      test("old, but not too old: ignored, the text counts", () => {
        const h = make();
        const next = h.rcvNxt;
        h.rcv({ flags: ".", ack: h.sndUna - 65_535, data: 10 });
        expect(h.rcvNxt).toBe(receives ? next + 10 : next);
        expect(h.tcb.counters.challengeAcks).toBe(0);
      });
    });

    if (receives) describeReceiving(state, make, filled);
    else {
      test("text in the window after the peer's FIN: ignored", () => {
        const h = make();
        expectSilence(h, { ...idle(h), data: 10 });
        expectSilence(h, { flags: "U.", ack: h.sndUna, up: 10, data: 10 });
      });
    }
  });
}

/** Sixth to eighth step where text is taken. */
function describeReceiving(state: Reachable, make: () => Harness, filled: () => Harness): void {
  const idle = (h: Harness) => ({ flags: ".", ack: h.sndUna }) as const;
  const afterFin = state === "ESTABLISHED" ? "CLOSE-WAIT" : state === "FIN-WAIT-1" ? "CLOSING" : "TIME-WAIT";

  describe("sixth, URG (MUST-30)", () => {
    test("RCV.UP goes ahead, the user is told once, and how much is to come (MUST-32, MUST-33)", () => {
      const h = make();
      const next = h.rcvNxt;
      h.rcv({ ...idle(h), flags: "U.", up: 30, data: 10 });
      expect(h.events()).toEqual(["readable", "urgent"]);
      expect(h.tcb.urgentBytes).toBe(30);
      h.rcv({ ...idle(h), flags: "U.", up: 20, data: 10 });
      expect(h.events()).toEqual(["readable"]);
      h.read(15);
      expect(h.tcb.urgentBytes).toBe(15);
      h.rcv({ ...idle(h), data: 20 });
      h.read();
      expect(h.tcb.urgentBytes).toBeLessThanOrEqual(0);
      expect(h.tcb.urgentIn).toBe(false);
      expect(h.rcvNxt).toBe(next + 40);
    });

    test("at a closed window (MUST-66)", () => {
      const h = filled();
      h.rcv({ ...idle(h), flags: "U.", up: 10, data: 1 });
      expect(h.events()).toEqual(["urgent"]);
    });

    test("a pointer to what was read long ago: nothing", () => {
      const h = make();
      const seq = h.rcvNxt;
      h.rcv({ ...idle(h), data: 20 });
      h.read();
      h.events();
      h.rcv({ ...idle(h), flags: "U.", seq, up: 5, data: 25 });
      expect(h.events()).toEqual(["readable"]);
    });
  });

  describe("seventh, the text", () => {
    test("in order: taken, readable, acknowledged with delay (SHLD-18)", () => {
      const h = make();
      const next = h.rcvNxt;
      expect(h.rcv({ ...idle(h), data: 10 })).toEqual([]);
      expect(h.events()).toEqual(["readable"]);
      expect(h.tcb.timers.delayedAck).toBe(h.now + h.tcb.config.delayedAckUs);
      h.now += h.tcb.config.delayedAckUs;
      h.conn.handleTimeout(h.now);
      expect(texts(h.poll())).toEqual([`. ${h.sndMax}+0 ack ${next + 10}`]);
    });

    test("overlapping what is here: the new part is taken", () => {
      const h = make();
      const next = h.rcvNxt;
      h.rcv({ ...idle(h), data: 10 });
      h.rcv({ ...idle(h), seq: next + 5, data: 10 });
      expect(h.rcvNxt).toBe(next + 15);
      expect(h.conn.readableBytes).toBe(15);
    });

    test("overlapping the right edge of the window: cut, acknowledged at once", () => {
      const h = make();
      const next = h.rcvNxt;
      const window = h.tcb.receiveWindow;
      h.rcv({ ...idle(h), data: window - 10 });
      const sent = h.rcv({ ...idle(h), flags: "F.", data: 30 });
      expect(h.rcvNxt).toBe(next + window);
      expect(sent.map((packet) => [packet.text, packet.wnd])).toEqual([[bareAck(h), 0]]);
      expect(h.state).toBe(state);
    });

    test("wholly a duplicate but for its length: ACK at once", () => {
      const h = make();
      const seq = h.rcvNxt;
      h.rcv({ ...idle(h), data: 10 });
      h.events();
      expect(texts(h.rcv({ ...idle(h), seq, data: 10 }))).toEqual([bareAck(h)]);
      expect(h.events()).toEqual([]);
    });

    test("out of order: kept, duplicate ACK at once, delivered when the hole is filled (SHLD-31, MAY-13)", () => {
      const h = make();
      const seq = h.rcvNxt;
      expect(texts(h.rcv({ ...idle(h), seq: seq + 10, data: 10 }))).toEqual([bareAck(h)]);
      expect(h.events()).toEqual([]);
      expect(h.conn.readableBytes).toBe(0);
      expect(texts(h.rcv({ ...idle(h), seq: seq + 30, data: 10 }))).toEqual([bareAck(h)]);
      expect(texts(h.rcv({ ...idle(h), seq, data: 10 }))).toEqual([`. ${h.sndMax}+0 ack ${seq + 20}`]);
      expect(h.events()).toEqual(["readable"]);
      expect(texts(h.rcv({ ...idle(h), seq: seq + 20, data: 10 }))).toEqual([`. ${h.sndMax}+0 ack ${seq + 40}`]);
      expect([...h.read()]).toEqual(Array.from({ length: 40 }, (_, i) => ((i < 10 ? seq + i : seq + i) * 31) & 0xff));
    });

    test("at a closed window: not taken, ACK tells so", () => {
      const h = filled();
      expectAckOnly(h, { ...idle(h), data: 10 });
    });
  });

  describe("eighth, FIN", () => {
    test("in order: takes one number, acknowledged at once, the user is told", () => {
      const h = make();
      const next = h.rcvNxt;
      expect(texts(h.rcv({ ...idle(h), flags: "F." }))).toEqual([`. ${h.sndMax}+0 ack ${next + 1}`]);
      expect(h.state).toBe(afterFin);
      expect(h.events()).toEqual(["readable"]);
      expect(h.conn.endOfData).toBe(true);
    });

    test("with text: both", () => {
      const h = make();
      const next = h.rcvNxt;
      expect(texts(h.rcv({ ...idle(h), flags: "FP.", data: 10 }))).toEqual([`. ${h.sndMax}+0 ack ${next + 11}`]);
      expect(h.state).toBe(afterFin);
      expect(h.conn.endOfData).toBe(false);
      h.read();
      expect(h.conn.endOfData).toBe(true);
    });

    test("out of order: duplicate ACK, takes effect with the missing text", () => {
      const h = make();
      const next = h.rcvNxt;
      expect(texts(h.rcv({ ...idle(h), flags: "F.", seq: next + 10 }))).toEqual([bareAck(h)]);
      expect(h.state).toBe(state);
      expect(h.conn.endOfData).toBe(false);
      expect(texts(h.rcv({ ...idle(h), data: 10 }))).toEqual([`. ${h.sndMax}+0 ack ${next + 11}`]);
      expect(h.state).toBe(afterFin);
    });

    test("out of order with text before it", () => {
      const h = make();
      const next = h.rcvNxt;
      h.rcv({ ...idle(h), flags: "F.", seq: next + 10, data: 10 });
      expect(h.state).toBe(state);
      expect(texts(h.rcv({ ...idle(h), data: 10 }))).toEqual([`. ${h.sndMax}+0 ack ${next + 21}`]);
      expect(h.state).toBe(afterFin);
      expect(h.conn.readableBytes).toBe(20);
    });

    test("at a closed window: not taken, ACK tells so", () => {
      const h = filled();
      expectAckOnly(h, { ...idle(h), flags: "F." });
    });

    test("repeated: acknowledged once more", () => {
      const h = make();
      const seq = h.rcvNxt;
      h.rcv({ ...idle(h), flags: "F." });
      h.events();
      expectAckOnly(h, { ...idle(h), flags: "F.", seq });
    });
  });
}
