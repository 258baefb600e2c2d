/** What a listener makes of the Fast Open option of a SYN (RFC 7413 §4.2.2, §5.1). */
import type { Micros } from "../base/time.js";
import type { Connection } from "../tcp/connection.js";
import type { Segment } from "../wire/segment.js";
import type { FastOpenCookies } from "./fast-open-cookies.js";
import type { Listener } from "./listener.js";

/**
 * Decides before the half-open `connection` is given its SYN: whether the data is taken, and which cookie the SYN-ACK carries. Without
 * a good cookie, or with too many connections pending, the handshake is a plain one, with a new cookie where that helps.
 */
export function judgeFastOpen(
  listener: Listener,
  cookies: FastOpenCookies,
  connection: Connection,
  seg: Segment,
  now: Micros,
): void {
  const { fastOpen: policy, fastOpenWithoutCookie } = listener.config;
  const needsNone = fastOpenWithoutCookie === true || fastOpenWithoutCookie === "server";
  if (listener.fastOpenQueue === 0 || (policy !== "server" && policy !== "both")) return;
  // Without need of a cookie whoever asks for one may begin at once, and so may data. Note: Linux does the same.
  if (seg.fastOpenLength < 0 && (!needsNone || seg.payloadLength === 0)) return;
  const { counters } = listener;
  // Note: Linux does the same: while the queue is full not even a cookie is granted.
  if (!listener.hasFastOpenRoom(now)) {
    counters.fastOpenOverflows++;
    return;
  }
  const { fastOpen, local, remote } = connection.tcb;
  fastOpen.experimental = seg.fastOpenExperimental;
  if (!needsNone) {
    const verdict = seg.fastOpenLength === 0 ? "none" : cookies.check(seg, local, remote, now);
    if (verdict === "bad") counters.fastOpenCookiesFailed++;
    if (verdict !== "good") {
      fastOpen.cookie = cookies.make(local, remote, now);
      counters.fastOpenCookiesSent++;
    }
    if (verdict === "bad" || verdict === "none") return;
  }
  fastOpen.accepted = true;
}
