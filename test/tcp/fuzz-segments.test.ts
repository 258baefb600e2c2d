/**
 * Arbitrary and nearly valid segments in every state, with SACK blocks, timestamps and windows that a peer should not send,
 * between user calls and timers. Beside what `fuzz.test.ts` proves, the sender's books must be right after every drain
 * (`engine-invariants.ts`), and what a connection keeps must stay bounded.
 */
import { expect, test } from "vitest";
import { chance, type Random, randomBelow, SeededRandom } from "../../src/base/random.js";
import { seqDiff } from "../../src/base/seq.js";
import { MILLISECOND, NEVER, SECOND } from "../../src/base/time.js";
import { cubic } from "../../src/tcp/cubic.js";
import { newReno } from "../../src/tcp/new-reno.js";
import { NOTE_MTU_PROBE } from "../../src/tcp/output.js";
import { largestMtu } from "../../src/tcp/path-mtu.js";
import { isSynchronized } from "../../src/tcp/state.js";
import { ACK, FIN, RST, SYN } from "../../src/wire/tcp-flags.js";
import type { TcpOption } from "../../src/wire/tcp-options.js";
import { fuzz, fuzzBudget, heapMiB } from "../fuzz-budget.js";
import { Rig } from "../stack/rig.js";
import { checkEngine } from "./engine-invariants.js";
import { type Harness, PEER_MSS, type Reachable, reach, type Stimulus, WORLDS } from "./harness.js";

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

/** Lives a state in an ordinary run, and segments a life. */
const LIVES = 400;
const SEGMENTS = 40;

test.each(STATES)("%s", { timeout: fuzzBudget(LIVES, 5).timeout }, (state) => {
  let segments = 0;
  const reached = new Set<string>();
  const report = process.env["FUZZ_REPORT"] !== undefined;
  const before = report ? heapMiB() : 0;
  const lives = fuzz(fuzzBudget(LIVES, 5), (seed) => {
    const met = life(state, seed, reached);
    segments += met;
    return met;
  });
  // The generator is worth its name only if it gets somewhere.
  expect(segments).toBeGreaterThan(lives / 2);
  if (lives > 50) expect(reached.size).toBeGreaterThan(state === "TIME-WAIT" ? 0 : 1);
  if (report) {
    console.log(
      `${state}: ${segments} segments in ${lives} lives, reached ${[...reached]}; heap ${before} MiB before, ${heapMiB()} after`,
    );
  }
});

test("CLOSED", { timeout: fuzzBudget(LIVES, 5).timeout }, () => {
  const report = process.env["FUZZ_REPORT"] !== undefined;
  const before = report ? heapMiB() : 0;
  const rig = new Rig();
  let segments = 0;
  fuzz(fuzzBudget(LIVES, 5), (seed) => {
    const random = new SeededRandom(seed);
    for (let i = 0; i < SEGMENTS; i++) closedPort(rig, random);
    segments += SEGMENTS;
    return SEGMENTS;
  });
  expect(rig.stack.connectionCount).toBe(0);
  expect(rig.stack.counters.resetsSent).toBeGreaterThan(segments / 3);
  if (report) console.log(`CLOSED: ${segments} segments; heap ${before} MiB before, ${heapMiB()} after`);
});

/** Nobody is there: anything but RST is answered by the one RST that RFC 9293 §3.10.7.1 prescribes, and nothing is kept. */
function closedPort(rig: Rig, random: Random): void {
  const flags = randomBelow(random, 256);
  const seq = random.u32();
  const ack = random.u32();
  const payload = new Uint8Array(pick(random, [0, 0, 1, 100, 1_460]));
  // Option bytes of any kind and length: where they cannot be read the segment is still one for nobody.
  const options = Array.from({ length: 4 * randomBelow(random, 11) }, () =>
    pick(random, [0, 1, 2, 4, 5, 8, 10, random.u32() & 0xff]),
  );
  const sent = rig.inject({
    fromPort: 1 + randomBelow(random, 65_535),
    toPort: 1 + randomBelow(random, 65_535),
    flags,
    seq,
    ack,
    payload,
    options,
  });
  const what = `flags ${flags} seq ${seq} ack ${ack} length ${payload.length} options ${options}: ${JSON.stringify(sent)}`;
  if ((flags & RST) !== 0) {
    if (sent.length > 0) throw new Error(`RST is answered: ${what}`);
    return;
  }
  const [reset, ...others] = sent;
  if (reset === undefined || others.length > 0) throw new Error(`not one RST: ${what}`);
  const length = payload.length + ((flags & SYN) !== 0 ? 1 : 0) + ((flags & FIN) !== 0 ? 1 : 0);
  const wanted = (flags & ACK) !== 0 ? ["R", ack, 0] : ["R.", 0, (seq + length) >>> 0];
  if (`${[reset.flags, reset.seq, reset.ack]}` !== `${wanted}`) throw new Error(`another RST than ${wanted}: ${what}`);
}

/** One connection until it is closed or long enough alive; returns the segments that it was given in the state under test. */
function life(state: Reachable, seed: number, reached: Set<string>): number {
  const random = new SeededRandom(seed * 31 + STATES.indexOf(state));
  const h = start(state, random);
  const script: unknown[] = [];
  let segments = 0;
  let met = 0;
  try {
    check(h);
    for (; segments < SEGMENTS && h.state !== "CLOSED"; segments++) {
      // Back in LISTEN the TCB is done: the stack makes a new one for the next SYN.
      if (segments > 0 && h.state === "LISTEN") break;
      act(random, h, script);
      const stimulus = segment(random, h);
      script.push(stimulus);
      if (h.state === state) met++;
      h.give(stimulus);
      if (chance(random, 0.85)) drain(h);
    }
    drain(h);
    reached.add(h.state);
    if (chance(random, 0.05)) runOut(h);
  } catch (error) {
    throw new Error(`${state}: ${error instanceof Error ? error.message : error}\n${JSON.stringify(script)}`, { cause: error });
  }
  return met;
}

function start(state: Reachable, random: Random): Harness {
  const timestamps = chance(random, 0.4);
  const options: TcpOption[] = [{ kind: "mss", mss: pick(random, [PEER_MSS, PEER_MSS, 48, 200, 1_460]) }];
  if (chance(random, 0.8)) options.push({ kind: "sack-permitted" });
  const windowScaling = chance(random, 0.4);
  if (windowScaling) options.push({ kind: "window-scale", shift: pick(random, [0, 2, 7, 14]) });
  const config = {
    timestamps,
    windowScaling,
    noDelay: chance(random, 0.5),
    receiveBufferBytes: pick(random, [500, 4_000, 70_000]),
    sendBufferBytes: pick(random, [1_000, 20_000, 200_000]),
    mtuBytes: pick(random, [576, 1_040, 1_500]),
    congestion: pick(random, [cubic, newReno]),
    mtuProbing: pick(random, [0, 1, 2] as const),
    finWait2Us: pick(random, [NEVER, 60 * SECOND]),
    receiver: pick(random, ["rfc9293", "linux"] as const),
    receiveBufferMaxBytes: pick(random, [0, 200_000]),
  };
  const origin = chance(random, 0.5) ? "active" : "passive";
  const world = pick(random, WORLDS);
  const accurate = chance(random, 0.5);
  // The peer's SYN, or its SYN-ACK, agrees on accurate ECN.
  const flags = origin === "passive" || state === "SYN-RECEIVED" ? "SEWe" : "S.W";
  const h = reach(
    state,
    world,
    { ...config, ecn: accurate ? "accurate" : "accept", accurateEcnOption: pick(random, ["off", "minimum", "full", "persist"]) },
    { origin, synAck: { options, ...(accurate ? { flags } : {}) }, ...(timestamps ? { peerTs: 1_000 } : {}) },
  );
  // As the stack would have it: a good cookie has come, or Fast Open is tried.
  if (h.state === "LISTEN") h.tcb.fastOpen.accepted = chance(random, 0.5);
  if (h.state === "SYN-SENT") h.tcb.fastOpen.trying = chance(random, 0.5);
  return h;
}

/** A user call, time, or both. */
function act(random: Random, h: Harness, script: unknown[]): void {
  const choice = randomBelow(random, 40);
  const maySend = !h.tcb.finQueued && ["SYN-SENT", "SYN-RECEIVED", "ESTABLISHED", "CLOSE-WAIT"].includes(h.state);
  script.push(choice);
  if (choice < 12) {
    if (maySend)
      h.conn.send(new Uint8Array(1 + randomBelow(random, pick(random, [2, 3_000, 50_000]))), 0, undefined, choice === 0);
  } else if (choice < 18) {
    h.read(randomBelow(random, 3_000));
  } else if (choice < 24) {
    drain(h);
    h.nextTimer();
  } else if (choice < 28) {
    h.now += randomBelow(random, pick(random, [MILLISECOND, 100 * MILLISECOND]));
  } else if (choice === 28) {
    h.conn.shutdown(h.now);
  } else if (choice === 29 && h.state !== "LISTEN" && chance(random, 0.3)) {
    h.conn.close(h.now);
  }
}

/** Near enough to the truth to get past the first step most of the time. */
function segment(random: Random, h: Harness): Stimulus {
  const options: TcpOption[] = [];
  if (chance(random, 0.05)) options.push({ kind: "mss", mss: pick(random, [0, 1, 100, 65_535]) });
  if (chance(random, 0.05)) options.push({ kind: "window-scale", shift: randomBelow(random, 256) });
  if (chance(random, 0.03)) options.push({ kind: "unknown", number: 9 + randomBelow(random, 200), data: new Uint8Array(3) });
  const fastOpen = chance(random, 0.05);
  if (fastOpen) options.push({ kind: "fast-open", cookie: new Uint8Array(pick(random, [0, 4, 8, 16])) });
  if (h.state === "LISTEN") return { flags: "S", seq: random.u32(), options, data: pick(random, [0, 0, 10, 500]) };
  const counters = Array.from({ length: randomBelow(random, 4) }, () => random.u32() & 0xff_ffff);
  const counted = !fastOpen && chance(random, 0.3);
  if (counted) options.push({ kind: chance(random, 0.5) ? "accecn0" : "accecn1", counters });
  // There is no room for both.
  if (!fastOpen && !counted && chance(random, 0.5)) options.push({ kind: "sack", blocks: sackBlocks(random, h) });
  const near = [0, 0, 0, 0, 0, 1, -1, 2, 10, 500, 1_000, 3_999, -1_000, randomBelow(random, 70_000), random.u32()];
  const out = h.sndMax - h.sndUna;
  const ack = pick(random, [
    0,
    0,
    0,
    out,
    out,
    1,
    randomBelow(random, out + 1),
    randomBelow(random, out + 1),
    out + 1,
    random.u32(),
  ]);
  return {
    flags: pick(random, FLAGS) + pick(random, ACE),
    ecn: randomBelow(random, 4),
    seq: (h.rcvNxt + pick(random, near)) >>> 0,
    ack: (h.sndUna + ack) >>> 0,
    wnd: pick(random, [0, 1, 100, 1_000, 10_000, 10_000, 10_000, 65_535]),
    up: pick(random, [0, 1, 10, 65_535]),
    data: pick(random, [0, 0, 0, 0, 1, 10, 1_000]),
    options: options.slice(0, h.peerTs === undefined ? 3 : 2),
    ...(h.peerTs === undefined
      ? {}
      : { ts: [pick(random, [h.peerTs, h.peerTs + 1, h.peerTs + 1, 0, random.u32()]), echo(random, h)] }),
  };
}

const ACE = ["", "", "", "E", "W", "EW", "e", "Ee", "We", "EWe"];
const FLAGS = [..."........", "P.", "P.", "F.", "FP.", "S.", "S", "R", "R.", "U.", "", "SF.", "FU.", "E.", "W.", "EW."];

/** What a receiver might tell of, and what it never should: halves of segments, D-SACKs, reversed and overlapping blocks. */
function sackBlocks(random: Random, h: Harness): { left: number; right: number }[] {
  const { sent, snd } = h.tcb;
  const span = Math.max(1, seqDiff(snd.max, snd.una));
  return Array.from({ length: 1 + randomBelow(random, h.peerTs === undefined ? 3 : 2) }, () => {
    const one = sent.at(randomBelow(random, Math.max(1, sent.length)));
    const other = sent.at(randomBelow(random, Math.max(1, sent.length)));
    if (one !== undefined && other !== undefined && chance(random, 0.7)) return { left: one.seq, right: other.end };
    const left = (snd.una + pick(random, [0, 1, randomBelow(random, span), -1, -1_000, random.u32()])) >>> 0;
    return { left, right: (left + pick(random, [0, 1, 1_000, randomBelow(random, span), -1])) >>> 0 };
  });
}

/** TSecr: what the connection sends now, a little before, or nonsense. */
function echo(random: Random, h: Harness): number {
  const present = (Math.floor(h.now / MILLISECOND) + h.tcb.ts.offset) >>> 0;
  return (present - pick(random, [0, 1, 10, 200, randomBelow(random, 5_000), random.u32()])) >>> 0;
}

function drain(h: Harness): void {
  const sent = h.poll();
  for (const packet of sent) {
    // A probe of the path MTU is larger on purpose, but not larger than what both ends allow.
    const most = packet.note === NOTE_MTU_PROBE ? largestMtu(h.tcb) - 40 : h.tcb.snd.mss;
    if (packet.payload.length > most) throw new Error(`${packet.payload.length} bytes, the MSS is ${h.tcb.snd.mss}`);
  }
  check(h);
}

function check(h: Harness): void {
  const { tcb, conn } = h;
  const { snd, rcv, timers } = tcb;
  if (seqDiff(snd.nxt, snd.una) < 0 || seqDiff(snd.max, snd.nxt) < 0) throw new Error("not UNA ≤ NXT ≤ MAX");
  if (isSynchronized(tcb.state) && seqDiff(rcv.adv, rcv.nxt) < 0) throw new Error("RCV.NXT beyond the edge");
  checkEngine(conn);
  if (tcb.state === "CLOSED" && conn.nextTimeout() !== NEVER) throw new Error("a closed connection has a timer");
  const owed = isSynchronized(tcb.state) && tcb.state !== "TIME-WAIT" && snd.una !== snd.max;
  const armed = timers.retransmission !== NEVER || timers.persist !== NEVER;
  if (owed && !armed) throw new Error("outstanding, and no timer");
  // Whatever the peer does, what is kept is what the buffers allow.
  if (tcb.sent.length > tcb.config.sendBufferBytes + 2) throw new Error(`${tcb.sent.length} records of what was sent`);
  // The receiver "linux" counts memory, and takes one segment in any case.
  const most = tcb.linux === undefined ? tcb.receiveBufferBytes + 2 ** rcv.windShift + 1 : tcb.linux.buffer + 0xffff;
  if (tcb.receiveQueue.length > most) throw new Error("received more than fits");
}

/** The peer falls silent: in the end every connection with something to say gives up, and all that is lost is tried again. */
function runOut(h: Harness): void {
  const lost = h.tcb.sent.at(h.tcb.sent.nextLost());
  // After many expiries the next one may be that of R2, or of an orphan's shorter patience.
  const owing = lost !== undefined && h.tcb.snd.wnd > 0 && isSynchronized(h.state) && h.tcb.backoffs === 0;
  const before = h.tcb.counters.retransmits;
  for (let i = 0; i < 200 && h.conn.nextTimeout() !== NEVER; i++) {
    h.nextTimer();
    check(h);
  }
  if (h.conn.nextTimeout() !== NEVER && h.tcb.timers.persist === NEVER) throw new Error("timers run for ever");
  if (owing && h.tcb.counters.retransmits === before) throw new Error("what was lost was never sent again");
}

function pick<T>(random: Random, items: readonly T[]): T {
  return items[randomBelow(random, items.length)] as T;
}
