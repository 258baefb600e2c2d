/**
 * A wrong stack is caught: each of these mistakes in the engine, one at a time in a build of its own, makes at least one script of
 * `test/pkt` fail.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type Build, buildCli, runToEnd } from "../cli/support.js";

const scripts = resolve(import.meta.dirname, "../pkt");
let build: Build;
beforeAll(() => {
  build = buildCli();
});
afterAll(() => build.remove());

/** What is wrong, where, what stands there in the compiled file, and the mistake. */
const MUTATIONS: readonly (readonly [string, string, string, string])[] = [
  [
    "a segment just beyond the window is taken for one within",
    "tcp/segment-arrives.js",
    "return seqInRange(seg.seq, nxt, wnd);",
    "return seqInRange(seg.seq, nxt, wnd + 4000000);",
  ],
  [
    "any RST in the window is taken",
    "tcp/segment-arrives.js",
    "if (seg.seq === tcb.rcv.nxt)\n            return reset(tcb, now);",
    "return reset(tcb, now);",
  ],
  ["no RST is taken", "tcp/segment-arrives.js", "if (seg.seq === tcb.rcv.nxt)\n            return reset(tcb, now);", ""],
  [
    "a RST outside the window is answered",
    "tcp/segment-arrives.js",
    'if (seg.flags & RST)\n            return drop(tcb, "dropped: RST outside the window", now);',
    "",
  ],
  [
    "a SYN in the window resets",
    "tcp/segment-arrives.js",
    'return challengeAck(tcb, "SYN on a synchronized connection: challenged", now);',
    "return reset(tcb, now);",
  ],
  [
    "a segment without ACK is processed",
    "tcp/segment-arrives.js",
    'if ((seg.flags & ACK) === 0)\n        return drop(tcb, "dropped: no ACK", now);',
    "",
  ],
  [
    "a repeated FIN does not restart the 2MSL timer",
    "tcp/segment-arrives.js",
    'startTimeWait(tcb, "rcv FIN again: 2 MSL anew", now);',
    "",
  ],
  [
    "a wrong ACK in SYN-RECEIVED is taken",
    "tcp/segment-arrives.js",
    "if (!(seqLt(snd.una, seg.ack) && seqLe(seg.ack, snd.max)))\n            return strayReset(tcb, seg, WRONG_ACK, now);\n        if (defersAccept",
    "if (defersAccept",
  ],
  [
    "PAWS is off",
    "tcp/segment-arrives.js",
    "return seqLt(seg.tsVal, tcb.ts.recent) && now - tcb.ts.recentAt < PAWS_IDLE;",
    "return false;",
  ],
  ["PAWS holds RSTs too", "tcp/segment-arrives.js", "if (tcb.ts.enabled && (seg.flags & RST) === 0) {", "if (tcb.ts.enabled) {"],
  [
    "TS.Recent follows every segment",
    "tcp/segment-arrives.js",
    "if (tcb.ts.enabled && seg.hasTimestamps && seqLe(seg.seq, tcb.ts.lastAckSent)) {",
    "if (tcb.ts.enabled && seg.hasTimestamps) {",
  ],
  [
    "a missing timestamp is overlooked",
    "tcp/segment-arrives.js",
    'if (!seg.hasTimestamps)\n            return drop(tcb, "dropped: no timestamp on a connection that uses them", now);',
    "if (!seg.hasTimestamps) { seg.tsVal = tcb.ts.recent; }",
  ],
  [
    "a window shift above 14 is used",
    "tcp/segment-arrives.js",
    "snd.windShift = Math.min(seg.windowScale, 14);",
    "snd.windShift = seg.windowScale;",
  ],
  ["the peer's window is not scaled", "tcp/ack-arrives.js", "seg.wnd : seg.wnd << snd.windShift;", "seg.wnd : seg.wnd;"],
  [
    "an old segment changes the window",
    "tcp/ack-arrives.js",
    "if (!(seqLt(snd.wl1, seg.seq) || (snd.wl1 === seg.seq && seqLe(snd.wl2, seg.ack))))\n        return;",
    "",
  ],
  [
    "an ACK of what was not sent is overlooked",
    "tcp/ack-arrives.js",
    'return challengeAck(tcb, "acknowledges what was never sent: challenged", now);',
    'return "";',
  ],
  [
    "a simultaneous close forgets CLOSING",
    "tcp/ack-arrives.js",
    'setState(tcb, "TIME-WAIT", "rcv ACK of FIN", now);\n            startTimeWait',
    "startTimeWait",
  ],
  ["FIN takes no sequence number", "tcp/text-arrives.js", "rcv.nxt = seqAdd(rcv.nxt, 1);\n    // A peer", "// A peer"],
  [
    "a FIN beyond a gap takes effect at once",
    "tcp/text-arrives.js",
    "if (!rcv.finSeen || rcv.nxt !== rcv.fin || !mayReceive(tcb))",
    "if (!rcv.finSeen || !mayReceive(tcb))",
  ],
  [
    "what lies beyond a gap is acknowledged late",
    "tcp/text-arrives.js",
    'askForAck(tcb, "duplicate ACK: something before it is missing");\n    return "out of order',
    'return "out of order',
  ],
  [
    "old bytes at the front of a segment are taken again",
    "tcp/text-arrives.js",
    "offset += old;\n        length -= old;",
    "offset += old;",
  ],
  ["data after CLOSE is swallowed", "tcp/text-arrives.js", "if (tcb.readerGone)\n        return resetUnread(tcb, now);", ""],
  [
    "duplicates are not told",
    "tcp/segment-arrives.js",
    "if (seqLe(end, tcb.rcv.nxt))\n        tcb.sack.duplicate(seg.seq, end);",
    "",
  ],
  [
    "the time-out does not double",
    "tcp/rtt.js",
    "Math.min(this.rto * 2 ** Math.min(backoffs, 16), this.#max)",
    "Math.min(this.rto, this.#max)",
  ],
  ["without the option an MSS of 1460 is used", "tcp/user-calls.js", "tcb.local.family === 4 ? 536 : 1220", "1460"],
  [
    "the timestamps' room is forgotten",
    "tcp/path-mtu.js",
    "const optionBytes = tcb.ts.enabled ? 12 : 0;",
    "const optionBytes = 0;",
  ],
  [
    "closing with unread data sends FIN",
    "tcp/user-calls.js",
    'if (tcb.receiveQueue.length > 0 && tcb.config.resetsUnread) {\n        if (tcb.state !== "TIME-WAIT"',
    'if (tcb.receiveQueue.length > 1e9) {\n        if (tcb.state !== "TIME-WAIT"',
  ],
  ["TIME-WAIT lasts one MSL", "tcp/set-state.js", "2 * tcb.config.mslUs", "1 * tcb.config.mslUs"],
  ["a RST of a stranger is answered", "stack/reset-queue.js", "if ((seg.flags & RST) !== 0)", "if (false)"],
  ["a mark is not echoed", "tcp/ecn.js", "let flags = ecn.echo ? ECE : 0;", "let flags = 0;"],
  [
    "keep-alive probes carry SND.NXT",
    "tcp/output.js",
    "emitSegment(tcb, out, now, ACK, seqAdd(snd.nxt, -1), tcb.rcv.nxt, field",
    "emitSegment(tcb, out, now, ACK, snd.nxt, tcb.rcv.nxt, field",
  ],
  ["small segments never wait", "tcp/output.js", "if (length >= segmentBytes(tcb) || fin)", "if (length >= 1 || fin)"],
];

it.each(MUTATIONS)("%s", async (_what, file, found, mistake) => {
  const path = join(build.folder, "dist", file);
  const text = readFileSync(path, "utf8");
  expect(text.split(found).length, `${file} has it once`).toBe(2);
  writeFileSync(
    path,
    text.replace(found, () => mistake),
  );
  try {
    const { code, stdout } = await runToEnd(process.execPath, [build.main, "drill", "-q", "--echoes", "-j", "1", scripts]);
    expect(code, stdout).toBe(1);
  } finally {
    writeFileSync(path, text);
  }
});

it("without a mistake all pass", async () => {
  expect((await runToEnd(process.execPath, [build.main, "drill", "-q", "--echoes", scripts])).code).toBe(0);
});
