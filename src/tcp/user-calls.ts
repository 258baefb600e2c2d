/**
 * The user calls of RFC 9293 §3.10.1–6 (OPEN, SEND, RECEIVE, CLOSE, ABORT, STATUS), on a TCB. What a caller does wrong throws
 * RawTcpError with Node's code.
 */
import { RawTcpError } from "../base/errors.js";
import { seqAdd } from "../base/seq.js";
import { type Micros, NEVER } from "../base/time.js";
import { startFinWait2 } from "./ack-arrives.js";
import { timeoutsWithin } from "./defer-accept.js";
import { EVENT_READABLE } from "./event-bits.js";
import { synSpace } from "./fast-open.js";
import { initialWindow } from "./initial-window.js";
import { closedHard, startLinger } from "./linger.js";
import { useCongestion } from "./linux-choice.js";
import { awaitsThird } from "./linux-fast-open.js";
import { beginWithSmallMtu } from "./mtu-probing.js";
import { askForAck } from "./output.js";
import { sendMss } from "./path-mtu.js";
import { noteApplicationLimit } from "./send-limits.js";
import { sendSpace } from "./send-space.js";
import { setState } from "./set-state.js";
import type { Tcb } from "./tcb.js";
import { wholeSegments, windowUpdateDue } from "./window.js";

/**
 * §3.10.1 OPEN, active: SYN goes out at the next `pollTransmit`, with `data` if Fast Open was prepared, which is queued in any case.
 * Throws `EISCONN` in any state but CLOSED and LISTEN.
 */
export function openActive(tcb: Tcb, iss: number, now: Micros, data?: Uint8Array): void {
  if (tcb.state !== "CLOSED" && tcb.state !== "LISTEN") throw alreadyOpen();
  begin(tcb, iss);
  tcb.linux?.begin(tcb);
  tcb.passive = false;
  if (data !== undefined) {
    // Note: Linux takes what goes with the SYN and no more; its user has to ask again.
    const isLimited = tcb.config.sender === "linux" && tcb.fastOpen.dataOnSyn;
    tcb.sendQueue.append(data, 0, isLimited ? Math.min(data.length, synSpace(tcb)) : data.length);
  }
  setState(tcb, "SYN-SENT", "active OPEN", now);
}

/** §3.10.1 OPEN, passive: one half-open connection of a listener, for the SYN that has come. Throws `EISCONN` unless CLOSED. */
export function openPassive(tcb: Tcb, iss: number, now: Micros): void {
  if (tcb.state !== "CLOSED") throw alreadyOpen();
  begin(tcb, iss);
  tcb.passive = true;
  const { deferAcceptUs, rtoInitialUs, rtoMaxUs } = tcb.config;
  tcb.deferAccept.timeouts = timeoutsWithin(deferAcceptUs, rtoInitialUs, rtoMaxUs);
  setState(tcb, "LISTEN", "passive OPEN", now);
}

function alreadyOpen(): RawTcpError {
  return new RawTcpError("EISCONN", "OPEN: the connection is open already");
}

function begin(tcb: Tcb, iss: number): void {
  tcb.iss = iss;
  tcb.snd.una = iss;
  tcb.snd.nxt = iss;
  tcb.snd.max = iss;
  tcb.snd.up = iss;
  tcb.recovery.recover = iss;
  tcb.recovery.limitedUntil = iss;
  tcb.rack.start(iss);
}

/**
 * §3.10.2 SEND: queues as much of `data[offset, offset + length)` as the send buffer takes, by copy, and returns how many
 * bytes that were; after less than `length` a "writable" event follows. `urgent` marks the end of it as urgent data.
 * Throws `EPIPE` after CLOSE or when the connection is gone, `ENOTCONN` before OPEN.
 */
export function send(tcb: Tcb, data: Uint8Array, offset: number, length: number, urgent: boolean): number {
  switch (tcb.state) {
    case "CLOSED":
    case "LISTEN":
      throw new RawTcpError(tcb.failure ?? (tcb.finQueued ? "EPIPE" : "ENOTCONN"), "SEND: the connection is not open");
    case "SYN-SENT":
    case "SYN-RECEIVED":
    case "ESTABLISHED":
    case "CLOSE-WAIT":
      if (!tcb.finQueued) break;
      throw new RawTcpError("EPIPE", "SEND: the connection is closing");
    default:
      throw new RawTcpError("EPIPE", "SEND: the connection is closing");
  }
  const taken = Math.min(length, sendSpace(tcb));
  if (taken < length) tcb.writeBlocked = true;
  if (taken > 0) {
    noteApplicationLimit(tcb);
    tcb.batch.isDeferred = false;
    tcb.sendQueue.append(data, offset, taken);
    if (urgent) {
      tcb.snd.up = tcb.dataEnd;
      tcb.urgentOut = true;
    }
  }
  return taken;
}

/**
 * §3.10.3 RECEIVE: copies at most `length` received bytes into `target` and returns how many. 0 means that nothing is there
 * now; whether something can still come tells `endOfData`.
 */
export function receive(tcb: Tcb, target: Uint8Array, offset: number, length: number): number {
  const count = Math.min(length, tcb.receiveQueue.length);
  if (count === 0) return 0;
  tcb.receiveQueue.copyOut(0, target, offset, count);
  tcb.receiveQueue.discard(count);
  tcb.linux?.acks.read(tcb, count);
  if (mayStillReceive(tcb)) {
    // Not before the handshake is done (Fast Open): the next segment tells it soon enough.
    if (tcb.linux === undefined && tcb.synAcked && windowUpdateDue(tcb)) askForAck(tcb, "window update: the user has read");
  } else if (tcb.receiveQueue.length === 0 && tcb.outOfOrder.size === 0) {
    tcb.receiveQueue.release();
  }
  if (tcb.urgentIn && tcb.urgentBytes <= 0) tcb.urgentIn = false;
  return count;
}

/** All that the peer will ever send has been received by the user. */
export function endOfData(tcb: Tcb): boolean {
  if (tcb.receiveQueue.length > 0) return false;
  if (tcb.state === "CLOSED") return true;
  return tcb.rcv.finSeen && tcb.rcv.nxt === seqAdd(tcb.rcv.fin, 1);
}

function mayStillReceive(tcb: Tcb): boolean {
  if (tcb.state === "SYN-RECEIVED") return true;
  return tcb.state === "ESTABLISHED" || tcb.state === "FIN-WAIT-1" || tcb.state === "FIN-WAIT-2";
}

/**
 * §3.10.4 CLOSE of our direction alone (POSIX: shutdown SHUT_WR): FIN follows what is queued, receiving goes on. A second
 * call does nothing.
 */
export function shutdown(tcb: Tcb, now: Micros): void {
  if (tcb.state === "SYN-RECEIVED" && tcb.readerGone && awaitsThird(tcb)) {
    // Note: Linux has FIN wait after SHUTDOWN alone.
    tcb.finQueued = true;
    tcb.batch.isDeferred = false;
    setState(tcb, "FIN-WAIT-1", "CLOSE", now);
    return;
  }
  if (tcb.finQueued) return;
  tcb.batch.isDeferred = false;
  switch (tcb.state) {
    case "CLOSED":
      return;
    case "LISTEN":
      setState(tcb, "CLOSED", "CLOSE", now);
      return;
    case "SYN-SENT":
      // Note: FreeBSD has FIN wait for the handshake here too (tcp_usrclosed), unless the socket goes (tcp_disconnect).
      if (tcb.config.arrivalRules === "bsd" && !tcb.readerGone) tcb.finQueued = true;
      else setState(tcb, "CLOSED", "CLOSE", now);
      return;
    case "SYN-RECEIVED":
      if (tcb.config.arrivalRules === "bsd" && tcb.readerGone && !tcb.fastOpen.accepted) {
        setState(tcb, "CLOSED", "CLOSE", now);
        return;
      }
      // The RFC sends FIN at once if nothing is queued; waiting for the handshake is its other choice, and always right.
      tcb.finQueued = true;
      return;
    case "ESTABLISHED":
      tcb.finQueued = true;
      setState(tcb, "FIN-WAIT-1", "CLOSE", now);
      return;
    case "CLOSE-WAIT":
      tcb.finQueued = true;
      setState(tcb, "LAST-ACK", "CLOSE", now);
      return;
  }
}

/**
 * §3.10.4 CLOSE by a user that will not receive any more (POSIX: close). Data that was received and not read, or that comes
 * later, is answered with RST, so that the peer knows it was lost (SHLD-3, RFC 2525 §2.17).
 */
export function close(tcb: Tcb, now: Micros): void {
  if (tcb.readerGone) return;
  tcb.readerGone = true;
  if (tcb.receiveQueue.length > 0 && tcb.config.resetsUnread) {
    if (tcb.state !== "TIME-WAIT" && tcb.state !== "CLOSED") {
      abortWith(tcb, "CLOSE with unread data", "the user closed without reading all: the peer must know", now);
    }
    tcb.receiveQueue.release();
    return;
  }
  tcb.receiveQueue.discard(tcb.receiveQueue.length);
  if (closedHard(tcb, now)) return;
  shutdown(tcb, now);
  if (tcb.state === "FIN-WAIT-2") {
    if (tcb.config.finWait2Us <= 0)
      abortWith(tcb, "CLOSE in FIN-WAIT-2", "the user does not wait for the peer's FIN (TCP_LINGER2)", now);
    else startFinWait2(tcb, now);
  }
  startLinger(tcb, now);
}

/** §3.10.5 ABORT: RST to the peer, everything queued is dropped, CLOSED at once. */
export function abort(tcb: Tcb, now: Micros): void {
  abortWith(tcb, "ABORT", "abort: the connection ends at once, both ways", now);
  tcb.receiveQueue.release();
}

/** ABORT of a connection that nobody has accepted, for its listener is no more. Note: Linux forgets half-open ones without a word. */
export function orphan(tcb: Tcb, now: Micros): void {
  if (tcb.state === "SYN-RECEIVED" && tcb.linux !== undefined && !tcb.fastOpen.accepted)
    setState(tcb, "LISTEN", "nobody listens any more", now);
  else abort(tcb, now);
}

function abortWith(tcb: Tcb, reason: string, note: string, now: Micros): void {
  switch (tcb.state) {
    case "CLOSED":
      return;
    case "SYN-RECEIVED":
    case "ESTABLISHED":
    case "FIN-WAIT-1":
    case "FIN-WAIT-2":
    case "CLOSE-WAIT":
      tcb.pending.rst = true;
      tcb.pending.rstReason = note;
      break;
    case "CLOSING":
    case "LAST-ACK":
      // The RFC deletes the TCB without a word: all was said. If data is lost by that, ours or the peer's, it was not, and the
      // peer would wait for it in FIN-WAIT-2 for ever. Note: Linux does the same.
      if (tcb.sendQueue.length === 0 && tcb.receiveQueue.length === 0) break;
      tcb.pending.rst = true;
      tcb.pending.rstReason = note;
      break;
    default:
      // LISTEN, SYN-SENT, TIME-WAIT: the TCB is deleted without a word.
      break;
  }
  tcb.failure ??= "ECONNABORTED";
  tcb.events |= EVENT_READABLE;
  setState(tcb, "CLOSED", reason, now);
}

/**
 * The effective send size and with it the congestion control (RFC 9293 §3.7.1, MUST-15, MUST-16). `peerMss` is the option of
 * the peer's SYN, -1 when it had none.
 */
export function setEffectiveMss(tcb: Tcb, peerMss: number): void {
  const { config, snd } = tcb;
  const unknown = config.defaultPeerMss > 0 ? config.defaultPeerMss : tcb.local.family === 4 ? 536 : 1220;
  tcb.pathMtu.peerMss = peerMss >= 0 ? Math.max(peerMss, config.leastPeerMss) : unknown;
  beginWithSmallMtu(tcb);
  snd.mss = sendMss(tcb);
  useCongestion(tcb, config.congestion, initialWindow(tcb));
  // A SYN-ACK tells the buffer as it is.
  if (config.wholeSegmentBuffer && !tcb.passive) tcb.receiveBufferBytes = wholeSegments(tcb, tcb.receiveBufferBytes);
}

/** Timers of a closed or half-open connection never fire. */
export function deadline(tcb: Tcb): Micros {
  const t = tcb.timers;
  const first = Math.min(t.retransmission, t.persist, t.delayedAck, t.rack, t.tlp, t.keepAlive, t.linger, t.cork, t.pacing);
  if (t.timeWait === NEVER && t.finWait2 === NEVER && t.sackCompression === NEVER) return first;
  return Math.min(first, t.timeWait, t.finWait2, t.sackCompression);
}
