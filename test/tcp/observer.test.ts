/** What an observer is told: states with reasons, timers, drops. */
import { expect, test } from "vitest";
import { Harness, reach } from "./harness.js";

function watch(h: Harness): string[] {
  const lines: string[] = [];
  h.conn.observer = {
    state: (connection, from, to, reason, now) => {
      expect(connection).toBe(h.conn);
      expect(now).toBe(h.now);
      lines.push(`${from} > ${to}: ${reason}`);
    },
    timer: (_, timer, action, delayUs) => void lines.push(`${timer} ${action} ${delayUs}`),
    drop: (_, reason) => void lines.push(reason),
  };
  return lines;
}

test("a life with each timer", () => {
  const h = new Harness();
  const lines = watch(h);
  h.openActive();
  h.nextTimer();
  h.rcv({ flags: "S.", seq: 0, ack: 1, wnd: 0 });
  h.rcv({ flags: ".", wnd: 0, data: 10 });
  h.nextTimer();
  h.send(10);
  h.nextTimer();
  h.rcv({ flags: "." });
  h.read();
  h.close();
  h.rcv({ flags: "." });
  h.rcv({ flags: "", data: 1 });
  h.rcv({ flags: "F." });
  h.nextTimer();
  expect(lines).toEqual([
    "CLOSED > SYN-SENT: active OPEN",
    "retransmission expire 0",
    "SYN-SENT > ESTABLISHED: rcv SYN,ACK",
    "delayed-ack expire 0",
    "persist start 3000000",
    "persist expire 0",
    "ESTABLISHED > FIN-WAIT-1: CLOSE",
    "FIN-WAIT-1 > FIN-WAIT-2: rcv ACK of FIN",
    "fin-wait-2 start 60000000",
    "dropped: no ACK",
    "FIN-WAIT-2 > TIME-WAIT: rcv FIN",
    "time-wait start 60000000",
    "time-wait expire 0",
    "TIME-WAIT > CLOSED: 2 MSL have passed",
  ]);
});

test("FIN-WAIT-2 that lasts too long", () => {
  const h = reach("FIN-WAIT-2");
  const lines = watch(h);
  h.close();
  h.nextTimer();
  expect(lines).toEqual([
    "fin-wait-2 start 60000000",
    "fin-wait-2 expire 0",
    "FIN-WAIT-2 > CLOSED: FIN-WAIT-2 without a user lasted too long",
  ]);
});

test("corked: when it begins to wait, when it has waited long enough, and nothing for what leaves before", () => {
  const h = reach("ESTABLISHED");
  const lines = watch(h);
  h.conn.setCork(true);
  h.send(400);
  expect(lines).toEqual(["cork start 200000"]);
  // A full segment leaves, and what is left waits for a time of its own.
  h.send(700);
  h.rcv({ flags: "." });
  h.nextTimer();
  expect(lines).toEqual(["cork start 200000", "cork start 200000", "cork expire 0"]);
});

test("CLOSE that lingers: how long, and that it was too short", () => {
  const h = reach("ESTABLISHED", undefined, { lingerUs: 5_000_000, rtoMinUs: 60_000_000, sack: false });
  const lines = watch(h);
  h.send(100);
  h.close();
  h.nextTimer();
  expect(lines).toEqual([
    "ESTABLISHED > FIN-WAIT-1: CLOSE",
    "linger start 5000000",
    "linger expire 0",
    expect.stringContaining("FIN-WAIT-1 > CLOSED"),
  ]);
});

test("every packet says why it goes out, data that is sent in order needs no reason", () => {
  const h = new Harness();
  const notes = [...h.openActive(), ...h.nextTimer()].map((packet) => packet.note);
  expect(notes).toEqual(["open: tells our initial sequence number", "SYN again: no answer yet"]);
  h.rcv({ flags: "S.", seq: 0, ack: 1 });
  expect(h.send(10)[0]?.note).toBe("");
  expect(h.nextTimer()[0]?.note).toBe("retransmission after time-out");
  expect(h.rcv({ flags: ".", seq: 500, data: 1 })[0]?.note).toContain("duplicate ACK");
  expect(h.shutdown()[0]?.note).toBe("close: no more data from us");
  expect(h.abort()[0]?.note).toContain("abort");
});
