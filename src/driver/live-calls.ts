/**
 * The system calls of a script, made to the kernel of this thread. Its sockets never block: a call that has to wait is asked again, so that
 * the script's packets can come meanwhile, and what scripts see of O_NONBLOCK is their own.
 */
import type { Micros } from "../base/time.js";
import { utf8Encode } from "../base/utf8.js";
import { beginLingeringClose } from "../kernel/lingering-close.js";
import { sockaddrOf, socketAddressOf } from "../kernel/sockaddr.js";
import { pollfdsOf, readyEvents, type SystemCalls } from "../kernel/system-calls.js";
import { tcpInfoFields } from "../kernel/tcp-info.js";
import type { CallEvent, Expression } from "../script/ast.js";
import { IOCTLS } from "../script/constants.js";
import { stampsAskedFor } from "../script/control-messages.js";
import { ScriptFailure, UnsupportedError } from "../script/errors.js";
import { type CallWatcher, type PendingCall, type ScriptCalls, withDeadline } from "../script/host.js";
import type { Settings } from "../script/settings.js";
import { argument, fieldOf, iovecLength, isNullPointer, itemsOf, numberOf, optionalNumber } from "../script/values.js";
import { receiveMessage, sendMessage } from "./live-messages.js";
import { changeEpoll, type PollContext, poll, waitEpoll } from "./live-polls.js";
import {
  checkText,
  int32,
  lengthCell,
  levelAndOption,
  optionBytes,
  optionLength,
  padded,
  readInt,
  readLength,
  resultOf,
  shown,
  structFields,
} from "./live-values.js";
import type { LiveWorld } from "./live-world.js";

const O_NONBLOCK = 0x800;
const MSG_PEEK = 2;
const MSG_DONTWAIT = 0x40;
const MSG_WAITALL = 0x100;
const MSG_NOSIGNAL = 0x4000;
const MSG_ERRQUEUE = 0x2000;
const MSG_ZEROCOPY = 0x400_0000;
const MSG_FASTOPEN = 0x2000_0000;
const POLLIN = 1;
const POLLOUT = 4;
const F_GETFL = 3;
const F_SETFL = 4;
const SOL_SOCKET = 1;
const SO_ERROR = 4;
const SO_LINGER = 13;
const SO_RCVTIMEO = 20;
const SO_SNDTIMEO = 21;
const SOL_TCP = 6;
const TCP_INFO = 11;
const TCP_CONGESTION = 13;
const TCP_MAXSEG = 2;
/** How often a CLOSE that waits is looked after. */
const CLOSE_WATCH: Micros = 1000;

interface Descriptor {
  /** The kernel's number. */
  readonly fd: number;
  isNonBlocking: boolean;
  /** A socket's, or a pipe's, a file's or an epoll's. */
  readonly isSocket: boolean;
  /** A socket that has neither listened nor connected yet. */
  isNew: boolean;
  /** SO_RCVTIMEO and SO_SNDTIMEO in microseconds; 0 for none. The kernel keeps them only where it blocks. */
  receiveTimeoutUs: number;
  sendTimeoutUs: number;
  /** SO_LINGER is on with a time: CLOSE waits. */
  lingers: boolean;
}

/** What sockets get that a script does not ask for. */
export interface SocketDefaults {
  /** Name of the congestion control; "" leaves the kernel's. */
  readonly congestion: string;
  /** Bounds the MSS where the wire carries more than the script's MTU; 0 leaves it. */
  readonly mss: number;
}

export class LiveCalls implements ScriptCalls {
  readonly #calls: SystemCalls;
  readonly #world: LiveWorld;
  readonly #ends: Settings;
  readonly #watcher: CallWatcher;
  readonly #defaults: () => SocketDefaults;
  readonly #descriptors = new Map<number, Descriptor>();
  readonly #lent: Uint8Array[] = [];
  readonly #start: Micros;
  readonly #polled: PollContext;
  #current: number | undefined;

  constructor(calls: SystemCalls, world: LiveWorld, ends: Settings, watcher: CallWatcher, defaults: () => SocketDefaults) {
    this.#calls = calls;
    this.#world = world;
    this.#ends = ends;
    this.#watcher = watcher;
    this.#defaults = defaults;
    this.#start = world.start;
    this.#polled = { calls, world, kernels: (number) => this.#descriptors.get(number)?.fd };
  }

  info(): Readonly<Record<string, number>> | undefined {
    if (this.#current === undefined) return undefined;
    const bytes = new Uint8Array(512);
    const length = lengthCell(bytes.length);
    if (this.#calls.getsockopt(this.#current, SOL_TCP, TCP_INFO, bytes, length) < 0) return undefined;
    return tcpInfoFields(new DataView(bytes.buffer, 0, readLength(length)));
  }

  localPort(): number | undefined {
    if (this.#current === undefined) return undefined;
    const bytes = new Uint8Array(28);
    return this.#calls.getsockname(this.#current, bytes, lengthCell(28)) < 0 ? undefined : socketAddressOf(bytes).port;
  }

  /** Closes what the script left open. */
  close(): void {
    for (const { fd } of this.#descriptors.values()) this.#calls.close(fd);
    this.#descriptors.clear();
  }

  begin(call: CallEvent): PendingCall {
    const pending = this.#begin(call);
    return withDeadline(pending.deadline, () => {
      this.#world.waitedFor = [];
      this.#world.waitedUntil = Number.POSITIVE_INFINITY;
      return pending();
    });
  }

  #begin(call: CallEvent): PendingCall {
    const { name, args } = call;
    const calls = this.#calls;
    switch (name) {
      case "socket":
        return this.#once(() => this.#socket(call));
      case "bind":
        return this.#on(args, ({ fd }) => this.#withAddress(fd, argument(args, 1), "local", calls.bind));
      case "listen":
        return this.#on(args, (descriptor) => {
          const { fd } = descriptor;
          descriptor.isNew = false;
          this.#watcher.listening();
          return calls.listen(fd, numberOf(argument(args, 1)));
        });
      case "accept":
      case "accept4":
        return this.#accept(call);
      case "connect":
        return this.#connect(args);
      case "read":
      case "recv":
      case "recvfrom":
        return this.#receive(args, numberOf(argument(args, 2)), name === "read" ? 0 : numberOf(argument(args, 3)));
      case "readv":
        return this.#receive(args, iovecLength(argument(args, 1)), 0);
      case "recvmsg":
        return this.#receiveMessage(args);
      case "write":
      case "send":
      case "sendto":
        return this.#send(args, numberOf(argument(args, 2)), name === "write" ? 0 : numberOf(argument(args, 3)));
      case "writev":
        return this.#send(args, iovecLength(argument(args, 1)), 0);
      case "sendmsg":
        return this.#sendMessage(args);
      case "sendfile":
        return this.#sendFile(args);
      case "splice":
        return this.#splice(args);
      case "pipe":
      case "pipe2":
        return this.#once(() => this.#pipe(args));
      case "open":
        return this.#once(() => this.#open(call));
      case "close":
        return this.#close(numberOf(argument(args, 0)));
      case "shutdown":
        return this.#on(args, ({ fd }) => calls.shutdown(fd, numberOf(argument(args, 1))));
      case "fcntl":
        return this.#on(args, (descriptor) => this.#control(descriptor, numberOf(argument(args, 1)), args));
      case "ioctl":
        return this.#on(args, ({ fd }) => this.#ioctl(fd, args));
      case "setsockopt":
        return this.#on(args, (descriptor) => this.#setOption(descriptor, args));
      case "getsockopt":
        return this.#on(args, ({ fd }) => this.#getOption(fd, args));
      case "poll":
        return poll(this.#polled, args);
      case "epoll_create":
      case "epoll_create1":
        return this.#once(() =>
          this.#keep(call, calls.epoll_create1(0), { isNonBlocking: false, isSocket: false, isNew: false, ...PLAIN }),
        );
      case "epoll_ctl":
        return this.#once(() => changeEpoll(this.#polled, args));
      case "epoll_wait":
      case "epoll_pwait":
        return waitEpoll(this.#polled, args);
      default:
        throw new UnsupportedError(`the system call ${name} on a live kernel`);
    }
  }

  #once(action: () => number): PendingCall {
    return () => resultOf(action());
  }

  #on(args: readonly Expression[], action: (descriptor: Descriptor) => number): PendingCall {
    return () => {
      const descriptor = this.#descriptors.get(numberOf(argument(args, 0)));
      if (descriptor === undefined) return { value: -1, errno: "EBADF" };
      return resultOf(action(descriptor));
    };
  }

  /** A call that waits for `events` where the kernel says EAGAIN, unless it is not to block. */
  #waiting(
    args: readonly Expression[],
    flags: number,
    events: number,
    action: (descriptor: Descriptor, isOver: boolean) => number,
  ): PendingCall {
    const begun = this.#world.now;
    return () => {
      const descriptor = this.#descriptors.get(numberOf(argument(args, 0)));
      if (descriptor === undefined) return { value: -1, errno: "EBADF" };
      const timeoutUs = events === POLLIN ? descriptor.receiveTimeoutUs : descriptor.sendTimeoutUs;
      const isOver = timeoutUs > 0 && this.#world.now >= begun + timeoutUs;
      const result = resultOf(action(descriptor, isOver));
      if (result.errno !== "EAGAIN" || isOver || !mayBlock(descriptor, flags)) return result;
      if (timeoutUs > 0) this.#world.waitedUntil = begun + timeoutUs;
      this.#world.waitedFor = [{ fd: descriptor.fd, events }];
      return undefined;
    };
  }

  #socket(call: CallEvent): number {
    const [domain, type, protocol] = [0, 1, 2].map((at) => argument(call.args, at));
    const family = domain === undefined || domain.kind === "any" ? (this.#ends.family === 6 ? 10 : 2) : numberOf(domain);
    const bits = type === undefined ? 1 : numberOf(type);
    const fd = this.#calls.socket(
      family,
      bits | O_NONBLOCK,
      protocol === undefined || protocol.kind === "any" ? 0 : numberOf(protocol),
    );
    if (fd < 0) return fd;
    const { congestion, mss } = this.#defaults();
    if (congestion !== "") {
      const bytes = utf8Encode(congestion);
      this.#calls.setsockopt(fd, SOL_TCP, TCP_CONGESTION, bytes, bytes.length);
    }
    if (mss > 0) this.#calls.setsockopt(fd, SOL_TCP, TCP_MAXSEG, int32(mss), 4);
    this.#current = fd;
    this.#watcher.opened();
    return this.#keep(call, fd, { isNonBlocking: (bits & O_NONBLOCK) !== 0, isSocket: true, isNew: true, ...PLAIN });
  }

  /** Gives the kernel's descriptor the script's number. */
  #keep(call: CallEvent, fd: number, traits: Omit<Descriptor, "fd">): number {
    if (fd < 0) return fd;
    let number = call.result === null ? -1 : numberOf(call.result);
    if (number < 0) for (number = 3; this.#descriptors.has(number); ) number++;
    this.#descriptors.set(number, { fd, ...traits });
    return number;
  }

  /** "..." is the script's own end; a struct that names another port or address is taken at its word. */
  #withAddress(
    fd: number,
    written: Expression,
    end: "local" | "remote",
    action: (fd: number, address: Uint8Array, length: number) => number,
  ): number {
    const { local, localPort, remote, remotePort } = this.#ends;
    const own = end === "local" ? { ip: local, port: localPort } : { ip: remote, port: remotePort };
    const family = fieldOf(written, "sa_family")?.value;
    const named = written.kind === "name" ? written : family;
    if (named?.kind === "name" && named.name === "AF_UNSPEC") return action(fd, new Uint8Array(16), 16);
    const port = (fieldOf(written, "sin_port") ?? fieldOf(written, "sin6_port"))?.value;
    const address = (fieldOf(written, "sin_addr") ?? fieldOf(written, "sin6_addr"))?.value;
    const text = address?.kind === "call" && address.args[0]?.kind === "text" ? address.args[0].value : String(own.ip);
    const bytes = sockaddrOf(text, port === undefined ? own.port : numberOf(port));
    return action(fd, bytes, bytes.length);
  }

  #accept(call: CallEvent): PendingCall {
    const flags = call.name === "accept4" ? numberOf(argument(call.args, 3)) : 0;
    return this.#waiting(call.args, 0, POLLIN, ({ fd }) => {
      const accepted = this.#calls.accept4(fd, null, null, flags | O_NONBLOCK);
      if (accepted >= 0) this.#current = accepted;
      return this.#keep(call, accepted, { isNonBlocking: (flags & O_NONBLOCK) !== 0, isSocket: true, isNew: false, ...PLAIN });
    });
  }

  #connect(args: readonly Expression[]): PendingCall {
    let hasBegun = false;
    return this.#waiting(args, 0, POLLOUT, (descriptor) => {
      const { fd, isNonBlocking } = descriptor;
      if (hasBegun) return this.#outcome(fd);
      this.#connecting(descriptor);
      const result = this.#withAddress(fd, argument(args, 1), "remote", this.#calls.connect);
      hasBegun = true;
      return resultOf(result).errno === "EINPROGRESS" && !isNonBlocking ? AGAIN : result;
    });
  }

  /** The script's packets are those of a socket that connects for the first time. */
  #connecting(descriptor: Descriptor): void {
    if (descriptor.isNew) this.#watcher.connecting();
    descriptor.isNew = false;
  }

  /** What became of a connection that was being opened. */
  #outcome(fd: number): number {
    const pollfds = pollfdsOf([{ fd, events: POLLOUT }]);
    this.#calls.poll(pollfds, 1, 0);
    if (readyEvents(pollfds, 0) === 0) return AGAIN;
    const value = new Uint8Array(4);
    this.#calls.getsockopt(fd, SOL_SOCKET, SO_ERROR, value, lengthCell(4));
    return -(readInt(value) ?? 0);
  }

  #receive(args: readonly Expression[], size: number, flags: number): PendingCall {
    const expected = args[1];
    const isNull = expected !== undefined && isNullPointer(expected);
    const buffer = new Uint8Array(Math.min(size, 1 << 26));
    let taken = 0;
    return this.#waiting(args, flags, POLLIN, (descriptor, isOver) => {
      const { fd } = descriptor;
      // Where it may block, SO_RCVLOWAT counts, which poll heeds.
      if (mayBlock(descriptor, flags) && !isOver && taken === 0 && !this.#isReady(fd, POLLIN)) return AGAIN;
      const into = isNull ? null : buffer.subarray(taken);
      if (!descriptor.isSocket) return this.#calls.read(fd, into, buffer.length);
      const count = this.#calls.recvfrom(fd, into, buffer.length - taken, flags & ~MSG_WAITALL, null, null);
      if (count < 0) return isOver && taken > 0 ? taken : count;
      taken += count;
      if ((flags & (MSG_WAITALL | MSG_PEEK)) === MSG_WAITALL && count > 0 && taken < size && !isOver) return AGAIN;
      if (expected?.kind === "text") checkText(expected.value, buffer.subarray(0, taken));
      return taken;
    });
  }

  #isReady(fd: number, events: number): boolean {
    const pollfds = pollfdsOf([{ fd, events }]);
    this.#calls.poll(pollfds, 1, 0);
    return readyEvents(pollfds, 0) !== 0;
  }

  #receiveMessage(args: readonly Expression[]): PendingCall {
    const message = argument(args, 1);
    const [size, flags] = [messageLength(message), numberOf(argument(args, 2))];
    // What is not in the error queue is not waited for.
    const waits = (flags & MSG_ERRQUEUE) === 0 ? flags : flags | MSG_DONTWAIT;
    return this.#waiting(args, waits, POLLIN, ({ fd }) => {
      const { now, toleranceUs } = this.#world;
      const times = { now, start: this.#start, toleranceUs: this.#ends.toleranceUs ?? toleranceUs };
      return receiveMessage(this.#calls, fd, size, flags, message, times);
    });
  }

  #send(args: readonly Expression[], size: number, flags: number): PendingCall {
    const text = argument(args, 1);
    const data = new Uint8Array(size);
    if (text.kind === "text") data.set(utf8Encode(text.value).subarray(0, size));
    // The kernel sends from this memory for as long as it likes.
    if ((flags & MSG_ZEROCOPY) !== 0) this.#lent.push(data);
    const isNull = isNullPointer(text);
    let taken = 0;
    let hasOpened = false;
    return this.#waiting(args, flags, POLLOUT, (descriptor) => {
      const { fd, isNonBlocking } = descriptor;
      if (!descriptor.isSocket) return this.#calls.write(fd, isNull ? null : data, size);
      const isFastOpen = (flags & MSG_FASTOPEN) !== 0 && !hasOpened;
      if (isFastOpen) {
        hasOpened = true;
        this.#connecting(descriptor);
        const result = this.#withAddress(fd, { kind: "any" }, "remote", (socket, address, length) =>
          this.#calls.sendto(socket, data, size, flags | MSG_NOSIGNAL, address, length),
        );
        return resultOf(result).errno === "EINPROGRESS" && !isNonBlocking ? AGAIN : result;
      }
      for (;;) {
        const left = data.subarray(taken);
        const count = this.#calls.sendto(fd, isNull ? null : left, left.length, (flags & ~MSG_FASTOPEN) | MSG_NOSIGNAL, null, 0);
        // What was taken before counts, unless the call may wait for the rest.
        if (count < 0) return taken > 0 && (isNonBlocking || (flags & MSG_DONTWAIT) !== 0) ? taken : count;
        taken += count;
        if (taken >= size) return taken;
      }
    });
  }

  #sendMessage(args: readonly Expression[]): PendingCall {
    const message = argument(args, 1);
    const [size, flags] = [messageLength(message), numberOf(argument(args, 2))];
    const stamps = stampsAskedFor(fieldOf(message, "msg_control")?.value);
    if (stamps === undefined) return this.#send(args, size, flags);
    return this.#waiting(args, flags, POLLOUT, ({ fd }) => sendMessage(this.#calls, fd, new Uint8Array(size), flags, stamps));
  }

  /** `sendfile(out, in, [offset], count)`. */
  #sendFile(args: readonly Expression[]): PendingCall {
    const count = numberOf(argument(args, 3));
    return this.#waiting(args, 0, POLLOUT, ({ fd }) => this.#calls.sendfile(fd, this.#kernels(argument(args, 1)), null, count));
  }

  /** `splice(in, offset, out, offset, count, flags)`: waits at the end that is a socket. */
  #splice(args: readonly Expression[]): PendingCall {
    const [from, to, count, flags] = [0, 2, 4, 5].map((at) => argument(args, at));
    if (from === undefined || to === undefined || count === undefined || flags === undefined) throw new Error("no arguments");
    const isToSocket = this.#descriptors.get(numberOf(to))?.isSocket === true;
    const end = isToSocket ? [to] : [from];
    return this.#waiting(end, 0, isToSocket ? POLLOUT : POLLIN, () =>
      this.#calls.splice(this.#kernels(from), null, this.#kernels(to), null, numberOf(count), numberOf(flags)),
    );
  }

  /** The kernel's number of a descriptor; one that it does not know for none. */
  #kernels(number: Expression): number {
    return this.#descriptors.get(numberOf(number))?.fd ?? -1;
  }

  /** `pipe([3, 4])`. */
  #pipe(args: readonly Expression[]): number {
    const numbers = itemsOf(argument(args, 0)).map(numberOf);
    const isNonBlocking = ((args[1] === undefined ? undefined : optionalNumber(args[1])) ?? 0) & O_NONBLOCK;
    const ends = new Uint8Array(8);
    const result = this.#calls.pipe2(ends, O_NONBLOCK);
    if (result < 0) return result;
    for (const [i, number] of numbers.entries()) {
      const traits = { isNonBlocking: isNonBlocking !== 0, isSocket: false, isNew: false, ...PLAIN };
      this.#descriptors.set(number, { fd: readInt(ends.subarray(4 * i)), ...traits });
    }
    return result;
  }

  /** Only what no one can be harmed by: scripts come from anywhere, and this is root. */
  #open(call: CallEvent): number {
    const path = argument(call.args, 0);
    if (path.kind !== "text" || path.value !== "/dev/zero") throw new UnsupportedError("a file that is not /dev/zero");
    const traits = { isNonBlocking: false, isSocket: false, isNew: false, ...PLAIN };
    return this.#keep(call, this.#calls.open(path.value, 0), traits);
  }

  #close(number: number): PendingCall {
    let isWaiting: (() => boolean) | undefined;
    return () => {
      if (isWaiting === undefined) {
        const descriptor = this.#descriptors.get(number);
        if (descriptor === undefined) return { value: -1, errno: "EBADF" };
        this.#descriptors.delete(number);
        if (this.#current === descriptor.fd) this.#current = undefined;
        if (!descriptor.lingers) return resultOf(this.#calls.close(descriptor.fd));
        isWaiting = beginLingeringClose(this.#calls, descriptor.fd);
      }
      if (!isWaiting()) return resultOf(0);
      this.#world.waitedUntil = this.#world.now + CLOSE_WATCH;
      return undefined;
    };
  }

  #control(descriptor: Descriptor, command: number, args: readonly Expression[]): number {
    const given = optionalNumber(argument(args, 2)) ?? 0;
    const own = descriptor.isNonBlocking ? O_NONBLOCK : 0;
    if (command === F_SETFL) {
      descriptor.isNonBlocking = (given & O_NONBLOCK) !== 0;
      return this.#calls.fcntl(descriptor.fd, F_SETFL, given | O_NONBLOCK);
    }
    const result = this.#calls.fcntl(descriptor.fd, command, given);
    return command === F_GETFL && result >= 0 ? (result & ~O_NONBLOCK) | own : result;
  }

  #ioctl(fd: number, args: readonly Expression[]): number {
    const request = argument(args, 1);
    const number = request.kind === "name" ? IOCTLS[request.name] : numberOf(request);
    if (number === undefined) throw new UnsupportedError(`ioctl ${request.kind === "name" ? request.name : ""}`);
    const value = new Uint8Array(4);
    const result = this.#calls.ioctl(fd, number, value);
    const expected = optionalNumber(argument(args, 2));
    if (result >= 0 && expected !== undefined && expected !== readInt(value))
      throw new ScriptFailure("ioctl", String(expected), String(readInt(value)));
    return result;
  }

  #setOption(descriptor: Descriptor, args: readonly Expression[]): number {
    const [level, option] = levelAndOption(argument(args, 1), argument(args, 2));
    const value = argument(args, 3);
    const bytes = isNullPointer(value) ? null : optionBytes(value);
    const length = optionLength(argument(args, 4)) ?? bytes?.length ?? 0;
    const result = this.#calls.setsockopt(descriptor.fd, level, option, bytes, length);
    if (result < 0 || level !== SOL_SOCKET || bytes === null) return result;
    const [first = 0, second = 0] = (itemsOf(value)[0]?.kind === "struct" ? structFields(value) : []).map(Number);
    if (option === SO_LINGER) descriptor.lingers = first !== 0 && second !== 0;
    if (option === SO_RCVTIMEO) descriptor.receiveTimeoutUs = first * 1_000_000 + second;
    if (option === SO_SNDTIMEO) descriptor.sendTimeoutUs = first * 1_000_000 + second;
    return result;
  }

  #getOption(fd: number, args: readonly Expression[]): number {
    const [level, option] = levelAndOption(argument(args, 1), argument(args, 2));
    const wanted = argument(args, 3);
    const value = new Uint8Array(512);
    const length = lengthCell(Math.min(value.length, optionLength(argument(args, 4)) ?? value.length));
    const result = this.#calls.getsockopt(fd, level, option, value, length);
    if (result < 0 || wanted.kind === "any" || (level === SOL_TCP && option === TCP_INFO)) return result;
    const found = value.subarray(0, readLength(length));
    const [item] = itemsOf(wanted);
    if (item === undefined || item.kind === "any") return result;
    const expected = item.kind === "text" ? padded(utf8Encode(item.value), found.length) : optionBytes(wanted);
    const isSame = expected.every((byte, i) => i >= found.length || byte === found[i]);
    if (!isSame) throw new ScriptFailure("getsockopt", shown(expected), shown(found));
    return result;
  }
}

const PLAIN = { receiveTimeoutUs: 0, sendTimeoutUs: 0, lingers: false } as const;
/** -EAGAIN: the call waits. */
const AGAIN = -11;

function messageLength(message: Expression): number {
  const vector = fieldOf(message, "msg_iov")?.value;
  if (vector === undefined) throw new UnsupportedError("a msghdr without msg_iov");
  return iovecLength(vector);
}

/** Whether a call on it may block, as the script sees it. */
function mayBlock({ isNonBlocking }: Descriptor, flags: number): boolean {
  return !isNonBlocking && (flags & MSG_DONTWAIT) === 0;
}
