#!/usr/bin/env node
/** The command line of rawtcp. */
import { readFileSync } from "node:fs";
import yargs from "yargs";
import { hideBin } from "yargs/helpers";
import { connect, connectOptions } from "./connect.js";
import { demo, demoOptions } from "./demo.js";
import { doctor, doctorOptions } from "./doctor.js";
import { EXIT, EXIT_HELP } from "./exit-codes.js";
import { listen, listenOptions } from "./listen.js";

/** Sets the exit code when a command is done; the process ends by itself once nothing is left open. */
async function finish(result: Promise<number>): Promise<void> {
  process.exitCode = await result;
}

function version(): string {
  const manifest: unknown = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"));
  return typeof manifest === "object" && manifest !== null && "version" in manifest ? String(manifest.version) : "";
}

// A reader that has gone (| head) ends us quietly, as it ends other tools.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(EXIT.success);
  throw error;
});

const cli = yargs(hideBin(process.argv))
  .scriptName("rawtcp")
  .usage(
    "$0 <command>\n\nA TCP of our own over raw sockets: real handshakes and closes against a live kernel, every state change told.",
  )
  .command("demo", "an HTTP exchange with a kernel server on loopback, as a ladder", demoOptions, (argv) => finish(demo(argv)))
  .command(
    "connect <host> <port>",
    "connect like nc: stdin to the peer, the peer to stdout, the log on stderr",
    connectOptions,
    (argv) => finish(connect(argv)),
  )
  .command("listen <port>", "accept connections of kernel clients", listenOptions, (argv) => finish(listen(argv)))
  .command("doctor", "check rights, add-ons, port guard, capture, MTU and offloads", doctorOptions, (argv) =>
    finish(doctor(argv)),
  )
  .completion("completion", "print a completion script: rawtcp completion >> ~/.bashrc")
  .demandCommand(1, "")
  .recommendCommands()
  .strict()
  .wrap(Math.min(120, process.stdout.columns ?? 100))
  .version(version())
  .alias("h", "help")
  .epilogue(EXIT_HELP)
  .fail((message, error, usage) => {
    if (message === "" && error === undefined) {
      usage.showHelp("error");
    } else {
      process.stderr.write(`rawtcp: ${message ?? error.message} (see rawtcp --help)\n`);
    }
    process.exit(EXIT.usage);
  });

await cli.parseAsync();
