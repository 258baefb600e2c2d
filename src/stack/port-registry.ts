/** Local ports in use, with the reservation that each holds outside the stack. */
import { RawTcpError } from "../base/errors.js";
import { formatEndpoint, type IpAddress, parseAddress } from "../wire/address.js";
import type { PortHolder } from "./config.js";

const EVERY_IPV4 = parseAddress("0.0.0.0");
const EVERY_IPV6 = parseAddress("::");

interface Reservation {
  readonly address: IpAddress;
  readonly port: number;
  users: number;
}

export class PortRegistry {
  readonly #holder: PortHolder | undefined;
  readonly #held = new Map<string, Reservation>();
  /** The ports, and of those that several addresses hold, how many do. */
  readonly #ports = new Set<number>();
  readonly #shared = new Map<number, number>();
  /** Counts changes, so that a watcher can tell cheaply. */
  changes = 0;

  #cursor = 0;

  constructor(holder: PortHolder | undefined) {
    this.#holder = holder;
  }

  /** Reserves a port for one more user and returns the key to release it with. Throws what the holder throws. */
  take(address: IpAddress, port: number): string {
    const key = formatEndpoint(address, port);
    const held = this.#held.get(key);
    if (held !== undefined) {
      held.users++;
      return key;
    }
    this.#holder?.hold(address, port);
    this.#held.set(key, { address, port, users: 1 });
    if (this.#ports.has(port)) this.#shared.set(port, (this.#shared.get(port) ?? 1) + 1);
    else this.#ports.add(port);
    this.changes++;
    return key;
  }

  /**
   * Reserves a free port of the range, both ends included, by the hash-based algorithm of RFC 6056 §3.3.3. Throws RawTcpError
   * `EADDRNOTAVAIL` when there is none, and what the holder throws.
   */
  takeFree(address: IpAddress, [first, last]: readonly [number, number], offset: number): [port: number, key: string] {
    const count = last - first + 1;
    let problem: unknown;
    for (let tries = 0; tries < count; tries++) {
      const port = first + ((offset + this.#cursor++) % count);
      if (this.isHeld(port)) continue;
      try {
        return [port, this.take(address, port)];
      } catch (error) {
        if (!isAddressInUse(error)) throw error;
        problem = error;
      }
    }
    throw problem ?? new RawTcpError("EADDRNOTAVAIL", `no free port between ${first} and ${last} on ${address}`);
  }

  /** One more user of a reservation that exists. */
  share(key: string): void {
    const held = this.#held.get(key);
    if (held !== undefined) held.users++;
  }

  release(key: string): void {
    const held = this.#held.get(key);
    if (held === undefined || --held.users > 0) return;
    this.#held.delete(key);
    const left = (this.#shared.get(held.port) ?? 1) - 1;
    if (left === 0) this.#ports.delete(held.port);
    else if (left === 1) this.#shared.delete(held.port);
    else this.#shared.set(held.port, left);
    this.changes++;
    this.#holder?.release(held.address, held.port);
  }

  /** Whether a reservation of the port is for the same address, or either is for every address. */
  overlaps(address: IpAddress, port: number): boolean {
    if (!this.#ports.has(port)) return false;
    for (const held of this.#held.values()) {
      if (held.port !== port || held.address.family !== address.family) continue;
      if (held.address.equals(address) || held.address.isUnspecified() || address.isUnspecified()) return true;
    }
    return false;
  }

  isHeld(port: number): boolean {
    return this.#ports.has(port);
  }

  /**
   * Whether packets for that address and port are ours. The same port of another address of this host may be another process's, and a
   * raw socket sees its packets too.
   */
  speaksFor(address: IpAddress, port: number): boolean {
    if (!this.#ports.has(port)) return false;
    const everywhere = address.family === 4 ? EVERY_IPV4 : EVERY_IPV6;
    return this.#held.has(formatEndpoint(address, port)) || this.#held.has(formatEndpoint(everywhere, port));
  }

  /** One set, which lives: it is the present one at any time. */
  ports(): ReadonlySet<number> {
    return this.#ports;
  }
}

/** "address already in use" with the address named. */
export function addressInUse(address: IpAddress, port: number): RawTcpError {
  return new RawTcpError("EADDRINUSE", `address already in use: ${formatEndpoint(address, port)}`);
}

function isAddressInUse(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "EADDRINUSE";
}
