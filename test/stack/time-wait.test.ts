import { describe, expect, it } from "vitest";
import { seqDiff } from "../../src/base/seq.js";
import { SECOND } from "../../src/base/time.js";
import type { Listener } from "../../src/stack/listener.js";
import type { Connection } from "../../src/tcp/connection.js";
import { ACK, FIN, RST, SYN } from "../../src/wire/tcp-flags.js";
import { HeldPorts } from "./held-ports.js";
import { LOCAL, Rig, type Sent } from "./rig.js";

const PEER = { fromPort: 4000, toPort: 80 } as const;

interface InTimeWait {
  readonly rig: Rig;
  readonly listener: Listener;
  readonly old: Connection;
  /** The peer's next sequence number. */
  readonly peerNext: number;
  readonly holder: HeldPorts;
}

/** TIMESTAMPS with TSval and TSecr, behind two NOPs. */
function timestamps(value: number): readonly number[] {
  return [1, 1, 8, 10, value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255, 0, 0, 0, 0];
}

/** A server that closed first, with the peer's numbers about to wrap. */
function inTimeWait(options: { tsVal?: number; sendBytes?: number } = {}): InTimeWait {
  const { tsVal, sendBytes = 0 } = options;
  const holder = new HeldPorts();
  const rig = new Rig({ ports: holder, connection: { sendBufferBytes: 1 << 22 } });
  const listener = rig.stack.listen({ address: LOCAL, port: 80 });
  const option = tsVal === undefined ? {} : { options: timestamps(tsVal) };
  const [synAck] = rig.inject({ ...PEER, ...option, seq: 0xffff_fffe, flags: SYN });
  let ours = ((synAck as Sent).seq + 1) >>> 0;
  rig.inject({ ...PEER, ...option, seq: 0xffff_ffff, ack: ours, flags: ACK });
  const old = listener.accept() as Connection;
  if (sendBytes > 0) expect(old.send(new Uint8Array(sendBytes))).toBe(sendBytes);
  old.shutdown(rig.now);
  // The peer acknowledges all that comes, at once.
  for (let sent = rig.drain(); sent.length > 0; ) {
    const last = sent.at(-1) as Sent;
    ours = (last.seq + last.payload.length + (last.flags.includes("F") ? 1 : 0)) >>> 0;
    sent = rig.inject({ ...PEER, ...option, seq: 0xffff_ffff, ack: ours, flags: ACK });
  }
  expect(old.state).toBe("FIN-WAIT-2");
  rig.inject({ ...PEER, ...option, seq: 0xffff_ffff, ack: ours, flags: FIN | ACK });
  expect(old.state).toBe("TIME-WAIT");
  while (rig.stack.pollEventful() !== undefined) old.pollEvent();
  return { rig, listener, old, peerNext: 0, holder };
}

describe("TIME-WAIT and a SYN for a new incarnation (RFC 9293 MAY-2, RFC 6191)", () => {
  it("a SYN beyond the old sequence numbers begins one; the old one is CLOSED (MAY-2)", () => {
    const { rig, listener, old, peerNext, holder } = inTimeWait();
    const sent = rig.inject({ ...PEER, seq: peerNext + 1, flags: SYN });
    expect(sent).toMatchObject([{ flags: "S.", ack: peerNext + 2 }]);
    expect(old.state).toBe("CLOSED");
    expect(listener.synQueue.size).toBe(1);
    expect(rig.stack.connectionCount).toBe(1);
    expect(rig.stack.pollEventful()).toBe(old);
    expect([...holder.held]).toEqual(["10.0.0.1:80"]);
    // It works: the third segment, and nothing of the old one's timers later.
    rig.inject({ ...PEER, seq: peerNext + 2, ack: ((sent[0] as Sent).seq + 1) >>> 0, flags: ACK });
    rig.runUntil(rig.now + 200 * SECOND);
    expect(listener.accept()?.state).toBe("ESTABLISHED");
  });

  it("our new initial sequence number lies beyond all that the old incarnation sent, however fast it was", () => {
    // 2 MiB in no time at all: the clock of the initial sequence numbers has not moved meanwhile.
    const { rig, old, peerNext } = inTimeWait({ sendBytes: 2 << 20 });
    const last = old.tcb.snd.max;
    const [synAck] = rig.inject({ ...PEER, seq: peerNext + 1, flags: SYN });
    expect(seqDiff((synAck as Sent).seq, last)).toBeGreaterThan(0xffff);
  });

  it.each([0, -1, -100])(
    "a SYN at %i from what the old one expects is an old duplicate: acknowledged, no new one begins",
    (offset) => {
      const { rig, listener, old, peerNext } = inTimeWait();
      const sent = rig.inject({ ...PEER, seq: (peerNext + offset) >>> 0, flags: SYN });
      expect(sent).toMatchObject([{ flags: ".", ack: peerNext, seq: old.tcb.snd.max }]);
      expect(old.state).toBe("TIME-WAIT");
      expect(listener.synQueue.size).toBe(0);
    },
  );

  it("with timestamps the later timestamp decides, whatever the sequence number (SHLD-4, RFC 6191 §2)", () => {
    const tsVal = 0xffff_fff0;
    const { rig, old, peerNext } = inTimeWait({ tsVal });
    const older = rig.inject({ ...PEER, seq: peerNext + 1000, flags: SYN, options: timestamps(tsVal - 1) });
    expect(older).toMatchObject([{ flags: ".", ack: peerNext }]);
    expect(old.state).toBe("TIME-WAIT");
    // Later, though it has wrapped.
    const newer = rig.inject({ ...PEER, seq: peerNext - 1000, flags: SYN, options: timestamps(5) });
    expect(newer).toMatchObject([{ flags: "S.", ack: (peerNext - 999) >>> 0, hasTimestamps: true }]);
    expect(old.state).toBe("CLOSED");
  });

  it("equal timestamps leave it to the sequence number", () => {
    for (const [offset, answer] of [
      [1, "S."],
      [-1, "."],
    ] as const) {
      const { rig, peerNext } = inTimeWait({ tsVal: 77 });
      const sent = rig.inject({ ...PEER, seq: (peerNext + offset) >>> 0, flags: SYN, options: timestamps(77) });
      expect(sent).toMatchObject([{ flags: answer }]);
    }
  });

  it("without a listener the port is taken until 2 MSL have passed", () => {
    const { rig, listener, old, peerNext, holder } = inTimeWait();
    listener.close(rig.now);
    rig.drain();
    expect([...holder.held]).toEqual(["10.0.0.1:80"]);
    expect(rig.inject({ ...PEER, seq: peerNext + 1, flags: SYN })).toMatchObject([{ flags: ".", ack: peerNext }]);
    rig.runUntil(rig.now + 60 * SECOND);
    expect(old.state).toBe("CLOSED");
    expect(holder.held.size).toBe(0);
    expect(rig.inject({ ...PEER, seq: peerNext + 1, flags: SYN })).toMatchObject([{ flags: "R." }]);
  });

  it("the FIN again restarts the wait, RST does not end it (RFC 1337) (RFC 1337 §3)", () => {
    const { rig, old, peerNext } = inTimeWait();
    const begun = rig.now;
    rig.runUntil(begun + 50 * SECOND);
    const ours = old.tcb.snd.max;
    expect(rig.inject({ ...PEER, seq: 0xffff_ffff, ack: ours, flags: FIN | ACK })).toMatchObject([{ flags: ".", ack: peerNext }]);
    expect(rig.inject({ ...PEER, seq: peerNext, flags: RST })).toEqual([]);
    rig.runUntil(begun + 109 * SECOND);
    expect(old.state).toBe("TIME-WAIT");
    rig.runUntil(begun + 110 * SECOND);
    expect(old.state).toBe("CLOSED");
    expect(rig.stack.connectionCount).toBe(0);
  });
});
