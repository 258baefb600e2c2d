/** More of HTTP/2 over sockets: many streams of one connection, and how each and all of them end. */
import { once } from "node:events";
import http2 from "node:http2";
import type { Socket } from "node:net";
import { buffer, text } from "node:stream/consumers";
import tls from "node:tls";
import { expect, it } from "vitest";
import { CERTIFICATE, KEY } from "./certificate.js";
import { disposable, listening, pattern, type World } from "./harness.js";

type OnStream = (stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders) => void;

export default function http2Exchange(world: World): void {
  const { host } = world;

  /** A session with an HTTP/2 server on a server of the world. */
  async function sessionWith(onStream: OnStream): Promise<{ session: http2.ClientHttp2Session; far: Socket }> {
    const server = http2.createServer();
    server.on("stream", (stream, headers) => {
      stream.on("error", () => undefined);
      onStream(stream, headers);
    });
    const { server: below, port } = await listening(world, {}, (far) => server.emit("connection", far));
    const taken = once(below, "connection") as Promise<[Socket]>;
    const session = disposable(
      http2.connect(`http://${host}:${port}`, { createConnection: () => disposable(world.client.connect(port, host)) }),
    );
    const [far] = await taken;
    return { session, far };
  }

  it("a request with a body of 1 MiB, and the same in answer", async () => {
    const { session } = await sessionWith((stream) => {
      stream.respond({ ":status": 200 });
      stream.pipe(stream);
    });
    const stream = session.request({ ":method": "POST", ":path": "/" });
    stream.end(pattern(1 << 20));
    expect((await buffer(stream)).equals(pattern(1 << 20))).toBe(true);
  });

  it("ten streams with bodies of 100 KiB at once do not mix", async () => {
    const { session } = await sessionWith((stream) => {
      stream.respond({ ":status": 200 });
      stream.pipe(stream);
    });
    const sizes = Array.from({ length: 10 }, (_, i) => 100 * 1024 + i);
    const bodies = await Promise.all(
      sizes.map((size, i) => {
        const stream = session.request({ ":method": "POST", ":path": `/${i}` });
        stream.end(Buffer.alloc(size, i));
        return buffer(stream);
      }),
    );
    expect(bodies.every((body, i) => body.equals(Buffer.alloc(sizes[i] ?? 0, i)))).toBe(true);
  });

  it("a slow stream does not hold up the others", async () => {
    const slow: http2.ServerHttp2Stream[] = [];
    const { session } = await sessionWith((stream, headers) => {
      stream.respond({ ":status": 200 });
      if (headers[":path"] === "/slow") slow.push(stream);
      else stream.end("quick");
    });
    const waits = text(session.request({ ":path": "/slow" }));
    expect(await text(session.request({ ":path": "/quick" }))).toBe("quick");
    slow[0]?.end("slow");
    expect(await waits).toBe("slow");
  });

  it("headers and trailers", async () => {
    const { session } = await sessionWith((stream, headers) => {
      stream.respond({ ":status": 201, "x-got": headers["x-sent"] }, { waitForTrailers: true });
      stream.on("wantTrailers", () => stream.sendTrailers({ "x-last": "word" }));
      stream.end("body");
    });
    const stream = session.request({ ":path": "/", "x-sent": "this" });
    const answered = once(stream, "response") as Promise<[http2.IncomingHttpHeaders & { ":status": number }]>;
    const trailed = once(stream, "trailers") as Promise<[http2.IncomingHttpHeaders]>;
    const body = await text(stream);
    const [[headers], [trailers]] = await Promise.all([answered, trailed]);
    expect([headers[":status"], headers["x-got"], body, trailers["x-last"]]).toEqual([201, "this", "body", "word"]);
  });

  it("a ping comes back with its eight bytes", async () => {
    const { session } = await sessionWith(() => undefined);
    await once(session, "remoteSettings");
    const payload = Buffer.from("12345678");
    const back = await new Promise((resolve, reject) => {
      session.ping(payload, (error, _duration, echoed) => (error === null ? resolve(echoed) : reject(error)));
    });
    expect(back).toEqual(payload);
  });

  it("settings are agreed upon", async () => {
    const { session } = await sessionWith(() => undefined);
    const [theirs] = (await once(session, "remoteSettings")) as [http2.Settings];
    expect(theirs.maxFrameSize).toBe(16_384);
    await new Promise<void>((resolve) => session.settings({ maxFrameSize: 32_768 }, () => resolve()));
    expect(session.localSettings.maxFrameSize).toBe(32_768);
  });

  it("a stream that the server resets fails with its code, and the session lives on", async () => {
    const { session } = await sessionWith((stream, headers) => {
      if (headers[":path"] === "/bad") stream.close(http2.constants.NGHTTP2_ENHANCE_YOUR_CALM);
      else {
        stream.respond();
        stream.end("good");
      }
    });
    const bad = session.request({ ":path": "/bad" });
    const error = await new Promise<NodeJS.ErrnoException>((resolve) => bad.once("error", resolve));
    expect([error.code, bad.rstCode]).toEqual(["ERR_HTTP2_STREAM_ERROR", http2.constants.NGHTTP2_ENHANCE_YOUR_CALM]);
    expect(await text(session.request({ ":path": "/good" }))).toBe("good");
  });

  it("a stream that the client cancels is told to the server as aborted", async () => {
    let told: (() => void) | undefined;
    const aborted = new Promise<void>((resolve) => (told = resolve));
    const { session } = await sessionWith((stream) => {
      stream.on("aborted", () => told?.());
      stream.respond();
      stream.write("begun");
    });
    const stream = session.request({ ":method": "POST", ":path": "/" });
    await once(stream, "data");
    stream.close(http2.constants.NGHTTP2_CANCEL);
    await aborted;
    expect(session.destroyed).toBe(false);
  });

  it("a pushed stream brings its body", async () => {
    let finish: (() => void) | undefined;
    const { session } = await sessionWith((stream) => {
      stream.pushStream({ ":path": "/pushed" }, (_error, pushed) => {
        pushed.respond({ ":status": 200 });
        // Node 24 tells a pushed stream that ended in the same read as closed before its end.
        finish = () => pushed.end("pushed body");
        stream.respond({ ":status": 200 });
        stream.end("asked body");
      });
    });
    const pushed = new Promise<string>((resolve, reject) => {
      session.on("stream", (stream) => {
        text(stream).then(resolve, reject);
        finish?.();
      });
    });
    const asked = text(session.request({ ":path": "/" }));
    expect(await Promise.all([asked, pushed])).toEqual(["asked body", "pushed body"]);
  });

  it("goaway is told with its code", async () => {
    const { session } = await sessionWith((stream) => {
      stream.respond();
      stream.end("x");
      stream.session?.goaway(http2.constants.NGHTTP2_NO_ERROR);
    });
    const told = once(session, "goaway") as Promise<[number]>;
    expect(await text(session.request({ ":path": "/" }))).toBe("x");
    expect((await told)[0]).toBe(http2.constants.NGHTTP2_NO_ERROR);
  });

  it("close waits for the streams, then ends the connection", async () => {
    let finish: (() => void) | undefined;
    const begun = new Promise<void>((resolve) => (finish = resolve));
    let end: (() => void) | undefined;
    const { session, far } = await sessionWith((stream) => {
      stream.respond();
      stream.write("begun ");
      end = () => stream.end("and done");
      finish?.();
    });
    const body = text(session.request({ ":path": "/" }));
    await begun;
    const gone = once(far, "close");
    session.close();
    expect([session.closed, session.destroyed]).toEqual([true, false]);
    end?.();
    expect(await body).toBe("begun and done");
    await gone;
  });

  it("a connection that is cut ends its streams with an error", async () => {
    const { session, far } = await sessionWith((stream) => {
      stream.respond();
      stream.write("begun");
    });
    const failed = new Promise<NodeJS.ErrnoException>((resolve) => session.once("error", resolve));
    const stream = session.request({ ":path": "/" });
    const streamFailed = new Promise<NodeJS.ErrnoException>((resolve) => stream.once("error", resolve));
    await once(stream, "data");
    far.resetAndDestroy();
    expect((await failed).code).toBe("ECONNRESET");
    expect((await streamFailed).code).toBe("ECONNRESET");
    expect(session.destroyed).toBe(true);
  });

  it("the compatible interface: a request and its answer", async () => {
    const server = http2.createServer((asked, answer) => void text(asked).then((all) => answer.end(`${asked.method} ${all}`)));
    const { port } = await listening(world, {}, (far) => server.emit("connection", far));
    const session = disposable(
      http2.connect(`http://${host}:${port}`, { createConnection: () => world.client.connect(port, host) }),
    );
    const stream = session.request({ ":method": "PUT", ":path": "/" });
    stream.end("it");
    expect(await text(stream)).toBe("PUT it");
  });

  it("the session's socket names the ends", async () => {
    const { session, far } = await sessionWith(() => undefined);
    await once(session, "remoteSettings");
    expect([session.socket.remotePort, session.socket.localPort]).toEqual([far.localPort, far.remotePort]);
  });

  it("100 short streams one after another", async () => {
    const { session } = await sessionWith((stream, headers) => {
      stream.respond();
      stream.end(headers[":path"]);
    });
    for (let i = 0; i < 100; i++) expect(await text(session.request({ ":path": `/${i}` }))).toBe(`/${i}`);
  });

  it("a reader that pauses one stream gets all of it later", async () => {
    const { session } = await sessionWith((stream, headers) => {
      stream.respond();
      stream.end(headers[":path"] === "/big" ? pattern(500_000) : "small");
    });
    const big = session.request({ ":path": "/big" });
    await once(big, "response");
    expect(await text(session.request({ ":path": "/small" }))).toBe("small");
    expect((await buffer(big)).equals(pattern(500_000))).toBe(true);
  });

  it("over TLS with ALPN", async () => {
    const server = http2.createSecureServer({ key: KEY, cert: CERTIFICATE });
    server.on("stream", (stream) => {
      stream.respond();
      stream.end("secret");
    });
    const { port } = await listening(world, {}, (far) => server.emit("connection", far));
    const secured = tls.connect({
      socket: world.client.connect(port, host),
      ca: CERTIFICATE,
      servername: "localhost",
      ALPNProtocols: ["h2"],
    });
    const session = disposable(http2.connect(`https://localhost:${port}`, { createConnection: () => secured }));
    expect(await text(session.request({ ":path": "/" }))).toBe("secret");
    expect(session.alpnProtocol).toBe("h2");
  });

  it("what is no HTTP/2 is an error of the session", async () => {
    const { port } = await listening(world, {}, (far) => far.end("HTTP/1.1 400 Bad Request\r\n\r\n"));
    const session = disposable(
      http2.connect(`http://${host}:${port}`, { createConnection: () => world.client.connect(port, host) }),
    );
    const error = await new Promise<NodeJS.ErrnoException>((resolve) => session.once("error", resolve));
    expect(error.code).toMatch(/^ERR_HTTP2_/);
  });
}
