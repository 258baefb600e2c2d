/**
 * The link "pcap": IP packets in Ethernet frames, received and sent with libpcap, below the kernel's IP layer. What the raw
 * link cannot do, this one can: IPv6 headers, wrong IP checksums, frames before netfilter.
 *
 * On loopback the kernel takes an injected frame for 127.0.0.0/8 as martian and drops it. There packets are sent through a
 * raw socket, and libpcap only receives; the device's name says so.
 */

import { portFilter } from "../kernel/bpf.js";
import { findInterface, type NetworkInterface } from "../kernel/interfaces.js";
import { AF_INET, AF_INET6, close, SO_BINDTODEVICE, SOCK_DGRAM, SOL_SOCKET, sendto, setsockopt, socket } from "../kernel/libc.js";
import { neighbourMac, routeTo } from "../kernel/route.js";
import { sockaddrOf } from "../kernel/sockaddr.js";
import type { PacketDevice, PacketHandler } from "../wire/packet-device.js";
import { type Capture, CaptureError, LINKTYPE_ETHERNET, openCapture } from "./capture.js";
import { PortSet } from "./port-set.js";
import { countSendError, type DeviceStats, emptyStats, openRawSocketDevice } from "./raw-socket-device.js";

export interface PcapDeviceOptions {
  /** The Ethernet interface, a veth, or "lo". */
  readonly interface: string;
  /** The peer's IP address: its Ethernet address, or its router's, is asked of the kernel. */
  readonly target: string;
  /** The mark of packets that go through the raw socket (loopback), see RawSocketDeviceOptions. */
  readonly mark?: number | undefined;
  /** How long to wait for the neighbour's Ethernet address; 1,000 ms by default. */
  readonly neighbourTimeoutMs?: number;
}

export interface PcapDevice extends PacketDevice {
  readonly stats: DeviceStats;
  /** The Ethernet address that frames go to; "" on loopback. */
  readonly peerMac: string;
}

/**
 * Opens the device. It delivers nothing before `setPorts` and `start`. `setRef` has no effect: cap keeps the process alive
 * until `close`. Rejects with CaptureError (ENODEV, EPERM, ERR_CAP_MISSING; EHOSTUNREACH when the neighbour does not answer,
 * also where no route leads to the target, which the kernel then takes for a neighbour; ERR_LINK_TYPE for an interface without
 * Ethernet frames) or LibcError.
 */
export async function openPcapDevice(options: PcapDeviceOptions): Promise<PcapDevice> {
  const link = findInterface(options.interface);
  if (link === undefined) throw new CaptureError("ENODEV", `no interface ${options.interface}: see "ip link"`);
  if (link.linkType === "loopback") return openOnLoopback(link, options.mark);
  if (link.linkType !== "ethernet") {
    throw new CaptureError("ERR_LINK_TYPE", `${link.name} carries no Ethernet frames: use the raw or the tun link`);
  }
  const route = routeTo(options.target, link.name);
  const nextHop = route.gateway ?? options.target;
  const peerMac = await resolveNeighbour(nextHop, link, options.neighbourTimeoutMs ?? NEIGHBOUR_TIMEOUT_MS);
  return openOnEthernet(link, peerMac);
}

/** Bytes of an Ethernet II header. */
const ETHERNET_HEADER_BYTES = 14;
const NEIGHBOUR_TIMEOUT_MS = 1000;
/** The kernel's own first ARP answer takes well below a millisecond on a LAN. */
const NEIGHBOUR_POLL_MS = 5;
/** libpcap's snapshot of 65,535 bytes less the Ethernet header: a larger packet would be captured without its end. */
const MAX_CAPTURED_BYTES = 65535 - ETHERNET_HEADER_BYTES;
/**
 * What the capture is opened with. Until the ring has gone round once, libpcap tests frames with its own filter too, so it
 * must let through whatever setPorts may ask for.
 */
const ANY_TCP = "tcp";

function openOnLoopback(link: NetworkInterface, mark: number | undefined): PcapDevice {
  const raw = openRawSocketDevice({ mark }); // never started: it only sends
  try {
    return receivingDevice(link, `pcap:${link.name} (sends by raw socket)`, "", (capture) => ({
      send: (bytes, offset, length) => raw.send(bytes, offset, length, ""),
      stats: raw.stats,
      close() {
        raw.close();
        capture.close();
      },
    }));
  } catch (error) {
    raw.close();
    throw error;
  }
}

function openOnEthernet(link: NetworkInterface, peerMac: string): PcapDevice {
  const stats = emptyStats();
  const frame = new Uint8Array(ETHERNET_HEADER_BYTES + 65535);
  frame.set(macBytes(peerMac), 0);
  frame.set(macBytes(link.mac), 6);
  return receivingDevice(link, `pcap:${link.name}`, peerMac, (capture) => ({
    stats,
    send(bytes, offset, length) {
      if (length > link.mtuBytes) return countSendError(stats, "EMSGSIZE");
      const version = (bytes[offset] ?? 0) >> 4;
      if (length < 20 || (version !== 4 && version !== 6)) return countSendError(stats, "EINVAL");
      // EtherType: 0x0800 or 0x86dd
      frame[12] = version === 4 ? 0x08 : 0x86;
      frame[13] = version === 4 ? 0x00 : 0xdd;
      frame.set(offset === 0 && length === bytes.length ? bytes : bytes.subarray(offset, offset + length), ETHERNET_HEADER_BYTES);
      const reason = capture.inject(frame, ETHERNET_HEADER_BYTES + length);
      if (reason !== "") return countSendError(stats, reason);
      stats.sentPackets++;
      stats.sentBytes += length;
      return true;
    },
    close: () => capture.close(),
  }));
}

/** How the two kinds of device differ. */
interface Sender {
  readonly stats: DeviceStats;
  send(bytes: Uint8Array, offset: number, length: number): boolean;
  close(): void;
}

/** The receiving half, which both kinds share. `makeSender` is given the capture, which is opened after it. */
function receivingDevice(
  link: NetworkInterface,
  name: string,
  peerMac: string,
  makeSender: (capture: Capture) => Sender,
): PcapDevice {
  let handler: PacketHandler | undefined;
  let onBatchEnd: () => void = () => {};
  let isBatchOpen = false;
  let isOpen = true;
  let isDown = false;
  const endBatch = () => {
    isBatchOpen = false;
    if (isOpen) onBatchEnd();
  };
  const onFrame = (bytes: Uint8Array, offset: number, length: number, linkType: number) => {
    if (handler === undefined || linkType !== LINKTYPE_ETHERNET) return;
    const at = offset + ETHERNET_HEADER_BYTES;
    const packetBytes = ipLength(bytes, at, length - ETHERNET_HEADER_BYTES);
    if (packetBytes === 0) return;
    sender.stats.receivedPackets++;
    sender.stats.receivedBytes += packetBytes;
    handler(bytes, at, packetBytes);
    if (!isBatchOpen) {
      // cap hands over all waiting frames in one event and does not say which is the last; immediates run right after it.
      isBatchOpen = true;
      setImmediate(endBatch);
    }
  };
  const onFailure = () => {
    isDown = true;
  };
  const capture = openCapture({ device: link.name, filter: ANY_TCP, onFrame, onFailure });
  capture.setProgram(portFilter([], "ethernet")); // where it cannot be set, more is delivered, as the contract allows
  const sender = makeSender(capture);
  const portSet = new PortSet({ first: 49152, last: 65535 });
  return {
    name,
    peerMac,
    mtuBytes: Math.min(link.mtuBytes, MAX_CAPTURED_BYTES),
    stats: sender.stats,
    send(bytes, offset, length, _note) {
      if (!isOpen || isDown) return countSendError(sender.stats, isOpen ? "ENETDOWN" : "EBADF");
      return sender.send(bytes, offset, length);
    },
    start(onPacket, batchEnd) {
      handler = onPacket;
      onBatchEnd = batchEnd;
    },
    setPorts(ports) {
      const wanted = isOpen ? portSet.update(ports) : undefined;
      if (wanted !== undefined) capture.setProgram(portFilter(wanted, "ethernet"));
    },
    setRef() {},
    close() {
      if (!isOpen) return;
      isOpen = false;
      sender.close();
    },
  };
}

/** The IP packet's length without the padding of short Ethernet frames; what is there when the header claims more. */
function ipLength(bytes: Uint8Array, at: number, available: number): number {
  if (available < 20) return 0;
  const isIpv4 = (bytes[at] ?? 0) >> 4 === 4;
  const field = at + (isIpv4 ? 2 : 4);
  const claimed = (((bytes[field] ?? 0) << 8) | (bytes[field + 1] ?? 0)) + (isIpv4 ? 0 : 40);
  return Math.min(claimed, available);
}

function macBytes(mac: string): Uint8Array {
  return Uint8Array.from(mac.split(":"), (digits) => Number.parseInt(digits, 16));
}

/** The neighbour's Ethernet address from the kernel's table. A datagram to the discard port makes the kernel ask for it. */
export async function resolveNeighbour(address: string, link: NetworkInterface, timeoutMs: number): Promise<string> {
  const deadline = performance.now() + timeoutMs;
  let mac = neighbourMac(address, link.index);
  if (mac === "") provokeResolution(address, link.name);
  while (mac === "" && performance.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, NEIGHBOUR_POLL_MS));
    mac = neighbourMac(address, link.index);
  }
  if (mac === "")
    throw new CaptureError("EHOSTUNREACH", `${address} does not answer on ${link.name}: no Ethernet address to send to`);
  return mac;
}

function provokeResolution(address: string, interfaceName: string): void {
  const fd = socket(address.includes(":") ? AF_INET6 : AF_INET, SOCK_DGRAM, 0);
  try {
    setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, new TextEncoder().encode(`${interfaceName}\0`));
    sendto(fd, new Uint8Array(1), 1, 0, sockaddrOf(address, 9)); // RFC 863; a failure shows in the table staying empty
  } finally {
    close(fd);
  }
}
