/** What every live command does around its own work: signals, the session's end, one line for an error, the exit code. */
import { lookup } from "node:dns/promises";
import { RawTcpError } from "../base/errors.js";
import { openSession, type Session } from "../driver/session.js";
import { tryParseAddress } from "../wire/address.js";
import { EXIT, judge, SUCCESS, type Verdict } from "./exit-codes.js";
import { type CaptureFile, openCaptureFile, openLog } from "./logging.js";
import { type CommonOptions, connectionConfig } from "./options.js";
import { tell } from "./output.js";

/** A command that holds a session. */
export interface LiveCommand {
  /** Address or name of the peer, or the address to listen at. */
  readonly host: string;
  readonly options: CommonOptions & { readonly source?: string | undefined };
  /** The log's file descriptor. */
  readonly logTo: 1 | 2;
  /** Called with the address of `host` before anything is opened; may throw. */
  readonly check?: (address: string) => void;
  /**
   * The work itself. `interrupted` resolves at the first Ctrl-C, SIGTERM or SIGHUP, or when the reader of standard output has
   * gone; what is still open when the work is done is aborted.
   */
  readonly work: (session: Session, interrupted: Promise<Verdict>) => Promise<Verdict>;
}

/**
 * Opens a session, does the work, and cleans up whatever happens. A failure is told in one line, the last one on standard
 * error. Returns the exit code. A second signal ends the process at once.
 */
export async function runLive(command: LiveCommand): Promise<number> {
  const { options } = command;
  const stop = watchForStop();
  const log = openLog(options, command.logTo);
  let session: Session | undefined;
  let file: CaptureFile | undefined;
  let verdict: Verdict;
  try {
    const target = await resolveHost(command.host);
    command.check?.(target);
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
      bend: [...(options.bend ?? []), ...(options.bendFile ?? [])],
    });
    verdict = await command.work(session, stop.interrupted);
  } catch (error) {
    verdict = judge(error);
  } finally {
    const unmatched = session?.unmatchedBends ?? [];
    session?.close();
    log.end();
    for (const rule of unmatched) tell(`the rule "${rule}" never matched`);
    file?.close();
    stop.close();
  }
  if (verdict.message !== "")
    tell(`${verdict.message}${options.guard === "none" && verdict.exitCode === EXIT.reset ? NO_GUARD : ""}`);
  return verdict.exitCode;
}

/**
 * Waits until a connection has ended and then, unless it failed, for TIME-WAIT: the last ACK may be lost, and the peer's
 * repeated FIN must find us here (RFC 9293 §3.6.1).
 */
export async function untilClosed(session: Session, ended: Promise<Verdict>, interrupted: Promise<Verdict>): Promise<Verdict> {
  const inTime = ended.then(async (verdict) => {
    // Nobody reads what is typed from here on.
    process.stdin.destroy();
    await session.driver.whenIdle();
    return verdict;
  });
  const verdict = await Promise.race([inTime, interrupted]);
  process.stdin.destroy();
  return verdict;
}

/** The address of a host name. Throws RawTcpError `ENOTFOUND`. */
export async function resolveHost(host: string): Promise<string> {
  if (tryParseAddress(host) !== undefined) return host;
  try {
    // IPv4 first: the raw link speaks it. The empty name would resolve to loopback.
    const found = host === "" ? [] : await lookup(host, { all: true, order: "ipv4first" });
    const first = found[0];
    if (first !== undefined) return first.address;
  } catch {
    // Told below, for the resolver's own message names no mend.
  }
  throw new RawTcpError("ENOTFOUND", `unknown host "${host}": neither an address nor a name that resolves; try an address`);
}

const NO_GUARD = "; with --guard none this host's own kernel sends RST for our port: leave the option away";

const SIGNALS = { SIGINT: EXIT.interrupted, SIGTERM: EXIT.terminated, SIGHUP: EXIT.hungUp } as const;

export function watchForStop(): { interrupted: Promise<Verdict>; close(): void } {
  let stop: (verdict: Verdict) => void = () => undefined;
  let count = 0;
  const interrupted = new Promise<Verdict>((resolve) => {
    stop = resolve;
  });
  const handlers = Object.entries(SIGNALS).map(([signal, exitCode]) => {
    const handler = (): void => {
      if (++count > 1) process.exit(exitCode);
      stop({ exitCode, message: "" });
    };
    process.on(signal, handler);
    return [signal, handler] as const;
  });
  const onOutputError = (error: NodeJS.ErrnoException): void => {
    stop(error.code === "EPIPE" ? SUCCESS : { exitCode: EXIT.failure, message: "" });
  };
  process.stdout.on("error", onOutputError);
  return {
    interrupted,
    close: () => {
      for (const [signal, handler] of handlers) process.off(signal, handler);
      process.stdout.off("error", onOutputError);
    },
  };
}
