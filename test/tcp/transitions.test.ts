/** The transition table of RFC 9293 §3.3.2: every edge is walked by a scenario, and `setState` lets no other pass. */
import { describe, expect, test } from "vitest";
import { InvariantError } from "../../src/base/errors.js";
import { fail, setState } from "../../src/tcp/set-state.js";
import { isSynchronized, isTransition, STATES, type State, TRANSITIONS } from "../../src/tcp/state.js";
import { Harness, reach } from "./harness.js";

/** What the user or the peer does to a connection in the first state so that it goes to the second. */
const SCENARIOS: Readonly<Record<string, (h: Harness) => void>> = {
  "CLOSED > LISTEN": (h) => h.openPassive(),
  "CLOSED > SYN-SENT": (h) => void h.openActive(),
  "LISTEN > SYN-RECEIVED": (h) => void h.rcv({ flags: "S", seq: 0 }),
  // SEND in LISTEN has no user: a TCB is in LISTEN for the one SYN that made it. OPEN takes the same edge (§3.10.1).
  "LISTEN > SYN-SENT": (h) => void h.openActive(),
  "LISTEN > CLOSED": (h) => void h.close(),
  "SYN-SENT > SYN-RECEIVED": (h) => void h.rcv({ flags: "S", seq: 0, ack: 0 }),
  "SYN-SENT > ESTABLISHED": (h) => void h.rcv({ flags: "S.", seq: 0, ack: 1 }),
  "SYN-SENT > CLOSED": (h) => void h.close(),
  "SYN-RECEIVED > ESTABLISHED": (h) => void h.rcv({ flags: ".", seq: 1, ack: 1 }),
  "SYN-RECEIVED > LISTEN": (h) => void h.rcv({ flags: "R", seq: 1 }),
  "SYN-RECEIVED > CLOSED": (h) => void h.abort(),
  "ESTABLISHED > FIN-WAIT-1": (h) => void h.shutdown(),
  "ESTABLISHED > CLOSE-WAIT": (h) => void h.rcv({ flags: "F." }),
  "ESTABLISHED > CLOSED": (h) => void h.rcv({ flags: "R" }),
  "FIN-WAIT-1 > FIN-WAIT-2": (h) => void h.rcv({ flags: ".", ack: 2 }),
  "FIN-WAIT-1 > CLOSING": (h) => void h.rcv({ flags: "F.", ack: 1 }),
  "FIN-WAIT-1 > CLOSED": (h) => void h.rcv({ flags: "R" }),
  "FIN-WAIT-2 > TIME-WAIT": (h) => void h.rcv({ flags: "F." }),
  "FIN-WAIT-2 > CLOSED": (h) => void h.rcv({ flags: "R" }),
  "CLOSE-WAIT > LAST-ACK": (h) => void h.shutdown(),
  "CLOSE-WAIT > CLOSED": (h) => void h.abort(),
  "CLOSING > TIME-WAIT": (h) => void h.rcv({ flags: ".", ack: 2 }),
  "CLOSING > CLOSED": (h) => void h.rcv({ flags: "R" }),
  "LAST-ACK > CLOSED": (h) => void h.rcv({ flags: ".", ack: 2 }),
  "TIME-WAIT > CLOSED": (h) => void h.nextTimer(),
};

/** Edges that the engine never walks, and what it does instead. */
const NOT_WALKED: Readonly<Record<string, string>> = {
  "SYN-RECEIVED > FIN-WAIT-1":
    "CLOSE in SYN-RECEIVED waits for the handshake, the RFC's other choice (§3.10.4): ESTABLISHED comes between",
};

const key = (from: State, to: State) => `${from} > ${to}`;

function make(state: State): Harness {
  // LISTEN comes back from SYN-RECEIVED only after a passive OPEN.
  return state === "CLOSED"
    ? new Harness()
    : reach(state, undefined, {}, { origin: state === "SYN-RECEIVED" ? "passive" : "active" });
}

describe("every transition of the table", () => {
  test.each(TRANSITIONS)("$from > $to: $event", ({ from, to }) => {
    const edge = key(from, to);
    const walk = SCENARIOS[edge];
    if (walk === undefined) {
      expect(NOT_WALKED[edge]).toBeDefined();
      return;
    }
    const h = make(from);
    const steps: string[] = [];
    h.conn.observer = {
      state: (_, before, after) => void steps.push(key(before, after)),
      timer: () => {},
      drop: () => {},
    };
    walk(h);
    expect(steps[0]).toBe(edge);
    expect(h.state).toBe(to);
  });

  test("no scenario stands for an edge that is not in the table", () => {
    const edges = new Set(TRANSITIONS.map(({ from, to }) => key(from, to)));
    expect([...Object.keys(SCENARIOS), ...Object.keys(NOT_WALKED)].filter((edge) => !edges.has(edge))).toEqual([]);
    expect(edges.size).toBe(TRANSITIONS.length);
  });

  test("CLOSE in SYN-RECEIVED reaches FIN-WAIT-1 through ESTABLISHED", () => {
    const h = make("SYN-RECEIVED");
    const steps: string[] = [];
    h.conn.observer = { state: (_, from, to) => void steps.push(key(from, to)), timer: () => {}, drop: () => {} };
    h.shutdown();
    h.rcv({ flags: ".", seq: 1, ack: 1 });
    expect(steps).toEqual(["SYN-RECEIVED > ESTABLISHED", "ESTABLISHED > FIN-WAIT-1"]);
  });
});

describe("setState", () => {
  test("refuses every other pair of states and changes nothing", () => {
    let refused = 0;
    for (const from of STATES) {
      for (const to of STATES) {
        if (isTransition(from, to)) continue;
        const h = make(from);
        expect(() => setState(h.tcb, to, "test", h.now), key(from, to)).toThrow(InvariantError);
        expect(h.state).toBe(from);
        refused++;
      }
    }
    expect(refused).toBe(STATES.length ** 2 - TRANSITIONS.length);
  });

  test("fail ends in CLOSED from every state that can fail", () => {
    for (const from of STATES) {
      if (from === "CLOSED") continue;
      const h = make(from);
      fail(h.tcb, "ETIMEDOUT", "test", h.now);
      expect(h.state).toBe("CLOSED");
      expect(h.events().at(-1)).toBe("closed");
    }
  });

  test("which states are synchronized", () => {
    expect(STATES.filter((state) => !isSynchronized(state))).toEqual(["CLOSED", "LISTEN", "SYN-SENT", "SYN-RECEIVED"]);
  });
});
