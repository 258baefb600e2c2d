/**
 * Packetization-layer path MTU discovery (RFC 4821, RFC 8899): the search upwards, by segments of new data that are larger than
 * those which are known to pass. A probe that is lost is no sign of congestion and costs its repetition alone; one that arrives
 * makes its size the path MTU. So a narrow path costs no time-out to find out how narrow it is.
 *
 *   known to pass                 the next probe              known not to pass, or our link
 *   low ────────────────────── (low + high) / 2 ────────────────────── high
 */
import { seqAdd } from "../base/seq.js";
import type { Micros } from "../base/time.js";
import { headerBytes } from "./emit.js";
import { beginLinuxSearch } from "./linux-mtu-probing.js";
import { largestMtu, lostForSize, RAISE_AFTER, usePathMtu } from "./path-mtu.js";
import type { SentSegment } from "./sent-list.js";
import type { Tcb } from "./tcb.js";

/** 0: never probe, nor look for black holes. 1: after a black hole, or a router's word that is old. 2: always, from a small size up. */
export type MtuProbing = 0 | 1 | 2;

/** The state of a search; sizes are those of whole IP packets. */
export class MtuSearch {
  active = false;
  /** The largest that is known to pass. */
  low = 0;
  /** The largest that may pass. */
  high = 0;
  /** The probe that is outstanding; 0 when none is. */
  probeBytes = 0;
  probeSeq = 0;
  /** Linux: where it ends; when the search began; and what bounds segments so far, 0 for nothing. */
  probeEnd = 0;
  searchedAt: Micros = 0;
  bound = 0;
  /** It was delivered. */
  passed = false;
  /** Of the size that is being tried, so many did not arrive. */
  failures = 0;
  /** A probe was sent since the search began: the connection sends enough for that. */
  tried = false;
  /** Probes sent and lost since the connection began. */
  probes = 0;
  probesLost = 0;
  /** A size to be tried before the middle; 0 when there is none. */
  #hint = 0;
  /** `high` is what our link or a router says; no probe of it was lost. */
  #highMayPass = false;

  /** From `low`, which passes, up to `high`, with a first guess if there is a good one. */
  begin(low: number, high: number, hint: number): void {
    this.active = high > low;
    this.low = low;
    this.high = high;
    this.failures = 0;
    this.probeBytes = 0;
    this.tried = false;
    this.#hint = hint;
    this.#highMayPass = true;
  }

  /** Something else has found the path MTU. */
  stop(): void {
    this.active = false;
    this.probeBytes = 0;
  }

  /** The size to try next. */
  get next(): number {
    if (this.#hint > this.low && this.#hint <= this.high) return this.#hint;
    if (this.#highMayPass && this.high - this.low < 2 * FINEST_STEP) return this.high;
    return (this.low + this.high + 1) >>> 1;
  }

  /** It is known well enough. */
  get isOver(): boolean {
    return this.high - this.low < (this.#highMayPass ? 1 : FINEST_STEP);
  }

  /** Told of every segment that is delivered. */
  delivered(segment: SentSegment): void {
    if (this.probeBytes > 0 && segment.seq === this.probeSeq && !segment.retransmitted) this.passed = true;
  }

  /** The probe did not arrive, or nobody knows. Not a verdict before it has happened several times (RFC 8899 §5.1.2). */
  failed(): void {
    this.probesLost++;
    if (++this.failures >= MAX_PROBES) this.#narrow(this.probeBytes - 1, false);
    this.probeBytes = 0;
  }

  /** A router says that it carries `told`, less than the probe was. */
  tooBig(told: number): void {
    this.probesLost++;
    this.#narrow(told, true);
    this.#hint = told;
    this.probeBytes = 0;
  }

  #narrow(high: number, mayPass: boolean): void {
    this.high = Math.max(Math.min(this.high, high), this.low);
    this.#highMayPass = mayPass;
    this.failures = 0;
  }
}

/** Searches from the present path MTU up to what both ends can. `hopeful`: it may well be all of that. */
export function beginMtuSearch(tcb: Tcb, hopeful: boolean): void {
  const { pathMtu, mtuSearch } = tcb;
  // Packets that routers may fragment would tell nothing of the path.
  if (tcb.config.mtuProbing === 0 || pathMtu.mayFragment) return;
  const high = largestMtu(tcb);
  mtuSearch.begin(Math.min(pathMtu.bytes, high), high, hopeful ? high : 0);
}

/** `mtuProbing` 2, when the handshake is done: begins with a size that nearly every path carries (RFC 4821 §7.2). */
export function beginWithSmallMtu(tcb: Tcb): void {
  if (tcb.config.sender === "linux") {
    beginLinuxSearch(tcb);
    return;
  }
  const base = tcb.local.family === 4 ? BASE_MTU : BASE_MTU_V6;
  if (tcb.config.mtuProbing !== 2 || tcb.pathMtu.bytes <= base || largestMtu(tcb) <= base) return;
  tcb.pathMtu.bytes = base;
  beginMtuSearch(tcb, false);
}

/**
 * The payload of a probe that is due now; 0 when none is, and -1 when one is due as soon as the flight has become smaller: then
 * nothing else must take its room. `queued` is not sent yet, the peer's window has `room`, the congestion window `unused`.
 */
export function mtuProbeDue(tcb: Tcb, queued: number, room: number, unused: number): number {
  const { mtuSearch: search, recovery, sent } = tcb;
  if (!search.active || search.probeBytes > 0) return 0;
  // RFC 4821 §7.1, §7.4: not while anything is in doubt, whatever may be the reason.
  if (recovery.active || recovery.loss || recovery.tlpActive || recovery.dupAcks > 0) return 0;
  if (sent.sackedSegments > 0 || sent.lostSegments > 0 || tcb.sack.optionBytes(tcb) > 0) return 0;
  const length = payloadOf(tcb, search.next);
  if (length <= tcb.snd.mss || !hasRoomToProbe(tcb, length, queued, room)) return 0;
  if (length <= unused) return length;
  return sent.inFlightBytes > 0 ? -1 : 0;
}

/** Whether there is so much to send that a search makes sense, and can begin as soon as the congestion window allows it. */
export function maySearchMtu(tcb: Tcb, queued: number, room: number): boolean {
  if (tcb.config.mtuProbing === 0 || tcb.pathMtu.mayFragment) return false;
  const needed = payloadOf(tcb, largestMtu(tcb)) + BEHIND_PROBE * tcb.snd.mss;
  return queued >= needed && room >= needed;
}

/** New data from `seq` on has left as a probe. */
export function mtuProbeSent(tcb: Tcb, seq: number, length: number): void {
  const { mtuSearch: search } = tcb;
  search.probeBytes = length + overhead(tcb);
  search.probeSeq = seq;
  search.passed = false;
  search.tried = true;
  search.probes++;
}

/** That segment leaves once more: what becomes of it tells nothing of its size. Note: Linux does the same. */
export function mtuProbeRepeated(tcb: Tcb, segment: SentSegment, now: Micros): void {
  const { mtuSearch: search } = tcb;
  if (tcb.linuxSender !== undefined) {
    search.probeBytes = 0;
    return;
  }
  if (search.probeBytes === 0 || segment.seq !== search.probeSeq) return;
  search.failed();
  conclude(tcb, now);
}

/**
 * After an ACK, or RACK's timer, with a probe outstanding. `lostNow` bytes were taken for lost just now; returns how many of them
 * are no sign of congestion: those of a probe that is lost alone (RFC 4821 §7.6).
 */
export function settleMtuProbe(tcb: Tcb, lostNow: number, now: Micros): number {
  const { mtuSearch: search, recovery, sent } = tcb;
  if (search.passed) {
    search.passed = false;
    search.low = search.probeBytes;
    search.failures = 0;
    search.probeBytes = 0;
    tcb.pathMtu.blackholes = 0;
    usePathMtu(tcb, search.low);
    conclude(tcb, now);
    return 0;
  }
  if (lostNow === 0) return 0;
  const probe = sent.find(search.probeSeq);
  if (!probe?.lost || probe.retransmitted) return 0;
  const isAlone = sent.lostSegments === 1 && !recovery.active && !recovery.loss;
  search.failed();
  conclude(tcb, now);
  if (!isAlone) return 0;
  // Without SACK more duplicate ACKs come for it, which must not begin a recovery either.
  if (!tcb.sack.enabled) recovery.recover = seqAdd(tcb.snd.max, -1);
  return probe.length;
}

/** A router says that the probe was too big, and carries `told`. */
export function mtuProbeTooBig(tcb: Tcb, told: number, now: Micros): string {
  const { mtuSearch: search, sent } = tcb;
  const probe = sent.find(search.probeSeq);
  search.tooBig(told);
  if (probe !== undefined && !probe.retransmitted) {
    sent.markLost(probe);
    lostForSize(tcb, now);
  }
  conclude(tcb, now);
  return "packet too big: it was a probe of the path MTU, which is sent again in smaller segments";
}

/** The search is over when both ends meet; a wider path is looked for again after a while (RFC 4821 §7.5; Linux: tcp_probe_interval). */
function conclude(tcb: Tcb, now: Micros): void {
  const { mtuSearch: search, pathMtu } = tcb;
  if (!search.isOver) return;
  search.stop();
  if (search.low < largestMtu(tcb)) pathMtu.raiseAt = now + RAISE_AFTER;
}

/**
 * A loss must be told by what follows the probe (RFC 4821 §7.4), and the window must be large enough to bear it.
 * Note: Linux does the same (tcp_mtu_probe: eleven segments of window, four behind the probe).
 */
function hasRoomToProbe(tcb: Tcb, length: number, queued: number, room: number): boolean {
  const { mss } = tcb.snd;
  const needed = length + BEHIND_PROBE * mss;
  return queued >= needed && room >= needed && tcb.congestion.cwnd >= length + 10 * mss;
}

function payloadOf(tcb: Tcb, mtu: number): number {
  return mtu - overhead(tcb);
}

function overhead(tcb: Tcb): number {
  return headerBytes(tcb) + (tcb.ts.enabled ? 12 : 0);
}

/** Losses of one size after which it is taken for too big: MAX_PROBES of RFC 8899 §5.1.2. Linux believes the first. */
const MAX_PROBES = 3;
/** Full segments that must follow a probe, so that its loss is told by what arrives behind it. */
const BEHIND_PROBE = 4;
/** Bytes; nobody gains by knowing it better. Note: Linux does the same (net.ipv4.tcp_probe_threshold). */
const FINEST_STEP = 8;
/** An MSS of 1024 (RFC 4821 §7.2, Linux's tcp_base_mss), and the least that an IPv6 link may have. */
const BASE_MTU = 1064;
const BASE_MTU_V6 = 1280;
