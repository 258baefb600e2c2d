/** Segments with the Fast Open option, for a rig. */
import { parseSegment, Segment } from "../../src/wire/segment.js";
import type { Sent } from "./rig.js";

/** The option as bytes, padded to a multiple of four; an empty cookie asks for one. */
export function fastOpenOption(cookie: Uint8Array = new Uint8Array(0), experimental = false): number[] {
  const option = experimental ? [254, 4 + cookie.length, 0xf9, 0x89, ...cookie] : [34, 2 + cookie.length, ...cookie];
  while (option.length % 4 !== 0) option.unshift(1);
  return option;
}

/** The cookie in a segment that was sent; undefined without the option. */
export function cookieOf(sent: Sent | undefined): Uint8Array | undefined {
  const seg = headerOf(sent);
  if (seg.fastOpenLength < 0) return undefined;
  return seg.bytes.slice(seg.fastOpenOffset, seg.fastOpenOffset + seg.fastOpenLength);
}

export function headerOf(sent: Sent | undefined): Segment {
  if (sent === undefined) throw new Error("nothing was sent");
  const seg = new Segment();
  const ip = (sent.bytes[0] ?? 0) >>> 4 === 4 ? 20 : 40;
  if (parseSegment(seg, sent.bytes, ip, sent.bytes.length - ip) !== "") throw new Error("no segment");
  return seg;
}

/** "abc" as bytes. */
export function ascii(text: string): Uint8Array {
  return Uint8Array.from(text, (letter) => letter.charCodeAt(0));
}

export function text(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes);
}
