/** What the tests of congestion controls share: facts to tell them, and a path that tells those of a steady sender. */
import { seqAdd } from "../../../src/base/seq.js";
import type { AckSample, CongestionControl } from "../../../src/tcp/congestion.js";

export const MSS = 1_000;

/** An ACK of one segment, by a sender that the window limits; `over` says what differs. */
export function ack(over: Partial<AckSample> = {}): AckSample {
  return { now: 0, ackedBytes: MSS, flightSize: 0, limited: true, rttUs: 0, srttUs: 0, una: 0, nxt: 0, ...over };
}

/** Fast recovery from `flight` bytes, in which nothing else happens and all of the flight stays in the network. */
export function loseAndRecover(control: CongestionControl, flight: number, now = 0): void {
  control.onEnterRecovery(flight, now);
  control.onExitRecovery(flight, now);
}

/**
 * A steady sender over a path of constant delay: its window in flight, an ACK a segment, evenly spread over the round trip,
 * and a loss after every `lossEvery` segments. Returns the mean window in segments, over time, from the `skip`th loss on.
 */
export function meanWindow(control: CongestionControl, rttUs: number, lossEvery: number, losses: number, skip: number): number {
  const sample = ack({ srttUs: rttUs, rttUs });
  // The first slow start has no threshold and would take many losses to come down from.
  loseAndRecover(control, control.cwnd);
  let now = 0;
  let area = 0;
  let time = 0;
  for (let loss = 0; loss < losses; loss++) {
    for (let i = 0; i < lossEvery; i++) {
      const span = (rttUs * MSS) / control.cwnd;
      now += span;
      if (loss >= skip) {
        area += (control.cwnd / MSS) * span;
        time += span;
      }
      sample.now = Math.round(now);
      sample.flightSize = control.cwnd;
      sample.una = seqAdd(sample.una, MSS);
      sample.nxt = seqAdd(sample.una, control.cwnd);
      control.onAck(sample);
    }
    now += rttUs;
    loseAndRecover(control, control.cwnd, Math.round(now));
  }
  return area / time;
}
