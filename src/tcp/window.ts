/** The receive window: what is advertised and when an update of it is due (RFC 9293 §3.8.6). */
import { seqAdd, seqDiff, seqGt } from "../base/seq.js";
import type { Tcb } from "./tcb.js";

/**
 * Moves the right edge on as far as the buffer allows and silly-window avoidance wants (RFC 9293 §3.8.6.2.2), and gives the
 * window field. The edge never goes back: data up to it is taken, though scaling may not express it exactly (RFC 7323 §2.4).
 */
export function advertise(tcb: Tcb, shift: number): number {
  const rcv = tcb.rcv;
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
  const offered = tcb.receiveWindow;
  // More than the field can say is nothing to tell.
  const gain = Math.min(tcb.receiveSpace, 0xffff * 2 ** tcb.rcv.windShift) - offered;
  return gain >= Math.min(2 * tcb.snd.mss, tcb.receiveBufferBytes >>> 1) && (offered === 0 || gain >= offered);
}
