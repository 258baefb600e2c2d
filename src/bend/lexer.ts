/** Words of the rules, with their places. */
import { RawTcpError } from "../base/errors.js";

export type TokenKind = "word" | "number" | "time" | "string" | "hex" | "symbol" | "end";

export interface Token {
  readonly kind: TokenKind;
  /** As written; of a string, its content. */
  readonly text: string;
  /** Of a number; of a time, microseconds. */
  readonly value: number;
  /** From 1. */
  readonly line: number;
  readonly column: number;
}

/** A rule cannot be read. The message names line and column, and what was expected there. */
export class BendSyntaxError extends RawTcpError {
  readonly line: number;
  readonly column: number;

  constructor(line: number, column: number, message: string) {
    super("ERR_BEND_SYNTAX", `bend rule, line ${line}, column ${column}: ${message}`);
    this.name = "BendSyntaxError";
    this.line = line;
    this.column = column;
  }
}

const UNITS: Readonly<Record<string, number>> = { us: 1, µs: 1, ms: 1_000, s: 1_000_000, m: 60_000_000 };

const PATTERN =
  /(?<space>[ \t\r]+)|(?<string>"(?:[^"\\\n]|\\.)*")|(?<hex>0x[0-9a-f]+)|(?<time>\d+(?:\.\d+)?(?:us|µs|ms|s|m)\b)|(?<number>\d+)|(?<word>(?:fin-wait-[12]|syn-sent|syn-received|close-wait|last-ack|time-wait)\b|[a-z_][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)*)|(?<symbol>\.\.|\+=|-=|!=|<=|>=|[=<>+\-,()])/iy;

/** Splits one line. Throws BendSyntaxError at what is no word of the language. */
export function tokenize(text: string, line: number): Token[] {
  const tokens: Token[] = [];
  PATTERN.lastIndex = 0;
  let at = 0;
  while (at < text.length) {
    PATTERN.lastIndex = at;
    const match = PATTERN.exec(text);
    if (match === null) throw new BendSyntaxError(line, at + 1, `unexpected ${JSON.stringify(text[at])}`);
    const [whole] = match;
    const token = tokenOf(match.groups ?? {}, whole, line, at + 1);
    if (token !== undefined) tokens.push(token);
    at += whole.length;
  }
  tokens.push({ kind: "end", text: "", value: 0, line, column: text.length + 1 });
  return tokens;
}

function tokenOf(
  groups: Readonly<Record<string, string | undefined>>,
  whole: string,
  line: number,
  column: number,
): Token | undefined {
  if (groups["space"] !== undefined) return undefined;
  const place = { text: whole, value: 0, line, column };
  if (groups["string"] !== undefined) return { ...place, kind: "string", text: unescaped(whole.slice(1, -1)) };
  if (groups["hex"] !== undefined) return { ...place, kind: "hex", value: Number(whole) };
  if (groups["time"] !== undefined) {
    const [, amount = "0", unit = "s"] = /^([\d.]+)(.*)$/.exec(whole) ?? [];
    return { ...place, kind: "time", value: Math.round(Number(amount) * (UNITS[unit.toLowerCase()] ?? 1)) };
  }
  if (groups["number"] !== undefined) return { ...place, kind: "number", value: Number(whole) };
  return { ...place, kind: groups["word"] !== undefined ? "word" : "symbol" };
}

function unescaped(text: string): string {
  return text.replace(/\\(.)/g, (_, letter: string) => ({ n: "\n", r: "\r", t: "\t" })[letter] ?? letter);
}
