import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  decodeEthernetHeader,
  ETHERTYPE_IPV4,
  ETHERTYPE_SERVICE_VLAN,
  ETHERTYPE_VLAN,
  type EthernetHeader,
  encodeEthernetHeader,
  ethernetHeaderLength,
  formatMac,
  parseMac,
} from "../../src/wire/ethernet.js";
import { embedded, fromHex } from "./packets.js";

const UNTAGGED = fromHex("020000000001 020000000002 0800");
const TAGGED = fromHex("ffffffffffff 020000000002 88a8 0064 8100 b00a 86dd");

describe("decodeEthernetHeader", () => {
  it("reads a plain header", () => {
    const header = decodeEthernetHeader(embedded(UNTAGGED), 7, 14) as EthernetHeader;
    expect(formatMac(header.destination)).toBe("02:00:00:00:00:01");
    expect(formatMac(header.source)).toBe("02:00:00:00:00:02");
    expect(header.tags).toEqual([]);
    expect(header.etherType).toBe(ETHERTYPE_IPV4);
  });

  it("reads two tags, the outer first", () => {
    expect(decodeEthernetHeader(embedded(TAGGED), 7, TAGGED.length)).toEqual({
      destination: new Uint8Array(6).fill(0xff),
      source: fromHex("020000000002"),
      tags: [
        { tpid: ETHERTYPE_SERVICE_VLAN, priority: 0, dropEligible: false, vlan: 100 },
        { tpid: ETHERTYPE_VLAN, priority: 5, dropEligible: true, vlan: 10 },
      ],
      etherType: 0x86dd,
    });
  });

  it("refuses a header that is cut short, in a tag too", () => {
    for (let length = 0; length < 14; length++) {
      expect(decodeEthernetHeader(UNTAGGED, 0, length)).toBe("too short for an Ethernet header");
    }
    for (let length = 0; length < TAGGED.length; length++) {
      expect(decodeEthernetHeader(TAGGED, 0, length)).toBe("too short for an Ethernet header");
    }
  });

  it("gives any bytes a value or a reason, and the value the same bytes", () => {
    const typeBytes = fc.constantFrom(0x81, 0x00, 0x88, 0xa8, 0x08);
    const frame = fc.tuple(fc.uint8Array({ minLength: 12, maxLength: 12 }), fc.array(typeBytes, { maxLength: 16 }));
    fc.assert(
      fc.property(frame, ([addresses, rest]) => {
        const bytes = Uint8Array.from([...addresses, ...rest]);
        const header = decodeEthernetHeader(bytes, 0, bytes.length);
        const length = ethernetHeaderLength(bytes, 0, bytes.length);
        if (typeof header === "string") expect(length).toBe(-1);
        else expect(encodeEthernetHeader(header)).toEqual(bytes.slice(0, length));
      }),
    );
  });
});

describe("encodeEthernetHeader", () => {
  it("writes the headers above", () => {
    for (const bytes of [UNTAGGED, TAGGED]) {
      expect(encodeEthernetHeader(decodeEthernetHeader(bytes, 0, bytes.length) as EthernetHeader)).toEqual(bytes);
    }
  });
});

describe("MAC address text", () => {
  it("reads both separators and either case", () => {
    expect(parseMac("0a:1B:2c:3d:4e:5f")).toEqual(fromHex("0a1b2c3d4e5f"));
    expect(formatMac(parseMac("0A-1B-2C-3D-4E-5F"))).toBe("0a:1b:2c:3d:4e:5f");
  });

  it.each(["", "0a:1b:2c:3d:4e", "0a:1b:2c:3d:4e:5f:60", "0a-1b:2c:3d:4e:5f", "0a1b2c3d4e5f", "0g:1b:2c:3d:4e:5f"])(
    "refuses %j",
    (text) => {
      expect(() => parseMac(text)).toThrow(expect.objectContaining({ code: "ERR_INVALID_ADDRESS" }));
    },
  );
});
