// Draws the state diagram of src/README.md from the transition table of src/tcp/state.ts.
//
//   node scripts/state-diagram.mjs            prints it
//   node scripts/state-diagram.mjs --write    puts it between the markers of src/README.md
//   node scripts/state-diagram.mjs --check    exit code 1 unless it stands there already
//
// Needs the build (npm run build). test/docs/state-diagram.test.ts does the same check on the sources.
import { readFileSync, writeFileSync } from "node:fs";
import { stateDiagram } from "../dist/observe/state-diagram.js";
import { STATES, TRANSITIONS } from "../dist/tcp/state.js";

const README = new URL("../src/README.md", import.meta.url);
const BEGIN = "<!-- state diagram: drawn by scripts/state-diagram.mjs from tcp/state.ts -->";
const END = "<!-- end of state diagram -->";

const diagram = stateDiagram(STATES, TRANSITIONS);
const [mode] = process.argv.slice(2);
if (mode === undefined) {
  console.log(diagram);
} else if (mode === "--write") {
  writeFileSync(README, pageWith(diagram));
} else if (mode !== "--check") {
  fail(`${mode} is none of --write, --check`, 2);
} else if (readFileSync(README, "utf8") !== pageWith(diagram)) {
  fail("src/README.md is not what tcp/state.ts says; mend it with: node scripts/state-diagram.mjs --write", 1);
}

/** @param {string} text */
function pageWith(text) {
  const page = readFileSync(README, "utf8");
  const begin = page.indexOf(BEGIN);
  const end = page.indexOf(END);
  if (begin < 0 || end < begin) fail(`src/README.md lacks "${BEGIN}" or "${END}"`, 1);
  return `${page.slice(0, begin + BEGIN.length)}\n\`\`\`mermaid\n${text}\n\`\`\`\n${page.slice(end)}`;
}

/**
 * @param {string} message
 * @param {number} exitCode
 */
function fail(message, exitCode) {
  console.error(`state-diagram: ${message}`);
  process.exit(exitCode);
}
