/** The rules in virtual time, between two of our own: what goes over the wire, and how both ends take it. */
import { describe, expect, it } from "vitest";
import { MILLISECOND, SECOND } from "../../src/base/time.js";
import type { BendReport } from "../../src/bend/bender.js";
import { bendHost } from "../../src/sim/bend.js";
import type { ConnectionConfig } from "../../src/tcp/config.js";
import type { Connection } from "../../src/tcp/connection.js";
import { describePacket } from "../../src/wire/print.js";
import { PORT, twoHosts } from "../sim/worlds.js";

interface Played {
  /** "a > b S 0" of all that was put on the wire, without numbers that are drawn. */
  readonly wire: string[];
  readonly reports: BendReport[];
  readonly client: Connection;
  readonly server: () => Connection | undefined;
  readonly run: (us: number) => void;
  readonly received: { client: string; server: string };
  readonly unmatched: () => readonly string[];
  /** States of the server's end, in order. */
  readonly states: string[];
}

/** The client on "a" sends "request", the server on "b" "answer"; `rules` bend the end that is named. */
function play(end: "a" | "b", rules: string, config: Partial<ConnectionConfig> = {}): Played {
  const world = twoHosts(1, { delayUs: 10 * MILLISECOND }, { mslUs: 100 * MILLISECOND, ...config });
  const { sim, a, b } = world;
  const wire: string[] = [];
  sim.witness = (_, from, to, fate, bytes) => {
    if (fate === "sent") wire.push(`${from}>${to} ${brief(describePacket(bytes, 0, bytes.length))}`);
  };
  const reports: BendReport[] = [];
  const bender = bendHost(sim, end === "a" ? a : b, rules, (report) => reports.push(report));
  const received = { client: "", server: "" };
  let server: Connection | undefined;
  b.listen(PORT, (connection) => {
    server = connection;
    return (peer, event) => {
      if (event === "readable") received.server += text(peer);
      if (event === "readable" && peer.endOfData === false) {
        const answer = new TextEncoder().encode("answer");
        peer.send(answer, 0, answer.length);
      }
      if (peer.endOfData && peer.state === "CLOSE-WAIT") peer.shutdown(sim.now);
    };
  });
  const states: string[] = [];
  const client = a.connect(b, PORT, (connection, event) => {
    if (event === "established") {
      const request = new TextEncoder().encode("request");
      connection.send(request, 0, request.length);
    }
    if (event === "readable") {
      received.client += text(connection);
      if (received.client === "answer") connection.shutdown(sim.now);
    }
  });
  return {
    wire,
    reports,
    client,
    server: () => server,
    run: (us) => sim.run({ until: sim.now + us }),
    received,
    unmatched: () => bender.unmatched,
    states,
  };
}

function text(connection: Connection): string {
  const bytes = new Uint8Array(100);
  return new TextDecoder().decode(bytes.subarray(0, connection.read(bytes)));
}

/** Flags, length, and window where it is zero. */
function brief(line: string): string {
  const [, flags = "?"] = /Flags \[(.*?)\]/.exec(line) ?? [];
  const [, length = "0"] = /length (\d+)/.exec(line) ?? [];
  return `${flags}${length === "0" ? "" : ` ${length}`}${/win 0\b/.test(line) && !flags.includes("R") ? " win 0" : ""}${/bad TCP/.test(line) ? " bad" : ""}`;
}

const HANDSHAKE = ["a>b S", "b>a S.", "a>b ."];
const WHOLE = { client: "answer", server: "request" };

describe("without a rule that matches", () => {
  it("the session goes as ever, and the rule is named at the end", () => {
    const played = play("a", "drop out urg; set in rst win=0");
    played.run(5 * SECOND);
    expect(played.wire.slice(0, 3)).toEqual(HANDSHAKE);
    expect(played.received).toEqual(WHOLE);
    expect(played.unmatched()).toEqual(["drop out urg", "set in rst win=0"]);
    expect(played.client.state).toBe("CLOSED");
  });
});

describe("what the issue asks for, one line each", () => {
  it("lose the third ACK: the SYN-ACK is repeated, or data brings the ACK", () => {
    const played = play("a", "drop out ack 1; drop out data 1");
    played.run(30 * MILLISECOND);
    expect(played.wire).toEqual(["a>b S", "b>a S."]);
    played.run(5 * SECOND);
    expect(
      played.wire.filter((line) => line === "b>a S.").length + played.wire.filter((line) => line === "a>b P. 7").length,
    ).toBeGreaterThan(1);
    expect(played.received).toEqual(WHOLE);
    expect(played.reports.map(({ effect, rule }) => [effect, rule])).toEqual([
      ["loss", "drop out ack 1"],
      ["loss", "drop out data 1"],
    ]);
  });

  it("lose the last ACK: the peer repeats its FIN, and our TIME-WAIT answers", () => {
    const played = play("a", "drop out ack 1 where state = TIME-WAIT");
    played.run(10 * SECOND);
    const fins = played.wire.filter((line) => line.startsWith("b>a F"));
    expect(fins.length).toBe(2);
    expect([played.unmatched(), played.received, played.server()?.state]).toEqual([[], WHOLE, "CLOSED"]);
  });

  it("a stale SYN: the server answers it, our RST clears it, the real one connects (RFC 9293 §3.5.1, figure 8)", () => {
    const played = play("a", "inject S seq=12345 before out syn 1");
    played.run(5 * SECOND);
    expect(played.wire.slice(0, 2)).toEqual(["a>b S", "a>b S"]);
    expect(played.wire).toContain("a>b R");
    expect(played.received).toEqual(WHOLE);
  });

  it("a zero window for two seconds: the peer probes, and goes on when it opens", () => {
    const played = play("a", "set out any win=0 where t > 15ms and t < 2s");
    played.run(15 * SECOND);
    expect(played.wire.filter((line) => line.includes("win 0")).length).toBeGreaterThan(1);
    expect(played.server()?.status().counters.zeroWindowProbes).toBeGreaterThan(0);
    expect(played.received).toEqual(WHOLE);
  });

  it("an RST in the window but not exact: challenged, and the session lives (RFC 5961 §3.2)", () => {
    const played = play("a", "inject out RST seq=snd.nxt+10 after in data 1");
    played.run(10 * SECOND);
    expect(played.wire).toContain("a>b R");
    expect(played.server()?.status().counters.challengeAcks).toBe(1);
    expect(played.received).toEqual(WHOLE);
  });

  it("an exact RST from the peer's side: our end is reset", () => {
    const played = play("a", "inject RST seq=rcv.nxt after in data 1");
    played.run(SECOND);
    expect(played.client.failure).toBe("ECONNRESET");
  });

  it("a FIN ignored: it comes again", () => {
    const played = play("a", "drop in fin 1");
    played.run(10 * SECOND);
    expect(played.wire.filter((line) => line.startsWith("b>a F")).length).toBe(2);
    expect(played.received).toEqual(WHOLE);
  });

  it("a wrong acknowledgment in SYN-RECEIVED: answered with RST (RFC 9293 §3.10.7.4)", () => {
    const played = play("a", "set out ack 1 ack+=1000; drop out data 1");
    played.run(30 * MILLISECOND);
    expect(played.wire).toEqual(["a>b S", "b>a S.", "a>b .", "b>a R"]);
  });

  it("a SYN-ACK split into SYN and ACK: a simultaneous open, as the client sees it (RFC 9293 §3.5, figure 7)", () => {
    const played = play("b", "split out synack 1 into S and A");
    played.run(5 * SECOND);
    expect(played.wire.slice(0, 4)).toEqual(["a>b S", "b>a S", "b>a .", "a>b S."]);
    expect(played.received).toEqual(WHOLE);
  });

  it("an old duplicate into a new incarnation: not taken, answered with where we are", () => {
    const { sim, a, b } = twoHosts(1, { delayUs: 10 * MILLISECOND }, { mslUs: 10 * MILLISECOND });
    bendHost(sim, a, "duplicate out data 1 after 1s where t < 500ms");
    let received = "";
    const servers: Connection[] = [];
    b.listen(PORT, (connection) => {
      servers.push(connection);
      return (peer) => {
        received += text(peer);
        if (peer.endOfData && peer.state === "CLOSE-WAIT") peer.shutdown(sim.now);
      };
    });
    const open = (word: string, isShort: boolean): void => {
      a.connect(
        b,
        PORT,
        (connection, event) => {
          if (event !== "established") return;
          const bytes = new TextEncoder().encode(word);
          connection.send(bytes, 0, bytes.length);
          if (isShort) connection.shutdown(sim.now);
        },
        {},
        5_000,
      );
    };
    open("first", true);
    sim.run({ until: sim.now + 900 * MILLISECOND });
    open("second", false);
    sim.run({ until: sim.now + 5 * SECOND });
    expect([received, servers.length, servers[1]?.state]).toEqual(["firstsecond", 2, "ESTABLISHED"]);
    const counters = servers[1]?.status().counters;
    expect((counters?.pawsDrops ?? 0) + (counters?.segmentsIn ?? 0)).toBeGreaterThan(3);
  });
});

describe("what can be done to a segment", () => {
  it.each<[string, (played: Played) => unknown, unknown]>([
    ["duplicate out data 1 2 times", ({ wire }) => wire.filter((line) => line === "a>b P. 7").length, 3],
    ["delay out data 1 by 60ms", ({ wire }) => wire.indexOf("a>b P. 7") > wire.indexOf("a>b ."), true],
    ["set out data 1 badsum", ({ wire }) => wire.filter((line) => line.startsWith("a>b P. 7")), ["a>b P. 7 bad", "a>b P. 7"]],
    ["corrupt out data 1 byte 3", ({ wire }) => wire.filter((line) => line.startsWith("a>b P. 7")), ["a>b P. 7 bad", "a>b P. 7"]],
    ['set out data 1 payload="REQUEST"', ({ received }) => received.server, "REQUEST"],
    ["set out data 1 flags=A", ({ wire }) => wire.includes("a>b . 7"), true],
    ["hold out data 1 until 300ms", ({ received }) => received, WHOLE],
    ["hold in data 1 until state = CLOSED", ({ client }) => client.state, "CLOSED"],
    ["hold out fin 1 until state = FIN-WAIT-1", ({ received, client }) => [received, client.state], [WHOLE, "CLOSED"]],
    ["set out syn mss=99", ({ server }) => server()?.tcb.snd.mss, 87],
    ["set out syn wscale=3", ({ server }) => server()?.tcb.snd.windShift, 3],
    ["drop out data 1 where port = 80", ({ received }) => received, WHOLE],
    [
      'drop in any where payload "answ" and seq in 1..100',
      ({ wire }) => wire.filter((line) => line === "b>a P. 6").length > 1,
      true,
    ],
    ['set out syn options="mss=99"', ({ server }) => server()?.tcb.snd.mss, 99],
    ["set out any ttl=7", ({ received }) => received, WHOLE],
  ])("%s", (rule, look, expected) => {
    const played = play("a", rule, rule.startsWith("drop in any") ? { r2Us: 2 * SECOND } : {});
    played.run(20 * SECOND);
    expect(played.unmatched()).toEqual([]);
    expect(look(played)).toEqual(expected);
  });

  it("reorder: overtaken by the next, and released when none comes", () => {
    const played = play("a", "reorder out data 1");
    played.run(20 * SECOND);
    expect(played.received).toEqual(WHOLE);
    expect(played.reports[0]?.effect).toBe("reordering");
  });

  it("a stray SYN on a connection that lives does not begin the counting anew", () => {
    const played = play("a", "inject in S seq=77 after in data 1; drop out ack 1..2");
    played.run(20 * SECOND);
    expect(played.reports.filter(({ effect }) => effect === "loss").length).toBe(2);
  });

  it("answer in our place: the peer never hears us", () => {
    const played = play("b", "answer in syn with RA seq=0 ack=seg.seq+1");
    played.run(SECOND);
    expect(played.wire.slice(0, 2)).toEqual(["a>b S", "b>a R."]);
    expect(played.client.failure).toBe("ECONNREFUSED");
  });

  it("IPv6: fields of the header go by the same names", () => {
    const { sim, a, b } = twoHosts(1, {}, {}, 6);
    const ttls: (number | undefined)[] = [];
    sim.witness = (_, from, __, fate, bytes) => {
      if (fate === "sent" && from === "a") ttls.push(bytes[7]);
    };
    bendHost(sim, a, "set out syn ttl=9 tos=8");
    b.listenOnly(PORT);
    a.connect(b, PORT, () => {});
    sim.run({ until: SECOND });
    expect(ttls).toEqual([9, 64]);
  });
});

it("what passes is never harmed by rules that match nothing, whatever the bytes", () => {
  const { sim, a } = twoHosts(1);
  const bender = bendHost(sim, a, "drop out any where seq = 1; set in any win=0 where len > 70000");
  for (let i = 0; i < 2000; i++) {
    const bytes = Uint8Array.from({ length: i % 90 }, (_, n) => (n * i * 31) & 0xff);
    if (bytes.length > 0) bytes[0] = i % 2 === 0 ? 0x45 : 0x60;
    expect(bender.pass(i % 3 === 0 ? "in" : "out", bytes, 0, bytes.length)).toBe(true);
  }
});
