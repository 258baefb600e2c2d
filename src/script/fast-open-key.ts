/** The key of Fast Open cookies as Linux writes it, and the cookies that scripts count on. */
import { FastOpenCookies } from "../stack/fast-open-cookies.js";
import type { IpAddress } from "../wire/address.js";
import { toHex } from "../wire/bytes.js";

/** That of a host which scripts were written for: what a cookie is depends on it. */
export const USUAL_KEY = "a1a1a1a1-b2b2b2b2-c3c3c3c3-d4d4d4d4";
const ZERO_KEY = "00000000-00000000-00000000-00000000";

/** Four words in hexadecimal, and after a comma those of the key before; undefined for anything else (net.ipv4.tcp_fastopen_key). */
export function parseFastOpenKey(text: string): Uint8Array | undefined {
  const words = text.trim().split(/[-,]/);
  const isKey = /^[\da-f]{1,8}(?:-[\da-f]{1,8}){3}(?:,[\da-f]{1,8}(?:-[\da-f]{1,8}){3})?$/i.test(text.trim());
  if (!isKey) return undefined;
  const key = new Uint8Array(4 * words.length);
  const view = new DataView(key.buffer);
  for (const [i, word] of words.entries()) view.setUint32(4 * i, Number.parseInt(word, 16), true);
  return key;
}

/**
 * Words that runners of packetdrill's suites define on its command line, for what depends on the family and the addresses: a script may
 * use them without `-D`. `family` is that of the sockets.
 */
export function usualDefinitions(family: 4 | 6, local: IpAddress, remote: IpAddress): Record<string, string> {
  return {
    TFO_COOKIE: cookie(USUAL_KEY, local, remote),
    TFO_COOKIE_ZERO: cookie(ZERO_KEY, local, remote),
    CMSG_LEVEL_IP: family === 6 ? "SOL_IPV6" : "SOL_IP",
    CMSG_TYPE_RECVERR: family === 6 ? "IPV6_RECVERR" : "IP_RECVERR",
  };
}

function cookie(key: string, local: IpAddress, remote: IpAddress): string {
  const bytes = parseFastOpenKey(key) ?? new Uint8Array(16);
  return toHex(FastOpenCookies.withKeys(bytes).make(local, remote, 0));
}
