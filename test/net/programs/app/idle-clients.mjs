/** Many connections from addresses of 127.0.0.0/8: opened, used once each, closed, as the lines of standard input say. */
import { once } from "node:events";
import net from "node:net";
import { createInterface } from "node:readline";

const port = Number(process.argv[2]);
const count = Number(process.argv[3]);
const sockets = [];
for (let i = 0; i < count; i += 100) {
  const batch = Array.from({ length: Math.min(100, count - i) }, (_, j) =>
    net.connect({ port, host: "127.0.0.1", localAddress: `127.0.${1 + ((i + j) % 10)}.1` }),
  );
  await Promise.all(batch.map((socket) => once(socket, "connect")));
  sockets.push(...batch);
}
console.log(`open ${sockets.length}`);
for await (const line of createInterface({ input: process.stdin })) {
  if (line === "echo") {
    for (let i = 0; i < count; i += 500) {
      await Promise.all(
        sockets.slice(i, i + 500).map(async (socket, j) => {
          socket.write(`number ${i + j}`);
          const [answer] = await once(socket, "data");
          if (String(answer) !== `number ${i + j}`) throw new Error(`socket ${i + j} got ${answer}`);
        }),
      );
    }
    console.log(`echoed ${sockets.length}`);
  } else {
    const closed = sockets.map((socket) => once(socket, "close"));
    for (const socket of sockets) socket.resume().end();
    await Promise.all(closed);
    console.log(`closed ${sockets.length}`);
    break;
  }
}
process.stdin.destroy();
