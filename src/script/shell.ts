/**
 * The little of a shell's language that scripts use: simple commands one after another. Nothing is ever run; what a command asks of the
 * host is read in `sysctl.ts` and `network-commands.ts`.
 */
import { UnsupportedError } from "./errors.js";

/** A program with its arguments, without quotes. */
export interface SimpleCommand {
  readonly words: readonly string[];
  /** The file that its output goes to; "" for none that is named. */
  readonly into: string;
}

/** Commands of a text, each with those that read its output. Throws UnsupportedError for what is more than that. */
export function pipelinesOf(text: string): SimpleCommand[][] {
  const found: SimpleCommand[][] = [];
  const variables = new Map<string, string>();
  const read = new ShellReader(text).read();
  for (const [i, { pipeline, isAlternative }] of read.entries()) {
    // What stands behind || is for the case that the first fails.
    if (isAlternative) continue;
    const expanded = pipeline.map(({ words, into }) => ({
      words: words.map((word) => expand(word, variables)),
      into: expand(into, variables).text,
    }));
    const [first] = expanded;
    if (first === undefined) continue;
    const assigned = first.words.map((word) => (word.isQuoted ? null : /^([A-Za-z_]\w*)=(.*)$/s.exec(word.text)));
    if (expanded.length === 1 && assigned.every((one) => one !== null)) {
      for (const one of assigned) variables.set(one?.[1] ?? "", one?.[2] ?? "");
      continue;
    }
    // Variables of one command alone.
    const plain = expanded.map(({ words, into }) => ({ words: words.map((word) => word.text), into }));
    while (/^[A-Za-z_]\w*=/.test(plain[0]?.words[0] ?? "")) plain[0]?.words.shift();
    const [name = ""] = plain[0]?.words ?? [];
    if (CONTROL.test(name)) throw new UnsupportedError(`"${name}" of a shell`);
    const commands = plain.flatMap(({ words, into }) => unwrapped(words, into));
    // Where a failure has its remedy, what a program tells is no condition of the script.
    const isAsked = read[i + 1]?.isAlternative === true;
    if (!isAsked) found.push(commands);
    else if (!QUESTION.test(commands[0]?.words[0] ?? ""))
      found.push(commands.filter(({ words }, at) => at === 0 || baseName(words[0] ?? "") === "tee"));
  }
  return found;
}

const CONTROL = /^(?:if|then|else|elif|fi|for|while|until|do|done|case|esac|select|function|\(|\)|\{|\}|!|\[\[)$/;

/** Programs that do nothing but answer. */
const QUESTION = /(?:^|\/)(?:test|\[|e?grep|which|command|type)$/;

/** Programs that run others: what they run counts. */
const WRAPPERS = /^(?:sudo|env|exec|command|nice|nohup|time|eval|busybox|builtin)$/;

function unwrapped(words: readonly string[], into: string): SimpleCommand[] {
  const [name = "", ...rest] = words;
  const program = baseName(name);
  if (WRAPPERS.test(program)) return unwrapped(withoutOptions(rest), into);
  if (program === "timeout") return unwrapped(withoutOptions(rest).slice(1), into);
  if (program === "ip" && rest[0] === "netns" && rest[1] === "exec") return unwrapped(rest.slice(3), into);
  const script = /^(?:ba|da|z|k)?sh$/.test(program) ? rest[rest.indexOf("-c") + 1] : undefined;
  if (script !== undefined && rest.includes("-c")) {
    const inner = pipelinesOf(script);
    if (inner.some(({ length }) => length > 1)) throw new UnsupportedError(`the command ${JSON.stringify(words.join(" "))}`);
    return inner.flat();
  }
  return [{ words, into }];
}

function withoutOptions(words: readonly string[]): readonly string[] {
  const at = words.findIndex((word) => !word.startsWith("-") && !/^[A-Za-z_]\w*=/.test(word));
  return at < 0 ? [] : words.slice(at);
}

/** The name of a program without its folder. */
export function baseName(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

interface Word {
  readonly text: string;
  /** Nothing in it is special: it began with a quote. */
  readonly isQuoted: boolean;
  /** Variables in it have their values put in: it stands in no single quotes. */
  readonly isOpen: boolean;
}

interface RawCommand {
  readonly words: Word[];
  into: Word;
}

interface RawPipeline {
  readonly pipeline: RawCommand[];
  readonly isAlternative: boolean;
}

function expand(word: Word, variables: ReadonlyMap<string, string>): Word {
  if (!word.isOpen || !word.text.includes("$")) return word;
  const text = word.text.replace(/\$(?:\{(\w+)\}|(\w+))/g, (all, braced?: string, bare?: string) => {
    return variables.get(braced ?? bare ?? "") ?? all;
  });
  return { ...word, text };
}

const EMPTY: Word = { text: "", isQuoted: false, isOpen: true };

class ShellReader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text.replace(/\\\r?\n/g, " ");
  }

  read(): RawPipeline[] {
    const found: RawPipeline[] = [];
    let isAlternative = false;
    for (;;) {
      const pipeline: RawCommand[] = [];
      let mark = "|";
      while (mark === "|") {
        const command: RawCommand = { words: [], into: EMPTY };
        mark = this.#command(command);
        if (command.words.length > 0) pipeline.push(command);
      }
      if (pipeline.length > 0) found.push({ pipeline, isAlternative });
      if (mark === "") return found;
      isAlternative = mark === "||";
    }
  }

  /** Reads a command up to what ends it, and returns that; "" for the end of the text. */
  #command(command: RawCommand): string {
    for (;;) {
      this.#match(/[ \t\r]+/y);
      if (this.#match(/#[^\n]*/y) !== undefined) continue;
      if (this.#at >= this.#text.length) return "";
      const redirection = this.#match(/(?:\d*|&)(?:>>?|>\||<)(?:&\d+|&-)?/y);
      if (redirection !== undefined) {
        if (/&[\d-]+$/.test(redirection)) continue;
        this.#match(/[ \t]+/y);
        const file = this.#word();
        if (redirection.includes(">") && !redirection.startsWith("2")) command.into = file;
        continue;
      }
      const mark = this.#match(/\|\||\|&?|&&|[;&\n]+/y);
      if (mark !== undefined) return mark === "|&" ? "|" : mark;
      if (/[()]/.test(this.#text[this.#at] ?? "")) throw new UnsupportedError('"(" of a shell');
      command.words.push(this.#word());
    }
  }

  #word(): Word {
    let text = "";
    let isOpen = true;
    const isQuoted = /["']/.test(this.#text[this.#at] ?? "");
    for (;;) {
      const plain = this.#match(/[^\s"'\\|&;<>()`$]+/y);
      const single = plain ?? this.#match(/'[^']*'/y);
      if (plain === undefined && single !== undefined) {
        isOpen = false;
        text += single.slice(1, -1);
        continue;
      }
      const double = plain ?? this.#match(/"(?:[^"\\]|\\[\s\S])*"/y);
      if (plain === undefined && double !== undefined) {
        if (/\$\(|`/.test(double)) throw new UnsupportedError('"$(" of a shell');
        text += double.slice(1, -1).replace(/\\(["\\$`])/g, "$1");
        continue;
      }
      const rest = plain ?? this.#match(/\\[\s\S]?/y)?.slice(1) ?? this.#match(/\$(?:\{\w+\}|\w+|(?!\())/y);
      if (rest !== undefined) {
        text += rest;
        continue;
      }
      const next = this.#text[this.#at];
      if (next === "$" || next === "`") throw new UnsupportedError('"$(" of a shell');
      if (next === '"' || next === "'") throw new UnsupportedError(`a ${next} of a shell without its end`);
      return { text, isQuoted, isOpen };
    }
  }

  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text)?.[0];
    if (found === undefined || found === "") return undefined;
    this.#at += found.length;
    return found;
  }
}
