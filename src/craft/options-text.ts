/**
 * TCP options as people write them: by name ("mss=1460,sackok,ts=1:0,nop,wscale=7"), in nmap's short form ("M5B4NNSNW7"), or
 * as hexadecimal digits ("0x020405b4").
 */
import { RawTcpError } from "../base/errors.js";
import { parseHex } from "../wire/bytes.js";
import { decodeTcpOptions, encodeTcpOptions, type TcpOption, tcpOptionsLength } from "../wire/tcp-options.js";

/** Options, and the bytes that they are before padding. */
export interface ParsedTcpOptions {
  readonly options: readonly TcpOption[];
  readonly bytes: Uint8Array;
}

/** Names for messages and help; each with the shape of its value. */
export const TCP_OPTION_FORMS: readonly string[] = [
  "mss=BYTES",
  "wscale=SHIFT",
  "sackok",
  "sack=LEFT:RIGHT[/LEFT:RIGHT…]",
  "ts=VALUE:ECHO",
  "fo[=HEX]",
  "md5=HEX",
  "ao=KEYID:NEXTKEYID:HEX",
  "accecn0=N[:N:N]",
  "accecn1=N[:N:N]",
  "nop",
  "eol",
  "NUMBER[=HEX]",
];

/**
 * Reads options in any of the three forms. Throws RawTcpError `ERR_CRAFT_OPTIONS` that names the piece that is wrong and what
 * may stand there.
 *
 * By number, any bytes may stand behind an option: "2=0102030405" is an MSS option of seven bytes. The short form is nmap's: L
 * (end), N (no operation), Mxxxx (MSS, hexadecimal), Wxx (window scale, hexadecimal), S (SACK permitted), Tve (timestamps, v
 * and e being 0 for a value of zero, else 1; T alone is T10).
 */
export function parseTcpOptions(text: string): ParsedTcpOptions {
  const trimmed = text.trim();
  if (trimmed === "") return { options: [], bytes: new Uint8Array(0) };
  if (/^0x/i.test(trimmed)) return fromBytes(hexBytes(trimmed.slice(2), trimmed));
  const options = isShortForm(trimmed) ? parseShort(trimmed) : parseNamed(trimmed);
  return { options, bytes: encodeTcpOptions(options).subarray(0, tcpOptionsLength(options)) };
}

function fromBytes(bytes: Uint8Array): ParsedTcpOptions {
  return { options: decodeTcpOptions(bytes, 0, bytes.length).options, bytes };
}

/** Capital letters alone, which no name has. */
function isShortForm(text: string): boolean {
  return /^(?:[LNS]|[MW][0-9A-F]*|T(?:[01][01])?)+$/.test(text);
}

const SHORT = /[LNS]|[MW][0-9A-F]*|T(?:[01][01])?/g;

function parseShort(text: string): TcpOption[] {
  return (text.match(SHORT) ?? []).map((piece): TcpOption => {
    switch (piece[0]) {
      case "L":
        return { kind: "eol" };
      case "N":
        return { kind: "nop" };
      case "S":
        return { kind: "sack-permitted" };
      case "M":
        return { kind: "mss", mss: shortNumber(piece, 0xffff) };
      case "W":
        return { kind: "window-scale", shift: shortNumber(piece, 0xff) };
      default:
        return { kind: "timestamps", tsVal: piece[1] === "0" ? 0 : 1, tsEcr: piece[2] === "1" ? 1 : 0 };
    }
  });
}

function shortNumber(piece: string, most: number): number {
  const value = Number.parseInt(piece.slice(1), 16);
  if (Number.isNaN(value) || value > most) {
    throw wrong(piece, `${piece[0]} is followed by hexadecimal digits, at most ${most.toString(16).toUpperCase()}`);
  }
  return value;
}

function parseNamed(text: string): TcpOption[] {
  return text.split(",").map((piece) => parseOne(piece.trim()));
}

function parseOne(piece: string): TcpOption {
  const equals = piece.indexOf("=");
  const name = (equals < 0 ? piece : piece.slice(0, equals)).toLowerCase();
  const value = equals < 0 ? undefined : piece.slice(equals + 1);
  switch (name) {
    case "nop":
    case "eol":
      return bare(piece, value, { kind: name });
    case "sackok":
    case "sack-permitted":
      return bare(piece, value, { kind: "sack-permitted" });
    case "mss":
      return { kind: "mss", mss: numberOf(piece, value, 0xffff) };
    case "wscale":
    case "ws":
      return { kind: "window-scale", shift: numberOf(piece, value, 0xff) };
    case "ts":
    case "timestamp":
    case "timestamps": {
      const [tsVal = 0, tsEcr = 0] = numbersOf(piece, value, ":", 1, 2, 0xffff_ffff);
      return { kind: "timestamps", tsVal, tsEcr };
    }
    case "sack":
      return { kind: "sack", blocks: blocksOf(piece, value) };
    case "fo":
    case "tfo":
      return { kind: "fast-open", cookie: value === undefined ? new Uint8Array(0) : hexBytes(value, piece) };
    case "md5":
      return { kind: "md5", digest: hexBytes(value ?? "", piece) };
    case "ao":
      return authenticationOf(piece, value);
    case "accecn0":
    case "accecn1":
      return { kind: name, counters: value === undefined ? [] : numbersOf(piece, value, ":", 0, 3, 0xff_ffff) };
  }
  if (/^\d+$/.test(name) && Number(name) <= 255) return byNumber(piece, Number(name), value);
  throw wrong(piece, `one of ${TCP_OPTION_FORMS.join(", ")}`);
}

/** An option by its number, with whatever bytes; the known ones come out by name where the bytes are theirs. */
function byNumber(piece: string, number: number, value: string | undefined): TcpOption {
  if (number === 0) return bare(piece, value, { kind: "eol" });
  if (number === 1) return bare(piece, value, { kind: "nop" });
  const data = value === undefined ? new Uint8Array(0) : hexBytes(value, piece);
  if (data.length > 253) throw wrong(piece, "an option of at most 253 bytes of data");
  return { kind: "unknown", number, data };
}

function bare(piece: string, value: string | undefined, option: TcpOption): TcpOption {
  if (value !== undefined) throw wrong(piece, "no value behind it");
  return option;
}

function authenticationOf(piece: string, value: string | undefined): TcpOption {
  const match = /^(\d+):(\d+):([0-9a-f]*)$/i.exec(value ?? "");
  if (match === null) throw wrong(piece, "ao=KEYID:NEXTKEYID:HEX");
  const [, keyId = "", next = "", mac = ""] = match;
  return {
    kind: "ao",
    keyId: numberOf(piece, keyId, 0xff),
    rNextKeyId: numberOf(piece, next, 0xff),
    mac: hexBytes(mac, piece),
  };
}

function blocksOf(piece: string, value: string | undefined): { left: number; right: number }[] {
  return (value ?? "").split("/").map((block) => {
    const [left = 0, right = 0] = numbersOf(piece, block, ":", 2, 2, 0xffff_ffff);
    return { left, right };
  });
}

function numbersOf(
  piece: string,
  value: string | undefined,
  separator: string,
  least: number,
  most: number,
  limit: number,
): number[] {
  const parts = value === undefined || value === "" ? [] : value.split(separator);
  if (parts.length < least || parts.length > most) {
    throw wrong(
      piece,
      least === most ? `${least} numbers with "${separator}" between` : `${least} to ${most} numbers with "${separator}" between`,
    );
  }
  return parts.map((word) => numberOf(piece, word, limit));
}

function numberOf(piece: string, word: string | undefined, most: number): number {
  const value = word !== undefined && /^(?:\d+|0x[0-9a-f]+)$/i.test(word) ? Number(word) : Number.NaN;
  if (!(value <= most)) throw wrong(piece, `a whole number from 0 to ${most}`);
  return value;
}

function hexBytes(digits: string, piece: string): Uint8Array {
  const bytes = parseHex(digits);
  if (bytes === undefined) throw wrong(piece, "pairs of hexadecimal digits");
  return bytes;
}

function wrong(piece: string, wanted: string): RawTcpError {
  return new RawTcpError("ERR_CRAFT_OPTIONS", `TCP option "${piece}": expected ${wanted}`);
}
