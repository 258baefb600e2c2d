/** How much SEND takes, and when a user that was refused is told to try again. */
import { seqDiff } from "../base/seq.js";
import { EVENT_WRITABLE } from "./event-bits.js";
import { linuxHeld, linuxSendSpace } from "./linux-batch.js";
import type { Tcb } from "./tcb.js";

/** Bytes that SEND takes now: the free send buffer, none while too much of it was never sent (Linux: TCP_NOTSENT_LOWAT). */
export function sendSpace(tcb: Tcb): number {
  if (unsentBytes(tcb) >= tcb.config.notSentLowWaterBytes) return 0;
  if (tcb.linuxSender !== undefined && tcb.synAcked) return Math.max(0, linuxSendSpace(tcb, tcb.linuxSender));
  return Math.max(0, tcb.config.sendBufferBytes - tcb.sendQueue.length);
}

/** Tells "writable" to a user that is owed it once half of the buffer is free, and half of the low-water mark too. */
export function tellWritable(tcb: Tcb): void {
  if (!tcb.writeBlocked) return;
  // Note: Linux waits until a third is free (sk_stream_is_writeable).
  if (tcb.linuxSender !== undefined && 3 * linuxHeld(tcb) > 4 * tcb.config.sendBufferBytes) return;
  if (tcb.linuxSender === undefined && tcb.sendQueue.length * 2 > tcb.config.sendBufferBytes) return;
  if (unsentBytes(tcb) * 2 > tcb.config.notSentLowWaterBytes) return;
  tcb.writeBlocked = false;
  tcb.events |= EVENT_WRITABLE;
}

/** Bytes taken from the user that have never left. */
export function unsentBytes(tcb: Tcb): number {
  return Math.max(0, seqDiff(tcb.dataEnd, tcb.synAcked ? tcb.snd.nxt : tcb.dataStart));
}

/** Whether poll(2) says that SEND may be called: a third of the buffer is free. Note: Linux does the same (sk_stream_is_writeable). */
export function isWritable(tcb: Tcb): boolean {
  if (tcb.linuxSender !== undefined)
    return 3 * linuxHeld(tcb) <= 4 * tcb.config.sendBufferBytes && unsentBytes(tcb) < tcb.config.notSentLowWaterBytes;
  const free = sendSpace(tcb);
  return free > 0 && 2 * free >= tcb.sendQueue.length;
}
