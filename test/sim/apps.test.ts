import { describe, expect, it } from "vitest";
import { SECOND } from "../../src/base/time.js";
import { streamByte, streamUser } from "../../src/sim/apps.js";
import type { ConnectionUser } from "../../src/sim/host.js";
import { PORT, transferBothWays, twoHosts } from "./worlds.js";

describe("streams that can be checked", () => {
  it("differ with the salt and do not repeat within what a window may hold", () => {
    const window = 70_000;
    const stream = (salt: number): Uint8Array => Uint8Array.from({ length: 2 * window }, (_, i) => streamByte(i, salt));
    const [one, two] = [stream(1), stream(2)];
    const equal = (a: Uint8Array, b: Uint8Array, shift: number): number =>
      a.slice(0, 4096).reduce((count, byte, i) => count + (byte === b[i + shift] ? 1 : 0), 0);
    expect(equal(one, two, 0)).toBeLessThan(2048);
    // Data that is off by a segment, a power of two or a window shows at once.
    for (const shift of [1, 88, 536, 1448, 1460, 4096, 16_384, 32_768, 65_535, 65_536]) {
      expect(equal(one, one, shift)).toBeLessThan(2048);
    }
  });

  it("name the place of the first wrong byte", () => {
    const { sim, a, b } = twoHosts(1);
    const receiver = streamUser({ now: () => sim.now, sendBytes: 0, sendSalt: 2, receiveSalt: 1 });
    b.listen(PORT, () => receiver.user);
    const liar: ConnectionUser = (connection, event) => {
      if (event !== "established") return;
      const data = Uint8Array.from({ length: 5000 }, (_, i) => streamByte(i, 1));
      data[3210] = (data[3210] ?? 0) ^ 1;
      connection.send(data);
      connection.shutdown(sim.now);
    };
    a.connect(b, PORT, liar);
    sim.run();
    expect(receiver.report).toMatchObject({ firstWrong: 3210, received: 5000, ended: true, closed: true });
  });

  it("may wait for the end of the other stream before they close", () => {
    const { sim, a, b } = twoHosts(1);
    const now = (): number => sim.now;
    const server = streamUser({ now, sendBytes: 100, sendSalt: 2, receiveSalt: 1, closeLast: true });
    b.listen(PORT, () => server.user);
    const client = streamUser({ now, sendBytes: -1, sendSalt: 1, receiveSalt: 2 });
    const connection = a.connect(b, PORT, client.user);
    sim.run({ until: 10 * SECOND });
    // Each waits for the other.
    expect(client.report).toMatchObject({ received: 100, ended: false });
    expect(connection.state).toBe("ESTABLISHED");
    connection.shutdown(sim.now);
    sim.run();
    expect([client.report.closed, server.report.closed]).toEqual([true, true]);
  });
});

describe("the check of a transfer", () => {
  it("fails, with the seed, when it takes too long", () => {
    const options = { bytes: 100_000, link: { loss: 0.1 }, within: 1000 };
    expect(() => transferBothWays(77, options)).toThrow(/^seed 77: took too long/);
  });

  it("fails when the network lets nothing through", () => {
    const options = { bytes: 10, link: { loss: 1 }, within: 10 * SECOND };
    expect(() => transferBothWays(78, options)).toThrow(/^seed 78: bytes are missing/);
  });
});
