import { describe, expect, test } from "vitest";
import type { TraceEvent } from "../../src/observe/events.js";
import { Ladder, type LadderOptions } from "../../src/observe/ladder.js";
import { HTTP_EXCHANGE, segment, TROUBLE } from "./sample-trace.js";

function draw(events: readonly TraceEvent[], options: LadderOptions = {}): string[] {
  const lines: string[] = [];
  const ladder = new Ladder(options, (line) => lines.push(line));
  for (const event of events) ladder.event(event);
  ladder.end();
  return lines;
}

const text = (lines: readonly string[]): string => `${lines.join("\n")}\n`;

describe("golden ladders", () => {
  test("an HTTP exchange", async () => {
    await expect(text(draw(HTTP_EXCHANGE))).toMatchFileSnapshot("golden/http.txt");
  });

  test("loss, discarded segments, IPv6, two connections, a reset; narrow and in ASCII", async () => {
    await expect(text(draw(TROUBLE, { width: 100, unicode: false }))).toMatchFileSnapshot("golden/trouble-ascii.txt");
  });

  test("all options, all timers, no phases", async () => {
    await expect(
      text(draw(HTTP_EXCHANGE.slice(0, 12), { allOptions: true, timers: "all", phases: false, width: 140 })),
    ).toMatchFileSnapshot("golden/http-all-options.txt");
  });
});

describe("the frame", () => {
  test.each([60, 100, 101, 120, 159, 160, 300])(
    "with width %i no line overflows and both lifelines stay in their columns",
    (width) => {
      const columns = Math.min(160, Math.max(100, width));
      for (const events of [HTTP_EXCHANGE, TROUBLE]) {
        const lines = draw(events, { width });
        for (const line of lines) expect([...line].length).toBeLessThanOrEqual(columns);
        // Lines without lifelines: what belongs to no connection and comes before the first.
        const framed = lines.filter((line) => !line.includes("port guard bpf holds"));
        for (const line of framed) {
          expect(line[26]).toMatch(/[│╷╵├●○]/);
          expect(line[columns - 14]).toMatch(/[│╷╵┤●]/);
        }
      }
    },
  );

  test("in ASCII no other character appears", () => {
    for (const events of [HTTP_EXCHANGE, TROUBLE]) expect(text(draw(events, { unicode: false }))).toMatch(/^[\n -~]*$/);
  });

  test("colours are off by default, and without them the drawing is the same", () => {
    expect(text(draw(HTTP_EXCHANGE))).not.toContain("\u001b");
    const coloured = text(draw(HTTP_EXCHANGE, { colour: true }));
    expect(coloured).toContain("\u001b[36m");
    // biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences are what is removed
    expect(coloured.replace(/\u001b\[[0-9;]*m/g, "").replace(/ +$/gm, "")).toBe(text(draw(HTTP_EXCHANGE)));
  });

  test("control characters in a reason or payload cannot reach the terminal", () => {
    const lines = draw([
      segment({ t: 0, dir: "in", flags: "P.", rel: 1, relAck: 1, len: 3, payload: "\u001b[2J\u009b", reason: "a\nb\u0007" }),
    ]);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
    expect(lines.join("")).not.toMatch(/[\u0000-\u001f\u007f-\u009f]/);
    expect(lines.join("")).toContain("a?b?");
  });
});

describe("streaming", () => {
  test("every event is drawn when it comes, not later", () => {
    const lines: string[] = [];
    const ladder = new Ladder({}, (line) => lines.push(line));
    let before = 0;
    for (const event of HTTP_EXCHANGE) {
      ladder.event(event);
      expect(lines.length, JSON.stringify(event)).toBeGreaterThan(before);
      before = lines.length;
    }
  });

  test("a peer state that did not change is not drawn again", () => {
    const peer: TraceEvent = { t: 1, conn: 1, type: "peer", state: "ESTABLISHED", source: "proc" };
    expect(draw([peer, { ...peer, t: 2 }, { ...peer, t: 3 }])).toEqual(draw([peer]));
  });

  test("timers are chosen: none, those that run out and the start of TIME-WAIT, all", () => {
    const timer: TraceEvent = {
      t: 1,
      conn: 1,
      type: "timer",
      timer: "delayed-ack",
      action: "start",
      delayUs: 40_000,
      reason: "",
    };
    const expiry: TraceEvent = { ...timer, action: "expire", delayUs: 0 };
    const wait: TraceEvent = { ...timer, timer: "time-wait" };
    const count = (timers: "none" | "expire" | "all"): number =>
      draw([timer, expiry, wait], { timers }).filter((line) => line.includes("timer")).length;
    expect([count("none"), count("expire"), count("all")]).toEqual([0, 2, 3]);
  });

  test("one connection can be picked", () => {
    const picked = text(draw(TROUBLE, { conn: 2 }));
    expect(picked).toContain("a very long reason");
    expect(picked).not.toContain("new data");
  });
});
