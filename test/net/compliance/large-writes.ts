/** Much data, in every form that a stream takes. */
import { createHash } from "node:crypto";
import { expect, it } from "vitest";
import { connected, pattern, readAll, readToEnd, type World } from "./harness.js";

const MEBIBYTE = 1 << 20;
const hash = (data: Uint8Array): string => createHash("sha256").update(data).digest("hex");

export default function largeWrites(world: World): void {
  it.each([1, 2, 5])("%i MiB in one write", async (size) => {
    const { near, far } = await connected(world);
    const data = pattern(size * MEBIBYTE);
    near.end(data);
    expect(hash(await readAll(far))).toBe(hash(data));
  });

  it("both ways at once", async () => {
    const { near, far } = await connected(world);
    const data = pattern(3 * MEBIBYTE);
    const other = Buffer.from(data).reverse();
    near.end(data);
    far.end(other);
    const [atNear, atFar] = await Promise.all([readToEnd(near), readToEnd(far)]);
    expect([hash(atNear), hash(atFar)]).toEqual([hash(other), hash(data)]);
  });

  it("many small writes", async () => {
    const { near, far } = await connected(world);
    const data = pattern(20_000);
    for (let i = 0; i < data.length; i += 10) near.write(data.subarray(i, i + 10));
    near.end();
    expect(hash(await readAll(far))).toBe(hash(data));
  });

  it("corked writes go together", async () => {
    const { near, far } = await connected(world);
    near.cork();
    for (let i = 0; i < 100; i++) near.write(String(i % 10));
    expect(near.writableCorked).toBe(1);
    near.uncork();
    near.end();
    expect(String(await readAll(far))).toBe("0123456789".repeat(10));
  });

  it("corked writes of text and bytes keep their order", async () => {
    const { near, far } = await connected(world);
    near.cork();
    near.write("ä", "utf8");
    near.write(Buffer.from([1, 2]));
    near.write("ÿ", "latin1");
    near.write("ff", "hex");
    near.uncork();
    near.end();
    expect([...(await readAll(far))]).toEqual([0xc3, 0xa4, 1, 2, 0xff, 0xff]);
  });

  const encodings: [BufferEncoding, string, number[]][] = [
    ["utf8", "€", [0xe2, 0x82, 0xac]],
    ["latin1", "é", [0xe9]],
    ["ascii", "a", [0x61]],
    ["utf16le", "a€", [0x61, 0, 0xac, 0x20]],
    ["ucs2", "b", [0x62, 0]],
    ["base64", "AQI=", [1, 2]],
    ["base64url", "_-8", [0xff, 0xef]],
    ["hex", "00ff", [0, 255]],
    ["binary", "\u00ff", [0xff]],
  ];
  it.each(encodings)("text as %s", async (encoding, text, bytes) => {
    const { near, far } = await connected(world);
    near.write(text, encoding);
    near.end();
    expect([...(await readAll(far))]).toEqual(bytes);
  });

  it("a long text whose characters do not fit in one byte", async () => {
    const { near, far } = await connected(world);
    const text = "日本語€".repeat(50_000);
    near.end(text);
    expect((await readAll(far)).toString()).toBe(text);
  });

  it("empty writes change nothing, and their callbacks are called", async () => {
    const { near, far } = await connected(world);
    await new Promise<void>((resolve) => near.write("", () => resolve()));
    await new Promise<void>((resolve) => near.write(Buffer.alloc(0), () => resolve()));
    near.end("x");
    expect(String(await readAll(far))).toBe("x");
  });

  it("setDefaultEncoding holds for text", async () => {
    const { near, far } = await connected(world);
    near.setDefaultEncoding("hex");
    near.write("414243");
    near.end();
    expect(String(await readAll(far))).toBe("ABC");
  });

  it("the memory that was written may be used again once the callback was called", async () => {
    const { near, far } = await connected(world);
    const bytes = Buffer.alloc(100_000, 1);
    await new Promise<void>((resolve) => near.write(bytes, () => resolve()));
    bytes.fill(2);
    near.end();
    const received = await readAll(far);
    expect(received.every((byte) => byte === 1)).toBe(true);
  });

  it("a write of a wrong type throws", async () => {
    const { near } = await connected(world);
    expect(() => near.write(5 as unknown as string)).toThrow(expect.objectContaining({ code: "ERR_INVALID_ARG_TYPE" }));
    expect(() => near.write(null as unknown as string)).toThrow(expect.objectContaining({ code: "ERR_STREAM_NULL_VALUES" }));
  });

  it("echo of 4 MiB", async () => {
    const { near, far } = await connected(world);
    far.pipe(far);
    const data = pattern(4 * MEBIBYTE);
    near.end(data);
    expect(hash(await readToEnd(near))).toBe(hash(data));
  });
}
