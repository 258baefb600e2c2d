/** Calls that read and write: on sockets, and for those that take any descriptor, on pipes and files. */
import { RawTcpError } from "../base/errors.js";
import type { Micros } from "../base/time.js";
import { utf8Encode } from "../base/utf8.js";
import { SOF_TIMESTAMPING, SOF_TIMESTAMPING_OF_A_CALL } from "../stack/error-queue.js";
import { MSG_ERRQUEUE, MSG_FASTOPEN, MSG_OOB, MSG_PEEK, MSG_WAITALL } from "../stack/socket-constants.js";
import type { CallEvent, Expression } from "./ast.js";
import {
  arrivalMessage,
  type ControlMessage,
  checkControl,
  errorMessages,
  leftMessage,
  stampsAskedFor,
} from "./control-messages.js";
import { attempt, type Descriptors, once, type Patience, type SocketDescriptor, waiting } from "./descriptors.js";
import { ScriptFailure, UnsupportedError } from "./errors.js";
import type { PendingCall } from "./host.js";
import { argument, fieldOf, iovecLength, isNullPointer, itemsOf, numberOf, optionalNumber } from "./values.js";
import type { VirtualWorld } from "./virtual-world.js";

/** What the calls need of those who hold them. */
export interface MessageContext {
  readonly table: Descriptors;
  readonly world: VirtualWorld;
  /** The script's time 0, and how far stamps may be off. */
  readonly start: Micros;
  readonly toleranceUs: Micros;
  /** Sockets are of IPv6, though their addresses are of IPv4. */
  readonly isMapped: boolean;
  /** Connects and sends at once (RFC 7413). Returns how much was taken. */
  openWith(descriptor: SocketDescriptor, data: Uint8Array, flags: number, to: Expression): number;
}

const MSG_TRUNC = 0x20;
const MSG_CTRUNC = 8;
/** No buffer of a script is larger. */
const LARGEST_READ = 1 << 26;

/** read, readv, recv, recvfrom, recvmsg. */
export function receive(call: CallEvent, context: MessageContext): PendingCall {
  const { name, args } = call;
  const buffer = argument(args, 1);
  switch (name) {
    case "read":
      return fromAny(call, context, numberOf(argument(args, 2)));
    case "readv":
      return fromAny(call, context, iovecLength(buffer));
    case "recvmsg":
      return receiveMessage(call, context);
    default:
      return fromSocket(call, context, numberOf(argument(args, 2)), numberOf(argument(args, 3)));
  }
}

/** write, writev, send, sendto, sendmsg. */
export function send(call: CallEvent, context: MessageContext): PendingCall {
  const { name, args } = call;
  const buffer = argument(args, 1);
  switch (name) {
    case "write":
      return toAny(call, context, numberOf(argument(args, 2)));
    case "writev":
      return toAny(call, context, iovecLength(buffer));
    case "sendmsg": {
      const stamps = stampsAskedFor(fieldOf(buffer, "msg_control")?.value);
      if (stamps !== undefined && (stamps & ~SOF_TIMESTAMPING_OF_A_CALL) !== 0) return once(() => fail("EINVAL"));
      return toSocket(call, context, messageLength(buffer), numberOf(argument(args, 2)), stamps);
    }
    default:
      return toSocket(call, context, numberOf(argument(args, 2)), numberOf(argument(args, 3)));
  }
}

/** `sendfile(out, in, [offset], count)`: files give zeros. */
export function sendFile(call: CallEvent, context: MessageContext): PendingCall {
  const source = context.table.peek(numberOf(argument(call.args, 1)));
  if (source?.kind !== "file") return once(() => fail(source === undefined ? "EBADF" : "EINVAL"));
  return toSocket(call, context, numberOf(argument(call.args, 3)), 0);
}

/** `splice(in, offset, out, offset, count, flags)` between a pipe and a socket. */
export function splice(call: CallEvent, context: MessageContext): PendingCall {
  const { table, world } = context;
  const [from, to] = [0, 2].map((at) => table.peek(numberOf(argument(call.args, at))));
  const count = numberOf(argument(call.args, 4));
  const flags = (numberOf(argument(call.args, 5)) & 2) !== 0 ? 0x40 : 0;
  if (from?.kind === "socket" && to?.kind === "pipe") {
    const buffer = new Uint8Array(Math.min(count, LARGEST_READ));
    return waiting(table, world, call, "receive", flags, ({ socket }) => {
      const taken = socket.recv(buffer);
      to.pipe.bytes += taken;
      return taken;
    });
  }
  if (from?.kind === "pipe" && to?.kind === "socket") {
    const here = { ...call, args: [argument(call.args, 2)] };
    return waiting(table, world, here, "send", flags, ({ socket }) => {
      const taken = socket.send(new Uint8Array(Math.min(count, from.pipe.bytes)), 0, world.now);
      from.pipe.bytes -= taken;
      return taken;
    });
  }
  return once(() => fail(from === undefined || to === undefined ? "EBADF" : "EINVAL"));
}

function fromAny(call: CallEvent, context: MessageContext, size: number): PendingCall {
  const descriptor = context.table.peek(numberOf(argument(call.args, 0)));
  if (descriptor?.kind === "file") return once(() => size);
  if (descriptor?.kind === "epoll") return once(() => fail("EINVAL"));
  if (descriptor?.kind !== "pipe") return fromSocket(call, context, size, 0);
  const { pipe, end } = descriptor;
  return () =>
    attempt(() => {
      if (end !== "read") fail("EBADF");
      if (pipe.bytes === 0 && pipe.hasWriter && size > 0) {
        if (descriptor.isNonBlocking) fail("EAGAIN");
        return undefined;
      }
      const taken = Math.min(size, pipe.bytes);
      pipe.bytes -= taken;
      return taken;
    });
}

function toAny(call: CallEvent, context: MessageContext, size: number): PendingCall {
  const descriptor = context.table.peek(numberOf(argument(call.args, 0)));
  if (descriptor?.kind === "file") return once(() => size);
  if (descriptor?.kind === "epoll") return once(() => fail("EINVAL"));
  if (descriptor?.kind !== "pipe") return toSocket(call, context, size, 0);
  return once(() => {
    if (descriptor.end !== "write") fail("EBADF");
    if (!descriptor.pipe.hasReader) fail("EPIPE");
    descriptor.pipe.bytes += size;
    return size;
  });
}

function fromSocket(call: CallEvent, { table, world, isMapped }: MessageContext, size: number, flags: number): PendingCall {
  const read = reader(argument(call.args, 1), size, flags);
  return waiting(table, world, call, "receive", flags, (descriptor, patience) => {
    if ((flags & MSG_ERRQUEUE) !== 0) return Math.min(size, takeError(descriptor, isMapped).bytes);
    return read(descriptor, patience);
  });
}

/** Reads until there is as much as the flags and SO_RCVLOWAT ask for. */
function reader(into: Expression, size: number, flags: number): (descriptor: SocketDescriptor, patience: Patience) => number {
  const buffer = new Uint8Array(Math.min(Math.max(0, size), LARGEST_READ));
  const isNull = isNullPointer(into);
  const isPeek = (flags & MSG_PEEK) !== 0;
  let taken = 0;
  return ({ socket }, { isOver }) => {
    if (isOver && taken > 0 && !isPeek) return taken;
    const wanted = (flags & MSG_WAITALL) !== 0 ? size : Math.min(socket.getsockopt("SO_RCVLOWAT"), size);
    // What was read before counts, and an error is told next time.
    let isEnd = taken > 0 && socket.connection?.tcb.failure !== undefined;
    if (!isEnd) {
      const count = socket.recv(buffer.subarray(isPeek ? 0 : taken), isNull ? flags | MSG_PEEK : flags);
      if (isNull && count > 0) fail("EFAULT");
      isEnd = count === 0 || (flags & MSG_OOB) !== 0;
      taken = isPeek ? count : taken + count;
    }
    if (!isEnd && taken < wanted && !isOver) fail("EAGAIN");
    if (into.kind === "text") checkText(into.value, buffer.subarray(0, taken));
    return taken;
  };
}

function takeError(
  descriptor: SocketDescriptor,
  isMapped: boolean,
): { readonly messages: ControlMessage[]; readonly bytes: number } {
  const item = descriptor.socket.errors.shift();
  if (item === undefined) return fail("EAGAIN");
  const { family } = descriptor.socket;
  const messages = errorMessages(item, isMapped ? 6 : family, descriptor.socket.getsockopt("SO_TIMESTAMPING"));
  return { messages, bytes: item.origin === "timestamping" ? item.bytes : 0 };
}

function receiveMessage(call: CallEvent, { table, world, start, toleranceUs, isMapped }: MessageContext): PendingCall {
  const message = argument(call.args, 1);
  const flags = numberOf(argument(call.args, 2));
  const isError = (flags & MSG_ERRQUEUE) !== 0;
  const vector = fieldOf(message, "msg_iov")?.value;
  const size = messageLength(message);
  const read = reader(textOf(vector), size, flags);
  // The error queue is never waited for.
  return waiting(table, world, call, "receive", isError ? 0x40 : flags, (descriptor, patience) => {
    let came: ControlMessage[];
    let result = 0;
    let isTooLong = false;
    if (isError) {
      const { messages, bytes } = takeError(descriptor, isMapped);
      came = messages;
      result = Math.min(size, bytes);
      isTooLong = bytes > size;
    } else {
      result = read(descriptor, patience);
      came = dataMessages(descriptor, result);
    }
    const control = fieldOf(message, "msg_control")?.value;
    const wanted = control === undefined || control.kind === "any" ? [] : itemsOf(control);
    // Without room for messages they are lost, which a flag tells.
    const isCut = wanted.length === 0 && came.length > 0 && control?.kind !== "any";
    if (!isCut && control?.kind !== "any") checkControl(wanted, came, start, toleranceUs);
    const found = (flags & (MSG_ERRQUEUE | MSG_OOB)) | (isCut ? MSG_CTRUNC : 0) | (isTooLong ? MSG_TRUNC : 0);
    const expected = optionalNumber(fieldOf(message, "msg_flags")?.value ?? { kind: "any" });
    if (expected !== undefined && expected !== found)
      throw new ScriptFailure("recvmsg: msg_flags", `0x${expected.toString(16)}`, `0x${found.toString(16)}`);
    return result;
  });
}

/** What comes with data: when it came, and how much is left. */
function dataMessages({ socket, tellsLeft }: SocketDescriptor, taken: number): ControlMessage[] {
  const messages: ControlMessage[] = [];
  const { RX_SOFTWARE, SOFTWARE } = SOF_TIMESTAMPING;
  const bits = socket.getsockopt("SO_TIMESTAMPING");
  const tcb = socket.connection?.tcb;
  if (taken > 0 && (bits & RX_SOFTWARE) !== 0 && (bits & SOFTWARE) !== 0 && tcb !== undefined)
    messages.push(arrivalMessage(tcb.lastDataReceivedAt));
  // Note: Linux does the same: after FIN there is something to read, the end.
  if (tellsLeft) messages.push(leftMessage(socket.ioctl("SIOCINQ") || Number(tcb?.rcv.finSeen ?? false)));
  return messages;
}

function toSocket(call: CallEvent, context: MessageContext, size: number, flags: number, stamps?: number): PendingCall {
  const { table, world } = context;
  const from = argument(call.args, 1);
  const isNull = call.name !== "sendfile" && isNullPointer(from) && size > 0;
  const data = new Uint8Array(Math.max(0, size));
  const text = textOf(from);
  if (text.kind === "text") data.set(textBytes(text.value).subarray(0, size));
  const isFastOpen = (flags & MSG_FASTOPEN) !== 0;
  let taken = 0;
  let hasBegun = false;
  return waiting(table, world, call, "send", flags, (descriptor, { isOver }) => {
    const { socket } = descriptor;
    if (isFastOpen && !hasBegun) {
      hasBegun = true;
      try {
        taken = context.openWith(descriptor, data, flags, argument(call.args, 4));
        if (isOver) return taken;
      } catch (error) {
        if (error instanceof RawTcpError && error.code === "EINPROGRESS" && !isOver) fail("EAGAIN");
        throw error;
      }
    }
    // One that may wait does so for the handshake.
    if (isFastOpen && taken === size && isOver) return taken;
    if (isFastOpen && taken === size) socket.send(new Uint8Array(0), 0, world.now);
    while (taken < size || size === 0) {
      try {
        if (isNull) socket.send(new Uint8Array(0), flags & ~MSG_FASTOPEN, world.now);
        if (isNull) fail("EFAULT");
        taken += socket.send(data.subarray(taken), flags & ~MSG_FASTOPEN, world.now, stamps);
      } catch (error) {
        // What was taken before counts, unless the call may wait for the rest.
        const mayWait = error instanceof RawTcpError && error.code === "EAGAIN" && !isOver;
        if (taken > 0 && !mayWait) return taken;
        throw error;
      }
      if (size === 0) break;
      world.drain();
    }
    return taken;
  });
}

/** The bytes in a msghdr's vector. */
export function messageLength(message: Expression): number {
  const vector = fieldOf(message, "msg_iov")?.value;
  if (vector === undefined) throw new UnsupportedError("a msghdr without msg_iov");
  return iovecLength(vector);
}

/** A text of a script as bytes: each letter one, as its escapes mean them, unless it holds letters that are more than one. */
export function textBytes(text: string): Uint8Array {
  if ([...text].some((letter) => letter > "\u00ff")) return utf8Encode(text);
  return Uint8Array.from(text, (letter) => letter.charCodeAt(0));
}

/** The text in an iovec of one, or the expression itself. */
function textOf(expression: Expression | undefined): Expression {
  if (expression?.kind !== "list" && expression?.kind !== "struct") return expression ?? { kind: "any" };
  const [only, ...others] = itemsOf(fieldOf(expression, "msg_iov")?.value ?? expression);
  const base = others.length === 0 && only?.kind === "struct" ? only.fields[0]?.value : undefined;
  return base?.kind === "text" ? base : { kind: "any" };
}

function checkText(expected: string, bytes: Uint8Array): void {
  const wanted = textBytes(expected);
  if (wanted.length === bytes.length && wanted.every((byte, i) => byte === bytes[i])) return;
  throw new ScriptFailure("the data that was read", JSON.stringify(expected), `${bytes.length} other bytes`);
}

function fail(code: string): never {
  throw new RawTcpError(code, code);
}
