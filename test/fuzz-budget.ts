/**
 * How long a fuzzer runs: a fixed number of rounds in an ordinary run, as long as one likes by hand, in time (`FUZZ_SECONDS=3600`) or
 * in what it counts (`FUZZ_SEGMENTS=1000000`: as many met each state), from any seed (`FUZZ_SEED=…`, which a failure prints;
 * `FUZZ_ROUNDS=1` runs that one alone). `FUZZ_REPORT=1` prints the counts.
 *
 *   FUZZ_SEGMENTS=1000000 FUZZ_REPORT=1 npx vitest run --config test/vitest.config.ts --project unit test/tcp/fuzz-segments.test.ts
 */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

export interface FuzzBudget {
  /** For the test runner, in ms. */
  readonly timeout: number;
  readonly firstSeed: number;
  /** Whether another round is to be run; `done` rounds have been, in which `counted` segments met what is under test. */
  more(done: number, counted: number): boolean;
}

/** `rounds` is what an ordinary run does, stopped by `seconds` on a slow machine. */
export function fuzzBudget(rounds: number, seconds: number): FuzzBudget {
  const byHand = Number(process.env["FUZZ_SECONDS"] ?? 0);
  const wanted = Number(process.env["FUZZ_SEGMENTS"] ?? Infinity);
  const most = Number(process.env["FUZZ_ROUNDS"] ?? (byHand > 0 || wanted < Infinity ? Infinity : rounds));
  const limit = 1_000 * (byHand > 0 ? byHand : most > rounds ? 86_400 : seconds);
  const end = performance.now() + limit;
  return {
    timeout: limit + 120_000,
    firstSeed: Number(process.env["FUZZ_SEED"] ?? 1),
    // At least one, so that a run without any cannot pass.
    more: (done, counted) => done === 0 || (done < most && counted < wanted && performance.now() < end),
  };
}

/**
 * Runs round after round; a failure names the seed that brings it about again. A round may return how much it counted. Returns how
 * many ran.
 */
export function fuzz(budget: FuzzBudget, round: (seed: number) => unknown): number {
  let done = 0;
  let counted = 0;
  for (; budget.more(done, counted); done++) {
    const seed = budget.firstSeed + done;
    try {
      const met = round(seed);
      if (typeof met === "number") counted += met;
    } catch (error) {
      throw new Error(`FUZZ_SEED=${seed} FUZZ_ROUNDS=1: ${error instanceof Error ? error.message : error}`, { cause: error });
    }
  }
  return done;
}

/** Bytes of the heap that are in use after a collection, in MiB. */
export function heapMiB(): number {
  setFlagsFromString("--expose-gc");
  (runInNewContext("gc") as () => void)();
  return Math.round((process.memoryUsage().heapUsed / 2 ** 20) * 10) / 10;
}
