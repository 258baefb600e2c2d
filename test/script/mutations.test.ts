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
    "tcp/linux-arrivals.js",
    "const edge = seqAdd(rcv.nxt, linux.offered(tcb));",
    "const edge = seqAdd(rcv.nxt, linux.offered(tcb) + 4000000);",
  ],
  [
    "any RST in the window is taken",
    "tcp/linux-arrivals.js",
    "if (seg.seq === rcv.nxt || isResetBeforeFin(tcb, seg) || isAtSackEnd(tcb, seg))",
    "",
  ],
  [
    "no RST is taken",
    "tcp/linux-arrivals.js",
    "if (seg.seq === rcv.nxt || isResetBeforeFin(tcb, seg) || isAtSackEnd(tcb, seg))",
    "if (false)",
  ],
  [
    "a RST outside the window is answered",
    "tcp/linux-arrivals.js",
    'return isResetBeforeFin(tcb, seg) ? undefined : dropped(tcb, "dropped: RST outside the window", now);',
    'return answerOutside(tcb, linux, seg, "dropped: RST outside the window", now);',
  ],
  [
    "a SYN in the window resets",
    "tcp/linux-arrivals.js",
    'return challengeAck(tcb, "SYN on a synchronized connection: challenged", now);',
    "return refuse(tcb, seg, now);",
  ],
  [
    "a segment without ACK is processed",
    "tcp/linux-arrivals.js",
    'if ((seg.flags & (ACK | RST | SYN)) === 0)\n        return dropped(tcb, "dropped: no ACK", now);',
    "",
  ],
  [
    "a repeated FIN does not restart the 2MSL timer",
    "tcp/linux-arrivals.js",
    'if (isOld || (seg.flags & ACK) !== 0)\n        startTimeWait(tcb, "2 MSL anew", now);',
    "",
  ],
  [
    "a wrong ACK in SYN-RECEIVED is not answered",
    "tcp/linux-arrivals.js",
    'answerAsStranger(tcb, seg);\n        return dropped(tcb, "wrong acknowledgment',
    'return dropped(tcb, "wrong acknowledgment',
  ],
  [
    "PAWS is off",
    "tcp/linux-arrivals.js",
    "return seqDiff(ts.recent, seg.tsVal) > tolerance && now - ts.recentAt < PAWS_IDLE;",
    "return false;",
  ],
  ["PAWS holds RSTs too", "tcp/linux-arrivals.js", "if (!isReset && pawsRejects(", "if (pawsRejects("],
  [
    "TS.Recent follows every segment",
    "tcp/linux-arrivals.js",
    "!seg.hasTimestamps || seqGt(seg.seq, edge) || pawsRejects",
    "!seg.hasTimestamps || pawsRejects",
  ],
  [
    "what has no timestamp is dropped",
    "tcp/linux-arrivals.js",
    "if (!ts.enabled || !seg.hasTimestamps || ts.recent === 0)\n        return false;",
    "if (!ts.enabled || ts.recent === 0)\n        return false;\n    if (!seg.hasTimestamps)\n        return true;",
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
    "tcp/linux-arrivals.js",
    "acks.isScheduled = true;\n    if ((seg.flags & FIN) !== 0) {",
    "if ((seg.flags & FIN) !== 0) {",
  ],
  [
    "old bytes at the front of a segment are taken again",
    "tcp/linux-arrivals.js",
    "const length = seqDiff(end, start) - (fin ? 1 : 0);",
    "const length = seqDiff(end, seg.seq) - (fin ? 1 : 0);",
  ],
  ["data after CLOSE is swallowed", "tcp/linux-arrivals.js", 'if (tcb.state !== "ESTABLISHED" && isShut', "if (false"],
  ["duplicates are not told", "tcp/linux-arrivals.js", "if (tcb.sack.enabled)\n            tcb.sack.duplicate(start, end);", ""],
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
  ["a mark is not counted", "tcp/accurate-ecn.js", "accurate.receivedCe++;", ""],
  ["ACE of an old ACK is believed", "tcp/accurate-ecn.js", "if (segments === 0 && !accurate.isFresh)", "if (false)"],
  ["the SYN-ACK reflects nothing", "tcp/accurate-ecn.js", "REFLECTED[ecn] ?? 0", "REFLECTED[0] ?? 0"],
  [
    "keep-alive probes carry SND.NXT",
    "tcp/output.js",
    "emitSegment(tcb, out, now, ACK, seqAdd(snd.nxt, -1), tcb.rcv.nxt, field",
    "emitSegment(tcb, out, now, ACK, snd.nxt, tcb.rcv.nxt, field",
  ],
  ["small segments never wait", "tcp/linux-batch.js", "if (length < full && isPartialHeld)\n            return -1;", ""],
  [
    "the end of a batch has no PSH",
    "tcp/linux-batch.js",
    "if (batch.isOpen && batch.isLarge && end === batch.end)\n        return true;",
    "",
  ],
  [
    "recovery does not shrink the flight",
    "tcp/linux-states.js",
    "lx.threshold * lx.prrDelivered",
    "lx.priorWindow * lx.prrDelivered",
  ],
  ["slow start ends nowhere", "tcp/linux-control.js", "Math.min(this.window + left, this.threshold)", "this.window + left"],
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
