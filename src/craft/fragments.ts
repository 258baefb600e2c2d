/** IP fragmentation (RFC 791 §3.2, RFC 8200 §4.5), of packets that may be wrong in other ways. */
import { RawTcpError } from "../base/errors.js";
import { getU16, putU16, putU32 } from "../wire/bytes.js";
import { extensionHeaderLength, isExtensionHeader, PROTOCOL_FRAGMENT } from "../wire/ip-packet.js";
import { ipv4Checksum } from "../wire/ipv4.js";

/**
 * Cuts an IP packet into fragments of at most `mtuBytes` each, the last the shortest; a packet that fits comes back alone.
 * `id` is the identification of an IPv6 packet's fragments; in IPv4 it stands in the header. Throws RawTcpError
 * `ERR_CRAFT_FRAGMENT` for an MTU without room for eight bytes of payload, and for bytes that are no IP packet.
 */
export function fragment(packet: Uint8Array, mtuBytes: number, id = 1): Uint8Array[] {
  if (packet.length <= mtuBytes) return [packet];
  const version = (packet[0] ?? 0) >>> 4;
  if (version === 4 && packet.length >= 20) return fragmentV4(packet, mtuBytes);
  if (version === 6 && packet.length >= 40) return fragmentV6(packet, mtuBytes, id);
  throw new RawTcpError("ERR_CRAFT_FRAGMENT", "only an IP packet can be cut into fragments");
}

const MORE_FRAGMENTS = 0x2000;
const FRAGMENT_HEADER_BYTES = 8;

function fragmentV4(packet: Uint8Array, mtuBytes: number): Uint8Array[] {
  const stated = ((packet[0] ?? 0) & 15) << 2;
  const headerLength = stated >= 20 && stated <= packet.length ? stated : 20;
  const room = roomIn(mtuBytes, headerLength);
  const field = getU16(packet, 6);
  const fragments: Uint8Array[] = [];
  for (let at = headerLength; at < packet.length; at += room) {
    const size = Math.min(room, packet.length - at);
    // A fragment of a fragment counts on from where that one stood.
    const offset = (field & 0x1fff) + ((at - headerLength) >>> 3);
    const isLast = at + size >= packet.length;
    // Options that are not to be copied (RFC 791 §3.1) are copied all the same: each fragment shows what was asked for.
    const piece = new Uint8Array(headerLength + size);
    piece.set(packet.subarray(0, headerLength));
    piece.set(packet.subarray(at, at + size), headerLength);
    putU16(piece, 2, piece.length);
    putU16(piece, 6, (field & 0xc000) | (isLast ? field & MORE_FRAGMENTS : MORE_FRAGMENTS) | (offset & 0x1fff));
    putU16(piece, 10, 0);
    putU16(piece, 10, ipv4Checksum(piece, 0, headerLength));
    fragments.push(piece);
  }
  return fragments;
}

function fragmentV6(packet: Uint8Array, mtuBytes: number, id: number): Uint8Array[] {
  const { end: unfragmentable, protocolAt } = perHopHeaders(packet);
  const room = roomIn(mtuBytes, unfragmentable + FRAGMENT_HEADER_BYTES);
  const fragments: Uint8Array[] = [];
  for (let at = unfragmentable; at < packet.length; at += room) {
    const size = Math.min(room, packet.length - at);
    const piece = new Uint8Array(unfragmentable + FRAGMENT_HEADER_BYTES + size);
    piece.set(packet.subarray(0, unfragmentable));
    piece[unfragmentable] = packet[protocolAt] ?? 0;
    piece[protocolAt] = PROTOCOL_FRAGMENT;
    putU16(piece, unfragmentable + 2, (at - unfragmentable) | (at + size < packet.length ? 1 : 0));
    putU32(piece, unfragmentable + 4, id);
    piece.set(packet.subarray(at, at + size), unfragmentable + FRAGMENT_HEADER_BYTES);
    putU16(piece, 4, piece.length - 40);
    fragments.push(piece);
  }
  return fragments;
}

/** Headers that every router reads stay in each fragment: hop-by-hop options and routing (RFC 8200 §4.5). */
function perHopHeaders(packet: Uint8Array): { end: number; protocolAt: number } {
  let protocolAt = 6;
  let at = 40;
  const perHop = { end: 40, protocolAt: 6 };
  for (
    let protocol = packet[6] ?? 0;
    isExtensionHeader(protocol) && at + 8 <= packet.length;
    protocol = packet[protocolAt] ?? 0
  ) {
    const size = extensionHeaderLength(protocol, packet, at);
    if (at + size > packet.length) break;
    protocolAt = at;
    at += size;
    if (protocol === HOP_BY_HOP || protocol === ROUTING) Object.assign(perHop, { end: at, protocolAt });
  }
  return perHop;
}

const HOP_BY_HOP = 0;
const ROUTING = 43;

/** Whole units of eight bytes. */
function roomIn(mtuBytes: number, headerLength: number): number {
  const room = (mtuBytes - headerLength) & ~7;
  if (room >= 8) return room;
  throw new RawTcpError(
    "ERR_CRAFT_FRAGMENT",
    `an MTU of ${mtuBytes} bytes has no room for eight bytes behind ${headerLength} bytes of headers`,
  );
}
