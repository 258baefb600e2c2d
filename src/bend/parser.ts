/**
 * Reads rules:
 *
 *   drop      SELECTOR
 *   delay     SELECTOR by TIME
 *   duplicate SELECTOR [N times] [after TIME]
 *   reorder   SELECTOR [behind N]
 *   hold      SELECTOR until TIME | SELECTOR | STATE
 *   corrupt   SELECTOR [byte N] [xor N]
 *   set       SELECTOR CHANGE [, CHANGE …]          replace is the same word
 *   inject    [out|in] FLAGS [CHANGE …] before|after SELECTOR
 *   answer    SELECTOR with FLAGS [CHANGE …]
 *   split     SELECTOR into FLAGS [CHANGE …] and FLAGS [CHANGE …]
 *
 *   A condition may also stand at the end of the rule: set out any win=0 where t < 2s
 *
 *   SELECTOR  out|in  any|syn|synack|ack|data|fin|rst|psh|urg  [N | N..M | N.. | every N]  [where CONDITION [and CONDITION …]]
 *   CONDITION seq in A..B | FIELD = N (also != < <= > >=) | abs seq … | payload [contains] "text" | payload 0xHEX | state = STATE | t > TIME
 *   CHANGE    FIELD=N | FIELD+=N | FIELD-=N | flags=SA | options="mss=1460" | payload="text" | badsum
 *             mss=N | wscale=N | ts.val=N | ts.ecr=N, of an option that is there
 *   N         a number, or a sum of numbers and names: rcv.nxt+1, iss
 *
 * Numbers of sequence space in conditions count from the initial number of the sender; in changes they stand as they go out.
 */
import { RawTcpError } from "../base/errors.js";
import type { Micros } from "../base/time.js";
import { utf8Encode } from "../base/utf8.js";
import { fieldsOfLayer } from "../craft/fields.js";
import { parseFlags } from "../craft/flags-text.js";
import { parseTcpOptions } from "../craft/options-text.js";
import { STATES, type State } from "../tcp/state.js";
import { parseHex } from "../wire/bytes.js";
import {
  type Action,
  type Assignment,
  type BendRule,
  type Comparison,
  type Condition,
  type Direction,
  type Expression,
  type MadeSegment,
  type Ordinals,
  type Release,
  type SegmentKind,
  type Selector,
  VARIABLES,
  type VariableName,
} from "./ast.js";
import { COMPARED_ONLY, NUMBER_FIELDS, OPTION_FIELDS } from "./fields.js";
import { BendSyntaxError, type Token, tokenize } from "./lexer.js";

/**
 * Reads rules: one a line or with ";" between, "#" begins a comment. Throws BendSyntaxError that names line, column and what was
 * expected.
 */
export function parseBend(text: string): BendRule[] {
  return text.split("\n").flatMap((line, i) => {
    const rules: BendRule[] = [];
    let column = 0;
    for (const piece of splitRules(line)) {
      if (piece.trim() !== "") rules.push(new Parser(" ".repeat(column) + piece, i + 1, piece.trim()).rule());
      column += piece.length + 1;
    }
    return rules;
  });
}

/** At semicolons outside of strings, up to the comment. */
function splitRules(line: string): string[] {
  const pieces = [""];
  let quoted = false;
  for (let i = 0; i < line.length; i++) {
    const letter = line[i] ?? "";
    if (letter === '"' && line[i - 1] !== "\\") quoted = !quoted;
    if (!quoted && letter === "#") break;
    if (!quoted && letter === ";") pieces.push("");
    else pieces[pieces.length - 1] += letter;
  }
  return pieces;
}

const KINDS: readonly SegmentKind[] = ["any", "syn", "synack", "ack", "data", "fin", "rst", "psh", "urg"];
const ACTIONS = ["drop", "delay", "duplicate", "reorder", "hold", "corrupt", "set", "replace", "inject", "answer", "split"];
const COMPARISONS: readonly string[] = ["=", "!=", "<", "<=", ">", ">="];

/** Beyond these an expression would overflow the stack of whoever reads or reckons it. */
const MOST_NESTED = 21;
const MOST_TERMS = 100;

class Parser {
  /** Expressions that are being read, one inside the other. */
  #depth = 0;
  readonly #tokens: readonly Token[];
  readonly #text: string;
  #at = 0;

  constructor(line: string, number: number, text: string) {
    this.#tokens = tokenize(line, number);
    this.#text = text;
  }

  rule(): BendRule {
    const { selector: chosen, action } = this.#body();
    // "set out any win=0 where t < 2s" reads as well as the condition behind the kind.
    const selector = this.#accept("where") ? { ...chosen, where: [...chosen.where, ...this.#conditions()] } : chosen;
    if (this.#peek().kind !== "end") this.#fail("the end of the rule");
    return { text: this.#text, selector, action };
  }

  #body(): { selector: Selector; action: Action } {
    const verb = this.#word(ACTIONS, "one of the actions");
    switch (verb) {
      case "drop":
        return { selector: this.#selector(), action: { kind: "drop" } };
      case "delay": {
        const selector = this.#selector();
        this.#expect("by");
        return { selector, action: { kind: "delay", byUs: this.#time() } };
      }
      case "duplicate":
        return this.#duplicate();
      case "reorder": {
        const selector = this.#selector();
        return { selector, action: { kind: "reorder", behind: this.#accept("behind") ? this.#count("how many") : 1 } };
      }
      case "hold": {
        const selector = this.#selector();
        this.#expect("until");
        return { selector, action: { kind: "hold", until: this.#release() } };
      }
      case "corrupt": {
        const selector = this.#selector();
        const byte = this.#accept("byte") ? this.#integer("which byte, from 0") : 0;
        return {
          selector,
          action: { kind: "corrupt", byte, xor: this.#accept("xor") ? this.#integer("a number from 1 to 255") & 0xff : 0xff },
        };
      }
      case "inject":
        return this.#inject();
      case "answer": {
        const selector = this.#selector();
        this.#expect("with");
        return { selector, action: { kind: "answer", segment: this.#made() } };
      }
      case "split":
        return this.#split();
      default: {
        const selector = this.#selector();
        this.#accept("with");
        return { selector, action: { kind: "set", ...this.#changes(true) } };
      }
    }
  }

  #duplicate(): { selector: Selector; action: Action } {
    const selector = this.#selector();
    let times = 1;
    if (this.#peek().kind === "number") {
      times = this.#count("how many times");
      this.#expect("times");
    }
    return { selector, action: { kind: "duplicate", times, afterUs: this.#accept("after") ? this.#time() : 0 } };
  }

  #inject(): { selector: Selector; action: Action } {
    const direction = this.#accept("out") ? "out" : this.#accept("in") ? "in" : undefined;
    const placed = this.#accept("before") ? "before" : this.#accept("after") ? "after" : undefined;
    if (placed !== undefined) {
      // "inject before out fin 1 flags=SA …" reads as well.
      const selector = this.#selector();
      this.#accept("with");
      const segment = this.#made();
      return { selector, action: { kind: "inject", place: placed, direction: direction ?? directionOf(segment), segment } };
    }
    const segment = this.#made();
    const place = this.#word(["before", "after"], "before or after") as "before" | "after";
    const selector = this.#selector();
    return { selector, action: { kind: "inject", place, direction: direction ?? directionOf(segment), segment } };
  }

  #split(): { selector: Selector; action: Action } {
    const selector = this.#selector();
    this.#expect("into");
    const parts = [this.#made()];
    while (this.#accept("and")) parts.push(this.#made());
    if (parts.length < 2) this.#fail('"and" and the second segment');
    return { selector, action: { kind: "split", parts } };
  }

  #selector(): Selector {
    const direction = this.#word(["out", "in"], "out or in") as Direction;
    const kind = this.#word(KINDS, `a kind of segment (${KINDS.join(", ")})`) as SegmentKind;
    const ordinals = this.#ordinals();
    return { direction, kind, ordinals, where: this.#accept("where") ? this.#conditions() : [] };
  }

  #conditions(): Condition[] {
    const conditions: Condition[] = [];
    do conditions.push(this.#condition());
    while (this.#accept("and"));
    return conditions;
  }

  #ordinals(): Ordinals {
    if (this.#accept("every")) return { first: 1, last: Number.POSITIVE_INFINITY, every: this.#count("every which") };
    // In "duplicate out data 1 3 times" the number before "times" is none of these.
    if (this.#peek().kind !== "number" || this.#peek(1).text === "times")
      return { first: 1, last: Number.POSITIVE_INFINITY, every: 1 };
    const first = this.#count("which one, from 1");
    if (!this.#accept("..")) return { first, last: first, every: 1 };
    if (this.#peek().kind !== "number") return { first, last: Number.POSITIVE_INFINITY, every: 1 };
    const last = this.#count("the last one");
    if (last < first) this.#failAt(this.#previous(), `a number from ${first} on`);
    return { first, last, every: 1 };
  }

  #condition(): Condition {
    if (this.#accept("payload")) {
      this.#accept("contains");
      return { kind: "payload", bytes: this.#bytes() };
    }
    if (this.#accept("state")) {
      const not = this.#symbol(["=", "!="]) === "!=";
      return { kind: "state", state: this.#state(), not };
    }
    if (this.#accept("t")) {
      const comparison = this.#symbol(COMPARISONS) as Comparison;
      return { kind: "time", comparison, value: this.#time() };
    }
    const absolute = this.#accept("abs");
    const field = this.#field();
    if (this.#accept("in")) {
      const from = this.#expression();
      if (!this.#accept("..")) this.#fail('".." and the end of the range');
      return { kind: "range", field, from, to: this.#expression(), absolute };
    }
    const comparison = this.#symbol(COMPARISONS) as Comparison;
    const value = field === "flags" && this.#peek().kind === "word" ? this.#flags() : this.#expression();
    return { kind: "compare", field, comparison, value: typeof value === "number" ? { kind: "number", value } : value, absolute };
  }

  #release(): Release {
    const { kind, text } = this.#peek();
    if (kind === "time") return { kind: "time", atUs: this.#time() };
    if (text === "t") {
      this.#at++;
      this.#symbol([">", ">="]);
      return { kind: "time", atUs: this.#time() };
    }
    if (text === "out" || text === "in") return { kind: "segment", selector: this.#selector() };
    if (this.#accept("state")) this.#symbol(["="]);
    return { kind: "state", state: this.#state() };
  }

  /** FLAGS and changes. */
  #made(): MadeSegment {
    const flags = this.#peek(1).text === "=" ? undefined : this.#flags();
    const { assignments, badChecksum } = this.#changes(flags === undefined);
    const named = assignments.find(({ field }) => field === "flags")?.value;
    const value = flags ?? (typeof named === "object" && "kind" in named && named.kind === "number" ? named.value : undefined);
    if (value === undefined) this.#fail("the segment's flags, such as RST or SA");
    return { flags: value, assignments: assignments.filter(({ field }) => field !== "flags"), badChecksum };
  }

  #changes(needsOne: boolean): { assignments: Assignment[]; badChecksum: boolean } {
    const assignments: Assignment[] = [];
    let badChecksum = false;
    for (;;) {
      const { kind, text } = this.#peek();
      if (text === "badsum") {
        this.#at++;
        badChecksum = true;
      } else if (kind === "word" && ["=", "+=", "-="].includes(this.#peek(1).text)) assignments.push(this.#assignment());
      else break;
      this.#accept(",");
    }
    if (needsOne && assignments.length === 0 && !badChecksum) this.#fail("a change, such as win=0 or badsum");
    return { assignments, badChecksum };
  }

  #assignment(): Assignment {
    const { text } = this.#peek();
    if (text === "options" || text === "payload" || text === "flags") {
      this.#at++;
      this.#symbol(["="]);
      if (text === "flags") return { field: text, operator: "=", value: { kind: "number", value: this.#flags() } };
      return { field: text, operator: "=", value: text === "options" ? this.#options() : this.#bytes() };
    }
    const isOption = OPTION_FIELDS[text.toLowerCase()] !== undefined;
    if (isOption) this.#at++;
    const field = isOption ? text.toLowerCase() : this.#field();
    if (COMPARED_ONLY.includes(field)) this.#failAt(this.#previous(), "a field that can be set: this one can be compared only");
    const operator = this.#symbol(isOption ? ["="] : ["=", "+=", "-="]) as Assignment["operator"];
    const token = this.#peek();
    const value = this.#expression();
    const most = 2 ** bitsOf(field) - 1;
    if (value.kind === "number" && value.value > most) this.#failAt(token, `a number up to ${most}, all that ${field} can hold`);
    return { field, operator, value };
  }

  #options(): Uint8Array {
    const token = this.#next();
    if (token.kind !== "string" && token.kind !== "hex") this.#failAt(token, 'options in quotes, such as "mss=1460,nop"');
    return this.#told(token, () => parseTcpOptions(token.text).bytes);
  }

  #bytes(): Uint8Array {
    const token = this.#next();
    if (token.kind === "string") return utf8Encode(token.text);
    if (token.kind !== "hex") this.#failAt(token, "text in quotes, or 0x and hexadecimal digits");
    return parseHex(token.text) ?? this.#failAt(token, "pairs of hexadecimal digits");
  }

  #flags(): number {
    const token = this.#next();
    if (token.kind !== "word" && token.kind !== "hex" && token.kind !== "number") this.#failAt(token, "flags, such as RST or SA");
    return this.#told(token, () => parseFlags(token.text));
  }

  #expression(): Expression {
    if (++this.#depth > MOST_NESTED) this.#fail(`parentheses at most ${MOST_NESTED - 1} deep`);
    let left = this.#term();
    for (let terms = 1; ; terms++) {
      const sign = this.#accept("+") ? 1 : this.#accept("-") ? -1 : 0;
      if (sign === 0) break;
      if (terms >= MOST_TERMS) this.#fail(`a sum of at most ${MOST_TERMS} terms`);
      left = { kind: "sum", left, right: this.#term(), sign };
    }
    this.#depth--;
    return left;
  }

  #term(): Expression {
    const token = this.#next();
    if (token.kind === "number" || token.kind === "hex") return { kind: "number", value: token.value };
    const name = token.text.toLowerCase();
    if (token.kind === "word" && (VARIABLES as readonly string[]).includes(name))
      return { kind: "name", name: name as VariableName };
    if (token.text === "(") {
      const inner = this.#expression();
      if (!this.#accept(")")) this.#fail('")"');
      return inner;
    }
    return this.#failAt(token, `a number or one of ${VARIABLES.join(", ")}`);
  }

  #field(): string {
    const token = this.#next();
    const field = NUMBER_FIELDS[token.text.toLowerCase()];
    if (token.kind !== "word" || field === undefined) this.#failAt(token, `a field (${Object.keys(NUMBER_FIELDS).join(", ")})`);
    return token.text.toLowerCase();
  }

  #state(): State {
    const token = this.#next();
    const state = STATES.find((name) => name === token.text.toUpperCase());
    if (state === undefined) this.#failAt(token, `a state (${STATES.join(", ")})`);
    return state;
  }

  #time(): Micros {
    const token = this.#next();
    if (token.kind !== "time") this.#failAt(token, "a time, such as 200ms or 1.5s");
    return token.value;
  }

  #count(what: string): number {
    const value = this.#integer(what);
    if (value < 1) this.#failAt(this.#previous(), `${what}: a number from 1 on`);
    return value;
  }

  #integer(what: string): number {
    const token = this.#next();
    if (token.kind !== "number" && token.kind !== "hex") this.#failAt(token, what);
    return token.value;
  }

  #word(among: readonly string[], what: string): string {
    const token = this.#next();
    const word = token.text.toLowerCase();
    if (token.kind !== "word" || !among.includes(word))
      this.#failAt(token, among.length > 3 && !what.includes("(") ? `${what} (${among.join(", ")})` : what);
    return word;
  }

  #symbol(among: readonly string[]): string {
    const token = this.#next();
    if (token.kind !== "symbol" || !among.includes(token.text)) this.#failAt(token, among.join(" or "));
    return token.text;
  }

  #accept(text: string): boolean {
    const token = this.#peek();
    if ((token.kind !== "word" && token.kind !== "symbol") || token.text.toLowerCase() !== text) return false;
    this.#at++;
    return true;
  }

  #expect(text: string): void {
    if (!this.#accept(text)) this.#fail(`"${text}"`);
  }

  #peek(ahead = 0): Token {
    const last = this.#tokens[this.#tokens.length - 1];
    return this.#tokens[this.#at + ahead] ?? last ?? { kind: "end", text: "", value: 0, line: 1, column: 1 };
  }

  #previous(): Token {
    return this.#tokens[this.#at - 1] ?? this.#peek();
  }

  #next(): Token {
    const token = this.#peek();
    this.#at++;
    return token;
  }

  /** The message of a parser of `craft`, with its place. */
  #told<T>(token: Token, read: () => T): T {
    try {
      return read();
    } catch (error) {
      if (error instanceof RawTcpError) throw new BendSyntaxError(token.line, token.column, error.message);
      throw error;
    }
  }

  #fail(wanted: string): never {
    return this.#failAt(this.#peek(), wanted);
  }

  #failAt(token: Token, wanted: string): never {
    const found = token.kind === "end" ? "the rule ends" : `"${token.text}"`;
    throw new BendSyntaxError(token.line, token.column, `${found}: expected ${wanted}`);
  }
}

/** How wide a field that can be set is. */
function bitsOf(field: string): number {
  const option = OPTION_FIELDS[field];
  if (option !== undefined) return option.bits;
  const { layer = "tcp", name = "" } = NUMBER_FIELDS[field] ?? {};
  return fieldsOfLayer(layer === "ip" ? "ipv4" : layer).find((known) => known.name === name)?.bits ?? 32;
}

/** Where an injected segment goes when nobody says: in, if its number is one that we expect. */
function directionOf(segment: MadeSegment): Direction {
  const seq = segment.assignments.find(({ field }) => field === "seq")?.value;
  return typeof seq === "object" && "kind" in seq && mentionsReceive(seq) ? "in" : "out";
}

function mentionsReceive(expression: Expression): boolean {
  if (expression.kind === "sum") return mentionsReceive(expression.left) || mentionsReceive(expression.right);
  return expression.kind === "name" && (expression.name.startsWith("rcv.") || expression.name === "irs");
}
