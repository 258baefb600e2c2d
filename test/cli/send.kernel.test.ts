/** `rawtcp send` against live kernels, with hping3, nmap and traceroute as witnesses; all in namespaces of the test's own. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { enterPrivateNamespace, run } from "../kernel/support.js";
import { type Build, buildCli, endProcesses, outputOf, runToEnd, start } from "./support.js";

let build: Build;
const servers: Server[] = [];
const OPEN_PORTS = [22, 80, 443, 1000];

beforeAll(async () => {
  enterPrivateNamespace();
  build = buildCli();
  for (const port of OPEN_PORTS) {
    const server = createServer((socket) => socket.destroy()).listen(port, "127.0.0.1");
    await once(server, "listening");
    servers.push(server);
  }
}, 60_000);
afterEach(endProcesses);
afterAll(() => {
  for (const server of servers) server.close();
  build.remove();
});

const send = (...words: string[]) => runToEnd(process.execPath, [build.main, "send", ...words]);
const json = (text: string): Record<string, unknown>[] =>
  text
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));

describe("a SYN", () => {
  it("to an open port is answered by SYN-ACK, as hping3 sees it, and the peer's half-open connection is let go", async () => {
    const ours = await send("127.0.0.1", "-S", "-p", "80", "--format", "hping");
    const theirs = await outputOf("hping3", "-S", "-p", "80", "-c", "1", "127.0.0.1");
    expect(ours.code).toBe(0);
    expect(/flags=(\S+)/.exec(ours.stdout)?.[1]).toBe("SA");
    expect(/flags=(\S+)/.exec(theirs)?.[1]).toBe("SA");
    expect(ours.stdout).toContain("1 packet sent, 1 answered, 0% loss");
    expect(run("ss", "-Htan", "state", "syn-recv")).toBe("");
  });

  it("to a closed port is answered by RST, as hping3 sees it", async () => {
    const ours = await send("127.0.0.1", "-S", "-p", "81", "--format", "hping");
    const theirs = await outputOf("hping3", "-S", "-p", "81", "-c", "1", "127.0.0.1");
    expect([ours.code, /flags=(\S+)/.exec(ours.stdout)?.[1], /flags=(\S+)/.exec(theirs)?.[1]]).toEqual([0, "RA", "RA"]);
  });

  it("with a wrong checksum is answered by nobody: exit 1, and the kernel counts it", async () => {
    const before = counter("TcpInCsumErrors");
    const { code, stdout } = await send("127.0.0.1", "-p", "80", "-b", "--timeout", "0.2");
    expect([code, counter("TcpInCsumErrors") - before]).toEqual([1, 1]);
    expect(stdout).toContain("1 packet sent, 0 answered, 100% loss");
  });

  it("over IPv6", async () => {
    const [exchange] = json((await send("::1", "-p", "81", "--format", "json")).stdout);
    expect(exchange).toMatchObject({ match: "exact", answer: { from: "::1", tcp: { flags: "RA" } } });
  });
});

it("an ACK out of the blue: the RST takes its sequence number from our acknowledgment", async () => {
  const [exchange] = json((await send("127.0.0.1", "-A", "-p", "80", "--ack-num", "12345", "--format", "json")).stdout);
  expect(exchange).toMatchObject({ answer: { tcp: { flags: "R", seq: 12_345 } } });
});

it("a packet cut into fragments arrives whole", async () => {
  const [exchange] = json((await send("127.0.0.1", "-p", "80", "-d", "500", "--mtu", "100", "--format", "json")).stdout);
  expect(exchange).toMatchObject({ match: "exact", answer: { tcp: { flags: "SA" } } });
});

it("-Q shows the sequence numbers and how they differ, one SYN-ACK a packet", async () => {
  const { stdout } = await send("127.0.0.1", "-p", "80", "-c", "4", "-i", "u1000", "-Q");
  expect(stdout.split("\n").slice(0, 4)).toEqual([
    expect.stringMatching(/^\d+$/),
    ...[1, 2, 3].map(() => expect.stringMatching(/^\d+ \+\d+$/)),
  ]);
});

it("--scan finds what nmap finds", async () => {
  const { code, stdout } = await send("127.0.0.1", "--scan", "1-1024", "--format", "json");
  const lines = json(stdout);
  const open = lines.filter((line) => line["state"] === "open").map((line) => Number(line["port"]));
  const nmap = await outputOf("nmap", "-sS", "-n", "-Pn", "-p", "1-1024", "-oG", "-", "127.0.0.1");
  const theirs = [...nmap.matchAll(/(\d+)\/open\/tcp/g)].map((match) => Number(match[1]));
  expect(code).toBe(0);
  expect(open.sort((a, b) => a - b)).toEqual(OPEN_PORTS);
  expect(theirs.sort((a, b) => a - b)).toEqual(OPEN_PORTS);
  expect(lines.at(-1)).toEqual({ type: "scan", host: "127.0.0.1", open: 4, closed: 1020, filtered: 0 });
});

it("--scan of ports whose packets are dropped calls them filtered", async () => {
  run("nft", "add", "table", "ip", "own");
  run("nft", "add", "chain", "ip", "own", "in", "{ type filter hook input priority 0; }");
  run("nft", "add", "rule", "ip", "own", "in", "tcp", "dport", "80", "drop");
  try {
    const { stdout } = await send("127.0.0.1", "--scan", "80,81", "-v", "--timeout", "0.2");
    expect(stdout).toContain("80/tcp filtered (no answer)");
    expect(stdout).toContain("81/tcp closed (RST");
  } finally {
    run("nft", "delete", "table", "ip", "own");
  }
});

it("--pcap holds what was sent and what came back, for tshark", async () => {
  const file = join(build.folder, "send.pcapng");
  await send("127.0.0.1", "-p", "80,81", "--pcap", file);
  const flags = await outputOf("tshark", "-r", file, "-T", "fields", "-e", "tcp.flags.str");
  expect(
    flags
      .trim()
      .split("\n")
      .map((text) => text.replace(/[^A-Z]/g, ""))
      .sort(),
  ).toEqual(["AR", "AS", "R", "S", "S"].sort());
});

it("--print needs no rights and sends nothing", async () => {
  const before = counter("TcpInSegs");
  const { code, stdout } = await send("127.0.0.1", "-p", "80", "--print");
  expect([code, counter("TcpInSegs") - before]).toEqual([0, 0]);
  expect(stdout).toContain("destinationPort  80  (set)");
});

describe("three namespaces in a row", () => {
  const keepers: ChildProcess[] = [];
  let pids: string[] = [];

  // here 10.1.0.1 - 10.1.0.2 first 10.2.0.1 - 10.2.0.2 second 10.3.0.1 - 10.3.0.2 third
  beforeAll(async () => {
    for (let i = 0; i < 3; i++) {
      const keeper = spawn("unshare", ["--net", "sh", "-c", "ip link set lo up; echo ready; exec cat"], {
        stdio: ["pipe", "pipe", "inherit"],
      });
      keepers.push(keeper);
      await once(keeper.stdout, "data");
    }
    pids = keepers.map((keeper) => String(keeper.pid));
    for (let i = 0; i < 3; i++) {
      const near = i === 0 ? [] : ["nsenter", "--net", "--target", pids[i - 1] ?? "", "--"];
      const inside = ["nsenter", "--net", "--target", pids[i] ?? "", "--"];
      const network = `10.${i + 1}.0`;
      command([...near, "ip", "link", "add", `down${i}`, "type", "veth", "peer", "name", `up${i}`, "netns", pids[i] ?? ""]);
      command([...near, "ip", "addr", "add", `${network}.1/24`, "dev", `down${i}`]);
      command([...near, "ip", "link", "set", `down${i}`, "up"]);
      command([...inside, "ip", "addr", "add", `${network}.2/24`, "dev", `up${i}`]);
      command([...inside, "ip", "link", "set", `up${i}`, "up"]);
      command([...inside, "ip", "route", "add", "default", "via", `${network}.1`]);
      command([...inside, "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv4.icmp_ratelimit=0"]);
    }
    command(["ip", "route", "add", "10.2.0.0/15", "via", "10.1.0.2"]);
    command(["nsenter", "--net", "--target", pids[0] ?? "", "--", "ip", "route", "add", "10.3.0.0/24", "via", "10.2.0.2"]);
  });
  afterAll(async () => {
    for (const keeper of keepers) {
      const gone = once(keeper, "exit");
      keeper.stdin?.end();
      await gone;
    }
  });

  it("--traceroute names every router and the target, as traceroute does", async () => {
    const { code, stdout } = await send("10.3.0.2", "-p", "81", "--traceroute", "--allow-remote", "--format", "json");
    const hops = json(stdout).map((hop) => (hop["answers"] as { from: string }[]).map(({ from }) => from));
    const theirs = await outputOf("traceroute", "-n", "-T", "-p", "81", "10.3.0.2");
    const named = theirs
      .trim()
      .split("\n")
      .slice(1)
      .map((line) => /\d+\.\d+\.\d+\.\d+/.exec(line)?.[0]);
    expect(code).toBe(0);
    expect(hops.map((hop) => [...new Set(hop)])).toEqual([["10.1.0.2"], ["10.2.0.2"], ["10.3.0.2"]]);
    expect(named).toEqual(["10.1.0.2", "10.2.0.2", "10.3.0.2"]);
  });

  it("a target behind a router needs --allow-remote, one at the other end of a pair does not", async () => {
    expect(await send("10.3.0.2", "-p", "81")).toMatchObject({
      code: 2,
      stderr: "rawtcp: 10.3.0.2 is not an address of this host: add --allow-remote if you may send there\n",
    });
    expect((await send("10.1.0.2", "-p", "81")).code).toBe(0);
  });

  it("foreign sources and high rates do not go beyond a router", async () => {
    const spoofed = await send("10.3.0.2", "--source-ip", "192.0.2.1", "--allow-remote");
    expect([spoofed.code, spoofed.stderr]).toEqual([
      2,
      expect.stringContaining("source 192.0.2.1 is not an address of this host"),
    ]);
    const fast = await send("10.3.0.2", "--rate", "20000", "--allow-remote");
    expect([fast.code, fast.stderr]).toEqual([2, expect.stringContaining("more than 10,000 packets a second")]);
  });

  it("a wrong IP checksum goes out as a frame, and the peer's kernel counts it", async () => {
    const errors = (): number =>
      Number(
        /IpInHdrErrors\s+(\d+)/.exec(
          command(["nsenter", "--net", "--target", pids[0] ?? "", "--", "nstat", "-az", "IpInHdrErrors"]),
        )?.[1],
      );
    const csum = (): number =>
      Number(
        /IpExtInCsumErrors\s+(\d+)/.exec(
          command(["nsenter", "--net", "--target", pids[0] ?? "", "--", "nstat", "-az", "IpExtInCsumErrors"]),
        )?.[1],
      );
    const before = errors() + csum();
    const { code, stderr } = await send("10.1.0.2", "-p", "81", "--badsum-ip", "--timeout", "0.2");
    expect([code, errors() + csum() > before]).toEqual([1, true]);
    expect(stderr).toContain("goes out as a frame on the link layer");
  });
});

describe("an end in the middle", () => {
  it("Ctrl-C tells the statistics and leaves no port held", async () => {
    const process_ = start(process.execPath, [build.main, "send", "127.0.0.1", "-p", "80", "-c", "0", "-i", "0.05"]);
    await process_.sees("rtt ", "stdout");
    process_.child.kill("SIGINT");
    const { code, stdout } = await process_.ended;
    expect(code).toBe(0);
    expect(stdout).toMatch(/--- 127\.0\.0\.1: \d+ packets? sent, \d+ answered/);
    expect(listening()).toEqual(OPEN_PORTS);
  });

  it("kill -9 leaves no port held", async () => {
    const process_ = start(process.execPath, [build.main, "send", "127.0.0.1", "-p", "80", "-c", "0", "-i", "0.05"]);
    await process_.sees("rtt ", "stdout");
    process_.child.kill("SIGKILL");
    await process_.ended;
    expect(listening()).toEqual(OPEN_PORTS);
  });
});

function command(words: readonly string[]): string {
  const [program = "", ...rest] = words;
  return execFileSync(program, rest, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
}

function counter(name: string): number {
  return Number(new RegExp(`${name}\\s+(\\d+)`).exec(run("nstat", "-az", name))?.[1]);
}

/** Ports with a kernel socket in LISTEN. */
function listening(): number[] {
  const table = existsSync("/proc/thread-self/net/tcp") ? readFileSync("/proc/thread-self/net/tcp", "utf8") : "";
  const rows = table.split("\n").filter((line) => / 0A /.test(line));
  return rows.map((line) => Number.parseInt(/:([0-9A-F]{4}) /.exec(line)?.[1] ?? "0", 16)).sort((a, b) => a - b);
}
