import { describe, expect, it } from "vitest";
import { craft } from "../../src/craft/build.js";
import { matchAnswer, probeOf } from "../../src/craft/match.js";
import type { PacketSpec } from "../../src/craft/spec.js";
import { ACK, RST, SYN } from "../../src/wire/tcp-flags.js";

const ours = { family: 4, source: "10.0.0.1", destination: "10.0.0.2" } as const;
const theirs = { family: 4, source: "10.0.0.2", destination: "10.0.0.1" } as const;
const ports = { sourcePort: 4000, destinationPort: 80 };
const back = { sourcePort: 80, destinationPort: 4000 };

function strength(sent: PacketSpec, answer: PacketSpec | Uint8Array): string {
  const out = craft(sent);
  const probe = probeOf(out.bytes, 0, out.bytes.length);
  const bytes = answer instanceof Uint8Array ? answer : craft(answer).bytes;
  return probe === undefined ? "no probe" : matchAnswer(probe, bytes, 0, bytes.length);
}

const syn: PacketSpec = { ip: ours, tcp: { ...ports, seq: 0xffff_ffff } };
const ack: PacketSpec = { ip: ours, tcp: { ...ports, seq: 5, ack: 77, flags: ACK } };

describe("an answer to a segment", () => {
  it.each<[string, PacketSpec, PacketSpec, string]>([
    ["SYN-ACK of the SYN", syn, { ip: theirs, tcp: { ...back, flags: SYN | ACK, ack: 0 } }, "exact"],
    ["RST of the SYN", syn, { ip: theirs, tcp: { ...back, flags: RST | ACK, ack: 0 } }, "exact"],
    ["RST of an ACK, by its sequence number", ack, { ip: theirs, tcp: { ...back, flags: RST, seq: 77 } }, "exact"],
    ["challenge ACK: the numbers are another connection's", syn, { ip: theirs, tcp: { ...back, flags: ACK, ack: 999 } }, "ports"],
    ["another port", syn, { ip: theirs, tcp: { ...back, sourcePort: 81, flags: SYN | ACK, ack: 0 } }, "none"],
    ["another host", syn, { ip: { ...theirs, source: "10.0.0.3" }, tcp: { ...back, flags: SYN | ACK, ack: 0 } }, "none"],
    ["itself, seen on its way out", syn, syn, "none"],
  ])("%s", (_, sent, answer, expected) => {
    expect(strength(sent, answer)).toBe(expected);
  });

  it("ICMP error, by the quoted packet", () => {
    const quote = craft(syn).bytes.slice(0, 28);
    const error = (payload: Uint8Array): PacketSpec => ({ ip: { ...theirs, source: "10.9.9.9" }, icmp: { type: 11 }, payload });
    expect(strength(syn, error(quote))).toBe("exact");
    expect(strength({ ...syn, tcp: { ...ports, seq: 6 } }, error(quote))).toBe("ports");
    expect(strength({ ...syn, tcp: { ...ports, sourcePort: 4001 } }, error(quote))).toBe("none");
    expect(strength(syn, error(quote.slice(0, 20)))).toBe("none");
  });

  it("echo reply, by identifier and sequence number, in both families", () => {
    const v6 = { family: 6, source: "fd00::1", destination: "fd00::2" } as const;
    const v6Back = { family: 6, source: "fd00::2", destination: "fd00::1" } as const;
    expect(
      strength({ ip: ours, icmp: { identifier: 1, sequence: 2 } }, { ip: theirs, icmp: { type: 0, identifier: 1, sequence: 2 } }),
    ).toBe("exact");
    expect(
      strength({ ip: ours, icmp: { identifier: 1, sequence: 2 } }, { ip: theirs, icmp: { type: 0, identifier: 1, sequence: 3 } }),
    ).toBe("none");
    expect(
      strength({ ip: v6, icmp: { identifier: 1, sequence: 2 } }, { ip: v6Back, icmp: { type: 129, identifier: 1, sequence: 2 } }),
    ).toBe("exact");
  });

  it("any bytes are an answer to nothing", () => {
    const random = Uint8Array.from({ length: 60 }, (_, i) => (i * 37) & 0xff);
    for (let length = 0; length <= 60; length++) expect(strength(syn, random.slice(0, length))).toBe("none");
  });
});
