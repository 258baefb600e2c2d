/**
 * Assembles the WebAssembly module of src/driver/checksum-wasm.ts by hand and prints it as base64, or with --check compares it
 * with what stands there.
 *
 *   memory "memory": one page of 64 KiB, a packet
 *   function "sum" (offset, length) -> the sum of the little-endian 16-bit words there; `length` is a multiple of 64. The most
 *   there can be, 32,768 words of 0xffff, fits into 32 bits.
 */
import { readFileSync } from "node:fs";

const I32 = 0x7f;
const V128 = 0x7b;
const get = (index) => [0x20, index];
const set = (index) => [0x21, index];
const I32_ADD = 0x6a;
const I32_GE_U = 0x4f;
/** v128.load of the address on the stack and `offset`, no alignment promised. */
const load = (offset) => [0xfd, 0x00, 0x00, offset];
/** i32x4.extadd_pairwise_i16x8_u: eight 16-bit words to four sums of two. */
const ADD_PAIRS = [0xfd, 0x7f];
const I32X4_ADD = [0xfd, 0xae, 0x01];
const lane = (index) => [0xfd, 0x1b, index];

const [OFFSET, END, SUM_A, SUM_B] = [0, 1, 2, 3];
const addVector = (offset) => [...get(OFFSET), ...load(offset), ...ADD_PAIRS, ...I32X4_ADD];
const body = [
  [1, 2, V128], // one group of locals: two vectors
  [...get(OFFSET), ...get(END), I32_ADD, ...set(END)],
  [0x02, 0x40, 0x03, 0x40], // block, loop
  [...get(OFFSET), ...get(END), I32_GE_U, 0x0d, 1], // br_if out of the block
  // Two sums, so that one addition need not wait for the other.
  [...get(SUM_A), ...addVector(0), ...addVector(16), ...set(SUM_A)],
  [...get(SUM_B), ...addVector(32), ...addVector(48), ...set(SUM_B)],
  [...get(OFFSET), 0x41, 0xc0, 0x00, I32_ADD, ...set(OFFSET)], // i32.const 64
  [0x0c, 0, 0x0b, 0x0b], // br to the loop; end, end
  [...get(SUM_A), ...get(SUM_B), ...I32X4_ADD, ...set(SUM_A)],
  [...get(SUM_A), ...lane(0)],
  [1, 2, 3].flatMap((index) => [...get(SUM_A), ...lane(index), I32_ADD]),
  [0x0b],
].flat();

const text = (string) => [string.length, ...Buffer.from(string)];
const section = (id, content) => [id, ...leb(content.length), ...content];
const module = Uint8Array.from([
  ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
  ...section(1, [1, 0x60, 2, I32, I32, 1, I32]), // types
  ...section(3, [1, 0]), // functions
  ...section(5, [1, 1, 1, 1]), // memories: one page, no more
  ...section(7, [2, ...text("memory"), 2, 0, ...text("sum"), 0, 0]), // exports
  ...section(10, [1, ...leb(body.length), ...body]), // code
]);

const base64 = Buffer.from(module).toString("base64");
if (process.argv[2] === "--check") {
  const source = readFileSync(new URL("../src/driver/checksum-wasm.ts", import.meta.url), "utf8");
  if (!source.replaceAll(/"\s*\+\s*"/g, "").includes(`"${base64}"`)) {
    process.stderr.write("src/driver/checksum-wasm.ts: not what scripts/checksum-wasm.mjs assembles\n");
    process.exit(1);
  }
} else {
  process.stdout.write(`${base64}\n`);
}

/** An unsigned number in LEB128. */
function leb(value) {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...leb(value >>> 7)];
}
