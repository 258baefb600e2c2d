/** Reads a script piece by piece, past blanks and comments, and knows where it is. */
import { type Place, ScriptSyntaxError } from "./errors.js";

export class Scanner {
  readonly text: string;
  at = 0;
  #depth = 0;
  /** Where each line begins. */
  readonly #lines: number[] = [0];

  constructor(text: string) {
    this.text = text;
    for (let i = text.indexOf("\n"); i >= 0; i = text.indexOf("\n", i + 1)) this.#lines.push(i + 1);
  }

  place(at = this.at): Place {
    let low = 0;
    let high = this.#lines.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if ((this.#lines[middle] ?? 0) <= at) low = middle;
      else high = middle - 1;
    }
    return { line: low + 1, column: at - (this.#lines[low] ?? 0) + 1 };
  }

  /** Past blanks and the three forms of comments. */
  skip(): void {
    for (;;) {
      BLANK.lastIndex = this.at;
      const found = BLANK.exec(this.text);
      if (found === null || found[0] === "") break;
      this.at += found[0].length;
    }
    if (this.text.startsWith("/*", this.at)) throw this.error("the comment /* has no end */");
  }

  /** Whether nothing more stands on this line but blanks and a comment. */
  get isAtLineEnd(): boolean {
    LINE_END.lastIndex = this.at;
    return LINE_END.test(this.text);
  }

  get isAtEnd(): boolean {
    this.skip();
    return this.at >= this.text.length;
  }

  /** Takes what the sticky pattern matches here; undefined, and stays, when it does not. */
  accept(pattern: RegExp): RegExpExecArray | undefined {
    this.skip();
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.text);
    if (found === null) return undefined;
    this.at += found[0].length;
    return found;
  }

  /** As `accept`; throws ScriptSyntaxError that names `what` if it does not match. */
  expect(pattern: RegExp, what: string): RegExpExecArray {
    const found = this.accept(pattern);
    if (found === undefined) throw this.error(`${this.#found()}: expected ${what}`);
    return found;
  }

  /** Reads what stands within brackets. Throws ScriptSyntaxError for brackets within brackets that no script has. */
  within<T>(read: () => T): T {
    if (++this.#depth > DEEPEST) throw this.error("too many brackets within brackets");
    const value = read();
    this.#depth--;
    return value;
  }

  /** The digits as a number of at most `most`. Throws ScriptSyntaxError that names `what` at what was read last. */
  number(digits: string, most: number, what: string): number {
    const value = Number(digits);
    if (value <= most) return value;
    throw this.error(`${what} of ${digits} is more than ${most}`, Math.max(0, this.text.lastIndexOf(digits, this.at)));
  }

  looksAt(pattern: RegExp): boolean {
    this.skip();
    pattern.lastIndex = this.at;
    return pattern.test(this.text);
  }

  error(message: string, at = this.at): ScriptSyntaxError {
    return new ScriptSyntaxError(this.place(at), message);
  }

  #found(): string {
    if (this.isAtEnd) return "the script ends here";
    WORD.lastIndex = this.at;
    return JSON.stringify(WORD.exec(this.text)?.[0] ?? this.text[this.at] ?? "");
  }
}

const DEEPEST = 60;
const LINE_END = /[ \t\r]*(?:\n|$|\/\/|\/\*|#)/y;
const BLANK = /[ \t\r\n]+|\/\/[^\n]*|#[^\n]*|\/\*[\s\S]*?\*\//y;
const WORD = /[\w.:+-]+|[^\s]/y;
