/** The verdict on one script. */
import type { ProfileName } from "../tcp/profiles.js";
import { textForProfile } from "./dialect.js";
import { ScriptFailure, ScriptSyntaxError, UnsupportedError } from "./errors.js";
import type { PassedPacket } from "./host.js";
import type { Step } from "./ladder.js";
import { parseScript } from "./parser.js";
import { Runner, type RunOptions } from "./runner.js";
import { readSettings } from "./settings.js";

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
  /** Where a run that is tolerant has passed, and one that is not would have failed. */
  readonly tolerated: readonly string[];
  /** Packets and calls, for `ladderLines`. */
  readonly steps: readonly Step[];
  /** What the stack behaved as; "" for a script that cannot be read. */
  readonly profile: ProfileName | "";
}

/** A verdict that is about nothing that has happened. */
export const NOTHING = {
  line: 0,
  message: "",
  event: "",
  expected: "",
  got: "",
  packets: [],
  steps: [],
  tolerated: [],
  profile: "",
} as const;

/** Reads and runs a script. Never throws: what goes wrong is the verdict. "error" is a script that cannot be read. */
export function judgeScript(text: string, options: RunOptions = {}): Verdict {
  let runner: Runner | undefined;
  try {
    const chosen = textForProfile(text, options.profile);
    const script = parseScript(chosen.text, (lines) => readSettings(lines, options.options).definitions);
    runner = new Runner(script, { ...options, profile: chosen.profile });
    runner.run();
    const { packets, steps, tolerated, profile } = runner.record;
    return { ...NOTHING, outcome: "pass", packets, steps, tolerated, profile };
  } catch (error) {
    const { event, packets = [], steps = [], tolerated = [], profile = "" } = runner?.record ?? {};
    const about = { line: event?.place.line ?? 0, event: event?.text ?? "", packets, steps, tolerated, profile } as const;
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
