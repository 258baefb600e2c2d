/**
 * How long a fuzzer runs: a fixed number of rounds in an ordinary run, as long as one likes by hand
 * (`FUZZ_SECONDS=3600 npx vitest run --config test/vitest.config.ts --project unit test/tcp/fuzz-segments.test.ts`), from any seed
 * (`FUZZ_SEED=…`, which a failure prints; `FUZZ_ROUNDS=1` runs that one alone).
 */

export interface FuzzBudget {
  /** For the test runner, in ms. */
  readonly timeout: number;
  readonly firstSeed: number;
  /** Whether another round is to be run; `done` rounds have been. */
  more(done: number): boolean;
}

/** `rounds` is what an ordinary run does, stopped by `seconds` on a slow machine. */
export function fuzzBudget(rounds: number, seconds: number): FuzzBudget {
  const byHand = Number(process.env["FUZZ_SECONDS"] ?? 0);
  const most = Number(process.env["FUZZ_ROUNDS"] ?? (byHand > 0 ? Infinity : rounds));
  const limit = 1_000 * (byHand > 0 ? byHand : most > rounds ? 86_400 : seconds);
  const end = performance.now() + limit;
  return {
    timeout: limit + 120_000,
    firstSeed: Number(process.env["FUZZ_SEED"] ?? 1),
    // At least one, so that a run without any cannot pass.
    more: (done) => done === 0 || (done < most && performance.now() < end),
  };
}

/** Runs round after round; a failure names the seed that brings it about again. Returns how many ran. */
export function fuzz(budget: FuzzBudget, round: (seed: number) => void): number {
  let done = 0;
  for (; budget.more(done); done++) {
    const seed = budget.firstSeed + done;
    try {
      round(seed);
    } catch (error) {
      throw new Error(`FUZZ_SEED=${seed} FUZZ_ROUNDS=1: ${error instanceof Error ? error.message : error}`, { cause: error });
    }
  }
  return done;
}
