/**
 * The code of `%{ … }%`: assertions, assignments and prints over numbers and names, in the notation of Python, which is what packetdrill
 * hands it to. Evaluated here, and nothing else is: no functions of its own, no imports, no calls but the few of `code-values.ts`.
 */
import { parseCode, type Scope, type Statement } from "./code-parser.js";
import { itemsOf, MOST_ITEMS, show, truth, type Value } from "./code-values.js";
import { ScriptFailure, UnsupportedError } from "./errors.js";

export type { Value };
export type Names = Map<string, Value>;

/** Runs the statements; `print` takes what they print. Throws ScriptFailure for an assertion that does not hold, UnsupportedError. */
export function runCode(code: string, names: Names, print: (text: string) => void): void {
  new Run({ names, print }).block(parseCode(code));
}

/** Why a block has ended before its end. */
type Leave = "" | "break" | "continue";

class Run {
  readonly #scope: Scope;
  #rounds = 0;

  constructor(scope: Scope) {
    this.#scope = scope;
  }

  block(statements: readonly Statement[]): Leave {
    for (const statement of statements) {
      const leave = this.#statement(statement);
      if (leave !== "") return leave;
    }
    return "";
  }

  #statement(statement: Statement): Leave {
    const scope = this.#scope;
    switch (statement.kind) {
      case "do":
        statement.code(scope);
        return "";
      case "assert":
        this.#assert(statement);
        return "";
      case "raise":
        throw new ScriptFailure(statement.written);
      case "if": {
        const branch = statement.branches.find(({ condition }) => truth(condition(scope)));
        return branch === undefined ? "" : this.block(branch.body);
      }
      case "for":
        for (const item of itemsOf(statement.list(scope))) {
          this.#count();
          this.#take(statement.targets, item);
          if (this.block(statement.body) === "break") break;
        }
        return "";
      case "while":
        while (truth(statement.condition(scope))) {
          this.#count();
          if (this.block(statement.body) === "break") break;
        }
        return "";
      default:
        return statement.kind;
    }
  }

  #take(targets: readonly string[], item: Value): void {
    const values = targets.length === 1 ? [item] : itemsOf(item);
    for (const [i, name] of targets.entries()) this.#scope.names.set(name, values[i] ?? null);
  }

  #count(): void {
    if (++this.#rounds > MOST_ITEMS) throw new UnsupportedError("code that does not come to an end");
  }

  #assert({ holds, remark, written, names }: Statement & { readonly kind: "assert" }): void {
    const scope = this.#scope;
    if (truth(holds(scope))) return;
    const told = remark === undefined ? "" : ` (${remarkOf(remark(scope))})`;
    const used = names.filter((name) => scope.names.has(name));
    const got = used.map((name) => `${name} is ${show(scope.names.get(name) ?? null)}`).join(", ");
    throw new ScriptFailure(`assert ${written}${told}`, written, got);
  }
}

function remarkOf(value: Value): string {
  return Array.isArray(value) ? value.map(show).join(" ") : show(value);
}
