/**
 * The kernel's end of a session: a program on node:net that does what it is told on its standard input, a JSON object a
 * line, and says on its standard output what happens. Standing in a process of its own it can live in another network
 * namespace, and its kernel sockets share no event loop with the stack under test. It ends with its standard input.
 */
import { createCipheriv, createHash } from "node:crypto";
import { connect, createServer } from "node:net";
import { createInterface } from "node:readline";

/** @type {Map<number, import("node:net").Socket>} */
const sockets = new Map();
let lastSocket = 0;

/** @param {object} message */
function say(message) {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}

/**
 * Gives a socket a number and tells all that happens to it. What comes in is read and hashed, unless it is paused.
 * @param {import("node:net").Socket} socket
 */
function adopt(socket) {
  const number = ++lastSocket;
  sockets.set(number, socket);
  const hash = createHash("sha256");
  let bytes = 0;
  let toldSoon = false;
  const tell = () => {
    toldSoon = false;
    say({ event: "data", socket: number, bytes });
  };
  socket.on("data", (chunk) => {
    hash.update(chunk);
    bytes += chunk.length;
    if (!toldSoon) setImmediate(tell);
    toldSoon = true;
  });
  socket.on("connect", () => say({ event: "connect", socket: number }));
  socket.on("end", () => say({ event: "end", socket: number, bytes, sha256: hash.digest("hex") }));
  socket.on("error", (error) => say({ event: "error", socket: number, code: /** @type {NodeJS.ErrnoException} */ (error).code }));
  socket.on("close", () => {
    sockets.delete(number);
    say({ event: "close", socket: number });
  });
  return number;
}

/**
 * The same as in `pattern.ts`: this program is run as it stands, and cannot import TypeScript.
 * @param {number} seed
 * @param {number} bytes
 */
function pattern(seed, bytes) {
  const key = Buffer.alloc(16);
  key.writeUInt32BE(seed);
  return createCipheriv("aes-128-ctr", key, Buffer.alloc(16)).update(Buffer.alloc(bytes));
}

/**
 * One of many clients: sends, closes, and reads the echo to its end. Resolves to whether every byte came back.
 * @param {string} host
 * @param {number} port
 * @param {number} seed
 * @param {number} bytes
 * @returns {Promise<boolean>}
 */
function echoed(host, port, seed, bytes) {
  const sent = pattern(seed, bytes);
  return new Promise((resolve) => {
    /** @type {Buffer[]} */
    const chunks = [];
    const socket = connect({ host, port, allowHalfOpen: true }, () => socket.end(sent));
    socket.on("data", (chunk) => chunks.push(chunk));
    socket.on("end", () => resolve(sent.equals(Buffer.concat(chunks))));
    socket.on("error", () => resolve(false));
  });
}

/**
 * @param {number} number
 * @returns {import("node:net").Socket}
 */
function socketOf(number) {
  const socket = sockets.get(number);
  if (socket === undefined) throw new Error(`no socket ${number}`);
  return socket;
}

/** @type {Record<string, (call: any) => object | void | Promise<object | void>>} */
const calls = {
  /** Listens; `echo` sends everything back in silence, else each connection is told and waits for orders. */
  listen({ host, echo, paused }) {
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: paused === true });
    server.on("connection", (socket) => {
      if (echo) socket.on("error", () => socket.destroy()).pipe(socket);
      else say({ event: "connection", socket: adopt(socket), port: socket.remotePort });
    });
    return new Promise((resolve, reject) => {
      server.on("error", reject);
      server.listen({ host, port: 0, backlog: 1024 }, () =>
        resolve({ port: /** @type {import("node:net").AddressInfo} */ (server.address()).port }),
      );
    });
  },
  connect: ({ host, port, localPort }) => ({ socket: adopt(connect({ host, port, localPort, allowHalfOpen: true })) }),
  async clients({ host, port, count, bytes }) {
    const results = await Promise.all(Array.from({ length: count }, (_, i) => echoed(host, port, i, bytes)));
    return { good: results.filter(Boolean).length };
  },
  /** Answered when the kernel has taken all of it. */
  write({ socket, seed, bytes }) {
    return new Promise((resolve, reject) => {
      socketOf(socket).write(pattern(seed, bytes), (error) => (error ? reject(error) : resolve()));
    });
  },
  end: ({ socket }) => void socketOf(socket).end(),
  pause: ({ socket }) => void socketOf(socket).pause(),
  resume: ({ socket }) => void socketOf(socket).resume(),
  /** SO_LINGER 0 and close(2): the kernel sends RST. */
  reset: ({ socket }) => void socketOf(socket).resetAndDestroy(),
};

const lines = createInterface({ input: process.stdin });
lines.on("line", async (line) => {
  const { id, call, ...rest } = JSON.parse(line);
  try {
    say({ id, ...(await calls[call]?.(rest)) });
  } catch (error) {
    say({ id, error: error instanceof Error ? error.message : String(error) });
  }
});
lines.on("close", () => process.exit());
