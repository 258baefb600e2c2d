/**
 * What carries crafted packets: any IP packet, honest or not, out towards one target, and everything that may answer it back
 * in. Unlike a PacketDevice it knows no ports of ours and no connection.
 *
 * A raw socket sends, where the kernel leaves the packet as it is; a frame on the link layer, where it would not: with
 * IP_HDRINCL it writes total length and IP checksum itself, and fills in an identification or a source of zero (raw(7)).
 */
import { RawTcpError } from "../base/errors.js";
import { attachFilter, dropAllFilter } from "../kernel/bpf.js";
import { findInterface } from "../kernel/interfaces.js";
import { AF_INET6, close, errnoName, SO_MARK, SOCK_RAW, SOL_SOCKET, sendto, setsockopt, socket } from "../kernel/libc.js";
import type { Route } from "../kernel/route.js";
import { sockaddrOf } from "../kernel/sockaddr.js";
import { parseMac } from "../wire/ethernet.js";
import { type Capture, LINKTYPE_ETHERNET, openCapture } from "./capture.js";
import { resolveNeighbour } from "./pcap-device.js";
import { openRawBackend, type RawBackend } from "./raw-backend.js";
import { openRawSocketDevice, type RawSocketDevice } from "./raw-socket-device.js";

export interface ProbeLinkOptions {
  /** The target's address, for the next hop's Ethernet address. */
  readonly target: string;
  readonly route: Route;
  /**
   * "ports": TCP alone, received by a raw socket that is told the ports; needs no libpcap. "any": whatever comes,
   * received by libpcap.
   */
  readonly receive: "ports" | "any";
  /** Whether frames may have to be sent. */
  readonly frames: boolean;
  /** The port guard's mark, see RawSocketDeviceOptions. */
  readonly mark?: number | undefined;
  /** An IP packet came in, or is one of ours on its way out; lent for the call. */
  readonly onPacket: (bytes: Uint8Array, offset: number, length: number) => void;
}

export interface ProbeLink {
  /** Addresses for frames: ours and the next hop's; zeros on loopback, and where frames are not sent. */
  readonly sourceMac: Uint8Array;
  readonly nextHopMac: Uint8Array;
  /** Sends `bytes[offset, offset + length)`, an IP packet. Returns "", or why it was not sent. */
  send(bytes: Uint8Array, offset: number, length: number): string;
  /** Sends a whole Ethernet frame. Returns "", or why it was not sent. */
  sendFrame(frame: Uint8Array): string;
  /** Local ports whose answers are wanted, for `receive: "ports"`. */
  setPorts(ports: ReadonlySet<number>): void;
  close(): void;
}

/**
 * Opens the link. Rejects with RawTcpError: `EPERM` without rights, CaptureError where libpcap is needed and missing, or the
 * next hop does not answer (`EHOSTUNREACH`), `ERR_LINK_TYPE` for frames on an interface that carries none.
 */
export async function openProbeLink(options: ProbeLinkOptions): Promise<ProbeLink> {
  const { route, target } = options;
  const link = findInterface(route.interface);
  const hasFrames = link?.linkType === "ethernet" || link?.linkType === "loopback";
  if (options.frames && !hasFrames) {
    throw new RawTcpError(
      "ERR_LINK_TYPE",
      `${route.interface} carries no Ethernet frames: the kernel would mend what is wrong in this packet`,
    );
  }
  let sourceMac: Uint8Array = new Uint8Array(6);
  let nextHopMac: Uint8Array = new Uint8Array(6);
  if (options.frames && link?.linkType === "ethernet") {
    sourceMac = parseMac(link.mac);
    nextHopMac = parseMac(await resolveNeighbour(route.gateway ?? target, link, NEIGHBOUR_TIMEOUT_MS));
  }
  const receiver = options.receive === "ports" ? receiveByPorts(options) : receiveAny(options);
  let sender: Sender | undefined;
  try {
    sender = target.includes(":") ? openSenderV6(options.mark) : openSenderV4(options.mark);
  } catch (error) {
    receiver.close();
    throw error;
  }
  const { send, close: closeSender } = sender;
  return {
    sourceMac,
    nextHopMac,
    send,
    sendFrame: receiver.sendFrame,
    setPorts: receiver.setPorts,
    close() {
      closeSender();
      receiver.close();
    },
  };
}

const NEIGHBOUR_TIMEOUT_MS = 1000;
/** A header-included socket of IPv6 (raw(7), ipv6(7)). */
const IPPROTO_RAW = 255;

interface Receiver {
  sendFrame(frame: Uint8Array): string;
  setPorts(ports: ReadonlySet<number>): void;
  close(): void;
}

interface Sender {
  send(bytes: Uint8Array, offset: number, length: number): string;
  close(): void;
}

function receiveByPorts(options: ProbeLinkOptions): Receiver {
  const device: RawSocketDevice = openRawSocketDevice({ mark: options.mark });
  if (options.target.includes(":")) device.openIpv6();
  device.start(
    (bytes, offset, length) => {
      options.onPacket(bytes, offset, length);
      return "";
    },
    () => {},
  );
  return {
    sendFrame: () => "no frames on this link",
    setPorts: (ports) => device.setPorts(ports),
    close: () => device.close(),
  };
}

function receiveAny(options: ProbeLinkOptions): Receiver {
  const host = options.target.replace(/%.*$/, "");
  const capture: Capture = openCapture({
    device: options.route.interface,
    // Errors come from any router on the way.
    filter: `(host ${host} and not udp) or icmp or icmp6`,
    onFrame: (bytes, offset, length, linkType) => {
      const at = linkType === LINKTYPE_ETHERNET ? offset + 14 : offset;
      if (offset + length > at) options.onPacket(bytes, at, offset + length - at);
    },
  });
  return {
    sendFrame: (frame) => capture.inject(frame, frame.length),
    setPorts: () => {},
    close: () => capture.close(),
  };
}

function openSenderV4(mark: number | undefined): Sender {
  const backend: RawBackend = openRawBackend();
  try {
    // It only sends.
    attachFilter(backend.fd, dropAllFilter());
    if (mark !== undefined) setsockopt(backend.fd, SOL_SOCKET, SO_MARK, mark);
  } catch (error) {
    backend.close();
    throw error;
  }
  return { send: (bytes, offset, length) => backend.send(bytes, offset, length), close: () => backend.close() };
}

function openSenderV6(mark: number | undefined): Sender {
  const fd = socket(AF_INET6, SOCK_RAW, IPPROTO_RAW);
  if (mark !== undefined) setsockopt(fd, SOL_SOCKET, SO_MARK, mark);
  const destination = sockaddrOf("::", 0);
  return {
    send(bytes, offset, length) {
      if (length < 40) return "EINVAL";
      destination.set(bytes.subarray(offset + 24, offset + 40), 8);
      const sent = sendto(fd, bytes.subarray(offset, offset + length), length, 0, destination);
      return sent < 0 ? errnoName(-sent) : "";
    },
    close: () => close(fd),
  };
}
