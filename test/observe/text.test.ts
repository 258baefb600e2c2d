import { expect, test } from "vitest";
import { formatEvent } from "../../src/observe/text.js";
import { HTTP_EXCHANGE, segment, TROUBLE } from "./sample-trace.js";

test("one line for each event", async () => {
  const lines = [...HTTP_EXCHANGE, ...TROUBLE].map(formatEvent);
  for (const line of lines) expect(line).not.toContain("\n");
  await expect(`${lines.join("\n")}\n`).toMatchFileSnapshot("golden/text.txt");
});

test("sequence numbers as tcpdump prints them: relative where known, absolute and wrapping where not", () => {
  const known = segment({ t: 0, dir: "out", flags: "P.", rel: 1, relAck: 5, len: 10 });
  expect(formatEvent(known)).toContain("seq 1:11, ack 5,");
  const unknown = { ...known, relSeq: null, relAck: null };
  expect(formatEvent(unknown)).toContain("seq 4294967291:5, ack 4294967205,");
  expect(formatEvent({ ...known, len: 0 })).not.toContain("seq");
  expect(formatEvent({ ...known, len: 0, flags: "R" })).toContain("Flags [R], seq 1, win");
});

test("control characters do not reach the terminal", () => {
  expect(formatEvent({ t: 0, conn: 1, type: "drop", reason: "a\u001b[2Jb\n" })).toBe("0.000000 #1 dropped -- a?[2Jb?");
});
