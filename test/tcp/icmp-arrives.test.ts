/** ICMP errors at a connection (RFC 9293 §3.9.2.2, RFC 5461, RFC 5927). */
import { describe, expect, test } from "vitest";
import type { IcmpErrorKind } from "../../src/wire/icmp.js";
import { Harness, type Reachable, reach, WORLDS } from "./harness.js";

const SOFT: readonly (readonly [IcmpErrorKind, string])[] = [
  ["network-unreachable", "ENETUNREACH"],
  ["host-unreachable", "EHOSTUNREACH"],
  ["time-exceeded", "EHOSTUNREACH"],
  ["parameter-problem", "EHOSTUNREACH"],
];
const HARD: readonly (readonly [IcmpErrorKind, string])[] = [
  ["protocol-unreachable", "ECONNREFUSED"],
  ["port-unreachable", "ECONNREFUSED"],
  ["admin-prohibited", "EHOSTUNREACH"],
];
const SILENT: readonly IcmpErrorKind[] = ["source-quench", "packet-too-big", "redirect", "source-route-failed", "unknown"];

/** A connection with something outstanding. */
function outstanding(state: Reachable, world: (typeof WORLDS)[number], passive = false): Harness {
  const h = reach(state, world, {}, { origin: passive ? "passive" : "active" });
  if (state === "ESTABLISHED" || state === "CLOSE-WAIT") h.send(100);
  return h;
}

describe.each(WORLDS)("ICMP errors, $name", (world) => {
  test.each(HARD)("%s ends an attempt to connect: %s (SHLD-26) (MUST-54)", (kind, code) => {
    for (const state of ["SYN-SENT", "SYN-RECEIVED"] as const) {
      const h = outstanding(state, world);
      expect(h.icmp(kind)).toBe("ICMP error ends the attempt to connect");
      expect(h.state).toBe("CLOSED");
      expect(h.conn.failure).toBe(code);
      expect(h.events()).toEqual(["readable", "trouble", "failed", "closed"]);
    }
  });

  test.each(SOFT)("%s does not (MUST-56), but the user is told: %s (SHLD-25) (MUST-47)", (kind, code) => {
    const h = outstanding("SYN-SENT", world);
    h.icmp(kind);
    expect(h.state).toBe("SYN-SENT");
    expect(h.conn.softError).toBe(code);
    expect(h.events()).toEqual(["trouble"]);
  });

  test.each([...HARD, ...SOFT])(
    "%s never ends what is synchronized, nor a half-open connection of a listener (MUST-56, RFC 5927 §5.2)",
    (kind, code) => {
      const states = ["ESTABLISHED", "FIN-WAIT-1", "CLOSE-WAIT", "CLOSING", "LAST-ACK"] as const;
      for (const h of [...states.map((state) => outstanding(state, world)), outstanding("SYN-RECEIVED", world, true)]) {
        const { state } = h;
        h.icmp(kind);
        expect(h.state).toBe(state);
        expect(h.conn.softError).toBe(code);
        expect(h.events()).toEqual(["trouble"]);
        expect(h.poll()).toEqual([]);
      }
    },
  );

  test.each(SILENT)("%s: nothing is told (MUST-55)", (kind) => {
    const h = outstanding("SYN-SENT", world);
    h.icmp(kind);
    expect(h.state).toBe("SYN-SENT");
    expect(h.events()).toEqual([]);
    expect(h.conn.softError).toBeUndefined();
  });

  test("a quote of nothing outstanding is a guess (RFC 5927 §4.1)", () => {
    const h = outstanding("ESTABLISHED", world);
    for (const seq of [0, 101, 5_000]) {
      expect(h.icmp("port-unreachable", seq)).toContain("quotes nothing");
    }
    expect(h.events()).toEqual([]);
    h.icmp("port-unreachable", 100);
    expect(h.events()).toEqual(["trouble"]);
  });

  test.each(["LISTEN", "TIME-WAIT"] as const)("%s: nothing is outstanding", (state) => {
    const h = reach(state, world);
    h.icmp("port-unreachable");
    expect(h.state).toBe(state);
    expect(h.events()).toEqual([]);
  });

  test("CLOSED: nothing", () => {
    const h = new Harness(world);
    expect(h.icmp("port-unreachable")).toContain("nothing is outstanding");
    expect(h.events()).toEqual([]);
  });
});
