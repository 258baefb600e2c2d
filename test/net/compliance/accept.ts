/** How a server is handed its connections. */
import { once } from "node:events";
import type { AddressInfo, Server, Socket } from "node:net";
import { expect, it } from "vitest";
import { client, connected, disposable, listening, readAll, readToEnd, type World } from "./harness.js";
import { turns } from "./turns.js";

export default function accept(world: World): void {
  const { host } = world;

  /** The next so many connections of a server. */
  function accepted(server: Server, count: number): Promise<Socket[]> {
    const sockets: Socket[] = [];
    return new Promise((resolve) => {
      server.on("connection", (far) => {
        sockets.push(far);
        if (sockets.length === count) resolve(sockets);
      });
    });
  }

  it("one connection event for each of 50 at once", async () => {
    const { server, port } = await listening(world);
    const all = accepted(server, 50);
    const clients = Array.from({ length: 50 }, () => client(world, { port, host }));
    await Promise.all(clients.map((near) => once(near, "connect")));
    const ports = (await all).map((far) => far.remotePort);
    expect(new Set(ports)).toEqual(new Set(clients.map((near) => near.localPort)));
    expect(ports.length).toBe(50);
  });

  it("connections come in the order in which they were made", async () => {
    const { server, port } = await listening(world);
    const all = accepted(server, 10);
    const ports: (number | undefined)[] = [];
    for (let i = 0; i < 10; i++) {
      const near = client(world, { port, host });
      await once(near, "connect");
      ports.push(near.localPort);
    }
    expect((await all).map((far) => far.remotePort)).toEqual(ports);
  });

  it("the listener is called on the server, with the socket alone", async () => {
    const { server, port } = await listening(world);
    const told = new Promise<[unknown, unknown[]]>((resolve) => {
      server.once("connection", function (this: unknown, ...args: unknown[]) {
        resolve([this, args]);
      });
    });
    client(world, { port, host });
    const [self, args] = await told;
    expect([self, args.length]).toEqual([server, 1]);
    expect(args[0]).toBeInstanceOf(world.server.Socket);
  });

  it("every listener gets the same socket, a once listener the first alone", async () => {
    const { server, port } = await listening(world);
    const seen: [string, Socket][] = [];
    server.once("connection", (far) => seen.push(["once", far]));
    server.on("connection", (far) => seen.push(["on", far]));
    for (let i = 0; i < 2; i++) {
      const taken = once(server, "connection");
      client(world, { port, host });
      await taken;
    }
    expect(seen.map(([who]) => who)).toEqual(["once", "on", "on"]);
    expect(seen[0]?.[1]).toBe(seen[1]?.[1]);
    expect(seen[2]?.[1]).not.toBe(seen[1]?.[1]);
  });

  it("the socket is open and flows nowhere in connection", async () => {
    const { server, port } = await listening(world);
    const state = new Promise((resolve) => {
      server.once("connection", (far) =>
        resolve([far.readyState, far.connecting, far.pending, far.destroyed, far.readableFlowing, far.isPaused()]),
      );
    });
    client(world, { port, host });
    expect(await state).toEqual(["open", false, false, false, null, false]);
  });

  it("the socket knows both ends in connection", async () => {
    const { server, port } = await listening(world);
    const names = new Promise<unknown[]>((resolve) => {
      server.once("connection", (far) => resolve([far.remoteAddress, far.remotePort, far.localAddress, far.localPort]));
    });
    const near = client(world, { port, host });
    await once(near, "connect");
    expect(await names).toEqual([host, near.localPort, host, port]);
  });

  it("the server's socket tells neither connect nor ready", async () => {
    const { server, port } = await listening(world);
    const told: string[] = [];
    server.once("connection", (far) => {
      for (const name of ["connect", "ready", "lookup"]) far.on(name, () => told.push(name));
      far.end("x");
    });
    const near = client(world, { port, host });
    expect(String(await readAll(near))).toBe("x");
    expect(told).toEqual([]);
  });

  it("data sent before anybody listens for it is kept", async () => {
    const { near, far } = await connected(world);
    await new Promise((resolve) => near.write("early", resolve));
    await turns(20);
    near.end(" and late");
    expect(String(await readAll(far))).toBe("early and late");
  });

  it("data and the end sent at once after connect are all there", async () => {
    const { server, port } = await listening(world);
    const taken = once(server, "connection") as Promise<[Socket]>;
    client(world, { port, host }).end("all of it");
    const [far] = await taken;
    expect(String(await readAll(far))).toBe("all of it");
  });

  it("an end without data is end without data", async () => {
    const { server, port } = await listening(world);
    const taken = once(server, "connection") as Promise<[Socket]>;
    client(world, { port, host }).end();
    const [far] = await taken;
    expect((await readAll(far)).length).toBe(0);
  });

  it("what connection writes is there after the client's connect", async () => {
    const { port } = await listening(world, {}, (far) => far.write("hello"));
    const near = client(world, { port, host });
    const told: string[] = [];
    near.on("connect", () => told.push("connect"));
    near.on("data", (chunk: Buffer) => told.push(String(chunk)));
    await once(near, "data");
    expect(told).toEqual(["connect", "hello"]);
  });

  it("an end in connection is told after the client's connect", async () => {
    const { port } = await listening(world, {}, (far) => far.end());
    const near = client(world, { port, host });
    const told: string[] = [];
    for (const name of ["connect", "end", "close"]) near.on(name, () => told.push(name));
    near.resume();
    await once(near, "close");
    expect(told).toEqual(["connect", "end", "close"]);
  });

  it("an error of one connection is not the server's, and the others live on", async () => {
    const { server, port } = await listening(world);
    let serverErrors = 0;
    server.on("error", () => serverErrors++);
    const all = accepted(server, 2);
    const clients = [client(world, { port, host }), client(world, { port, host })] as const;
    const [one, two] = (await all) as [Socket, Socket];
    const failed = new Promise((resolve) => one.once("error", resolve));
    one.destroy(new Error("made here"));
    expect(await failed).toMatchObject({ message: "made here" });
    const survivor = clients[0].localPort === two.remotePort ? clients[0] : clients[1];
    two.write("alive");
    expect(String((await once(survivor, "data"))[0])).toBe("alive");
    expect([serverErrors, server.listening]).toEqual([0, true]);
  });

  it("a listener added while the server listens gets the next connection", async () => {
    const server = disposable(world.server.createServer((far) => void far.on("error", () => undefined).resume()));
    server.listen(0, host);
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const first = once(server, "connection") as Promise<[Socket]>;
    const near = client(world, { port, host });
    disposable((await first)[0]);
    const second = new Promise<Socket>((resolve) => server.once("connection", resolve));
    const other = client(world, { port, host });
    const [far] = await Promise.all([second.then(disposable), once(other, "connect")]);
    expect([far.remotePort, far.remotePort === near.localPort]).toEqual([other.localPort, false]);
  });

  it("a socket may be used long after connection, by whoever was given it", async () => {
    const { near, far } = await connected(world);
    await turns(50);
    far.write("later");
    expect(String((await once(near, "data"))[0])).toBe("later");
    near.write("later still");
    expect(String((await once(far, "data"))[0])).toBe("later still");
  });

  it("two servers take their own connections", async () => {
    const one = await listening(world, {}, (far) => far.end("one"));
    const two = await listening(world, {}, (far) => far.end("two"));
    const texts = await Promise.all([one, two, one].map(({ port }) => readAll(client(world, { port, host }))));
    expect(texts.map(String)).toEqual(["one", "two", "one"]);
  });

  it("a connection made from within connection is taken too", async () => {
    const { server, port } = await listening(world);
    const all = accepted(server, 2);
    server.once("connection", () => client(world, { port, host }));
    client(world, { port, host });
    const [first, second] = (await all) as [Socket, Socket];
    expect(first.remotePort).not.toBe(second.remotePort);
  });

  it("a proxy: what a client says to one server is answered by the one behind it", async () => {
    const behind = await listening(world, { allowHalfOpen: true }, (far) => {
      void readToEnd(far).then((text) => far.end(String(text).toUpperCase()));
    });
    const front = await listening(world, { allowHalfOpen: true }, (far) => {
      const on = client(world, { port: behind.port, host, allowHalfOpen: true } as never);
      far.pipe(on).pipe(far);
    });
    const near = client(world, { port: front.port, host });
    near.end("through");
    expect(String(await readAll(near))).toBe("THROUGH");
  });
}
