/** UTF-8 (RFC 3629) in plain code: the pure folders have neither TextEncoder nor Buffer. */

/** The number of bytes that `text` takes in UTF-8; a lone surrogate counts as U+FFFD (3 bytes). */
export function utf8Length(text: string): number {
  let length = 0;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit < 0x80) length += 1;
    else if (unit < 0x800) length += 2;
    else if (isPair(text, i, unit)) {
      length += 4;
      i++;
    } else length += 3;
  }
  return length;
}

/**
 * Writes `text` at `target[offset]` and returns the offset after it. Room for `utf8Length(text)` bytes must be there:
 * what lies beyond the end is lost without a word, as with any typed array.
 */
export function utf8Write(text: string, target: Uint8Array, offset: number): number {
  let at = offset;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit < 0x80) {
      target[at++] = unit;
    } else if (unit < 0x800) {
      target[at++] = 0xc0 | (unit >> 6);
      target[at++] = 0x80 | (unit & 0x3f);
    } else if (isPair(text, i, unit)) {
      const point = 0x10000 + ((unit - 0xd800) << 10) + (text.charCodeAt(++i) - 0xdc00);
      target[at++] = 0xf0 | (point >> 18);
      target[at++] = 0x80 | ((point >> 12) & 0x3f);
      target[at++] = 0x80 | ((point >> 6) & 0x3f);
      target[at++] = 0x80 | (point & 0x3f);
    } else {
      const point = unit >= 0xd800 && unit <= 0xdfff ? REPLACEMENT : unit;
      target[at++] = 0xe0 | (point >> 12);
      target[at++] = 0x80 | ((point >> 6) & 0x3f);
      target[at++] = 0x80 | (point & 0x3f);
    }
  }
  return at;
}

/** `text` as new bytes. */
export function utf8Encode(text: string): Uint8Array {
  const bytes = new Uint8Array(utf8Length(text));
  utf8Write(text, bytes, 0);
  return bytes;
}

/** `bytes[start, end)` as text. Whatever is not UTF-8 becomes U+FFFD, one for each longest prefix that could have been a character. */
export function utf8Decode(bytes: Uint8Array, start = 0, end: number = bytes.length): string {
  let text = "";
  let i = start;
  while (i < end) {
    const lead = bytes[i++] ?? 0;
    if (lead < 0x80) {
      text += String.fromCharCode(lead);
      continue;
    }
    const more = lead >= 0xc2 && lead <= 0xdf ? 1 : lead >= 0xe0 && lead <= 0xef ? 2 : lead >= 0xf0 && lead <= 0xf4 ? 3 : 0;
    if (more === 0) {
      text += REPLACEMENT_TEXT;
      continue;
    }
    let point = lead & (0x3f >> more);
    let taken = 0;
    while (taken < more && i < end) {
      const next = bytes[i] ?? 0;
      const [low, high] = taken === 0 ? secondByteRange(lead) : CONTINUATION;
      if (next < low || next > high) break;
      point = (point << 6) | (next & 0x3f);
      taken++;
      i++;
    }
    text += taken === more ? String.fromCodePoint(point) : REPLACEMENT_TEXT;
  }
  return text;
}

const REPLACEMENT = 0xfffd;
const REPLACEMENT_TEXT = "\ufffd";
const CONTINUATION: readonly [number, number] = [0x80, 0xbf];

/** The table of RFC 3629 §4: it keeps out overlong forms, surrogates and what lies above U+10FFFF. */
function secondByteRange(lead: number): readonly [number, number] {
  if (lead === 0xe0) return [0xa0, 0xbf];
  if (lead === 0xed) return [0x80, 0x9f];
  if (lead === 0xf0) return [0x90, 0xbf];
  if (lead === 0xf4) return [0x80, 0x8f];
  return CONTINUATION;
}

function isPair(text: string, i: number, unit: number): boolean {
  if (unit < 0xd800 || unit > 0xdbff || i + 1 >= text.length) return false;
  const next = text.charCodeAt(i + 1);
  return next >= 0xdc00 && next <= 0xdfff;
}
