/**
 * Which filter to give the kernel for a changing set of ports. A filter change is a system call and a program to compile,
 * so it must not happen at each of thousands of connections.
 */

import type { PortRange } from "../kernel/bpf.js";

/** The most ports that are listed one by one: each is an instruction that every packet of the host is tested with. */
export const EXACT_PORTS = 16;
/** Once wide, a filter becomes exact again only below this: a set that swings around the limit must not flap. */
const NARROW_AGAIN = EXACT_PORTS / 2;

/** A Set as it is, anything else as one: see `PacketDevice.setPorts`. */
export function asSet(ports: Iterable<number>): ReadonlySet<number> {
  return ports instanceof Set ? ports : new Set(ports);
}

/** Turns sets of ports into filters and tells when the filter must change. */
export class PortSet {
  readonly #local: PortRange;
  #exact: readonly number[] = [];
  #wide: readonly PortRange[] = [];

  /** `local` is the range from which local ports are taken: with many connections it is let through as a whole. */
  constructor(local: PortRange) {
    this.#local = local;
  }

  /** The ports and ranges to let through now, `undefined` when the filter attached before still does. */
  update(ports: Iterable<number>): (number | PortRange)[] | undefined {
    const wanted = asSet(ports);
    const isWide = this.#wide.length > 0;
    if (isWide && wanted.size > NARROW_AGAIN && this.#covers(wanted)) return undefined;
    if (wanted.size <= (isWide ? NARROW_AGAIN : EXACT_PORTS)) return this.#listExactly([...wanted].sort((a, b) => a - b));
    this.#exact = [];
    this.#wide = this.#rangesFor(wanted);
    return [...this.#wide];
  }

  #covers(wanted: ReadonlySet<number>): boolean {
    for (const port of wanted) {
      let isCovered = false;
      for (const range of this.#wide) isCovered ||= port >= range.first && port <= range.last;
      if (!isCovered) return false;
    }
    return true;
  }

  #listExactly(wanted: number[]): (number | PortRange)[] | undefined {
    const isSame =
      this.#wide.length === 0 && wanted.length === this.#exact.length && wanted.every((p, i) => p === this.#exact[i]);
    if (isSame) return undefined;
    this.#exact = wanted;
    this.#wide = [];
    return [...wanted];
  }

  /** The local range as a whole; what lies outside one by one, or as one range when that too is much. */
  #rangesFor(wanted: ReadonlySet<number>): PortRange[] {
    const outside = [...wanted].filter((port) => port < this.#local.first || port > this.#local.last);
    const sorted = outside.sort((a, b) => a - b);
    const singles =
      sorted.length > EXACT_PORTS
        ? [{ first: sorted[0] ?? 0, last: sorted.at(-1) ?? 0 }]
        : sorted.map((port) => ({ first: port, last: port }));
    return outside.length === wanted.size ? singles : [this.#local, ...singles];
  }
}
