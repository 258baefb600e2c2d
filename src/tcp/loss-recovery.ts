/**
 * Loss recovery: what is lost, when recovery begins and ends, and what a spurious one is worth (RFC 6675, 8985, 6937, 6582,
 * 3522, 3708). Without SACK the three duplicate ACKs of NewReno, with it RACK-TLP. Congestion control is only told of it.
 */
import { seqAdd, seqDiff, seqGe, seqGt, seqLe, seqLt } from "../base/seq.js";
import { MILLISECOND, type Micros, NEVER, SECOND } from "../base/time.js";
import type { Segment } from "../wire/segment.js";
import { takeMarks } from "./accurate-ecn.js";
import type { AckSample } from "./congestion.js";
import { ecnAcknowledged, windowReduced } from "./ecn.js";
import { timestampNow } from "./emit.js";
import { linuxFlight } from "./linux-loss.js";
import { linuxAck, linuxReorderingTimeout, linuxRepeated, linuxTimeout } from "./linux-recovery.js";
import { settleMtuProbe } from "./mtu-probing.js";
import { doublings, startRetransmission } from "./output.js";
import { isDsack } from "./sack-blocks.js";
import { detectLossBySack } from "./sack-loss.js";
import type { DeliveryWitness, SentSegment } from "./sent-list.js";
import type { Tcb } from "./tcb.js";

/** What one ACK has delivered; one object, for one ACK is handled at a time. */
class Delivery implements DeliveryWitness {
  tcb: Tcb | undefined;
  now: Micros = 0;
  /** The echoed timestamp, and whether there is one. */
  tsEcr = 0;
  hasEcho = false;
  bytes = 0;
  segments = 0;
  /** Round-trip time of the earliest segment that was sent once, 0 when there is none (Karn). */
  rttUs: Micros = 0;
  /** A segment that had been sent again was delivered. */
  retransmitted = false;

  begin(tcb: Tcb, seg: Segment, now: Micros): void {
    this.tcb = tcb;
    this.now = now;
    this.hasEcho = tcb.ts.enabled && seg.hasTimestamps && seg.tsEcr !== 0;
    this.tsEcr = seg.tsEcr;
    this.bytes = 0;
    this.segments = 0;
    this.rttUs = 0;
    this.retransmitted = false;
  }

  delivered(segment: SentSegment): void {
    const { tcb, now } = this;
    if (tcb === undefined) return;
    this.bytes += segment.length;
    this.segments++;
    tcb.pathMtu.delivered(segment.length);
    tcb.mtuSearch.delivered(segment);
    let earlierCopy = false;
    if (segment.retransmitted) {
      this.retransmitted = true;
      // The echo is older than the repetition: it is the first copy that arrived (RFC 8985 §6.2 step 2).
      const sentTs = (Math.floor(segment.sentAt / MILLISECOND) + tcb.ts.offset) >>> 0;
      earlierCopy = this.hasEcho && seqLt(this.tsEcr, sentTs);
    } else {
      this.rttUs = Math.max(this.rttUs, 1, now - segment.sentAt);
    }
    tcb.rate.delivered(segment, now);
    if (!tcb.sack.enabled) return;
    if (!segment.retransmitted && seqLt(segment.end, tcb.rack.fack)) tcb.counters.reorderings++;
    tcb.rack.update(segment, earlierCopy, now);
  }
}

const delivery = new Delivery();

/** Filled anew for every ACK: congestion control copies what it keeps. */
const sample: AckSample = { now: 0, ackedBytes: 0, flightSize: 0, limited: false, rttUs: 0, srttUs: 0, una: 0, nxt: 0 };

/**
 * Takes SEG.ACK and the SACK blocks into the list of what was sent, after SND.UNA has moved (or not): detects losses, begins
 * or ends recovery and tells congestion control. `duplicate`: the ACK is a duplicate by RFC 5681 §2.
 */
export function ackForRecovery(tcb: Tcb, seg: Segment, previousUna: number, duplicate: boolean, now: Micros): void {
  if (tcb.linuxSender !== undefined) {
    linuxAck(tcb, tcb.linuxSender, seg, previousUna, now);
    return;
  }
  const { recovery, snd, sent, congestion } = tcb;
  const flightBefore = seqDiff(snd.max, previousUna);
  const advanced = snd.una !== previousUna;
  const edgeRepeated = sent.first?.retransmitted === true;
  delivery.begin(tcb, seg, now);
  if (advanced) {
    // Not `+=`, which would read the sum before the call adds to it.
    const cut = sent.acknowledge(snd.una, delivery);
    delivery.bytes += cut;
  }
  // Kept close behind SND.UNA, or after 2 GiB it would seem to lie ahead.
  if (!recovery.active && !recovery.loss && seqGt(snd.una, recovery.recover)) recovery.recover = seqAdd(snd.una, -1);
  const dsack = tcb.sack.enabled && seg.sackCount > 0 ? takeSack(tcb, seg, delivery) : false;
  const { accurate } = tcb.ecn;
  if (accurate !== undefined) {
    if (advanced) accurate.isFresh = true;
    takeMarks(tcb, accurate, seg, delivery.segments, delivery.bytes);
  }
  measure(tcb, seg, advanced, dsack, now);
  if (advanced && edgeRepeated) detectSpurious(tcb);
  if (dsack) {
    tcb.counters.dsacksIn++;
    countDsack(tcb);
  }
  tcb.rate.acknowledged(tcb.rtt.min, now);
  const lostBefore = sent.lostBytes;
  if (tcb.sack.enabled) detectByRack(tcb, dsack, delivery.segments > 0, now);
  // A probe of the path MTU that is lost is no loss to recovery (RFC 4821 §7.6).
  const probeLoss = tcb.mtuSearch.probeBytes > 0 ? settleMtuProbe(tcb, sent.lostBytes - lostBefore, now) : 0;
  let lossBefore = lostBefore + probeLoss;
  tlpAck(tcb, seg, previousUna, dsack, sent.lostBytes > lossBefore, now);
  if (sent.sackedSegments > 0) tcb.timers.tlp = NEVER;
  if (advanced && (recovery.active || recovery.loss) && seqGe(snd.una, recovery.recover)) {
    const fast = recovery.active;
    endRecovery(tcb, now);
    // What is lost now left after that recovery began: it is a loss of its own.
    if (sent.lostBytes > lossBefore) enterRecovery(tcb, previousUna, delivery.bytes, now);
    // The window that this leaves is all that this ACK gives.
    if (fast || recovery.active) return;
  }
  if (recovery.active) {
    if (tcb.sack.enabled) {
      if (delivery.bytes > 0) {
        const safe = advanced && sent.lostBytes <= lossBefore;
        recovery.prr.update(delivery.bytes, sent.inFlightBytes, congestion.ssthresh, snd.mss, safe);
      }
    } else if (advanced) {
      congestion.onPartialAck(seqDiff(snd.una, previousUna));
      tcb.sent.markLost(tcb.sent.first);
    } else if (duplicate) {
      congestion.onDuplicateAck();
    }
    return;
  }
  if (!tcb.sack.enabled) {
    if (advanced) recovery.dupAcks = 0;
    else if (duplicate) lossBefore += duplicateAck(tcb, now);
  }
  if (sent.lostBytes > lossBefore && !recovery.loss && !recovery.active) enterRecovery(tcb, previousUna, delivery.bytes, now);
  if (tcb.ecn.enabled && !ecnAcknowledged(tcb, seg, delivery.segments, previousUna, now)) return;
  if (recovery.active || delivery.bytes === 0) return;
  sample.now = now;
  sample.ackedBytes = countedBytes(tcb, delivery.bytes, previousUna);
  if (sample.ackedBytes === 0) return;
  sample.flightSize = flightBefore;
  // The congestion window was the limit if less than a segment of it was unused (RFC 7661 §4.1 in spirit), now or when what
  // this ACK acknowledges was sent: of a batch of ACKs only the first finds the window still full.
  sample.limited = recovery.loss || flightBefore + snd.mss >= congestion.cwnd || seqGt(recovery.limitedUntil, previousUna);
  if (!sample.limited) recovery.limitedUntil = snd.una;
  if (!tcb.config.validatesWindow) sample.limited = congestion.cwnd <= snd.wnd;
  sample.rttUs = tcb.rtt.latest;
  sample.srttUs = tcb.rtt.srtt;
  sample.una = snd.una;
  sample.nxt = snd.max;
  congestion.onAck(sample);
}

/** What of an ACK counts for the congestion window. Where bytes are counted (RFC 3465 §2.2), SACKed ones are not. */
function countedBytes({ config, congestion, snd }: Tcb, delivered: number, previousUna: number): number {
  if (config.slowStartSegments === NEVER) return delivered;
  const bytes = seqDiff(snd.una, previousUna);
  return congestion.cwnd < congestion.ssthresh ? Math.min(bytes, config.slowStartSegments * snd.mss) : bytes;
}

/** How much may be in flight now. */
export function congestionWindow(tcb: Tcb): number {
  if (tcb.linuxSender !== undefined) return tcb.linuxSender.cwnd;
  return tcb.recovery.active && tcb.sack.enabled ? tcb.recovery.prr.cwnd : tcb.congestion.cwnd;
}

/** What is in flight, as far as it can be known: the pipe with SACK or after a time-out, else all that is outstanding. */
export function flight(tcb: Tcb): number {
  if (tcb.linuxSender !== undefined) return linuxFlight(tcb, tcb.linuxSender) * tcb.linuxSender.mss;
  const { recovery, snd } = tcb;
  if (tcb.sack.enabled || recovery.loss) return tcb.sent.inFlightBytes;
  // Limited transmit (RFC 3042 §2): each of the first two duplicate ACKs tells that a segment has left the network.
  const left = recovery.active ? 0 : Math.min(recovery.dupAcks, LIMITED_TRANSMIT) * snd.mss;
  return seqDiff(snd.nxt, snd.una) - left;
}

/** Segments that may be sent beyond the congestion window before recovery begins (RFC 3042 §2). */
const LIMITED_TRANSMIT = 2;

/** RACK's reordering timer (RFC 8985 §6.2): segments in doubt are lost by now. */
export function rackTimeout(tcb: Tcb, now: Micros): void {
  if (tcb.linuxSender !== undefined) {
    linuxReorderingTimeout(tcb, tcb.linuxSender, now);
    return;
  }
  tcb.timers.rack = NEVER;
  const before = tcb.sent.lostBytes;
  startRackTimer(tcb, tcb.rack.detectLoss(tcb.sent, now), now);
  const lost = tcb.sent.lostBytes - before;
  if (lost === 0 || (tcb.mtuSearch.probeBytes > 0 && settleMtuProbe(tcb, lost, now) === lost)) return;
  if (!tcb.recovery.active && !tcb.recovery.loss) enterRecovery(tcb, tcb.snd.una, 0, now);
  else if (tcb.recovery.active) tcb.recovery.prr.update(0, tcb.sent.inFlightBytes, tcb.congestion.ssthresh, tcb.snd.mss, false);
}

/** The retransmission timer expired: everything is in doubt (RFC 5681 §3.1, RFC 8985 §6.3, RFC 6582 §4). */
export function lossByTimeout(tcb: Tcb, first: boolean, now: Micros): void {
  if (tcb.linuxSender !== undefined) {
    linuxTimeout(tcb, tcb.linuxSender, now);
    return;
  }
  const { recovery, sent, snd, congestion } = tcb;
  if (first && !recovery.loss) rememberForUndo(tcb, now);
  congestion.onTimeout(seqDiff(snd.max, snd.una), first, now);
  windowReduced(tcb);
  recovery.active = false;
  recovery.loss = true;
  recovery.dupAcks = 0;
  recovery.recover = snd.max;
  recovery.tlpActive = false;
  tcb.timers.rack = NEVER;
  tcb.timers.tlp = NEVER;
  // RFC 2018 §8: a receiver that has SACKed what stands at SND.UNA has taken it back.
  if (sent.first?.sacked) sent.forgetSacks();
  if (tcb.sack.enabled && tcb.config.rack && tcb.rack.xmitTs >= 0) tcb.rack.markLossesOnTimeout(sent, snd.una, now);
  else for (let i = 0; i < sent.length; i++) sent.markLost(sent.at(i));
  sent.markLost(sent.first);
}

/** The peer closed its window over data that was on its way, and has dropped it: to be sent again, at no one's blame. */
export function lossByShrinking(tcb: Tcb): void {
  tcb.timers.rack = NEVER;
  tcb.timers.tlp = NEVER;
  for (let i = 0; i < tcb.sent.length; i++) tcb.sent.markLost(tcb.sent.at(i));
}

/** Takes the SACK blocks; returns whether one of them is a D-SACK, which then stands in `recovery`. */
export function takeSack(tcb: Tcb, seg: Segment, witness: DeliveryWitness): boolean {
  const { snd, sent, recovery } = tcb;
  const blocks = seg.sack;
  let dsack = false;
  let left = 0;
  for (let i = 0; i < seg.sackCount; i++) {
    const start = edge(blocks, 2 * i);
    const end = edge(blocks, 2 * i + 1);
    if (i === 0 && isDsack(start, end, snd.una, edge(blocks, 2), edge(blocks, 3), seg.sackCount > 1)) {
      // A block from before anything that can still be on its way is a forgery.
      dsack = seqGt(end, start) && seqLe(end, snd.max) && seqDiff(snd.una, start) <= Math.max(snd.maxWnd, 0xffff);
      recovery.dsackStart = start;
      recovery.dsackEnd = end;
      continue;
    }
    // A block outside of what is outstanding is nonsense, and dropped (RFC 2018 §4).
    if (seqLt(start, end) && seqGe(start, snd.una) && seqLe(end, snd.max)) left |= 1 << i;
  }
  // In sequence order: when an ACK with news of the lower block was lost, the higher one first would look like reordering.
  while (left !== 0) {
    let lowest = -1;
    for (let i = 0; i < seg.sackCount; i++) {
      if ((left & (1 << i)) === 0) continue;
      if (lowest < 0 || seqLt(edge(blocks, 2 * i), edge(blocks, 2 * lowest))) lowest = i;
    }
    sent.sack(edge(blocks, 2 * lowest), edge(blocks, 2 * lowest + 1), witness);
    left &= ~(1 << lowest);
  }
  return dsack;
}

/** An edge of a block: left and right in turn. */
function edge(blocks: Uint32Array, n: number): number {
  return blocks[n] ?? 0;
}

/** The round-trip time of this ACK (RFC 6298 §3, RFC 7323 §4.1). */
function measure(tcb: Tcb, seg: Segment, advanced: boolean, dsack: boolean, now: Micros): void {
  tcb.rtt.latest = 0;
  if (delivery.rttUs > 0 && !(delivery.retransmitted && advanced)) {
    tcb.rtt.sample(delivery.rttUs);
  } else if (advanced && !dsack && delivery.hasEcho && (delivery.segments > 0 || tcb.synRepeated)) {
    // An ACK that a duplicate brought about (D-SACK) echoes what came long before, and would measure our own time-out.
    const elapsed = seqDiff(timestampNow(tcb, now), seg.tsEcr);
    // A peer may echo nonsense: only the last few minutes can be true.
    const plausible = elapsed >= 0 && elapsed < 300_000;
    if (plausible && !spansTimeout(tcb, elapsed * MILLISECOND, now)) tcb.rtt.sample(Math.max(1, elapsed) * MILLISECOND);
  }
  if (tcb.synRepeated && advanced) {
    tcb.synRepeated = false;
    // RFC 6298 §5.7.
    if (!tcb.rtt.hasSample && tcb.rtt.rto < 3 * SECOND) tcb.rtt.restart(3 * SECOND);
  }
}

/**
 * The ACK of a repetition was lost, and a later duplicate is answered with the old echo: the sample would hold the back-off
 * itself and make the next one longer still. An echo from before the first time-out is true: the path has become slower.
 */
function spansTimeout(tcb: Tcb, elapsedUs: Micros, now: Micros): boolean {
  if (tcb.backoffs === 0) return false;
  return elapsedUs > now - tcb.lastTimeoutAt + 2 * MILLISECOND && elapsedUs <= now - tcb.firstTimeoutAt + MILLISECOND;
}

function detectByRack(tcb: Tcb, dsack: boolean, delivered: boolean, now: Micros): void {
  const { rack, sent, recovery, snd } = tcb;
  if (!delivered && !dsack) return;
  if (!tcb.config.rack) {
    detectLossBySack(sent, snd.mss);
    return;
  }
  rack.updateWindow(dsack, snd.una, snd.max, recovery.active || recovery.loss, sent.sackedSegments, tcb.rtt.srtt);
  startRackTimer(tcb, rack.detectLoss(sent, now), now);
}

function startRackTimer(tcb: Tcb, wait: Micros, now: Micros): void {
  tcb.timers.rack = wait === NEVER ? NEVER : now + wait;
}

/**
 * Three duplicates mean a loss (RFC 5681 §3.2), unless they are about data from before the last recovery (RFC 6582 §3.2). Returns
 * the bytes lost that are no sign of congestion.
 */
function duplicateAck(tcb: Tcb, now: Micros): number {
  const { recovery, snd } = tcb;
  recovery.dupAcks++;
  if (recovery.loss || recovery.dupAcks !== 3 || seqLe(snd.una, recovery.recover)) return 0;
  tcb.sent.markLost(tcb.sent.first);
  const { lostBytes } = tcb.sent;
  if (tcb.mtuSearch.probeBytes > 0 && settleMtuProbe(tcb, lostBytes, now) === lostBytes) return lostBytes;
  enterRecovery(tcb, snd.una, 0, now);
  return 0;
}

/** `delivered`: bytes that the ACK delivered which told of the loss; `previousUna`: SND.UNA before that ACK. */
function enterRecovery(tcb: Tcb, previousUna: number, delivered: number, now: Micros): void {
  const { recovery, snd, sent, congestion } = tcb;
  rememberForUndo(tcb, now);
  const flightSize = flightAtLoss(tcb, seqDiff(snd.max, snd.una), previousUna);
  // Before this ACK: what it delivered counts as delivered in recovery (RFC 6937bis, RecoverFS). What ACKs of the same batch
  // delivered before it has not been answered by sending yet, and is not lost to recovery either.
  const before = sent.inFlightBytes + sent.lostBytes + delivered;
  const unanswered = windowWasFull(tcb, previousUna) ? Math.max(0, congestion.cwnd - before) : 0;
  recovery.prr.begin(before, snd.mss, unanswered);
  congestion.onEnterRecovery(flightSize, now);
  windowReduced(tcb);
  recovery.active = true;
  recovery.partialSeen = false;
  recovery.recover = snd.max;
  tcb.timers.tlp = NEVER;
  recovery.tlpActive = false;
  recovery.prr.update(delivered, sent.inFlightBytes, congestion.ssthresh, snd.mss, false);
  tcb.counters.fastRetransmits++;
}

/**
 * FlightSize for a reduction (RFC 5681 §3.1, §3.2 step 2), without what limited transmit sent beyond the window. ACKs come in
 * batches, and of a batch the last finds little outstanding: if the window was full when the data that is acknowledged now
 * left, it was the flight. Note: Linux takes the window in any case.
 */
export function flightAtLoss(tcb: Tcb, outstanding: number, previousUna: number): number {
  const { snd, congestion } = tcb;
  const flightSize = Math.max(Math.min(outstanding, congestion.cwnd), outstanding - LIMITED_TRANSMIT * snd.mss);
  return windowWasFull(tcb, previousUna) ? Math.max(flightSize, congestion.cwnd) : flightSize;
}

/** Of what was outstanding from `previousUna` on, some left when the congestion window was full. */
function windowWasFull(tcb: Tcb, previousUna: number): boolean {
  return seqGt(tcb.recovery.limitedUntil, previousUna);
}

/** The flight that a window after recovery starts from: PRR has shaped it already, so ssthresh holds (RFC 6937bis). */
function flightAfter(tcb: Tcb): number {
  return tcb.sack.enabled ? tcb.congestion.ssthresh : flight(tcb);
}

function endRecovery(tcb: Tcb, now: Micros): void {
  const { recovery } = tcb;
  // All of it came without being sent again: it was late, not lost, and there was nothing to answer. Note: Linux does the same.
  if (recovery.undoPossible && recovery.undoRetransmits === 0) undo(tcb);
  if (recovery.active) tcb.congestion.onExitRecovery(flightAfter(tcb), now);
  if (tcb.sack.enabled) tcb.rack.recoveryEnded();
  recovery.active = false;
  recovery.loss = false;
  recovery.dupAcks = 0;
}

// Spurious recovery

function rememberForUndo(tcb: Tcb, now: Micros): void {
  const { recovery } = tcb;
  recovery.undoPossible = true;
  recovery.undoRetransmits = 0;
  recovery.repeated.clear();
  recovery.undoTs = timestampNow(tcb, now);
}

/**
 * Eifel (RFC 3522): the ACK of a repetition echoes a timestamp from before it, so the first copy was not lost. The echo is that
 * of the segment at the left edge (RFC 7323 §4.3), so only if this one was repeated it tells anything.
 */
function detectSpurious(tcb: Tcb): void {
  const { recovery } = tcb;
  if (!recovery.undoPossible || !(recovery.active || recovery.loss)) return;
  if (!delivery.retransmitted) return;
  if (delivery.hasEcho && seqLt(delivery.tsEcr, recovery.undoTs)) undo(tcb);
}

/** A segment leaves again: D-SACK may tell later that it was needless. */
export function noteRepetition(tcb: Tcb, segment: SentSegment, now: Micros): void {
  if (tcb.linuxSender !== undefined) {
    linuxRepeated(tcb, tcb.linuxSender, now);
    return;
  }
  const { recovery } = tcb;
  if (!recovery.undoPossible || !(recovery.active || recovery.loss)) return;
  recovery.undoRetransmits++;
  recovery.repeated.add(segment.seq, segment.end);
  // So many losses are no mistake, and the walks stay short.
  if (recovery.repeated.size > MOST_REPEATED) recovery.undoRetransmits = Number.POSITIVE_INFINITY;
}

const MOST_REPEATED = 64;

/** D-SACK (RFC 3708): every repetition of this recovery has turned out to be a duplicate. */
function countDsack(tcb: Tcb): void {
  const { recovery } = tcb;
  if (!recovery.undoPossible || recovery.undoRetransmits === 0) return;
  // The network duplicates too: only what was repeated in this recovery counts (RFC 3708 §3).
  if (!recovery.repeated.covers(recovery.dsackStart, recovery.dsackEnd)) return;
  if (--recovery.undoRetransmits === 0) undo(tcb);
}

function undo(tcb: Tcb): void {
  const { recovery } = tcb;
  recovery.undoPossible = false;
  tcb.congestion.onUndo();
  tcb.sent.unmarkAllLost();
  tcb.counters.undos++;
  recovery.active = false;
  recovery.loss = false;
  recovery.dupAcks = 0;
  tcb.backoffs = 0;
}

// Tail loss probe (RFC 8985 §7)

/** Worst case of a peer's delayed ACK when a single segment is in flight (RFC 8985 §7.2, TLP.max_ack_delay; Linux: 200 ms). */
const MAX_ACK_DELAY: Micros = 200 * MILLISECOND;

/** A timer must not come before its time (TCP_TIMEOUT_MIN_US). */
const LINUX_MARGIN: Micros = 2 * MILLISECOND;

/** Starts the probe timer after new data or an ACK, if a probe would be of use. */
export function startTlp(tcb: Tcb, now: Micros, isNewData = false): void {
  const { recovery, sent, timers } = tcb;
  timers.tlp = NEVER;
  // Not before the handshake is done: until then the SYN-ACK is what is repeated.
  const { first } = sent;
  if (!tcb.sack.enabled || !tcb.config.tailLossProbe || first === undefined || !tcb.synAcked) return;
  if (tcb.linuxSender !== undefined) {
    if (tcb.linuxSender.state !== "open" && tcb.linuxSender.state !== "cwr") return;
    // Linux has one timer for all of them, and what is set last is what runs: after an ACK RACK's, after new data this one.
    if (!isNewData && tcb.linuxSender.waitsForOrder) return;
    timers.rack = NEVER;
    let wait = tcb.rtt.hasSample ? 2 * tcb.rtt.srtt : 1000 * MILLISECOND;
    if (tcb.rtt.hasSample) wait += sent.length === 1 ? tcb.config.rtoMinUs : LINUX_MARGIN;
    if (!isNewData) {
      timers.tlp = Math.min(now + wait, timers.retransmission);
      return;
    }
    // New data does not put off the time-out of what is before it, unless that is overdue.
    const due = rtoOfHead(tcb, first);
    timers.tlp = due > now ? Math.min(now + wait, due) : now + wait;
    timers.retransmission = Math.max(timers.retransmission, timers.tlp);
    return;
  }
  if (recovery.active || recovery.loss || recovery.tlpActive) return;
  if (sent.sackedSegments > 0 || sent.lostSegments > 0 || tcb.snd.wnd === 0) return;
  // TLP_calc_PTO.
  let pto = tcb.rtt.hasSample ? 2 * tcb.rtt.srtt : 1000 * MILLISECOND;
  if (sent.length === 1) pto += MAX_ACK_DELAY;
  // Never after the retransmission timer: then the probe goes in its place, and a lost tail costs no whole window.
  timers.tlp = Math.min(now + Math.max(pto, 2 * MILLISECOND), timers.retransmission);
}

/** The retransmission timer starts anew with the probe (RFC 8985 §7.3). */
export function tlpTimeout(tcb: Tcb, now: Micros): void {
  tcb.timers.tlp = NEVER;
  const { first } = tcb.sent;
  if (tcb.linuxSender !== undefined && tcb.recovery.tlpActive && first !== undefined) {
    // One probe is enough: now the time-out.
    tcb.timers.retransmission = Math.max(now + 1, rtoOfHead(tcb, first));
    return;
  }
  tcb.pending.tlp = true;
  startRetransmission(tcb, now);
}

/** When what left first would time out (tcp_rto_delta_us). */
export function rtoOfHead(tcb: Tcb, first: SentSegment): Micros {
  return first.sentAt + tcb.rtt.backedOff(doublings(tcb));
}

/** Whether a probe that is due is of use still: ACKs may have come since. */
export function tlpDue(tcb: Tcb): boolean {
  const { recovery, sent, snd } = tcb;
  if (tcb.linuxSender !== undefined) return !recovery.tlpActive && sent.length > 0;
  if (recovery.tlpActive || recovery.active || recovery.loss) return false;
  return sent.length > 0 && sent.sackedSegments === 0 && sent.lostSegments === 0 && snd.wnd > 0;
}

/** TLP_process_ack (RFC 8985 §7.4). `loss`: the same ACK tells of another loss, for which recovery begins: one reduction is for both. */
function tlpAck(tcb: Tcb, seg: Segment, previousUna: number, dsack: boolean, loss: boolean, now: Micros): void {
  const { recovery, snd } = tcb;
  if (!recovery.tlpActive || seqLt(snd.una, recovery.tlpEndSeq)) return;
  if (!recovery.tlpRetransmitted || (dsack && recovery.dsackEnd === recovery.tlpEndSeq)) {
    recovery.tlpActive = false;
  } else if (seqGt(snd.una, recovery.tlpEndSeq)) {
    // The probe repaired a loss: congestion control must hear of it.
    recovery.tlpActive = false;
    if (!recovery.active && !recovery.loss && !loss) {
      // There is nothing that could prove this needless.
      recovery.undoPossible = false;
      // What was outstanding before this ACK, of which it may leave nothing.
      tcb.congestion.onEnterRecovery(flightAtLoss(tcb, seqDiff(snd.max, previousUna), previousUna), now);
      tcb.congestion.onExitRecovery(flightAfter(tcb), now);
    }
  } else if (seg.sackCount === 0 && seg.len === 0 && delivery.bytes === 0) {
    // A second ACK of the probe without D-SACK: both copies may have arrived.
    recovery.tlpActive = false;
  }
}
