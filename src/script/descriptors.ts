/** What the numbers of a script stand for, and calls that wait. */
import { RawTcpError } from "../base/errors.js";
import { type Micros, NEVER } from "../base/time.js";
import type { StackSocket } from "../stack/socket.js";
import type { CallEvent, Expression } from "./ast.js";
import { ScriptFailure, UnsupportedError } from "./errors.js";
import { type CallResult, type PendingCall, withDeadline } from "./host.js";
import { argument, numberOf } from "./values.js";
import type { VirtualWorld } from "./virtual-world.js";

export interface SocketDescriptor {
  readonly kind: "socket";
  readonly socket: StackSocket;
  isNonBlocking: boolean;
  /** It has neither listened nor connected yet. */
  isNew: boolean;
  /** SO_RCVTIMEO and SO_SNDTIMEO; NEVER for no limit. */
  receiveTimeoutUs: Micros;
  sendTimeoutUs: Micros;
  /** TCP_INQ: `recvmsg` tells how much is left. */
  tellsLeft: boolean;
  /** Options that change nothing that could be seen of us, as they were set. */
  readonly remembered: Map<string, number>;
}

/** An epoll, and what it watches by descriptor. `told` and `activity` are as the last wait has told them. */
export interface EpollDescriptor {
  readonly kind: "epoll";
  readonly watched: Map<number, { events: number; data: Expression | undefined; told: number; activity: string }>;
}

/** Both ends of a pipe know how much is in it. */
export interface PipeDescriptor {
  readonly kind: "pipe";
  readonly end: "read" | "write";
  readonly pipe: { bytes: number; hasWriter: boolean; hasReader: boolean };
  isNonBlocking: boolean;
}

/** A file that gives zeros without end. */
export interface FileDescriptor {
  readonly kind: "file";
}

export type Descriptor = SocketDescriptor | EpollDescriptor | PipeDescriptor | FileDescriptor;

export class Descriptors {
  readonly #table = new Map<number, Descriptor>();

  /** The number that the script says; the lowest that is free if it says none. */
  add(descriptor: Descriptor, wanted: Expression | null): number {
    let number = wanted === null ? -1 : numberOf(wanted);
    if (number < 0) for (number = 3; this.#table.has(number); ) number++;
    this.#table.set(number, descriptor);
    return number;
  }

  set(number: number, descriptor: Descriptor): void {
    this.#table.set(number, descriptor);
  }

  peek(number: number): Descriptor | undefined {
    return this.#table.get(number);
  }

  /** Throws `EBADF`. */
  find(expression: Expression): Descriptor {
    const found = this.#table.get(numberOf(expression));
    if (found === undefined) throw new RawTcpError("EBADF", "no such descriptor");
    return found;
  }

  /** Throws `EBADF`, `ENOTSOCK`. */
  socket(expression: Expression): SocketDescriptor {
    const found = this.find(expression);
    if (found.kind !== "socket") throw new RawTcpError("ENOTSOCK", "no socket");
    return found;
  }

  remove(number: number): void {
    this.#table.delete(number);
  }
}

/** A descriptor for a socket that was just made. */
export function describeSocket(socket: StackSocket, isNonBlocking: boolean, isNew: boolean): SocketDescriptor {
  return {
    kind: "socket",
    socket,
    isNonBlocking,
    isNew,
    receiveTimeoutUs: NEVER,
    sendTimeoutUs: NEVER,
    tellsLeft: false,
    remembered: new Map(),
  };
}

/** A call that never waits; what it returns, or 0. */
// biome-ignore lint/suspicious/noConfusingVoidType: most calls return nothing, which is 0.
export function once(action: () => number | void): PendingCall {
  return () => attempt(() => action() ?? 0);
}

/** The result of an action, or its errno. What the script does wrong, or we do not have, is thrown. */
export function attempt(action: () => number | undefined): CallResult | undefined {
  try {
    const value = action();
    return value === undefined ? undefined : { value, errno: "" };
  } catch (error) {
    const isOurs = error instanceof ScriptFailure || error instanceof UnsupportedError;
    if (isOurs || !(error instanceof RawTcpError) || !/^E[A-Z0-9]+$/.test(error.code)) throw error;
    return { value: -1, errno: error.code };
  }
}

const MSG_DONTWAIT = 0x40;

/** What a waiting call may know of its time. */
export interface Patience {
  /** It is not to wait, or has waited long enough. */
  readonly isOver: boolean;
}

/**
 * A call on a socket that waits as long as the socket says so, unless it is not to block or its time (SO_RCVTIMEO, SO_SNDTIMEO) is over.
 * `timedOut` is the errno then.
 */
export function waiting(
  table: Descriptors,
  world: VirtualWorld,
  call: CallEvent,
  side: "receive" | "send",
  flags: number,
  action: (descriptor: SocketDescriptor, patience: Patience) => number,
  timedOut = "EAGAIN",
): PendingCall {
  const fd = argument(call.args, 0);
  const known = table.peek(numberOf(fd));
  const limit = known?.kind !== "socket" ? NEVER : side === "receive" ? known.receiveTimeoutUs : known.sendTimeoutUs;
  const deadline = limit === NEVER ? undefined : world.now + limit;
  return withDeadline(deadline, () =>
    attempt(() => {
      const descriptor = table.socket(fd);
      const isTimeOver = deadline !== undefined && world.now >= deadline;
      const isOver = descriptor.isNonBlocking || (flags & MSG_DONTWAIT) !== 0 || isTimeOver;
      try {
        return action(descriptor, { isOver });
      } catch (error) {
        const waits = error instanceof RawTcpError && (error.code === "EAGAIN" || (error.code === "EALREADY" && !isOver));
        if (waits && !isOver) return undefined;
        if (waits && isTimeOver && error.code === "EAGAIN") throw new RawTcpError(timedOut, "the time is over");
        throw error;
      }
    }),
  );
}
