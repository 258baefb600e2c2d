/** tshark's analysis of a capture, frame by frame, beside ours. */
import { execFileSync } from "node:child_process";
import type { Explainer } from "../../src/explain/explainer.js";
import type { Incident, IncidentKind } from "../../src/explain/incident.js";

const FLAGS = [
  ...["retransmission", "fast_retransmission", "spurious_retransmission", "out_of_order", "duplicate_ack", "zero_window"],
  ...["zero_window_probe", "keep_alive", "lost_segment", "window_update", "ack_lost_segment"],
] as const;

export type TsharkFlag = (typeof FLAGS)[number];

export interface TsharkAnalysis {
  /** Frame numbers by flag. */
  readonly frames: ReadonlyMap<TsharkFlag, readonly number[]>;
  /** Frames with payload. */
  readonly withData: ReadonlySet<number>;
}

export function tsharkFlags(file: string): TsharkAnalysis {
  const withData = new Set<number>();
  const fields = ["frame.number", "tcp.len", ...FLAGS.map((flag) => `tcp.analysis.${flag}`)].flatMap((field) => ["-e", field]);
  const text = execFileSync("tshark", ["-n", "-r", file, "-T", "fields", "-E", "separator=|", ...fields], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "ignore"],
    maxBuffer: 1 << 28,
  });
  const frames = new Map<TsharkFlag, number[]>(FLAGS.map((flag) => [flag, []]));
  for (const line of text.trimEnd().split("\n")) {
    const [number = "", length = "0", ...marks] = line.split("|");
    if (Number(length) > 0) withData.add(Number(number));
    for (const [i, mark] of marks.entries()) {
      const flag = FLAGS[i];
      if (mark !== "" && flag !== undefined) frames.get(flag)?.push(Number(number));
    }
  }
  return { frames, withData };
}

/** Frames of all connections whose incidents `wanted` picks, in order. */
export function framesOf(explainer: Explainer, wanted: (incident: Incident) => boolean): number[] {
  const found = explainer.connections.flatMap(({ incidents }) => incidents.filter(wanted).map(({ frame }) => frame));
  return [...new Set(found)].sort((a, b) => a - b);
}

/**
 * Frames in which tshark and we differ, by what is compared; none when all is equal. Where definitions differ:
 *
 *  - "Out of order" is for tshark every segment below the highest number that comes soon after it (within the round trip of the
 *    handshake), retransmissions among them. For us it must hold bytes never seen before. Compared is the union of both.
 *  - "Spurious" is for tshark a segment with payload that was acknowledged before; for us a SYN or FIN without payload, too, and
 *    also what a D-SACK tells of later. Compared are segments with payload that were acknowledged before.
 *  - A duplicate ACK is one for tshark with nothing outstanding, too; RFC 5681 and we call only the others so ("repeated-ack").
 *  - Linux probes a zero window with an old number and no data, which tshark calls a keep-alive. Compared is the union.
 */
export function differences(explainer: Explainer, { frames: theirs, withData }: TsharkAnalysis): string[] {
  const of = (...flags: TsharkFlag[]) => [...new Set(flags.flatMap((flag) => theirs.get(flag) ?? []))].sort((a, b) => a - b);
  const ours = (...kinds: IncidentKind[]) => framesOf(explainer, ({ kind }) => kinds.includes(kind));
  const compared: readonly (readonly [string, readonly number[], readonly number[]])[] = [
    ["sent again or late", ours("retransmission", "out-of-order"), of("retransmission", "out_of_order")],
    [
      "acknowledged before",
      framesOf(explainer, ({ alreadyAcked, frame }) => alreadyAcked && withData.has(frame)),
      of("spurious_retransmission"),
    ],
    ["duplicate ACK", ours("duplicate-ack", "repeated-ack"), of("duplicate_ack")],
    ["zero window", ours("zero-window"), of("zero_window")],
    ["probe or keep-alive", ours("zero-window-probe", "keep-alive"), of("zero_window_probe", "keep_alive")],
    ["gap", ours("gap"), of("lost_segment")],
    ["window update", ours("window-update"), of("window_update")],
  ];
  return compared.flatMap(([name, mine, others]) => {
    const more = mine.filter((frame) => !others.includes(frame));
    const less = others.filter((frame) => !mine.includes(frame));
    return more.length + less.length === 0 ? [] : [`${name}: ours alone ${more.join(" ")}, tshark's alone ${less.join(" ")}`];
  });
}
