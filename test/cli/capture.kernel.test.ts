/**
 * `rawtcp capture` beside tcpdump and tshark: the same packets, times, endpoints, lengths and flags, live and from files, of every
 * link type and format. All in network namespaces of the test's own.
 */
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { craft } from "../../src/craft/build.js";
import { openCapture } from "../../src/device/capture.js";
import { readCapture } from "../../src/pcapng/reader.js";
import { parseAddress } from "../../src/wire/address.js";
import { locateIp } from "../../src/wire/link-layer.js";
import { formatFlags } from "../../src/wire/tcp-flags.js";
import { enterPrivateNamespace, type FarNamespace, openFarNamespace, run } from "../kernel/support.js";
import { type Build, buildCli, type Ended, endProcesses, runToEnd, start } from "./support.js";

let build: Build;
let far: FarNamespace;
const file = (name: string): string => join(build.folder, name);
const capture = (...words: string[]): Promise<Ended> => runToEnd(process.execPath, [build.main, "capture", ...words]);

beforeAll(async () => {
  enterPrivateNamespace();
  build = buildCli();
  far = await openFarNamespace();
  await captureBoth("lo", "lo");
}, 60_000);
afterEach(endProcesses);
afterAll(async () => {
  await far.close();
  build.remove();
});

/** What both tshark and we say of a packet. */
interface Seen {
  readonly time: string;
  readonly length: number;
  readonly captured: number;
  readonly from: string;
  readonly to: string;
  readonly tcp: string;
}

/** TCP over IPv4 and IPv6, to an open and a closed port, and pings; `peer` answers them. */
async function traffic(peer: string): Promise<void> {
  const server = createServer((socket) => socket.end("good bye").resume()).listen(0, "::");
  await once(server, "listening");
  const address = server.address();
  const port = typeof address === "object" ? (address?.port ?? 0) : 0;
  for (const host of ["127.0.0.1", "::1"]) {
    const client = connect(port, host);
    client.end("hello").resume();
    await once(client, "close");
    const refused = connect(1, host);
    await once(refused, "error");
  }
  server.close();
  await once(server, "close");
  run("ping", "-c", "2", "-i", "0.01", "-s", "3000", peer);
}

/** tcpdump and ours at once, each into its file: "name.pcap" and "name.pcapng". Returns what ours told. */
async function captureBoth(device: string, name: string, ...filter: string[]): Promise<Ended> {
  const tcpdump = start("tcpdump", ["-i", device, "-U", "-w", file(`${name}.pcap`), ...filter]);
  const ours = start(process.execPath, [build.main, "capture", "-i", device, "-w", file(`${name}.pcapng`), ...filter]);
  await tcpdump.sees("listening on");
  await ours.sees("listening on");
  await traffic(device === "lo" ? "127.0.0.1" : "10.77.0.2");
  // tcpdump writes a packet a moment after it has passed.
  await sees(file(`${name}.pcap`));
  tcpdump.child.kill("SIGINT");
  ours.child.kill("SIGINT");
  await tcpdump.ended;
  return ours.ended;
}

/** Waits until tcpdump's file holds the last packet: an echo reply, the second one. */
async function sees(path: string): Promise<void> {
  const isThere = (): boolean => tsharkOf(path, "icmp.type == 0").length >= 2;
  while (!isThere()) await new Promise((resolve) => setImmediate(resolve));
}

function tsharkOf(path: string, filter = ""): Seen[] {
  const fields = ["frame.time_epoch", "frame.len", "frame.cap_len", "ip.src", "ipv6.src", "ip.dst", "ipv6.dst"];
  const tcp = ["tcp.srcport", "tcp.dstport", "tcp.flags", "tcp.seq_raw", "tcp.ack_raw", "tcp.window_size_value", "tcp.len"];
  const options = [
    "-T",
    "fields",
    "-E",
    "separator=|",
    "-E",
    "occurrence=f",
    "-o",
    "ip.defragment:FALSE",
    "-o",
    "tcp.desegment_tcp_streams:FALSE",
  ];
  const args = ["-n", "-r", path, ...options, ...[...fields, ...tcp].flatMap((field) => ["-e", field])];
  // A file that is still being written may end inside a packet.
  const text = execFileSync(
    "sh",
    ["-c", 'tshark "$@" 2>/dev/null || true', "sh", ...args, ...(filter === "" ? [] : ["-Y", filter])],
    { encoding: "utf8" },
  );
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => {
      const [time = "", length, captured, source4, source6, to4, to6, ...tcpFields] = line.split("|");
      const [sourcePort, port, flags = "", seq, ack, window, size] = tcpFields;
      const letters = formatFlags(Number(flags));
      // A cut header has ports but no more.
      const isTcp = size !== undefined && size !== "";
      return {
        time,
        length: Number(length),
        captured: Number(captured),
        from: source4 || source6 || "",
        to: to4 || to6 || "",
        tcp: isTcp ? [sourcePort, port, letters, seq, ack || 0, window, size].join(" ") : "",
      };
    });
}

interface Line {
  readonly time: string;
  readonly length: number;
  readonly captured: number;
  readonly text: string;
  readonly ip?: { source: string; destination: string };
  readonly vlans?: number[];
  readonly tcp?: Record<"sourcePort" | "destinationPort" | "flags" | "seq" | "ack" | "window" | "payloadLength", string>;
}

async function oursOf(path: string, ...words: string[]): Promise<Seen[]> {
  const { stdout, stderr, code } = await capture("-r", path, "--json", ...words);
  expect([code, stderr]).toEqual([0, ""]);
  return linesOf(stdout).map(({ time, length, captured, ip, tcp, text }) => ({
    time,
    length,
    captured,
    // The addresses of a fragment stand in the text alone.
    from: ip?.source ?? /^IP6? (\S+) > /.exec(text)?.[1] ?? "",
    to: ip?.destination ?? / > (\S+): fragment/.exec(text)?.[1] ?? "",
    tcp:
      tcp === undefined
        ? ""
        : [tcp.sourcePort, tcp.destinationPort, tcp.flags, tcp.seq, tcp.ack, tcp.window, tcp.payloadLength].join(" "),
  }));
}

const linesOf = (text: string): Line[] =>
  text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line));

/** Both read the same file alike; returns how many packets it holds. */
async function agree(path: string): Promise<number> {
  const theirs = tsharkOf(path);
  expect(await oursOf(path)).toEqual(theirs);
  return theirs.length;
}

describe("live", () => {
  it.each([
    ["lo", "lo"],
    ["near0", "veth"],
    ["any", "any"],
  ])("on %s the same packets as tcpdump, into files that tshark reads alike; Ctrl-C tells the counts", async (device, name) => {
    // A new interface asks for routers when it likes, perhaps between the starts of the two.
    const { code, stderr } = await captureBoth(device, name, "not", "dst", "net", "ff00::/8");
    const [theirs, ours] = [tsharkOf(file(`${name}.pcap`)), tsharkOf(file(`${name}.pcapng`))];
    const untimed = (list: Seen[]) => list.map(({ time, ...rest }) => rest);
    expect(untimed(ours)).toEqual(untimed(theirs));
    // Both stamps are the kernel's, taken for two sockets.
    ours.forEach(({ time }, n) => void expect(Math.abs(Number(time) - Number(theirs[n]?.time))).toBeLessThan(0.01));
    expect([code, await agree(file(`${name}.pcap`)), await agree(file(`${name}.pcapng`))]).toEqual([
      0,
      theirs.length,
      theirs.length,
    ]);
    expect(stderr).toMatch(
      new RegExp(`${theirs.length} packets captured, \\d+ received by the filter, 0 dropped by the kernel\\n$`),
    );
    const { interfaces, statistics } = readCapture(readFileSync(file(`${name}.pcapng`)));
    expect(interfaces).toMatchObject([{ name: device, linkType: device === "any" ? 276 : 1, snapLen: 262_144 }]);
    expect(statistics).toMatchObject([{ dropped: null }]);
  });

  it("a filter, -c and -s: as many packets as asked for, each cut, with its length on the wire", async () => {
    const ours = start(process.execPath, [
      build.main,
      "capture",
      "-i",
      "lo",
      "-c",
      "3",
      "-s",
      "60",
      "--json",
      "tcp",
      "and",
      "ip6",
    ]);
    await ours.sees("listening on");
    await traffic("127.0.0.1");
    const { code, stdout, stderr } = await ours.ended;
    const lines = linesOf(stdout);
    expect([code, lines.map(({ captured }) => captured)]).toEqual([0, [60, 60, 60]]);
    expect(lines[0]).toMatchObject({ length: 94, ip: { source: "::1" }, text: expect.stringContaining("TCP [cut]") });
    expect(stderr).toContain("3 packets captured");
  });

  it("an interface that goes down ends the capture: exit code 1, after its packets", async () => {
    run("ip", "link", "add", "short0", "type", "veth", "peer", "name", "short1");
    run("ip", "link", "set", "short1", "up");
    run("ip", "link", "set", "short0", "up");
    const ours = start(process.execPath, [build.main, "capture", "-i", "short0"]);
    await ours.sees("listening on");
    run("ip", "link", "del", "short0");
    const { code, stderr } = await ours.ended;
    expect(code).toBe(1);
    expect(stderr).toContain("the interface short0 went down");
  });

  it("-w - gives a pipe a capture from its first byte on", async () => {
    const main = `${process.execPath} ${build.main}`;
    const ours = start("sh", ["-c", `${main} capture -i lo -c 2 -w - icmp | tshark -n -r - -T fields -e icmp.type 2>/dev/null`]);
    await ours.sees("listening on");
    run("ping", "-c", "1", "127.0.0.1");
    expect(await ours.ended).toMatchObject({ code: 0, stdout: "8\n0\n" });
  });

  it.each([
    ["-i", "lo"],
    ["-r", "lo.pcap"],
  ])("a disk that is full ends it with the system's reason: %s %s", async (option, from) => {
    const ended = capture(option, option === "-r" ? file(from) : from, "-w", "/dev/full");
    expect(await ended).toMatchObject({ code: 1, stdout: "", stderr: expect.stringContaining("ENOSPC") });
  });

  it("in a burst nothing is lost, and stamps never go back", async () => {
    const ours = start(process.execPath, [build.main, "capture", "-i", "lo", "-w", file("burst.pcapng"), "icmp"]);
    await ours.sees("listening on");
    run("ping", "-q", "-f", "-c", "5000", "127.0.0.1");
    ours.child.kill("SIGINT");
    // On loopback the filter sees each packet twice, going out and coming in; libpcap shows it once.
    expect((await ours.ended).stderr).toMatch(/10000 packets captured, \d+ received by the filter, 0 dropped by the kernel\n$/);
    const times = readCapture(readFileSync(file("burst.pcapng"))).packets.map(({ timeNs }) => timeNs ?? 0n);
    expect(times.filter((time, n) => n > 0 && time < (times[n - 1] ?? 0n))).toEqual([]);
  });

  it("VLAN tags that the kernel keeps apart stand in the frames", async () => {
    run("ip", "link", "add", "tag0", "type", "veth", "peer", "name", "tag1");
    for (const name of ["tag0", "tag1"]) run("ip", "link", "set", name, "up");
    const ours = start(process.execPath, [build.main, "capture", "-i", "tag1", "-c", "1", "--json", "vlan", "7", "and", "tcp"]);
    await ours.sees("listening on");
    const tagged = craft({
      ethernet: { tags: [{ tpid: 0x8100, priority: 5, dropEligible: false, vlan: 7 }] },
      ip: { family: 4, source: parseAddress("10.78.0.1"), destination: parseAddress("10.78.0.2") },
      tcp: { destinationPort: 9 },
    });
    const link = openCapture({ device: "tag0", filter: "", onFrame: () => undefined });
    expect(link.inject(tagged.bytes, tagged.bytes.length)).toBe("");
    const lines = linesOf((await ours.ended).stdout);
    link.close();
    expect(lines).toMatchObject([
      { vlans: [7], ip: { source: "10.78.0.1" }, tcp: { destinationPort: 9 }, length: tagged.bytes.length },
    ]);
  });

  it("without CAP_NET_RAW: one line with the command that mends it, exit code 7", async () => {
    const sets = "-all";
    const { code, stdout, stderr } = await runToEnd("setpriv", [
      `--bounding-set=${sets}`,
      `--inh-caps=${sets}`,
      process.execPath,
      build.main,
      "capture",
      "-i",
      "lo",
    ]);
    expect([code, stdout]).toEqual([7, ""]);
    expect(stderr).toMatch(/^rawtcp: capture on lo is not permitted \(missing CAP_NET_RAW.*setcap.*\)\n$/);
  });

  it.each([
    [["-i", "nope"], 2, 'no interface nope: see "ip link"'],
    [["-i", "lo", "tcp", "prt", "80"], 2, 'capture filter "tcp prt 80": '],
    [["-i", "lo", "-c", "x"], 2, 'x"'],
    [["-i", "lo", "-w", "/nonexistent/file"], 2, "choose another with -w FILE"],
  ])("%j: one line", async (words, exitCode, text) => {
    const { code, stdout, stderr } = await capture(...words);
    expect([code, stdout, stderr.trimEnd().split("\n").length]).toEqual([exitCode, "", 1]);
    expect(stderr).toContain(text);
  });

  it("where koffi is missing, through cap, and said so", async () => {
    const bare = buildCli(["yargs", "cap"]);
    try {
      const ours = start(process.execPath, [bare.main, "capture", "-i", "lo", "-c", "2", "--json", "icmp"]);
      await ours.sees("without koffi times are those of reading");
      run("ping", "-c", "1", "127.0.0.1");
      const { code, stdout, stderr } = await ours.ended;
      expect([code, linesOf(stdout).map(({ length }) => length)]).toEqual([0, [98, 98]]);
      expect(stderr).toMatch(/2 packets captured\n$/);
      const read = (...words: string[]) =>
        runToEnd(process.execPath, [bare.main, "capture", "-r", file("lo.pcap"), "--json", ...words]);
      expect(linesOf((await read()).stdout)).toHaveLength(tsharkOf(file("lo.pcap")).length);
      expect(await read("tcp")).toMatchObject({
        code: 7,
        stdout: "",
        stderr: expect.stringMatching(/^rawtcp: libpcap is called through koffi.*npm install koffi.*\n$/),
      });
    } finally {
      bare.remove();
    }
  });
});

describe("files", () => {
  /** Each IP packet of the capture on lo behind another link header, made by text2pcap. */
  function withLink(name: string, linkType: number, header: (ip: Uint8Array) => string, version?: number): string {
    const text = readCapture(readFileSync(file("lo.pcap")))
      .packets.map(({ data }) => data.subarray(locateIp(data, 0, data.length, 1)))
      .filter((ip) => version === undefined || (ip[0] ?? 0) >>> 4 === version)
      .map((ip) => `000000 ${(header(ip) + Buffer.from(ip).toString("hex")).replace(/../g, "$& ")}\n`);
    writeFileSync(file(`${name}.txt`), text.join("\n"));
    run("text2pcap", "-q", "-l", String(linkType), file(`${name}.txt`), file(`${name}.pcapng`));
    return file(`${name}.pcapng`);
  }
  const is6 = (ip: Uint8Array): boolean => (ip[0] ?? 0) >>> 4 === 6;
  const type = (ip: Uint8Array): string => (is6(ip) ? "86dd" : "0800");

  it.each<[string, number, (ip: Uint8Array) => string, number?]>([
    ["802.1Q", 1, (ip) => `0200000000010200000000028100e005${type(ip)}`],
    ["QinQ", 1, (ip) => `02000000000102000000000288a8000981000005${type(ip)}`],
    ["raw", 101, () => ""],
    ["IPv4", 228, () => "", 4],
    ["IPv6", 229, () => "", 6],
    ["cooked v1", 113, (ip) => `0004030400060000000000000000${type(ip)}`],
    ["cooked v2", 276, (ip) => `${type(ip)}000000000001030404060000000000000000`],
    ["NULL", 0, (ip) => (is6(ip) ? "1e000000" : "02000000")],
    ["LOOP", 108, (ip) => (is6(ip) ? "00000018" : "00000002")],
  ])("link type %s (%i): as tshark reads it", async (name, linkType, header, version) => {
    expect(await agree(withLink(name, linkType, header, version))).toBeGreaterThan(5);
  });

  it.each(["pcap", "nsecpcap", "modpcap", "pcapng"])("written by editcap as %s", async (format) => {
    run("editcap", "-F", format, file("lo.pcap"), file(`as-${format}`));
    expect(await agree(file(`as-${format}`))).toBe(tsharkOf(file("lo.pcap")).length);
  });

  it.each([20, 34, 50, 60, 66, 74, 80])("cut to %i bytes by editcap: lengths on the wire, no invented headers", async (bytes) => {
    run("editcap", "-s", String(bytes), file("lo.pcap"), file("cut.pcapng"));
    const [theirs, ours, whole] = [tsharkOf(file("cut.pcapng")), await oursOf(file("cut.pcapng")), tsharkOf(file("lo.pcap"))];
    const lengths = (list: Seen[]) => list.map(({ time, length, captured }) => [time, length, captured]);
    expect(lengths(ours)).toEqual(lengths(theirs));
    // Where a header is there, it says what the whole one says.
    ours.forEach(({ tcp }, n) => void expect(["", whole[n]?.tcp]).toContain(tcp));
    if (bytes === 74) expect(ours.filter(({ tcp }) => tcp !== "").length).toBe(whole.filter(({ tcp }) => tcp !== "").length);
  });

  it("of two link types, merged: each packet by its interface, whose name is told", async () => {
    run("mergecap", "-w", file("merged.pcapng"), file("lo.pcapng"), file("any.pcapng"));
    expect(await agree(file("merged.pcapng"))).toBe(tsharkOf(file("lo.pcapng")).length + tsharkOf(file("any.pcapng")).length);
    const { stdout } = await capture("-r", file("merged.pcapng"), "-t");
    expect(stdout).toMatch(/^lo {4}IP 127/m);
    expect(stdout).toMatch(/^if\d+ +(In|Out) +IP/m);
  });

  it("compressed, from standard input, of two sections: as the plain files", async () => {
    const bytes = readFileSync(file("lo.pcapng"));
    writeFileSync(file("lo.pcapng.gz"), gzipSync(bytes));
    const plain = await oursOf(file("lo.pcapng"));
    expect(await oursOf(file("lo.pcapng.gz"))).toEqual(plain);
    const twice = Buffer.concat([bytes, readFileSync(file("any.pcapng"))]);
    const { stdout } = await runToEnd(
      "sh",
      ["-c", `cat | ${process.execPath} ${build.main} capture -r - --json`],
      gzipSync(twice),
    );
    expect(linesOf(stdout)).toHaveLength(plain.length + tsharkOf(file("any.pcapng")).length);
  });

  it.each([
    "tcp",
    "ip6",
    "tcp[tcpflags] & (tcp-syn|tcp-rst) != 0",
    "icmp or (tcp and port 1)",
    "greater 100",
    "not ip",
    "src host 127.0.0.1 and less 70",
  ])("the filter %s takes what tcpdump takes, on Ethernet and cooked v2", async (filter) => {
    for (const name of ["lo.pcap", "any.pcap"]) {
      const theirs = run("tcpdump", "-n", "-r", file(name), "-w", file("filtered.pcap"), filter);
      expect(theirs).toBe("");
      expect(await oursOf(file(name), filter)).toEqual(await oursOf(file("filtered.pcap")));
    }
  });

  it("the lines of TCP are tcpdump's, but for the port's colon and the verdict on checksums", async () => {
    const theirs = run("tcpdump", "-n", "-S", "-tt", "-r", file("lo.pcap"), "tcp").trimEnd().split("\n");
    const { stdout } = await capture("-r", file("lo.pcap"), "-tt", "tcp");
    const ours = stdout
      .trimEnd()
      .split("\n")
      .map((line) =>
        line
          .replace(/, (partial|bad) TCP checksum$/, "")
          .replace(/\[([^\]]+::?\S*?)\]:(\d+)/g, "$1.$2")
          .replace(/(127\.0\.0\.1):(\d+)/g, "$1.$2"),
      );
    expect(ours).toEqual(theirs);
  });

  it("-w rewrites: pcap to pcapng, filtered, with the same packets and times", async () => {
    const { code, stderr } = await capture("-r", file("any.pcap"), "-w", file("rewritten.pcapng"), "-c", "5", "tcp");
    expect([code, stderr]).toEqual([0, ""]);
    const expected = (await oursOf(file("any.pcap"), "tcp")).slice(0, 5);
    expect(await oursOf(file("rewritten.pcapng"))).toEqual(expected);
    expect(await agree(file("rewritten.pcapng"))).toBe(5);
    const same = await capture("-r", file("any.pcap"), "-w", file("any.pcap"));
    expect([same.code, same.stderr]).toEqual([2, expect.stringContaining("is the file that -r reads")]);
  });

  it("directions and comments of a pcapng file are told", async () => {
    const { stdout } = await runToEnd(process.execPath, [
      build.main,
      "send",
      "127.0.0.1",
      "-p",
      "1",
      "--pcap",
      file("sent.pcapng"),
    ]);
    expect(stdout).toContain("1 answered");
    const lines = (await capture("-r", file("sent.pcapng"), "-t")).stdout.trimEnd().split("\n");
    expect(lines.map((line) => line.slice(0, 6))).toEqual(["Out IP", "In  IP"]);
    run("editcap", "-a", "1:first of all", file("lo.pcap"), file("commented.pcapng"));
    expect((await capture("-r", file("commented.pcapng"), "-t", "-c", "1")).stdout).toMatch(/\n\t; first of all\n$/);
  });

  it("cut anywhere: the packets before the cut, one line with the place, exit code 1", async () => {
    for (const name of ["lo.pcap", "lo.pcapng"]) {
      const bytes = readFileSync(file(name));
      const whole = await oursOf(file(name));
      for (const cut of [3, 30, bytes.length >> 1, bytes.length - 1]) {
        writeFileSync(file("damaged"), bytes.subarray(0, cut));
        const { code, stdout, stderr } = await capture("-r", file("damaged"), "--json");
        expect([name, cut, code]).toEqual([name, cut, 1]);
        expect(stderr).toMatch(/^rawtcp: .*(ends inside|too short).*\n$/);
        expect(linesOf(stdout).map(({ time }) => time)).toEqual(whole.slice(0, linesOf(stdout).length).map(({ time }) => time));
        expect(linesOf(stdout).length).toBe(readCapture(bytes.subarray(0, cut)).packets.length);
      }
    }
  });

  it.each([
    ["/nonexistent", 2, "cannot read the capture file /nonexistent: ENOENT"],
    ["/etc/passwd", 1, "neither pcapng nor pcap"],
  ])("%s: one line", async (path, exitCode, text) => {
    const { code, stdout, stderr } = await capture("-r", path);
    expect([code, stdout, stderr]).toEqual([exitCode, "", expect.stringContaining(text)]);
  });

  it("a reader that has gone ends it without a word", async () => {
    const { stdout, stderr } = await runToEnd("sh", [
      "-c",
      `${process.execPath} ${build.main} capture -r ${file("lo.pcap")} | head -n 1`,
    ]);
    expect([stdout.split("\n").length, stderr]).toEqual([2, ""]);
  });
});
