/** The user calls in every state (RFC 9293 §3.10.1 to §3.10.6). */
import { describe, expect, test } from "vitest";
import { NEVER } from "../../src/base/time.js";
import type { ConnectionEvent } from "../../src/tcp/events.js";
import { STATES, type State } from "../../src/tcp/state.js";
import { Harness, pattern, reach, texts, WRAPPING } from "./harness.js";

type Answers<T> = Readonly<Record<State, T>>;

function make(state: State): Harness {
  return state === "CLOSED" ? new Harness() : reach(state);
}

function codeOf(call: () => unknown): string {
  try {
    call();
  } catch (error) {
    return String((error as { code?: unknown }).code);
  }
  return "";
}

/** What a call does: the error code or "", the state after it, what is sent, the events. */
type Outcome = readonly [code: string, state: State, sent: readonly string[], events: readonly ConnectionEvent[]];

function table(call: (h: Harness) => unknown, answers: Answers<Outcome>): void {
  test.each(STATES)("%s", (state) => {
    const h = make(state);
    const code = codeOf(() => call(h));
    expect([code, h.state, texts(h.poll()), h.events()]).toEqual(answers[state]);
  });
}

const same = (code: string) =>
  Object.fromEntries(STATES.map((state) => [state, [code, state, [], []] satisfies Outcome])) as unknown as Answers<Outcome>;

describe("OPEN, active", () => {
  table((h) => h.conn.openActive(WRAPPING.iss, h.now), {
    ...same("EISCONN"),
    CLOSED: ["", "SYN-SENT", ["S 0+0"], []],
    LISTEN: ["", "SYN-SENT", ["S 0+0"], []],
  });

  test("a refused OPEN leaves the sequence numbers alone", () => {
    const h = reach("ESTABLISHED");
    const before = h.conn.status();
    expect(codeOf(() => h.conn.openActive(5, h.now))).toBe("EISCONN");
    expect(h.conn.status()).toEqual(before);
  });
});

describe("OPEN, passive", () => {
  table((h) => h.conn.openPassive(WRAPPING.iss, h.now), { ...same("EISCONN"), CLOSED: ["", "LISTEN", [], []] });
});

describe("SEND", () => {
  table((h) => h.conn.send(new Uint8Array(10)), {
    ...same("EPIPE"),
    CLOSED: ["ENOTCONN", "CLOSED", [], []],
    LISTEN: ["ENOTCONN", "LISTEN", [], []],
    "SYN-SENT": ["", "SYN-SENT", [], []],
    "SYN-RECEIVED": ["", "SYN-RECEIVED", [], []],
    ESTABLISHED: ["", "ESTABLISHED", ["P. 1+10 ack 1"], []],
    "CLOSE-WAIT": ["", "CLOSE-WAIT", ["P. 1+10 ack 2"], []],
  });

  test("takes what fits, and tells when half of the buffer is free again", () => {
    const h = reach("ESTABLISHED", WRAPPING, { sendBufferBytes: 4_000 });
    expect(h.conn.send(new Uint8Array(5_000))).toBe(4_000);
    expect(h.conn.send(new Uint8Array(1))).toBe(0);
    expect(h.conn.writableBytes).toBe(0);
    h.poll();
    h.rcv({ flags: ".", ack: 1_001 });
    expect(h.events()).toEqual([]);
    h.rcv({ flags: ".", ack: 2_001 });
    expect(h.events()).toEqual(["writable"]);
    expect(h.conn.writableBytes).toBe(2_000);
    h.rcv({ flags: ".", ack: 4_001 });
    expect(h.events()).toEqual([]);
  });

  test("as Linux: a user that was refused is told when a third of the buffer is free, buffers' own memory counted", () => {
    const h = reach("ESTABLISHED", WRAPPING, { sender: "linux", receiver: "linux", sendBufferBytes: 20_000 });
    const taken = h.conn.send(new Uint8Array(100_000));
    expect(taken).toBeLessThan(100_000);
    h.poll();
    h.rcv({ flags: ".", ack: 1_001, wnd: 60_000 });
    expect(h.events()).toEqual([]);
    for (let ack = 2_001; ack <= h.sndMax; ack += 1_000) h.rcv({ flags: ".", ack, wnd: 60_000 });
    expect(h.events()).toEqual(["writable"]);
    expect(h.conn.writableBytes).toBeGreaterThan(0);
  });

  test("an offset and a length choose the bytes; they are copied", () => {
    const h = reach("ESTABLISHED");
    const data = pattern(20);
    expect(h.conn.send(data, 5, 3)).toBe(3);
    data.fill(0);
    expect(h.poll()[0]?.payload).toEqual(pattern(3, 5));
  });

  test("after a failure: its code; after an orderly end: EPIPE", () => {
    const failed = reach("ESTABLISHED");
    failed.rcv({ flags: "R" });
    expect(codeOf(() => failed.conn.send(new Uint8Array(1)))).toBe("ECONNRESET");
    const ended = reach("LAST-ACK");
    ended.rcv({ flags: "." });
    expect(codeOf(() => ended.conn.send(new Uint8Array(1)))).toBe("EPIPE");
  });

  test("after CLOSE in SYN-RECEIVED: EPIPE", () => {
    const h = reach("SYN-RECEIVED");
    h.shutdown();
    expect(codeOf(() => h.conn.send(new Uint8Array(1)))).toBe("EPIPE");
  });
});

describe("RECEIVE", () => {
  table((h) => h.conn.read(new Uint8Array(10)), same(""));

  test.each(STATES)("%s: whether something can still come", (state) => {
    const over = ["CLOSED", "CLOSE-WAIT", "CLOSING", "LAST-ACK", "TIME-WAIT"].includes(state);
    expect(make(state).conn.endOfData).toBe(over);
  });

  test("what was received can be read after the end, in pieces", () => {
    for (const end of [{ flags: "F." }, { flags: "R" }]) {
      const h = reach("ESTABLISHED");
      h.rcv({ flags: ".", data: 30 });
      h.rcv(end);
      const target = new Uint8Array(20);
      expect(h.conn.read(target, 5, 10)).toBe(10);
      expect(target.slice(5, 15)).toEqual(pattern(10, 1));
      expect(h.conn.endOfData).toBe(false);
      expect(h.read()).toEqual(pattern(20, 11));
      expect(h.conn.endOfData).toBe(true);
      expect(h.tcb.receiveQueue.allocatedBytes).toBe(0);
    }
  });
});

describe("CLOSE of our direction (SHUTDOWN)", () => {
  const answers: Answers<Outcome> = {
    ...same(""),
    LISTEN: ["", "CLOSED", [], ["closed"]],
    "SYN-SENT": ["", "CLOSED", [], ["closed"]],
    ESTABLISHED: ["", "FIN-WAIT-1", ["F. 1+0 ack 1"], []],
    "CLOSE-WAIT": ["", "LAST-ACK", ["F. 1+0 ack 2"], []],
  };
  table((h) => h.conn.shutdown(h.now), answers);

  test.each(STATES)("%s: a second call does nothing more", (state) => {
    const h = make(state);
    h.shutdown();
    h.events();
    const after = h.conn.status();
    expect(h.shutdown()).toEqual([]);
    expect(h.conn.status()).toEqual(after);
    expect(h.events()).toEqual([]);
  });

  test("FIN follows what is queued", () => {
    const h = reach("ESTABLISHED");
    h.rcv({ flags: ".", wnd: 1_000 });
    h.conn.send(new Uint8Array(2_000));
    expect(texts(h.shutdown())).toEqual([". 1+1000 ack 1"]);
    expect(texts(h.rcv({ flags: ".", wnd: 5_000 }))).toEqual(["FP. 1001+1000 ack 1"]);
  });

  test("SYN-SENT: queued data is dropped with the attempt", () => {
    const h = reach("SYN-SENT");
    h.conn.send(new Uint8Array(10));
    h.shutdown();
    expect(h.conn.status().sendQueueBytes).toBe(0);
    expect(h.conn.nextTimeout()).toBe(NEVER);
  });
});

describe("CLOSE", () => {
  table((h) => h.conn.close(h.now), {
    ...same(""),
    LISTEN: ["", "CLOSED", [], ["closed"]],
    "SYN-SENT": ["", "CLOSED", [], ["closed"]],
    ESTABLISHED: ["", "FIN-WAIT-1", ["F. 1+0 ack 1"], []],
    "CLOSE-WAIT": ["", "LAST-ACK", ["F. 1+0 ack 2"], []],
  });

  test.each(["ESTABLISHED", "FIN-WAIT-1", "FIN-WAIT-2", "CLOSE-WAIT", "CLOSING", "LAST-ACK"] as const)(
    "%s with unread data: RST, so that the peer knows (SHLD-3)",
    (state) => {
      const h = reach(state, WRAPPING, {}, { fill: true });
      expect(h.conn.readableBytes).toBeGreaterThan(0);
      const sent = h.close();
      expect(texts(sent)).toEqual([`R. ${h.sndMax}+0 ack ${h.rcvNxt}`]);
      expect(h.state).toBe("CLOSED");
      expect(h.conn.readableBytes).toBe(0);
      expect(h.events().at(-1)).toBe("closed");
    },
  );

  test("TIME-WAIT with unread data: the wait goes on", () => {
    const h = reach("TIME-WAIT", WRAPPING, {}, { fill: true });
    expect(h.close()).toEqual([]);
    expect(h.state).toBe("TIME-WAIT");
    expect(h.conn.readableBytes).toBe(0);
  });

  test("a second CLOSE does nothing", () => {
    const h = reach("ESTABLISHED");
    h.close();
    expect(h.close()).toEqual([]);
    expect(h.state).toBe("FIN-WAIT-1");
  });

  test("out-of-order data is no unread data, but its completion is", () => {
    const h = reach("ESTABLISHED");
    h.rcv({ flags: ".", seq: 11, data: 10 });
    expect(texts(h.close())).toEqual(["F. 1+0 ack 1"]);
    expect(texts(h.rcv({ flags: ".", seq: 1, data: 10 }))).toEqual(["R 2+0"]);
  });
});

describe("ABORT", () => {
  const silent = ["", "CLOSED", [], ["readable", "closed"]] as const satisfies Outcome;
  const reset = (segment: string) => ["", "CLOSED", [segment], ["readable", "closed"]] as const satisfies Outcome;
  table((h) => h.conn.abort(h.now), {
    CLOSED: ["", "CLOSED", [], []],
    LISTEN: silent,
    "SYN-SENT": silent,
    "SYN-RECEIVED": reset("R. 1+0 ack 1"),
    ESTABLISHED: reset("R. 1+0 ack 1"),
    "FIN-WAIT-1": reset("R. 2+0 ack 1"),
    "FIN-WAIT-2": reset("R. 2+0 ack 1"),
    "CLOSE-WAIT": reset("R. 1+0 ack 2"),
    CLOSING: silent,
    "LAST-ACK": silent,
    "TIME-WAIT": silent,
  });

  test.each(STATES)("%s: afterwards nothing is sent, no timer runs, nothing is told any more", (state) => {
    const h = make(state);
    h.abort();
    h.events();
    expect(h.conn.nextTimeout()).toBe(NEVER);
    expect(h.rcv({ flags: ".", data: 10 })).toEqual([]);
    expect(h.verdict).toBe("dropped: the connection is closed");
    h.abort();
    h.shutdown();
    h.close();
    expect(h.advance(1_000_000_000)).toEqual([]);
    expect(h.events()).toEqual([]);
    if (state !== "CLOSED") expect(h.conn.failure).toBe("ECONNABORTED");
  });

  test("queued data is not sent any more", () => {
    const h = reach("ESTABLISHED");
    h.conn.send(new Uint8Array(100));
    expect(texts(h.abort())).toEqual(["R. 1+0 ack 1"]);
  });

  test("LAST-ACK with data that the peer does not have: RST", () => {
    const h = reach("CLOSE-WAIT");
    h.conn.send(new Uint8Array(100));
    h.shutdown();
    expect(texts(h.abort())).toEqual(["R. 102+0 ack 2"]);
  });
});

describe("STATUS", () => {
  test.each(STATES)("%s: tells the state, survives JSON, and is no view", (state) => {
    const h = make(state);
    const status = h.conn.status();
    expect(status.state).toBe(state);
    expect(status.local).toBe("10.0.0.1:4000");
    expect(status.remote).toBe("10.0.0.2:80");
    expect(JSON.parse(JSON.stringify({ ...status, ssthresh: 0 }))).toEqual({ ...status, ssthresh: 0 });
    h.rcv({ flags: "", data: 3 });
    expect(h.conn.status().counters.segmentsIn).toBe(status.counters.segmentsIn + 1);
  });
});

describe("wake", () => {
  test("is called after every call that may have made something due, and only then", () => {
    const h = new Harness();
    let wakes = 0;
    h.conn.wake = () => void wakes++;
    h.connect();
    expect(wakes).toBe(1);
    h.conn.send(new Uint8Array(10));
    expect(wakes).toBe(2);
    h.conn.send(new Uint8Array(0));
    expect(wakes).toBe(2);
    h.rcv({ flags: ".", data: 10 });
    h.read();
    expect(wakes).toBe(2);
    for (let i = 0; i < 4; i++) h.rcv({ flags: ".", data: 1_000 });
    h.read();
    expect(wakes).toBe(3);
    h.conn.shutdown(h.now);
    h.conn.close(h.now);
    h.conn.abort(h.now);
    expect(wakes).toBe(6);
  });
});
