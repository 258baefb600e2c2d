/**
 * A man in the middle of a live simulated connection, who rewrites headers (flags, numbers, window, urgent pointer, data offset,
 * options; checksum mended or not), sends copies of what passes later and changed, and loses some of it. Two of our stacks bear it:
 * nothing throws, every invariant holds after every event, what is kept stays bounded, and in the end nothing is left.
 */
import { expect, test } from "vitest";
import { chance, type Random, randomBelow, SeededRandom } from "../../src/base/random.js";
import { MILLISECOND, SECOND } from "../../src/base/time.js";
import type { ConnectionUser, SimHost } from "../../src/sim/host.js";
import type { Simulation } from "../../src/sim/simulation.js";
import { congestionByName } from "../../src/tcp/congestion-controls.js";
import type { Connection } from "../../src/tcp/connection.js";
import { getU16, getU32, putU16, putU32 } from "../../src/wire/bytes.js";
import { addBytes, finish, pseudoHeaderSum } from "../../src/wire/checksum.js";
import { PROTOCOL_TCP } from "../../src/wire/ip-packet.js";
import { fuzz, fuzzBudget } from "../fuzz-budget.js";
import { readSent } from "../stack/rig.js";
import { Watch } from "./invariants.js";
import { PORT, twoHosts, type World } from "./worlds.js";

const ROUNDS = 60;
const IP = 20;
/** Both users are gone by then, and so must everything be that they left behind. */
const END = 60 * SECOND;
const REST = 7_200 * SECOND;

interface Tally {
  rewritten: number;
  forged: number;
  received: number;
}

test("two stacks bear a man in the middle", { timeout: fuzzBudget(ROUNDS, 8).timeout }, () => {
  const tally: Tally = { rewritten: 0, forged: 0, received: 0 };
  const rounds = fuzz(fuzzBudget(ROUNDS, 8), (seed) => round(seed, tally));
  // He was there, and yet something came through.
  expect(tally.rewritten).toBeGreaterThan(rounds);
  expect(tally.forged).toBeGreaterThan(rounds);
  expect(tally.received).toBeGreaterThan(1_000 * rounds);
  if (process.env["FUZZ_REPORT"] !== undefined) console.log(`${rounds} rounds: ${JSON.stringify(tally)}`);
});

function round(seed: number, tally: Tally): void {
  const random = new SeededRandom(seed * 2_654_435 + 1);
  const world = worldOf(seed, random);
  const { sim, a, b, there, back } = world;
  const watches = { a: new Watch(a), b: new Watch(b) };
  sim.witness = (t, from, _to, fate, bytes, note) => {
    if (fate === "sent") watches[from === "a" ? "a" : "b"].sent(readSent(bytes, t, note));
  };
  const middle = new Middle(sim, random, tally, chance(random, 0.5) ? 0.02 : 0.2);
  there.filter = middle.filter(a, b);
  back.filter = middle.filter(b, a);
  const serve = () => user(sim, random, tally);
  b.listen(PORT, serve);
  for (let i = 0; i < 3; i++) begin(sim, a.connect(b, PORT, user(sim, random, tally)), random);
  sim.schedule(END, () => endAll(world, (connection) => connection.shutdown(sim.now)));
  sim.schedule(END + 300 * SECOND, () => endAll(world, (connection) => connection.abort(sim.now)));
  sim.run({
    until: END + REST,
    maxEvents: 400_000,
    done: () => {
      watches.a.afterEvent();
      watches.b.afterEvent();
      return sim.now > END && a.stack.connectionCount + b.stack.connectionCount === 0;
    },
  });
  const left = [...a.stack.connections(), ...b.stack.connections()].map((connection) => JSON.stringify(connection.status()));
  if (left.length > 0) throw new Error(`${left.length} connections are left: ${left.join(" ")}`);
}

function worldOf(seed: number, random: Random): World {
  const link = {
    delayUs: pick(random, [100, 10 * MILLISECOND, 60 * MILLISECOND]),
    rateBps: pick(random, [0, 5_000_000]),
    queueBytes: 32_768,
    loss: pick(random, [0, 0.01, 0.1]),
    reorder: pick(random, [0, 0.1]),
  };
  return twoHosts(seed, link, {
    mtuBytes: pick(random, [576, 1_500]),
    sack: chance(random, 0.8),
    timestamps: chance(random, 0.6),
    windowScaling: chance(random, 0.6),
    receiveBufferBytes: pick(random, [1_000, 65_536, 300_000]),
    sendBufferBytes: pick(random, [4_000, 65_536]),
    congestion: congestionByName(pick(random, ["cubic", "reno"])),
    mslUs: SECOND,
    r2Us: 100 * SECOND,
  });
}

/** Sits on both links. */
class Middle {
  readonly #sim: Simulation;
  readonly #random: Random;
  readonly #tally: Tally;
  readonly #probability: number;

  constructor(sim: Simulation, random: Random, tally: Tally, probability: number) {
    this.#sim = sim;
    this.#random = random;
    this.#tally = tally;
    this.#probability = probability;
  }

  filter(from: SimHost, to: SimHost): (bytes: Uint8Array) => boolean {
    return (bytes) => {
      if (this.#sim.now > END || !chance(this.#random, this.#probability)) return true;
      const act = randomBelow(this.#random, 10);
      if (act < 5) {
        // The link's own copy of the packet, which goes on as it is now.
        this.#rewrite(bytes, from, to);
        this.#tally.rewritten++;
        return true;
      }
      if (act === 9) return false;
      const copies = chance(this.#random, 0.1) ? 20 : 1;
      for (let i = 0; i < copies; i++) {
        const copy = bytes.slice();
        for (let changes = randomBelow(this.#random, 3); changes >= 0; changes--) this.#rewrite(copy, from, to);
        this.#tally.forged++;
        this.#sim.schedule(this.#sim.now + randomBelow(this.#random, SECOND / 2), () => to.deliver(copy));
      }
      return true;
    };
  }

  #rewrite(bytes: Uint8Array, from: SimHost, to: SimHost): void {
    const random = this.#random;
    const near = () => pick(random, [0, 1, -1, 10, 536, 1_448, -1_448, 30_000, -30_000, random.u32()]);
    switch (randomBelow(random, 9)) {
      case 0:
        bytes[IP + 13] = (bytes[IP + 13] ?? 0) ^ (1 << randomBelow(random, 8));
        break;
      case 1:
        bytes[IP + 13] = random.u32() & 0xff;
        break;
      case 2:
        putU32(bytes, IP + 4, (getU32(bytes, IP + 4) + near()) >>> 0);
        break;
      case 3:
        putU32(bytes, IP + 8, (getU32(bytes, IP + 8) + near()) >>> 0);
        break;
      case 4:
        putU16(bytes, IP + 14, pick(random, [0, 1, 100, getU16(bytes, IP + 14) >>> 1, 0xffff]));
        break;
      case 5:
        putU16(bytes, IP + 18, random.u32() & 0xffff);
        break;
      case 6:
        bytes[IP + 12] = (randomBelow(random, 16) << 4) | ((bytes[IP + 12] ?? 0) & 1);
        break;
      default:
        this.#rewriteOptions(bytes);
    }
    if (!chance(random, 0.8)) return;
    putU16(bytes, IP + 16, 0);
    const length = bytes.length - IP;
    putU16(bytes, IP + 16, finish(addBytes(pseudoHeaderSum(from.address, to.address, PROTOCOL_TCP, length), bytes, IP, length)));
  }

  /** Single bytes of the options, or all of them by a SACK option around the acknowledgment, if they have the room. */
  #rewriteOptions(bytes: Uint8Array): void {
    const random = this.#random;
    const end = Math.min(IP + ((bytes[IP + 12] ?? 0) >>> 4) * 4, bytes.length);
    const room = end - IP - 20;
    if (room >= 12 && chance(random, 0.5)) {
      const ack = getU32(bytes, IP + 8);
      bytes.set([1, 1, 5, 10], IP + 20);
      const left = ack + randomBelow(random, 20_000) - 2_000;
      putU32(bytes, IP + 24, left >>> 0);
      putU32(bytes, IP + 28, (left + randomBelow(random, 5_000)) >>> 0);
    } else if (room > 0) {
      bytes[IP + 20 + randomBelow(random, room)] = random.u32() & 0xff;
    }
  }
}

const BLOCK = new Uint8Array(20_000);

/** Takes what comes, and says something when it is told something. */
function user(sim: Simulation, random: Random, tally: Tally): ConnectionUser {
  return (connection, event) => {
    if (event === "established") begin(sim, connection, random);
    else if (event === "readable") tally.received += connection.read(BLOCK);
    if (event !== "closed") speak(connection, random);
  };
}

/** Speaks and reads now and then, until the end. */
function begin(sim: Simulation, connection: Connection, random: Random): void {
  const next = (): void => {
    if (connection.state === "CLOSED" || sim.now > END) return;
    connection.read(BLOCK);
    speak(connection, random);
    if (chance(random, 0.01)) connection.shutdown(sim.now);
    sim.schedule(sim.now + 1 + randomBelow(random, 2 * SECOND), next);
  };
  sim.schedule(sim.now + randomBelow(random, SECOND), next);
}

function speak(connection: Connection, random: Random): void {
  const { state, tcb } = connection;
  if ((state === "ESTABLISHED" || state === "CLOSE-WAIT") && !tcb.finQueued) {
    connection.send(BLOCK, 0, 1 + randomBelow(random, pick(random, [10, 20_000])), chance(random, 0.02));
  }
}

/** Most close in order; what cannot any more, for the other end is out of step or gone, is aborted later. */
function endAll({ a, b }: World, end: (connection: Connection) => void): void {
  for (const host of [a, b]) {
    for (const connection of [...host.stack.connections()]) {
      connection.read(BLOCK);
      end(connection);
    }
    host.drain();
  }
}

function pick<T>(random: Random, items: readonly T[]): T {
  return items[randomBelow(random, items.length)] as T;
}
