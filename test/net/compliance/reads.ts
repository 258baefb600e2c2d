/** The ways to read. */
import { once } from "node:events";
import type { OnReadOpts, Socket } from "node:net";
import { pipeline as callbackPipeline, PassThrough, Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { expect, it } from "vitest";
import { client, connected, listening, pattern, readAll, type World } from "./harness.js";

export default function reads(world: World): void {
  const { host } = world;

  it("data events bring buffers", async () => {
    const { near, far } = await connected(world);
    far.write("x");
    const [chunk] = (await once(near, "data")) as [unknown];
    expect(chunk).toBeInstanceOf(Buffer);
  });

  it("setEncoding brings text, whole characters only", async () => {
    const { near, far } = await connected(world);
    near.setEncoding("utf8");
    const euro = Buffer.from("€");
    far.write(euro.subarray(0, 1));
    await new Promise((resolve) => setImmediate(resolve));
    far.end(euro.subarray(1));
    let text = "";
    for await (const chunk of near) {
      expect(typeof chunk).toBe("string");
      text += String(chunk);
    }
    expect(text).toBe("€");
  });

  it("setEncoding hex", async () => {
    const { near, far } = await connected(world);
    near.setEncoding("hex");
    far.end(Buffer.from([0xab, 0xcd]));
    let text = "";
    for await (const chunk of near) text += String(chunk);
    expect(text).toBe("abcd");
  });

  it("readable and read()", async () => {
    const { near, far } = await connected(world);
    far.end("hello");
    let text = "";
    near.on("readable", () => {
      for (let chunk = near.read() as Buffer | null; chunk !== null; chunk = near.read() as Buffer | null) text += String(chunk);
    });
    await once(near, "end");
    expect(text).toBe("hello");
  });

  it("read(n) gives exactly n bytes", async () => {
    const { near, far } = await connected(world);
    far.end("abcdef");
    await once(near, "readable");
    const parts: string[] = [];
    near.on("readable", () => undefined);
    for (let turn = 0; turn < 1000 && parts.length < 3; turn++) {
      const part = near.read(2) as Buffer | null;
      if (part === null) await new Promise((resolve) => setImmediate(resolve));
      else parts.push(String(part));
    }
    expect(parts).toEqual(["ab", "cd", "ef"]);
  });

  it("async iteration ends with the peer's end", async () => {
    const { near, far } = await connected(world);
    far.end("abc");
    expect(String(await readAll(near))).toBe("abc");
    expect(near.destroyed).toBe(true);
  });

  it("leaving the iteration destroys the socket", async () => {
    const { near, far } = await connected(world);
    far.write("abc");
    for await (const _chunk of near) break;
    expect(near.destroyed).toBe(true);
  });

  it("async iteration throws the error of a reset", async () => {
    const { near, far } = await connected(world);
    far.on("error", () => undefined);
    near.write("x");
    await once(far, "data");
    far.resetAndDestroy();
    await expect(readAll(near)).rejects.toMatchObject({ code: "ECONNRESET" });
  });

  it("pipe into a stream", async () => {
    const { near, far } = await connected(world);
    const target = new PassThrough();
    near.pipe(target);
    far.end("piped");
    const chunks: Buffer[] = [];
    for await (const chunk of target) chunks.push(chunk as Buffer);
    expect(String(Buffer.concat(chunks))).toBe("piped");
  });

  it("unpipe stops it", async () => {
    const { near, far } = await connected(world);
    const target = new PassThrough();
    near.pipe(target);
    far.write("a");
    await once(target, "data");
    near.unpipe(target);
    const rest = once(near, "data");
    near.resume();
    far.write("b");
    expect(String((await rest)[0])).toBe("b");
  });

  it("pipeline resolves at the end", async () => {
    const { near, far } = await connected(world);
    let length = 0;
    const count = new Writable({
      write(chunk: Buffer, _encoding, done) {
        length += chunk.length;
        done();
      },
    });
    far.end(pattern(300_000));
    await pipeline(near, count);
    expect(length).toBe(300_000);
  });

  it("pipeline tells of a connection that is cut", async () => {
    const { near, far } = await connected(world);
    far.on("error", () => undefined);
    const error = await new Promise<NodeJS.ErrnoException | null>((resolve) => {
      callbackPipeline(near, new PassThrough().resume(), resolve);
      near.write("x");
      far.once("data", () => far.resetAndDestroy());
    });
    expect(error?.code).toBe("ECONNRESET");
  });

  function onreadClient(port: number, onread: OnReadOpts): Socket {
    return client(world, { port, host, onread } as never);
  }

  it("onread: one buffer for all", async () => {
    const { server, port } = await listening(world);
    server.on("connection", (far) => far.end(pattern(100_000)));
    const buffer = Buffer.alloc(1000);
    const chunks: Buffer[] = [];
    const near = onreadClient(port, {
      buffer,
      callback(count, same) {
        expect(same).toBe(buffer);
        expect(count).toBeLessThanOrEqual(1000);
        chunks.push(Buffer.from(same.subarray(0, count)));
        return true;
      },
    });
    near.resume();
    await once(near, "end");
    expect(Buffer.concat(chunks).equals(pattern(100_000))).toBe(true);
  });

  it("onread: a new buffer each time", async () => {
    const { server, port } = await listening(world);
    server.on("connection", (far) => far.end(pattern(10_000)));
    const buffers = new Set<Uint8Array>();
    let length = 0;
    const near = onreadClient(port, {
      buffer: () => Buffer.alloc(700),
      callback(count, bytes) {
        buffers.add(bytes);
        length += count;
        return true;
      },
    });
    near.resume();
    await once(near, "end");
    expect(length).toBe(10_000);
    expect(buffers.size).toBeGreaterThan(10);
  });

  it("onread: no data events", async () => {
    const { server, port } = await listening(world);
    server.on("connection", (far) => far.end("x"));
    const near = onreadClient(port, { buffer: Buffer.alloc(10), callback: () => true });
    let told = 0;
    near.on("data", () => told++);
    await once(near, "end");
    expect(told).toBe(0);
  });

  it("onread: false pauses until resume", async () => {
    const { server, port } = await listening(world);
    server.on("connection", (far) => far.end(pattern(3000)));
    let calls = 0;
    const near = onreadClient(port, {
      buffer: Buffer.alloc(1000),
      callback() {
        calls++;
        return false;
      },
    });
    for (let turn = 0; turn < 1000 && calls < 1; turn++) await new Promise((resolve) => setImmediate(resolve));
    for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
    expect(calls).toBe(1);
    near.resume();
    for (let turn = 0; turn < 1000 && calls < 2; turn++) await new Promise((resolve) => setImmediate(resolve));
    expect(calls).toBe(2);
  });

  it("onread: bytesRead counts", async () => {
    const { server, port } = await listening(world);
    server.on("connection", (far) => far.end(pattern(5000)));
    const near = onreadClient(port, { buffer: Buffer.alloc(1000), callback: () => true });
    near.resume();
    await once(near, "end");
    expect(near.bytesRead).toBe(5000);
  });

  it("a chunk is the reader's to keep", async () => {
    const { near, far } = await connected(world);
    const chunks: Buffer[] = [];
    near.on("data", (chunk: Buffer) => chunks.push(chunk));
    for (let i = 0; i < 20; i++) {
      far.write(Buffer.alloc(500, i));
      await once(near, "data");
    }
    const all = Buffer.concat(chunks);
    expect(all.length).toBe(10_000);
    expect([...all].every((byte, i) => byte === Math.floor(i / 500))).toBe(true);
  });
}
