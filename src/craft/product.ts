/** Packets by the product of ranges and lists: each field may take several values, and every combination is a packet. */
import { RawTcpError } from "../base/errors.js";
import { IpAddress } from "../wire/address.js";
import type { EthernetSpec, IcmpSpec, Ipv4Spec, Ipv6Spec, PacketSpec, TcpSpec } from "./spec.js";

/** Several values for one field, made by `range` or `oneOf`. */
export class Variants<T> implements Iterable<T> {
  readonly length: number;
  readonly #at: (index: number) => T;

  constructor(length: number, at: (index: number) => T) {
    this.length = length;
    this.#at = at;
  }

  at(index: number): T {
    return this.#at(index);
  }

  *[Symbol.iterator](): Iterator<T> {
    for (let i = 0; i < this.length; i++) yield this.#at(i);
  }
}

type VariedFields<T> = { readonly [K in keyof T]: K extends "family" ? T[K] : T[K] | Variants<Exclude<T[K], undefined>> };

/** A PacketSpec in which any field may have several values. */
export interface VariedPacketSpec {
  readonly ethernet?: VariedFields<EthernetSpec>;
  readonly ip?: VariedFields<Ipv4Spec> | VariedFields<Ipv6Spec>;
  readonly tcp?: VariedFields<TcpSpec>;
  readonly icmp?: VariedFields<IcmpSpec>;
  readonly payload?: Uint8Array | Variants<Uint8Array>;
  readonly trailer?: Uint8Array | Variants<Uint8Array>;
}

/**
 * `first`, `first + step` … up to and with `last`; downwards when `last` is the smaller. Throws RawTcpError `ERR_CRAFT_RANGE`
 * for what is no whole number, and for a step below 1.
 */
export function range(first: number, last: number, step = 1): Variants<number> {
  if (![first, last, step].every(Number.isSafeInteger) || step < 1) {
    throw new RawTcpError(
      "ERR_CRAFT_RANGE",
      `range ${first} to ${last} by ${step}: expected whole numbers and a step of at least 1`,
    );
  }
  const sign = last < first ? -1 : 1;
  return new Variants(Math.floor(Math.abs(last - first) / step) + 1, (i) => first + sign * step * i);
}

/** Each of the values in turn. */
export function oneOf<T>(...values: readonly T[]): Variants<T> {
  if (values.length === 0) throw new RawTcpError("ERR_CRAFT_RANGE", "a list of values is empty");
  // The index is always in range.
  return new Variants(values.length, (i) => values[i] as T);
}

/** How many packets `product` gives. */
export function countProduct(spec: VariedPacketSpec): number {
  return variantsOf(spec).reduce((count, { variants }) => count * variants.length, 1);
}

/**
 * Every combination, one at a time, none kept: the field that is written last runs fastest. A spec without variants gives
 * itself.
 */
export function* product(spec: VariedPacketSpec): Generator<PacketSpec, void, undefined> {
  const found = variantsOf(spec);
  const indexes = found.map(() => 0);
  for (;;) {
    yield choose(spec, found, indexes);
    let i = found.length - 1;
    for (; i >= 0; i--) {
      const next = (indexes[i] ?? 0) + 1;
      if (next < (found[i]?.variants.length ?? 0)) {
        indexes[i] = next;
        break;
      }
      indexes[i] = 0;
    }
    if (i < 0) return;
  }
}

interface FoundVariants {
  readonly path: readonly string[];
  readonly variants: Variants<unknown>;
}

function variantsOf(spec: VariedPacketSpec): FoundVariants[] {
  const found: FoundVariants[] = [];
  walk(spec, [], found);
  return found;
}

function walk(value: unknown, path: readonly string[], found: FoundVariants[]): void {
  if (value instanceof Variants) found.push({ path, variants: value });
  else if (isPlain(value)) for (const [key, inner] of Object.entries(value)) walk(inner, [...path, key], found);
}

function isPlain(value: unknown): value is Readonly<Record<string, unknown>> {
  return (
    typeof value === "object" &&
    value !== null &&
    !Array.isArray(value) &&
    !(value instanceof Uint8Array) &&
    !(value instanceof IpAddress)
  );
}

/** The spec with one value for each of its variants. */
function choose(spec: VariedPacketSpec, found: readonly FoundVariants[], indexes: readonly number[]): PacketSpec {
  const chosen: Record<string, unknown> = { ...spec };
  for (const [i, { path, variants }] of found.entries()) {
    const value = variants.at(indexes[i] ?? 0);
    const [first = "", second] = path;
    if (second === undefined) chosen[first] = value;
    // The layers of `spec` are never written to: each packet has its own.
    else chosen[first] = { ...(chosen[first] as object), [second]: value };
  }
  return chosen as PacketSpec;
}
