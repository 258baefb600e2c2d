/**
 * `rawtcp demo`: an HTTP exchange with a kernel server on loopback, from the first SYN to the end of TIME-WAIT, as a ladder
 * with both ends' states, and a pcapng file beside it.
 */
import { createServer, type Server } from "node:net";
import type { Session } from "../driver/session.js";
import { TcpStream } from "../net/tcp-stream.js";
import { EXIT, judge, SUCCESS, type Verdict } from "./exit-codes.js";
import type { DemoOptions } from "./options.js";
import { tell } from "./output.js";
import { runLive } from "./run.js";

const DEFAULT_FILE = "rawtcp-demo.pcapng";
/** Between the kernel's ACK of our FIN and its own FIN, so that both can be seen: a server that still has something to do. */
const SERVER_PAUSE_MS = 60;
const BODY = "Hello from the kernel's side of the wire.\n";

/** Returns the exit code. */
export async function demo(options: DemoOptions): Promise<number> {
  const file = options.pcap ?? DEFAULT_FILE;
  let server: Server;
  try {
    server = await startServer(options.closer);
  } catch (error) {
    const verdict = judge(error);
    tell(verdict.message);
    return verdict.exitCode;
  }
  try {
    const exitCode = await runLive({
      host: "127.0.0.1",
      options: { ...options, pcap: file },
      logTo: file === "-" ? 2 : 1,
      work: (session, interrupted) => Promise.race([exchange(session, portOf(server), options), interrupted]),
    });
    if (exitCode === EXIT.success && !options.json && !options.quiet && file !== "-") {
      process.stdout.write(`\nThe same packets, with the reasons as comments:  wireshark ${shellWord(file)}\n`);
    }
    return exitCode;
  } finally {
    server.close();
  }
}

/** Resolves when TIME-WAIT is over. */
async function exchange(session: Session, port: number, options: DemoOptions): Promise<Verdict> {
  const stream = TcpStream.connect(session.driver, { local: session.local, remote: session.target, remotePort: port });
  let answer = "";
  await new Promise<void>((resolve, reject) => {
    stream.on("error", reject);
    stream.on("connect", () => stream.write(`GET / HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nConnection: close\r\n\r\n`));
    stream.on("data", (chunk: Buffer) => {
      answer += chunk.toString("latin1");
      if (options.closer === "ours" && answer.endsWith(BODY)) stream.end();
    });
    stream.on("end", () => stream.end());
    stream.on("close", resolve);
  });
  await session.driver.whenIdle();
  if (!answer.startsWith("HTTP/1.1 200 OK") || !answer.endsWith(BODY)) {
    const message = `the answer of the server is not what it sent: ${JSON.stringify(answer.slice(0, 80))}`;
    return { message, exitCode: EXIT.failure };
  }
  return SUCCESS;
}

/** A server on the kernel's TCP. With closer "kernel" it ends the connection after its answer, else it waits for our FIN. */
function startServer(closer: DemoOptions["closer"]): Promise<Server> {
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

/** A file name as it can be pasted into a shell. */
function shellWord(name: string): string {
  return /^[\w./@%+=:,-]+$/.test(name) && !name.startsWith("-") ? name : `'${name.replaceAll("'", "'\\''")}'`;
}
