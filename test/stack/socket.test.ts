/** bind, connect, listen, accept, close: each call in each state, with Linux's answers. */
import { describe, expect, it } from "vitest";
import { MINUTE, SECOND } from "../../src/base/time.js";
import { parseAddress } from "../../src/wire/address.js";
import { bytes, CLIENT, codeOf, ready, receive, SERVER, SocketWorld, text } from "./socket-world.js";

describe("bind", () => {
  it("names the socket, once; port 0 chooses", () => {
    const world = new SocketWorld();
    const a = world.socket();
    expect(a.getsockname()).toEqual({ address: parseAddress("0.0.0.0"), port: 0 });
    a.bind(CLIENT, 0);
    expect(a.getsockname().port).toBeGreaterThanOrEqual(49_152);
    expect(codeOf(() => a.bind(CLIENT, 5000))).toBe("EINVAL");
    expect([...world.client.stack.ports()]).toEqual([a.getsockname().port]);
    a.close(world.now);
    expect([...world.client.stack.ports()]).toEqual([]);
  });

  it("a port in use is refused, unless SO_REUSEADDR is set and nobody listens", () => {
    const world = new SocketWorld();
    world.socket().bind(CLIENT, 5000);
    const [b, c, d, e] = [world.socket(), world.socket(), world.socket(), world.socket()];
    expect(codeOf(() => b.bind(CLIENT, 5000))).toBe("EADDRINUSE");
    expect(codeOf(() => b.bind(parseAddress("0.0.0.0"), 5000))).toBe("EADDRINUSE");
    c.setsockopt("SO_REUSEADDR", 1, world.now);
    c.bind(CLIENT, 5000);
    c.listen(1);
    d.setsockopt("SO_REUSEADDR", 1, world.now);
    expect(codeOf(() => d.bind(CLIENT, 5000))).toBe("EADDRINUSE");
    e.bind(CLIENT, 5001);
  });

  it("not to a group, not of another family, not to an odd port", () => {
    const socket = new SocketWorld().socket();
    expect(codeOf(() => socket.bind(parseAddress("224.0.0.1"), 1))).toBe("EADDRNOTAVAIL");
    expect(codeOf(() => socket.bind(parseAddress("::1"), 1))).toBe("EAFNOSUPPORT");
    expect(codeOf(() => socket.bind(CLIENT, 70_000))).toBe("EINVAL");
  });

  it("a connect goes out from the bound port", () => {
    const world = new SocketWorld();
    const listener = world.listening();
    const client = world.connecting(SERVER, 80, (s) => s.bind(CLIENT, 4321));
    world.run();
    expect(client.getsockname()).toEqual({ address: CLIENT, port: 4321 });
    expect(listener.accept(world.now).getpeername()).toEqual({ address: CLIENT, port: 4321 });
  });
});

describe("connect", () => {
  it("EINPROGRESS, EALREADY, then nothing once, then EISCONN", () => {
    const world = new SocketWorld();
    world.listening();
    const client = world.connecting();
    expect(codeOf(() => client.connect(SERVER, 80, world.now))).toBe("EALREADY");
    expect(codeOf(() => client.getpeername())).toBe("ENOTCONN");
    world.run();
    expect(client.getsockopt("SO_ERROR")).toBe("");
    expect(codeOf(() => client.connect(SERVER, 80, world.now))).toBe("");
    expect(codeOf(() => client.connect(SERVER, 80, world.now))).toBe("EISCONN");
    expect(client.getpeername()).toEqual({ address: SERVER, port: 80 });
  });

  it("refused: SO_ERROR says so once; the next connect ECONNABORTED, and the one after begins anew", () => {
    const world = new SocketWorld();
    const client = world.connecting();
    world.run();
    expect(ready(client)).toBe("POLLIN|POLLOUT|POLLERR|POLLHUP|POLLRDHUP");
    expect(client.getsockopt("SO_ERROR")).toBe("ECONNREFUSED");
    expect(client.getsockopt("SO_ERROR")).toBe("");
    expect(ready(client)).toBe("POLLIN|POLLOUT|POLLHUP|POLLRDHUP");
    expect(codeOf(() => client.connect(SERVER, 80, world.now))).toBe("ECONNABORTED");
    world.listening();
    expect(codeOf(() => client.connect(SERVER, 80, world.now))).toBe("EINPROGRESS");
    world.run();
    expect(ready(client)).toBe("POLLOUT");
  });

  it("refused: the next connect tells it, if nobody asked before; so does a read, then the end", () => {
    const world = new SocketWorld();
    const [a, b] = [world.connecting(), world.connecting()];
    world.run();
    expect(codeOf(() => a.connect(SERVER, 80, world.now))).toBe("ECONNREFUSED");
    expect([receive(b), receive(b), receive(b)]).toEqual(["ECONNREFUSED", 0, 0]);
  });

  it("no answer at all: ETIMEDOUT", () => {
    const world = new SocketWorld();
    world.there.filter = () => false;
    const client = world.connecting();
    world.run(MINUTE);
    expect([client.getsockopt("SO_ERROR"), ready(client)]).toEqual(["", "0"]);
    world.run(5 * MINUTE);
    expect(client.getsockopt("SO_ERROR")).toBe("ETIMEDOUT");
  });

  it("a listening socket is EISCONN; a target that is no host ENETUNREACH; another family EAFNOSUPPORT", () => {
    const world = new SocketWorld();
    expect(codeOf(() => world.listening().connect(CLIENT, 1, world.now))).toBe("EISCONN");
    const socket = world.socket();
    expect(codeOf(() => socket.connect(parseAddress("224.0.0.1"), 1, world.now))).toBe("ENETUNREACH");
    expect(codeOf(() => socket.connect(parseAddress("::1"), 1, world.now))).toBe("EAFNOSUPPORT");
    // It is as it was before.
    expect(codeOf(() => socket.connect(SERVER, 80, world.now))).toBe("EINPROGRESS");
  });

  it("shutdown while it is under way ends the attempt", () => {
    const world = new SocketWorld();
    const client = world.connecting();
    client.shutdown("SHUT_RDWR", world.now);
    expect(client.getsockopt("SO_ERROR")).toBe("ECONNRESET");
    expect([ready(client), client.connection]).toEqual(["POLLOUT|POLLHUP", undefined]);
  });
});

describe("listen and accept", () => {
  it("EAGAIN, then one socket a connection, oldest first; it inherits the options", () => {
    const world = new SocketWorld();
    const listener = world.listening(8, (s) => s.setsockopt("TCP_NODELAY", 1, world.now));
    expect([listener.getsockopt("SO_ACCEPTCONN"), ready(listener)]).toEqual([1, "0"]);
    expect(codeOf(() => listener.accept(world.now))).toBe("EAGAIN");
    const [a, b] = [world.connecting(), world.connecting()];
    world.run();
    expect(ready(listener)).toBe("POLLIN");
    listener.setsockopt("SO_KEEPALIVE", 1, world.now);
    const first = listener.accept(world.now);
    expect(first.getpeername().port).toBe(a.getsockname().port);
    expect(listener.accept(world.now).getpeername().port).toBe(b.getsockname().port);
    expect(codeOf(() => listener.accept(world.now))).toBe("EAGAIN");
    expect([first.getsockopt("TCP_NODELAY"), first.getsockopt("SO_KEEPALIVE"), first.getsockopt("SO_ACCEPTCONN")]).toEqual([
      1, 1, 0,
    ]);
    expect(first.connection?.tcb.config).toMatchObject({ noDelay: true, keepAlive: true });
  });

  it("a listener can be asked for nothing else", () => {
    const world = new SocketWorld();
    const listener = world.listening();
    expect([receive(listener), codeOf(() => listener.write(bytes("x")))]).toEqual(["ENOTCONN", "EPIPE"]);
    expect(codeOf(() => listener.ioctl("SIOCINQ"))).toBe("EINVAL");
    expect(codeOf(() => listener.bind(SERVER, 81))).toBe("EINVAL");
    expect(codeOf(() => world.socket().accept(world.now))).toBe("EINVAL");
    const { client } = new SocketWorld().connected();
    expect(codeOf(() => client.listen(1))).toBe("EINVAL");
  });

  it("without a name it is given a port", () => {
    const world = new SocketWorld();
    const listener = world.socket(world.server);
    listener.listen(1);
    const client = world.connecting(SERVER, listener.getsockname().port);
    world.run();
    expect([ready(client), ready(listener)]).toEqual(["POLLOUT", "POLLIN"]);
  });

  it("shutdown for reading ends it, and it may listen again; for writing it does nothing", () => {
    const world = new SocketWorld();
    const listener = world.listening();
    listener.shutdown("SHUT_WR", world.now);
    expect(listener.getsockopt("SO_ACCEPTCONN")).toBe(1);
    listener.shutdown("SHUT_RD", world.now);
    expect(listener.getsockopt("SO_ACCEPTCONN")).toBe(0);
    const refused = world.connecting();
    world.run();
    expect(refused.getsockopt("SO_ERROR")).toBe("ECONNREFUSED");
    listener.listen(1);
    const client = world.connecting();
    world.run();
    expect(ready(client)).toBe("POLLOUT");
  });

  it("a connection that was reset before accept is accepted, and says what happened", () => {
    const world = new SocketWorld();
    const listener = world.listening();
    const client = world.connecting();
    world.run();
    client.write(bytes("last words"));
    world.run();
    client.abort(world.now);
    world.run();
    const server = listener.accept(world.now);
    expect(text(server)).toBe("last words");
    expect([receive(server), receive(server)]).toEqual(["ECONNRESET", 0]);
  });

  it("TCP_INFO of a listener tells of its queue", () => {
    const world = new SocketWorld();
    const listener = world.listening(5);
    world.connecting();
    world.run();
    expect(listener.info(world.now)).toMatchObject({ tcpi_state: 10, tcpi_unacked: 1, tcpi_sacked: 5 });
    expect(world.socket().getsockopt("TCP_INFO", world.now)).toMatchObject({ tcpi_state: 7, tcpi_unacked: 0 });
  });
});

describe("close", () => {
  it("every later call is EBADF", () => {
    const world = new SocketWorld();
    const { client } = world.connected();
    client.close(world.now);
    const calls = [
      () => client.bind(CLIENT, 1),
      () => client.connect(SERVER, 80, world.now),
      () => client.listen(1),
      () => client.accept(world.now),
      () => client.recv(new Uint8Array(1)),
      () => client.send(bytes("x")),
      () => client.shutdown("SHUT_RD", world.now),
      () => client.poll(),
      () => client.ioctl("SIOCINQ"),
      () => client.getsockopt("SO_ERROR"),
      () => client.setsockopt("TCP_NODELAY", 1, world.now),
      () => client.close(world.now),
      () => client.abort(world.now),
    ];
    expect(calls.map(codeOf)).toEqual(calls.map(() => "EBADF"));
  });

  it("sends FIN after what was written; the peer reads all of it, then 0", () => {
    const world = new SocketWorld();
    const { client, server } = world.connected();
    client.write(bytes("bye"));
    client.close(world.now);
    world.run();
    expect([text(server), receive(server), ready(server)]).toEqual(["bye", 0, "POLLIN|POLLOUT|POLLRDHUP"]);
    server.close(world.now);
    world.run(2 * MINUTE);
    expect([world.client.stack.connectionCount, world.server.stack.connectionCount]).toEqual([0, 0]);
  });

  it("with unread data sends RST", () => {
    const world = new SocketWorld();
    const { client, server } = world.connected();
    client.write(bytes("unheard"));
    world.run();
    server.close(world.now);
    world.run();
    expect([receive(client), receive(client)]).toEqual(["ECONNRESET", 0]);
  });

  it("SO_LINGER of 0 s and abort send RST", () => {
    for (const how of ["linger", "abort"] as const) {
      const world = new SocketWorld();
      const { client, server } = world.connected();
      client.setsockopt("SO_LINGER", { on: true, seconds: 0 }, world.now);
      expect(client.getsockopt("SO_LINGER")).toEqual({ on: true, seconds: 0 });
      if (how === "linger") client.close(world.now);
      else client.abort(world.now);
      world.run();
      expect(receive(server)).toBe("ECONNRESET");
      expect(world.client.stack.connectionCount).toBe(0);
    }
  });

  it("SO_LINGER of some seconds gives up by RST when the peer takes nothing", () => {
    const world = new SocketWorld();
    const { client } = world.connected();
    client.setsockopt("SO_LINGER", { on: true, seconds: 3 }, world.now);
    world.there.filter = () => false;
    client.write(bytes("lost"));
    client.close(world.now);
    world.run(2 * SECOND);
    expect(world.client.stack.connectionCount).toBe(1);
    world.run(2 * SECOND);
    expect(world.client.stack.connectionCount).toBe(0);
  });

  it("of a listener resets who was not accepted", () => {
    const world = new SocketWorld();
    const listener = world.listening();
    const client = world.connecting();
    world.run();
    listener.close(world.now);
    world.run();
    expect(receive(client)).toBe("ECONNRESET");
    expect([...world.server.stack.ports()]).toEqual([]);
  });
});
