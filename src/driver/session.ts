/**
 * A driver with everything around it that live traffic needs: the port guard and its self-test, the link, and on request the
 * trace, the kernel's side of it, and a capture file. What a program opens first and closes last.
 */
import { RawTcpError } from "../base/errors.js";
import { openPcapDevice } from "../device/pcap-device.js";
import { openRawSocketDevice } from "../device/raw-socket-device.js";
import { isOwnAddress } from "../kernel/interfaces.js";
import { requireIpv6 } from "../kernel/ipv6.js";
import { LibcError } from "../kernel/libc.js";
import { createPortGuard, type GuardMethod, type PortGuard } from "../kernel/port-guard.js";
import { type Route, routeTo } from "../kernel/route.js";
import { type IpAddress, parseAddress } from "../wire/address.js";
import type { PacketDevice } from "../wire/packet-device.js";
import { type Assembled, type AssemblyOptions, assemble } from "./assembly.js";

export type LinkKind = "raw" | "pcap";

export interface SessionOptions extends AssemblyOptions {
  /** "raw" (default): raw sockets. "pcap": frames by libpcap, on the interface towards `target`. */
  readonly link?: LinkKind;
  readonly guard?: GuardMethod;
  /** Address of the peer, or the address to listen at. Decides route, source address and MTU. */
  readonly target: string;
  /** Asks for a source address; default is the kernel's choice for the target. */
  readonly source?: string | undefined;
  /** Refuses targets beyond this host unless set. */
  readonly allowRemote?: boolean;
}

export interface Session extends Assembled {
  /** The address that our end has. */
  readonly local: IpAddress;
  readonly target: IpAddress;
  readonly mtuBytes: number;
  readonly guard: PortGuard;
  /** Aborts what is open, frees ports, sockets and rules. Later calls do nothing. */
  close(): void;
}

/**
 * Opens a session. Rejects with errors of one line: `ERR_REMOTE_TARGET` for a target beyond this host, `EAFNOSUPPORT` for IPv6
 * where there is none, LibcError (`EPERM` without rights, `ENETUNREACH`), PortGuardError (`EGUARD` when the self-test saw the kernel answer), CaptureError.
 */
export async function openSession(options: SessionOptions): Promise<Session> {
  const target = parseAddress(options.target);
  if (target.family === 6) requireIpv6(options.target);
  const isServer = target.isUnspecified();
  if (!isServer && !isOwnAddress(options.target) && options.allowRemote !== true) {
    throw new RawTcpError(
      "ERR_REMOTE_TARGET",
      `${options.target} is not an address of this host: add --allow-remote if you may send there`,
    );
  }
  const loopback = target.family === 6 ? "::1" : "127.0.0.1";
  const route = routeOf(isServer ? loopback : options.target);
  const guard = createPortGuard(options.guard ?? "bpf");
  let device: PacketDevice | undefined;
  try {
    const local = parseAddress(options.source ?? route.source);
    if (local.family !== target.family) {
      throw new RawTcpError("EINVAL", `source ${local} and target ${target} are of different address families`);
    }
    const report = guard.selfTest(local.isUnspecified() ? loopback : local.toString());
    const link =
      options.link === "pcap"
        ? await openPcapDevice({ interface: route.interface, target: options.target, mark: guard.mark })
        : openRawLink(target, guard.mark);
    const mtuBytes = Math.min(route.mtuBytes || link.mtuBytes, link.mtuBytes);
    device = link;
    const assembled = assemble(options, {
      link,
      interfaceName: route.interface,
      mtuBytes,
      guard: { guard, detail: report.detail },
    });
    return {
      ...assembled,
      local,
      target,
      mtuBytes,
      guard,
      get unmatchedBends() {
        return assembled.unmatchedBends;
      },
      close() {
        assembled.driver.close();
        guard.close();
      },
    };
  } catch (error) {
    device?.close();
    guard.close();
    throw error;
  }
}

/** For a target of IPv6 with the sockets for it. */
function openRawLink(target: IpAddress, mark: number | undefined): PacketDevice {
  const link = openRawSocketDevice({ mark });
  try {
    if (target.family === 6) link.openIpv6();
    return link;
  } catch (error) {
    link.close();
    throw error;
  }
}

/** The way to a target. Throws RawTcpError that names it: the kernel's error does not. */
export function routeOf(target: string): Route {
  try {
    return routeTo(target);
  } catch (error) {
    if (!(error instanceof LibcError)) throw error;
    throw new RawTcpError(error.code, `no route to ${target} (see ip route get ${target}): ${error.message}`);
  }
}
