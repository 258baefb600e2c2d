/** One TCP stack under many sockets: opened when the first needs it, kept alive by those in use, left when the process ends. */
import { RawTcpError } from "../base/errors.js";
import type { HostSession } from "../driver/host-session.js";
import type { ConnectionConfig } from "../tcp/config.js";
import type { Connection } from "../tcp/connection.js";
import type { State } from "../tcp/state.js";
import { runTicks } from "./internals.js";

/** What went over a stack. */
export interface NetStatistics {
  /** Connections that were opened by us, and that were accepted. */
  opened: number;
  accepted: number;
  bytesRead: number;
  bytesWritten: number;
}

/** How long a connection that its user has closed may make no progress before the process need not wait for it any longer. */
const STALLED_MS = 5000;

export class NetStack {
  readonly name: string;
  readonly statistics: NetStatistics = { opened: 0, accepted: 0, bytesRead: 0, bytesWritten: 0 };
  /** What its connections begin with, beside what the way to the peer decides. */
  readonly connectionConfig: Partial<ConnectionConfig>;
  readonly #open: (onState: (connection: Connection, to: State) => void) => HostSession;
  #session: HostSession | undefined;
  #closed = false;
  /** Handles that keep the process alive. */
  #users = 0;
  #kept = false;
  #refQueued = false;
  /** Closed by their users and not over yet, with what was acknowledged when last looked at. */
  readonly #lingering = new Map<Connection, number>();
  #watchdog: NodeJS.Timeout | undefined;
  #later: (() => void)[] = [];
  #turn: NodeJS.Immediate | undefined;

  /** `open` is called once, when the stack is first used, and may throw. */
  constructor(
    name: string,
    connectionConfig: Partial<ConnectionConfig>,
    open: (onState: (connection: Connection, to: State) => void) => HostSession,
  ) {
    this.name = name;
    this.connectionConfig = connectionConfig;
    this.#open = open;
  }

  /** The session under the stack, opened if need be. Throws what opening throws, and RawTcpError `EBADF` after `close`. */
  get session(): HostSession {
    if (this.#session !== undefined) return this.#session;
    if (this.#closed) throw new RawTcpError("EBADF", "the TCP stack is closed");
    const session = this.#open((connection, to) => this.#onState(connection, to));
    this.#session = session;
    session.driver.setRef(false);
    process.once("exit", this.#leave);
    return session;
  }

  get isOpen(): boolean {
    return this.#session !== undefined;
  }

  /** Whether it was ever opened. */
  get isUsed(): boolean {
    return this.isOpen || this.#closed;
  }

  /** Aborts what is open and frees the stack; sockets fail from now on. Later calls do nothing. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    process.removeListener("exit", this.#leave);
    this.#session?.close("abort");
    this.#session = undefined;
    clearInterval(this.#watchdog);
  }

  /** @internal One more or one less that keeps the process alive. */
  use(change: 1 | -1): void {
    this.#users += change;
    if (this.#refQueued || this.#users > 0 === this.#kept) return;
    // Switching costs system calls; one connection after another must not pay for each.
    if (this.#users > 0) {
      this.#setRef();
      return;
    }
    this.#refQueued = true;
    setImmediate(() => {
      this.#refQueued = false;
      this.#setRef();
    });
  }

  #setRef(): void {
    const keep = this.#users > 0;
    if (keep === this.#kept) return;
    this.#kept = keep;
    this.#session?.driver.setRef(keep);
  }

  /** @internal Calls back in a turn of its own, as libuv does for what is done at once. */
  later(action: () => void): void {
    this.#later.push(action);
    this.#turn ??= setImmediate(this.#runLater);
  }

  readonly #runLater = (): void => {
    this.#turn = undefined;
    const actions = this.#later;
    this.#later = [];
    let next = 0;
    try {
      while (next < actions.length) {
        actions[next++]?.();
        runTicks();
      }
    } finally {
      // One has thrown: the others are not to suffer for it.
      if (next < actions.length) {
        this.#later = [...actions.slice(next), ...this.#later];
        this.#turn ??= setImmediate(this.#runLater);
      }
    }
  };

  /** @internal The user has closed; what it wrote is still to get through, as the kernel sees to it for its own sockets. */
  linger(connection: Connection): void {
    if (isQuiet(connection.state)) return;
    if (this.#lingering.size === 0) this.#watchdog = setInterval(this.#watch, STALLED_MS);
    this.#lingering.set(connection, connection.tcb.snd.una);
    this.#session?.followState(connection);
    this.use(1);
  }

  #onState(connection: Connection, to: State): void {
    if (isQuiet(to)) this.#forget(connection);
  }

  #forget(connection: Connection): void {
    if (!this.#lingering.delete(connection)) return;
    this.use(-1);
    if (this.#lingering.size === 0) clearInterval(this.#watchdog);
  }

  readonly #watch = (): void => {
    for (const [connection, una] of this.#lingering) {
      if (connection.tcb.snd.una === una) this.#forget(connection);
      else this.#lingering.set(connection, connection.tcb.snd.una);
    }
  };

  readonly #leave = (): void => {
    this.#session?.close("leave");
    this.#session = undefined;
    this.#closed = true;
  };
}

/** Nothing of ours is on its way any more. */
function isQuiet(state: State): boolean {
  return state === "CLOSED" || state === "TIME-WAIT" || state === "FIN-WAIT-2";
}
