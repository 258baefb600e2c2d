/** Scripts in few lines. */

import type { RunOptions } from "../../src/script/runner.js";
import { judgeScript, type Verdict } from "../../src/script/verdict.js";

/** A connection that a peer has opened to descriptor 4, without options. */
export const ACCEPTED = `
   0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
  +0 setsockopt(3, SOL_SOCKET, SO_REUSEADDR, [1], 4) = 0
  +0 bind(3, ..., ...) = 0
  +0 listen(3, 1) = 0
  +0 < S 0:0(0) win 32792 <mss 1000>
  +0 > S. 0:0(0) ack 1 <mss 1460>
 +.1 < . 1:1(0) ack 1 win 32792
  +0 accept(3, ..., ...) = 4
`;

export function judge(script: string, options: RunOptions = {}): Verdict {
  return judgeScript(script, options);
}

/** Outcome, line and message in one. */
export function told({ outcome, line, message }: Verdict): string {
  return outcome === "pass" ? "pass" : `${outcome} ${line}: ${message}`;
}
