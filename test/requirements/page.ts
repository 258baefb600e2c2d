/** The two pages, and what is wrong with the annotations, from the titles of the tests. */
import { type Chapter, RFC9293 } from "./rfc9293.js";
import { RFCS } from "./rfcs.js";
import { idsIn, sectionsIn, type TitledTest } from "./scan.js";

/** Tests by what they show. */
export type Shown = ReadonlyMap<string, readonly TitledTest[]>;

/** Groups tests by the requirement ids in their titles. */
export function byId(tests: readonly TitledTest[]): Shown {
  return grouped(tests, (test) => idsIn(test.title));
}

/** Groups tests by row of `RFCS`: "5961 §3.2". A reference to a subsection counts for the row above it. */
export function bySection(tests: readonly TitledTest[]): Shown {
  return grouped(tests, (test) => sectionsIn(test.title).map((reference) => rowOf(reference) ?? ""));
}

/** References to sections of an RFC of the list that the list does not have. */
export function unknownSections(tests: readonly TitledTest[]): string[] {
  const numbers = new Set(RFCS.map((rfc) => rfc.number));
  return tests.flatMap(({ file, title }) =>
    sectionsIn(title)
      .filter((reference) => numbers.has(reference.slice(0, 4)) && reference.includes("§") && rowOf(reference) === undefined)
      .map((reference) => `RFC ${reference} in ${file}: ${title}`),
  );
}

/** Ids that RFC 9293 does not have. */
export function unknownIds(tests: readonly TitledTest[]): string[] {
  const known = new Set(RFC9293.flatMap((chapter) => chapter.requirements.map((requirement) => requirement.id)));
  return tests.flatMap(({ file, title }) =>
    idsIn(title)
      .filter((id) => !known.has(id))
      .map((id) => `${id} in ${file}: ${title}`),
  );
}

export interface Row {
  readonly key: string;
  readonly text: string;
  readonly reason?: string;
}

/** Requirements with neither test nor reason. */
export function unproven(rows: readonly Row[], shown: Shown): string[] {
  return rows.filter((row) => row.reason === undefined && !shown.has(row.key)).map((row) => `${row.key}: ${row.text}`);
}

/** Requirements that give a reason why no test shows them though one does. */
export function outdatedReasons(rows: readonly Row[], shown: Shown): string[] {
  return rows.filter((row) => row.reason !== undefined && shown.has(row.key)).map((row) => row.key);
}

/** All rows of RFC 9293. */
export function rfc9293Rows(chapters: readonly Chapter[] = RFC9293): Row[] {
  return chapters.flatMap((chapter) => chapter.requirements.map(({ id, ...rest }) => ({ key: id, ...rest })));
}

/** All rows of the other RFCs. */
export function rfcRows(): Row[] {
  return RFCS.flatMap((rfc) => rfc.sections.map(({ section, ...rest }) => ({ key: `${rfc.number} §${section}`, ...rest })));
}

/** test/rfc9293.md */
export function rfc9293Page(tests: readonly TitledTest[]): string {
  const shown = byId(tests);
  const chapters = RFC9293.map(({ title, requirements }) => ({
    title,
    rows: requirements.map(({ id, ...rest }) => ({ key: id, ...rest })),
  }));
  return page("RFC 9293, requirement by requirement", chapters, shown);
}

/** test/rfcs.md */
export function rfcsPage(tests: readonly TitledTest[]): string {
  const chapters = RFCS.map(({ number, title, sections }) => ({
    title: `RFC ${number}: ${title}`,
    rows: sections.map(({ section, ...rest }) => ({ key: `${number} §${section}`, ...rest })),
  }));
  return page("The other RFCs, section by section", chapters, bySection(tests));
}

function page(title: string, chapters: readonly { title: string; rows: readonly Row[] }[], shown: Shown): string {
  const rows = chapters.flatMap((chapter) => chapter.rows);
  const proven = rows.filter((row) => shown.has(row.key)).length;
  const excused = rows.filter((row) => row.reason !== undefined).length;
  const lines = [
    `# ${title}`,
    "",
    "Drawn from the titles of the tests by `node scripts/requirements.mjs --write`; edit the titles, not this page. A test that",
    "names a requirement in its title shows it.",
    "",
    `${rows.length} rows: ${proven} shown by tests, ${excused} with a reason why not, ${rows.length - proven - excused} open.`,
  ];
  for (const chapter of chapters) {
    lines.push("", `## ${chapter.title}`, "");
    for (const row of chapter.rows) lines.push(...entry(row, shown.get(row.key) ?? []));
  }
  return `${lines.join("\n")}\n`;
}

function entry(row: Row, tests: readonly TitledTest[]): string[] {
  const label = row.key.includes("§") ? row.key.slice(row.key.indexOf("§")) : row.key;
  const lines = [`- **${label}** ${row.text}`];
  if (row.reason !== undefined) lines.push(`  - No test: ${row.reason}`);
  for (const { file, title } of tests) lines.push(`  - \`${file}\`: ${markdown(title)}`);
  return lines;
}

/** A title as text of Markdown. */
function markdown(title: string): string {
  return title.replace(/[\\`*_<>[\]|]/g, "\\$&");
}

/** The row of a reference like "5961 §3.2.1": its own, or that of the nearest section above. */
function rowOf(reference: string): string | undefined {
  const [number, section = ""] = reference.split(" §");
  const sections = new Set(RFCS.find((rfc) => rfc.number === number)?.sections.map((row) => row.section));
  for (let name = section; name !== ""; name = name.slice(0, Math.max(0, name.lastIndexOf(".")))) {
    if (sections.has(name)) return `${number} §${name}`;
  }
  return undefined;
}

function grouped(tests: readonly TitledTest[], keysOf: (test: TitledTest) => readonly string[]): Shown {
  const groups = new Map<string, TitledTest[]>();
  for (const test of tests) {
    for (const key of new Set(keysOf(test))) {
      if (key === "") continue;
      const group = groups.get(key) ?? [];
      group.push(test);
      groups.set(key, group);
    }
  }
  return groups;
}
