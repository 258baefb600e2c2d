/**
 * Sequence analysis: what each segment repeats, skips, acknowledges and offers, compared with all that was seen before it in
 * both directions. Memory is bounded: ranges of what was seen, not packets.
 */
import { RangeSet } from "../base/range-set.js";
import { seqAdd, seqDiff, seqGe, seqGt, seqLe, seqLt, seqMin } from "../base/seq.js";
import { formatDuration, MILLISECOND, type Micros } from "../base/time.js";
import type { Segment } from "../wire/segment.js";
import { ACK, FIN, RST, SYN } from "../wire/tcp-flags.js";
import type { CapturedSegment } from "./captured-segment.js";
import type { Incident, IncidentKind, RetransmissionCause } from "./incident.js";

/** Where incidents go. */
export type IncidentSink = (incident: Incident) => void;

/** Round-trip times in µs: from a segment to the acknowledgment that covers it, both at the place of the capture. */
export interface RttStatistics {
  samples: number;
  minUs: Micros;
  maxUs: Micros;
  sumUs: Micros;
}

/** What is known of one direction of a connection: the segments of one end. */
export class Way {
  readonly end: 0 | 1;
  segments = 0;
  /** Payload as sent, repeats included. */
  payloadBytes = 0;
  /** Payload that had been seen before, or was acknowledged before. */
  repeatedBytes = 0;
  /** Largest payload of one captured packet: more than the MSS where the device cuts or joins segments (GSO, GRO). */
  largestPayload = 0;
  firstDataAt: Micros = -1;
  lastDataAt: Micros = -1;
  readonly rtt: RttStatistics = { samples: 0, minUs: Number.POSITIVE_INFINITY, maxUs: 0, sumUs: 0 };
  /** The initial number, or the first seen where the opening was not captured: texts count from it. */
  base: number | null = null;
  /** Behind the highest sequence number seen. */
  next: number | null = null;
  /** Its SYN permitted SACK; null where no SYN was captured. */
  sack: boolean | null = null;
  /** Window scale offered in its SYN: -1 none, null where no SYN was captured. */
  shift: number | null = null;
  /** The peer's highest acknowledgment of what was not captured. */
  unseenAcked: number | null = null;
  lastAck: number | null = null;
  /** The window field of its last segment. */
  lastWindow = -1;
  /** Segments with a right checksum were seen: a wrong one is damage, not an offload of the device. */
  sawGoodChecksum = false;
  /** Retransmissions that were not needed. */
  spurious = 0;

  /** All before it was seen. */
  reach = 0;
  /** Ranges seen beyond `reach`. */
  readonly beyond = new RangeSet();
  nextAt: Micros = 0;
  lastAt: Micros = 0;
  lastAckAt: Micros = 0;
  duplicateAcks = 0;
  lastNewAckFrame = 0;
  lastKind: IncidentKind | "" = "";
  /** Timestamp value of the segment that reached `next`; -1 for none. */
  nextTsVal = -1;
  /** The peer's holes as it last told them: SACK blocks, D-SACK left out. */
  readonly sackStart = new Uint32Array(4);
  readonly sackEnd = new Uint32Array(4);
  sackCount = 0;
  /** The last time-out's recovery ends here. */
  rtoRecover: number | null = null;
  /** Sent and not yet acknowledged, in order of sending; ends in sequence space. */
  readonly outstanding: Sent[] = [];
  readonly recentRetransmissions: { incident: Incident; start: number; finish: number }[] = [];

  constructor(end: 0 | 1) {
    this.end = end;
  }

  /** Relative to the initial number, as the ladder prints it. */
  relative(seq: number): number {
    return this.base === null ? seq : seqAdd(seq, -this.base);
  }

  /** Payload bytes that are new: what the receiving user gets. */
  get goodBytes(): number {
    return this.payloadBytes - this.repeatedBytes;
  }
}

/** Looks at a segment of `own`; `peer` is the other direction. `handshakeRtt` in µs, -1 while unknown. */
export function analyse(captured: CapturedSegment, own: Way, peer: Way, handshakeRtt: Micros, sink: IncidentSink): void {
  const { tcp, t, frame } = captured;
  const { flags, seq, payloadLength } = tcp;
  const tell = (kind: IncidentKind, text: string, extra: Partial<Incident> = {}): Incident => {
    const incident = {
      ...{ frame, t, end: own.end, kind, text, cause: null, of: null, alreadyAcked: false, spurious: false },
      ...extra,
    };
    own.lastKind = kind;
    sink(incident);
    return incident;
  };
  own.segments++;
  own.payloadBytes += payloadLength;
  own.largestPayload = Math.max(own.largestPayload, payloadLength);
  if (payloadLength > 0) {
    if (own.firstDataAt < 0) own.firstDataAt = t;
    own.lastDataAt = t;
  }
  if (own.base === null) {
    own.base = seq;
    own.reach = seq;
  }
  const previousKind = peer.lastKind;
  own.lastKind = "";
  const plain = (flags & (SYN | FIN | RST)) === 0;
  if (tcp.ecn === 3) tell("congestion-mark", "a router marked it: congestion experienced");

  const isProbe = payloadLength === 1 && plain && seq === own.next && peer.lastWindow === 0;
  if (isProbe) tell("zero-window-probe", "probes the peer's zero window with one byte");
  else {
    if (tcp.wnd === 0 && plain) tell("zero-window", "has no room: the window is zero");
    if (own.next !== null && seqGt(seq, own.next) && (flags & RST) === 0)
      tell("gap", `${seqDiff(seq, own.next)} bytes before it were not captured, or come later`);
  }
  const isKeepAlive = !isProbe && plain && payloadLength <= 1 && own.next !== null && seq === seqAdd(own.next, -1);
  if (isKeepAlive) {
    if (peer.lastWindow === 0) tell("zero-window-probe", "probes the peer's zero window with an old number");
    else tell("keep-alive", "asks whether the peer is still there");
  }
  if (!isProbe && (flags & ACK) !== 0) acknowledge(captured, own, peer, previousKind, tell);
  noteSack(tcp, own, peer, tell);
  if (tcp.len > 0 && !isProbe && !isKeepAlive && (flags & RST) === 0) {
    if (own.next !== null && seqLt(seq, own.next)) repeat(captured, own, peer, handshakeRtt, tell);
    else if (peer.lastAck !== null && peer.lastWindow > 0 && payloadLength > 0 && plain) tellFull(tcp, own, peer, tell);
    advance(captured, own);
  } else if (isProbe || (isKeepAlive && payloadLength > 0)) own.repeatedBytes += payloadLength;
  else if ((flags & RST) === 0 && (own.next === null || seqGt(seq, own.next))) {
    // A bare ACK has the number that comes next: what lies before it was sent, and not captured.
    own.next = seq;
    own.nextAt = t;
    own.nextTsVal = tcp.hasTimestamps ? tcp.tsVal : -1;
  }
  own.lastAt = t;
  own.lastWindow = tcp.wnd;
  if ((flags & ACK) !== 0) {
    if (own.lastAck === null || tcp.ack !== own.lastAck) {
      own.duplicateAcks = 0;
      own.lastNewAckFrame = frame;
    }
    own.lastAck = tcp.ack;
    own.lastAckAt = t;
  }
}

/** One segment that waits for its acknowledgment. */
interface Sent {
  readonly end: number;
  readonly t: Micros;
  readonly frame: number;
  readonly ipId: number;
  isRepeated: boolean;
}

type Tell = (kind: IncidentKind, text: string, extra?: Partial<Incident>) => Incident;

/** Beyond these the oldest is forgotten: round trips and "repeats frame n" are then not known of it. */
const MAX_OUTSTANDING = 4096;
const MAX_RANGES = 512;
const MAX_RECENT = 64;
/** Linux's least RTO (RFC 6298 would have a second): silence as long as this speaks for the timer. */
const LEAST_RTO = 200 * MILLISECOND;
/** The worst delayed ACK (200 ms), and what a timer may be late. */
const PROBE_SLACK = 250 * MILLISECOND;
/** How late a reordered segment may be where no round trip is known. */
const REORDERING = 3 * MILLISECOND;

/** The scaled window that `way` last offered, in bytes; the field as it stands where the scale is not known. */
function windowOf(way: Way, peer: Way): number {
  const scaled = way.shift !== null && way.shift >= 0 && (peer.shift === null || peer.shift >= 0);
  return scaled ? way.lastWindow * 2 ** Math.min(way.shift ?? 0, 14) : way.lastWindow;
}

function tellFull(tcp: Segment, own: Way, peer: Way, tell: Tell): void {
  if (peer.shift === null || peer.lastAck === null) return;
  if (seqAdd(tcp.seq, tcp.payloadLength) === seqAdd(peer.lastAck, windowOf(peer, own)))
    tell("window-full", "fills the peer's window to its edge");
}

/** The acknowledgment of a segment: new, repeated, or of what was never captured; and what the window says. */
function acknowledge(captured: CapturedSegment, own: Way, peer: Way, previousKind: string, tell: Tell): void {
  const { tcp, t } = captured;
  const { ack, flags, seq, wnd, payloadLength } = tcp;
  if (peer.next === null) {
    // Of the peer's data nothing was captured yet: counting begins where this end has all.
    peer.base ??= (flags & SYN) !== 0 ? seqAdd(ack, -1) : ack;
    peer.next = ack;
    peer.reach = ack;
  } else if (seqGt(ack, peer.next) && (peer.unseenAcked === null || seqGt(ack, peer.unseenAcked))) {
    // A byte that probed a zero window is not counted until it is taken.
    if (previousKind === "zero-window-probe" && seqDiff(ack, peer.next) === 1) peer.next = ack;
    else {
      tell("unseen-acked", `acknowledges ${seqDiff(ack, peer.next)} bytes that were not captured`);
      peer.unseenAcked = ack;
    }
  }
  if (seqGt(ack, peer.reach)) {
    peer.reach = ack;
    absorb(peer);
  }
  takeRtt(own, peer, ack, t);
  const isBare = payloadLength === 0 && (flags & (SYN | FIN | RST)) === 0;
  if (!isBare || own.lastAck === null || seq !== own.next) return;
  if (ack !== own.lastAck) {
    if (previousKind === "zero-window-probe" && wnd === 0 && own.lastWindow === 0)
      tell("zero-window-probe-ack", "still has no room");
    return;
  }
  if (wnd !== own.lastWindow) {
    if (wnd !== 0) tell("window-update", own.lastWindow === 0 ? "has room again" : "offers another window");
    return;
  }
  if (previousKind === "zero-window-probe" && wnd === 0) tell("zero-window-probe-ack", "still has no room");
  else if (wnd === 0) return;
  else if (previousKind === "keep-alive") tell("keep-alive-ack", "is still there");
  else {
    own.duplicateAcks++;
    const of = { of: own.lastNewAckFrame };
    // RFC 5681 §2: a duplicate ACK is one only while data are outstanding.
    if (peer.next !== null && seqGt(peer.next, ack))
      tell("duplicate-ack", `duplicate ACK ${own.duplicateAcks}: still waits for ${peer.relative(ack)}`, of);
    else tell("repeated-ack", "repeats its acknowledgment, though nothing is outstanding", of);
  }
}

/** Takes what was acknowledged from the list, and the round-trip time of the last of it (Karn: not of what was sent twice). */
function takeRtt(own: Way, peer: Way, ack: number, t: Micros): void {
  const { outstanding, rtt } = peer;
  let last: Sent | undefined;
  let taken = 0;
  for (const sent of outstanding) {
    if (!seqLe(sent.end, ack)) break;
    last = sent;
    taken++;
  }
  if (taken > 0) outstanding.splice(0, taken);
  if (last === undefined || last.isRepeated || own.lastAck === ack) return;
  const us = Math.max(0, t - last.t);
  rtt.samples++;
  rtt.sumUs += us;
  rtt.minUs = Math.min(rtt.minUs, us);
  rtt.maxUs = Math.max(rtt.maxUs, us);
}

/** Keeps the SACK blocks; a first block that tells of what was received twice is a D-SACK (RFC 2883 §4). */
function noteSack(tcp: Segment, own: Way, peer: Way, tell: Tell): void {
  if ((tcp.flags & ACK) === 0) return;
  own.sackCount = 0;
  for (let i = 0; i < tcp.sackCount; i++) {
    const start = tcp.sack[2 * i] ?? 0;
    const finish = tcp.sack[2 * i + 1] ?? 0;
    if (i === 0 && isDuplicateSack(tcp, start, finish)) {
      const repeated = peer.recentRetransmissions.findLast((r) => seqLt(r.start, finish) && seqGt(r.finish, start));
      if (repeated !== undefined && !repeated.incident.spurious) {
        repeated.incident.spurious = true;
        peer.spurious++;
      }
      const which = repeated === undefined ? "" : `: frame ${repeated.incident.frame} was sent in vain`;
      tell("d-sack", `D-SACK ${peer.relative(start)}:${peer.relative(finish)}, it came twice${which}`, {
        of: repeated?.incident.frame ?? null,
      });
      continue;
    }
    own.sackStart[own.sackCount] = start;
    own.sackEnd[own.sackCount++] = finish;
  }
}

function isDuplicateSack(tcp: Segment, start: number, finish: number): boolean {
  if (seqLe(finish, tcp.ack)) return true;
  if (tcp.sackCount < 2) return false;
  return seqGe(start, tcp.sack[2] ?? 0) && seqLe(finish, tcp.sack[3] ?? 0);
}

/** A segment that begins before what was already seen: sent again, or overtaken on its way. */
function repeat(captured: CapturedSegment, own: Way, peer: Way, handshakeRtt: Micros, tell: Tell): void {
  const { tcp, t, ip } = captured;
  const finish = seqAdd(tcp.seq, tcp.len);
  const known = knownBytes(own, tcp.seq, finish);
  const isNew = known === 0;
  const original = own.outstanding.findLast((sent) => seqGt(sent.end, tcp.seq) && seqLe(sent.end, finish));
  if (isNew && isOvertaken(captured, own, peer, handshakeRtt)) {
    tell("out-of-order", `comes late: it stands before ${own.relative(own.next ?? 0)}, which was seen before`);
    return;
  }
  own.repeatedBytes += Math.min(known, tcp.payloadLength);
  const alreadyAcked = peer.lastAck !== null && seqLe(finish, peer.lastAck);
  const isCopy = original !== undefined && ip.version === 4 && ip.id !== 0 && original.ipId === ip.id;
  const cause = isCopy ? "duplicated" : causeOf(captured, own, peer, original);
  for (const sent of own.outstanding) if (seqGt(sent.end, tcp.seq) && seqLe(sent.end, finish)) sent.isRepeated = true;
  const incident = tell("retransmission", describe(cause, captured, own, original, alreadyAcked), {
    cause,
    of: original?.frame ?? null,
    alreadyAcked,
    spurious: alreadyAcked,
  });
  if (alreadyAcked) own.spurious++;
  if (cause === "rto") own.rtoRecover = own.next;
  own.recentRetransmissions.push({ incident, start: tcp.seq, finish });
  if (own.recentRetransmissions.length > MAX_RECENT) own.recentRetransmissions.shift();
  own.lastAt = t;
}

const CAUSE_TEXT: Readonly<Record<RetransmissionCause, string>> = {
  rto: "its timer ran out",
  fast: "the peer's ACKs tell of a loss",
  tlp: "a tail loss probe",
  duplicated: "the same packet twice, by the network or the capture",
  unclear: "",
};

function describe(
  cause: RetransmissionCause,
  { tcp, t }: CapturedSegment,
  own: Way,
  original: Sent | undefined,
  alreadyAcked: boolean,
): string {
  const what = original === undefined ? "sent again" : `repeats frame ${original.frame} after ${formatDuration(t - original.t)}`;
  const first = own.rtoRecover === null || seqGe(tcp.seq, own.rtoRecover);
  const why = cause === "rto" && !first ? "recovery after the time-out" : CAUSE_TEXT[cause];
  return [what, why, alreadyAcked ? "in vain: it had been acknowledged" : ""].filter((text) => text !== "").join("; ");
}

/** What made the sender repeat it; see RETRANSMISSION_CAUSES. */
function causeOf({ tcp, t }: CapturedSegment, own: Way, peer: Way, original: Sent | undefined): RetransmissionCause {
  if ((tcp.flags & SYN) !== 0) return "rto";
  const silence = t - Math.max(own.lastAt, peer.lastAckAt);
  const isHead = peer.lastAck === null || seqLe(tcp.seq, peer.lastAck);
  const isTail = seqAdd(tcp.seq, tcp.len) === own.next;
  let isHole = false;
  for (let i = 0; i < peer.sackCount; i++) if (seqGt(peer.sackEnd[i] ?? 0, tcp.seq)) isHole = true;
  const { samples, sumUs } = own.rtt;
  const rtt = samples > 0 ? sumUs / samples : 0;
  if (isTail && !isHole && own.sack !== false && peer.sack !== false && original !== undefined && !original.isRepeated) {
    // Where SACK is on, the timer's first act is a probe with the last segment; an RTO would begin at the first. With a single
    // segment in flight the probe waits for a delayed ACK as well (RFC 8985 §7.2).
    if (!isHead || (samples > 0 && silence >= rtt && silence < 2 * rtt + PROBE_SLACK)) return "tlp";
  }
  if (isHead && silence >= LEAST_RTO) return "rto";
  if (isHole || (peer.duplicateAcks >= 2 && peer.lastAck === tcp.seq)) return "fast";
  if (own.rtoRecover !== null && seqLt(tcp.seq, own.rtoRecover)) return "rto";
  return "unclear";
}

/**
 * Whether bytes that were never seen are late by reordering, and were not lost before the place of the capture. A timestamp
 * older than that of what overtook it says so, a newer one denies it; within one tick the time that has passed decides.
 */
function isOvertaken({ tcp, t }: CapturedSegment, own: Way, peer: Way, handshakeRtt: Micros): boolean {
  if ((tcp.flags & SYN) !== 0) return false;
  if (tcp.hasTimestamps && own.nextTsVal >= 0) {
    if (seqLt(tcp.tsVal, own.nextTsVal)) return true;
    if (seqGt(tcp.tsVal, own.nextTsVal)) return false;
  }
  const threshold = handshakeRtt >= 0 ? handshakeRtt : REORDERING;
  if (peer.duplicateAcks >= 3 && peer.lastAck === tcp.seq) return false;
  return t - own.nextAt < threshold;
}

/** How many sequence numbers of `[start, finish)` were seen before. */
function knownBytes(way: Way, start: number, finish: number): number {
  let known = seqLt(start, way.reach) ? seqDiff(seqMin(way.reach, finish), start) : 0;
  const { beyond } = way;
  for (let i = 0; i < beyond.size; i++) {
    const from = seqGt(beyond.start(i), start) ? beyond.start(i) : start;
    const to = seqMin(beyond.end(i), finish);
    if (seqLt(from, to)) known += seqDiff(to, from);
  }
  return known;
}

/** Takes the segment's sequence numbers into what was seen. */
function advance({ tcp, t, frame, ip }: CapturedSegment, own: Way): void {
  const finish = seqAdd(tcp.seq, tcp.len);
  if (seqLe(tcp.seq, own.reach)) {
    if (seqGt(finish, own.reach)) own.reach = finish;
  } else own.beyond.add(tcp.seq, finish);
  absorb(own);
  if (own.beyond.size > MAX_RANGES) {
    // Too many holes to remember: the oldest counts as seen.
    own.reach = own.beyond.end(0);
    absorb(own);
  }
  if (own.next !== null && !seqGt(finish, own.next)) return;
  own.next = finish;
  own.nextAt = t;
  own.nextTsVal = tcp.hasTimestamps ? tcp.tsVal : -1;
  own.outstanding.push({ end: finish, t, frame, ipId: ip.version === 4 ? ip.id : 0, isRepeated: false });
  if (own.outstanding.length > MAX_OUTSTANDING) own.outstanding.shift();
}

/** Joins ranges that `reach` has come to. */
function absorb(way: Way): void {
  const { beyond } = way;
  while (beyond.size > 0 && seqLe(beyond.start(0), way.reach)) {
    if (seqGt(beyond.end(0), way.reach)) way.reach = beyond.end(0);
    beyond.trimBefore(way.reach);
  }
}
