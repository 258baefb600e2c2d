/** Worlds of two hosts and a transfer in both directions at once, for the grids of seeds. */
import { type Micros, SECOND } from "../../src/base/time.js";
import { type StreamReport, streamUser } from "../../src/sim/apps.js";
import type { SimHost } from "../../src/sim/host.js";
import type { LinkOptions } from "../../src/sim/link.js";
import { Simulation } from "../../src/sim/simulation.js";
import type { ConnectionConfig } from "../../src/tcp/config.js";
import { parseAddress } from "../../src/wire/address.js";

export const PORT = 80;

export interface World {
  readonly sim: Simulation;
  readonly a: SimHost;
  readonly b: SimHost;
  readonly there: ReturnType<Simulation["link"]>[0];
  readonly back: ReturnType<Simulation["link"]>[1];
}

/** Hosts "a" and "b" on one link, the same faults in both directions. */
export function twoHosts(
  seed: number,
  link: LinkOptions = {},
  connection: Partial<ConnectionConfig> = {},
  family: 4 | 6 = 4,
): World {
  const sim = new Simulation(seed);
  const a = sim.host("a", parseAddress(family === 4 ? "10.0.0.1" : "2001:db8::1"), { connection });
  const b = sim.host("b", parseAddress(family === 4 ? "10.0.0.2" : "2001:db8::2"), { connection });
  const [there, back] = sim.link(a, b, link);
  return { sim, a, b, there, back };
}

export interface TransferOptions {
  readonly bytes: number;
  readonly link: LinkOptions;
  readonly connection?: Partial<ConnectionConfig>;
  readonly family?: 4 | 6;
  /** Virtual time at the most. */
  readonly within: Micros;
}

export interface TransferResult {
  readonly client: StreamReport;
  readonly server: StreamReport | undefined;
  /** When the later of the two streams was whole, µs of virtual time. */
  readonly doneAt: Micros;
  readonly restAt: Micros;
  readonly leftOver: number;
}

/**
 * Streams of `bytes` both ways at once. Throws with the seed when a byte is wrong or missing, a connection does not end, or
 * anything is left in a table.
 */
export function transferBothWays(seed: number, options: TransferOptions): TransferResult {
  const { sim, a, b } = twoHosts(seed, options.link, options.connection, options.family);
  const now = (): Micros => sim.now;
  const client = streamUser({ now, sendBytes: options.bytes, sendSalt: 1, receiveSalt: 2 });
  let server: ReturnType<typeof streamUser> | undefined;
  b.listen(PORT, () => {
    server = streamUser({ now, sendBytes: options.bytes, sendSalt: 2, receiveSalt: 1 });
    return server.user;
  });
  a.connect(b, PORT, client.user);
  let doneAt = 0;
  const rested = sim.run({
    until: options.within + 120 * SECOND,
    done: () => {
      if (doneAt === 0 && client.report.ended && server?.report.ended === true) doneAt = sim.now;
      return doneAt > 0 && a.stack.connectionCount + b.stack.connectionCount === 0;
    },
  });
  const result: TransferResult = {
    client: client.report,
    server: server?.report,
    doneAt,
    restAt: sim.now,
    leftOver: a.stack.connectionCount + b.stack.connectionCount,
  };
  const wrong = faultOf(result, options);
  if (wrong !== "" || !rested) throw new Error(`seed ${seed}: ${wrong || "did not come to rest"}: ${JSON.stringify(result)}`);
  return result;
}

function faultOf(result: TransferResult, options: TransferOptions): string {
  for (const report of [result.client, result.server]) {
    if (report === undefined) return "no connection was accepted";
    if (report.firstWrong >= 0) return `wrong byte at ${report.firstWrong}`;
    if (report.received !== options.bytes) return "bytes are missing";
    if (report.failed !== undefined) return `failed: ${report.failed}`;
    if (!report.ended || !report.closed) return "did not end";
  }
  if (result.doneAt > options.within) return "took too long";
  return result.leftOver > 0 ? "connections are left" : "";
}

/** Runs every seed of a range and returns the goodputs in bytes of both streams a second of virtual time, ascending. */
export function grid(firstSeed: number, count: number, options: TransferOptions): number[] {
  const goodputs: number[] = [];
  for (let seed = firstSeed; seed < firstSeed + count; seed++) {
    const { doneAt } = transferBothWays(seed, options);
    goodputs.push((2 * options.bytes * SECOND) / Math.max(1, doneAt));
  }
  return goodputs.sort((x, y) => x - y);
}
