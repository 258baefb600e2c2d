/** The test's handle on the kernel's end: `peer-program.js` in a child process, here or in another namespace. */
import { type ChildProcess, spawn } from "node:child_process";
import { EventEmitter, once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { TcpStream } from "../../src/net/tcp-stream.js";

const PROGRAM = join(import.meta.dirname, "peer-program.js");

/** What the program says: the answer to a call, or an event. */
interface Message {
  readonly id?: number;
  readonly error?: string;
  readonly event?: string;
  readonly socket?: number;
  readonly port?: number;
  readonly bytes?: number;
  readonly sha256?: string;
  readonly code?: string;
  readonly good?: number;
}

/** Runs a program in the place where the peer is to live. */
export type Spawn = (program: string, ...args: string[]) => ChildProcess;

/** In this test's own namespace. */
export const spawnHere: Spawn = (program, ...args) => spawn(program, args, { stdio: ["pipe", "pipe", "inherit"] });

export class KernelPeer {
  readonly #child: ChildProcess;
  readonly #answers = new Map<number, (message: Message) => void>();
  readonly #sockets = new Map<number, KernelSocket>();
  /** By our port; what no test asks for stays. */
  readonly #accepted = new Map<number, KernelSocket>();
  readonly #events = new EventEmitter();
  #lastCall = 0;

  constructor(spawnProgram: Spawn) {
    this.#child = spawnProgram(process.execPath, PROGRAM);
    if (this.#child.stdout === null) throw new Error("the peer has no standard output");
    createInterface({ input: this.#child.stdout }).on("line", (line) => this.#take(JSON.parse(line) as Message));
  }

  /** Opens a listener of the kernel's and returns its port. `paused`: its connections do not read before `resume`. */
  async listen(host: string, options: { readonly echo?: boolean; readonly paused?: boolean } = {}): Promise<number> {
    return (await this.call("listen", { host, ...options })).port ?? 0;
  }

  /** The kernel's end of a connection of ours, once a listener of this peer has taken it. */
  async accept(stream: TcpStream): Promise<KernelSocket> {
    const { localPort } = stream.connection.tcb;
    for (;;) {
      const socket = this.#accepted.get(localPort);
      this.#accepted.delete(localPort);
      if (socket !== undefined) return socket;
      await once(this.#events, "connection");
    }
  }

  /** A kernel client; it may not be connected yet. */
  async connect(host: string, port: number, localPort?: number): Promise<KernelSocket> {
    const { socket = 0 } = await this.call("connect", { host, port, localPort });
    return this.#socket(socket);
  }

  /** Clients at once that each send `bytes` and want them back; returns how many got them. */
  async clients(host: string, port: number, count: number, bytes: number): Promise<number> {
    return (await this.call("clients", { host, port, count, bytes })).good ?? 0;
  }

  /** Rejects when the program could not do it. */
  call(name: string, fields: object): Promise<Message> {
    const id = ++this.#lastCall;
    this.#child.stdin?.write(`${JSON.stringify({ id, call: name, ...fields })}\n`);
    return new Promise((resolve, reject) => {
      this.#answers.set(id, (message) => {
        if (message.error === undefined) resolve(message);
        else reject(new Error(`${name}: ${message.error}`));
      });
    });
  }

  async close(): Promise<void> {
    if (this.#child.exitCode !== null) return;
    const gone = once(this.#child, "exit");
    this.#child.stdin?.end();
    await gone;
  }

  #take(message: Message): void {
    if (message.id !== undefined) {
      this.#answers.get(message.id)?.(message);
      this.#answers.delete(message.id);
      return;
    }
    const socket = this.#socket(message.socket ?? 0);
    if (message.event === "connection") {
      this.#accepted.set(message.port ?? 0, socket);
      this.#events.emit("connection");
      return;
    }
    if (message.bytes !== undefined) socket.bytes = message.bytes;
    if (message.sha256 !== undefined) socket.sha256 = message.sha256;
    if (message.code !== undefined) socket.error = message.code;
    socket.seen.add(message.event ?? "");
    socket.emit("news");
  }

  #socket(number: number): KernelSocket {
    let socket = this.#sockets.get(number);
    if (socket === undefined) {
      socket = new KernelSocket(this, number);
      this.#sockets.set(number, socket);
    }
    return socket;
  }
}

/** One of the kernel's connections, as the peer tells of it. */
export class KernelSocket extends EventEmitter {
  /** Read so far. */
  bytes = 0;
  /** Of all that was read; known at the end of the data. */
  sha256 = "";
  error = "";
  readonly seen = new Set<string>();
  readonly #peer: KernelPeer;
  readonly #number: number;

  constructor(peer: KernelPeer, number: number) {
    super();
    this.#peer = peer;
    this.#number = number;
  }

  /** Resolves once the socket has told of it; at once if it did before. */
  async until(event: "connect" | "data" | "end" | "error" | "close"): Promise<void> {
    while (!this.seen.has(event)) await once(this, "news");
  }

  /** Resolves once that many bytes have been read. */
  async untilBytes(bytes: number): Promise<void> {
    while (this.bytes < bytes) await once(this, "news");
  }

  /** Resolves when the kernel has taken all of `pattern(seed, bytes)`. */
  async write(seed: number, bytes: number): Promise<void> {
    await this.#peer.call("write", { socket: this.#number, seed, bytes });
  }

  /** CLOSE of the kernel's direction: FIN follows what was written. */
  end = (): Promise<unknown> => this.#order("end");
  /** Stops reading. */
  pause = (): Promise<unknown> => this.#order("pause");
  resume = (): Promise<unknown> => this.#order("resume");
  /** RST. */
  reset = (): Promise<unknown> => this.#order("reset");

  #order(call: string): Promise<unknown> {
    return this.#peer.call(call, { socket: this.#number });
  }
}
