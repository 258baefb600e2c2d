/**
 * A network namespace for the calling thread, with a TUN device in it: a kernel of one's own to speak to, with addresses, routes and
 * sysctls that nobody else sees. It ends with the thread, however that ends.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { RawTcpError } from "../base/errors.js";
import { missingCapabilities } from "./capabilities.js";
import {
  AF_INET,
  AF_INET6,
  addressOf,
  close,
  HOST_LITTLE_ENDIAN,
  ifNameToIndex,
  ioctl,
  LibcError,
  SOCK_DGRAM,
  socket,
} from "./libc.js";
import { addressBytes } from "./sockaddr.js";
import { loadSystemCalls, timespecOf } from "./system-calls.js";

const CLONE_NEWNET = 0x4000_0000;
const O_RDWR_NONBLOCK_CLOEXEC = 0o2 | 0o4000 | 0o2000000;
// include/uapi/linux/if_tun.h, sockios.h, if.h, route.h
const TUNSETIFF = 0x4004_54ca;
const IFF_TUN_NO_PI = 0x1001;
const SIOCADDRT = 0x890b;
const SIOCGIFFLAGS = 0x8913;
const SIOCSIFFLAGS = 0x8914;
const SIOCSIFADDR = 0x8916;
const SIOCSIFNETMASK = 0x891c;
const SIOCSIFMTU = 0x8922;
const IFF_UP = 1;
const RTF_UP = 1;
/** include/uapi/linux/if_addr.h */
const IFA_F_TENTATIVE = 0x40;
const LOOK_AGAIN_US = 1000;
const MOST_LOOKS = 2000;

/** Why a namespace with a TUN device cannot be had here, and what mends it; "" when it can. */
export function namespaceObstacle(): string {
  if (!existsSync("/dev/net/tun"))
    return "there is no /dev/net/tun: run `modprobe tun`, or start the container with --device /dev/net/tun";
  const missing = missingCapabilities(["CAP_NET_ADMIN", "CAP_SYS_ADMIN"]);
  if (missing.length === 0) return "";
  return `missing ${missing.join(" and ")}: run with sudo, in Docker --cap-add NET_ADMIN --cap-add SYS_ADMIN --device /dev/net/tun`;
}

/** Moves the calling thread into a network namespace of its own, with loopback up. Throws RawTcpError. */
export function enterNetworkNamespace(): void {
  const result = loadSystemCalls().unshare(CLONE_NEWNET);
  if (result < 0) {
    const { code } = new LibcError("unshare", -result);
    throw new RawTcpError(
      code,
      `a network namespace cannot be made (${code}): run it as root, or with CAP_SYS_ADMIN and CAP_NET_ADMIN`,
    );
  }
  raise("lo");
}

export interface TunRequest {
  readonly name: string;
  readonly mtuBytes: number;
  /** Addresses of the kernel behind the device, IPv4 or IPv6. */
  readonly addresses: readonly string[];
}

/**
 * Opens a TUN device of this namespace, gives the kernel its addresses and sends everything else its way. Returns the descriptor: packets
 * are read and written whole, from their IP header on, without waiting. Throws RawTcpError.
 */
export function openTun({ name, mtuBytes, addresses }: TunRequest): number {
  const fd = loadSystemCalls().open("/dev/net/tun", O_RDWR_NONBLOCK_CLOEXEC);
  if (fd < 0) {
    const { code } = new LibcError("open", -fd);
    throw new RawTcpError(code, `/dev/net/tun cannot be opened (${code}): ${namespaceObstacle()}`);
  }
  try {
    const request = interfaceRequest(name);
    request.setInt16(16, IFF_TUN_NO_PI, HOST_LITTLE_ENDIAN);
    ioctl(fd, TUNSETIFF, bytesOf(request));
    // No packets of its own: neither router solicitations nor reports of groups.
    writeSysctl(`net.ipv6.conf.${name}.router_solicitations`, "0");
    writeSysctl(`net.ipv6.conf.${name}.addr_gen_mode`, "1");
    control((four, six) => {
      const mtu = interfaceRequest(name);
      mtu.setInt32(16, mtuBytes, HOST_LITTLE_ENDIAN);
      ioctl(four, SIOCSIFMTU, bytesOf(mtu));
      for (const address of addresses) addAddress(address.includes(":") ? six : four, name, address);
    });
    raise(name);
    waitUntilUsable();
    control((four, six) => {
      addDefaultRoute(four, name);
      if (addresses.some((address) => address.includes(":"))) addDefaultRoute6(six, name);
    });
    return fd;
  } catch (error) {
    close(fd);
    throw error;
  }
}

/** A sysctl of the calling thread's namespace, "" when this kernel does not have it. */
export function readSysctl(name: string): string {
  try {
    return readFileSync(sysctlPath(name), "utf8").trim();
  } catch {
    return "";
  }
}

/** Returns whether it was taken. */
export function writeSysctl(name: string, value: string): boolean {
  try {
    writeFileSync(sysctlPath(name), value);
    return true;
  } catch {
    return false;
  }
}

function sysctlPath(name: string): string {
  return `/proc/sys/${name.replaceAll(".", "/")}`;
}

/** A struct ifreq: the name, and at 16 what is asked. */
function interfaceRequest(name: string): DataView {
  const bytes = new Uint8Array(40);
  bytes.set(new TextEncoder().encode(name).subarray(0, 15));
  return new DataView(bytes.buffer);
}

function bytesOf(view: DataView): Uint8Array {
  return new Uint8Array(view.buffer);
}

function control(action: (four: number, six: number) => void): void {
  const [four, six] = [socket(AF_INET, SOCK_DGRAM, 0), socket(AF_INET6, SOCK_DGRAM, 0)];
  try {
    action(four, six);
  } finally {
    close(four);
    close(six);
  }
}

function raise(name: string): void {
  control((four) => {
    const request = interfaceRequest(name);
    ioctl(four, SIOCGIFFLAGS, bytesOf(request));
    request.setInt16(16, request.getInt16(16, HOST_LITTLE_ENDIAN) | IFF_UP, HOST_LITTLE_ENDIAN);
    ioctl(four, SIOCSIFFLAGS, bytesOf(request));
  });
}

/** An IPv6 address cannot be bound while it is tentative, which without neighbours ends as soon as the kernel gets to it. */
function waitUntilUsable(): void {
  const calls = loadSystemCalls();
  for (let i = 0; i < MOST_LOOKS && hasTentativeAddress(); i++) calls.ppoll(null, 0, timespecOf(LOOK_AGAIN_US));
}

function hasTentativeAddress(): boolean {
  const lines = readFileSync("/proc/thread-self/net/if_inet6", "utf8").trim().split("\n");
  return lines.some((line) => (Number.parseInt(line.split(/\s+/)[4] ?? "0", 16) & IFA_F_TENTATIVE) !== 0);
}

function addAddress(control: number, name: string, address: string): void {
  const ip = addressBytes(address);
  if (ip.length === 16) {
    // struct in6_ifreq
    const bytes = new Uint8Array(24);
    bytes.set(ip);
    const view = new DataView(bytes.buffer);
    view.setUint32(16, 128, HOST_LITTLE_ENDIAN);
    view.setInt32(20, ifNameToIndex(name), HOST_LITTLE_ENDIAN);
    ioctl(control, SIOCSIFADDR, bytes);
    return;
  }
  for (const [code, value] of [
    [SIOCSIFADDR, ip],
    [SIOCSIFNETMASK, Uint8Array.of(255, 255, 255, 255)],
  ] as const) {
    const request = interfaceRequest(name);
    request.setUint16(16, AF_INET, HOST_LITTLE_ENDIAN);
    bytesOf(request).set(value, 20);
    ioctl(control, code, bytesOf(request));
  }
}

/** struct rtentry of a 64-bit machine: 0.0.0.0/0 through the device. */
function addDefaultRoute(control: number, name: string): void {
  const device = interfaceRequest(name);
  const view = new DataView(new ArrayBuffer(120));
  for (const at of [8, 24, 40]) view.setUint16(at, AF_INET, HOST_LITTLE_ENDIAN);
  view.setUint16(56, RTF_UP, HOST_LITTLE_ENDIAN);
  view.setBigUint64(88, addressOf(bytesOf(device)), HOST_LITTLE_ENDIAN);
  ioctl(control, SIOCADDRT, bytesOf(view));
  // The name had to live until here.
  device.getUint8(0);
}

/** struct in6_rtmsg: ::/0 through the device. */
function addDefaultRoute6(control: number, name: string): void {
  const view = new DataView(new ArrayBuffer(80));
  view.setUint32(56, 1, HOST_LITTLE_ENDIAN);
  view.setUint32(72, RTF_UP, HOST_LITTLE_ENDIAN);
  view.setInt32(76, ifNameToIndex(name), HOST_LITTLE_ENDIAN);
  ioctl(control, SIOCADDRT, bytesOf(view));
}
