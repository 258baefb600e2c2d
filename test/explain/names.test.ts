/** Crafted captures, a segment a line: the names that only certain segments earn, and every link type that they may come with. */
import { describe, expect, it } from "vitest";
import { craft } from "../../src/craft/build.js";
import { parseFlags } from "../../src/craft/flags-text.js";
import type { TcpSpec } from "../../src/craft/spec.js";
import type { FollowedConnection } from "../../src/explain/connection.js";
import type { IncidentKind } from "../../src/explain/incident.js";
import { enhancedPacketBlock, interfaceDescriptionBlock, sectionHeaderBlock } from "../../src/pcapng/writer.js";
import { LINKTYPE } from "../../src/wire/link-layer.js";
import { explainBytes, joined } from "./capture.js";

/** Milliseconds, who sends ("a" has port 1000, "b" port 80), flags, relative SEQ and ACK, payload bytes, and what else is not as usual. */
type Line = readonly [
  ms: number,
  from: "a" | "b",
  flags: string,
  seq: number,
  ack: number,
  bytes?: number,
  more?: TcpSpec & { readonly ecn?: number },
];

const ISN = { a: 0xffff_fff0, b: 5_000 };

function packetOf([, from, flags, seq, ack, bytes = 0, { ecn, ...tcp } = {}]: Line): Uint8Array {
  const peer = from === "a" ? "b" : "a";
  const bits = parseFlags(flags);
  return craft({
    ip: {
      family: 4,
      source: from === "a" ? "10.0.0.1" : "10.0.0.2",
      destination: from === "a" ? "10.0.0.2" : "10.0.0.1",
      ...(ecn === undefined ? {} : { ecn }),
    },
    tcp: {
      sourcePort: from === "a" ? 1000 : 80,
      destinationPort: from === "a" ? 80 : 1000,
      flags: bits,
      seq: (ISN[from] + seq) >>> 0,
      ack: (bits & 16) === 0 ? 0 : (ISN[peer] + ack) >>> 0,
      ...tcp,
    },
    payload: new Uint8Array(bytes).fill(0x61),
  }).bytes;
}

function captured(
  lines: readonly Line[],
  linkType: number = LINKTYPE.RAW,
  wrap: (packet: Uint8Array) => Uint8Array = (packet) => packet,
): Uint8Array {
  const blocks = lines.map((line) => {
    const bytes = wrap(packetOf(line));
    const ns = 1_700_000_000_000_000_000n + BigInt(Math.round(line[0] * 1000)) * 1000n;
    return enhancedPacketBlock({
      interfaceId: 0,
      tsHigh: Number(ns >> 32n),
      tsLow: Number(ns & 0xffff_ffffn),
      bytes,
      offset: 0,
      length: bytes.length,
    });
  });
  return joined([sectionHeaderBlock(), interfaceDescriptionBlock({ linkType }), ...blocks]);
}

function follow(...lines: readonly Line[]): FollowedConnection {
  const [one] = explainBytes(captured(lines)).connections;
  if (one === undefined) throw new Error("no connection");
  return one;
}
const kinds = (one: FollowedConnection): IncidentKind[] => one.incidents.map(({ kind }) => kind);

const OPEN: readonly Line[] = [
  [0, "a", "S", 0, 0],
  [10, "b", "SA", 0, 1],
  [20, "a", "A", 1, 1],
];

describe("openings", () => {
  it("Fast Open: the SYN-ACK takes the data of the SYN", () => {
    const one = follow([0, "a", "S", 0, 0, 5, { options: "fo=0102030405060708" }], [10, "b", "SA", 0, 6], [20, "a", "A", 6, 1]);
    expect([one.handshake.name, one.ends[0].state, one.ends[1].state]).toEqual(["Fast Open", "ESTABLISHED", "ESTABLISHED"]);
  });

  it("split: the server's SYN and ACK come apart", () => {
    const one = follow(
      [0, "a", "S", 0, 0],
      [10, "b", "S", 0, 0],
      [11, "b", "A", 1, 1],
      [20, "a", "SA", 0, 1],
      [30, "b", "A", 1, 1],
    );
    expect(one.handshake.name).toBe("split");
  });

  it("a SYN on a connection that lives is a stray one, and the challenge ACK ends nothing", () => {
    const one = follow(...OPEN, [30, "a", "S", 9_000, 0], [40, "b", "A", 1, 1]);
    expect(kinds(one)).toContain("stray-syn");
    expect([one.ends[0].state, one.ends[1].state]).toEqual(["ESTABLISHED", "ESTABLISHED"]);
  });
});

describe("ends", () => {
  it("merged: the second FIN rides on the ACK of the first", () => {
    const one = follow(...OPEN, [30, "a", "FA", 1, 1], [40, "b", "FA", 1, 2], [50, "a", "A", 2, 2]);
    expect([one.close.name(one.ends), one.ends[0].state, one.ends[1].state]).toEqual([
      "merged three-segment",
      "TIME-WAIT",
      "CLOSED",
    ]);
  });

  it("half-close: one direction has ended, the other still speaks", () => {
    const one = follow(...OPEN, [30, "a", "FA", 1, 1], [40, "b", "A", 1, 2], [50, "b", "PA", 1, 2, 100], [60, "a", "A", 2, 101]);
    expect([one.close.name(one.ends), one.ends[0].state, one.ends[1].state]).toEqual(["half-close", "FIN-WAIT-2", "CLOSE-WAIT"]);
  });

  it("data after close: the closed end answers it with RST", () => {
    const one = follow(...OPEN, [30, "a", "FA", 1, 1], [40, "b", "A", 1, 2], [50, "b", "PA", 1, 2, 100], [60, "a", "R", 2, 0]);
    expect(one.close.reset).toMatchObject({ by: 0, cause: "data after close" });
  });

  it("half-open: an end that knows nothing of it answers data with RST", () => {
    const one = follow(...OPEN, [1000, "a", "PA", 1, 1, 10], [1010, "b", "R", 1, 0]);
    expect(one.close.reset).toMatchObject({ by: 1, cause: "half-open" });
  });

  it("time-out: repetition after repetition without an answer, then RST", () => {
    const again = [200, 600, 1400, 3000, 6200].map((ms): Line => [ms, "a", "PA", 1, 1, 10]);
    const one = follow(...OPEN, [30, "a", "PA", 1, 1, 10], ...again, [12_000, "a", "RA", 11, 1]);
    expect(one.close.reset).toMatchObject({ by: 0, cause: "time-out" });
    expect(one.incidents.filter(({ kind }) => kind === "retransmission").length).toBe(5);
  });
});

describe("what stands out", () => {
  it("a keep-alive and its answer", () => {
    const one = follow(
      ...OPEN,
      [30, "a", "PA", 1, 1, 10],
      [40, "b", "A", 1, 11],
      [9000, "a", "A", 10, 1],
      [9010, "b", "A", 1, 11],
    );
    expect(kinds(one)).toEqual(["keep-alive", "keep-alive-ack"]);
  });

  it("a closed window, its probe, and its opening", () => {
    const one = follow(
      ...OPEN,
      [30, "a", "PA", 1, 1, 10],
      [40, "b", "A", 1, 11, 0, { window: 0 }],
      [300, "a", "A", 11, 1, 1],
      [310, "b", "A", 1, 11, 0, { window: 0 }],
      [400, "b", "A", 1, 11, 0, { window: 5000 }],
    );
    expect(kinds(one)).toEqual(["zero-window", "zero-window-probe", "zero-window", "zero-window-probe-ack", "window-update"]);
  });

  it("a mark of a router, and a checksum that is wrong", () => {
    const one = follow(...OPEN, [30, "a", "PA", 1, 1, 10, { ecn: 3 }], [40, "b", "A", 1, 11, 0, { checksum: "bad" }]);
    expect(kinds(one)).toEqual(expect.arrayContaining(["congestion-mark", "bad-checksum"]));
  });
});

describe("link types", () => {
  const header =
    (...bytes: readonly number[]) =>
    (packet: Uint8Array) =>
      joined([Uint8Array.from(bytes), packet]);
  const macs = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
  it.each<[string, number, (packet: Uint8Array) => Uint8Array]>([
    ["Ethernet", 1, header(...macs, 8, 0)],
    ["Ethernet with a VLAN tag", 1, header(...macs, 0x81, 0, 0, 7, 8, 0)],
    ["Ethernet with two tags", 1, header(...macs, 0x88, 0xa8, 0, 7, 0x81, 0, 0, 8, 8, 0)],
    ["raw IP", 101, header()],
    ["raw IP, IPv4 alone", 228, header()],
    ["BSD loopback", 0, header(2, 0, 0, 0)],
    ["OpenBSD loopback", 108, header(0, 0, 0, 2)],
    ["Linux cooked v1", 113, header(0, 4, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0, 8, 0)],
    ["Linux cooked v2", 276, header(8, 0, 0, 0, 0, 0, 0, 2, 0, 1, 4, 6, 2, 0, 0, 0, 0, 1, 0, 0)],
  ])("%s", (_, linkType, wrap) => {
    const { connections, error } = explainBytes(captured(OPEN, linkType, wrap));
    expect(error).toBeNull();
    expect(connections.map((one) => [one.handshake.name, one.ends[1].state])).toEqual([["three-way", "ESTABLISHED"]]);
  });
});
