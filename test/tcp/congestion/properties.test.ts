/** What holds for every control, whatever it is told (RFC 5681, RFC 9438). */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type CongestionControl, MAX_WINDOW } from "../../../src/tcp/congestion.js";
import { CONGESTION_CONTROLS } from "../../../src/tcp/congestion-controls.js";
import { cubic } from "../../../src/tcp/cubic.js";
import { ack } from "./ack.js";

/** Something that happens on a connection, `after` µs from what happened before. */
interface Happening {
  readonly kind: "ack" | "recovery" | "timeout" | "ecn" | "undo" | "idle";
  readonly after: number;
  readonly bytes: number;
  readonly limited: boolean;
  readonly duplicates: number;
}

const mss = fc.constantFrom(536, 1_448, 65_495);
const happening: fc.Arbitrary<Happening> = fc.record({
  kind: fc.constantFrom("ack", "ack", "ack", "ack", "ack", "recovery", "timeout", "ecn", "undo", "idle"),
  after: fc.integer({ min: 0, max: 5_000_000 }),
  bytes: fc.integer({ min: 1, max: 1_000_000 }),
  limited: fc.boolean(),
  duplicates: fc.nat(20),
});
const RTT = 80_000;

class Play {
  readonly control: CongestionControl;
  readonly #mss: number;
  #now = 0;
  #una = 2 ** 32 - 100_000;

  constructor(control: CongestionControl, segment: number) {
    this.control = control;
    this.#mss = segment;
  }

  step(h: Happening): void {
    const cc = this.control;
    this.#now += h.after;
    const flight = Math.min(Math.max(h.bytes, this.#mss), cc.cwnd);
    switch (h.kind) {
      case "ack":
        this.#una = (this.#una + h.bytes) >>> 0;
        cc.onAck(
          ack({
            now: this.#now,
            ackedBytes: Math.min(h.bytes, cc.cwnd),
            flightSize: flight,
            limited: h.limited,
            rttUs: RTT + (h.after % 50_000),
            srttUs: RTT,
            una: this.#una,
            nxt: (this.#una + cc.cwnd) >>> 0,
          }),
        );
        return;
      case "recovery":
        cc.onEnterRecovery(flight, this.#now);
        for (let i = 0; i < h.duplicates; i++) cc.onDuplicateAck();
        cc.onPartialAck(h.bytes);
        cc.onExitRecovery(flight, this.#now);
        return;
      case "timeout":
        cc.onTimeout(flight, h.limited, this.#now);
        return;
      case "ecn":
        cc.onEcn(flight, this.#now);
        return;
      case "undo":
        cc.onUndo();
        return;
      case "idle":
        cc.onIdle(h.after, 200_000, 10 * this.#mss);
    }
  }
}

describe.each([
  ["cubic", CONGESTION_CONTROLS.cubic],
  ["newreno", CONGESTION_CONTROLS.newreno],
] as const)("%s", (_name, make) => {
  test("the window is a whole number from one segment to the largest; the threshold is never below two segments", () => {
    fc.assert(
      fc.property(mss, fc.array(happening, { maxLength: 200, size: "max" }), (segment, happenings) => {
        const play = new Play(make(segment, 10 * segment), segment);
        for (const h of happenings) {
          play.step(h);
          const { cwnd, ssthresh } = play.control;
          expect(Number.isSafeInteger(cwnd)).toBe(true);
          expect(cwnd).toBeGreaterThanOrEqual(segment);
          expect(cwnd).toBeLessThanOrEqual(MAX_WINDOW);
          expect(ssthresh).toBeGreaterThanOrEqual(2 * segment);
        }
      }),
    );
  });

  test("an ACK never lowers the window, leaves it alone while the user is the limit, and at most doubles it", () => {
    fc.assert(
      fc.property(mss, fc.array(happening, { maxLength: 200, size: "max" }), (segment, happenings) => {
        const play = new Play(make(segment, 10 * segment), segment);
        for (const h of happenings) {
          const before = play.control.cwnd;
          play.step(h);
          if (h.kind !== "ack") continue;
          expect(play.control.cwnd).toBeGreaterThanOrEqual(before);
          expect(play.control.cwnd).toBeLessThanOrEqual(h.limited ? 2 * before + 1 : before);
        }
      }),
    );
  });

  test("a loss, a mark or a time-out never raises the window, and an undo never lowers it", () => {
    fc.assert(
      fc.property(mss, fc.array(happening, { maxLength: 200, size: "max" }), (segment, happenings) => {
        const play = new Play(make(segment, 10 * segment), segment);
        for (const h of happenings) {
          const before = play.control.cwnd;
          play.step(h);
          const after = play.control.cwnd;
          // RFC 5681 gives recovery two segments even when it began with one.
          if (h.kind === "recovery") expect(after).toBeLessThanOrEqual(Math.max(before, 2 * segment));
          if (h.kind === "timeout" || h.kind === "ecn" || h.kind === "idle") expect(after).toBeLessThanOrEqual(before);
          if (h.kind === "undo") expect(after).toBeGreaterThanOrEqual(before);
        }
      }),
    );
  });

  test("a loss at once taken back changes nothing that is seen", () => {
    fc.assert(
      fc.property(mss, fc.array(happening, { maxLength: 100, size: "max" }), fc.boolean(), (segment, happenings, timeout) => {
        const play = new Play(make(segment, 10 * segment), segment);
        for (const h of happenings) play.step(h);
        const cc = play.control;
        const before = [cc.cwnd, cc.ssthresh];
        fc.pre(cc.cwnd > 2 * segment);
        // Twice: the first undo leaves no trace of recovery behind.
        for (let i = 0; i < 2; i++) {
          if (timeout && i === 1) cc.onTimeout(cc.cwnd, true, 0);
          else cc.onEnterRecovery(cc.cwnd, 0);
          cc.onUndo();
          expect([cc.cwnd, cc.ssthresh]).toEqual(before);
        }
      }),
    );
  });
});

test.each(Object.entries(CONGESTION_CONTROLS))(
  "%s: larger segments after a time-out: one may go, and two before slow start ends",
  (_, make) => {
    const cc = make(524, 10 * 524);
    cc.onTimeout(524, true, 0);
    expect([cc.cwnd, cc.ssthresh]).toEqual([524, 1_048]);
    cc.onMss(1_012);
    expect([cc.cwnd, cc.ssthresh]).toEqual([1_012, 2_024]);
  },
);

describe("cubic", () => {
  test("later means larger: of two with the same past, the one whose ACK comes later has the larger window", () => {
    fc.assert(
      fc.property(fc.integer({ min: 4, max: 5_000 }), fc.nat(20_000_000), fc.nat(20_000_000), (segments, a, b) => {
        const at = (us: number) => {
          const cc = cubic(1_000, segments * 1_000);
          cc.onEnterRecovery(segments * 1_000);
          cc.onExitRecovery(segments * 1_000);
          cc.onAck(ack({ now: 0, srttUs: RTT }));
          cc.onAck(ack({ now: us, srttUs: RTT, ackedBytes: cc.cwnd }));
          return cc.cwnd;
        };
        expect(at(Math.max(a, b))).toBeGreaterThanOrEqual(at(Math.min(a, b)));
      }),
    );
  });
});
