/** The STATUS call (RFC 9293 §3.10.6): one snapshot type for every observer. Plain values, safe to keep. */
import type { Micros } from "../base/time.js";
import { formatEndpoint } from "../wire/address.js";
import type { State } from "./state.js";
import type { Counters, Tcb } from "./tcb.js";

export interface Status {
  readonly state: State;
  readonly local: string;
  readonly remote: string;
  readonly snd: { una: number; nxt: number; wnd: number; max: number; mss: number; windShift: number };
  readonly rcv: { nxt: number; wnd: number; windShift: number };
  readonly iss: number;
  readonly irs: number;
  /** Bytes queued by the user and not acknowledged. */
  readonly sendQueueBytes: number;
  /** Bytes received and not read. */
  readonly receiveQueueBytes: number;
  readonly outOfOrderRanges: number;
  readonly srtt: Micros;
  readonly rttvar: Micros;
  readonly rto: Micros;
  readonly backoffs: number;
  readonly congestion: string;
  readonly cwnd: number;
  readonly ssthresh: number;
  readonly inRecovery: boolean;
  readonly timestamps: boolean;
  readonly counters: Readonly<Counters>;
}

export function snapshot(tcb: Tcb): Status {
  const { snd, rcv, rtt, congestion } = tcb;
  return {
    state: tcb.state,
    local: formatEndpoint(tcb.local, tcb.localPort),
    remote: formatEndpoint(tcb.remote, tcb.remotePort),
    snd: { una: snd.una, nxt: snd.nxt, wnd: snd.wnd, max: snd.max, mss: snd.mss, windShift: snd.windShift },
    rcv: { nxt: rcv.nxt, wnd: tcb.receiveWindow, windShift: rcv.windShift },
    iss: tcb.iss,
    irs: tcb.irs,
    sendQueueBytes: tcb.sendQueue.length,
    receiveQueueBytes: tcb.receiveQueue.length,
    outOfOrderRanges: tcb.outOfOrder.size,
    srtt: rtt.srtt,
    rttvar: rtt.rttvar,
    rto: rtt.rto,
    backoffs: tcb.backoffs,
    congestion: congestion.name,
    cwnd: congestion.cwnd,
    ssthresh: congestion.ssthresh,
    inRecovery: tcb.recovery.active,
    timestamps: tcb.ts.enabled,
    counters: { ...tcb.counters },
  };
}
