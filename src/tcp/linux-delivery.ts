/** What one ACK tells Linux's loss recovery: what was delivered, how long it took, and whether it came in another order. */
import { seqDiff, seqGt, seqLe, seqLt } from "../base/seq.js";
import { MILLISECOND, type Micros, SECOND } from "../base/time.js";
import type { Segment } from "../wire/segment.js";
import { timestampNow } from "./emit.js";
import type { LinuxControl } from "./linux-control.js";
import type { DeliveryWitness, SentSegment } from "./sent-list.js";
import type { Tcb } from "./tcb.js";

/** What one ACK has told; one object, for one ACK is handled at a time. */
class Told implements DeliveryWitness {
  tcb: Tcb | undefined;
  lx: LinuxControl | undefined;
  now: Micros = 0;
  tsEcr = 0;
  hasEcho = false;
  /** Segments are delivered by SACK now, not by SEG.ACK. */
  bySack = false;
  acked = 0;
  sacked = 0;
  /** When the first and the last segment that was sent once left: acknowledged, and SACKed; -1 for none. */
  firstAcked: Micros = -1;
  lastAcked: Micros = -1;
  firstSacked: Micros = -1;
  lastSacked: Micros = -1;
  /** The lowest number delivered after higher ones though it was sent once. */
  reordered = 0;
  isReordered = false;
  lowestAcked = 0;
  hasLowest = false;
  repetitionAcked = false;
  /** What had not been sent again when the state began was delivered (F-RTO). */
  originalDelivered = false;

  /** SND.WND as this segment has it, if it opens it. */
  window = 0;

  begin(tcb: Tcb, lx: LinuxControl, seg: Segment, now: Micros): void {
    this.window = Math.max(tcb.snd.wnd, seqLt(seg.seq, tcb.snd.wl1) ? 0 : seg.wnd << tcb.snd.windShift);
    this.tcb = tcb;
    this.lx = lx;
    this.now = now;
    this.hasEcho = tcb.ts.enabled && seg.hasTimestamps && seg.tsEcr !== 0;
    this.tsEcr = seg.tsEcr;
    this.bySack = true;
    this.acked = 0;
    this.sacked = 0;
    this.firstAcked = -1;
    this.lastAcked = -1;
    this.firstSacked = -1;
    this.lastSacked = -1;
    this.isReordered = false;
    this.hasLowest = false;
    this.repetitionAcked = false;
    this.originalDelivered = false;
  }

  /** What SEG.ACK covers, SACKed before or not. */
  passes({ sent, snd }: Tcb): void {
    for (let i = 0; i < sent.length; i++) {
      const segment = sent.at(i);
      if (segment === undefined || seqGt(segment.end, snd.una)) return;
      this.acked++;
      if (segment.retransmitted) this.repetitionAcked = true;
    }
  }

  delivered(segment: SentSegment): void {
    const { tcb, lx, now } = this;
    if (tcb === undefined || lx === undefined) return;
    tcb.pathMtu.delivered(segment.length);
    tcb.mtuSearch.delivered(segment);
    const once = !segment.retransmitted;
    if (once && seqLe(segment.end, lx.highSeq)) this.originalDelivered = true;
    if (this.bySack) this.#sackedNow(tcb, lx, segment, once);
    else this.#ackedNow(segment, once);
    tcb.rate.delivered(segment, now);
    if (!tcb.sack.enabled) return;
    lx.delivered++;
    const sentTs = (Math.floor(segment.sentAt / MILLISECOND) + tcb.ts.offset) >>> 0;
    tcb.rack.update(segment, !once && this.hasEcho && seqLt(this.tsEcr, sentTs), now);
  }

  #sackedNow(tcb: Tcb, lx: LinuxControl, segment: SentSegment, once: boolean): void {
    this.sacked++;
    const overtaken = tcb.sent.sackedSegments > 0 && seqLt(segment.seq, lx.highestSack);
    if (once) {
      // Blocks come in sequence order: the first one is the lowest.
      if (overtaken && !this.isReordered) {
        this.isReordered = true;
        this.reordered = segment.seq;
      }
      if (this.firstSacked < 0) this.firstSacked = segment.sentAt;
      this.lastSacked = segment.sentAt;
    }
    if (tcb.sent.sackedSegments === 0 || seqGt(segment.end, lx.highestSack)) lx.highestSack = segment.end;
  }

  #ackedNow(segment: SentSegment, once: boolean): void {
    if (!once) return;
    if (this.firstAcked < 0) this.firstAcked = segment.sentAt;
    this.lastAcked = segment.sentAt;
    if (this.hasLowest) return;
    this.hasLowest = true;
    this.lowestAcked = segment.seq;
  }
}

export const told = new Told();

/** In ms: INT_MAX µs (tcp_rtt_tsopt_us). */
const MOST_ELAPSED = 2_147_483;

/** The round-trip times of this ACK: the estimate's, and what congestion control is told; -1 for none (tcp_ack_update_rtt). */
export function measure(tcb: Tcb, lx: LinuxControl, now: Micros): Micros {
  let smoothed = -1;
  let latest = -1;
  if (told.firstAcked >= 0 && !told.repetitionAcked) {
    smoothed = now - told.firstAcked;
    latest = now - told.lastAcked;
  }
  if (told.firstSacked >= 0) {
    if (smoothed < 0) smoothed = now - told.firstSacked;
    latest = now - told.lastSacked;
  }
  tcb.rtt.latest = 0;
  if (smoothed < 0 && told.acked > 0 && told.hasEcho) {
    const elapsed = seqDiff(timestampNow(tcb, now), told.tsEcr);
    // A peer may echo nonsense: only what counts µs in 31 bits can be true.
    if (elapsed >= 0 && elapsed < MOST_ELAPSED) {
      smoothed = Math.max(1, elapsed) * MILLISECOND;
      latest = smoothed;
      tcb.rack.measured(latest, now);
    }
  }
  if (smoothed < 0) return latest;
  tcb.rtt.sample(Math.max(1, smoothed), Math.max(1, latest));
  lx.backoff = 0;
  return latest;
}

/** No measurement has come of a handshake whose SYN was repeated: better longer than too short (RFC 6298 §5.7). */
export function afterRepeatedSyn(tcb: Tcb): void {
  if (tcb.synRepeated && !tcb.rtt.hasSample && tcb.rtt.rto < 3 * SECOND) tcb.rtt.restart(3 * SECOND);
  tcb.synRepeated = false;
}

/** From now on what the peer echoes tells whether repetitions were needed (retrans_stamp). */
export function noteRepeated(tcb: Tcb, lx: LinuxControl, now: Micros): void {
  if (lx.repeatedAt >= 0) return;
  lx.repeatedAt = now;
  lx.repeatedTs = timestampNow(tcb, now);
}
