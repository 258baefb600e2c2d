/**
 * One measurement, in a process of its own: `client.mjs STACK TASK PORT AMOUNT HOST`. STACK is "ours" or "node"; TASK "send",
 * "receive" (AMOUNT in bytes) or "connect" (AMOUNT in connections, 50 at once). Prints one JSON line.
 */
import { connect as nodeConnect } from "node:net";
import { performance } from "node:perf_hooks";

const [, , stack, task, portText, amountText, host = "127.0.0.1"] = process.argv;
const port = Number(portText);
const amount = Number(amountText);
const CHUNK = Buffer.alloc(128 * 1024, 0x62);
const REQUEST = Buffer.from("GET / HTTP/1.0\r\n\r\n");
const AT_ONCE = 50;

async function openOurs() {
  const { openSession, parseAddress, TcpStream } = await import("../../dist/index.js");
  const session = await openSession({ target: host, connection: { mslUs: 1000 } });
  const remote = parseAddress(host);
  return {
    dial: () => TcpStream.connect(session.driver, { local: session.local, remote, remotePort: port }),
    close: () => session.close(),
  };
}

function openNode() {
  return { dial: () => nodeConnect({ port, host, allowHalfOpen: true }), close: () => undefined };
}

const tasks = {
  async send(dial) {
    const socket = dial();
    await once(socket, "connect");
    let left = amount;
    const start = performance.now();
    await new Promise((/** @type {(value?: unknown) => void} */ resolve, reject) => {
      let answer = "";
      socket.on("error", reject);
      socket.on("data", (data) => {
        answer += data;
      });
      socket.on("end", () => (Number(answer) === amount ? resolve() : reject(new Error(`the sink counted ${answer}`))));
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
    return performance.now() - start;
  },
  async receive(dial) {
    const socket = dial();
    await once(socket, "connect");
    let count = 0;
    const start = performance.now();
    socket.write(String(amount));
    await new Promise((/** @type {(value?: unknown) => void} */ resolve, reject) => {
      socket.on("error", reject);
      socket.on("data", (data) => {
        count += data.length;
      });
      socket.on("end", () => (count === amount ? resolve() : reject(new Error(`received ${count}`))));
    });
    const ms = performance.now() - start;
    socket.end();
    return ms;
  },
  async connect(dial) {
    let left = amount;
    const worker = async () => {
      while (left-- > 0) {
        const socket = dial();
        await new Promise((/** @type {(value?: unknown) => void} */ resolve, reject) => {
          let bytes = 0;
          socket.on("error", reject);
          socket.on("connect", () => socket.write(REQUEST));
          socket.on("data", (data) => {
            bytes += data.length;
          });
          socket.on("end", () => socket.end());
          socket.on("close", () => (bytes > 0 ? resolve() : reject(new Error("no answer"))));
        });
      }
    };
    const start = performance.now();
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
    return performance.now() - start;
  },
};

function once(emitter, event) {
  return new Promise((resolve, reject) => {
    emitter.once(event, resolve);
    emitter.once("error", reject);
  });
}

const { dial, close } = stack === "ours" ? await openOurs() : openNode();
const cpu = process.cpuUsage();
const ms = await tasks[task](dial);
const { user, system } = process.cpuUsage(cpu);
process.stdout.write(`${JSON.stringify({ ms, userMs: user / 1000, systemMs: system / 1000 })}\n`);
close();
