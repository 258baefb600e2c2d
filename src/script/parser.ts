/**
 * Reads a script. The language is that of packetdrill (Cardwell et al., "packetdrill: Scriptable Network Stack Testing, from Sockets to
 * Packets", USENIX ATC 2013), as its users write it: option lines, then events, each with a time.
 */
import { type Micros, SECOND } from "../base/time.js";
import {
  type Action,
  type CallEvent,
  directionOf,
  type EventTime,
  type Expression,
  type Field,
  type Script,
  type ScriptEvent,
  type ScriptOption,
} from "./ast.js";
import { isPacketStart, parsePacket } from "./packet-parser.js";
import { Scanner } from "./scanner.js";

/** Gives the words that stand for others, see `-D`, from the option lines. */
export type Definitions = (options: readonly ScriptOption[]) => Readonly<Record<string, string>>;

/** `defined` gives the words that stand for others; default: those of the script's own lines. Throws ScriptSyntaxError. */
export function parseScript(text: string, defined: Definitions = definitionsOf): Script {
  const head = new Scanner(text);
  const options = readOptions(head);
  const scanner = new Scanner(withDefinitions(text, head.at, defined(options)));
  scanner.at = head.at;
  const events: ScriptEvent[] = [];
  while (!scanner.isAtEnd) events.push(readEvent(scanner));
  return { options, events };
}

function readOptions(scanner: Scanner): ScriptOption[] {
  const options: ScriptOption[] = [];
  for (;;) {
    scanner.skip();
    const place = scanner.place();
    const defined = scanner.accept(/-D[ \t]*([A-Za-z_]\w*)=("[^"\n]*"|`[^`\n]*`|\S+)/y);
    if (defined !== undefined) {
      options.push({ name: `-D ${defined[1]}`, value: defined[2] ?? "", place });
      continue;
    }
    const option = scanner.accept(/--([A-Za-z_]\w*)(?:[ \t]*=[ \t]*("[^"\n]*"|\w+=(?:"[^"\n]*"|`[^`\n]*`)|[^\s#]+))?/y);
    if (option === undefined) return options;
    options.push({ name: option[1] ?? "", value: (option[2] ?? "").replace(/^"(.*)"$/, "$1"), place });
  }
}

/** `-D NAME=value` and `--define=NAME=value`. */
export function definitionsOf(options: readonly Pick<ScriptOption, "name" | "value">[]): Record<string, string> {
  const definitions: Record<string, string> = {};
  for (const { name, value } of options) {
    if (name.startsWith("-D ")) definitions[name.slice(3)] = value;
    else if (name === "define") definitions[value.replace(/=.*$/s, "")] = value.replace(/^[^=]*=?/, "");
  }
  return definitions;
}

/** Puts what was defined in the place of words, but not of those in texts, commands, code and comments. */
function withDefinitions(text: string, from: number, definitions: Readonly<Record<string, string>>): string {
  if (!Object.keys(definitions).some((word) => text.includes(word))) return text;
  const body = text
    .slice(from)
    .replace(
      /"(?:\\.|[^"\\])*"|`[^`]*`|%\{[\s\S]*?\}%|\/\/[^\n]*|#[^\n]*|\/\*[\s\S]*?\*\/|\w+/g,
      (word) => (Object.hasOwn(definitions, word) ? definitions[word] : undefined) ?? word,
    );
  return text.slice(0, from) + body;
}

function readEvent(scanner: Scanner): ScriptEvent {
  scanner.skip();
  const start = scanner.at;
  const place = scanner.place();
  const time = readTime(scanner);
  const action = readAction(scanner);
  const isAnswer = action.kind === "unsupported" || directionOf(action) === "out";
  if ((time.us === null || time.untilUs !== undefined) && !isAnswer)
    throw scanner.error("only packets that the stack sends may come at any time (*) or within a range (~)", start);
  const text = scanner.text
    .slice(start, scanner.at)
    .replace(/"[^"\n]*"|\/\/[^\n]*|#[^\n]*|\/\*[\s\S]*?\*\//g, (found) => (found.startsWith('"') ? found : " "))
    .replace(/\s+/g, " ")
    .trim();
  return { place, time, text, action };
}

const NUMBER = "(?:\\d+(?:\\.(?!\\.)\\d*)?|\\.\\d+)";
const TIME = new RegExp(`(\\+?)[ \\t]*(${NUMBER})(?:[ \\t]*(~|\\.\\.\\.)[ \\t]*(\\+?)[ \\t]*(${NUMBER}))?`, "y");

/** A script may begin with a command that has no time. */
function readTime(scanner: Scanner): EventTime {
  if (scanner.looksAt(/`|%\{/y)) return { relative: true, us: 0 };
  if (scanner.accept(/\*/y) !== undefined) return { relative: true, us: null };
  const [, plus, from = "", mark, , to = ""] = scanner.expect(TIME, 'a time, such as 0.1, +0.1, +.1~+.2, 0.1...0.2 or "*"');
  const us = seconds(from);
  const base = { relative: plus === "+", us };
  if (mark === undefined) return base;
  const end = seconds(to);
  if (end < us) throw scanner.error(`the range ends before it begins: ${from}${mark}${to}`);
  return mark === "~" ? { ...base, untilUs: end } : { ...base, returnsUs: end };
}

function seconds(text: string): Micros {
  return Math.round(Number(text) * SECOND);
}

function readAction(scanner: Scanner): Action {
  const command = scanner.accept(/`([^`]*)`/y);
  if (command !== undefined) return { kind: "command", command: (command[1] ?? "").trim() };
  const code = scanner.accept(/%\{([\s\S]*?)\}%/y);
  if (code !== undefined) return { kind: "code", code: code[1] ?? "" };
  if (scanner.looksAt(/`|%\{/y)) throw scanner.error("it has no end");
  if (isPacketStart(scanner)) return parsePacket(scanner);
  if (scanner.looksAt(/[A-Za-z_]\w*\s*\(/y)) return { kind: "call", call: readCall(scanner) };
  scanner.expect(/(?!)/y, "a packet (< or >), a system call, `command` or %{ code }%");
  throw scanner.error("unreachable");
}

function readCall(scanner: Scanner): CallEvent {
  const [, name = ""] = scanner.expect(/([A-Za-z_]\w*)/y, "the name of a system call");
  const args = readArguments(scanner);
  scanner.expect(/=/y, '"=" and what the call returns');
  const result = readExpression(scanner);
  const errno = scanner.accept(/(E[A-Z0-9]+)\b/y)?.[1] ?? "";
  // A remark such as (Operation now in progress) or (flags O_RDWR).
  scanner.accept(/\([^()]*\)/y);
  return { name, args, result: result.kind === "any" ? null : result, errno };
}

function readArguments(scanner: Scanner): Expression[] {
  scanner.expect(/\(/y, '"("');
  const args: Expression[] = [];
  if (scanner.accept(/\)/y) !== undefined) return args;
  for (;;) {
    args.push(readExpression(scanner));
    if (scanner.accept(/\)/y) !== undefined) return args;
    scanner.expect(/,/y, '"," or ")"');
  }
}

/** Operators by rank, the weakest first. */
const OPERATORS: readonly RegExp[] = [/\|(?!\|)/y, /&(?!&)/y, /<<|>>/y, /[+-]/y, /\*/y];

/** One expression. */
export function readExpression(scanner: Scanner, rank = 0): Expression {
  const operator = OPERATORS[rank];
  if (operator === undefined) return scanner.within(() => readPrimary(scanner));
  let left = readExpression(scanner, rank + 1);
  for (;;) {
    // A sign or a star on the next line begins the next event.
    if (rank >= 3 && scanner.isAtLineEnd) return left;
    const found = scanner.accept(operator);
    if (found === undefined) return left;
    left = { kind: "binary", operator: found[0], left, right: readExpression(scanner, rank + 1) };
  }
}

function readPrimary(scanner: Scanner): Expression {
  if (scanner.accept(/\.\.\./y) !== undefined) return { kind: "any" };
  const number = scanner.accept(/(-?)(0x[\da-fA-F]+|\d+)(?![\w])/y);
  if (number !== undefined) return { kind: "number", value: Number(number[2]) * (number[1] === "-" ? -1 : 1) };
  if (scanner.looksAt(/"/y)) return { kind: "text", value: readText(scanner) };
  const header = scanner.accept(/\{\s*(?:flags\b|\(\s*label\b)[^}]*\}/y);
  if (header !== undefined) return { kind: "name", name: "of a tunnel's header" };
  if (scanner.accept(/\[/y) !== undefined) return { kind: "list", items: readItems(scanner, /\]/y, '"]"') };
  if (scanner.accept(/\{/y) !== undefined) return { kind: "struct", fields: readFields(scanner) };
  if (scanner.accept(/\(/y) !== undefined) {
    const inner = readExpression(scanner);
    scanner.expect(/\)/y, '")"');
    return inner;
  }
  scanner.accept(/&(?=[A-Za-z_])/y);
  const [, name = ""] = scanner.expect(/([A-Za-z_]\w*)/y, "a value: a number, a name, a text, [list], {struct} or ...");
  if (scanner.looksAt(/\(/y)) return { kind: "call", name, args: readArguments(scanner) };
  return { kind: "name", name };
}

/** Texts that follow one another are one; "..." after one says that more may come. */
function readText(scanner: Scanner): string {
  let value = "";
  for (;;) {
    const text = scanner.accept(/"((?:[^"\\]|\\[\s\S])*)"/y);
    if (text === undefined) break;
    value += unquoted(text[1] ?? "");
  }
  scanner.accept(/\.\.\./y);
  return value;
}

function readItems(scanner: Scanner, end: RegExp, what: string): Expression[] {
  const items: Expression[] = [];
  if (scanner.accept(end) !== undefined) return items;
  for (;;) {
    const field = readField(scanner);
    items.push(field.name === "" ? field.value : { kind: "struct", fields: [field] });
    if (scanner.accept(end) !== undefined) return items;
    scanner.expect(/,/y, `"," or ${what}`);
  }
}

function readFields(scanner: Scanner): Field[] {
  const fields: Field[] = [];
  if (scanner.accept(/\}/y) !== undefined) return fields;
  for (;;) {
    fields.push(readField(scanner));
    if (scanner.accept(/\}/y) !== undefined) return fields;
    scanner.expect(/,/y, '"," or "}"');
  }
}

function readField(scanner: Scanner): Field {
  const named = scanner.accept(/([A-Za-z_]\w*)\s*=(?!=)/y);
  if (named !== undefined) return { name: named[1] ?? "", length: null, value: readExpression(scanner) };
  const sized = scanner.accept(/([A-Za-z_]\w*)\s*(?=\((?:\.\.\.|\s*\w+\s*)\)\s*=)/y);
  if (sized === undefined) return { name: "", length: null, value: readExpression(scanner) };
  const [length = null] = readArguments(scanner);
  scanner.expect(/=/y, '"="');
  return { name: sized[1] ?? "", length, value: readExpression(scanner) };
}

function unquoted(text: string): string {
  return text.replace(/\\(x[\da-fA-F]{2}|[0-7]{1,3}|.)/g, (_all, what: string) => {
    if (what.startsWith("x") && what.length === 3) return String.fromCharCode(Number.parseInt(what.slice(1), 16));
    if (/^[0-7]/.test(what)) return String.fromCharCode(Number.parseInt(what, 8) & 255);
    return { n: "\n", r: "\r", t: "\t", f: "\f", v: "\v" }[what] ?? what;
  });
}
