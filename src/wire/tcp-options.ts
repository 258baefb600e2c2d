/**
 * The TCP options in full (RFC 9293 §3.2), as a list of values, for printing, crafting and tests. The engine reads its
 * options in `segment.ts` without making any of these. Nothing is lost: what is unknown, has a wrong length or stands
 * behind the end of the list is kept as bytes, so that encoding a decoded list gives the same bytes again.
 */
import { RawTcpError } from "../base/errors.js";
import { getU16, getU32, putU16, putU32, toHex } from "./bytes.js";
import {
  OPTION_ACC_ECN_0,
  OPTION_ACC_ECN_1,
  OPTION_AO,
  OPTION_END,
  OPTION_FAST_OPEN,
  OPTION_MD5,
  OPTION_MSS,
  OPTION_NOP,
  OPTION_SACK,
  OPTION_SACK_PERMITTED,
  OPTION_TIMESTAMPS,
  OPTION_WINDOW_SCALE,
} from "./segment.js";

/** A block of received data, `[left, right)` in sequence space (RFC 2018 §3). */
export interface SackBlock {
  readonly left: number;
  readonly right: number;
}

/** One option. Numbers outside their field are truncated to it when encoded. */
export type TcpOption =
  /** End of option list: whatever follows is padding. RFC 9293 §3.2 */
  | { readonly kind: "eol" }
  /** RFC 9293 §3.2 */
  | { readonly kind: "nop" }
  /** Maximum segment size in bytes, SYN only. RFC 9293 §3.2 */
  | { readonly kind: "mss"; readonly mss: number }
  /** Shift count, SYN only. RFC 7323 §2 */
  | { readonly kind: "window-scale"; readonly shift: number }
  /** SYN only. RFC 2018 §2 */
  | { readonly kind: "sack-permitted" }
  /** One to four blocks. RFC 2018 §3 */
  | { readonly kind: "sack"; readonly blocks: readonly SackBlock[] }
  /** RFC 7323 §3 */
  | { readonly kind: "timestamps"; readonly tsVal: number; readonly tsEcr: number }
  /** An empty cookie asks for one, else 4 to 16 bytes, even. RFC 7413 §4.1.1 */
  | { readonly kind: "fast-open"; readonly cookie: Uint8Array }
  /** A digest of 16 bytes. RFC 2385 §3 */
  | { readonly kind: "md5"; readonly digest: Uint8Array }
  /** RFC 5925 §2.2 */
  | { readonly kind: "ao"; readonly keyId: number; readonly rNextKeyId: number; readonly mac: Uint8Array }
  /** Up to three 24-bit byte counters, in the order EE0B, ECEB, EE1B. RFC 9768 §3.2.3 */
  | { readonly kind: "accecn0"; readonly counters: readonly number[] }
  /** Up to three 24-bit byte counters, in the order EE1B, ECEB, EE0B. RFC 9768 §3.2.3 */
  | { readonly kind: "accecn1"; readonly counters: readonly number[] }
  /** Any other kind number, or one of the above with a length that is not its own. `data` stands behind kind and length. */
  | { readonly kind: "unknown"; readonly number: number; readonly data: Uint8Array };

/** A decoded option list. */
export interface TcpOptionList {
  readonly options: readonly TcpOption[];
  /** Bytes behind an "eol", or from the first option on whose length is impossible (RFC 9293 MUST-7). */
  readonly trailing: Uint8Array;
}

/** Decodes `bytes[offset, offset + length)`, the option space of a header. Any bytes decode. The result holds copies. */
export function decodeTcpOptions(bytes: Uint8Array, offset: number, length: number): TcpOptionList {
  const options: TcpOption[] = [];
  const end = offset + length;
  let at = offset;
  while (at < end) {
    const number = bytes[at]!;
    if (number === OPTION_END) {
      options.push({ kind: "eol" });
      at++;
      break;
    }
    if (number === OPTION_NOP) {
      options.push({ kind: "nop" });
      at++;
      continue;
    }
    if (at + 1 >= end) break;
    const size = bytes[at + 1]!;
    if (size < 2 || at + size > end) break;
    options.push(decodeOption(number, bytes.slice(at + 2, at + size)));
    at += size;
  }
  return { options, trailing: bytes.slice(at, end) };
}

/**
 * Encodes options, then `trailing`, padded with zeros to a multiple of four bytes (RFC 9293 MUST-69). The result may be
 * longer than the 40 bytes that a header can hold. Throws RawTcpError `ERR_INVALID_OPTION` for one beyond 255 bytes.
 */
export function encodeTcpOptions(options: readonly TcpOption[], trailing: Uint8Array = NO_BYTES): Uint8Array {
  const size = tcpOptionsLength(options) + trailing.length;
  const bytes = new Uint8Array((size + 3) & ~3);
  let at = 0;
  for (const option of options) at = encodeOption(option, bytes, at);
  bytes.set(trailing, at);
  return bytes;
}

/** Bytes that the options take, without padding. Throws as `encodeTcpOptions` does. */
export function tcpOptionsLength(options: readonly TcpOption[]): number {
  let size = 0;
  for (const option of options) size += encodedSize(option);
  return size;
}

/** The list in tcpdump's form: "mss 65495,sackOK,TS val 1 ecr 0,nop,wscale 7". Bytes behind an "eol" are not shown. */
export function formatTcpOptions(list: TcpOptionList | readonly TcpOption[]): string {
  if (!("options" in list)) return list.map(formatTcpOption).join(",");
  const texts = list.options.map(formatTcpOption);
  const ended = list.options.at(-1)?.kind === "eol";
  if (!ended && list.trailing.length > 0) texts.push(`bad option 0x${toHex(list.trailing)}`);
  return texts.join(",");
}

/** One option in tcpdump's form: "wscale 7", "sack 1 {100:200}", "unknown-253 0x0102". */
export function formatTcpOption(option: TcpOption): string {
  switch (option.kind) {
    case "eol":
    case "nop":
      return option.kind;
    case "mss":
      return `mss ${option.mss}`;
    case "window-scale":
      return `wscale ${option.shift}`;
    case "sack-permitted":
      return "sackOK";
    case "sack":
      return `sack ${option.blocks.length} ${option.blocks.map((block) => `{${block.left}:${block.right}}`).join("")}`;
    case "timestamps":
      return `TS val ${option.tsVal} ecr ${option.tsEcr}`;
    case "fast-open":
      // tcpdump writes two spaces.
      return option.cookie.length === 0 ? "tfo  cookiereq" : `tfo  cookie ${toHex(option.cookie)}`;
    case "md5":
      return `md5 ${toHex(option.digest)}`;
    case "ao":
      return `tcp-ao keyid ${option.keyId} rnextkeyid ${option.rNextKeyId} mac 0x${toHex(option.mac)}`;
    case "accecn0":
    case "accecn1":
      return formatAccEcn(option.kind, option.counters);
    case "unknown":
      return formatUnknown(option.number, option.data);
  }
}

const NO_BYTES = new Uint8Array(0);

/** The names that the option numbers have in print, for those whose length is wrong. */
const PRINTED_NAMES: ReadonlyMap<number, string> = new Map([
  [OPTION_END, "eol"],
  [OPTION_NOP, "nop"],
  [OPTION_MSS, "mss"],
  [OPTION_WINDOW_SCALE, "wscale"],
  [OPTION_SACK_PERMITTED, "sackOK"],
  [OPTION_SACK, "sack"],
  [OPTION_TIMESTAMPS, "TS"],
  [OPTION_MD5, "md5"],
  [OPTION_AO, "tcp-ao"],
  [OPTION_FAST_OPEN, "tfo"],
  [OPTION_ACC_ECN_0, "accecn0"],
  [OPTION_ACC_ECN_1, "accecn1"],
]);

function formatUnknown(number: number, data: Uint8Array): string {
  const value = data.length === 0 ? "" : ` 0x${toHex(data)}`;
  const name = PRINTED_NAMES.get(number);
  return name === undefined ? `unknown-${number}${value}` : `${name} [bad length ${data.length + 2}]${value}`;
}

function formatAccEcn(kind: "accecn0" | "accecn1", counters: readonly number[]): string {
  const order = kind === "accecn0" ? ["e0b", "ceb", "e1b"] : ["e1b", "ceb", "e0b"];
  return [kind, ...counters.map((counter, i) => `${order[i] ?? "?"} ${counter}`)].join(" ");
}

/** Decodes an option by the data behind its kind and length; a wrong length makes it an unknown one. */
function decodeOption(number: number, data: Uint8Array): TcpOption {
  const size = data.length;
  switch (number) {
    case OPTION_MSS:
      if (size === 2) return { kind: "mss", mss: getU16(data, 0) };
      break;
    case OPTION_WINDOW_SCALE:
      if (size === 1) return { kind: "window-scale", shift: data[0]! };
      break;
    case OPTION_SACK_PERMITTED:
      if (size === 0) return { kind: "sack-permitted" };
      break;
    case OPTION_SACK:
      if (size > 0 && size % 8 === 0) return { kind: "sack", blocks: decodeBlocks(data) };
      break;
    case OPTION_TIMESTAMPS:
      if (size === 8) return { kind: "timestamps", tsVal: getU32(data, 0), tsEcr: getU32(data, 4) };
      break;
    case OPTION_FAST_OPEN:
      if (size === 0 || (size >= 4 && size <= 16 && size % 2 === 0)) return { kind: "fast-open", cookie: data };
      break;
    case OPTION_MD5:
      if (size === 16) return { kind: "md5", digest: data };
      break;
    case OPTION_AO:
      if (size >= 2) return { kind: "ao", keyId: data[0]!, rNextKeyId: data[1]!, mac: data.slice(2) };
      break;
    case OPTION_ACC_ECN_0:
      if (size <= 9 && size % 3 === 0) return { kind: "accecn0", counters: decodeCounters(data) };
      break;
    case OPTION_ACC_ECN_1:
      if (size <= 9 && size % 3 === 0) return { kind: "accecn1", counters: decodeCounters(data) };
      break;
  }
  return { kind: "unknown", number, data };
}

function decodeBlocks(data: Uint8Array): SackBlock[] {
  const blocks: SackBlock[] = [];
  for (let at = 0; at < data.length; at += 8) blocks.push({ left: getU32(data, at), right: getU32(data, at + 4) });
  return blocks;
}

function decodeCounters(data: Uint8Array): number[] {
  const counters: number[] = [];
  for (let at = 0; at < data.length; at += 3) counters.push((data[at]! << 16) | getU16(data, at + 1));
  return counters;
}

function encodedSize(option: TcpOption): number {
  const size = option.kind === "eol" || option.kind === "nop" ? 1 : 2 + dataSize(option);
  if (size > 255) throw new RawTcpError("ERR_INVALID_OPTION", `TCP option of ${size} bytes: the length field ends at 255`);
  return size;
}

function dataSize(option: TcpOption): number {
  switch (option.kind) {
    case "eol":
    case "nop":
    case "sack-permitted":
      return 0;
    case "window-scale":
      return 1;
    case "mss":
      return 2;
    case "sack":
      return option.blocks.length * 8;
    case "timestamps":
      return 8;
    case "fast-open":
      return option.cookie.length;
    case "md5":
      return option.digest.length;
    case "ao":
      return 2 + option.mac.length;
    case "accecn0":
    case "accecn1":
      return option.counters.length * 3;
    case "unknown":
      return option.data.length;
  }
}

/** Writes one option at `at`, returns where the next goes. */
function encodeOption(option: TcpOption, bytes: Uint8Array, at: number): number {
  bytes[at] = numberOf(option);
  if (option.kind === "eol" || option.kind === "nop") return at + 1;
  const size = encodedSize(option);
  bytes[at + 1] = size;
  encodeData(option, bytes, at + 2);
  return at + size;
}

function encodeData(option: TcpOption, bytes: Uint8Array, at: number): void {
  switch (option.kind) {
    case "mss":
      putU16(bytes, at, option.mss);
      break;
    case "window-scale":
      bytes[at] = option.shift;
      break;
    case "sack":
      for (const [i, block] of option.blocks.entries()) {
        putU32(bytes, at + 8 * i, block.left);
        putU32(bytes, at + 8 * i + 4, block.right);
      }
      break;
    case "timestamps":
      putU32(bytes, at, option.tsVal);
      putU32(bytes, at + 4, option.tsEcr);
      break;
    case "fast-open":
      bytes.set(option.cookie, at);
      break;
    case "md5":
      bytes.set(option.digest, at);
      break;
    case "ao":
      bytes[at] = option.keyId;
      bytes[at + 1] = option.rNextKeyId;
      bytes.set(option.mac, at + 2);
      break;
    case "accecn0":
    case "accecn1":
      for (const [i, counter] of option.counters.entries()) {
        bytes[at + 3 * i] = counter >>> 16;
        putU16(bytes, at + 3 * i + 1, counter);
      }
      break;
    case "unknown":
      bytes.set(option.data, at);
      break;
  }
}

function numberOf(option: TcpOption): number {
  switch (option.kind) {
    case "eol":
      return OPTION_END;
    case "nop":
      return OPTION_NOP;
    case "mss":
      return OPTION_MSS;
    case "window-scale":
      return OPTION_WINDOW_SCALE;
    case "sack-permitted":
      return OPTION_SACK_PERMITTED;
    case "sack":
      return OPTION_SACK;
    case "timestamps":
      return OPTION_TIMESTAMPS;
    case "fast-open":
      return OPTION_FAST_OPEN;
    case "md5":
      return OPTION_MD5;
    case "ao":
      return OPTION_AO;
    case "accecn0":
      return OPTION_ACC_ECN_0;
    case "accecn1":
      return OPTION_ACC_ECN_1;
    case "unknown":
      return option.number;
  }
}
