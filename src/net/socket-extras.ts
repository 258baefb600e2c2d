/** What our sockets have beyond Node's: what only a TCP of one's own can offer. */
import net from "node:net";
import type { BendRule } from "../bend/ast.js";
import { parseBend } from "../bend/parser.js";
import type { DropEvent, SegmentEvent, StateEvent, TimerEvent } from "../observe/events.js";
import type { TcpInfo } from "../tcp/info.js";
import { handleOf, withHandle } from "./sockets.js";

/** Events that Node does not have. */
interface OurEvents {
  on(event: "segment", listener: (segment: SegmentEvent) => void): this;
  on(event: "state", listener: (change: StateEvent) => void): this;
  on(event: "timer", listener: (timer: TimerEvent) => void): this;
  on(event: "drop", listener: (drop: DropEvent) => void): this;
}

/** Node's socket, and what only a TCP of one's own can offer. */
export type Socket = net.Socket &
  OurEvents & {
    /** Linux's tcp_info of the connection; undefined before OPEN. */
    info(): TcpInfo | undefined;
    /** Rules that bend this connection's segments, `bend/parser.ts`; from the SYN on if it is not open yet. Throws BendSyntaxError. */
    bend(rules: string | readonly BendRule[]): Socket;
    /** ABORT (RFC 9293 §3.10.5): RST at once. The same as `resetAndDestroy`. */
    abort(): Socket;
  };

/** Events that the engine has to be asked for. */
const WATCHED: ReadonlySet<unknown> = new Set(["segment", "state", "timer", "drop"]);
const WATCH_METHODS = ["on", "addListener", "once", "prependListener", "prependOnceListener"] as const;

/** Puts it into a prototype of sockets. */
export function extendSockets(prototype: object): void {
  const methods: Record<string, (this: net.Socket, ...args: never[]) => unknown> = {
    info() {
      const handle = handleOf(this);
      return handle?.connection?.info(handle.stack.session.driver.now());
    },
    bend(rules: string | readonly BendRule[]) {
      const parsed = typeof rules === "string" ? parseBend(rules) : rules;
      withHandle(this, (handle) => handle.bend(parsed));
      return this;
    },
    abort() {
      return this.resetAndDestroy();
    },
  };
  const events = net.Socket.prototype as unknown as Record<string, (...args: unknown[]) => unknown>;
  for (const name of WATCH_METHODS) {
    const add = events[name];
    methods[name] = function addWatched(this: net.Socket, ...args: unknown[]): unknown {
      if (WATCHED.has(args[0])) watch(this);
      return Reflect.apply(add as (...args: unknown[]) => unknown, this, args);
    };
  }
  for (const [name, value] of Object.entries(methods))
    Object.defineProperty(prototype, name, { value, configurable: true, writable: true });
}

const watched = new WeakSet<net.Socket>();

function watch(socket: net.Socket): void {
  if (watched.has(socket)) return;
  watched.add(socket);
  withHandle(socket, (handle) =>
    handle.watch((event) => {
      if (WATCHED.has(event.type)) socket.emit(event.type, event);
    }),
  );
}
