import { endianness } from "node:os";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { dropAllFilter, type PortRange, portFilter } from "../../src/kernel/bpf.js";
import { ipv4Packet } from "./support.js";

/** Runs a classic BPF program as the kernel does: a load beyond the packet ends it with 0. */
function runFilter(program: Uint8Array, packet: Uint8Array, packetType = 0): number {
  const code = new DataView(program.buffer, program.byteOffset, program.length);
  const data = new DataView(packet.buffer, packet.byteOffset, packet.length);
  const little = endianness() === "LE";
  let a = 0;
  let x = 0;
  try {
    for (let at = 0; ; at += 8) {
      const jump = (isTrue: boolean) => {
        at += 8 * code.getUint8(at + (isTrue ? 2 : 3));
      };
      const k = code.getUint32(at + 4, little);
      switch (code.getUint16(at, little)) {
        case 0x20:
          if (k !== 0xfffff004) throw new Error(`load of word ${k.toString(16)} is not used`);
          a = packetType;
          break;
        case 0x28:
          a = data.getUint16(k);
          break;
        case 0x30:
          a = data.getUint8(k);
          break;
        case 0x48:
          a = data.getUint16(x + k);
          break;
        case 0x01:
          x = k;
          break;
        case 0xb1:
          x = 4 * (data.getUint8(k) & 0xf);
          break;
        case 0x05:
          at += 8 * k;
          break;
        case 0x15:
          jump(a === k);
          break;
        case 0x25:
          jump(a > k);
          break;
        case 0x35:
          jump(a >= k);
          break;
        case 0x45:
          jump((a & k) !== 0);
          break;
        case 0x06:
          return k;
        default:
          throw new Error(`unknown instruction at ${at}`);
      }
    }
  } catch (error) {
    if (error instanceof RangeError && isOutside(error)) return 0;
    throw error;
  }
}

/** DataView's own complaint, as against a defect of the interpreter. */
function isOutside(error: RangeError): boolean {
  return error.message.includes("outside the bounds");
}

function passes(program: Uint8Array, packet: Uint8Array, packetType = 0): boolean {
  return runFilter(program, packet, packetType) >= packet.length;
}

function ethernet(packet: Uint8Array, etherType = 0x0800): Uint8Array {
  const frame = new Uint8Array(14 + packet.length);
  new DataView(frame.buffer).setUint16(12, etherType);
  frame.set(packet, 14);
  return frame;
}

function ipv6Segment(to: number, nextHeader = 6): Uint8Array {
  const packet = new Uint8Array(60);
  packet[0] = 0x60;
  packet[6] = nextHeader;
  new DataView(packet.buffer).setUint16(42, to);
  return packet;
}

const port = fc.integer({ min: 0, max: 65535 });
const range = fc.tuple(port, port).map(([a, b]): PortRange => ({ first: Math.min(a, b), last: Math.max(a, b) }));
const wantedPorts = fc.array(fc.oneof(port, range), { maxLength: 100 });
const isIn = (ports: readonly (number | PortRange)[], to: number) =>
  ports.some((p) => (typeof p === "number" ? p === to : to >= p.first && to <= p.last));

describe("dropAllFilter", () => {
  it("drops a packet of any length", () => {
    expect(runFilter(dropAllFilter(), new Uint8Array(0))).toBe(0);
    expect(runFilter(dropAllFilter(), ipv4Packet({ from: 1, to: 2 }))).toBe(0);
  });
});

describe("portFilter on layer ipv4", () => {
  it("lets exactly the ports and ranges through, whatever the length of the IP header", () => {
    fc.assert(
      fc.property(wantedPorts, port, fc.integer({ min: 5, max: 15 }), (ports, other, words) => {
        const program = portFilter(ports);
        const edges = ports.flatMap((p) =>
          typeof p === "number" ? [p - 1, p, p + 1] : [p.first - 1, p.first, p.last, p.last + 1],
        );
        for (const to of [other, ...edges].filter((p) => p >= 0 && p <= 65535)) {
          // The source port must not matter: it is the one that a filter gone wrong would read.
          const packet = ipv4Packet({ from: to ^ 0x5555, to, headerBytes: 4 * words });
          expect(passes(program, packet)).toBe(isIn(ports, to));
        }
      }),
    );
  });

  it("drops fragments after the first, whose bytes at that place are no port", () => {
    const program = portFilter([{ first: 0, last: 65535 }]);
    expect(passes(program, ipv4Packet({ from: 1, to: 2 }))).toBe(true);
    expect(passes(program, ipv4Packet({ from: 1, to: 2, fragmentOffset: 1 }))).toBe(false);
    expect(passes(program, ipv4Packet({ from: 1, to: 2, fragmentOffset: 0x1fff }))).toBe(false);
    const dontFragment = 0x4000;
    expect(passes(program, ipv4Packet({ from: 1, to: 2, fragmentOffset: dontFragment }))).toBe(true);
  });

  it("drops a packet that ends before the port", () => {
    expect(passes(portFilter([{ first: 0, last: 65535 }]), ipv4Packet({ from: 1, to: 2 }).subarray(0, 23))).toBe(false);
  });

  it("drops everything when no port is wanted", () => {
    expect(passes(portFilter([]), ipv4Packet({ from: 80, to: 80 }))).toBe(false);
  });

  it("takes 100 ranges and no more, because jumps reach 255 instructions", () => {
    const ranges = Array.from({ length: 100 }, (_, i) => ({ first: 100 * i, last: 100 * i + 1 }));
    const program = portFilter(ranges, "ethernet");
    expect(passes(program, ethernet(ipv4Packet({ from: 1, to: 1 })))).toBe(true);
    expect(passes(program, ethernet(ipv4Packet({ from: 1, to: 9901 })))).toBe(true);
    expect(passes(program, ethernet(ipv4Packet({ from: 1, to: 9902 })))).toBe(false);
    expect(() => portFilter([...ranges, 7])).toThrow(RangeError);
  });
});

describe("portFilter on layer tcp", () => {
  it("lets exactly the ports and ranges through, where the packet begins with the TCP header", () => {
    fc.assert(
      fc.property(wantedPorts, port, (ports, other) => {
        const program = portFilter(ports, "tcp");
        const edges = ports.flatMap((p) => (typeof p === "number" ? [p - 1, p, p + 1] : [p.first - 1, p.last, p.last + 1]));
        for (const to of [other, ...edges].filter((p) => p >= 0 && p <= 65535)) {
          const segment = ipv4Packet({ from: to ^ 0x5555, to }).subarray(20);
          expect(passes(program, segment)).toBe(isIn(ports, to));
        }
      }),
    );
  });

  it("drops what ends before the port", () => {
    const program = portFilter([{ first: 0, last: 65535 }], "tcp");
    expect(passes(program, new Uint8Array(3))).toBe(false);
    expect(passes(program, new Uint8Array(4))).toBe(true);
  });
});

describe("portFilter on layer ethernet", () => {
  const program = portFilter([80, { first: 5000, last: 5009 }], "ethernet");

  it("finds the port behind IPv4 with options and behind IPv6", () => {
    for (const [to, wanted] of [
      [80, true],
      [79, false],
      [5000, true],
      [5009, true],
      [5010, false],
    ] as const) {
      expect(passes(program, ethernet(ipv4Packet({ from: 80, to })))).toBe(wanted);
      expect(passes(program, ethernet(ipv4Packet({ from: 80, to, headerBytes: 60 })))).toBe(wanted);
      expect(passes(program, ethernet(ipv6Segment(to), 0x86dd))).toBe(wanted);
    }
  });

  it("drops other protocols, other EtherTypes and fragments", () => {
    const udp = ipv4Packet({ from: 1, to: 80 });
    udp[9] = 17;
    expect(passes(program, ethernet(udp))).toBe(false);
    expect(passes(program, ethernet(ipv6Segment(80, 17), 0x86dd))).toBe(false);
    expect(passes(program, ethernet(ipv4Packet({ from: 1, to: 80 }), 0x0806))).toBe(false);
    expect(passes(program, ethernet(ipv4Packet({ from: 1, to: 80, fragmentOffset: 9 })))).toBe(false);
  });

  it("drops what this host itself sends", () => {
    const PACKET_OUTGOING = 4;
    const frame = ethernet(ipv4Packet({ from: 1, to: 80 }));
    expect(passes(program, frame, 0)).toBe(true);
    expect(passes(program, frame, PACKET_OUTGOING)).toBe(false);
  });
});
