import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { checkEvent } from "../../src/observe/schema.js";
import { enterPrivateNamespace, run } from "../kernel/support.js";
import {
  type Build,
  buildCli,
  endProcesses,
  faultsOf,
  freePort,
  type KernelServer,
  kernelServer,
  outputOf,
  type Running,
  readWithTshark,
  start,
  TSHARK,
} from "./support.js";

let build: Build;
let server: KernelServer | undefined;
beforeAll(() => {
  enterPrivateNamespace();
  build = buildCli();
});
afterEach(() => {
  server?.close();
  server = undefined;
  endProcesses();
});
afterAll(() => build.remove());

function connect(port: string, ...options: string[]): Running {
  return start(process.execPath, [build.main, "connect", "127.0.0.1", port, "--msl", "0", ...options]);
}

const sha256 = (data: Uint8Array | string): string =>
  createHash("sha256")
    .update(typeof data === "string" ? Buffer.from(data, "latin1") : data)
    .digest("hex");

describe("data", () => {
  it("what is typed comes back from an echo server, and the end of input ends it", async () => {
    server = await kernelServer((socket) => socket.pipe(socket));
    const client = connect(server.port);
    client.input("hi\n");
    const { code, stdout, stderr } = await client.ended;
    expect(stdout).toBe("hi\n");
    expect(code).toBe(0);
    expect(stderr).toContain("Closed by us first, both FINs acknowledged.");
    expect(stderr).not.toContain("rawtcp:");
  });

  it("1 MiB goes up and comes back whole", async () => {
    server = await kernelServer((socket) => socket.pipe(socket));
    const data = randomBytes(1 << 20);
    const client = connect(server.port, "-q");
    client.input(data);
    const { code, stdout, stderr } = await client.ended;
    expect([code, stderr]).toEqual([0, ""]);
    expect(sha256(stdout)).toBe(sha256(data));
  });

  it("a peer that does not read stops the input, and loses nothing when it does", async () => {
    server = await kernelServer();
    const data = randomBytes(24 << 20);
    const client = connect(server.port, "-q");
    client.input(data);
    const socket = await server.accepted;
    // Our send buffer and the kernel's hold a part; the rest waits in the pipe, however long the peer takes.
    await once(client.child.stdin as NodeJS.WritableStream, "drain", { signal: AbortSignal.timeout(300) }).catch(() => undefined);
    expect(client.child.stdin?.writableLength).toBeGreaterThan(0);
    const hash = createHash("sha256");
    socket.on("data", (chunk) => hash.update(chunk)).on("end", () => socket.end());
    expect((await client.ended).code).toBe(0);
    expect(hash.digest("hex")).toBe(sha256(data));
  });

  it("a reader of standard output that does not read closes the window, and loses nothing when it does", async () => {
    const data = randomBytes(24 << 20);
    server = await kernelServer((socket) => socket.end(data));
    const client = connect(server.port, "-q");
    client.child.stdout?.pause();
    client.input("", "more");
    const socket = await server.accepted;
    await once(socket, "finish", { signal: AbortSignal.timeout(300) }).catch(() => undefined);
    expect(socket.writableFinished).toBe(false);
    client.child.stdout?.resume();
    client.input("");
    const { code, stdout } = await client.ended;
    expect(code).toBe(0);
    expect(sha256(stdout)).toBe(sha256(data));
  });

  it("the peer's FIN in the middle of the input does not cut the input off", async () => {
    server = await kernelServer((socket) => socket.end("bye\n"));
    const client = connect(server.port, "-q");
    const socket = await server.accepted;
    const hash = createHash("sha256");
    socket.on("data", (chunk) => hash.update(chunk));
    await client.sees("bye", "stdout");
    const data = randomBytes(4 << 20);
    client.input(data);
    expect((await client.ended).code).toBe(0);
    expect(hash.digest("hex")).toBe(sha256(data));
  });

  it("an input that only stays open does not hold the connection after the peer's FIN", async () => {
    server = await kernelServer((socket) => socket.end("bye\n"));
    const client = connect(server.port, "-q");
    expect(await client.ended).toEqual({ code: 0, stdout: "bye\n", stderr: "" });
  });
});

describe("ends of a connection", () => {
  it("--half-close: FIN at the end of input, and the answer to it is received", async () => {
    server = await kernelServer((socket) => {
      let got = "";
      socket.on("data", (chunk) => {
        got += chunk;
      });
      socket.on("end", () => socket.end(`got ${got}`));
    });
    const client = connect(server.port, "-q", "--half-close");
    client.input("question");
    expect(await client.ended).toEqual({ code: 0, stdout: "got question", stderr: "" });
  });

  it("a peer that never closes is given up after 10 s of silence, without a RST", async () => {
    server = await kernelServer();
    const client = connect(server.port);
    const socket = await server.accepted;
    let got = "";
    socket.on("data", (chunk) => {
      got += chunk;
    });
    client.input("all of it");
    const { code, stderr } = await client.ended;
    expect([code, got]).toEqual([0, "all of it"]);
    expect(stderr).toContain("Half closed: FIN from us.");
  });

  it("--abort: what was typed arrives, then RST", async () => {
    server = await kernelServer();
    const client = connect(server.port, "-q", "--abort");
    const socket = await server.accepted;
    let got = "";
    socket.on("data", (chunk) => {
      got += chunk;
    });
    const failure = once(socket, "error");
    client.input("last words");
    expect((await failure)[0]).toMatchObject({ code: "ECONNRESET" });
    expect(got).toBe("last words");
    expect(await client.ended).toEqual({ code: 0, stdout: "", stderr: "" });
  });

  it("a reader of standard output that has gone ends it, and the peer learns of it", async () => {
    server = await kernelServer();
    const client = connect(server.port, "-q");
    const socket = await server.accepted;
    const gone = new Promise((resolve) => socket.on("close", resolve));
    client.child.stdout?.destroy();
    socket.write("nobody reads this");
    expect(await client.ended).toMatchObject({ code: 0, stderr: "" });
    await gone;
  });

  it.each([
    ["SIGINT", 130],
    ["SIGTERM", 143],
    ["SIGHUP", 129],
  ] as const)("%s resets the connection, prints the summary, and gives exit code %i", async (signal, exitCode) => {
    server = await kernelServer();
    const client = connect(server.port);
    const socket = await server.accepted;
    const failure = once(socket, "error");
    await client.sees("third segment");
    client.child.kill(signal);
    const { code, stderr } = await client.ended;
    expect(code).toBe(exitCode);
    expect(stderr).toContain("Ended by a RST from us.");
    expect(stderr).not.toContain("rawtcp:");
    expect((await failure)[0]).toMatchObject({ code: "ECONNRESET" });
  });

  it("SIGINT does not wait for a reader of standard output that does not read", async () => {
    server = await kernelServer((socket) => socket.write(randomBytes(24 << 20)));
    const client = connect(server.port, "-q");
    client.child.stdout?.pause();
    const socket = await server.accepted;
    await once(socket, "drain", { signal: AbortSignal.timeout(300) }).catch(() => undefined);
    client.child.kill("SIGINT");
    expect(await once(client.child, "exit")).toEqual([130, null]);
    client.child.stdout?.resume();
  });

  it("input that cannot be read: one line, exit code 1, and the peer gets its FIN", async () => {
    server = await kernelServer((socket) => socket.resume().on("end", () => socket.end()));
    const command = `"$0" "$1" connect 127.0.0.1 ${server.port} -q --msl 0 0>"$2"`;
    const file = join(build.folder, "write-only");
    const client = start("sh", ["-c", command, process.execPath, build.main, file]);
    const { code, stderr } = await client.ended;
    expect([code, stderr]).toEqual([1, "rawtcp: standard input: EBADF: bad file descriptor, read\n"]);
  });

  it("nothing of ours is left in the kernel", async () => {
    server = await kernelServer((socket) => socket.pipe(socket));
    const client = connect(server.port, "-q");
    client.input("hi");
    await client.ended;
    server.close();
    expect(run("ss", "-Htan", "state", "listening", "src", "127.0.0.1")).toBe("");
    expect(run("ss", "-Hwan")).toBe("");
  });
});

describe("IPv6", () => {
  it.each([[], ["--link", "pcap"]])("connect ::1 %j: data both ways, and the kernel's states of it", async (...link) => {
    const kernel = createServer((socket) => socket.pipe(socket)).listen(0, "::1");
    await once(kernel, "listening");
    const { port } = kernel.address() as AddressInfo;
    const client = start(process.execPath, [build.main, "connect", "::1", String(port), "--msl", "0", ...link]);
    client.input("six\n");
    const { code, stdout, stderr } = await client.ended;
    expect([code, stdout.endsWith("six\n")]).toEqual([0, true]);
    expect(stdout + stderr).toMatch(/\[::1\]:\d+ +\[::1\]:\d+/);
    expect(stdout + stderr).toContain("ESTABLISHED");
    kernel.close();
  });

  it("switched off: one line with what mends it, exit code 7", async () => {
    run("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1");
    try {
      const { code, stderr } = await start(process.execPath, [build.main, "connect", "::1", "80"]).ended;
      expect(code).toBe(7);
      const mend = "sudo sysctl -w net.ipv6.conf.all.disable_ipv6=0";
      expect(stderr).toBe(`rawtcp: ::1: this host has no IPv6: it is switched off: ${mend}\n`);
    } finally {
      run("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=0");
    }
  });
});

describe("failures: one line, and an exit code of their own", () => {
  const oneLine = async (client: Running): Promise<[unknown, string]> => {
    client.input("");
    const { code, stdout, stderr } = await client.ended;
    expect(stdout).toBe("");
    expect(stderr.match(/\n/g)).toHaveLength(1);
    return [code, stderr];
  };

  it("a closed port is refused: 3", async () => {
    const port = await freePort();
    const [code, line] = await oneLine(connect(port, "-q"));
    expect(code).toBe(3);
    expect(line).toMatch(new RegExp(`^rawtcp: connect ECONNREFUSED 127.0.0.1:${port} .*ss -ltn`));
  });

  it("a SYN that nobody answers times out: 4", async () => {
    server = await kernelServer();
    run("iptables", "-A", "INPUT", "-p", "tcp", "--dport", server.port, "-j", "DROP");
    try {
      const [code, line] = await oneLine(connect(server.port, "-q", "--timeout", "0.3"));
      expect(code).toBe(4);
      expect(line).toContain(`ETIMEDOUT 127.0.0.1:${server.port}`);
    } finally {
      run("iptables", "-F", "INPUT");
    }
  });

  it("a RST of the peer: 5", async () => {
    server = await kernelServer((socket) => socket.resetAndDestroy());
    const client = connect(server.port, "-q");
    const { code, stderr } = await client.ended;
    expect(code).toBe(5);
    expect(stderr).toMatch(/^rawtcp: read ECONNRESET 127\.0\.0\.1:\d+ .*RST\)\n$/);
  });

  it("no route: 6", async () => {
    const client = start(process.execPath, [build.main, "connect", "192.0.2.1", "80", "--allow-remote"]);
    const [code, line] = await oneLine(client);
    expect(code).toBe(6);
    expect(line).toContain("no route to 192.0.2.1");
  });

  it("a source port that another program has: 8", async () => {
    server = await kernelServer();
    const holder = await kernelServer();
    const [code, line] = await oneLine(connect(server.port, "-q", "--source-port", holder.port));
    holder.close();
    expect(code).toBe(8);
    expect(line).toContain(`port ${holder.port}`);
    expect(line).toContain("ss -ltnp");
  });

  it.each([
    [["connect", "192.0.2.1", "80"], "192.0.2.1 is not an address of this host: add --allow-remote"],
    [["connect", "no-such-host.invalid", "80"], 'unknown host "no-such-host.invalid"'],
    [["connect", "0.0.0.0", "80"], "0.0.0.0 is not the address of one host"],
    [["connect", "2001:db8::1", "80"], "2001:db8::1 is not an address of this host: add --allow-remote"],
    [["connect", "::1", "80", "--source", "127.0.0.1"], "source 127.0.0.1 and target ::1 are of different"],
    [["connect", "127.0.0.1", "80", "--source", "192.0.2.1"], "192.0.2.1 port 0: EADDRNOTAVAIL"],
    [["connect", "127.0.0.1", "80", "--source", "::1"], "source ::1 and target 127.0.0.1 are of different"],
    [["connect", "127.0.0.1", "80", "--pcap", "/no/such/folder/x"], "cannot write the capture file /no/such/folder/x: ENOENT"],
    [["demo", "--pcap", "/"], "cannot write the capture file /: EISDIR"],
    [["listen", "8080", "--bind", "192.0.2.1"], "--bind 192.0.2.1 is not an address of this host"],
  ])("what does not exist, %j: 2", async (words, message) => {
    const [code, line] = await oneLine(start(process.execPath, [build.main, ...words]));
    expect(code).toBe(2);
    expect(line).toContain(message);
  });

  it.each([
    [["connect", "127.0.0.1", "80"]],
    [["connect", "127.0.0.1", "80", "--guard", "none", "--link", "pcap"]],
    [["listen", "8080"]],
    [["demo", "--pcap", "/dev/null"]],
  ])("no rights, %j: 7", async (words) => {
    const setpriv = ["--bounding-set=-all", "--inh-caps=-all", process.execPath, build.main, ...words];
    const [code, line] = await oneLine(start("setpriv", setpriv));
    expect(code).toBe(7);
    expect(line).toMatch(/^rawtcp: .*missing CAP_NET_RAW and CAP_NET_ADMIN: run with sudo/);
    // Once, not twice.
    expect(line.match(/setcap/g)).toHaveLength(1);
  });
});

describe("the log", () => {
  it("--json: every line of standard error is an event that the schema knows", async () => {
    server = await kernelServer((socket) => socket.pipe(socket));
    const client = connect(server.port, "--json", "-vv");
    client.input("hi");
    const { stderr } = await client.ended;
    const events = stderr
      .trimEnd()
      .split("\n")
      .map((line): unknown => JSON.parse(line));
    expect(events.flatMap((event) => checkEvent(event) ?? [])).toEqual([]);
    const types = new Set(events.map((event) => (event as { type: string }).type));
    expect([...types].sort()).toEqual(["guard", "peer", "segment", "state", "timer"]);
  });

  it("--log text: a line an event", async () => {
    server = await kernelServer((socket) => socket.end());
    const client = connect(server.port, "--log", "text");
    client.input("");
    const { stderr } = await client.ended;
    expect(stderr).toMatch(/SYN-SENT/);
    expect(stderr).not.toContain("│");
  });

  it("--pcap - carries the capture alone, live, whole, without a fault that tshark would see", async () => {
    server = await kernelServer((socket) => socket.pipe(socket));
    const client = connect(server.port, "-q", "--pcap", "-");
    client.input("must not fall into the capture");
    const { code, stdout } = await client.ended;
    expect(code).toBe(0);
    const tshark = await readWithTshark(stdout);
    expect(tshark.split("\n")[0]).toMatch(/S\S*\|open: tells our initial sequence number\|1\|$/);
    expect(faultsOf(tshark, 7)).toEqual([]);
  });

  it("--pcap FILE is what tshark can read", async () => {
    server = await kernelServer((socket) => socket.pipe(socket));
    const file = join(build.folder, "connect.pcapng");
    const client = connect(server.port, "-q", "--pcap", file);
    client.input("hi");
    await client.ended;
    expect(readFileSync(file).length).toBeGreaterThan(500);
    expect(faultsOf(await outputOf("tshark", "-r", file, ...TSHARK), 7)).toEqual([]);
  });

  it("a disk that fills up ends the capture, not the connection", async () => {
    server = await kernelServer((socket) => socket.pipe(socket));
    const client = connect(server.port, "-q", "--pcap", "/dev/full");
    client.input("hi");
    const { code, stdout, stderr } = await client.ended;
    expect([code, stdout]).toEqual([0, "hi"]);
    expect(stderr).toMatch(/^rawtcp: the capture \/dev\/full ends here: ENOSPC.*\n$/);
  });
});
