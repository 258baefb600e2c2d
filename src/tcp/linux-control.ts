/**
 * Linux's congestion window, for who wants to see what a Linux host does: counted in segments of any size, with the sums in whole
 * numbers that net/ipv4/tcp_cong.c and tcp_cubic.c make. What decides over it is in `linux-recovery.ts`; the controls of the RFCs
 * are in `cubic.ts` and `new-reno.ts`.
 */
import { seqAdd, seqGe, seqGt } from "../base/seq.js";
import { MILLISECOND, type Micros, NEVER } from "../base/time.js";
import type { CongestionControl } from "./congestion.js";

/** TCP_CA_*: nothing wrong; duplicates or SACKs seen; window reduced for a mark; fast recovery; recovery after a time-out. */
export type CaState = "open" | "disorder" | "cwr" | "recovery" | "loss";

/** What is to be sent besides new data: nothing; what is lost; new data first (F-RTO, RFC 5682 §2.1 step 2b). */
export type Repetition = "none" | "lost" | "new-first";

/** tcp_stream_is_thin, and TCP_THIN_LINEAR_RETRIES. */
const THIN = 4;
const THIN_TIMEOUTS = 6;
/** net.ipv4.tcp_reordering. */
const REORDERING = 3;

export class LinuxControl implements CongestionControl {
  readonly name: "cubic" | "reno";
  /** snd_cwnd and snd_ssthresh in segments; the threshold is NEVER until the first loss. */
  window: number;
  threshold: number;
  mss: number;
  /** snd_cwnd_cnt. */
  #count = 0;
  readonly #cubic: CubicState | undefined;

  state: CaState = "open";
  /** SND.NXT when the present state began. */
  highSeq = 0;
  /** undo_marker: the last reduction may be taken back; SND.UNA then. */
  mayUndo = false;
  undoMarker = 0;
  /** Repetitions that no D-SACK has proven needless; -1 as long as there was none. */
  undoRetransmits = 0;
  /** What to come back to; a threshold of 0 is none. */
  priorWindow = 0;
  priorThreshold = 0;
  /** Proportional rate reduction (RFC 6937), in segments. */
  prrDelivered = 0;
  prrOut = 0;
  /** Duplicate ACKs of a peer without SACK, each a segment that has arrived. */
  renoSacked = 0;
  /** Segments that a later one may overtake before it is a loss. */
  reordering = REORDERING;
  reorderings = 0;
  /** One past the highest number that was SACKed; means something while anything is. */
  highestSack = 0;
  /** Whether the time-out is being tested for spuriousness (RFC 5682). */
  frto = false;
  /** When the first repetition of the present recovery left; -1 for none. As time, and as our timestamp clock showed it. */
  repeatedAt: Micros = -1;
  repeatedTs = 0;
  /** Doublings of the time-out: only a measurement takes them back (Karn). */
  backoff = 0;
  repetition: Repetition = "none";
  /** The time-out's one segment, whatever the window says. */
  headDue = false;
  /** The retransmission timer is to run so long after this ACK, for the peer seems to have taken back what it SACKed; 0 as usual. */
  renegWait: Micros = 0;
  /** The last ACK has moved SND.UNA within a segment alone: timers run on. */
  hasAckedNone = false;
  /** The last ACK has left segments in doubt, for which RACK's timer runs. */
  waitsForOrder = false;
  /** RACK: quarters of a round trip; recoveries until it is one again; a D-SACK that is to widen it; bytes delivered when one last did. */
  reoWndSteps = 1;
  reoWndPersist = 0;
  dsackSeen = false;
  dsackDelivered = 0;
  /** Segments delivered, needless repetitions included. */
  delivered = 0;
  /** Was the window what held the sender back (tcp_cwnd_validate). */
  isLimited = false;
  maxOut = 0;
  usageSeq = 0;
  used = 0;
  usedAt: Micros = 0;
  /** Bytes a second that pacing would allow, as of the last ACK; NEVER before the first measurement. */
  pacingRate = NEVER;
  /** Segments sent, and put off for more of them, since `pollTransmit` last found nothing to do. */
  sentNow = 0;
  deferredNow = false;

  /** `window` in segments. */
  constructor(name: "cubic" | "reno", mss: number, window: number, threshold = NEVER) {
    this.name = name;
    this.mss = mss;
    this.window = Math.max(1, window);
    this.threshold = threshold;
    this.#cubic = name === "cubic" ? new CubicState() : undefined;
  }

  /**
   * After a time-out, the `timeouts`-th in a row with so many segments in flight: the next one doubles, unless the stream is thin, which
   * no duplicate ACKs could help (tcp_retransmit_timer).
   */
  backOff(mayBeThin: boolean, segments: number, timeouts: number): void {
    if (mayBeThin && segments < THIN && timeouts <= THIN_TIMEOUTS) this.backoff = 0;
    else this.backoff++;
  }

  /** In bytes, as if every segment were full. */
  get cwnd(): number {
    return this.window * this.mss;
  }

  get ssthresh(): number {
    return this.threshold * this.mss;
  }

  get inSlowStart(): boolean {
    return this.window < this.threshold;
  }

  /** tcp_in_cwnd_reduction. */
  get isReducing(): boolean {
    return this.state === "cwr" || this.state === "recovery";
  }

  /** tcp_is_cwnd_limited: in slow start the window may be twice of what was in use. */
  get mayGrow(): boolean {
    return this.isLimited || (this.inSlowStart && this.window < 2 * this.maxOut);
  }

  begin(iss: number, now: Micros): void {
    this.highSeq = iss;
    this.usageSeq = iss;
    this.usedAt = now;
    this.#cubic?.restartRound(iss, now);
  }

  /** The cong_avoid of either. */
  avoid(acked: number, now: Micros): void {
    if (!this.mayGrow) return;
    let left = acked;
    if (this.inSlowStart) {
      const grown = Math.min(this.window + left, this.threshold);
      left -= grown - this.window;
      this.window = grown;
      if (left === 0) return;
    }
    const cubic = this.#cubic;
    let every = this.window;
    if (cubic !== undefined) {
      cubic.update(this.window, left, now);
      every = cubic.every;
    }
    if (this.#count >= every) {
      this.#count = 0;
      this.window++;
    }
    this.#count += left;
    if (this.#count >= every) {
      const more = Math.floor(this.#count / every);
      this.#count -= more * every;
      this.window += more;
    }
  }

  /** pkts_acked: HyStart looks at round-trip times. `rttUs` is negative where the ACK gave none. */
  measured(rttUs: Micros, una: number, nxt: number, pacingBytesPerSecond: number, now: Micros): void {
    const cubic = this.#cubic;
    if (cubic === undefined || rttUs < 0 || !cubic.takesDelay(rttUs, now)) return;
    if (!this.inSlowStart || cubic.found) return;
    if (cubic.hystart(this.window, rttUs, una, nxt, pacingBytesPerSecond, now)) this.threshold = this.window;
  }

  /** The threshold after a loss. */
  reducedThreshold(): number {
    if (this.#cubic !== undefined) return this.#cubic.reduced(this.window);
    return Math.max(this.window >>> 1, 2);
  }

  /** tcp_current_ssthresh. */
  get presentThreshold(): number {
    if (this.isReducing) return this.threshold;
    return Math.max(this.threshold, (this.window >>> 1) + (this.window >>> 2));
  }

  setState(state: CaState, nxt: number, now: Micros): void {
    if (state === "loss") this.#cubic?.lost(nxt, now);
    this.state = state;
  }

  /** The counter of congestion avoidance begins anew. */
  clearCount(): void {
    this.#count = 0;
  }

  /** Data leaves after nothing was in flight since data last left. */
  transmissionBegins(idleUs: Micros, now: Micros): void {
    this.#cubic?.idled(idleUs, now);
  }

  onIdle(idleUs: Micros, rtoUs: Micros, initialWindow: number): void {
    if (idleUs <= rtoUs) return;
    this.threshold = this.presentThreshold;
    const least = Math.min(Math.floor(initialWindow / this.mss), this.window);
    let window = this.window;
    for (let left = idleUs - rtoUs; left > 0 && window > least; left -= rtoUs) window >>>= 1;
    this.window = Math.max(window, least);
    this.used = 0;
  }

  onMss(mss: number): void {
    this.mss = mss;
  }

  // The facts of the RFCs' recovery, which does not run.

  onAck(): void {}
  onEnterRecovery(): void {}
  onDuplicateAck(): void {}
  onPartialAck(): void {}
  onExitRecovery(): void {}
  onTimeout(): void {}
  onEcn(): void {}
  onUndo(): void {}
}

/** struct bictcp, its times in ms: the clock that Linux counts jiffies of. */
class CubicState {
  /** Acknowledged segments after which the window grows by one. */
  every = 0;
  #lastMax = 0;
  #lastWindow = 0;
  #lastTime = 0;
  #origin = 0;
  /** In 1/1024 s. */
  #k = 0;
  #delayMin: Micros = 0;
  /** 0 while no epoch runs. */
  #epoch = 0;
  #ackCount = 0;
  #renoWindow = 0;
  /** HyStart has found the end of the first slow start. */
  found = false;
  #sampleCount = 0;
  #roundStart: Micros = 0;
  #endSeq = 0;
  #lastAck: Micros = 0;
  #currentRtt: Micros = NEVER;

  update(window: number, acked: number, now: Micros): void {
    const time = Math.floor(now / MILLISECOND);
    this.#ackCount += acked;
    if (this.#lastWindow === window && time - this.#lastTime <= 1000 >> 5) return;
    if (this.#epoch === 0 || time !== this.#lastTime) this.#follow(window, acked, time);
    // Not slower than Reno (RFC 9438 §4.3).
    const delta = (window * RENO_SCALE) >>> 3;
    while (this.#ackCount > delta) {
      this.#ackCount -= delta;
      this.#renoWindow++;
    }
    if (this.#renoWindow > window) this.every = Math.min(this.every, Math.floor(window / (this.#renoWindow - window)));
    this.every = Math.max(this.every, 2);
  }

  #follow(window: number, acked: number, time: number): void {
    this.#lastWindow = window;
    this.#lastTime = time;
    if (this.#epoch === 0) {
      this.#epoch = time;
      this.#ackCount = acked;
      this.#renoWindow = window;
      const below = this.#lastMax - window;
      this.#k = below <= 0 ? 0 : Math.floor(Math.cbrt(CUBE_FACTOR * below));
      this.#origin = below <= 0 ? window : this.#lastMax;
    }
    const t = Math.floor(((time - this.#epoch + Math.ceil(this.#delayMin / MILLISECOND)) * 1024) / 1000);
    const off = Math.abs(t - this.#k);
    const delta = Math.floor((CUBE_RTT_SCALE * off * off * off) / 2 ** 40);
    const target = t < this.#k ? this.#origin - delta : this.#origin + delta;
    this.every = target > window ? Math.floor(window / (target - window)) : 100 * window;
    // Nothing is known of the path yet: not slower than 5 % a round trip.
    if (this.#lastMax === 0 && this.every > 20) this.every = 20;
  }

  reduced(window: number): number {
    this.#epoch = 0;
    this.#lastMax = window < this.#lastMax ? Math.floor((window * (1024 + BETA)) / 2048) : window;
    return Math.max(Math.floor((window * BETA) / 1024), 2);
  }

  /** After a time-out nothing of what was known holds. */
  lost(nxt: number, now: Micros): void {
    this.every = 0;
    this.#lastMax = 0;
    this.#lastWindow = 0;
    this.#lastTime = 0;
    this.#origin = 0;
    this.#k = 0;
    this.#delayMin = 0;
    this.#epoch = 0;
    this.#ackCount = 0;
    this.#renoWindow = 0;
    this.found = false;
    this.restartRound(nxt, now);
  }

  /** The cubic does not rise while nobody sends. */
  idled(idleUs: Micros, now: Micros): void {
    if (this.#epoch === 0 || idleUs <= 0) return;
    this.#epoch = Math.min(this.#epoch + Math.floor(idleUs / MILLISECOND), Math.floor(now / MILLISECOND));
  }

  /** Whether HyStart may look at the sample: not in the second after a recovery. */
  takesDelay(rttUs: Micros, now: Micros): boolean {
    if (this.#epoch !== 0 && Math.floor(now / MILLISECOND) - this.#epoch < 1000) return false;
    const delay = Math.max(1, rttUs);
    if (this.#delayMin === 0 || this.#delayMin > delay) this.#delayMin = delay;
    return true;
  }

  restartRound(nxt: number, now: Micros): void {
    this.#roundStart = now;
    this.#lastAck = now;
    this.#endSeq = nxt;
    this.#currentRtt = NEVER;
    this.#sampleCount = 0;
  }

  /** Whether slow start is to end: the ACKs of a round last for half a round-trip time, or come later than they did. */
  hystart(window: number, delay: Micros, una: number, nxt: number, pacingBytesPerSecond: number, now: Micros): boolean {
    if (seqGt(una, this.#endSeq)) this.restartRound(nxt, now);
    if (window < HYSTART_LOW_WINDOW) return false;
    if (now - this.#lastAck <= ACK_DELTA) {
      this.#lastAck = now;
      const burst = pacingBytesPerSecond > 0 ? Math.min(1000, Math.floor((GSO_MAX * 4 * 1e6) / pacingBytesPerSecond)) : 0;
      if (now - this.#roundStart > (this.#delayMin + burst) / 2) this.found = true;
    }
    if (this.#currentRtt > delay) this.#currentRtt = delay;
    if (this.#sampleCount < 8) this.#sampleCount++;
    else if (this.#currentRtt > this.#delayMin + Math.min(Math.max(this.#delayMin >>> 3, 4000), 16_000)) this.found = true;
    return this.found;
  }
}

/** 0.7 in 1/1024. */
const BETA = 717;
/** 8 · (1 + β) / 3 / (1 − β), in whole numbers. */
const RENO_SCALE = 15;
/** C · 2^10: 0.4 as Linux has it. */
const CUBE_RTT_SCALE = 410;
const CUBE_FACTOR = Math.floor(2 ** 40 / CUBE_RTT_SCALE);
const HYSTART_LOW_WINDOW = 16;
/** ACKs closer together than this belong to one train. */
const ACK_DELTA: Micros = 2000;
/** The largest batch that is handed down at once, in bytes of payload. */
export const GSO_MAX = 65_535 - 320;

/** Whether all that was outstanding when the state began is acknowledged. */
export function isPast(control: LinuxControl, una: number): boolean {
  return seqGe(una, control.highSeq);
}

/** One before SND.UNA, for marks that must not lie ahead. */
export function justBefore(una: number): number {
  return seqAdd(una, -1);
}
