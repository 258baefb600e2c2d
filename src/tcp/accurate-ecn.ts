/**
 * Accurate ECN (RFC 9768): the receiver counts every marked packet and tells the count in three header bits of each segment (ACE),
 * where classic ECN can tell of one mark a round trip; and the bytes behind each codepoint in an option.
 *
 *   sender   s.cep ◄─── ACE: r.cep modulo 8 ─────────────────── r.cep   packets marked CE, first 5
 *            bytes ◄─── option: E1B, CEB, E0B modulo 2^24 ───── bytes   payload of ECT(1), CE and ECT(0), first 1, 0 and 1
 *
 * How the handshake agrees on it is in `ecn.ts`, the option in `accurate-ecn-option.ts`.
 */
import { seqDiff } from "../base/seq.js";
import type { Micros } from "../base/time.js";
import type { Segment } from "../wire/segment.js";
import { ACK, FIN } from "../wire/tcp-flags.js";
import { CE, ECT_0, ECT_1, NOT_ECT } from "./ecn-codepoints.js";
import { askForAck } from "./output.js";
import type { Tcb } from "./tcb.js";

/** Bits of `failures`, by Linux's numbers: what was found not to pass, ACE or option, out or in (RFC 9768 §3.2.2.3–4, §3.2.3.2). */
export const ACE_FAIL_SEND = 1;
export const ACE_FAIL_RECEIVE = 2;
export const OPTION_FAIL_SEND = 4;
export const OPTION_FAIL_RECEIVE = 8;

/** Values of `optionSeen`, by Linux's numbers. */
export const OPTION_NOT_SEEN = 0;
export const OPTION_EMPTY_SEEN = 1;
export const OPTION_COUNTER_SEEN = 2;
export const OPTION_FAIL_SEEN = 3;

/** First value of r.cep and s.cep (RFC 9768 §3.2.1). */
const FIRST_CEP = 5;
/** The bits that ACE tells of a counter. */
const ACE_MASK = 7;
/** ACE in the flags: AE, CWR and ECE stand side by side. */
const ACE_SHIFT = 6;
/** So many marks that were not told yet ask for an ACK: half of what ACE can tell (RFC 9768 §3.2.2.5.1). Note: Linux does the same. */
const MOST_UNTOLD = 4;
/** Marks that wait are counted no further: the field of Linux is as wide. */
const UNTOLD_LIMIT = 15;

/** What a connection in AccECN mode knows. Arrays are by ECN codepoint. */
export class AccurateEcn {
  /** Packets that came with CE, bare ACKs too: r.cep without its first value. */
  receivedCe = 0;
  /** Of these, not told yet. */
  untold = 0;
  /** Payload that came with each codepoint, modulo 2^32; the option tells 24 bits of it. */
  readonly receivedBytes = new Uint32Array(4);
  /** Payload that the peer says came with each codepoint. */
  readonly deliveredBytes = new Uint32Array(4);
  /** Codepoint of the last packet: a change is told at once. */
  lastEcn = NOT_ECT;
  /** Codepoint of the peer's last SYN, for the answer to it. Ours are never ECN-capable. */
  synReceived = NOT_ECT;
  /** A SYN-ACK has left: one that is repeated has no option. */
  synAckSent = false;
  /** The ACK that comes next is the one of our SYN: its ACE is no count. */
  handshake = true;
  /** After a simultaneous open: the segment that comes next answers our SYN-ACK. */
  thirdDue = false;
  /** The next bare ACK tells `synReceived`, not r.cep (RFC 9768 §3.2.2.1). */
  reflect = false;
  /** The ECN field has changed: the ACK of this segment does not wait (RFC 9768 §3.2.2.5.1). */
  ackNow = false;
  /** This segment is surely no old one: its timestamp is newer than all before, or it acknowledges what none did. */
  isFresh = false;
  /** Bits, see ACE_FAIL_SEND and the others. */
  failures = 0;
  /** See OPTION_NOT_SEEN and the others. */
  optionSeen = OPTION_NOT_SEEN;
  /** Segments that must still carry the option, and fields that it needs at least. */
  optionDemand = 0;
  fieldsNeeded = 0;
  /** When an option last left, and whether it is time for another (RFC 9768 §3.2.3.3). */
  optionSentAt: Micros = 0;
  beaconDue = false;
  /** The last option went beside a D-SACK. */
  optionBesideDsack = false;
  /** The codepoint that all deliveries seem to have, as long as no option says otherwise; 0 unknown. */
  expectedEcn = 0;
  /** Mean of segments that an ACK delivers, times 64; 0 before the first. */
  deliveredMean = 0;
  /** Marks that the ACK at hand reports. */
  newMarks = 0;

  /** Whether packets may be ECN-capable: not where the handshake has shown that marks get lost (RFC 9768 §3.1.5, §3.2.2.3). */
  get capable(): boolean {
    return (this.failures & (ACE_FAIL_SEND | ACE_FAIL_RECEIVE)) === 0;
  }
}

/** ACE of any segment beyond the handshake, as flags. `bare`: it has neither text nor FIN. */
export function aceFlags(accurate: AccurateEcn, bare: boolean): number {
  const reflects = accurate.reflect && bare;
  accurate.reflect = false;
  accurate.ackNow = false;
  if (reflects) return reflectedFlags(accurate.synReceived);
  accurate.untold = 0;
  return ((accurate.receivedCe + FIRST_CEP) & ACE_MASK) << ACE_SHIFT;
}

/** How a SYN-ACK, or the third segment, tells with what codepoint the other's SYN came (RFC 9768 tables 2 and 3). */
export function reflectedFlags(ecn: number): number {
  return (REFLECTED[ecn] ?? 0) << ACE_SHIFT;
}

/** Not-ECT, ECT(1), ECT(0), CE. */
const REFLECTED = [0b010, 0b011, 0b100, 0b110];

/** ACE of a segment: 0 to 7. */
export function aceOf(flags: number): number {
  return (flags >>> ACE_SHIFT) & ACE_MASK;
}

/**
 * The other side tells with what codepoint our SYN came: any but not-ECT shows that something on the way overwrites the field, then nothing
 * of ours is ECN-capable (RFC 9768 §3.2.2.3). Values without a meaning say "unchanged".
 */
export function checkReflected(tcb: Tcb, accurate: AccurateEcn, ace: number): number {
  const ecn = Math.max(NOT_ECT, REFLECTED.indexOf(ace));
  if (tcb.config.ecnFallback && ecn !== NOT_ECT) accurate.failures |= ACE_FAIL_RECEIVE;
  return ecn;
}

/** The ACK of our SYN-ACK: a bare one tells with what codepoint that came (RFC 9768 §3.2.2.1); 0 shows that ACE does not pass. */
export function thirdSegment(tcb: Tcb, accurate: AccurateEcn, seg: Segment): void {
  const ace = aceOf(seg.flags);
  inspectOption(accurate, seg);
  if (ace === 0) {
    accurate.failures |= ACE_FAIL_RECEIVE;
    return;
  }
  if (seg.len > 0 || seg.sackCount > 0) return;
  if (checkReflected(tcb, accurate, ace) === CE && accurate.capable && tcb.ecn.deliveredCe === 0) tcb.ecn.deliveredCe = 1;
}

/** An acceptable segment came, with or without text (RFC 9768 §3.2.2, §3.2.3). Before its acknowledgment is looked at. */
export function countReceived(tcb: Tcb, accurate: AccurateEcn, seg: Segment): void {
  const { ecn, payloadLength } = seg;
  if (ecn !== NOT_ECT) {
    tcb.ecn.seen = true;
    if (ecn === CE) {
      accurate.receivedCe++;
      tcb.ecn.marksIn++;
      accurate.untold = Math.min(accurate.untold + 1, UNTOLD_LIMIT);
    }
    if (payloadLength > 0) countBytes(accurate, ecn, payloadLength);
  }
  const edge = ecn !== accurate.lastEcn;
  if (!edge && ecn !== CE) return;
  accurate.lastEcn = ecn;
  if (edge) haste(tcb, accurate);
  // Two, so that the second tells clearly to which packets the change belongs (RFC 9768 §3.2.3.3).
  accurate.optionDemand = 2;
}

/** What this segment asks to be acknowledged, or the next that does, is so at once. */
function haste(tcb: Tcb, accurate: AccurateEcn): void {
  if (tcb.linux !== undefined) tcb.linux.acks.isNow = true;
  else accurate.ackNow = true;
}

/** The option must have the field of a codepoint that has come: E1B, CEB, E0B in this order. */
function countBytes(accurate: AccurateEcn, ecn: number, length: number): void {
  const { receivedBytes } = accurate;
  const before = bytesOf(receivedBytes, ecn);
  receivedBytes[ecn] = before + length;
  const place = ecn === ECT_1 ? 1 : ecn === CE ? 2 : 3;
  accurate.fieldsNeeded = Math.max(accurate.fieldsNeeded, place);
  // Once every 2^22 bytes at the least, or 24 bits would wrap unseen (RFC 9768 §3.2.3.3).
  if ((bytesOf(receivedBytes, ecn) ^ before) >>> 22 !== 0) accurate.optionDemand = Math.max(accurate.optionDemand, 1);
}

/** The text of a segment has been taken: whether its ACK must not wait. */
export function acknowledgeChange(tcb: Tcb, accurate: AccurateEcn, seg: Segment): void {
  if (accurate.ackNow && seg.len > 0) askForAck(tcb, "the ECN field has changed: accurate ECN tells it at once");
}

/**
 * An acceptable ACK: how many marks it reports, kept in `newMarks` and counted. `segments` and `bytes` are what it has delivered
 * (RFC 9768 §3.2.2.5.2 and appendix A).
 */
export function takeMarks(tcb: Tcb, accurate: AccurateEcn, seg: Segment, segments: number, bytes: number): void {
  accurate.newMarks = 0;
  const ofSyn = accurate.handshake;
  accurate.handshake = false;
  // Neither news nor a newer time: an ACK that was overtaken, whose count is an old one.
  if (segments === 0 && !accurate.isFresh) return;
  const ceBytesBefore = bytesOf(accurate.deliveredBytes, CE);
  const known = takeOption(tcb, accurate, seg, bytes);
  if (segments > 0) noteDelivered(accurate, segments);
  if (ofSyn) return;
  // Note: Linux lets only an ACK that is owed anyway go at once.
  if (accurate.untold >= MOST_UNTOLD) {
    if (tcb.linux !== undefined) tcb.linux.acks.isNow = true;
    else askForAck(tcb, "many marked packets came: accurate ECN counts no further than 7");
  }
  // The peer cannot tell, or we cannot hear: no answer to marks (RFC 9768 §3.2.2.1).
  if ((accurate.failures & ACE_FAIL_RECEIVE) !== 0) return;
  const told = (aceOf(seg.flags) - FIRST_CEP) & ACE_MASK;
  const marks = (told - tcb.ecn.deliveredCe) & ACE_MASK;
  const ceBytes = seqDiff(bytesOf(accurate.deliveredBytes, CE), ceBytesBefore);
  accurate.newMarks = segments <= ACE_MASK ? marks : marksOfMany(tcb, accurate, marks, segments, bytes, known, ceBytes);
  tcb.ecn.deliveredCe += accurate.newMarks;
}

/** Weight of the past in `deliveredMean`, and its binary places. */
const MEAN_SHIFT = 6;

function noteDelivered(accurate: AccurateEcn, segments: number): void {
  const mean = accurate.deliveredMean;
  const scaled = segments << MEAN_SHIFT;
  accurate.deliveredMean = mean === 0 ? scaled : Math.min(0xffff, mean + ((scaled - mean) >> MEAN_SHIFT));
}

/** Of so many segments an ACK that ACKs are compressed: then a count that seems not to have moved has not. */
const COMPRESSED = 4;

/**
 * An ACK of more segments than ACE can count: `marks` of them were marked, or eight more, and eight more. The most that can be is the
 * safe guess, unless the bytes of the option say otherwise (RFC 9768 §3.2.2.5.2, appendix A.2). Note: Linux judges the same.
 */
function marksOfMany(
  tcb: Tcb,
  accurate: AccurateEcn,
  marks: number,
  segments: number,
  bytes: number,
  known: boolean,
  ceBytes: number,
): number {
  const most = segments - ((segments - marks) & ACE_MASK);
  if (!known) return accurate.deliveredMean > COMPRESSED << MEAN_SHIFT ? marks : most;
  if (ceBytes === 0) return marks;
  if (segments >= 2 * (ACE_MASK + 1) && (tcb.sack.enabled || (!tcb.recovery.active && !tcb.recovery.loss))) {
    if (bytes <= ceBytes) return most;
    const likely = Math.ceil((ceBytes * segments) / bytes);
    return Math.min(most, marks + (likely & ~ACE_MASK));
  }
  if (ceBytes > marks * tcb.snd.mss) return most;
  return ceBytes < (most * tcb.snd.mss) >> 1 ? marks : most;
}

/** The option that a SYN or SYN-ACK of the peer carries: whether zeros in it show that something on the way wipes it (RFC 9768 §3.2.3.2.4). */
export function inspectOption(accurate: AccurateEcn, seg: Segment): void {
  if (seg.accEcnFields < 0 || accurate.optionSeen >= OPTION_COUNTER_SEEN) return;
  const [first, , third] = seg.accEcn;
  if (seg.accEcnFields === 0) accurate.optionSeen = OPTION_EMPTY_SEEN;
  else if (first === 0 || (seg.accEcnFields === 3 && third === 0)) {
    accurate.optionSeen = OPTION_FAIL_SEEN;
    accurate.failures |= OPTION_FAIL_RECEIVE;
  } else accurate.optionSeen = OPTION_COUNTER_SEEN;
}

/** So much sent without an option seen: the counters may have wrapped, one that comes now would mislead. */
const TOO_LATE_BYTES = 2 ** 23 - 1;

/** Takes the byte counters of an option; returns whether `deliveredBytes` can be relied on for this ACK (RFC 9768 §3.2.3). */
function takeOption(tcb: Tcb, accurate: AccurateEcn, seg: Segment, bytes: number): boolean {
  if ((accurate.failures & OPTION_FAIL_RECEIVE) !== 0) return false;
  const { deliveredBytes, expectedEcn } = accurate;
  if (seg.accEcnFields < 0) {
    if (accurate.optionSeen === OPTION_NOT_SEEN) {
      if (tcb.counters.bytesSent < TOO_LATE_BYTES) return false;
      accurate.optionSeen = OPTION_FAIL_SEEN;
      accurate.failures |= OPTION_FAIL_RECEIVE;
      return false;
    }
    if (expectedEcn === 0) return false;
    deliveredBytes[expectedEcn] = bytesOf(deliveredBytes, expectedEcn) + bytes;
    return true;
  }
  inspectOption(accurate, seg);
  let known = expectedEcn !== 0;
  let changed = false;
  let ambiguous = false;
  for (let i = 0; i < seg.accEcnFields; i++) {
    const ecn = i === 1 ? CE : (i === 0) === seg.accEcnFirstIsEct1 ? ECT_1 : ECT_0;
    const count = bytesOf(deliveredBytes, ecn);
    const told = (seg.accEcn[i] ?? 0) - (ecn === CE ? 0 : 1);
    // 24 bits with their sign: a counter that was guessed too high goes back.
    const delta = ((told - count) << 8) >> 8;
    if (delta === 0) continue;
    deliveredBytes[ecn] = count + delta;
    if (delta < 0) {
      known = false;
      ambiguous = true;
    }
    if (ecn === expectedEcn) continue;
    if (changed) {
      known = false;
      ambiguous = true;
    } else {
      accurate.expectedEcn = ecn;
      changed = true;
    }
  }
  if (ambiguous) accurate.expectedEcn = 0;
  return known;
}

/** Of counters by codepoint, one. */
export function bytesOf(counters: Uint32Array, ecn: number): number {
  return counters[ecn] ?? 0;
}

/** Whether flags are those of a segment that may reflect: ACK without FIN. */
export function isBareAck(flags: number, dataLength: number): boolean {
  return dataLength === 0 && (flags & (ACK | FIN)) === ACK;
}
