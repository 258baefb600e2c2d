/** The code of `%{ … }%` as logical lines of tokens, as Python takes it apart. */
import { UnsupportedError } from "./errors.js";

/** "end" stands behind the last token of a line. */
export interface Token {
  readonly kind: "number" | "name" | "text" | "format" | "operator" | "end";
  /** As it was written; of a text its letters. */
  readonly text: string;
}

export interface CodeLine {
  /** Blanks before it. */
  readonly indent: number;
  readonly tokens: readonly Token[];
}

/** Lines go on within brackets and behind a backslash; empty ones and comments are left out. Throws UnsupportedError. */
export function codeLines(code: string): CodeLine[] {
  const lines: CodeLine[] = [];
  let tokens: Token[] = [];
  let indent = 0;
  let depth = 0;
  let at = 0;
  const finish = (): void => {
    if (tokens.length > 0) lines.push({ indent, tokens });
    tokens = [];
  };
  while (at < code.length) {
    if (tokens.length === 0 && depth === 0) indent = indentAt(code, at);
    SPACE.lastIndex = at;
    at += SPACE.exec(code)?.[0].length ?? 0;
    if (at >= code.length) break;
    if (code[at] === "\n") {
      if (depth === 0) finish();
      at++;
      continue;
    }
    const text = textAt(code, at);
    if (text !== undefined) {
      tokens.push(text.token);
      at = text.end;
      continue;
    }
    TOKEN.lastIndex = at;
    const found = TOKEN.exec(code);
    if (found === null) throw new UnsupportedError(`code ${JSON.stringify(lineAt(code, at))}`);
    const [all, number, name, operator = ""] = found;
    at += all.length;
    if (number !== undefined) tokens.push({ kind: "number", text: number });
    else if (name !== undefined) tokens.push({ kind: "name", text: name });
    else {
      if ("([{".includes(operator)) depth++;
      if (")]}".includes(operator)) depth = Math.max(0, depth - 1);
      tokens.push({ kind: "operator", text: operator });
    }
  }
  finish();
  return lines;
}

/** Blanks, a comment, and a line end that a backslash takes away. */
const SPACE = /(?:[ \t\r\f]+|\\\r?\n|#[^\n]*)*/y;
const TOKEN =
  /(0[xX][\da-fA-F_]+|0[oO][0-7_]+|0[bB][01_]+|(?:\d[\d_]*(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)|([A-Za-z_]\w*)|(\*\*=?|\/\/=?|<<=?|>>=?|[-+*/%&|^=!<>]=|[-+*/%<>()[\]{},=&|^~:.;@])/y;
const TEXT_START = /([rRbBuUfF]{0,2})("""|'''|"|')/y;

/** A tab goes to the next multiple of eight. */
function indentAt(code: string, at: number): number {
  let columns = 0;
  for (; code[at] === " " || code[at] === "\t"; at++)
    columns = code[at] === " " ? columns + 1 : (Math.floor(columns / 8) + 1) * 8;
  return columns;
}

function lineAt(code: string, at: number): string {
  const from = code.lastIndexOf("\n", at) + 1;
  const end = code.indexOf("\n", at);
  return code.slice(from, end < 0 ? undefined : end).trim();
}

function textAt(code: string, at: number): { readonly token: Token; readonly end: number } | undefined {
  TEXT_START.lastIndex = at;
  const found = TEXT_START.exec(code);
  if (found === null) return undefined;
  const [all, prefix = "", quote = ""] = found;
  const isRaw = /r/i.test(prefix);
  let text = "";
  for (let i = at + all.length; i < code.length; i++) {
    if (code.startsWith(quote, i)) {
      const kind = /f/i.test(prefix) ? "format" : "text";
      return { token: { kind, text }, end: i + quote.length };
    }
    const letter = code[i] ?? "";
    if (letter === "\n" && quote.length === 1) break;
    if (letter !== "\\") text += letter;
    else {
      const escaped = code[++i] ?? "";
      text += isRaw ? `\\${escaped}` : (ESCAPES[escaped] ?? `\\${escaped}`);
    }
  }
  throw new UnsupportedError(`code with a text that has no end: ${JSON.stringify(lineAt(code, at))}`);
}

const ESCAPES: Readonly<Record<string, string>> = {
  n: "\n",
  t: "\t",
  r: "\r",
  "\\": "\\",
  "'": "'",
  '"': '"',
  "\n": "",
  "0": "\0",
};
