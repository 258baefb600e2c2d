/**
 * Places in the stream of which the user wants to know when they left and when they were acknowledged: for time stamps of sent data and
 * for buffers that are lent (Linux: SO_TIMESTAMPING, MSG_ZEROCOPY). A connection without such marks has no list of them.
 */
import { seqLe } from "../base/seq.js";
import type { Micros } from "../base/time.js";
import type { Tcb } from "./tcb.js";

export interface TransmitMark {
  /** One past the last sequence number that it stands for. */
  readonly end: number;
  /** All up to it has left, for the first time. */
  left(tcb: Tcb, now: Micros): void;
  /** All up to it is acknowledged. */
  acknowledged(tcb: Tcb, now: Micros): void;
}

export class TransmitMarks {
  /** In the order of the stream; the first `#gone` of them have left. */
  readonly #marks: TransmitMark[] = [];
  #gone = 0;

  /** Marks may be added only in the order of the stream. */
  add(mark: TransmitMark): void {
    this.#marks.push(mark);
  }

  /** SND.NXT has moved on. */
  noteSent(tcb: Tcb, now: Micros): void {
    for (let mark = this.#marks[this.#gone]; mark !== undefined && seqLe(mark.end, tcb.snd.nxt); mark = this.#marks[this.#gone]) {
      this.#gone++;
      mark.left(tcb, now);
    }
  }

  /** SND.UNA has moved on. */
  noteAcknowledged(tcb: Tcb, now: Micros): void {
    while (this.#marks[0] !== undefined && seqLe(this.#marks[0].end, tcb.snd.una)) this.#release(tcb, now);
  }

  /** The connection is over: nothing is sent any more. */
  releaseAll(tcb: Tcb, now: Micros): void {
    while (this.#marks.length > 0) this.#release(tcb, now);
  }

  #release(tcb: Tcb, now: Micros): void {
    const mark = this.#marks.shift();
    this.#gone = Math.max(0, this.#gone - 1);
    mark?.acknowledged(tcb, now);
  }
}
