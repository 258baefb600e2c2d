/**
 * The grid: loss × one-way delay × buffer × reordering on a link of 20 Mbit/s, for every congestion control that is shipped. Its
 * goodput is kept in `golden/grid.txt`: a change there is a decision (run vitest with `-u` and say why), not an accident.
 */
import { expect, test } from "vitest";
import { MILLISECOND, SECOND } from "../../src/base/time.js";
import type { CongestionFactory } from "../../src/tcp/congestion.js";
import { cubic } from "../../src/tcp/cubic.js";
import { newReno } from "../../src/tcp/new-reno.js";
import { mbps, startFlow } from "./bulk.js";
import { twoHosts } from "./worlds.js";

const CONTROLS: readonly (readonly [string, CongestionFactory])[] = [
  ["cubic", cubic],
  ["newreno", newReno],
];
const LOSS = [0, 0.01, 0.05, 0.2];
const DELAY_MS = [1, 20, 100];
const BUFFER_KIB = [64, 1024];
const REORDER = [0, 0.1];

const RATE_BPS = 20_000_000;
const QUEUE_BYTES = 128 * 1024;
const BYTES = 2 << 20;
/** A cell that takes longer is measured by what has arrived by then. */
const LIMIT = 120 * SECOND;
/** The middle one of so many seeds is what stands in the table. */
const SEEDS = [1, 2, 3];

interface Cell {
  readonly loss: number;
  readonly delayMs: number;
  readonly bufferKib: number;
  readonly reorder: number;
  readonly congestion: CongestionFactory;
}

test("the goodput of every cell of the grid is what it was", { timeout: 120_000 }, async () => {
  const lines = [
    "Goodput in Mbit/s of 2 MiB one way over 20 Mbit/s with a queue of 128 KiB; the median of seeds 1, 2, 3.",
    "Loss and reordering for each packet in both directions; a reordered packet comes one more delay late.",
    "",
    `${"loss".padStart(5)} ${"delay".padStart(7)} ${"buffer".padStart(9)} ${"reordered".padStart(10)}${CONTROLS.map(([name]) => name.padStart(10)).join("")}`,
  ];
  const rows = LOSS.flatMap((loss) =>
    DELAY_MS.flatMap((delayMs) =>
      BUFFER_KIB.flatMap((bufferKib) => REORDER.map((reorder) => ({ loss, delayMs, bufferKib, reorder }))),
    ),
  );
  for (const row of rows) {
    const { loss, delayMs, bufferKib, reorder } = row;
    const rates = CONTROLS.map(([, congestion]) => median({ ...row, congestion }));
    const title = `${percent(loss).padStart(5)} ${`${delayMs} ms`.padStart(7)} ${`${bufferKib} KiB`.padStart(9)} ${percent(reorder).padStart(10)}`;
    lines.push(`${title}${rates.map((rate) => rate.toFixed(2).padStart(10)).join("")}`);
  }
  expect(lines).toHaveLength(4 + 48);
  await expect(`${lines.join("\n")}\n`).toMatchFileSnapshot("golden/grid.txt");
});

test("a cell gives the same to the byte from the same seed, and something else from another", () => {
  const cell: Cell = { loss: 0.05, delayMs: 20, bufferKib: 64, reorder: 0.1, congestion: cubic };
  expect(goodput(cell, 1)).toBe(goodput(cell, 1));
  expect(goodput(cell, 1)).not.toBe(goodput(cell, 2));
});

function median(cell: Cell): number {
  const rates = SEEDS.map((seed) => goodput(cell, seed)).sort((x, y) => x - y);
  return rates[SEEDS.length >> 1] ?? 0;
}

function goodput(cell: Cell, seed: number): number {
  const { loss, reorder, delayMs, bufferKib, congestion } = cell;
  const bufferBytes = bufferKib * 1024;
  const world = twoHosts(
    seed,
    { rateBps: RATE_BPS, queueBytes: QUEUE_BYTES, delayUs: delayMs * MILLISECOND, loss, reorder },
    { congestion, sendBufferBytes: bufferBytes, receiveBufferBytes: bufferBytes },
  );
  const flow = startFlow(world, 80, BYTES);
  world.sim.run({ until: LIMIT, done: () => flow.doneAt >= 0 });
  return mbps(flow.received, flow.doneAt >= 0 ? flow.doneAt : LIMIT);
}

function percent(part: number): string {
  return `${Math.round(part * 100)} %`;
}
