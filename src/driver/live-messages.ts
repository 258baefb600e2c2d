/** recvmsg(2) of a script on a live kernel: struct msghdr and its control messages, compared with what the script says. */
import type { Micros } from "../base/time.js";
import { addressOf, HOST_LITTLE_ENDIAN } from "../kernel/libc.js";
import type { SystemCalls } from "../kernel/system-calls.js";
import type { Expression } from "../script/ast.js";
import { type ControlMessage, checkControl, statisticOf } from "../script/control-messages.js";
import { ScriptFailure, UnsupportedError } from "../script/errors.js";
import { fieldOf, itemsOf, optionalNumber } from "../script/values.js";
import type { SentStats } from "../stack/error-queue.js";

const MSG_CTRUNC = 8;
const MSG_NOSIGNAL = 0x4000;
const SOL_SOCKET = 1;
const SCM_TIMESTAMPING = 37;
const SCM_TIMESTAMPING_OPT_STATS = 54;
const SOL_TCP = 6;
const TCP_CM_INQ = 36;

/** When now is on the script's clock, where its time zero lies there, and how far stamps may be off. */
export interface MessageTimes {
  readonly now: Micros;
  readonly start: Micros;
  readonly toleranceUs: Micros;
}

/**
 * Receives up to `size` bytes. Returns what the kernel does, -errno for a failure. Throws ScriptFailure for other messages or flags than
 * the script has, UnsupportedError for kinds that we do not read.
 */
export function receiveMessage(
  calls: SystemCalls,
  fd: number,
  size: number,
  flags: number,
  message: Expression,
  { now, start, toleranceUs }: MessageTimes,
): number {
  const written = fieldOf(message, "msg_control")?.value;
  const data = new Uint8Array(Math.max(1, size));
  const control = new Uint8Array(written === undefined ? 1 : 1024);
  const { header, vector } = messageHeader(data, size, control, written === undefined ? 0 : control.length);
  const result = calls.recvmsg(fd, new Uint8Array(header.buffer), flags);
  // The kernel has written behind the addresses: what they belong to had to live until here.
  if (result < 0 || vector.length + data.length === 0) return result;
  const found = header.getInt32(48, HOST_LITTLE_ENDIAN);
  const used = Number(header.getBigUint64(40, HOST_LITTLE_ENDIAN));
  if ((found & MSG_CTRUNC) === 0 && written !== undefined && written.kind !== "any") {
    const came = controlMessages(new DataView(control.buffer, 0, used), now);
    checkControl(itemsOf(written), came, start, toleranceUs);
  }
  const expected = optionalNumber(fieldOf(message, "msg_flags")?.value ?? { kind: "any" });
  if (expected !== undefined && expected !== found)
    throw new ScriptFailure("recvmsg: msg_flags", `0x${expected.toString(16)}`, `0x${found.toString(16)}`);
  return result;
}

/** Sends `data` with stamps of SO_TIMESTAMPING asked for it alone. Returns what the kernel does, -errno for a failure. */
export function sendMessage(calls: SystemCalls, fd: number, data: Uint8Array, flags: number, stamps: number): number {
  const control = new DataView(new ArrayBuffer(24));
  control.setBigUint64(0, 20n, HOST_LITTLE_ENDIAN);
  control.setInt32(8, SOL_SOCKET, HOST_LITTLE_ENDIAN);
  control.setInt32(12, SCM_TIMESTAMPING, HOST_LITTLE_ENDIAN);
  control.setUint32(16, stamps, HOST_LITTLE_ENDIAN);
  const bytes = new Uint8Array(control.buffer);
  const { header, vector } = messageHeader(data, data.length, bytes, bytes.length);
  const result = calls.sendmsg(fd, new Uint8Array(header.buffer), flags | MSG_NOSIGNAL);
  // What the addresses belong to had to live until here.
  return vector.length + bytes.length + data.length === 0 ? 0 : result;
}

/** A struct msghdr with one struct iovec, which has to live as long as it. */
function messageHeader(data: Uint8Array, size: number, control: Uint8Array, controlLength: number) {
  const vector = new DataView(new ArrayBuffer(16));
  vector.setBigUint64(0, addressOf(data), HOST_LITTLE_ENDIAN);
  vector.setBigUint64(8, BigInt(size), HOST_LITTLE_ENDIAN);
  const vectorBytes = new Uint8Array(vector.buffer);
  const header = new DataView(new ArrayBuffer(56));
  header.setBigUint64(16, addressOf(vectorBytes), HOST_LITTLE_ENDIAN);
  header.setBigUint64(24, 1n, HOST_LITTLE_ENDIAN);
  header.setBigUint64(32, addressOf(control), HOST_LITTLE_ENDIAN);
  header.setBigUint64(40, BigInt(controlLength), HOST_LITTLE_ENDIAN);
  return { header, vector: vectorBytes };
}

/** Each is a struct cmsghdr with its data, on a boundary of eight bytes. */
function controlMessages(bytes: DataView, now: Micros): ControlMessage[] {
  const messages: ControlMessage[] = [];
  for (let at = 0; at + 16 <= bytes.byteLength; ) {
    const length = Number(bytes.getBigUint64(at, HOST_LITTLE_ENDIAN));
    if (length < 16) break;
    const [level, type] = [bytes.getInt32(at + 8, HOST_LITTLE_ENDIAN), bytes.getInt32(at + 12, HOST_LITTLE_ENDIAN)];
    const data = new DataView(bytes.buffer, bytes.byteOffset + at + 16, Math.min(length - 16, bytes.byteLength - at - 16));
    messages.push({ level, type, data: dataOf(level, type, data, now) });
    at += (length + 7) & ~7;
  }
  return messages;
}

function dataOf(level: number, type: number, bytes: DataView, now: Micros): ControlMessage["data"] {
  const u32 = (offset: number): number => bytes.getUint32(offset, HOST_LITTLE_ENDIAN);
  if (level === SOL_TCP && type === TCP_CM_INQ) return { kind: "number", value: bytes.getInt32(0, HOST_LITTLE_ENDIAN) };
  if (level === SOL_SOCKET && type === SCM_TIMESTAMPING) {
    // Stamps are of the time of day; the script's clock only knows how long ago that is.
    const us = bytes.getBigInt64(0, HOST_LITTLE_ENDIAN) * 1_000_000n + bytes.getBigInt64(8, HOST_LITTLE_ENDIAN) / 1000n;
    const ago = (performance.timeOrigin + performance.now()) * 1000 - Number(us);
    return { kind: "stamp", at: now - ago };
  }
  if (level === SOL_SOCKET && type === SCM_TIMESTAMPING_OPT_STATS) return { kind: "stats", stats: statsOf(bytes) };
  if ((level === 0 && type === 11) || (level === 41 && type === 25)) {
    const [origin, icmpType, code] = [4, 5, 6].map((offset) => bytes.getUint8(offset));
    const error = {
      ...{ ee_errno: u32(0), ee_origin: origin ?? 0, ee_type: icmpType ?? 0, ee_code: code ?? 0 },
      ...{ ee_info: u32(8), ee_data: u32(12) },
    };
    return { kind: "error", error };
  }
  throw new UnsupportedError(`control messages ${level}, ${type} of a live kernel`);
}

/** Each is a struct nlattr with one number of 1, 4 or 8 bytes, on a boundary of four bytes. */
function statsOf(bytes: DataView): Partial<SentStats> {
  const stats: Partial<Record<keyof SentStats, number>> = {};
  for (let at = 0; at + 4 <= bytes.byteLength; ) {
    const length = bytes.getUint16(at, HOST_LITTLE_ENDIAN);
    if (length < 4 || at + length > bytes.byteLength) break;
    const name = statisticOf(bytes.getUint16(at + 2, HOST_LITTLE_ENDIAN));
    if (name !== undefined) stats[name] = numberAt(bytes, at + 4, length - 4);
    at += (length + 3) & ~3;
  }
  return stats;
}

function numberAt(bytes: DataView, at: number, length: number): number {
  if (length === 8) return Number(bytes.getBigUint64(at, HOST_LITTLE_ENDIAN));
  return length === 4 ? bytes.getUint32(at, HOST_LITTLE_ENDIAN) : bytes.getUint8(at);
}
