/**
 * The code of `%{ … }%`: assertions, assignments and prints over numbers and names, in the notation of Python, which is what packetdrill
 * hands it to. Evaluated here, and nothing else is: there are no loops, no imports, no calls but the few below.
 */
import { ScriptFailure, UnsupportedError } from "./errors.js";

export type Value = number | string | boolean | null;
export type Names = Map<string, Value>;

/** Runs the statements; `print` takes what they print. Throws ScriptFailure for an assertion that does not hold, UnsupportedError. */
export function runCode(code: string, names: Names, print: (text: string) => void): void {
  for (const statement of statements(code)) new Evaluator(statement, names, print).run();
}

/** Statements end with the line, unless a bracket is open, or with ";". */
function statements(code: string): string[] {
  const found: string[] = [];
  let depth = 0;
  let current = "";
  for (const line of code.split("\n")) {
    const text = line.replace(/#.*$/, "");
    for (const letter of text) {
      if ("([".includes(letter)) depth++;
      if (")]".includes(letter)) depth--;
      if (letter === ";" && depth === 0) {
        found.push(current);
        current = "";
      } else current += letter;
    }
    const goesOn = depth > 0 || /\\\s*$/.test(current);
    current = current.replace(/\\\s*$/, "");
    if (goesOn) current += " ";
    else {
      found.push(current);
      current = "";
    }
  }
  return [...found, current].map((statement) => statement.trim()).filter((statement) => statement !== "");
}

const TOKEN =
  /\s*(?:(\d+\.\d*|\.\d+|0x[\da-fA-F]+|\d+)|([A-Za-z_]\w*)|("[^"]*"|'[^']*')|(\*\*|\/\/|<<|>>|[=!<>]=|[-+*/%<>()[\],=&|^~:.]))/y;

const CONSTANTS: Readonly<Record<string, Value>> = { True: true, False: false, None: null };

const FUNCTIONS: Readonly<Record<string, (...args: number[]) => number>> = {
  abs: Math.abs,
  min: Math.min,
  max: Math.max,
  int: Math.trunc,
  round: Math.round,
};

/** Binary operators by rank, the weakest first. */
const RANKS: readonly Readonly<Record<string, (a: number, b: number) => number>>[] = [
  { "|": (a, b) => a | b },
  { "^": (a, b) => a ^ b },
  { "&": (a, b) => a & b },
  { "<<": (a, b) => a * 2 ** b, ">>": (a, b) => Math.floor(a / 2 ** b) },
  { "+": (a, b) => a + b, "-": (a, b) => a - b },
  { "*": (a, b) => a * b, "/": (a, b) => a / b, "//": (a, b) => Math.floor(a / b), "%": (a, b) => ((a % b) + b) % b },
];

class Evaluator {
  readonly #text: string;
  readonly #names: Names;
  readonly #print: (text: string) => void;
  readonly #tokens: string[] = [];
  #at = 0;

  constructor(text: string, names: Names, print: (text: string) => void) {
    this.#text = text;
    this.#names = names;
    this.#print = print;
    let at = 0;
    while (text.slice(at).trim() !== "") {
      TOKEN.lastIndex = at;
      const found = TOKEN.exec(text);
      if (found === null) throw new UnsupportedError(`code ${JSON.stringify(text)}`);
      this.#tokens.push(found[0].trim());
      at = TOKEN.lastIndex;
    }
  }

  run(): void {
    const [first = "", second] = this.#tokens;
    if (first === "import" || first === "from") return;
    if (/^(if|for|while|def|try|with|else|elif|return|class)$/.test(first)) throw new UnsupportedError(`code with "${first}"`);
    if (first === "assert") {
      this.#at = 1;
      this.#assert();
    } else if (/^[A-Za-z_]/.test(first) && second === "=") {
      this.#at = 2;
      this.#names.set(first, this.#expression());
    } else if (first === "print" && second !== "(") {
      this.#at = 1;
      this.#print(this.#list().map(show).join(" "));
    } else this.#expression();
    if (this.#at < this.#tokens.length) throw new UnsupportedError(`code ${JSON.stringify(this.#text)}`);
  }

  #assert(): void {
    const from = this.#at;
    const holds = this.#expression();
    const written = this.#tokens.slice(from, this.#at);
    const remark = this.#accept(",") ? ` (${this.#list().map(show).join(" ")})` : "";
    if (truth(holds)) return;
    const used = [...new Set(written.filter((token) => this.#names.has(token)))];
    const got = used.map((name) => `${name} is ${show(this.#names.get(name) ?? null)}`).join(", ");
    throw new ScriptFailure(`assert ${written.join(" ")}${remark}`, written.join(" "), got);
  }

  #list(): Value[] {
    const values: Value[] = [];
    if (this.#at >= this.#tokens.length) return values;
    do values.push(this.#expression());
    while (this.#accept(","));
    return values;
  }

  #accept(token: string): boolean {
    if (this.#tokens[this.#at] !== token) return false;
    this.#at++;
    return true;
  }

  #expression(): Value {
    const value = this.#or();
    if (!this.#accept("if")) return value;
    const condition = this.#or();
    if (!this.#accept("else")) throw new UnsupportedError(`code ${JSON.stringify(this.#text)}`);
    const other = this.#expression();
    return truth(condition) ? value : other;
  }

  #or(): Value {
    let value = this.#and();
    while (this.#accept("or")) {
      const right = this.#and();
      value = truth(value) ? value : right;
    }
    return value;
  }

  #and(): Value {
    let value = this.#not();
    while (this.#accept("and")) {
      const right = this.#not();
      value = truth(value) ? right : value;
    }
    return value;
  }

  #not(): Value {
    return this.#accept("not") ? !truth(this.#not()) : this.#comparison();
  }

  /** a < b <= c is a < b and b <= c. */
  #comparison(): Value {
    let left = this.#binary(0);
    let holds: boolean | undefined;
    for (;;) {
      const operator = this.#tokens[this.#at] ?? "";
      const isIn = operator === "in" || (operator === "not" && this.#tokens[this.#at + 1] === "in");
      if (!isIn && !["==", "!=", "<", "<=", ">", ">="].includes(operator)) return holds ?? left;
      this.#at += operator === "not" ? 2 : 1;
      if (isIn) {
        const items = this.#items();
        return items.includes(left) === (operator === "in");
      }
      const right = this.#binary(0);
      holds = (holds ?? true) && compare(operator, left, right);
      left = right;
    }
  }

  #items(): Value[] {
    if (!this.#accept("[") && !this.#accept("(")) throw new UnsupportedError(`code ${JSON.stringify(this.#text)}`);
    const items = this.#list();
    if (!this.#accept("]") && !this.#accept(")")) throw new UnsupportedError(`code ${JSON.stringify(this.#text)}`);
    return items;
  }

  #binary(rank: number): Value {
    const operators = RANKS[rank];
    if (operators === undefined) return this.#unary();
    let left = this.#binary(rank + 1);
    for (;;) {
      const token = this.#tokens[this.#at] ?? "";
      const operate = Object.hasOwn(operators, token) ? operators[token] : undefined;
      if (operate === undefined) return left;
      this.#at++;
      left = operate(this.#number(left), this.#number(this.#binary(rank + 1)));
    }
  }

  #unary(): Value {
    if (this.#accept("-")) return -this.#number(this.#unary());
    if (this.#accept("+")) return this.#number(this.#unary());
    if (this.#accept("~")) return ~this.#number(this.#unary());
    const base = this.#primary();
    return this.#accept("**") ? this.#number(base) ** this.#number(this.#unary()) : base;
  }

  #primary(): Value {
    const token = this.#tokens[this.#at++] ?? "";
    if (/^[\d.]/.test(token)) return Number(token);
    if (/^["']/.test(token)) return token.slice(1, -1);
    if (token === "(") {
      const value = this.#expression();
      if (!this.#accept(")")) throw new UnsupportedError(`code ${JSON.stringify(this.#text)}`);
      return value;
    }
    if (Object.hasOwn(CONSTANTS, token)) return CONSTANTS[token] ?? null;
    if (/^[A-Za-z_]/.test(token)) return this.#tokens[this.#at] === "(" ? this.#call(token) : this.#name(token);
    throw new UnsupportedError(`code ${JSON.stringify(this.#text)}`);
  }

  #name(name: string): Value {
    const value = this.#names.get(name);
    if (value === undefined) throw new UnsupportedError(`the name ${name} in code`);
    return value;
  }

  #call(name: string): Value {
    this.#at++;
    const args = this.#tokens[this.#at] === ")" ? [] : this.#list();
    if (!this.#accept(")")) throw new UnsupportedError(`code ${JSON.stringify(this.#text)}`);
    if (name === "print") {
      this.#print(args.map(show).join(" "));
      return null;
    }
    const called = Object.hasOwn(FUNCTIONS, name) ? FUNCTIONS[name] : undefined;
    if (called === undefined) throw new UnsupportedError(`the function ${name} in code`);
    return called(...args.map((value) => this.#number(value)));
  }

  #number(value: Value): number {
    if (typeof value === "number") return value;
    if (typeof value === "boolean") return Number(value);
    throw new UnsupportedError(`code that counts with ${show(value)}`);
  }
}

function compare(operator: string, a: Value, b: Value): boolean {
  const [left, right] = [plain(a), plain(b)];
  if (operator === "==") return left === right;
  if (operator === "!=") return left !== right;
  if (typeof left !== "number" || typeof right !== "number") throw new UnsupportedError("code that compares what are no numbers");
  if (operator === "<") return left < right;
  if (operator === "<=") return left <= right;
  return operator === ">" ? left > right : left >= right;
}

function plain(value: Value): Value {
  return typeof value === "boolean" ? Number(value) : value;
}

function truth(value: Value): boolean {
  return value !== null && value !== false && value !== 0 && value !== "";
}

function show(value: Value): string {
  return value === null ? "None" : value === true ? "True" : value === false ? "False" : String(value);
}
