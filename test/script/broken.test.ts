/** Scripts that someone has broken: each has a verdict, soon, and what is no script says where. */
import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { SeededRandom } from "../../src/base/random.js";
import { judge } from "./support.js";

const root = resolve(import.meta.dirname, "../pkt");
const texts = ["fast-open", "sack", "icmp", "urgent", "sockets", "freebsd"].flatMap((folder) =>
  readdirSync(join(root, folder))
    .filter((file) => file.endsWith(".pkt"))
    .map((file) => readFileSync(join(root, folder, file), "utf8")),
);
const PIECES = [
  ...["(", ")", "[", "]", "{", "}", "<", ">", "...", "*", "+0", "-1", "4294967296", "0x", '"', "`", "%{", "}%", "/*", "//", "~"],
  ...[
    "!",
    ",",
    "=",
    "|",
    "&",
    "mss",
    "TS val",
    "sack",
    "\n",
    "\0",
    "icmp",
    "udp",
    "-D X=",
    "--mtu=0",
    "#ifdef FreeBSD",
    "#endif",
  ],
  ...["+0.0...9999999", "win", "9".repeat(400), "(".repeat(3000), "[".repeat(3000), "%{ while 1: pass }%", "`sleep 99`"],
];

function broken(random: SeededRandom): string {
  const pick = (count: number): number => random.u32() % count;
  let text = texts[pick(texts.length)] ?? "";
  for (let i = 1 + pick(4); i > 0; i--) {
    const at = pick(text.length + 1);
    const lines = text.split("\n");
    const [a, b] = [pick(lines.length), pick(lines.length)];
    switch (pick(5)) {
      case 0:
        text = text.slice(0, at) + text.slice(at + 1 + pick(10));
        break;
      case 1:
        text = text.slice(0, at) + (PIECES[pick(PIECES.length)] ?? "") + text.slice(at);
        break;
      case 2:
        text = lines.toSpliced(a, 1 + pick(2)).join("\n");
        break;
      case 3:
        text = text.replace(/\d+/g, (digits) =>
          pick(12) === 0 ? (["0", "65535", "65536", "4294967295"][pick(4)] ?? "") : digits,
        );
        break;
      default:
        text = lines.with(a, lines[b] ?? "").join("\n");
    }
  }
  return text;
}

describe("broken scripts", () => {
  it.each([1, 2, 3, 4])("have a verdict (seed %i)", (seed) => {
    const random = new SeededRandom(seed);
    const outcomes = new Set<string>();
    for (let i = 0; i < 300; i++) {
      const text = broken(random);
      const { outcome, message } = judge(text);
      outcomes.add(outcome);
      if (outcome === "error") expect(message, text).toMatch(/^line \d+, column \d+: /);
      expect(message, text).not.toMatch(/call stack|undefined|is not a function|come to rest/);
    }
    expect([...outcomes].sort()).toEqual(["error", "fail", "pass", "unsupported"]);
  });
});
