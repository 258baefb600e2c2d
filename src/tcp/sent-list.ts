/**
 * What has been sent and not acknowledged: a record a segment, in sequence order for SACK and repetition, and those that may
 * still arrive also in the order of their transmission, so that time-based loss detection looks at the oldest and stops early
 * (RFC 8985 §6.2 step 5). Records are used again: a segment in flight costs no allocation once a connection is warm.
 *
 *   sequence order      ▓ sacked  ▒ lost  ░ in flight
 *   SND.UNA ─► [░░░][▓▓▓][▒▒▒][▓▓▓][░░░][░░░] ◄─ SND.NXT
 */
import { seqAdd, seqDiff, seqGt, seqLe, seqLt } from "../base/seq.js";
import type { Micros } from "../base/time.js";

export class SentSegment {
  seq = 0;
  /** One past the last sequence number; FIN counts. */
  end = 0;
  /** When it last left. */
  sentAt: Micros = 0;
  /** Its place among all transmissions: exact where several leave in the same µs. */
  order = 0;
  /** For Linux's sender: PSH is its own, and where the batch ends that it left in. */
  push = false;
  batchEnd = 0;
  /** A record of the user ends with it: nothing is joined to it. */
  endsRecord = false;
  /** It is out again, and not as a probe. */
  repeated = false;
  /** It is out again though its first copy was not lost: both are on their way. */
  isTwice = false;
  /** How often it was sent; more than 1 means that its round-trip time is ambiguous (Karn). */
  transmissions = 0;
  sacked = false;
  /** While SACKed: all from here up to this number is SACKed, so that a walk may go on there. */
  sackedTo = 0;
  /** Taken for lost and not sent again since: not in flight. */
  lost = false;
  /** For the delivery rate: what was delivered when it left, see `delivery-rate.ts`. */
  deliveredBefore = 0;
  deliveredAt: Micros = 0;
  firstSentAt: Micros = 0;
  appLimited = false;
  /** Neighbours in the order of transmission, while in flight. */
  older: SentSegment | undefined;
  newer: SentSegment | undefined;

  get length(): number {
    return seqDiff(this.end, this.seq);
  }

  get retransmitted(): boolean {
    return this.transmissions > 1;
  }

  get inFlight(): boolean {
    return !this.sacked && !this.lost;
  }
}

/** Told of every segment that is delivered: acknowledged or SACKed for the first time. */
export interface DeliveryWitness {
  delivered(segment: SentSegment): void;
}

export class SentList {
  /** A ring in sequence order. */
  #ring: (SentSegment | undefined)[] = new Array<SentSegment | undefined>(16);
  #mask = 15;
  #head = 0;
  #count = 0;
  /** Ends of the list in transmission order. */
  #oldest: SentSegment | undefined;
  #newest: SentSegment | undefined;
  readonly #spare: SentSegment[] = [];
  /** Transmissions so far. */
  #order = 0;
  /** While something is lost: nothing before this number is. */
  #lostFrom = 0;
  /** Pipe (RFC 6675 §4): bytes that are neither SACKed nor lost. */
  inFlightBytes = 0;
  sackedBytes = 0;
  lostBytes = 0;
  sackedSegments = 0;
  lostSegments = 0;
  /** Segments in flight that were sent again, probes not counted. */
  repeatedSegments = 0;
  /** Segments in flight both copies of which are. */
  twiceSegments = 0;
  /** Segments in flight that are not the first copy. */
  retransmittedSegments = 0;

  get length(): number {
    return this.#count;
  }

  /** The i-th segment from SND.UNA. */
  at(i: number): SentSegment | undefined {
    return i < this.#count ? this.#ring[(this.#head + i) & this.#mask] : undefined;
  }

  /** Its place in sequence order; it must be in the list. */
  indexOf(segment: SentSegment): number {
    return this.#indexOf(segment.seq);
  }

  /** The segment that begins with `seq`. */
  find(seq: number): SentSegment | undefined {
    const segment = this.at(this.#indexOf(seq));
    return segment?.seq === seq ? segment : undefined;
  }

  get first(): SentSegment | undefined {
    return this.at(0);
  }

  get last(): SentSegment | undefined {
    return this.at(this.#count - 1);
  }

  /** The segment in flight that left first. */
  get oldest(): SentSegment | undefined {
    return this.#oldest;
  }

  /** A new segment has left. */
  push(seq: number, end: number, now: Micros): SentSegment {
    if (this.#count === this.#ring.length) this.#grow();
    const segment = this.#spare.pop() ?? new SentSegment();
    segment.seq = seq;
    segment.end = end;
    segment.sentAt = now;
    segment.order = ++this.#order;
    segment.transmissions = 1;
    segment.repeated = false;
    segment.isTwice = false;
    segment.sacked = false;
    segment.lost = false;
    this.#ring[(this.#head + this.#count++) & this.#mask] = segment;
    this.inFlightBytes += segment.length;
    this.#append(segment);
    return segment;
  }

  /** A segment has left once more. One that was delivered is not in flight, whatever leaves. */
  resend(segment: SentSegment, now: Micros, isProbe = false): void {
    if (segment.sacked) return;
    if (!isProbe && !segment.repeated) {
      segment.repeated = true;
      this.repeatedSegments++;
    }
    if (segment.lost) {
      segment.lost = false;
      this.lostBytes -= segment.length;
      this.lostSegments--;
      this.inFlightBytes += segment.length;
    } else {
      this.#unlink(segment);
      if (segment.retransmitted) this.retransmittedSegments--;
    }
    segment.transmissions++;
    segment.sentAt = now;
    segment.order = ++this.#order;
    this.retransmittedSegments++;
    this.#append(segment);
  }

  /** Takes a segment for lost, if there is one in flight: it leaves the pipe and waits to be sent again. */
  markLost(segment: SentSegment | undefined): void {
    if (!segment?.inFlight) return;
    this.#unlink(segment);
    this.#notRepeated(segment);
    segment.lost = true;
    if (this.lostSegments === 0 || seqLt(segment.seq, this.#lostFrom)) this.#lostFrom = segment.seq;
    if (segment.retransmitted) this.retransmittedSegments--;
    this.inFlightBytes -= segment.length;
    this.lostBytes += segment.length;
    this.lostSegments++;
  }

  /** Takes back every verdict of loss: the time-out was spurious. They left when they left. */
  unmarkAllLost(): void {
    for (let i = 0; i < this.#count; i++) {
      const segment = this.at(i);
      if (segment?.repeated && !segment.isTwice) {
        segment.isTwice = true;
        this.twiceSegments++;
      }
      if (segment === undefined || !segment.lost) continue;
      segment.lost = false;
      this.lostBytes -= segment.length;
      this.lostSegments--;
      this.inFlightBytes += segment.length;
      if (segment.retransmitted) this.retransmittedSegments++;
      this.#insertByTime(segment);
    }
  }

  /** Removes what `una` covers. A segment covered in part is cut: returns those of its bytes that were not SACKed before. */
  acknowledge(una: number, witness: DeliveryWitness): number {
    for (let segment = this.first; segment !== undefined; segment = this.first) {
      if (seqLe(segment.end, una)) {
        if (!segment.sacked) witness.delivered(segment);
        this.#leave(segment);
        this.#ring[this.#head] = undefined;
        this.#head = (this.#head + 1) & this.#mask;
        this.#count--;
        this.#spare.push(segment);
      } else {
        return seqLt(segment.seq, una) ? this.#cut(segment, una) : 0;
      }
    }
    return 0;
  }

  /**
   * Marks whole segments inside `[start, end)` as SACKed. Returns the bytes that are new. A block comes again with every ACK,
   * a little longer each time: what is known of it is stepped over, not walked.
   */
  sack(start: number, end: number, witness: DeliveryWitness): number {
    let bytes = 0;
    /** Where the present run of SACKed segments began. */
    let run: SentSegment | undefined;
    for (let i = this.#indexOf(start); i < this.#count; i++) {
      let segment = this.at(i);
      if (segment?.sacked) {
        run ??= segment;
        if (seqGt(segment.sackedTo, segment.end)) {
          i = this.#indexOf(seqAdd(segment.sackedTo, -1));
          segment = this.at(i);
        }
      }
      if (segment === undefined || seqGt(segment.end, end)) break;
      if (segment.sacked) {
        run ??= segment;
        run.sackedTo = segment.end;
        continue;
      }
      if (seqLt(segment.seq, start)) continue;
      witness.delivered(segment);
      this.#leave(segment);
      segment.lost = false;
      segment.sacked = true;
      segment.sackedTo = segment.end;
      run ??= segment;
      run.sackedTo = segment.end;
      this.sackedBytes += segment.length;
      this.sackedSegments++;
      bytes += segment.length;
    }
    return bytes;
  }

  /** The peer has taken back what it SACKed (RFC 2018 §8): after a time-out nothing of it may be relied on. */
  forgetSacks(): void {
    for (let i = 0; i < this.#count; i++) {
      const segment = this.at(i);
      if (segment === undefined || !segment.sacked) continue;
      segment.sacked = false;
      this.sackedBytes -= segment.length;
      this.sackedSegments--;
      this.inFlightBytes += segment.length;
      if (segment.retransmitted) this.retransmittedSegments++;
      this.#insertByTime(segment);
    }
  }

  /** Cuts a segment in two after `bytes`: it no longer fits, for options or the path have changed. Rare, so the ring is moved. */
  split(segment: SentSegment, bytes: number): void {
    const index = this.#indexOf(segment.seq);
    if (this.#count === this.#ring.length) this.#grow();
    for (let i = this.#count++; i > index + 1; i--) this.#ring[(this.#head + i) & this.#mask] = this.at(i - 1);
    const rest = this.#spare.pop() ?? new SentSegment();
    rest.seq = seqAdd(segment.seq, bytes);
    rest.end = segment.end;
    rest.sentAt = segment.sentAt;
    rest.order = segment.order;
    rest.transmissions = segment.transmissions;
    rest.deliveredBefore = segment.deliveredBefore;
    rest.deliveredAt = segment.deliveredAt;
    rest.firstSentAt = segment.firstSentAt;
    rest.appLimited = segment.appLimited;
    rest.sacked = segment.sacked;
    rest.push = segment.push;
    rest.batchEnd = segment.batchEnd;
    rest.endsRecord = segment.endsRecord;
    segment.endsRecord = false;
    rest.repeated = segment.repeated;
    if (rest.repeated) this.repeatedSegments++;
    rest.isTwice = segment.isTwice;
    if (rest.isTwice) this.twiceSegments++;
    segment.push = false;
    rest.sackedTo = rest.end;
    rest.lost = segment.lost;
    segment.end = rest.seq;
    this.#ring[(this.#head + index + 1) & this.#mask] = rest;
    if (rest.sacked) this.sackedSegments++;
    else if (rest.lost) this.lostSegments++;
    else {
      if (rest.retransmitted) this.retransmittedSegments++;
      this.#insertByTime(rest);
    }
  }

  /** Takes the one after `segment`, which is not SACKed, into it. Rare, so the ring is moved. */
  joinNext(segment: SentSegment): void {
    const index = this.#indexOf(segment.seq);
    const next = this.at(index + 1);
    if (next === undefined) return;
    this.#leave(next);
    for (let i = index + 1; i < this.#count - 1; i++) this.#ring[(this.#head + i) & this.#mask] = this.at(i + 1);
    this.#ring[(this.#head + --this.#count) & this.#mask] = undefined;
    if (segment.lost) this.lostBytes += next.length;
    else this.inFlightBytes += next.length;
    segment.end = next.end;
    segment.batchEnd = next.end;
    segment.push = next.push;
    segment.endsRecord = next.endsRecord;
    segment.transmissions = Math.max(segment.transmissions, next.transmissions);
    this.#spare.push(next);
  }

  /** The index of the lost segment with the lowest sequence number; -1 when there is none. */
  nextLost(): number {
    if (this.lostSegments === 0) return -1;
    for (let i = this.#indexOf(this.#lostFrom); i < this.#count; i++) {
      const segment = this.at(i);
      if (!segment?.lost) continue;
      this.#lostFrom = segment.seq;
      return i;
    }
    return -1;
  }

  clear(): void {
    this.#ring.fill(undefined);
    this.#head = 0;
    this.#count = 0;
    this.#oldest = undefined;
    this.#newest = undefined;
    this.#spare.length = 0;
    this.inFlightBytes = 0;
    this.sackedBytes = 0;
    this.lostBytes = 0;
    this.sackedSegments = 0;
    this.lostSegments = 0;
    this.retransmittedSegments = 0;
    this.repeatedSegments = 0;
    this.twiceSegments = 0;
  }

  /** The index of the first segment that ends after `seq`, by halving. */
  #indexOf(seq: number): number {
    let low = 0;
    let high = this.#count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const segment = this.at(middle);
      if (segment !== undefined && seqGt(segment.end, seq)) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  /** Takes a segment out of the sums and of the order of transmission. */
  #leave(segment: SentSegment): void {
    const { length } = segment;
    this.#notRepeated(segment);
    if (segment.sacked) {
      this.sackedBytes -= length;
      this.sackedSegments--;
    } else if (segment.lost) {
      this.lostBytes -= length;
      this.lostSegments--;
    } else {
      this.inFlightBytes -= length;
      if (segment.retransmitted) this.retransmittedSegments--;
      this.#unlink(segment);
    }
  }

  #notRepeated(segment: SentSegment): void {
    if (!segment.repeated) return;
    segment.repeated = false;
    this.repeatedSegments--;
    if (!segment.isTwice) return;
    segment.isTwice = false;
    this.twiceSegments--;
  }

  #cut(segment: SentSegment, una: number): number {
    const bytes = seqDiff(una, segment.seq);
    segment.seq = una;
    if (segment.sacked) {
      this.sackedBytes -= bytes;
      return 0;
    }
    if (segment.lost) this.lostBytes -= bytes;
    else this.inFlightBytes -= bytes;
    return bytes;
  }

  #append(segment: SentSegment): void {
    segment.older = this.#newest;
    segment.newer = undefined;
    if (this.#newest === undefined) this.#oldest = segment;
    else this.#newest.newer = segment;
    this.#newest = segment;
  }

  #unlink(segment: SentSegment): void {
    if (segment.older === undefined) this.#oldest = segment.newer;
    else segment.older.newer = segment.newer;
    if (segment.newer === undefined) this.#newest = segment.older;
    else segment.newer.older = segment.older;
    segment.older = undefined;
    segment.newer = undefined;
  }

  /** Back to its place in the order of transmission; rare, so a walk from the newest is good enough. */
  #insertByTime(segment: SentSegment): void {
    let before = this.#newest;
    while (before !== undefined && sentAfter(before, segment)) before = before.older;
    segment.older = before;
    segment.newer = before === undefined ? this.#oldest : before.newer;
    if (segment.newer === undefined) this.#newest = segment;
    else segment.newer.older = segment;
    if (before === undefined) this.#oldest = segment;
    else before.newer = segment;
  }

  #grow(): void {
    const ring = new Array<SentSegment | undefined>(this.#ring.length * 2);
    for (let i = 0; i < this.#count; i++) ring[i] = this.at(i);
    this.#ring = ring;
    this.#mask = ring.length - 1;
    this.#head = 0;
  }
}

/**
 * RACK_sent_after (RFC 8985 §6.2). The RFC compares times, and sequence numbers where they are equal; that would take a repetition
 * for older than the new data that left just before it. So the order itself is compared, and sequence numbers for what was cut in two.
 */
export function sentAfter(a: SentSegment, b: SentSegment): boolean {
  return a.order > b.order || (a.order === b.order && seqGt(a.end, b.end));
}
