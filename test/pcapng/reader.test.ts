import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { CaptureError, LINKTYPE } from "../../src/pcapng/blocks.js";
import { readCapture } from "../../src/pcapng/reader.js";
import { enhancedPacketBlock, interfaceDescriptionBlock, sectionHeaderBlock } from "../../src/pcapng/writer.js";
import { concat, FileBuilder } from "./build.js";

const ascii = (text: string): number[] => [...text].map((c) => c.charCodeAt(0));

describe.each([true, false])("pcapng, little-endian %s", (littleEndian) => {
  test("section, interface and packet with all their options", () => {
    const file = new FileBuilder(littleEndian)
      .section((b) =>
        b.option(2, ascii("m68k")).option(3, ascii("os")).option(4, ascii("prog")).option(1, ascii("hello")).option(0, []),
      )
      .interface(LINKTYPE.ETHERNET, 96, (b) =>
        b
          .option(2, ascii("eth0"))
          .option(9, [9])
          .option(11, [0, ...ascii("tcp")]),
      )
      .enhancedPacket(0, 0x17a0_0000, 0x0000_0005, [1, 2, 3], (b) =>
        b
          .option(1, ascii("one"))
          .option(2, littleEndian ? [1, 0, 0, 0] : [0, 0, 0, 1])
          .option(1, ascii("two"))
          .option(0, []),
      )
      .bytes();
    const { format, sections, interfaces, packets, error } = readCapture(file);
    expect(error).toBeNull();
    expect(format).toBe("pcapng");
    expect(sections).toEqual([{ littleEndian, hardware: "m68k", os: "os", userAppl: "prog", comments: ["hello"] }]);
    expect(interfaces[0]).toMatchObject({
      section: 0,
      linkType: 1,
      snapLen: 96,
      name: "eth0",
      filter: "tcp",
      unitsPerSecond: 1_000_000_000n,
    });
    expect(packets).toHaveLength(1);
    expect(packets[0]).toMatchObject({
      timeNs: 0x17a0_0000_0000_0005n,
      originalLength: 3,
      direction: "inbound",
      comments: ["one", "two"],
    });
    expect([...(packets[0]?.data ?? [])]).toEqual([1, 2, 3]);
  });

  test("resolution and offset of time: microseconds by default, powers of ten and of two, an offset in seconds", () => {
    const offset = littleEndian ? [10, 0, 0, 0, 0, 0, 0, 0] : [0, 0, 0, 0, 0, 0, 0, 10];
    const { packets, error } = readCapture(
      new FileBuilder(littleEndian)
        .section()
        .interface(101, 0)
        .interface(101, 0, (b) => b.option(9, [3]))
        .interface(101, 0, (b) => b.option(9, [0x80 | 10]).option(14, offset))
        .interface(101, 0, (b) => b.option(9, [12]))
        .enhancedPacket(0, 0, 1500, [])
        .enhancedPacket(1, 1, 1, [])
        .enhancedPacket(2, 0, 1536, [])
        .enhancedPacket(3, 0, 1999, [])
        .bytes(),
    );
    expect(error).toBeNull();
    expect(packets.map((packet) => packet.timeNs)).toEqual([1_500_000n, (2n ** 32n + 1n) * 1_000_000n, 11_500_000_000n, 1n]);
  });

  test("interface numbers begin anew in each section", () => {
    const { sections, interfaces, packets, error } = readCapture(
      new FileBuilder(littleEndian)
        .section()
        .interface(1, 0)
        .interface(101, 0)
        .enhancedPacket(1, 0, 0, [1])
        .section()
        .interface(228, 0)
        .enhancedPacket(0, 0, 0, [2])
        .bytes(),
    );
    expect(error).toBeNull();
    expect(sections).toHaveLength(2);
    expect(packets.map((packet) => interfaces[packet.interfaceIndex]?.linkType)).toEqual([101, 228]);
  });

  test("simple packets are cut to the snap length and have no time", () => {
    const { packets, error } = readCapture(
      new FileBuilder(littleEndian)
        .section()
        .interface(101, 4)
        .block(3, (b) => b.u32(9).u8(1, 2, 3, 4))
        .block(3, (b) => b.u32(2).u8(5, 6))
        .bytes(),
    );
    expect(error).toBeNull();
    expect(packets.map((packet) => [[...packet.data], packet.originalLength, packet.timeNs])).toEqual([
      [[1, 2, 3, 4], 9, null],
      [[5, 6], 2, null],
    ]);
  });

  test("the obsolete packet block has 16 bits of interface and 16 of drops", () => {
    const { packets, error } = readCapture(
      new FileBuilder(littleEndian)
        .section()
        .interface(1, 0)
        .interface(101, 0)
        .block(2, (b) => b.u16(1).u16(0xffff).u32(0).u32(7).u32(1).u32(60).u8(9))
        .bytes(),
    );
    expect(error).toBeNull();
    expect(packets[0]).toMatchObject({ interfaceIndex: 1, timeNs: 7000n, originalLength: 60 });
  });

  test("blocks of unknown types are stepped over, statistics are read", () => {
    const count = littleEndian ? [5, 0, 0, 0, 0, 0, 0, 0] : [0, 0, 0, 0, 0, 0, 0, 5];
    const { packets, statistics, error } = readCapture(
      new FileBuilder(littleEndian)
        .section()
        .interface(101, 0)
        .block(0xbad, (b) => b.u32(1))
        .block(4, (b) => b.u32(0))
        .enhancedPacket(0, 0, 0, [1])
        .block(5, (b) => b.u32(0).u32(0).u32(0).option(4, count))
        .bytes(),
    );
    expect(error).toBeNull();
    expect(packets).toHaveLength(1);
    expect(statistics).toEqual([{ interfaceIndex: 0, received: 5n, dropped: null }]);
  });

  test.each([
    [0xa1b2c3d4, 123_000n],
    [0xa1b23c4d, 123n],
  ])("classic pcap with magic %x", (magic, fraction) => {
    const { format, interfaces, packets, error } = readCapture(
      new FileBuilder(littleEndian)
        .u32(magic)
        .u16(2)
        .u16(4)
        .u32(0)
        .u32(0)
        .u32(262144)
        .u32(0xf000_0065)
        .u32(0xfedc_ba98)
        .u32(123)
        .u32(2)
        .u32(1500)
        .u8(4, 5)
        .bytes(),
    );
    expect(error).toBeNull();
    expect(format).toBe("pcap");
    expect(interfaces).toMatchObject([{ section: -1, linkType: 101, snapLen: 262144 }]);
    expect(packets).toMatchObject([
      { timeNs: 0xfedc_ba98n * 1_000_000_000n + fraction, originalLength: 1500, direction: null, offset: 24 },
    ]);
    expect([...(packets[0]?.data ?? [])]).toEqual([4, 5]);
  });
});

describe("damage", () => {
  const good = (): FileBuilder => new FileBuilder(true).section().interface(101, 0).enhancedPacket(0, 0, 1, [1]);
  const whole = good().bytes();

  test("a file cut anywhere gives the packets before the cut and tells where the cut block began", () => {
    const file = good().enhancedPacket(0, 0, 2, [2]).bytes();
    for (let cut = whole.length + 1; cut < file.length; cut++) {
      const { packets, error } = readCapture(file.subarray(0, cut));
      expect(packets).toHaveLength(1);
      expect(error).toBeInstanceOf(CaptureError);
      expect(error?.offset).toBe(whole.length);
      expect(error?.code).toBe("ERR_CAPTURE");
    }
  });

  test("lengths that differ, are odd or too small end the reading at their byte", () => {
    const lengthAt = whole.length - 4;
    for (const [at, value] of [
      [lengthAt, 0],
      [whole.length - 36 + 4, 3],
      [whole.length - 36 + 4, 8],
    ] as const) {
      const file = whole.slice();
      new DataView(file.buffer).setUint32(at, value, true);
      const { packets, error } = readCapture(file);
      expect(packets).toHaveLength(0);
      expect(error?.offset).toBe(at);
    }
  });

  test("a damaged block inside a sound frame is left out, what follows is read", () => {
    const file = good()
      .block(6, (b) => b.u32(0).u32(0).u32(0).u32(1000).u32(1000))
      .enhancedPacket(7, 0, 0, [])
      .enhancedPacket(0, 0, 3, [3])
      .bytes();
    const { packets, error } = readCapture(file);
    expect(packets.map((packet) => packet.timeNs)).toEqual([1000n, 3000n]);
    expect(error?.offset).toBe(whole.length + 8 + 12);
    expect(error?.message).toContain("1000 bytes");
  });

  test("a packet that is longer than its block by a single byte is damage", () => {
    const room = (captured: number): FileBuilder =>
      good().block(6, (b) => b.u32(0).u32(0).u32(0).u32(captured).u32(9).u8(1, 2, 3, 4));
    expect(readCapture(room(4).bytes()).packets).toHaveLength(2);
    expect(readCapture(room(5).bytes())).toMatchObject({ packets: { length: 1 }, error: { offset: whole.length + 20 } });
  });

  test("a classic file cut anywhere gives the packets before the cut", () => {
    const file = new FileBuilder(false).u32(0xa1b2c3d4).u16(2).u16(4).u32(0).u32(0).u32(0).u32(101);
    const lengths = [24];
    for (let n = 0; n < 3; n++) {
      file
        .u32(n)
        .u32(0)
        .u32(n)
        .u32(n)
        .u8(...new Array<number>(n).fill(n));
      lengths.push(file.length);
    }
    const bytes = file.bytes();
    for (let cut = 24; cut <= bytes.length; cut++) {
      const complete = lengths.filter((length) => length <= cut).length - 1;
      const { packets, error } = readCapture(bytes.subarray(0, cut));
      expect(packets).toHaveLength(complete);
      expect(error?.offset ?? null).toBe(lengths.includes(cut) ? null : lengths[complete]);
    }
    expect(readCapture(bytes.subarray(0, 23))).toMatchObject({ format: "pcap", interfaces: [], error: { offset: 0 } });
  });

  test("an option that reaches beyond its block is left out, the packet stays", () => {
    const { packets, error } = readCapture(
      good()
        .enhancedPacket(0, 0, 2, [2], (b) => b.option(1, ascii("kept")).u16(1).u16(500))
        .bytes(),
    );
    expect(packets[1]).toMatchObject({ timeNs: 2000n, comments: ["kept"] });
    expect(error?.message).toContain("option 1 of 500 bytes");
  });

  test("neither format: an empty file, a text, an unknown version", () => {
    expect(readCapture(new Uint8Array(0))).toMatchObject({ format: "unknown", error: { offset: 0 } });
    expect(readCapture(Uint8Array.from(ascii("#!/bin/sh")))).toMatchObject({ format: "unknown", error: { offset: 0 } });
    const versioned = whole.slice();
    versioned[12] = 2;
    expect(readCapture(versioned)).toMatchObject({ format: "pcapng", packets: [], error: { offset: 12 } });
  });

  test("random bytes never throw", () => {
    const magics = [[0x0a, 0x0d, 0x0d, 0x0a], [0xd4, 0xc3, 0xb2, 0xa1], [0xa1, 0xb2, 0x3c, 0x4d], []].map((m) =>
      Uint8Array.from(m),
    );
    fc.assert(
      fc.property(fc.constantFrom(...magics), fc.uint8Array({ maxLength: 200 }), (magic, noise) => {
        const { error, packets } = readCapture(concat(magic, noise));
        expect(error === null || error instanceof CaptureError).toBe(true);
        for (const packet of packets) expect(packet.data.length).toBeLessThanOrEqual(noise.length);
      }),
    );
  });

  test("a sound file with any bytes overwritten never throws, and never gives bytes from outside of the file", () => {
    const file = concat(
      sectionHeaderBlock({ os: "x", comments: ["äöü"] }),
      interfaceDescriptionBlock({ name: "lo" }),
      ...[1, 2, 3].map((n) =>
        enhancedPacketBlock({
          interfaceId: 0,
          tsHigh: 0,
          tsLow: n,
          bytes: new Uint8Array(n * 5),
          offset: 0,
          length: n * 5,
          direction: "inbound",
          comments: ["why"],
        }),
      ),
    );
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(file.length - 1), fc.nat(255)), { minLength: 1, maxLength: 6 }), (changes) => {
        // The file lies inside a larger array, as a slice of a buffer pool would.
        const pool = new Uint8Array(file.length + 64).fill(0xee);
        const view = pool.subarray(32, 32 + file.length);
        view.set(file);
        for (const [at, value] of changes) view[at] = value;
        const { error, packets } = readCapture(view);
        expect(error === null || (error instanceof CaptureError && error.offset <= file.length)).toBe(true);
        for (const { data } of packets) {
          expect(data.byteOffset).toBeGreaterThanOrEqual(32);
          expect(data.byteOffset + data.length).toBeLessThanOrEqual(32 + file.length);
        }
      }),
      { numRuns: 2000 },
    );
  });
});
