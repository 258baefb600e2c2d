/** recv, send, shutdown, ioctl and poll in each state, with Linux's answers. */
import { describe, expect, it } from "vitest";
import { MILLISECOND, SECOND } from "../../src/base/time.js";
import type { StackSocket } from "../../src/stack/socket.js";
import { MSG_MORE, MSG_OOB, MSG_PEEK } from "../../src/stack/socket-constants.js";
import { bytes, codeOf, ready, receive, SERVER, SocketWorld, text } from "./socket-world.js";

describe("recv", () => {
  it("before connect ENOTCONN, while connecting EAGAIN, then EAGAIN until data comes", () => {
    const world = new SocketWorld();
    expect(receive(world.socket())).toBe("ENOTCONN");
    world.listening();
    const client = world.connecting();
    expect([receive(client), ready(client)]).toEqual(["EAGAIN", "0"]);
    world.run();
    expect([receive(client), ready(client)]).toEqual(["EAGAIN", "POLLOUT"]);
  });

  it("gives what is there, in parts; MSG_PEEK takes nothing away", () => {
    const world = new SocketWorld();
    const { client, server } = world.connected();
    client.write(bytes("hello"));
    world.run();
    expect([ready(server), server.ioctl("SIOCINQ")]).toEqual(["POLLIN|POLLOUT", 5]);
    expect([text(server, 2, MSG_PEEK), text(server, 2), text(server, 0), text(server)]).toEqual(["he", "he", "", "llo"]);
    expect([receive(server), server.ioctl("SIOCINQ")]).toEqual(["EAGAIN", 0]);
  });

  it("a reset: data that came before it, the error once, then the end", () => {
    const world = new SocketWorld();
    const { client, server } = world.connected();
    client.write(bytes("data"));
    world.run();
    client.abort(world.now);
    world.run();
    expect(ready(server)).toBe("POLLIN|POLLOUT|POLLERR|POLLHUP|POLLRDHUP");
    expect([text(server), receive(server), receive(server)]).toEqual(["data", "ECONNRESET", 0]);
    expect(codeOf(() => server.write(bytes("x")))).toBe("EPIPE");
    expect(codeOf(() => server.shutdown("SHUT_WR", world.now))).toBe("ENOTCONN");
    expect(codeOf(() => server.getpeername())).toBe("ENOTCONN");
  });

  it("a reset after the end of data is EPIPE, and reading still ends", () => {
    const world = new SocketWorld();
    const { client, server } = world.connected();
    client.shutdown("SHUT_WR", world.now);
    world.run();
    client.abort(world.now);
    world.run();
    expect([receive(server), server.getsockopt("SO_ERROR"), server.getsockopt("SO_ERROR")]).toEqual([0, "EPIPE", ""]);
  });
});

describe("send", () => {
  it("before connect EPIPE, while connecting EAGAIN, after a reset the error once and EPIPE", () => {
    const world = new SocketWorld();
    expect(codeOf(() => world.socket().write(bytes("x")))).toBe("EPIPE");
    const listener = world.listening();
    const client = world.connecting();
    expect(codeOf(() => client.write(bytes("x")))).toBe("EAGAIN");
    world.run();
    listener.accept(world.now).abort(world.now);
    world.run();
    expect([codeOf(() => client.write(bytes("x"))), codeOf(() => client.write(bytes("x")))]).toEqual(["ECONNRESET", "EPIPE"]);
  });

  it("takes what fits, then EAGAIN without POLLOUT until a third of the buffer is free", () => {
    const world = new SocketWorld({ sendBufferBytes: 9_000, receiveBufferBytes: 4_000 });
    const { client, server } = world.connected();
    expect(client.write(new Uint8Array(10_000))).toBe(9_000);
    expect([codeOf(() => client.write(bytes("x"))), ready(client)]).toEqual(["EAGAIN", "0"]);
    expect(client.ioctl("SIOCOUTQ")).toBe(9_000);
    world.run();
    // Two segments fill the peer's window, but for a rest that is not worth one; less than a third of the buffer is free.
    expect([client.ioctl("SIOCOUTQ"), client.ioctl("SIOCOUTQNSD"), ready(client)]).toEqual([6_104, 6_104, "0"]);
    while (receive(server) !== "EAGAIN") world.run();
    world.run(2 * SECOND);
    while (receive(server) !== "EAGAIN") world.run();
    expect([client.ioctl("SIOCOUTQ"), ready(client)]).toEqual([0, "POLLOUT"]);
  });

  it("nothing is taken without complaint", () => {
    expect(new SocketWorld().connected().client.write(new Uint8Array(0))).toBe(0);
  });

  it("MSG_MORE holds a partial segment until the next send without it", () => {
    const world = new SocketWorld();
    const { client, server } = world.connected();
    const before = client.info(world.now).tcpi_data_segs_out;
    client.send(bytes("head, "), MSG_MORE);
    world.run();
    expect([receive(server), client.ioctl("SIOCOUTQNSD")]).toEqual(["EAGAIN", 6]);
    client.send(bytes("body"));
    world.run();
    expect([text(server), client.info(world.now).tcpi_data_segs_out - before]).toEqual(["head, body", 1]);
  });

  it("MSG_MORE under TCP_CORK stays corked", () => {
    const world = new SocketWorld();
    const { client, server } = world.connected();
    client.setsockopt("TCP_CORK", 1, world.now);
    client.send(bytes("a"), MSG_MORE);
    client.send(bytes("b"));
    world.run();
    expect(receive(server)).toBe("EAGAIN");
    client.setsockopt("TCP_CORK", 0, world.now);
    world.run();
    expect(text(server)).toBe("ab");
  });
});

describe("urgent data", () => {
  function urgent(inline = false): { world: SocketWorld; client: StackSocket; server: StackSocket } {
    const world = new SocketWorld();
    const { client, server } = world.connected();
    if (inline) server.setsockopt("SO_OOBINLINE", 1, world.now);
    client.write(bytes("abc"));
    client.send(bytes("!"), MSG_OOB);
    client.write(bytes("def"));
    world.run(SECOND);
    return { world, client, server };
  }

  it("reading stops at the mark and leaves the byte out", () => {
    const { server } = urgent();
    expect([ready(server), server.ioctl("SIOCINQ"), server.ioctl("SIOCATMARK")]).toEqual(["POLLIN|POLLPRI|POLLOUT", 3, 0]);
    expect([text(server), server.ioctl("SIOCATMARK")]).toEqual(["abc", 1]);
    expect([text(server, 100, MSG_PEEK), text(server)]).toEqual(["def", "def"]);
    expect([ready(server), server.ioctl("SIOCATMARK")]).toEqual(["POLLOUT", 0]);
  });

  it("MSG_OOB gives the byte, once", () => {
    const { server } = urgent();
    expect([text(server, 9, MSG_OOB | MSG_PEEK), text(server, 9, MSG_OOB), receive(server, 9, MSG_OOB)]).toEqual([
      "!",
      "!",
      "EINVAL",
    ]);
    expect(ready(server)).toBe("POLLIN|POLLOUT");
    expect([text(server), text(server)]).toEqual(["abc", "def"]);
  });

  it("in line it is a byte like any other, but a read stops before it", () => {
    const { server } = urgent(true);
    expect(receive(server, 9, MSG_OOB)).toBe("EINVAL");
    expect([text(server), text(server)]).toEqual(["abc", "!def"]);
  });

  it("alone it makes nothing readable", () => {
    const world = new SocketWorld();
    const { client, server } = world.connected();
    expect(receive(server, 9, MSG_OOB)).toBe("EINVAL");
    client.send(bytes("!"), MSG_OOB);
    world.run();
    expect([ready(server), receive(server)]).toEqual(["POLLPRI|POLLOUT", "EAGAIN"]);
  });
});

describe("shutdown", () => {
  it("without a connection ENOTCONN", () => {
    const world = new SocketWorld();
    const socket = world.socket();
    expect([codeOf(() => socket.shutdown("SHUT_WR", world.now)), ready(socket)]).toEqual(["ENOTCONN", "POLLOUT|POLLHUP"]);
  });

  it("SHUT_WR ends our direction alone; when both have, the socket hangs up", () => {
    const world = new SocketWorld();
    const { client, server } = world.connected();
    client.shutdown("SHUT_WR", world.now);
    expect(codeOf(() => client.write(bytes("x")))).toBe("EPIPE");
    expect([client.ioctl("SIOCOUTQ"), ready(client)]).toEqual([1, "POLLOUT"]);
    world.run();
    expect([client.ioctl("SIOCOUTQ"), client.connection?.state]).toEqual([0, "FIN-WAIT-2"]);
    expect([receive(server), ready(server)]).toEqual([0, "POLLIN|POLLOUT|POLLRDHUP"]);
    server.write(bytes("answer"));
    server.shutdown("SHUT_WR", world.now);
    world.run();
    expect([client.connection?.state, ready(client)]).toEqual(["TIME-WAIT", "POLLIN|POLLOUT|POLLHUP|POLLRDHUP"]);
    expect([text(client), receive(client)]).toEqual(["answer", 0]);
    expect([server.connection?.state, ready(server)]).toEqual(["CLOSED", "POLLIN|POLLOUT|POLLHUP|POLLRDHUP"]);
    expect(server.getsockopt("SO_ERROR")).toBe("");
  });

  it("SHUT_RD makes reads end, but what comes can still be read", () => {
    const world = new SocketWorld();
    const { client, server } = world.connected();
    server.shutdown("SHUT_RD", world.now);
    expect([receive(server), ready(server)]).toEqual([0, "POLLIN|POLLOUT|POLLRDHUP"]);
    client.write(bytes("late"));
    world.run();
    expect([text(server), receive(server), codeOf(() => client.write(bytes("more")))]).toEqual(["late", 0, ""]);
  });

  it("SHUT_RDWR is both", () => {
    const world = new SocketWorld();
    const { client } = world.connected();
    client.shutdown("SHUT_RDWR", world.now);
    world.run();
    expect([receive(client), codeOf(() => client.write(bytes("x"))), ready(client)]).toEqual([
      0,
      "EPIPE",
      "POLLIN|POLLOUT|POLLHUP|POLLRDHUP",
    ]);
    expect(client.connection?.state).toBe("FIN-WAIT-2");
  });
});

describe("errors on the way", () => {
  it("the user time-out ends a connection that nobody answers", () => {
    const world = new SocketWorld();
    const { client } = world.connected();
    client.setsockopt("TCP_USER_TIMEOUT", 500, world.now);
    world.there.filter = () => false;
    client.write(bytes("lost"));
    world.run(100 * MILLISECOND);
    expect(client.getsockopt("SO_ERROR")).toBe("");
    world.run(2 * SECOND);
    expect([ready(client), client.getsockopt("SO_ERROR"), receive(client)]).toEqual([
      "POLLIN|POLLOUT|POLLERR|POLLHUP|POLLRDHUP",
      "ETIMEDOUT",
      0,
    ]);
  });

  it("a socket that has failed can be closed and the port used again", () => {
    const world = new SocketWorld();
    const client = world.connecting(SERVER, 9);
    world.run();
    client.close(world.now);
    expect([world.client.stack.connectionCount, [...world.client.stack.ports()]]).toEqual([0, []]);
  });
});
