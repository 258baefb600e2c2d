/** More of HTTP over sockets: what either side may do in the middle of an exchange. */
import { once } from "node:events";
import http from "node:http";
import type { Socket } from "node:net";
import { text } from "node:stream/consumers";
import { expect, it } from "vitest";
import { disposable, listening, pattern, readAll, readToEnd, type World } from "./harness.js";

export default function httpExchange(world: World): void {
  const { host } = world;

  /** An HTTP server on a server of the world. */
  async function serving(answer: http.RequestListener): Promise<{ port: number; server: http.Server }> {
    const server = http.createServer(answer);
    const { port } = await listening(world, { allowHalfOpen: true }, (far) => server.emit("connection", far));
    return { port, server };
  }

  /** A request over a connection of its own. */
  function ask(port: number, options: http.RequestOptions = {}): http.ClientRequest {
    return disposable(http.request({ port, host, createConnection: world.client.createConnection as never, ...options }));
  }

  async function answerTo(request: http.ClientRequest): Promise<http.IncomingMessage> {
    const [answer] = (await once(request, "response")) as [http.IncomingMessage];
    return answer;
  }

  class Agent extends http.Agent {
    readonly made: Socket[] = [];
    override createConnection(options: http.ClientRequestArgs): Socket {
      const socket = disposable(world.client.createConnection({ port: Number(options.port), host: String(options.host) }));
      this.made.push(socket);
      return socket;
    }
  }

  it("a chunked answer is put together, with its trailers", async () => {
    const { port } = await serving((_asked, answer) => {
      answer.writeHead(200, { Trailer: "X-Sum" });
      answer.write("one ");
      answer.write("two ");
      answer.addTrailers({ "X-Sum": "2" });
      answer.end("three");
    });
    const answer = await answerTo(ask(port).end());
    expect(answer.headers["transfer-encoding"]).toBe("chunked");
    expect(await text(answer)).toBe("one two three");
    expect(answer.trailers).toEqual({ "x-sum": "2" });
  });

  it("a chunked request is put together", async () => {
    const { port } = await serving((asked, answer) => void text(asked).then((all) => answer.end(all.toUpperCase())));
    const request = ask(port, { method: "POST" });
    for (const piece of ["a", "bc", "def"]) request.write(piece);
    request.end();
    expect(await text(await answerTo(request))).toBe("ABCDEF");
  });

  it("5 MiB with a length, checked byte for byte", async () => {
    const { port } = await serving((_asked, answer) => {
      answer.setHeader("Content-Length", 5 << 20);
      answer.end(pattern(5 << 20));
    });
    const answer = await answerTo(ask(port).end());
    const chunks: Buffer[] = [];
    for await (const chunk of answer) chunks.push(chunk as Buffer);
    expect(Buffer.concat(chunks).equals(pattern(5 << 20))).toBe(true);
  });

  it("100-continue: the body waits until it is asked for", async () => {
    const order: string[] = [];
    const { port, server } = await serving(() => undefined);
    server.on("checkContinue", (asked: http.IncomingMessage, answer: http.ServerResponse) => {
      order.push("asked");
      answer.writeContinue();
      void text(asked).then((all) => answer.end(`got ${all}`));
    });
    const request = ask(port, { method: "POST", headers: { Expect: "100-continue" } });
    request.on("continue", () => {
      order.push("continue");
      request.end("the body");
    });
    request.flushHeaders();
    expect(await text(await answerTo(request))).toBe("got the body");
    expect(order).toEqual(["asked", "continue"]);
  });

  it("an expectation that the server does not meet is answered 417", async () => {
    const { port } = await serving((_asked, answer) => answer.end());
    const request = ask(port, { method: "POST", headers: { Expect: "the impossible" } });
    request.end("x");
    const answer = await answerTo(request);
    answer.resume();
    expect(answer.statusCode).toBe(417);
  });

  it("102 and early hints come before the answer", async () => {
    const { port } = await serving((_asked, answer) => {
      answer.writeProcessing();
      answer.writeEarlyHints({ link: "</style.css>; rel=preload" });
      answer.end("done");
    });
    const request = ask(port);
    const codes: number[] = [];
    request.on("information", ({ statusCode }) => codes.push(statusCode));
    const answer = await answerTo(request.end());
    expect([await text(answer), codes]).toEqual(["done", [102, 103]]);
  });

  it("HEAD has the headers alone, and the connection serves on", async () => {
    const { port } = await serving((_asked, answer) => {
      answer.setHeader("Content-Length", 1000);
      answer.end(_asked.method === "HEAD" ? undefined : "x".repeat(1000));
    });
    const agent = disposable(new Agent({ keepAlive: true, maxSockets: 1 }));
    const head = await answerTo(ask(port, { method: "HEAD", agent, createConnection: undefined } as never).end());
    expect([head.headers["content-length"], await text(head)]).toEqual(["1000", ""]);
    const all = await answerTo(ask(port, { agent, createConnection: undefined } as never).end());
    expect([(await text(all)).length, agent.made.length]).toEqual([1000, 1]);
  });

  it("204 has no body", async () => {
    const { port } = await serving((_asked, answer) => answer.writeHead(204).end());
    const answer = await answerTo(ask(port).end());
    expect([answer.statusCode, await text(answer)]).toEqual([204, ""]);
  });

  it("several cookies stay several", async () => {
    const { port } = await serving((_asked, answer) => answer.setHeader("Set-Cookie", ["a=1", "b=2"]).end());
    const answer = await answerTo(ask(port).end());
    answer.resume();
    expect(answer.headers["set-cookie"]).toEqual(["a=1", "b=2"]);
  });

  it("Connection: close ends the connection after the answer", async () => {
    const { port } = await serving((_asked, answer) => answer.end("x"));
    const socket = disposable(world.client.connect(port, host));
    socket.write("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    expect(String(await readAll(socket))).toMatch(/^HTTP\/1\.1 200 OK\r\n[\s\S]*Connection: close\r\n[\s\S]*\r\n\r\n/);
  });

  it("HTTP/1.0 ends the connection after the answer", async () => {
    const { port } = await serving((_asked, answer) => answer.end("old"));
    const socket = disposable(world.client.connect(port, host));
    socket.write("GET / HTTP/1.0\r\n\r\n");
    expect(String(await readAll(socket))).toMatch(/^HTTP\/1\.1 200 OK\r\n[\s\S]*\r\n\r\nold$/);
  });

  it("ten pipelined requests in one write, with answers that end out of order", async () => {
    const waiting: (() => void)[] = [];
    const { port } = await serving((asked, answer) => {
      waiting.unshift(() => answer.end(`<${asked.url}>`));
      if (waiting.length === 10) for (const finish of waiting) finish();
    });
    const socket = disposable(world.client.connect(port, host));
    const requests = Array.from({ length: 10 }, (_, i) => {
      return `GET /${i} HTTP/1.1\r\nHost: x\r\n${i === 9 ? "Connection: close\r\n" : ""}\r\n`;
    });
    socket.write(requests.join(""));
    const all = String(await readAll(socket));
    expect(all.match(/<\/\d>/g)).toEqual(Array.from({ length: 10 }, (_, i) => `</${i}>`));
  });

  it("a request that comes in single bytes is understood", async () => {
    const { port } = await serving((asked, answer) => answer.end(asked.headers["x-slow"]));
    const socket = disposable(world.client.connect({ port, host, noDelay: true }));
    const answered = readAll(socket);
    for (const byte of "GET / HTTP/1.1\r\nHost: x\r\nX-Slow: yes\r\nConnection: close\r\n\r\n") {
      await new Promise((resolve) => socket.write(byte, resolve));
    }
    expect(String(await answered)).toMatch(/\r\n\r\nyes$/);
  });

  it("what is no HTTP is a clientError with the bytes, and is answered 400 by hand", async () => {
    const { port, server } = await serving(() => undefined);
    const told = new Promise<NodeJS.ErrnoException>((resolve) => {
      server.on("clientError", (error: NodeJS.ErrnoException, far: Socket) => {
        far.end("HTTP/1.1 400 Bad Request\r\n\r\n");
        resolve(error);
      });
    });
    const socket = disposable(world.client.connect(port, host));
    socket.end("this is not HTTP\r\n\r\n");
    expect(String(await readToEnd(socket))).toBe("HTTP/1.1 400 Bad Request\r\n\r\n");
    expect((await told).code).toMatch(/^HPE_INVALID/);
  });

  it("what is no HTTP is answered 400 by itself", async () => {
    const { port } = await serving(() => undefined);
    const socket = disposable(world.client.connect(port, host));
    socket.on("error", () => undefined);
    socket.write("nonsense\r\n\r\n");
    let all = "";
    socket.on("data", (chunk: Buffer) => (all += String(chunk)));
    await new Promise((resolve) => socket.once("close", resolve));
    expect(all).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n/);
  });

  it("an answer that is no HTTP is an error of the request", async () => {
    const { port } = await listening(world, {}, (far) => far.end("this is not HTTP\r\n\r\n"));
    const request = ask(port);
    const failed = new Promise<NodeJS.ErrnoException>((resolve) => request.once("error", resolve));
    request.end();
    expect((await failed).code).toMatch(/^HPE_/);
  });

  it("a server that ends without an answer: socket hang up", async () => {
    const { port } = await listening(world, {}, (far) => far.once("data", () => far.end()));
    const request = ask(port);
    const failed = new Promise((resolve) => request.once("error", resolve));
    request.end();
    expect(await failed).toMatchObject({ code: "ECONNRESET", message: "socket hang up" });
  });

  it("a server that ends in the middle of a body: the answer is aborted", async () => {
    const { port } = await serving((asked, answer) => {
      answer.setHeader("Content-Length", 1000);
      answer.write("only a little", () => asked.socket.destroy());
    });
    const answer = await answerTo(ask(port).end());
    await expect(text(answer)).rejects.toMatchObject({ code: "ECONNRESET", message: "aborted" });
    expect(answer.complete).toBe(false);
  });

  it("a client that aborts in the middle of its body: the server's request fails", async () => {
    const failed = new Promise<NodeJS.ErrnoException>((resolve) => {
      void serving((asked) => {
        asked.once("error", resolve);
        asked.once("data", () => request.destroy());
      }).then(({ port }) => {
        request = ask(port, { method: "POST", headers: { "Content-Length": 1000 } });
        request.on("error", () => undefined);
        request.write("only a little");
      });
    });
    let request: http.ClientRequest;
    expect(await failed).toMatchObject({ code: "ECONNRESET", message: "aborted" });
  });

  it("a request whose signal is aborted before the answer fails with an AbortError", async () => {
    const control = new AbortController();
    const { port } = await serving(() => control.abort());
    const request = ask(port, { signal: control.signal });
    const failed = new Promise<NodeJS.ErrnoException>((resolve) => request.once("error", resolve));
    request.end();
    const error = await failed;
    expect([error.name, error.code, request.destroyed]).toEqual(["AbortError", "ABORT_ERR", true]);
  });

  it("an agent that keeps sockets alive reuses one, and says so", async () => {
    const { port } = await serving((_asked, answer) => answer.end("x"));
    const agent = disposable(new Agent({ keepAlive: true, maxSockets: 1 }));
    const reused: boolean[] = [];
    for (let i = 0; i < 3; i++) {
      const request = ask(port, { agent, createConnection: undefined } as never);
      await text(await answerTo(request.end()));
      reused.push(request.reusedSocket);
    }
    expect([agent.made.length, reused]).toEqual([1, [false, true, true]]);
  });

  it("an agent with two sockets takes turns for six requests", async () => {
    const { port } = await serving((asked, answer) => answer.end(asked.url));
    const agent = disposable(new Agent({ keepAlive: true, maxSockets: 2 }));
    const texts = await Promise.all(
      Array.from({ length: 6 }, async (_, i) =>
        text(await answerTo(ask(port, { path: `/${i}`, agent, createConnection: undefined } as never).end())),
      ),
    );
    expect(texts).toEqual(["/0", "/1", "/2", "/3", "/4", "/5"]);
    expect(agent.made.length).toBe(2);
  });

  it("an agent without keep-alive opens a socket for each request", async () => {
    const { port } = await serving((_asked, answer) => answer.end("x"));
    const agent = disposable(new Agent({ keepAlive: false }));
    for (let i = 0; i < 3; i++) await text(await answerTo(ask(port, { agent, createConnection: undefined } as never).end()));
    expect(agent.made.length).toBe(3);
  });

  it("an agent lets go of a socket that the server has ended", async () => {
    const { port } = await serving((_asked, answer) => answer.setHeader("Connection", "close").end("x"));
    const agent = disposable(new Agent({ keepAlive: true, maxSockets: 1 }));
    for (let i = 0; i < 2; i++) await text(await answerTo(ask(port, { agent, createConnection: undefined } as never).end()));
    expect(agent.made.length).toBe(2);
  });

  it("20 requests at once over connections of their own", async () => {
    const { port } = await serving((asked, answer) => void text(asked).then((all) => answer.end(`${asked.url} ${all}`)));
    const texts = await Promise.all(
      Array.from({ length: 20 }, async (_, i) =>
        text(await answerTo(ask(port, { method: "PUT", path: `/${i}` }).end(`body ${i}`))),
      ),
    );
    expect(texts).toEqual(Array.from({ length: 20 }, (_, i) => `/${i} body ${i}`));
  });

  it("CONNECT makes a tunnel through which both ends speak", async () => {
    const { port, server } = await serving(() => undefined);
    server.on("connect", (_asked, far: Socket, head: Buffer) => {
      far.write("HTTP/1.1 200 Connection Established\r\n\r\n");
      if (head.length > 0) far.write(head);
      far.pipe(far);
    });
    const request = ask(port, { method: "CONNECT", path: "there:1" });
    request.end();
    const [answer, socket] = (await once(request, "connect")) as [http.IncomingMessage, Socket];
    socket.write("through the tunnel");
    expect([answer.statusCode, String((await once(socket, "data"))[0])]).toEqual([200, "through the tunnel"]);
    socket.destroy();
  });

  it("an upgrade is told to the client with the socket and what followed the head", async () => {
    const { port, server } = await serving(() => undefined);
    server.on("upgrade", (_asked, far: Socket) => {
      far.end("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nfirst words");
    });
    const request = ask(port, { headers: { Connection: "Upgrade", Upgrade: "echo" } });
    request.end();
    const [answer, socket, head] = (await once(request, "upgrade")) as [http.IncomingMessage, Socket, Buffer];
    socket.unshift(head);
    expect([answer.statusCode, await text(socket)]).toEqual([101, "first words"]);
  });

  it("the request's socket is that of the connection", async () => {
    let ends: unknown;
    const { port } = await serving((asked, answer) => {
      ends = [asked.socket.localPort, asked.socket.remoteAddress];
      answer.end();
    });
    const request = ask(port);
    const [socket] = (await Promise.all([once(request, "socket"), request.end()]))[0] as [Socket];
    (await answerTo(request)).resume();
    expect(ends).toEqual([port, host]);
    expect(socket).toBeInstanceOf(world.client.Socket);
  });

  it("a body larger than the buffers waits for its reader, then comes whole", async () => {
    const { port } = await serving((_asked, answer) => answer.end(pattern(2 << 20)));
    const answer = await answerTo(ask(port).end());
    answer.pause();
    await once(answer, "readable");
    let length = 0;
    for await (const chunk of answer) length += (chunk as Buffer).length;
    expect(length).toBe(2 << 20);
  });
}
