import { describe, expect, test } from "vitest";
import { PcapngTap, type PcapngTapOptions } from "../../src/device/pcapng-tap.js";
import type { Capture } from "../../src/pcapng/capture.js";
import { readCapture } from "../../src/pcapng/reader.js";
import { concat } from "../pcapng/build.js";
import { TestDevice, tcpPacket } from "./packets.js";

const START = 1_800_000_000_000_000_000n;

interface Bench {
  readonly inner: TestDevice;
  readonly tap: PcapngTap;
  readonly chunks: Uint8Array[];
  read(): Capture;
}

function bench(options: Partial<PcapngTapOptions> = {}): Bench {
  const inner = new TestDevice();
  const chunks: Uint8Array[] = [];
  let ns = START;
  const tap = new PcapngTap(inner, { write: (bytes) => chunks.push(bytes), nowNs: () => ns++, ...options });
  return { inner, tap, chunks, read: () => readCapture(concat(...chunks)) };
}

const packet = (n: number): Uint8Array => tcpPacket({ seq: n, payload: new Array<number>(n).fill(n) });

test("the file: who made it, the interface, every packet with stamp, direction and note, the statistics", () => {
  const { inner, tap, read } = bench({ hardware: "x86_64", os: "Linux", userAppl: "rawtcp", interfaceName: "lo" });
  tap.start(
    () => "in order",
    () => {},
  );
  tap.send(concat(new Uint8Array(3), packet(1)), 3, 41, "why not");
  inner.deliver(packet(2), packet(3));
  tap.send(packet(4), 0, 44, "");
  tap.close();
  const { sections, interfaces, packets, statistics, error } = read();
  expect(error).toBeNull();
  expect(sections).toMatchObject([{ hardware: "x86_64", os: "Linux", userAppl: "rawtcp" }]);
  expect(interfaces).toMatchObject([{ name: "lo", linkType: 101, unitsPerSecond: 1_000_000_000n }]);
  expect(packets.map(({ timeNs, direction, comments }) => [timeNs, direction, comments])).toEqual([
    [START + 1n, "outbound", ["why not"]],
    [START + 2n, "inbound", ["in order"]],
    [START + 3n, "inbound", ["in order"]],
    [START + 4n, "outbound", []],
  ]);
  for (const [i, { data }] of packets.entries()) expect(data.slice()).toEqual(packet(i + 1));
  expect(statistics).toMatchObject([{ received: 2n }]);
  expect(inner.calls).toEqual(["close"]);
  expect(inner.sent).toHaveLength(2);
});

test("a packet sent while another is handled comes after it", () => {
  const { inner, tap, read } = bench();
  tap.start(
    () => {
      const answer = packet(9);
      tap.send(answer, 0, answer.length, "answer");
      answer.fill(0);
      return "question";
    },
    () => {},
  );
  inner.deliver(packet(1));
  const { packets, error } = read();
  expect(error).toBeNull();
  expect(packets.map(({ comments, timeNs }) => [comments, timeNs])).toEqual([
    [["question"], START + 1n],
    [["answer"], START + 2n],
  ]);
  expect(packets[1]?.data.slice()).toEqual(packet(9));
});

test("a device that delivers while it sends, and a handler that answers that: nothing is lost, nothing is overwritten", () => {
  const { inner, tap, read } = bench();
  let depth = 0;
  tap.start(
    () => {
      if (depth++ < 2) tap.send(packet(depth), 0, 40 + depth, "out");
      return `in ${depth}`;
    },
    () => {},
  );
  inner.onSend = () => {
    inner.deliver(packet(7));
  };
  inner.deliver(packet(6));
  const { packets, error } = read();
  expect(error).toBeNull();
  expect(packets[0]?.data.slice()).toEqual(packet(6));
  expect(packets.map(({ data }) => data.length - 40).sort()).toEqual([1, 2, 6, 7, 7]);
});

test("a packet that the device refused says so, and the refusal is passed on", () => {
  const { inner, tap, read } = bench();
  inner.takes = false;
  expect(tap.send(packet(1), 0, 41, "data")).toBe(false);
  expect(read().packets[0]?.comments).toEqual(["data", "not sent: the device did not take it"]);
});

describe("gathering", () => {
  test("without a buffer every packet is written at once, as a block of its own", () => {
    const { tap, chunks } = bench();
    const before = chunks.length;
    tap.send(packet(1), 0, 41, "");
    tap.send(packet(2), 0, 42, "");
    expect(chunks).toHaveLength(before + 2);
  });

  test("with one, packets wait for its end, the end of a batch, flush or close; chunks that were written never change", () => {
    const { inner, tap, chunks, read } = bench({ bufferBytes: 1000 });
    const copies: Uint8Array[] = [];
    const keep = (): number => {
      while (copies.length < chunks.length) copies.push((chunks[copies.length] ?? new Uint8Array(0)).slice());
      return chunks.length;
    };
    tap.start(
      () => "",
      () => {},
    );
    const head = keep();
    tap.send(packet(1), 0, 41, "");
    expect(keep()).toBe(head);
    tap.flush();
    expect(keep()).toBe(head + 1);
    tap.flush();
    expect(keep()).toBe(head + 1);
    inner.deliver(packet(2), packet(3), packet(4));
    expect(keep()).toBe(head + 2);
    for (let i = 5; i < 40; i++) {
      tap.send(packet(i), 0, 40 + i, "");
      keep();
    }
    tap.send(tcpPacket({ payload: new Array<number>(1400).fill(1) }), 0, 1440, "larger than the buffer");
    expect(keep()).toBeLessThan(head + 12);
    tap.close();
    expect(chunks.slice(0, copies.length).map((chunk) => chunk.slice())).toEqual(copies);
    const { packets, error } = read();
    expect(error).toBeNull();
    expect(packets).toHaveLength(40);
  });
});

test("after close nothing is written, and packets still pass", () => {
  const { inner, tap, chunks } = bench({ bufferBytes: 1000 });
  tap.start(
    () => "seen",
    () => {},
  );
  tap.close();
  const after = chunks.length;
  expect(inner.deliver(packet(1))).toEqual(["seen"]);
  tap.send(packet(2), 0, 42, "");
  tap.close();
  expect(chunks).toHaveLength(after);
  expect(inner.sent).toHaveLength(1);
});
