/** The reader fed piece by piece: what it gives, what it keeps, and the fields that only some files have. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { CaptureError } from "../../src/pcapng/blocks.js";
import type { CapturePacket } from "../../src/pcapng/capture.js";
import { CaptureReader, readCapture } from "../../src/pcapng/reader.js";
import { concat, FileBuilder } from "./build.js";

const ascii = (text: string): number[] => [...text].map((c) => c.charCodeAt(0));

/** Every kind of block there is, in two sections. */
function everyBlock(littleEndian: boolean): Uint8Array {
  return new FileBuilder(littleEndian)
    .section((b) => b.option(1, ascii("first")))
    .interface(1, 96, (b) => b.option(2, ascii("eth0")).option(13, [4]))
    .enhancedPacket(0, 0, 7, [1, 2, 3, 4, 5], (b) => b.option(1, ascii("a comment")))
    .block(4, (b) =>
      b
        .u16(1)
        .u16(9)
        .u8(127, 0, 0, 1, ...ascii("host\0"))
        .u8(0, 0, 0)
        .u16(0)
        .u16(0),
    )
    .block(3, (b) => b.u32(4).u8(6, 7, 8, 9))
    .block(0x0bad, (b) => b.u32(32_473).u32(5))
    .block(0x4000_0bad, (b) => b.u32(32_473).u32(5))
    .block(10, (b) => b.u32(0x544c_534b).u32(0))
    .block(5, (b) => b.u32(0).u32(0).u32(0).option(4, [1, 0, 0, 0, 0, 0, 0, 1]))
    .block(5, (b) => b.u32(0).u32(0).u32(0).option(4, [2, 0, 0, 0, 0, 0, 0, 2]))
    .section()
    .interface(101, 0, (b) => b.option(9, [9]))
    .block(2, (b) => b.u16(0).u16(0).u32(0).u32(8).u32(2).u32(2).u8(10, 11))
    .bytes();
}

function classic(littleEndian: boolean, magic: number, extra = 0): Uint8Array {
  const file = new FileBuilder(littleEndian).u32(magic).u16(2).u16(4).u32(0).u32(0).u32(65_535).u32(0x2400_0001);
  for (const size of [0, 1, 7, 60]) {
    file
      .u32(size)
      .u32(999_999)
      .u32(size)
      .u32(size + 1)
      .u8(...new Array<number>(extra).fill(0), ...new Array<number>(size).fill(size));
  }
  return file.bytes();
}

const FILES: readonly (readonly [string, Uint8Array])[] = [true, false].flatMap((littleEndian) => {
  const order = littleEndian ? "little-endian" : "big-endian";
  return [
    [`pcapng, ${order}`, everyBlock(littleEndian)],
    [`pcap in µs, ${order}`, classic(littleEndian, 0xa1b2c3d4)],
    [`pcap in ns, ${order}`, classic(littleEndian, 0xa1b23c4d)],
    [`patched pcap, ${order}`, classic(littleEndian, 0xa1b2cd34, 8)],
  ] as const;
});

/** Feeds the file in pieces of the given sizes, over and over, each in memory of its own. */
function readInPieces(file: Uint8Array, sizes: readonly number[]): { reader: CaptureReader; packets: CapturePacket[] } {
  const reader = new CaptureReader();
  const packets: CapturePacket[] = [];
  for (let at = 0, n = 0; at < file.length; n++) {
    const size = sizes[n % sizes.length] ?? 1;
    packets.push(...reader.push(file.slice(at, at + size)));
    at += size;
  }
  reader.end();
  return { reader, packets };
}

const plain = (packet: CapturePacket) => ({ ...packet, data: [...packet.data] });

describe.each(FILES)("%s", (_name, file) => {
  const whole = readCapture(file);

  test.each([1, 2, 3, 5, 7, 16, 64, 1000])("in pieces of %i bytes it reads as the whole file does", (size) => {
    const { reader, packets } = readInPieces(file, [size]);
    expect(whole.error).toBeNull();
    expect(whole.packets.length).toBeGreaterThanOrEqual(3);
    expect(packets.map(plain)).toEqual(whole.packets.map(plain));
    expect([reader.format, reader.error]).toEqual([whole.format, null]);
    expect(reader.sections).toEqual(whole.sections);
    expect(reader.interfaces).toEqual(whole.interfaces);
    expect(reader.statistics).toEqual(whole.statistics);
  });

  test("a packet comes with the byte that completes it, not later", () => {
    const reader = new CaptureReader();
    const complete: number[] = [];
    file.forEach((byte, at) => {
      for (const _packet of reader.push(Uint8Array.of(byte))) complete.push(at + 1);
    });
    const isClassic = whole.format === "pcap";
    // In pcapng a packet is complete with its block, and the next one begins where that ends.
    const offsets = whole.packets.map(({ offset }) => offset);
    for (const [n, end] of complete.entries()) expect(end).toBeGreaterThan(offsets[n] ?? Number.NaN);
    if (isClassic) expect(complete).toEqual([...offsets.slice(1), file.length]);
  });

  test("cut at every byte, in pieces: what was readable, then an error that names a byte inside the file", () => {
    for (let cut = 0; cut < file.length; cut++) {
      const { reader, packets } = readInPieces(file.subarray(0, cut), [5]);
      const expected = readCapture(file.subarray(0, cut));
      expect(packets.map(plain)).toEqual(expected.packets.map(plain));
      expect(reader.error?.message).toEqual(expected.error?.message);
      const { error } = reader;
      if (error !== null) {
        expect(error.offset).toBeLessThanOrEqual(cut);
        expect(error.message).toContain(`byte ${error.offset}`);
      }
    }
    expect(readCapture(file.subarray(0, file.length - 1)).error).toBeInstanceOf(CaptureError);
  });

  test("with bytes overwritten, pieces and whole give the same packets and the same error; nothing throws", () => {
    const changes = fc.array(fc.tuple(fc.nat(file.length - 1), fc.nat(255)), { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(changes, fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 4 }), (list, sizes) => {
        const damaged = file.slice();
        for (const [at, value] of list) damaged[at] = value;
        const expected = readCapture(damaged);
        const { reader, packets } = readInPieces(damaged, sizes);
        expect(packets.map(plain)).toEqual(expected.packets.map(plain));
        expect(reader.error?.message).toEqual(expected.error?.message);
        expect(expected.error === null || expected.error.offset <= damaged.length).toBe(true);
      }),
      { numRuns: 200 },
    );
  });
});

describe("fields", () => {
  test("every block of a pcapng file; the last statistics of an interface count", () => {
    const { sections, interfaces, packets, statistics, error } = readCapture(everyBlock(true));
    expect(error).toBeNull();
    expect(sections.map(({ comments }) => comments)).toEqual([["first"], []]);
    expect(interfaces).toMatchObject([
      { name: "eth0", fcsLength: 4, linkType: 1 },
      { fcsLength: 0, linkType: 101 },
    ]);
    expect(packets).toMatchObject([
      { timeNs: 7000n, comments: ["a comment"] },
      { timeNs: null, originalLength: 4 },
      { timeNs: 8n, interfaceIndex: 1 },
    ]);
    expect(statistics).toEqual([{ interfaceIndex: 0, received: 0x0200_0000_0000_0002n, dropped: null }]);
  });

  test("frame check sequences: in units of 16 bits in pcap, in bits or bytes in pcapng", () => {
    expect(readCapture(classic(true, 0xa1b2c3d4)).interfaces[0]?.fcsLength).toBe(4);
    const inBits = new FileBuilder(true).section().interface(1, 0, (b) => b.option(13, [32]));
    expect(readCapture(inBits.bytes()).interfaces[0]?.fcsLength).toBe(4);
  });

  test("the patched pcap tells whether a packet went out", () => {
    const file = classic(true, 0xa1b2cd34, 8);
    file[24 + 22] = 4;
    expect(readCapture(file).packets.map(({ direction }) => direction)).toEqual(["outbound", "inbound", "inbound", "inbound"]);
  });
});

describe("a length without a bound", () => {
  test("a block of gigabytes is damage at once: nothing is collected for it", () => {
    const reader = new CaptureReader();
    const start = new FileBuilder(true).section().interface(101, 0).enhancedPacket(0, 0, 1, [1]).bytes();
    const huge = new FileBuilder(true).u32(6).u32(0x7fff_fff0).u32(0).bytes();
    expect(reader.push(concat(start, huge))).toHaveLength(1);
    expect([reader.isOver, reader.error?.offset]).toEqual([true, start.length + 4]);
    expect(reader.push(start)).toEqual([]);
  });

  test("so is a packet of gigabytes in classic pcap", () => {
    const bytes = classic(true, 0xa1b2c3d4);
    new DataView(bytes.buffer).setUint32(24 + 8, 0x7fff_ffff, true);
    expect(readCapture(bytes)).toMatchObject({ packets: [], error: { offset: 24 } });
  });

  test("a block that comes in many pieces is joined once, not at every piece", () => {
    const size = 8 << 20;
    const head = new FileBuilder(true)
      .section()
      .interface(101, 0)
      .u32(6)
      .u32(size + 32)
      .u32(0)
      .u32(0)
      .u32(1)
      .u32(size)
      .u32(size)
      .bytes();
    const tail = new FileBuilder(true).u32(size + 32).bytes();
    const reader = new CaptureReader();
    const packets = reader.push(head);
    const piece = new Uint8Array(256);
    // 32,768 pieces: joined at every one, 137 GB would be copied.
    for (let at = 0; at < size; at += piece.length) packets.push(...reader.push(piece));
    packets.push(...reader.push(tail));
    reader.end();
    expect([packets.map(({ data }) => data.length), reader.error]).toEqual([[size], null]);
  });
});

test("calls after the end do nothing", () => {
  const reader = new CaptureReader();
  reader.push(everyBlock(true));
  reader.end();
  expect(reader.push(everyBlock(true))).toEqual([]);
  reader.end();
  expect([reader.error, reader.format]).toEqual([null, "pcapng"]);
});
