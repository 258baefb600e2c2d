/** `rawtcp connect HOST PORT`: standard input to the peer, the peer to standard output, the log on standard error. */
import { once } from "node:events";
import { RawTcpError } from "../base/errors.js";
import type { Session } from "../driver/session.js";
import { TcpStream } from "../net/tcp-stream.js";
import type { ConnectOptions as StackConnectOptions } from "../stack/stack.js";
import { parseAddress } from "../wire/address.js";
import type { ConnectOptions } from "./options.js";
import { outcome, relay } from "./relay.js";
import { runLive, untilClosed } from "./run.js";

/** Returns the exit code. */
export function connect(options: ConnectOptions): Promise<number> {
  const connection = options.timeout === undefined ? {} : { synTimeoutUs: Math.round(options.timeout * 1_000_000) };
  return runLive({
    host: options.host,
    options,
    logTo: 2,
    check: checkPeer,
    work: async (session, interrupted) => {
      const peer = { local: session.local, remote: session.target, remotePort: options.port };
      const fastOpen = options.fastOpen ? ("client" as const) : ("off" as const);
      let data: Uint8Array | undefined = options.data === undefined ? undefined : Buffer.from(options.data);
      if (options.fastOpen) {
        const given = await Promise.race([firstData(session, peer, connection, data), interrupted]);
        if ("exitCode" in given) return given;
        data = given;
      }
      const stream = TcpStream.connect(session.driver, {
        ...peer,
        localPort: options.sourcePort ?? 0,
        connection: { ...connection, fastOpen },
        ...(data === undefined ? {} : { data }),
      });
      const ended = outcome(stream);
      // Not before: input that nobody will get should stay where it is.
      stream.once("connect", () => {
        relay(stream, { halfClose: options.halfClose, abort: options.abort, discard: options.pcap === "-" });
      });
      return untilClosed(session, ended, interrupted);
    },
  });
}

/** Fetches a cookie on a connection of its own, and then waits for the first data from standard input unless there is some. */
async function firstData(session: Session, peer: Peer, connection: object, data: Uint8Array | undefined): Promise<Uint8Array> {
  const stream = TcpStream.connect(session.driver, { ...peer, connection: { ...connection, fastOpen: "client" }, data: NOTHING });
  stream.resume();
  await once(stream, "connect");
  stream.abort();
  if (data !== undefined) return data;
  for (;;) {
    const chunk = process.stdin.read() as Buffer | null;
    if (chunk !== null) return chunk;
    if (process.stdin.readableEnded) return NOTHING;
    await Promise.race([once(process.stdin, "readable"), once(process.stdin, "end")]);
  }
}

type Peer = Pick<StackConnectOptions, "local" | "remote" | "remotePort">;

const NOTHING = new Uint8Array(0);

function checkPeer(text: string): void {
  const address = parseAddress(text);
  if (!address.isUnspecified() && !address.isMulticast() && !address.isBroadcast()) return;
  throw new RawTcpError("ERR_INVALID_ADDRESS", `${text} is not the address of one host; this host is 127.0.0.1`);
}
