/**
 * The link "raw": whole IPv4 packets through a raw socket (raw(7)), on any interface that the kernel routes them to, and the
 * ICMP errors that come back.
 */

import { RawTcpError } from "../base/errors.js";
import { attachFilter, dropAllFilter, type PortRange, portFilter } from "../kernel/bpf.js";
import { capabilityAdvice } from "../kernel/capabilities.js";
import {
  LibcError,
  SO_BINDTODEVICE,
  SO_MARK,
  SO_RCVBUF,
  SO_RCVBUFFORCE,
  SO_SNDBUF,
  SO_SNDBUFFORCE,
  SOL_SOCKET,
  setsockopt,
} from "../kernel/libc.js";
import type { PacketDevice, PacketHandler } from "../wire/packet-device.js";
import { openIcmpSocket } from "./icmp-socket.js";
import { asSet, PortSet } from "./port-set.js";
import { openRawBackend, type RawBackend, type RawBackendName } from "./raw-backend.js";

export interface RawSocketDeviceOptions {
  /** Asks for one backend; without it raw-socket where it can be loaded, else koffi. */
  readonly backend?: RawBackendName;
  /** Largest IP packet that may be sent; 65,535 by default, the largest there is. See routeTo in kernel/route. */
  readonly mtuBytes?: number;
  /** The mark of our packets, which the port guard's rules let pass (PortGuard.mark). */
  readonly mark?: number | undefined;
  /** Sends and receives on this interface only. */
  readonly bindToDevice?: string | undefined;
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
/** 32 MiB held bursts of 200,000 packets without loss; the kernel's default of 208 KiB holds three of loopback's size. */
const RECEIVE_BUFFER_BYTES = 32 << 20;
const SEND_BUFFER_BYTES = 4 << 20;
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
  if (options.mark !== undefined) setsockopt(fd, SOL_SOCKET, SO_MARK, options.mark);
  if (options.bindToDevice !== undefined) {
    setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, new TextEncoder().encode(`${options.bindToDevice}\0`));
  }
  setBufferSize(fd, SO_RCVBUFFORCE, SO_RCVBUF, RECEIVE_BUFFER_BYTES);
  setBufferSize(fd, SO_SNDBUFFORCE, SO_SNDBUF, SEND_BUFFER_BYTES);

  const mtuBytes = Math.min(options.mtuBytes ?? MAX_IPV4_BYTES, MAX_IPV4_BYTES);
  const portSet = new PortSet(options.localPorts ?? DYNAMIC_PORTS);
  const icmp = openIcmpSocket();
  const stats = emptyStats();
  let isOpen = true;
  let isStarted = false;
  let readBatch = (): boolean => false;

  return {
    name: "raw",
    backend: backend.name,
    mtuBytes,
    stats,
    send(bytes, offset, length, _note) {
      if (!isOpen) return countSendError(stats, "EBADF");
      if (length > mtuBytes) return countSendError(stats, "EMSGSIZE");
      if (length < 20 || (bytes[offset] ?? 0) >> 4 !== 4) return countSendError(stats, "EINVAL");
      const code = backend.send(bytes, offset, length);
      if (code !== "") return countSendError(stats, code);
      stats.sentPackets++;
      stats.sentBytes += length;
      return true;
    },
    start(onPacket: PacketHandler, onBatchEnd: () => void) {
      if (!isOpen || isStarted) return;
      isStarted = true;
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
    },
    poll: () => readBatch(),
    setPorts(ports) {
      if (!isOpen) return;
      const wanted = asSet(ports);
      icmp.setPorts(wanted);
      const filter = portSet.update(wanted);
      if (filter !== undefined) attachFilter(fd, filter.length === 0 ? dropAllFilter() : portFilter(filter));
    },
    setRef(keepAlive) {
      if (!isOpen) return;
      backend.setRef(keepAlive);
      icmp.setRef(keepAlive);
    },
    close() {
      if (!isOpen) return;
      isOpen = false;
      backend.close();
      icmp.close();
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

/** The size as asked with CAP_NET_ADMIN, else as much as the host's limit allows. */
function setBufferSize(fd: number, forceOption: number, option: number, bytes: number): void {
  try {
    setsockopt(fd, SOL_SOCKET, forceOption, bytes);
  } catch (error) {
    if (!(error instanceof LibcError)) throw error;
    setsockopt(fd, SOL_SOCKET, option, bytes);
  }
}
