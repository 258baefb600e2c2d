/** More of TLS over sockets: versions, names, mutual trust, ends and cuts. */
import { once } from "node:events";
import https from "node:https";
import type { Socket } from "node:net";
import { text } from "node:stream/consumers";
import tls from "node:tls";
import { expect, it } from "vitest";
import { CERTIFICATE, KEY } from "./certificate.js";
import { connected, disposable, listening, pattern, readBytes, type World } from "./harness.js";
import { turns } from "./turns.js";

export default function tlsExchange(world: World): void {
  const { host } = world;

  interface Secured {
    readonly near: tls.TLSSocket;
    readonly far: tls.TLSSocket;
    readonly rawNear: Socket;
    readonly rawFar: Socket;
  }

  /** TLS at both ends of a connection, before its handshake. */
  async function pair(client: tls.ConnectionOptions = {}, server: tls.TLSSocketOptions = {}): Promise<Secured> {
    const { near: rawNear, far: rawFar } = await connected(world);
    const far = disposable(new tls.TLSSocket(rawFar, { isServer: true, key: KEY, cert: CERTIFICATE, ...server }));
    const near = disposable(tls.connect({ socket: rawNear, ca: CERTIFICATE, servername: "localhost", ...client }));
    return { near, far, rawNear, rawFar };
  }

  async function secured(client?: tls.ConnectionOptions, server?: tls.TLSSocketOptions): Promise<Secured> {
    const ends = await pair(client, server);
    await Promise.all([once(ends.near, "secureConnect"), once(ends.far, "secure")]);
    return ends;
  }

  /** A TLS server on a server of the world. */
  async function serving(options: tls.TlsOptions, onSecure: (far: tls.TLSSocket) => void): Promise<{ port: number }> {
    const server = tls.createServer({ key: KEY, cert: CERTIFICATE, ...options }, onSecure);
    return listening(world, {}, (far) => server.emit("connection", far));
  }

  const versions = ["TLSv1.2", "TLSv1.3"] as const;
  it.each(versions)("%s is agreed upon where both ask for it", async (version) => {
    const range = { minVersion: version, maxVersion: version };
    const { near, far } = await secured(range, {
      secureContext: tls.createSecureContext({ key: KEY, cert: CERTIFICATE, ...range }),
    });
    expect([near.getProtocol(), far.getProtocol()]).toEqual([version, version]);
    far.pipe(far);
    near.write("in this version");
    expect(String(await readBytes(near, 15))).toBe("in this version");
  });

  it.each(versions)("%s: the end of one side lets the other answer", async (version) => {
    const { near: rawNear, far: rawFar } = await connected(world, { allowHalfOpen: true }, { allowHalfOpen: true });
    const context = tls.createSecureContext({ key: KEY, cert: CERTIFICATE, minVersion: version, maxVersion: version });
    const far = disposable(new tls.TLSSocket(rawFar, { isServer: true, secureContext: context, allowHalfOpen: true } as object));
    const near = disposable(
      tls.connect({ socket: rawNear, ca: CERTIFICATE, servername: "localhost", allowHalfOpen: true } as tls.ConnectionOptions),
    );
    let asked = "";
    far.on("data", (chunk: Buffer) => (asked += String(chunk)));
    far.on("end", () => far.end(`the answer to ${asked}`));
    near.end("the question");
    expect(await text(near)).toBe("the answer to the question");
  });

  it("a server without a common version is an error at both ends", async () => {
    const context = tls.createSecureContext({ key: KEY, cert: CERTIFICATE, minVersion: "TLSv1.3" });
    const { near, far } = await pair({ maxVersion: "TLSv1.2" }, { secureContext: context });
    const codes = await Promise.all(
      [near, far].map(
        (end) => new Promise((resolve) => end.once("error", (error: NodeJS.ErrnoException) => resolve(error.code))),
      ),
    );
    expect(codes).toEqual(["ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION", "ERR_SSL_UNSUPPORTED_PROTOCOL"]);
  });

  it("ALPN takes the server's first choice that the client offers", async () => {
    const { near, far } = await secured({ ALPNProtocols: ["c", "b", "a"] }, { ALPNProtocols: ["x", "a", "b"] });
    expect([near.alpnProtocol, far.alpnProtocol]).toEqual(["a", "a"]);
  });

  it("without ALPN there is no protocol", async () => {
    const { near, far } = await secured();
    expect([near.alpnProtocol, far.alpnProtocol]).toEqual([false, false]);
  });

  it("the server learns the name that the client asks for", async () => {
    const { far } = await secured({ servername: "localhost" });
    expect((far as unknown as { servername: string }).servername).toBe("localhost");
  });

  it("a name that is not in the certificate is an error", async () => {
    const { near, far } = await pair({ servername: "elsewhere.example" });
    far.on("error", () => undefined);
    const error = await new Promise((resolve) => near.once("error", resolve));
    expect(error).toMatchObject({ code: "ERR_TLS_CERT_ALTNAME_INVALID", host: "elsewhere.example" });
  });

  it("rejectUnauthorized false goes on, and says why it should not have", async () => {
    const { near } = await secured({ ca: [], rejectUnauthorized: false });
    expect([near.authorized, String(near.authorizationError)]).toEqual([false, "DEPTH_ZERO_SELF_SIGNED_CERT"]);
  });

  it("the client sees the server's certificate", async () => {
    const { near } = await secured();
    const { subject, subjectaltname } = near.getPeerCertificate();
    expect([subject.CN, subjectaltname]).toEqual(["localhost", "DNS:localhost, IP Address:127.0.0.1"]);
  });

  it("a server that asks for a certificate gets the client's", async () => {
    const { port } = await serving({ ca: CERTIFICATE, requestCert: true }, (far) => {
      far.end(`${far.authorized} ${far.getPeerCertificate().subject.CN}`);
    });
    const near = disposable(
      tls.connect({
        socket: world.client.connect(port, host),
        ca: CERTIFICATE,
        servername: "localhost",
        key: KEY,
        cert: CERTIFICATE,
      }),
    );
    expect(await text(near)).toBe("true localhost");
  });

  it("a server that insists on a certificate cuts off a client without one", async () => {
    let taken = 0;
    const { port } = await serving({ ca: CERTIFICATE, requestCert: true, maxVersion: "TLSv1.2" }, () => taken++);
    const near = disposable(tls.connect({ socket: world.client.connect(port, host), ca: CERTIFICATE, servername: "localhost" }));
    const error = await new Promise<NodeJS.ErrnoException>((resolve) => near.once("error", resolve));
    expect([error.code === undefined, taken]).toEqual([false, 0]);
  });

  it("a TLS server takes connections, and tells each as secureConnection", async () => {
    const { port } = await serving({}, (far) => far.end(`hello from ${far.localPort}`));
    const near = disposable(tls.connect({ socket: world.client.connect(port, host), ca: CERTIFICATE, servername: "localhost" }));
    expect(await text(near)).toBe(`hello from ${port}`);
  });

  it("20 TLS connections at once do not mix", async () => {
    const { port } = await serving({}, (far) => far.pipe(far));
    const texts = await Promise.all(
      Array.from({ length: 20 }, async (_, i) => {
        const socket = world.client.connect(port, host);
        const near = disposable(tls.connect({ socket, ca: CERTIFICATE, servername: "localhost" }));
        near.write(`number ${i}`);
        return String(await readBytes(near, `number ${i}`.length));
      }),
    );
    expect(texts).toEqual(Array.from({ length: 20 }, (_, i) => `number ${i}`));
  });

  it("a session is taken up again", async () => {
    const context = tls.createSecureContext({ key: KEY, cert: CERTIFICATE, maxVersion: "TLSv1.2" });
    const first = await pair({}, { secureContext: context });
    const session = await new Promise<Buffer>((resolve) => first.near.once("session", resolve));
    const second = await secured({ session }, { secureContext: context });
    expect([first.near.isSessionReused(), second.near.isSessionReused()]).toEqual([false, true]);
  });

  it("two megabytes both ways at once", async () => {
    const { near, far } = await secured();
    const sent = pattern(2 << 20);
    near.write(sent);
    far.write(sent);
    const [left, right] = await Promise.all([readBytes(near, sent.length), readBytes(far, sent.length)]);
    expect([left.equals(sent), right.equals(sent)]).toEqual([true, true]);
  });

  it("a thousand small records keep their order", async () => {
    const { near, far } = await secured();
    let sent = "";
    for (let i = 0; i < 1000; i++) {
      near.write(`${i},`);
      sent += `${i},`;
    }
    expect(String(await readBytes(far, sent.length))).toBe(sent);
  });

  it("what is written before the handshake is done arrives after it", async () => {
    const { near, far } = await pair();
    near.write("written early");
    expect(String(await readBytes(far, 13))).toBe("written early");
    expect(near.authorized).toBe(true);
  });

  it("end is the end of both, without an error", async () => {
    const { near, far, rawNear, rawFar } = await secured();
    const errors: unknown[] = [];
    for (const end of [near, far, rawNear, rawFar]) end.on("error", (error) => errors.push(error));
    const closed = Promise.all([near, far].map((end) => new Promise((resolve) => end.once("close", resolve))));
    near.resume();
    far.resume();
    near.end("the last words");
    await closed;
    expect([errors, rawNear.destroyed, rawFar.destroyed]).toEqual([[], true, true]);
  });

  it("a reset in the middle is an error of the TLS socket", async () => {
    const { near, far, rawFar } = await secured();
    // What the kernel holds unread when RST comes may hide the error.
    far.write("x");
    await once(near, "data");
    const failed = new Promise<NodeJS.ErrnoException>((resolve) => near.once("error", resolve));
    rawFar.resetAndDestroy();
    const error = await failed;
    expect([error.code, error.syscall]).toEqual(["ECONNRESET", "read"]);
  });

  it("a connection that ends during the handshake is an error", async () => {
    const { near: rawNear, far: rawFar } = await connected(world);
    const near = disposable(tls.connect({ socket: rawNear, ca: CERTIFICATE, servername: "localhost" }));
    const failed = new Promise((resolve) => near.once("error", resolve));
    rawFar.resume().end();
    expect(await failed).toMatchObject({
      code: "ECONNRESET",
      message: "Client network socket disconnected before secure TLS connection was established",
    });
  });

  it("what is no TLS is an error of the server's side", async () => {
    const { near: rawNear, far: rawFar } = await connected(world);
    rawNear.on("error", () => undefined).resume();
    const far = disposable(new tls.TLSSocket(rawFar, { isServer: true, key: KEY, cert: CERTIFICATE }));
    const failed = new Promise<NodeJS.ErrnoException>((resolve) => far.once("error", resolve));
    rawNear.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    expect((await failed).code).toMatch(/^ERR_SSL_/);
  });

  it("destroy of the TLS socket destroys the one below", async () => {
    const { near, rawNear, rawFar } = await secured();
    rawFar.on("error", () => undefined);
    const closed = new Promise((resolve) => rawNear.once("close", resolve));
    near.on("error", () => undefined).destroy();
    await closed;
    expect(rawNear.destroyed).toBe(true);
  });

  it("destroy with an error tells that error", async () => {
    const { near, far } = await secured();
    far.on("error", () => undefined);
    const failed = new Promise((resolve) => near.once("error", resolve));
    const reason = new Error("made here");
    near.destroy(reason);
    expect(await failed).toBe(reason);
  });

  it("a paused reader gets all of it later", async () => {
    const { near, far } = await secured();
    far.end(pattern(200_000));
    near.pause();
    await turns(20);
    const chunks: Buffer[] = [];
    near.on("data", (chunk: Buffer) => chunks.push(chunk));
    near.resume();
    await once(near, "end");
    expect(Buffer.concat(chunks).equals(pattern(200_000))).toBe(true);
  });

  it("setEncoding brings text, whole characters only", async () => {
    const { near, far } = await secured();
    near.setEncoding("utf8");
    const bytes = Buffer.from("grün €");
    far.write(bytes.subarray(0, 3));
    far.end(bytes.subarray(3));
    let all = "";
    near.on("data", (chunk: string) => (all += chunk));
    await once(near, "end");
    expect(all).toBe("grün €");
  });

  it("both ends derive the same keying material", async () => {
    const { near, far } = await secured();
    const context = Buffer.from("context");
    expect(near.exportKeyingMaterial(32, "label", context)).toEqual(far.exportKeyingMaterial(32, "label", context));
  });

  it("bytes on the wire are more than those that were said", async () => {
    const { near, far, rawFar } = await secured();
    near.write("x".repeat(1000));
    await readBytes(far, 1000);
    expect(rawFar.bytesRead).toBeGreaterThan(1000);
  });

  it("a connection becomes TLS after words in the clear", async () => {
    const { near: rawNear, far: rawFar } = await connected(world);
    rawNear.write("STARTTLS\n");
    expect(String(await readBytes(rawFar, 9))).toBe("STARTTLS\n");
    rawFar.write("OK\n");
    expect(String(await readBytes(rawNear, 3))).toBe("OK\n");
    const far = disposable(new tls.TLSSocket(rawFar, { isServer: true, key: KEY, cert: CERTIFICATE }));
    const near = disposable(tls.connect({ socket: rawNear, ca: CERTIFICATE, servername: "localhost" }));
    near.write("now in secret");
    expect(String(await readBytes(far, 13))).toBe("now in secret");
  });

  it("TLS within TLS", async () => {
    const outer = await secured();
    const far = disposable(new tls.TLSSocket(outer.far, { isServer: true, key: KEY, cert: CERTIFICATE }));
    const near = disposable(tls.connect({ socket: outer.near, ca: CERTIFICATE, servername: "localhost" }));
    far.pipe(far);
    near.write("twice wrapped");
    expect(String(await readBytes(near, 13))).toBe("twice wrapped");
  });

  it("an HTTPS request over the connection", async () => {
    const server = https.createServer({ key: KEY, cert: CERTIFICATE }, (asked, answer) => answer.end(`secret ${asked.url}`));
    const { port } = await listening(world, {}, (far) => server.emit("connection", far));
    const request = disposable(
      https.request({
        port,
        host,
        path: "/page",
        agent: undefined,
        createConnection: (() =>
          tls.connect({ socket: world.client.connect(port, host), ca: CERTIFICATE, servername: "localhost" })) as never,
      }),
    );
    request.end();
    const [answer] = (await once(request, "response")) as [import("node:http").IncomingMessage];
    expect(await text(answer)).toBe("secret /page");
  });
}
