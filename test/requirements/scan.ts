/**
 * What the tests say that they show. A test names a requirement in its title: "… (MUST-13, SHLD-4)" for RFC 9293's numbered
 * requirements, "… (RFC 5961 §3.2)" for the others. Titles are read by a parser, so that a comment hides or forges none; what
 * is skipped, or stands in something skipped, shows nothing.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "@babel/parser";

/** A `describe`, `it` or `test` with its title; "…" stands for what a template fills in. */
export interface TitledTest {
  /** Relative to test/. */
  readonly file: string;
  readonly title: string;
}

/** All titled tests below `folder` (test/), in order of file and place. A helper's count if a test file imports the helper. */
export function titledTests(folder: string): TitledTest[] {
  const names = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".ts"));
  const texts = new Map(names.sort().map((name) => [name, readFileSync(join(folder, name), "utf8")]));
  const tests: TitledTest[] = [];
  for (const [file, text] of texts) {
    if (!file.endsWith(".test.ts") && !isImported(file, texts)) continue;
    for (const title of titlesOf(text)) tests.push({ file, title });
  }
  return tests;
}

function isImported(file: string, texts: ReadonlyMap<string, string>): boolean {
  const name = file.slice(file.lastIndexOf("/") + 1).replace(/\.ts$/, ".js");
  for (const [other, text] of texts) if (other.endsWith(".test.ts") && text.includes(`/${name}"`)) return true;
  return false;
}

/** Titles of the tests in a source text that would run. */
export function titlesOf(source: string): string[] {
  const titles: string[] = [];
  visit(parse(source, { sourceType: "module", plugins: ["typescript"] }).program, titles);
  return titles;
}

type Node = Readonly<Record<string, unknown>>;

function visit(node: unknown, titles: string[]): void {
  if (Array.isArray(node)) {
    for (const item of node) visit(item, titles);
    return;
  }
  if (!isNode(node)) return;
  if (node["type"] === "CallExpression") {
    const kind = kindOf(node["callee"]);
    if (kind === "skipped") return;
    const [first, ...rest] = node["arguments"] as readonly unknown[];
    const title = kind === "test" && rest.length > 0 ? titleOf(first) : undefined;
    if (title !== undefined) titles.push(title, ...rowTitles(node["callee"], title));
  }
  for (const value of Object.values(node)) if (typeof value === "object") visit(value, titles);
}

/** What a call of `callee` makes: `it`, `test.each(table)`, `describe.skipIf(…).each(table)` and their like make a test. */
function kindOf(callee: unknown): "test" | "skipped" | "other" {
  let skipped = false;
  for (let node = callee; isNode(node); ) {
    switch (node["type"]) {
      case "Identifier":
        if (!ROOTS.has(String(node["name"]))) return "other";
        return skipped ? "skipped" : "test";
      case "MemberExpression": {
        const { property } = node;
        if (isNode(property) && (property["name"] === "skip" || property["name"] === "todo")) skipped = true;
        node = node["object"];
        break;
      }
      case "CallExpression":
        node = node["callee"];
        break;
      default:
        return "other";
    }
  }
  return "other";
}

const ROOTS: ReadonlySet<string> = new Set(["describe", "it", "test"]);

/** Titles of the rows of `it.each([["row", …], …])("… %s …")` that name a requirement: each is a test of its own. */
function rowTitles(callee: unknown, title: string): string[] {
  if (!isNode(callee) || callee["type"] !== "CallExpression" || !title.includes("%s")) return [];
  const [argument] = callee["arguments"] as readonly unknown[];
  const table = withoutTypes(argument);
  if (!isNode(table) || table["type"] !== "ArrayExpression") return [];
  return (table["elements"] as readonly unknown[]).flatMap((element) => {
    const row = withoutTypes(element);
    const first = isNode(row) && row["type"] === "ArrayExpression" ? (row["elements"] as readonly unknown[])[0] : row;
    const text = titleOf(first);
    if (text === undefined || (idsIn(text).length === 0 && sectionsIn(text).length === 0)) return [];
    return [title.replace("%s", () => text)];
  });
}

/** What stands in `… as const` and `… satisfies T`. */
function withoutTypes(node: unknown): unknown {
  if (!isNode(node)) return node;
  return node["type"] === "TSAsExpression" || node["type"] === "TSSatisfiesExpression" ? withoutTypes(node["expression"]) : node;
}

function titleOf(node: unknown): string | undefined {
  if (!isNode(node)) return undefined;
  if (node["type"] === "StringLiteral") return String(node["value"]);
  if (node["type"] !== "TemplateLiteral") return undefined;
  const parts = (node["quasis"] as readonly Node[]).map((quasi) => String((quasi["value"] as Node)["cooked"]));
  return parts.join("…");
}

function isNode(value: unknown): value is Node {
  return typeof value === "object" && value !== null;
}

/** The numbered requirements that a title names. */
export function idsIn(title: string): string[] {
  return [...title.matchAll(/\b(?:MUST|SHLD|MAY|REC)-\d+\b/g)].map(([id]) => id);
}

/** The RFCs that a title names, as "5961" or "5961 §3.2"; a § belongs to the last RFC before it. */
export function sectionsIn(title: string): string[] {
  const found: string[] = [];
  let rfc = "";
  for (const [, number, section] of title.matchAll(/\bRFC (\d+)|§(\d+(?:\.\d+)*)/g)) {
    if (number !== undefined) {
      rfc = number;
      found.push(rfc);
    } else if (rfc !== "") found.push(`${rfc} §${section}`);
  }
  return found;
}
