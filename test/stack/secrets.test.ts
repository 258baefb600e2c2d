import { describe, expect, it } from "vitest";
import { SeededRandom } from "../../src/base/random.js";
import { SECOND } from "../../src/base/time.js";
import { Secrets } from "../../src/stack/secrets.js";
import { parseAddress } from "../../src/wire/address.js";
import { LOCAL, LOCAL6, REMOTE, REMOTE6 } from "./rig.js";

const secrets = new Secrets(new SeededRandom(1));

describe("initial sequence numbers (RFC 6528) (SHLD-1, RFC 6528 §3)", () => {
  it("advance by one every 4 µs for the same four-tuple, and wrap (MUST-8)", () => {
    const first = secrets.isn(LOCAL, 80, REMOTE, 4000, 0);
    expect(secrets.isn(LOCAL, 80, REMOTE, 4000, 3)).toBe(first);
    expect(secrets.isn(LOCAL, 80, REMOTE, 4000, 4)).toBe((first + 1) >>> 0);
    expect(secrets.isn(LOCAL, 80, REMOTE, 4000, SECOND)).toBe((first + 250_000) >>> 0);
    // Once around the sequence space takes 4.77 hours.
    expect(secrets.isn(LOCAL, 80, REMOTE, 4000, 4 * 2 ** 32)).toBe(first);
    const wrapping = secrets.isn(LOCAL, 80, REMOTE, 4000, 4 * (2 ** 32 - first));
    expect(wrapping).toBe(0);
  });

  it("differ with each part of the four-tuple, in both families", () => {
    const other = parseAddress("10.0.0.3");
    const v4 = [
      secrets.isn(LOCAL, 80, REMOTE, 4000, 0),
      secrets.isn(other, 80, REMOTE, 4000, 0),
      secrets.isn(LOCAL, 81, REMOTE, 4000, 0),
      secrets.isn(LOCAL, 80, other, 4000, 0),
      secrets.isn(LOCAL, 80, REMOTE, 4001, 0),
      secrets.isn(REMOTE, 80, LOCAL, 4000, 0),
      secrets.isn(LOCAL, 4000, REMOTE, 80, 0),
    ];
    const v6 = ["2001:db8::2", "2001:db8::1:0:2", "2001:db8:0:1::2", "2001:db9::2", "2001:db8::3"].map((text) =>
      secrets.isn(LOCAL6, 80, parseAddress(text), 4000, 0),
    );
    const locals = ["2001:db8::2", "2001:db8::1:0:1", "2001:db8:0:1::1", "2001:db9::1"].map((text) =>
      secrets.isn(parseAddress(text), 80, REMOTE6, 4000, 0),
    );
    expect(new Set([...v4, ...v6, ...locals]).size).toBe(v4.length + v6.length + locals.length);
    // No trace of the ports: neighbours in the tuple are no neighbours in the sequence space.
    const steps = Array.from({ length: 200 }, (_, i) => secrets.isn(LOCAL, 80, REMOTE, 4000 + i, 0));
    const near = steps.filter((isn, i) => i > 0 && Math.abs((isn - (steps[i - 1] ?? 0)) | 0) < 2 ** 20);
    expect(near.length).toBeLessThan(5);
  });

  it("differ with the secret (MUST-9)", () => {
    const others = new Secrets(new SeededRandom(2));
    expect(others.isn(LOCAL, 80, REMOTE, 4000, 0)).not.toBe(secrets.isn(LOCAL, 80, REMOTE, 4000, 0));
    expect(others.isn(LOCAL6, 80, REMOTE6, 4000, 0)).not.toBe(secrets.isn(LOCAL6, 80, REMOTE6, 4000, 0));
  });
});

describe("other secrets", () => {
  it("begin the search for a port at a place of their own for each peer (RFC 6056 §3.3)", () => {
    expect(secrets.portOffset(LOCAL, REMOTE, 80)).toBe(secrets.portOffset(LOCAL, REMOTE, 80));
    const offsets = [80, 81, 443].map((port) => secrets.portOffset(LOCAL, REMOTE, port));
    expect(new Set(offsets).size).toBe(3);
    expect(secrets.portOffset(LOCAL6, REMOTE6, 80)).not.toBe(secrets.portOffset(LOCAL6, LOCAL6, 80));
  });

  it("keep one clock of timestamps for each pair of addresses, whatever the ports (RFC 7323 §7.1)", () => {
    expect(secrets.timestampOffset(LOCAL, REMOTE)).toBe(secrets.timestampOffset(LOCAL, REMOTE));
    expect(secrets.timestampOffset(LOCAL, REMOTE)).not.toBe(secrets.timestampOffset(REMOTE, LOCAL));
    expect(secrets.timestampOffset(LOCAL6, REMOTE6)).not.toBe(secrets.timestampOffset(LOCAL6, LOCAL6));
  });

  it("use a key each: one tells nothing of the other", () => {
    const values = [
      secrets.isn(LOCAL, 0, REMOTE, 0, 0),
      secrets.portOffset(LOCAL, REMOTE, 0),
      secrets.tableHash(LOCAL, 0, REMOTE, 0),
      secrets.timestampOffset(LOCAL, REMOTE),
    ];
    expect(new Set(values).size).toBe(4);
  });
});
