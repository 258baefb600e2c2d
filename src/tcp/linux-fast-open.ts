/**
 * A Fast Open server that waits for the third segment, as Linux has it (tcp_timer.c: tcp_fastopen_synack_timer; tcp_input.c:
 * tcp_rcv_synrecv_state_fastopen): what its SYN-ACK asks for and what it has sent behind it go their own ways.
 *
 *     SYN, data    ──►   the user reads, writes, may even close
 *                  ◄──   SYN-ACK        its timer alone runs
 *                  ◄──   data, FIN      nobody watches these until
 *     third        ──►   this comes: what was given up for lost meanwhile leaves again
 */
import { type Micros, NEVER, SECOND } from "../base/time.js";
import type { LinuxControl } from "./linux-control.js";
import { afterRepeatedSyn, noteRepeated } from "./linux-delivery.js";
import { linuxTimeout } from "./linux-recovery.js";
import { undoAtEnd } from "./linux-undo.js";
import { fail } from "./set-state.js";
import type { Tcb } from "./tcb.js";

/** Until the first measurement (TCP_TIMEOUT_FALLBACK). */
export const FALLBACK_RTO: Micros = 3 * SECOND;

/** Whether the data of a SYN was taken and its third segment has not come. */
export function awaitsThird(tcb: Tcb): boolean {
  return tcb.linuxSender !== undefined && tcb.fastOpen.accepted && !tcb.synAcked;
}

/** Where the numbers of data begin that an ACK may cover: the SYN-ACK of Fast Open counts as taken from the start. */
export function ackedBefore(tcb: Tcb): number {
  return awaitsThird(tcb) ? tcb.dataStart : tcb.snd.una;
}

/** The third segment did not come in time: the SYN-ACK again; one time-out is no loss yet, a second one is. */
export function synAckTimeout(tcb: Tcb, lx: LinuxControl, now: Micros): void {
  tcb.timers.retransmission = NEVER;
  // One more than without Fast Open: the user has the connection already.
  if (tcb.backoffs > tcb.config.synAckRetries) {
    fail(tcb, "ETIMEDOUT", "the third segment never came", now);
    return;
  }
  tcb.observer?.timer(tcb.owner, "retransmission", "expire", 0, `no third segment, try ${tcb.backoffs + 1} again`, now);
  if (tcb.backoffs === 1) {
    linuxTimeout(tcb, lx, now);
    lx.headDue = false;
    lx.backoff = 0;
  }
  if (tcb.backoffs === 0) noteRepeated(tcb, lx, now);
  tcb.counters.timeouts++;
  tcb.backoffs++;
  tcb.lastTimeoutAt = now;
  tcb.synRepeated = true;
  tcb.pending.synAck = true;
}

/** When the next repetition of the SYN-ACK is due: by its own time, for nothing was measured. */
export function synAckDeadline(tcb: Tcb, now: Micros): Micros {
  const { rtoInitialUs, rtoMaxUs } = tcb.config;
  return now + Math.min(rtoInitialUs * 2 ** tcb.backoffs, rtoMaxUs);
}

/** The third segment has come and its ACK was taken. */
export function thirdArrived(tcb: Tcb, lx: LinuxControl, now: Micros): void {
  if (lx.state === "loss" && tcb.sent.length === 0) undoAtEnd(tcb, lx, now);
  afterRepeatedSyn(tcb);
  if (tcb.sent.first?.retransmitted !== true) lx.repeatedAt = -1;
}
