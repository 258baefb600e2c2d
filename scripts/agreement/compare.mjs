/** What two stacks have sent after the same stimulus, packet by packet. */
import { readCapture } from "../../dist/pcapng/reader.js";
import { seeSegment, unknownNumbers } from "../../dist/script/match.js";
import { formatFlags } from "../../dist/wire/tcp-flags.js";
import { formatTcpOptions } from "../../dist/wire/tcp-options.js";

/**
 * A packet of the tested side; `time` in milliseconds since the first.
 * @typedef {{ time: number, flags: string, seq: number, length: number, ack: number, window: number, options: string }} Sent
 */

/**
 * The packets that were sent, in numbers that count from the SYN. What a timestamp tells of the clock is left out.
 * @param {Uint8Array} file a trace of `rawtcp drill --keep-trace`
 * @returns {Sent[]}
 */
export function packetsSent(file) {
  /** @type {Sent[]} */
  const sent = [];
  const numbers = unknownNumbers();
  let begun = 0;
  for (const { data, direction, timeNs } of readCapture(file).packets) {
    if (direction !== "outbound") continue;
    const seen = seeSegment(data, 0, numbers);
    if (seen === undefined) continue;
    if (sent.length === 0) numbers.ourIsn = seen.seq;
    const time = Number(timeNs ?? 0n) / 1e6;
    if (sent.length === 0) begun = time;
    sent.push({
      time: time - begun,
      flags: formatFlags(seen.flags),
      seq: sent.length === 0 ? 0 : seen.seq,
      length: seen.length,
      ack: seen.ack,
      window: seen.window,
      options: formatTcpOptions(seen.options).replace(/TS val \d+ ecr \d+/, "TS"),
    });
  }
  return sent;
}

/** How late our time may be beside the kernel's, in milliseconds; its timers may be late by an eighth. */
const TOLERANCE = 12;

/**
 * Where the two first differ, in one word; "" where they do not.
 * @param {readonly Sent[]} kernel
 * @param {readonly Sent[]} ours
 * @param {number} end when looking ended; the kernel may have been about to send what we have sent before
 * @returns {string}
 */
export function difference(kernel, ours, end) {
  for (let i = 0; i < Math.max(kernel.length, ours.length); i++) {
    const [a, b] = [kernel[i], ours[i]];
    if (a === undefined) return (b?.time ?? 0) * (9 / 8) + TOLERANCE > end ? "" : "more";
    if (b === undefined) return "fewer";
    if (a.seq !== b.seq || a.length !== b.length) return "sequence";
    if (a.flags.replace("P", "") !== b.flags.replace("P", "")) return "flags";
    if (a.flags !== b.flags) return "PSH";
    if (a.ack !== b.ack) return "ack";
    if (a.options !== b.options) return "options";
    if (a.window !== b.window) return "window";
    if (b.time - a.time > TOLERANCE || a.time - b.time > TOLERANCE + b.time / 8) return "time";
  }
  return "";
}

/**
 * One line a packet.
 * @param {readonly Sent[]} sent
 * @returns {string}
 */
export function listing(sent) {
  const line = (/** @type {Sent} */ { time, flags, seq, length, ack, window, options }) =>
    `  ${time.toFixed(1).padStart(8)} ms ${flags} ${seq}:${seq + length}(${length}) ack ${ack} win ${window} <${options}>`;
  return sent.map(line).join("\n");
}
