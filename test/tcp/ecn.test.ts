/** Explicit congestion notification (RFC 3168), by hand: who may ask, what is marked, what is echoed, and how often it costs window. */
import { describe, expect, it } from "vitest";
import { MILLISECOND, SECOND } from "../../src/base/time.js";
import { TCP_CA_STATES, TCPI_OPTIONS } from "../../src/tcp/info.js";
import { newReno } from "../../src/tcp/new-reno.js";
import { PROFILES } from "../../src/tcp/profiles.js";
import { Harness, type Stimulus, texts, WORLDS } from "./harness.js";

const ECT_0 = 2;
const CE = 3;
const SACK_OK = { kind: "sack-permitted" } as const;
const MSS = { kind: "mss", mss: 1_000 } as const;

describe.each(WORLDS)("$name", (world) => {
  const client = (ecn: "off" | "accept" | "on" = "on", more = {}): Harness =>
    new Harness(world, { ecn, congestion: newReno, ...more });
  /** Connected, both ends capable. */
  const capable = (more = {}, synAck: Partial<Stimulus> = {}): Harness => client("on", more).connect({ flags: "S.E", ...synAck });
  const isEnabled = (h: Harness): boolean => (h.conn.info(h.now).tcpi_options & TCPI_OPTIONS.ECN) !== 0;

  describe("negotiation", () => {
    it.each([
      ["on", "SEW"],
      ["accept", "S"],
      ["off", "S"],
    ] as const)("SYN-SENT, OPEN with ecn %s: the SYN's flags are %s (RFC 3168 §6.1.1, SHLD-8)", (ecn, flags) => {
      expect(
        client(ecn)
          .openActive()
          .map((sent) => [sent.flags, sent.tos]),
      ).toEqual([[flags, 0]]);
    });

    it.each([
      ["S.E", true],
      ["S.", false],
      // Both bits back is a peer that reflects what it does not know.
      ["S.EW", false],
    ])("SYN-SENT, the answer %s: agreed %s (RFC 3168 §6.1.1)", (flags, agreed) => {
      expect(isEnabled(client().connect({ flags }))).toBe(agreed);
    });

    it("SYN-SENT, an answer with ECE to a SYN that did not ask: not agreed", () => {
      expect(isEnabled(client("accept").connect({ flags: "S.E" }))).toBe(false);
    });

    it.each([
      ["on", "SEW", 0, "S.E"],
      ["accept", "SEW", 0, "S.E"],
      ["off", "SEW", 0, "S."],
      ["accept", "SE", 0, "S."],
      ["accept", "SW", 0, "S."],
      ["accept", "S", 0, "S."],
      // A SYN must not be ECN-capable itself.
      ["accept", "SEW", ECT_0, "S."],
    ] as const)(
      "LISTEN with ecn %s, a %s with IP field %i: the answer is %s, itself not ECN-capable (RFC 3168 §6.1.1, SHLD-8)",
      (ecn, flags, field, answer) => {
        const h = client(ecn);
        h.openPassive();
        const sent = h.rcv({ flags, seq: 0, ack: 0, options: [MSS], ecn: field });
        expect(sent.map((packet) => [packet.flags, packet.tos])).toEqual([[answer, 0]]);
      },
    );

    it("SYN-SENT, no answer: the SYN is repeated without, and an answer to the first one still counts (RFC 3168 §6.1.1.1)", () => {
      const h = client();
      h.openActive();
      expect(h.nextTimer().map((sent) => sent.flags)).toEqual(["S"]);
      h.rcv({ flags: "S.E", seq: 0, ack: 1, options: [MSS] });
      expect(isEnabled(h)).toBe(true);
    });

    it("SYN-RECEIVED, no answer: the SYN-ACK is repeated with its flag", () => {
      const h = client("accept");
      h.openPassive();
      h.rcv({ flags: "SEW", seq: 0, ack: 0, options: [MSS] });
      expect(h.nextTimer().map((sent) => sent.flags)).toEqual(["S.E"]);
    });

    it("the profiles: Linux accepts, the RFCs ask (SHLD-8)", () => {
      expect([PROFILES.linux.ecn, PROFILES.rfc.ecn]).toEqual(["accept", "on"]);
    });
  });

  describe("what is ECN-capable", () => {
    it("ESTABLISHED, SEND: data is ECT(0) with the DSCP as it was; a bare ACK and FIN are not (RFC 3168 §6.1.5)", () => {
      const h = capable({ tos: 0xb8 });
      expect(h.send(100).map((sent) => sent.tos)).toEqual([0xb8 | ECT_0]);
      h.rcv({ flags: "." });
      h.give({ flags: "P.", data: 10 });
      expect(h.advance(SECOND).map((sent) => [sent.flags, sent.tos])).toEqual([[".", 0xb8]]);
      expect(h.shutdown().map((sent) => [sent.flags, sent.tos])).toEqual([["F.", 0xb8]]);
    });

    it("over IPv6 the field is that of the traffic class", () => {
      const h = new Harness(world, { ecn: "on" }, 6).connect({ flags: "S.E" });
      expect(h.send(100).map((sent) => sent.tos)).toEqual([ECT_0]);
    });

    it("ESTABLISHED, time-out: the repetition is not ECN-capable (RFC 3168 §6.1.5)", () => {
      const h = capable({ tailLossProbe: false });
      h.send(100);
      expect(h.nextTimer().map((sent) => [sent.text, sent.tos])).toEqual([["P. 1+100 ack 1", 0]]);
    });

    it("a zero-window probe is not ECN-capable (RFC 3168 §6.1.6)", () => {
      const h = capable();
      h.rcv({ flags: ".", wnd: 0 });
      h.send(100);
      expect(h.nextTimer().map((sent) => [sent.text, sent.tos])).toEqual([[". 1+1 ack 1", 0]]);
    });

    it("without agreement nothing is", () => {
      expect(
        client("on")
          .connect({ flags: "S." })
          .send(100)
          .map((sent) => sent.tos),
      ).toEqual([0]);
    });
  });

  describe("the receiver", () => {
    it("ESTABLISHED, marked data: acknowledged at once with ECE, and every segment echoes it until CWR comes (RFC 3168 §6.1.3)", () => {
      const h = capable({ delayedAckUs: 200 * MILLISECOND });
      expect(texts(h.rcv({ flags: "P.", data: 10, ecn: CE }))).toEqual([".E 1+0 ack 11"]);
      expect(h.send(5).map((sent) => sent.flags)).toEqual(["P.E"]);
      h.rcv({ flags: "P.", data: 10, ecn: ECT_0 });
      expect(h.advance(SECOND / 4).at(-1)?.flags).toBe(".E");
      // CWR rides on new data.
      h.rcv({ flags: "P.W", data: 10, ecn: ECT_0 });
      expect(h.advance(SECOND / 4).at(-1)?.flags).toBe(".");
    });

    it("ESTABLISHED, CWR on data that is marked itself: the echo goes on (RFC 3168 §6.1.3)", () => {
      const h = capable();
      h.rcv({ flags: "P.", data: 10, ecn: CE });
      expect(h.rcv({ flags: "P.W", data: 10, ecn: CE }).concat(h.advance(SECOND)).at(-1)?.flags).toBe(".E");
    });

    it("ESTABLISHED, marked data outside the window: not echoed", () => {
      const h = capable();
      expect(h.rcv({ flags: "P.", seq: 50_000, data: 10, ecn: CE }).map((sent) => sent.flags)).toEqual(["."]);
    });

    it("ESTABLISHED, a marked bare ACK: not echoed", () => {
      const h = capable();
      h.rcv({ flags: ".", ecn: CE });
      expect(h.send(5).map((sent) => sent.flags)).toEqual(["P."]);
    });

    it("a RST carries no echo", () => {
      const h = capable();
      h.rcv({ flags: "P.", data: 10, ecn: CE });
      expect(h.abort().map((sent) => sent.flags)).toEqual(["R."]);
    });
  });

  describe("the sender", () => {
    const filled = (more = {}): Harness => {
      const h = capable({ initialWindowSegments: 10, sack: true, ...more }, { options: [MSS, SACK_OK], wnd: 60_000 });
      h.send(10_000);
      return h;
    };

    it("ESTABLISHED, ECE: the window shrinks once for a window of data, and the next new data says CWR (RFC 3168 §6.1.2)", () => {
      const h = filled();
      const before = h.tcb.congestion.cwnd;
      h.rcv({ flags: ".E", ack: 1_001 });
      const reduced = h.tcb.congestion.cwnd;
      expect(reduced).toBe(0.8 * before);
      expect(h.conn.info(h.now).tcpi_ca_state).toBe(TCP_CA_STATES.CWR);
      for (let ack = 2_001; ack <= 9_001; ack += 1_000) h.rcv({ flags: ".E", ack });
      expect(h.tcb.congestion.cwnd).toBe(reduced);
      expect(h.send(2_000).map((sent) => sent.flags)).toEqual([".W", "P."]);
      // Beyond that window a mark counts again.
      h.rcv({ flags: ".E", ack: 11_001 });
      expect(h.tcb.ecn.reductions).toBe(2);
    });

    it("ESTABLISHED, ECE without anything outstanding: nothing to reduce", () => {
      const h = capable();
      h.rcv({ flags: ".E" });
      expect(h.tcb.ecn.reductions).toBe(0);
    });

    it("ESTABLISHED, ECE without agreement: means nothing", () => {
      const h = client("on", { sack: true }).connect({ flags: "S.", options: [MSS, SACK_OK] });
      h.send(3_000);
      h.rcv({ flags: ".E", ack: 1_001 });
      expect([h.tcb.ecn.reductions, h.conn.info(h.now).tcpi_ca_state]).toEqual([0, TCP_CA_STATES.Open]);
    });

    it("ESTABLISHED, the reduction has worked: the window grows again", () => {
      const h = filled();
      h.rcv({ flags: ".E", ack: 1_001 });
      h.rcv({ flags: ".", ack: 10_001 });
      const before = h.tcb.congestion.cwnd;
      h.send(20_000);
      h.rcv({ flags: ".", ack: 18_001 });
      expect(h.tcb.congestion.cwnd).toBeGreaterThan(before);
      expect(h.conn.info(h.now).tcpi_ca_state).toBe(TCP_CA_STATES.Open);
    });

    it("ESTABLISHED, a loss: the repetition says no CWR, the next new data does, and ECE of that window costs nothing more (RFC 3168 §6.1.2)", () => {
      const h = filled();
      const lost: Stimulus = {
        flags: ".E",
        ack: 1,
        options: [{ kind: "sack", blocks: [{ left: (world.iss + 1_001) >>> 0, right: (world.iss + 10_001) >>> 0 }] }],
      };
      const repeated = h.rcv(lost).concat(h.advance(50 * MILLISECOND));
      expect([repeated[0]?.text, repeated[0]?.tos]).toEqual([". 1+1000 ack 1", 0]);
      const reduced = h.tcb.congestion.ssthresh;
      h.rcv({ flags: ".E", ack: 10_001 });
      expect(h.send(1_000).map((sent) => [sent.flags, sent.tos])).toEqual([["P.W", ECT_0]]);
      expect([h.tcb.congestion.ssthresh, h.tcb.ecn.reductions]).toEqual([reduced, 0]);
    });

    it("info(): ECN agreed, ECN seen, segments delivered under an echo", () => {
      const h = filled();
      const options = (): number => h.conn.info(h.now).tcpi_options & (TCPI_OPTIONS.ECN | TCPI_OPTIONS.ECN_SEEN);
      expect(options()).toBe(TCPI_OPTIONS.ECN);
      h.rcv({ flags: "P.", ack: 1, data: 10, ecn: ECT_0 });
      expect(options()).toBe(TCPI_OPTIONS.ECN | TCPI_OPTIONS.ECN_SEEN);
      h.rcv({ flags: ".E", ack: 3_001 });
      h.rcv({ flags: ".", ack: 5_001 });
      expect(h.conn.info(h.now).tcpi_delivered_ce).toBe(3);
    });
  });
});
