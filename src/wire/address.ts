/**
 * IP addresses of either family in one shape: four 32-bit words, an IPv4 address in the last. Comparing and hashing is
 * arithmetic on words; no strings on the way of a packet.
 */
import { RawTcpError } from "../base/errors.js";
import { getU32, putU32 } from "./bytes.js";

/** IPv4 or IPv6. */
export type Family = 4 | 6;

/** An address as a value; see the top of the file. */
export class IpAddress {
  family: Family;
  /** Words of an IPv6 address in network order; of an IPv4 address only `w3` is used. */
  w0: number;
  w1: number;
  w2: number;
  w3: number;

  constructor(family: Family = 4, w0 = 0, w1 = 0, w2 = 0, w3 = 0) {
    this.family = family;
    this.w0 = w0;
    this.w1 = w1;
    this.w2 = w2;
    this.w3 = w3;
  }

  /** Overwrites this address with the 4 or 16 bytes at `at`. For scratch objects; addresses that are kept never change. */
  read(family: Family, bytes: Uint8Array, at: number): void {
    this.family = family;
    if (family === 4) {
      this.w0 = 0;
      this.w1 = 0;
      this.w2 = 0;
      this.w3 = getU32(bytes, at);
    } else {
      this.w0 = getU32(bytes, at);
      this.w1 = getU32(bytes, at + 4);
      this.w2 = getU32(bytes, at + 8);
      this.w3 = getU32(bytes, at + 12);
    }
  }

  /** Writes 4 or 16 bytes in network order. */
  write(bytes: Uint8Array, at: number): void {
    if (this.family === 4) {
      putU32(bytes, at, this.w3);
    } else {
      putU32(bytes, at, this.w0);
      putU32(bytes, at + 4, this.w1);
      putU32(bytes, at + 8, this.w2);
      putU32(bytes, at + 12, this.w3);
    }
  }

  /** Whether both are the same address of the same family. */
  equals(other: IpAddress): boolean {
    return (
      this.w3 === other.w3 && this.w2 === other.w2 && this.w1 === other.w1 && this.w0 === other.w0 && this.family === other.family
    );
  }

  /** A copy to keep, of an address that may be a scratch object. */
  clone(): IpAddress {
    return new IpAddress(this.family, this.w0, this.w1, this.w2, this.w3);
  }

  /** The sum of the address's 16-bit halves, for the pseudo-header. */
  wordSum(): number {
    let sum = (this.w3 >>> 16) + (this.w3 & 0xffff);
    if (this.family === 6) {
      sum +=
        (this.w0 >>> 16) + (this.w0 & 0xffff) + (this.w1 >>> 16) + (this.w1 & 0xffff) + (this.w2 >>> 16) + (this.w2 & 0xffff);
    }
    return sum;
  }

  /** 0.0.0.0 or :: */
  isUnspecified(): boolean {
    return (this.w0 | this.w1 | this.w2 | this.w3) === 0;
  }

  isLoopback(): boolean {
    if (this.family === 4) return this.w3 >>> 24 === 127;
    return (this.w0 | this.w1 | this.w2) === 0 && this.w3 === 1;
  }

  /** 224.0.0.0/4, ff00::/8 */
  isMulticast(): boolean {
    return this.family === 4 ? this.w3 >>> 28 === 0xe : this.w0 >>> 24 === 0xff;
  }

  /** 255.255.255.255; directed broadcasts cannot be known without the interface. */
  isBroadcast(): boolean {
    return this.family === 4 && this.w3 === 0xffffffff;
  }

  /** Dotted quad, or RFC 5952 text. */
  toString(): string {
    if (this.family === 4) return `${this.w3 >>> 24}.${(this.w3 >>> 16) & 255}.${(this.w3 >>> 8) & 255}.${this.w3 & 255}`;
    return formatIpv6([this.w0, this.w1, this.w2, this.w3].flatMap((word) => [word >>> 16, word & 0xffff]));
  }
}

/** "127.0.0.1:80", "[::1]:80" */
export function formatEndpoint(address: IpAddress, port: number): string {
  return address.family === 4 ? `${address}:${port}` : `[${address}]:${port}`;
}

/** Reads the text of an address, or returns undefined when it is none. */
export function tryParseAddress(text: string): IpAddress | undefined {
  return text.includes(":") ? parseIpv6(text) : parseIpv4(text);
}

/** Reads the text of an address. Throws RawTcpError `ERR_INVALID_ADDRESS`. */
export function parseAddress(text: string): IpAddress {
  const address = tryParseAddress(text);
  if (address === undefined) throw new RawTcpError("ERR_INVALID_ADDRESS", `not an IP address: "${text}"`);
  return address;
}

function parseIpv4(text: string): IpAddress | undefined {
  const word = ipv4Word(text);
  return word === undefined ? undefined : new IpAddress(4, 0, 0, 0, word);
}

function ipv4Word(text: string): number | undefined {
  const parts = text.split(".");
  if (parts.length !== 4) return undefined;
  let word = 0;
  for (const part of parts) {
    // No leading zeros: some readers take them as octal.
    if (!/^(0|[1-9]\d{0,2})$/.test(part) || Number(part) > 255) return undefined;
    word = word * 256 + Number(part);
  }
  return word;
}

function parseIpv6(text: string): IpAddress | undefined {
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const head = groupsOf(halves[0] ?? "", halves.length === 1);
  const tail = halves.length === 2 ? groupsOf(halves[1] ?? "", true) : [];
  if (head === undefined || tail === undefined) return undefined;
  const missing = 8 - head.length - tail.length;
  if (halves.length === 1 ? missing !== 0 : missing < 1) return undefined;
  const groups = [...head, ...new Array<number>(missing).fill(0), ...tail];
  const word = (i: number): number => (((groups[2 * i] ?? 0) << 16) | (groups[2 * i + 1] ?? 0)) >>> 0;
  return new IpAddress(6, word(0), word(1), word(2), word(3));
}

/** The 16-bit groups of one side of "::"; the last may be a dotted quad. */
function groupsOf(text: string, atEnd: boolean): number[] | undefined {
  if (text === "") return [];
  const groups: number[] = [];
  const parts = text.split(":");
  for (const [i, part] of parts.entries()) {
    if (part.includes(".") && atEnd && i === parts.length - 1) {
      const word = ipv4Word(part);
      if (word === undefined) return undefined;
      groups.push(word >>> 16, word & 0xffff);
    } else {
      if (!/^[0-9a-fA-F]{1,4}$/.test(part)) return undefined;
      groups.push(Number.parseInt(part, 16));
    }
  }
  return groups;
}

/** RFC 5952: lower case, the longest run of two or more zero groups (the first of equals) as "::". */
function formatIpv6(groups: readonly number[]): string {
  let best = -1;
  let bestLength = 1;
  for (let i = 0; i < 8; i++) {
    let n = 0;
    while (i + n < 8 && groups[i + n] === 0) n++;
    if (n > bestLength) {
      best = i;
      bestLength = n;
    }
  }
  const hex = (from: number, to: number): string =>
    groups
      .slice(from, to)
      .map((group) => group.toString(16))
      .join(":");
  return best < 0 ? hex(0, 8) : `${hex(0, best)}::${hex(best + bestLength, 8)}`;
}
