/**
 * Arbitrary segments, user calls and time, seeded, in every state. Whatever comes: nothing throws, the sequence variables
 * keep their order, the advertised edge never goes back, a timer runs whenever something is owed, "closed" is told last.
 */
import { expect, test } from "vitest";
import { chance, randomBelow, SeededRandom } from "../../src/base/random.js";
import { seqDiff } from "../../src/base/seq.js";
import { NEVER } from "../../src/base/time.js";
import { isSynchronized } from "../../src/tcp/state.js";
import type { TcpOption } from "../../src/wire/tcp-options.js";
import { type Harness, type Reachable, reach, type Sent, type Stimulus, WORLDS } from "./harness.js";

const STATES: readonly Reachable[] = [
  "LISTEN",
  "SYN-SENT",
  "SYN-RECEIVED",
  "ESTABLISHED",
  "FIN-WAIT-1",
  "FIN-WAIT-2",
  "CLOSE-WAIT",
  "CLOSING",
  "LAST-ACK",
  "TIME-WAIT",
];

const SEGMENTS_A_STATE = 20_000;
/** After so many a connection is given up for a new one, lest all of them die early. */
const SEGMENTS_A_LIFE = 25;

test.each(STATES)("%s", (state) => {
  const random = new SeededRandom(STATES.indexOf(state) + 1);
  let segments = 0;
  const reached = new Set<string>();
  for (let life = 0; segments < SEGMENTS_A_STATE; life++) {
    const timestamps = chance(random, 0.2);
    const config = { timestamps, noDelay: chance(random, 0.5), windowScaling: chance(random, 0.3) };
    const world = WORLDS[life % 2];
    const options = { origin: chance(random, 0.5) ? "active" : "passive", ...(timestamps ? { peerTs: 1_000 } : {}) } as const;
    const h = reach(state, world, config, options);
    const script: unknown[] = [];
    const check = invariants(h);
    try {
      for (let i = 0; i < SEGMENTS_A_LIFE && h.state !== "CLOSED"; i++) {
        // Back in LISTEN the TCB is done: the stack makes a new one for the next SYN.
        if (i > 0 && h.state === "LISTEN") break;
        if (chance(random, 0.5)) userCall(random, h, script);
        if (chance(random, 0.1)) {
          script.push("timer");
          check([...h.poll(), ...h.nextTimer()]);
        }
        const stimulus = arbitrary(random, h);
        script.push(stimulus);
        h.give(stimulus);
        segments++;
        if (chance(random, 0.8)) check(h.poll());
      }
      check(h.poll());
      reached.add(h.state);
    } catch (error) {
      throw new Error(`${state}, life ${life}: ${JSON.stringify(script)}`, { cause: error });
    }
  }
  // The generator is worth its name only if it gets somewhere.
  expect(reached.size).toBeGreaterThan(1);
});

/** A function that proves what must hold after every drain. */
function invariants(h: Harness): (sent: readonly Sent[]) => void {
  let edge: number | undefined;
  let wireEdge: number | undefined;
  let closed = false;
  return (sent) => {
    const { tcb, state } = h;
    const { snd, rcv, timers } = tcb;
    if (seqDiff(snd.nxt, snd.una) < 0 || seqDiff(snd.max, snd.nxt) < 0) throw new Error("not UNA <= NXT <= MAX");
    if (tcb.receiveQueue.length > tcb.config.receiveBufferBytes + 32) throw new Error("more received than there is room");
    if (isSynchronized(state)) {
      if (edge !== undefined && seqDiff(rcv.adv, edge) < 0) throw new Error("the edge went back");
      if (tcb.receiveWindow < 0) throw new Error("RCV.NXT beyond the edge");
      edge = rcv.adv;
    }
    for (const packet of sent) {
      if (packet.payload.length > snd.mss) throw new Error("longer than the MSS");
      // With scaling off the edge on the wire is exact.
      if (packet.flags.includes(".") && !/[SR]/.test(packet.flags) && !tcb.scaling) {
        const at = (packet.ack + packet.wnd) >>> 0;
        if (wireEdge !== undefined && seqDiff(at, wireEdge) < 0) throw new Error("the advertised edge went back");
        wireEdge = at;
      }
    }
    const handshake = state === "SYN-SENT" || state === "SYN-RECEIVED";
    const finWaits = tcb.finQueued && (state === "FIN-WAIT-1" || state === "CLOSING" || state === "LAST-ACK");
    const owed = isSynchronized(state) && (tcb.sendQueue.length > 0 || snd.una !== snd.max || finWaits);
    const armed = timers.retransmission !== NEVER || timers.persist !== NEVER;
    if ((owed || handshake) && !armed) throw new Error("something is owed and no timer runs");
    if (!owed && !handshake && armed) throw new Error("a timer runs for nothing");
    if ((state === "TIME-WAIT") !== (timers.timeWait !== NEVER)) throw new Error("2MSL timer");
    if (state === "CLOSED" && h.conn.nextTimeout() !== NEVER) throw new Error("a closed connection has a timer");
    for (const event of h.events()) {
      if (closed) throw new Error(`${event} after closed`);
      closed = event === "closed";
    }
    if (closed !== (state === "CLOSED")) throw new Error("closed is told when it is true");
  };
}

function userCall(random: SeededRandom, h: Harness, script: unknown[]): void {
  const choice = randomBelow(random, 24);
  script.push(`call ${choice}`);
  if (choice < 10) {
    const maySend = !h.tcb.finQueued && ["SYN-SENT", "SYN-RECEIVED", "ESTABLISHED", "CLOSE-WAIT"].includes(h.state);
    if (maySend) h.conn.send(new Uint8Array(1 + randomBelow(random, 3_000)), 0, undefined, chance(random, 0.1));
  } else if (choice < 20) h.read(randomBelow(random, 2_000));
  else if (choice < 22) h.conn.shutdown(h.now);
  else if (choice === 22 && h.state !== "LISTEN") h.conn.close(h.now);
}

/** A segment near enough to the truth to get past the first step most of the time. */
function arbitrary(random: SeededRandom, h: Harness): Stimulus {
  const pick = <T>(items: readonly T[]): T => items[randomBelow(random, items.length)] as T;
  const seq = h.rcvNxt + pick([0, 0, 0, 0, -1, 1, -10, 10, 500, 3_999, 4_000, -1_000, random.u32()]);
  const out = Math.max(1, h.sndMax - h.sndUna);
  const ack = pick([h.sndMax, h.sndMax, h.sndUna, h.sndUna, h.sndUna + randomBelow(random, out), h.sndMax + 1, random.u32()]);
  const options: TcpOption[] = [];
  if (chance(random, 0.1)) options.push({ kind: "mss", mss: pick([0, 100, 1_460, 65_535]) });
  if (chance(random, 0.1)) options.push({ kind: "window-scale", shift: randomBelow(random, 256) });
  if (chance(random, 0.05)) options.push({ kind: "unknown", number: 1 + randomBelow(random, 250), data: new Uint8Array(3) });
  if (h.state === "LISTEN") return { flags: "S", seq: random.u32(), options, data: pick([0, 0, 10]) };
  const stimulus = {
    flags: pick([".", ".", ".", ".", "P.", "P.", "F.", "FP.", "S.", "S", "R", "R.", "U.", "", "F", "SF.", "SR", "FU."]),
    seq,
    ack,
    wnd: pick([0, 1, 100, 1_000, 10_000, 10_000, 65_535]),
    up: pick([0, 1, 10, 65_535]),
    data: pick([0, 0, 0, 1, 10, 1_000, 5_000]),
    options,
  };
  return h.peerTs !== undefined && chance(random, 0.3)
    ? { ...stimulus, ts: [pick([999, 1_001, random.u32()]), random.u32()] }
    : stimulus;
}
