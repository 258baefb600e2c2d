/** Fast Open between two stacks of ours, with each segment of the handshake lost in turn. */
import { describe, expect, it } from "vitest";
import { MILLISECOND, type Micros, SECOND } from "../../src/base/time.js";
import type { LinkOptions } from "../../src/sim/link.js";
import type { Connection } from "../../src/tcp/connection.js";
import { ascii, text } from "../stack/fast-open-support.js";
import { PORT, twoHosts, type World } from "./worlds.js";

const DELAY = 10 * MILLISECOND;

interface Exchange {
  /** When the server had the request, the client the answer, after OPEN. */
  readonly requestAfter: Micros;
  readonly answerAfter: Micros;
  readonly client: Connection;
}

function world(seed = 5, faults: LinkOptions = {}): World {
  const made = twoHosts(seed, { delayUs: DELAY, ...faults }, { fastOpen: "both" });
  made.b.listen(
    PORT,
    (connection) => {
      connection.context = "";
      return (_, event) => {
        if (event !== "readable") return;
        connection.context = String(connection.context) + take(connection);
        if (connection.context === "request") {
          requestAt = made.sim.now;
          connection.context = "";
          connection.send(ascii("answer"));
        }
        if (connection.endOfData) connection.shutdown(made.sim.now);
      };
    },
    { fastOpenQueue: 4 },
  );
  return made;
}

let requestAt = 0;

function take(connection: Connection): string {
  const bytes = new Uint8Array(100);
  return text(bytes.subarray(0, connection.read(bytes)));
}

/** One request and its answer on a connection of its own. */
function exchange({ sim, a, b }: World): Exchange {
  const start = sim.now;
  let answerAt = -1;
  let got = "";
  const client = a.stack.connect({ local: a.address, remote: b.address, remotePort: PORT, data: ascii("request") }, sim.now);
  a.adopt(client, (connection, event) => {
    if (event === "readable") got += take(connection);
    if (got === "answer" && answerAt < 0) {
      answerAt = sim.now;
      connection.close(sim.now);
    }
  });
  sim.run({ until: start + 200 * SECOND, done: () => answerAt >= 0 });
  expect(got).toBe("answer");
  return { requestAfter: requestAt - start, answerAfter: answerAt - start, client };
}

describe("request and answer", () => {
  it("the first time a cookie is fetched: two round trips; ever after one (RFC 7413 §4.2)", () => {
    const made = world();
    const first = exchange(made);
    expect([first.requestAfter, first.answerAfter]).toEqual([3 * DELAY, 4 * DELAY]);
    const second = exchange(made);
    expect([second.requestAfter, second.answerAfter]).toEqual([DELAY, 2 * DELAY]);
    expect(second.client.info(made.sim.now)).toMatchObject({ tcpi_fastopen_client_fail: 0, tcpi_total_retrans: 0 });
  });

  it.each(["S", "S.", "P.", "."] as const)("with the first %s lost, either way, all arrives once and in time", (flags) => {
    for (const direction of ["there", "back"] as const) {
      const made = world();
      exchange(made);
      let lost = 0;
      made[direction].filter = (bytes) => {
        const letters = FLAGS.get(bytes[33] ?? 0);
        return letters !== flags || lost++ > 0;
      };
      const { answerAfter } = exchange(made);
      expect(answerAfter).toBeLessThan(4 * SECOND);
      made.sim.run({ until: made.sim.now + 200 * SECOND });
      expect([made.a.stack.connectionCount, made.b.stack.connectionCount]).toEqual([0, 0]);
    }
  });
});

describe("on a bad path", () => {
  it("requests and answers arrive once and whole, with Fast Open as soon as there is a cookie, and nothing is left over", () => {
    let withData = 0;
    for (let seed = 1; seed <= 60; seed++) {
      const made = world(seed, { loss: 0.15, duplicate: 0.2, reorder: 0.3, corrupt: 0.02 });
      for (let i = 0; i < 4; i++) {
        const { client } = exchange(made);
        if (client.tcb.fastOpen.synDataAcked) withData++;
      }
      made.sim.run({ until: made.sim.now + 400 * SECOND });
      expect([seed, made.a.stack.connectionCount, made.b.stack.connectionCount]).toEqual([seed, 0, 0]);
    }
    expect(withData).toBeGreaterThan(80);
  });
});

const FLAGS: ReadonlyMap<number, string> = new Map([
  [2, "S"],
  [0x12, "S."],
  [0x18, "P."],
  [0x10, "."],
]);
