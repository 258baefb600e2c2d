/**
 * Path MTUs by destination, as connections have learned them, for those that come later (RFC 1191 §6.3, RFC 8201 §5.2, RFC 2140
 * in spirit). Bounded: the oldest entry makes way, so a flood of forged messages costs only what is known.
 */
import type { Micros } from "../base/time.js";
import type { IpAddress } from "../wire/address.js";

interface Known {
  readonly mtu: number;
  readonly until: Micros;
}

export class PathMtuCache {
  /** In the order of learning. */
  readonly #known = new Map<string, Known>();
  readonly #capacity: number;

  constructor(capacity = 256) {
    this.#capacity = capacity;
  }

  get size(): number {
    return this.#known.size;
  }

  /** Keeps what was learned until the given time. */
  learn(destination: IpAddress, mtu: number, until: Micros): void {
    const key = String(destination);
    this.#known.delete(key);
    if (this.#known.size >= this.#capacity) {
      for (const oldest of this.#known.keys()) {
        this.#known.delete(oldest);
        break;
      }
    }
    this.#known.set(key, { mtu, until });
  }

  /** What is known of a destination and still holds. */
  find(destination: IpAddress, now: Micros): Known | undefined {
    // The usual case costs nothing.
    if (this.#known.size === 0) return undefined;
    const key = String(destination);
    const known = this.#known.get(key);
    if (known === undefined || now < known.until) return known;
    this.#known.delete(key);
    return undefined;
  }
}
