/**
 * `scripts/bench.sh recovery`: goodput of our sender beside the kernel's own on a path of 20 ms that loses data by a seeded
 * pattern. Every flow goes from this namespace through a TUN device into a forwarder (this process), and through a second TUN
 * device to the same kernel receiver in another namespace. Flow i of each sender meets the drops of seed i: of its data packets,
 * counted in the order in which they are sent, the same numbers are lost. Nothing else limits a flow, so all run side by side.
 * Everything is made in private namespaces and goes with this process.
 */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { constants, openSync, readSync, writeFileSync, writeSync } from "node:fs";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { chance, SeededRandom } from "../../dist/base/random.js";
import { ioctl, watchReadable } from "../../dist/kernel/libc.js";

const ROUND_TRIP_MS = 20;
const LOSSES = [0.001, 0.01, 0.03, 0.05, 0.2];
const SENDERS = ["ours, cubic", "kernel, cubic", "ours, reno", "kernel, reno"];
/** The receiver's ports: sender s, seed i is FIRST_PORT + 100 s + i. */
const FIRST_PORT = 5000;
const NEAR = "10.79.0.1";
const FAR = "10.79.0.2";

/**
 * Runs the comparison and prints it.
 * @param {{ readonly quick: boolean }} options
 */
export async function benchRecovery({ quick }) {
  const seconds = quick ? 4 : 15;
  const seeds = quick ? 2 : 6;
  const world = await openWorld();
  try {
    const receiver = startEnd(world.pid, [
      "receive",
      FAR,
      String(FIRST_PORT),
      String(SENDERS.length),
      String(seeds),
      String(seconds),
    ]);
    const lines = createInterface({ input: receiver.stdout })[Symbol.asyncIterator]();
    await lines.next();
    process.stdout.write(
      `goodput in Mbit/s to a kernel receiver, ${ROUND_TRIP_MS} ms round trip, ${seeds} flows of ${seconds} s for each sender, mean\n` +
        `${"loss".padEnd(8)}${SENDERS.map((name) => name.padStart(15)).join("")}  ratio: cubic   reno\n`,
    );
    for (const loss of LOSSES) {
      world.forward(loss);
      const clients = SENDERS.map((name, i) => {
        const [stack = "", congestion = ""] = name.split(", ");
        const first = String(FIRST_PORT + 100 * i);
        return startEnd(0, [stack === "ours" ? "send-ours" : "send-kernel", NEAR, FAR, first, String(seeds), congestion]);
      });
      /** @type {number[]} */
      const bytes = SENDERS.map(() => 0);
      for (let flows = SENDERS.length * seeds; flows > 0; flows--) {
        const { value } = await lines.next();
        const flow = JSON.parse(value);
        const sender = Math.floor((flow.port - FIRST_PORT) / 100);
        bytes[sender] = (bytes[sender] ?? 0) + flow.bytes;
      }
      for (const client of clients) {
        client.stdin.end();
        if (client.exitCode === null) await once(client, "exit");
      }
      const rates = bytes.map((sum) => (sum * 8) / 1e6 / seconds / seeds);
      const [cubic = 0, kernelCubic = 1, reno = 0, kernelReno = 1] = rates;
      process.stdout.write(
        `${`${loss * 100} %`.padEnd(8)}${rates.map((rate) => rate.toFixed(1).padStart(15)).join("")}` +
          `${(cubic / kernelCubic).toFixed(2).padStart(14)}${(reno / kernelReno).toFixed(2).padStart(7)}\n`,
      );
    }
    receiver.stdin.end();
  } finally {
    world.close();
  }
}

/** Two namespaces, the path between them, and how it loses. */
async function openWorld() {
  const koffi = createRequire(import.meta.url)("koffi");
  const CLONE_NEWNET = 0x40000000;
  if (koffi.load(null).func("int unshare(int)")(CLONE_NEWNET) !== 0) throw new Error("unshare: root is needed");
  run("ip", "link", "set", "lo", "up");
  // cat waits for the end of its input: when this process dies, so does the namespace.
  const keeper = spawn("unshare", ["--net", "sh", "-c", "echo ready; exec cat"], { stdio: ["pipe", "pipe", "inherit"] });
  await once(keeper.stdout, "data");
  const pid = keeper.pid ?? 0;
  const near = openTun("near0");
  const far = openTun("far0");
  const inside = ["--net", "--target", String(pid), "--"];
  run("ip", "link", "set", "far0", "netns", String(pid));
  run("ip", "addr", "add", `${NEAR}/24`, "dev", "near0");
  run("ip", "link", "set", "near0", "txqueuelen", "10000", "up");
  run("nsenter", ...inside, "ip", "addr", "add", `${FAR}/24`, "dev", "far0");
  run("nsenter", ...inside, "ip", "link", "set", "far0", "txqueuelen", "10000", "up");
  // What the kernel learnt of the path in one run must not help or hinder it in the next.
  writeFileSync("/proc/sys/net/ipv4/tcp_no_metrics_save", "1");

  let loss = 0;
  /** By flow: what decides about its next data packet. @type {Map<number, SeededRandom>} */
  let patterns = new Map();
  const isLost = (/** @type {Buffer} */ packet) => {
    const header = ((packet[0] ?? 0) & 15) * 4;
    const hasData = packet.length > header + ((packet[header + 12] ?? 0) >> 4) * 4;
    if (packet[9] !== 6 || !hasData) return false;
    const port = packet.readUInt16BE(header + 2);
    const flow = (packet.readUInt16BE(header) << 16) | port;
    let random = patterns.get(flow);
    if (random === undefined) {
      random = new SeededRandom(1 + (port % 100));
      patterns.set(flow, random);
    }
    return chance(random, loss);
  };
  const forth = startPipe(near, far, isLost);
  const back = startPipe(far, near, () => false);
  return {
    pid,
    /** From now on loses this share of the data. @param {number} share */
    forward(share) {
      loss = share;
      patterns = new Map();
    },
    close() {
      forth.close();
      back.close();
      keeper.stdin.end();
    },
  };
}

/**
 * Carries packets from one TUN device to another, half a round trip later.
 * @param {number} from
 * @param {number} to
 * @param {(packet: Buffer) => boolean} isLost
 */
function startPipe(from, to, isLost) {
  /** @type {{ readonly packet: Buffer, readonly at: number }[]} */
  let queue = [];
  let head = 0;
  /** @type {NodeJS.Timeout | undefined} */
  let timer;
  const deliver = () => {
    timer = undefined;
    const now = performance.now();
    for (let next = queue[head]; next !== undefined && next.at <= now; next = queue[++head]) writeSync(to, next.packet);
    const next = queue[head];
    if (head > 1000 || next === undefined) {
      queue = queue.slice(head);
      head = 0;
    }
    if (next !== undefined) timer = setTimeout(deliver, next.at - now);
  };
  const watch = watchReadable(from, () => {
    const at = performance.now() + ROUND_TRIP_MS / 2;
    for (let count = 0; count < 200; count++) {
      const buffer = Buffer.allocUnsafe(1600);
      let length = 0;
      try {
        length = readSync(from, buffer);
      } catch {
        break; // EAGAIN: read empty
      }
      const packet = buffer.subarray(0, length);
      if (packet[0] !== undefined && packet[0] >> 4 === 4 && !isLost(packet)) queue.push({ packet, at });
    }
    if (timer === undefined && queue.length > head) timer = setTimeout(deliver, ROUND_TRIP_MS / 2);
  });
  return {
    close() {
      clearTimeout(timer);
      watch.close();
    },
  };
}

/** A TUN device without a packet-information header; returns its descriptor. @param {string} name */
function openTun(name) {
  const TUNSETIFF = 0x400454ca;
  const IFF_TUN = 1;
  const IFF_NO_PI = 0x1000;
  const fd = openSync("/dev/net/tun", constants.O_RDWR | constants.O_NONBLOCK);
  const request = new Uint8Array(40); // struct ifreq
  request.set(Buffer.from(name));
  new Uint16Array(request.buffer)[8] = IFF_TUN | IFF_NO_PI;
  ioctl(fd, TUNSETIFF, request);
  return fd;
}

/**
 * A process at one end of the path; `pid` names the namespace, 0 this one.
 * @param {number} pid
 * @param {string[]} args
 */
function startEnd(pid, args) {
  const command = [process.execPath, fileURLToPath(new URL("recovery-end.mjs", import.meta.url)), ...args];
  if (pid !== 0) command.unshift("nsenter", "--net", "--target", String(pid), "--");
  const [program = "", ...rest] = command;
  return spawn(program, rest, { stdio: ["pipe", "pipe", "inherit"] });
}

/** @param {string} program @param {string[]} args */
function run(program, ...args) {
  execFileSync(program, args, { stdio: ["ignore", "ignore", "inherit"] });
}
