/**
 * SYN cookies (RFC 4987 §3.6, Appendix A; D. J. Bernstein 1996): when the SYN queue is full, the sequence number of the SYN-ACK
 * itself holds what must not be forgotten, and nothing is kept until the third segment brings it back.
 *
 *   cookie = F1(four-tuple) + [ minute mod 256 : 8 bits │ MSS index : 3 │ F2(four-tuple, SEG.SEQ, minute) : 21 ]
 *
 * F1 hides all the rest; of 2³² guesses 16 are good: 8 indices in each of two minutes. SEG.SEQ stands under the hash, so that a later
 * segment cannot pass for the third one and shift the stream.
 *
 * Options fit in only if the peer echoes timestamps: the low 6 bits of TSval are then window scale (15: none), SACK-permitted and
 * ECN. Note: Linux does the same, in the same places.
 */
import type { Random } from "../base/random.js";
import { SipHash } from "../base/siphash.js";
import { MINUTE, type Micros } from "../base/time.js";
import type { IpAddress } from "../wire/address.js";
import type { Segment } from "../wire/segment.js";
import { AE, CWR, ECE, SYN } from "../wire/tcp-flags.js";

/** What a cookie remembers of the SYN. */
export interface RememberedSyn {
  readonly mss: number;
  /** -1: none. */
  readonly windowScale: number;
  readonly sackPermitted: boolean;
  readonly ecn: boolean;
}

/** Four-tuple of a SYN, seen from us. */
export interface FourTuple {
  readonly local: IpAddress;
  readonly localPort: number;
  readonly remote: IpAddress;
  readonly remotePort: number;
}

export class SynCookies {
  readonly #random: Random;
  readonly #isLinux: boolean;
  /** Drawn with the first cookie: a stack that is never flooded needs none. */
  #mask: SipHash | undefined;
  #check: SipHash | undefined;
  readonly #words = new Int32Array(12);
  /** When the last cookie was made: without one in the last minutes no ACK can carry a good one. */
  #lastAt: Micros = -Infinity;

  constructor(random: Random, sizes: "linux" | "own" = "own") {
    this.#random = random;
    this.#isLinux = sizes === "linux";
  }

  #sizes(family: 4 | 6): readonly number[] {
    return this.#isLinux ? LINUX_MSS_TABLES[family] : MSS_TABLE;
  }

  /** The initial sequence number of the SYN-ACK for this SYN. */
  make(tuple: FourTuple, seg: Segment, now: Micros): number {
    this.#lastAt = now;
    const minute = minuteOf(now);
    // RFC 9293 MUST-15: the default without the option.
    const mss = seg.mss >= 0 ? seg.mss : tuple.local.family === 4 ? 536 : 1220;
    const index = this.#sizes(tuple.local.family).findLastIndex((size, i) => size <= mss || i === 0);
    const plain = (minute << 24) | (index << 21) | this.#hashCheck(tuple, seg.seq, minute);
    return (this.#hashMask(tuple) + plain) >>> 0;
  }

  /** Whether a cookie may be on its way: the cheap question before `check`. */
  expects(now: Micros): boolean {
    return now - this.#lastAt < (MINUTES_VALID + 1) * MINUTE;
  }

  /**
   * What the SYN said, from the third segment that answers it; undefined when its acknowledgment is no cookie of ours, or one that
   * is older than two minutes. `tsOffset` is that of the connection's timestamp clock.
   */
  check(tuple: FourTuple, seg: Segment, now: Micros, tsOffset: number): RememberedSyn | undefined {
    const plain = (seg.ack - 1 - this.#hashMask(tuple)) >>> 0;
    const minute = minuteOf(now);
    const age = (minute - (plain >>> 24)) & 0xff;
    if (age >= MINUTES_VALID) return undefined;
    if ((plain & 0x1f_ffff) !== this.#hashCheck(tuple, (seg.seq - 1) >>> 0, minute - age)) return undefined;
    const mss = this.#sizes(tuple.local.family)[(plain >>> 21) & 7] ?? 536;
    if (!seg.hasTimestamps) return { mss, windowScale: -1, sackPermitted: false, ecn: false };
    const bits = (seg.tsEcr - tsOffset) & 0x3f;
    const scale = bits & 0xf;
    return { mss, windowScale: scale === 0xf ? -1 : scale, sackPermitted: (bits & 0x10) !== 0, ecn: (bits & 0x20) !== 0 };
  }

  #hashMask(tuple: FourTuple): number {
    this.#mask ??= this.#key();
    return this.#mask.hash(this.#fill(tuple, 0, 0));
  }

  /** 21 bits. */
  #hashCheck(tuple: FourTuple, seq: number, minute: number): number {
    this.#check ??= this.#key();
    return this.#check.hash(this.#fill(tuple, seq, minute)) & 0x1f_ffff;
  }

  #key(): SipHash {
    const random = this.#random;
    return new SipHash([random.u32(), random.u32(), random.u32(), random.u32()]);
  }

  #fill({ local, localPort, remote, remotePort }: FourTuple, seq: number, minute: number): Int32Array {
    const w = this.#words;
    w[0] = local.w0;
    w[1] = local.w1;
    w[2] = local.w2;
    w[3] = local.w3;
    w[4] = remote.w0;
    w[5] = remote.w1;
    w[6] = remote.w2;
    w[7] = remote.w3;
    w[8] = (localPort << 16) | remotePort;
    w[9] = local.family;
    w[10] = minute;
    w[11] = seq;
    return w;
  }
}

/**
 * What to add to the timestamp offset of a connection so that its TSval holds the options of the SYN in the low six bits (counted
 * from the offset): never ahead of the clock, or later segments would seem old to the peer (RFC 7323 §5).
 */
export function timestampShift(seg: Segment, clock: number): number {
  const scale = seg.windowScale >= 0 ? Math.min(seg.windowScale, 14) : 0xf;
  const bits = scale | (seg.sackPermitted ? 0x10 : 0) | (wantsEcn(seg) ? 0x20 : 0);
  const shift = bits - (clock & 0x3f);
  return shift > 0 ? shift - 0x40 : shift;
}

/** Makes `seg`, the third segment, into the SYN that came before it, as far as it is remembered. Returns what it was. */
export function rebuildSyn(syn: Segment, seg: Segment, remembered: RememberedSyn): void {
  syn.bytes = seg.bytes;
  syn.sourcePort = seg.sourcePort;
  syn.destinationPort = seg.destinationPort;
  syn.seq = (seg.seq - 1) >>> 0;
  syn.ack = 0;
  syn.len = 1;
  syn.wnd = seg.wnd;
  syn.up = 0;
  // ACE of the third segment tells which form both have agreed on. Note: Linux does the same.
  const accurate = ((seg.flags >>> 6) & 7) > 1;
  syn.flags = remembered.ecn ? (accurate ? SYN | AE | ECE | CWR : SYN | ECE | CWR) : SYN;
  syn.payloadOffset = seg.payloadOffset;
  syn.payloadLength = 0;
  syn.mss = remembered.mss;
  syn.windowScale = remembered.windowScale;
  syn.sackPermitted = remembered.sackPermitted;
  syn.hasTimestamps = seg.hasTimestamps;
  syn.tsVal = seg.tsVal;
  syn.tsEcr = 0;
  syn.sackCount = 0;
  syn.fastOpenLength = -1;
  syn.accEcnFields = -1;
  syn.ecn = 0;
  syn.ttl = seg.ttl;
}

/** Takes from a SYN what a cookie cannot remember: text, Fast Open, and without timestamps every option but the MSS. */
export function stripSyn(seg: Segment): void {
  seg.flags = wantsEcn(seg) && seg.hasTimestamps ? seg.flags & (SYN | AE | ECE | CWR) : SYN;
  seg.len = 1;
  seg.payloadLength = 0;
  seg.fastOpenLength = -1;
  if (seg.hasTimestamps) return;
  seg.windowScale = -1;
  seg.sackPermitted = false;
}

/** In the classic or the accurate form; the forms that RFC 9768 keeps for the future are lost with a cookie. */
function wantsEcn(seg: Segment): boolean {
  return (seg.flags & (ECE | CWR)) === (ECE | CWR);
}

function minuteOf(now: Micros): number {
  return Math.floor(now / MINUTE);
}

/** This minute's and the last one's: a cookie lives one to two minutes. Note: Linux does the same (MAX_SYNCOOKIE_AGE). */
const MINUTES_VALID = 2;

/** Sizes that a cookie can name; more bits would be taken from the check. What common links, tunnels and jumbo frames have. */
const MSS_TABLE: readonly number[] = [48, 536, 1220, 1360, 1440, 1460, 8940, 65_476];

/** What a Linux host's cookies can name (msstab). */
const LINUX_MSS_TABLES: Readonly<Record<4 | 6, readonly number[]>> = {
  4: [536, 1300, 1440, 1460],
  6: [1220, 1420, 1440, 8940],
};
