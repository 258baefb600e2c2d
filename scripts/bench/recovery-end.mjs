/**
 * One end of the recovery bench, in a process of its own; it ends with its standard input.
 *
 *   receive ADDRESS FIRST_PORT SENDERS SEEDS SECONDS   the kernel's receiver: counts what a flow brings in its first seconds,
 *                                                      says it in a JSON line and closes
 *   send-ours | send-kernel FROM TO FIRST_PORT SEEDS CONGESTION   a flow to each port, as fast as it goes, until it is closed
 */
import { connect, createServer } from "node:net";

const CHUNK = Buffer.alloc(64 * 1024, 0x62);
const [task, ...args] = process.argv.slice(2);

/** @type {Record<string, (...args: string[]) => void | Promise<void>>} */
const tasks = {
  async receive(address, firstPort, senders, seeds, seconds) {
    for (let sender = 0; sender < Number(senders); sender++) {
      for (let seed = 0; seed < Number(seeds); seed++) {
        const port = Number(firstPort) + 100 * sender + seed;
        const server = createServer((socket) => {
          let bytes = 0;
          socket.on("error", () => {});
          socket.on("data", (data) => {
            bytes += data.length;
          });
          setTimeout(() => {
            process.stdout.write(`${JSON.stringify({ port, bytes })}\n`);
            socket.resetAndDestroy();
          }, Number(seconds) * 1000);
        });
        await new Promise((resolve) => server.listen(port, address, () => resolve(undefined)));
      }
    }
    process.stdout.write("ready\n");
  },
  async "send-ours"(from, to, firstPort, seeds, congestion) {
    const { openSession, TcpStream, parseAddress } = await import("../../dist/index.js");
    const { congestionByName } = await import("../../dist/tcp/congestion-controls.js");
    const connection = { congestion: congestionByName(congestion) };
    const session = await openSession({ target: to, source: from, allowRemote: true, connection });
    const remote = parseAddress(to);
    for (let seed = 0; seed < Number(seeds); seed++) {
      fill(TcpStream.connect(session.driver, { local: session.local, remote, remotePort: Number(firstPort) + seed }));
    }
    process.stdin.on("end", () => session.close());
  },
  async "send-kernel"(from, to, firstPort, seeds, congestion) {
    const { setsockopt, IPPROTO_TCP } = await import("../../dist/kernel/libc.js");
    const TCP_CONGESTION = 13;
    for (let seed = 0; seed < Number(seeds); seed++) {
      const socket = connect({ host: to, port: Number(firstPort) + seed, localAddress: from });
      socket.on("connect", () => {
        const { fd } = /** @type {any} */ (socket)._handle;
        setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, Buffer.from(congestion));
        fill(socket);
      });
      socket.on("error", () => {});
    }
  },
};

/** Writes for as long as the stream takes it. @param {import("node:stream").Duplex} stream */
function fill(stream) {
  stream.on("error", () => {});
  const pump = () => {
    while (!stream.destroyed && stream.write(CHUNK));
  };
  stream.on("drain", pump);
  stream.resume();
  pump();
}

process.stdin.on("end", () => process.exit(0)).resume();
await tasks[task ?? ""]?.(...args);
