/**
 * `scripts/agreement.sh`: random stimuli to our stack in virtual time and to this machine's kernel in real time, and how often both send
 * the same packets: time, flags, numbers, windows, options. Needs root, for the kernel lies in network namespaces.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { SeededRandom } from "../../dist/base/random.js";
import { scriptDuration } from "../../dist/script/ast.js";
import { parseScript } from "../../dist/script/parser.js";
import { difference, listing, packetsSent } from "./compare.mjs";
import { stimulus } from "./stimuli.mjs";

const USAGE = `scripts/agreement.sh [--count N] [--seed N] [--kind receive|send] [--show N]
  --count N   scripts of each kind (100)
  --seed N    of the scripts (1)
  --kind K    of one side alone
  --show N    the first N that differ, with what both have sent (0)
`;
const { values } = parseArgs({
  options: {
    count: { type: "string", default: "100" },
    seed: { type: "string", default: "1" },
    kind: { type: "string" },
    show: { type: "string", default: "0" },
    help: { type: "boolean", default: false },
  },
});
if (values.help) {
  process.stdout.write(USAGE);
  process.exit(0);
}
const [count, seed, show] = [values.count, values.seed, values.show].map(Number);
if (
  ![count, seed, show].every(Number.isInteger) ||
  count < 1 ||
  count > 9999 ||
  !["receive", "send", undefined].includes(values.kind)
) {
  process.stderr.write(`agreement: --count, --seed and --show are whole numbers, --kind is receive or send\n${USAGE}`);
  process.exit(2);
}
const cli = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "rawtcp-agreement-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));

for (const kind of /** @type {const} */ (["receive", "send"])) {
  if (values.kind === undefined || values.kind === kind) measure(kind);
}

/** @param {"receive" | "send"} kind */
function measure(kind) {
  const scripts = join(folder, kind);
  mkdirSync(scripts);
  const names = Array.from({ length: count }, (_, i) => String(i).padStart(4, "0"));
  for (const [i, name] of names.entries()) {
    const random = new SeededRandom(seed * 10_007 + i);
    writeFileSync(join(scripts, `${name}.pkt`), stimulus(kind, random));
  }
  const kernel = run(scripts, "kernel", ["--live", "namespace"]);
  const ours = run(scripts, "ours", []);
  /** @type {Map<string, string[]>} */
  const differing = new Map();
  let [compared, shown] = [0, 0];
  for (const name of names) {
    const [a, b] = [kernel(name), ours(name)];
    if (a === undefined || b === undefined) continue;
    compared++;
    const end = scriptDuration(parseScript(readFileSync(join(scripts, `${name}.pkt`), "utf8"))) / 1000;
    const found = difference(a, b, end);
    if (found === "") continue;
    differing.set(found, [...(differing.get(found) ?? []), name]);
    if (shown++ >= show) continue;
    process.stdout.write(
      `${name} (${found})\n${readFileSync(join(scripts, `${name}.pkt`), "utf8")}kernel\n${listing(a)}\nours\n${listing(b)}\n\n`,
    );
  }
  const same = compared - [...differing.values()].flat().length;
  process.stdout.write(`${kind}: ${same} of ${compared} the same (${((100 * same) / Math.max(1, compared)).toFixed(1)} %)\n`);
  for (const [what, which] of differing)
    process.stdout.write(`  first difference in ${what}: ${which.length} (${which.slice(0, 10).join(" ")})\n`);
}

/**
 * Runs the scripts; gives what each made its stack send, undefined for one that could not be run.
 * @param {string} scripts
 * @param {string} name
 * @param {string[]} options
 */
function run(scripts, name, options) {
  const traces = `${scripts}-${name}`;
  const { status, stderr } = spawnSync(process.execPath, [cli, "drill", "-q", "--keep-trace", traces, ...options, scripts], {
    encoding: "utf8",
  });
  if (status !== 0 && status !== 1) {
    process.stderr.write(stderr);
    process.exit(status ?? 1);
  }
  return (/** @type {string} */ script) => {
    try {
      return packetsSent(readFileSync(join(traces, `${script}.pcapng`)));
    } catch {
      return undefined;
    }
  };
}
