#!/usr/bin/env node
/** The command line of rawtcp. Commands are loaded when they run: `--help` need not wait for native add-ons. */
import { readFileSync } from "node:fs";
import yargs from "yargs";
import { hideBin } from "yargs/helpers";
import { captureOptions } from "./capture-options.js";
import { drillOptions } from "./drill-options.js";
import { drillWords } from "./drill-words.js";
import { EXIT, EXIT_HELP, judge } from "./exit-codes.js";
import { explainOptions } from "./explain-options.js";
import { connectOptions, demoOptions, doctorOptions, flagMisuse, gatherRepeated, listenOptions, parserFor } from "./options.js";
import { tell } from "./output.js";
import { programOptions } from "./program-options.js";
import { sendOptions } from "./send-options.js";

/** Sets the exit code when a command is done; the process ends by itself once nothing is left open. */
async function finish(result: Promise<number>): Promise<void> {
  const exitCode = await result;
  // After a signal nobody waits for a reader of standard output that does not read.
  if (exitCode > 128) process.exit(exitCode);
  if (!outputFailed) process.exitCode = exitCode;
}

function version(): string {
  const manifest: unknown = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"));
  return typeof manifest === "object" && manifest !== null && "version" in manifest ? String(manifest.version) : "";
}

/** yargs' messages are several lines long or speak of arguments where the user typed an option. */
const STRINGS = {
  "Not enough arguments following: %s": "--%s needs a value",
  "Not enough non-option arguments: got %s, need at least %s": {
    one: "an argument is missing: %s of %s given",
    other: "an argument is missing: %s of %s given",
  },
  "Unknown argument: %s": { one: "unknown argument: %s", other: "unknown arguments: %s" },
  "Unknown command: %s": { one: "unknown command: %s", other: "unknown commands: %s" },
  "Did you mean %s?": "unknown command; did you mean %s?",
};

// A reader that has gone (| head) is no failure; a live session hears of it too and ends. A full disk is one.
let outputFailed = false;
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE" || outputFailed) return;
  outputFailed = true;
  tell(`standard output: ${error.message}`);
  process.exitCode = EXIT.failure;
});

const { own: words, program } = splitProgram(gatherRepeated(drillWords(hideBin(process.argv))));
const cli = yargs(words)
  .scriptName("rawtcp")
  .usage(
    "$0 <command>\n\nA TCP of our own over raw sockets: real handshakes and closes against a live kernel, every state change told.",
  )
  .command("demo", "an HTTP exchange with a kernel server on loopback, as a ladder", demoOptions, async (argv) =>
    finish((await import("./demo.js")).demo(argv)),
  )
  .command(
    "connect <host> <port>",
    "like nc: stdin to the peer, the peer to stdout, the log on stderr",
    connectOptions,
    async (argv) => finish((await import("./connect.js")).connect(argv)),
  )
  .command("listen <port>", "accept connections of kernel clients", listenOptions, async (argv) =>
    finish((await import("./listen.js")).listen(argv)),
  )
  .command("send <host>", "craft packets, any field right or wrong, and see what answers", sendOptions, async (argv) =>
    finish((await import("./send.js")).send(argv)),
  )
  .command("capture", "show or save packets, live or from a file, as tcpdump does", captureOptions, async (argv) =>
    finish((await import("./capture.js")).capture(argv)),
  )
  .command(
    "explain <file>",
    "what happened in a capture: every connection, both ends' states, what was lost and why",
    explainOptions,
    async (argv) => finish((await import("./explain.js")).explain(argv)),
  )
  .command("run", "run a program of Node whose TCP is ours: rawtcp run [options] -- node app.js", programOptions, async (argv) =>
    finish((await import("./run-program.js")).runProgram(argv, program)),
  )
  .command(
    "drill <paths..>",
    "run packetdrill scripts on our stack in virtual time, or on a kernel",
    drillOptions,
    async (argv) => finish((await import("./drill.js")).drill(argv)),
  )
  .command("doctor", "check rights, add-ons, port guard, capture, MTU and offloads", doctorOptions, async (argv) =>
    finish((await import("./doctor.js")).doctor(argv)),
  )
  .completion("completion", "print a completion script: rawtcp completion >> ~/.bashrc")
  .demandCommand(1, "which command: demo, connect, listen, send, capture, explain, run, drill or doctor?")
  .recommendCommands()
  .strict()
  .parserConfiguration(parserFor(words[0] ?? ""))
  // The type knows no plurals, yargs does.
  .updateStrings(STRINGS as unknown as Record<string, string>)
  .wrap(Math.min(120, process.stdout.columns ?? 100))
  .version(version())
  .alias("h", "help")
  .epilogue(EXIT_HELP)
  .fail((message: string | null, error: Error | undefined, usage) => {
    // A failure of the command itself has no message of yargs.
    if (message === null && error !== undefined) {
      const verdict = judge(error);
      tell(verdict.message);
      process.exit(verdict.exitCode);
    }
    if (words.length === 0) {
      usage.showHelp("error");
      process.exit(EXIT.usage);
    }
    failUsage((message ?? "").replace(/\s*\n\s*/g, " ").replace(/(?<=^unknown arguments?: ).*/, asTyped));
  });

const misuse = words.map((word) => flagMisuse(word, words[0])).find((text) => text !== undefined);
if (misuse !== undefined) failUsage(misuse);
await cli.parseAsync();

function failUsage(message: string): never {
  const [command = ""] = words;
  const isCommand = ["demo", "connect", "listen", "send", "capture", "explain", "run", "drill", "doctor"].includes(command);
  tell(`${message} (see ${isCommand ? `rawtcp ${command} --help` : "rawtcp --help"})`);
  process.exit(EXIT.usage);
}

/** What stands behind -- is the program of `run`, and none of our business. */
function splitProgram(typed: readonly string[]): { own: readonly string[]; program: readonly string[] } {
  const at = typed[0] === "run" ? typed.indexOf("--") : -1;
  return at < 0 ? { own: typed, program: [] } : { own: typed.slice(0, at), program: typed.slice(at + 1) };
}

/** yargs names unknown options without their dashes. */
function asTyped(names: string): string {
  const typed = names.split(", ").map((name) => words.find((word) => word.replace(/^-+|=.*$/gs, "") === name) ?? name);
  return [...new Set(typed)].join(", ");
}
