/** The error queue of a socket: what is told of data that was sent with MSG_ZEROCOPY or stamps (Linux: msg_zerocopy, timestamping). */
import { describe, expect, it } from "vitest";
import { MILLISECOND } from "../../src/base/time.js";
import { ErrorQueue, type QueuedError, SOF_TIMESTAMPING } from "../../src/stack/error-queue.js";
import { type Harness, reach } from "../tcp/harness.js";

const { TX_SCHED, TX_SOFTWARE, TX_ACK, OPT_ID, OPT_TSONLY } = SOF_TIMESTAMPING;

/** SEND of so many bytes, with what was asked for. */
function send(h: Harness, queue: ErrorQueue, bytes: number, isZerocopy: boolean, stamps = 0, from = h.tcb.dataStart): void {
  queue.noteSent(h.tcb, h.conn.send(new Uint8Array(bytes)), isZerocopy, stamps, from);
}

function all(queue: ErrorQueue): QueuedError[] {
  const items: QueuedError[] = [];
  for (let item = queue.shift(); item !== undefined; item = queue.shift()) items.push(item);
  return items;
}

describe("MSG_ZEROCOPY", () => {
  it("is told when the data is acknowledged, not when it has left", () => {
    const [h, queue] = [reach("ESTABLISHED"), new ErrorQueue()];
    send(h, queue, 100, true);
    h.poll();
    expect(queue.length).toBe(0);
    h.rcv({ flags: "." });
    expect(all(queue)).toEqual([{ origin: "zerocopy", low: 0, high: 0 }]);
  });

  it("calls whose data waits together are done together, by the last of them", () => {
    const [h, queue] = [reach("ESTABLISHED"), new ErrorQueue()];
    h.rcv({ flags: ".", wnd: 0 });
    for (let i = 0; i < 3; i++) send(h, queue, 100, true);
    h.rcv({ flags: ".", ack: 1, wnd: 10_000 });
    h.rcv({ flags: ".", ack: 201 });
    expect(queue.length).toBe(0);
    h.rcv({ flags: ".", ack: 301 });
    expect(all(queue)).toEqual([{ origin: "zerocopy", low: 0, high: 2 }]);
  });

  it("neighbours that nobody has fetched become one, others do not", () => {
    const [h, queue] = [reach("ESTABLISHED"), new ErrorQueue()];
    for (let i = 0; i < 2; i++) {
      send(h, queue, 100, true);
      h.poll();
      h.rcv({ flags: "." });
    }
    expect(queue.length).toBe(1);
    expect(all(queue)).toEqual([{ origin: "zerocopy", low: 0, high: 1 }]);
    send(h, queue, 100, true);
    h.poll();
    h.rcv({ flags: "." });
    expect(all(queue)).toEqual([{ origin: "zerocopy", low: 2, high: 2 }]);
    expect(queue.total).toBe(3);
  });
});

describe("stamps", () => {
  it("as asked for: when it was queued, has left, is acknowledged; the number is that of the last byte", () => {
    const [h, queue] = [reach("ESTABLISHED"), new ErrorQueue()];
    const from = h.tcb.dataEnd;
    send(h, queue, 100, false, TX_SCHED | TX_SOFTWARE | TX_ACK | OPT_ID | OPT_TSONLY, from);
    const left = h.now;
    h.poll();
    h.advance(5 * MILLISECOND);
    h.rcv({ flags: "." });
    expect(all(queue)).toMatchObject([
      { what: "SCHED", at: left, id: 99, bytes: 0 },
      { what: "SND", at: left, id: 99, bytes: 0 },
      { what: "ACK", at: left + 5 * MILLISECOND, id: 99, bytes: 0 },
    ]);
  });

  it("without OPT_ID none is numbered, and without OPT_TSONLY what was sent comes back, headers and all", () => {
    const [h, queue] = [reach("ESTABLISHED"), new ErrorQueue()];
    send(h, queue, 100, false, TX_SOFTWARE | TX_ACK);
    h.poll();
    h.rcv({ flags: "." });
    expect(all(queue)).toMatchObject([
      { what: "SND", id: 0, bytes: 140 },
      { what: "ACK", id: 0, bytes: 100 },
    ]);
  });

  it("data that was given up is not told as acknowledged", () => {
    const [h, queue] = [reach("ESTABLISHED"), new ErrorQueue()];
    send(h, queue, 100, false, TX_ACK);
    h.poll();
    h.abort();
    expect(all(queue)).toEqual([]);
  });

  it("not asked for, nothing", () => {
    const [h, queue] = [reach("ESTABLISHED"), new ErrorQueue()];
    send(h, queue, 100, false, OPT_ID);
    h.poll();
    h.rcv({ flags: "." });
    expect([queue.length, queue.total]).toEqual([0, 0]);
  });
});
