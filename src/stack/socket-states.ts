/** What the state of a connection means to its socket. */

import { RawTcpError } from "../base/errors.js";
import { seqDiff } from "../base/seq.js";
import type { ConnectionConfig } from "../tcp/config.js";
import type { Connection } from "../tcp/connection.js";
import { isWritable as hasSendRoom } from "../tcp/send-space.js";
import { IpAddress } from "../wire/address.js";
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

/** The Fast Open queue of a listener that was not told of any. */
export function fastOpenDefault({ fastOpen, fastOpenForAll }: ConnectionConfig, wanted: number): number {
  const isOn = fastOpenForAll && (fastOpen === "server" || fastOpen === "both");
  return isOn ? Math.min(wanted, SOMAXCONN) : 0;
}

/** A cookie is asked for, and the data will be given later. */
export const NO_DATA = new Uint8Array(0);

/** By family. */
export const UNSPECIFIED = { 4: new IpAddress(4, 0, 0, 0, 0), 6: new IpAddress(6, 0, 0, 0, 0) } as const;

/** EAGAIN. */
export function wouldBlock(call: string): RawTcpError {
  return new RawTcpError("EAGAIN", `${call}: would have to wait`);
}

/** ENOTCONN. */
export function notConnected(call: string): RawTcpError {
  return new RawTcpError("ENOTCONN", `${call}: not connected`);
}

/** A third of the buffer is free, or the user is owed "writable". Note: Linux does the same (sk_stream_is_writeable). */
export function isWritable(connection: Connection): boolean {
  const { tcb } = connection;
  if (hasSendRoom(tcb)) return true;
  tcb.writeBlocked = true;
  return false;
}

/** FreeBSD's order of errors: EPIPE where nothing can be sent any more, ENOTCONN where nothing can be sent yet. */
export function requireSendable(connection: Connection | undefined, isShut: boolean): void {
  if (isShut || (connection !== undefined && isGone(connection))) throw new RawTcpError("EPIPE", "send: nothing can be sent");
  if (connection === undefined || isOpening(connection)) throw notConnected("send");
}
