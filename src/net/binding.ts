/** Where a handle is bound, and what listens there: one address, or both families at one port (dual stack). */
import type { ListenerUser } from "../driver/driver.js";
import type { HostSession } from "../driver/host-session.js";
import type { Listener } from "../stack/listener.js";
import type { ConnectionConfig } from "../tcp/config.js";
import type { Connection } from "../tcp/connection.js";
import { IpAddress } from "../wire/address.js";
import { codeOf } from "./errors.js";
import { errnoOf } from "./internals.js";
import { addressOf } from "./names.js";

/** Tries to find one port that is free in both families. */
const DUAL_STACK_TRIES = 32;

export class Binding {
  readonly addresses: readonly IpAddress[];
  port: number;
  /** libuv reports a port in use not when it binds, but when it listens or connects. */
  error = 0;
  #keys: string[] = [];
  readonly #session: HostSession;
  readonly #listeners: Listener[] = [];

  /**
   * Binds to an address, with `isDual` to 0.0.0.0 as well; port 0 chooses one. Throws RawTcpError `EAFNOSUPPORT`, `EADDRNOTAVAIL`, or
   * what holding the port throws.
   */
  constructor(session: HostSession, text: string, port: number, isDual: boolean) {
    this.#session = session;
    const address = addressOf(text);
    if (address.family === 6 && !session.hasIpv6) throw coded("EAFNOSUPPORT");
    if (!session.isOwn(address)) throw coded("EADDRNOTAVAIL");
    this.addresses = isDual ? [address, new IpAddress(4)] : [address];
    this.port = port;
    this.#reserve();
  }

  get isListening(): boolean {
    return this.#listeners.length > 0;
  }

  /** Passive OPEN at every address. Throws what `Stack.listen` throws. */
  listen(backlog: number, connection: Partial<ConnectionConfig>, user: ListenerUser): void {
    const { driver } = this.#session;
    try {
      for (const address of this.addresses)
        this.#listeners.push(driver.listen({ address, port: this.port, backlog, connection }, user));
    } catch (error) {
      this.close();
      throw error;
    }
    this.release();
  }

  /** The next connection that waits. */
  accept(): Connection | undefined {
    for (const listener of this.#listeners) {
      const connection = listener.accept();
      if (connection !== undefined) return connection;
    }
    return undefined;
  }

  /** Whoever was opened at the port holds it now. */
  release(): void {
    for (const key of this.#keys.splice(0)) this.#session.driver.stack.unbind(key);
  }

  /** Stops listening, and gives the port back. */
  close(): void {
    const { driver } = this.#session;
    for (const listener of this.#listeners.splice(0)) listener.close(driver.now());
    this.release();
  }

  #reserve(): void {
    const { stack } = this.#session.driver;
    const { port } = this;
    for (let tries = 0; ; tries++) {
      try {
        let chosen = port;
        for (const address of this.addresses) {
          const reservation = stack.bind(address, chosen, true);
          chosen = reservation.port;
          this.#keys.push(reservation.key);
        }
        this.port = chosen;
        return;
      } catch (error) {
        this.release();
        if (codeOf(error) !== "EADDRINUSE") throw error;
        if (port === 0 && tries < DUAL_STACK_TRIES) continue;
        this.error = errnoOf("EADDRINUSE");
        return;
      }
    }
  }
}

function coded(code: string): Error {
  return Object.assign(new Error(code), { code });
}
