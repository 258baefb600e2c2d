/** The profile "freebsd" before a connection is open, and what little its cache of half-open ones looks at. */
import { describe, expect, test } from "vitest";
import { SECOND } from "../../src/base/time.js";
import type { ConnectionConfig } from "../../src/tcp/config.js";
import { PROFILES } from "../../src/tcp/profiles.js";
import { Harness, PEER_MSS, reach, texts, WORLDS } from "./harness.js";

const PLAIN: Partial<ConnectionConfig> = {
  ...PROFILES.freebsd,
  timestamps: false,
  windowScaling: false,
  noDelay: true,
  receiveBufferBytes: 8_000,
};
const STAMPED: Partial<ConnectionConfig> = { ...PLAIN, timestamps: true };

describe.each(WORLDS)("a half-open connection of FreeBSD, $name", (world) => {
  const halfOpen = (config: Partial<ConnectionConfig> = {}, peerTs?: number): Harness =>
    reach("SYN-RECEIVED", world, { ...PLAIN, ...config }, { origin: "passive", ...(peerTs === undefined ? {} : { peerTs }) });

  test("SYN-ACK ends it, and is answered as by a stranger", () => {
    const h = halfOpen();
    expect(texts(h.rcv({ flags: "S.", seq: 0, ack: 1 }))).toEqual(["R 1+0"]);
    expect(h.state).toBe("LISTEN");
  });

  test("a segment with neither SYN nor ACK is dropped in silence", () => {
    const h = halfOpen();
    expect(h.rcv({ flags: "P", data: 10 })).toEqual([]);
    expect(h.state).toBe("SYN-RECEIVED");
    expect(h.conn.readableBytes).toBe(0);
  });

  test("the right ACK with a number outside the window is challenged", () => {
    const h = halfOpen();
    expect(texts(h.rcv({ flags: ".", seq: 9_000 }))).toEqual([". 1+0 ack 1"]);
    expect(h.state).toBe("SYN-RECEIVED");
  });

  test("the wrong ACK is answered with RST, outside the window too", () => {
    const h = halfOpen();
    expect(texts(h.rcv({ flags: ".", seq: 9_000, ack: 2 }))).toEqual(["R 2+0"]);
    expect(h.state).toBe("SYN-RECEIVED");
  });

  test("a third segment that is older than the SYN is no third segment (PAWS)", () => {
    const h = halfOpen({ timestamps: true }, 1_000);
    expect(h.rcv({ flags: ".", ts: [999, 0] })).toEqual([]);
    expect(h.state).toBe("SYN-RECEIVED");
    h.rcv({ flags: ".", ts: [1_000, 0] });
    expect(h.state).toBe("ESTABLISHED");
  });

  test("a full accept queue: the third segment is answered with RST where the host says so, else dropped", () => {
    for (const resetsOverflow of [true, false]) {
      const h = halfOpen({ resetsOverflow });
      h.conn.gate = { mayEstablish: () => false };
      expect(texts(h.rcv({ flags: "." }))).toEqual(resetsOverflow ? ["R 1+0"] : []);
      expect(h.state).toBe(resetsOverflow ? "LISTEN" : "SYN-RECEIVED");
    }
  });

  test("SYN again brings its own timestamp, or ends their use", () => {
    const stamped = halfOpen({ timestamps: true }, 1_000);
    expect(stamped.rcv({ flags: "S", seq: 0, ack: 0, ts: [1_500, 0] })[0]?.ts?.[1]).toBe(1_500);
    const bare = halfOpen({ timestamps: true }, 1_000);
    bare.peerTs = undefined;
    expect(bare.rcv({ flags: "S", seq: 0, ack: 0 })[0]?.ts).toBeUndefined();
  });

  test("SYN again is repeated as often as the first one would be", () => {
    const h = halfOpen();
    expect(h.advance(4 * SECOND)).toHaveLength(2);
    expect(texts(h.rcv({ flags: "S", seq: 0, ack: 0 }))).toEqual(["S. 0+0 ack 1"]);
    const again = h.advance(60 * SECOND).filter(({ flags }) => flags === "S.");
    expect(again).toHaveLength(PROFILES.freebsd.synAckRetries);
    expect(h.state).toBe("LISTEN");
  });
});

describe.each(WORLDS)("a simultaneous open of FreeBSD, $name", (world) => {
  const both = (config: Partial<ConnectionConfig> = {}, peerTs?: number): Harness =>
    reach("SYN-RECEIVED", world, { ...PLAIN, ...config }, { origin: "active", ...(peerTs === undefined ? {} : { peerTs }) });

  test("SYN again: the peer has not heard our SYN-ACK, which is repeated", () => {
    const h = both();
    expect(texts(h.rcv({ flags: "S", seq: 0, ack: 0 }))).toEqual(["S. 0+0 ack 1"]);
    expect(h.state).toBe("SYN-RECEIVED");
  });

  test("SYN again with data and the right ACK opens, and the data counts", () => {
    const h = both();
    h.rcv({ flags: "S.", seq: 0, ack: 1, data: 10 });
    expect(h.state).toBe("ESTABLISHED");
    expect(h.conn.readableBytes).toBe(10);
  });

  test("the wrong ACK is answered with RST, and to a RST with such an ACK nothing is said", () => {
    const h = both();
    expect(texts(h.rcv({ flags: ".", ack: 2 }))).toEqual(["R 2+0"]);
    expect(h.rcv({ flags: "R.", ack: 2 })).toEqual([]);
    expect(h.state).toBe("SYN-RECEIVED");
  });

  test("what begins below the peer's SYN is answered with RST, which counts SYN, text and FIN where there is no ACK", () => {
    const h = both();
    expect(texts(h.rcv({ flags: "P.", seq: -5, ack: 1, data: 2 }))).toEqual(["R 1+0"]);
    expect(texts(h.rcv({ flags: "SF", seq: -5, ack: 0, data: 2 }))).toEqual([`R. ${-world.iss >>> 0}+0 ack ${(-5 + 4) >>> 0}`]);
    expect(h.state).toBe("SYN-RECEIVED");
  });

  test("CLOSE ends it without a word, shutdown lets it open and then sends FIN", () => {
    const closed = both();
    expect(closed.close()).toEqual([]);
    expect(closed.state).toBe("CLOSED");
    const shut = both();
    expect(shut.shutdown()).toEqual([]);
    expect(texts(shut.rcv({ flags: "." }))).toEqual(["F. 1+0 ack 1"]);
  });

  test("a peer that tells no MSS has that of net.inet.tcp.mssdflt", () => {
    const h = new Harness(world, { ...PLAIN, defaultPeerMss: 400 });
    h.openActive();
    h.rcv({ flags: "S.", seq: 0, ack: 1 });
    expect(h.send(1_000).map(({ payload }) => payload.length)).toEqual([400, 400, 200]);
  });

  test("RST where it is expected: refused", () => {
    const h = both();
    h.rcv({ flags: "R", seq: 1 });
    expect(h.state).toBe("CLOSED");
    expect(h.conn.failure).toBe("ECONNREFUSED");
  });
});

describe.each(WORLDS)("FreeBSD's rarer drops, $name", (world) => {
  test("SYN with FIN is dropped where net.inet.tcp.drop_synfin says so, else challenged", () => {
    const dropping = reach("ESTABLISHED", world, { ...PLAIN, dropsSynFin: true });
    expect(dropping.rcv({ flags: "SF", seq: 1 })).toEqual([]);
    expect(dropping.verdict).toContain("SYN and FIN");
    const asking = reach("ESTABLISHED", world, PLAIN);
    expect(texts(asking.rcv({ flags: "SF", seq: 1 }))).toEqual([". 1+0 ack 1"]);
  });

  test("with a closed window only the exact RST ends the connection (RFC 5961 §3.2)", () => {
    const closed = (): Harness => reach("ESTABLISHED", world, { ...PLAIN, receiveBufferBytes: 2 * PEER_MSS }, { fill: true });
    const h = closed();
    expect(h.rcv({ flags: "R", seq: h.rcvNxt + 1 })).toEqual([]);
    expect(h.state).toBe("ESTABLISHED");
    h.rcv({ flags: "R", seq: h.rcvNxt });
    expect(h.conn.failure).toBe("ECONNRESET");
  });

  test("after 24 days of silence any timestamp is new again (RFC 7323 §5.5)", () => {
    const h = reach("ESTABLISHED", world, { ...STAMPED, alwaysKeepAlive: false }, { peerTs: 1_000 });
    h.advance(24 * 86_400 * SECOND);
    h.rcv({ flags: "P.", data: 10, ts: [999, 0] });
    expect(h.conn.readableBytes).toBe(0);
    h.advance(SECOND);
    h.rcv({ flags: "P.", data: 10, ts: [999, 0] });
    expect(h.conn.readableBytes).toBe(10);
  });

  test("an old segment is no news of the peer's clock, though its timestamp is late (RFC 7323 §4.3)", () => {
    const h = reach("ESTABLISHED", world, STAMPED, { peerTs: 1_000 });
    for (let i = 0; i < 2; i++) h.rcv({ flags: "P.", data: 10 });
    const [answer] = h.rcv({ flags: "P.", seq: 1, data: 10, ts: [5_000, 0] });
    expect(answer?.text).toBe(". 1+0 ack 21");
    expect(answer?.ts?.[1]).toBe(1_000);
  });

  test("data after CLOSE without ACK: the RST acknowledges it, FIN included", () => {
    const h = reach("FIN-WAIT-2", world, PLAIN);
    h.close();
    expect(texts(h.rcv({ flags: "F", data: 10 }))).toEqual([`R. ${-world.iss >>> 0}+0 ack 12`]);
    expect(h.state).toBe("CLOSED");
  });

  test("TIME-WAIT drops what lacks a timestamp, and says which end an answer is for", () => {
    const h = reach("TIME-WAIT", world, STAMPED, { peerTs: 1_000 });
    expect(h.rcv({ flags: ".", seq: 0 })).toHaveLength(1);
    expect(h.verdict).toContain("old duplicate");
    expect(h.rcv({ flags: ".", seq: h.rcvNxt + 5 })).toHaveLength(1);
    expect(h.verdict).toContain("beyond");
    h.peerTs = undefined;
    expect(h.rcv({ flags: ".", seq: 0 })).toEqual([]);
  });
});
