/** `rawtcp connect HOST PORT`: standard input to the peer, the peer to standard output, the log on standard error. */
import type { Argv } from "yargs";
import { TcpStream } from "../net/tcp-stream.js";
import { EXIT, EXIT_HELP, judge } from "./exit-codes.js";
import { type CommonOptions, checkRange, withCommonOptions } from "./options.js";
import { runLive } from "./run.js";

export interface ConnectCommand extends CommonOptions {
  host: string;
  port: number;
  sourcePort: number | undefined;
  halfClose: boolean;
  abort: boolean;
  timeout: number | undefined;
}

export function connectOptions(argv: Argv): Argv<ConnectCommand> {
  return withCommonOptions(argv)
    .positional("host", { type: "string", demandOption: true, describe: "address or name" })
    .positional("port", { type: "number", demandOption: true, describe: "port, 1-65535" })
    .option("source-port", { type: "number", requiresArg: true, describe: "source port (default: a free one, RFC 6056)" })
    .option("half-close", {
      type: "boolean",
      default: false,
      describe: "at the end of input send FIN and go on receiving for as long as the peer likes",
    })
    .option("abort", {
      type: "boolean",
      default: false,
      conflicts: "half-close",
      describe: "at the end of input send RST instead of FIN",
    })
    .option("timeout", {
      type: "number",
      requiresArg: true,
      describe: "seconds until an unanswered SYN is given up (default 180)",
    })
    .check((options: { port?: unknown; sourcePort?: unknown; timeout?: unknown }) => {
      checkRange("PORT", options.port, 1, 65_535);
      checkRange("--source-port", options.sourcePort, 1, 65_535);
      checkRange("--timeout", options.timeout, 0.1, 3600, false);
      return true;
    })
    .example("$0 connect localhost 8080", "talk to a server, watch the ladder on standard error")
    .example("printf 'GET / HTTP/1.0\\r\\n\\r\\n' | $0 connect localhost 8080 --half-close", "half-close: FIN after the request")
    .example("$0 connect localhost 22 --pcap - -q | wireshark -k -i -", "live in Wireshark")
    .epilogue(
      `At the end of input our side closes with FIN; what the peer still sends is received until its FIN, for 10 s unless --half-close. ${EXIT_HELP}`,
    ) as unknown as Argv<ConnectCommand>;
}

/** How long a peer may take for its FIN after ours when the user did not ask for a half-close. */
const LINGER_MS = 10_000;

export function connect(options: ConnectCommand): Promise<number> {
  const connection = options.timeout === undefined ? {} : { synTimeoutUs: Math.round(options.timeout * 1_000_000) };
  return runLive(options.host, options, 2, {}, async (session, interrupted) => {
    const stream = TcpStream.connect(session.driver, {
      local: session.local,
      localPort: options.sourcePort ?? 0,
      remote: session.target,
      remotePort: options.port,
      connection,
    });
    const finished = new Promise<number>((resolve) => {
      stream.on("error", (error) => {
        const verdict = judge(error);
        process.stderr.write(`rawtcp: ${verdict.message}\n`);
        resolve(verdict.exitCode);
      });
      stream.on("close", () => resolve(EXIT.success));
    });
    copyInput(stream, options);
    copyOutput(stream, options);
    const exitCode = await Promise.race([finished, interrupted]);
    process.stdin.destroy();
    if (exitCode === EXIT.interrupted || exitCode === EXIT.terminated) return exitCode;
    // TIME-WAIT: the last ACK may be lost, and the peer's repeated FIN must find us here (RFC 9293 §3.6.1).
    const cut = await Promise.race([session.driver.whenIdle().then(() => undefined), interrupted]);
    return cut ?? exitCode;
  });
}

function copyInput(stream: TcpStream, options: ConnectCommand): void {
  stream.once("connect", () => {
    if (options.abort) {
      process.stdin.on("data", (chunk: Buffer) => {
        if (!stream.write(chunk)) {
          process.stdin.pause();
          stream.once("drain", () => process.stdin.resume());
        }
      });
      process.stdin.on("end", () => abortWhenSent(stream));
    } else {
      process.stdin.pipe(stream);
    }
  });
  if (!options.halfClose) {
    stream.once("finish", () => {
      const timer = setTimeout(() => stream.destroy(), LINGER_MS);
      timer.unref();
      stream.once("close", () => clearTimeout(timer));
    });
  }
}

/** RST drops what is still queued: what the user typed goes out first. */
function abortWhenSent(stream: TcpStream): void {
  const wait = (): void => {
    const { sendQueueBytes, state } = stream.connection.status();
    if (sendQueueBytes === 0 || state === "CLOSED") stream.abort();
    else setTimeout(wait, 10);
  };
  wait();
}

function copyOutput(stream: TcpStream, options: ConnectCommand): void {
  // With --pcap - standard output is the capture; what the peer sends must not fall into it.
  if (options.pcap === "-") stream.resume();
  else stream.pipe(process.stdout, { end: false });
  // The peer's FIN ends our side too, unless input is still to come and the user wants the half-close.
  stream.on("end", () => {
    if (!options.halfClose) stream.end();
  });
}
