/** What every live command does around its own work: signals, the session's end, one line for an error, the exit code. */
import { lookup } from "node:dns/promises";
import { RawTcpError } from "../base/errors.js";
import { openSession, type Session, type SessionOptions } from "../driver/session.js";
import { tryParseAddress } from "../wire/address.js";
import { EXIT, judge } from "./exit-codes.js";
import { type CaptureFile, openCaptureFile, openLog } from "./logging.js";
import { type CommonOptions, connectionConfig } from "./options.js";

/** The work of a command. Returns the exit code. */
export type Work = (session: Session, interrupted: Promise<number>) => Promise<number>;

/**
 * Opens a session to `host`, does the work, and cleans up whatever happens, Ctrl-C included: the first one resolves
 * `interrupted`, so that the work can end its connections; the second one ends the process at once.
 */
export async function runLive(
  host: string,
  options: CommonOptions,
  logTo: 1 | 2,
  more: Partial<SessionOptions>,
  work: Work,
): Promise<number> {
  let session: Session | undefined;
  let file: CaptureFile | undefined;
  const signals = watchSignals();
  const log = openLog(options, logTo);
  try {
    const target = await resolveHost(host);
    if (options.pcap !== undefined) file = openCaptureFile(options.pcap);
    session = await openSession({
      target,
      source: options.source,
      guard: options.guard,
      link: options.link,
      checksums: options.checksum,
      allowRemote: options.allowRemote,
      connection: connectionConfig(options),
      sink: log.sink,
      capture: file?.write,
      ...more,
    });
    return await work(session, signals.interrupted);
  } catch (error) {
    const verdict = judge(error);
    process.stderr.write(`rawtcp: ${verdict.message}\n`);
    return verdict.exitCode;
  } finally {
    session?.close();
    log.end();
    file?.close();
    signals.close();
  }
}

/** The address of a host name. Throws RawTcpError `ENOTFOUND`. */
async function resolveHost(host: string): Promise<string> {
  if (tryParseAddress(host) !== undefined) return host;
  try {
    // IPv4 first: the raw link speaks it.
    const found = await lookup(host, { all: true, order: "ipv4first" });
    const first = found[0];
    if (first !== undefined) return first.address;
  } catch {
    // Told below, for the resolver's own message names no mend.
  }
  throw new RawTcpError("ENOTFOUND", `unknown host "${host}": neither an address nor a name that resolves`);
}

function watchSignals(): { interrupted: Promise<number>; close(): void } {
  let tell: (exitCode: number) => void = () => undefined;
  let count = 0;
  const interrupted = new Promise<number>((resolve) => {
    tell = resolve;
  });
  const onSignal = (signal: NodeJS.Signals): void => {
    const exitCode = signal === "SIGINT" ? EXIT.interrupted : EXIT.terminated;
    if (++count > 1) process.exit(exitCode);
    tell(exitCode);
  };
  process.on("SIGINT", onSignal);
  process.on("SIGTERM", onSignal);
  return {
    interrupted,
    close: () => {
      process.off("SIGINT", onSignal);
      process.off("SIGTERM", onSignal);
    },
  };
}
