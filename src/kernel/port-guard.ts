/**
 * The port guard keeps the kernel from answering for our ports.
 *
 * The kernel knows nothing of our connections, so it answers a segment that comes for one of them with RST, which ends the
 * session. Four ways to keep it quiet:
 *
 *   bpf       a kernel socket listens on the port behind the filter `ret #0`: the kernel finds a listener, drops the segment
 *             and says nothing. The port is reserved, and all goes away with the process, kill -9 included.
 *   nft       an nftables table of our own drops the kernel's RSTs on their way out. Our own carry a mark and pass.
 *   iptables  the same with iptables and ip6tables.
 *   none      nothing: for addresses that the kernel does not own (TUN, a namespace), or to see the RST happen.
 */

import { RawTcpError } from "../base/errors.js";
import { capabilityAdvice } from "./capabilities.js";
import { type DropFilter, openDropFilter } from "./drop-filter.js";
import { type Firewall, FirewallError, openFirewall } from "./firewall.js";
import { type GuardReport, probeGuard } from "./guard-self-test.js";
import {
  AF_INET,
  AF_INET6,
  bind,
  close,
  getsockname,
  IPPROTO_IPV6,
  IPV6_V6ONLY,
  LibcError,
  listen,
  SO_REUSEADDR,
  SOCK_STREAM,
  SOL_SOCKET,
  setsockopt,
  socket,
} from "./libc.js";

export type GuardMethod = "bpf" | "nft" | "iptables" | "none";

/**
 * The mark (SO_MARK) that a raw socket must carry so that the rules of nft and iptables let its RSTs pass. It is the text
 * "rtcp": any value does that no other rule of the host uses.
 */
export const GUARD_MARK = 0x72746370;

/** A port that the kernel leaves to us. */
export interface HeldPort {
  readonly address: string;
  readonly port: number;
  /** Gives the port back to the kernel. Later calls do nothing. */
  release(): void;
}

/** What the guard did, for traces: "hold 127.0.0.1 port 80 (bpf)". */
export interface GuardEvent {
  readonly kind: "open" | "hold" | "release" | "self-test" | "close";
  readonly detail: string;
}

export interface PortGuard {
  readonly method: GuardMethod;
  /** What our raw sockets must set with SO_MARK, `undefined` when the method needs none. */
  readonly mark: number | undefined;
  /**
   * Holds a port of one of this host's addresses ("0.0.0.0" and "::" are all of a family). Port 0 lets the kernel choose one.
   * Throws PortGuardError: EADDRINUSE, EADDRNOTAVAIL (bpf: the address is not this host's), EPERM, EACCES, ENOENT (no such tool).
   */
  hold(address: string, port: number): HeldPort;
  /**
   * Proves that the guard holds at an address: a SYN-ACK is sent to a held port, and no RST may come out.
   * Takes about a millisecond, 25 at most. Throws PortGuardError with code EGUARD when the kernel answers all the same.
   */
  selfTest(address: string): GuardReport;
  /** Releases every port and removes every rule. Later calls do nothing. */
  close(): void;
}

/** The guard cannot be set up or does not hold. `code` is the errno's name, or EGUARD when the self-test saw an RST. */
export class PortGuardError extends RawTcpError {
  constructor(code: string, message: string) {
    super(code, message);
    this.name = "PortGuardError";
  }
}

/** Opens a port guard. Throws PortGuardError when the method cannot work here (no such tool, no permission). */
export function createPortGuard(method: GuardMethod, onEvent?: (event: GuardEvent) => void): PortGuard {
  const firewall = method === "nft" || method === "iptables" ? asGuardError(() => openFirewall(method, GUARD_MARK)) : undefined;
  const held = new Map<string, HeldPort>();
  let isOpen = true;
  let filter: DropFilter | undefined;
  if (onEvent !== undefined) onEvent({ kind: "open", detail: `port guard ${method}${firewall ? ` (${firewall.name})` : ""}` });

  function hold(address: string, port: number): HeldPort {
    if (!isOpen) throw new PortGuardError("EBADF", "the port guard is closed");
    if (held.has(keyOf(address, port))) throw new PortGuardError("EADDRINUSE", `${address} port ${port} is already held`);
    const reservation = asGuardError(() => {
      if (method !== "bpf") return reserve(firewall, address, port);
      filter ??= openDropFilter();
      return reserveByListener(filter, address, port);
    });
    const key = keyOf(address, reservation.port);
    const heldPort: HeldPort = {
      address,
      port: reservation.port,
      release() {
        if (!held.delete(key)) return;
        reservation.release();
        if (onEvent !== undefined)
          onEvent({ kind: "release", detail: `release ${address} port ${reservation.port} (${method})` });
      },
    };
    held.set(key, heldPort);
    if (onEvent !== undefined) onEvent({ kind: "hold", detail: `hold ${address} port ${reservation.port} (${method})` });
    return heldPort;
  }

  return {
    method,
    mark: firewall === undefined ? undefined : GUARD_MARK,
    hold,
    selfTest(address) {
      const report = asGuardError(() => probeGuard(address, (target) => hold(target, 0), firewall ? GUARD_MARK : undefined));
      if (onEvent !== undefined) onEvent({ kind: "self-test", detail: `self-test at ${address} (${method}): ${report.detail}` });
      if (!report.holds && method !== "none") throw new PortGuardError("EGUARD", `port guard ${method}: ${report.detail}`);
      return report;
    },
    close() {
      if (!isOpen) return;
      isOpen = false;
      // One table is deleted faster than its entries one by one.
      firewall?.close();
      for (const heldPort of [...held.values()]) heldPort.release();
      filter?.close();
      if (onEvent !== undefined) onEvent({ kind: "close", detail: `port guard ${method} closed` });
    },
  };
}

interface Reservation {
  readonly port: number;
  release(): void;
}

/** Every method but bpf. */
function reserve(firewall: Firewall | undefined, address: string, port: number): Reservation {
  const bound = reserveByBind(address, port);
  if (firewall === undefined) return bound;
  try {
    firewall.add(address, bound.port);
  } catch (error) {
    bound.release();
    throw error;
  }
  return {
    port: bound.port,
    release() {
      firewall.remove(address, bound.port);
      bound.release();
    },
  };
}

/** Method bpf. The filter is attached before listen(2), so there is no moment in which the kernel would accept. */
function reserveByListener(filter: DropFilter, address: string, port: number): Reservation {
  const fd = tcpSocket(address);
  try {
    filter.attach(fd);
    // A port with kernel connections in TIME-WAIT is free for us: they have their own 4-tuples. A listener keeps it taken.
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    bind(fd, address, port);
    listen(fd, 0); // nothing is ever queued
  } catch (error) {
    close(fd);
    throw error;
  }
  return { port: port === 0 ? getsockname(fd).port : port, release: () => close(fd) };
}

/** Methods nft, iptables and none: a bound socket keeps other programs off the port, where the address is this host's. */
function reserveByBind(address: string, port: number): Reservation {
  const fd = tcpSocket(address);
  try {
    try {
      bind(fd, address, port);
    } catch (error) {
      // SO_REUSEADDR only on the second try: with it another program that sets it too could listen on the port.
      if (!(error instanceof LibcError && error.code === "EADDRINUSE")) throw error;
      setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, 1);
      bind(fd, address, port);
    }
  } catch (error) {
    close(fd);
    // Not this host's address: there is no port to reserve, and for a rule it makes no difference.
    if (error instanceof LibcError && error.code === "EADDRNOTAVAIL" && port !== 0) return { port, release() {} };
    throw error;
  }
  return { port: port === 0 ? getsockname(fd).port : port, release: () => close(fd) };
}

function tcpSocket(address: string): number {
  if (!address.includes(":")) return socket(AF_INET, SOCK_STREAM, 0);
  const fd = socket(AF_INET6, SOCK_STREAM, 0);
  if (address === "::") setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1); // "0.0.0.0" is held on its own
  return fd;
}

function keyOf(address: string, port: number): string {
  return `${address} ${port}`;
}

/** Makes one error class of what the layers below throw; the code stays. A missing permission is named with what mends it. */
function asGuardError<T>(action: () => T): T {
  try {
    return action();
  } catch (error) {
    if (!(error instanceof LibcError || error instanceof FirewallError)) throw error;
    const advice = error.code === "EPERM" ? capabilityAdvice() : "";
    throw new PortGuardError(error.code, `port guard: ${error.message}${advice === "" ? "" : `; ${advice}`}`);
  }
}
