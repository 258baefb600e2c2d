/** `rawtcp drill PATH…`: scripts in packetdrill's language on our stack in virtual time, or against a live kernel. */
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { basename, dirname, join, relative } from "node:path";
import { Worker } from "node:worker_threads";
import { RawTcpError } from "../base/errors.js";
import { SECOND } from "../base/time.js";
import { NAMESPACE } from "../driver/live-host.js";
import { capabilityAdvice } from "../kernel/capabilities.js";
import { namespaceObstacle } from "../kernel/network-namespace.js";
import { reachOf } from "../kernel/reach.js";
import { routeTo } from "../kernel/route.js";
import { enhancedPacketLength, interfaceDescriptionBlock, sectionHeaderBlock, writeEnhancedPacket } from "../pcapng/writer.js";
import { scriptDuration } from "../script/ast.js";
import { ladderLines } from "../script/ladder.js";
import { parseScript } from "../script/parser.js";
import { START } from "../script/runner.js";
import { readSettings } from "../script/settings.js";
import { NOTHING, type Verdict } from "../script/verdict.js";
import type { DrillOptions } from "./drill-options.js";
import { junitReport, tableOfFolders } from "./drill-report.js";
import { type DrillJob, type DrillResult, type DrillWorkerData, runJob } from "./drill-worker.js";
import { EXIT } from "./exit-codes.js";
import { tell } from "./output.js";

/** A script and what became of it. */
export interface Drilled {
  readonly file: string;
  readonly result: DrillResult;
}

/** Below this, starting threads costs more than it brings. */
const FEW_SCRIPTS = 40;
/** Live scripts wait most of their time. */
const LIVE_THREADS = 16;
const CALM_THREADS = [2, 1] as const;
/** Packets and calls that are shown of a script that failed: the last ones. */
const SHOWN_STEPS = 40;

/** Returns the exit code. */
export async function drill(options: DrillOptions): Promise<number> {
  const files: string[] = [];
  /** Of the traces: as the scripts lie below the folders that were given. */
  const names: string[] = [];
  for (const path of options.paths) {
    const found = statSync(path, { throwIfNoEntry: false });
    if (found === undefined) {
      tell(`${path}: there is no such file or folder`);
      return EXIT.usage;
    }
    const below = found.isDirectory() ? scriptsBelow(path) : [path];
    files.push(...below);
    names.push(...below.map((file) => (found.isDirectory() ? relative(path, file) : basename(file))));
  }
  if (files.length === 0) {
    tell(`no scripts (*.pkt) in ${options.paths.join(", ")}`);
    return EXIT.usage;
  }
  const settings = optionLines(options.option);
  if (typeof settings === "string") {
    tell(settings);
    return EXIT.usage;
  }
  const { seed, profile, strict, tolerant, livePort } = options;
  const live =
    options.live === undefined || options.live === NAMESPACE
      ? options.live
      : await (await import("./run.js")).resolveHost(options.live);
  if (live !== undefined) mayRunLive(live, options.allowRemote);
  const echoes = options.echoes || strict;
  const jobs = files.map((file, index): DrillJob => {
    return {
      index,
      file,
      options: { seed, profile, strict, tolerant, echoes, options: settings },
      wantsPackets: options.keepTrace !== undefined,
      live:
        live === undefined
          ? undefined
          : { kernel: live, slot: process.pid * 100 + index, ...(livePort === undefined ? {} : { port: livePort }) },
    };
  });
  const results =
    live === undefined
      ? await runAll(jobs, options.jobs ?? availableParallelism())
      : await runLive(jobs, options.liveSeconds, options.jobs ?? LIVE_THREADS);
  const drilled = results.map((result): Drilled => ({ file: files[result.index] ?? "", result }));
  for (const one of drilled) {
    if (options.json) console.log(JSON.stringify(asJson(one)));
    else if (!options.quiet) show(one);
    if (options.keepTrace !== undefined)
      writeTrace(join(options.keepTrace, (names[one.result.index] ?? "").replace(/\.pkt$/, ".pcapng")), one);
  }
  if (!options.json) console.log(tableOfFolders(drilled));
  if (options.junit !== undefined) writeFileSync(options.junit, junitReport(drilled));
  const has = (...outcomes: Verdict["outcome"][]): boolean =>
    drilled.some(({ result }) => outcomes.includes(result.verdict.outcome));
  return has("fail", "error") ? EXIT.failure : has("unsupported") ? 3 : EXIT.success;
}

function scriptsBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".pkt"))
    .sort()
    .map((file) => join(folder, file));
}

/** Throws RawTcpError where the rights are missing, or the kernel is beyond this host. */
function mayRunLive(kernel: string, allowRemote: boolean): void {
  if (kernel === NAMESPACE) {
    const obstacle = namespaceObstacle();
    if (obstacle !== "") throw new RawTcpError("EPERM", `--live ${kernel}: ${obstacle}`);
    return;
  }
  const advice = capabilityAdvice();
  if (advice !== "") throw new RawTcpError("EPERM", `--live ${kernel}: ${advice}`);
  if (reachOf(routeTo(kernel)) !== "own" && !allowRemote)
    throw new RawTcpError("ERR_REMOTE_TARGET", `${kernel} is beyond this host: add --allow-remote if you may test it`);
}

/** "name=value" texts as a table, or what is wrong with one. */
function optionLines(given: DrillOptions["option"]): Record<string, string> | string {
  const table: Record<string, string> = {};
  // Each a line: see gatherRepeated.
  for (const text of given === undefined ? [] : [given].flat().flatMap((lines) => lines.split("\n"))) {
    const [, name = "", value = ""] = /^(?:--)?((?:-D )?[A-Za-z_]\w*)(?:=(.*))?$/s.exec(text) ?? [];
    if (name === "") return `--option: "${text}" is no option line, such as ip_version=ipv6 or "-D NAME=value"`;
    if (name.startsWith("-D ") && !text.includes("=")) return `-D: "${text.slice(3)}" is no definition, such as NAME=value`;
    table[name] = value;
  }
  return table;
}

async function runAll(jobs: readonly DrillJob[], threads: number): Promise<DrillResult[]> {
  return threads === 1 || jobs.length < FEW_SCRIPTS ? jobs.map(runJob) : runInThreads(jobs, threads);
}

/** The longest first, so that none is left to run alone at the end; what takes too long on the clock, not at all. */
async function runLive(jobs: readonly DrillJob[], mostSeconds: number, threads: number): Promise<DrillResult[]> {
  const results: DrillResult[] = [];
  const timed: { job: DrillJob; seconds: number }[] = [];
  for (const job of jobs) {
    const seconds = secondsOf(job.file);
    if (seconds > mostSeconds) results[job.index] = tooLong(job, seconds);
    else timed.push({ job, seconds });
  }
  timed.sort((a, b) => b.seconds - a.seconds);
  const ordered = timed.map(({ job }) => job);
  for (const result of await runInThreads(ordered, threads)) if (result !== undefined) results[result.index] = result;
  // Where all the others had the processor, time tells little: what failed is tried again with little beside it, and then alone.
  for (const calm of CALM_THREADS) {
    const failed = ordered.filter(({ index }) => results[index]?.verdict.outcome === "fail");
    for (const result of await runInThreads(failed, calm)) if (result !== undefined) results[result.index] = result;
  }
  return results;
}

/** 0 for what is no script: it is to be told when it is run. */
function secondsOf(file: string): number {
  try {
    return scriptDuration(parseScript(readFileSync(file, "utf8"), (lines) => readSettings(lines).definitions)) / SECOND;
  } catch {
    return 0;
  }
}

function tooLong({ index }: DrillJob, seconds: number): DrillResult {
  const message = `it takes ${Math.ceil(seconds)} s on the clock: --live-seconds ${Math.ceil(seconds)}`;
  const verdict: Verdict = { ...NOTHING, outcome: "unsupported", message };
  return { index, verdict, printed: [], tookMs: 0 };
}

/** Jobs are given out when all threads stand ready: to start one takes the processor from the others. */
async function runInThreads(jobs: readonly DrillJob[], threads: number): Promise<DrillResult[]> {
  const results: DrillResult[] = [];
  const data: DrillWorkerData = { live: jobs[0]?.live };
  let next = 0;
  const workers: Worker[] = [];
  let ready = 0;
  const give = (worker: Worker): void => {
    const job = jobs[next++];
    if (job === undefined) void worker.terminate();
    else worker.postMessage(job);
  };
  const work = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const worker = new Worker(new URL("./drill-worker.js", import.meta.url), { workerData: data });
      workers.push(worker);
      worker.on("message", (message: "ready" | DrillResult) => {
        if (message === "ready") {
          if (++ready === workers.length) workers.forEach(give);
          return;
        }
        results[message.index] = message;
        give(worker);
      });
      worker.on("error", reject);
      worker.on("exit", () => resolve());
    });
  await Promise.all(Array.from({ length: Math.min(threads, jobs.length) }, work));
  return results;
}

function asJson({ file, result }: Drilled): object {
  const { outcome, line, message, event, expected, got, steps, tolerated, profile } = result.verdict;
  return {
    file,
    outcome,
    profile,
    line,
    message,
    event,
    expected,
    got,
    ...(outcome === "fail" ? { ladder: ladderLines(steps, START) } : {}),
    tolerated,
    printed: result.printed,
    tookMs: Math.round(result.tookMs * 1000) / 1000,
  };
}

function show({ file, result }: Drilled): void {
  for (const text of result.printed) console.log(`${file}: ${text}`);
  const { outcome, line, message, event, expected, got, steps, tolerated } = result.verdict;
  for (const text of tolerated) console.log(`TOLERATED ${file}: ${text}`);
  if (outcome === "pass") return;
  const place = line === 0 ? file : `${file}:${line}`;
  console.log(`${outcome.toUpperCase()} ${place}: ${message}`);
  if (outcome !== "fail") return;
  if (event !== "") console.log(`  event     ${event}`);
  if (expected !== "" && expected !== event) console.log(`  expected  ${expected}`);
  if (got !== "") console.log(`  got       ${got}`);
  const lines = ladderLines(steps, START);
  if (lines.length > SHOWN_STEPS) console.log(`  ${lines.length - SHOWN_STEPS} steps before these are not shown`);
  for (const text of lines.slice(-SHOWN_STEPS)) console.log(`  ${text}`);
}

/** DLT_RAW: packets begin with their IP header. */
const LINKTYPE_RAW = 101;

function writeTrace(path: string, { file, result }: Drilled): void {
  mkdirSync(dirname(path), { recursive: true });
  const chunks: Uint8Array[] = [
    sectionHeaderBlock({ userAppl: `rawtcp drill ${basename(file)}` }),
    interfaceDescriptionBlock({ name: "script", linkType: LINKTYPE_RAW }),
  ];
  for (const { at, bytes, direction, note } of result.verdict.packets) {
    const ns = BigInt(at - START) * 1000n;
    const packet = {
      interfaceId: 0,
      tsHigh: Number(ns >> 32n),
      tsLow: Number(ns & 0xffff_ffffn),
      bytes,
      offset: 0,
      length: bytes.length,
      direction: direction === "in" ? ("inbound" as const) : ("outbound" as const),
      comments: note === "" ? [] : [note],
    };
    const block = new Uint8Array(enhancedPacketLength(packet));
    writeEnhancedPacket(packet, block, new DataView(block.buffer), 0, block.length);
    chunks.push(block);
  }
  writeFileSync(path, Buffer.concat(chunks));
}
