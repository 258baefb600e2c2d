/**
 * Explicit congestion notification (RFC 3168): routers mark packets instead of dropping them. The receiver echoes a mark (ECE)
 * until the sender says that it has reduced its window (CWR); the sender does so at most once a window of data.
 *
 *   sender    data, ECT(0) ───────────► router: CE ───────────► receiver
 *             ◄──────────────────────── ACK, ECE ─────────────
 *             data, CWR ──────────────────────────────────────► the echo ends
 */
import { seqDiff, seqGt } from "../base/seq.js";
import type { Micros } from "../base/time.js";
import type { Segment } from "../wire/segment.js";
import { ACK, CWR, ECE, SYN } from "../wire/tcp-flags.js";
import { flightAtLoss } from "./loss-recovery.js";
import { askForAck } from "./output.js";
import type { Tcb } from "./tcb.js";

/** "on": our SYN asks for it. "accept": only where the peer asks (Linux's default, tcp_ecn 2). "off": never. */
export type EcnPolicy = "off" | "accept" | "on";

/** Codepoints of the IP header's ECN field (RFC 3168 §5). */
export const ECT_0 = 2;
export const CE = 3;

/** What a connection knows of ECN. */
export class EcnVariables {
  /** Both ends have agreed on it. */
  enabled = false;
  /** Our SYN asked for it; one that is sent again does not. */
  offered = false;
  /** A mark came that the sender has not answered with CWR yet: every ACK echoes it. */
  echo = false;
  /** An ECN-capable packet came. */
  seen = false;
  /** The next new data tells that the window was reduced. */
  cwrPending = false;
  /** A reduction holds until SND.UNA passes `cwrEnd`: no other for a mark, and no growth. */
  reduced = false;
  cwrEnd = 0;
  /** The segment that is being written is new data: it alone is ECN-capable. */
  newData = false;
  /** Marked segments received, reductions for echoed marks, and segments delivered by ACKs with an echo. */
  marksIn = 0;
  reductions = 0;
  deliveredCe = 0;
}

/** The flags of our SYN (RFC 3168 §6.1.1). Repeated it does without: something on the way may drop it for them (§6.1.1.1). */
export function synEcnFlags(tcb: Tcb, repeated: boolean): number {
  if (tcb.config.ecn !== "on" || repeated) return 0;
  tcb.ecn.offered = true;
  return ECE | CWR;
}

/** The flags of our SYN-ACK. */
export function synAckEcnFlags(tcb: Tcb): number {
  return tcb.ecn.enabled ? ECE : 0;
}

/** What the peer's SYN or SYN-ACK says. A SYN that is marked itself cannot be trusted (RFC 3168 §6.1.1: it must not be ECT). */
export function takeSynEcn(tcb: Tcb, seg: Segment): void {
  const { ecn, config } = tcb;
  const bits = seg.flags & (ECE | CWR);
  const isAnswer = (seg.flags & ACK) !== 0;
  ecn.enabled = isAnswer ? ecn.offered && bits === ECE : config.ecn !== "off" && bits === (ECE | CWR) && seg.ecn === 0;
}

/** Flags that a segment beyond the handshake carries; asked for once a segment. */
export function ecnFlags(ecn: EcnVariables): number {
  let flags = ecn.echo ? ECE : 0;
  if (ecn.newData && ecn.cwrPending) {
    flags |= CWR;
    ecn.cwrPending = false;
  }
  return flags;
}

/** An acceptable segment with text came (RFC 3168 §6.1.3). CWR first: a segment that is marked itself starts the echo anew. */
export function ecnReceived(tcb: Tcb, seg: Segment): void {
  const { ecn } = tcb;
  if (seg.payloadLength === 0) return;
  if ((seg.flags & CWR) !== 0) ecn.echo = false;
  if (seg.ecn === 0) return;
  ecn.seen = true;
  if (seg.ecn !== CE) return;
  ecn.marksIn++;
  if (!ecn.echo) askForAck(tcb, "a router marked the data: congestion");
  ecn.echo = true;
}

/**
 * An ACK came; `deliveredSegments` is what it delivered. Returns whether congestion control may grow: not in answer to an echo, and
 * not before the reduction has worked (RFC 3168 §6.1.2). `previousUna`: SND.UNA before it.
 */
export function ecnAcknowledged(tcb: Tcb, seg: Segment, deliveredSegments: number, previousUna: number, now: Micros): boolean {
  const { ecn, recovery, snd } = tcb;
  // Something beyond: only then has CWR reached the peer. Note: Linux does the same.
  if (ecn.reduced && seqGt(snd.una, ecn.cwrEnd)) ecn.reduced = false;
  if ((seg.flags & (ECE | SYN)) !== ECE) return !ecn.reduced;
  ecn.deliveredCe += deliveredSegments;
  if (!ecn.reduced && !recovery.active && !recovery.loss && seqGt(snd.max, snd.una)) {
    tcb.congestion.onEcn(flightAtLoss(tcb, seqDiff(snd.max, previousUna), previousUna), now);
    ecn.reductions++;
    windowReduced(tcb);
  }
  return false;
}

/** The window was reduced, for a mark or a loss: new data will say so, and marks of this window ask for no more. */
export function windowReduced(tcb: Tcb): void {
  const { ecn, snd } = tcb;
  if (!ecn.enabled) return;
  ecn.cwrPending = true;
  ecn.reduced = true;
  ecn.cwrEnd = snd.max;
}
