/** An echo server that tells on each line of standard input what it holds. */
import net from "node:net";
import { createInterface } from "node:readline";
import { serve } from "./common.mjs";

const server = net.createServer((socket) => {
  socket.on("error", () => undefined);
  socket.pipe(socket);
});
await serve(server);
const lines = createInterface({ input: process.stdin });
lines.on("line", () => {
  server.getConnections(async (_error, connections) => {
    for (let i = 0; i < 4; i++) {
      globalThis.gc?.();
      await new Promise((resolve) => setImmediate(resolve));
    }
    const { rss, heapUsed, external } = process.memoryUsage();
    console.log(JSON.stringify({ connections, rss, heapUsed, external }));
  });
});
lines.on("close", () => server.close());
