/**
 * The link "raw": whole IP packets through raw sockets (raw(7), ipv6(7)), on any interface that the kernel routes them to, and the
 * ICMP errors that come back. The sockets for IPv6 are opened when it is first needed.
 */

import { RawTcpError } from "../base/errors.js";
import { attachFilter, dropAllFilter, type PortRange, portFilter } from "../kernel/bpf.js";
import { capabilityAdvice } from "../kernel/capabilities.js";
import { LibcError } from "../kernel/libc.js";
import type { PacketDevice, PacketHandler } from "../wire/packet-device.js";
import { openIcmpSocket } from "./icmp-socket.js";
import { asSet, PortSet } from "./port-set.js";
import { openRawBackend, type RawBackend, type RawBackendName } from "./raw-backend.js";
import { openRawIpv6, type RawIpv6 } from "./raw-ipv6.js";
import { type RawSocketOptions, setRawSocketOptions } from "./raw-socket-options.js";

export interface RawSocketDeviceOptions extends RawSocketOptions {
  /** Asks for one backend of IPv4; without it raw-socket where it can be loaded, else koffi. IPv6 has koffi alone. */
  readonly backend?: RawBackendName;
  /** Largest IP packet that may be sent; 65,536 by default, the MTU of loopback. See routeTo in kernel/route. */
  readonly mtuBytes?: number;
  /** The range from which local ports are taken; RFC 6335's dynamic ports, 49152–65535, by default. */
  readonly localPorts?: PortRange;
}

/** What went through a device. */
export interface DeviceStats {
  sentPackets: number;
  sentBytes: number;
  receivedPackets: number;
  receivedBytes: number;
  /** Packets that were not taken, by the errno's name. EMSGSIZE is a packet larger than the MTU. */
  sendErrors: Map<string, number>;
}

export interface RawSocketDevice extends PacketDevice {
  /** Reads what waits now, without the event loop; returns whether there was anything. For the end of a process. */
  poll(): boolean;
  /**
   * Opens the sockets for IPv6, which sending a first packet does too; to be called before packets are expected. Throws RawTcpError
   * `EAFNOSUPPORT` on a host without IPv6, or LibcError. Later calls do nothing.
   */
  openIpv6(): void;
  readonly backend: RawBackendName;
  readonly stats: DeviceStats;
}

/**
 * Opens the device. It receives nothing before `setPorts` and `start`.
 * Throws RawTcpError (EPERM without CAP_NET_RAW; see openRawBackend) or LibcError (ENODEV for an unknown interface).
 */
export function openRawSocketDevice(options: RawSocketDeviceOptions = {}): RawSocketDevice {
  const backend = openPermitted(options.backend);
  try {
    return rawSocketDevice(backend, options);
  } catch (error) {
    backend.close();
    throw error;
  }
}

/** Zero of everything. */
export function emptyStats(): DeviceStats {
  return { sentPackets: 0, sentBytes: 0, receivedPackets: 0, receivedBytes: 0, sendErrors: new Map() };
}

/** Notes a packet that was not taken; always false, the result of PacketDevice.send. */
export function countSendError(stats: DeviceStats, code: string): false {
  stats.sendErrors.set(code, (stats.sendErrors.get(code) ?? 0) + 1);
  return false;
}

/** Largest IPv4 packet (RFC 791 §3.1). */
const MAX_IPV4_BYTES = 65535;
/** Loopback's MTU. An IPv6 packet may be 39 bytes longer (RFC 8200 §3), which no link of Linux's carries. */
const MAX_BYTES = 65536;
/** The shortest headers that there are. */
const IPV4_HEADER_BYTES = 20;
const IPV6_HEADER_BYTES = 40;
/** Packets that are handled before the event loop gets its turn; about 2 ms of work. */
const BATCH_PACKETS = 512;
/** RFC 6335 §6. */
const DYNAMIC_PORTS: PortRange = { first: 49152, last: 65535 };

function rawSocketDevice(backend: RawBackend, options: RawSocketDeviceOptions): RawSocketDevice {
  const { fd } = backend;
  const buffer = new Uint8Array(65536);
  // From its creation on the socket queued the host's TCP traffic: first let nothing more in, then throw away what is there.
  attachFilter(fd, dropAllFilter());
  while (backend.receive(buffer) > 0);
  setRawSocketOptions(fd, options);

  const mtuBytes = Math.min(options.mtuBytes ?? MAX_BYTES, MAX_BYTES);
  const ipv4MtuBytes = Math.min(mtuBytes, MAX_IPV4_BYTES);
  const portSet = new PortSet(options.localPorts ?? DYNAMIC_PORTS);
  const icmp = openIcmpSocket();
  const stats = emptyStats();
  let isOpen = true;
  let handlers: { readonly onPacket: PacketHandler; readonly onBatchEnd: () => void } | undefined;
  let keepAlive = true;
  let readBatch = (): boolean => false;
  let wantedPorts: ReadonlySet<number> = new Set();
  let letThrough: readonly (number | PortRange)[] = [];
  let ipv6: RawIpv6 | undefined;

  function openIpv6(): RawIpv6 {
    const opened = openRawIpv6(options);
    ipv6 = opened;
    opened.setPorts(wantedPorts, letThrough);
    opened.setRef(keepAlive);
    if (handlers !== undefined) startIpv6(opened, handlers.onPacket, handlers.onBatchEnd);
    return opened;
  }

  function startIpv6(half: RawIpv6, onPacket: PacketHandler, onBatchEnd: () => void): void {
    half.start(() => void readIpv6Batch(half, onPacket, onBatchEnd), onPacket, onBatchEnd);
  }

  /** As `readBatch` for IPv4. */
  function readIpv6Batch(half: RawIpv6, onPacket: PacketHandler, onBatchEnd: () => void): boolean {
    let count = 0;
    for (; count < BATCH_PACKETS && isOpen; count++) {
      const length = half.receive();
      if (length === 0) break;
      stats.receivedPackets++;
      stats.receivedBytes += length;
      onPacket(half.bytes, 0, length);
    }
    if (count > 0 && isOpen) onBatchEnd();
    return count > 0;
  }

  /** Returns "" or the errno's name. */
  function sendIpv6(bytes: Uint8Array, offset: number, length: number): string {
    if (length > mtuBytes) return "EMSGSIZE";
    if (length < IPV6_HEADER_BYTES) return "EINVAL";
    try {
      return (ipv6 ?? openIpv6()).send(bytes, offset, length);
    } catch (error) {
      if (error instanceof RawTcpError) return error.code;
      throw error;
    }
  }

  function sendIpv4(bytes: Uint8Array, offset: number, length: number): string {
    if (length > ipv4MtuBytes) return "EMSGSIZE";
    if (length < IPV4_HEADER_BYTES) return "EINVAL";
    return backend.send(bytes, offset, length);
  }

  return {
    name: "raw",
    backend: backend.name,
    mtuBytes,
    stats,
    send(bytes, offset, length, _note) {
      if (!isOpen) return countSendError(stats, "EBADF");
      const version = (bytes[offset] ?? 0) >> 4;
      let code = "EINVAL";
      if (version === 4) code = sendIpv4(bytes, offset, length);
      else if (version === 6) code = sendIpv6(bytes, offset, length);
      if (code !== "") return countSendError(stats, code);
      stats.sentPackets++;
      stats.sentBytes += length;
      return true;
    },
    start(onPacket: PacketHandler, onBatchEnd: () => void) {
      if (!isOpen || handlers !== undefined) return;
      handlers = { onPacket, onBatchEnd };
      readBatch = () => {
        let count = 0;
        // Readiness is level-triggered: what is left after a full batch calls us again in the next turn of the event loop.
        for (; count < BATCH_PACKETS && isOpen; count++) {
          const length = backend.receive(buffer);
          if (length === 0) break;
          stats.receivedPackets++;
          stats.receivedBytes += length;
          onPacket(buffer, 0, length);
        }
        if (count > 0 && isOpen) onBatchEnd();
        return count > 0;
      };
      backend.watch(readBatch);
      icmp.start(onPacket, onBatchEnd);
      if (ipv6 !== undefined) startIpv6(ipv6, onPacket, onBatchEnd);
    },
    poll() {
      const hadIpv4 = readBatch();
      if (ipv6 === undefined || handlers === undefined) return hadIpv4;
      return readIpv6Batch(ipv6, handlers.onPacket, handlers.onBatchEnd) || hadIpv4;
    },
    openIpv6() {
      if (isOpen && ipv6 === undefined) openIpv6();
    },
    setPorts(ports) {
      if (!isOpen) return;
      wantedPorts = asSet(ports);
      icmp.setPorts(wantedPorts);
      const filter = portSet.update(wantedPorts);
      if (filter === undefined) return;
      letThrough = filter;
      attachFilter(fd, filter.length === 0 ? dropAllFilter() : portFilter(filter));
      ipv6?.setPorts(wantedPorts, filter);
    },
    setRef(keep) {
      if (!isOpen) return;
      keepAlive = keep;
      backend.setRef(keep);
      icmp.setRef(keep);
      ipv6?.setRef(keep);
    },
    close() {
      if (!isOpen) return;
      isOpen = false;
      backend.close();
      icmp.close();
      ipv6?.close();
    },
  };
}

/** Opens the backend; a missing permission is named with what mends it. */
function openPermitted(wanted: RawBackendName | undefined): RawBackend {
  try {
    return openRawBackend(wanted);
  } catch (error) {
    const isDenied = error instanceof LibcError && error.code === "EPERM";
    throw isDenied ? new RawTcpError("EPERM", `raw socket: not permitted; ${capabilityAdvice()}`) : error;
  }
}
