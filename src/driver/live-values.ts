/** Values of scripts as the bytes that a kernel's system calls take and give. */
import { utf8Encode } from "../base/utf8.js";
import { errnoName, HOST_LITTLE_ENDIAN } from "../kernel/libc.js";
import type { Expression } from "../script/ast.js";
import { SOCKET_OPTIONS } from "../script/constants.js";
import { ScriptFailure, UnsupportedError } from "../script/errors.js";
import type { CallResult } from "../script/host.js";
import { fieldOf, itemsOf, numberOf, optionalNumber } from "../script/values.js";

/** What a script sees of a result of the kernel, where -errno is a failure. */
export function resultOf(result: number): CallResult {
  return result < 0 ? { value: -1, errno: errnoName(-result) } : { value: result, errno: "" };
}

export function levelAndOption(level: Expression, option: Expression): readonly [number, number] {
  if (option.kind !== "name") return [numberOf(level), numberOf(option)];
  const found = SOCKET_OPTIONS[option.name];
  if (found === undefined) throw new UnsupportedError(`the socket option ${option.name}`);
  return found;
}

export function optionBytes(value: Expression): Uint8Array {
  const [item] = itemsOf(value);
  if (item?.kind === "text") return utf8Encode(item.value);
  if (item?.kind === "struct") {
    // A struct timeval has two long ones.
    const isTime = fieldOf(item, "tv_sec") !== undefined;
    return concatenated(structFields(item).map(isTime ? int64 : int32));
  }
  return concatenated(itemsOf(value).map((one) => int32(numberOf(one))));
}

export function optionLength(length: Expression): number | undefined {
  return optionalNumber(length);
}

function concatenated(parts: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

export function structFields(value: Expression): number[] {
  const [item] = itemsOf(value);
  return item?.kind === "struct" ? item.fields.map((field) => numberOf(field.value)) : [];
}

function int64(value: number): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigInt64(0, BigInt(value), HOST_LITTLE_ENDIAN);
  return bytes;
}

export function int32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setInt32(0, value | 0, HOST_LITTLE_ENDIAN);
  return bytes;
}

export function readInt(bytes: Uint8Array): number {
  return new DataView(bytes.buffer, bytes.byteOffset).getInt32(0, HOST_LITTLE_ENDIAN);
}

/** A socklen_t that the kernel writes. */
export const lengthCell = int32;
export const readLength = readInt;

export function padded(bytes: Uint8Array, length: number): Uint8Array {
  const all = new Uint8Array(Math.max(bytes.length, length));
  all.set(bytes);
  return all;
}

export function shown(bytes: Uint8Array): string {
  if (bytes.length === 4) return String(readInt(bytes));
  return [...bytes.subarray(0, 32)].map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
}

export function hex(value: number): string {
  return `0x${value.toString(16)}`;
}

export function checkText(expected: string, bytes: Uint8Array): void {
  const wanted = utf8Encode(expected);
  if (wanted.length === bytes.length && wanted.every((byte, i) => byte === bytes[i])) return;
  throw new ScriptFailure("the data that was read", JSON.stringify(expected), `${bytes.length} other bytes`);
}
