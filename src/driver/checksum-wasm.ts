/**
 * The Internet checksum of outgoing packets by vector instructions: with segments of 64 KiB, as on loopback, summing them word by
 * word cost a sender as much as the system calls. WebAssembly sees its own memory alone, so that is where the packet is built.
 */
import { OutgoingPacket } from "../tcp/outgoing-packet.js";
import { addBytes, fold, swap } from "../wire/checksum.js";

/** Below this many bytes the call costs more than it saves. */
const FEWEST_BYTES = 256;
/** The function's step. */
const STEP_BYTES = 64;

/** The module: one page of memory, and the sum of the little-endian 16-bit words in a part of it. See scripts/checksum-wasm.mjs. */
const MODULE =
  "AGFzbQEAAAABBwFgAn9/AX8DAgEABQQBAQEBBxACBm1lbW9yeQIAA3N1bQAACngBdgECeyAAIAFqIQECQANAIAAgAU8NASACIAD9AAAA/X/9rgEgAP0AABD9f/2uASECIAMg" +
  "AP0AACD9f/2uASAA/QAAMP1//a4BIQMgAEHAAGohAAwACwsgAiAD/a4BIQIgAv0bACAC/RsBaiAC/RsCaiAC/RsDags=";

/** What of WebAssembly is used: Node's types leave it to those of browsers. */
interface WebAssemblyApi {
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object) => { readonly exports: ChecksumExports };
}
interface ChecksumExports {
  readonly memory: { readonly buffer: ArrayBuffer };
  /** `length` is a multiple of 64. The result is an unsigned number read as a signed one. */
  sum(offset: number, length: number): number;
}

/**
 * An outgoing packet whose checksum is taken by vectors; a plain one, with equal results, where this machine has no
 * WebAssembly, none with vectors, or no address space left for its memory. Never throws.
 */
export function createOutgoingPacket(): OutgoingPacket {
  const instance = instantiate();
  if (instance === undefined) return new OutgoingPacket();
  const { memory, sum } = instance;
  const packet = new Uint8Array(memory.buffer);
  return new OutgoingPacket(packet, (start, bytes, offset, length) => {
    if (length < FEWEST_BYTES || bytes !== packet) return addBytes(start, bytes, offset, length);
    const whole = length - (length % STEP_BYTES);
    const words = swap(fold(sum(offset, whole) >>> 0));
    return addBytes(start + words, bytes, offset + whole, length - whole);
  });
}

let compiled: object | undefined;

function instantiate(): ChecksumExports | undefined {
  const api = (globalThis as { readonly WebAssembly?: WebAssemblyApi }).WebAssembly;
  if (api === undefined) return undefined;
  try {
    compiled ??= new api.Module(Buffer.from(MODULE, "base64"));
    return new api.Instance(compiled).exports;
  } catch {
    return undefined;
  }
}
