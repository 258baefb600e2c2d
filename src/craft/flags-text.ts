/** Control bits as people write them: "SA", "S.", "syn,ack", "syn+ack", "0x12", "none". */
import { RawTcpError } from "../base/errors.js";
import { ACK, AE, CWR, ECE, FIN, PSH, RST, SYN, URG } from "../wire/tcp-flags.js";

const WORDS: Readonly<Record<string, number>> = {
  syn: SYN,
  ack: ACK,
  fin: FIN,
  rst: RST,
  reset: RST,
  psh: PSH,
  push: PSH,
  urg: URG,
  ece: ECE,
  cwr: CWR,
  ae: AE,
  ns: AE,
};

/** tcpdump's letters (W for CWR, a dot for ACK) and those of nmap and scapy (C for CWR). */
const LETTERS: Readonly<Record<string, number>> = {
  S: SYN,
  A: ACK,
  ".": ACK,
  F: FIN,
  R: RST,
  P: PSH,
  U: URG,
  E: ECE,
  C: CWR,
  W: CWR,
  N: AE,
  e: AE,
};

/** Reads control bits. Throws RawTcpError `ERR_CRAFT_FLAGS` that names the piece which is none. */
export function parseFlags(text: string): number {
  const trimmed = text.trim();
  if (trimmed === "" || trimmed.toLowerCase() === "none") return 0;
  if (/^(?:\d+|0x[0-9a-f]+)$/i.test(trimmed)) {
    const value = Number(trimmed);
    if (value <= 0x1ff) return value;
    throw wrong(text, trimmed);
  }
  return parseWords(trimmed) ?? parseLetters(text, trimmed);
}

function parseWords(text: string): number | undefined {
  let flags = 0;
  for (const word of text.toLowerCase().split(/[,+|\s]+/)) {
    const bit = WORDS[word];
    if (bit === undefined) return undefined;
    flags |= bit;
  }
  return flags;
}

function parseLetters(text: string, letters: string): number {
  let flags = 0;
  for (const letter of letters) {
    // "sa" is "SA", but a small e is AE, as tcpdump prints it.
    const bit = LETTERS[letter] ?? LETTERS[letter.toUpperCase()];
    if (bit === undefined) throw wrong(text, letter);
    flags |= bit;
  }
  return flags;
}

function wrong(text: string, piece: string): RawTcpError {
  return new RawTcpError(
    "ERR_CRAFT_FLAGS",
    `flags "${text}": ${piece === text ? "" : `"${piece}" is no flag; `}expected letters such as SA, words such as syn,ack, or a number up to 0x1ff`,
  );
}
