import { describe, expect, test } from "vitest";
import type { TraceEvent } from "../../src/observe/events.js";
import { Summary } from "../../src/observe/summary.js";
import { HTTP_EXCHANGE, segment, TROUBLE } from "./sample-trace.js";

function summarise(...events: readonly TraceEvent[]): string[] {
  const summary = new Summary();
  for (const event of events) summary.event(event);
  return summary.paragraphs();
}

const syn = segment({ t: 0, dir: "out", flags: "S", rel: 0 });
const synAck = segment({ t: 1, dir: "in", flags: "S.", rel: 0, relAck: 1 });

test("an HTTP exchange with the states of both ends", () => {
  expect(summarise(...HTTP_EXCHANGE)).toEqual([
    "Connection 1, 127.0.0.1:40001 to 127.0.0.1:80, 240 s. Opened by us (active open). " +
      "Our states: CLOSED, SYN-SENT, ESTABLISHED, FIN-WAIT-1, FIN-WAIT-2, TIME-WAIT, CLOSED. " +
      "The peer's: LISTEN, SYN-RECEIVED, ESTABLISHED, CLOSE-WAIT, LAST-ACK, CLOSED. " +
      "Sent 6 segments with 37 bytes of payload; received 5 segments with 128 bytes of payload. " +
      "Closed by us first, both FINs acknowledged.",
  ]);
});

test("losses, repetitions, discarded segments, a reset, and a connection of which only a part was seen", () => {
  const [first, second] = summarise(...TROUBLE);
  expect(first).toContain("Its opening was not seen.");
  expect(first).toContain("Sent 2 segments with 2896 bytes of payload (1 sent again, 1 lost)");
  expect(first).toContain("1 segment discarded. Ended by a RST from the peer.");
  expect(second).toContain("Half closed: FIN from the peer, not acknowledged.");
});

describe("how it was opened", () => {
  test("by the peer", () => {
    const events = [
      segment({ t: 0, dir: "in", flags: "S", rel: 0 }),
      segment({ t: 1, dir: "out", flags: "S.", rel: 0, relAck: 1 }),
    ];
    expect(summarise(...events)[0]).toContain("Opened by the peer (passive open). Sent");
  });

  test("by both at once", () => {
    const events = [
      syn,
      segment({ t: 1, dir: "in", flags: "S", rel: 0 }),
      segment({ t: 2, dir: "out", flags: "S.", rel: 0, relAck: 1 }),
    ];
    expect(summarise(...events)[0]).toContain("Both ends opened at once (simultaneous open).");
  });

  test("a SYN repeated by the peer is no simultaneous open", () => {
    const theirs = segment({ t: 0, dir: "in", flags: "S", rel: 0 });
    const events = [theirs, segment({ t: 1, dir: "out", flags: "S.", rel: 0, relAck: 1 }), theirs];
    expect(summarise(...events)[0]).toContain("Opened by the peer (passive open).");
    expect(summarise(...events)[0]).toContain("(1 seen again or out of order)");
  });

  test("a SYN that nobody answers", () => {
    expect(summarise(syn, syn)[0]).toContain("It was never answered with a SYN.");
    expect(summarise(syn, syn)[0]).toContain("(1 sent again)");
    expect(summarise(syn)[0]).toContain("Not closed.");
  });
});

describe("how it was closed", () => {
  const fin = (dir: "out" | "in", relAck: number): TraceEvent => segment({ t: 5, dir, flags: "F.", rel: 1, relAck });
  const ack = (dir: "out" | "in", relAck: number): TraceEvent => segment({ t: 6, dir, flags: ".", rel: 2, relAck });

  test.each<[string, TraceEvent[], string]>([
    ["by the peer first", [fin("in", 1), fin("out", 2), ack("in", 2)], "Closed by the peer first, both FINs acknowledged."],
    ["last ACK missing", [fin("in", 1), fin("out", 2)], "Closed by the peer first, not every FIN acknowledged."],
    ["half closed", [fin("out", 1), ack("in", 2)], "Half closed: FIN from us."],
    ["reset by us", [segment({ t: 7, dir: "out", flags: "R.", rel: 1, relAck: 1 })], "Ended by a RST from us."],
  ])("%s", (_name, events, sentence) => {
    expect(summarise(syn, synAck, ...events)[0]?.endsWith(sentence)).toBe(true);
  });
});

test("beyond a thousand connections the rest is counted", () => {
  const paragraphs = summarise(...Array.from({ length: 1010 }, (_, i) => ({ ...syn, conn: i + 1 })), { ...syn, conn: 1005 });
  expect(paragraphs).toHaveLength(1001);
  expect(paragraphs.at(-1)).toBe("10 further connections not listed.");
});

test("events of no connection are passed over", () => {
  expect(summarise({ t: 0, conn: 0, type: "drop", reason: "no connection" })).toEqual([]);
});
