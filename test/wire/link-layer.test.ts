import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { LINKTYPE, LinkHeader, locateIp, readLinkHeader } from "../../src/wire/link-layer.js";

const IPV4 = [0x45, 0, 0, 20, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
const IPV6 = [0x60, ...new Array<number>(39).fill(0)];
const MACS = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
const COOKED = (type: number, arphrd: number, protocol: readonly number[]) => [
  0,
  type,
  arphrd >>> 8,
  arphrd & 255,
  0,
  6,
  ...MACS.slice(0, 6),
  0,
  0,
  ...protocol,
];
const COOKED_V2 = (type: number, arphrd: number, protocol: readonly number[]) => [
  ...protocol,
  0,
  0,
  0,
  0,
  0,
  7,
  arphrd >>> 8,
  arphrd & 255,
  type,
  6,
  ...MACS.slice(0, 6),
  0,
  0,
];

describe("where IP begins", () => {
  test.each<[string, number, readonly number[], readonly number[]]>([
    ["Ethernet, IPv4", LINKTYPE.ETHERNET, [...MACS, 8, 0], IPV4],
    ["Ethernet, IPv6", LINKTYPE.ETHERNET, [...MACS, 0x86, 0xdd], IPV6],
    ["802.1Q", LINKTYPE.ETHERNET, [...MACS, 0x81, 0, 0xe0, 5, 8, 0], IPV4],
    ["802.1ad around 802.1Q", LINKTYPE.ETHERNET, [...MACS, 0x88, 0xa8, 0, 9, 0x81, 0, 0, 5, 0x86, 0xdd], IPV6],
    ["0x9100 around 802.1Q", LINKTYPE.ETHERNET, [...MACS, 0x91, 0, 0, 9, 0x81, 0, 0, 5, 8, 0], IPV4],
    ["raw IPv4", LINKTYPE.RAW, [], IPV4],
    ["raw IPv6", LINKTYPE.RAW, [], IPV6],
    ["raw as 12", 12, [], IPV4],
    ["raw as 14", 14, [], IPV6],
    ["228", LINKTYPE.IPV4, [], IPV4],
    ["229", LINKTYPE.IPV6, [], IPV6],
    ["cooked v1", LINKTYPE.LINUX_SLL, COOKED(0, 1, [8, 0]), IPV4],
    ["cooked v1 with a tag", LINKTYPE.LINUX_SLL, [...COOKED(4, 1, [0x81, 0]), 0, 5, 0x86, 0xdd], IPV6],
    ["cooked v2", LINKTYPE.LINUX_SLL2, COOKED_V2(4, 772, [8, 0]), IPV4],
    ["cooked v2 with a tag", LINKTYPE.LINUX_SLL2, [...COOKED_V2(4, 1, [0x81, 0]), 0, 5, 8, 0], IPV4],
    ["NULL, little-endian", LINKTYPE.NULL, [2, 0, 0, 0], IPV4],
    ["NULL, big-endian", LINKTYPE.NULL, [0, 0, 0, 2], IPV4],
    ["NULL, IPv6 of Darwin", LINKTYPE.NULL, [30, 0, 0, 0], IPV6],
    ["NULL, IPv6 of Linux", LINKTYPE.NULL, [10, 0, 0, 0], IPV6],
    ["LOOP, IPv6 of OpenBSD", LINKTYPE.LOOP, [0, 0, 0, 24], IPV6],
  ])("%s", (_name, linkType, header, ip) => {
    const before = [0xff, 0xff, 0xff];
    const bytes = Uint8Array.from([...before, ...header, ...ip, 0xee]);
    const length = header.length + ip.length;
    expect(locateIp(bytes, 3, length, linkType)).toBe(3 + header.length);
    // Cut inside the link header, there is no saying.
    for (let cut = 0; cut < header.length; cut++) expect(locateIp(bytes, 3, cut, linkType)).toBe(-1);
  });

  test.each<[string, number, readonly number[]]>([
    ["ARP on Ethernet", LINKTYPE.ETHERNET, [...MACS, 8, 6, ...IPV4]],
    ["an 802.3 length", LINKTYPE.ETHERNET, [...MACS, 0, 20, ...IPV4]],
    ["netlink, whose family is no EtherType", LINKTYPE.LINUX_SLL, [...COOKED(4, 824, [8, 0]), ...IPV4]],
    ["netlink in v2", LINKTYPE.LINUX_SLL2, [...COOKED_V2(4, 824, [8, 0]), ...IPV4]],
    ["another family on loopback", LINKTYPE.NULL, [7, 0, 0, 0, ...IPV4]],
    ["version 5, raw", LINKTYPE.RAW, [0x55, ...IPV4]],
    ["an unknown link type", 147, IPV4],
    ["a type below zero", -1, IPV4],
  ])("none: %s", (_name, linkType, frame) => {
    expect(locateIp(Uint8Array.from(frame), 0, frame.length, linkType)).toBe(-1);
  });
});

describe("the link header", () => {
  test("tags, outermost first, and the payload's length", () => {
    const header = new LinkHeader();
    const frame = Uint8Array.from([...MACS, 0x88, 0xa8, 0x20, 9, 0x81, 0, 0xf1, 0x23, 8, 0, 1, 2, 3]);
    expect(readLinkHeader(header, frame, 0, frame.length, LINKTYPE.ETHERNET)).toBe("");
    expect([...header.vlans.subarray(0, header.vlanCount)]).toEqual([9, 0x123]);
    expect(header).toMatchObject({ etherType: 0x0800, payloadOffset: 22, payloadLength: 3, direction: "", interfaceIndex: 0 });
  });

  test("direction and interface of cooked frames; nothing of them stays for the next frame", () => {
    const header = new LinkHeader();
    const ours = Uint8Array.from(COOKED_V2(4, 772, [8, 6]));
    expect(readLinkHeader(header, ours, 0, ours.length, LINKTYPE.LINUX_SLL2)).toBe("");
    expect(header).toMatchObject({ direction: "from us", interfaceIndex: 7, etherType: 0x0806, payloadLength: 0 });
    expect(readLinkHeader(header, Uint8Array.from(COOKED(0, 1, [8, 0])), 0, 16, LINKTYPE.LINUX_SLL)).toBe("");
    expect(header).toMatchObject({ direction: "to us", interfaceIndex: 0 });
    expect(readLinkHeader(header, Uint8Array.from(IPV4), 0, 20, LINKTYPE.RAW)).toBe("");
    expect(header.direction).toBe("");
  });

  test("more tags than are listed are stepped over", () => {
    const header = new LinkHeader();
    const tags = new Array(6).fill([0x81, 0, 0, 1]).flat();
    const frame = Uint8Array.from([...MACS, ...tags, 8, 0, ...IPV4]);
    expect(readLinkHeader(header, frame, 0, frame.length, LINKTYPE.ETHERNET)).toBe("");
    expect(header).toMatchObject({ etherType: 0x0800, vlanCount: 4, payloadOffset: 38 });
  });

  test("whatever the bytes are: no throw, and what is found lies inside the frame", () => {
    const header = new LinkHeader();
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 64 }),
        fc.constantFrom(0, 1, 12, 14, 101, 108, 113, 228, 229, 276, 7),
        (frame, linkType) => {
          const problem = readLinkHeader(header, frame, 0, frame.length, linkType);
          if (problem === "") expect(header.payloadOffset + header.payloadLength).toBe(frame.length);
          const at = locateIp(frame, 0, frame.length, linkType);
          expect(at).toBeGreaterThanOrEqual(-1);
          expect(at).toBeLessThanOrEqual(frame.length);
        },
      ),
    );
  });
});
