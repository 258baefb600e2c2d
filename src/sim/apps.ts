/** Small users of connections for scenarios: one sends a stream that can be checked, one takes and checks it. */
import type { Micros } from "../base/time.js";
import type { Connection } from "../tcp/connection.js";
import type { ConnectionEvent } from "../tcp/events.js";

/** The byte at a place of a stream: never periodic within what a window may hold, different for each `salt`. */
export function streamByte(at: number, salt: number): number {
  return (Math.imul((at ^ salt) + (at >>> 8), 0x9e3779b1) >>> 24) & 0xff;
}

export interface StreamReport {
  sent: number;
  received: number;
  /** Place of the first wrong byte, -1 when there was none. */
  firstWrong: number;
  established: boolean;
  ended: boolean;
  failed: string | undefined;
  closed: boolean;
}

export interface StreamOptions {
  readonly now: () => Micros;
  /** Bytes to send before closing our direction; 0 closes at once, -1 sends nothing and waits for the peer's end. */
  readonly sendBytes: number;
  readonly sendSalt: number;
  /** Salt of the stream that must come in. */
  readonly receiveSalt: number;
  /** Close only after the peer's end of data. Default false: as soon as all is sent. */
  readonly closeLast?: boolean;
}

/** A user that sends its stream, checks the other one, and closes. */
export function streamUser(options: StreamOptions): {
  report: StreamReport;
  user: (connection: Connection, event: ConnectionEvent) => void;
} {
  const report: StreamReport = {
    sent: 0,
    received: 0,
    firstWrong: -1,
    established: false,
    ended: false,
    failed: undefined,
    closed: false,
  };
  const chunk = new Uint8Array(16_384);
  const total = Math.max(0, options.sendBytes);
  let shut = false;

  const pump = (connection: Connection): void => {
    while (report.sent < total && report.failed === undefined) {
      const count = Math.min(chunk.length, total - report.sent);
      for (let i = 0; i < count; i++) chunk[i] = streamByte(report.sent + i, options.sendSalt);
      const taken = connection.send(chunk, 0, count);
      report.sent += taken;
      if (taken < count) return;
    }
    const mayClose = options.sendBytes >= 0 && options.closeLast !== true;
    if (!shut && (mayClose || report.ended) && report.sent >= total) {
      shut = true;
      connection.shutdown(options.now());
    }
  };

  const take = (connection: Connection): void => {
    for (let count = connection.read(chunk); count > 0; count = connection.read(chunk)) {
      for (let i = 0; i < count && report.firstWrong < 0; i++) {
        if (chunk[i] !== streamByte(report.received + i, options.receiveSalt)) report.firstWrong = report.received + i;
      }
      report.received += count;
    }
    if (connection.endOfData) report.ended = true;
  };

  const user = (connection: Connection, event: ConnectionEvent): void => {
    switch (event) {
      case "established":
        report.established = true;
        pump(connection);
        break;
      case "readable":
        take(connection);
        if (connection.state !== "CLOSED") pump(connection);
        break;
      case "writable":
        pump(connection);
        break;
      case "failed":
        report.failed = connection.failure;
        break;
      case "closed":
        take(connection);
        report.closed = true;
        break;
      default:
    }
  };
  return { report, user };
}
