/**
 * A driver with what stands between it and its link, from the wire up: capture file, bend rules, faults, trace, the kernel's side of
 * it. Every session is assembled here, whatever its link.
 */
import type { Micros } from "../base/time.js";
import type { BendRule } from "../bend/ast.js";
import { parseBend } from "../bend/parser.js";
import { BenderDevice, type BenderDeviceOptions } from "../device/bender.js";
import { ConnectionBenders } from "../device/connection-benders.js";
import { PcapngTap } from "../device/pcapng-tap.js";
import { PeerWatch } from "../device/peer-watch.js";
import { SwitchedTracer } from "../device/switched-tracer.js";
import { traceDevice } from "../device/tracer.js";
import { keepFreedMemory } from "../kernel/allocator.js";
import { isOwnAddress } from "../kernel/interfaces.js";
import { createPeerObserver } from "../kernel/peer-state.js";
import type { HeldPort, PortGuard } from "../kernel/port-guard.js";
import type { TraceEvent, TraceSink } from "../observe/events.js";
import type { PortHolder } from "../stack/config.js";
import type { ConnectionConfig } from "../tcp/config.js";
import type { Connection } from "../tcp/connection.js";
import type { ConnectionObserver } from "../tcp/events.js";
import type { State } from "../tcp/state.js";
import type { IpAddress } from "../wire/address.js";
import { getU16 } from "../wire/bytes.js";
import { IpPacket, PROTOCOL_TCP, parseIpPacket } from "../wire/ip-packet.js";
import type { PacketDevice } from "../wire/packet-device.js";
import type { ChecksumPolicy } from "../wire/segment.js";
import { createOutgoingPacket } from "./checksum-wasm.js";
import { type Clock, MONOTONIC_CLOCK, wallClockNs } from "./clock.js";
import { Driver, type DriverOptions } from "./driver.js";
import { traceConnections } from "./trace.js";

/** What may be asked for over any link. */
export interface AssemblyOptions {
  readonly connection?: Partial<ConnectionConfig>;
  readonly checksums?: ChecksumPolicy;
  /** Takes every event. Absent: nothing is traced, at no cost. */
  readonly sink?: TraceSink | undefined;
  /** Takes the bytes of a pcapng file. */
  readonly capture?: ((bytes: Uint8Array) => void) | undefined;
  /** Bytes of the capture that may be gathered before they are taken; 0 (default) for a reader that watches live. */
  readonly captureBufferBytes?: number;
  /** Rules that bend the segments of the session, see `bend/parser.ts`: text, or what `parseBend` made of it. */
  readonly bend?: string | readonly BendRule[] | undefined;
  /**
   * Wraps the link once more, below the trace and above the capture file: fault injection. `events` takes what it has to
   * tell, stamped by `now`, the clock of the trace.
   */
  readonly wrap?: (device: PacketDevice, events: TraceSink, now: () => Micros) => PacketDevice;
  /** Told of the states that `followState` asked for; in the middle of the engine's work, so it may call nothing of it. */
  readonly onState?: (connection: Connection, to: State) => void;
}

/** What the link is, and who guards its ports. */
export interface Parts {
  readonly link: PacketDevice;
  /** For the capture file. */
  readonly interfaceName: string;
  readonly mtuBytes: number;
  /** Whatever comes in is what we have sent. */
  readonly isLoop?: boolean;
  /** Default: real time. */
  readonly clock?: Clock;
  /** The kernel's ports that we use; undefined where the kernel has no part in it. */
  readonly guard?: GuardPart;
  readonly stack?: Pick<DriverOptions, "ownsAddresses" | "random" | "ephemeralPorts">;
}

/** The guard, what its self-test said, and what has to be done before it holds a port of an address. */
export interface GuardPart {
  readonly guard: PortGuard;
  readonly detail: string;
  readonly beforeHold?: (address: IpAddress) => void;
}

export interface Assembled {
  readonly driver: Driver;
  /** Rules of `bend` that never did anything so far, as they were written. */
  readonly unmatchedBends: readonly string[];
  /** Tells the events of one connection from now on; returns what ends it. */
  watch(connection: Connection, watcher: TraceSink): () => void;
  /** From now on `onState` is told of the states of this connection. */
  followState(connection: Connection): void;
  /** Bends the segments of one connection from now on; returns what ends it. */
  bendConnection(connection: Connection, rules: readonly BendRule[]): () => void;
}

/** Puts the parts together. The link is closed with the driver. */
export function assemble(options: AssemblyOptions, parts: Parts): Assembled {
  const { sink } = options;
  const { clock = MONOTONIC_CLOCK } = parts;
  const start = clock.now();
  const now = (): Micros => clock.now() - start;
  let driver: Driver | undefined;
  const connOf = (our: IpAddress, ourPort: number, peer: IpAddress, peerPort: number): number =>
    driver?.stack.connectionId(our, ourPort, peer, peerPort) ?? 0;
  const watchers = new Map<number, TraceSink>();
  const tellWatcher = (event: TraceEvent): void => watchers.get(event.conn)?.(event);
  let events: TraceSink | undefined;

  let device = parts.link;
  if (options.capture !== undefined) {
    device = new PcapngTap(device, {
      write: options.capture,
      nowNs: wallClockNs(),
      userAppl: "rawtcp",
      bufferBytes: options.captureBufferBytes ?? 0,
      interfaceName: parts.interfaceName,
      isEcho: (bytes, offset, length) => parts.isLoop === true || isEcho(driver, bytes, offset, length),
    });
  }
  const bending: Omit<BenderDeviceOptions, "rules"> = {
    now,
    schedule: (delayUs, action) => clock.startTimer(clock.now() + delayUs, action).setRef(false),
    connection: (our, ourPort, peer, peerPort) => driver?.stack.connection(our, ourPort, peer, peerPort)?.tcb,
    events: sink === undefined ? undefined : (event) => events?.(event),
  };
  const rules = typeof options.bend === "string" ? parseBend(options.bend) : (options.bend ?? []);
  let bender: BenderDevice | undefined;
  if (rules.length > 0) {
    bender = new BenderDevice(device, { ...bending, rules });
    device = bender;
  }
  const benders = new ConnectionBenders(device, bending);
  device = benders;
  if (options.wrap !== undefined) device = options.wrap(device, (event) => events?.(event), now);
  let switched: SwitchedTracer | undefined;
  if (sink === undefined) {
    switched = new SwitchedTracer(device, tellWatcher, { now, connOf });
    device = switched;
  } else {
    const both: TraceSink = (event) => {
      sink(event);
      tellWatcher(event);
    };
    const tracing = traceDevice(device, { sink: both, now, connOf });
    device = tracing.device;
    events = tracing.events;
  }
  const { guard } = parts;
  if (events !== undefined && guard !== undefined) {
    device = new PeerWatch(device, { observer: createPeerObserver(), sink: events, now, connOf, isOwn: isOwnAddress });
    events({ type: "guard", t: now(), conn: 0, action: "self-test", method: guard.guard.method, port: 0, reason: guard.detail });
  }
  const observer = events === undefined ? undefined : traceConnections(events, start);
  const watching = traceConnections(tellWatcher, start);
  if (guard !== undefined) keepFreedMemory();
  const opened = new Driver({
    ...parts.stack,
    device,
    clock,
    connection: { mtuBytes: parts.mtuBytes, ...options.connection },
    checksums: options.checksums ?? "partial-ok",
    ...(guard === undefined ? {} : { ports: new GuardedPorts(guard, events, now), outgoing: createOutgoingPacket() }),
    ...(observer === undefined ? {} : { observer }),
  });
  driver = opened;
  const following: ConnectionObserver = {
    state(connection, from, to, reason, at) {
      if (observer !== undefined) observer.state(connection, from, to, reason, at);
      else if (watchers.has(connection.id)) watching.state(connection, from, to, reason, at);
      options.onState?.(connection, to);
    },
    timer: (...told) => (observer ?? (watchers.size > 0 ? watching : undefined))?.timer(...told),
    drop: (...told) => (observer ?? (watchers.size > 0 ? watching : undefined))?.drop(...told),
  };
  return {
    driver: opened,
    followState(connection) {
      connection.observer = following;
    },
    get unmatchedBends() {
      return bender?.unmatched ?? [];
    },
    watch(connection, watcher) {
      watchers.set(connection.id, watcher);
      // With a trace the engine tells already.
      if (switched !== undefined) {
        connection.observer = watching;
        switched.watchers = watchers.size;
      }
      return () => {
        if (watchers.get(connection.id) !== watcher) return;
        watchers.delete(connection.id);
        if (switched !== undefined) switched.watchers = watchers.size;
      };
    },
    bendConnection(connection, connectionRules) {
      const { local, localPort, remote, remotePort } = connection.tcb;
      return benders.add(local, localPort, remote, remotePort, connectionRules);
    },
  };
}

/** Whether a packet that comes in has left one of our own connections, or one that a listener of ours would know. */
function isEcho(driver: Driver | undefined, bytes: Uint8Array, offset: number, length: number): boolean {
  if (driver === undefined || parseIpPacket(packet, bytes, offset, length, false) !== "") return false;
  if (packet.protocol !== PROTOCOL_TCP || packet.payloadLength < 4) return false;
  const sourcePort = getU16(bytes, packet.payloadOffset);
  const destinationPort = getU16(bytes, packet.payloadOffset + 2);
  const { stack } = driver;
  if (!stack.ports().has(sourcePort) || !stack.ports().has(destinationPort)) return false;
  return stack.connectionId(packet.source, sourcePort, packet.destination, destinationPort) !== 0;
}

/** Scratch of this module: used within one call. */
const packet = new IpPacket();

/** The stack's ports, held by the guard. */
class GuardedPorts implements PortHolder {
  readonly #guard: PortGuard;
  readonly #beforeHold: GuardPart["beforeHold"];
  readonly #sink: TraceSink | undefined;
  readonly #now: () => number;
  readonly #held = new Map<string, HeldPort>();

  constructor(part: GuardPart, sink: TraceSink | undefined, now: () => number) {
    this.#guard = part.guard;
    this.#beforeHold = part.beforeHold;
    this.#sink = sink;
    this.#now = now;
  }

  hold(address: IpAddress, port: number): void {
    this.#beforeHold?.(address);
    const text = address.toString();
    // Holding takes a while, and what the connection does next is stamped with the time at which this began.
    const t = this.#now();
    this.#held.set(`${text} ${port}`, this.#guard.hold(text, port));
    this.#tell("hold", t, port, `keeps the kernel from answering for ${text} port ${port}`);
  }

  release(address: IpAddress, port: number): void {
    const key = `${address} ${port}`;
    this.#held.get(key)?.release();
    this.#held.delete(key);
    this.#tell("release", this.#now(), port, `${address} port ${port} is the kernel's again`);
  }

  #tell(action: "hold" | "release", t: number, port: number, reason: string): void {
    if (this.#sink === undefined) return;
    this.#sink({ type: "guard", t, conn: 0, action, method: this.#guard.method, port, reason });
  }
}
