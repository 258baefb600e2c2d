/** Reading from a connection as sockets do: to look without taking, and with the urgent byte out of the way (or in line). */
import type { Connection } from "../tcp/connection.js";
import type { Tcb } from "../tcp/tcb.js";

/**
 * Bytes before the urgent byte, as far as one is known: the mark where reading stops. -1 when there is none. The urgent byte
 * is the one before the urgent pointer. Note: Linux does the same (tcp_stdurg 0).
 */
export function urgentMark(tcb: Tcb): number {
  return tcb.urgentIn ? tcb.urgentBytes - 1 : -1;
}

/** The urgent byte itself is here. */
export function hasUrgentByte(tcb: Tcb): boolean {
  const mark = urgentMark(tcb);
  return mark >= 0 && mark < tcb.receiveQueue.length;
}

/** Whether a read would give anything, and as much as the mark of SO_RCVLOWAT wants. */
export function isReadable(tcb: Tcb, inline: boolean, lowWaterBytes = 1): boolean {
  const least = Math.min(lowWaterBytes, Math.max(1, tcb.receiveBufferBytes));
  return tcb.receiveQueue.length >= least + (!inline && urgentMark(tcb) === 0 ? 1 : 0);
}

/** Copies what is there into `target`, up to the mark but not across it; an urgent byte that stands first is left out unless it is in line. */
export function readStream(connection: Connection, target: Uint8Array, inline: boolean, peek: boolean): number {
  const { tcb } = connection;
  const mark = urgentMark(tcb);
  let skip = 0;
  if (mark === 0 && !inline && tcb.receiveQueue.length > 0) {
    if (peek) skip = 1;
    else connection.read(SKIPPED);
  }
  const there = Math.min(tcb.receiveQueue.length - skip, target.length);
  const count = mark > 0 ? Math.min(there, mark) : there;
  if (!peek) return connection.read(target, 0, count);
  tcb.receiveQueue.copyOut(skip, target, 0, count);
  return count;
}

/** Where bytes go that nobody wants. */
const SKIPPED = new Uint8Array(1);
