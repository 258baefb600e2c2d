/** The list of what was sent against a naive model that recounts everything after every step. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { seqAdd, seqDiff } from "../../../src/base/seq.js";
import { SentList, type SentSegment } from "../../../src/tcp/sent-list.js";

interface Row {
  start: number;
  end: number;
  transmissions: number;
  sacked: boolean;
  lost: boolean;
  sentAt: number;
}

/** Offsets from the first sequence number, in plain arrays. */
class Model {
  rows: Row[] = [];
  una = 0;
  nxt = 0;
  delivered = 0;

  acknowledge(una: number): number {
    this.una = Math.max(this.una, una);
    let cut = 0;
    for (const row of this.rows) {
      if (row.end <= una) this.delivered += row.sacked ? 0 : 1;
      else if (row.start < una) {
        if (!row.sacked) cut = una - row.start;
        row.start = una;
      }
    }
    this.rows = this.rows.filter((row) => row.end > una);
    return cut;
  }

  sack(start: number, end: number): number {
    let bytes = 0;
    for (const row of this.rows) {
      if (row.sacked || row.start < start || row.end > end) continue;
      row.sacked = true;
      row.lost = false;
      this.delivered++;
      bytes += row.end - row.start;
    }
    return bytes;
  }

  sum(test: (row: Row) => boolean): [bytes: number, segments: number] {
    const chosen = this.rows.filter(test);
    return [chosen.reduce((sum, row) => sum + row.end - row.start, 0), chosen.length];
  }
}

type Step = readonly [kind: string, a: number, b: number];

const steps = fc.array(
  fc.tuple(
    fc.constantFrom("push", "push", "push", "sack", "sack", "ack", "lost", "lost", "resend", "split", "unmark", "forget"),
    fc.nat(1_000),
    fc.nat(1_000),
  ),
  { minLength: 10, maxLength: 120 },
);

/** Far enough from 0 on both sides that the numbers wrap in most runs. */
const origins = fc.constantFrom(0xffff_fff0, 0xffff_f000, 0x7fff_ff00, 0);

describe("the list and the model", () => {
  test("agree after every step, whatever the steps are", () => {
    fc.assert(
      fc.property(origins, steps, (origin, list) => run(origin, list)),
      { numRuns: 400, seed: 8985 },
    );
  });
});

function run(origin: number, list: readonly Step[]): void {
  const sent = new SentList();
  const model = new Model();
  let delivered = 0;
  const witness = { delivered: () => void delivered++ };
  let now = 0;
  for (const [kind, a, b] of list) {
    now += a % 3;
    const { rows } = model;
    const index = rows.length === 0 ? -1 : a % rows.length;
    const row = rows[index];
    const segment = sent.at(index);
    switch (kind) {
      case "push":
        // Several at once, so that the ring grows.
        for (let i = 0; i <= b % 8; i++) {
          const end = model.nxt + 1 + ((a + i) % 40);
          sent.push(seqAdd(origin, model.nxt), seqAdd(origin, end), now);
          rows.push({ start: model.nxt, end, transmissions: 1, sacked: false, lost: false, sentAt: now });
          model.nxt = end;
        }
        break;
      case "sack": {
        const start = model.una + (a % (model.nxt - model.una + 1));
        const end = Math.min(start + b, model.nxt);
        expect(sent.sack(seqAdd(origin, start), seqAdd(origin, end), witness)).toBe(model.sack(start, end));
        break;
      }
      case "ack": {
        const una = Math.min(model.una + (a % 90), model.nxt);
        expect(sent.acknowledge(seqAdd(origin, una), witness)).toBe(model.acknowledge(una));
        break;
      }
      case "lost":
        if (row === undefined || segment === undefined) break;
        sent.markLost(segment);
        if (!row.sacked) row.lost = true;
        break;
      case "resend":
        if (row === undefined || segment === undefined) break;
        sent.resend(segment, now);
        if (row.sacked) break;
        row.transmissions++;
        row.lost = false;
        row.sentAt = now;
        break;
      case "split": {
        if (row === undefined || segment === undefined || row.end - row.start < 2) break;
        const bytes = 1 + (b % (row.end - row.start - 1));
        sent.split(segment, bytes);
        rows.splice(index + 1, 0, { ...row, start: row.start + bytes });
        row.end = row.start + bytes;
        break;
      }
      case "unmark":
        sent.unmarkAllLost();
        for (const each of rows) each.lost = false;
        break;
      case "forget":
        sent.forgetSacks();
        for (const each of rows) each.sacked = false;
        break;
      default:
        throw new Error(kind);
    }
    expect(delivered).toBe(model.delivered);
    compare(origin, sent, model);
  }
}

function compare(origin: number, sent: SentList, model: Model): void {
  const rows = Array.from({ length: sent.length }, (_, i) => sent.at(i)).map(
    (segment): Row => ({
      start: seqDiff(segment?.seq ?? 0, origin),
      end: seqDiff(segment?.end ?? 0, origin),
      transmissions: segment?.transmissions ?? 0,
      sacked: segment?.sacked ?? false,
      lost: segment?.lost ?? false,
      sentAt: segment?.sentAt ?? 0,
    }),
  );
  expect(rows).toEqual(model.rows);
  const inFlight = (row: Row): boolean => !row.sacked && !row.lost;
  expect([sent.inFlightBytes]).toEqual(model.sum(inFlight).slice(0, 1));
  expect([sent.sackedBytes, sent.sackedSegments]).toEqual(model.sum((row) => row.sacked));
  expect([sent.lostBytes, sent.lostSegments]).toEqual(model.sum((row) => row.lost));
  expect(sent.retransmittedSegments).toBe(model.sum((row) => inFlight(row) && row.transmissions > 1)[1]);
  expect(sent.nextLost()).toBe(model.rows.findIndex((row) => row.lost));
  const order: number[] = [];
  let older: SentSegment | undefined;
  for (let segment = sent.oldest; segment !== undefined; segment = segment.newer) {
    expect(segment.inFlight).toBe(true);
    expect(segment.older).toBe(older);
    expect((older?.sentAt ?? 0) <= segment.sentAt).toBe(true);
    order.push(seqDiff(segment.seq, origin));
    older = segment;
  }
  expect(order.sort((x, y) => x - y)).toEqual(model.rows.filter(inFlight).map((row) => row.start));
}

describe("the cost with ten thousand segments in flight", () => {
  const COUNT = 10_000;
  const nothing = { delivered: () => {} };

  /** Counts how often a segment is looked at. */
  class Counting extends SentList {
    looks = 0;

    override at(i: number): SentSegment | undefined {
      this.looks++;
      return super.at(i);
    }
  }

  function full(): Counting {
    const sent = new Counting();
    for (let i = 0; i < COUNT; i++) sent.push(seqAdd(ORIGIN, i * 1_000), seqAdd(ORIGIN, (i + 1) * 1_000), i);
    sent.looks = 0;
    return sent;
  }

  const ORIGIN = 0xffff_0000;
  const at = (i: number): number => seqAdd(ORIGIN, i * 1_000);

  test("a block that grows by a segment an ACK is not walked again", () => {
    const sent = full();
    for (let i = 2; i <= COUNT; i++) expect(sent.sack(at(1), at(i), nothing)).toBe(1_000);
    expect(sent.sackedSegments).toBe(COUNT - 1);
    expect(sent.looks / COUNT).toBeLessThan(60);
  });

  test("nor one that grows downwards, nor three blocks in turn, nor a hole that is filled", () => {
    const sent = full();
    for (let i = 5_000; i > 4_000; i--) sent.sack(at(i), at(5_001), nothing);
    for (let i = 6_002; i < 9_000; i++) {
      sent.sack(at(4_001), at(5_001), nothing);
      sent.sack(at(5_500), at(5_501), nothing);
      sent.sack(at(6_001), at(i), nothing);
    }
    sent.sack(at(4_001), at(8_999), nothing);
    for (let i = 0; i < 1_000; i++) sent.sack(at(4_001), at(8_999), nothing);
    expect(sent.sackedBytes).toBe(4_998_000);
    expect(sent.looks / 8_000).toBeLessThan(150);
  });

  test("the next of many lost segments is found without a search from the start", () => {
    const sent = full();
    for (let i = 0; i < COUNT; i++) {
      const segment = sent.at(i);
      if (segment !== undefined) sent.markLost(segment);
    }
    sent.looks = 0;
    for (let i = 0; i < COUNT; i++) {
      const index = sent.nextLost();
      expect(index).toBe(i);
      const segment = sent.at(index);
      if (segment !== undefined) sent.resend(segment, COUNT + i);
    }
    expect(sent.nextLost()).toBe(-1);
    expect(sent.looks / COUNT).toBeLessThan(40);
  });
});

describe("find and joinNext", () => {
  const list = (): SentList => {
    const made = new SentList();
    for (let i = 0; i < 4; i++) made.push(seqAdd(0xffff_f000, i * 1_000), seqAdd(0xffff_f000, (i + 1) * 1_000), i);
    return made;
  };

  test("a segment is found by its first number alone", () => {
    const made = list();
    expect(made.find(seqAdd(0xffff_f000, 1_000))).toBe(made.at(1));
    expect(made.find(seqAdd(0xffff_f000, 1_001))).toBeUndefined();
    expect(made.find(seqAdd(0xffff_f000, 4_000))).toBeUndefined();
  });

  test.each([true, false])("the next one is taken in, what is in flight and what is lost stay right (lost: %s)", (isLost) => {
    const made = list();
    const first = made.at(1);
    if (first === undefined) throw new Error("no segment");
    if (isLost) made.markLost(first);
    made.joinNext(first);
    expect([made.length, first.length, seqDiff(made.at(2)?.seq ?? 0, first.end)]).toEqual([3, 2_000, 0]);
    expect([made.inFlightBytes, made.lostBytes]).toEqual(isLost ? [2_000, 2_000] : [4_000, 0]);
    // The order of transmission has lost it too.
    let count = 0;
    for (let segment = made.oldest; segment !== undefined; segment = segment.newer) count++;
    expect(count).toBe(isLost ? 2 : 3);
  });
});
