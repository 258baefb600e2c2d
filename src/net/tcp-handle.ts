/**
 * What libuv's TCP handle is to `net.Socket` and `net.Server`, over a connection or listener of ours. Methods return 0 or libuv's negative
 * errno, and finish their requests in a later turn of the event loop, as libuv does.
 */
import { AsyncResource } from "node:async_hooks";
import type { BendRule } from "../bend/ast.js";
import type { ConnectionUser, ListenerUser } from "../driver/driver.js";
import type { TraceSink } from "../observe/events.js";
import type { Connection } from "../tcp/connection.js";
import type { ConnectionEvent } from "../tcp/events.js";
import { Binding } from "./binding.js";
import { codeOf } from "./errors.js";
import { buffersOf, HandleShape, totalOf } from "./handle-shape.js";
import {
  constants,
  errnoOf,
  JSStream,
  kBytesWritten,
  kLastWriteWasAsync,
  ownerOf,
  type Request,
  runTicks,
  streamBaseState,
  UV_EOF,
} from "./internals.js";
import { type NameTarget, putName, targetOf } from "./names.js";
import type { NetStack } from "./net-stack.js";
import { noteRead, readInto } from "./read-memory.js";
import { isDone, type Write, WriteQueue } from "./write-queue.js";

/** The most that one "data" event brings. Note: Node does the same. */
const READ_BYTES = 64 * 1024;

type OnRead = (this: TcpHandle, data: ArrayBuffer | undefined) => Uint8Array | undefined;
type OnConnection = (this: TcpHandle, status: number, client: TcpHandle | undefined) => void;

export class TcpHandle extends HandleShape implements ConnectionUser, ListenerUser {
  /** Called with each connection of a listening handle. */
  onconnection: OnConnection | undefined;
  /** Told of each client's handle before the server sees it; and, of a client, of the socket that has taken it. */
  onclient: ((client: TcpHandle) => void) | undefined;
  onowner: (() => void) | undefined;
  readonly #stack: NetStack;
  readonly #context = new AsyncResource("TCPWRAP");
  #onread: OnRead | undefined;
  #userBuffer: Uint8Array | undefined;
  #connection: Connection | undefined;
  /** IPv4 addresses are shown as IPv6 ones: the server listens at ::. */
  #isMapped = false;
  #binding: Binding | undefined;
  #connecting: Request | undefined;
  /** With the context in which it was asked for: `end` has a callback. */
  #shutdown: { readonly request: Request; readonly isNative: boolean; readonly context: AsyncResource } | undefined;
  readonly #writes = new WriteQueue();
  #isReading = false;
  /** The end, or the error, was told. */
  #ended = false;
  #closed = false;
  #isReferenced = true;
  #isInUse = false;
  /** A C++ stream may read from us. */
  #mayBeConsumed = false;
  #noDelay = false;
  #keepAlive: { readonly on: boolean; readonly seconds: number } | undefined;
  #bend: readonly BendRule[] | undefined;
  #endBend: (() => void) | undefined;
  #watcher: TraceSink | undefined;
  #endWatch: (() => void) | undefined;

  constructor(stack: NetStack, connection?: Connection, isMapped = false) {
    super();
    this.#stack = stack;
    if (connection === undefined) return;
    this.#connection = connection;
    this.#isMapped = isMapped;
    connection.context = this;
  }

  // What is beyond libuv

  get stack(): NetStack {
    return this.#stack;
  }

  /** The connection under the handle; undefined before OPEN. */
  get connection(): Connection | undefined {
    return this.#connection;
  }

  /** Rules for this connection's segments; from its SYN on when it is not open yet. */
  bend(rules: readonly BendRule[]): void {
    this.#bend = rules;
    if (this.#connection === undefined) return;
    this.#endBend?.();
    this.#endBend = this.#stack.session.bendConnection(this.#connection, rules);
  }

  /** Tells every event of this connection. */
  watch(watcher: TraceSink): void {
    this.#watcher = watcher;
    if (this.#connection === undefined) return;
    this.#endWatch?.();
    this.#endWatch = this.#stack.session.watch(this.#connection, watcher);
  }

  // The socket above

  set onread(onread: OnRead | undefined) {
    this.#onread = onread;
    Reflect.set(JSStream.prototype, "onread", onread, this);
    this.onowner?.();
    this.onowner = undefined;
  }

  get onread(): OnRead | undefined {
    return this.#onread;
  }

  /** Asked by whoever is about to read in C++: TLS, HTTP/1, HTTP/2. From then on data takes the way through C++. */
  override get isStreamBase(): boolean {
    this.#mayBeConsumed = true;
    return true;
  }

  /** Bytes that were written and are not in the send buffer yet. */
  get writeQueueSize(): number {
    return this.#writes.bytes;
  }

  ref(): void {
    this.#isReferenced = true;
    this.#updateUse();
  }

  unref(): void {
    this.#isReferenced = false;
    this.#updateUse();
  }

  hasRef(): boolean {
    return this.#isReferenced;
  }

  isClosing(): boolean {
    return this.#closed;
  }

  setNoDelay(on: boolean): number {
    this.#noDelay = on;
    this.#connection?.setNoDelay(on);
    return 0;
  }

  setKeepAlive(on: boolean, seconds: number): number {
    this.#keepAlive = { on, seconds };
    if (this.#connection !== undefined) this.#applyKeepAlive(this.#connection, on, seconds);
    return 0;
  }

  getsockname(out: NameTarget): number {
    const { local, localPort } = this.#connection?.tcb ?? {};
    if (local !== undefined && localPort !== undefined) return putName(out, local, localPort, this.#isMapped);
    const [address] = this.#binding?.addresses ?? [];
    if (address === undefined) return errnoOf("EBADF");
    return putName(out, address, this.#binding?.port ?? 0, this.#isMapped);
  }

  getpeername(out: NameTarget): number {
    const connection = this.#connection;
    if (connection === undefined || connection.state === "SYN-SENT") return errnoOf("ENOTCONN");
    return putName(out, connection.tcb.remote, connection.tcb.remotePort, this.#isMapped);
  }

  // OPEN

  bind(address: string, port = 0): number {
    return this.#bind(address, port, false);
  }

  bind6(address: string, port = 0, flags = 0): number {
    return this.#bind(address, port, address === "::" && (flags & constants.UV_TCP_IPV6ONLY) === 0);
  }

  #bind(text: string, port: number, isDual: boolean): number {
    return this.#try(() => {
      this.#binding = new Binding(this.#stack.session, text, port, isDual);
      this.#isMapped = isDual;
      return 0;
    });
  }

  connect(request: Request, address: string, port: number): number {
    return this.#connect(request, address, port);
  }

  connect6(request: Request, address: string, port: number): number {
    return this.#connect(request, address, port);
  }

  #connect(request: Request, text: string, port: number): number {
    const binding = this.#binding;
    if (binding !== undefined && binding.error !== 0) return binding.error;
    return this.#try(() => {
      const { session } = this.#stack;
      const remote = targetOf(text);
      const path = session.pathTo(remote);
      if (port === 0) {
        // Nobody can listen there. Note: Linux does the same.
        this.#connecting = request;
        this.#updateUse();
        this.#stack.later(() => this.#finishConnect("ECONNREFUSED"));
        return 0;
      }
      const [bound] = binding?.addresses ?? [];
      const options = {
        local: bound === undefined || bound.isUnspecified() ? path.source : bound,
        localPort: binding?.port ?? 0,
        remote,
        remotePort: port,
        connection: { mtuBytes: path.mtuBytes, ...this.#stack.connectionConfig, noDelay: this.#noDelay },
      };
      try {
        this.#connection = session.driver.connect(options, this);
      } finally {
        binding?.release();
      }
      this.#connecting = request;
      this.#updateUse();
      return 0;
    });
  }

  /** @internal */
  onOpen(connection: Connection): void {
    this.#connection = connection;
    if (this.#keepAlive !== undefined) this.#applyKeepAlive(connection, this.#keepAlive.on, this.#keepAlive.seconds);
    if (this.#bend !== undefined) this.bend(this.#bend);
    if (this.#watcher !== undefined) this.watch(this.#watcher);
  }

  listen(backlog: number): number {
    if (this.#binding === undefined) this.#bind("0.0.0.0", 0, false);
    const binding = this.#binding;
    if (binding === undefined) return errnoOf("EINVAL");
    if (binding.error !== 0) return binding.error;
    return this.#try(() => {
      binding.listen(backlog, this.#stack.connectionConfig, this);
      this.#updateUse();
      return 0;
    });
  }

  /** @internal */
  onReady(): void {
    for (;;) {
      const connection = this.#closed ? undefined : this.#binding?.accept();
      if (connection === undefined) return;
      this.#stack.statistics.accepted++;
      const client = new TcpHandle(this.#stack, connection, this.#isMapped);
      this.onclient?.(client);
      this.#call(() => this.onconnection?.call(this, 0, client));
      runTicks();
    }
  }

  // Reading

  readStart(): number {
    if (this.#closed) return errnoOf("EINVAL");
    this.#isReading = true;
    this.#updateUse();
    const connection = this.#connection;
    if (connection !== undefined && (connection.readableBytes > 0 || this.#isOver(connection)))
      this.#stack.later(() => this.#pull());
    return 0;
  }

  readStop(): number {
    this.#isReading = false;
    this.#updateUse();
    return 0;
  }

  /** @internal Called by the C++ stream. */
  onreadstart(): number {
    return this.readStart();
  }

  /** @internal Called by the C++ stream. */
  onreadstop(): number {
    return this.readStop();
  }

  useUserBuffer(buffer: Uint8Array): void {
    this.#userBuffer = buffer;
  }

  #isOver(connection: Connection): boolean {
    return connection.endOfData || connection.failure !== undefined;
  }

  /** Hands on what has been received, until the reader has enough. */
  #pull(): void {
    const connection = this.#connection;
    if (connection === undefined || this.#connecting !== undefined) return;
    while (this.#isReading && !this.#closed) {
      const count = Math.min(connection.readableBytes, READ_BYTES);
      if (count === 0) break;
      this.#deliver(connection, count);
      runTicks();
    }
    if (!this.#isReading || this.#closed || this.#ended || !this.#isOver(connection) || connection.readableBytes > 0) return;
    this.#ended = true;
    this.#updateUse();
    // Aborted beneath us: the stack was closed. Nobody is at fault.
    if (connection.failure === "ECONNABORTED") ownerOf(this)?.destroy?.();
    else if (connection.failure !== undefined) this.#deliverError(errnoOf(connection.failure));
    else this.#deliverEnd();
    runTicks();
  }

  #deliver(connection: Connection, most: number): void {
    if (this.#mayBeConsumed) {
      // One of its own: C++ takes it piece by piece and may call back in between.
      const bytes = Buffer.allocUnsafe(most);
      connection.read(bytes, 0, most);
      this.#countRead(most);
      this.readBuffer(bytes);
      return;
    }
    const user = this.#userBuffer;
    if (user !== undefined) {
      const count = connection.read(user, 0, Math.min(most, user.length));
      this.#countRead(count);
      noteRead(count, 0);
      const next = this.#tellRead(undefined);
      if (next instanceof Uint8Array) this.#userBuffer = next;
      return;
    }
    const memory = readInto(connection, most);
    this.#countRead(most);
    this.#tellRead(memory);
  }

  #countRead(count: number): void {
    this.bytesRead += count;
    this.#stack.statistics.bytesRead += count;
  }

  #tellRead(memory: ArrayBuffer | undefined): Uint8Array | undefined {
    const onread = this.#onread;
    return onread === undefined ? undefined : this.#context.runInAsyncScope(onread, this, memory);
  }

  #deliverEnd(): void {
    if (this.#mayBeConsumed) {
      this.emitEOF();
      return;
    }
    noteRead(UV_EOF, 0);
    this.#tellRead(undefined);
  }

  /** C++ has no way for the errors of a JavaScript stream: the socket is told, and if TLS holds us alone, its handle. */
  #deliverError(errno: number): void {
    const handle = ownerOf(this)?._handle;
    noteRead(errno, 0);
    if (handle === this || handle === null || handle === undefined) this.#tellRead(undefined);
    else {
      const { onread } = handle as { onread: OnRead };
      this.#context.runInAsyncScope(() => onread.call(handle as TcpHandle, undefined));
    }
  }

  // Writing

  writeBuffer(request: Request, data: Uint8Array): number {
    return this.#write(request, [data], data.length, false);
  }

  writev(request: Request, chunks: unknown[], allBuffers: boolean): number {
    const buffers = buffersOf(chunks, allBuffers);
    return this.#write(request, buffers, totalOf(buffers), false);
  }

  /** @internal Called by the C++ stream, with copies. */
  onwrite(request: Request, buffers: Uint8Array[]): number {
    return this.#write(request, buffers, totalOf(buffers), true);
  }

  #write(request: Request, chunks: readonly Uint8Array[], total: number, isNative: boolean): number {
    const connection = this.#connection;
    if (connection === undefined || this.#closed) return errnoOf("EBADF");
    const write: Write = { request, chunks, index: 0, offset: 0, isNative };
    const status = this.#writes.add(connection, write);
    if (status < 0) return status;
    this.bytesWritten += total;
    this.#stack.statistics.bytesWritten += total;
    streamBaseState[kBytesWritten] = total;
    streamBaseState[kLastWriteWasAsync] = isDone(write) && !isNative ? 0 : 1;
    if (!isDone(write)) this.#updateUse();
    else if (isNative) this.#stack.later(() => this.#finishWrite(write, 0));
    return 0;
  }

  /** There is room in the send buffer again. */
  #flush(): void {
    const connection = this.#connection;
    while (connection !== undefined && !this.#closed) {
      const over = this.#writes.next(connection);
      if (over === undefined) break;
      this.#finishWrite(over.write, over.status);
      runTicks();
    }
    this.#updateUse();
    this.#shutDownWhenSent();
  }

  #finishWrite(write: Write, status: number): void {
    if (write.isNative) this.finishWrite(write.request, status);
    else this.#complete(write.request, status);
  }

  shutdown(request: Request): number {
    return this.#beginShutdown(request, false);
  }

  /** @internal Called by the C++ stream. */
  onshutdown(request: Request): number {
    return this.#beginShutdown(request, true);
  }

  #beginShutdown(request: Request, isNative: boolean): number {
    const connection = this.#connection;
    if (connection === undefined || this.#closed || connection.state === "CLOSED") return errnoOf("ENOTCONN");
    this.#shutdown = { request, isNative, context: new AsyncResource("SHUTDOWNWRAP") };
    this.#updateUse();
    this.#shutDownWhenSent();
    return 0;
  }

  /** FIN follows the last byte. */
  #shutDownWhenSent(): void {
    const shutdown = this.#shutdown;
    if (shutdown === undefined || !this.#writes.isEmpty || this.#closed) return;
    this.#connection?.shutdown(this.#stack.session.driver.now());
    this.#stack.later(() => this.#finishShutdown(0));
  }

  #finishShutdown(status: number): void {
    const shutdown = this.#shutdown;
    if (shutdown === undefined) return;
    this.#shutdown = undefined;
    this.#updateUse();
    const { request, isNative, context } = shutdown;
    if (isNative) this.finishShutdown(request, status);
    else context.runInAsyncScope(() => request.oncomplete(status, this, undefined));
  }

  // CLOSE and ABORT

  /** CLOSE; what was taken is still sent. `done` is called in a later turn. */
  close(done?: () => void): void {
    this.#end(false, done);
  }

  /** ABORT: RST. */
  reset(done?: () => void): number {
    if (this.#closed) return errnoOf("EINVAL");
    this.#end(true, done);
    return 0;
  }

  #end(isReset: boolean, done: (() => void) | undefined): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#isReading = false;
    if (this.#stack.isOpen) this.#binding?.close();
    const connection = this.#connection;
    // The session may be gone already, with all that was open.
    if (connection !== undefined && this.#stack.isOpen) {
      const { driver } = this.#stack.session;
      // The third segment of a handshake may not have gone yet: a RST in its place, and the server would never know of the connection.
      if (isReset) driver.flush();
      if (isReset) connection.abort(driver.now());
      else connection.close(driver.now());
      connection.context = undefined;
      this.#stack.linger(connection);
    }
    this.#endWatch?.();
    this.#stack.later(() => {
      this.#updateUse();
      this.#cancel();
      if (done !== undefined) this.#call(() => done.call(this));
    });
  }

  /** Requests that will never be done. */
  #cancel(): void {
    const canceled = errnoOf("ECANCELED");
    const connecting = this.#connecting;
    this.#connecting = undefined;
    if (connecting !== undefined) this.#complete(connecting, canceled);
    for (const write of this.#writes.clear()) this.#finishWrite(write, canceled);
    this.#finishShutdown(canceled);
  }

  // Events of the connection

  /** @internal */
  onEvent(event: ConnectionEvent): void {
    switch (event) {
      case "established":
        if (this.#connecting !== undefined) this.#stack.statistics.opened++;
        this.#finishConnect(undefined);
        break;
      case "readable":
        this.#pull();
        break;
      case "writable":
        this.#flush();
        break;
      case "failed":
        this.#fail(this.#connection?.failure ?? "ECONNRESET");
        break;
      case "closed":
        this.#endBend?.();
        this.#endWatch?.();
        this.#pull();
        break;
      default:
    }
  }

  #finishConnect(failure: string | undefined): void {
    const request = this.#connecting;
    if (request === undefined) return;
    this.#connecting = undefined;
    if (failure !== undefined) this.#ended = true;
    this.#updateUse();
    this.#complete(request, failure === undefined ? 0 : errnoOf(failure), true);
    runTicks();
  }

  #fail(failure: string): void {
    this.#finishConnect(failure);
    if (this.#closed) return;
    // What the reader learns it learns first; then nobody waits for these any more.
    this.#pull();
    for (const write of this.#writes.clear()) this.#finishWrite(write, errnoOf(failure));
    if (this.#shutdown !== undefined) this.#finishShutdown(errnoOf("ENOTCONN"));
    this.#updateUse();
    runTicks();
  }

  #complete(request: Request, status: number, isConnect = false): void {
    // After `connect` both directions are open; other requests have no third argument.
    if (isConnect) this.#call(() => request.oncomplete(status, this, request, true, true));
    else this.#call(() => request.oncomplete(status, this, undefined));
  }

  #call(action: () => void): void {
    this.#context.runInAsyncScope(action);
  }

  #applyKeepAlive(connection: Connection, on: boolean, seconds: number): void {
    connection.setKeepAlive(on, this.#stack.session.driver.now(), seconds > 0 ? seconds * 1_000_000 : undefined);
  }

  /** Like libuv's handles, ours keep the process alive only while there is something that they wait for. */
  #updateUse(): void {
    const isActive =
      !this.#closed &&
      (this.#binding?.isListening === true ||
        this.#connecting !== undefined ||
        (this.#isReading && !this.#ended) ||
        !this.#writes.isEmpty ||
        this.#shutdown !== undefined);
    const isInUse = isActive && this.#isReferenced;
    if (isInUse === this.#isInUse) return;
    this.#isInUse = isInUse;
    this.#stack.use(isInUse ? 1 : -1);
  }

  /** Our errors as libuv's numbers; what Node has no number for goes to the socket as it is. */
  #try(action: () => number): number {
    try {
      return action();
    } catch (error) {
      const code = codeOf(error);
      if (!code.startsWith("ERR_")) return errnoOf(code);
      const owner = ownerOf(this);
      if (owner?.destroy === undefined) throw error;
      this.#stack.later(() => owner.destroy?.(error));
      return 0;
    }
  }
}
