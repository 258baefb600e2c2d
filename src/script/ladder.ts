/** What passed in a run, as a picture: the script on the left, what it tests on the right, time downwards. */
import { type Micros, SECOND } from "../base/time.js";

/** A packet into the stack, one out of it in the script's numbers, or a call with what it gave. */
export interface Step {
  readonly at: Micros;
  readonly kind: "in" | "out" | "call";
  readonly text: string;
}

const LEFT = 66;

/** One line a step; `start` is the script's time zero. */
export function ladderLines(steps: readonly Step[], start: Micros): string[] {
  return steps.map(({ at, kind, text }) => {
    const time = ((at - start) / SECOND).toFixed(6).padStart(11);
    if (kind === "call") return `${time}  ${" ".repeat(LEFT)} | ${text}`;
    const dashes = "-".repeat(Math.max(2, LEFT - text.length - 3));
    return kind === "in" ? `${time}  ${text} ${dashes}>|` : `${time}  <${dashes} ${text} |`;
  });
}
