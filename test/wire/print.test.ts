import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseAddress } from "../../src/wire/address.js";
import { putU16 } from "../../src/wire/bytes.js";
import { buildIcmpError } from "../../src/wire/icmp.js";
import { ipv4Checksum } from "../../src/wire/ipv4.js";
import { describePacket } from "../../src/wire/print.js";
import { tcpChecksum } from "../../src/wire/tcp-header.js";
import {
  ALL,
  concat,
  DATA_V4,
  DATA_V6,
  embedded,
  FIN_V4,
  fromHex,
  PROHIBITED_V6,
  patched,
  RST_V4,
  SYN_V4,
  SYN_V6,
  UNREACHABLE_V4,
} from "./packets.js";

const describeAll = (bytes: Uint8Array): string => describePacket(bytes, 0, bytes.length);

const LOOPBACK = parseAddress("127.0.0.1");

/** An IPv4 packet between loopback addresses, with good checksums; `transport` is a TCP segment when the protocol is 6. */
function ipv4(protocol: number, transport: Uint8Array): Uint8Array {
  const bytes = concat(fromHex("45000000 00010000 40000000 7f000001 7f000001"), transport);
  putU16(bytes, 2, bytes.length);
  bytes[9] = protocol;
  putU16(bytes, 10, ipv4Checksum(bytes, 0, 20));
  if (protocol === 6) putU16(bytes, 36, tcpChecksum(LOOPBACK, LOOPBACK, bytes, 20, transport.length));
  return bytes;
}

describe("describePacket", () => {
  it.each<[string, Uint8Array, string]>([
    [
      "SYN",
      SYN_V4,
      "127.0.0.1:53064 > 127.0.0.1:80: Flags [S], seq 3351880257, win 65495, " +
        "options [mss 65495,sackOK,TS val 3201696900 ecr 0,nop,wscale 10], length 0, partial TCP checksum",
    ],
    [
      "FIN",
      FIN_V4,
      "127.0.0.1:80 > 127.0.0.1:53064: Flags [F.], seq 1127990846, ack 3351880258, win 64, " +
        "options [nop,nop,TS val 1701291503 ecr 3201696900], length 0, partial TCP checksum",
    ],
    [
      "data",
      DATA_V4,
      "127.0.0.1:53064 > 127.0.0.1:80: Flags [P.], seq 3351880258:3351880264, ack 1127990847, win 64, " +
        "options [nop,nop,TS val 3201696900 ecr 1701291503], length 6, partial TCP checksum",
    ],
    ["RST", RST_V4, "127.0.0.1:82 > 127.0.0.1:53796: Flags [R.], seq 0, ack 465433145, win 0, length 0"],
    [
      "data over IPv6",
      DATA_V6,
      "[::1]:41182 > [::1]:80: Flags [P.], seq 1346211616:1346211622, ack 307792606, win 64, " +
        "options [nop,nop,TS val 2707559317 ecr 8861799], length 6, partial TCP checksum",
    ],
    [
      "ICMP error",
      UNREACHABLE_V4,
      "127.0.0.1 > 127.0.0.1: ICMP port-unreachable, quote [127.0.0.1:58586 > 127.0.0.1:81: seq 1703127177], length 68",
    ],
    [
      "ICMPv6 error",
      PROHIBITED_V6,
      "::1 > ::1: ICMPv6 admin-prohibited, quote [[::1]:54988 > [::1]:81: seq 3819084356], length 88",
    ],
  ])("prints a %s of Linux, at an offset", (_what, bytes, text) => {
    expect(describePacket(embedded(bytes), 7, bytes.length)).toBe(text);
  });

  it("prints data whose sequence numbers wrap, the urgent pointer, and a plain ACK without seq", () => {
    const segment = fromHex("00010002 fffffffe 00000009 50380007 00000005 61626364");
    expect(describeAll(ipv4(6, segment))).toBe(
      "127.0.0.1:1 > 127.0.0.1:2: Flags [P.U], seq 4294967294:2, ack 9, win 7, urg 5, length 4",
    );
    expect(describeAll(ipv4(6, fromHex("00010002 fffffffe 00000009 50100007 00000000")))).toBe(
      "127.0.0.1:1 > 127.0.0.1:2: Flags [.], ack 9, win 7, length 0",
    );
  });

  it("names bad checksums", () => {
    expect(describeAll(patched(RST_V4, 36, 0))).toMatch(/, length 0, bad TCP checksum$/);
    expect(describeAll(patched(RST_V4, 8, 63))).toMatch(/, length 0, bad IP header checksum$/);
    expect(describeAll(patched(UNREACHABLE_V4, 22, 0))).toBe(
      "127.0.0.1 > 127.0.0.1: ICMP port-unreachable, bad ICMP checksum, length 68",
    );
    expect(describeAll(patched(PROHIBITED_V6, 42, 0))).toBe("::1 > ::1: ICMPv6 admin-prohibited, bad ICMP checksum, length 88");
  });

  it("prints the MTU of packet too big", () => {
    const message = buildIcmpError(3, 4, 1400, SYN_V4, LOOPBACK, LOOPBACK);
    expect(describeAll(ipv4(1, message))).toBe(
      "127.0.0.1 > 127.0.0.1: ICMP packet-too-big, mtu 1400, quote [127.0.0.1:53064 > 127.0.0.1:80: seq 3351880257], length 68",
    );
  });

  it("prints what is not TCP in a few words", () => {
    expect(describeAll(ipv4(1, fromHex("0800 f7fd 0001 0001")))).toBe(
      "127.0.0.1 > 127.0.0.1: ICMP echo request, id 1, seq 1, length 8",
    );
    expect(describeAll(ipv4(1, fromHex("0d00 f2ff 0000 0000")))).toBe("127.0.0.1 > 127.0.0.1: ICMP time stamp query, length 8");
    expect(describeAll(ipv4(1, fromHex("0303 fcfc 0000 00")))).toBe(
      "127.0.0.1 > 127.0.0.1: ICMP, too short for an ICMP header, length 7",
    );
    expect(describeAll(ipv4(17, fromHex("0035 1234 000a 0000 6162")))).toBe("127.0.0.1:53 > 127.0.0.1:4660: UDP, length 2");
    expect(describeAll(ipv4(17, fromHex("0035")))).toBe("127.0.0.1 > 127.0.0.1: protocol 17, length 2");
    expect(describeAll(ipv4(58, fromHex("8000 0000 0000 0000")))).toBe("127.0.0.1 > 127.0.0.1: protocol 58, length 8");
    expect(describeAll(patched(SYN_V6, 6, 1))).toBe("::1 > ::1: protocol 1, length 40");
  });

  it("prints fragments", () => {
    expect(describeAll(patched(SYN_V4, 6, 0x20, 0x02))).toBe(
      "127.0.0.1 > 127.0.0.1: fragment of protocol 6, id 52201, offset 16+, length 40, bad IP header checksum",
    );
    expect(describeAll(patched(patched(SYN_V6, 6, 44), 42, 0, 9))).toBe("::1 > ::1: fragment, length 40");
  });

  it("says what it cannot read", () => {
    expect(describeAll(new Uint8Array(0))).toBe("bad packet: too short for an IP header, length 0");
    expect(describeAll(patched(SYN_V4, 0, 0x50))).toBe("bad packet: unknown IP version, length 60");
    expect(describeAll(SYN_V4.subarray(0, 50))).toBe("bad packet: bad IP total length, length 50");
    expect(describeAll(ipv4(1, new Uint8Array(0)))).toMatch(/too short for an ICMP header, length 0$/);
    expect(describeAll(patched(SYN_V4, 32, 0x40))).toBe("127.0.0.1 > 127.0.0.1: TCP, bad TCP data offset, length 40");
  });

  it("does not take an offset or a length beyond the bytes for more than is there", () => {
    expect(describePacket(SYN_V4, 0, 1000)).toBe(describeAll(SYN_V4));
    expect(describePacket(SYN_V4, 1000, 60)).toBe("bad packet: too short for an IP header, length 0");
    expect(describePacket(SYN_V4, 0, -5)).toBe("bad packet: too short for an IP header, length 0");
  });

  it("gives one line for any bytes and never throws", () => {
    const base = fc.oneof(fc.uint8Array({ maxLength: 90 }), fc.constantFrom(...Object.values(ALL)));
    const edits = fc.array(fc.tuple(fc.nat(110), fc.nat(255)), { maxLength: 6 });
    fc.assert(
      fc.property(base, edits, fc.nat(130), (original, changes, cut) => {
        const bytes = original.slice(0, cut);
        for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
        expect(describeAll(bytes)).toMatch(/^[\x20-\x7e]+, length \d+(, [\x20-\x7e]+)?$/);
      }),
      { numRuns: 1000 },
    );
  });
});

/** Whether a program is there to be asked. */
const has = (program: string): boolean => spawnSync(program, ["--version"], { stdio: "ignore" }).error === undefined;

/** Packets of every sort that another program is to read as we do. */
const WITNESSED: readonly Uint8Array[] = [
  ...Object.values(ALL).filter((bytes) => bytes !== UNREACHABLE_V4 && bytes !== PROHIBITED_V6),
  ipv4(6, fromHex("00010002 fffffffe 00000009 50380007 00000005 61626364")),
  ipv4(6, fromHex("00010002 00000005 00000000 50c20007 00000000")),
  ipv4(6, fromHex("00010002 00000005 00000009 80100007 00000000 0101 050a 00000064 000000c8")),
  ipv4(6, fromHex("00010002 00000005 00000000 80020007 00000000 2206 01020304 0204 05b4 0000")),
  ipv4(6, fromHex("00010002 00000005 00000000 50000007 00000000")),
];

/** A classic capture file of raw IP packets, written beside nothing else and removed with its folder. */
function withCapture<T>(packets: readonly Uint8Array[], use: (file: string) => T): T {
  const u32 = (value: number): number[] => [value & 255, (value >>> 8) & 255, (value >>> 16) & 255, value >>> 24];
  const LINKTYPE_RAW = 101;
  const header = [...u32(0xa1b2c3d4), 2, 0, 4, 0, ...u32(0), ...u32(0), ...u32(65535), ...u32(LINKTYPE_RAW)];
  const records = packets.map((bytes, i) => concat(u32(i), u32(0), u32(bytes.length), u32(bytes.length), bytes));
  const folder = mkdtempSync(join(tmpdir(), "rawtcp-print-"));
  try {
    const file = join(folder, "packets.pcap");
    writeFileSync(file, concat(header, ...records));
    return use(file);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

describe("witnesses", () => {
  it.runIf(has("tcpdump"))("tcpdump prints the same line", () => {
    const output = withCapture(WITNESSED, (file) =>
      execFileSync("tcpdump", ["-n", "-S", "-t", "-r", file], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }),
    );
    const theirs = output.trimEnd().split("\n");
    // tcpdump writes "IP " before, a dot before ports, no brackets, and names the protocol of a known port.
    const ours = WITNESSED.map((bytes) =>
      describeAll(bytes)
        .replaceAll(/\[?([0-9a-f.]+|::1)\]?:(\d+)(?= >|: Flags)/g, "$1.$2")
        .replace(/, (partial|bad) TCP checksum$/, ""),
    );
    expect(theirs.map((line) => line.replace(/^IP6? /, "").replace(/: HTTP$/, ""))).toEqual(ours);
  });

  it.runIf(has("tshark"))("tshark judges checksums and fields the same", () => {
    const fields = ["tcp.srcport", "tcp.seq_raw", "tcp.len", "tcp.window_size_value", "tcp.checksum.status"];
    const output = withCapture(WITNESSED, (file) => {
      const options = ["-o", "tcp.check_checksum:TRUE", "-o", "tcp.relative_sequence_numbers:FALSE"];
      const args = ["-r", file, "-n", ...options, "-T", "fields", ...fields.flatMap((field) => ["-e", field])];
      return execFileSync("tshark", args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
    });
    const lines = output.trimEnd().split("\n");
    expect(lines).toHaveLength(WITNESSED.length);
    for (const [i, bytes] of WITNESSED.entries()) {
      const [port, seq, length, window, status] = lines[i]?.split("\t") ?? [];
      const text = describeAll(bytes);
      expect(text).toContain(`:${port} > `);
      expect(text).toContain(`win ${window}`);
      expect(text).toContain(`length ${length}`);
      if (text.includes("seq ")) expect(text).toContain(`seq ${seq}`);
      // Its states: 0 bad, 1 good. An unfinished checksum is bad to tshark 4.0 and good to 4.4.
      if (text.endsWith("bad TCP checksum")) expect(status).not.toBe("1");
      else if (!text.endsWith("partial TCP checksum")) expect(status).toBe("1");
    }
  });
});
