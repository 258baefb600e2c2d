/** Loss detection by counting, where RACK's clock is switched off (RFC 6675 §4, IsLost). */
import type { SentList } from "./sent-list.js";

/** DupThresh of RFC 5681 §3.2. */
const DUP_THRESH = 3;

/**
 * Takes a segment for lost when three segments above it, or more bytes than two full ones hold, have been SACKed. One that was sent
 * again is left to the retransmission timer: the counts do not tell its copies apart. Walks what is outstanding, once an ACK.
 */
export function detectLossBySack(list: SentList, mss: number): void {
  let bytes = 0;
  let segments = 0;
  for (let i = list.length - 1; i >= 0 && list.sackedSegments > 0; i--) {
    const segment = list.at(i);
    if (segment?.sacked) {
      bytes += segment.length;
      segments++;
    } else if (segment?.retransmitted === false && (segments >= DUP_THRESH || bytes > (DUP_THRESH - 1) * mss)) {
      list.markLost(segment);
    }
  }
}
