/**
 * Connections by their four-tuple: a hash table with chains, numbers for keys, so that finding the connection of a segment
 * allocates nothing. The hash of a received segment is cheap; it is seeded, and chains are short unless the seed is known.
 */
import type { IpAddress } from "../wire/address.js";
import type { Entry } from "./entry.js";

export class ConnectionTable {
  #buckets: (Entry | undefined)[] = new Array<Entry | undefined>(64);
  #mask = 63;
  #size = 0;
  readonly #seed: number;

  constructor(seed: number) {
    this.#seed = seed | 1;
  }

  get size(): number {
    return this.#size;
  }

  find(local: IpAddress, localPort: number, remote: IpAddress, remotePort: number): Entry | undefined {
    const hash = this.#hash(local, localPort, remote, remotePort);
    for (let entry = this.#buckets[hash & this.#mask]; entry !== undefined; entry = entry.nextInBucket) {
      const tcb = entry.connection.tcb;
      if (tcb.remotePort === remotePort && tcb.localPort === localPort && tcb.remote.equals(remote) && tcb.local.equals(local)) {
        return entry;
      }
    }
    return undefined;
  }

  add(entry: Entry): void {
    if (this.#size >= this.#buckets.length) this.#grow();
    const tcb = entry.connection.tcb;
    entry.hash = this.#hash(tcb.local, tcb.localPort, tcb.remote, tcb.remotePort);
    this.#link(entry);
    this.#size++;
  }

  remove(entry: Entry): void {
    const at = entry.hash & this.#mask;
    let previous: Entry | undefined;
    for (let other = this.#buckets[at]; other !== undefined; other = other.nextInBucket) {
      if (other === entry) {
        if (previous === undefined) this.#buckets[at] = entry.nextInBucket;
        else previous.nextInBucket = entry.nextInBucket;
        entry.nextInBucket = undefined;
        this.#size--;
        return;
      }
      previous = other;
    }
  }

  *[Symbol.iterator](): IterableIterator<Entry> {
    for (const first of this.#buckets) {
      for (let entry = first; entry !== undefined; entry = entry.nextInBucket) yield entry;
    }
  }

  #link(entry: Entry): void {
    const at = entry.hash & this.#mask;
    entry.nextInBucket = this.#buckets[at];
    this.#buckets[at] = entry;
  }

  #grow(): void {
    const entries = [...this];
    this.#buckets = new Array<Entry | undefined>(this.#buckets.length * 4);
    this.#mask = this.#buckets.length - 1;
    for (const entry of entries) this.#link(entry);
  }

  /** Multiply and mix with a secret seed (the finalizer of MurmurHash3). */
  #hash(local: IpAddress, localPort: number, remote: IpAddress, remotePort: number): number {
    let h = this.#seed ^ ((localPort << 16) | remotePort);
    h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
    h = Math.imul(h ^ remote.w3 ^ (h >>> 13), 0xc2b2ae35);
    if (remote.family === 6) {
      // Word by word: the holder of a /64 chooses two of them, and could choose pairs of one sum.
      h = Math.imul(h ^ remote.w2 ^ (h >>> 16), 0x85ebca6b);
      h = Math.imul(h ^ remote.w1 ^ (h >>> 13), 0xc2b2ae35);
      h = Math.imul(h ^ remote.w0 ^ (h >>> 16), 0x85ebca6b);
    }
    h = Math.imul(h ^ local.w3 ^ local.w2 ^ this.#seed ^ (h >>> 16), 0x85ebca6b);
    return (h ^ (h >>> 16)) >>> 0;
  }
}
