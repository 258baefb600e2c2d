/**
 * Explicit congestion notification: what the handshake agrees on (RFC 3168 §6.1.1, RFC 9768 §3.1), the classic form in full, and the
 * answer to marks, which is the same for both. Classic (RFC 3168): routers mark packets instead of dropping them. The receiver echoes a mark (ECE)
 * until the sender says that it has reduced its window (CWR); the sender does so at most once a window of data.
 *
 *   sender    data, ECT(0) ───────────► router: CE ───────────► receiver
 *             ◄──────────────────────── ACK, ECE ─────────────
 *             data, CWR ──────────────────────────────────────► the echo ends
 */
import { seqDiff, seqGt } from "../base/seq.js";
import type { Micros } from "../base/time.js";
import type { Segment } from "../wire/segment.js";
import { ACK, AE, CWR, ECE, SYN } from "../wire/tcp-flags.js";
import {
  ACE_FAIL_RECEIVE,
  ACE_FAIL_SEND,
  AccurateEcn,
  aceOf,
  checkReflected,
  inspectOption,
  reflectedFlags,
  takeMarks,
} from "./accurate-ecn.js";
import { CE } from "./ecn-codepoints.js";
import { flightAtLoss } from "./loss-recovery.js";
import { askForAck } from "./output.js";
import type { Tcb } from "./tcb.js";

/**
 * "off": never. "accept": classic ECN where the peer asks (Linux's default). "on": our SYN asks for classic ECN. The other three take
 * accurate ECN too from a peer that asks (RFC 9768): "accurate-accept" asks for nothing, "accurate-on" for classic ECN, "accurate" for
 * accurate ECN, and is content with classic. Linux: net.ipv4.tcp_ecn 0, 2, 1, 5, 4, 3.
 */
export type EcnPolicy = "off" | "accept" | "on" | "accurate-accept" | "accurate-on" | "accurate";

/** All of them, from the least. */
export const ECN_POLICIES: readonly EcnPolicy[] = ["off", "accept", "on", "accurate-accept", "accurate-on", "accurate"];

/** What a connection knows of ECN. */
export class EcnVariables {
  /** Both ends have agreed on it, classic or accurate. */
  enabled = false;
  /** What both have agreed on is accurate ECN. */
  accurate: AccurateEcn | undefined;
  /** Our SYN asked for it; and for accurate ECN. */
  offered = false;
  offeredAccurate = false;
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

/**
 * The flags of our SYN (RFC 3168 §6.1.1, RFC 9768 §3.1.1). Repeated it does without, accurate ECN from the second time on: something
 * on the way may drop it for them (RFC 3168 §6.1.1.1, RFC 9768 §3.1.4.1).
 */
export function synEcnFlags(tcb: Tcb, repeated: boolean): number {
  const { ecn, config } = tcb;
  const accurate = config.ecn === "accurate";
  if (!accurate && config.ecn !== "on" && config.ecn !== "accurate-on") return 0;
  if (repeated && config.ecnFallback && tcb.backoffs > Math.max(Number(accurate), config.ecnSynRepeats)) return 0;
  ecn.offered = true;
  ecn.offeredAccurate = accurate;
  return accurate ? AE | CWR | ECE : CWR | ECE;
}

/**
 * The flags of our SYN-ACK. With accurate ECN they tell with what codepoint the SYN came (RFC 9768 §3.1.1), the second time that it is
 * repeated nothing at all (§3.2.3.2.2).
 */
export function synAckEcnFlags(tcb: Tcb): number {
  const { enabled, accurate } = tcb.ecn;
  if (!enabled) return 0;
  if (accurate === undefined) return ECE;
  if (tcb.backoffs > 1) {
    accurate.failures |= ACE_FAIL_SEND;
    return 0;
  }
  return reflectedFlags(accurate.synReceived);
}

/** What the peer's SYN or SYN-ACK says. A SYN that is marked itself asks for no classic ECN (RFC 3168 §6.1.1: it must not be ECT). */
export function takeSynEcn(tcb: Tcb, seg: Segment): void {
  if ((seg.flags & ACK) !== 0) takeSynAckEcn(tcb, seg);
  else takeBareSynEcn(tcb, seg);
}

/** RFC 9768 §3.1.2: every combination but none and classic ECN's asks for accurate ECN, also those that nobody sends yet. */
function takeBareSynEcn(tcb: Tcb, seg: Segment): void {
  const { ecn, config } = tcb;
  const ace = aceOf(seg.flags);
  // In a simultaneous open only what our SYN has asked for too counts. Note: Linux does the same.
  const accurate = tcb.passive ? config.ecn.startsWith("accurate") : ecn.offeredAccurate;
  if (accurate && ace !== 0 && ace !== 0b011) {
    const state = beginAccurate(tcb, seg);
    state.lastEcn = seg.ecn;
    state.optionDemand = 1;
    return;
  }
  const capable = (seg.flags & (ECE | CWR)) === (ECE | CWR);
  ecn.enabled = config.ecn !== "off" && capable && (seg.ecn === 0 || (seg.flags & AE) !== 0);
}

/** RFC 9768 table 2: what kind of peer answers so. */
function takeSynAckEcn(tcb: Tcb, seg: Segment): void {
  const { ecn } = tcb;
  const ace = aceOf(seg.flags);
  ecn.enabled = false;
  ecn.accurate = undefined;
  if (!ecn.offered) return;
  // Classic ECN agrees by ECE alone; AE was once the nonce's bit.
  if (!ecn.offeredAccurate || ace === 0b001) {
    ecn.enabled = (ace & 0b011) === 0b001;
    return;
  }
  // None, or a peer that reflects what it does not know.
  if (ace === 0b000 || ace === 0b111) return;
  const accurate = beginAccurate(tcb, seg);
  accurate.reflect = true;
  inspectOption(accurate, seg);
  if (seg.accEcnFields >= 0) accurate.optionDemand = 2;
  if (seg.ecn !== CE) return;
  checkReflected(tcb, accurate, ace);
  if (!accurate.capable) return;
  accurate.receivedCe++;
  accurate.untold++;
}

function beginAccurate(tcb: Tcb, seg: Segment): AccurateEcn {
  const { ecn } = tcb;
  const accurate = new AccurateEcn();
  ecn.enabled = true;
  ecn.accurate = accurate;
  accurate.synReceived = seg.ecn;
  return accurate;
}

/**
 * The SYN came once more, to be answered with a SYN-ACK or an ACK that tells how this one came (RFC 9768 §3.1.5). `beforeEnd`: the
 * handshake is not done; a SYN without any request then shows that something clears it.
 */
export function takeRepeatedSyn(tcb: Tcb, seg: Segment, beforeEnd: boolean): void {
  const { accurate } = tcb.ecn;
  if (accurate === undefined) return;
  accurate.synReceived = seg.ecn;
  if (!beforeEnd) accurate.reflect = true;
  else if ((seg.flags & ACK) === 0 && aceOf(seg.flags) === 0) accurate.failures |= ACE_FAIL_RECEIVE;
}

/** Classic flags that a segment beyond the handshake carries; asked for once a segment. */
export function ecnFlags(ecn: EcnVariables): number {
  let flags = ecn.echo ? ECE : 0;
  if (ecn.newData && ecn.cwrPending) {
    flags |= CWR;
    ecn.cwrPending = false;
  }
  return flags;
}

/** Classic ECN: an acceptable segment with text came (RFC 3168 §6.1.3). CWR first: a segment that is marked itself starts the echo anew. */
export function ecnReceived(tcb: Tcb, seg: Segment): void {
  const { ecn, linux } = tcb;
  if (seg.payloadLength === 0) return;
  // Not capable, though others were: the segment was likely sent again. Note: Linux does the same (tcp_data_ecn_check).
  if (seg.ecn === 0 && ecn.seen) linux?.acks.enterQuick(QUICK_AFTER_ECN);
  if (ecn.accurate !== undefined) return;
  if ((seg.flags & CWR) !== 0) ecn.echo = false;
  if (seg.ecn === 0) return;
  ecn.seen = true;
  if (seg.ecn !== CE) return;
  ecn.marksIn++;
  if (!ecn.echo) {
    if (linux === undefined) askForAck(tcb, "a router marked the data: congestion");
    else linux.acks.enterQuick(QUICK_AFTER_ECN);
  }
  ecn.echo = true;
}

/** ACKs that Linux sends at once for a mark. */
const QUICK_AFTER_ECN = 2;

/**
 * An ACK came; `deliveredSegments` is what it delivered. Returns whether congestion control may grow: not in answer to an echo, and
 * not before the reduction has worked (RFC 3168 §6.1.2). `previousUna`: SND.UNA before it.
 */
export function ecnAcknowledged(tcb: Tcb, seg: Segment, deliveredSegments: number, previousUna: number, now: Micros): boolean {
  const { ecn, recovery, snd } = tcb;
  // Something beyond: only then has CWR reached the peer. Note: Linux does the same.
  if (ecn.reduced && seqGt(snd.una, ecn.cwrEnd)) ecn.reduced = false;
  if (ecn.accurate !== undefined) {
    if (ecn.accurate.newMarks === 0) return !ecn.reduced;
  } else {
    if ((seg.flags & (ECE | SYN)) !== ECE) return !ecn.reduced;
    ecn.deliveredCe += deliveredSegments;
  }
  if (!ecn.reduced && !recovery.active && !recovery.loss && seqGt(snd.max, snd.una)) {
    tcb.congestion.onEcn(flightAtLoss(tcb, seqDiff(snd.max, previousUna), previousUna), now);
    ecn.reductions++;
    windowReduced(tcb);
  }
  return false;
}

/**
 * An ACK has delivered so many segments and bytes: whether it reports marks, by ECE or by a count (RFC 3168 §6.1.2, RFC 9768 §3.2.2.2).
 * They are counted. `isFresh`: it tells something new, so it is no old one.
 */
export function tellsMarks(tcb: Tcb, seg: Segment, segments: number, bytes: number, isFresh: boolean): boolean {
  const { ecn } = tcb;
  const { accurate } = ecn;
  if (accurate === undefined) {
    if (!ecn.enabled || (seg.flags & (ECE | SYN)) !== ECE) return false;
    ecn.deliveredCe += segments;
    return true;
  }
  if (isFresh) accurate.isFresh = true;
  takeMarks(tcb, accurate, seg, segments, bytes);
  return accurate.newMarks > 0;
}

/** The window was reduced, for a mark or a loss: new data will say so, and marks of this window ask for no more. */
export function windowReduced(tcb: Tcb): void {
  const { ecn, snd } = tcb;
  if (!ecn.enabled) return;
  // Accurate ECN has no such flag (RFC 9768 §3.1.5).
  ecn.cwrPending = ecn.accurate === undefined;
  ecn.reduced = true;
  ecn.cwrEnd = snd.max;
}
