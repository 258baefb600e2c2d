/**
 * The grid of faults between us and the live kernel: every kind in each direction, on loopback and across a veth pair, with us
 * as client and as server. In every cell both ends get every byte of the other, bit for bit, in finite time, and the kernel
 * sends no RST in our name.
 *
 * The cells run side by side: what costs time in them is waiting for time-outs, above all with 20 % loss of our segments of
 * 1460 bytes. RAWTCP_GRID_MIB sets how much each cell carries each way (1 when not set), RAWTCP_GRID_TABLE=1 prints what was
 * measured; `-t` picks cells by name.
 */
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { type Cell, GRID_PATHS, Grid, type Outcome } from "./grid.js";

const MEBIBYTE = 1 << 20;
const BYTES = Number(process.env["RAWTCP_GRID_MIB"] ?? 1) * MEBIBYTE;
const showsTable = process.env["RAWTCP_GRID_TABLE"] === "1";
/** A cell that takes longer hangs. The slowest take about 10 s a mebibyte. */
const DEADLINE_MS = 60_000 * Math.max(1, BYTES / MEBIBYTE);

vi.setConfig({ maxConcurrency: 16, testTimeout: DEADLINE_MS + 30_000 });

/** The slow ones first, so that none of them is left over for the end. */
const FAULTS = [
  { kind: "loss", share: 0.2 },
  { kind: "loss", share: 0.05 },
  { kind: "loss", share: 0.01 },
  { kind: "reordering", share: 0.1 },
  { kind: "duplication", share: 0.05 },
  { kind: "corruption", share: 0.01 },
] as const;

const CELLS: readonly Cell[] = FAULTS.flatMap((fault) =>
  (["out", "in"] as const).flatMap((direction) =>
    GRID_PATHS.flatMap((path) =>
      (["client", "server"] as const).map((role) => ({ ...fault, path, direction, role, bytes: BYTES, seed: 0 })),
    ),
  ),
).map((cell, index) => ({ ...cell, seed: index + 1 }));

let grid: Grid;
beforeAll(async () => {
  grid = await Grid.open();
});
afterAll(() => grid.close());

describe.concurrent("every byte arrives, both ways", () => {
  it.each(CELLS.map((cell) => [label(cell), cell] as const))("%s", async (_, cell) => {
    const outcome = await grid.run(cell, DEADLINE_MS);
    if (showsTable) process.stdout.write(`${row(cell, outcome)}\n`);
    expect(outcome.problem).toBe("");
    // A cell without a single fault would prove nothing.
    expect(outcome.faults).toBeGreaterThan(0);
    expect(outcome.resets).toEqual([]);
  });
});

function label({ path, direction, role, kind, share }: Cell): string {
  const whose = direction === "out" ? "what we send" : "what the kernel sends";
  return `${Math.round(share * 100)} % ${kind} of ${whose}, ${path.name}, we are ${role}`;
}

function row(cell: Cell, { ms, faults, packets, ourRetransmits, ourTimeouts, kernelRetransmits }: Outcome): string {
  const ours = `ours: ${ourRetransmits} repeated, ${ourTimeouts} time-outs`;
  const seconds = (ms / 1000).toFixed(1);
  return `grid | ${label(cell)} | ${seconds} s | ${faults} of ${packets} | ${ours} | the kernel's: ${kernelRetransmits} repeated`;
}
