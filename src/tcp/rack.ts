/**
 * RACK: loss detection by time (RFC 8985 §6). A segment is lost when one that left sufficiently later has been delivered;
 * "sufficiently" is the reordering window, which grows when the path is seen to reorder.
 */
import { seqGe, seqGt, seqLt } from "../base/seq.js";
import { MINUTE, type Micros, NEVER } from "../base/time.js";
import { WindowedMin } from "../base/windowed-min.js";
import type { SentList, SentSegment } from "./sent-list.js";

/** Three SACKed segments are a loss on a path that has not been seen to reorder (RFC 8985 §6.2 step 4, DupThresh of RFC 5681). */
const DUP_THRESH = 3;
/** Recoveries without a D-SACK until the reordering window is small again (RFC 8985 §6.2 step 4). */
const REO_WND_PERSIST = 16;

/** How long a minimum of the round-trip time counts: routes change. Note: Linux does the same (net.ipv4.tcp_min_rtt_wlen). */
const MIN_RTT_WINDOW: Micros = 5 * MINUTE;

export class Rack {
  /** Of the most recently sent segment that was delivered (RFC 8985 §5.2). */
  xmitTs: Micros = -1;
  /** Its place among the transmissions, see `sentAfter`. */
  xmitOrder = 0;
  endSeq = 0;
  rtt: Micros = 0;
  /** Of the last minutes (RFC 8985 §6.2 step 1). */
  minRtt: Micros = NEVER;
  readonly #minRtts = new WindowedMin(MIN_RTT_WINDOW);
  /** Highest sequence number delivered (FACK). */
  fack = 0;
  reorderingSeen = false;
  reoWnd: Micros = 0;
  reoWndMult = 1;
  reoWndPersist = REO_WND_PERSIST;
  /** SND.NXT when a D-SACK last widened the window; -1 when none did. */
  dsackRound = -1;

  start(iss: number): void {
    this.fack = iss;
  }

  /** Step 1: a round-trip time that is no segment's, of the handshake or by timestamps (RFC 6298, RFC 7323). */
  measured(rtt: Micros, now: Micros): void {
    this.#minRtts.add(Math.max(1, rtt), now);
    this.minRtt = this.#minRtts.value;
  }

  /**
   * Steps 1 to 3 for a segment that was just acknowledged or SACKed. `echoed` tells whether the peer's timestamp echo
   * proves that an earlier copy was delivered.
   */
  update(segment: SentSegment, earlierCopy: boolean, now: Micros): void {
    const rtt = now - segment.sentAt;
    if (segment.transmissions === 1) this.measured(rtt, now);
    this.#detectReordering(segment);
    // An ACK of a repetition may be one of the first copy: then its time tells nothing.
    if (segment.retransmitted && (earlierCopy || rtt < this.minRtt)) return;
    this.rtt = rtt;
    if (segment.order > this.xmitOrder || (segment.order === this.xmitOrder && seqGt(segment.end, this.endSeq))) {
      this.xmitTs = segment.sentAt;
      this.xmitOrder = segment.order;
      this.endSeq = segment.end;
    }
  }

  /** Step 4: the reordering window for this ACK. */
  updateWindow(dsack: boolean, una: number, nxt: number, inRecovery: boolean, sackedSegments: number, srtt: Micros): void {
    if (this.dsackRound >= 0 && seqGe(una, this.dsackRound)) this.dsackRound = -1;
    if (dsack && this.dsackRound < 0) {
      this.dsackRound = nxt;
      this.reoWndMult++;
      this.reoWndPersist = REO_WND_PERSIST;
    }
    this.reoWnd = this.#window(inRecovery, sackedSegments, srtt);
  }

  /** A recovery is over: after a number of them without D-SACK the window is small again. */
  recoveryEnded(): void {
    if (--this.reoWndPersist <= 0) {
      this.reoWndPersist = REO_WND_PERSIST;
      this.reoWndMult = 1;
    }
  }

  /** Step 5: marks what is lost and returns how long to wait until more may be; NEVER when nothing is in doubt. */
  detectLoss(list: SentList, now: Micros): Micros {
    if (this.xmitTs < 0) return NEVER;
    let wait = NEVER;
    for (let segment = list.oldest; segment !== undefined; ) {
      const after = this.xmitOrder > segment.order || (this.xmitOrder === segment.order && seqGt(this.endSeq, segment.end));
      if (!after) break;
      const next = segment.newer;
      const remaining = segment.sentAt + this.rtt + this.reoWnd - now;
      if (remaining <= 0) list.markLost(segment);
      // The rest left later still: the first that is not yet due tells when to look again.
      else {
        wait = remaining;
        break;
      }
      segment = next;
    }
    return wait;
  }

  /** After a retransmission time-out (RFC 8985 §6.3): the first segment is lost, others if their time has come too. */
  markLossesOnTimeout(list: SentList, una: number, now: Micros): void {
    for (let i = 0; i < list.length; i++) {
      const segment = list.at(i);
      if (segment === undefined || segment.sacked) continue;
      if (segment.seq === una || segment.sentAt + this.rtt + this.reoWnd - now <= 0) list.markLost(segment);
    }
  }

  #detectReordering(segment: SentSegment): void {
    if (seqGt(segment.end, this.fack)) this.fack = segment.end;
    else if (seqLt(segment.end, this.fack) && !segment.retransmitted) this.reorderingSeen = true;
  }

  #window(inRecovery: boolean, sackedSegments: number, srtt: Micros): Micros {
    if (!this.reorderingSeen && (inRecovery || sackedSegments >= DUP_THRESH)) return 0;
    if (this.minRtt === NEVER) return 0;
    return Math.min(Math.floor((this.reoWndMult * this.minRtt) / 4), srtt);
  }
}
