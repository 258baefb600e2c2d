/**
 * `rawtcp demo`: an HTTP exchange with a kernel server on loopback, from the first SYN to the end of TIME-WAIT, as a ladder
 * with both ends' states, and a pcapng file beside it.
 */
import { createServer, type Server } from "node:net";
import type { Argv } from "yargs";
import type { Session } from "../driver/session.js";
import { TcpStream } from "../net/tcp-stream.js";
import { EXIT, EXIT_HELP } from "./exit-codes.js";
import { type CommonOptions, withCommonOptions } from "./options.js";
import { runLive } from "./run.js";

export interface DemoCommand extends CommonOptions {
  closer: "ours" | "kernel";
}

const CLOSERS: readonly DemoCommand["closer"][] = ["ours", "kernel"];

export function demoOptions(argv: Argv): Argv<DemoCommand> {
  return withCommonOptions(argv)
    .option("closer", { choices: CLOSERS, default: "ours" as DemoCommand["closer"], describe: "which end sends the first FIN" })
    .example("$0 demo", "watch three segments open a connection and four close it")
    .example("$0 demo --closer kernel", "the server closes first, as HTTP/1.0 does: TIME-WAIT is on its side")
    .example("$0 demo --msl 5", "TIME-WAIT of 10 seconds")
    .epilogue(EXIT_HELP) as unknown as Argv<DemoCommand>;
}

const DEFAULT_FILE = "rawtcp-demo.pcapng";
/** Between the kernel's ACK of our FIN and its own FIN, so that both can be seen: a server that still has something to do. */
const SERVER_PAUSE_MS = 60;
const BODY = "Hello from the kernel's side of the wire.\n";

export async function demo(options: DemoCommand): Promise<number> {
  const file = options.pcap ?? DEFAULT_FILE;
  const server = await startServer(options.closer);
  try {
    const exitCode = await runLive("127.0.0.1", { ...options, pcap: file }, 1, {}, (session, interrupted) =>
      exchange(session, portOf(server), options, interrupted),
    );
    if (exitCode === EXIT.success && !options.json && !options.quiet && file !== "-") {
      process.stdout.write(`\nThe same packets, with the reasons as comments:  wireshark ${file}\n`);
    }
    return exitCode;
  } finally {
    server.close();
  }
}

async function exchange(session: Session, port: number, options: DemoCommand, interrupted: Promise<number>): Promise<number> {
  const stream = TcpStream.connect(session.driver, { local: session.local, remote: session.target, remotePort: port });
  let answer = "";
  const finished = new Promise<number>((resolve, reject) => {
    stream.on("error", reject);
    // Not in the same turn: the third segment and the answer to the kernel's FIN shall be seen by themselves.
    const request = `GET / HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nConnection: close\r\n\r\n`;
    stream.on("connect", () => setImmediate(() => stream.write(request)));
    stream.on("data", (chunk: Buffer) => {
      answer += chunk.toString("latin1");
      if (options.closer === "ours" && answer.endsWith(BODY)) stream.end();
    });
    stream.on("end", () => setImmediate(() => stream.end()));
    stream.on("close", () => resolve(EXIT.success));
  });
  const cut = await Promise.race([finished.then(() => session.driver.whenIdle()).then(() => undefined), interrupted]);
  if (cut !== undefined) return cut;
  if (!answer.startsWith("HTTP/1.1 200 OK") || !answer.endsWith(BODY)) {
    throw new Error(`the answer of the server is not what it sent: ${JSON.stringify(answer.slice(0, 80))}`);
  }
  return EXIT.success;
}

/** A server on the kernel's TCP. With closer "kernel" it ends the connection after its answer, else it waits for our FIN. */
function startServer(closer: DemoCommand["closer"]): Promise<Server> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on("error", () => socket.destroy());
    socket.once("data", () => {
      const head = `HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: ${BODY.length}\r\nConnection: close\r\n\r\n`;
      socket.write(head + BODY);
      if (closer === "kernel") setTimeout(() => socket.end(), SERVER_PAUSE_MS);
    });
    socket.on("end", () => setTimeout(() => socket.end(), SERVER_PAUSE_MS));
  });
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => resolve(server));
  });
}

function portOf(server: Server): number {
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the demo server has no port");
  return address.port;
}
