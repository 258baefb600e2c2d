/** poll, ppoll and epoll. */
import { RawTcpError } from "../base/errors.js";
import type { CallEvent, Expression } from "./ast.js";
import type { Descriptor, Descriptors, EpollDescriptor, SocketDescriptor } from "./descriptors.js";
import { attempt } from "./descriptors.js";
import { ScriptFailure, UnsupportedError } from "./errors.js";
import { type PendingCall, withDeadline } from "./host.js";
import { argument, fieldOf, itemsOf, numberOf, optionalNumber } from "./values.js";
import type { VirtualWorld } from "./virtual-world.js";

const POLLIN = 1;
const POLLOUT = 4;
const POLLERR = 8;
const POLLHUP = 0x10;
const POLLNVAL = 0x20;
const POLLRDNORM = 0x40;
const POLLWRNORM = 0x100;
const EPOLLEXCLUSIVE = 0x1000_0000;
const EPOLLONESHOT = 0x4000_0000;
const EPOLLET = 0x8000_0000;

/** `poll(fds, count, timeoutMs)`; ppoll's time is `{tv_sec, tv_nsec}` or NULL. */
export function poll(call: CallEvent, table: Descriptors, world: VirtualWorld): PendingCall {
  const watched = itemsOf(argument(call.args, 0)).map((item) => ({
    fd: numberOf(fieldOf(item, "fd")?.value ?? argument([], 0)),
    events: optionalNumber(fieldOf(item, "events")?.value ?? ZERO) ?? 0,
    wanted: fieldOf(item, "revents")?.value ?? ZERO,
  }));
  const deadline = deadlineOf(
    call.name === "ppoll" ? timespecMs(argument(call.args, 2)) : numberOf(argument(call.args, 2)),
    world,
  );
  return withDeadline(deadline, () => {
    const masks = watched.map(({ fd, events }) => readiness(table.peek(fd), fd) & (events | POLLERR | POLLHUP | POLLNVAL));
    const ready = masks.filter((mask) => mask !== 0).length;
    if (ready === 0 && !isOver(deadline, world)) return undefined;
    for (const [i, { fd, wanted }] of watched.entries()) {
      const expected = optionalNumber(wanted);
      if (expected !== undefined && expected !== masks[i])
        throw new ScriptFailure(`poll: revents of ${fd} are ${hex(masks[i] ?? 0)}, expected ${hex(expected)}`);
    }
    return { value: ready, errno: "" };
  });
}

/** `epoll_ctl(epoll, operation, fd, {events=…, fd=…})`. */
export function changeEpoll(call: CallEvent, table: Descriptors): number {
  const [epollFd, operationOf, fdOf, event] = [0, 1, 2, 3].map((at) => argument(call.args, at));
  const epoll = epollOf(table.find(epollFd ?? ANY));
  const operation = numberOf(operationOf ?? ANY);
  const fd = numberOf(fdOf ?? ANY);
  table.find(fdOf ?? ANY);
  if (fd === numberOf(epollFd ?? ANY)) throw new RawTcpError("EINVAL", "an epoll cannot watch itself");
  const isThere = epoll.watched.has(fd);
  if (operation === 1 && isThere) throw new RawTcpError("EEXIST", "watched already");
  if (operation !== 1 && !isThere) throw new RawTcpError("ENOENT", "not watched");
  if (operation < 1 || operation > 3) throw new RawTcpError("EINVAL", "no such operation");
  if (operation === 2) epoll.watched.delete(fd);
  else {
    const events = optionalNumber(fieldOf(event ?? ANY, "events")?.value ?? ZERO) ?? 0;
    if ((events & EPOLLEXCLUSIVE) !== 0 && operation === 3)
      throw new RawTcpError("EINVAL", "EPOLLEXCLUSIVE is for EPOLL_CTL_ADD");
    epoll.watched.set(fd, { events: events >>> 0, data: dataOf(event ?? ANY), told: 0, activity: "" });
  }
  return 0;
}

/** `epoll_wait(epoll, {events=…, fd=…} or a list of them, most, timeoutMs)`. */
export function waitEpoll(call: CallEvent, table: Descriptors, world: VirtualWorld): PendingCall {
  const wanted = itemsOf(argument(call.args, 1));
  const most = numberOf(argument(call.args, 2));
  const deadline = deadlineOf(numberOf(argument(call.args, 3)), world);
  return withDeadline(deadline, () =>
    attempt(() => {
      const epoll = epollOf(table.find(argument(call.args, 0)));
      if (most <= 0) throw new RawTcpError("EINVAL", "epoll_wait: room for no event");
      const found = takeEvents(epoll, table, most);
      if (found.length === 0 && !isOver(deadline, world)) return undefined;
      for (const [i, event] of found.entries()) checkEvent(wanted[i] ?? ANY, event);
      return found.length;
    }),
  );
}

interface FoundEvent {
  readonly events: number;
  readonly data: Expression | undefined;
}

function takeEvents(epoll: EpollDescriptor, table: Descriptors, most: number): FoundEvent[] {
  const found: FoundEvent[] = [];
  for (const [fd, watch] of epoll.watched) {
    const descriptor = table.peek(fd);
    if (descriptor === undefined) {
      epoll.watched.delete(fd);
      continue;
    }
    if (found.length >= most) break;
    const enabled = watch.events & ~(EPOLLET | EPOLLONESHOT | EPOLLEXCLUSIVE);
    const mask = enabled === 0 ? 0 : readiness(descriptor, fd) & (enabled | POLLERR | POLLHUP);
    const activity = activityOf(descriptor);
    // Edge-triggered: told again when something has happened since, or became true.
    const isEdge = (watch.events & EPOLLET) !== 0;
    const isNews = mask !== 0 && (!isEdge || (mask & ~watch.told) !== 0 || activity !== watch.activity);
    watch.told = mask;
    watch.activity = activity;
    if (!isNews) continue;
    found.push({ events: mask, data: watch.data });
    // Disabled until it is changed; EPOLLET and EPOLLONESHOT stay.
    if ((watch.events & EPOLLONESHOT) !== 0) watch.events &= EPOLLET | EPOLLONESHOT;
  }
  return found;
}

function checkEvent(wanted: Expression, found: FoundEvent): void {
  if (wanted.kind === "any") return;
  const expected = optionalNumber(fieldOf(wanted, "events")?.value ?? ANY);
  const { events } = found;
  if (expected !== undefined && expected >>> 0 !== events)
    throw new ScriptFailure("epoll_wait", `events ${hex(expected >>> 0)}`, `events ${hex(events)}`);
  const data = dataOf(wanted);
  if (found.data === undefined || data === undefined) return;
  const [a, b] = [optionalNumber(data), optionalNumber(found.data)];
  if (a !== undefined && b !== undefined && a !== b) throw new ScriptFailure("epoll_wait", `data ${a}`, `data ${b}`);
}

function epollOf(descriptor: Descriptor): EpollDescriptor {
  if (descriptor.kind !== "epoll") throw new RawTcpError("EINVAL", "no epoll");
  return descriptor;
}

/** What poll would say, all bits; a descriptor below 0 is none to ask. */
function readiness(descriptor: Descriptor | undefined, fd: number): number {
  if (descriptor === undefined) return fd < 0 ? 0 : POLLNVAL;
  switch (descriptor.kind) {
    case "socket": {
      // POLLRDNORM and POLLWRNORM come with POLLIN and POLLOUT.
      const mask = descriptor.socket.poll();
      return mask | ((mask & POLLIN) !== 0 ? POLLRDNORM : 0) | ((mask & POLLOUT) !== 0 ? POLLWRNORM : 0);
    }
    case "pipe": {
      const { bytes, hasReader, hasWriter } = descriptor.pipe;
      if (descriptor.end === "write") return POLLOUT | POLLWRNORM | (hasReader ? 0 : POLLERR);
      return (bytes > 0 ? POLLIN | POLLRDNORM : 0) | (hasWriter ? 0 : POLLHUP);
    }
    case "file":
      return POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM;
    case "epoll":
      throw new UnsupportedError("an epoll that is watched");
  }
}

/** What changes with everything of which those who wait are woken: data, the end of it, connections, errors. */
function activityOf(descriptor: Descriptor): string {
  return descriptor.kind === "socket" ? socketActivity(descriptor) : "";
}

function socketActivity({ socket }: SocketDescriptor): string {
  const tcb = socket.connection?.tcb;
  return [
    tcb?.counters.bytesReceived ?? 0,
    tcb?.rcv.finSeen ?? false,
    tcb?.failure ?? "",
    tcb?.urgentIn === true ? tcb.rcv.up : "",
    socket.listener?.acceptQueue.length ?? 0,
    socket.errors.total,
  ].join();
}

function dataOf(event: Expression): Expression | undefined {
  return (fieldOf(event, "fd") ?? fieldOf(event, "ptr") ?? fieldOf(event, "u32") ?? fieldOf(event, "u64"))?.value;
}

function deadlineOf(timeoutMs: number, world: VirtualWorld): number | undefined {
  return timeoutMs < 0 ? undefined : world.now + timeoutMs * 1000;
}

function isOver(deadline: number | undefined, world: VirtualWorld): boolean {
  return deadline !== undefined && world.now >= deadline;
}

/** -1 for no time at all. */
function timespecMs(time: Expression): number {
  if (time.kind !== "struct") return -1;
  const part = (name: string): number => numberOf(fieldOf(time, name)?.value ?? ZERO);
  return part("tv_sec") * 1000 + part("tv_nsec") / 1e6;
}

function hex(value: number): string {
  return `0x${value.toString(16)}`;
}

const ANY: Expression = { kind: "any" };
const ZERO: Expression = { kind: "number", value: 0 };
