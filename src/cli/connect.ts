/** `rawtcp connect HOST PORT`: standard input to the peer, the peer to standard output, the log on standard error. */
import { RawTcpError } from "../base/errors.js";
import { TcpStream } from "../net/tcp-stream.js";
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
    work: (session, interrupted) => {
      const stream = TcpStream.connect(session.driver, {
        local: session.local,
        localPort: options.sourcePort ?? 0,
        remote: session.target,
        remotePort: options.port,
        connection,
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

function checkPeer(text: string): void {
  const address = parseAddress(text);
  if (!address.isUnspecified() && !address.isMulticast() && !address.isBroadcast()) return;
  throw new RawTcpError("ERR_INVALID_ADDRESS", `${text} is not the address of one host; this host is 127.0.0.1`);
}
