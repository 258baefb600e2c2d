/** `rawtcp listen PORT`: a server of ours that kernel clients connect to. */
import { spawn } from "node:child_process";
import { readdirSync } from "node:fs";
import { RawTcpError } from "../base/errors.js";
import type { Session } from "../driver/session.js";
import { isOwnAddress } from "../kernel/interfaces.js";
import { setCloseOnExec } from "../kernel/libc.js";
import { TcpServer, type TcpStream } from "../net/tcp-stream.js";
import { tryParseAddress } from "../wire/address.js";
import { SUCCESS, type Verdict } from "./exit-codes.js";
import type { ListenOptions } from "./options.js";
import { tell } from "./output.js";
import { discardOrPrint, outcome, relay } from "./relay.js";
import { runLive, untilClosed } from "./run.js";

/** Returns the exit code. */
export function listen(options: ListenOptions): Promise<number> {
  return runLive({
    host: options.bind,
    options,
    logTo: 2,
    check: checkOwnAddress,
    work: (session, interrupted) =>
      options.keep ? serveAll(session, options, interrupted) : serveOne(session, options, interrupted),
  });
}

/** Ctrl-C is the end that was asked for. */
async function serveAll(session: Session, options: ListenOptions, interrupted: Promise<Verdict>): Promise<Verdict> {
  open(session, options, (stream) => {
    void serve(stream, options).then(({ message }) => {
      if (message !== "") tell(message);
    });
  });
  const verdict = await interrupted;
  return { ...SUCCESS, message: verdict.message };
}

async function serveOne(session: Session, options: ListenOptions, interrupted: Promise<Verdict>): Promise<Verdict> {
  const ended = new Promise<Verdict>((resolve) => {
    const server = open(session, options, (stream) => {
      server.close();
      resolve(serve(stream, options));
    });
  });
  return untilClosed(session, ended, interrupted);
}

function open(session: Session, options: ListenOptions, onConnection: (stream: TcpStream) => void): TcpServer {
  const server = new TcpServer(session.driver);
  server.on("connection", onConnection);
  server.listen({
    address: session.target,
    port: options.port,
    backlog: options.backlog,
    synBacklog: options.synBacklog,
    ...(options.fastOpen ? { fastOpenQueue: options.backlog, connection: { fastOpen: "server" } } : {}),
  });
  // With --json the event "guard", action "hold", says the same.
  if (!options.json) tell(`listening on ${options.bind} port ${options.port}`);
  return server;
}

/** One connection, to its end. */
function serve(stream: TcpStream, options: ListenOptions): Promise<Verdict> {
  const ended = outcome(stream);
  const discard = options.pcap === "-";
  if (options.echo) {
    stream.pipe(stream);
  } else if (options.exec !== undefined) {
    runCommand(stream, options.exec);
  } else if (options.keep) {
    // Standard input cannot be given to more than one.
    discardOrPrint(stream, discard);
    stream.on("end", () => stream.end());
  } else {
    relay(stream, { halfClose: false, abort: false, discard });
  }
  return ended;
}

function runCommand(stream: TcpStream, command: string): void {
  closeOnExec();
  // A process group of its own: with it ends what the shell has started.
  const child = spawn("/bin/sh", ["-c", command], { stdio: ["pipe", "pipe", "inherit"], detached: true });
  child.on("error", (error) => stream.destroy(error));
  // A command that does not read its input is no error; what comes is taken all the same, or CLOSE would have to send RST.
  child.stdin.on("error", () => undefined);
  child.stdin.on("close", () => {
    stream.unpipe(child.stdin);
    stream.resume();
  });
  stream.pipe(child.stdin);
  child.stdout.pipe(stream);
  const { pid } = child;
  if (pid === undefined) return;
  commands.add(pid);
  child.on("exit", () => commands.delete(pid));
  stream.on("close", () => {
    child.stdin.destroy();
    child.stdout.destroy();
    child.unref();
    if (commands.has(pid)) hangUp(pid);
  });
}

/** Shells that run, each the leader of a process group. */
const commands = new Set<number>();

// Also when a second Ctrl-C ends us at once.
process.on("exit", () => {
  for (const pid of commands) hangUp(pid);
});

/**
 * Keeps from a command that serves strangers what whoever started us has left open, beside our own, which are all
 * close-on-exec.
 */
function closeOnExec(): void {
  for (const name of readdirSync("/proc/self/fd")) {
    const fd = Number(name);
    if (fd <= 2) continue;
    try {
      setCloseOnExec(fd);
    } catch {
      // The descriptor of the folder itself, which is closed again.
    }
  }
}

/** SIGHUP to a process group, as a terminal that goes away sends it. */
function hangUp(group: number): void {
  try {
    process.kill(-group, "SIGHUP");
  } catch {
    // All of it ended in this moment.
  }
}

function checkOwnAddress(address: string): void {
  if (tryParseAddress(address)?.isUnspecified() || isOwnAddress(address)) return;
  throw new RawTcpError("EADDRNOTAVAIL", `--bind ${address} is not an address of this host`);
}
