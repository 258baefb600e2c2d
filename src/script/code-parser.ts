/** Reads the code of `%{ … }%`: the part of Python that assertions are written in. What else Python has is told by its name. */
import { type CodeLine, codeLines, type Token } from "./code-lines.js";
import { compare, FUNCTIONS, formatted, itemsOf, numberOf, operate, show, truth, type Value } from "./code-values.js";
import { UnsupportedError } from "./errors.js";

/** What code runs in. */
export interface Scope {
  readonly names: Map<string, Value>;
  print(text: string): void;
}

export type Code = (scope: Scope) => Value;

export type Statement =
  | { readonly kind: "do"; readonly code: Code }
  | {
      readonly kind: "assert";
      readonly holds: Code;
      readonly remark: Code | undefined;
      readonly written: string;
      readonly names: string[];
    }
  | { readonly kind: "raise"; readonly written: string }
  | { readonly kind: "if"; readonly branches: readonly { readonly condition: Code; readonly body: readonly Statement[] }[] }
  | { readonly kind: "for"; readonly targets: readonly string[]; readonly list: Code; readonly body: readonly Statement[] }
  | { readonly kind: "while"; readonly condition: Code; readonly body: readonly Statement[] }
  | { readonly kind: "break" | "continue" };

/** Throws UnsupportedError. */
export function parseCode(code: string): Statement[] {
  const lines = codeLines(code);
  const reader = new BlockReader(lines);
  return reader.block(-1);
}

const FOREIGN = /^(?:def|class|try|except|finally|with|lambda|return|yield|async|await|nonlocal|match|else|elif)$/;
/** Brackets within brackets: no code of a script has as many. */
const DEEPEST = 100;

class BlockReader {
  readonly #lines: readonly CodeLine[];
  #at = 0;

  constructor(lines: readonly CodeLine[]) {
    this.#lines = lines;
  }

  /** The lines that stand further to the right than `outer`. */
  block(outer: number): Statement[] {
    const statements: Statement[] = [];
    for (;;) {
      const line = this.#lines[this.#at];
      if (line === undefined || line.indent <= outer) return statements;
      this.#at++;
      statements.push(...this.#statements(new LineReader(line.tokens), line.indent));
    }
  }

  #statements(line: LineReader, indent: number): Statement[] {
    if (indent > 8 * DEEPEST) throw new UnsupportedError("code that is nested too deeply");
    const first = line.peek();
    if (first.kind === "name" && line.accept("if")) return [this.#if(line, indent)];
    if (first.kind === "name" && line.accept("for")) {
      const targets = line.targets();
      line.expect("in");
      const list = line.list();
      return [{ kind: "for", targets, list, body: this.#suite(line, indent) }];
    }
    if (first.kind === "name" && line.accept("while")) {
      const condition = line.expression();
      return [{ kind: "while", condition, body: this.#suite(line, indent) }];
    }
    return line.simple();
  }

  #if(line: LineReader, indent: number): Statement {
    const branches = [{ condition: line.expression(), body: this.#suite(line, indent) }];
    for (;;) {
      const next = this.#lines[this.#at];
      if (next === undefined || next.indent !== indent) break;
      const reader = new LineReader(next.tokens);
      const isElse = reader.accept("else");
      if (!isElse && !reader.accept("elif")) break;
      this.#at++;
      const condition: Code = isElse ? () => true : reader.expression();
      branches.push({ condition, body: this.#suite(reader, indent) });
      if (isElse) break;
    }
    return { kind: "if", branches };
  }

  /** Behind a colon: the rest of the line, or the lines further to the right. */
  #suite(line: LineReader, indent: number): Statement[] {
    line.expect(":");
    if (!line.isAtEnd) return line.simple();
    const body = this.block(indent);
    if (body.length === 0) throw line.unsupported();
    return body;
  }
}

const END: Token = { kind: "end", text: "" };

/** Binary operators by rank, the weakest first. */
const RANKS: readonly (readonly string[])[] = [["|"], ["^"], ["&"], ["<<", ">>"], ["+", "-"], ["*", "/", "//", "%"]];
const COMPARISONS: ReadonlySet<string> = new Set(["==", "!=", "<", "<=", ">", ">="]);
const CONSTANTS: Readonly<Record<string, Value>> = { True: true, False: false, None: null };

class LineReader {
  readonly #tokens: readonly Token[];
  #at = 0;
  #depth = 0;

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens;
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#tokens.length;
  }

  peek(ahead = 0): Token {
    return this.#tokens[this.#at + ahead] ?? END;
  }

  accept(text: string): boolean {
    const { kind, text: found } = this.peek();
    if (found !== text || (kind !== "name" && kind !== "operator")) return false;
    this.#at++;
    return true;
  }

  expect(text: string): void {
    if (!this.accept(text)) throw this.unsupported();
  }

  unsupported(): UnsupportedError {
    return new UnsupportedError(`code ${JSON.stringify(written(this.#tokens))}`);
  }

  /** Statements of one line, between semicolons. */
  simple(): Statement[] {
    const statements: Statement[] = [];
    for (;;) {
      if (this.isAtEnd) return statements;
      const statement = this.#statement();
      if (statement !== undefined) statements.push(statement);
      if (!this.isAtEnd) this.expect(";");
    }
  }

  /** `a, b` before `in`. */
  targets(): string[] {
    const names: string[] = [];
    do {
      const { kind, text } = this.peek();
      if (kind !== "name") throw this.unsupported();
      names.push(text);
      this.#at++;
    } while (this.accept(","));
    return names;
  }

  #statement(): Statement | undefined {
    const { kind, text } = this.peek();
    if (kind === "name") {
      switch (text) {
        case "pass":
          this.#at++;
          return undefined;
        case "import":
        case "from":
        case "global":
        case "del":
          this.#passOver();
          return undefined;
        case "break":
        case "continue":
          this.#at++;
          return { kind: text };
        case "raise":
          return { kind: "raise", written: this.#passOver() };
        case "assert":
          return this.#assert();
        case "print":
          if (this.peek(1).text !== "(" || this.peek(1).kind !== "operator") return this.#oldPrint();
      }
      if (FOREIGN.test(text)) throw new UnsupportedError(`code with "${text}"`);
    }
    return { kind: "do", code: this.#assignment() };
  }

  #passOver(): string {
    const from = this.#at;
    while (!this.isAtEnd && this.peek().text !== ";") this.#at++;
    return written(this.#tokens.slice(from, this.#at));
  }

  #assert(): Statement {
    const from = ++this.#at;
    const holds = this.expression();
    const tokens = this.#tokens.slice(from, this.#at);
    const remark = this.accept(",") ? this.list() : undefined;
    const names = [...new Set(tokens.filter((token) => token.kind === "name").map((token) => token.text))];
    return { kind: "assert", holds, remark, written: written(tokens), names };
  }

  /** `print a, b`, as Python 2 has it, also `print >>file, a`. */
  #oldPrint(): Statement {
    this.#at++;
    if (this.accept(">>")) {
      this.expression();
      this.accept(",");
    }
    const items: Code[] = [];
    while (!this.isAtEnd && this.peek().text !== ";") {
      items.push(this.expression());
      if (!this.accept(",")) break;
    }
    return {
      kind: "do",
      code: (scope) => {
        scope.print(items.map((item) => show(item(scope))).join(" "));
        return null;
      },
    };
  }

  /** An expression, or `a = b = …`, `a, b = …`, `a += …`. */
  #assignment(): Code {
    const from = this.#at;
    const value = this.list();
    const { kind, text } = this.peek();
    if (kind !== "operator") return value;
    if (text === "=") {
      const targets = this.#targetNames(from);
      this.#at++;
      const given = this.#assignment();
      return (scope) => assign(scope, targets, given(scope));
    }
    const operator = /^(\*\*|\/\/|<<|>>|[-+*/%&|^])=$/.exec(text)?.[1];
    if (operator === undefined) return value;
    const targets = this.#targetNames(from);
    this.#at++;
    const given = this.list();
    return (scope) => assign(scope, targets, operate(operator, value(scope), given(scope)));
  }

  #targetNames(from: number): string[] {
    const tokens = this.#tokens.slice(from, this.#at).filter(({ text }) => !/^[(),[\]]$/.test(text));
    if (tokens.some(({ kind }) => kind !== "name")) throw this.unsupported();
    return tokens.map(({ text }) => text);
  }

  /** Expressions with commas between them are a list. */
  list(): Code {
    const first = this.expression();
    if (this.peek().text !== "," || this.peek().kind !== "operator") return first;
    const items = [first];
    while (this.accept(",")) {
      if (this.isAtEnd || /^[)\]:;=]$/.test(this.peek().text)) break;
      items.push(this.expression());
    }
    return (scope) => items.map((item) => item(scope));
  }

  expression(): Code {
    if (++this.#depth > DEEPEST) throw new UnsupportedError("code that is nested too deeply");
    const value = this.#or();
    this.#depth--;
    if (!this.accept("if")) return value;
    const condition = this.#or();
    this.expect("else");
    const other = this.expression();
    return (scope) => (truth(condition(scope)) ? value(scope) : other(scope));
  }

  #or(): Code {
    let value = this.#and();
    while (this.accept("or")) {
      const [left, right] = [value, this.#and()];
      value = (scope) => {
        const first = left(scope);
        return truth(first) ? first : right(scope);
      };
    }
    return value;
  }

  #and(): Code {
    let value = this.#not();
    while (this.accept("and")) {
      const [left, right] = [value, this.#not()];
      value = (scope) => {
        const first = left(scope);
        return truth(first) ? right(scope) : first;
      };
    }
    return value;
  }

  #not(): Code {
    let isNegated: boolean | undefined;
    while (this.accept("not")) isNegated = isNegated !== true;
    const value = this.#comparison();
    if (isNegated === undefined) return value;
    return (scope) => truth(value(scope)) !== isNegated;
  }

  /** a < b <= c is a < b and b <= c. */
  #comparison(): Code {
    const first = this.#binary(0);
    const rest: { operator: string; value: Code }[] = [];
    for (;;) {
      const operator = this.#comparisonOperator();
      if (operator === "") break;
      rest.push({ operator, value: this.#binary(0) });
    }
    if (rest.length === 0) return first;
    return (scope) => {
      let left = first(scope);
      for (const { operator, value } of rest) {
        const right = value(scope);
        if (!compare(operator, left, right)) return false;
        left = right;
      }
      return true;
    };
  }

  #comparisonOperator(): string {
    const { kind, text } = this.peek();
    if (kind === "operator" && COMPARISONS.has(text)) {
      this.#at++;
      return text;
    }
    if (this.accept("in")) return "in";
    if (this.accept("is")) return this.accept("not") ? "is not" : "is";
    if (text !== "not" || this.peek(1).text !== "in") return "";
    this.#at += 2;
    return "not in";
  }

  #binary(rank: number): Code {
    const operators = RANKS[rank];
    if (operators === undefined) return this.#unary();
    let value = this.#binary(rank + 1);
    for (;;) {
      const { kind, text } = this.peek();
      if (kind !== "operator" || !operators.includes(text)) return value;
      this.#at++;
      const [left, right] = [value, this.#binary(rank + 1)];
      value = (scope) => operate(text, left(scope), right(scope));
    }
  }

  #unary(): Code {
    const signs: string[] = [];
    for (let { kind, text } = this.peek(); kind === "operator" && /^[-+~]$/.test(text); { kind, text } = this.peek()) {
      signs.unshift(text);
      this.#at++;
    }
    const base = this.#postfix();
    let value = base;
    if (this.accept("**")) {
      if (++this.#depth > DEEPEST) throw new UnsupportedError("code that is nested too deeply");
      const exponent = this.#unary();
      this.#depth--;
      value = (scope) => operate("**", base(scope), exponent(scope));
    }
    if (signs.length === 0) return value;
    return (scope) =>
      signs.reduce((number, sign) => (sign === "-" ? -number : sign === "~" ? -number - 1 : number), numberOf(value(scope)));
  }

  /** Calls, indices, and the few methods of texts. */
  #postfix(): Code {
    let value = this.#primary();
    for (;;) {
      if (this.accept("[")) value = this.#index(value);
      else if (this.accept(".")) value = this.#method(value);
      else return value;
    }
  }

  #index(value: Code): Code {
    const from: Code = this.peek().text === ":" ? () => null : this.expression();
    const isSlice = this.accept(":");
    const to: Code = !isSlice || this.peek().text === "]" ? () => null : this.expression();
    this.expect("]");
    return (scope) => {
      const whole = value(scope);
      const items = itemsOf(whole);
      const [first, end] = [from(scope), to(scope)];
      if (isSlice) {
        const part = items.slice(first === null ? 0 : numberOf(first), end === null ? undefined : numberOf(end));
        return typeof whole === "string" ? part.join("") : part;
      }
      const item = items.at(numberOf(first));
      if (item === undefined) throw new UnsupportedError(`code with an index out of range: ${show(first)}`);
      return item;
    };
  }

  #method(value: Code): Code {
    const { text: name } = this.peek();
    this.#at++;
    if (name !== "format" || !this.accept("(")) throw this.unsupported();
    const args = this.#arguments();
    return (scope) => {
      const values = args.map((arg) => arg(scope));
      let at = 0;
      return show(value(scope)).replace(/\{\{|\}\}|\{(\d*)(?::([^{}]*))?\}/g, (all, index: string, form = "") => {
        if (all === "{{" || all === "}}") return all.slice(1);
        return formatted(values[index === "" ? at++ : Number(index)] ?? null, form);
      });
    };
  }

  #primary(): Code {
    const { kind, text } = this.peek();
    this.#at++;
    switch (kind) {
      case "number": {
        const number = Number(text.replaceAll("_", ""));
        return () => number;
      }
      case "text":
      case "format": {
        const parts = [this.#text(kind, text)];
        for (let next = this.peek(); next.kind === "text" || next.kind === "format"; next = this.peek()) {
          this.#at++;
          parts.push(this.#text(next.kind, next.text));
        }
        return (scope) => parts.map((part) => show(part(scope))).join("");
      }
      case "name":
        if (Object.hasOwn(CONSTANTS, text)) return () => CONSTANTS[text] ?? null;
        if (FOREIGN.test(text)) throw new UnsupportedError(`code with "${text}"`);
        return this.accept("(") ? this.#call(text) : nameOf(text);
      case "operator":
        if (text === "(") return this.#bracketed(")");
        if (text === "[") return this.#bracketed("]");
    }
    throw this.unsupported();
  }

  /** A value in brackets, or a list; a comma makes a tuple. */
  #bracketed(end: ")" | "]"): Code {
    const items: Code[] = [];
    let hasComma = end === "]";
    while (!this.accept(end)) {
      items.push(this.expression());
      if (this.peek().text === "for") throw new UnsupportedError('code with "for" in brackets');
      if (this.accept(",")) hasComma = true;
      else if (this.peek().text !== end) throw this.unsupported();
    }
    const [first] = items;
    if (!hasComma && first !== undefined) return first;
    return (scope) => items.map((item) => item(scope));
  }

  #text(kind: "text" | "format", text: string): Code {
    if (kind === "text") return () => text;
    const parts: Code[] = [];
    let end = 0;
    for (const found of text.matchAll(/\{\{|\}\}|\{([^{}]*?)(=?)(![rsa])?(?::([^{}]*))?\}/g)) {
      const plain = text.slice(end, found.index);
      end = found.index + found[0].length;
      parts.push(() => plain);
      const [all, inner = "", echo, , form = ""] = found;
      if (all === "{{" || all === "}}") parts.push(() => all.slice(1));
      else {
        const line = new LineReader(codeLines(inner)[0]?.tokens ?? []);
        const value = line.list();
        if (!line.isAtEnd) throw this.unsupported();
        if (echo === "=") parts.push(() => `${inner}=`);
        parts.push((scope) => formatted(value(scope), form));
      }
    }
    const rest = text.slice(end);
    return (scope) => parts.map((part) => show(part(scope))).join("") + rest;
  }

  /** Keyword arguments, such as print's `file=`, are passed over. */
  #arguments(): Code[] {
    const args: Code[] = [];
    while (!this.accept(")")) {
      const isKeyword = this.peek().kind === "name" && this.peek(1).text === "=" && this.peek(1).kind === "operator";
      if (isKeyword) {
        this.#at += 2;
        this.#passArgument();
      } else args.push(this.expression());
      if (this.peek().text === "for") throw new UnsupportedError('code with "for" in brackets');
      if (!this.accept(",") && this.peek().text !== ")") throw this.unsupported();
    }
    return args;
  }

  #passArgument(): void {
    let depth = 0;
    for (; !this.isAtEnd; this.#at++) {
      const { kind, text } = this.peek();
      if (kind !== "operator") continue;
      if (depth === 0 && /^[,)]$/.test(text)) return;
      if (/^[([{]$/.test(text)) depth++;
      if (/^[)\]}]$/.test(text)) depth--;
    }
  }

  #call(name: string): Code {
    const args = this.#arguments();
    if (name === "print") {
      return (scope) => {
        scope.print(args.map((arg) => show(arg(scope))).join(" "));
        return null;
      };
    }
    const called = Object.hasOwn(FUNCTIONS, name) ? FUNCTIONS[name] : undefined;
    if (called === undefined) throw new UnsupportedError(`the function ${name} in code`);
    return (scope) => called(args.map((arg) => arg(scope)));
  }
}

function nameOf(name: string): Code {
  return (scope) => {
    const value = scope.names.get(name);
    if (value === undefined) throw new UnsupportedError(`the name ${name} in code`);
    return value;
  };
}

function assign(scope: Scope, targets: readonly string[], value: Value): Value {
  const [only, ...others] = targets;
  if (only !== undefined && others.length === 0) scope.names.set(only, value);
  else {
    const items = itemsOf(value);
    if (items.length !== targets.length)
      throw new UnsupportedError(`code that gives ${items.length} values to ${targets.length} names`);
    for (const [i, name] of targets.entries()) scope.names.set(name, items[i] ?? null);
  }
  return value;
}

function written(tokens: readonly Token[]): string {
  return tokens.map(({ kind, text }) => (kind === "text" || kind === "format" ? JSON.stringify(text) : text)).join(" ");
}
