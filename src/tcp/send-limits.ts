/** What held a sender back, and for how long: the peer's window, the send buffer, or (all the rest of busy time) the network. */
import { seqDiff } from "../base/seq.js";
import type { Micros } from "../base/time.js";
import { congestionWindow, flight } from "./loss-recovery.js";
import type { Tcb } from "./tcb.js";

/** "idle": nothing to send and nothing outstanding; "busy": neither of the other two. */
export type SendLimit = "idle" | "busy" | "receive-window" | "send-buffer";

/** Adds up the time spent under each limit. */
export class SendLimits {
  #present: SendLimit = "idle";
  #since: Micros = 0;
  #busyUs: Micros = 0;
  #receiveWindowUs: Micros = 0;
  #sendBufferUs: Micros = 0;

  /** From now on. */
  set(limit: SendLimit, now: Micros): void {
    if (limit === this.#present) return;
    this.#add(now);
    this.#present = limit;
    this.#since = now;
  }

  /** Time with anything to send or outstanding, whatever the limit was. */
  busyUs(now: Micros): Micros {
    return this.#busyUs + (this.#present === "idle" ? 0 : now - this.#since);
  }

  /** Time in which the peer's window was the limit. */
  receiveWindowUs(now: Micros): Micros {
    return this.#receiveWindowUs + (this.#present === "receive-window" ? now - this.#since : 0);
  }

  /** Time in which the send buffer was the limit: all of it was sent, and the user had more. */
  sendBufferUs(now: Micros): Micros {
    return this.#sendBufferUs + (this.#present === "send-buffer" ? now - this.#since : 0);
  }

  #add(now: Micros): void {
    const elapsed = now - this.#since;
    if (this.#present !== "idle") this.#busyUs += elapsed;
    if (this.#present === "receive-window") this.#receiveWindowUs += elapsed;
    if (this.#present === "send-buffer") this.#sendBufferUs += elapsed;
  }
}

/** Nothing more can be sent now: notes why. */
export function noteSendLimit(tcb: Tcb, now: Micros): void {
  tcb.limits.set(sendLimit(tcb), now);
}

/** The user is about to SEND: whether it has let the connection run dry meanwhile, so that rates tell of it and not of the path. */
export function noteApplicationLimit(tcb: Tcb): void {
  const { sent, snd } = tcb;
  if (sent.lostSegments > 0 || seqDiff(tcb.dataEnd, snd.nxt) >= snd.mss || flight(tcb) >= congestionWindow(tcb)) return;
  tcb.rate.applicationLimited(sent.inFlightBytes);
}

function sendLimit(tcb: Tcb): SendLimit {
  const { snd, sendQueue } = tcb;
  if (sendQueue.length === 0 && snd.una === snd.max) return "idle";
  const unsent = seqDiff(tcb.dataEnd, snd.nxt);
  const quota = congestionWindow(tcb) - flight(tcb);
  if (unsent > 0) {
    const room = snd.wnd - seqDiff(snd.nxt, snd.una);
    return room < Math.min(unsent, snd.mss) && room < quota ? "receive-window" : "busy";
  }
  return tcb.writeBlocked && quota > 0 ? "send-buffer" : "busy";
}
