/** What the tests of the command line share: a build of their own, and processes whose output and end can be awaited. */
import { type ChildProcess, execFile, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";

const root = resolve(import.meta.dirname, "../..");

/** A build of the sources as they are now. */
export interface Build {
  /** dist/cli/main.js */
  readonly main: string;
  /** For files that a test writes; gone with the build. */
  readonly folder: string;
  remove(): void;
}

/** `packages` are the only ones that the build can load; without it it finds all that are installed. */
export function buildCli(packages?: readonly string[]): Build {
  const folder = mkdtempSync(join(packages === undefined ? join(root, "node_modules") : tmpdir(), "rawtcp-test-"));
  copyFileSync(join(root, "package.json"), join(folder, "package.json"));
  if (packages !== undefined) mkdirSync(join(folder, "node_modules"));
  for (const name of packages ?? []) symlinkSync(join(root, "node_modules", name), join(folder, "node_modules", name));
  const tsc = join(root, "node_modules/.bin/tsc");
  execFileSync(tsc, ["-p", join(root, "tsconfig.json"), "--noCheck", "--outDir", join(folder, "dist")], { stdio: "pipe" });
  return { main: join(folder, "dist/cli/main.js"), folder, remove: () => rmSync(folder, { recursive: true, force: true }) };
}

export interface Ended {
  /** The exit code, or the signal's name. */
  readonly code: number | string | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A process with its output; end it by its input, a signal, or its peer. */
export interface Running {
  readonly child: ChildProcess;
  /** Resolves once standard error (or `where`) has the text; rejects when the process ends without. */
  sees(text: string | RegExp, where?: "stdout" | "stderr"): Promise<void>;
  readonly ended: Promise<Ended>;
  /** Writes to standard input; ends it unless `more` follows. */
  input(data: string | Uint8Array, more?: "more"): void;
}

const running = new Set<ChildProcess>();

/** Ends what a failed test has left. Call it after each test. */
export function endProcesses(): void {
  for (const child of running) child.kill("SIGKILL");
}

/** Starts a program; its standard input is open until `input` ends it. */
export function start(program: string, args: readonly string[], options: { cwd?: string } = {}): Running {
  const child = spawn(program, args, { stdio: ["pipe", "pipe", "pipe"], ...options });
  running.add(child);
  const output = { stdout: "", stderr: "" };
  const watchers = new Set<() => void>();
  for (const where of ["stdout", "stderr"] as const) {
    child[where].setEncoding("latin1").on("data", (text: string) => {
      output[where] += text;
      for (const watch of watchers) watch();
    });
  }
  // The process may be gone before it has read all.
  child.stdin.on("error", () => undefined);
  const ended = once(child, "close").then(([code, signal]): Ended => {
    running.delete(child);
    return { code: signal ?? code, ...output };
  });
  return {
    child,
    ended,
    input(data, more) {
      if (more === undefined) child.stdin.end(data);
      else child.stdin.write(data);
    },
    sees(text, where = "stderr") {
      const found = (): boolean => (typeof text === "string" ? output[where].includes(text) : text.test(output[where]));
      return new Promise((resolve, reject) => {
        const watch = (): void => {
          if (!found()) return;
          watchers.delete(watch);
          resolve();
        };
        watchers.add(watch);
        watch();
        void ended.then(() => reject(new Error(`it ended without ${text}: ${output.stderr}`)));
      });
    },
  };
}

/** Runs a program to its end; `input` is all of its standard input. */
export function runToEnd(program: string, args: readonly string[], input: string | Uint8Array = ""): Promise<Ended> {
  const process = start(program, args);
  process.input(input);
  return process.ended;
}

/** What a program prints; rejects when it fails. */
export async function outputOf(program: string, ...args: string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(program, args, { encoding: "utf8", maxBuffer: 1 << 26 });
  return stdout;
}

/** A server on the kernel's TCP. */
export interface KernelServer {
  readonly port: string;
  /** The next connection that comes. */
  readonly accepted: Promise<Socket>;
  close(): void;
}

export async function kernelServer(onConnection: (socket: Socket) => void = () => undefined): Promise<KernelServer> {
  const sockets = new Set<Socket>();
  const server: Server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on("error", () => socket.destroy());
    onConnection(socket);
  });
  const accepted = once(server, "connection").then(([socket]: Socket[]) => socket as Socket);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  return {
    port: String(typeof address === "object" ? address?.port : 0),
    accepted,
    close() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

/** A port of 127.0.0.1 that nobody has at the moment. */
export async function freePort(): Promise<string> {
  const server = await kernelServer();
  server.close();
  return server.port;
}

/** Flags, our comment, status of the TCP checksum (1 good), and what tshark finds malformed. */
export const TSHARK = [
  ...["-o", "tcp.check_checksum:TRUE", "-T", "fields", "-E", "separator=|"],
  ...["tcp.flags.str", "frame.comment", "tcp.checksum.status", "_ws.malformed"].flatMap((field) => ["-e", field]),
];

/** What is wrong in the output of tshark with TSHARK: fewer packets than `least`, malformed ones, bad checksums of ours. */
export function faultsOf(lines: string, least: number): string[] {
  const rows = lines.trimEnd().split("\n");
  const faults = rows.filter((row) => {
    const [, comment = "", status, malformed] = row.split("|");
    // The kernel's own segments on loopback carry unfinished checksums. Ours have a comment that says why they were sent.
    const isOurs = /^(open|third|close|acknowledges|window)/.test(comment);
    return malformed !== "" || (isOurs && status !== "1");
  });
  return rows.length < least ? [...faults, `only ${rows.length} packets`] : faults;
}

/** The output of tshark with TSHARK for a capture (latin1) that it reads from a pipe: what Node gives a child is a socket, which it refuses. */
export async function readWithTshark(capture: string): Promise<string> {
  const { stdout } = await runToEnd(
    "sh",
    ["-c", 'cat | tshark "$@"', "sh", "-r", "-", ...TSHARK],
    Buffer.from(capture, "latin1"),
  );
  return stdout;
}
