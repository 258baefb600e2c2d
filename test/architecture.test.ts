/**
 * The layers of the code as data, and the proof that every file in src keeps them: who may import whom, who may use a
 * clock, timers and randomness, what may lie at the top of the tree, how long a file may be.
 *
 * Imports are read by a parser, not by a pattern, so that a comment, a string or a line break hides or forges none.
 */
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { parse } from "@babel/parser";
import { describe, expect, it } from "vitest";

/** What the files of a folder may import besides each other. */
interface Layer {
  /** Folders of src. */
  readonly imports: readonly string[];
  /** Folders of which types alone may be imported. */
  readonly types?: readonly string[];
  /** Packages by name; "node:*" stands for every module of Node. */
  readonly packages?: readonly string[];
  readonly may?: readonly Power[];
}

/** What makes a run differ from the last one. `console` and `Buffer` are no such thing, but no pure code needs them. */
type Power = "clock" | "timers" | "randomness" | "host";

const PURE_FOLDERS = ["base", "wire", "tcp", "stack", "sim", "observe", "craft", "bend", "pcapng", "explain", "script"];
const ALL_FOLDERS = [...PURE_FOLDERS, "kernel", "device", "driver", "net", "lessons", "web", "cli"];
const EDGE: Layer = {
  imports: ALL_FOLDERS,
  packages: ["node:*", "yargs", "yargs/helpers", "yaml"],
  may: ["clock", "timers", "host"],
};

const LAYERS: Readonly<Record<string, Layer>> = {
  base: { imports: [] },
  wire: { imports: ["base"] },
  tcp: { imports: ["base", "wire"] },
  stack: { imports: ["base", "wire", "tcp"] },
  // Whoever drives the engine hands it packets and time and pulls its events: it sees the connection, too.
  sim: { imports: ["base", "wire", "tcp", "stack", "bend"] },
  observe: { imports: ["base", "wire"], types: ["tcp"] },
  craft: { imports: ["base", "wire"] },
  // Rules name the states of a connection.
  bend: { imports: ["base", "wire", "craft", "tcp"] },
  pcapng: { imports: ["base", "wire"] },
  explain: { imports: ["base", "wire", "pcapng", "observe"], types: ["tcp"] },
  script: { imports: PURE_FOLDERS },
  // The kernel's states bear the names of ours.
  kernel: { imports: ["base", "wire"], types: ["tcp"], packages: ["node:*", "koffi"], may: ["host"] },
  device: {
    imports: ["base", "wire", "bend", "pcapng", "observe", "kernel"],
    packages: ["node:*", "koffi", "raw-socket", "cap"],
    may: ["host"],
  },
  driver: {
    // The queue of the simulator's events is also that of virtual time.
    // Scripts speak to kernels through it, too.
    imports: ["base", "wire", "tcp", "stack", "sim", "craft", "bend", "script", "device", "kernel"],
    types: ["observe"],
    packages: ["node:*"],
    may: ["clock", "timers", "randomness", "host"],
  },
  // Sockets name addresses, bend their segments and choose profiles.
  net: {
    imports: ["base", "wire", "tcp", "stack", "bend", "observe", "driver"],
    types: ["kernel"],
    packages: ["node:*"],
    may: ["clock", "timers", "host"],
  },
  lessons: EDGE,
  web: EDGE,
  cli: EDGE,
};

/** Single files whose rule differs from their folder's, and why. */
const FILES: Readonly<Record<string, Layer>> = {
  // The package's entry.
  "index.ts": EDGE,
};

/** Single files of kernel and device that cannot do without a power, and why. */
const UNAVOIDABLE: Readonly<Record<string, readonly Power[]>> = {
  // Measures once, at start, how late libpcap is, and gives up after a while.
  "device/capture.ts": ["clock", "timers"],
  // Waits, at start, for the kernel to learn the neighbour's Ethernet address.
  "device/pcap-device.ts": ["clock", "timers"],
  // Waits, for a few milliseconds at start, for a RST that should not come.
  "kernel/guard-self-test.ts": ["clock"],
  // Rules get a name that no other process's rules have.
  "kernel/firewall.ts": ["randomness"],
};

const TOP_LEVEL = ["package.json", "tsconfig.json", "src", "native-notes", "scripts", "test", "README.md"];
const TOP_LEVEL_BESIDES = ["package-lock.json", "LICENSE", "CHANGELOG.md"];
const MAX_LINES = 600;

/** By the name that code uses: a global, a member of one, or a function that is imported. */
const POWERS: Readonly<Record<string, Power>> = {
  Date: "clock",
  performance: "clock",
  "process.hrtime": "clock",
  "process.uptime": "clock",
  setTimeout: "timers",
  setInterval: "timers",
  "Math.random": "randomness",
  crypto: "randomness",
  randomBytes: "randomness",
  randomFillSync: "randomness",
  randomInt: "randomness",
  randomUUID: "randomness",
  getRandomValues: "randomness",
  setImmediate: "host",
  queueMicrotask: "host",
  process: "host",
  console: "host",
  Buffer: "host",
};

/** Modules that bring a power under names of the importer's choice. */
const POWER_MODULES: Readonly<Record<string, Power>> = {
  "node:perf_hooks": "clock",
  "node:timers": "timers",
  "node:timers/promises": "timers",
};

const root = fileURLToPath(new URL("..", import.meta.url));
const sources = readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith(".ts"));

describe("layers", () => {
  it("src holds something to check", () => {
    expect(sources.length).toBeGreaterThan(5);
  });

  it("every file imports and uses only what its layer may", () => {
    expect(sources.flatMap((file) => breaches(file, readFileSync(join(root, "src", file), "utf8")))).toEqual([]);
  });

  it("no exception outlives its need", () => {
    const unneeded = Object.entries(UNAVOIDABLE).filter(([file, powers]) => {
      const used = sources.includes(file)
        ? readPowers(readFileSync(join(root, "src", file), "utf8")).map(({ power }) => power)
        : [];
      return powers.some((power) => !used.includes(power));
    });
    expect(unneeded).toEqual([]);
  });

  it("the tsconfig without Node's types covers the pure folders, and no other", () => {
    const config = JSON.parse(readFileSync(join(root, "src/tsconfig.pure.json"), "utf8"));
    expect(config.include).toEqual(PURE_FOLDERS);
    expect(config.compilerOptions.types).toEqual([]);
    expect(config.exclude).toBeUndefined();
  });
});

describe("the check itself", () => {
  const forged: readonly (readonly [string, string, string])[] = [
    ["base/a.ts", 'import { x } from "../wire/x.js";', "base/a.ts:1 imports wire"],
    ["base/a.ts", '\nimport "../wire/x.js";', "base/a.ts:2 imports wire"],
    ["base/a.ts", 'export * from "../wire/x.js";', "base/a.ts:1 imports wire"],
    ["base/a.ts", 'export { x } from "../wire/x.js";', "base/a.ts:1 imports wire"],
    ["base/a.ts", 'const x = await import("../wire/x.js");', "base/a.ts:1 imports wire"],
    ["base/a.ts", 'type X = import("../wire/x.js").X;', "base/a.ts:1 imports wire"],
    ["base/a.ts", 'import x = require("../wire/x.js");', "base/a.ts:1 imports wire"],
    ["base/a.ts", "const x = await import(name);", "base/a.ts:1 imports by a name that is not written out"],
    ["device/a.ts", "const x = require(name);", "device/a.ts:1 imports by a name that is not written out"],
    ["base/a.ts", 'import type { x } from "../wire/x.js";', "base/a.ts:1 imports wire"],
    ["base/a.ts", 'import { x } from "../b.js";', "base/a.ts:1 imports b.ts, which no layer holds"],
    ["base/a.ts", 'import { x } from "../../test/b.js";', "base/a.ts:1 imports ../test/b.ts, which no layer holds"],
    ["observe/a.ts", 'import { type T } from "../tcp/t.js";', "observe/a.ts:1 imports more than types of tcp"],
    ["net/a.ts", 'import { x } from "../kernel/x.js";', "net/a.ts:1 imports more than types of kernel"],
    ["wire/a.ts", 'import { readFileSync } from "node:fs";', "wire/a.ts:1 imports node:fs"],
    ["wire/a.ts", 'import type { Socket } from "net";', "wire/a.ts:1 imports net"],
    ["cli/a.ts", 'import koffi from "koffi";', "cli/a.ts:1 imports koffi"],
    ["unheard/a.ts", "export {};", "unheard/a.ts lies in no layer"],
    ["tcp/a.ts", "const now = Date.now();", "tcp/a.ts:1 uses Date: clock"],
    ["tcp/a.ts", "const now = new Date();", "tcp/a.ts:1 uses Date: clock"],
    ["tcp/a.ts", "const now = globalThis.performance.now();", "tcp/a.ts:1 uses performance: clock"],
    ["tcp/a.ts", 'const now = process["hrtime"]();', "tcp/a.ts:1 uses process.hrtime: clock"],
    ["tcp/a.ts", "const f = Math.random;", "tcp/a.ts:1 uses Math.random: randomness"],
    ["tcp/a.ts", "const o = { random: Math?.random() };", "tcp/a.ts:1 uses Math.random: randomness"],
    ["tcp/a.ts", "console.log(1);", "tcp/a.ts:1 uses console: host"],
    ["kernel/a.ts", "setTimeout(f, 1);", "kernel/a.ts:1 uses setTimeout: timers"],
    ["kernel/a.ts", 'import { setTimeout as later } from "node:timers";', "kernel/a.ts:1 uses node:timers: timers"],
    ["device/a.ts", 'import { randomInt as dice } from "node:crypto";', "device/a.ts:1 uses randomInt: randomness"],
    ["cli/a.ts", "Math.random();", "cli/a.ts:1 uses Math.random: randomness"],
  ];

  it.each(forged)("finds the breach in %s: %s", (file, source, breach) => {
    expect(breaches(file, source)).toEqual([breach]);
  });

  const kept: readonly (readonly [string, string])[] = [
    ["wire/a.ts", 'import { x } from "../base/x.js";\nimport { y } from "./y.js";\nexport { z } from "./deep/z.js";'],
    [
      "observe/a.ts",
      'import type { T } from "../tcp/t.js";\nexport type { U } from "../tcp/u.js";\ntype V = import("../tcp/v.js").V;',
    ],
    ["tcp/a.ts", '// import "../net/x.js";\nconst s = `import "node:fs"; Date.now()`;'],
    ["tcp/a.ts", "const clock = { Date: 1, setTimeout(): void {} };\nclock.setTimeout();\nclass Timer { performance = 1; }"],
    ["driver/a.ts", 'import { hrtime } from "node:process";\nsetTimeout(() => Math.random() + Date.now(), 1);'],
    ["device/a.ts", 'const raw = createRequire(import.meta.url)("raw-socket");\nsetImmediate(() => {});'],
    ["index.ts", 'export { connect } from "./net/connect.js";'],
  ];

  it.each(kept)("finds nothing in %s: %s", (file, source) => {
    expect(breaches(file, source)).toEqual([]);
  });
});

describe("the tree", () => {
  it("only what is allowed lies at the top", () => {
    const files = execFileSync("bash", [join(root, "scripts/list-files.sh")], { encoding: "utf8" }).split("\0");
    const top = new Set(files.filter((file) => file !== "").map((file) => normalize(file).split("/")[0] ?? ""));
    const allowed = new Set([...TOP_LEVEL, ...TOP_LEVEL_BESIDES]);
    expect([...top].filter((name) => !name.startsWith(".") && !allowed.has(name))).toEqual([]);
    expect(top).toContain("src");
  });

  it(`no file in src is longer than ${MAX_LINES} lines`, () => {
    const lengths = sources.map(
      (file) =>
        [
          file,
          readFileSync(join(root, "src", file), "utf8")
            .trimEnd()
            .split("\n").length,
        ] as const,
    );
    expect(lengths.filter(([, lines]) => lines > MAX_LINES)).toEqual([]);
  });
});

/** One import; `from` is undefined when it is computed at run time. */
interface Import {
  readonly from: string | undefined;
  readonly typeOnly: boolean;
  readonly line: number;
}

/** What a file (its path inside src) does that its layer may not, a line each. */
function breaches(file: string, source: string): string[] {
  const layer = FILES[file] ?? LAYERS[file.split("/")[0] ?? ""];
  if (layer === undefined) return [`${file} lies in no layer`];
  const imports = readImports(source).flatMap((found) => {
    const what = importBreach(file, layer, found);
    return what === undefined ? [] : [`${file}:${found.line} ${what}`];
  });
  const powers = readPowers(source)
    .filter(({ power }) => !layer.may?.includes(power) && !UNAVOIDABLE[file]?.includes(power))
    .map(({ name, power, line }) => `${file}:${line} uses ${name}: ${power}`);
  return [...imports, ...powers];
}

function importBreach(file: string, layer: Layer, { from, typeOnly }: Import): string | undefined {
  if (from === undefined) return "imports by a name that is not written out";
  if (!from.startsWith(".")) {
    const name = from.startsWith("node:") ? "node:*" : from;
    return layer.packages?.includes(name) ? undefined : `imports ${from}`;
  }
  const path = target(file, from);
  const folder = path.split("/")[0] ?? "";
  if (!Object.hasOwn(LAYERS, folder)) return `imports ${path}, which no layer holds`;
  if (folder === file.split("/")[0] || layer.imports.includes(folder)) return undefined;
  if (!layer.types?.includes(folder)) return `imports ${folder}`;
  return typeOnly ? undefined : `imports more than types of ${folder}`;
}

/** The path inside src that a relative import names. */
function target(file: string, from: string): string {
  return normalize(join(dirname(file), from)).replace(/\.js$/, ".ts");
}

/** Any node of the syntax tree; fields beyond these differ by type and are looked at one by one. */
interface Node {
  readonly type: string;
  readonly loc: { readonly start: { readonly line: number } };
  readonly [field: string]: unknown;
}

function isNode(value: unknown): value is Node {
  return typeof value === "object" && value !== null && typeof (value as Node).type === "string";
}

/** Every node, with the one that holds it and the field that it stands in. */
function* walk(node: Node, parent?: Node, field = ""): Generator<{ node: Node; parent: Node | undefined; field: string }> {
  yield { node, parent, field };
  for (const [name, value] of Object.entries(node)) {
    for (const child of Array.isArray(value) ? value : [value]) {
      if (isNode(child) && "loc" in child) yield* walk(child, node, name);
    }
  }
}

function syntaxTree(source: string): Node {
  const { program } = parse(source, { sourceType: "module", plugins: ["typescript"], createImportExpressions: true });
  return program as unknown as Node;
}

/** Static, dynamic, type-only and CommonJS imports and re-exports. */
function readImports(source: string): Import[] {
  const found: Import[] = [];
  for (const { node } of walk(syntaxTree(source))) {
    const specifier = importedFrom(node);
    if (specifier === undefined) continue;
    // `import { type T } from "x"` is no type import: under verbatimModuleSyntax it still loads "x".
    const typeOnly = node.type === "TSImportType" || node["importKind"] === "type" || node["exportKind"] === "type";
    const from = specifier === "computed" ? undefined : specifier.value;
    found.push({ from, typeOnly, line: node.loc.start.line });
  }
  return found;
}

/** What a node imports from; undefined if it is no import. */
function importedFrom(node: Node): { value: string } | "computed" | undefined {
  switch (node.type) {
    case "ImportDeclaration":
    case "ExportNamedDeclaration":
    case "ExportAllDeclaration":
      return isNode(node["source"]) ? literal(node["source"]) : undefined;
    case "ImportExpression":
      return literal(node["source"]);
    case "TSImportType":
      return literal(node["argument"]);
    case "TSExternalModuleReference":
      return literal(node["expression"]);
    case "CallExpression":
      return isRequire(node["callee"]) ? literal((node["arguments"] as unknown[])[0]) : undefined;
    default:
      return undefined;
  }
}

/** `require` or `createRequire(…)`. */
function isRequire(callee: unknown): boolean {
  if (!isNode(callee)) return false;
  if (callee.type === "CallExpression") return isNode(callee["callee"]) && callee["callee"]["name"] === "createRequire";
  return callee.type === "Identifier" && callee["name"] === "require";
}

/** The text of a string literal, also where TypeScript wraps one in a type. */
function literal(node: unknown): { value: string } | "computed" {
  if (!isNode(node)) return "computed";
  if (node.type === "TSLiteralType") return literal(node["literal"]);
  return node.type === "StringLiteral" ? { value: String(node["value"]) } : "computed";
}

/** Uses of clock, timers, randomness and the host, the longest name alone: `process.hrtime`, not `process` too. */
function readPowers(source: string): { name: string; power: Power; line: number }[] {
  const found: { name: string; power: Power; line: number }[] = [];
  for (const { node, parent, field } of walk(syntaxTree(source))) {
    const name = node.type === "ImportDeclaration" ? literal(node["source"]) : usedName(node, parent, field);
    if (name === undefined || name === "computed") continue;
    const text = typeof name === "string" ? name : name.value;
    const power = node.type === "ImportDeclaration" ? POWER_MODULES[text] : POWERS[text];
    if (power !== undefined) found.push({ name: text, power, line: node.loc.start.line });
  }
  return found;
}

/** `Date`, `Math.random`, `globalThis.Date`; undefined for the name of a property, a key, or the inside of a longer name. */
function usedName(node: Node, parent: Node | undefined, field: string): string | undefined {
  if (node.type === "MemberExpression" || node.type === "OptionalMemberExpression") {
    const name = dotted(node);
    return name !== undefined && Object.hasOwn(POWERS, name) ? name : undefined;
  }
  if (node.type !== "Identifier") return undefined;
  const name = String(node["name"]);
  if (parent === undefined || field === "local" || parent.type.startsWith("Export")) return name;
  if (parent.type === "ImportSpecifier") return field === "imported" && POWERS[name] === "randomness" ? name : undefined;
  const isMember = parent.type === "MemberExpression" || parent.type === "OptionalMemberExpression";
  if (isMember && (field === "property" || Object.hasOwn(POWERS, dotted(parent) ?? ""))) {
    return parent["computed"] === true && field === "property" ? name : undefined;
  }
  return field === "key" && parent["computed"] !== true ? undefined : name;
}

/** "Math.random" of `Math.random`, `Math?.random`, `Math["random"]` and `globalThis.Math.random`. */
function dotted(node: unknown): string | undefined {
  if (!isNode(node)) return undefined;
  if (node.type === "Identifier") return String(node["name"]);
  if (node.type !== "MemberExpression" && node.type !== "OptionalMemberExpression") return undefined;
  const object = dotted(node["object"]);
  const property = node["property"];
  if (object === undefined || !isNode(property)) return undefined;
  const name =
    property.type === "StringLiteral" ? String(property["value"]) : node["computed"] ? undefined : String(property["name"]);
  if (name === undefined) return undefined;
  return object === "globalThis" ? name : `${object}.${name}`;
}
