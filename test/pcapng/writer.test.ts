import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { CaptureError, LINKTYPE } from "../../src/pcapng/blocks.js";
import { readCapture } from "../../src/pcapng/reader.js";
import {
  enhancedPacketBlock,
  enhancedPacketLength,
  interfaceDescriptionBlock,
  interfaceStatisticsBlock,
  sectionHeaderBlock,
  writeEnhancedPacket,
} from "../../src/pcapng/writer.js";
import { tcpPacket } from "../device/packets.js";
import { concat } from "./build.js";

/** Runs tshark over a file and returns its lines. */
function tshark(file: Uint8Array, ...args: string[]): string[] {
  const folder = mkdtempSync(join(tmpdir(), "rawtcp-pcapng-"));
  try {
    const path = join(folder, "capture.pcapng");
    writeFileSync(path, file);
    const text = execFileSync("tshark", ["-n", "-r", path, ...args], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
    return text.trimEnd().split("\n");
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const fields = (...names: string[]): string[] => [
  "-T",
  "fields",
  "-E",
  "separator=|",
  "-E",
  "aggregator=;",
  ...names.flatMap((name) => ["-e", name]),
];

describe("what tshark reads", () => {
  beforeAll(() => {
    const { error } = spawnSync("tshark", ["--version"]);
    if (error !== undefined) throw new Error("these tests need tshark (Debian: apt install tshark)", { cause: error });
  });

  const syn = tcpPacket({ flags: 0x02, seq: 0xfffffff0, sourcePort: 40001, destinationPort: 80 });
  const reply = tcpPacket({ flags: 0x12, seq: 9, ack: 0xfffffff1, sourcePort: 80, destinationPort: 40001, payload: [1, 2, 3] });
  const ns = 1_800_000_000_123_456_789n;
  const stamp = { tsHigh: Number(ns >> 32n), tsLow: Number(ns & 0xffffffffn) };
  const file = concat(
    sectionHeaderBlock({ hardware: "x86_64", os: "Linux 6.18", userAppl: "rawtcp test", comments: ["a session"] }),
    interfaceDescriptionBlock({ name: "lo", description: "loopback", filter: "tcp port 80" }),
    interfaceDescriptionBlock({ name: "eth7", linkType: LINKTYPE.ETHERNET }),
    enhancedPacketBlock({
      interfaceId: 0,
      ...stamp,
      bytes: syn,
      offset: 0,
      length: syn.length,
      direction: "outbound",
      comments: ["first", "zwei äöü €"],
    }),
    enhancedPacketBlock({ interfaceId: 0, ...stamp, bytes: reply, offset: 0, length: reply.length, direction: "inbound" }),
    enhancedPacketBlock({
      interfaceId: 1,
      tsHigh: 0,
      tsLow: 0,
      bytes: new Uint8Array(14),
      offset: 0,
      length: 14,
      originalLength: 1514,
    }),
    interfaceStatisticsBlock({ interfaceId: 0, timeNs: ns, startNs: ns, endNs: ns, received: 2n, dropped: 1n, osDropped: 0n }),
  );

  test("packets: stamp to the nanosecond, direction, comments, interface, addresses", () => {
    const lines = tshark(
      file,
      ...fields(
        "frame.time_epoch",
        "frame.packet_flags_direction",
        "frame.comment",
        "frame.interface_name",
        "tcp.srcport",
        "tcp.flags",
        "frame.len",
        "frame.cap_len",
      ),
    );
    expect(lines).toEqual([
      "1800000000.123456789|0x00000002|first;zwei äöü €|lo|40001|0x0002|40|40",
      "1800000000.123456789|0x00000001||lo|80|0x0012|43|43",
      "0.000000000|||eth7|||1514|14",
    ]);
  });

  test("checksums of the sample are sound, so that the link type and offsets are right", () => {
    const lines = tshark(
      file,
      "-o",
      "tcp.check_checksum:TRUE",
      "-o",
      "ip.check_checksum:TRUE",
      ...fields("ip.checksum.status", "tcp.checksum.status"),
    );
    expect(lines.slice(0, 2)).toEqual(["1|1", "1|1"]);
  });

  test("section, interfaces and statistics", () => {
    const folder = mkdtempSync(join(tmpdir(), "rawtcp-pcapng-"));
    try {
      const path = join(folder, "capture.pcapng");
      writeFileSync(path, file);
      const info = execFileSync("capinfos", ["-M", path], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
      for (const expected of [
        /Capture hardware:\s+x86_64/,
        /Capture oper-sys:\s+Linux 6\.18/,
        /Capture application:\s+rawtcp test/,
        /Capture comment:\s+a session/,
        /Name = lo/,
        /Description = loopback/,
        /Filter string = tcp port 80/,
        /Time precision = nanoseconds \(9\)/,
        /Encapsulation = Raw IP/,
        /Encapsulation = Ethernet/,
        /Number of stat entries = 1/,
        /Number of packets = 2/,
      ]) {
        expect(info).toMatch(expected);
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe("bytes", () => {
  const hex = (block: Uint8Array): string => [...block].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  const packet = {
    interfaceId: 1,
    tsHigh: 2,
    tsLow: 3,
    bytes: Uint8Array.of(0xaa, 0xbb, 0xcc, 0xdd, 0xee),
    offset: 0,
    length: 5,
  };

  test("an enhanced packet without options has no end of options", () => {
    expect(hex(enhancedPacketBlock(packet))).toBe(
      [
        "06000000",
        "28000000",
        "01000000",
        "02000000",
        "03000000",
        "05000000",
        "05000000",
        "aabbccdd",
        "ee000000",
        "28000000",
      ].join(""),
    );
  });

  test("options are padded, and closed by their end", () => {
    expect(hex(enhancedPacketBlock({ ...packet, length: 4, originalLength: 9, direction: "outbound", comments: ["why"] }))).toBe(
      ["06000000", "38000000", "01000000", "02000000", "03000000", "04000000", "09000000", "aabbccdd"].join("") +
        ["01000300", "77687900", "02000400", "02000000", "00000000", "38000000"].join(""),
    );
  });
});

describe("limits", () => {
  test("a comment beyond 65,535 bytes is cut between characters, the block stays sound", () => {
    const packet = {
      interfaceId: 0,
      tsHigh: 0,
      tsLow: 0,
      bytes: new Uint8Array(1),
      offset: 0,
      length: 1,
      comments: ["€".repeat(30_000), "after"],
    };
    const { packets, error } = readCapture(
      concat(sectionHeaderBlock(), interfaceDescriptionBlock(), enhancedPacketBlock(packet)),
    );
    expect(error).toBeNull();
    expect(packets[0]?.comments[0]?.trimEnd()).toBe("€".repeat(21_845));
    expect(packets[0]?.comments[1]).toBe("after");
    const section = readCapture(sectionHeaderBlock({ os: `a${"€".repeat(30_000)}` }));
    expect(section.sections[0]?.os).toBe(`a${"€".repeat(21_844)}`);
  });

  test("a link type beyond 16 bits is refused", () => {
    expect(() => interfaceDescriptionBlock({ linkType: 65_536 })).toThrow(CaptureError);
    expect(() => interfaceDescriptionBlock({ linkType: -1 })).toThrow(CaptureError);
  });

  test("writes at any offset of a dirty buffer, and nothing before or behind its block", () => {
    const bytes = Uint8Array.of(9, 1, 2, 3, 9);
    const packet = {
      interfaceId: 0,
      tsHigh: 1,
      tsLow: 2,
      bytes,
      offset: 1,
      length: 3,
      direction: "inbound",
      comments: ["x"],
    } as const;
    const total = enhancedPacketLength(packet);
    for (const at of [0, 1, 2, 3, 8]) {
      const target = new Uint8Array(total + 16).fill(0xee);
      expect(writeEnhancedPacket(packet, target, new DataView(target.buffer), at, total)).toBe(at + total);
      expect(target.subarray(at, at + total)).toEqual(enhancedPacketBlock(packet));
      expect(target.subarray(0, at).every((byte) => byte === 0xee)).toBe(true);
      expect(target.subarray(at + total).every((byte) => byte === 0xee)).toBe(true);
    }
  });
});

describe("identity", () => {
  const text = fc.string({ unit: "grapheme", maxLength: 20 });
  const packet = fc.record({
    interfaceId: fc.nat(1),
    timeNs: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    data: fc.uint8Array({ maxLength: 70 }),
    beyond: fc.nat(2000),
    direction: fc.constantFrom("inbound", "outbound", null),
    comments: fc.array(text, { maxLength: 3 }),
  });

  test("what is written is what is read", () => {
    fc.assert(
      fc.property(text, text, fc.array(packet, { maxLength: 6 }), (os, name, packets) => {
        const file = concat(
          sectionHeaderBlock({ os, comments: [name] }),
          interfaceDescriptionBlock({ name }),
          interfaceDescriptionBlock({ linkType: LINKTYPE.ETHERNET, snapLen: 70 }),
          ...packets.map(({ interfaceId, timeNs, data, beyond, direction, comments }) =>
            enhancedPacketBlock({
              interfaceId,
              tsHigh: Number(timeNs >> 32n),
              tsLow: Number(timeNs & 0xffffffffn),
              bytes: data,
              offset: 0,
              length: data.length,
              originalLength: data.length + beyond,
              comments,
              ...(direction === null ? {} : { direction }),
            }),
          ),
        );
        const capture = readCapture(file);
        expect(capture.error).toBeNull();
        expect(capture.sections).toMatchObject([{ os, comments: [name] }]);
        expect(capture.interfaces).toMatchObject([
          { name, linkType: 101, snapLen: 0 },
          { name: "", linkType: 1, snapLen: 70 },
        ]);
        expect(
          capture.packets.map(({ interfaceIndex, timeNs, data, originalLength, direction, comments }) => ({
            interfaceId: interfaceIndex,
            timeNs,
            data: data.slice(),
            beyond: originalLength - data.length,
            direction,
            comments,
          })),
        ).toEqual(packets);
      }),
    );
  });
});
