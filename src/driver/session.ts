/**
 * A driver with everything around it that live traffic needs: the port guard and its self-test, the link, and on request the
 * trace, the kernel's side of it, and a capture file. What a program opens first and closes last.
 */
import { RawTcpError } from "../base/errors.js";
import type { Micros } from "../base/time.js";
import type { BendRule } from "../bend/ast.js";
import { parseBend } from "../bend/parser.js";
import { BenderDevice } from "../device/bender.js";
import { openPcapDevice } from "../device/pcap-device.js";
import { PcapngTap } from "../device/pcapng-tap.js";
import { PeerWatch } from "../device/peer-watch.js";
import { openRawSocketDevice } from "../device/raw-socket-device.js";
import { traceDevice } from "../device/tracer.js";
import { isOwnAddress } from "../kernel/interfaces.js";
import { LibcError } from "../kernel/libc.js";
import { createPeerObserver } from "../kernel/peer-state.js";
import { createPortGuard, type GuardMethod, type HeldPort, type PortGuard } from "../kernel/port-guard.js";
import { type Route, routeTo } from "../kernel/route.js";
import type { TraceSink } from "../observe/events.js";
import type { PortHolder } from "../stack/config.js";
import type { ConnectionConfig } from "../tcp/config.js";
import { type IpAddress, parseAddress } from "../wire/address.js";
import type { PacketDevice } from "../wire/packet-device.js";
import type { ChecksumPolicy } from "../wire/segment.js";
import { monotonicNow, wallClockNs } from "./clock.js";
import { Driver } from "./driver.js";
import { traceConnections } from "./trace.js";

export type LinkKind = "raw" | "pcap";

export interface SessionOptions {
  /** "raw" (default): raw sockets. "pcap": frames by libpcap, on the interface towards `target`. */
  readonly link?: LinkKind;
  readonly guard?: GuardMethod;
  /** Address of the peer, or the address to listen at. Decides route, source address and MTU. */
  readonly target: string;
  /** Asks for a source address; default is the kernel's choice for the target. */
  readonly source?: string | undefined;
  /** Refuses targets beyond this host unless set. */
  readonly allowRemote?: boolean;
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
}

export interface Session {
  readonly driver: Driver;
  /** Rules of `bend` that never did anything so far, as they were written. */
  readonly unmatchedBends: readonly string[];
  /** The address that our end has. */
  readonly local: IpAddress;
  readonly target: IpAddress;
  readonly mtuBytes: number;
  readonly guard: PortGuard;
  /** Aborts what is open, frees ports, sockets and rules. Later calls do nothing. */
  close(): void;
}

/**
 * Opens a session. Rejects with errors of one line: `ERR_REMOTE_TARGET` for a target beyond this host, LibcError (`EPERM`
 * without rights, `ENETUNREACH`), PortGuardError (`EGUARD` when the self-test saw the kernel answer), CaptureError.
 */
export async function openSession(options: SessionOptions): Promise<Session> {
  const target = parseAddress(options.target);
  const isServer = target.isUnspecified();
  if (!isServer && !isOwnAddress(options.target) && options.allowRemote !== true) {
    throw new RawTcpError(
      "ERR_REMOTE_TARGET",
      `${options.target} is not an address of this host: add --allow-remote if you may send there`,
    );
  }
  const route = routeOf(isServer ? "127.0.0.1" : options.target);
  const method = options.guard ?? "bpf";
  const start = monotonicNow();
  const guard = createPortGuard(method);
  let device: PacketDevice | undefined;
  try {
    const local = parseAddress(options.source ?? route.source);
    // The pcap link, too, sends through a raw socket to this host's own addresses.
    if (target.family === 6 && (options.link !== "pcap" || route.isOwnAddress)) {
      throw new RawTcpError(
        "ERR_IPV6_RAW",
        `${options.target}: the raw link carries IPv4 only; use --link pcap on an Ethernet or veth interface`,
      );
    }
    if (local.family !== target.family) {
      throw new RawTcpError("EINVAL", `source ${local} and target ${target} are of different address families`);
    }
    const report = guard.selfTest(local.isUnspecified() ? "127.0.0.1" : local.toString());
    const link =
      options.link === "pcap"
        ? await openPcapDevice({ interface: route.interface, target: options.target, mark: guard.mark })
        : openRawSocketDevice({ mark: guard.mark });
    const mtuBytes = Math.min(route.mtuBytes || link.mtuBytes, link.mtuBytes);
    const { sink } = options;
    device = link;
    if (options.capture !== undefined) {
      device = new PcapngTap(device, {
        write: options.capture,
        nowNs: wallClockNs(),
        userAppl: "rawtcp",
        bufferBytes: options.captureBufferBytes ?? 0,
        interfaceName: route.interface,
      });
    }
    let driver: Driver | undefined;
    const connOf = (our: IpAddress, ourPort: number, peer: IpAddress, peerPort: number): number =>
      driver?.stack.connectionId(our, ourPort, peer, peerPort) ?? 0;
    const now = (): number => monotonicNow() - start;
    let events: TraceSink | undefined;
    const rules = typeof options.bend === "string" ? parseBend(options.bend) : (options.bend ?? []);
    let bender: BenderDevice | undefined;
    if (rules.length > 0) {
      bender = new BenderDevice(device, {
        rules,
        now,
        schedule: (delayUs, action) => void setTimeout(action, delayUs / 1000).unref(),
        connection: (our, ourPort, peer, peerPort) => driver?.stack.connection(our, ourPort, peer, peerPort)?.tcb,
        events: sink === undefined ? undefined : (event) => events?.(event),
      });
      device = bender;
    }
    if (options.wrap !== undefined) device = options.wrap(device, (event) => events?.(event), now);
    const tracing = traceDevice(device, { sink, now, connOf });
    device = tracing.device;
    events = tracing.events;
    if (events !== undefined) {
      device = new PeerWatch(device, { observer: createPeerObserver(), sink: events, now, connOf, isOwn: isOwnAddress });
      events({ type: "guard", t: now(), conn: 0, action: "self-test", method, port: 0, reason: report.detail });
    }
    driver = new Driver({
      device,
      connection: { mtuBytes, ...options.connection },
      checksums: options.checksums ?? "partial-ok",
      ports: new GuardedPorts(guard, events, now),
      ...(events === undefined ? {} : { observer: traceConnections(events, start) }),
    });
    const opened = driver;
    return {
      driver: opened,
      local,
      target,
      mtuBytes,
      guard,
      get unmatchedBends() {
        return bender?.unmatched ?? [];
      },
      close() {
        opened.close();
        guard.close();
      },
    };
  } catch (error) {
    device?.close();
    guard.close();
    throw error;
  }
}

/** The kernel's error names no address. */
function routeOf(target: string): Route {
  try {
    return routeTo(target);
  } catch (error) {
    if (!(error instanceof LibcError)) throw error;
    throw new RawTcpError(error.code, `no route to ${target} (see ip route get ${target}): ${error.message}`);
  }
}

/** The stack's ports, held by the guard. */
class GuardedPorts implements PortHolder {
  readonly #guard: PortGuard;
  readonly #sink: TraceSink | undefined;
  readonly #now: () => number;
  readonly #held = new Map<string, HeldPort>();

  constructor(guard: PortGuard, sink: TraceSink | undefined, now: () => number) {
    this.#guard = guard;
    this.#sink = sink;
    this.#now = now;
  }

  hold(address: IpAddress, port: number): void {
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
