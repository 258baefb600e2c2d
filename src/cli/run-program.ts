/** `rawtcp run -- COMMAND …`: a program whose TCP is ours, without a change to it. */
import { spawn } from "node:child_process";
import { rmSync, statSync } from "node:fs";
import { constants } from "node:os";
import { resolve } from "node:path";
import { openHostSession } from "../driver/host-session.js";
import { RUN_VARIABLE, type RunOptions } from "../net/run-options.js";
import { EXIT } from "./exit-codes.js";
import { tell } from "./output.js";
import type { ProgramOptions } from "./program-options.js";
import { settingsOfChoices } from "./tcp-choices.js";

/** Signals that are for the program; it decides what they mean. */
const FORWARDED = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** Returns the exit code: the program's, or 128 and the number of the signal that ended it. */
export async function runProgram(options: ProgramOptions, program: readonly string[]): Promise<number> {
  const [command, ...args] = program;
  if (command === undefined) {
    tell("nothing to run: rawtcp run [options] -- node app.js (see rawtcp run --help)");
    return EXIT.usage;
  }
  // What is missing is told once, here, and not by every process of the program.
  if (!options.simulated) openHostSession({ guard: options.guard }).close("abort");
  const json = options.json === undefined || options.json === "-" ? options.json : ownFile(options.json, "--json");
  const pcap = options.pcap === undefined ? undefined : ownFile(options.pcap, "--pcap");
  const rules = [...(options.bend ?? []), ...(options.bendFile ?? [])].map(({ text }) => text);
  const run: RunOptions = {
    ...(options.only === undefined ? {} : { only: options.only }),
    ...(options.ports === undefined ? {} : { ports: options.ports }),
    ...(options.hosts === undefined ? {} : { hosts: options.hosts }),
    simulated: options.simulated,
    guard: options.guard,
    allowRemote: options.allowRemote,
    profile: options.profile,
    ...(options.congestion === undefined ? {} : { congestion: options.congestion }),
    connection: settingsOfChoices(options) as Record<string, number | boolean | string>,
    ...(rules.length === 0 ? {} : { bend: rules.join("\n") }),
    ...(pcap === undefined ? {} : { pcap }),
    ...(json === undefined ? {} : { json }),
    quiet: options.quiet,
  };
  const register = new URL("../net/register.js", import.meta.url).href;
  const nodeOptions = [process.env["NODE_OPTIONS"], `--import=${register}`].filter(Boolean).join(" ");
  const child = spawn(command, args, {
    stdio: "inherit",
    env: { ...process.env, NODE_OPTIONS: nodeOptions, [RUN_VARIABLE]: JSON.stringify(run) },
  });
  const forward = (signal: NodeJS.Signals): void => {
    // Ctrl-C has reached the program by itself, as it did us.
    if (signal !== "SIGINT" || process.stdin.isTTY !== true) child.kill(signal);
  };
  for (const signal of FORWARDED) process.on(signal, forward);
  return new Promise((finish) => {
    child.once("error", (error: NodeJS.ErrnoException) => {
      tell(error.code === "ENOENT" ? `${command}: no such command` : `${command}: ${error.message}`);
      finish(error.code === "ENOENT" ? 127 : 126);
    });
    child.once("exit", (code, signal) => {
      for (const forwarded of FORWARDED) process.off(forwarded, forward);
      finish(code ?? 128 + (signal === null ? 0 : constants.signals[signal]));
    });
  });
}

/** The full name of a file that is to be written anew: the processes of the program open it when they have something to write. */
function ownFile(path: string, option: string): string {
  const full = resolve(path);
  const found = statSync(full, { throwIfNoEntry: false });
  if (found?.isFile() === true) rmSync(full);
  else if (found !== undefined) {
    throw Object.assign(new Error(`${option} ${path}: is no file; choose another name`), { code: "ERR_PCAP_FILE" });
  } else if (statSync(resolve(full, ".."), { throwIfNoEntry: false })?.isDirectory() !== true) {
    throw Object.assign(new Error(`${option} ${path}: there is no such folder; make it first: mkdir -p`), {
      code: "ERR_PCAP_FILE",
    });
  }
  return full;
}
