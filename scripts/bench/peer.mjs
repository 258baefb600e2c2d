/**
 * The kernel's side of a bench: a server on the kernel's TCP (node:net), in a process of its own so that it can be pinned. Says
 * its port on standard output and serves until its standard input ends.
 *
 *   sink    takes everything, answers with the count at the peer's FIN
 *   source  sends as many bytes as the first line asks for, then FIN
 *   reply   answers the first data with a short line and closes first
 */
import { createServer } from "node:net";

const [, , role, host = "127.0.0.1"] = process.argv;
const CHUNK = Buffer.alloc(128 * 1024, 0x61);
const REPLY = Buffer.from("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok");

const roles = {
  sink(socket) {
    let count = 0;
    socket.on("data", (data) => {
      count += data.length;
    });
    socket.on("end", () => socket.end(String(count)));
  },
  source(socket) {
    socket.once("data", (line) => {
      let left = Number(line.toString());
      const pump = () => {
        while (left > 0) {
          const size = Math.min(left, CHUNK.length);
          left -= size;
          if (!socket.write(size === CHUNK.length ? CHUNK : CHUNK.subarray(0, size))) {
            socket.once("drain", pump);
            return;
          }
        }
        socket.end();
      };
      pump();
    });
  },
  reply(socket) {
    socket.once("data", () => socket.end(REPLY));
  },
};

const server = createServer({ allowHalfOpen: true }, (socket) => {
  socket.on("error", () => socket.destroy());
  // Half-open sockets are allowed so that each role decides who closes; nobody may be left over.
  if (role === "reply") socket.on("end", () => socket.end());
  roles[role](socket);
});
server.listen({ port: 0, host, backlog: 1024 }, () => {
  const address = server.address();
  if (address !== null && typeof address === "object") process.stdout.write(`${address.port}\n`);
});
process.stdin.on("end", () => process.exit(0)).resume();
