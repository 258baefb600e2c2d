/** The congestion controls that can be chosen by name. */
import { RawTcpError } from "../base/errors.js";
import type { CongestionFactory } from "./congestion.js";
import { cubic } from "./cubic.js";
import { newReno } from "./new-reno.js";

/** By name, in lower case as `net.ipv4.tcp_congestion_control` has them; "reno" is what Linux calls NewReno. */
export const CONGESTION_CONTROLS = {
  cubic,
  newreno: newReno,
  reno: newReno,
} as const satisfies Record<string, CongestionFactory>;

export type CongestionName = keyof typeof CONGESTION_CONTROLS;

/** No congestion control has that name; the message lists those there are. */
export class UnknownCongestionControlError extends RawTcpError {
  /** What was asked for. */
  readonly requested: string;

  constructor(requested: string) {
    super(
      "ERR_UNKNOWN_CONGESTION_CONTROL",
      `no congestion control "${requested}"; there are: ${Object.keys(CONGESTION_CONTROLS).join(", ")}`,
    );
    this.name = "UnknownCongestionControlError";
    this.requested = requested;
  }
}

/** The factory of that name. Throws UnknownCongestionControlError for any other. */
export function congestionByName(name: string): CongestionFactory {
  if (!isCongestionName(name)) throw new UnknownCongestionControlError(name);
  return CONGESTION_CONTROLS[name];
}

function isCongestionName(name: string): name is CongestionName {
  // Not `in`: that would find "constructor" too.
  return Object.hasOwn(CONGESTION_CONTROLS, name);
}
