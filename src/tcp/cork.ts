/** TCP_CORK: what does not fill a segment is held back until the user says so, FIN, or for `corkUs`. */
import { type Micros, NEVER } from "../base/time.js";
import { noteWrite } from "./linux-batch.js";
import type { Tcb } from "./tcb.js";

/** Whether the last, partial segment of what is queued is to wait; starts the time after which it does not. */
export function holdsBack(tcb: Tcb, now: Micros): boolean {
  if (!tcb.corked || tcb.corkOverdue) return false;
  const { corkUs } = tcb.config;
  if (tcb.timers.cork === NEVER && corkUs !== NEVER) {
    tcb.timers.cork = now + corkUs;
    tcb.observer?.timer(tcb.owner, "cork", "start", corkUs, "corked: what does not fill a segment waits for more", now);
  }
  return true;
}

/** New data has left; what comes after it may be held back anew. */
export function corkSent(tcb: Tcb): void {
  tcb.corkOverdue = false;
  tcb.timers.cork = NEVER;
}

/** It was held back for long enough. */
export function corkTimeout(tcb: Tcb, now: Micros): void {
  tcb.timers.cork = NEVER;
  tcb.corkOverdue = true;
  tcb.observer?.timer(tcb.owner, "cork", "expire", 0, "corked for long enough: sends what there is", now);
}

/** Holds back from now on, or lets go of what is held. */
export function setCork(tcb: Tcb, on: boolean): void {
  tcb.corked = on;
  corkSent(tcb);
}

/** MSG_MORE: more follows at once. Linux holds back for this one call, see `linux-batch.ts`. */
export function holdForMore(tcb: Tcb): void {
  if (tcb.linuxSender === undefined) setCork(tcb, true);
}

/** SEND has taken data, the last of a record or not. Returns whether what was held back goes now. */
export function written(tcb: Tcb, more: boolean, endsRecord: boolean, isCorked: boolean): boolean {
  if (tcb.linuxSender !== undefined) noteWrite(tcb, more, endsRecord);
  if (more || !tcb.corked || isCorked) return false;
  setCork(tcb, false);
  return true;
}
