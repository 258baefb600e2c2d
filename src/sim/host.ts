/** A host of the simulation: a stack, its links, and the user of its connections. */
import type { Random } from "../base/random.js";
import { type Micros, NEVER } from "../base/time.js";
import type { Bender } from "../bend/bender.js";
import type { StackConfig } from "../stack/config.js";
import { Listener, type ListenOptions } from "../stack/listener.js";
import { Stack } from "../stack/stack.js";
import type { ConnectionConfig } from "../tcp/config.js";
import type { Connection } from "../tcp/connection.js";
import type { ConnectionEvent } from "../tcp/events.js";
import { OutgoingPacket } from "../tcp/outgoing-packet.js";
import type { IpAddress } from "../wire/address.js";
import type { Link } from "./link.js";
import type { Simulation } from "./simulation.js";

/** Told of every event of a connection. */
export type ConnectionUser = (connection: Connection, event: ConnectionEvent) => void;

export type SimHostOptions = Omit<Partial<StackConfig>, "random">;

export class SimHost {
  readonly name: string;
  readonly address: IpAddress;
  readonly stack: Stack;
  /** Rules that what it sends and gets has to pass, see `bendHost`. */
  bender: Bender | undefined;
  readonly #sim: Simulation;
  readonly #links: Link[] = [];
  readonly #out = new OutgoingPacket();
  readonly #users = new Map<Connection, ConnectionUser>();
  readonly #servers = new Map<Listener, (connection: Connection) => ConnectionUser>();
  /** The time for which a wake-up is scheduled. */
  #wakeAt: Micros = NEVER;
  #draining = false;

  constructor(sim: Simulation, name: string, address: IpAddress, random: Random, options: SimHostOptions) {
    this.#sim = sim;
    this.name = name;
    this.address = address;
    this.stack = new Stack({ checksums: "strict", ownsAddresses: true, ...options, random });
    this.stack.onWake = () => this.drain();
  }

  attach(link: Link): void {
    this.#links.push(link);
  }

  /** Active OPEN to another host. */
  connect(
    to: SimHost,
    port: number,
    user: ConnectionUser,
    connection: Partial<ConnectionConfig> = {},
    localPort = 0,
  ): Connection {
    const made = this.stack.connect(
      { local: this.address, localPort, remote: to.address, remotePort: port, connection },
      this.#sim.now,
    );
    this.#users.set(made, user);
    this.drain();
    return made;
  }

  /** Gives a connection that was opened on the stack its user. */
  adopt(connection: Connection, user: ConnectionUser): void {
    this.#users.set(connection, user);
    this.drain();
  }

  /** Passive OPEN: `serve` is given every connection as it is accepted and returns its user. */
  listen(
    port: number,
    serve: (connection: Connection) => ConnectionUser,
    options: Omit<ListenOptions, "address" | "port"> = {},
  ): Listener {
    const listener = this.stack.listen({ ...options, address: this.address, port });
    this.#servers.set(listener, serve);
    return listener;
  }

  /** Passive OPEN without a user: connections wait in the accept queue. */
  listenOnly(port: number, options: Omit<ListenOptions, "address" | "port"> = {}): Listener {
    return this.stack.listen({ ...options, address: this.address, port });
  }

  /** A packet has arrived. */
  deliver(packet: Uint8Array): void {
    if (this.bender?.pass("in", packet, 0, packet.length) !== false) this.accept(packet);
  }

  /** Hands a packet to the stack, past the rules. */
  accept(packet: Uint8Array): void {
    this.stack.receive(packet, 0, packet.length, this.#sim.now);
    this.drain();
  }

  /** Sends all that is due, tells events, and schedules the next timer: the driver's loop in small. */
  drain(): void {
    // User calls made by an event's user come back here through onWake: the outer call goes on until nothing is left.
    if (this.#draining) return;
    this.#draining = true;
    do {
      while (this.stack.pollTransmit(this.#sim.now, this.#out)) this.#send();
    } while (this.#tellEvents());
    this.#draining = false;
    this.#scheduleTimer();
  }

  #send(): void {
    const { bytes, length, note } = this.#out;
    if (this.bender?.pass("out", bytes, 0, length) !== false) this.transmit(bytes, length, note);
  }

  /** Puts a packet on its link, past the rules. */
  transmit(bytes: Uint8Array, length: number, note: string): void {
    const link = this.#links.length === 1 ? this.#links[0] : this.#links.find((l) => isTo(bytes, l.destination.address));
    link?.send(bytes, length, note);
  }

  /** Returns whether there was anything to tell. */
  #tellEvents(): boolean {
    let told = false;
    for (;;) {
      const next = this.stack.pollEventful();
      if (next === undefined) return told;
      told = true;
      if (next instanceof Listener) this.#serve(next);
      else this.#tellUser(next);
    }
  }

  #serve(listener: Listener): void {
    const serve = this.#servers.get(listener);
    if (serve === undefined) return;
    for (let connection = listener.accept(); connection !== undefined; connection = listener.accept()) {
      this.#users.set(connection, serve(connection));
    }
  }

  #tellUser(connection: Connection): void {
    const user = this.#users.get(connection);
    for (let event = connection.pollEvent(); event !== undefined; event = connection.pollEvent()) {
      user?.(connection, event);
      if (event === "closed") this.#users.delete(connection);
    }
  }

  #scheduleTimer(): void {
    const at = this.stack.nextTimeout();
    if (at >= this.#wakeAt) return;
    this.#wakeAt = at;
    this.#sim.schedule(at, () => {
      // A timer that was moved on leaves its old wake-up behind: extra calls do nothing.
      if (this.#wakeAt === at) this.#wakeAt = NEVER;
      this.stack.handleTimeout(this.#sim.now);
      this.drain();
    });
  }
}

/** Whether the packet's destination is `address`. */
function isTo(bytes: Uint8Array, address: IpAddress): boolean {
  const at = address.family === 4 ? 16 : 24;
  const expected = new Uint8Array(16);
  address.write(expected, 0);
  for (let i = 0; i < (address.family === 4 ? 4 : 16); i++) if (bytes[at + i] !== expected[i]) return false;
  return true;
}
