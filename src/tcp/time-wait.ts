/** A new SYN in TIME-WAIT (RFC 9293 §3.10.7.4 MAY-2, RFC 6191). */
import { seqGt } from "../base/seq.js";
import type { Micros } from "../base/time.js";
import type { Segment } from "../wire/segment.js";
import { ACK, RST, SYN } from "../wire/tcp-flags.js";
import { setState } from "./set-state.js";
import type { Tcb } from "./tcb.js";

/**
 * Ends TIME-WAIT for a SYN that is certainly no old duplicate: a later timestamp, or without timestamps a sequence number
 * beyond all that the peer has sent.
 */
export function yieldTimeWait(tcb: Tcb, seg: Segment, now: Micros, hasRoom: boolean): boolean {
  if (tcb.state !== "TIME-WAIT" || (seg.flags & (SYN | ACK | RST)) !== SYN) return false;
  // Note: FreeBSD looks at the sequence number alone, and for no listener (tcp_twcheck).
  if (tcb.config.arrivalRules === "bsd") {
    if (!seqGt(seg.seq, tcb.rcv.nxt)) return false;
    setState(tcb, "CLOSED", "a new incarnation begins", now);
    return true;
  }
  if (!hasRoom) return false;
  const newer = tcb.ts.enabled && seg.hasTimestamps ? seqGt(seg.tsVal, tcb.ts.recent) : seqGt(seg.seq, tcb.rcv.nxt);
  // RFC 6191 §2: equal timestamps are decided by the sequence number.
  const equal = tcb.ts.enabled && seg.hasTimestamps && seg.tsVal === tcb.ts.recent && seqGt(seg.seq, tcb.rcv.nxt);
  if (!newer && !equal) return false;
  setState(tcb, "CLOSED", "a new incarnation begins (RFC 6191)", now);
  return true;
}
