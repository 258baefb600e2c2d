/** The socket calls of Fast Open and deferred accept, between two hosts in virtual time. */
import { describe, expect, it } from "vitest";
import { MILLISECOND, SECOND } from "../../src/base/time.js";
import type { StackSocket } from "../../src/stack/socket.js";
import { formatPoll, MSG_FASTOPEN } from "../../src/stack/socket-constants.js";
import { TCPI_OPTIONS } from "../../src/tcp/info.js";
import { ascii, text } from "./fast-open-support.js";
import { codeOf, SERVER, SocketWorld } from "./socket-world.js";

function readText(socket: StackSocket): string {
  const bytes = new Uint8Array(100);
  return text(bytes.subarray(0, socket.read(bytes)));
}

function serving(world: SocketWorld): StackSocket {
  return world.listening(8, (socket) => socket.setsockopt("TCP_FASTOPEN", 5, 0));
}

/** A world whose client has a cookie of the server. */
function withCookie(): { world: SocketWorld; listener: StackSocket } {
  const world = new SocketWorld({ fastOpen: "both" });
  const listener = serving(world);
  const first = world.socket();
  codeOf(() => first.sendto(ascii("x"), MSG_FASTOPEN, SERVER, 80, world.now));
  world.run();
  first.abort(world.now);
  listener.accept(world.now).close(world.now);
  world.run();
  return { world, listener };
}

describe("sendto with MSG_FASTOPEN", () => {
  it("without a cookie asks for one, takes nothing and throws EINPROGRESS", () => {
    const world = new SocketWorld({ fastOpen: "both" });
    const listener = serving(world);
    const client = world.socket();
    expect(codeOf(() => client.sendto(ascii("hello"), MSG_FASTOPEN, SERVER, 80, world.now))).toBe("EINPROGRESS");
    expect(codeOf(() => client.sendto(ascii("hello"), MSG_FASTOPEN, SERVER, 80, world.now))).toBe("EALREADY");
    world.run();
    const server = listener.accept(world.now);
    expect(codeOf(() => readText(server))).toBe("EAGAIN");
    expect(codeOf(() => client.sendto(ascii("hello"), MSG_FASTOPEN, SERVER, 80, world.now))).toBe("EISCONN");
    expect(client.sendto(ascii("hello"), 0, SERVER, 80, world.now)).toBe(5);
  });

  it("with one sends data with the SYN: the server reads and answers in SYN-RECEIVED", () => {
    const { world, listener } = withCookie();
    const client = world.socket();
    expect(client.sendto(ascii("hello"), MSG_FASTOPEN, SERVER, 80, world.now)).toBe(5);
    world.run(MILLISECOND);
    const server = listener.accept(world.now);
    expect(server.connection?.state).toBe("SYN-RECEIVED");
    expect(formatPoll(server.poll())).toBe("POLLIN|POLLOUT");
    expect([readText(server), server.write(ascii("world"))]).toEqual(["hello", 5]);
    world.run(MILLISECOND);
    expect(readText(client)).toBe("world");
    for (const socket of [client, server])
      expect(socket.getsockopt("TCP_INFO", world.now).tcpi_options & TCPI_OPTIONS.SYN_DATA).toBe(TCPI_OPTIONS.SYN_DATA);
  });

  it("takes as much as the send buffer holds", () => {
    const { world } = withCookie();
    const client = world.socket();
    client.setsockopt("SO_SNDBUF", 3_000, 0);
    expect(client.sendto(new Uint8Array(5_000), MSG_FASTOPEN, SERVER, 80, world.now)).toBe(3_000);
  });

  it("throws EOPNOTSUPP where Fast Open is off, EISCONN on a listener", () => {
    const world = new SocketWorld({ fastOpen: "off" });
    expect(codeOf(() => world.socket().sendto(ascii("x"), MSG_FASTOPEN, SERVER, 80, 0))).toBe("EOPNOTSUPP");
    const both = new SocketWorld({ fastOpen: "both" });
    expect(codeOf(() => serving(both).sendto(ascii("x"), MSG_FASTOPEN, SERVER, 80, 0))).toBe("EISCONN");
  });
});

describe("TCP_FASTOPEN_CONNECT", () => {
  it("with a cookie: connect returns at once, the SYN goes with the first send", () => {
    const { world, listener } = withCookie();
    const client = world.socket();
    client.setsockopt("TCP_FASTOPEN_CONNECT", 1, world.now);
    client.connect(SERVER, 80, world.now);
    const before = world.there.counters.packets;
    world.run();
    expect([world.there.counters.packets - before, formatPoll(client.poll())]).toEqual([0, "POLLOUT"]);
    expect([codeOf(() => client.connect(SERVER, 80, world.now)), codeOf(() => readText(client))]).toEqual(["EISCONN", "EAGAIN"]);
    expect(client.send(ascii("hello"), 0, world.now)).toBe(5);
    world.run(MILLISECOND);
    expect(readText(listener.accept(world.now))).toBe("hello");
  });

  it("without one: a plain connect that asks for a cookie", () => {
    const world = new SocketWorld({ fastOpen: "both" });
    serving(world);
    const client = world.connecting(SERVER, 80, (socket) => socket.setsockopt("TCP_FASTOPEN_CONNECT", 1, 0));
    world.run();
    client.connect(SERVER, 80, world.now);
    const next = world.socket();
    next.setsockopt("TCP_FASTOPEN_CONNECT", 1, world.now);
    expect(codeOf(() => next.connect(SERVER, 80, world.now))).toBe("");
    next.close(world.now);
  });
});

describe("options", () => {
  it("TCP_FASTOPEN_NO_COOKIE on both sides: data with the first SYN", () => {
    const world = new SocketWorld({ fastOpen: "both" });
    const listener = world.listening(8, (socket) => {
      socket.setsockopt("TCP_FASTOPEN", 5, 0);
      socket.setsockopt("TCP_FASTOPEN_NO_COOKIE", 1, 0);
    });
    const client = world.socket();
    client.setsockopt("TCP_FASTOPEN_NO_COOKIE", 1, 0);
    expect(client.sendto(ascii("hello"), MSG_FASTOPEN, SERVER, 80, world.now)).toBe(5);
    world.run(MILLISECOND);
    expect(readText(listener.accept(world.now))).toBe("hello");
  });

  it("are told as they were set; what is out of range or too late is EINVAL", () => {
    const { world, listener } = withCookie();
    expect([listener.getsockopt("TCP_FASTOPEN"), listener.getsockopt("TCP_FASTOPEN_NO_COOKIE")]).toEqual([5, 0]);
    listener.setsockopt("TCP_FASTOPEN", 0, world.now);
    expect(listener.listener?.fastOpenQueue).toBe(0);
    const key = new Uint8Array(16);
    listener.setsockopt("TCP_FASTOPEN_KEY", key, world.now);
    expect(listener.listener?.fastOpenCookies).toBeDefined();
    const socket = world.socket();
    expect(codeOf(() => socket.setsockopt("TCP_FASTOPEN_KEY", key.subarray(1), 0))).toBe("EINVAL");
    expect(codeOf(() => socket.setsockopt("TCP_FASTOPEN_CONNECT", 2, 0))).toBe("EINVAL");
    expect(codeOf(() => socket.setsockopt("TCP_FASTOPEN", -1, 0))).toBe("EINVAL");
    socket.setsockopt("TCP_FASTOPEN_KEY", key, 0);
    socket.listen(1);
    expect(socket.listener?.fastOpenCookies).toBeDefined();
    const client = world.connecting();
    expect(codeOf(() => client.setsockopt("TCP_FASTOPEN_CONNECT", 1, 0))).toBe("EINVAL");
    expect(codeOf(() => client.setsockopt("TCP_FASTOPEN_NO_COOKIE", 1, 0))).toBe("EINVAL");
  });

  it("TCP_DEFER_ACCEPT: accept has nothing before there is data, and tells the time that it was rounded to", () => {
    const world = new SocketWorld();
    const listener = world.listening(8, (socket) => socket.setsockopt("TCP_DEFER_ACCEPT", 5, 0));
    expect(listener.getsockopt("TCP_DEFER_ACCEPT")).toBe(7);
    const client = world.connecting();
    world.run();
    expect(formatPoll(listener.poll())).toBe("0");
    client.connect(SERVER, 80, world.now);
    client.write(ascii("GET"));
    world.run();
    expect(readText(listener.accept(world.now))).toBe("GET");
    // And set on a listener that runs: off again.
    listener.setsockopt("TCP_DEFER_ACCEPT", 0, world.now);
    world.connecting();
    world.run();
    expect(listener.accept(world.now).connection?.state).toBe("ESTABLISHED");
  });

  it("TCP_DEFER_ACCEPT: a client that says nothing is accepted when the time is over", () => {
    const world = new SocketWorld();
    const listener = world.listening(8, (socket) => socket.setsockopt("TCP_DEFER_ACCEPT", 3, 0));
    world.connecting();
    world.run(2_900 * MILLISECOND);
    expect(codeOf(() => listener.accept(world.now))).toBe("EAGAIN");
    world.run(SECOND);
    expect(listener.accept(world.now).connection?.state).toBe("ESTABLISHED");
  });

  it("listen, called again, changes the backlog", () => {
    const world = new SocketWorld();
    const listener = world.listening(1);
    world.connecting();
    world.run();
    world.connecting();
    world.run();
    expect(listener.info(world.now)).toMatchObject({ tcpi_unacked: 1, tcpi_sacked: 1 });
    listener.listen(2);
    world.run(2 * SECOND);
    expect(listener.info(world.now)).toMatchObject({ tcpi_unacked: 2, tcpi_sacked: 2 });
  });
});
