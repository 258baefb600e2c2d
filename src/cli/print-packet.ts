/** `rawtcp send --print`: a packet's bytes, field by field. */
import type { CraftedPacket } from "../craft/build.js";
import { type ListedField, listFields } from "../craft/listing.js";
import type { PacketSpec } from "../craft/spec.js";
import { toHex } from "../wire/bytes.js";
import { describePacket } from "../wire/print.js";

/** The lines: the packet in one, its fields with place, bytes, value and whether they were set, and all of it as hexadecimal. */
export function printPacket(spec: PacketSpec, packet: CraftedPacket): string[] {
  const { bytes } = packet;
  const ipOffset = Math.max(0, packet.ipOffset);
  const lines = [describePacket(bytes, ipOffset, bytes.length - ipOffset), "", ...fieldLines(spec, packet, "  (set)"), ""];
  for (let at = 0; at < bytes.length; at += 16) {
    const row = bytes.subarray(at, at + 16);
    lines.push(`  ${at.toString(16).padStart(4, "0")}  ${toHex(row, " ").padEnd(47)}  ${printable(row)}`);
  }
  return lines;
}

/** The fields alone, each layer under its name; `setMark` follows those that the spec set. */
export function fieldLines(spec: PacketSpec, packet: CraftedPacket, setMark: string): string[] {
  const lines: string[] = [];
  let layer = "";
  for (const field of listFields(spec, packet)) {
    if (field.layer !== layer) lines.push(`  ${field.layer}`);
    layer = field.layer;
    lines.push(
      `    ${place(field).padEnd(10)} ${rawBits(field, packet.bytes).padEnd(12)} ${field.name.padEnd(16)} ${field.text}${field.isSet ? setMark : ""}`,
    );
  }
  return lines;
}

/** "12", "12.4" for a field that begins in the middle of a byte, with its width: "12.4 +9b". */
function place(field: ListedField): string {
  const bit = field.bitOffset & 7;
  const isWhole = bit === 0 && field.bitLength % 8 === 0;
  return isWhole ? `${field.bitOffset >>> 3} +${field.bitLength >>> 3}` : `${field.bitOffset >>> 3}.${bit} +${field.bitLength}b`;
}

/** The bytes that hold the field, where they are few. */
function rawBits(field: ListedField, bytes: Uint8Array): string {
  const first = field.bitOffset >>> 3;
  const last = (field.bitOffset + field.bitLength + 7) >>> 3;
  return last - first <= 6 ? toHex(bytes.subarray(first, last)) : `${toHex(bytes.subarray(first, first + 4))}…`;
}

function printable(row: Uint8Array): string {
  return Array.from(row, (byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : ".")).join("");
}
