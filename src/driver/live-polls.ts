/** poll(2) and epoll(7) of a script on a live kernel. */
import { HOST_LITTLE_ENDIAN } from "../kernel/libc.js";
import { type PollRequest, pollfdsOf, readyEvents, type SystemCalls } from "../kernel/system-calls.js";
import type { Expression } from "../script/ast.js";
import { ScriptFailure } from "../script/errors.js";
import { type PendingCall, withDeadline } from "../script/host.js";
import { argument, fieldOf, itemsOf, numberOf, optionalNumber } from "../script/values.js";
import { hex, resultOf } from "./live-values.js";
import type { LiveWorld } from "./live-world.js";

export interface PollContext {
  readonly calls: SystemCalls;
  readonly world: LiveWorld;
  /** The kernel's number of a script's descriptor. */
  readonly kernels: (number: number) => number | undefined;
}

const POLLIN = 1;
/** struct epoll_event is packed on x86-64, and nowhere else. */
const EPOLL_EVENT_BYTES = process.arch === "x64" ? 12 : 16;

/** poll(2). */
export function poll({ calls, world, kernels }: PollContext, args: readonly Expression[]): PendingCall {
  const watched = itemsOf(argument(args, 0)).map((item) => ({
    item,
    number: numberOf(fieldOf(item, "fd")?.value ?? argument([], 0)),
    events: numberOf(fieldOf(item, "events")?.value ?? { kind: "number", value: 0 }),
  }));
  const timeoutMs = numberOf(argument(args, 2));
  const begun = world.now;
  return withDeadline(timeoutMs < 0 ? undefined : begun + timeoutMs * 1000, () => {
    const requests = watched.map(({ number, events }): PollRequest => ({ fd: kernels(number) ?? 0x7fff_ffff, events }));
    const pollfds = pollfdsOf(requests);
    const ready = calls.poll(pollfds, requests.length, 0);
    const isOver = timeoutMs >= 0 && world.now >= begun + timeoutMs * 1000;
    if (ready === 0 && !isOver) {
      world.waitedFor = requests;
      if (timeoutMs >= 0) world.waitedUntil = begun + timeoutMs * 1000;
      return undefined;
    }
    for (const [i, { item, number }] of watched.entries()) {
      const wanted = fieldOf(item, "revents")?.value;
      const found = readyEvents(pollfds, i);
      if (wanted !== undefined && wanted.kind !== "any" && numberOf(wanted) !== found)
        throw new ScriptFailure(`poll: revents of ${number}`, hex(numberOf(wanted)), hex(found));
    }
    return resultOf(ready);
  });
}

/** epoll_ctl(2): the kernel's result. */
export function changeEpoll({ calls, kernels }: PollContext, args: readonly Expression[]): number {
  const [epoll, fd] = [0, 2].map((at) => kernels(numberOf(argument(args, at))) ?? -1);
  const event = argument(args, 3);
  const bytes = new Uint8Array(EPOLL_EVENT_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, optionalNumber(fieldOf(event, "events")?.value ?? { kind: "any" }) ?? 0, HOST_LITTLE_ENDIAN);
  return calls.epoll_ctl(epoll ?? -1, numberOf(argument(args, 1)), fd ?? -1, bytes);
}

/** epoll_wait(2). */
export function waitEpoll({ calls, world, kernels }: PollContext, args: readonly Expression[]): PendingCall {
  const wanted = itemsOf(argument(args, 1));
  const most = numberOf(argument(args, 2));
  const timeoutMs = numberOf(argument(args, 3));
  const begun = world.now;
  return withDeadline(timeoutMs < 0 ? undefined : begun + timeoutMs * 1000, () => {
    const epoll = kernels(numberOf(argument(args, 0)));
    if (epoll === undefined) return { value: -1, errno: "EBADF" };
    const bytes = new Uint8Array(EPOLL_EVENT_BYTES * Math.max(1, most));
    const ready = calls.epoll_wait(epoll, bytes, most, 0);
    const isOver = timeoutMs >= 0 && world.now >= begun + timeoutMs * 1000;
    if (ready === 0 && !isOver) {
      world.waitedFor = [{ fd: epoll, events: POLLIN }];
      if (timeoutMs >= 0) world.waitedUntil = begun + timeoutMs * 1000;
      return undefined;
    }
    const view = new DataView(bytes.buffer);
    for (let i = 0; i < ready; i++) {
      const expected = fieldOf(wanted[i] ?? { kind: "any" }, "events")?.value;
      const events = view.getUint32(i * EPOLL_EVENT_BYTES, HOST_LITTLE_ENDIAN);
      if (expected !== undefined && expected.kind !== "any" && numberOf(expected) !== events)
        throw new ScriptFailure("epoll_wait: events", hex(numberOf(expected)), hex(events));
    }
    return resultOf(ready);
  });
}
