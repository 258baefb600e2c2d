/** Node's stream library over sockets. */
import { once } from "node:events";
import { createInterface } from "node:readline";
import { addAbortSignal, Duplex, finished as finishedBy, PassThrough, Readable, Transform, Writable } from "node:stream";
import { buffer, json, text } from "node:stream/consumers";
import { finished, pipeline } from "node:stream/promises";
import { createGunzip, createGzip } from "node:zlib";
import { expect, it } from "vitest";
import { connected, pattern, readAll, type World } from "./harness.js";
import { turns } from "./turns.js";

export default function streams(world: World): void {
  it("pipeline through gzip at one end and gunzip at the other", async () => {
    const { near, far } = await connected(world);
    const sent = pattern(300_000);
    const [received] = await Promise.all([
      buffer(far.pipe(createGunzip())),
      pipeline(Readable.from([sent.subarray(0, 100_000), sent.subarray(100_000)]), createGzip(), near),
    ]);
    expect(received.equals(sent)).toBe(true);
  });

  it("pipeline of compressed data there and back", async () => {
    const { near, far } = await connected(world, { allowHalfOpen: true }, { allowHalfOpen: true });
    const upper = new Transform({
      transform(chunk, _encoding, done) {
        done(null, String(chunk).toUpperCase());
      },
    });
    const echoed = pipeline(far, createGunzip(), upper, createGzip(), far);
    const sent = pipeline(Readable.from(["abc ".repeat(1000)]), createGzip(), near);
    expect(await text(near.pipe(createGunzip()))).toBe("ABC ".repeat(1000));
    await Promise.all([echoed, sent]);
  });

  it("pipeline from an async generator ends the socket", async () => {
    const { near, far } = await connected(world);
    async function* lines(): AsyncGenerator<string> {
      for (let i = 0; i < 5; i++) {
        await turns(1);
        yield `line ${i}\n`;
      }
    }
    await Promise.all([
      pipeline(lines, near),
      text(far).then((all) => expect(all).toBe("line 0\nline 1\nline 2\nline 3\nline 4\n")),
    ]);
    expect(near.writableFinished).toBe(true);
  });

  it("pipeline into a stream that fails destroys the socket", async () => {
    const { near, far } = await connected(world);
    const failing = new Writable({
      write(_chunk, _encoding, done) {
        done(new Error("no room"));
      },
    });
    far.on("error", () => undefined);
    far.write("x");
    await expect(pipeline(near, failing)).rejects.toThrow("no room");
    expect(near.destroyed).toBe(true);
  });

  it("pipeline with a signal is aborted, and the socket is destroyed", async () => {
    const { near, far } = await connected(world);
    far.on("error", () => undefined);
    const control = new AbortController();
    const piped = pipeline(near, new PassThrough().resume(), { signal: control.signal });
    far.write("x");
    await once(near, "readable").catch(() => undefined);
    control.abort();
    await expect(piped).rejects.toMatchObject({ name: "AbortError", code: "ABORT_ERR" });
    expect(near.destroyed).toBe(true);
  });

  it("pipeline with end: false leaves the socket open", async () => {
    const { near, far } = await connected(world);
    await pipeline(Readable.from(["first "]), near, { end: false });
    expect([near.writableEnded, near.writable]).toEqual([false, true]);
    near.end("second");
    expect(await text(far)).toBe("first second");
  });

  it("pipe with end: false leaves the socket open", async () => {
    const { near, far } = await connected(world);
    const source = Readable.from(["a", "b"]);
    source.pipe(near, { end: false });
    await once(source, "end");
    expect(near.writableEnded).toBe(false);
    near.end("c");
    expect(await text(far)).toBe("abc");
  });

  it("pipe and unpipe are told at the socket", async () => {
    const { near } = await connected(world);
    const source = new PassThrough();
    const told: unknown[] = [];
    near.on("pipe", (from) => told.push("pipe", from));
    near.on("unpipe", (from) => told.push("unpipe", from));
    source.pipe(near);
    source.unpipe(near);
    expect(told).toEqual(["pipe", source, "unpipe", source]);
    expect(near.destroyed).toBe(false);
  });

  it("pipe to two streams gives both all of it", async () => {
    const { near, far } = await connected(world);
    const copies = [new PassThrough(), new PassThrough()];
    for (const copy of copies) near.pipe(copy);
    const read = Promise.all(copies.map((copy) => buffer(copy)));
    far.end(pattern(50_000));
    for (const copy of await read) expect(copy.equals(pattern(50_000))).toBe(true);
  });

  it("finished resolves once both ways have ended", async () => {
    const { near, far } = await connected(world);
    const done = finished(near);
    near.resume();
    far.resume();
    near.end("x");
    await done;
    expect([near.readableEnded, near.writableFinished]).toEqual([true, true]);
  });

  it("finished rejects with a premature close when the socket is destroyed", async () => {
    const { near } = await connected(world);
    const done = finished(near);
    near.destroy();
    await expect(done).rejects.toMatchObject({ code: "ERR_STREAM_PREMATURE_CLOSE" });
  });

  it("finished rejects with the error of a reset", async () => {
    const { near, far } = await connected(world);
    near.resume();
    const done = finished(near);
    far.resetAndDestroy();
    await expect(done).rejects.toMatchObject({ code: "ECONNRESET" });
  });

  it("finished without the readable side waits for the writes alone", async () => {
    const { near, far } = await connected(world, { allowHalfOpen: true }, { allowHalfOpen: true });
    far.resume();
    const done = finished(near, { readable: false });
    near.end("x");
    await done;
    expect([near.writableFinished, near.readableEnded]).toEqual([true, false]);
  });

  it("the clean-up of finished takes its listeners away", async () => {
    const { near } = await connected(world);
    const before = near.listenerCount("close");
    const cleanup = finishedBy(near, () => undefined);
    expect(near.listenerCount("close")).toBeGreaterThan(before);
    cleanup();
    expect(near.listenerCount("close")).toBe(before);
  });

  it("compose of a socket and a transform reads what the transform makes", async () => {
    const { near, far } = await connected(world);
    const shout = near.compose(async function* (chunks: AsyncIterable<Buffer>) {
      for await (const chunk of chunks) yield String(chunk).toUpperCase();
    } as never);
    far.end("shout");
    near.end();
    expect(await text(shout)).toBe("SHOUT");
  });

  it("Duplex.from of a socket's two ways", async () => {
    const { near, far } = await connected(world);
    far.pipe(far);
    const both = Duplex.from({ readable: near, writable: near });
    both.write("through both");
    expect(String((await once(both, "data"))[0])).toBe("through both");
    both.on("error", () => undefined).destroy();
  });

  it("addAbortSignal destroys the socket with an AbortError", async () => {
    const { near } = await connected(world);
    const control = new AbortController();
    expect(addAbortSignal(control.signal, near)).toBe(near);
    const failed = once(near, "close").catch((error: unknown) => error);
    control.abort();
    expect(await failed).toMatchObject({ name: "AbortError" });
    expect(near.destroyed).toBe(true);
  });

  it("json of all that a socket brings", async () => {
    const { near, far } = await connected(world);
    far.end(JSON.stringify({ list: [1, 2, 3] }));
    expect(await json(near)).toEqual({ list: [1, 2, 3] });
  });

  it("readline gives lines, whatever the pieces they came in", async () => {
    const { near, far } = await connected(world);
    const lines: string[] = [];
    const told = (async () => {
      for await (const line of createInterface({ input: near })) lines.push(line);
    })();
    for (const piece of ["on", "e\ntw", "o\r\nthr", "ee"]) {
      await new Promise((resolve) => far.write(piece, resolve));
      await turns(2);
    }
    far.end();
    await told;
    expect(lines).toEqual(["one", "two", "three"]);
  });

  it("unshift gives data back to be read first", async () => {
    const { near, far } = await connected(world);
    far.end("head body");
    await once(near, "readable");
    const chunk = near.read() as Buffer;
    near.unshift(chunk);
    expect(await text(near)).toBe("head body");
  });

  it("an iteration that keeps the socket leaves it open", async () => {
    const { near, far } = await connected(world);
    far.write("one");
    for await (const chunk of near.iterator({ destroyOnReturn: false })) {
      expect(String(chunk)).toBe("one");
      break;
    }
    expect(near.destroyed).toBe(false);
    near.write("still");
    expect(String((await once(far, "data"))[0])).toBe("still");
  });

  it("toArray, map and reduce of a readable socket", async () => {
    const { near, far } = await connected(world);
    far.end("abcde");
    const lengths = near.map((chunk: Buffer) => chunk.length);
    expect(await lengths.reduce((sum: number, length: number) => sum + length, 0)).toBe(5);
  });

  it("a socket may be wrapped by an older stream's reader", async () => {
    const { near, far } = await connected(world);
    const wrapped = new Readable().wrap(near);
    far.end("wrapped");
    expect(await text(wrapped)).toBe("wrapped");
  });

  it("cork and uncork, nested, let out the bytes in order at the last uncork", async () => {
    const { near, far } = await connected(world);
    near.cork();
    near.cork();
    near.write("a");
    near.uncork();
    near.write("b");
    expect([near.writableCorked, near.writableLength]).toEqual([1, 2]);
    near.uncork();
    near.end("c");
    expect([near.writableCorked, await text(far)]).toEqual([0, "abc"]);
  });

  it("readableLength counts what was read ahead", async () => {
    const { near, far } = await connected(world);
    far.write("12345");
    await once(near, "readable");
    expect(near.readableLength).toBe(5);
    expect([(near.read(2) as Buffer).toString(), near.readableLength]).toEqual(["12", 3]);
  });

  it("errored is the error with which the socket was destroyed", async () => {
    const { near } = await connected(world);
    expect([near.errored, near.readable, near.writable]).toEqual([null, true, true]);
    near.on("error", () => undefined);
    near.destroy(new Error("made here"));
    expect([near.errored?.message, near.readable, near.writable]).toEqual(["made here", false, false]);
  });

  it("readableAborted is true only of a socket that ended before its end", async () => {
    const { near, far } = await connected(world);
    far.end("x");
    await readAll(near);
    const other = await connected(world);
    other.near.destroy();
    expect([near.readableAborted, other.near.readableAborted]).toEqual([false, true]);
  });

  it("Readable.toWeb reads all of it", async () => {
    const { near, far } = await connected(world);
    const reader = Readable.toWeb(near).getReader();
    far.end("for the web");
    let all = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      all += Buffer.from(value as Uint8Array).toString();
    }
    expect(all).toBe("for the web");
  });

  it("Writable.toWeb writes and closes", async () => {
    const { near, far } = await connected(world);
    const writer = Writable.toWeb(near).getWriter();
    near.resume();
    const all = text(far);
    await writer.write(Buffer.from("from "));
    await writer.write(Buffer.from("the web"));
    void writer.close().catch(() => undefined);
    expect(await all).toBe("from the web");
  });

  it("Duplex.toWeb goes both ways", async () => {
    const { near, far } = await connected(world);
    far.pipe(far);
    const { readable, writable } = Duplex.toWeb(near);
    const writer = writable.getWriter();
    await writer.write(Buffer.from("both ways"));
    const { value } = await readable.getReader().read();
    expect(Buffer.from(value as Uint8Array).toString()).toBe("both ways");
    near.destroy();
    await writer.closed.catch(() => undefined);
  });

  it("cancelling a web reader destroys the socket", async () => {
    const { near, far } = await connected(world);
    far.on("error", () => undefined);
    const closed = new Promise((resolve) => near.once("close", resolve));
    near.on("error", () => undefined);
    await Readable.toWeb(near).cancel();
    await closed;
    expect(near.destroyed).toBe(true);
  });

  it("a web TransformStream between two sockets", async () => {
    const { near, far } = await connected(world);
    const second = await connected(world);
    const upper = new TransformStream<Uint8Array, Uint8Array>({
      transform: (chunk, out) => out.enqueue(Buffer.from(Buffer.from(chunk).toString().toUpperCase())),
    });
    const moved = Readable.toWeb(far)
      .pipeThrough(upper as never)
      .pipeTo(Writable.toWeb(second.near) as never);
    void moved.catch(() => undefined);
    far.end();
    near.end("up");
    expect(await text(second.far)).toBe("UP");
  });
}
