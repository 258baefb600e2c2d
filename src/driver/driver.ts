/**
 * The event loop around a stack and a device: packets in, packets out, one timer. With the simulator's loop it is one of the
 * two that drive the same engine; nothing of the protocol is decided here.
 */
import type { Random } from "../base/random.js";
import { type Micros, NEVER } from "../base/time.js";
import { readBootId } from "../kernel/boot-id.js";
import type { StackConfig } from "../stack/config.js";
import { Listener, type ListenOptions } from "../stack/listener.js";
import { type ConnectOptions, Stack } from "../stack/stack.js";
import type { Connection } from "../tcp/connection.js";
import type { ConnectionEvent } from "../tcp/events.js";
import { OutgoingPacket } from "../tcp/outgoing-packet.js";
import type { PacketDevice } from "../wire/packet-device.js";
import { type Clock, type ClockTimer, MONOTONIC_CLOCK } from "./clock.js";
import { SystemRandom } from "./entropy.js";

/** Told of the events of one connection; stands in `connection.context`. */
export interface ConnectionUser {
  onEvent(event: ConnectionEvent): void;
  /** An active OPEN has found its port; its SYN has not gone yet. */
  onOpen?(connection: Connection): void;
}

/** Told that connections wait to be accepted; stands in `listener.context`. */
export interface ListenerUser {
  onReady(): void;
}

export interface DriverOptions extends Omit<StackConfig, "random"> {
  readonly device: PacketDevice;
  /** Default: the system's randomness. */
  readonly random?: Random;
  /** Default: real time. */
  readonly clock?: Clock;
  /** Where packets are built, this driver's own. Default: ordinary memory; `createOutgoingPacket` sums faster. */
  readonly outgoing?: OutgoingPacket;
}

export class Driver {
  readonly stack: Stack;
  readonly device: PacketDevice;
  /** Packets that the device did not take. */
  refusedPackets = 0;
  readonly #out: OutgoingPacket;
  readonly #clock: Clock;
  #timer: ClockTimer | undefined;
  #timerAt: Micros = NEVER;
  #draining = false;
  #drainQueued = false;
  #eventsQueued = false;
  #portChanges = 0;
  #closed = false;
  #keepAlive = true;
  #idleWaiters: (() => void)[] = [];

  constructor(options: DriverOptions) {
    const { device, random = new SystemRandom(), clock = MONOTONIC_CLOCK, outgoing, ...config } = options;
    this.device = device;
    this.#out = outgoing ?? new OutgoingPacket();
    this.#clock = clock;
    this.stack = new Stack({ timestampKey: readBootId(), ...config, random });
    this.stack.onWake = () => this.#queueDrain();
    device.start(
      (bytes, offset, length) => this.stack.receive(bytes, offset, length, clock.now()),
      () => this.#drain(),
    );
  }

  /** Microseconds on the clock that the connections of this driver live by. */
  now(): Micros {
    return this.#clock.now();
  }

  /** Active OPEN. The SYN goes out before this returns, unless it is called by an event's user. Throws what `Stack.connect` throws. */
  connect(options: ConnectOptions, user: ConnectionUser): Connection {
    const connection = this.stack.connect(options, this.now());
    connection.context = user;
    user.onOpen?.(connection);
    this.#sendDue();
    return connection;
  }

  /** Passive OPEN. Throws what `Stack.listen` throws. */
  listen(options: ListenOptions, user: ListenerUser): Listener {
    const listener = this.stack.listen(options);
    listener.context = user;
    this.#setPorts();
    return listener;
  }

  /** Whether open connections (TIME-WAIT included) keep the process alive. Default true. */
  setRef(keepAlive: boolean): void {
    this.#keepAlive = keepAlive;
    this.device.setRef(keepAlive);
    this.#timer?.setRef(keepAlive);
  }

  /** Resolves when no connection is left: every close is done and TIME-WAIT over. */
  whenIdle(): Promise<void> {
    if (this.stack.connectionCount === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idleWaiters.push(resolve));
  }

  /** Aborts what is open (RST to the peers), lets the RSTs out, and frees the device. Later calls do nothing. */
  close(): void {
    if (this.#closed) return;
    for (const listener of [...this.stack.listeners()]) listener.close(this.now());
    for (const connection of [...this.stack.connections()]) connection.abort(this.now());
    // Called by an event's handler: the drain that told it goes on, but later than the device lives.
    if (this.#draining) this.#transmit();
    else this.#drain();
    this.#end();
  }

  /**
   * Leaves without a RST: what is open is CLOSEd, and all that was written is sent and acknowledged, if `poll`, which reads what waits on
   * the link, brings it about within `mostUs`. For the end of a process, when there is no event loop any more.
   */
  leave(poll: () => boolean = () => false, mostUs: Micros = 0): void {
    if (this.#closed) return;
    for (const connection of [...this.stack.connections()]) connection.close(this.now());
    this.#setPorts();
    this.#transmit();
    const end = this.now() + mostUs;
    while (this.now() < end && this.#hasUnacknowledged()) {
      if (!poll()) Atomics.wait(SLEEP, 0, 0, 1);
      this.stack.handleTimeout(this.now());
      this.#transmit();
    }
    this.#end();
  }

  #hasUnacknowledged(): boolean {
    for (const { state } of this.stack.connections())
      if (state === "FIN-WAIT-1" || state === "CLOSING" || state === "LAST-ACK") return true;
    return false;
  }

  #end(): void {
    this.#closed = true;
    this.#timer?.stop();
    this.device.close();
  }

  /** Sends at once what is due: before an ABORT, what the peer is to learn first. */
  flush(): void {
    if (this.#closed) return;
    this.#setPorts();
    this.#transmit();
  }

  /** User calls of one turn of the event loop are sent together at its end; events that come of them are told in the next. */
  #queueDrain(): void {
    if (this.#draining || this.#drainQueued) return;
    this.#drainQueued = true;
    queueMicrotask(this.#runQueuedDrain);
  }

  readonly #runQueuedDrain = (): void => {
    this.#drainQueued = false;
    this.#sendDue();
  };

  /** Sends what user calls have made due. No event is told from within a user's call. */
  #sendDue(): void {
    if (this.#draining || this.#closed) return;
    this.#setPorts();
    this.#transmit();
    this.#setPorts();
    this.#setTimer();
    if (this.stack.hasEvents) this.#queueEvents();
    this.#tellIdle();
  }

  #queueEvents(): void {
    if (this.#eventsQueued) return;
    this.#eventsQueued = true;
    const turn = setImmediate(this.#runQueuedEvents);
    if (!this.#keepAlive) turn.unref();
  }

  readonly #runQueuedEvents = (): void => {
    this.#eventsQueued = false;
    this.#drain();
  };

  /**
   * After any input: every event is told, everything that is due goes out, the timer is set. Events come first: what the user
   * answers at once rides on the segment that acknowledges.
   */
  #drain(): void {
    if (this.#draining || this.#closed) return;
    this.#draining = true;
    let isDone = false;
    try {
      do {
        this.#tellEvents();
        this.#setPorts();
        this.#transmit();
      } while (this.#tellEvents());
      isDone = true;
    } finally {
      this.#draining = false;
      // A user's handler has thrown: that is for whoever catches it, and the others get what is theirs.
      if (!isDone) this.#queueEvents();
    }
    this.#setPorts();
    this.#setTimer();
    this.#tellIdle();
  }

  #tellIdle(): void {
    if (this.#idleWaiters.length === 0 || this.stack.connectionCount > 0) return;
    for (const resolve of this.#idleWaiters.splice(0)) resolve();
  }

  #transmit(): void {
    const { stack, device } = this;
    const out = this.#out;
    const now = this.#clock.now();
    while (stack.pollTransmit(now, out)) {
      if (!device.send(out.bytes, 0, out.length, out.note)) this.refusedPackets++;
    }
  }

  /** Returns whether anything was told: then there may be more to send. */
  #tellEvents(): boolean {
    let told = false;
    for (;;) {
      const next = this.stack.pollEventful();
      if (next === undefined) return told;
      told = true;
      if (next instanceof Listener) {
        (next.context as ListenerUser | undefined)?.onReady();
        continue;
      }
      const user = next.context as ConnectionUser | undefined;
      for (let event = next.pollEvent(); event !== undefined; event = next.pollEvent()) user?.onEvent(event);
    }
  }

  /** The device's filter follows the ports in use. */
  #setPorts(): void {
    if (this.stack.portChanges === this.#portChanges) return;
    this.#portChanges = this.stack.portChanges;
    this.device.setPorts(this.stack.ports());
  }

  #setTimer(): void {
    const at = this.stack.nextTimeout();
    // An earlier wake-up does no harm: it finds nothing due and sets the next. So a timer that moves later costs nothing.
    if (at >= this.#timerAt) return;
    this.#timer?.stop();
    this.#timerAt = at;
    this.#timer = this.#clock.startTimer(at, this.#onTimer);
    if (!this.#keepAlive) this.#timer.setRef(false);
  }

  readonly #onTimer = (): void => {
    this.#timerAt = NEVER;
    // Timers come before packets in a turn of the event loop: an ACK that waits in the socket since before would come too late.
    const turn = setImmediate(this.#handleTimeout);
    if (!this.#keepAlive) turn.unref();
  };

  readonly #handleTimeout = (): void => {
    if (this.#closed) return;
    this.stack.handleTimeout(this.#clock.now());
    this.#drain();
  };
}

/** Nobody wakes it: a wait of a millisecond is what it is for. */
const SLEEP = new Int32Array(new SharedArrayBuffer(4));
