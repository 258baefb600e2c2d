/** ICMP errors as FreeBSD takes them, by type and code (icmp_errmap, icmp6_errmap, tcp_notify). */
import { describe, expect, test } from "vitest";
import { SECOND } from "../../src/base/time.js";
import { PROFILES } from "../../src/tcp/profiles.js";
import { classifyIcmpError, IcmpError } from "../../src/wire/icmp.js";
import { Harness, reach, texts, WORLDS, type World } from "./harness.js";

const FREEBSD = PROFILES.freebsd;

function error(h: Harness, type: number, code: number, seq: number): string {
  const { family } = h.tcb.local;
  const message = new IcmpError();
  message.family = family;
  message.type = type;
  message.code = code;
  message.kind = classifyIcmpError(family, type, code);
  message.quotedSeq = (h.world.iss + seq) >>> 0;
  message.hasSeq = true;
  return h.conn.receiveIcmp(message, h.now);
}

/** SYN-SENT after its fourth repetition. */
function tired(world: World, family: 4 | 6): Harness {
  const h = new Harness(world, FREEBSD, family);
  h.openActive();
  for (let sent = 0; sent < 4; ) sent += h.nextTimer().length;
  return h;
}

const DESTINATION = 3;
const TIME = 11;
const PARAMETER = 12;
const DESTINATION_6 = 1;
const TIME_6 = 3;
const PARAMETER_6 = 4;

describe.each(WORLDS)("ICMP at a connection of FreeBSD, $name", (world) => {
  test.each([
    [4, DESTINATION, 2, "ECONNREFUSED"],
    [4, DESTINATION, 3, "ECONNREFUSED"],
    [4, DESTINATION, 9, "ECONNREFUSED"],
    [4, DESTINATION, 10, "ECONNREFUSED"],
    [4, DESTINATION, 13, "ECONNREFUSED"],
    [4, TIME, 0, "EHOSTUNREACH"],
    [6, DESTINATION_6, 1, "ECONNREFUSED"],
    [6, DESTINATION_6, 4, "ECONNREFUSED"],
    [6, PARAMETER_6, 1, "ECONNREFUSED"],
    [6, TIME_6, 0, "EHOSTUNREACH"],
  ] as const)("SYN-SENT, IPv%i type %i code %i: nobody is there, %s", (family, type, code, failure) => {
    const h = new Harness(world, FREEBSD, family);
    h.openActive();
    error(h, type, code, 0);
    expect(h.state).toBe("CLOSED");
    expect(h.conn.failure).toBe(failure);
  });

  test.each([
    [4, DESTINATION, 0, "EHOSTUNREACH"],
    [4, DESTINATION, 15, "EHOSTUNREACH"],
    [4, PARAMETER, 0, "ENOPROTOOPT"],
    [4, PARAMETER, 1, "ENOPROTOOPT"],
    [6, DESTINATION_6, 0, "EHOSTUNREACH"],
    [6, DESTINATION_6, 2, "ENOPROTOOPT"],
    [6, DESTINATION_6, 3, "EHOSTUNREACH"],
    [6, PARAMETER_6, 0, "ENOPROTOOPT"],
    [6, PARAMETER_6, 2, "ENOPROTOOPT"],
  ] as const)(
    "SYN-SENT, IPv%i type %i code %i: %s, which ends it after the fourth repetition, if it is not the first",
    (family, type, code, failure) => {
      const h = tired(world, family);
      error(h, type, code, 0);
      expect(h.state).toBe("SYN-SENT");
      expect(h.conn.softError).toBe(failure);
      expect(h.events()).toContain("trouble");
      error(h, type, code, 0);
      expect(h.state).toBe("CLOSED");
      expect(h.conn.failure).toBe(failure);
    },
  );

  test("SYN-SENT, repeated three times: the second error does not end it yet", () => {
    const h = new Harness(world, FREEBSD);
    h.openActive();
    for (let sent = 0; sent < 3; ) sent += h.nextTimer().length;
    for (let i = 0; i < 3; i++) error(h, DESTINATION, 1, 0);
    expect(h.state).toBe("SYN-SENT");
    expect(texts(h.advance(8 * SECOND))).toEqual(["S 0+0"]);
  });

  test.each([
    [4, DESTINATION, 16],
    [4, TIME, 1],
    [4, PARAMETER, 2],
    [4, 5, 0],
    [6, DESTINATION_6, 5],
    [6, TIME_6, 1],
    [6, 100, 0],
  ] as const)("SYN-SENT, IPv%i type %i code %i says nothing", (family, type, code) => {
    const h = tired(world, family);
    h.events();
    for (let i = 0; i < 2; i++) expect(error(h, type, code, 0)).toBe("ICMP error dropped");
    expect(h.state).toBe("SYN-SENT");
    expect(h.conn.softError).toBeUndefined();
    expect(h.events()).toEqual([]);
  });

  test("SYN-RECEIVED of a listener: no error is for its user", () => {
    const h = reach("SYN-RECEIVED", world, FREEBSD, { origin: "passive" });
    error(h, DESTINATION, 1, 0);
    error(h, DESTINATION, 3, 0);
    expect(h.state).toBe("SYN-RECEIVED");
    expect(h.events()).toEqual([]);
  });

  test("SYN-RECEIVED of a simultaneous open: an error like others, port unreachable too late", () => {
    const h = reach("SYN-RECEIVED", world, FREEBSD, { origin: "active" });
    error(h, DESTINATION, 1, 0);
    expect(h.conn.softError).toBe("EHOSTUNREACH");
    expect(error(h, DESTINATION, 3, 0)).toContain("the peer has answered");
    expect(h.state).toBe("SYN-RECEIVED");
  });

  test("ESTABLISHED: host unreachable is nothing, another error is soft", () => {
    const h = reach("ESTABLISHED", world, FREEBSD);
    h.send(10);
    error(h, DESTINATION, 1, 1);
    expect(h.events()).toEqual([]);
    error(h, PARAMETER, 0, 1);
    expect(h.conn.softError).toBe("ENOPROTOOPT");
    expect(h.events()).toEqual(["trouble"]);
  });
});
