/** Values of expressions in system calls. */
import type { Expression, Field } from "./ast.js";
import { CONSTANTS, ERRNOS, IOCTLS, SOCKET_OPTIONS } from "./constants.js";
import { UnsupportedError } from "./errors.js";

/** The number that an expression stands for. Throws UnsupportedError for a name that is not known. */
export function numberOf(expression: Expression): number {
  switch (expression.kind) {
    case "number":
      return expression.value;
    case "name": {
      const { name } = expression;
      const value = CONSTANTS[name] ?? SOCKET_OPTIONS[name]?.[1] ?? ERRNOS[name] ?? IOCTLS[name];
      if (value === undefined) throw new UnsupportedError(`the constant ${name}`);
      return value;
    }
    case "binary": {
      const [a, b] = [numberOf(expression.left), numberOf(expression.right)];
      switch (expression.operator) {
        case "|":
          return (a | b) >>> 0;
        case "&":
          return (a & b) >>> 0;
        case "<<":
          return a * 2 ** b;
        case ">>":
          return Math.floor(a / 2 ** b);
        case "+":
          return a + b;
        case "-":
          return a - b;
        default:
          return a * b;
      }
    }
    case "call":
      if (/^(htons|htonl|ntohs|ntohl)$/.test(expression.name)) return numberOf(argument(expression.args, 0));
      throw new UnsupportedError(`the function ${expression.name}`);
    case "list": {
      const [only] = expression.items;
      if (expression.items.length === 1 && only !== undefined) return numberOf(only);
      throw new UnsupportedError("a list where a number belongs");
    }
    default:
      throw new UnsupportedError(`${expression.kind} where a number belongs`);
  }
}

export function argument(args: readonly Expression[], at: number): Expression {
  return args[at] ?? { kind: "any" };
}

/** A number, or undefined for "...". */
export function optionalNumber(expression: Expression): number | undefined {
  if (expression.kind === "any") return undefined;
  if (expression.kind === "list" && expression.items[0]?.kind === "any") return undefined;
  return numberOf(expression);
}

/** A field of a struct by its name. */
export function fieldOf(expression: Expression, name: string): Field | undefined {
  return expression.kind === "struct" ? expression.fields.find((field) => field.name === name) : undefined;
}

/** Items of a list; anything else is a list of one. */
export function itemsOf(expression: Expression): readonly Expression[] {
  return expression.kind === "list" ? expression.items : [expression];
}

/** The sum of the lengths in an iovec list: `[{..., 1000}, {"abc", 3}]`. */
export function iovecLength(expression: Expression): number {
  let sum = 0;
  for (const item of itemsOf(expression)) {
    if (item.kind !== "struct") throw new UnsupportedError("an iovec that is no {pointer, length}");
    const length = item.fields[1]?.value ?? fieldOf(item, "iov_len")?.value;
    if (length === undefined) throw new UnsupportedError("an iovec without a length");
    sum += numberOf(length);
  }
  return sum;
}

/** A null pointer: 0 or NULL where a buffer belongs. */
export function isNullPointer(expression: Expression): boolean {
  return (expression.kind === "number" && expression.value === 0) || (expression.kind === "name" && expression.name === "NULL");
}
