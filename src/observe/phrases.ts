/** Wording that the text line, the ladder and the summary share. */
import { seqAdd } from "../base/seq.js";
import type { SegmentEvent } from "./events.js";

const FLAG_NAMES: Readonly<Record<string, string>> = {
  F: "FIN",
  S: "SYN",
  R: "RST",
  P: "PSH",
  ".": "ACK",
  U: "URG",
  E: "ECE",
  W: "CWR",
  e: "AE",
};

/** The order in which people say them: "SYN+ACK", "FIN+PSH+ACK". */
const SPOKEN_ORDER = "SFRP.UEWe";

/** tcpdump's letters as words: "S." is "SYN+ACK"; "none" stays. */
export function flagWords(letters: string): string {
  if (letters === "none") return letters;
  const words: string[] = [];
  for (const letter of SPOKEN_ORDER) if (letters.includes(letter)) words.push(FLAG_NAMES[letter] ?? letter);
  return words.length === 0 ? letters : words.join("+");
}

/** Whether a flag, given as tcpdump's letter, is set. */
export function hasFlag(event: SegmentEvent, letter: "F" | "S" | "R" | "P" | "." | "U"): boolean {
  return event.flags !== "none" && event.flags.includes(letter);
}

/** SEG.LEN: the sequence numbers that the segment takes, SYN and FIN included. */
export function sequenceLength(event: SegmentEvent): number {
  return event.len + (hasFlag(event, "S") ? 1 : 0) + (hasFlag(event, "F") ? 1 : 0);
}

/** tcpdump's form: "seq 1:101" with payload, "seq 0" for a SYN, FIN or RST without, "" for a bare acknowledgement. */
export function seqText(event: SegmentEvent): string {
  const from = event.relSeq ?? event.seq;
  // Without an initial number the end wraps as the field does; a relative number may pass 2^32 and says so.
  if (event.len > 0) return `seq ${from}:${event.relSeq === null ? seqAdd(from, event.len) : from + event.len}`;
  return sequenceLength(event) > 0 || hasFlag(event, "R") ? `seq ${from}` : "";
}

/** "ack 101", or "" when the ACK flag is off. */
export function ackText(event: SegmentEvent): string {
  return hasFlag(event, ".") ? `ack ${event.relAck ?? event.ack}` : "";
}

/** Microseconds as "0.214 ms", and from ten seconds on as "12.345 s": at most ten characters for a day. */
export function timeText(t: number): string {
  return t < 10_000_000 ? `${(t / 1000).toFixed(3)} ms` : `${(t / 1_000_000).toFixed(3)} s`;
}

/** Control characters as "?": a trace must not move the cursor or colour the terminal of who reads it. */
export function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g, "?");
}

/** "1 byte", "2 bytes" */
export function count(n: number, one: string, many = `${one}s`): string {
  return `${n} ${n === 1 ? one : many}`;
}
