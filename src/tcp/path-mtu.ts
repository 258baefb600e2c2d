/**
 * The path MTU of a connection: lowered by "packet too big" (RFC 1191, RFC 8201) once that is believed (RFC 5927 §7.2), or by
 * time-outs of full segments when routers are silent (a black hole, RFC 4821 §7.7); raised again by probes (`mtu-probing.ts`) or,
 * where too little is sent for that, after a while. What was too big is cut anew and sent again at once: no congestion has lost it.
 *
 *   576 (IPv4), 1280 (IPv6) ≤ path MTU ≤ MTU of our link (`mtuBytes`)
 */
import { seqAdd, seqDiff } from "../base/seq.js";
import { MINUTE, type Micros, NEVER, SECOND } from "../base/time.js";
import type { IcmpError } from "../wire/icmp.js";
import { headerBytes } from "./emit.js";
import { synTimeout } from "./fast-open.js";
import { linuxMtuAfterTimeout } from "./linux-mtu-probing.js";
import { simpleRetransmit } from "./linux-recovery.js";
import { beginMtuSearch, maySearchMtu, mtuProbeTooBig } from "./mtu-probing.js";
import type { SentSegment } from "./sent-list.js";
import { isSynchronized } from "./state.js";
import type { Tcb } from "./tcb.js";

/** What a connection knows of its path. */
export class PathMtu {
  /** Largest IP packet that the path is said to carry; Infinity until something else was heard. */
  bytes = Number.POSITIVE_INFINITY;
  /** The path carries less than the least that we send: routers must fragment. Note: Linux does the same (a locked MTU). */
  mayFragment = false;
  /** When a larger size is tried again; NEVER while there is nothing to try. */
  raiseAt: Micros = NEVER;
  /** The peer's MSS option, or its default. */
  peerMss = 536;
  /** Largest segment that has arrived: an error message that contradicts it must wait (RFC 5927 §7.2, maxsizeacked). */
  largestDelivered = 0;
  /** A path MTU that waits for a time-out to confirm it; 0 when there is none. */
  pending = 0;
  /** The path MTU has changed since the stack last asked; see `stack/path-mtu-cache.ts`. */
  learned = false;
  /** It was time-outs that lowered it, so often in a row. */
  blackholes = 0;
  /** How long after the first of them a larger size is tried again. */
  blackholeWait: Micros = RAISE_AFTER;
  /** They may as well have been those of a dead peer: nothing has arrived since. */
  #doubtful = false;

  /** What another connection has learned of the same path, and until when it holds. */
  adopt(bytes: number, until: Micros): void {
    this.bytes = bytes;
    this.raiseAt = until;
  }

  /** It holds from now on, until `raiseAt`. */
  lower(bytes: number, raiseAt: Micros, doubtful: boolean): void {
    this.bytes = bytes;
    this.raiseAt = raiseAt;
    this.pending = 0;
    this.largestDelivered = 0;
    this.#doubtful = doubtful;
    if (!doubtful) this.learned = true;
  }

  /** A segment of `length` bytes has arrived. */
  delivered(length: number): void {
    if (length > this.largestDelivered) this.largestDelivered = length;
    if (this.#doubtful) {
      this.#doubtful = false;
      this.learned = true;
    }
    // Larger than what the message said to be possible: the message lied, or the route is another again.
    if (this.pending !== 0 && length > this.pending) this.pending = 0;
  }
}

/** Payload that one packet carries to the peer beside the options of every segment (RFC 9293 MUST-16, SHLD-6). */
export function sendMss(tcb: Tcb): number {
  const { config, pathMtu } = tcb;
  const mtu = Math.min(config.mtuBytes, pathMtu.bytes);
  const optionBytes = tcb.ts.enabled ? 12 : 0;
  const most = Math.max(1, Math.min(pathMtu.peerMss, mtu - headerBytes(tcb), config.mssBytes) - optionBytes);
  if (config.sender !== "linux") return most;
  const { bound } = tcb.mtuSearch;
  const within = withinHalfWindow(tcb, most, optionBytes);
  return bound > 0 ? Math.min(within, bound - headerBytes(tcb) - optionBytes) : within;
}

/** Linux cuts segments so that two fit in the largest window that the peer has shown (tcp_bound_to_half_wnd). */
function withinHalfWindow({ snd }: Tcb, most: number, optionBytes: number): number {
  const part = snd.maxWnd > 536 ? snd.maxWnd >>> 1 : snd.maxWnd;
  return part > 0 && most > part ? Math.max(part, 48 - optionBytes) : most;
}

/** The peer has shown a larger window than ever. */
export function largestWindowGrew(tcb: Tcb): void {
  const mss = sendMss(tcb);
  if (mss === tcb.snd.mss) return;
  tcb.snd.mss = mss;
  tcb.congestion.onMss(mss);
}

/** The largest IP packet that our link and the peer allow. */
export function largestMtu(tcb: Tcb): number {
  const { config, pathMtu } = tcb;
  return Math.min(config.mtuBytes, Math.min(pathMtu.peerMss, config.mssBytes) + headerBytes(tcb));
}

/** A packet of that size has passed. */
export function usePathMtu(tcb: Tcb, mtu: number): void {
  const { pathMtu, snd } = tcb;
  pathMtu.bytes = mtu < largestMtu(tcb) ? mtu : Number.POSITIVE_INFINITY;
  if (pathMtu.bytes === Number.POSITIVE_INFINITY) pathMtu.raiseAt = NEVER;
  pathMtu.learned = true;
  snd.mss = sendMss(tcb);
  tcb.congestion.onMss(snd.mss);
}

/**
 * "Fragmentation needed" or "packet too big" about a segment that is outstanding: that much the caller has checked. Returns what
 * was made of it.
 */
export function packetTooBig(tcb: Tcb, error: IcmpError, now: Micros): string {
  if (tcb.linux !== undefined) return linuxTooBig(tcb, error.nextHopMtu, now);
  const { pathMtu } = tcb;
  const told = error.nextHopMtu > 0 ? error.nextHopMtu : plateauBelow(error.quotedLength);
  // It was no larger than what the router says to carry; in IPv6 no link may carry less than 1280 (RFC 8201 §4).
  if (told >= error.quotedLength) return "packet too big: dropped, the packet was small enough";
  const floor = leastMtu(tcb);
  if (told < (tcb.local.family === 4 ? LEAST_IPV4_LINK : floor)) return "packet too big: dropped, no link is that narrow";
  const { mtuSearch } = tcb;
  if (mtuSearch.probeBytes > 0 && error.quotedSeq === mtuSearch.probeSeq && error.quotedLength === mtuSearch.probeBytes) {
    return mtuProbeTooBig(tcb, told, now);
  }
  const mtu = Math.max(told, floor);
  const { arrivalRules } = tcb.config;
  if (mtu >= Math.min(pathMtu.bytes, tcb.config.mtuBytes) && (told >= floor || pathMtu.mayFragment)) {
    return "packet too big: known already";
  }
  // RFC 5927 §7.2: larger ones have arrived before. Either the route has changed or somebody wants us slow: a time-out will tell.
  // Note: FreeBSD does not ask for it.
  if (arrivalRules !== "bsd" && mtu - headerBytes(tcb) - (tcb.ts.enabled ? 12 : 0) < pathMtu.largestDelivered) {
    pathMtu.pending = told;
    return "packet too big: larger ones have arrived, waits for a time-out";
  }
  lower(tcb, arrivalRules === "bsd" ? mtu : told, now + RAISE_AFTER, false);
  cutAnew(tcb, now);
  return "packet too big: path MTU lowered, what was lost is cut anew";
}

/**
 * As Linux has it (tcp_v4_mtu_reduced, __ip_rt_update_pmtu): whatever is smaller than what is known is believed, whatever the quote and
 * whatever has arrived. In IPv4 0 is an MTU like others, and below the least one routers fragment; in IPv6 such a message is dropped.
 */
function linuxTooBig(tcb: Tcb, told: number, now: Micros): string {
  const { pathMtu } = tcb;
  const floor = leastMtu(tcb);
  if (tcb.local.family === 6 && told < floor) return "packet too big: dropped, no link is that narrow";
  if (Math.max(told, floor) >= Math.min(pathMtu.bytes, tcb.config.mtuBytes)) return "packet too big: known already";
  lower(tcb, told, now + RAISE_AFTER, false);
  if (tcb.state === "SYN-SENT") repeatSynAlone(tcb);
  else cutAnew(tcb, now);
  return "packet too big: path MTU lowered, what was lost is cut anew";
}

/** A SYN with data is what was too big: again, without. */
function repeatSynAlone(tcb: Tcb): void {
  if (tcb.fastOpen.synBytes === 0) return;
  synTimeout(tcb);
  tcb.synRepeated = true;
  tcb.snd.nxt = tcb.iss;
}

/** The retransmission timer has expired `tcb.backoffs` times in a row, all will be sent again: may the size be the reason? */
export function pathMtuAfterTimeout(tcb: Tcb, now: Micros): void {
  const { pathMtu, sent } = tcb;
  if (tcb.linuxSender !== undefined) {
    linuxMtuAfterTimeout(tcb, tcb.linuxSender, now);
    return;
  }
  if (pathMtu.pending !== 0) {
    lower(tcb, pathMtu.pending, now + RAISE_AFTER, false);
    return;
  }
  const { first } = sent;
  if (tcb.config.mtuProbing === 0 || first === undefined) return;
  // Every second time-out from then on, of a segment larger than the next size to try.
  const isProven = first.length <= pathMtu.largestDelivered;
  const needed = isProven ? BLACKHOLE_TIMEOUTS_PROVEN : BLACKHOLE_TIMEOUTS;
  if (tcb.backoffs < needed || (tcb.backoffs - needed) % 2 !== 0) return;
  const steps = tcb.local.family === 4 ? BLACKHOLE_STEPS : BLACKHOLE_STEPS_V6;
  const size = first.length + headerBytes(tcb) + (tcb.ts.enabled ? 12 : 0);
  for (const step of steps) {
    if (step >= Math.min(size, pathMtu.bytes)) continue;
    if (pathMtu.blackholes === 0) pathMtu.blackholeWait = isProven ? RAISE_AFTER_PROVEN : RAISE_AFTER;
    // Each failure to raise it again doubles the wait for the next, up to 160 minutes.
    lower(tcb, step, now + Math.min(pathMtu.blackholeWait * 2 ** pathMtu.blackholes, 16 * RAISE_AFTER), true);
    pathMtu.blackholes++;
    // What has timed out may have had bad luck only: then the first probe tells.
    beginMtuSearch(tcb, isProven);
    return;
  }
}

/**
 * Tries the link's MTU again (RFC 1191 §6.3, RFC 8201 §4): by probes if there is enough to send, `queued` bytes and `room` in the
 * peer's window. Else at once: if the path has not widened, "packet too big" comes soon; after a black hole one step at a time.
 */
export function raisePathMtu(tcb: Tcb, queued: number, room: number, now: Micros): void {
  const { pathMtu, snd, mtuSearch } = tcb;
  // A search that has been waiting all the time for a window large enough would wait on: a path that loses much opens none.
  if ((!mtuSearch.active || mtuSearch.tried) && maySearchMtu(tcb, queued, room)) {
    pathMtu.raiseAt = now + RAISE_AFTER;
    if (!mtuSearch.active) beginMtuSearch(tcb, true);
    return;
  }
  mtuSearch.stop();
  const step = pathMtu.blackholes > 0 ? BLACKHOLE_STEPS.findLast((size) => size > pathMtu.bytes) : undefined;
  pathMtu.bytes = step ?? Number.POSITIVE_INFINITY;
  pathMtu.raiseAt = step === undefined ? NEVER : now + pathMtu.blackholeWait;
  pathMtu.mayFragment = false;
  snd.mss = sendMss(tcb);
  tcb.congestion.onMss(snd.mss);
}

function lower(tcb: Tcb, mtu: number, raiseAt: Micros, doubtful: boolean): void {
  const { pathMtu, snd } = tcb;
  const floor = leastMtu(tcb);
  if (mtu < floor) pathMtu.mayFragment = true;
  pathMtu.lower(Math.max(mtu, floor), raiseAt, doubtful);
  tcb.mtuSearch.stop();
  if (!isSynchronized(tcb.state) && !tcb.fastOpen.accepted) return;
  snd.mss = sendMss(tcb);
  tcb.congestion.onMss(snd.mss);
}

/** Everything in flight that is larger than a segment may be now cannot have arrived. */
function cutAnew(tcb: Tcb, now: Micros): void {
  const { sent, snd } = tcb;
  let lost = false;
  for (let i = 0; i < sent.length; i++) {
    const segment = sent.at(i);
    if (segment === undefined || !segment.inFlight) continue;
    if (textBytes(tcb, segment) <= snd.mss) continue;
    sent.markLost(segment);
    lost = true;
  }
  if (!lost) return;
  if (tcb.linuxSender !== undefined) loseBatches(tcb);
  lostForSize(tcb, now);
}

/** What has left as one batch is one buffer in Linux: all of it is lost, and cut from its beginning when it is sent again. */
function loseBatches({ sent }: Tcb): void {
  for (let i = 1; i < sent.length; i++) {
    const before = sent.at(i - 1);
    const segment = sent.at(i);
    if (before?.lost && segment?.batchEnd === before.batchEnd) sent.markLost(segment);
  }
}

/** FIN takes a sequence number and no room. */
function textBytes(tcb: Tcb, segment: SentSegment): number {
  return Math.min(segment.length, seqDiff(tcb.dataEnd, segment.seq));
}

/** Segments were marked lost because of their size: recovery that runs reckons with it, and none begins for it. */
export function lostForSize(tcb: Tcb, now: Micros): void {
  const { sent, snd, recovery } = tcb;
  if (tcb.linuxSender !== undefined) simpleRetransmit(tcb, tcb.linuxSender, now);
  else if (recovery.active && tcb.sack.enabled) {
    recovery.prr.update(0, sent.inFlightBytes, tcb.congestion.ssthresh, snd.mss, false);
  } else if (!recovery.active && !recovery.loss) {
    // Small segments behind the large ones cause duplicate ACKs: no sign of congestion (RFC 8201 §5.4).
    recovery.recover = seqAdd(snd.max, -1);
  }
}

/** RFC 1191 §6.3: 10 minutes after it was lowered. Note: Linux does the same (net.ipv4.route.mtu_expires). */
export const RAISE_AFTER: Micros = 10 * MINUTE;

/** RFC 791: no IPv4 link carries less. */
const LEAST_IPV4_LINK = 68;

/**
 * A path MTU below this is not used: an attacker could make us send more headers than data (RFC 5927 §7). RFC 791 and RFC 8200
 * have every host take that much.
 */
function leastMtu(tcb: Tcb): number {
  // Note: FreeBSD goes down to net.inet.tcp.minmss (tcp_next_pmtu).
  if (tcb.local.family === 4 && tcb.config.arrivalRules === "bsd") return tcb.config.leastPeerMss + headerBytes(tcb);
  if (tcb.local.family === 6) return 1280;
  // Note: Linux goes down to net.ipv4.route.min_pmtu.
  return tcb.linux === undefined ? 576 : 552;
}

/** Time-outs in a row after which the size is in doubt. Note: Linux does the same (tcp_mtu_probing 1 after tcp_retries1). */
const BLACKHOLE_TIMEOUTS = 3;
/**
 * The same when segments as large have arrived before. Only a new route explains it then, or bad luck: of 10 MiB on a path that
 * loses every fifth packet, some ten segments time out three times, and each would cost ten minutes of small segments.
 */
const BLACKHOLE_TIMEOUTS_PROVEN = 5;
/** And then the larger size is tried again this soon. A new black hole costs some ten seconds each time. */
const RAISE_AFTER_PROVEN: Micros = 15 * SECOND;
/** Path MTUs to try then: an MSS of 1024 (RFC 4821 §7.2, Linux's tcp_base_mss), then what everyone must take. */
const BLACKHOLE_STEPS: readonly number[] = [1064, 576];
const BLACKHOLE_STEPS_V6: readonly number[] = [1280];

/** The next plateau below the size of a packet that did not pass, for routers that do not tell their MTU (RFC 1191 §7.1). */
function plateauBelow(size: number): number {
  for (const plateau of PLATEAUS) if (plateau < size) return plateau;
  return 0;
}

const PLATEAUS: readonly number[] = [65_535, 32_000, 17_914, 8_166, 4_352, 2_002, 1_492, 1_006, 508, 296, 68];
