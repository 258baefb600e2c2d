/** Sessions for many peers: over this host's addresses at once, or inside the process. What `net` stands on. */
import { isMainThread } from "node:worker_threads";
import { RawTcpError } from "../base/errors.js";
import { SeededRandom } from "../base/random.js";
import { MILLISECOND, type Micros } from "../base/time.js";
import { FaultInjector, type FaultRates } from "../device/fault-injector.js";
import { LoopDevice } from "../device/loop-device.js";
import { openRawSocketDevice, type RawSocketDevice } from "../device/raw-socket-device.js";
import { isOwnAddress } from "../kernel/interfaces.js";
import { ipv6Absence, requireIpv6 } from "../kernel/ipv6.js";
import { createPortGuard, type GuardMethod } from "../kernel/port-guard.js";
import { type IpAddress, parseAddress } from "../wire/address.js";
import { type Assembled, type AssemblyOptions, assemble } from "./assembly.js";
import { type Clock, MONOTONIC_CLOCK } from "./clock.js";
import { routeOf } from "./session.js";

/** How long the end of a process may wait for what was written to be acknowledged. */
const LEAVE_US: Micros = 500 * MILLISECOND;
/** RFC 791 §3.1. */
const MAX_IPV4_BYTES = 65_535;

/** The way to a peer: our address, and the largest packet. */
export interface Path {
  readonly source: IpAddress;
  readonly mtuBytes: number;
}

/** Faults that every packet of a session may meet, from a seed; see `FaultRates`. */
export interface Faults extends FaultRates {
  /** Default 1. */
  readonly seed?: number;
}

export interface HostSession extends Assembled {
  /**
   * The way to an address. Throws RawTcpError: `ERR_REMOTE_TARGET` beyond this host, `ENETUNREACH`, `EAFNOSUPPORT` for a family that
   * the link does not carry.
   */
  pathTo(remote: IpAddress): Path;
  /** Whether it is an address that we may listen at or connect from; 0.0.0.0 and :: are. */
  isOwn(address: IpAddress): boolean;
  readonly hasIpv6: boolean;
  /** Ends it: nothing more is sent. `leave`: what is open is CLOSEd first, else aborted. */
  close(how: "abort" | "leave"): void;
}

export interface HostSessionOptions extends AssemblyOptions {
  readonly guard?: GuardMethod;
  /** Refuses peers beyond this host unless set. */
  readonly allowRemote?: boolean;
  /** Our address for all peers; default is the kernel's choice for each. */
  readonly address?: string | undefined;
  readonly faults?: Faults | undefined;
}

/**
 * Opens raw sockets for all addresses of this host. Throws errors of one line: LibcError or RawTcpError `EPERM` without rights,
 * PortGuardError (`EGUARD` when the self-test saw the kernel answer).
 */
export function openHostSession(options: HostSessionOptions = {}): HostSession {
  const own = options.address === undefined ? undefined : parseAddress(options.address);
  const guard = createPortGuard(options.guard ?? "bpf");
  let opened: RawSocketDevice | undefined;
  try {
    const loopback = own?.family === 6 ? "::1" : "127.0.0.1";
    const report = guard.selfTest(own === undefined || own.isUnspecified() ? loopback : own.toString());
    // The add-on polls on the main thread's event loop: in a worker it would end the process.
    const link = openRawSocketDevice({ mark: guard.mark, ...(isMainThread ? {} : { backend: "koffi" as const }) });
    opened = link;
    const assembled = assemble(withFaults(options, MONOTONIC_CLOCK), {
      link,
      interfaceName: "lo",
      // For whoever connects to us, in either family; towards a peer that we connect to the route tells.
      mtuBytes: Math.min(link.mtuBytes, MAX_IPV4_BYTES),
      guard: {
        guard,
        detail: report.detail,
        beforeHold(address) {
          if (address.family === 6) link.openIpv6();
        },
      },
    });
    // Asking the kernel takes two sockets, and the way to a loopback address does not change.
    const loopbackPaths = new Map<string, Path>();
    return {
      ...assembled,
      get unmatchedBends() {
        return assembled.unmatchedBends;
      },
      get hasIpv6() {
        return ipv6Absence() === "";
      },
      pathTo(remote) {
        const text = remote.toString();
        const known = loopbackPaths.get(text);
        if (known !== undefined) return known;
        if (remote.family === 6) requireIpv6(text);
        if (own !== undefined && own.family !== remote.family) throw otherFamily(text, own);
        if (options.allowRemote !== true && !isOwnAddress(text)) throw remoteTarget(text);
        const route = routeOf(text);
        const mtuBytes = Math.min(route.mtuBytes || MAX_IPV4_BYTES, assembled.driver.device.mtuBytes);
        const path = { source: own ?? parseAddress(route.source), mtuBytes };
        if (remote.isLoopback() && loopbackPaths.size < 1000) loopbackPaths.set(text, path);
        return path;
      },
      isOwn: (address) => address.isUnspecified() || isOwnAddress(address.toString()),
      close(how) {
        if (how === "leave") assembled.driver.leave(link.poll, LEAVE_US);
        else assembled.driver.close();
        guard.close();
      },
    };
  } catch (error) {
    opened?.close();
    guard.close();
    throw error;
  }
}

export interface LoopSessionOptions extends AssemblyOptions {
  /** Default: real time. */
  readonly clock?: Clock;
  /** Addresses that exist beside 127.0.0.0/8 and ::1. */
  readonly addresses?: readonly string[] | undefined;
  /** Time on the wire, one way. Default 0. */
  readonly delayUs?: Micros;
  readonly mtuBytes?: number;
  /** Of initial sequence numbers, ports and faults: the same seed gives the same packets. Default: the system's randomness. */
  readonly seed?: number | undefined;
  readonly faults?: Faults | undefined;
}

/** A stack that speaks to itself inside the process: no rights, no kernel. */
export function openLoopSession(options: LoopSessionOptions = {}): HostSession {
  const { clock = MONOTONIC_CLOCK, seed } = options;
  const addresses = (options.addresses ?? []).map(parseAddress);
  const exists = (address: IpAddress): boolean =>
    address.isLoopback() || addresses.some((candidate) => candidate.equals(address));
  const link = new LoopDevice({
    now: () => clock.now(),
    // What is on the wire is on its way to someone who waits for it: it keeps the process alive.
    schedule: (delayUs, action) => void clock.startTimer(clock.now() + delayUs, action),
    delayUs: options.delayUs ?? 0,
    mtuBytes: options.mtuBytes ?? 65_535,
  });
  const assembled = assemble(withFaults(options, clock), {
    link,
    interfaceName: "loop",
    isLoop: true,
    mtuBytes: link.mtuBytes,
    clock,
    stack: { ownsAddresses: true, ...(seed === undefined ? {} : { random: new SeededRandom(seed) }) },
  });
  return {
    ...assembled,
    get unmatchedBends() {
      return assembled.unmatchedBends;
    },
    hasIpv6: true,
    pathTo(remote) {
      if (!exists(remote)) throw new RawTcpError("ENETUNREACH", `${remote} does not exist on this wire`);
      return { source: remote, mtuBytes: link.mtuBytes };
    },
    isOwn: (address) => address.isUnspecified() || exists(address),
    close(how) {
      if (how === "leave") assembled.driver.leave();
      else assembled.driver.close();
    },
  };
}

function withFaults(options: AssemblyOptions & { readonly faults?: Faults | undefined }, clock: Clock): AssemblyOptions {
  const { faults, wrap } = options;
  if (faults === undefined) return options;
  const { seed = 1, ...rates } = faults;
  return {
    ...options,
    wrap: (device, events, now) => {
      const inner = wrap?.(device, events, now) ?? device;
      const schedule = (delayUs: Micros, action: () => void): void =>
        clock.startTimer(clock.now() + delayUs, action).setRef(false);
      // Each packet meets them once, on its way out; what comes from a kernel meets them on its way in.
      return new FaultInjector(inner, { seed, out: rates, in: inner.name === "loop" ? {} : rates, schedule, events, now });
    },
  };
}

function otherFamily(address: string, own: IpAddress): RawTcpError {
  return new RawTcpError("EAFNOSUPPORT", `${address} cannot be reached from our address ${own}, which is of the other family`);
}

function remoteTarget(address: string): RawTcpError {
  return new RawTcpError(
    "ERR_REMOTE_TARGET",
    `${address} is not an address of this host: allow remote peers (--allow-remote) if you may send there`,
  );
}
