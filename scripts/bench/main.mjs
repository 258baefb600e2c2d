/**
 * `scripts/bench.sh`: our TCP beside Node's net over the kernel's, on loopback, A B A B in one run, as ratios. Both clients
 * speak to the same kernel server in another process; each side is pinned to a CPU of its own where there are two.
 */
import { execFileSync, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { cpus } from "node:os";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { benchRecovery } from "./recovery.mjs";

const quick = process.argv.includes("--quick");
const host = process.argv.includes("--ipv6") ? "::1" : "127.0.0.1";
if (process.argv.includes("--help")) {
  process.stdout.write(
    "scripts/bench.sh [--quick] [--rounds N] [--ipv6]   bulk send, bulk receive and connections beside Node's net\n" +
      "scripts/bench.sh recovery [--quick]       goodput on a lossy path beside the kernel's; needs root\n",
  );
  process.exit(0);
}
if (process.argv[2] === "recovery") {
  await benchRecovery({ quick });
  process.exit(0);
}
const roundsAt = process.argv.indexOf("--rounds");
const rounds = roundsAt > 0 ? Number(process.argv[roundsAt + 1]) : quick ? 2 : 5;
if (!Number.isInteger(rounds) || rounds < 1 || rounds > 100) {
  process.stderr.write(`bench: --rounds ${process.argv[roundsAt + 1]} is not a whole number from 1 to 100\n`);
  process.exit(2);
}
// Short runs measure the compiler: of the first second of ours half goes to what V8 has not compiled yet.
const bytes = (quick ? 1024 : 4096) * 1024 * 1024;
const connections = quick ? 5000 : 20_000;
const here = (file) => fileURLToPath(new URL(file, import.meta.url));
const pinned = cpus().length > 1 && hasTaskset();

const plans = [
  { title: "bulk send", task: "send", peer: "sink", amount: bytes, unit: "MB/s", rate: (ms) => bytes / 1e6 / (ms / 1000) },
  {
    title: "bulk receive",
    task: "receive",
    peer: "source",
    amount: bytes,
    unit: "MB/s",
    rate: (ms) => bytes / 1e6 / (ms / 1000),
  },
  {
    title: "connections",
    task: "connect",
    peer: "reply",
    amount: connections,
    unit: "conn/s",
    rate: (ms) => connections / (ms / 1000),
  },
];

process.stdout.write(
  `Node ${process.version}, ${cpus().length} CPUs${pinned ? ", each side pinned to one" : ""}, kernel's congestion control ${congestion()}, ` +
    `${rounds} rounds of ours and node in turn, at ${host}\n`,
);
process.stdout.write(
  `${"".padEnd(14)}${"ours".padStart(12)}${"node:net".padStart(12)}${"ratio".padStart(8)}   user+system CPU of ours, of node; ours, all rounds\n`,
);
for (const plan of plans) {
  const peer = await startPeer(plan.peer);
  const runs = { ours: [], node: [] };
  try {
    for (let round = 0; round < rounds; round++) {
      for (const stack of ["ours", "node"]) runs[stack].push(await measure(stack, plan, peer.port));
    }
  } finally {
    peer.stop();
  }
  const ours = median(runs.ours.map((run) => plan.rate(run.ms)));
  const node = median(runs.node.map((run) => plan.rate(run.ms)));
  const spread = runs.ours.map((run) => Math.round(plan.rate(run.ms))).join(" ");
  const cpu = [runs.ours, runs.node].map(cpuText).join(", ");
  process.stdout.write(
    `${plan.title.padEnd(14)}${format(ours)}${format(node)}${(ours / node).toFixed(2).padStart(8)}   ${plan.unit}; ${cpu}; rounds: ${spread}\n`,
  );
}

function startPeer(role) {
  const child = start(0, ["peer.mjs", role, host], ["pipe", "pipe", "inherit"]);
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", () => reject(new Error(`the ${role} peer ended`)));
    createInterface({ input: child.stdout }).once("line", (line) =>
      resolve({ port: Number(line), stop: () => child.stdin.end() }),
    );
  });
}

function measure(stack, plan, port) {
  const child = start(
    1,
    ["client.mjs", stack, plan.task, String(port), String(plan.amount), host],
    ["ignore", "pipe", "inherit"],
  );
  let output = "";
  child.stdout.on("data", (data) => {
    output += data;
  });
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => {
      if (code === 0) resolve(JSON.parse(output));
      else reject(new Error(`${stack} ${plan.task} ended with ${code}`));
    });
  });
}

/** A Node process of ours on the given CPU. */
function start(cpu, [file, ...args], stdio) {
  const command = [process.execPath, here(file), ...args];
  if (pinned) command.unshift("taskset", "-c", String(cpu));
  const [program, ...rest] = command;
  return spawn(program, rest, { stdio });
}

function hasTaskset() {
  try {
    execFileSync("taskset", ["-c", "0,1", "true"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

function congestion() {
  try {
    return readFileSync("/proc/sys/net/ipv4/tcp_congestion_control", "utf8").trim();
  } catch {
    return "unknown";
  }
}

/** The median run's by total: the steadiest figure on a machine that others use, too. */
function cpuText(runs) {
  const total = (run) => run.userMs + run.systemMs;
  const middle = [...runs].sort((a, b) => total(a) - total(b))[runs.length >> 1];
  return `${Math.round(middle.userMs)}+${Math.round(middle.systemMs)} ms`;
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[sorted.length >> 1];
}

function format(value) {
  return Math.round(value).toLocaleString("en").padStart(12);
}
