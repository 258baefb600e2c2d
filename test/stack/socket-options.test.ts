/** getsockopt and setsockopt: what is set holds before, during and after a connection is made, and is told back. */
import { describe, expect, it } from "vitest";
import { MILLISECOND, NEVER, SECOND } from "../../src/base/time.js";
import type { NumberOption } from "../../src/stack/socket-options.js";
import type { ConnectionConfig } from "../../src/tcp/config.js";
import { codeOf, SERVER, SocketWorld } from "./socket-world.js";

/** Option, default, value, and what it makes of the connection's configuration. */
const NUMBERS: readonly (readonly [NumberOption, number, number, Partial<ConnectionConfig>])[] = [
  ["SO_KEEPALIVE", 0, 1, { keepAlive: true }],
  ["SO_SNDBUF", 1 << 20, 65_536, { sendBufferBytes: 65_536 }],
  ["SO_RCVBUF", 1 << 20, 65_536, { receiveBufferBytes: 65_536 }],
  ["TCP_NODELAY", 0, 1, { noDelay: true }],
  ["TCP_KEEPIDLE", 7_200, 60, { keepAliveIdleUs: 60 * SECOND }],
  ["TCP_KEEPINTVL", 75, 5, { keepAliveIntervalUs: 5 * SECOND }],
  ["TCP_KEEPCNT", 9, 3, { keepAliveCount: 3 }],
  ["TCP_USER_TIMEOUT", 0, 1_500, { userTimeoutUs: 1_500 * MILLISECOND }],
  ["TCP_LINGER2", 60, 10, { finWait2Us: 10 * SECOND }],
  ["SO_MAX_PACING_RATE", 0xffff_ffff, 50_000, { pacing: true, maxPacingRate: 50_000 }],
  ["TCP_NOTSENT_LOWAT", 0xffff_ffff, 16_384, { notSentLowWaterBytes: 16_384 }],
  ["IP_TTL", 64, 9, { ttl: 9 }],
  ["IPV6_UNICAST_HOPS", 64, 9, { ttl: 9 }],
  ["IP_TOS", 0, 0x48, { tos: 0x48 }],
  ["IPV6_TCLASS", 0, 0x48, { tos: 0x48 }],
];

describe("numbers", () => {
  it.each(NUMBERS)("%s before connect", (name, byDefault, value, config) => {
    const world = new SocketWorld();
    world.listening();
    const socket = world.socket();
    expect(socket.getsockopt(name)).toBe(byDefault);
    socket.setsockopt(name, value, world.now);
    expect(socket.getsockopt(name)).toBe(value);
    codeOf(() => socket.connect(SERVER, 80, world.now));
    world.run();
    expect(socket.connection?.state).toBe("ESTABLISHED");
    expect(socket.connection?.tcb.config).toMatchObject(config);
    expect(socket.getsockopt(name)).toBe(value);
  });

  it.each(NUMBERS)("%s on a connection", (name, byDefault, value, config) => {
    const world = new SocketWorld();
    const { client, server } = world.connected();
    expect(client.getsockopt(name)).toBe(byDefault);
    client.setsockopt(name, value, world.now);
    expect(client.getsockopt(name)).toBe(value);
    expect(client.connection?.tcb.config).toMatchObject(config);
    // The other end is another socket.
    expect(server.getsockopt(name)).toBe(byDefault);
  });

  it.each(NUMBERS)("%s of a listener, before and after listen, goes to those accepted", (name, _byDefault, value, config) => {
    const world = new SocketWorld();
    const listener = world.listening(8, (s) => s.setsockopt(name, value, world.now));
    const second = world.socket(world.server);
    second.listen(1);
    second.setsockopt(name, value, world.now);
    world.connecting();
    world.connecting(SERVER, second.getsockname().port);
    world.run();
    expect(listener.accept(world.now).connection?.tcb.config).toMatchObject(config);
    expect(second.accept(world.now).connection?.tcb.config).toMatchObject(config);
  });

  it("values out of range are EINVAL", () => {
    const world = new SocketWorld();
    const { client } = world.connected();
    const wrong: readonly (readonly [NumberOption, number])[] = [
      ["TCP_KEEPIDLE", 0],
      ["TCP_KEEPINTVL", 32_768],
      ["TCP_KEEPCNT", 128],
      ["TCP_USER_TIMEOUT", -1],
      ["TCP_LINGER2", 0.5],
      ["TCP_MAXSEG", 87],
      ["IP_TTL", 0],
      ["IP_TTL", 256],
      ["IP_TOS", 256],
      ["TCP_NODELAY", 0.5],
    ];
    for (const [name, value] of wrong) {
      expect([name, codeOf(() => client.setsockopt(name, value, world.now))]).toEqual([name, "EINVAL"]);
    }
    expect(codeOf(() => client.setsockopt("SO_LINGER", { on: true, seconds: -1 }, world.now))).toBe("EINVAL");
  });

  it("an option that there is none of is ENOPROTOOPT", () => {
    const world = new SocketWorld();
    const { client } = world.connected();
    const none = "TCP_REPAIR" as NumberOption;
    expect(codeOf(() => client.setsockopt(none, 1, world.now))).toBe("ENOPROTOOPT");
    expect(codeOf(() => client.getsockopt(none))).toBe("ENOPROTOOPT");
  });
});

describe("what is more than a number", () => {
  it("TCP_MAXSEG is told in the SYN; afterwards it is the effective size", () => {
    const world = new SocketWorld();
    const listener = world.listening();
    const client = world.connecting(SERVER, 80, (s) => s.setsockopt("TCP_MAXSEG", 512, world.now));
    expect(client.getsockopt("TCP_MAXSEG")).toBe(512);
    world.run();
    // Less the timestamps.
    expect([client.getsockopt("TCP_MAXSEG"), listener.accept(world.now).getsockopt("TCP_MAXSEG")]).toEqual([500, 500]);
  });

  it("TCP_USER_TIMEOUT 0 and TCP_NOTSENT_LOWAT -1 mean none", () => {
    const world = new SocketWorld();
    const { client } = world.connected();
    client.setsockopt("TCP_USER_TIMEOUT", 5, world.now);
    client.setsockopt("TCP_USER_TIMEOUT", 0, world.now);
    client.setsockopt("TCP_NOTSENT_LOWAT", 5, world.now);
    client.setsockopt("TCP_NOTSENT_LOWAT", 0xffff_ffff, world.now);
    expect(client.connection?.tcb.config).toMatchObject({ userTimeoutUs: NEVER, notSentLowWaterBytes: NEVER });
  });

  it("the ECN bits of IP_TOS are not the user's; a tiny SO_RCVBUF is raised", () => {
    const world = new SocketWorld();
    const { client } = world.connected();
    client.setsockopt("IP_TOS", 0xff, world.now);
    client.setsockopt("SO_RCVBUF", 1, world.now);
    expect([client.getsockopt("IP_TOS"), client.getsockopt("SO_RCVBUF")]).toEqual([0xfc, 2_304]);
  });

  it("TCP_CONGESTION by name, before and after; an unknown one is ENOENT", () => {
    const world = new SocketWorld();
    world.listening();
    const client = world.connecting(SERVER, 80, (s) => {
      expect(s.getsockopt("TCP_CONGESTION")).toBe("cubic");
      s.setsockopt("TCP_CONGESTION", "newreno", world.now);
      expect(s.getsockopt("TCP_CONGESTION")).toBe("newreno");
    });
    world.run();
    expect(client.connection?.tcb.congestion.name).toBe("newreno");
    client.setsockopt("TCP_CONGESTION", "cubic", world.now);
    expect([client.connection?.tcb.congestion.name, client.getsockopt("TCP_CONGESTION")]).toEqual(["cubic", "cubic"]);
    expect(codeOf(() => client.setsockopt("TCP_CONGESTION", "vegas", world.now))).toBe("ENOENT");
    expect(client.getsockopt("TCP_CONGESTION")).toBe("cubic");
  });

  it("TCP_QUICKACK acknowledges at once or later", () => {
    const world = new SocketWorld({ quickAckSegments: 0 });
    const { client, server } = world.connected();
    const acksOf = (on: number) => {
      server.setsockopt("TCP_QUICKACK", on, world.now);
      const before = server.info(world.now).tcpi_segs_out;
      client.write(new Uint8Array(10));
      world.run(5 * MILLISECOND);
      const sent = server.info(world.now).tcpi_segs_out - before;
      world.run(SECOND / 10);
      return sent;
    };
    expect([acksOf(0), acksOf(1)]).toEqual([0, 1]);
  });

  it("SO_LINGER is told back, off by default", () => {
    const world = new SocketWorld();
    const socket = world.socket();
    expect(socket.getsockopt("SO_LINGER")).toEqual({ on: false, seconds: 0 });
    socket.setsockopt("SO_LINGER", { on: true, seconds: 7 }, world.now);
    expect(socket.getsockopt("SO_LINGER")).toEqual({ on: true, seconds: 7 });
  });
});
