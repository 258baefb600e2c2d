/** Runs scripts in a thread of its own. */
import { readFileSync } from "node:fs";
import { parentPort } from "node:worker_threads";
import type { RunOptions } from "../script/runner.js";
import { judgeScript, type Verdict } from "../script/verdict.js";

/** A script to run, and whether its packets are wanted. */
export interface DrillJob {
  readonly index: number;
  readonly file: string;
  readonly options: RunOptions;
  readonly wantsPackets: boolean;
}

export interface DrillResult {
  readonly index: number;
  readonly verdict: Verdict;
  readonly printed: readonly string[];
  /** Milliseconds of real time. */
  readonly tookMs: number;
}

/** Runs one. Never throws. */
export function runJob({ index, file, options, wantsPackets }: DrillJob): DrillResult {
  const begun = performance.now();
  const printed: string[] = [];
  const verdict = judgeFile(file, { ...options, print: (text) => printed.push(text) });
  const isWanted = wantsPackets || verdict.outcome === "fail";
  return { index, verdict: isWanted ? verdict : { ...verdict, packets: [] }, printed, tookMs: performance.now() - begun };
}

/** A script that cannot be read is as good as none. */
function judgeFile(file: string, options: RunOptions): Verdict {
  try {
    return judgeScript(readFileSync(file, "utf8"), options);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    return { outcome: "error", line: 0, message, event: "", expected: "", got: "", packets: [] };
  }
}

parentPort?.on("message", (job: DrillJob) => parentPort?.postMessage(runJob(job)));
