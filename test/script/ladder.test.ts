/** The picture of a run. */
import { describe, expect, it } from "vitest";
import { ladderLines } from "../../src/script/ladder.js";
import { START } from "../../src/script/runner.js";
import { ACCEPTED, judge } from "./support.js";

describe("ladderLines", () => {
  it("packets to the right and to the left in the script's numbers, calls with what they gave, and what nobody has expected", () => {
    const { steps } = judge(`${ACCEPTED} +0 write(4, ..., 10) = 10\n +0 > P. 1:11(10) ack 1\n +0 read(4, ..., 9) = 0`);
    const lines = ladderLines(steps, START).map((line) => line.replace(/-{2,}/, "--").replace(/ {2,}/g, " ").trim());
    expect(lines.slice(4, 10)).toEqual([
      "0.000000 S 0:0(0) win 32792 <mss 1000> -->|",
      "0.000000 <-- S. 0:0(0) ack 1 win 64240 <mss 1460> |",
      "0.100000 . 1:1(0) ack 1 win 32792 -->|",
      "0.100000 | accept(3, ..., ...) = 4",
      "0.100000 | write(4, ..., 10) = 10",
      "0.100000 <-- P. 1:11(10) ack 1 win 64240 |",
    ]);
    const [unexpected] = ladderLines(judge(`${ACCEPTED} +0 write(4, ..., 10) = 10\n +0 close(9) = 0`).steps, START).slice(-1);
    expect(unexpected).toMatch(/<-+ P\. 1:11\(10\) ack 1 win 64240 \|$/);
  });
});
