/** Fast Open: the client of one connection (RFC 7413 §4.2.1) before a server made of single segments, and a server that answers early. */
import { describe, expect, it } from "vitest";
import { SECOND } from "../../src/base/time.js";
import type { StackConfig } from "../../src/stack/config.js";
import type { ConnectionConfig } from "../../src/tcp/config.js";
import type { Connection } from "../../src/tcp/connection.js";
import { TCPI_OPTIONS } from "../../src/tcp/info.js";
import { ACK, SYN } from "../../src/wire/tcp-flags.js";
import { ascii, cookieOf, fastOpenOption, headerOf, text } from "../stack/fast-open-support.js";
import { LOCAL, LOCAL6, REMOTE, REMOTE6, Rig, type Sent } from "../stack/rig.js";
import { Harness, texts, WORLDS } from "./harness.js";

const COOKIE = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);
const ISS = 0xffff_fffe;
const MSS = [2, 4, 5, 180];
let lastPort = 40_000;

interface Client {
  readonly connection: Connection;
  /** All that was sent, the SYN first. */
  readonly sent: Sent[];
  readonly syn: Sent;
}

function open(rig: Rig, data: string | Uint8Array = "hello", connection: Partial<ConnectionConfig> = {}, v6 = false): Client {
  const made = rig.stack.connect(
    {
      local: v6 ? LOCAL6 : LOCAL,
      localPort: ++lastPort,
      remote: v6 ? REMOTE6 : REMOTE,
      remotePort: 80,
      data: typeof data === "string" ? ascii(data) : data,
      connection,
    },
    rig.now,
  );
  const sent = rig.drain();
  return { connection: made, sent, syn: sent[0] as Sent };
}

/** The SYN-ACK, acknowledging `taken` bytes of data; returns what comes of it. */
function answer(rig: Rig, { syn }: Client, taken: number, options: number[] = [], v6 = false): Sent[] {
  return rig.inject({
    from: v6 ? REMOTE6 : REMOTE,
    to: v6 ? LOCAL6 : LOCAL,
    fromPort: 80,
    toPort: syn.fromPort,
    seq: ISS,
    ack: (syn.seq + 1 + taken) >>> 0,
    flags: SYN | ACK,
    options: [...MSS, ...options],
  });
}

/** A rig whose stack has got a cookie from REMOTE. */
function withCookie(options: Partial<StackConfig> = {}, experimental = false): Rig {
  const rig = new Rig(options);
  const first = open(rig);
  answer(rig, first, 0, fastOpenOption(COOKIE, experimental));
  first.connection.abort(rig.now);
  rig.drain();
  return rig;
}

describe("the first connection to a server", () => {
  it("asks for a cookie with an empty option, sends its data after the handshake and keeps the cookie (RFC 7413 §4.2)", () => {
    const rig = new Rig();
    const client = open(rig);
    expect(cookieOf(client.syn)).toEqual(new Uint8Array(0));
    expect(client.syn.payload).toHaveLength(0);
    const sent = answer(rig, client, 0, fastOpenOption(COOKIE));
    expect(sent.map((segment) => text(segment.payload)).join("")).toBe("hello");
    expect(client.connection.info(rig.now).tcpi_fastopen_client_fail).toBe(1);
    expect(cookieOf(open(rig).syn)).toEqual(COOKIE);
  });

  it.each([{}, { fastOpen: "server" }, { fastOpen: "off" }] as const)("asks for none where it may not: %j", (connection) => {
    const rig = new Rig();
    const client = open(rig, "hello", connection);
    expect(cookieOf(client.syn) === undefined).toBe("fastOpen" in connection);
    expect(
      answer(rig, client, 0)
        .map((segment) => text(segment.payload))
        .join(""),
    ).toBe("hello");
  });

  it("asks for none when no data was given with OPEN", () => {
    const rig = new Rig();
    rig.stack.connect({ local: LOCAL, remote: REMOTE, remotePort: 80 }, rig.now);
    expect(cookieOf(rig.drain()[0])).toBeUndefined();
  });

  it("a server that answers without a cookie is asked in the experimental form once, then in the usual one (RFC 7413 §4.1)", () => {
    const rig = new Rig();
    const forms: boolean[] = [];
    for (let i = 0; i < 3; i++) {
      const client = open(rig);
      forms.push(headerOf(client.syn).fastOpenExperimental);
      answer(rig, client, 0);
    }
    expect(forms).toEqual([false, true, false]);
  });
});

describe("with a cookie, the SYN carries data, and the SYN-ACK acknowledges", () => {
  it("all of it: nothing is sent again (RFC 7413 §4.2.1)", () => {
    const rig = withCookie();
    const client = open(rig);
    expect([cookieOf(client.syn), text(client.syn.payload), client.syn.flags]).toEqual([COOKIE, "hello", "S"]);
    const sent = answer(rig, client, 5);
    expect(sent.map((segment) => [segment.flags, segment.seq, segment.payload.length])).toEqual([
      [".", (client.syn.seq + 6) >>> 0, 0],
    ]);
    const info = client.connection.info(rig.now);
    expect(info.tcpi_options & TCPI_OPTIONS.SYN_DATA).toBe(TCPI_OPTIONS.SYN_DATA);
    expect([info.tcpi_bytes_acked, info.tcpi_total_retrans, info.tcpi_fastopen_client_fail]).toEqual([6, 0, 0]);
    expect(client.connection.nextTimeout()).toBe(Number.POSITIVE_INFINITY);
  });

  it("a part: the rest leaves at once, without a time-out (RFC 7413 §4.2.1)", () => {
    const rig = withCookie();
    const client = open(rig);
    const sent = answer(rig, client, 2);
    expect(sent.map((segment) => [segment.seq, text(segment.payload)])).toEqual([[(client.syn.seq + 3) >>> 0, "llo"]]);
    expect(client.connection.info(rig.now)).toMatchObject({ tcpi_bytes_retrans: 3, tcpi_fastopen_client_fail: 0 });
  });

  it("none of it: all leaves at once, and the cookie of the SYN-ACK takes the place of the old one (RFC 7413 §4.2.1)", () => {
    const rig = withCookie();
    const client = open(rig);
    const fresh = Uint8Array.of(9, 9, 9, 9);
    const sent = answer(rig, client, 0, fastOpenOption(fresh));
    expect(sent.map((segment) => [segment.seq, text(segment.payload)])).toEqual([[(client.syn.seq + 1) >>> 0, "hello"]]);
    const info = client.connection.info(rig.now);
    expect([info.tcpi_options & TCPI_OPTIONS.SYN_DATA, info.tcpi_fastopen_client_fail]).toEqual([0, 2]);
    expect(cookieOf(open(rig).syn)).toEqual(fresh);
  });

  it("more than was sent: RST, and the SYN is repeated", () => {
    const rig = withCookie();
    const client = open(rig);
    expect(answer(rig, client, 6).map((segment) => segment.flags)).toEqual(["R"]);
    expect(client.connection.state).toBe("SYN-SENT");
  });
});

describe("how much goes with the SYN", () => {
  it.each([false, true])(
    "one segment of the server's MSS less all that options can take; the rest after it, IPv6 %s (RFC 7413 §4.1.3)",
    (v6) => {
      const rig = new Rig();
      answer(rig, open(rig, "x", {}, v6), 0, fastOpenOption(COOKIE), v6);
      const data = Uint8Array.from({ length: 5_000 }, (_, i) => i & 255);
      const client = open(rig, data, { noDelay: true }, v6);
      const first = client.syn.payload.length;
      expect(first).toBe((v6 ? 1_440 : 1_460) - 40);
      const sent = answer(rig, client, first, [], v6);
      const all = [client.syn, ...sent].flatMap((segment) => [...segment.payload]);
      expect(all).toEqual([...data]);
    },
  );

  it("a cookie of 16 bytes leaves room for every option of the SYN", () => {
    const rig = new Rig();
    const long = new Uint8Array(16).fill(7);
    answer(rig, open(rig), 0, fastOpenOption(long));
    const seg = headerOf(open(rig).syn);
    expect([seg.fastOpenLength, seg.windowScale >= 0, seg.hasTimestamps, seg.sackPermitted]).toEqual([16, true, true, true]);
  });

  it("data without a cookie or option, where that was asked for (RFC 7413 §8.2)", () => {
    const rig = new Rig({ connection: { fastOpenWithoutCookie: true } });
    const { syn } = open(rig);
    expect([cookieOf(syn), text(syn.payload)]).toEqual([undefined, "hello"]);
  });

  it("data beyond the send buffer is refused before anything is opened", () => {
    const rig = new Rig();
    expect(() => open(rig, new Uint8Array(101), { sendBufferBytes: 100 })).toThrow("101 bytes");
    expect(rig.stack.connectionCount).toBe(0);
  });
});

it("the experimental option is used with a server that answered in it (RFC 7413 §4.1)", () => {
  const rig = withCookie({}, true);
  const { syn } = open(rig);
  expect([headerOf(syn).fastOpenExperimental, cookieOf(syn), text(syn.payload)]).toEqual([true, COOKIE, "hello"]);
});

describe("a SYN with Fast Open that gets no answer", () => {
  it("is repeated without option and data; an answer to the first one still counts (RFC 7413 §4.1.3)", () => {
    const rig = withCookie();
    const client = open(rig);
    const [again] = rig.runUntil(rig.now + SECOND);
    expect([again?.flags, again?.seq, again?.payload.length, cookieOf(again)]).toEqual(["S", client.syn.seq, 0, undefined]);
    const sent = answer(rig, client, 5);
    expect(sent.map((segment) => segment.payload.length)).toEqual([0]);
    const info = client.connection.info(rig.now);
    expect([info.tcpi_bytes_acked, info.tcpi_fastopen_client_fail]).toEqual([6, 3]);
  });

  it("the data follows when the repeated one is answered", () => {
    const rig = withCookie();
    const client = open(rig);
    rig.runUntil(rig.now + SECOND);
    expect(answer(rig, client, 0).map((segment) => text(segment.payload))).toEqual(["hello"]);
  });

  it("twice in a row: no Fast Open to this server for minutes, longer each time, and again after an answer (RFC 7413 §4.1.3)", () => {
    const rig = withCookie();
    const lose = (): boolean => {
      const client = open(rig);
      rig.runUntil(rig.now + SECOND);
      client.connection.abort(rig.now);
      rig.drain();
      return cookieOf(client.syn) !== undefined;
    };
    expect([lose(), lose(), lose()]).toEqual([true, true, false]);
    rig.runUntil(rig.now + 241 * SECOND);
    expect([lose(), lose()]).toEqual([true, false]);
    rig.runUntil(rig.now + 300 * SECOND);
    expect(cookieOf(open(rig).syn)).toBeUndefined();
    rig.runUntil(rig.now + 200 * SECOND);
    const good = open(rig);
    expect(cookieOf(good.syn)).toEqual(COOKIE);
    answer(rig, good, 5);
    expect([lose(), lose()]).toEqual([true, true]);
  });
});

describe.each(WORLDS)("SYN-RECEIVED with data on its way, $name", (world) => {
  it("time-out, and the ACK comes before the SYN-ACK was repeated: SND.NXT stays behind all that was sent (RFC 7413 §4.2.2)", () => {
    const h = new Harness(world);
    h.openPassive();
    h.tcb.fastOpen.accepted = true;
    h.rcv({ flags: "S", seq: 0, ack: 0, wnd: 10_000, options: [{ kind: "mss", mss: 1_000 }] });
    expect(texts(h.send(2_000))).toEqual([". 1+1000 ack 1", "P. 1001+1000 ack 1"]);
    h.now = h.conn.nextTimeout();
    h.conn.handleTimeout(h.now);
    h.give({ flags: ".", ack: 1_001 });
    expect(h.state).toBe("ESTABLISHED");
    expect([h.sndUna, h.tcb.snd.nxt]).toEqual([1_001, h.tcb.snd.max]);
    expect(texts(h.poll())).toEqual([]);
    expect(texts(h.send(10))).toEqual(["P. 2001+10 ack 1"]);
  });
});
