/**
 * The cookies of a Fast Open server (RFC 7413 §4.1.2): a client that shows one has received a packet at its address before. A
 * keyed hash of both addresses, so that nothing is kept; the key changes daily, and the last one stays good for a day more.
 */
import { RawTcpError } from "../base/errors.js";
import type { Random } from "../base/random.js";
import { SipHash } from "../base/siphash.js";
import { MINUTE, type Micros } from "../base/time.js";
import type { IpAddress } from "../wire/address.js";
import { getU32, putU32 } from "../wire/bytes.js";
import type { Segment } from "../wire/segment.js";

/** What a cookie is worth: "old" is good, but of the last key, and a new one is due. */
export type CookieVerdict = "good" | "old" | "bad";

/** Bytes of a cookie. Note: Linux has the same (TCP_FASTOPEN_COOKIE_SIZE). */
export const COOKIE_BYTES = 8;

/** RFC 7413 §4.1.2 wants it changed periodically, and leaves the period open. */
const KEY_LIFETIME: Micros = 24 * 60 * MINUTE;

export class FastOpenCookies {
  readonly #random: Random | undefined;
  #key: SipHash | undefined;
  #last: SipHash | undefined;
  /** When the key was drawn, unless it was given. */
  #drawnAt: Micros = 0;
  #given = false;
  readonly #words = { 4: new Int32Array(2), 6: new Int32Array(8) } as const;
  readonly #hash = new Uint32Array(2);

  /** Keys are drawn from `random` unless they are given, see `setKeys`. */
  constructor(random?: Random, keys?: Uint8Array) {
    this.#random = random;
    if (keys !== undefined) this.setKeys(keys);
  }

  /** With keys from outside, see `setKeys`. */
  static withKeys(keys: Uint8Array): FastOpenCookies {
    return new FastOpenCookies(undefined, keys);
  }

  /**
   * Takes a key of 16 bytes from outside, or of 32 with the last key as its second half: for several servers behind one address
   * (RFC 7413 §4.1.2; Linux: TCP_FASTOPEN_KEY). It is not changed by itself. Throws RawTcpError `EINVAL` for any other length.
   */
  setKeys(keys: Uint8Array): void {
    if (keys.length !== 16 && keys.length !== 32) {
      throw new RawTcpError("EINVAL", `a Fast Open key has 16 bytes, or 32 with the last one, not ${keys.length}`);
    }
    this.#key = sipHash(keys.subarray(0, 16));
    this.#last = keys.length === 32 ? sipHash(keys.subarray(16)) : undefined;
    this.#given = true;
  }

  /** A new key; cookies of the last one stay good until the next change. */
  rotate(now: Micros): void {
    const random = this.#random;
    if (random === undefined) return;
    this.#last = this.#key;
    this.#key = new SipHash([random.u32(), random.u32(), random.u32(), random.u32()]);
    this.#drawnAt = now;
  }

  /** The cookie of a client for this address of ours. */
  make(local: IpAddress, remote: IpAddress, now: Micros): Uint8Array {
    return this.#cookie(this.#current(now), local, remote);
  }

  /** What the cookie of a SYN is worth. */
  check(seg: Segment, local: IpAddress, remote: IpAddress, now: Micros): CookieVerdict {
    if (seg.fastOpenLength !== COOKIE_BYTES) return "bad";
    if (matches(seg, this.#cookie(this.#current(now), local, remote))) return "good";
    return this.#last !== undefined && matches(seg, this.#cookie(this.#last, local, remote)) ? "old" : "bad";
  }

  #current(now: Micros): SipHash {
    if (this.#key === undefined || (!this.#given && now - this.#drawnAt >= KEY_LIFETIME)) {
      // After two lifetimes without a client the last key is older than it may be.
      if (now - this.#drawnAt >= 2 * KEY_LIFETIME) this.#key = undefined;
      this.rotate(now);
    }
    return this.#key as SipHash;
  }

  /** Note: Linux does the same (fastopen_cookie_gen_cipher): SipHash of the peer's address and ours, so a key is good for both. */
  #cookie(key: SipHash, local: IpAddress, remote: IpAddress): Uint8Array {
    const words = this.#words[remote.family];
    const at = putWords(words, 0, remote);
    putWords(words, at, local);
    key.hash64(words, this.#hash);
    const [low = 0, high = 0] = this.#hash;
    const cookie = new Uint8Array(COOKIE_BYTES);
    putU32(cookie, 0, swapped(low));
    putU32(cookie, 4, swapped(high));
    return cookie;
  }
}

/** The bytes of an address in network order, as the little-endian words that SipHash reads. Returns where the next begins. */
function putWords(words: Int32Array, at: number, address: IpAddress): number {
  if (address.family === 6) {
    words[at] = swapped(address.w0);
    words[at + 1] = swapped(address.w1);
    words[at + 2] = swapped(address.w2);
    words[at + 3] = swapped(address.w3);
    return at + 4;
  }
  words[at] = swapped(address.w3);
  return at + 1;
}

function swapped(word: number): number {
  return ((word << 24) | ((word & 0xff00) << 8) | ((word >>> 8) & 0xff00) | (word >>> 24)) >>> 0;
}

function matches(seg: Segment, cookie: Uint8Array): boolean {
  const at = seg.fastOpenOffset;
  return getU32(seg.bytes, at) === getU32(cookie, 0) && getU32(seg.bytes, at + 4) === getU32(cookie, 4);
}

function sipHash(key: Uint8Array): SipHash {
  const view = new DataView(key.buffer, key.byteOffset, key.length);
  return new SipHash([view.getUint32(0, true), view.getUint32(4, true), view.getUint32(8, true), view.getUint32(12, true)]);
}
