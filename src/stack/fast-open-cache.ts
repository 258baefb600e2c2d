/**
 * What a Fast Open client knows of servers (RFC 7413 §4.1.3): the cookie, the MSS, and how badly the last attempts went. Bounded: the
 * oldest entry makes way.
 */
import { MINUTE, type Micros } from "../base/time.js";
import type { ConnectionConfig } from "../tcp/config.js";
import { FAST_OPEN_FAILURES } from "../tcp/fast-open.js";
import type { Tcb } from "../tcp/tcb.js";
import type { IpAddress } from "../wire/address.js";

class Server {
  cookie: Uint8Array | undefined;
  experimental = false;
  mss = 0;
  /** SYNs in a row that had to be repeated, and when the last of them was. */
  losses = 0;
  lastLossAt: Micros = 0;
  /** Requests for a cookie that were answered without one: after the first the experimental form is tried once. */
  refusals = 0;
}

export class FastOpenCache {
  /** In the order of learning. */
  readonly #servers = new Map<string, Server>();
  readonly #capacity: number;

  constructor(capacity = 256) {
    this.#capacity = capacity;
  }

  get size(): number {
    return this.#servers.size;
  }

  /** Forgets the cookie of a server, and that attempts failed. */
  forget(remote: IpAddress): void {
    this.#servers.delete(String(remote));
  }

  /** Forgets all servers (Linux: ip tcp_metrics flush). */
  clear(): void {
    this.#servers.clear();
  }

  /** Whether data may go with the SYN of a connection to `remote`, as far as can be said now. */
  mayCarryData(remote: IpAddress, config: ConnectionConfig, now: Micros): boolean {
    if (config.fastOpen !== "client" && config.fastOpen !== "both") return false;
    const server = this.#servers.get(String(remote));
    if (server !== undefined && isBarred(server, now)) return false;
    return needsNoCookie(config) || server?.cookie !== undefined;
  }

  /** Before OPEN: what the SYN is to carry. Nothing while SYNs with Fast Open got lost on this path (§4.1.3.1). */
  prepare(tcb: Tcb, now: Micros): void {
    const { fastOpen, config } = tcb;
    if (config.fastOpen !== "client" && config.fastOpen !== "both") return;
    const server = this.#servers.get(String(tcb.remote));
    if (server !== undefined && isBarred(server, now)) {
      fastOpen.clientFail = FAST_OPEN_FAILURES.COOKIE_UNAVAILABLE;
      return;
    }
    fastOpen.trying = true;
    fastOpen.mss = server?.mss ?? 0;
    if (needsNoCookie(config)) {
      fastOpen.dataOnSyn = true;
      return;
    }
    const cookie = server?.cookie;
    fastOpen.cookie = cookie ?? NO_COOKIE;
    fastOpen.experimental = cookie === undefined ? server?.refusals === 1 : server?.experimental === true;
    fastOpen.dataOnSyn = cookie !== undefined;
    if (cookie === undefined) fastOpen.clientFail = FAST_OPEN_FAILURES.COOKIE_UNAVAILABLE;
  }

  /** After the SYN was answered or repeated: what it has taught. */
  learn(tcb: Tcb, now: Micros): void {
    const { fastOpen } = tcb;
    fastOpen.learned = false;
    const key = String(tcb.remote);
    const server = this.#servers.get(key) ?? new Server();
    this.#servers.delete(key);
    if (this.#servers.size >= this.#capacity) {
      for (const oldest of this.#servers.keys()) {
        this.#servers.delete(oldest);
        break;
      }
    }
    this.#servers.set(key, server);
    if (fastOpen.trying) {
      server.losses = Math.min(server.losses + 1, MOST_LOSSES);
      server.lastLossAt = now;
      return;
    }
    server.mss = fastOpen.mss;
    if (fastOpen.granted !== undefined) {
      server.cookie = fastOpen.granted;
      server.experimental = fastOpen.grantedExperimental;
      server.refusals = 0;
    }
    if (fastOpen.wasRepeated) return;
    server.losses = 0;
    if (server.cookie === undefined && server.refusals < 2) server.refusals++;
  }
}

function needsNoCookie({ fastOpenWithoutCookie: policy }: ConnectionConfig): boolean {
  return policy === true || policy === "client";
}

/** Asks for a cookie. */
const NO_COOKIE = new Uint8Array(0);

/** One loss may be chance. From the second on the wait begins with 4 minutes and doubles.. */
function isBarred(server: Server, now: Micros): boolean {
  return server.losses > 1 && now < server.lastLossAt + MINUTE * 2 ** server.losses;
}

/** About 17 hours of wait. */
const MOST_LOSSES = 10;
