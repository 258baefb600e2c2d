/**
 * The one place that touches what Node keeps to itself. `net.Socket` and `net.Server` speak to a handle, the object that libuv's TCP
 * is behind; ours take a handle of our own, so that streams, events, time-outs and errors are Node's to the letter.
 *
 * `JSStream` is Node's own class for streams that are made in JavaScript, and a stream to its C++ parts: TLS and HTTP read from it as
 * from a socket of the kernel. It is reached through `process.binding`, which is deprecated in the documentation and present in Node
 * 20 to 24.
 */
import net from "node:net";
import os from "node:os";

/** Node's request objects: `oncomplete` is called when the request is done. */
export interface Request {
  oncomplete(status: number, handle: unknown, request: unknown, readable?: boolean, writable?: boolean): void;
  [name: string]: unknown;
}

/** The part of `JSStream` that is used. */
export interface JsStream {
  /** Data has come; it is copied. */
  readBuffer(bytes: Uint8Array): void;
  emitEOF(): void;
  finishWrite(request: unknown, status: number): void;
  finishShutdown(request: unknown, status: number): void;
  readonly isStreamBase: boolean;
  getAsyncId(): number;
}

interface Bindings {
  js_stream: { JSStream: new () => JsStream };
  stream_wrap: {
    streamBaseState: Int32Array;
    kReadBytesOrError: number;
    kArrayBufferOffset: number;
    kBytesWritten: number;
    kLastWriteWasAsync: number;
  };
  tcp_wrap: { TCP: new (type: number) => object; constants: { UV_TCP_IPV6ONLY: number } };
}

type Untyped = { [name: string | symbol]: unknown };

function binding<Name extends keyof Bindings>(name: Name): Bindings[Name] {
  const process_ = process as unknown as { binding(name: string): Bindings[Name] };
  return process_.binding(name);
}

export const { JSStream } = binding("js_stream");
export const { TCP, constants } = binding("tcp_wrap");

/** Numbers that a handle leaves for the JavaScript around it: how much was read or written, and whether it is done. */
export const { streamBaseState, kReadBytesOrError, kArrayBufferOffset, kBytesWritten, kLastWriteWasAsync } =
  binding("stream_wrap");

/** libuv's end of file. */
export const UV_EOF = -4095;

/** libuv's number of an errno's name, `EINVAL`'s for a name that it does not know. */
export function errnoOf(code: string): number {
  return -(ERRNOS[code] ?? os.constants.errno.EINVAL);
}
const ERRNOS: Readonly<Record<string, number>> = os.constants.errno;

/** Runs what `process.nextTick` and promises have in store, as Node does after each callback of libuv. */
export const runTicks: () => void = (process as unknown as { _tickCallback(): void })._tickCallback;

/** Symbols under which handles and sockets know each other. */
export const { ownerSymbol, kReinitializeHandle } = findSymbols();

function findSymbols(): { ownerSymbol: symbol; kReinitializeHandle: symbol } {
  const handle: Untyped = { close() {}, readStop() {} };
  const socket = new net.Socket({ handle, manualStart: true } as net.SocketConstructorOpts);
  const owner = Object.getOwnPropertySymbols(handle).find((symbol) => handle[symbol] === socket);
  const reinitialize = Object.getOwnPropertySymbols(net.Socket.prototype).find(
    ({ description }) => description === "kReinitializeHandle",
  );
  if (owner === undefined || reinitialize === undefined)
    throw new Error(`rawtcp/net does not know the sockets of Node ${process.version}: use Node 20.19 to 24`);
  return { ownerSymbol: owner, kReinitializeHandle: reinitialize };
}

/** The socket or server whose handle this is. */
export function ownerOf(handle: object): { readonly _handle?: unknown; destroy?(error?: unknown): void } | undefined {
  return Reflect.get(handle, ownerSymbol) as ReturnType<typeof ownerOf>;
}

/** What a socket keeps under Node's own names. */
export interface SocketInternals {
  _handle: object | null;
  _peername: object | null;
  _sockname: object | null;
}

/** `net`'s own reading of the arguments of connect and listen: options and a callback. */
export function normalizeArgs(args: unknown[]): [Untyped, (() => void) | null] {
  const [first] = args;
  // Node marks what it has normalized; only such an array may be the first argument.
  if (Array.isArray(first)) return first as [Untyped, (() => void) | null];
  return (net as unknown as { _normalizeArgs(args: unknown[]): [Untyped, (() => void) | null] })._normalizeArgs(args);
}
