/** Makes the congestion control of a connection: that of its configuration, or what Linux has under the same name. */
import type { Micros } from "../base/time.js";
import type { CongestionFactory } from "./congestion.js";
import { LinuxControl } from "./linux-control.js";
import type { Tcb } from "./tcb.js";

/** `window` in bytes. */
export function useCongestion(tcb: Tcb, factory: CongestionFactory, window: number, ssthresh?: number, now: Micros = 0): void {
  const { mss } = tcb.snd;
  const made = factory(mss, window, ssthresh);
  if (tcb.config.sender !== "linux") {
    tcb.congestion = made;
    return;
  }
  const segments = Math.floor(window / mss);
  const threshold = ssthresh === undefined ? undefined : Math.floor(ssthresh / mss);
  const lx = new LinuxControl(made.name === "cubic" ? "cubic" : "reno", mss, segments, threshold);
  lx.reordering = tcb.config.reorderingSegments;
  lx.begin(tcb.snd.max, now);
  tcb.linuxSender = lx;
  tcb.congestion = lx;
}
