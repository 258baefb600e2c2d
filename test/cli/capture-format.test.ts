import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CaptureFormat, type FormatOptions, hexLines, secondsOf } from "../../src/cli/capture-format.js";
import type { CaptureInterface, CapturePacket } from "../../src/pcapng/capture.js";
import { LINKTYPE } from "../../src/wire/link-layer.js";
import { ALL, concat, DATA_V4, fromHex, SYN_V4 } from "../wire/packets.js";

const zone = process.env["TZ"];
beforeAll(() => {
  process.env["TZ"] = "UTC";
});
afterAll(() => {
  if (zone === undefined) delete process.env["TZ"];
  else process.env["TZ"] = zone;
});

const OPTIONS: FormatOptions = {
  t: 0,
  nano: false,
  number: false,
  verbose: 0,
  e: false,
  x: 0,
  X: 0,
  A: false,
  q: true,
  json: false,
};
const FROM: CaptureInterface = {
  ...{ section: 0, linkType: LINKTYPE.RAW, snapLen: 0, name: "", description: "", filter: "", os: "", comments: [] },
  ...{ unitsPerSecond: 1_000_000_000n, tsOffset: 0n, fcsLength: 0 },
};

function packetAt(timeNs: bigint | null, data: Uint8Array = SYN_V4, more: Partial<CapturePacket> = {}): CapturePacket {
  return { interfaceIndex: 0, timeNs, data, originalLength: data.length, direction: null, comments: [], offset: 0, ...more };
}

function show(
  options: Partial<FormatOptions>,
  packets: readonly CapturePacket[],
  from: Partial<CaptureInterface> = {},
  interfaceName = "",
): string[][] {
  const format = new CaptureFormat({ ...OPTIONS, ...options });
  return packets.map((packet, n) => format.lines({ number: n + 1, packet, from: { ...FROM, ...from }, interfaceName }));
}

const TCP = "IP 127.0.0.1:53064 > 127.0.0.1:80: tcp 0";

describe("times", () => {
  const packets = [1_700_000_000_123_456_789n, 1_700_000_001_000_000_000n, 1_700_000_000_500_000_000n, null].map((ns) =>
    packetAt(ns),
  );
  it.each<[string, Partial<FormatOptions>, string[]]>([
    ["time of day", {}, ["22:13:20.123456", "22:13:21.000000", "22:13:20.500000", "no time"]],
    ["-tt", { t: 2 }, ["1700000000.123456", "1700000001.000000", "1700000000.500000", "no time"]],
    ["-tt --nano", { t: 2, nano: true }, ["1700000000.123456789", "1700000001.000000000", "1700000000.500000000", "no time"]],
    ["-ttt", { t: 3 }, [" 00:00:00.000000", " 00:00:00.876543", "-00:00:00.500000", "no time"]],
    ["-tttt", { t: 4 }, ["2023-11-14 22:13:20.123456", "2023-11-14 22:13:21.000000", "2023-11-14 22:13:20.500000", "no time"]],
    ["-ttttt --nano", { t: 5, nano: true }, [" 00:00:00.000000000", " 00:00:00.876543211", " 00:00:00.376543211", "no time"]],
  ])("%s", (_name, options, times) => {
    expect(show(options, packets).map(([line]) => line)).toEqual(times.map((time) => `${time} ${TCP}`));
  });

  it("-t shows none", () => {
    expect(show({ t: 1 }, packets)[0]).toEqual([TCP]);
  });

  it("before 1970, and beyond the calendar", () => {
    expect(secondsOf(-1n, true)).toBe("-1.999999999");
    expect(show({ t: 4 }, [packetAt(2n ** 64n * 1_000_000n)])[0]?.[0]).toMatch(/^18446744073709551\.616000 IP/);
  });
});

describe("what stands around the packet", () => {
  it("its number, the interface, the direction and the comments of the file", () => {
    const packet = packetAt(0n, SYN_V4, { direction: "outbound", comments: ["why\nit went", "more"] });
    expect(show({ t: 1, number: true }, [packet], {}, "eth0")).toEqual([
      [`    1 eth0  Out ${TCP}`, "\t; why it went", "\t; more"],
    ]);
  });

  it("the direction of cooked frames", () => {
    const cooked = concat(fromHex("0003 0001 0006 020000000001 0000 0800"), SYN_V4);
    expect(show({ t: 1, e: true }, [packetAt(0n, cooked)], { linkType: LINKTYPE.LINUX_SLL })).toEqual([
      [`P   02:00:00:00:00:01, ethertype IPv4 (0x0800), length 76: ${TCP}`],
    ]);
  });

  it("hexadecimal from the IP header on, with -XX from the link header on", () => {
    const frame = packetAt(0n, concat(fromHex("020000000001 020000000002 0800"), DATA_V4));
    const [ip, whole] = [1, 2].map((X) => show({ t: 1, X }, [frame], { linkType: LINKTYPE.ETHERNET })[0]?.[1]);
    expect(ip).toMatch(/^\t0x0000: {2}4500 /);
    expect(whole).toMatch(/^\t0x0000: {2}0200 0000 0001 0200 0000 0002 0800 4500 {3}\.\.\./);
    expect(hexLines(Uint8Array.from([0x41, 0x20, 0x7f]), true)).toEqual([`\t0x0000:  4120 7f${" ".repeat(35)}A..`]);
    expect(hexLines(new Uint8Array(17), false)).toEqual([`\t0x0000:  ${"0000 ".repeat(7)}0000`, "\t0x0010:  00"]);
  });

  it("-v: every field", () => {
    const [lines = []] = show({ verbose: 1 }, [packetAt(0n)]);
    for (const field of [/ttl +64/, /seq +3351880257/, /option +mss 65495/, /flags +0x002 \[S\]/])
      expect(lines.join("\n")).toMatch(field);
  });
});

describe("JSON", () => {
  it("a segment", () => {
    const [[line = ""] = []] = show({ json: true }, [packetAt(1_700_000_000_000_000_001n, DATA_V4, { originalLength: 58 })], {
      name: "lo",
    });
    expect(JSON.parse(line)).toMatchObject({
      ...{ type: "packet", number: 1, time: "1700000000.000000001", interface: "lo", linkType: 101, length: 58, captured: 58 },
      ip: { version: 4, source: "127.0.0.1", destination: "127.0.0.1", protocol: 6 },
      tcp: { sourcePort: 53064, destinationPort: 80, flags: "P.", payloadLength: 6 },
    });
  });
});

it("JSON of a fragment, of a damaged packet, and of UDP", () => {
  const first = DATA_V4.slice();
  first.set([0x20, 0x05], 6);
  const damaged = DATA_V4.slice();
  damaged[3] = 255;
  const udp = fromHex("45000020 00000000 40110000 0a000001 0a000002 04d20035 000c0000 01020304");
  const lines = show(
    { json: true },
    [first, damaged, udp].map((bytes) => packetAt(0n, bytes)),
  );
  expect(lines.map(([line = ""]) => JSON.parse(line))).toMatchObject([
    { ip: { source: "127.0.0.1", protocol: 6 }, fragment: { offset: 40, more: true, length: 38 } },
    { problem: "bad IP total length", text: "IP bad packet: bad IP total length, length 58" },
    { ip: { protocol: 17 }, udp: { sourcePort: 1234, destinationPort: 53, payloadLength: 4 } },
  ]);
});

it("whatever a packet holds, no form of output throws", () => {
  const data = fc.oneof(
    fc.uint8Array({ maxLength: 100 }),
    fc.tuple(fc.constantFrom(...Object.values(ALL)), fc.nat(200), fc.nat(255)).map(([whole, at, value]) => {
      const bytes = whole.slice();
      bytes[at % bytes.length] = value;
      return bytes.subarray(0, 1 + ((at * 7) % bytes.length));
    }),
  );
  const options = fc.constantFrom<Partial<FormatOptions>>(
    { json: true },
    { verbose: 1, e: true },
    { verbose: 1, X: 1, A: true },
    { q: false, x: 2 },
  );
  fc.assert(
    fc.property(
      data,
      fc.constantFrom<number>(...Object.values(LINKTYPE), 9),
      options,
      fc.nat(100),
      (bytes, linkType, some, more) => {
        const packet = packetAt(0n, bytes, { originalLength: bytes.length + more });
        for (const lines of show(some, [packet], { linkType })) expect(lines.length).toBeGreaterThan(0);
      },
    ),
    { numRuns: 1000 },
  );
});
