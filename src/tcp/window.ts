/** The receive window: what is advertised and when an update of it is due (RFC 9293 §3.8.6). */
import { seqAdd, seqDiff, seqGt } from "../base/seq.js";
import { headerBytes } from "./emit.js";
import type { Tcb } from "./tcb.js";

/** "linux" is RFC 9293 §3.8.6.2.2 with Linux's rounding. "bsd" is what the descendants of 4.4BSD make of it (FreeBSD: tcp_output). */
export type WindowRule = "linux" | "bsd";

/**
 * Moves the right edge on as far as the buffer allows and silly-window avoidance wants (RFC 9293 §3.8.6.2.2), and gives the
 * window field. The edge never goes back: data up to it is taken, though scaling may not express it exactly (RFC 7323 §2.4).
 */
export function advertise(tcb: Tcb, shift: number): number {
  const { linux, rcv } = tcb;
  if (linux !== undefined) return linux.advertise(tcb, shift);
  if (tcb.config.windowRule === "bsd") return advertiseAll(tcb, shift);
  const space = tcb.receiveSpace;
  const offered = seqDiff(rcv.adv, rcv.nxt);
  const step = Math.min(tcb.receiveBufferBytes >>> 1, tcb.snd.mss);
  let wnd = offered;
  if (space >= offered + step || space - offered >= tcb.receiveBufferBytes >>> 1) wnd = space;
  const unit = 2 ** shift;
  // Rounding down would take the edge back by less than a unit; rounding up at every ACK would let it creep past the buffer.
  const roundUp = wnd === offered && Math.ceil(offered / unit) * unit <= space + unit;
  const field = Math.min(roundUp ? Math.ceil(wnd / unit) : Math.floor(wnd / unit), 0xffff);
  const edge = seqAdd(rcv.nxt, field * unit);
  if (seqGt(edge, rcv.adv)) rcv.adv = edge;
  return field;
}

/** Whether a bare ACK would tell the peer of a window worth knowing: the user has read much since the last one. */
export function windowUpdateDue(tcb: Tcb): boolean {
  if (tcb.config.windowRule === "bsd") return isWindowUpdateDueInBsd(tcb);
  const offered = tcb.receiveWindow;
  // More than the field can say is nothing to tell.
  const gain = Math.min(tcb.receiveSpace, 0xffff * 2 ** tcb.rcv.windShift) - offered;
  return gain >= Math.min(2 * tcb.snd.mss, tcb.receiveBufferBytes >>> 1) && (offered === 0 || gain >= offered);
}

/** How much may come: what was advertised, and in the rule "bsd" all that there is room for. */
export function acceptedWindow(tcb: Tcb): number {
  return tcb.config.windowRule === "bsd" ? Math.max(tcb.receiveWindow, tcb.receiveSpace) : tcb.receiveWindow;
}

/** The window field of an answer that takes nothing back and promises nothing new (FreeBSD: tcp_respond). */
export function windowOfAnswer(tcb: Tcb): number {
  // Before the handshake is done no window is scaled.
  const shift = tcb.state === "SYN-RECEIVED" ? 0 : tcb.rcv.windShift;
  return Math.min(tcb.receiveSpace >>> shift, 0xffff);
}

/** All that is free, unless that is hardly anything; rounded up, so that scaling does not take the edge back. */
function advertiseAll(tcb: Tcb, shift: number): number {
  const { rcv } = tcb;
  const unit = 2 ** shift;
  let wnd = Math.min(tcb.receiveSpace, 0xffff * unit);
  if (wnd < tcb.receiveBufferBytes >>> 2 && wnd < fullSegment(tcb)) wnd = 0;
  wnd = Math.max(wnd, seqDiff(rcv.adv, rcv.nxt));
  const field = Math.min(Math.ceil(wnd / unit), 0xffff);
  const edge = seqAdd(rcv.nxt, field * unit);
  if (seqGt(edge, rcv.adv)) rcv.adv = edge;
  return field;
}

/** Two segments more, if that is a quarter of the buffer or the buffer is all but full or small; or half of the buffer more. */
function isWindowUpdateDueInBsd(tcb: Tcb): boolean {
  const buffer = tcb.receiveBufferBytes;
  const shift = tcb.rcv.windShift;
  const most = 0xffff * 2 ** shift;
  const space = Math.min(tcb.receiveSpace, most);
  const offered = Math.max(0, tcb.receiveWindow);
  const gain = space - offered;
  if (gain <= 0 || Math.floor(offered / 2 ** shift) >= Math.floor((gain + offered) / 2 ** shift)) return false;
  const segment = fullSegment(tcb);
  if (gain >= 2 * segment && (gain >= buffer >>> 2 || space <= buffer >>> 3 || buffer <= 8 * segment || gain >= most))
    return true;
  return 2 * gain >= buffer;
}

/** `bytes`, and more, so that whole segments fill it. Note: FreeBSD does so once the MSS is known (tcp_mss). */
export function wholeSegments(tcb: Tcb, bytes: number): number {
  const segment = fullSegment(tcb);
  return bytes > segment ? Math.ceil(bytes / segment) * segment : bytes;
}

/** The MSS of both ends, options included. */
function fullSegment(tcb: Tcb): number {
  const { config, pathMtu } = tcb;
  return Math.min(pathMtu.peerMss, config.mssBytes, Math.min(config.mtuBytes, pathMtu.bytes) - headerBytes(tcb));
}
