import { describe, expect, it } from "vitest";
import { drillWords } from "../../src/cli/drill-words.js";

describe("packetdrill's own options on the command line of drill", () => {
  it.each<[string[], string[]]>([
    [
      ["--ip_version=ipv6", "a.pkt"],
      ["--option=ip_version=ipv6", "a.pkt"],
    ],
    [
      ["--tolerance_usecs", "10000", "a.pkt"],
      ["--option=tolerance_usecs=10000", "a.pkt"],
    ],
    [
      ["-D", "CC=reno", "-DX=1", "--define", "Y=2", "--define=Z=3"],
      ["CC=reno", "X=1", "Y=2", "Z=3"].map((one) => `--option=-D ${one}`),
    ],
    [
      ["-v", "--debug", "--dry_run"],
      ["--option=verbose", "--option=debug", "--option=dry_run"],
    ],
    [["--mtu", "--json"], ["--option=mtu=--json"]],
    [
      ["--strict", "--seed", "3", "--option", "mtu=5"],
      ["--strict", "--seed", "3", "--option", "mtu=5"],
    ],
    [["-D"], ["--option=-D "]],
  ])("%j", (words, expected) => {
    expect(drillWords(["drill", ...words])).toEqual(["drill", ...expected]);
  });

  it("other commands keep their words", () => {
    expect(drillWords(["send", "-D", "x", "--mtu=5"])).toEqual(["send", "-D", "x", "--mtu=5"]);
  });
});
