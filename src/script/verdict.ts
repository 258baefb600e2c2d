/** The verdict on one script. */
import { describePacket } from "../wire/print.js";
import { ScriptFailure, ScriptSyntaxError, UnsupportedError } from "./errors.js";
import type { PassedPacket } from "./host.js";
import { parseScript } from "./parser.js";
import { Runner, type RunOptions } from "./runner.js";

export interface Verdict {
  readonly outcome: "pass" | "fail" | "unsupported" | "error";
  /** 0 when it is about none. */
  readonly line: number;
  /** What is wrong, or not supported. */
  readonly message: string;
  /** The event of the script, what it expected beside what came; "" where that says nothing. */
  readonly event: string;
  readonly expected: string;
  readonly got: string;
  readonly packets: readonly PassedPacket[];
}

const NOTHING = { line: 0, message: "", event: "", expected: "", got: "", packets: [] } as const;

/** Reads and runs a script. Never throws: what goes wrong is the verdict. "error" is a script that cannot be read. */
export function judgeScript(text: string, options: RunOptions = {}): Verdict {
  let runner: Runner | undefined;
  try {
    runner = new Runner(parseScript(text), options);
    runner.run();
    return { ...NOTHING, outcome: "pass", packets: runner.record.packets };
  } catch (error) {
    const { event, packets = [] } = runner?.record ?? {};
    const about = { line: event?.place.line ?? 0, event: event?.text ?? "", packets };
    if (error instanceof ScriptSyntaxError)
      return { ...NOTHING, outcome: "error", line: error.place.line, message: error.message };
    if (error instanceof UnsupportedError) return { ...NOTHING, ...about, outcome: "unsupported", message: error.feature };
    if (error instanceof ScriptFailure) {
      const { expected, got, message } = error;
      return { ...about, outcome: "fail", message, expected, got };
    }
    return { ...NOTHING, ...about, outcome: "fail", message: error instanceof Error ? error.message : String(error) };
  }
}

/** The packets of a run, one a line: time since the first event, direction, and what tcpdump would say. */
export function packetLines(packets: readonly PassedPacket[], start: number): string[] {
  return packets.map(({ at, direction, bytes, note }) => {
    const time = ((at - start) / 1_000_000).toFixed(6).padStart(11);
    return `${time} ${direction === "in" ? "<" : ">"} ${describePacket(bytes, 0, bytes.length)}${note === "" ? "" : `  (${note})`}`;
  });
}
