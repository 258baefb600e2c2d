import { describe, it } from "vitest";
import { chance, type Random, randomBelow, SeededRandom } from "../../src/base/random.js";
import { MILLISECOND, type Micros, SECOND } from "../../src/base/time.js";
import { streamByte } from "../../src/sim/apps.js";
import type { ConnectionUser } from "../../src/sim/host.js";
import type { LinkOptions } from "../../src/sim/link.js";
import type { Simulation } from "../../src/sim/simulation.js";
import type { ConnectionConfig } from "../../src/tcp/config.js";
import type { Connection } from "../../src/tcp/connection.js";
import { readSent } from "../stack/rig.js";
import { Watch } from "./invariants.js";
import { PORT, twoHosts } from "./worlds.js";

/** At the most; the time-box below may stop before. */
const SEEDS = 600;
const LEAST_SEEDS = 50;
const TIME_BOX_MS = 12_000;

describe("invariants of whole worlds", () => {
  it("hold after every event of random scenarios", { timeout: 120_000 }, () => {
    const end = performance.now() + TIME_BOX_MS;
    for (let seed = 1; seed <= SEEDS; seed++) {
      if (seed > LEAST_SEEDS && performance.now() > end) break;
      try {
        runScenario(seed);
      } catch (error) {
        throw new Error(`seed ${seed}: ${error instanceof Error ? error.message : error}`, { cause: error });
      }
    }
  });
});

/** A random network, random settings, and two users who do random things until both end the connection. */
function runScenario(seed: number): void {
  const random = new SeededRandom(seed * 7919);
  const settings = randomSettings(random);
  const { sim, a, b } = twoHosts(seed, randomLink(random), settings, chance(random, 0.3) ? 6 : 4);
  const watches = { a: new Watch(a), b: new Watch(b) };
  sim.witness = (t, from, _to, fate, bytes, note) => {
    if (fate === "sent") watches[from === "a" ? "a" : "b"].sent(readSent(bytes, t, note));
  };
  const streams = { a: { sent: 0 }, b: { sent: 0 } };
  const endAt = randomBelow(random, 40 * SECOND) + SECOND;
  const client = new RandomUser(sim, new SeededRandom(seed ^ 0x5555), 1, 2, streams.a, streams.b, endAt);
  b.listen(PORT, (connection) => {
    const server = new RandomUser(sim, new SeededRandom(seed ^ 0xaaaa), 2, 1, streams.b, streams.a, endAt);
    server.begin(connection);
    return server.user;
  });
  const [local, remote] = [5000, PORT];
  client.begin(a.connect(b, remote, client.user, {}, local));
  sim.run({
    until: 5000 * SECOND,
    maxEvents: 2_000_000,
    done: () => {
      watches.a.afterEvent();
      watches.b.afterEvent();
      return false;
    },
  });
  const left = a.stack.connectionCount + b.stack.connectionCount;
  if (left > 0) {
    const states = [...a.stack.connections(), ...b.stack.connections()].map((c) => JSON.stringify(c.status()));
    throw new Error(`${left} connections are left: ${states.join(" ")}`);
  }
  if ([...a.stack.ports()].length > 0) throw new Error("a port is held");
}

function pick<T>(random: Random, values: readonly T[]): T {
  return values[randomBelow(random, values.length)] as T;
}

function randomLink(random: Random): LinkOptions {
  return {
    delayUs: pick(random, [0, 100, 10 * MILLISECOND, 200 * MILLISECOND]),
    jitterUs: pick(random, [0, 0, 5 * MILLISECOND]),
    rateBps: pick(random, [0, 0, 500_000, 20_000_000]),
    queueBytes: pick(random, [3000, 65_536]),
    loss: pick(random, [0, 0, 0.02, 0.1, 0.3]),
    duplicate: pick(random, [0, 0.1]),
    reorder: pick(random, [0, 0.1, 0.3]),
    corrupt: pick(random, [0, 0, 0.05]),
  };
}

function randomSettings(random: Random): Partial<ConnectionConfig> {
  return {
    mtuBytes: pick(random, [576, 1500, 9000, 65_535]),
    mssBytes: pick(random, [100, 536, 65_495]),
    sendBufferBytes: pick(random, [1, 1000, 20_000, 1 << 20]),
    receiveBufferBytes: pick(random, [1, 100, 4096, 65_535, 70_000, 1 << 20]),
    windowScaling: chance(random, 0.7),
    timestamps: chance(random, 0.7),
    noDelay: chance(random, 0.3),
    delayedAckUs: pick(random, [0, 40 * MILLISECOND, 400 * MILLISECOND]),
    finWait2Us: 20 * SECOND,
    mslUs: 5 * SECOND,
  };
}

/** Sends, reads, waits and closes at random, and checks that what comes is what the other one sent. */
class RandomUser {
  readonly user: ConnectionUser;
  readonly #sim: Simulation;
  readonly #random: Random;
  readonly #sendSalt: number;
  readonly #receiveSalt: number;
  readonly #mine: { sent: number };
  readonly #theirs: { sent: number };
  readonly #endAt: Micros;
  #received = 0;

  constructor(
    sim: Simulation,
    random: Random,
    sendSalt: number,
    receiveSalt: number,
    mine: { sent: number },
    theirs: { sent: number },
    endAt: Micros,
  ) {
    this.#sim = sim;
    this.#random = random;
    this.#sendSalt = sendSalt;
    this.#receiveSalt = receiveSalt;
    this.#mine = mine;
    this.#theirs = theirs;
    this.#endAt = endAt;
    this.user = (connection, event) => {
      if (event === "closed") this.#read(connection, 1 << 20);
      else if (chance(random, 0.5)) this.#act(connection);
    };
  }

  /** Acts now and again until the end, and then ends the connection for good. */
  begin(connection: Connection): void {
    const next = (): void => {
      if (connection.state === "CLOSED") return;
      if (this.#sim.now >= this.#endAt) {
        this.#end(connection);
        return;
      }
      this.#act(connection);
      this.#sim.schedule(this.#sim.now + 1 + randomBelow(this.#random, SECOND / 2), next);
    };
    this.#sim.schedule(this.#sim.now + randomBelow(this.#random, 100 * MILLISECOND), next);
  }

  #act(connection: Connection): void {
    const dice = randomBelow(this.#random, 1000);
    if (dice < 500) this.#send(connection, 1 + randomBelow(this.#random, pick(this.#random, [10, 3000, 40_000])));
    else if (dice < 985) this.#read(connection, 1 + randomBelow(this.#random, pick(this.#random, [10, 5000, 100_000])));
    else if (dice < 995) connection.shutdown(this.#sim.now);
    else if (dice < 998) connection.close(this.#sim.now);
    else connection.abort(this.#sim.now);
  }

  #end(connection: Connection): void {
    connection.shutdown(this.#sim.now);
    const drain = (): void => {
      this.#read(connection, 1 << 20);
      if (connection.state === "CLOSED") return;
      // Nobody waits for ever: after a while it is aborted.
      if (this.#sim.now > this.#endAt + 1000 * SECOND) connection.abort(this.#sim.now);
      else this.#sim.schedule(this.#sim.now + SECOND / 2, drain);
    };
    drain();
  }

  #send(connection: Connection, count: number): void {
    const { state, tcb } = connection;
    const open = state === "SYN-SENT" || state === "SYN-RECEIVED" || state === "ESTABLISHED" || state === "CLOSE-WAIT";
    if (!open || tcb.finQueued) return;
    const data = new Uint8Array(count);
    for (let i = 0; i < count; i++) data[i] = streamByte(this.#mine.sent + i, this.#sendSalt);
    // What is taken may be sent and delivered within the call.
    this.#mine.sent += Math.min(count, connection.writableBytes);
    connection.send(data, 0, count, chance(this.#random, 0.05));
  }

  #read(connection: Connection, count: number): void {
    const data = new Uint8Array(count);
    const got = connection.read(data);
    for (let i = 0; i < got; i++) {
      if (data[i] !== streamByte(this.#received + i, this.#receiveSalt)) throw new Error(`wrong byte at ${this.#received + i}`);
    }
    this.#received += got;
    if (this.#received > this.#theirs.sent) throw new Error(`received ${this.#received} of ${this.#theirs.sent}`);
  }
}
