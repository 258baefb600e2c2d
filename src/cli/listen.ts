/** `rawtcp listen PORT`: a server of ours that kernel clients connect to. */
import { spawn } from "node:child_process";
import type { Argv } from "yargs";
import type { Session } from "../driver/session.js";
import { TcpServer, type TcpStream } from "../net/tcp-stream.js";
import { tryParseAddress } from "../wire/address.js";
import { EXIT, EXIT_HELP, judge } from "./exit-codes.js";
import { type CommonOptions, checkRange, withCommonOptions } from "./options.js";
import { runLive } from "./run.js";

export interface ListenCommand extends CommonOptions {
  port: number;
  bind: string;
  echo: boolean;
  exec: string | undefined;
  keep: boolean;
  backlog: number;
  synBacklog: number;
}

export function listenOptions(argv: Argv): Argv<ListenCommand> {
  return withCommonOptions(argv)
    .positional("port", { type: "number", demandOption: true, describe: "port, 1-65535" })
    .option("bind", {
      type: "string",
      default: "127.0.0.1",
      requiresArg: true,
      describe: "address to listen at; 0.0.0.0 needs --allow-remote",
    })
    .option("echo", { type: "boolean", default: false, describe: "send back what comes" })
    .option("exec", {
      type: "string",
      requiresArg: true,
      conflicts: "echo",
      describe: "run a shell command for each connection, joined to its standard input and output",
    })
    .option("keep", { alias: "k", type: "boolean", default: false, describe: "go on after the first connection, until Ctrl-C" })
    .option("backlog", { type: "number", default: 511, requiresArg: true, describe: "size of the accept queue" })
    .option("syn-backlog", { type: "number", default: 1024, requiresArg: true, describe: "size of the SYN queue" })
    .check((options: { port?: unknown; backlog?: unknown; synBacklog?: unknown; bind?: unknown; allowRemote?: unknown }) => {
      checkRange("PORT", options.port, 1, 65_535);
      checkRange("--backlog", options.backlog, 1, 65_535);
      checkRange("--syn-backlog", options.synBacklog, 1, 1_000_000);
      const bind = tryParseAddress(String(options.bind));
      if (bind === undefined) throw new Error(`--bind: "${options.bind}" is not an IP address`);
      if (bind.isUnspecified() && options.allowRemote !== true) {
        throw new Error(`--bind ${bind} takes connections from other hosts: add --allow-remote if you may do that`);
      }
      return true;
    })
    .example("$0 listen 8080 --echo --keep", "an echo server; try: ncat localhost 8080")
    .example(
      "$0 listen 8080 --exec 'printf \"HTTP/1.0 200 OK\\r\\n\\r\\nhello\\n\"' --keep",
      "answer curl http://localhost:8080/",
    )
    .example("$0 listen 8080 > file", "receive a file from ncat")
    .epilogue(EXIT_HELP) as unknown as Argv<ListenCommand>;
}

export function listen(options: ListenCommand): Promise<number> {
  return runLive(options.bind, options, 2, {}, async (session, interrupted) => {
    const server = new TcpServer(session.driver);
    const finished = new Promise<number>((resolve) => {
      server.on("connection", (stream) => {
        if (!options.keep) server.close();
        serve(stream, options).then((exitCode) => {
          if (!options.keep) resolve(exitCode);
        });
      });
    });
    server.listen({
      address: session.target,
      port: options.port,
      backlog: options.backlog,
      synBacklog: options.synBacklog,
    });
    process.stderr.write(`rawtcp: listening on ${options.bind} port ${options.port}\n`);
    const exitCode = await Promise.race([finished, interrupted]);
    process.stdin.destroy();
    if (exitCode === EXIT.interrupted || exitCode === EXIT.terminated) return options.keep ? EXIT.success : exitCode;
    return settle(session, interrupted, exitCode);
  });
}

/** Waits for the last ACK and TIME-WAIT. */
async function settle(session: Session, interrupted: Promise<number>, exitCode: number): Promise<number> {
  const cut = await Promise.race([session.driver.whenIdle().then(() => undefined), interrupted]);
  return cut ?? exitCode;
}

/** One connection, to its end. */
function serve(stream: TcpStream, options: ListenCommand): Promise<number> {
  const finished = new Promise<number>((resolve) => {
    stream.on("error", (error) => {
      const verdict = judge(error);
      process.stderr.write(`rawtcp: ${verdict.message}\n`);
      resolve(verdict.exitCode);
    });
    stream.on("close", () => resolve(EXIT.success));
  });
  if (options.echo) {
    stream.pipe(stream);
  } else if (options.exec !== undefined) {
    runCommand(stream, options.exec);
  } else if (options.keep) {
    // Standard input cannot be given to more than one.
    stream.pipe(process.stdout, { end: false });
    stream.on("end", () => stream.end());
  } else {
    process.stdin.pipe(stream);
    if (options.pcap === "-") stream.resume();
    else stream.pipe(process.stdout, { end: false });
    stream.on("end", () => stream.end());
  }
  return finished;
}

function runCommand(stream: TcpStream, command: string): void {
  const child = spawn("/bin/sh", ["-c", command], { stdio: ["pipe", "pipe", "inherit"] });
  child.on("error", (error) => stream.destroy(error));
  // A command that does not read its input is no error; what comes is taken all the same, or CLOSE would have to send RST.
  child.stdin.on("error", () => undefined);
  child.stdin.on("close", () => {
    stream.unpipe(child.stdin);
    stream.resume();
  });
  stream.pipe(child.stdin);
  child.stdout.pipe(stream);
  stream.on("close", () => {
    if (child.exitCode === null) child.kill("SIGHUP");
  });
}
