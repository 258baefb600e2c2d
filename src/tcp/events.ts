/** What a connection tells: to its user (pulled by `pollEvent`) and to whoever watches (pushed, when somebody does). */
import type { Micros } from "../base/time.js";
import type { Connection } from "./connection.js";
import type { State } from "./state.js";

/**
 * User events. Each is a fact that may be told once though it became true several times: ask the connection for amounts.
 * - "established": OPEN is done, both ways work.
 * - "readable": data or the end of data is there to be received.
 * - "writable": SEND takes data again after it took less than offered.
 * - "urgent": urgent data is announced (RFC 9293 MUST-32).
 * - "trouble": repeated R1 times without an answer, or a soft ICMP error; `conn.softError` says which (MUST-47).
 * - "failed": the connection is gone; `conn.failure` says why.
 * - "closed": the connection is CLOSED and holds nothing any more; always the last event.
 */
export type ConnectionEvent = "established" | "readable" | "writable" | "urgent" | "trouble" | "failed" | "closed";

/** Why a connection failed: the codes of Node and POSIX. */
export type Failure =
  | "ECONNREFUSED"
  | "ECONNRESET"
  | "ETIMEDOUT"
  | "ECONNABORTED"
  | "EHOSTUNREACH"
  | "ENETUNREACH"
  | "EHOSTDOWN"
  | "ENONET"
  | "ENOPROTOOPT"
  | "EOPNOTSUPP"
  | "EPROTO"
  | "EACCES";

export type TimerName =
  | "retransmission"
  | "persist"
  | "delayed-ack"
  | "time-wait"
  | "fin-wait-2"
  | "keep-alive"
  | "cork"
  | "linger";

/** Watches connections. Called only when set; every argument that costs something to make is made only then. */
export interface ConnectionObserver {
  state(connection: Connection, from: State, to: State, reason: string, now: Micros): void;
  timer(
    connection: Connection,
    timer: TimerName,
    action: "start" | "expire" | "stop",
    delayUs: Micros,
    reason: string,
    now: Micros,
  ): void;
  drop(connection: Connection, reason: string, now: Micros): void;
}
