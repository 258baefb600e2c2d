/** Fast Open, the server's side: cookies, what is taken with a SYN, and how many may be pending. */
import { describe, expect, it } from "vitest";
import { SeededRandom } from "../../src/base/random.js";
import { MINUTE, SECOND } from "../../src/base/time.js";
import { FastOpenCookies } from "../../src/stack/fast-open-cookies.js";
import type { Listener, ListenOptions } from "../../src/stack/listener.js";
import type { ConnectionConfig } from "../../src/tcp/config.js";
import type { Connection } from "../../src/tcp/connection.js";
import { TCPI_OPTIONS } from "../../src/tcp/info.js";
import { parseAddress } from "../../src/wire/address.js";
import { Segment } from "../../src/wire/segment.js";
import { ACK, FIN, RST, SYN } from "../../src/wire/tcp-flags.js";
import { ascii, cookieOf, fastOpenOption, headerOf, text } from "./fast-open-support.js";
import { LOCAL, LOCAL6, REMOTE, REMOTE6, Rig, type Sent } from "./rig.js";

const PORT = 80;
const SEQ = 0xffff_ffff;

function serving(
  options: Partial<ListenOptions> = {},
  connection: Partial<ConnectionConfig> = {},
): { rig: Rig; listener: Listener } {
  const rig = new Rig({ connection: { fastOpen: "both", ...connection } });
  return { rig, listener: rig.stack.listen({ address: LOCAL, port: PORT, fastOpenQueue: 5, ...options }) };
}

interface SynSpec {
  readonly cookie?: Uint8Array | undefined;
  readonly data?: string;
  readonly port?: number;
  readonly experimental?: boolean;
  readonly flags?: number;
}

function syn(rig: Rig, { cookie, data = "", port = 4_000, experimental = false, flags = SYN }: SynSpec): Sent[] {
  const options = cookie === undefined ? [] : fastOpenOption(cookie, experimental);
  return rig.inject({ fromPort: port, toPort: PORT, seq: SEQ, flags, options, payload: ascii(data) });
}

const ASK = new Uint8Array(0);

/** A cookie for REMOTE, asked for on a connection that is reset again. */
function cookieFrom(rig: Rig): Uint8Array {
  const [synAck] = syn(rig, { cookie: ASK, port: 3_999 });
  const cookie = cookieOf(synAck);
  if (cookie === undefined) throw new Error("no cookie was granted");
  rig.inject({ fromPort: 3_999, toPort: PORT, seq: 0, flags: RST });
  return cookie;
}

function readAll(connection: Connection | undefined): string {
  const bytes = new Uint8Array(10_000);
  return text(bytes.subarray(0, connection?.read(bytes)));
}

describe("a SYN", () => {
  it("that asks for a cookie gets one in a plain handshake (RFC 7413 §4.1.2)", () => {
    const { rig, listener } = serving();
    const [synAck] = syn(rig, { cookie: ASK, data: "early" });
    expect([synAck?.ack, cookieOf(synAck)?.length]).toEqual([0, 8]);
    expect([listener.acceptQueue.length, listener.synQueue.size]).toEqual([0, 1]);
  });

  it("with its cookie and data: the user has both before the third segment, and may answer (RFC 7413 §4.2.2)", () => {
    const { rig, listener } = serving();
    const cookie = cookieFrom(rig);
    const [synAck] = syn(rig, { cookie, data: "hello" });
    expect([synAck?.flags, synAck?.ack, cookieOf(synAck)]).toEqual(["S.", 5, undefined]);
    expect(rig.stack.pollEventful()).toBe(listener);
    const connection = listener.accept();
    expect(rig.stack.pollEventful()).toBe(connection);
    expect(connection?.pollEvent()).toBe("readable");
    expect([connection?.state, readAll(connection)]).toEqual(["SYN-RECEIVED", "hello"]);
    connection?.send(ascii("world"));
    const [data] = rig.drain();
    expect([data?.flags, data?.seq, text(data?.payload ?? ASK)]).toEqual(["P.", ((synAck?.seq ?? 0) + 1) >>> 0, "world"]);
    rig.inject({ fromPort: 4_000, toPort: PORT, seq: 5, ack: ((data?.seq ?? 0) + 5) >>> 0, flags: ACK });
    expect([connection?.state, connection?.pollEvent()]).toEqual(["ESTABLISHED", "established"]);
    const options = connection?.info(rig.now).tcpi_options ?? 0;
    expect(options & TCPI_OPTIONS.SYN_DATA).toBe(TCPI_OPTIONS.SYN_DATA);
    expect(listener.counters).toMatchObject({ fastOpenAccepted: 1, established: 1, accepted: 1 });
    expect(listener.fastOpenPending.size).toBe(0);
  });

  it("with a cookie and no data is taken too (RFC 7413 §4.2.2)", () => {
    const { rig, listener } = serving();
    expect(syn(rig, { cookie: cookieFrom(rig) }).map((sent) => [sent.flags, sent.ack])).toEqual([["S.", 0]]);
    expect(listener.acceptQueue).toHaveLength(1);
  });

  it("with a wrong cookie: a plain handshake with the right one, the data is not taken (RFC 7413 §4.2.2)", () => {
    const { rig, listener } = serving();
    const cookie = cookieFrom(rig);
    const [synAck] = syn(rig, { cookie: cookie.map((byte) => byte ^ 1), data: "hello" });
    expect([synAck?.ack, cookieOf(synAck)]).toEqual([0, cookie]);
    expect(listener.acceptQueue).toHaveLength(0);
    expect(listener.counters.fastOpenCookiesFailed).toBe(1);
    // The peer repeats its data with the third segment.
    const ack = ((synAck?.seq ?? 0) + 1) >>> 0;
    rig.inject({ fromPort: 4_000, toPort: PORT, seq: 0, ack, flags: ACK, payload: ascii("hello") });
    expect(readAll(listener.accept())).toBe("hello");
  });

  it("in the experimental form is answered in it (RFC 7413 §4.1)", () => {
    const { rig, listener } = serving();
    const [synAck] = syn(rig, { cookie: ASK, experimental: true });
    expect(headerOf(synAck).fastOpenExperimental).toBe(true);
    syn(rig, { cookie: cookieOf(synAck), experimental: true, data: "x", port: 4_001 });
    expect(listener.counters.fastOpenAccepted).toBe(1);
  });

  it.each([
    ["no queue for it", { fastOpenQueue: 0 }, {}],
    ["the client's role alone", {}, { fastOpen: "client" }],
    ["Fast Open off", {}, { fastOpen: "off" }],
  ] as const)("finds %s: no cookie, no data", (_, options, connection) => {
    const { rig, listener } = serving(options, connection);
    const [synAck] = syn(rig, { cookie: ASK, data: "hello" });
    expect([cookieOf(synAck), synAck?.ack, listener.acceptQueue.length]).toEqual([undefined, 0, 0]);
  });

  it("with data and no cookie is taken where no cookie is needed (RFC 7413 §8.2)", () => {
    const { rig, listener } = serving({}, { fastOpenWithoutCookie: true });
    syn(rig, { data: "hello" });
    expect(readAll(listener.accept())).toBe("hello");
  });

  it("with data and FIN: the data is taken, FIN when it comes again", () => {
    const { rig, listener } = serving();
    const [synAck] = syn(rig, { cookie: cookieFrom(rig), data: "hello", flags: SYN | FIN });
    expect(synAck?.ack).toBe(5);
    rig.inject({ fromPort: 4_000, toPort: PORT, seq: 5, ack: ((synAck?.seq ?? 0) + 1) >>> 0, flags: ACK | FIN });
    expect(listener.accept()?.state).toBe("CLOSE-WAIT");
  });

  it("that comes again, the SYN-ACK being lost: the SYN-ACK again, the data once, what we sent stays sent", () => {
    const { rig, listener } = serving();
    const cookie = cookieFrom(rig);
    const [synAck] = syn(rig, { cookie, data: "hello" });
    const connection = listener.accept();
    connection?.send(ascii("world"));
    rig.drain();
    const again = syn(rig, { cookie, data: "hello" });
    expect(again.map((sent) => [sent.flags, sent.seq, sent.ack])).toEqual([["S.", synAck?.seq, 5]]);
    expect(readAll(connection)).toBe("hello");
    // Only the SYN-ACK is repeated before the handshake is done; data then, once it is known to be lost.
    expect(rig.runUntil(rig.now + 1_500_000).map((sent) => sent.flags)).toEqual(["S."]);
    const seq = ((synAck?.seq ?? 0) + 1) >>> 0;
    expect(rig.inject({ fromPort: 4_000, toPort: PORT, seq: 5, ack: seq, flags: ACK })).toEqual([]);
    expect(rig.runUntil(rig.now + 4 * SECOND).map((sent) => [sent.seq, text(sent.payload)])[0]).toEqual([seq, "world"]);
  });

  it("without Fast Open that repeats its data with its number: the SYN-ACK again, the connection stays", () => {
    const { rig, listener } = serving({ fastOpenQueue: 0 });
    syn(rig, { data: "hello" });
    expect(syn(rig, { data: "hello" }).map((sent) => [sent.flags, sent.ack])).toEqual([["S.", 0]]);
    expect(listener.synQueue.size).toBe(1);
  });

  it("whose answer is a SYN cookie: no Fast Open", () => {
    const { rig, listener } = serving({ synBacklog: 1 });
    const cookie = cookieFrom(rig);
    syn(rig, { port: 5_000 });
    const [synAck] = syn(rig, { cookie, data: "hello" });
    expect([synAck?.ack, cookieOf(synAck), listener.acceptQueue.length]).toEqual([0, undefined, 0]);
    expect(listener.counters.cookiesSent).toBe(1);
  });
});

describe("a Fast Open connection in SYN-RECEIVED", () => {
  function pending(options: Partial<ListenOptions> = {}): {
    rig: Rig;
    listener: Listener;
    cookie: Uint8Array;
    connection: Connection;
  } {
    const { rig, listener } = serving(options);
    const cookie = cookieFrom(rig);
    syn(rig, { cookie, data: "hello" });
    const connection = listener.accept();
    if (connection === undefined) throw new Error("not accepted");
    return { rig, listener, cookie, connection };
  }

  it("is reset: the user learns it, and it counts against the limit for a minute more (RFC 7413 §5.1)", () => {
    const { rig, listener, cookie, connection } = pending({ fastOpenQueue: 1 });
    rig.inject({ fromPort: 4_000, toPort: PORT, seq: 5, flags: RST });
    expect([connection.state, connection.failure]).toEqual(["CLOSED", "ECONNRESET"]);
    syn(rig, { cookie, data: "x", port: 4_001 });
    expect([listener.counters.fastOpenOverflows, listener.acceptQueue.length]).toEqual([1, 0]);
    rig.runUntil(rig.now + 61 * SECOND);
    syn(rig, { cookie, data: "x", port: 4_002 });
    expect(listener.acceptQueue).toHaveLength(1);
  });

  it("as many as the queue holds: the next SYN is a plain one, until a handshake is done (RFC 7413 §5.1)", () => {
    const { rig, listener, cookie, connection } = pending({ fastOpenQueue: 1 });
    const [synAck] = syn(rig, { cookie, data: "x", port: 4_001 });
    expect([synAck?.ack, cookieOf(synAck), listener.acceptQueue.length]).toEqual([0, undefined, 0]);
    rig.inject({ fromPort: 4_000, toPort: PORT, seq: 5, ack: (connection.tcb.iss + 1) >>> 0, flags: ACK });
    expect(connection.state).toBe("ESTABLISHED");
    syn(rig, { cookie, data: "x", port: 4_002 });
    expect(listener.acceptQueue).toHaveLength(1);
  });

  it("never gets its third segment: ETIMEDOUT after the last SYN-ACK, and the limit has room again", () => {
    const { rig, listener, connection } = pending();
    rig.runUntil(rig.now + 10 * MINUTE);
    expect([connection.state, connection.failure, listener.fastOpenPending.size]).toEqual(["CLOSED", "ETIMEDOUT", 0]);
    expect(rig.stack.connectionCount).toBe(0);
  });

  it("gets a SYN of another number in its window: challenged, not forgotten", () => {
    const { rig, connection } = pending();
    const sent = rig.inject({ fromPort: 4_000, toPort: PORT, seq: 100, flags: SYN });
    expect([sent.map((segment) => segment.flags), connection.state]).toEqual([["."], "SYN-RECEIVED"]);
  });

  it("is closed by its user: FIN goes when the handshake is done", () => {
    const { rig, connection } = pending();
    readAll(connection);
    connection.send(ascii("bye"));
    connection.close(rig.now);
    expect(rig.drain().map((sent) => [sent.flags, text(sent.payload)])).toEqual([["P.", "bye"]]);
    const ack = (connection.tcb.iss + 4) >>> 0;
    expect(rig.inject({ fromPort: 4_000, toPort: PORT, seq: 5, ack, flags: ACK }).map((sent) => sent.flags)).toEqual(["F."]);
  });

  it("is aborted by its user, or with its listener: RST", () => {
    const { rig, connection } = pending();
    connection.abort(rig.now);
    expect(rig.drain().map((sent) => sent.flags)).toEqual(["R."]);
    const other = serving();
    syn(other.rig, { cookie: cookieFrom(other.rig), data: "x" });
    other.listener.close(other.rig.now);
    expect(other.rig.drain().map((sent) => sent.flags)).toEqual(["R."]);
    expect(other.rig.stack.connectionCount).toBe(0);
  });
});

describe("cookies", () => {
  it("are those that Linux makes of the same key (measured on Linux 6.18)", () => {
    const key = Uint8Array.from([0xa1, 0xb2, 0xc3, 0xd4].flatMap((byte) => [byte, byte, byte, byte]));
    const cookies = FastOpenCookies.withKeys(key);
    const hex = (local: string, remote: string): string =>
      Array.from(cookies.make(parseAddress(local), parseAddress(remote), 0), (byte) => byte.toString(16).padStart(2, "0")).join(
        "",
      );
    expect(hex("192.168.0.1", "192.0.2.1")).toBe("3021b9d889017eeb");
    expect(hex("fd3d:a0b:17d6::1", "fd3d:fa7b:d17d::1")).toBe("c1d1e9742a47a9bc");
  });

  /** A SYN that shows a cookie. */
  function shown(cookie: Uint8Array): Segment {
    const seg = new Segment();
    seg.bytes = cookie;
    seg.fastOpenLength = cookie.length;
    return seg;
  }

  it("belong to one pair of addresses of one family (RFC 7413 §4.1.2)", () => {
    const cookies = new FastOpenCookies(new SeededRandom(1));
    const cookie = cookies.make(LOCAL, REMOTE, 0);
    const check = (local = LOCAL, remote = REMOTE): string => cookies.check(shown(cookie), local, remote, 0);
    expect([check(), check(REMOTE), check(LOCAL, parseAddress("10.0.0.3")), check(LOCAL6, REMOTE6)]).toEqual([
      "good",
      "bad",
      "bad",
      "bad",
    ]);
    expect(cookies.check(shown(cookie.slice(0, 6)), LOCAL, REMOTE, 0)).toBe("bad");
  });

  it("change daily; those of the last key are good for one more day (RFC 7413 §4.1.2)", () => {
    const cookies = new FastOpenCookies(new SeededRandom(1));
    const day = 24 * 60 * MINUTE;
    const cookie = cookies.make(LOCAL, REMOTE, 0);
    const at = (now: number): string => cookies.check(shown(cookie), LOCAL, REMOTE, now);
    expect([at(day - 1), at(day), at(2 * day - 1), at(2 * day)]).toEqual(["good", "old", "old", "bad"]);
    const idle = new FastOpenCookies(new SeededRandom(1));
    idle.make(LOCAL, REMOTE, 0);
    expect(idle.check(shown(cookie), LOCAL, REMOTE, 2 * day)).toBe("bad");
  });

  it("of the last key: the data is taken, and the SYN-ACK brings a new one (RFC 7413 §4.1.2)", () => {
    const { rig, listener } = serving();
    const cookie = cookieFrom(rig);
    rig.stack.fastOpenCookies.rotate(rig.now);
    const [synAck] = syn(rig, { cookie, data: "hello" });
    expect([synAck?.ack, cookieOf(synAck)?.length, listener.acceptQueue.length]).toEqual([5, 8, 1]);
    expect(cookieOf(synAck)).not.toEqual(cookie);
  });

  it("of a key that two listeners share are good at both; a key of another length is refused", () => {
    const fastOpenKey = Uint8Array.from({ length: 32 }, (_, i) => i);
    const one = serving({ fastOpenKey });
    const cookie = cookieFrom(one.rig);
    const other = serving({ fastOpenKey: Uint8Array.of(...new Uint8Array(16).fill(9), ...fastOpenKey.subarray(0, 16)) });
    syn(other.rig, { cookie, data: "hello" });
    expect(other.listener.counters.fastOpenAccepted).toBe(1);
    expect(() => serving({ fastOpenKey: new Uint8Array(15) })).toThrow("16 bytes");
  });
});
