/** The network interfaces of this host (network namespace), as the kernel tells them over rtnetlink(7) and ethtool. */

import { AF_INET, AF_INET6, addressOf, close, HOST_LITTLE_ENDIAN, ioctl, LibcError, SOCK_DGRAM, socket } from "./libc.js";
import { forEachAttribute, NETLINK_ROUTE, NLM_F_DUMP, openNetlink, payloadBytes, payloadText } from "./netlink.js";
import { addressBytes, addressText } from "./sockaddr.js";

/** What stands before the IP packet on the link: an Ethernet header, or nothing (tun). Loopback carries Ethernet headers of zeros. */
export type LinkType = "ethernet" | "loopback" | "tun" | "other";

/** One address of an interface. */
export interface InterfaceAddress {
  readonly address: string;
  readonly prefixLength: number;
}

export interface NetworkInterface {
  readonly name: string;
  readonly index: number;
  readonly mtuBytes: number;
  /** "02:00:00:00:00:01", "" when the link has no hardware addresses. */
  readonly mac: string;
  readonly linkType: LinkType;
  /** What made it, for virtual ones: "veth", "bridge", "tun"; "" for hardware and loopback. */
  readonly kind: string;
  /** Whether the interface is administratively up. */
  readonly isUp: boolean;
  readonly addresses: readonly InterfaceAddress[];
}

/** What the interface does in the kernel's or the card's place; `undefined` where it cannot be asked. */
export interface Offloads {
  /** Checksums of received packets are verified by the card. */
  readonly rxChecksum: boolean | undefined;
  /** Packets leave the kernel with unfinished checksums: a capture on this host shows them as wrong. */
  readonly txChecksum: boolean | undefined;
  /** TCP segmentation: a capture shows segments larger than the MSS. */
  readonly tso: boolean | undefined;
  readonly gso: boolean | undefined;
  /** Received segments are merged before anyone sees them. */
  readonly gro: boolean | undefined;
}

/** All interfaces with their addresses, in the order of their index. Throws LibcError. */
export function listInterfaces(): NetworkInterface[] {
  const netlink = openNetlink(NETLINK_ROUTE);
  try {
    const addresses = new Map<number, InterfaceAddress[]>();
    netlink.request(RTM_GETADDR, NLM_F_DUMP, new Uint8Array(8), ({ body }) => {
      const index = body.getUint32(4, HOST_LITTLE_ENDIAN); // struct ifaddrmsg
      const address = readAddress(body);
      if (address === undefined) return;
      const known = addresses.get(index);
      if (known === undefined) addresses.set(index, [address]);
      else known.push(address);
    });
    const interfaces: NetworkInterface[] = [];
    netlink.request(RTM_GETLINK, NLM_F_DUMP, new Uint8Array(16), ({ body }) => {
      interfaces.push(readLink(body, addresses));
    });
    return interfaces.sort((a, b) => a.index - b.index);
  } finally {
    netlink.close();
  }
}

/** The interface of this name, `undefined` when there is none. Throws LibcError. */
export function findInterface(name: string): NetworkInterface | undefined {
  return listInterfaces().find((candidate) => candidate.name === name);
}

/** Whether the address belongs to this host: every 127.0.0.0/8 address, ::1, and what the interfaces carry. Throws LibcError. */
export function isOwnAddress(address: string): boolean {
  const bytes = addressBytes(address);
  if (bytes.length === 4 && bytes[0] === 127) return true;
  const text = addressText(bytes);
  return text === "::1" || listInterfaces().some((link) => link.addresses.some((own) => own.address === text));
}

/** The offloads of an interface (SIOCETHTOOL). A driver that does not know one gives `undefined`. Throws LibcError. */
export function readOffloads(name: string): Offloads {
  const fd = socket(AF_INET, SOCK_DGRAM, 0);
  try {
    return {
      rxChecksum: ethtoolFlag(fd, name, ETHTOOL_GRXCSUM),
      txChecksum: ethtoolFlag(fd, name, ETHTOOL_GTXCSUM),
      tso: ethtoolFlag(fd, name, ETHTOOL_GTSO),
      gso: ethtoolFlag(fd, name, ETHTOOL_GGSO),
      gro: ethtoolFlag(fd, name, ETHTOOL_GGRO),
    };
  } finally {
    close(fd);
  }
}

// include/uapi/linux/rtnetlink.h, if_link.h, if_addr.h, if_arp.h, if.h
const RTM_GETLINK = 18;
const RTM_GETADDR = 22;
const IFLA_ADDRESS = 1;
const IFLA_IFNAME = 3;
const IFLA_MTU = 4;
const IFLA_LINKINFO = 18;
const IFLA_INFO_KIND = 1;
const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const ARPHRD_ETHER = 1;
const ARPHRD_LOOPBACK = 772;
const ARPHRD_NONE = 0xfffe;
const IFF_UP = 0x1;
// include/uapi/linux/sockios.h and ethtool.h
const SIOCETHTOOL = 0x8946;
const ETHTOOL_GRXCSUM = 0x14;
const ETHTOOL_GTXCSUM = 0x16;
const ETHTOOL_GTSO = 0x1e;
const ETHTOOL_GGSO = 0x23;
const ETHTOOL_GGRO = 0x2b;
const IFNAMSIZ = 16;

function readLink(body: DataView, addresses: ReadonlyMap<number, readonly InterfaceAddress[]>): NetworkInterface {
  // struct ifinfomsg { u8 family, pad; u16 type; s32 index; u32 flags, change; }
  const type = body.getUint16(2, HOST_LITTLE_ENDIAN);
  const index = body.getInt32(4, HOST_LITTLE_ENDIAN);
  let name = "";
  let mtuBytes = 0;
  let mac = "";
  let kind = "";
  forEachAttribute(body, 16, (attribute, payload) => {
    if (attribute === IFLA_IFNAME) name = payloadText(payload);
    else if (attribute === IFLA_MTU) mtuBytes = payload.getUint32(0, HOST_LITTLE_ENDIAN);
    else if (attribute === IFLA_ADDRESS && payload.byteLength === 6) mac = macText(payloadBytes(payload));
    else if (attribute === IFLA_LINKINFO) {
      forEachAttribute(payload, 0, (inner, text) => {
        if (inner === IFLA_INFO_KIND) kind = payloadText(text);
      });
    }
  });
  const isUp = (body.getUint32(8, HOST_LITTLE_ENDIAN) & IFF_UP) !== 0;
  return { name, index, mtuBytes, mac, linkType: linkTypeOf(type), kind, isUp, addresses: addresses.get(index) ?? [] };
}

function readAddress(body: DataView): InterfaceAddress | undefined {
  const family = body.getUint8(0);
  if (family !== AF_INET && family !== AF_INET6) return undefined;
  let address: Uint8Array | undefined;
  forEachAttribute(body, 8, (attribute, payload) => {
    // On a point-to-point link IFA_ADDRESS is the peer's and IFA_LOCAL ours; IPv6 mostly has IFA_ADDRESS alone.
    if (attribute === IFA_LOCAL || (attribute === IFA_ADDRESS && address === undefined)) address = payloadBytes(payload);
  });
  return address === undefined ? undefined : { address: addressText(address), prefixLength: body.getUint8(1) };
}

function linkTypeOf(arphrd: number): LinkType {
  if (arphrd === ARPHRD_ETHER) return "ethernet";
  if (arphrd === ARPHRD_LOOPBACK) return "loopback";
  return arphrd === ARPHRD_NONE ? "tun" : "other";
}

function macText(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(":");
}

function ethtoolFlag(fd: number, name: string, command: number): boolean | undefined {
  // struct ifreq { char name[16]; void *data; } around struct ethtool_value { u32 cmd, data; }
  const value = new Uint8Array(8);
  const valueView = new DataView(value.buffer);
  valueView.setUint32(0, command, HOST_LITTLE_ENDIAN);
  const request = new Uint8Array(40);
  request.set(new TextEncoder().encode(name).subarray(0, IFNAMSIZ - 1));
  new DataView(request.buffer).setBigUint64(IFNAMSIZ, addressOf(value), HOST_LITTLE_ENDIAN);
  try {
    ioctl(fd, SIOCETHTOOL, request);
    return valueView.getUint32(4, HOST_LITTLE_ENDIAN) !== 0;
  } catch (error) {
    if (error instanceof LibcError && error.code !== "ENODEV") return undefined;
    throw error;
  }
}
