// The pages test/rfc9293.md and test/rfcs.md: which test shows which requirement, from the titles of the tests.
//
//   node scripts/requirements.mjs --write    writes them
//   node scripts/requirements.mjs --check    exit code 1 unless they stand there already, and every requirement is shown
//
// test/requirements/requirements.test.ts does the work; the unit tests run it, too, as a check.
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

const [mode] = process.argv.slice(2);
if (mode !== "--write" && mode !== "--check") {
  console.error("requirements: say --write or --check");
  process.exit(2);
}
const run = ["vitest", "run", "--config", "test/vitest.config.ts", "--project", "unit", "test/requirements"];
// As in CI no missing page is written unless it is asked for.
const options = mode === "--write" ? ["--update"] : [];
const { status } = spawnSync("npx", [...run, ...options], {
  cwd: fileURLToPath(new URL("..", import.meta.url)),
  stdio: "inherit",
  env: { ...process.env, CI: "true" },
});
process.exit(status ?? 1);
