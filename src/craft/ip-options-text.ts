/** IPv4 options (RFC 791 §3.1) as people write them: "rr", "ts", "ra", "lsrr=10.0.0.1/10.0.0.2", "nop", "eol", "0x…". */
import { RawTcpError } from "../base/errors.js";
import { tryParseAddress } from "../wire/address.js";
import { parseHex, putU32 } from "../wire/bytes.js";

const FORMS = "rr[=SLOTS], ts[=SLOTS], ra, lsrr=ADDRESS[/ADDRESS…], ssrr=ADDRESS[/…], nop, eol, NUMBER=HEX, or 0xHEX for all";

/** Reads a list with commas. Throws RawTcpError `ERR_CRAFT_OPTIONS` that names the piece which is wrong. */
export function parseIpOptions(text: string): Uint8Array {
  const trimmed = text.trim();
  if (/^0x/i.test(trimmed)) return hexBytes(trimmed.slice(2), trimmed);
  const pieces = trimmed === "" ? [] : trimmed.split(",").map((piece) => parseOne(piece.trim()));
  return Uint8Array.from(pieces.flatMap((bytes) => [...bytes]));
}

function parseOne(piece: string): Uint8Array {
  const [name = "", value] = split(piece);
  switch (name) {
    case "eol":
      return Uint8Array.of(0);
    case "nop":
      return Uint8Array.of(1);
    case "rr":
      return routeOption(7, new Uint8Array(4 * slots(piece, value, 9)));
    case "ts":
      return timestampOption(slots(piece, value, 9));
    case "ra":
      // Router alert (RFC 2113).
      return Uint8Array.of(148, 4, 0, 0);
    case "lsrr":
      return routeOption(131, addresses(piece, value));
    case "ssrr":
      return routeOption(137, addresses(piece, value));
  }
  if (/^\d+$/.test(name) && Number(name) <= 255) {
    const data = hexBytes(value ?? "", piece);
    if (data.length > 253) throw wrong(piece, "at most 253 bytes");
    return Uint8Array.of(Number(name), data.length + 2, ...data);
  }
  throw wrong(piece, `one of ${FORMS}`);
}

function split(piece: string): [string, string | undefined] {
  const equals = piece.indexOf("=");
  return equals < 0 ? [piece.toLowerCase(), undefined] : [piece.slice(0, equals).toLowerCase(), piece.slice(equals + 1)];
}

/** Kind, length, pointer to the first free slot, slots. */
function routeOption(kind: number, route: Uint8Array): Uint8Array {
  return Uint8Array.of(kind, 3 + route.length, 4, ...route);
}

/** Kind, length, pointer, overflow and flag (0: time stamps alone), slots. */
function timestampOption(count: number): Uint8Array {
  return Uint8Array.of(68, 4 + 4 * count, 5, 0, ...new Uint8Array(4 * count));
}

function slots(piece: string, value: string | undefined, most: number): number {
  const count = value === undefined ? most : /^\d+$/.test(value) ? Number(value) : Number.NaN;
  if (!(count >= 1 && count <= most)) throw wrong(piece, `1 to ${most} slots`);
  return count;
}

function addresses(piece: string, value: string | undefined): Uint8Array {
  const list = (value ?? "").split("/").map((text) => tryParseAddress(text));
  const bytes = new Uint8Array(4 * list.length);
  for (const [i, address] of list.entries()) {
    if (address === undefined || address.family !== 4) throw wrong(piece, "IPv4 addresses with / between");
    putU32(bytes, 4 * i, address.w3);
  }
  if (bytes.length > 36) throw wrong(piece, "at most 9 addresses");
  return bytes;
}

function hexBytes(digits: string, piece: string): Uint8Array {
  const bytes = parseHex(digits);
  if (bytes === undefined) throw wrong(piece, "pairs of hexadecimal digits");
  return bytes;
}

function wrong(piece: string, wanted: string): RawTcpError {
  return new RawTcpError("ERR_CRAFT_OPTIONS", `IP option "${piece}": expected ${wanted}`);
}
