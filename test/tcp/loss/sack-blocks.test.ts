/** D-SACK as it is told (RFC 2883 §4), and the room that the option takes (RFC 2018 §3). */
import { describe, expect, test } from "vitest";
import type { SackBlock } from "../../../src/wire/tcp-options.js";
import { Harness, PEER_MSS, type Sent, WORLDS, type World } from "../harness.js";

type Range = [number, number];

function connected(world: World, config = {}): Harness {
  const options = [{ kind: "mss", mss: PEER_MSS }, { kind: "sack-permitted" }] as const;
  return new Harness(world, { receiveBufferBytes: 40_000, delayedAckUs: 40_000, ...config }).connect({ wnd: 60_000, options });
}

function blocks(world: World, packet: Sent | undefined): Range[] {
  const option = packet?.options.find((candidate) => candidate.kind === "sack");
  const list: readonly SackBlock[] = option?.kind === "sack" ? option.blocks : [];
  return list.map(({ left, right }) => [(left - world.irs) >>> 0, (right - world.irs) >>> 0]);
}

describe.each(WORLDS)("duplicates are reported, $name", (world) => {
  const data = (h: Harness, seq: number, length: number): Range[] => {
    const sent = h.rcv({ flags: ".", seq, data: length, ack: h.sndMax });
    return blocks(world, sent.at(-1));
  };

  test("a whole one that was acknowledged before, once", () => {
    const h = connected(world);
    h.rcv({ flags: ".", seq: 1, data: 500 });
    h.advance(100_000);
    expect(data(h, 1, 500)).toEqual([[1, 501]]);
    expect(blocks(world, h.rcv({ flags: "F.", seq: 501 }).at(-1))).toEqual([]);
  });

  test("the part that was acknowledged before, of a segment that brings more", () => {
    const h = connected(world);
    h.rcv({ flags: ".", seq: 1, data: 500 });
    h.advance(100_000);
    h.rcv({ flags: ".", seq: 201, data: 500 });
    expect(blocks(world, h.advance(100_000).at(-1) ?? h.rcv({ flags: ".", seq: 1, data: 1 })[0])).toEqual([[201, 501]]);
  });

  test("one of a block after a hole, with that block as the second", () => {
    const h = connected(world);
    data(h, 1_001, 500);
    data(h, 3_001, 500);
    expect(data(h, 1_101, 100)).toEqual([
      [1_101, 1_201],
      [1_001, 1_501],
      [3_001, 3_501],
    ]);
  });

  test("the part of a segment that reaches into a block after a hole, with the grown block as the second", () => {
    const h = connected(world);
    data(h, 1_001, 500);
    expect(data(h, 801, 400)).toEqual([
      [1_001, 1_201],
      [801, 1_501],
    ]);
    expect(data(h, 1_401, 400)).toEqual([
      [1_401, 1_501],
      [801, 1_801],
    ]);
  });

  test("the part that had come ahead, of a segment that fills the hole and more", () => {
    const h = connected(world);
    data(h, 501, 200);
    expect(data(h, 1, 600)).toEqual([[501, 601]]);
    expect(h.rcvNxt).toBe(701);
  });

  test("neighbours are no duplicates", () => {
    const h = connected(world);
    expect(data(h, 1_001, 500)).toEqual([[1_001, 1_501]]);
    expect(data(h, 1_501, 500)).toEqual([[1_001, 2_001]]);
    expect(data(h, 501, 500)).toEqual([[501, 2_001]]);
    expect(data(h, 1, 500)).toEqual([]);
  });
});

describe.each(WORLDS)("room beside data, $name", (world) => {
  test("segments of data shrink by the option, and are full again when the holes are filled", () => {
    const h = connected(world);
    h.rcv({ flags: ".", seq: 1_001, data: 100 });
    h.rcv({ flags: ".", seq: 2_001, data: 100 });
    const [first] = h.send(3_000);
    expect([first?.payload.length, blocks(world, first).length]).toEqual([PEER_MSS - 20, 2]);
    h.rcv({ flags: ".", seq: 1, data: 1_000 });
    h.rcv({ flags: ".", seq: 1_101, data: 900 });
    const [next] = h.send(1_000);
    expect([next?.payload.length, blocks(world, next).length]).toEqual([PEER_MSS, 0]);
  });

  test("a segment size smaller than the option still lets data out", () => {
    const h = connected(world, { mssBytes: 20, timestamps: false });
    for (let i = 1; i < 5; i++) h.rcv({ flags: ".", seq: i * 1_000, data: 100 });
    const sent = h.send(3);
    expect(sent.length).toBeGreaterThan(0);
    for (const packet of sent) expect(packet.payload.length).toBeGreaterThan(0);
  });

  test("RST carries none", () => {
    const h = connected(world);
    h.rcv({ flags: ".", seq: 1_001, data: 100 });
    const [reset] = h.abort();
    expect([reset?.flags, blocks(world, reset)]).toEqual(["R.", []]);
  });
});
