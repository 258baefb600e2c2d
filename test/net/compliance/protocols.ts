/** What Node builds on sockets: HTTP, TLS, HTTP/2. */
import { once } from "node:events";
import http from "node:http";
import http2 from "node:http2";
import type { AddressInfo, Socket } from "node:net";
import tls from "node:tls";
import { expect, it } from "vitest";
import { CERTIFICATE, KEY } from "./certificate.js";
import { connected, disposable, listening, pattern, type World } from "./harness.js";

export default function protocols(world: World): void {
  const { host } = world;

  /** An HTTP server on a server of the world. */
  async function httpServer(answer: http.RequestListener): Promise<{ port: number; server: http.Server }> {
    const server = http.createServer(answer);
    const { port } = await listening(world, { allowHalfOpen: true }, (far) => server.emit("connection", far));
    return { port, server };
  }

  function request(port: number, options: http.RequestOptions = {}, body?: Buffer): Promise<{ status: number; body: Buffer }> {
    return new Promise((resolve, reject) => {
      const sent = http.request(
        { port, host, createConnection: world.client.createConnection as never, ...options },
        async (answer) => {
          const chunks: Buffer[] = [];
          for await (const chunk of answer) chunks.push(chunk as Buffer);
          resolve({ status: answer.statusCode ?? 0, body: Buffer.concat(chunks) });
        },
      );
      sent.on("error", reject);
      sent.end(body);
    });
  }

  it("http: a request and its answer", async () => {
    const { port } = await httpServer((asked, answer) => answer.end(`hello ${asked.url}`));
    const { status, body } = await request(port, { path: "/there" });
    expect([status, String(body)]).toEqual([200, "hello /there"]);
  });

  it("http: a large body each way", async () => {
    const { port } = await httpServer((asked, answer) => asked.pipe(answer));
    const { body } = await request(port, { method: "POST" }, pattern(3 << 20));
    expect(body.equals(pattern(3 << 20))).toBe(true);
  });

  it("http: an agent uses one connection again and again", async () => {
    const ports = new Set<number | undefined>();
    const { port } = await httpServer((asked, answer) => {
      ports.add(asked.socket.remotePort);
      answer.end("x");
    });
    class Agent extends http.Agent {
      override createConnection(options: http.ClientRequestArgs): Socket {
        return world.client.createConnection({ port: Number(options.port), host: String(options.host) });
      }
    }
    const agent = disposable(new Agent({ keepAlive: true, maxSockets: 1 }));
    for (let i = 0; i < 5; i++) await request(port, { agent, createConnection: undefined } as never);
    expect(ports.size).toBe(1);
  });

  it("http: pipelined requests are answered in order", async () => {
    const { port } = await httpServer((asked, answer) => answer.end(asked.url));
    const socket = disposable(world.client.connect(port, host));
    socket.write("GET /1 HTTP/1.1\r\nHost: x\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let text = "";
    for await (const chunk of socket) text += String(chunk);
    expect(text.match(/\r\n\r\n\/\d/g)?.map((end) => end.trim())).toEqual(["/1", "/2"]);
  });

  it("http: an upgrade hands the socket over", async () => {
    const { port, server } = await httpServer(() => undefined);
    server.on("upgrade", (_asked, socket: Socket, head: Buffer) => {
      socket.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n");
      socket.write(head);
      socket.pipe(socket);
    });
    const socket = disposable(world.client.connect(port, host));
    socket.write("GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nhead");
    let text = "";
    socket.on("data", (chunk: Buffer) => {
      text += String(chunk);
      if (text.endsWith("head")) socket.write("more");
      if (text.endsWith("more")) socket.end();
    });
    await once(socket, "end");
    expect(text).toMatch(/^HTTP\/1.1 101[\s\S]*headmore$/);
  });

  it("http: a client that goes away is told as close", async () => {
    let closed: (() => void) | undefined;
    const gone = new Promise<void>((resolve) => (closed = resolve));
    const { port } = await httpServer((_asked, answer) => {
      answer.on("close", () => closed?.());
      answer.write("begun");
    });
    const socket = disposable(world.client.connect(port, host));
    socket.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    await once(socket, "data");
    socket.destroy();
    await gone;
  });

  it("http: a connection that is cut is an error of the request", async () => {
    const { port } = await httpServer((asked) => asked.socket.resetAndDestroy());
    await expect(request(port)).rejects.toMatchObject({ code: "ECONNRESET" });
  });

  /** TLS at both ends of a connection. */
  async function secured(): Promise<{ near: tls.TLSSocket; far: tls.TLSSocket; rawNear: Socket }> {
    const { near: rawNear, far: rawFar } = await connected(world);
    const far = disposable(new tls.TLSSocket(rawFar, { isServer: true, key: KEY, cert: CERTIFICATE, ALPNProtocols: ["a", "b"] }));
    const near = disposable(tls.connect({ socket: rawNear, ca: CERTIFICATE, servername: "localhost", ALPNProtocols: ["b"] }));
    await once(near, "secureConnect");
    return { near, far, rawNear };
  }

  it("tls: a handshake, and who it was with", async () => {
    const { near } = await secured();
    expect([near.authorized, near.alpnProtocol, near.encrypted]).toEqual([true, "b", true]);
  });

  it("tls: a megabyte there and back", async () => {
    const { near, far } = await secured();
    far.pipe(far);
    near.write(pattern(1 << 20));
    const chunks: Buffer[] = [];
    let length = 0;
    near.on("data", (chunk: Buffer) => {
      chunks.push(chunk);
      length += chunk.length;
      if (length === 1 << 20) near.end();
    });
    await once(near, "close");
    expect(Buffer.concat(chunks).equals(pattern(1 << 20))).toBe(true);
  });

  it("tls: the end of one side is the end at the other", async () => {
    const { near, far } = await secured();
    far.end("bye");
    let text = "";
    near.on("data", (chunk: Buffer) => (text += String(chunk)));
    await once(near, "end");
    expect(text).toBe("bye");
  });

  it("tls: the names of the ends are those of the connection below", async () => {
    const { near, rawNear } = await secured();
    expect([near.remotePort, near.localPort]).toEqual([rawNear.remotePort, rawNear.localPort]);
  });

  it("tls: a certificate that nobody vouches for", async () => {
    const { near: rawNear, far: rawFar } = await connected(world);
    const far = disposable(new tls.TLSSocket(rawFar, { isServer: true, key: KEY, cert: CERTIFICATE }));
    far.on("error", () => undefined);
    const near = disposable(tls.connect({ socket: rawNear, servername: "localhost" }));
    const error = await new Promise<NodeJS.ErrnoException>((resolve) => near.once("error", resolve));
    expect(error.code).toBe("DEPTH_ZERO_SELF_SIGNED_CERT");
  });

  it("http2: ten streams at once", async () => {
    const server = http2.createServer();
    server.on("stream", (stream, headers) => {
      stream.respond({ ":status": 200 });
      stream.end(`stream ${headers[":path"]}`);
    });
    const { port } = await listening(world, {}, (far) => server.emit("connection", far));
    const session = http2.connect(`http://${host}:${port}`, {
      createConnection: () => world.client.connect(port, host),
    });
    disposable(session);
    const texts = await Promise.all(
      Array.from({ length: 10 }, async (_, i) => {
        let text = "";
        for await (const chunk of session.request({ ":path": `/${i}` })) text += String(chunk);
        return text;
      }),
    );
    expect(texts).toEqual(Array.from({ length: 10 }, (_, i) => `stream /${i}`));
  });

  it("http2: a megabyte", async () => {
    const server = http2.createServer();
    server.on("stream", (stream) => {
      stream.respond({ ":status": 200 });
      stream.end(pattern(1 << 20));
    });
    const { port, server: below } = await listening(world, {}, (far) => server.emit("connection", far));
    expect((below.address() as AddressInfo).port).toBe(port);
    const session = disposable(
      http2.connect(`http://${host}:${port}`, { createConnection: () => world.client.connect(port, host) }),
    );
    const chunks: Buffer[] = [];
    for await (const chunk of session.request({ ":path": "/" })) chunks.push(chunk as Buffer);
    expect(Buffer.concat(chunks).equals(pattern(1 << 20))).toBe(true);
  });
}
