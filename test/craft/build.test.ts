import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { craft } from "../../src/craft/build.js";
import { dissect } from "../../src/craft/dissect.js";
import { FIELDS, type Field, readField } from "../../src/craft/fields.js";
import type { PacketSpec } from "../../src/craft/spec.js";
import { parseMac } from "../../src/wire/ethernet.js";
import { describePacket } from "../../src/wire/print.js";
import { ACK, SYN } from "../../src/wire/tcp-flags.js";

const text = (spec: PacketSpec): string => {
  const { bytes, ipOffset } = craft(spec);
  return describePacket(bytes, ipOffset, bytes.length - ipOffset);
};
const v4 = { family: 4, source: "10.0.0.1", destination: "10.0.0.2" } as const;
const v6 = { family: 6, source: "fd00::1", destination: "fd00::2" } as const;

describe("what is not set is computed", () => {
  it("a bare TCP spec is a SYN to port 80 with right lengths and checksums", () => {
    expect(text({ ip: v4, tcp: {} })).toBe("10.0.0.1:49152 > 10.0.0.2:80: Flags [S], seq 0, win 64240, length 0");
  });

  it("the same over IPv6, behind extension headers", () => {
    const hopByHop = { protocol: 0, body: new Uint8Array([0, 1, 4, 0, 0, 0, 0]) };
    expect(text({ ip: { ...v6, extensions: [hopByHop] }, tcp: { flags: SYN | ACK, ack: 1 }, payload: new Uint8Array(3) })).toBe(
      "[fd00::1]:49152 > [fd00::2]:80: Flags [S.], seq 0:3, ack 1, win 64240, length 3",
    );
  });

  it("options lengthen the header, and both lengths follow", () => {
    const { bytes } = craft({ ip: { ...v4, options: new Uint8Array([148, 4, 0, 0]) }, tcp: { options: "mss=1460,sackok" } });
    expect([bytes.length, bytes[0], bytes[3], (bytes[24 + 12] ?? 0) >>> 4]).toEqual([52, 0x46, 52, 7]);
  });

  it("an ICMP echo in both families has a right checksum", () => {
    expect(text({ ip: v4, icmp: { identifier: 7, sequence: 9 } })).toBe(
      "10.0.0.1 > 10.0.0.2: ICMP echo request, id 7, seq 9, length 8",
    );
    expect(text({ ip: v6, icmp: { identifier: 7, sequence: 9 } })).toBe(
      "fd00::1 > fd00::2: ICMPv6 echo request, id 7, seq 9, length 8",
    );
  });

  it("an Ethernet frame names the family of its packet", () => {
    expect(craft({ ethernet: {}, ip: v6, tcp: {} }).bytes.slice(12, 14)).toEqual(new Uint8Array([0x86, 0xdd]));
    expect(craft({ ethernet: { destination: "02:00:00:00:00:01" }, ip: v4 }).bytes.slice(0, 6)).toEqual(
      parseMac("02:00:00:00:00:01"),
    );
  });

  it("a bad checksum is never the right one", () => {
    for (let seq = 0; seq < 70_000; seq += 7) {
      const right = craft({ ip: v4, tcp: { seq } }).bytes;
      const bad = craft({ ip: v4, tcp: { seq, checksum: "bad" } }).bytes;
      if (right[36] === bad[36] && right[37] === bad[37]) throw new Error(`seq ${seq}`);
    }
    expect(text({ ip: { ...v4, checksum: "bad" }, tcp: { checksum: "bad" } })).toContain(
      "bad TCP checksum, bad IP header checksum",
    );
  });

  it("padding by choice fills the options up to a word", () => {
    const options = [{ kind: "nop" }] as const;
    expect(craft({ tcp: { options, padding: 7 } }).bytes.slice(20)).toEqual(new Uint8Array([1, 7, 7, 7]));
  });
});

describe("what is set is sent as it is set", () => {
  const numbers = FIELDS.filter((field) => field.kind === "number" && field.layer !== "ethernet");
  it.each(numbers.map((field) => [`${field.layer} ${field.name}`, field] as const))(
    "%s at both ends of its range",
    (_, field) => {
      for (const value of [0, 1, 2 ** field.bits - 1]) {
        const { bytes, ipOffset, transportOffset } = craft(specWith(field, value));
        const offset = field.layer === "ipv4" || field.layer === "ipv6" ? ipOffset : transportOffset;
        expect(readField(bytes, offset, field)).toBe(value);
      }
    },
  );

  it("a part of a field counts more than the field", () => {
    expect(craft({ ip: { ...v4, tos: 0xff, ecn: 0 } }).bytes[1]).toBe(0xfc);
  });
});

describe("what no field can hold is refused by name", () => {
  it.each<[string, PacketSpec, string]>([
    ["a port", { tcp: { sourcePort: 70_000 } }, "tcp sourcePort: 70000 is not a whole number from 0 to 65535"],
    ["a fraction", { tcp: { seq: 1.5 } }, "tcp seq: 1.5 is not a whole number from 0 to 4294967295"],
    ["a family", { ip: { family: 4, source: "::1" } }, 'ipv4 source: "::1" is not an IPv4 address'],
    [
      "a MAC address",
      { ethernet: { source: new Uint8Array(5) } },
      "ethernet source: 0,0,0,0,0 is not six bytes, as 02:00:00:00:00:01",
    ],
    [
      "too many options",
      { tcp: { options: new Uint8Array(44) } },
      "44 bytes of TCP options: a header has room for 40; set dataOffset to send them anyway",
    ],
    ["two transports", { ip: v4, tcp: {}, icmp: {} }, "a packet carries TCP or ICMP, not both"],
    [
      "too long a packet",
      { ip: v4, payload: new Uint8Array(65_536) },
      "ipv4 totalLength: a packet of 65556 bytes is longer than the field can say (65535)",
    ],
  ])("%s", (_, spec, message) => {
    expect(() => craft(spec)).toThrow(message);
  });
});

describe("dissect", () => {
  const roundTrip = (bytes: Uint8Array, start: "ip" | "ethernet"): void => {
    expect(craft(dissect(bytes, 0, bytes.length, start)).bytes).toEqual(bytes);
  };

  it("gives a spec of which craft makes the same bytes, whatever they are", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 120 }), fc.constantFrom("ip", "ethernet"), (bytes, start) =>
        roundTrip(bytes, start),
      ),
      { numRuns: 2000 },
    );
  });

  it("of packets with bytes changed", () => {
    const packets = [
      craft({
        ip: { ...v4, options: new Uint8Array(8) },
        tcp: { options: "mss=1,nop,ts=1:2" },
        payload: new Uint8Array(9),
        trailer: new Uint8Array(3),
      }),
      craft({ ip: { ...v6, extensions: [{ protocol: 44, body: new Uint8Array(7) }] }, tcp: {}, payload: new Uint8Array(9) }),
      craft({ ip: v4, icmp: {}, payload: new Uint8Array(30) }),
    ].map((packet) => packet.bytes);
    fc.assert(
      fc.property(fc.nat(2), fc.array(fc.tuple(fc.nat(90), fc.nat(255)), { maxLength: 4 }), (which, changes) => {
        const bytes = (packets[which] ?? new Uint8Array(0)).slice();
        for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
        roundTrip(bytes, "ip");
      }),
      { numRuns: 3000 },
    );
  });

  it("names every field of a segment as it stands", () => {
    const { bytes } = craft({
      ip: { ...v4, ttl: 3 },
      tcp: { seq: 0xffff_ffff, window: 7, reserved: 5 },
      payload: new Uint8Array([1]),
    });
    expect(dissect(bytes, 0, bytes.length)).toMatchObject({
      ip: { ttl: 3 },
      tcp: { seq: 0xffff_ffff, window: 7, reserved: 5 },
      payload: new Uint8Array([1]),
    });
  });
});

function specWith(field: Field, value: number): PacketSpec {
  const set = { [field.name]: value };
  switch (field.layer) {
    case "ipv4":
      return { ip: { ...v4, ...set }, tcp: {} };
    case "ipv6":
      return { ip: { ...v6, ...set }, tcp: {} };
    case "icmp":
      return { ip: v4, icmp: set };
    default:
      return { ip: v4, tcp: set };
  }
}
