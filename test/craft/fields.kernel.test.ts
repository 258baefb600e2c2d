/**
 * Every field and every option of the table, crafted, sent over loopback, captured by libpcap and read by tshark: with the value
 * that was asked for, be it right or wrong. The bytes on the wire are those that were crafted, to the last one.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { FIELDS, type Field, type FieldValue, formatField } from "../../src/craft/fields.js";
import type { PacketSpec } from "../../src/craft/spec.js";
import { openCapture } from "../../src/device/capture.js";
import { Prober } from "../../src/driver/send-receive.js";
import { enhancedPacketBlock, interfaceDescriptionBlock, sectionHeaderBlock } from "../../src/pcapng/writer.js";
import { IpAddress, parseAddress } from "../../src/wire/address.js";
import { parseMac } from "../../src/wire/ethernet.js";
import { enterPrivateNamespace } from "../kernel/support.js";

interface Case {
  readonly title: string;
  readonly spec: PacketSpec;
  /** tshark's field, and what it must print. */
  readonly tshark: string;
  readonly expected: string | number;
}

/** Values that leave enough of the packet readable for tshark to get to the field; others take 1 and the largest. */
const VALUES: Readonly<Record<string, readonly FieldValue[]>> = {
  "ethernet destination": [parseMac("02:00:00:00:00:07")],
  "ethernet source": [parseMac("02:00:00:00:00:08")],
  "ethernet etherType": [0x0800, 0x88b5],
  "ipv4 version": [5, 15],
  "ipv4 ihl": [6, 10],
  "ipv4 totalLength": [40, 90, 65_535],
  "ipv4 id": [0, 1, 65_535],
  // The fragment itself is what tshark shows, not what is in it.
  "ipv4 protocol": [0, 253],
  "ipv4 source": [parseAddress("10.9.8.7"), parseAddress("0.0.0.0")],
  "ipv4 destination": [parseAddress("127.1.2.3")],
  "ipv6 version": [5],
  "ipv6 payloadLength": [20, 75],
  "ipv6 nextHeader": [59, 253],
  "ipv6 source": [parseAddress("fd00::7")],
  "ipv6 destination": [parseAddress("::1")],
  "tcp dataOffset": [0, 4, 6, 15],
};

const payload = new Uint8Array(60).fill(0x61);

function valuesOf(field: Field): readonly FieldValue[] {
  return VALUES[`${field.layer} ${field.name}`] ?? (field.kind === "flag" ? [true] : [1, 2 ** field.bits - 1]);
}

function specWith(field: Field, value: FieldValue): PacketSpec {
  // A bit of the flags is set through their word.
  const isBit = field.layer === "tcp" && field.partOf === "flags";
  const set: Readonly<Record<string, FieldValue>> = isBit ? { flags: 1 << (111 - field.at) } : { [field.name]: value };
  switch (field.layer) {
    case "ethernet":
      return { ethernet: set, ip: { family: 4 }, tcp: {}, payload };
    case "ipv4":
      return { ip: { family: 4, ...set }, tcp: {}, payload };
    case "ipv6":
      return { ip: { family: 6, ...set }, tcp: {}, payload };
    case "icmp":
      return {
        ip: { family: 4 },
        icmp: { type: field.name === "mtu" ? 3 : 8, code: field.name === "mtu" ? 4 : 0, ...set },
        payload,
      };
    case "tcp":
      return { ip: { family: 4 }, tcp: { flags: 0, ...set }, payload };
  }
}

/** tshark shows header lengths in bytes. */
const UNITS: Readonly<Record<string, number>> = { "ipv4 ihl": 4, "tcp dataOffset": 4 };

function fieldCases(): Case[] {
  return FIELDS.filter((field) => field.tshark !== "").flatMap((field) =>
    valuesOf(field).map((value) => {
      const unit = UNITS[`${field.layer} ${field.name}`] ?? 1;
      const isText = value instanceof IpAddress || value instanceof Uint8Array;
      return {
        title: `${field.layer} ${field.name} = ${formatField(value)} (${field.tshark}; ${field.flag || "template"})`,
        spec: specWith(field, value),
        tshark: field.tshark,
        // Of the three reserved bits tshark says only whether any is set.
        expected: isText ? formatField(value) : field.name === "reserved" ? 1 : Number(value) * unit,
      };
    }),
  );
}

function optionCases(): Case[] {
  const options: readonly [text: string, tshark: string, expected: string | number][] = [
    ["mss=1234", "tcp.options.mss_val", 1234],
    ["wscale=200", "tcp.options.wscale.shift", 200],
    ["sackok", "tcp.option_kind", 4],
    ["ts=7:9", "tcp.options.timestamp.tsval", 7],
    ["ts=7:9", "tcp.options.timestamp.tsecr", 9],
    ["sack=1000:2000/5000:6000", "tcp.options.sack_le", "1000,5000"],
    ["sack=1000:2000/5000:6000", "tcp.options.sack_re", "2000,6000"],
    ["fo=0102030405060708", "tcp.options.tfo.cookie", "0102030405060708"],
    ["fo", "tcp.options.tfo.request", 1],
    ["md5=000102030405060708090a0b0c0d0e0f", "tcp.options.md5.digest", "000102030405060708090a0b0c0d0e0f"],
    ["accecn0=1:2:3", "tcp.option_kind", 172],
    ["253=f989aabb", "tcp.option_kind", 253],
    ["2=01020304", "tcp.option_len", 6],
    ["M5B4NNSNW7", "tcp.options.mss_val", 1460],
    ["0x0303 0e00", "tcp.options.wscale.shift", 14],
  ];
  const tcp = options.map(([text, tshark, expected]) => ({
    title: `option ${text} (${tshark})`,
    spec: { ip: { family: 4 }, tcp: { options: text }, payload } as const,
    tshark,
    expected,
  }));
  const more: Case[] = [
    {
      title: "padding by choice",
      spec: { ip: { family: 4 }, tcp: { options: "nop", padding: 1 } },
      tshark: "tcp.options",
      expected: "01010101",
    },
    {
      title: "IPv4 router alert",
      spec: { ip: { family: 4, options: Uint8Array.of(148, 4, 0, 0) }, tcp: {} },
      tshark: "ip.opt.ra",
      expected: 0,
    },
    {
      title: "a wrong TCP checksum",
      spec: { ip: { family: 4 }, tcp: { checksum: "bad" } },
      tshark: "tcp.checksum.status",
      expected: 0,
    },
    { title: "a right TCP checksum", spec: { ip: { family: 4 }, tcp: {} }, tshark: "tcp.checksum.status", expected: 1 },
    {
      title: "a wrong IP checksum",
      spec: { ip: { family: 4, checksum: "bad" }, tcp: {} },
      tshark: "ip.checksum.status",
      expected: 0,
    },
    {
      title: "a VLAN tag",
      spec: { ethernet: { tags: [{ tpid: 0x8100, priority: 5, dropEligible: false, vlan: 77 }] }, ip: { family: 4 }, tcp: {} },
      tshark: "vlan.id",
      expected: 77,
    },
    {
      title: "IPv6 fragment header",
      spec: { ip: { family: 6, extensions: [{ protocol: 44, body: Uint8Array.of(0, 0, 1, 0, 0, 0, 9) }] }, tcp: {} },
      tshark: "ipv6.fraghdr.ident",
      expected: 9,
    },
    {
      title: "IPv6 hop-by-hop options",
      spec: { ip: { family: 6, extensions: [{ protocol: 0, body: Uint8Array.of(0, 1, 4, 0, 0, 0, 0) }] }, tcp: {} },
      tshark: "tcp.dstport",
      expected: 80,
    },
    {
      title: "IPv6 routing header",
      spec: { ip: { family: 6, extensions: [{ protocol: 43, body: Uint8Array.of(0, 253, 0, 0, 0, 0, 0) }] }, tcp: {} },
      tshark: "ipv6.routing.type",
      expected: 253,
    },
    {
      title: "ICMPv6 echo",
      spec: { ip: { family: 6 }, icmp: { identifier: 513 } },
      tshark: "icmpv6.echo.identifier",
      expected: 513,
    },
  ];
  return [...tcp, ...more];
}

const cases: readonly Case[] = [...fieldCases(), ...optionCases()];
let folder: string;
/** Per case what tshark printed for its field, undefined when the packet was not seen. */
let printed: readonly (string | undefined)[] = [];

beforeAll(async () => {
  enterPrivateNamespace();
  folder = mkdtempSync(join(tmpdir(), "rawtcp-fields-"));
  printed = readByTshark(await sendAll());
}, 60_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("sent over lo, captured by libpcap, read by tshark", () => {
  it.each(cases.map((one, i) => [one.title, i] as const))("%s", (_, i) => {
    const text = printed[i];
    const { expected } = cases[i] ?? {};
    expect(text).toBeDefined();
    expect(typeof expected === "number" ? numbersIn(text ?? "") : text).toEqual(
      typeof expected === "number" ? expect.arrayContaining([expected]) : expected,
    );
  });

  it("every field of the table has a name in tshark, or is made of fields that have", () => {
    const nameless = FIELDS.filter((field) => field.tshark === "");
    for (const { layer, name } of nameless)
      expect(FIELDS.some((other) => other.layer === layer && other.partOf === name)).toBe(true);
    expect(new Set(cases.map(({ tshark }) => tshark)).size).toBeGreaterThan(50);
  });
});

/** Sends each packet and gives the frame that libpcap saw of it. */
async function sendAll(): Promise<(Uint8Array | undefined)[]> {
  const frames: (Uint8Array | undefined)[] = cases.map(() => undefined);
  const seen: Uint8Array[] = [];
  let wake: () => void = () => {};
  const capture = openCapture({
    device: "lo",
    filter: "",
    onFrame: (bytes, offset, length) => {
      seen.push(bytes.slice(offset, offset + length));
      wake();
    },
  });
  for (const family of [4, 6] as const) {
    const prober = await Prober.open({
      target: family === 4 ? "127.0.0.1" : "::1",
      frames: true,
      resetOpened: false,
      timeoutMs: 10_000,
      onDone: () => {},
    });
    for (const [i, { spec }] of cases.entries()) {
      if (spec.ip?.family !== family) continue;
      const { sent, problem } = prober.send(spec);
      if (problem !== "") throw new Error(`${cases[i]?.title}: ${problem}`);
      const wanted = Buffer.from(sent.bytes.subarray(Math.max(0, sent.ipOffset), sent.endOffset));
      const deadline = performance.now() + 5000;
      let found: Uint8Array | undefined;
      while (found === undefined && performance.now() < deadline) {
        found = seen.find((frame) =>
          Buffer.from(frame)
            .subarray(frame.length - wanted.length)
            .equals(wanted),
        );
        if (found === undefined)
          await new Promise<void>((resolve) => {
            wake = resolve;
            setTimeout(resolve, 100).unref();
          });
      }
      frames[i] = found;
      seen.length = 0;
    }
    prober.close();
  }
  capture.close();
  return frames;
}

function readByTshark(frames: readonly (Uint8Array | undefined)[]): (string | undefined)[] {
  const file = join(folder, "fields.pcapng");
  const blocks = [sectionHeaderBlock(), interfaceDescriptionBlock({ linkType: 1 })];
  const numberOf = new Map<number, number>();
  for (const [i, frame] of frames.entries()) {
    if (frame === undefined) continue;
    numberOf.set(i, blocks.length - 2);
    blocks.push(enhancedPacketBlock({ interfaceId: 0, tsHigh: 0, tsLow: i + 1, bytes: frame, offset: 0, length: frame.length }));
  }
  writeFileSync(file, Buffer.concat(blocks));
  const names = [...new Set(cases.map(({ tshark }) => tshark))];
  const preferences = [
    "tcp.check_checksum:TRUE",
    "ip.check_checksum:TRUE",
    "tcp.analyze_sequence_numbers:FALSE",
    "ip.defragment:FALSE",
  ].flatMap((text) => ["-o", text]);
  const output = execFileSync(
    "tshark",
    ["-r", file, "-n", ...preferences, "-T", "fields", "-E", "separator=|", ...names.flatMap((name) => ["-e", name])],
    {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    },
  );
  const rows = output.split("\n").map((line) => line.split("|"));
  return cases.map(({ tshark }, i) => {
    const row = numberOf.get(i);
    return row === undefined ? undefined : rows[row]?.[names.indexOf(tshark)];
  });
}

/** "0x0012", "18", "True", and several of them with commas. */
function numbersIn(text: string): number[] {
  return text.split(",").map((word) => (word === "True" ? 1 : word === "False" ? 0 : word === "" ? Number.NaN : Number(word)));
}
