import { describe, expect, it } from "vitest";
import { craft } from "../../src/craft/build.js";
import { fragment } from "../../src/craft/fragments.js";
import type { PacketSpec } from "../../src/craft/spec.js";
import { describePacket } from "../../src/wire/print.js";

const payload = Uint8Array.from({ length: 100 }, (_, i) => i);
const packetOf = (spec: PacketSpec): Uint8Array => craft({ tcp: {}, payload, ...spec }).bytes;
const describeAll = (pieces: Uint8Array[]): string[] => pieces.map((piece) => describePacket(piece, 0, piece.length));

describe("fragments of IPv4", () => {
  it("hold all the bytes, in units of eight, with right headers", () => {
    const packet = packetOf({ ip: { family: 4, id: 7 } });
    const pieces = fragment(packet, 68);
    expect(describeAll(pieces)).toEqual([
      "127.0.0.1 > 127.0.0.1: fragment of protocol 6, id 7, offset 0+, length 48",
      "127.0.0.1 > 127.0.0.1: fragment of protocol 6, id 7, offset 48+, length 48",
      "127.0.0.1 > 127.0.0.1: fragment of protocol 6, id 7, offset 96, length 24",
    ]);
    expect(Buffer.concat(pieces.map((piece) => piece.subarray(20)))).toEqual(Buffer.from(packet.subarray(20)));
  });

  it("a packet that fits stays whole", () => {
    const packet = packetOf({ ip: { family: 4 } });
    expect(fragment(packet, packet.length)).toEqual([packet]);
  });

  it("of a fragment count on, and the last one still has more behind it", () => {
    const pieces = fragment(packetOf({ ip: { family: 4, moreFragments: true, fragmentOffset: 10 } }), 100);
    expect(describeAll(pieces).map((text) => /offset \S+,/.exec(text)?.[0])).toEqual(["offset 80+,", "offset 160+,"]);
  });

  it("an MTU without room is refused", () => {
    expect(() => fragment(packetOf({ ip: { family: 4 } }), 27)).toThrow(
      "an MTU of 27 bytes has no room for eight bytes behind 20 bytes of headers",
    );
    expect(() => fragment(new Uint8Array(50), 40)).toThrow("only an IP packet can be cut into fragments");
  });
});

describe("fragments of IPv6", () => {
  it("repeat the headers that routers read, and name the protocol in the fragment header", () => {
    const hopByHop = { protocol: 0, body: new Uint8Array([0, 1, 4, 0, 0, 0, 0]) };
    const packet = packetOf({ ip: { family: 6, extensions: [hopByHop] } });
    const pieces = fragment(packet, 96, 0x01020304);
    const firstBytes = pieces.map((piece) => [piece[6], piece[40], piece[48], piece.length]);
    expect(firstBytes).toEqual([0, 1, 2].map(() => [0, 44, 6, 96]));
    expect(Buffer.concat(pieces.map((piece) => piece.subarray(56)))).toEqual(Buffer.from(packet.subarray(48)));
    expect(pieces.map((piece) => [(((piece[50] ?? 0) << 8) | (piece[51] ?? 0)) & 0xfff8, (piece[51] ?? 0) & 1])).toEqual([
      [0, 1],
      [40, 1],
      [80, 0],
    ]);
  });
});
