import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { LINKTYPE } from "../../src/wire/link-layer.js";
import { describePacket } from "../../src/wire/print.js";
import { describeFrame, describeLinkHeader } from "../../src/wire/print-frame.js";
import { ALL, concat, DATA_V4, DATA_V6, fromHex, SYN_V4, UNREACHABLE_V4 } from "./packets.js";

const ETHERNET_V4 = fromHex("020000000001 020000000002 0800");
const frame = (bytes: Uint8Array, linkType: number = LINKTYPE.ETHERNET, wireLength = bytes.length, brief = false): string =>
  describeFrame(bytes, 0, bytes.length, linkType, wireLength, brief);
const ARP = "0001 0800 06 04";

describe("frames", () => {
  it.each<[string, number, Uint8Array, string]>([
    [
      "ARP request",
      LINKTYPE.ETHERNET,
      fromHex(`ffffffffffff 020000000002 0806 ${ARP} 0001 020000000002 0a000001 000000000000 0a000002`),
      "ARP, who has 10.0.0.2? tell 10.0.0.1, length 28",
    ],
    [
      "ARP reply",
      LINKTYPE.ETHERNET,
      fromHex(`020000000002 020000000001 0806 ${ARP} 0002 020000000001 0a000002 020000000002 0a000001`),
      "ARP, 10.0.0.2 is at 02:00:00:00:00:01, length 28",
    ],
    [
      "gratuitous ARP",
      LINKTYPE.ETHERNET,
      fromHex(`ffffffffffff 020000000002 0806 ${ARP} 0001 020000000002 0a000001 000000000000 0a000001`),
      "ARP, announcement of 10.0.0.1 by 02:00:00:00:00:02, length 28",
    ],
    [
      "ARP of other hardware",
      LINKTYPE.ETHERNET,
      fromHex("ffffffffffff 020000000002 0806 0018 0800 0804 0001"),
      "ARP hardware 24, protocol 0x0800, operation 1, length 8",
    ],
    [
      "ARP that ends early",
      LINKTYPE.ETHERNET,
      fromHex(`ffffffffffff 020000000002 0806 ${ARP} 0001 0200`),
      "ARP too short, length 10",
    ],
    ["LLDP", LINKTYPE.ETHERNET, fromHex("0180c200000e 020000000002 88cc 0207"), "ethertype LLDP (0x88cc), length 16"],
    ["spanning tree", LINKTYPE.ETHERNET, fromHex("0180c2000000 020000000002 0026 424203"), "802.3 frame of 38 bytes, length 17"],
    ["a link type that is not known", 147, fromHex("0102"), "link type 147, length 2"],
    ["a header that ends early", LINKTYPE.ETHERNET, fromHex("0102"), "too short for a link header, length 2"],
    ["an empty raw packet", LINKTYPE.RAW, new Uint8Array(0), "no IP packet, length 0"],
  ])("%s", (_name, linkType, bytes, text) => {
    expect(frame(bytes, linkType)).toBe(text);
  });

  it("IP behind any link is told as the packet alone is", () => {
    const alone = describePacket(SYN_V4, 0, SYN_V4.length);
    expect(frame(concat(ETHERNET_V4, SYN_V4))).toBe(`IP ${alone}`);
    expect(frame(concat(fromHex("020000000001 020000000002 8100 0005 0800"), SYN_V4))).toBe(`IP ${alone}`);
    expect(frame(SYN_V4, LINKTYPE.RAW)).toBe(`IP ${alone}`);
    expect(frame(concat(fromHex("02000000"), SYN_V4), LINKTYPE.NULL)).toBe(`IP ${alone}`);
    expect(frame(DATA_V6, LINKTYPE.RAW)).toBe(`IP6 ${describePacket(DATA_V6, 0, DATA_V6.length)}`);
  });

  it("padding behind a short packet does not count", () => {
    const padded = concat(ETHERNET_V4, SYN_V4, new Uint8Array(6));
    expect(frame(padded)).toBe(`IP ${describePacket(SYN_V4, 0, SYN_V4.length)}`);
  });

  it("brief: the endpoints and the length of TCP, all else as it is", () => {
    expect(frame(concat(ETHERNET_V4, DATA_V4), LINKTYPE.ETHERNET, 14 + DATA_V4.length, true)).toBe(
      "IP 127.0.0.1:53064 > 127.0.0.1:80: tcp 6",
    );
    expect(frame(UNREACHABLE_V4, LINKTYPE.RAW, UNREACHABLE_V4.length, true)).toContain("ICMP port-unreachable");
  });
});

describe("link headers", () => {
  it.each<[string, number, string, string]>([
    [
      "Ethernet",
      LINKTYPE.ETHERNET,
      "020000000001 020000000002 0800",
      "02:00:00:00:00:02 > 02:00:00:00:00:01, ethertype IPv4 (0x0800), length 99",
    ],
    [
      "QinQ",
      LINKTYPE.ETHERNET,
      "020000000001 020000000002 88a8 0007 8100 0005 86dd",
      "02:00:00:00:00:02 > 02:00:00:00:00:01, ethertype IPv6 (0x86dd), vlan 7, vlan 5, length 99",
    ],
    [
      "cooked",
      LINKTYPE.LINUX_SLL,
      "0004 0001 0006 020000000001 0000 0800",
      "02:00:00:00:00:01, ethertype IPv4 (0x0800), length 99",
    ],
    [
      "cooked v2",
      LINKTYPE.LINUX_SLL2,
      "0800 0000 00000007 ffff 04 00 0000000000000000",
      "interface 7, no address, ethertype IPv4 (0x0800), length 99",
    ],
    ["raw", LINKTYPE.RAW, "45", ""],
  ])("%s", (_name, linkType, hex, text) => {
    const bytes = fromHex(hex);
    expect(describeLinkHeader(bytes, 0, bytes.length, linkType, 99)).toBe(text);
  });
});

describe("packets that the snapshot length cut", () => {
  const cutAt = (bytes: Uint8Array, length: number): string => describePacket(bytes, 0, length, bytes.length);

  it("in the data: told as the whole packet, without a verdict on the checksum", () => {
    const [whole] = describePacket(DATA_V4, 0, DATA_V4.length).split(", partial TCP checksum");
    expect(cutAt(DATA_V4, DATA_V4.length - 1)).toBe(whole);
    expect(cutAt(DATA_V4, 52)).toBe(whole);
  });

  it("in the options: those before the cut, and the mark", () => {
    expect(cutAt(SYN_V4, 44)).toMatch(/options \[mss 65495\], \[cut\], length 0$/);
  });

  it("in the TCP header: the ports are there", () => {
    expect(cutAt(SYN_V4, 39)).toBe("127.0.0.1:53064 > 127.0.0.1:80: TCP [cut], length 40");
    expect(cutAt(SYN_V4, 22)).toBe("127.0.0.1 > 127.0.0.1: TCP [cut], length 40");
  });

  it("in the IP header: nothing else", () => {
    expect(cutAt(SYN_V4, 19)).toBe("IP [cut], length 60");
    expect(cutAt(DATA_V6, 39)).toBe(`IP [cut], length ${DATA_V6.length}`);
  });

  it("without the length on the wire the same bytes are damage", () => {
    expect(describePacket(SYN_V4, 0, 44)).toBe("bad packet: bad IP total length, length 44");
  });

  it("every packet, cut anywhere, never throws and never invents: what it names stands in the whole packet's line", () => {
    for (const whole of Object.values(ALL)) {
      const line = describePacket(whole, 0, whole.length);
      const [ends] = line.split(": ");
      for (let cut = 40; cut < whole.length; cut++) {
        // The bytes behind the cut are another packet's.
        const pool = concat(whole.subarray(0, cut), new Uint8Array(64).fill(0xff));
        const text = describePacket(pool, 0, cut, whole.length);
        expect(
          text.includes("[cut]") || text.startsWith(ends ?? "?") || text.includes("fragment") || text.includes("bad packet"),
        ).toBe(true);
      }
    }
  });
});

it("an offloaded super-segment states the length 0: it reaches to the end of what was on the wire", () => {
  const super4 = concat(DATA_V4, new Uint8Array(1000));
  super4[2] = 0;
  super4[3] = 0;
  expect(describePacket(super4, 0, super4.length, super4.length)).toContain("length 1006");
  expect(describePacket(super4, 0, super4.length)).toContain("bad IP total length");
});

it("whatever the bytes, the link type and the lengths are: no throw", () => {
  const types = fc.constantFrom<number>(...Object.values(LINKTYPE), 147);
  const starts = fc.constantFrom(
    new Uint8Array(0),
    ETHERNET_V4,
    concat(ETHERNET_V4, SYN_V4.subarray(0, 34)),
    fromHex("020000000001 020000000002 86dd 60"),
  );
  fc.assert(
    fc.property(
      starts,
      fc.uint8Array({ maxLength: 90 }),
      types,
      fc.nat(200),
      fc.boolean(),
      (start, noise, linkType, more, brief) => {
        const bytes = concat(start, noise);
        expect(typeof describeFrame(bytes, 0, bytes.length, linkType, bytes.length + more, brief)).toBe("string");
        expect(typeof describeLinkHeader(bytes, 0, bytes.length, linkType, bytes.length + more)).toBe("string");
      },
    ),
    { numRuns: 1000 },
  );
});
