/** Two hosts of which everything is written down: states of both ends, segments on the wire, events told to the users. */
import { MILLISECOND, type Micros, SECOND } from "../../src/base/time.js";
import type { ConnectionUser, SimHost } from "../../src/sim/host.js";
import type { Link, LinkOptions } from "../../src/sim/link.js";
import { type PacketFate, Simulation } from "../../src/sim/simulation.js";
import type { Listener } from "../../src/stack/listener.js";
import type { ConnectionConfig } from "../../src/tcp/config.js";
import type { Connection } from "../../src/tcp/connection.js";
import type { ConnectionObserver } from "../../src/tcp/events.js";
import { isTransition } from "../../src/tcp/state.js";
import { parseAddress } from "../../src/wire/address.js";
import { readSent, type Sent } from "../stack/rig.js";

/** One-way delay of the worlds here. */
export const DELAY = 10 * MILLISECOND;

/** A segment on the wire, told when it is sent. */
export interface OnWire extends Sent {
  /** "a" or "b". */
  readonly by: string;
  lost: boolean;
}

export interface End {
  readonly host: SimHost;
  /** States in order, the first connection's only. */
  readonly states: string[];
  /** User events in order. */
  readonly events: string[];
  connection: Connection | undefined;
}

export class Recorded {
  readonly sim: Simulation;
  readonly a: End;
  readonly b: End;
  readonly there: Link;
  readonly back: Link;
  readonly wire: OnWire[] = [];
  listener: Listener | undefined;

  constructor(connection: Partial<ConnectionConfig> = {}, link: LinkOptions = { delayUs: DELAY }, seed = 1) {
    this.sim = new Simulation(seed);
    this.a = this.#end("a", "10.0.0.1", connection);
    this.b = this.#end("b", "10.0.0.2", connection);
    [this.there, this.back] = this.sim.link(this.a.host, this.b.host, link);
    this.sim.witness = (t, by, _to, fate, bytes, note) => this.#seen(t, by, fate, bytes, note);
  }

  /** "a" connects to "b"; events go to `user` besides being written down. */
  connect(user?: ConnectionUser, port = 80, localPort = 0): Connection {
    this.a.connection = this.a.host.connect(this.b.host, port, this.recorder(this.a, user), {}, localPort);
    return this.a.connection;
  }

  listen(user?: ConnectionUser, port = 80): Listener {
    this.listener = this.b.host.listen(port, (connection) => {
      this.b.connection = connection;
      return this.recorder(this.b, user);
    });
    return this.listener;
  }

  /** Both ends established, nothing on the wire any more and nothing written down of it. */
  established(userA?: ConnectionUser, userB?: ConnectionUser): { a: Connection; b: Connection } {
    this.listen(userB);
    const a = this.connect(userA);
    this.sim.run({ until: this.sim.now + SECOND });
    const b = this.b.connection;
    if (b === undefined) throw new Error("nothing was accepted");
    for (const list of [this.wire, this.a.states, this.b.states, this.a.events, this.b.events]) list.length = 0;
    return { a, b };
  }

  /** A user that writes down what it is told. */
  recorder(end: End, user?: ConnectionUser): ConnectionUser {
    return (connection, event) => {
      end.events.push(event);
      user?.(connection, event);
    };
  }

  /** The wire as "a S", "b S.", with "x" behind what was lost and the payload length where there is payload. */
  get segments(): string[] {
    return this.wire.map(
      ({ by, flags, payload, lost }) => `${by} ${flags}${payload.length > 0 ? ` ${payload.length}` : ""}${lost ? " x" : ""}`,
    );
  }

  /** Loses packets of a direction that `test` picks, the first `count` of them. */
  lose(link: Link, test: (segment: Sent) => boolean, count = 1): void {
    let left = count;
    link.filter = (bytes) => left <= 0 || !test(readSent(bytes, this.sim.now, "")) || left-- <= 0;
  }

  run(seconds: number): void {
    this.sim.run({ until: this.sim.now + seconds * SECOND });
  }

  /** Lets time pass until the connection is CLOSED and returns when that was. */
  runUntilClosed(connection: Connection): number {
    if (!this.sim.run({ done: () => connection.state === "CLOSED" })) throw new Error("it does not close");
    return this.sim.now;
  }

  get connectionCount(): number {
    return this.a.host.stack.connectionCount + this.b.host.stack.connectionCount;
  }

  #end(name: string, address: string, connection: Partial<ConnectionConfig>): End {
    const states: string[] = [];
    const observer: ConnectionObserver = {
      state(_connection, from, to) {
        if (!isTransition(from, to)) throw new Error(`${from} to ${to} is no transition`);
        states.push(to);
      },
      timer() {},
      drop() {},
    };
    const host = this.sim.host(name, parseAddress(address), { connection, observer });
    return { host, states, events: [], connection: undefined };
  }

  #seen(t: Micros, by: string, fate: PacketFate, bytes: Uint8Array, note: string): void {
    if (fate === "sent") this.wire.push({ ...readSent(bytes, t, note), by, lost: false });
    const last = this.wire.at(-1);
    if (fate === "lost" && last !== undefined) last.lost = true;
  }
}

/** Reads all that is there. */
export function readAll(connection: Connection): number {
  const chunk = new Uint8Array(65_536);
  let total = 0;
  for (let n = connection.read(chunk); n > 0; n = connection.read(chunk)) total += n;
  return total;
}
