/** Accurate ECN (RFC 9768), by hand: what the handshake agrees on, what ACE and the option tell, and how marks are judged. */
import { describe, expect, it } from "vitest";
import { MILLISECOND, SECOND } from "../../src/base/time.js";
import type { ConnectionConfig } from "../../src/tcp/config.js";
import { ECN_POLICIES } from "../../src/tcp/ecn.js";
import { TCP_CA_STATES, TCPI_OPTIONS } from "../../src/tcp/info.js";
import { newReno } from "../../src/tcp/new-reno.js";
import type { TcpOption } from "../../src/wire/tcp-options.js";
import { Harness, type Sent, type Stimulus, texts, WORLDS } from "./harness.js";

const ECT_1 = 1;
const ECT_0 = 2;
const CE = 3;
const MSS = { kind: "mss", mss: 1_000 } as const;
const SACK_OK = { kind: "sack-permitted" } as const;

/** E1B, CEB, E0B as the wire has them. */
const counters = (...values: number[]): TcpOption => ({ kind: "accecn1", counters: values });
const FIRST = counters(1, 0, 1);

/** Flags with this ACE, as the harness writes them. */
function ace(flags: string, value: number): string {
  return `${flags}${(value & 1) !== 0 ? "E" : ""}${(value & 2) !== 0 ? "W" : ""}${(value & 4) !== 0 ? "e" : ""}`;
}

/** ACE of a packet: 0 to 7. */
function aceOf({ flags }: Sent): number {
  return (flags.includes("E") ? 1 : 0) + (flags.includes("W") ? 2 : 0) + (flags.includes("e") ? 4 : 0);
}

/** Counters of the option of a packet; undefined without one. */
function told(sent: Sent | undefined): readonly number[] | undefined {
  const option = sent?.options.find(({ kind }) => kind === "accecn1");
  return option?.kind === "accecn1" ? option.counters : undefined;
}

describe.each(WORLDS)("$name", (world) => {
  const make = (more: Partial<ConnectionConfig> = {}): Harness =>
    new Harness(world, { ecn: "accurate", congestion: newReno, ...more });
  /** Connected, we first; both in AccECN mode. */
  const client = (more: Partial<ConnectionConfig> = {}, synAck: Partial<Stimulus> = {}): Harness =>
    make(more).connect({ flags: "S.W", options: [MSS, FIRST], ...synAck });
  /** Connected, the peer first. */
  const server = (more: Partial<ConnectionConfig> = {}, ack: Partial<Stimulus> = {}): Harness =>
    make(more).accept({ flags: "SEWe", options: [MSS] }, { flags: ".W", options: [FIRST], ...ack });
  const info = (h: Harness) => h.conn.info(h.now);
  const isAccurate = (h: Harness): boolean => h.tcb.ecn.accurate !== undefined;

  describe("negotiation", () => {
    it.each([
      ["accurate", "SEWe"],
      ["accurate-on", "SEW"],
      ["accurate-accept", "S"],
      ["on", "SEW"],
      ["accept", "S"],
      ["off", "S"],
    ] as const)("SYN-SENT, OPEN with ecn %s: the SYN's flags are %s, itself not ECN-capable (RFC 9768 §3.1.1)", (ecn, flags) => {
      expect(
        make({ ecn })
          .openActive()
          .map((sent) => [sent.flags, sent.tos, told(sent)]),
      ).toEqual([[flags, 0, undefined]]);
    });

    it.each([
      [0, "none"],
      [1, "classic"],
      [2, "accurate"],
      [3, "accurate"],
      [4, "accurate"],
      // Reserved: as if it said that nothing was changed (RFC 9768 §3.1.3).
      [5, "accurate"],
      [6, "accurate"],
      [7, "none"],
    ])("SYN-SENT after a SYN that asks for AccECN, a SYN-ACK with ACE %i: %s (RFC 9768 §3.1.2, §3.1.3)", (value, mode) => {
      const h = make().connect({ flags: ace("S.", value) });
      const enabled = (info(h).tcpi_options & TCPI_OPTIONS.ECN) !== 0;
      expect(isAccurate(h) ? "accurate" : enabled ? "classic" : "none").toBe(mode);
    });

    it("SYN-SENT after a SYN that asks for classic ECN, a SYN-ACK that confirms AccECN: no ECN (RFC 9768 §3.1.2)", () => {
      const h = make({ ecn: "accurate-on" }).connect({ flags: ace("S.", 2) });
      expect([isAccurate(h), info(h).tcpi_options & TCPI_OPTIONS.ECN]).toEqual([false, 0]);
    });

    it.each([
      [0, 2],
      [ECT_1, 3],
      [ECT_0, 4],
      [CE, 6],
    ])("LISTEN, a SYN that asks, with IP field %i: the SYN-ACK's ACE is %i, with an option (RFC 9768 §3.1.1)", (ecn, value) => {
      const h = make({ ecn: "accurate-accept" });
      h.openPassive();
      const [sent] = h.rcv({ flags: "SEWe", seq: 0, ack: 0, options: [MSS], ecn });
      expect(sent === undefined ? [] : [aceOf(sent), sent.tos, told(sent)]).toEqual([value, 0, [1, 0, 1]]);
    });

    it.each([
      [0, "S."],
      [1, "S.W"],
      [2, "S.W"],
      [3, "S.E"],
      [4, "S.W"],
      [5, "S.W"],
      [6, "S.W"],
      [7, "S.W"],
    ])("LISTEN, a SYN with ACE %i: the answer is %s (RFC 9768 §3.1.2)", (value, flags) => {
      const h = make();
      h.openPassive();
      expect(h.rcv({ flags: ace("S", value), seq: 0, ack: 0, options: [MSS] }).map((sent) => sent.flags)).toEqual([flags]);
    });

    it.each(["off", "accept", "on"] as const)(
      "LISTEN with ecn %s, a SYN that asks for AccECN: classic at the most (RFC 9768 §3.1.2)",
      (ecn) => {
        const h = make({ ecn });
        h.openPassive();
        const sent = h.rcv({ flags: "SEWe", seq: 0, ack: 0, options: [MSS] });
        expect([sent.map(({ flags }) => flags), isAccurate(h)]).toEqual([[ecn === "off" ? "S." : "S.E"], false]);
      },
    );

    it("SYN-SENT, no answer: the SYN asks once more, then no longer; a late answer still counts (RFC 9768 §3.1.4.1)", () => {
      const h = make();
      h.openActive();
      const flags = [...h.nextTimer(), ...h.nextTimer(), ...h.nextTimer()].map((sent) => sent.flags);
      expect(flags).toEqual(["SEWe", "S", "S"]);
      h.rcv({ flags: "S.W", seq: 0, ack: 1, options: [MSS] });
      expect(isAccurate(h)).toBe(true);
    });

    it("SYN-SENT without fall-back, no answer: every SYN asks", () => {
      const h = make({ ecnFallback: false });
      h.openActive();
      expect([...h.nextTimer(), ...h.nextTimer()].map((sent) => sent.flags)).toEqual(["SEWe", "SEWe"]);
    });

    it("SYN-RECEIVED, no answer: the SYN-ACK without option, then without ACE, and no ECT for good (RFC 9768 §3.1.5, §3.2.3.2.2)", () => {
      const h = make();
      h.openPassive();
      h.rcv({ flags: "SEWe", seq: 0, ack: 0, options: [MSS] });
      const again = [...h.nextTimer(), ...h.nextTimer(), ...h.nextTimer()];
      expect(again.map((sent) => [sent.flags, told(sent)])).toEqual([
        ["S.W", undefined],
        ["S.", undefined],
        ["S.", undefined],
      ]);
      h.rcv({ flags: ".W" });
      // The counts go on all the same.
      expect(h.send(10).map((sent) => [aceOf(sent), sent.tos])).toEqual([[5, 0]]);
      expect(info(h).tcpi_accecn_fail_mode).toBe(1);
    });

    it("SYN-RECEIVED, the SYN again with another IP field: the SYN-ACK tells the last one (RFC 9768 §3.1.5)", () => {
      const h = make();
      h.openPassive();
      h.rcv({ flags: "SEWe", seq: 0, ack: 0, options: [MSS] });
      expect(h.rcv({ flags: "SEWe", seq: 0, ack: 0, options: [MSS], ecn: CE }).map((sent) => [aceOf(sent), told(sent)])).toEqual([
        [6, undefined],
      ]);
    });

    it("SYN-RECEIVED, the SYN again without a request: AccECN all the same, but no ECT (RFC 9768 §3.1.5)", () => {
      const h = make();
      h.openPassive();
      h.rcv({ flags: "SEWe", seq: 0, ack: 0, options: [MSS] });
      expect(h.rcv({ flags: "S", seq: 0, ack: 0, options: [MSS] }).map(aceOf)).toEqual([2]);
      h.rcv({ flags: ".W" });
      expect(h.send(10).map((sent) => [aceOf(sent), sent.tos])).toEqual([[5, 0]]);
    });

    it.each([
      [0, 2],
      [ECT_1, 3],
      [ECT_0, 4],
      [CE, 6],
    ])("SYN-SENT, a SYN-ACK with IP field %i: the third segment's ACE is %i, ECT(0) itself (RFC 9768 §3.2.2.1)", (ecn, value) => {
      const h = make();
      h.openActive();
      const sent = h.rcv({ flags: "S.W", seq: 0, ack: 1, options: [MSS, FIRST], ecn });
      expect(sent.map((packet) => [aceOf(packet), told(packet)])).toEqual([[value, [1, 0, 1]]]);
    });

    it("ESTABLISHED, the SYN-ACK again: its answer reflects once more; what follows counts (RFC 9768 §3.2.2.1)", () => {
      const h = client();
      expect(h.rcv({ flags: "S.W", seq: 0, ack: 1, options: [MSS], ecn: ECT_1 }).map(aceOf)).toEqual([3]);
      expect(h.send(10).map(aceOf)).toEqual([5]);
    });

    it("SYN-SENT, data waits: it goes in place of the third segment and counts (RFC 9768 §3.2.2.1)", () => {
      const h = make();
      h.openActive();
      h.conn.send(new Uint8Array(10), 0, 10, false);
      expect(h.rcv({ flags: "S.W", seq: 0, ack: 1, wnd: 1_000, options: [MSS], ecn: ECT_0 }).map(aceOf)).toEqual([5]);
    });

    it("simultaneous open: both SYN-ACKs and both third segments reflect, no count is taken from them (RFC 9768 §3.1.1)", () => {
      const h = make();
      h.openActive();
      expect(
        h.rcv({ flags: "SEWe", seq: 0, ack: 0, options: [MSS], ecn: ECT_0 }).map((sent) => [sent.flags, told(sent)]),
      ).toEqual([["S.e", [1, 0, 1]]]);
      expect(h.rcv({ flags: ace("S.", 2), seq: 0, ack: 1, options: [MSS, FIRST] }).map(aceOf)).toEqual([2]);
      h.rcv({ flags: ace(".", 2) });
      expect([isAccurate(h), h.state, info(h).tcpi_delivered_ce]).toEqual([true, "ESTABLISHED", 0]);
      h.send(10);
      h.rcv({ flags: ace(".", 6) });
      expect(info(h).tcpi_delivered_ce).toBe(1);
    });

    it("simultaneous open with a peer that asks for classic ECN: classic (RFC 9768 §3.1.2)", () => {
      const h = make();
      h.openActive();
      expect(h.rcv({ flags: "SEW", seq: 0, ack: 0, options: [MSS] }).map((sent) => sent.flags)).toEqual(["S.E"]);
    });
  });

  describe("middleboxes", () => {
    it("SYN-RECEIVED, a third segment with ACE 0: no ECT, no answer to marks, but ours are told (RFC 9768 §3.2.2.1)", () => {
      const h = server({}, { flags: "." });
      expect(info(h).tcpi_accecn_fail_mode).toBe(2);
      expect(h.send(500).map((sent) => sent.tos)).toEqual([0]);
      h.rcv({ flags: ace(".", 7) });
      expect([info(h).tcpi_delivered_ce, info(h).tcpi_ca_state]).toEqual([0, TCP_CA_STATES.Open]);
      expect(h.rcv({ flags: "P.", data: 10, ecn: CE }).map(aceOf)).toEqual([6]);
    });

    it.each([
      [3, 2],
      [4, 2],
      [6, 2],
      [2, 0],
      // No meaning yet: no reason to doubt.
      [1, 0],
      [5, 0],
      [7, 0],
    ])(
      "SYN-RECEIVED, a third segment that tells our not-ECT SYN-ACK came as ACE %i: fail mode %i (RFC 9768 §3.2.2.3)",
      (value, mode) => {
        expect(info(server({}, { flags: ace(".", value) })).tcpi_accecn_fail_mode).toBe(mode);
      },
    );

    it("SYN-RECEIVED without fall-back, a third segment that tells of CE: it counts (RFC 9768 §3.2.2.1)", () => {
      const h = server({ ecnFallback: false }, { flags: ace(".", 6) });
      expect([info(h).tcpi_accecn_fail_mode, info(h).tcpi_delivered_ce]).toEqual([0, 1]);
      h.send(10);
      h.rcv({ flags: ace(".", 6) });
      expect(info(h).tcpi_delivered_ce).toBe(1);
    });

    it.each([
      ["no fields", [], 1, 0],
      ["one", [1], 2, 0],
      ["a first of 0", [0], 3, 8],
      ["a third of 0", [1, 0, 0], 3, 8],
      ["all", [1, 0, 1], 2, 0],
    ] as const)(
      "SYN-SENT, a SYN-ACK with an option of %s: %o is seen as %i, fail mode %i (RFC 9768 §3.2.3.2.4)",
      (_, values, seen, mode) => {
        const h = client({}, { options: [MSS, counters(...values)] });
        expect([info(h).tcpi_accecn_opt_seen, info(h).tcpi_accecn_fail_mode]).toEqual([seen, mode]);
      },
    );

    it("ESTABLISHED, no option has come: none goes out (RFC 9768 §3.2.3.2)", () => {
      const h = client({}, { options: [MSS] });
      expect(h.send(10).map(told)).toEqual([undefined]);
    });

    it("data comes a third time though a D-SACK beside an option told of it: no more options (RFC 9768 §3.2.3.2.2)", () => {
      const h = client({ sack: true }, { options: [MSS, SACK_OK, FIRST] });
      h.rcv({ flags: "P.We", seq: 1, data: 100, ecn: ECT_0 });
      expect(h.rcv({ flags: "P.We", seq: 1, data: 100, ecn: ECT_0 }).map(told)).toEqual([[1, 0, 101]]);
      h.rcv({ flags: "P.We", seq: 1, data: 100, ecn: ECT_0 });
      expect(info(h).tcpi_accecn_fail_mode).toBe(4);
      expect(h.send(10).map(told)).toEqual([undefined]);
    });
  });

  describe("receiver", () => {
    it("every packet with CE counts, bare ACKs too; ACE wraps after 7 (RFC 9768 §3.2.2)", () => {
      const h = client();
      const seen = Array.from({ length: 9 }, () => h.rcv({ flags: "P.We", data: 10, ecn: CE }).concat(h.advance(SECOND)).at(-1));
      expect(seen.map((sent) => (sent === undefined ? -1 : aceOf(sent)))).toEqual([6, 7, 0, 1, 2, 3, 4, 5, 6]);
      h.rcv({ flags: ace(".", 5), ecn: CE });
      expect(h.send(10).map(aceOf)).toEqual([7]);
      expect([info(h).tcpi_received_ce, info(h).tcpi_received_ce_bytes]).toEqual([10, 90]);
    });

    it.each([
      [ECT_1, [11, 0, 1]],
      [ECT_0, [1, 0, 11]],
      [CE, [1, 10, 1]],
      [0, [1, 0, 1]],
    ] as const)("10 bytes with IP field %i: the option tells %o (RFC 9768 §3.2.3)", (ecn, values) => {
      const h = client();
      expect(told(h.rcv({ flags: "P.We", data: 10, ecn }).concat(h.advance(SECOND)).at(-1))).toEqual(values);
    });

    it("a segment outside of the window counts neither way", () => {
      const h = client();
      h.rcv({ flags: "P.We", seq: 50_000, data: 10, ecn: CE });
      expect([info(h).tcpi_received_ce, info(h).tcpi_received_ce_bytes]).toEqual([0, 0]);
    });

    it("the ECN field changes: the ACK does not wait, with an option, and the next has one too (RFC 9768 §3.2.2.5.1, §3.2.3.3)", () => {
      const h = client({ accurateEcnOption: "minimum", accurateEcnBeacon: 0 });
      const ack = (ecn: number): (readonly number[] | undefined | "waits")[] => {
        const sent = h.rcv({ flags: "P.We", data: 10, ecn });
        return sent.length > 0 ? [told(sent[0])] : ["waits", told(h.advance(SECOND)[0])];
      };
      expect(ack(ECT_0)).toEqual([[1, 0, 11]]);
      expect(ack(ECT_0)).toEqual(["waits", [1, 0, 21]]);
      expect(ack(ECT_0)).toEqual(["waits", undefined]);
      expect(ack(CE)).toEqual([[1, 10, 31]]);
      // A mark asks for the option anew, but not for haste.
      expect(ack(CE)).toEqual(["waits", [1, 20, 31]]);
      expect(ack(ECT_0)).toEqual([[1, 20, 41]]);
    });

    it("options off: no segment has one, ACE counts (RFC 9768 §3.2.3)", () => {
      const h = server({ accurateEcnOption: "off" });
      expect(h.rcv({ flags: "P.We", data: 10, ecn: CE }).map((sent) => [aceOf(sent), told(sent)])).toEqual([[6, undefined]]);
    });

    it("minimum with beacons: an option each third of a round trip at the least (RFC 9768 §3.2.3.3)", () => {
      const h = make({ accurateEcnOption: "minimum", accurateEcnBeacon: 3 });
      h.openActive();
      h.now += 300 * MILLISECOND;
      h.rcv({ flags: "S.W", seq: 0, ack: 1, wnd: 10_000, options: [MSS, FIRST] });
      const steps = Array.from({ length: 6 }, () => {
        h.now += 50 * MILLISECOND;
        return h.send(10).some((sent) => told(sent) !== undefined);
      });
      // The first is the second one that the option of the SYN-ACK has asked for.
      expect(steps).toEqual([true, false, true, false, true, false]);
    });

    it("once every 2^22 bytes of a codepoint an option goes out of itself (RFC 9768 §3.2.3.3)", () => {
      const h = client({ accurateEcnOption: "minimum", accurateEcnBeacon: 0, receiveBufferBytes: 65_535 });
      const carried: number[] = [];
      for (let bytes = 1_000; bytes < 2 ** 22 + 20_000; bytes += 1_000) {
        const sent = h.rcv({ flags: "P.We", data: 1_000, ecn: ECT_0 });
        h.read();
        for (const packet of sent) if (told(packet) !== undefined) carried.push(bytes);
      }
      const beyond = carried.filter((bytes) => bytes > 10_000);
      expect(beyond.length).toBe(1);
      expect(Math.trunc(((beyond[0] ?? 0) - 2 ** 22) / 2_000)).toBe(0);
    });

    it("four marks that were not told ask for an ACK (RFC 9768 §3.2.2.5.1)", () => {
      const h = client();
      h.send(3_000);
      const answers = [1_001, 2_001, 2_501, 3_001].map((ack) => h.rcv({ flags: ace(".", 5), ack, ecn: CE }).map(aceOf));
      expect(answers).toEqual([[], [], [], [1]]);
    });
  });

  describe("space", () => {
    /** The ACK of data behind `holes` holes. */
    const acknowledge = (
      more: Partial<ConnectionConfig>,
      holes: number,
      ecn: number,
      options: readonly TcpOption[],
    ): Sent | undefined => {
      const h = client({ sack: true, ...more }, { options: [MSS, SACK_OK, FIRST, ...options] });
      if (more.timestamps === true) h.peerTs = 1;
      let last: Sent | undefined;
      for (let i = 1; i <= holes; i++) last = h.rcv({ flags: "P.We", seq: 1 + 100 * i, data: 10, ecn }).at(-1);
      return last;
    };
    const kinds = (sent: Sent | undefined): string[] =>
      (sent?.options ?? []).map((option) =>
        option.kind === "sack"
          ? `sack ${option.blocks.length}`
          : option.kind === "accecn1"
            ? `ecn ${option.counters.length}`
            : option.kind,
      );

    it.each([
      [1, ["ecn 3", "nop", "nop", "nop", "sack 1"]],
      [2, ["ecn 3", "nop", "nop", "nop", "sack 2"]],
      // 12 bytes are left beside three blocks, 4 beside four: one field, which shares a NOP.
      [3, ["ecn 3", "nop", "nop", "nop", "sack 3"]],
      [4, ["ecn 1", "nop", "sack 4"]],
    ])("%i holes, nothing marked: %o (RFC 9768 §3.2.3)", (holes, list) => {
      expect(kinds(acknowledge({}, holes, 0, []))).toEqual(list);
    });

    it("4 holes, CE has come: its field takes the place of a SACK block (RFC 9768 §3.2.3.3)", () => {
      expect(kinds(acknowledge({}, 4, CE, []))).toEqual(["ecn 3", "nop", "nop", "nop", "sack 3"]);
    });

    it.each([
      [1, ["nop", "nop", "timestamps", "ecn 3", "nop", "nop", "nop", "sack 1"]],
      [2, ["nop", "nop", "timestamps", "ecn 2", "nop", "nop", "sack 2"]],
      [3, ["nop", "nop", "timestamps", "ecn 0", "sack 3"]],
    ])("timestamps and %i holes, nothing marked: %o (RFC 9768 §3.2.3)", (holes, list) => {
      const stamps = { kind: "timestamps", tsVal: 1, tsEcr: 0 } as const;
      expect(kinds(acknowledge({ timestamps: true }, holes, 0, [stamps]))).toEqual(list);
    });

    it("timestamps and 3 holes, CE has come: two fields and two blocks (RFC 9768 §3.2.3.3)", () => {
      const stamps = { kind: "timestamps", tsVal: 1, tsEcr: 0 } as const;
      const list = ["nop", "nop", "timestamps", "ecn 2", "nop", "nop", "sack 2"];
      expect(kinds(acknowledge({ timestamps: true }, 3, CE, [stamps]))).toEqual(list);
    });

    it("full segments leave room for the option (MUST-16)", () => {
      const h = client();
      expect(h.send(3_000).map((sent) => sent.ipLength)).toEqual([1_040, 1_040, 1_040, 40 + 12 + 36]);
    });

    it.each([
      [{ timestamps: true }, ["mss", "sack-permitted", "timestamps", "accecn1", "nop", "nop", "window-scale"]],
      [{}, ["mss", "accecn1", "nop", "nop", "nop", "sack-permitted", "nop", "window-scale"]],
    ])("LISTEN, a SYN with all options, ours %o: the SYN-ACK's order is %o", (more, list) => {
      const h = make({ sack: true, windowScaling: true, ...more });
      h.openPassive();
      const options = [MSS, SACK_OK, { kind: "timestamps", tsVal: 1, tsEcr: 0 }, { kind: "window-scale", shift: 3 }] as const;
      const [sent] = h.rcv({ flags: "SEWe", seq: 0, ack: 0, options });
      expect(sent?.options.map(({ kind }) => kind)).toEqual(list);
    });

    it("SYN-ACK without two bytes left beside a cookie of Fast Open: no option, and the next segments have it", () => {
      const h = make({ timestamps: true, windowScaling: true });
      h.openPassive();
      h.tcb.fastOpen.cookie = new Uint8Array(16);
      const options: TcpOption[] = [MSS, SACK_OK, { kind: "window-scale", shift: 7 }];
      const [sent] = h.rcv({ flags: "SEWe", seq: 0, ack: 0, options, ts: [1, 0] });
      expect([sent?.flags, sent?.options.some(({ kind }) => kind === "fast-open"), told(sent)]).toEqual(["S.W", true, undefined]);
      h.rcv({ flags: ".W", ts: [2, 0], options: [FIRST] });
      expect(told(h.rcv({ flags: "P.We", data: 10, ecn: ECT_0, ts: [3, 0] })[0])).toEqual([1, 0, 11]);
    });
  });

  describe("sender", () => {
    it("every segment is ECT(0): data, repetitions, bare ACKs, FIN (RFC 9768 §3.1.5)", () => {
      const h = client();
      const sent = [...h.send(10), ...h.nextTimer(), ...h.rcv({ flags: "P.We", data: 10, ecn: ECT_0 }), ...h.shutdown()];
      expect(texts(sent)).toEqual(["P.Ee 1+10 ack 1", "P.Ee 1+10 ack 1", ".Ee 11+0 ack 11", "F.Ee 11+0 ack 11"]);
      expect(sent.map(({ tos }) => tos)).toEqual([ECT_0, ECT_0, ECT_0, ECT_0]);
    });

    it("an ACK tells of marks: counted, and one reduction a window without CWR (RFC 9768 §3.2.2.2)", () => {
      const h = client();
      h.send(4_000);
      const before = info(h).tcpi_snd_cwnd;
      h.rcv({ flags: ace(".", 6), ack: 1_001 });
      expect([info(h).tcpi_delivered_ce, info(h).tcpi_ca_state]).toEqual([1, TCP_CA_STATES.CWR]);
      const after = info(h).tcpi_snd_cwnd;
      expect(after).toBeLessThan(before);
      h.rcv({ flags: ace(".", 0), ack: 3_001 });
      expect([info(h).tcpi_delivered_ce, info(h).tcpi_snd_cwnd]).toEqual([3, after]);
      expect(h.tcb.ecn.reductions).toBe(1);
      expect(h.send(10).map(aceOf)).toEqual([5]);
    });

    it.each([
      ["neither new data nor a newer time", false, 0],
      ["a newer time", true, 1],
    ])("a bare ACK with another ACE and %s: %s, marks %i (RFC 9768 §3.2.2.5.2)", (_, newer, marks) => {
      const stamps = { kind: "timestamps", tsVal: 1, tsEcr: 0 } as const;
      const h = client({ timestamps: true }, { options: [MSS, FIRST, stamps] });
      h.rcv({ flags: ace(".", 6), ts: [newer ? 2 : 1, 0] });
      expect(info(h).tcpi_delivered_ce).toBe(marks);
    });

    it("an old ACK that comes late: its ACE is ignored (RFC 9768 §3.2.2.5.2)", () => {
      const h = client();
      h.send(2_000);
      h.rcv({ flags: ace(".", 5), ack: 2_001 });
      h.rcv({ flags: ace(".", 7), ack: 1_001 });
      expect(info(h).tcpi_delivered_ce).toBe(0);
    });

    it.each([
      // Up to 7 segments ACE says it all; of 8 with the same ACE all may be marked (RFC 9768 appendix A.2).
      [7, 5, 0],
      [8, 5, 8],
      [9, 5, 8],
      [9, 6, 9],
      [9, 7, 2],
      [15, 5, 8],
      [16, 5, 16],
    ])("without option, one ACK for %i segments with ACE %i: %i marks (RFC 9768 §3.2.2.5.2)", (segments, value, marks) => {
      const h = client({ initialWindowSegments: 20, initialWindowBytes: 1 << 20 }, { options: [MSS], wnd: 65_535 });
      h.send(segments * 1_000);
      // The mean is new: nothing shows that the peer compresses ACKs.
      if (h.tcb.ecn.accurate !== undefined) h.tcb.ecn.accurate.deliveredMean = 64;
      h.rcv({ flags: ace(".", value) });
      expect(info(h).tcpi_delivered_ce).toBe(marks);
    });

    it.each([
      // The bytes tell how often ACE went round.
      [[1, 0, 7_915], 5, 0],
      [[1, 7_904, 11], 5, 8],
      [[1, 988, 6_927], 6, 1],
    ] as const)(
      "one ACK for 8 segments with the option %o and ACE %i: %i marks (RFC 9768 appendix A.2.1)",
      (values, value, marks) => {
        const h = client({ initialWindowSegments: 20, initialWindowBytes: 1 << 20 }, { wnd: 65_535 });
        h.send(10);
        h.rcv({ flags: ace(".", 5), options: [counters(1, 0, 11)] });
        h.send(8 * 988);
        h.rcv({ flags: ace(".", value), options: [counters(...values)] });
        expect(info(h).tcpi_delivered_ce).toBe(marks);
      },
    );

    it.each([
      // Half of the largest guess is more than the bytes say: ACE has not gone round.
      [9, 6, 988, false, 1],
      // From 16 segments on the share of the bytes tells.
      [16, 5, 16 * 988, true, 16],
      [16, 5, 8 * 988, true, 8],
      [16, 6, 988, true, 1],
      [17, 6, 9 * 988, false, 9],
    ])(
      "one ACK for %i segments with ACE %i and %i bytes that came marked, SACK %o: %i marks (RFC 9768 appendix A.2.1)",
      (segments, value, bytes, sack, marks) => {
        const options = sack ? [MSS, FIRST, SACK_OK] : [MSS, FIRST];
        const h = client({ initialWindowSegments: 20, initialWindowBytes: 1 << 20 }, { options, wnd: 65_535 });
        h.send(10);
        h.rcv({ flags: ace(".", 5), wnd: 65_535, options: [counters(1, 0, 11)] });
        h.send(segments * 988);
        h.rcv({ flags: ace(".", value), options: [counters(1, bytes, 11 + segments * 988 - bytes)] });
        expect(info(h).tcpi_delivered_ce).toBe(marks);
      },
    );

    it("one ACK for 16 segments in recovery without SACK: what was delivered is not sure, the safe guess counts", () => {
      const h = client({ initialWindowSegments: 30, initialWindowBytes: 1 << 20 }, { wnd: 65_535 });
      h.send(10);
      h.rcv({ flags: ace(".", 5), wnd: 65_535, options: [counters(1, 0, 11)] });
      h.send(20 * 988);
      for (let i = 0; i < 3; i++) h.rcv({ flags: ace(".", 5), wnd: 65_535, ack: 11 });
      expect(info(h).tcpi_ca_state).toBe(TCP_CA_STATES.Recovery);
      h.rcv({ flags: ace(".", 5), ack: 11 + 16 * 988, options: [counters(1, 8 * 988, 11 + 8 * 988)] });
      // 8 by the share of the bytes, had it been sure.
      expect(info(h).tcpi_delivered_ce).toBe(16);
    });

    it("8 MiB without an option: one that comes then is ignored, its counters may have wrapped (RFC 9768 §3.2.3)", () => {
      const large = { mtuBytes: 65_535, initialWindowSegments: 4, initialWindowBytes: 1 << 20 };
      const connected = (): Harness => client(large, { options: [{ kind: "mss", mss: 60_000 }], wnd: 65_535 });
      const sendMuch = (h: Harness, total: number): void => {
        for (let sent = 0; sent < total; sent += 60_000) {
          h.send(60_000);
          h.rcv({ flags: ace(".", 5), wnd: 65_535 });
        }
      };
      const late = { flags: ace(".", 5), options: [counters(1, 0, 5_001)] };
      const soon = connected();
      sendMuch(soon, 8_000_000);
      soon.send(10);
      soon.rcv(late);
      expect(info(soon).tcpi_delivered_e0_bytes).toBe(5_000);
      const h = connected();
      sendMuch(h, 8_500_000);
      h.send(10);
      h.rcv(late);
      expect(info(h).tcpi_delivered_e0_bytes).toBe(0);
    });

    it.each(["accecn0", "accecn1"] as const)("option %s: its fields in its order, in 24 bits (RFC 9768 §3.2.3)", (kind) => {
      const h = client();
      h.send(300);
      const values = kind === "accecn0" ? [101, 50, 151] : [151, 50, 101];
      h.rcv({ flags: ace(".", 6), options: [{ kind, counters: values }] });
      const { tcpi_delivered_e0_bytes, tcpi_delivered_e1_bytes, tcpi_delivered_ce_bytes } = info(h);
      expect([tcpi_delivered_e0_bytes, tcpi_delivered_e1_bytes, tcpi_delivered_ce_bytes]).toEqual([100, 150, 50]);
    });

    it("an ACK without option after one with: its bytes count for the last one's codepoint (RFC 9768 appendix A.2.1)", () => {
      const h = client();
      for (let i = 0; i < 3; i++) h.send(100);
      h.rcv({ flags: ace(".", 5), ack: 101, options: [counters(1, 0, 101)] });
      h.rcv({ flags: ace(".", 5), ack: 301 });
      expect(info(h).tcpi_delivered_e0_bytes).toBe(300);
    });
  });
});

it("policies: from the least to the most", () => {
  expect(ECN_POLICIES).toEqual(["off", "accept", "on", "accurate-accept", "accurate-on", "accurate"]);
});
