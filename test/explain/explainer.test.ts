/** Simulated connections, captured at one host: what the segments tell must agree with what the simulator knows. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { SECOND } from "../../src/base/time.js";
import type { FollowedConnection } from "../../src/explain/connection.js";
import { connectionJson, drawLadder, listLine, summaryLines } from "../../src/explain/report.js";
import { DELAY, Recorded, readAll } from "../sim/recorded.js";
import type { Sent } from "../stack/rig.js";
import { captureAt, explainBytes } from "./capture.js";

function only(list: readonly FollowedConnection[]): FollowedConnection {
  expect(list.length).toBe(1);
  const [one] = list;
  if (one === undefined) throw new Error("no connection");
  return one;
}

const path = (connection: FollowedConnection, i: 0 | 1) => connection.ends[i].history;

interface Story {
  readonly loseThere?: (segment: Sent) => boolean;
  readonly loseBack?: (segment: Sent) => boolean;
  readonly bytes?: number;
  readonly close?: "client" | "server" | "both" | "abort" | "none" | "at once";
  readonly at?: "a" | "b";
  readonly snap?: number;
}

/** "a" connects, sends, and one or both close. */
function tell(story: Story): { world: Recorded; file: Uint8Array } {
  const world = new Recorded();
  const file = captureAt(world.sim, story.at ?? "a", story.snap);
  if (story.loseThere !== undefined) world.lose(world.there, story.loseThere);
  if (story.loseBack !== undefined) world.lose(world.back, story.loseBack);
  world.listen((connection, event) => {
    if (event === "readable") readAll(connection);
    if (event === "readable" && connection.endOfData && story.close === "at once") connection.shutdown(world.sim.now);
  });
  const a = world.connect();
  world.run(4);
  const total = story.bytes ?? 0;
  if (total > 0) a.send(new Uint8Array(total), 0, total);
  world.run(4);
  const b = world.b.connection;
  const now = () => world.sim.now;
  if (story.close === "client" || story.close === "at once" || story.close === "both") a.shutdown(now());
  if (story.close === "abort") a.abort(now());
  if (story.close === "both") b?.shutdown(now());
  if (story.close === "server") {
    b?.shutdown(now());
    world.run(1);
    a.shutdown(now());
  }
  world.a.host.drain();
  world.b.host.drain();
  world.run(2);
  if (story.close === "client") b?.shutdown(now());
  world.b.host.drain();
  world.run(3);
  return { world, file: file() };
}

describe("handshake and close by name, and the states of both ends", () => {
  it("three-way, four-segment: the client closes, the server a while later", () => {
    const { world, file } = tell({ bytes: 5000, close: "client" });
    const one = only(explainBytes(file).connections);
    expect([one.handshake.name, one.close.name(one.ends), one.close.first]).toEqual(["three-way", "four-segment", 0]);
    expect(path(one, 0)).toEqual(world.a.states.filter((state) => state !== "CLOSED"));
    expect(path(one, 1)).toEqual(world.b.states);
    expect([one.ways[0].goodBytes, one.ways[1].goodBytes]).toEqual([5000, 0]);
    expect(one.handshake.rttUs).toBe(2 * DELAY);
    expect(one.ways[0].rtt.minUs).toBe(2 * DELAY);
    expect(one.incidents).toEqual([]);
  });

  it("simultaneous close: both FINs cross", () => {
    const { world, file } = tell({ close: "both" });
    const one = only(explainBytes(file).connections);
    expect(one.close.name(one.ends)).toBe("simultaneous");
    expect(path(one, 0)).toEqual(world.a.states.filter((state) => state !== "CLOSED"));
    expect(path(one, 0)).toContain("CLOSING");
  });

  it("still open", () => {
    const open = only(explainBytes(tell({ close: "none" }).file).connections);
    expect([open.close.name(open.ends), open.ends[0].state, open.ends[1].state]).toEqual([
      "still open",
      "ESTABLISHED",
      "ESTABLISHED",
    ]);
  });

  it("abort: a RST that answers nothing closes both ends", () => {
    const one = only(explainBytes(tell({ close: "abort", bytes: 100 }).file).connections);
    expect([one.close.name(one.ends), one.close.reset?.cause, one.close.reset?.by]).toEqual(["abort", "abort", 0]);
    expect([one.ends[0].state, one.ends[1].state]).toEqual(["CLOSED", "CLOSED"]);
  });

  it("refused: a SYN to a port where nobody listens", () => {
    const world = new Recorded();
    const file = captureAt(world.sim, "a");
    world.connect();
    world.run(3);
    const one = only(explainBytes(file()).connections);
    expect([one.handshake.name, one.close.name(one.ends), one.close.reset?.cause]).toEqual(["refused", "refused", "refused"]);
    expect(path(one, 0)).toEqual(["SYN-SENT", "CLOSED"]);
  });

  it("simultaneous open: both SYNs cross, both ends pass through SYN-RECEIVED", () => {
    const world = new Recorded();
    const file = captureAt(world.sim, "a");
    world.a.host.connect(world.b.host, 90, world.recorder(world.a), {}, 91);
    world.b.host.connect(world.a.host, 91, world.recorder(world.b), {}, 90);
    world.run(3);
    const one = only(explainBytes(file()).connections);
    expect(one.handshake.name).toBe("simultaneous");
    expect(path(one, 0)).toEqual(["SYN-SENT", "SYN-RECEIVED", "ESTABLISHED"]);
    expect(path(one, 1)).toEqual(["SYN-SENT", "SYN-RECEIVED", "ESTABLISHED"]);
  });
});

describe("what was lost", () => {
  it("a SYN sent again by the timer", () => {
    let lost = false;
    const loseThere = (segment: Sent) => {
      if (lost || !segment.flags.startsWith("S")) return false;
      lost = true;
      return true;
    };
    const one = only(explainBytes(tell({ loseThere }).file).connections);
    expect(one.incidents.map(({ kind, cause, of }) => [kind, cause, of])).toEqual([["retransmission", "rto", 1]]);
    expect([one.handshake.name, one.handshake.repeats, one.handshake.rttUs]).toEqual(["three-way", 1, -1]);
  });

  it("one data segment of many: a fast retransmission after duplicate ACKs, none in vain", () => {
    let count = 0;
    const loseThere = (segment: Sent) => segment.payload.length > 0 && ++count === 3;
    const one = only(explainBytes(tell({ bytes: 14_000, loseThere }).file).connections);
    const again = one.incidents.filter(({ kind }) => kind === "retransmission");
    expect(again.map(({ cause, spurious }) => [cause, spurious])).toEqual([["fast", false]]);
    expect(one.counts[1].kinds.get("duplicate-ack")).toBeGreaterThan(1);
    expect(one.ways[0].goodBytes).toBe(14_000);
  });

  it("the last data segment of many: a tail loss probe", () => {
    let count = 0;
    const loseThere = (segment: Sent) => segment.flags.includes("P") && ++count === 1;
    const one = only(explainBytes(tell({ bytes: 14_600, loseThere }).file).connections);
    expect(one.incidents.filter(({ kind }) => kind === "retransmission").map(({ cause }) => cause)).toEqual(["tlp"]);
  });

  it("the ACK of data: sent again in vain, and a D-SACK says so", () => {
    let count = 0;
    const loseBack = (segment: Sent) => segment.flags === "." && ++count === 1;
    const one = only(explainBytes(tell({ bytes: 100, loseBack }).file).connections);
    const again = one.incidents.filter(({ kind }) => kind === "retransmission");
    expect(again.map(({ spurious, alreadyAcked }) => [spurious, alreadyAcked])).toEqual([[true, false]]);
    expect(one.counts[1].kinds.get("d-sack")).toBe(1);
    expect(one.ways[0].spurious).toBe(1);
  });

  it("the last ACK of the close: LAST-ACK comes back with its FIN", () => {
    let fins = 0;
    const loseThere = (segment: Sent) => segment.flags === "." && fins > 0;
    const world = { lose: loseThere };
    const { file } = tell({
      close: "client",
      loseBack: (segment) => {
        if (segment.flags.includes("F")) fins++;
        return false;
      },
      loseThere: world.lose,
    });
    const one = only(explainBytes(file).connections);
    expect(path(one, 1).slice(-4)).toEqual(["LAST-ACK", "CLOSED", "LAST-ACK", "CLOSED"]);
  });
});

describe("captures that are not whole", () => {
  it("the opening is missing: picked up in the middle, and said so", () => {
    const { file } = tell({ bytes: 3000, close: "client" });
    const whole = explainBytes(file);
    const world = new Recorded();
    world.established();
    const late = captureAt(world.sim, "a");
    world.a.connection?.send(new Uint8Array(1000), 0, 1000);
    world.a.host.drain();
    world.run(1);
    const one = only(explainBytes(late()).connections);
    expect([one.handshake.name, one.ends[0].isAssumed, one.ends[0].state, one.ends[1].state]).toEqual([
      "not captured",
      true,
      "ESTABLISHED",
      "ESTABLISHED",
    ]);
    expect(summaryLines(one).join("\n")).toContain("picked up in the middle");
    expect(whole.error).toBeNull();
  });

  it("payloads cut by the snapshot length change nothing but what is said of them", () => {
    const whole = only(explainBytes(tell({ bytes: 9000, close: "client" }).file).connections);
    const cut = only(explainBytes(tell({ bytes: 9000, close: "client", snap: 60 }).file).connections);
    expect(path(cut, 0)).toEqual(path(whole, 0));
    expect(path(cut, 1)).toEqual(path(whole, 1));
    expect(cut.ways[0].goodBytes).toBe(9000);
    expect(cut.cutSegments).toBeGreaterThan(5);
  });

  it("cut anywhere or with any bytes changed: what is readable is explained, nothing throws", () => {
    const { file } = tell({ bytes: 3000, close: "client" });
    const all = explainBytes(file).packets;
    fc.assert(
      fc.property(
        fc.nat(file.length),
        fc.array(fc.tuple(fc.nat(file.length - 1), fc.nat(255)), { maxLength: 20 }),
        (end, changes) => {
          const bytes = file.slice(0, end);
          for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
          const explainer = explainBytes(bytes);
          for (const connection of explainer.connections) {
            JSON.stringify(connectionJson(connection));
            summaryLines(connection);
            drawLadder(connection, {}, () => undefined);
          }
          expect(explainer.packets).toBeLessThanOrEqual(all + 1);
          if (changes.length === 0 && end === file.length) expect(explainer.error).toBeNull();
        },
      ),
      { numRuns: 150 },
    );
    expect(explainBytes(file.slice(0, file.length - 3)).error?.message).toContain("ends inside");
  });

  it("a limit keeps the beginning and the end of the ladder and says what is left out", () => {
    const one = only(explainBytes(tell({ bytes: 60_000, close: "client" }).file, 10).connections);
    const lines: string[] = [];
    drawLadder(one, {}, (line) => lines.push(line));
    const text = lines.join("\n");
    expect(text).toContain("left out here: --limit 0 draws all");
    expect(text).toContain("SYN-SENT");
    expect(text).toContain("LAST-ACK");
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(120);
    expect(listLine(one)).toContain("opened: three-way, closed: four-segment");
  });

  it("the same addresses and ports again: another incarnation", () => {
    const world = new Recorded({ mslUs: SECOND });
    const file = captureAt(world.sim, "a");
    world.listen((connection, event) => {
      if (event === "readable" && connection.endOfData) connection.shutdown(world.sim.now);
    });
    for (let i = 0; i < 2; i++) {
      const a = world.connect(undefined, 80, 5555);
      world.run(1);
      a.shutdown(world.sim.now);
      world.a.host.drain();
      world.runUntilClosed(a);
    }
    const { connections } = explainBytes(file());
    expect(connections.map(({ incarnation }) => incarnation)).toEqual([1, 2]);
    expect(connections.map((one) => one.close.name(one.ends))).toEqual(["four-segment", "four-segment"]);
  });
});
