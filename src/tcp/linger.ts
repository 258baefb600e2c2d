/** CLOSE with a time-out (SO_LINGER): what is not delivered in time is given up, and the peer told by RST. */
import { type Micros, NEVER } from "../base/time.js";
import type { Tcb } from "./tcb.js";
import { abort } from "./user-calls.js";

/** CLOSE without patience: RST instead of FIN. Returns whether it was that. */
export function closedHard(tcb: Tcb, now: Micros): boolean {
  if (tcb.config.lingerUs !== 0 || tcb.state === "CLOSED" || tcb.state === "TIME-WAIT") return false;
  abort(tcb, now);
  return true;
}

/** CLOSE was called: starts the time-out while something of ours is not acknowledged. */
export function startLinger(tcb: Tcb, now: Micros): void {
  if (tcb.config.lingerUs === NEVER) return;
  switch (tcb.state) {
    case "CLOSED":
    case "FIN-WAIT-2":
    case "TIME-WAIT":
      return;
    default:
      tcb.timers.linger = now + tcb.config.lingerUs;
      tcb.observer?.timer(
        tcb.owner,
        "linger",
        "start",
        tcb.config.lingerUs,
        "closed: what is not acknowledged by then is given up",
        now,
      );
  }
}

/** The time-out is over. */
export function lingerTimeout(tcb: Tcb, now: Micros): void {
  tcb.timers.linger = NEVER;
  tcb.observer?.timer(tcb.owner, "linger", "expire", 0, "not all was acknowledged in time", now);
  abort(tcb, now);
}
