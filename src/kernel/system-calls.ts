/**
 * The system calls of sockets as scripts make them: by number and bytes, in the calling thread, and with the kernel's own result, which is
 * the negative errno for a failure. Nothing here throws for what the kernel refuses.
 */
import { createRequire } from "node:module";
import type * as Koffi from "koffi";
import { HOST_LITTLE_ENDIAN } from "./libc.js";

/** Bytes, or null for a null pointer. */
type Pointer = Uint8Array | null;

/** Each returns what the call does, or -errno. Lengths are in bytes. */
export interface SystemCalls {
  socket(family: number, type: number, protocol: number): number;
  bind(fd: number, address: Pointer, length: number): number;
  listen(fd: number, backlog: number): number;
  accept4(fd: number, address: Pointer, length: Pointer, flags: number): number;
  connect(fd: number, address: Pointer, length: number): number;
  getsockname(fd: number, address: Pointer, length: Pointer): number;
  sendto(fd: number, data: Pointer, length: number, flags: number, address: Pointer, addressLength: number): number;
  recvfrom(fd: number, into: Pointer, length: number, flags: number, address: Pointer, addressLength: Pointer): number;
  sendmsg(fd: number, message: Pointer, flags: number): number;
  recvmsg(fd: number, message: Pointer, flags: number): number;
  read(fd: number, into: Pointer, length: number): number;
  write(fd: number, data: Pointer, length: number): number;
  shutdown(fd: number, how: number): number;
  close(fd: number): number;
  /** Closes in a thread of Node's pool; what comes of it is not told. */
  closeInPool(fd: number): void;
  fcntl(fd: number, command: number, argument: number): number;
  ioctl(fd: number, request: number, argument: Pointer): number;
  setsockopt(fd: number, level: number, option: number, value: Pointer, length: number): number;
  getsockopt(fd: number, level: number, option: number, value: Pointer, length: Pointer): number;
  poll(pollfds: Pointer, count: number, timeoutMs: number): number;
  /** The signal mask is left as it is. */
  ppoll(pollfds: Pointer, count: number, timeout: Pointer): number;
  epoll_create1(flags: number): number;
  epoll_ctl(epoll: number, operation: number, fd: number, event: Pointer): number;
  epoll_wait(epoll: number, events: Pointer, most: number, timeoutMs: number): number;
  /** Gives this thread, and no other, new namespaces (CLONE_NEWNET: 0x40000000). */
  unshare(flags: number): number;
  open(path: string, flags: number): number;
  /** Two descriptors of 32 bits. */
  pipe2(ends: Pointer, flags: number): number;
  splice(from: number, fromOffset: Pointer, to: number, toOffset: Pointer, length: number, flags: number): number;
  sendfile(to: number, from: number, offset: Pointer, length: number): number;
}

/** Signatures of C; intptr_t stands for ssize_t. */
const SIGNATURES: Readonly<Record<Exclude<keyof SystemCalls, "closeInPool">, string>> = {
  socket: "int socket(int, int, int)",
  bind: "int bind(int, void *, uint32_t)",
  listen: "int listen(int, int)",
  accept4: "int accept4(int, void *, void *, int)",
  connect: "int connect(int, void *, uint32_t)",
  getsockname: "int getsockname(int, void *, void *)",
  sendto: "intptr_t sendto(int, void *, size_t, int, void *, uint32_t)",
  recvfrom: "intptr_t recvfrom(int, void *, size_t, int, void *, void *)",
  sendmsg: "intptr_t sendmsg(int, void *, int)",
  recvmsg: "intptr_t recvmsg(int, void *, int)",
  read: "intptr_t read(int, void *, size_t)",
  write: "intptr_t write(int, void *, size_t)",
  shutdown: "int shutdown(int, int)",
  close: "int close(int)",
  fcntl: "int fcntl(int, int, intptr_t)",
  ioctl: "int ioctl(int, unsigned long, void *)",
  setsockopt: "int setsockopt(int, int, int, void *, uint32_t)",
  getsockopt: "int getsockopt(int, int, int, void *, void *)",
  poll: "int poll(void *, unsigned long, int)",
  ppoll: "int ppoll(void *, unsigned long, void *, intptr_t)",
  epoll_create1: "int epoll_create1(int)",
  epoll_ctl: "int epoll_ctl(int, int, int, void *)",
  epoll_wait: "int epoll_wait(int, void *, int, int)",
  unshare: "int unshare(int)",
  open: "int open(const char *, int)",
  pipe2: "int pipe2(void *, int)",
  splice: "intptr_t splice(int, void *, int, void *, size_t, unsigned int)",
  sendfile: "intptr_t sendfile(int, int, void *, size_t)",
};

/** Loads them. Throws what koffi throws when it cannot be loaded. */
export function loadSystemCalls(): SystemCalls {
  const koffi = createRequire(import.meta.url)("koffi") as typeof Koffi;
  const library = koffi.load(null);
  const calls = Object.entries(SIGNATURES).map(([name, signature]) => {
    const call = library.func(signature) as (...args: unknown[]) => number;
    // ppoll's last argument is the mask that is left alone.
    const rest = name === "ppoll" ? [0] : [];
    const orErrno = (...args: unknown[]): number => {
      const result = call(...args, ...rest);
      return result < 0 ? -koffi.errno() : result;
    };
    return [name, orErrno];
  });
  const close = library.func(SIGNATURES.close);
  const closeInPool = (fd: number): void => close.async(fd, () => undefined);
  return { ...Object.fromEntries(calls), closeInPool } as SystemCalls;
}

/** A struct pollfd a descriptor. */
export interface PollRequest {
  readonly fd: number;
  readonly events: number;
}

export function pollfdsOf(requests: readonly PollRequest[]): Uint8Array {
  const bytes = new Uint8Array(8 * requests.length);
  const view = new DataView(bytes.buffer);
  for (const [i, { fd, events }] of requests.entries()) {
    view.setInt32(8 * i, fd, HOST_LITTLE_ENDIAN);
    view.setInt16(8 * i + 4, events, HOST_LITTLE_ENDIAN);
  }
  return bytes;
}

/** What is ready of the `at`-th. */
export function readyEvents(pollfds: Uint8Array, at: number): number {
  return new DataView(pollfds.buffer, pollfds.byteOffset).getUint16(8 * at + 6, HOST_LITTLE_ENDIAN);
}

/** A struct timespec. */
export function timespecOf(us: number): Uint8Array {
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  view.setBigInt64(0, BigInt(Math.floor(us / 1_000_000)), HOST_LITTLE_ENDIAN);
  view.setBigInt64(8, BigInt(Math.floor(us % 1_000_000) * 1000), HOST_LITTLE_ENDIAN);
  return bytes;
}
