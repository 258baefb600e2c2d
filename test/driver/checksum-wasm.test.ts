import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { afterEach, expect, it, vi } from "vitest";
import { createOutgoingPacket } from "../../src/driver/checksum-wasm.js";
import { addBytes, finish } from "../../src/wire/checksum.js";

afterEach(() => vi.unstubAllGlobals());

const PACKET_BYTES = 65_536;

function filled(seed: number) {
  const out = createOutgoingPacket();
  let state = seed;
  for (let i = 0; i < PACKET_BYTES; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    out.bytes[i] = state >>> 24;
  }
  return out;
}

it("builds packets in WebAssembly's memory, one for each driver", () => {
  const [one, other] = [createOutgoingPacket(), createOutgoingPacket()];
  expect(one.addBytes).not.toBe(addBytes);
  expect(one.bytes.length).toBe(PACKET_BYTES);
  expect(one.bytes.buffer).not.toBe(other.bytes.buffer);
});

it("sums any part of a packet, from any address, as the plain loop does", () => {
  const out = filled(7);
  fc.assert(
    fc.property(fc.nat(PACKET_BYTES), fc.nat(PACKET_BYTES), fc.nat(0x3_ffff), (from, to, start) => {
      const [offset, end] = from < to ? [from, to] : [to, from];
      const sum = out.addBytes(start, out.bytes, offset, end - offset);
      expect(finish(sum)).toBe(finish(addBytes(start, out.bytes, offset, end - offset)));
    }),
  );
});

it("sums every length around the switch to vectors and their step as the plain loop does", () => {
  const out = filled(8);
  for (const offset of [0, 1, 20, 40]) {
    for (let length = 0; length < 600; length++) {
      const sum = finish(out.addBytes(0, out.bytes, offset, length));
      if (sum !== finish(addBytes(0, out.bytes, offset, length))) expect.fail(`offset ${offset}, length ${length}`);
    }
  }
});

it("does not overflow on a whole packet of ones, and knows all zeros from it", () => {
  const out = createOutgoingPacket();
  expect(finish(out.addBytes(0, out.bytes, 0, PACKET_BYTES))).toBe(0xffff);
  out.bytes.fill(0xff);
  expect(finish(out.addBytes(0, out.bytes, 0, PACKET_BYTES))).toBe(0);
  expect(finish(out.addBytes(0x1234, out.bytes, 0, PACKET_BYTES))).toBe(finish(0x1234));
});

it("sums bytes that lie elsewhere by the plain loop", () => {
  const out = createOutgoingPacket();
  const elsewhere = filled(9).bytes;
  expect(finish(out.addBytes(0, elsewhere, 3, 5000))).toBe(finish(addBytes(0, elsewhere, 3, 5000)));
});

it("is an ordinary packet where there is no WebAssembly, or no memory for it", () => {
  vi.stubGlobal("WebAssembly", undefined);
  expect(createOutgoingPacket().addBytes).toBe(addBytes);
  class NoMemory {
    constructor() {
      throw new RangeError("WebAssembly.Memory(): could not allocate memory");
    }
  }
  vi.stubGlobal("WebAssembly", { Module: NoMemory, Instance: NoMemory });
  const out = createOutgoingPacket();
  expect(out.addBytes).toBe(addBytes);
  expect(out.bytes.length).toBe(PACKET_BYTES);
});

it("holds the module that scripts/checksum-wasm.mjs assembles", () => {
  const script = fileURLToPath(new URL("../../scripts/checksum-wasm.mjs", import.meta.url));
  expect(() => execFileSync(process.execPath, [script, "--check"], { stdio: "pipe" })).not.toThrow();
});
