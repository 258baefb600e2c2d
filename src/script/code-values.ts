/** Values of code in `%{ … }%`: what Python's operators and functions make of them, as far as assertions over numbers need it. */
import { ScriptFailure, UnsupportedError } from "./errors.js";

/** A tuple is a list. */
export type Value = number | string | boolean | null | readonly Value[];

export function truth(value: Value): boolean {
  if (Array.isArray(value)) return value.length > 0;
  return value !== null && value !== false && value !== 0 && value !== "";
}

/** As `print` shows it. */
export function show(value: Value): string {
  if (typeof value === "string") return value;
  return showItem(value);
}

function showItem(value: Value): string {
  if (Array.isArray(value)) return `[${value.map(showItem).join(", ")}]`;
  if (typeof value === "string") return `'${value}'`;
  return value === null ? "None" : value === true ? "True" : value === false ? "False" : String(value);
}

export function isSame(a: Value, b: Value): boolean {
  if (Array.isArray(a) && Array.isArray(b)) return a.length === b.length && a.every((item, i) => isSame(item, b[i] ?? null));
  return plain(a) === plain(b);
}

export function compare(operator: string, a: Value, b: Value): boolean {
  switch (operator) {
    case "==":
    case "is":
      return isSame(a, b);
    case "!=":
    case "is not":
      return !isSame(a, b);
    case "in":
      return holds(b, a);
    case "not in":
      return !holds(b, a);
  }
  const [left, right] = [plain(a), plain(b)];
  const areTexts = typeof left === "string" && typeof right === "string";
  if (!areTexts && (typeof left !== "number" || typeof right !== "number"))
    throw new UnsupportedError("code that compares what are no numbers");
  if (operator === "<") return left < right;
  if (operator === "<=") return left <= right;
  return operator === ">" ? left > right : left >= right;
}

function holds(container: Value, item: Value): boolean {
  if (typeof container === "string" && typeof item === "string") return container.includes(item);
  if (Array.isArray(container)) return container.some((one) => isSame(one, item));
  throw new UnsupportedError(`code that looks into ${show(container)}`);
}

function plain(value: Value): Value {
  return typeof value === "boolean" ? Number(value) : value;
}

export function numberOf(value: Value): number {
  if (typeof value === "number") return value;
  if (typeof value === "boolean") return Number(value);
  throw new UnsupportedError(`code that counts with ${show(value)}`);
}

/** A binary operator; texts and lists may be joined, repeated, and texts filled (`%`). */
export function operate(operator: string, a: Value, b: Value): Value {
  if (operator === "+") {
    if (typeof a === "string" && typeof b === "string") return a + b;
    if (Array.isArray(a) && Array.isArray(b)) return [...a, ...b];
  }
  if (operator === "%" && typeof a === "string") return filled(a, Array.isArray(b) ? b : [b]);
  const [left, right] = [numberOf(a), numberOf(b)];
  if ("/%//".includes(operator) && right === 0) throw new ScriptFailure(`code divides ${left} by zero`);
  const operation = NUMBERS[operator];
  if (operation === undefined) throw new UnsupportedError(`the operator ${operator} in code`);
  return operation(left, right);
}

const NUMBERS: Readonly<Record<string, (a: number, b: number) => number>> = {
  "|": (a, b) => bits(a, b, (x, y) => x | y),
  "^": (a, b) => bits(a, b, (x, y) => x ^ y),
  "&": (a, b) => bits(a, b, (x, y) => x & y),
  "<<": (a, b) => a * 2 ** b,
  ">>": (a, b) => Math.floor(a / 2 ** b),
  "+": (a, b) => a + b,
  "-": (a, b) => a - b,
  "*": (a, b) => a * b,
  "/": (a, b) => a / b,
  "//": (a, b) => Math.floor(a / b),
  "%": (a, b) => ((a % b) + b) % b,
  "**": (a, b) => a ** b,
};

/** Python's integers have no largest one. */
function bits(a: number, b: number, operation: (a: bigint, b: bigint) => bigint): number {
  if (!Number.isInteger(a) || !Number.isInteger(b)) throw new UnsupportedError("code with bits of what are no integers");
  return Number(operation(BigInt(a), BigInt(b)));
}

/** `"%d of %s" % (1, "x")`. */
function filled(text: string, values: readonly Value[]): string {
  let at = 0;
  return text.replace(/%(?:%|([-+ #0]*\d*(?:\.\d+)?)[hlL]?([diouxXeEfFgGcrsa]))/g, (all, form: string, kind: string) => {
    if (all === "%%") return "%";
    return formatted(values[at++] ?? null, kind === "r" || kind === "a" ? form : form + kind, kind === "r" ? showItem : show);
  });
}

/** A value as a format specification such as `08.3f` says; "" is as `print` shows it. */
export function formatted(value: Value, specification: string, plainly: (value: Value) => string = show): string {
  const [, alignment, sign = "", alternative, zero, width = "", group, digits, kind = ""] =
    /^(?:[^<>^]?([<>^]))?([-+ ]?)(#?)(0?)(\d*)([,_]?)(?:\.(\d+))?([a-zA-Z%]?)$/.exec(specification) ?? [];
  let text = plainly(value);
  if (typeof value === "number" || typeof value === "boolean") {
    const number = Number(value);
    if (/[eEfFgG]/.test(kind)) text = number.toFixed(Number(digits ?? 6));
    else if (kind === "%") text = `${(number * 100).toFixed(Number(digits ?? 6))}%`;
    else if (kind === "x" || kind === "X") text = (alternative === "#" ? "0x" : "") + number.toString(16);
    else if (kind === "o") text = number.toString(8);
    else if (kind === "b") text = number.toString(2);
    else if (/[diu]/.test(kind)) text = String(Math.trunc(number));
    if (kind === "X") text = text.toUpperCase();
    if (group) text = text.replace(/\B(?=(?:\d{3})+(?!\d))/g, group);
    if (sign === "+" && number >= 0) text = `+${text}`;
  } else if (digits !== undefined) text = text.slice(0, Number(digits));
  const columns = Math.min(Number(width), 1000);
  if (alignment === "<" || sign === "-" || (alignment === undefined && typeof value === "string")) return text.padEnd(columns);
  return text.padStart(columns, zero === "0" ? "0" : " ");
}

/** The functions that code may call. `print` is not among them. */
export const FUNCTIONS: Readonly<Record<string, (args: readonly Value[]) => Value>> = {
  abs: ([value = null]) => Math.abs(numberOf(value)),
  min: (args) => Math.min(...listed(args).map(numberOf)),
  max: (args) => Math.max(...listed(args).map(numberOf)),
  sum: ([list = null]) => itemsOf(list).reduce<number>((sum, item) => sum + numberOf(item), 0),
  len: ([value = null]) => (typeof value === "string" ? value.length : itemsOf(value).length),
  int: ([value = null, base = 10]) => Math.trunc(typeof value === "string" ? parsed(value, numberOf(base)) : numberOf(value)),
  long: ([value = null]) => Math.trunc(typeof value === "string" ? parsed(value, 10) : numberOf(value)),
  float: ([value = null]) => (typeof value === "string" ? Number(value) : numberOf(value)),
  bool: ([value = null]) => truth(value),
  str: ([value = ""]) => show(value),
  repr: ([value = null]) => showItem(value),
  hex: ([value = null]) => `0x${numberOf(value).toString(16)}`,
  bin: ([value = null]) => `0b${numberOf(value).toString(2)}`,
  oct: ([value = null]) => `0o${numberOf(value).toString(8)}`,
  round: ([value = null, digits = 0]) => Math.round(numberOf(value) * 10 ** numberOf(digits)) / 10 ** numberOf(digits),
  pow: ([a = null, b = null]) => numberOf(a) ** numberOf(b),
  divmod: ([a = null, b = null]) => [operate("//", a, b), operate("%", a, b)],
  all: ([list = null]) => itemsOf(list).every(truth),
  any: ([list = null]) => itemsOf(list).some(truth),
  list: ([list = []]) => itemsOf(list),
  tuple: ([list = []]) => itemsOf(list),
  set: ([list = []]) => itemsOf(list),
  sorted: ([list = null]) => [...itemsOf(list)].sort((a, b) => (compare("<", a, b) ? -1 : 1)),
  reversed: ([list = null]) => [...itemsOf(list)].reverse(),
  range: (args) => range(args.map(numberOf)),
  xrange: (args) => range(args.map(numberOf)),
  enumerate: ([list = null]) => itemsOf(list).map((item, i) => [i, item]),
  zip: ([a = null, b = null]) =>
    itemsOf(a)
      .slice(0, itemsOf(b).length)
      .map((item, i) => [item, itemsOf(b)[i] ?? null]),
};

export function itemsOf(value: Value): readonly Value[] {
  if (Array.isArray(value)) return value;
  if (typeof value === "string") return [...value];
  throw new UnsupportedError(`code that goes through ${show(value)}`);
}

/** `min(a, b)` or `min([a, b])`. */
function listed(args: readonly Value[]): readonly Value[] {
  return args.length === 1 ? itemsOf(args[0] ?? null) : args;
}

function parsed(text: string, base: number): number {
  const number = base === 10 ? Number(text) : Number.parseInt(text, base === 0 ? 16 : base);
  if (Number.isNaN(number)) throw new ScriptFailure(`code takes ${JSON.stringify(text)} for a number`);
  return number;
}

function range(args: readonly number[]): number[] {
  const [from = 0, to = 0, step = 1] = args.length === 1 ? [0, args[0]] : args;
  const count = step === 0 ? 0 : Math.max(0, Math.ceil((to - from) / step));
  if (count > MOST_ITEMS) throw new UnsupportedError("code that does not come to an end");
  return Array.from({ length: count }, (_, i) => from + i * step);
}

/** No list of a script is longer. */
export const MOST_ITEMS = 100_000;
