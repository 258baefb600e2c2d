/** Runs scripts in a thread of its own: on our stack, or against a kernel. */
import { readFileSync } from "node:fs";
import { parentPort, workerData } from "node:worker_threads";
import { type LiveTarget, liveRun, NAMESPACE } from "../driver/live-host.js";
import type { RunOptions } from "../script/runner.js";
import { judgeScript, NOTHING, type Verdict } from "../script/verdict.js";

/** A script to run, and whether its packets are wanted. */
export interface DrillJob {
  readonly index: number;
  readonly file: string;
  readonly options: Omit<RunOptions, "host">;
  readonly wantsPackets: boolean;
  /** The kernel that is spoken to; undefined for our own stack in virtual time. */
  readonly live: LiveTarget | undefined;
}

export interface DrillResult {
  readonly index: number;
  readonly verdict: Verdict;
  readonly printed: readonly string[];
  /** Milliseconds of real time. */
  readonly tookMs: number;
}

export interface DrillWorkerData {
  /** As of the jobs that will come. */
  readonly live: LiveTarget | undefined;
}

/** Runs one. Never throws. */
export function runJob({ index, file, options, wantsPackets, live }: DrillJob): DrillResult {
  const begun = performance.now();
  const printed: string[] = [];
  const verdict = judgeFile(file, () => ({
    ...options,
    ...(live === undefined ? {} : liveRun(live)),
    print: (text) => printed.push(text),
  }));
  const isWanted = wantsPackets || verdict.outcome === "fail";
  return {
    index,
    verdict: isWanted ? verdict : { ...verdict, packets: [], steps: [] },
    printed,
    tookMs: performance.now() - begun,
  };
}

/** A script that cannot be read is as good as none, as is a kernel that cannot be reached. */
function judgeFile(file: string, options: () => RunOptions): Verdict {
  try {
    return judgeScript(readFileSync(file, "utf8"), options());
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    return { ...NOTHING, outcome: "error", message };
  }
}

/** A little of everything, so that what is timed later has been compiled. */
const WARM_UP = `
   0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
  +0 bind(3, ..., ...) = 0
  +0 listen(3, 1) = 0
  +0 < S 0:0(0) win 1000 <mss 1000,nop,wscale 2,sackOK,TS val 1 ecr 0>
   * > S. 0:0(0) ack 1 <...>
  +0 < . 1:1(0) ack 1 win 1000 <nop,nop,TS val 1 ecr 0>
  +0 accept(3, ..., ...) = 4
  +0 write(4, ..., 10) = 10
   * > P. 1:11(10) ack 1 <...>
`;

if (parentPort !== null) {
  const parent = parentPort;
  const { live } = workerData as DrillWorkerData;
  if (live?.kernel === NAMESPACE) for (let i = 0; i < 3; i++) judgeScript(WARM_UP, liveRun(live));
  parent.on("message", (job: DrillJob) => parent.postMessage(runJob(job)));
  parent.postMessage("ready");
}
