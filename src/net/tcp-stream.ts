/** A connection as a Node stream, and a server of them: what the command line and the benches use. */
import { EventEmitter } from "node:events";
import { Duplex } from "node:stream";
import type { ConnectionUser, Driver, ListenerUser } from "../driver/driver.js";
import type { Listener, ListenOptions } from "../stack/listener.js";
import type { ConnectOptions } from "../stack/stack.js";
import type { Connection } from "../tcp/connection.js";
import type { ConnectionEvent, Failure } from "../tcp/events.js";

/** The most that one "data" event brings: as Node's own sockets have it. Larger pieces fall out of the caches before they are read. */
const READ_BYTES = 64 * 1024;
/** Bytes that are buffered in either direction before the other side is asked to wait. */
const HIGH_WATER_BYTES = 256 * 1024;

/** An error with Node's code, as `net` gives it. */
export class ConnectionError extends Error {
  readonly code: string;
  readonly syscall: string;

  constructor(code: string, syscall: string, where: string) {
    super(`${syscall} ${code} ${where}`);
    this.name = "Error";
    this.code = code;
    this.syscall = syscall;
  }
}

/**
 * Events beside a Duplex's: "connect" when the handshake is done. Errors have Node's codes: ECONNREFUSED, ECONNRESET,
 * ETIMEDOUT, EPIPE. The writable side ends with FIN, the readable side with the peer's FIN; each without the other.
 */
export class TcpStream extends Duplex implements ConnectionUser {
  #connection: Connection | undefined;
  readonly #driver: Driver;
  #connecting: boolean;
  #wantsData = false;
  /** A write that waits for room in the send buffer, or for the handshake. */
  #chunk: Uint8Array | undefined;
  #chunkOffset = 0;
  #chunkDone: ((error?: Error | null) => void) | undefined;
  #finalDone: ((error?: Error | null) => void) | undefined;
  #finished = false;

  constructor(driver: Driver, connection?: Connection) {
    super({ allowHalfOpen: true, highWaterMark: HIGH_WATER_BYTES });
    this.#driver = driver;
    this.#connection = connection;
    this.#connecting = connection === undefined || connection.state === "SYN-SENT";
    if (connection !== undefined) connection.context = this;
  }

  /** Active OPEN; the stream is usable at once, writes wait for the handshake. Throws what `Stack.connect` throws. */
  static connect(driver: Driver, options: ConnectOptions): TcpStream {
    const stream = new TcpStream(driver);
    stream.#connection = driver.connect(options, stream);
    return stream;
  }

  /** The connection under the stream. */
  get connection(): Connection {
    if (this.#connection === undefined) throw new ConnectionError("ENOTCONN", "read", "before OPEN");
    return this.#connection;
  }

  /** ABORT: RST, and everything queued is lost. */
  abort(): void {
    this.connection.abort(this.#driver.now());
    this.destroy();
  }

  /** @internal */
  onEvent(event: ConnectionEvent): void {
    switch (event) {
      case "established":
        this.#connecting = false;
        this.emit("connect");
        this.#flush();
        if (this.#finalDone !== undefined) this.#shutdown(this.#finalDone);
        break;
      case "readable":
        if (this.#wantsData) this.#push();
        break;
      case "writable":
        this.#flush();
        break;
      case "failed":
        this.#fail(this.connection.failure ?? "ECONNRESET");
        break;
      case "closed":
        this.#finished = true;
        // Aborted beneath us, as when the driver closes: no end of data will come, yet whoever waits for "close" must learn of it.
        if (this.connection.failure === "ECONNABORTED") this.destroy();
        else if (this.#wantsData) this.#push();
        break;
      default:
        this.emit(event);
    }
  }

  override _read(): void {
    this.#wantsData = true;
    this.#push();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#chunk = chunk;
    this.#chunkOffset = 0;
    this.#chunkDone = done;
    if (!this.#connecting) this.#flush();
  }

  override _final(done: (error?: Error | null) => void): void {
    // CLOSE in SYN-SENT would give the attempt up; what was written must get through first.
    if (this.#connecting) this.#finalDone = done;
    else this.#shutdown(done);
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    const connection = this.#connection;
    if (connection !== undefined && !this.#finished) connection.close(this.#driver.now());
    const cutShort = this.#chunkDone;
    this.#chunk = undefined;
    this.#chunkDone = undefined;
    // Whoever waits for a write that is under way learns that it never ended.
    cutShort?.(error ?? new ConnectionError("ECANCELED", "write", "the stream was destroyed"));
    done(error);
  }

  /** Hands on what has been received, until the reader has enough. */
  #push(): void {
    const { connection } = this;
    for (;;) {
      const count = Math.min(connection.readableBytes, READ_BYTES);
      if (count === 0) break;
      const bytes = Buffer.allocUnsafe(count);
      connection.read(bytes, 0, count);
      if (!this.push(bytes)) {
        this.#wantsData = false;
        return;
      }
    }
    if (connection.endOfData && connection.failure === undefined) {
      this.#wantsData = false;
      this.push(null);
    }
  }

  #flush(): void {
    const chunk = this.#chunk;
    const done = this.#chunkDone;
    if (chunk === undefined || done === undefined) return;
    try {
      this.#chunkOffset += this.connection.send(chunk, this.#chunkOffset, chunk.length - this.#chunkOffset);
    } catch (error) {
      this.#chunk = undefined;
      this.#chunkDone = undefined;
      done(error instanceof Error ? error : new Error(String(error)));
      return;
    }
    if (this.#chunkOffset < chunk.length) return;
    this.#chunk = undefined;
    this.#chunkDone = undefined;
    done();
  }

  #shutdown(done: (error?: Error | null) => void): void {
    this.#finalDone = undefined;
    this.connection.shutdown(this.#driver.now());
    done();
  }

  #fail(code: Failure): void {
    const { remote, local } = this.connection.status();
    this.#finished = true;
    const syscall = this.#connecting ? "connect" : "read";
    this.#connecting = false;
    this.destroy(new ConnectionError(code, syscall, `${remote} (from ${local})`));
  }
}

/** Emits "connection" with a TcpStream. */
export class TcpServer extends EventEmitter<{ connection: [TcpStream] }> implements ListenerUser {
  readonly #driver: Driver;
  #listener: Listener | undefined;

  constructor(driver: Driver) {
    super();
    this.#driver = driver;
  }

  /** Passive OPEN. Throws what `Stack.listen` throws. */
  listen(options: ListenOptions): this {
    this.#listener = this.#driver.listen(options, this);
    return this;
  }

  get listener(): Listener | undefined {
    return this.#listener;
  }

  /** @internal */
  onReady(): void {
    for (;;) {
      const connection = this.#listener?.accept();
      if (connection === undefined) return;
      this.emit("connection", new TcpStream(this.#driver, connection));
    }
  }

  /** Stops listening; open connections go on. */
  close(): void {
    this.#listener?.close(this.#driver.now());
  }
}
