/**
 * The error queue of a socket (`recvmsg` with MSG_ERRQUEUE), which holds what is told of sent data: time stamps (SO_TIMESTAMPING) and that a
 * buffer is free again (MSG_ZEROCOPY). Linux: Documentation/networking/timestamping.rst and msg_zerocopy.rst.
 */
import { seqDiff } from "../base/seq.js";
import type { Micros } from "../base/time.js";
import { headerBytes } from "../tcp/emit.js";
import { type TcpInfo, tcpInfo } from "../tcp/info.js";
import type { Tcb } from "../tcp/tcb.js";
import { TransmitMarks } from "../tcp/transmit-marks.js";

/** Calls `low` to `high` with MSG_ZEROCOPY are done; our stack has copied their data. */
export interface ZerocopyDone {
  readonly origin: "zerocopy";
  readonly low: number;
  readonly high: number;
}

/** With the bytes that were written and not acknowledged. */
export type SentStats = TcpInfo & { readonly queued: number };

/** When data was handed to the device's queue, when it left, or when it was acknowledged. */
export interface SentStamp {
  readonly origin: "timestamping";
  readonly what: "SCHED" | "SND" | "ACK";
  readonly at: Micros;
  /** Index of the last byte of the call, counted from when stamps were asked for; 0 without SOF_TIMESTAMPING_OPT_ID. */
  readonly id: number;
  /** As it was then; only with SOF_TIMESTAMPING_OPT_STATS. */
  readonly stats: SentStats | undefined;
  /** Bytes that the queue gives back beside it: the packet, without its headers once it is acknowledged; none with SOF_TIMESTAMPING_OPT_TSONLY. */
  readonly bytes: number;
}

export type QueuedError = ZerocopyDone | SentStamp;

/** Bits of SO_TIMESTAMPING. */
export const SOF_TIMESTAMPING = {
  TX_SOFTWARE: 2,
  RX_SOFTWARE: 8,
  SOFTWARE: 0x10,
  OPT_ID: 0x80,
  TX_SCHED: 0x100,
  TX_ACK: 0x200,
  OPT_TSONLY: 0x800,
  OPT_STATS: 0x1000,
  OPT_ID_TCP: 0x1_0000,
  ALL: 0x7_ffff,
} as const;
const TX_ANY = SOF_TIMESTAMPING.TX_SOFTWARE | SOF_TIMESTAMPING.TX_SCHED | SOF_TIMESTAMPING.TX_ACK;
/** What a call may ask for its own data (Linux: SOF_TIMESTAMPING_TX_RECORD_MASK; 1 is the hardware's). */
export const SOF_TIMESTAMPING_OF_A_CALL = TX_ANY | 1;
/** Attributes of SCM_TIMESTAMPING_OPT_STATS lie in the queue as data (Linux 6.18). */
const STATS_BYTES = 256;

interface ZerocopyRange {
  readonly low: number;
  high: number;
  end: number;
}

export class ErrorQueue {
  readonly #items: QueuedError[] = [];
  /** How many were ever queued: edges for those who wait. */
  total = 0;
  /** Calls with MSG_ZEROCOPY so far. */
  #calls = 0;
  /** The last of them, as long as none of its data has left. */
  #open: ZerocopyRange | undefined;

  get length(): number {
    return this.#items.length;
  }

  /** The oldest; undefined when there is none. */
  shift(): QueuedError | undefined {
    return this.#items.shift();
  }

  /** A call has taken so many bytes, up to `tcb.dataEnd`. `stamps`: bits of SO_TIMESTAMPING; `from`: where their ids begin. */
  noteSent(tcb: Tcb, taken: number, isZerocopy: boolean, stamps: number, from: number): void {
    if (isZerocopy) this.#noteZerocopy(tcb);
    if ((stamps & TX_ANY) !== 0) this.#noteStamps(tcb, taken, stamps, from);
  }

  /** A call with MSG_ZEROCOPY has taken data up to `tcb.dataEnd`. Calls whose data waits together are done together. */
  #noteZerocopy(tcb: Tcb): void {
    const call = this.#calls++;
    const { dataEnd: end } = tcb;
    const joins = this.#open !== undefined && seqDiff(this.#open.end, tcb.snd.nxt) > 0;
    const range = joins && this.#open !== undefined ? this.#open : { low: call, high: call, end };
    range.high = call;
    range.end = end;
    this.#open = range;
    marksOf(tcb).add({
      end,
      left: () => undefined,
      acknowledged: () => {
        // The last of several tells for all.
        if (range.high === call) this.#pushZerocopy(range.low, range.high);
      },
    });
  }

  #noteStamps(tcb: Tcb, taken: number, flags: number, from: number): void {
    const { dataEnd: end } = tcb;
    const id = (flags & SOF_TIMESTAMPING.OPT_ID) === 0 ? 0 : (seqDiff(end, from) - 1) >>> 0;
    const push = (what: SentStamp["what"], bit: number, at: Micros, about: Tcb): void => {
      if ((flags & bit) === 0) return;
      const stats =
        (flags & SOF_TIMESTAMPING.OPT_STATS) === 0 ? undefined : { ...tcpInfo(about, at), queued: about.sendQueue.length };
      const headers = what === "ACK" ? 0 : headerBytes(about) + (about.ts.enabled ? 12 : 0);
      const bytes = stats !== undefined ? STATS_BYTES : (flags & SOF_TIMESTAMPING.OPT_TSONLY) === 0 ? headers + taken : 0;
      this.#push({ origin: "timestamping", what, at, id, stats, bytes });
    };
    marksOf(tcb).add({
      end,
      left: (about, now) => {
        push("SCHED", SOF_TIMESTAMPING.TX_SCHED, now, about);
        push("SND", SOF_TIMESTAMPING.TX_SOFTWARE, now, about);
      },
      acknowledged: (about, now) => {
        // Data that is given up was not acknowledged.
        if (about.state !== "CLOSED") push("ACK", SOF_TIMESTAMPING.TX_ACK, now, about);
      },
    });
  }

  /** Neighbours in the queue become one. */
  #pushZerocopy(low: number, high: number): void {
    const last = this.#items.at(-1);
    if (last?.origin === "zerocopy" && last.high + 1 === low) {
      this.#items[this.#items.length - 1] = { ...last, high };
      this.total++;
    } else this.#push({ origin: "zerocopy", low, high });
  }

  #push(item: QueuedError): void {
    this.#items.push(item);
    this.total++;
  }
}

function marksOf(tcb: Tcb): TransmitMarks {
  tcb.transmitMarks ??= new TransmitMarks();
  return tcb.transmitMarks;
}
