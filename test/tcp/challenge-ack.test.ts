/** Challenge ACKs and what holds them back (RFC 5961 §3–5, §7). */
import { describe, expect, test } from "vitest";
import { SeededRandom } from "../../src/base/random.js";
import { SECOND } from "../../src/base/time.js";
import { ChallengeBudget } from "../../src/tcp/challenge-ack.js";
import { type Harness, reach, texts, WORLDS } from "./harness.js";

/** What an outsider may send who knows the four-tuple alone, at a connection that expects 1 and has sent up to 1. */
const BLIND = [
  ["RST in the window", { flags: "R", seq: 500 }],
  ["SYN in the window", { flags: "S", seq: 500 }],
  ["SYN below the window", { flags: "S", seq: -5_000 }],
  ["SYN above the window", { flags: "S", seq: 50_000 }],
  ["SYN at what is expected", { flags: "S", seq: 1 }],
  ["an acknowledgment of what was never sent", { flags: ".", ack: 5_000 }],
  ["a very old acknowledgment, with data", { flags: ".", ack: -100_000, data: 10 }],
] as const;

describe.each(WORLDS)("challenge ACKs, $name", (world) => {
  test.each(BLIND)("%s: challenged, and nothing has changed", (_, stimulus) => {
    const h = reach("ESTABLISHED", world);
    expect(texts(h.rcv(stimulus))).toEqual([". 1+0 ack 1"]);
    expect([h.state, h.rcvNxt, h.conn.readableBytes, h.tcb.counters.challengeAcks]).toEqual(["ESTABLISHED", 1, 0, 1]);
    // RFC 5961 §7: the next within the interval gets silence.
    h.advance(SECOND / 4);
    expect(h.rcv(stimulus)).toEqual([]);
    h.advance(SECOND / 4);
    expect(texts(h.rcv(stimulus))).toEqual([". 1+0 ack 1"]);
  });

  test.each(["FIN-WAIT-1", "FIN-WAIT-2", "CLOSE-WAIT", "CLOSING", "LAST-ACK", "TIME-WAIT"] as const)(
    "%s: a SYN outside the window is challenged (RFC 5961 §4.2)",
    (state) => {
      const h = reach(state, world);
      const [answer] = h.rcv({ flags: "S", seq: 50_000 });
      expect(answer?.flags).toContain(".");
      expect([h.state, h.tcb.counters.challengeAcks]).toEqual([state, 1]);
    },
  );

  test("one that is real answers the challenge with RST at RCV.NXT, and that ends the connection", () => {
    const h = reach("ESTABLISHED", world);
    h.rcv({ flags: "S", seq: 500 });
    h.rcv({ flags: "R", seq: 1 });
    expect([h.state, h.conn.failure]).toEqual(["CLOSED", "ECONNRESET"]);
  });
});

describe("the budget of a whole stack (RFC 5961 §7)", () => {
  function spend(budget: ChallengeBudget, now: number): number {
    let spent = 0;
    while (budget.take(now)) spent++;
    return spent;
  }

  test("between half and one and a half of the limit each second, never the same for long", () => {
    const budget = new ChallengeBudget(100, new SeededRandom(1));
    const spent = Array.from({ length: 50 }, (_, second) => spend(budget, second * SECOND));
    expect(Math.min(...spent)).toBeGreaterThanOrEqual(50);
    expect(Math.max(...spent)).toBeLessThan(150);
    expect(new Set(spent).size).toBeGreaterThan(20);
    expect(budget.held).toBe(50);
    expect(budget.take(50 * SECOND - 1)).toBe(false);
  });

  test("connections share it, and what it holds back is not counted as sent", () => {
    const budget = new ChallengeBudget(10, new SeededRandom(1));
    const all = Array.from({ length: 40 }, (): Harness => {
      const h = reach("ESTABLISHED");
      h.conn.challengeBudget = budget;
      return h;
    });
    const answered = all.filter((h) => h.rcv({ flags: "R", seq: 500 }).length > 0).length;
    expect(answered).toBeGreaterThanOrEqual(5);
    expect(answered).toBeLessThan(15);
    expect(all.reduce((sum, h) => sum + h.tcb.counters.challengeAcks, 0)).toBe(answered);
    expect(budget.held).toBe(40 - answered);
  });

  test("0 forbids them all", () => {
    expect(spend(new ChallengeBudget(0, new SeededRandom(1)), 0)).toBe(0);
  });
});
