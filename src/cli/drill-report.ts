/** Sums of a drill: a table by folder, and JUnit's XML. */
import { dirname } from "node:path";
import { ladderLines } from "../script/ladder.js";
import { START } from "../script/runner.js";
import type { Drilled } from "./drill.js";

const OUTCOMES = ["pass", "tolerated", "fail", "unsupported", "error"] as const;

/** What passed only because --tolerant was given counts apart. */
function outcomeOf({ result }: Drilled): (typeof OUTCOMES)[number] {
  const { outcome, tolerated } = result.verdict;
  return outcome === "pass" && tolerated.length > 0 ? "tolerated" : outcome;
}

/** A line a folder, and one for all. */
export function tableOfFolders(drilled: readonly Drilled[]): string {
  const folders = new Map<string, Drilled[]>();
  for (const one of drilled) {
    const folder = dirname(one.file);
    folders.set(folder, [...(folders.get(folder) ?? []), one]);
  }
  const width = Math.max(5, ...[...folders.keys()].map((folder) => folder.length));
  const row = (name: string, cells: readonly (string | number)[]): string =>
    `${name.padEnd(width)} ${cells.map((cell) => String(cell).padStart(11)).join(" ")}`;
  const columns = OUTCOMES.filter((outcome) => outcome !== "tolerated" || drilled.some((one) => outcomeOf(one) === outcome));
  const lines = [row("folder", ["scripts", ...columns])];
  const counts = (some: readonly Drilled[]): number[] => [
    some.length,
    ...columns.map((outcome) => some.filter((one) => outcomeOf(one) === outcome).length),
  ];
  for (const [folder, some] of folders) lines.push(row(folder, counts(some)));
  if (folders.size > 1) lines.push(row("all", counts(drilled)));
  return lines.join("\n");
}

/** The form that build servers read. */
export function junitReport(drilled: readonly Drilled[]): string {
  const failures = drilled.filter(({ result }) => result.verdict.outcome === "fail").length;
  const errors = drilled.filter(({ result }) => result.verdict.outcome === "error").length;
  const skipped = drilled.filter(({ result }) => result.verdict.outcome === "unsupported").length;
  const cases = drilled.map(({ file, result }) => {
    const { outcome, line, message, event, expected, got } = result.verdict;
    const head = `<testcase classname="${xml(dirname(file))}" name="${xml(file)}" time="${(result.tookMs / 1000).toFixed(6)}"`;
    if (outcome === "pass") return `    ${head}/>`;
    const element = { fail: "failure", error: "error", unsupported: "skipped" }[outcome];
    const ladder = ladderLines(result.verdict.steps, START);
    const text = [`line ${line}: ${event}`, `expected: ${expected}`, `got: ${got}`, ...ladder].join("\n");
    return `    ${head}><${element} message="${xml(message)}">${xml(text)}</${element}></testcase>`;
  });
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    "<testsuites>",
    `  <testsuite name="rawtcp drill" tests="${drilled.length}" failures="${failures}" errors="${errors}" skipped="${skipped}">`,
    ...cases,
    "  </testsuite>",
    "</testsuites>",
    "",
  ].join("\n");
}

function xml(text: string): string {
  return text.replace(/[&<>"]/g, (letter) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[letter] ?? "");
}
