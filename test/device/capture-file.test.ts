import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { deflateRawSync, gunzipSync, gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { RawTcpError } from "../../src/base/errors.js";
import { readCaptureFile } from "../../src/device/capture-file.js";
import { CaptureError } from "../../src/pcapng/blocks.js";
import type { CapturePacket } from "../../src/pcapng/capture.js";
import { readCapture } from "../../src/pcapng/reader.js";
import { enhancedPacketBlock, interfaceDescriptionBlock, sectionHeaderBlock } from "../../src/pcapng/writer.js";
import { concat } from "../pcapng/build.js";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "rawtcp-test-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Packets that do not compress, so that the compressed file is about as long as the other. */
function capture(count: number, size: number): Uint8Array {
  let word = 1;
  const noise = (): Uint8Array =>
    Uint8Array.from({ length: size }, () => {
      word = (Math.imul(word, 1_664_525) + 1_013_904_223) >>> 0;
      return word >>> 24;
    });
  const blocks = Array.from({ length: count }, (_, n) =>
    enhancedPacketBlock({ interfaceId: 0, tsHigh: 0, tsLow: n, bytes: noise(), offset: 0, length: size }),
  );
  return concat(sectionHeaderBlock(), interfaceDescriptionBlock({ linkType: 101 }), ...blocks);
}

const FILE = capture(50, 997);

async function read(bytes: Uint8Array): Promise<{ packets: CapturePacket[]; error: unknown }> {
  const path = join(folder, "file");
  writeFileSync(path, bytes);
  return readPath(path);
}

async function readPath(path: string): Promise<{ packets: CapturePacket[]; error: unknown }> {
  const packets: CapturePacket[] = [];
  try {
    for await (const some of readCaptureFile(path)) packets.push(...some);
  } catch (error) {
    return { packets, error };
  }
  return { packets, error: undefined };
}

const plain = (packets: readonly CapturePacket[]) =>
  packets.map(({ data, ...rest }) => ({ ...rest, data: Buffer.from(data).toString("hex") }));
const WHOLE = plain(readCapture(FILE).packets);

describe("a sound file", () => {
  it.each<[string, Uint8Array]>([
    ["plain", FILE],
    ["gzip", gzipSync(FILE)],
    [
      "gzip of several members, as cat of compressed pieces gives",
      concat(gzipSync(FILE.subarray(0, 12_345)), gzipSync(FILE.subarray(12_345))),
    ],
    ["gzip that unpacks to much more", gzipSync(concat(FILE, capture(0, 0), ...Array.from({ length: 20 }, () => FILE)))],
  ])("%s", async (_name, bytes) => {
    const { packets, error } = await read(bytes);
    expect(error).toBeUndefined();
    expect(plain(packets.slice(0, 50))).toEqual(WHOLE);
    expect(packets.length % 50).toBe(0);
  });
});

describe("damage: all that was readable, and then the error", () => {
  it("a plain file cut inside a packet", async () => {
    const { packets, error } = await read(FILE.subarray(0, FILE.length - 1));
    expect(plain(packets)).toEqual(WHOLE.slice(0, 49));
    expect(error).toMatchObject({ code: "ERR_CAPTURE", message: expect.stringContaining("ends inside a block") });
  });

  it("gzip cut anywhere: what zlib itself could unpack", async () => {
    const packed = gzipSync(FILE);
    for (let cut = 0; cut < packed.length; cut += 1009) {
      const bytes = packed.subarray(0, cut);
      const { packets, error } = await read(bytes);
      expect(error).toBeInstanceOf(CaptureError);
      if (cut <= 18) continue;
      const readable = gunzipSync(bytes, { finishFlush: 2 /* Z_SYNC_FLUSH: what is there */ });
      expect(plain(packets)).toEqual(plain(readCapture(readable).packets));
      expect(String(error)).toContain("gzip data");
    }
  });

  it("gzip with a byte overwritten: the packets before it", async () => {
    // Stored blocks: what was overwritten does not spoil what stands before it.
    const packed = gzipSync(FILE, { level: 0 });
    const half = packed.length >> 1;
    packed.fill(0xff, half, half + 3);
    const { packets, error } = await read(packed);
    expect(packets.length).toBeGreaterThanOrEqual(24);
    expect(plain(packets.slice(0, 24))).toEqual(WHOLE.slice(0, 24));
    expect(error).toBeInstanceOf(CaptureError);
  });

  it("gzip whose data is no deflate stream", async () => {
    const { packets, error } = await read(concat(gzipSync(FILE).subarray(0, 10), new Uint8Array(100).fill(0xff)));
    expect([packets, String(error)]).toEqual([[], expect.stringContaining("damaged gzip data")]);
  });

  it.each<[string, Uint8Array]>([
    ["an empty file", new Uint8Array(0)],
    ["one byte", Uint8Array.of(0x1f)],
    ["a text", Buffer.from("hello, world\n")],
    ["deflate without gzip", deflateRawSync(FILE)],
  ])("%s", async (_name, bytes) => {
    const { packets, error } = await read(bytes);
    expect([packets, error]).toEqual([[], expect.any(CaptureError)]);
  });

  it.each(["/nonexistent/file", "/"])("%s cannot be read", async (path) => {
    const { error } = await readPath(path);
    expect(error).toBeInstanceOf(RawTcpError);
    expect(error).toMatchObject({ code: "ERR_CAPTURE_FILE", message: expect.stringContaining(`file ${path}: E`) });
  });
});
