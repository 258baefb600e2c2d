/** What the state of a connection means to its socket. */

import { seqDiff } from "../base/seq.js";
import type { ConnectionConfig } from "../tcp/config.js";
import type { Connection } from "../tcp/connection.js";
import { SOMAXCONN } from "./socket-constants.js";

/** A Fast Open connection of a listener is open for its user before the handshake is done. */
export function isOpening(connection: Connection): boolean {
  return connection.state === "SYN-SENT" || (connection.state === "SYN-RECEIVED" && !connection.tcb.fastOpen.accepted);
}

/** To a socket TIME-WAIT is as good as CLOSED. Note: Linux does the same: the socket of TIME-WAIT is not the user's. */
export function isGone(connection: Connection): boolean {
  return connection.state === "CLOSED" || connection.state === "TIME-WAIT";
}

export function peerFinished({ tcb }: Connection): boolean {
  return tcb.rcv.finSeen && seqDiff(tcb.rcv.nxt, tcb.rcv.fin) === 1;
}

export function finAcked(connection: Connection): boolean {
  return connection.state === "FIN-WAIT-2";
}

/** Note: Linux does the same: RST after the peer's FIN is EPIPE, for the user had nothing more to read. */
export function failureCode(connection: Connection): string {
  const failure = connection.failure ?? "";
  return failure === "ECONNRESET" && peerFinished(connection) && !connection.tcb.finQueued ? "EPIPE" : failure;
}

/** Sizes of a listener's queues. Note: in Linux both are one more than was asked for, and no more than somaxconn. */
export function queueSizes(
  receiver: ConnectionConfig["receiver"],
  wanted: number,
): { readonly backlog: number; readonly synBacklog?: number } {
  if (receiver !== "linux") return { backlog: Math.max(0, wanted) };
  const size = (wanted < 0 ? SOMAXCONN : Math.min(wanted, SOMAXCONN)) + 1;
  return { backlog: size, synBacklog: size };
}
