import { describe, expect, test } from "vitest";
import { FaultInjector } from "../../src/device/fault-injector.js";
import { type TracerOptions, type Tracing, traceDevice } from "../../src/device/tracer.js";
import type { SegmentEvent, TraceEvent } from "../../src/observe/events.js";
import { checkEvent } from "../../src/observe/schema.js";
import { type TcpFields, TestDevice, tcpPacket } from "./packets.js";

const ISS = 0xffff_fffa;
const IRS = 0xffff_ff00;
const SCALE_7 = [1, 3, 3, 7];

/** From port 1000 to port 80 and back. */
const out = (fields: TcpFields): Uint8Array => tcpPacket({ sourcePort: 1000, destinationPort: 80, ...fields });
const back = (fields: TcpFields): Uint8Array => tcpPacket({ sourcePort: 80, destinationPort: 1000, ...fields });

interface Bench extends Tracing {
  readonly inner: TestDevice;
  readonly told: TraceEvent[];
  send(packet: Uint8Array, note?: string): boolean;
  segments(): SegmentEvent[];
}

function bench(options: Partial<TracerOptions> = {}): Bench {
  const inner = new TestDevice();
  const told: TraceEvent[] = [];
  let t = 0;
  const tracing = traceDevice(inner, {
    sink: (event) => {
      expect(checkEvent(event)).toBeNull();
      told.push(event);
    },
    now: () => t++,
    ...options,
  });
  return {
    ...tracing,
    inner,
    told,
    send: (packet, note = "") => tracing.device.send(packet, 0, packet.length, note),
    segments: () => told.filter((event) => event.type === "segment"),
  };
}

/** SYN, SYN-ACK, ACK with window scaling, sequence numbers that wrap. */
function handshake(b: Bench): void {
  b.device.start(
    () => "",
    () => {},
  );
  b.send(out({ flags: 2, seq: ISS, window: 65535, options: SCALE_7 }));
  b.inner.deliver(back({ flags: 18, seq: IRS, ack: ISS + 1, window: 64000, options: SCALE_7 }));
  b.send(out({ flags: 16, seq: ISS + 1, ack: IRS + 1, window: 500 }));
}

test("without a sink the inner device itself is given back", () => {
  const inner = new TestDevice();
  expect(traceDevice(inner, { sink: undefined, now: () => 0 })).toEqual({ device: inner, events: undefined });
  expect(traceDevice(inner, { sink: undefined, now: () => 0 }).device).toBe(inner);
});

test("everything but packets goes through", () => {
  const { inner, device } = bench();
  device.setPorts(
    (function* () {
      yield 5;
      yield 6;
    })(),
  );
  device.setRef(false);
  device.close();
  expect(inner.calls).toEqual(["ports 5,6", "ref false", "close"]);
  expect([device.name, device.mtuBytes]).toEqual(["test0", 1500]);
});

describe("a segment", () => {
  test("of the handshake: flags, relative numbers across the wrap, windows in bytes, options, checksum", () => {
    const b = bench();
    handshake(b);
    expect(
      b
        .segments()
        .map(({ dir, flags, seq, relSeq, relAck, win, winBytes, options }) => [
          dir,
          flags,
          seq,
          relSeq,
          relAck,
          win,
          winBytes,
          options,
        ]),
    ).toEqual([
      ["out", "S", ISS, 0, null, 65535, 65535, "nop,wscale 7"],
      ["in", "S.", IRS, 0, 1, 64000, 64000, "nop,wscale 7"],
      ["out", ".", ISS + 1, 1, 1, 500, 64000, ""],
    ]);
    expect(b.segments()[1]).toMatchObject({
      conn: 1,
      src: "127.0.0.1:80",
      dst: "127.0.0.1:1000",
      checksum: "ok",
      len: 0,
      lost: false,
    });
  });

  test("with payload: length, a preview of just the characters that were asked for", () => {
    const payload = [...new TextEncoder().encode("GET /\r\nétc")];
    const b = bench({ payloadChars: 8 });
    handshake(b);
    b.inner.deliver(back({ flags: 24, seq: IRS + 1, ack: ISS + 1, payload }));
    expect(b.segments()[3]).toMatchObject({ flags: "P.", relSeq: 1, len: payload.length, payload: "GET /..." });
    const silent = bench();
    silent.send(out({ payload }));
    expect(silent.segments()[0]).toMatchObject({ len: payload.length, payload: "" });
  });

  test("seen without its handshake: no relative numbers, the window as it stands", () => {
    const b = bench();
    b.send(out({ seq: 77, ack: 88, window: 500 }));
    expect(b.segments()[0]).toMatchObject({ seq: 77, ack: 88, relSeq: null, relAck: null, winBytes: 500 });
  });

  test("window scaling needs the option on both SYNs", () => {
    const b = bench();
    b.device.start(
      () => "",
      () => {},
    );
    b.send(out({ flags: 2, seq: ISS, options: SCALE_7 }));
    b.inner.deliver(back({ flags: 18, seq: IRS, ack: ISS + 1 }));
    b.send(out({ seq: ISS + 1, ack: IRS + 1, window: 500 }));
    expect(b.segments()[2]?.winBytes).toBe(500);
  });

  test("a window scale above 14 counts as 14 (RFC 7323 §2.3)", () => {
    const b = bench();
    b.device.start(
      () => "",
      () => {},
    );
    b.send(out({ flags: 2, seq: ISS, options: [1, 3, 3, 20] }));
    b.inner.deliver(back({ flags: 18, seq: IRS, ack: ISS + 1, options: SCALE_7 }));
    b.send(out({ seq: ISS + 1, ack: IRS + 1, window: 2 }));
    expect(b.segments()[2]?.winBytes).toBe(32768);
  });

  test("SACK edges count from the initial number of the data that they name", () => {
    const b = bench();
    handshake(b);
    // IRS + 257 = 1 and IRS + 357 = 101 after the wrap.
    b.send(out({ seq: ISS + 1, ack: IRS + 1, options: [1, 1, 5, 10, 0, 0, 0, 1, 0, 0, 0, 101] }));
    expect(b.segments()[3]?.options).toBe("nop,nop,sack 1 {257:357}");
  });

  test("a bad checksum is told, a sum that was left to the device is partial", () => {
    const b = bench();
    const bad = out({ payload: [1, 2, 3] });
    bad[bad.length - 1] = 9;
    b.send(bad);
    const partial = out({});
    partial.set([0xfe, 0x1c], 36);
    b.send(partial);
    expect(b.segments().map((event) => event.checksum)).toEqual(["bad", "partial"]);
  });

  test("carries the note of the sender, or what the receiver made of it", () => {
    const b = bench();
    b.device.start(
      () => "in order",
      () => {},
    );
    b.send(out({}), "probe");
    expect(b.inner.deliver(back({}))).toEqual(["in order"]);
    expect(b.segments().map((event) => event.reason)).toEqual(["probe", "in order"]);
    expect(b.inner.notes).toEqual(["probe"]);
  });
});

describe("order", () => {
  const state: TraceEvent = { t: 0, conn: 1, type: "state", from: "SYN-SENT", to: "ESTABLISHED", reason: "" };

  test("the segment that came in stands before the events of its handler, and before what the handler sent", () => {
    const b = bench();
    b.device.start(
      () => {
        b.events?.(state);
        b.send(out({ flags: 16 }), "answer");
        b.events?.({ t: 0, conn: 1, type: "drop", reason: "" });
        expect(b.told).toEqual([]);
        return "opens";
      },
      () => {},
    );
    b.inner.deliver(back({ flags: 18 }));
    expect(b.told.map((event) => [event.type, "reason" in event ? event.reason : ""])).toEqual([
      ["segment", "opens"],
      ["state", ""],
      ["segment", "answer"],
      ["drop", ""],
    ]);
  });

  test("events outside of a handler go straight through", () => {
    const b = bench();
    b.events?.(state);
    expect(b.told).toEqual([state]);
  });

  test("what a device delivers while it sends comes after the segment that was sent", () => {
    const b = bench();
    b.device.start(
      () => "echo",
      () => {},
    );
    b.inner.onSend = () => {
      b.inner.onSend = () => {};
      b.inner.deliver(back({}));
    };
    b.send(out({}), "ping");
    expect(b.segments().map((event) => event.reason)).toEqual(["ping", "echo"]);
  });

  test("a handler that throws does not swallow its events", () => {
    const b = bench();
    b.device.start(
      () => {
        b.events?.(state);
        throw new Error("defect");
      },
      () => {},
    );
    expect(() => b.inner.deliver(back({}))).toThrow("defect");
    expect(b.told.map((event) => event.type)).toEqual(["segment", "state"]);
    b.events?.(state);
    expect(b.told).toHaveLength(3);
  });
});

describe("faults", () => {
  test("a packet that the device refuses is lost, and the refusal follows", () => {
    const b = bench();
    b.inner.takes = false;
    expect(b.send(out({}))).toBe(false);
    expect(b.told).toMatchObject([
      { type: "segment", lost: true, conn: 1 },
      { type: "fault", fault: "refusal", dir: "out", conn: 1 },
    ]);
  });

  test("a packet that a fault injector below takes is lost, its number comes from the segment; the next one is not", () => {
    const told: TraceEvent[] = [];
    const inner = new TestDevice();
    let events: ((event: TraceEvent) => void) | undefined;
    const rules = [
      { dir: "out", fault: "loss", nth: 1 },
      { dir: "out", fault: "duplication", nth: 2 },
    ] as const;
    const faults = new FaultInjector(inner, { seed: 1, rules, schedule: () => {}, events: (event) => events?.(event) });
    const tracing = traceDevice(faults, { sink: (event) => told.push(event), now: () => 0 });
    events = tracing.events;
    for (let i = 0; i < 2; i++) expect(tracing.device.send(out({}), 0, 40, "")).toBe(true);
    expect(told).toMatchObject([
      { type: "segment", lost: true },
      { type: "fault", fault: "loss", conn: 1, reason: "rule 1" },
      { type: "segment", lost: false },
      { type: "fault", fault: "duplication", conn: 1, reason: "rule 2" },
    ]);
  });
});

describe("numbers of connections", () => {
  test("without a callback: by addresses, and a new one for a SYN with another initial number", () => {
    const b = bench();
    handshake(b);
    b.send(out({ sourcePort: 1001 }));
    b.send(out({ flags: 2, seq: ISS }), "the same SYN again");
    b.send(out({ flags: 2, seq: 5 }), "a new connection");
    b.send(out({ seq: 6 }));
    expect(b.segments().map((event) => [event.conn, event.relSeq])).toEqual([
      [1, 0],
      [1, 0],
      [1, 1],
      [2, null],
      [1, 0],
      [3, 0],
      [3, 1],
    ]);
  });

  test("a SYN gets the number that the engine gives while it handles it; a last ACK keeps the one that is gone afterwards", () => {
    let number = 0;
    const b = bench({
      connOf: (_local, localPort, _remote, remotePort) => (localPort === 1000 && remotePort === 80 ? number : 0),
    });
    b.device.start(
      () => {
        number = number === 0 ? 7 : 0;
        return "";
      },
      () => {},
    );
    b.inner.deliver(back({ flags: 2, seq: IRS }));
    b.send(out({ flags: 18, seq: ISS, ack: IRS + 1 }));
    b.inner.deliver(back({ seq: IRS + 1, ack: ISS + 1 }));
    expect(b.segments().map((event) => [event.conn, event.relSeq])).toEqual([
      [7, 0],
      [7, 0],
      [7, 1],
    ]);
  });

  test("a SYN that ends a TIME-WAIT belongs to the new connection", () => {
    let number = 3;
    const b = bench({ connOf: () => number });
    handshake(b);
    b.device.start(
      () => {
        number = 4;
        return "";
      },
      () => {},
    );
    b.told.length = 0;
    b.inner.deliver(back({ flags: 2, seq: 500 }));
    b.send(out({ flags: 18, seq: 900, ack: 501 }));
    expect(b.segments()).toMatchObject([
      { conn: 4, relSeq: 0 },
      { conn: 4, relSeq: 0, relAck: 1 },
    ]);
  });

  test("a forged SYN or SYN-ACK does not spoil the relative numbers of a connection that the engine holds", () => {
    const b = bench({ connOf: () => 1 });
    handshake(b);
    b.inner.deliver(
      back({ flags: 2, seq: 12345 }),
      back({ flags: 18, seq: 54321, ack: 1 }),
      back({ seq: IRS + 1, ack: ISS + 1 }),
    );
    expect(b.segments().at(-1)).toMatchObject({ conn: 1, relSeq: 1, relAck: 1 });
  });

  test("a SYN-ACK that acknowledges something else is not learnt from", () => {
    const b = bench();
    b.device.start(
      () => "",
      () => {},
    );
    b.send(out({ flags: 2, seq: ISS }));
    b.inner.deliver(back({ flags: 18, seq: 777, ack: 5 }), back({ flags: 18, seq: IRS, ack: ISS + 1 }));
    expect(b.segments().map((event) => event.relSeq)).toEqual([0, null, 0]);
  });

  test("memory is bounded: the connection unused for longest is forgotten, one in use is not", () => {
    const b = bench();
    b.send(out({ flags: 2, seq: 100 }));
    b.send(out({ sourcePort: 1, flags: 2, seq: 200 }));
    for (let port = 2000; port < 2000 + 4095; port++) {
      b.send(out({ sourcePort: port, flags: 2 }));
      b.send(out({ seq: 101 }));
    }
    b.told.length = 0;
    b.send(out({ seq: 101 }));
    b.send(out({ sourcePort: 1, seq: 201 }));
    expect(b.segments().map((event) => event.relSeq)).toEqual([1, null]);
  });
});

describe("what is no segment of ours", () => {
  test("ICMP and bytes that cannot be read are told as packets", () => {
    const b = bench();
    b.device.start(
      () => "ignored",
      () => {},
    );
    const icmp = back({});
    icmp[9] = 1;
    b.inner.deliver(icmp, new Uint8Array(5));
    expect(b.told).toMatchObject([
      { type: "packet", dir: "in", conn: 0, reason: "ignored" },
      { type: "packet", text: "bad packet: too short for an IP header, length 5" },
    ]);
  });

  test("incoming segments for ports that were not asked for pass untold", () => {
    const b = bench();
    let handled = 0;
    b.device.start(
      () => `${++handled}`,
      () => {},
    );
    b.device.setPorts([1000]);
    expect(b.inner.deliver(back({ destinationPort: 1001 }), back({}))).toEqual(["1", "2"]);
    expect(b.segments().map((event) => event.dst)).toEqual(["127.0.0.1:1000"]);
  });
});
