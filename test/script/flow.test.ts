/** Which connection a script speaks of, and how its numbers lie to those of the wire. */
import { describe, expect, it } from "vitest";
import type { PacketEvent } from "../../src/script/ast.js";
import { Flow } from "../../src/script/flow.js";
import type { SegmentFacts } from "../../src/script/match.js";
import { parseScript } from "../../src/script/parser.js";
import { SYN } from "../../src/wire/tcp-flags.js";

function packet(line: string): PacketEvent {
  const action = parseScript(`0 ${line}`).events[0]?.action;
  if (action?.kind !== "packet") throw new Error("no segment");
  return action.packet;
}

/** What is seen of a segment of ours. */
function seen(facts: Partial<SegmentFacts>): SegmentFacts {
  return { localPort: 4_000, remotePort: 80, seq: 0, flags: SYN, ...facts };
}

function begun(kind: "child" | "active"): Flow {
  const flow = new Flow();
  flow.begin(kind, 80);
  return flow;
}

describe("whose a packet is", () => {
  it.each(["none", "new", "listening"] as const)("before there is a connection (%s) any is", (kind) => {
    const flow = new Flow();
    flow.begin(kind, 0);
    expect(flow.owns(seen({ remotePort: 9 }))).toBe(true);
  });

  it("then those to its peer's port, and from ours once that is known", () => {
    const flow = begun("active");
    expect(flow.owns(seen({ remotePort: 81 }))).toBe(false);
    expect(flow.owns(seen({ localPort: 4_001 }))).toBe(true);
    flow.learnOutbound(packet("> S 0:0(0)"), seen({ seq: 777 }));
    expect(flow.owns(seen({ localPort: 4_001 }))).toBe(false);
    expect(flow.owns(seen({}))).toBe(true);
  });

  it("another connection begins with nothing that is known of the former", () => {
    const flow = begun("active");
    flow.learnOutbound(packet("> S 0:0(0)"), seen({ seq: 777 }));
    flow.learnStamp(100, 5_000);
    flow.begin("active", 81);
    expect(flow.localPort).toBe(0);
    expect(flow.numbers.stampOffset).toBeNull();
    expect(flow.owns(seen({ remotePort: 81, localPort: 9 }))).toBe(true);
  });
});

describe("numbers", () => {
  it("our SYN tells where ours lie, whatever the script calls it; its repetition changes nothing", () => {
    const flow = begun("active");
    flow.learnOutbound(packet("> S 10:10(0)"), seen({ seq: 777 }));
    flow.learnOutbound(packet("> S 10:10(0)"), seen({ seq: 777 }));
    flow.learnInbound(packet("< S. 0:0(0) ack 11 win 1"), false);
    expect(flow.toWire(packet("< . 1:1(0) ack 21 win 1"))).toMatchObject({ ack: 798 });
  });

  it("what is no SYN tells nothing", () => {
    const flow = begun("active");
    flow.learnOutbound(packet("> . 1:1(0) ack 1"), seen({ seq: 777, flags: 0 }));
    expect(flow.localPort).toBe(0);
  });

  it("absolute numbers go out as they stand", () => {
    const flow = begun("active");
    flow.learnOutbound(packet("> S 0:0(0)"), seen({ seq: 777 }));
    expect(flow.toWire(packet("< . 5:5(0)! ack 1 win 1"))).toMatchObject({ seq: 5 });
  });

  it("without ACK the number of acknowledgment is left alone", () => {
    const flow = begun("active");
    flow.learnOutbound(packet("> S 0:0(0)"), seen({ seq: 777 }));
    expect(flow.toWire(packet("< S 0:0(0) win 1")).ack).toBe(0);
  });
});

describe("timestamps", () => {
  const echo = (flow: Flow, line: string): unknown => flow.toWire(packet(line)).options[0];

  it("what is echoed is what went out, where that is known", () => {
    const flow = begun("active");
    flow.learnStamp(100, 5_000);
    flow.learnStamp(200, 5_137);
    expect(echo(flow, "< . 1:1(0) ack 1 win 1 <TS val 7 ecr 200>")).toMatchObject({ kind: "timestamps", tsVal: 7, tsEcr: 5_137 });
  });

  it("else as far from the first as the script says", () => {
    const flow = begun("active");
    flow.learnStamp(100, 5_000);
    flow.learnStamp(200, 5_137);
    expect(echo(flow, "< . 1:1(0) ack 1 win 1 <TS val 7 ecr 150>")).toMatchObject({ tsEcr: 5_050 });
  });

  it("an absolute one stands as it is written", () => {
    const flow = begun("active");
    flow.learnStamp(100, 5_000);
    expect(echo(flow, "< . 1:1(0) ack 1 win 1 <TS val 7 ecr 100!>")).toMatchObject({ tsEcr: 100 });
  });
});
