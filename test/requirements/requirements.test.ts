/** Every requirement has a test or a reason, every annotation a requirement, and the pages are those of the tests as they are. */
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import {
  byId,
  bySection,
  outdatedReasons,
  rfc9293Page,
  rfc9293Rows,
  rfcRows,
  rfcsPage,
  unknownIds,
  unknownSections,
  unproven,
} from "./page.js";
import { idsIn, sectionsIn, titledTests, titlesOf } from "./scan.js";

const tests = titledTests(fileURLToPath(new URL("..", import.meta.url)));

describe("the numbered requirements", () => {
  it("are all in the list, once", () => {
    const ids = rfc9293Rows().map((row) => row.key);
    const numbered = (word: string, count: number) => Array.from({ length: count }, (_, i) => `${word}-${i + 1}`);
    const all = [...numbered("MUST", 69), ...numbered("SHLD", 31), ...numbered("MAY", 18), "REC-1"];
    expect([...ids].sort()).toEqual(all.sort());
  });

  it("each has a test or a reason", () => {
    expect(unproven(rfc9293Rows(), byId(tests))).toEqual([]);
  });

  it("none gives a reason that a test contradicts", () => {
    expect(outdatedReasons(rfc9293Rows(), byId(tests))).toEqual([]);
  });

  it("no test names one that does not exist", () => {
    expect(unknownIds(tests)).toEqual([]);
  });
});

describe("the sections of the other RFCs", () => {
  it("each has a test or a reason, and none both", () => {
    expect(unproven(rfcRows(), bySection(tests))).toEqual([]);
    expect(outdatedReasons(rfcRows(), bySection(tests))).toEqual([]);
  });

  it("no test names one that is not in the list (test/requirements/rfcs.ts)", () => {
    expect(unknownSections(tests)).toEqual([]);
  });
});

describe("the pages (mend: node scripts/requirements.mjs --write)", () => {
  it.each([
    ["rfc9293.md", rfc9293Page],
    ["rfcs.md", rfcsPage],
  ] as const)("%s is drawn from the tests as they are now", async (name, page) => {
    await expect(page(tests)).toMatchFileSnapshot(fileURLToPath(new URL(`../${name}`, import.meta.url)));
  });
});

describe("what is found wrong", () => {
  const named = (title: string) => [{ file: "a.test.ts", title }];

  it("an id or a section that does not exist", () => {
    expect(unknownIds(named("x (MUST-70, MUST-69)"))).toEqual(["MUST-70 in a.test.ts: x (MUST-70, MUST-69)"]);
    expect(unknownSections(named("RFC 5961 §9 and §3.2, RFC 5961, RFC 1 §1"))).toEqual([
      "RFC 5961 §9 in a.test.ts: RFC 5961 §9 and §3.2, RFC 5961, RFC 1 §1",
    ]);
  });

  it("a requirement without test and reason, and a reason beside a test", () => {
    const rows = [
      { key: "MUST-1", text: "a" },
      { key: "MUST-2", text: "b" },
      { key: "MUST-3", text: "c", reason: "d" },
    ];
    const shown = byId(named("MUST-1, MUST-3"));
    expect(unproven(rows, shown)).toEqual(["MUST-2: b"]);
    expect(outdatedReasons(rows, shown)).toEqual(["MUST-3"]);
  });

  it("a subsection counts for its section", () => {
    expect([...bySection(named("RFC 5961 §3.2")).keys()]).toEqual(["5961 §3"]);
  });
});

describe("what counts as a test", () => {
  it("those of every form, with the text of a template", () => {
    const source = [
      'describe("a", () => { it("b", () => {}); });',
      'test.each([1])("c %s", () => {});',
      'describe.skipIf(slow).each([1])("d", () => {});',
      ["it(`e ", "{1} f`, () => {});"].join("$"),
    ].join("\n");
    expect(titlesOf(source)).toEqual(["a", "b", "c %s", "d", "e … f"]);
  });

  it("the rows of a table that name a requirement", () => {
    const source = 'it.each([["a (MUST-1)", 1], ["b", 2]] as const)("%s: c", () => {}); it.each(["RFC 1 §2"])("%s", () => {});';
    expect(titlesOf(source)).toEqual(["%s: c", "a (MUST-1): c", "%s", "RFC 1 §2"]);
  });

  it("nothing that is skipped, planned, commented, or no test", () => {
    const source = [
      'describe.skip("a", () => { it("b", () => {}); });',
      'it.skip("c", () => {}); test.todo("d"); it.skip.each([1])("e", () => {});',
      '// it("f", () => {});',
      'other("g", () => {}); h.test("i", () => {}); it("j");',
    ].join("\n");
    expect(titlesOf(source)).toEqual([]);
  });

  it("ids and sections in a title", () => {
    expect(idsIn("x (MUST-13, SHLD-4) MUST-1a MAY-100")).toEqual(["MUST-13", "SHLD-4", "MAY-100"]);
    expect(sectionsIn("§9 of none; RFC 5961 §3.2, §4 and RFC 1337")).toEqual(["5961", "5961 §3.2", "5961 §4", "1337"]);
  });
});
