/** Header fields and options as bytes on the wire (RFC 9293 §3.1, §3.2), through a whole stack. */
import { describe, expect, test } from "vitest";
import { ACK, SYN } from "../../../src/wire/tcp-flags.js";
import { LOCAL, Rig } from "../../stack/rig.js";
import { reach, WORLDS } from "../harness.js";

const PEER = { fromPort: 4_000, toPort: 80 } as const;
/** The peer's numbers wrap with the first byte of data. */
const IRS = 0xffff_ffff;

/** A connection whose SYN bore `options`; returns how long the segments of a full send are, and gives it back. */
function accepted(options: readonly number[]) {
  const rig = new Rig({ connection: { timestamps: false, sack: false, noDelay: true } });
  const listener = rig.stack.listen({ address: LOCAL, port: 80 });
  const [synAck] = rig.inject({ ...PEER, seq: IRS, flags: SYN, options });
  const ours = ((synAck?.seq ?? 0) + 1) >>> 0;
  rig.inject({ ...PEER, seq: 0, ack: ours, flags: ACK });
  const connection = listener.accept();
  if (connection === undefined) throw new Error("nothing was accepted");
  const segmentBytes = (): number => {
    connection.send(new Uint8Array(3_000));
    return rig.drain()[0]?.payload.length ?? 0;
  };
  return { rig, connection, ours, segmentBytes };
}

describe("options on SYN", () => {
  test.each([
    ["MSS alone", [2, 4, 4, 0]],
    ["MSS behind one NOP, at an odd place (MUST-64)", [1, 2, 4, 4, 0, 1, 1, 1]],
    ["MSS behind three NOPs", [1, 1, 1, 2, 4, 4, 0, 0]],
    ["MSS, the end of the list, and what looks like another MSS (MUST-4)", [2, 4, 4, 0, 0, 2, 4, 2]],
    ["MSS behind an option that nobody knows (MUST-6)", [253, 6, 1, 2, 3, 4, 2, 4, 4, 0, 0, 0]],
    ["MSS, then an option of length 0 (MUST-7)", [2, 4, 4, 0, 253, 0, 9, 9]],
    ["MSS, then an option of length 1 (MUST-7)", [2, 4, 4, 0, 253, 1, 9, 9]],
    ["MSS, then an option that ends beyond the header (MUST-7)", [2, 4, 4, 0, 253, 40, 9, 9]],
    ["MSS, then an MSS of the wrong length (MUST-7)", [2, 4, 4, 0, 2, 3, 9, 0]],
  ])("%s: the MSS of 1024 holds", (_, options) => {
    expect(accepted(options).segmentBytes()).toBe(1_024);
  });

  test("an MSS of the wrong length is none: 536", () => {
    expect(accepted([2, 3, 9, 0]).segmentBytes()).toBe(536);
  });
});

describe("options on any segment (MUST-5)", () => {
  test.each([
    ["NOPs", [1, 1, 1, 1]],
    ["one that nobody knows", [253, 4, 1, 2]],
    ["MSS, which counts on a SYN alone", [2, 4, 0, 100]],
    ["length 0", [253, 0, 0, 0]],
    ["length beyond the header", [253, 200, 0, 0]],
  ])("%s: the text is taken and acknowledged", (_, options) => {
    const { rig, connection, ours, segmentBytes } = accepted([2, 4, 4, 0]);
    rig.inject({ ...PEER, seq: 0, ack: ours, flags: ACK, options, payload: new Uint8Array([1, 2, 3]) });
    const target = new Uint8Array(3);
    expect(connection.read(target)).toBe(3);
    expect([...target]).toEqual([1, 2, 3]);
    expect(segmentBytes()).toBe(1_024);
  });
});

describe.each(WORLDS)("the window field (MUST-1, REC-1), $name", (world) => {
  test("of the peer: 65,535 is a large window, no negative one", () => {
    const h = reach("ESTABLISHED", world, { initialWindowSegments: 100 });
    h.rcv({ flags: ".", wnd: 0xffff });
    expect(h.tcb.snd.wnd).toBe(65_535);
    const sent = h.send(70_000);
    expect(sent.map((packet) => packet.payload.length)).toEqual(Array.from({ length: 65 }, () => 1_000));
  });

  test("of ours: 60,000 stands as it is, and so much is taken", () => {
    const h = reach("ESTABLISHED", world, { receiveBufferBytes: 60_000 });
    expect(h.send(1)[0]?.wnd).toBe(60_000);
    for (let i = 0; i < 60; i++) h.rcv({ flags: ".", data: 1_000 });
    expect(h.conn.readableBytes).toBe(60_000);
  });

  test("scaled: a gigabyte is no negative number either", () => {
    const h = reach(
      "ESTABLISHED",
      world,
      { windowScaling: true },
      { synAck: { options: [{ kind: "window-scale", shift: 14 }] } },
    );
    h.rcv({ flags: ".", wnd: 0xffff });
    expect(h.tcb.snd.wnd).toBe(0xffff * 2 ** 14);
    expect(h.send(10).length).toBe(1);
  });
});

test("every IPv4 packet says Don't Fragment, so that a path that is too small tells (RFC 1191 §3)", () => {
  const { rig, connection } = accepted([2, 4, 4, 0]);
  connection.send(new Uint8Array(3_000));
  const sent = [...rig.drain(), ...rig.runUntil(rig.now + 5_000_000)];
  connection.abort(rig.now);
  sent.push(...rig.drain(), ...rig.inject({ ...PEER, toPort: 81, seq: 1, flags: SYN }));
  expect(new Set(sent.map((packet) => packet.flags))).toEqual(new Set([".", "P.", "R."]));
  expect(sent.filter((packet) => ((packet.bytes[6] ?? 0) & 0x40) === 0)).toEqual([]);
});
