/**
 * The system calls of a script whose kernel is elsewhere: a program there makes its own, so that those which only wait for a peer, or read,
 * are taken as done, and those which would make the kernel send cannot be had.
 */
import type { CallEvent } from "../script/ast.js";
import { UnsupportedError } from "../script/errors.js";
import type { CallWatcher, PendingCall, ScriptCalls } from "../script/host.js";
import { numberOf } from "../script/values.js";

/** What a server does anyway. */
const TAKEN_AS_DONE: ReadonlySet<string> = new Set([
  ...["socket", "bind", "listen", "accept", "accept4", "fcntl", "setsockopt"],
  ...["read", "readv", "recv", "recvfrom", "recvmsg", "poll", "epoll_create", "epoll_create1", "epoll_ctl", "epoll_wait"],
]);

export class AbsentCalls implements ScriptCalls {
  readonly #kernel: string;
  readonly #watcher: CallWatcher;

  constructor(kernel: string, watcher: CallWatcher) {
    this.#kernel = kernel;
    this.#watcher = watcher;
  }

  begin({ name, result, errno }: CallEvent): PendingCall {
    if (!TAKEN_AS_DONE.has(name)) throw new UnsupportedError(`${name} at ${this.#kernel}: a program there decides what it calls`);
    if (name === "listen") this.#watcher.listening();
    return () => ({ value: result === null ? 0 : numberOf(result), errno });
  }

  info(): never {
    throw new UnsupportedError(`tcp_info at ${this.#kernel}: it is asked of a socket here`);
  }

  localPort(): undefined {
    return undefined;
  }
}
