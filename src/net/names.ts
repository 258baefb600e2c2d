/** Addresses as sockets give and take them. */
import { IpAddress, parseAddress } from "../wire/address.js";

/** Where `getsockname` and `getpeername` leave what they know. */
export interface NameTarget {
  address?: string;
  family?: string;
  port?: number;
}

/** Writes a name, returns libuv's success; with `isMapped` an IPv4 address in the form of RFC 4291 §2.5.5.2. */
export function putName(out: NameTarget, address: IpAddress, port: number, isMapped: boolean): 0 {
  const isShownMapped = isMapped && address.family === 4;
  out.address = isShownMapped ? `::ffff:${address}` : address.toString();
  out.family = isShownMapped || address.family === 6 ? "IPv6" : "IPv4";
  out.port = port;
  return 0;
}

/** The address of a text, its zone left out. Throws RawTcpError `ERR_INVALID_ADDRESS`. */
export function addressOf(text: string): IpAddress {
  return parseAddress(text.replace(/%.*$/, ""));
}

/** The address to connect to. Note: Linux does the same: an unspecified one is the host itself. */
export function targetOf(text: string): IpAddress {
  const address = addressOf(text);
  if (address.isUnspecified()) return parseAddress(address.family === 4 ? "127.0.0.1" : "::1");
  const isMapped = address.family === 6 && (address.w0 | address.w1) === 0 && address.w2 === 0xffff;
  return isMapped ? new IpAddress(4, 0, 0, 0, address.w3) : address;
}
