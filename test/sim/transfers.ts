/** The grid of transfers: what is sent through what, and how fast at least. */
import { MILLISECOND, SECOND } from "../../src/base/time.js";
import type { LinkOptions } from "../../src/sim/link.js";
import type { TransferOptions } from "./worlds.js";

export const MEBIBYTE = 1 << 20;

export const LOSSY: LinkOptions = { delayUs: 10 * MILLISECOND, loss: 0.1, reorder: 0.1, duplicate: 0.1 };

/** Virtual time. Most seeds need 7 s, the slowest of 1,700 needed 31 s: time-outs that were doubled several times. */
export const WITHIN = 120 * SECOND;

/** Bytes a second of virtual time, both directions together; half of what was measured, to notice a change for the worse. */
export const MEDIAN_GOODPUT = 150_000;

/** For the test runner, of a whole grid in ms; no more than a stop for a run that hangs. */
export const TIMEOUT = 300_000;

export interface Variation {
  readonly name: string;
  readonly options: TransferOptions;
  readonly medianGoodput: number;
}

export const VARIATIONS: readonly Variation[] = [
  {
    name: "no SACK",
    options: { bytes: MEBIBYTE, link: LOSSY, connection: { sack: false }, within: WITHIN },
    medianGoodput: 65_000,
  },
  {
    name: "2 % corruption",
    options: { bytes: MEBIBYTE, link: { ...LOSSY, corrupt: 0.02 }, within: WITHIN },
    medianGoodput: 115_000,
  },
  { name: "IPv6", options: { bytes: MEBIBYTE, link: LOSSY, family: 6, within: WITHIN }, medianGoodput: 150_000 },
  {
    name: "IPv6 and corruption",
    options: { bytes: MEBIBYTE >> 2, link: { ...LOSSY, corrupt: 0.02 }, family: 6, within: WITHIN },
    medianGoodput: 130_000,
  },
  {
    name: "windows of 4 KiB",
    options: { bytes: MEBIBYTE >> 1, link: LOSSY, connection: { receiveBufferBytes: 4096 }, within: WITHIN },
    medianGoodput: 45_000,
  },
  {
    name: "an MSS of 100",
    options: { bytes: MEBIBYTE >> 3, link: LOSSY, connection: { mssBytes: 100 }, within: WITHIN },
    medianGoodput: 9_000,
  },
  {
    name: "no timestamps",
    options: { bytes: MEBIBYTE, link: LOSSY, connection: { timestamps: false }, within: WITHIN },
    medianGoodput: 150_000,
  },
  {
    name: "no window scaling",
    options: { bytes: MEBIBYTE, link: LOSSY, connection: { windowScaling: false }, within: WITHIN },
    medianGoodput: 160_000,
  },
  {
    name: "an MTU of 65,535 and no delay",
    options: { bytes: MEBIBYTE, link: { ...LOSSY, delayUs: 0 }, connection: { mtuBytes: 65_535 }, within: WITHIN },
    medianGoodput: 5_000_000,
  },
];
