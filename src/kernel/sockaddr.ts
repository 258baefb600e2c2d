/**
 * Addresses as the kernel takes them: struct sockaddr_in and sockaddr_in6 (ip(7), ipv6(7)), and IP addresses as bytes.
 * This layer speaks of addresses as strings, so that it can be used without the stack.
 */

import { isIPv4, isIPv6 } from "node:net";
import { endianness, networkInterfaces } from "node:os";
import { RawTcpError } from "../base/errors.js";

/** An address and a port, as getsockname(2) gives them. */
export interface SocketAddress {
  readonly address: string;
  readonly port: number;
}

/** The sockaddr_in (16 bytes) or sockaddr_in6 (28 bytes) of an address; "fe80::1%eth0" carries its scope. Throws EINVAL. */
export function sockaddrOf(address: string, port: number): Uint8Array {
  const ip = address === lastIPv4 ? lastIPv4Bytes : addressBytes(address);
  if (ip.length === 4 && address !== lastIPv4) {
    lastIPv4 = address;
    lastIPv4Bytes = ip;
  }
  const bytes = new Uint8Array(ip.length === 4 ? 16 : 28);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, ip.length === 4 ? 2 : 10, endianness() === "LE");
  view.setUint16(2, port);
  bytes.set(ip, ip.length === 4 ? 4 : 8);
  if (ip.length === 16) view.setUint32(24, scopeIdOf(address), endianness() === "LE");
  return bytes;
}

/** Thousands of ports are held at one address: its text is read once. */
let lastIPv4 = "";
let lastIPv4Bytes: Uint8Array = new Uint8Array(0);

/** The address and port in a sockaddr_in or sockaddr_in6. Throws EAFNOSUPPORT for another family. */
export function socketAddressOf(bytes: Uint8Array): SocketAddress {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const family = view.getUint16(0, endianness() === "LE");
  const port = view.getUint16(2);
  if (family === 2) return { address: addressText(bytes.subarray(4, 8)), port };
  if (family === 10) return { address: addressText(bytes.subarray(8, 24)), port };
  throw new RawTcpError("EAFNOSUPPORT", `sockaddr of family ${family} is neither IPv4 nor IPv6`);
}

/** The 4 or 16 bytes of an IP address in network order. A scope ("%eth0") is ignored. Throws EINVAL. */
export function addressBytes(address: string): Uint8Array {
  if (isIPv4(address)) return Uint8Array.from(address.split("."), Number);
  if (!isIPv6(address)) throw new RawTcpError("EINVAL", `not an IP address: "${address}"`);
  return ipv6Bytes(address.split("%")[0] ?? "");
}

/** The text of 4 or 16 address bytes, IPv6 as RFC 5952 recommends it. */
export function addressText(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join(".");
  if (isV4Mapped(bytes)) return `::ffff:${bytes.subarray(12, 16).join(".")}`;
  const groups = Array.from({ length: 8 }, (_, i) => ((bytes[2 * i] ?? 0) << 8) | (bytes[2 * i + 1] ?? 0));
  const [start, length] = longestZeroRun(groups);
  const hex = groups.map((group) => group.toString(16));
  if (length < 2) return hex.join(":");
  return `${hex.slice(0, start).join(":")}::${hex.slice(start + length).join(":")}`;
}

/** "::ffff:192.0.2.1" becomes "192.0.2.1"; any other address comes back without scope and in its one spelling. */
export function normalAddress(address: string): string {
  const bytes = addressBytes(address);
  return addressText(bytes.length === 16 && isV4Mapped(bytes) ? bytes.subarray(12, 16) : bytes);
}

/** Whether the address means "any of this host's" (0.0.0.0, ::). */
export function isWildcard(address: string): boolean {
  return addressBytes(address).every((byte) => byte === 0);
}

function isV4Mapped(bytes: Uint8Array): boolean {
  return bytes.subarray(0, 10).every((byte) => byte === 0) && bytes[10] === 0xff && bytes[11] === 0xff;
}

function ipv6Bytes(text: string): Uint8Array {
  // A dotted tail ("::ffff:192.0.2.1") stands for the last two groups.
  const dotted = /(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(text);
  let plain = text;
  if (dotted !== null) {
    const [a = 0, b = 0, c = 0, d = 0] = dotted.slice(1).map(Number);
    plain = `${text.slice(0, dotted.index)}${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
  }
  const [head = "", tail] = plain.split("::");
  const before = head === "" ? [] : head.split(":");
  const after = tail === undefined || tail === "" ? [] : tail.split(":");
  const groups = [...before, ...Array<string>(8 - before.length - after.length).fill("0"), ...after];
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  groups.forEach((group, index) => {
    view.setUint16(2 * index, Number.parseInt(group, 16));
  });
  return bytes;
}

function longestZeroRun(groups: readonly number[]): [start: number, length: number] {
  let best: [number, number] = [0, 0];
  let start = 0;
  for (let i = 0; i <= groups.length; i++) {
    if (groups[i] === 0) continue;
    if (i - start > best[1]) best = [start, i - start];
    start = i + 1;
  }
  return best;
}

function scopeIdOf(address: string): number {
  const scope = address.split("%")[1];
  if (scope === undefined) return 0;
  if (/^\d+$/.test(scope)) return Number(scope);
  return networkInterfaces()[scope]?.find((entry) => entry.family === "IPv6" && entry.scopeid !== 0)?.scopeid ?? 0;
}
