/**
 * The search for a larger path MTU as Linux has it (net.ipv4.tcp_mtu_probing 2; net/ipv4/tcp_output.c: tcp_mtu_probe). Its bounds are those
 * of `MtuSearch`. A server's segments stay as large as they are until the first probe has arrived, though that may be smaller than they are.
 */
import { seqDiff } from "../base/seq.js";
import type { Micros } from "../base/time.js";
import { headerBytes } from "./emit.js";
import type { LinuxControl } from "./linux-control.js";
import { linuxFlight } from "./linux-loss.js";
import { largestMtu, usePathMtu } from "./path-mtu.js";
import type { Tcb } from "./tcb.js";

/** net.ipv4.tcp_base_mss, tcp_probe_threshold. */
const BASE_MSS = 1024;
const THRESHOLD = 8;
/** Segments of window that a probe takes; behind it there must be as much to send as reordering may hide. */
const LEAST_WINDOW = 11;

/** The peer's MSS is known (tcp_mtup_init). */
export function beginLinuxMtuProbing(tcb: Tcb): void {
  if (tcb.config.mtuProbing !== 2) return;
  const { mtuSearch, pathMtu } = tcb;
  mtuSearch.begin(BASE_MSS + overhead(tcb), largestMtu(tcb), 0);
  if (!tcb.passive) pathMtu.bytes = Math.min(pathMtu.bytes, mtuSearch.low);
}

/**
 * The payload of a probe that is due now; 0 when none is, -1 when one is as soon as the window allows it: then nothing goes. What the user
 * has written begins with it or goes without.
 */
export function linuxProbeDue(tcb: Tcb, lx: LinuxControl, queued: number, room: number): number {
  const { mtuSearch: search, snd } = tcb;
  if (search.probeBytes > 0 || lx.sentNow > 0 || search.high - search.low < THRESHOLD) return 0;
  if (lx.state !== "open" || lx.window < LEAST_WINDOW || tcb.sack.optionBytes(tcb) > 0) return 0;
  const length = ((search.low + search.high) >>> 1) - overhead(tcb);
  const needed = length + (lx.reordering + 1) * snd.mss;
  if (queued < needed || snd.wnd < needed) return 0;
  if (room < needed) return -1;
  if (linuxFlight(tcb, lx) + 2 > lx.window) return -1;
  return length;
}

/** All up to SND.UNA is acknowledged, and the probe may be among it (tcp_mtup_probe_success). */
export function noteProbeArrived(tcb: Tcb, lx: LinuxControl, now: Micros): void {
  const { mtuSearch: search, snd } = tcb;
  if (seqDiff(snd.una, search.probeSeq) < search.probeBytes - overhead(tcb)) return;
  // As many bytes as before, in fewer segments.
  lx.window = Math.max(1, Math.floor((lx.window * (snd.mss + overhead(tcb))) / search.probeBytes));
  lx.clearCount();
  lx.usedAt = now;
  lx.threshold = lx.presentThreshold;
  search.low = search.probeBytes;
  search.probeBytes = 0;
  usePathMtu(tcb, search.low);
}

/** Only the probe is missing: it was too large, and the network is not to blame (tcp_mtup_probe_failed, RFC 4821 §7.6). */
export function probeFailed({ mtuSearch: search }: Tcb, lx: LinuxControl): void {
  search.probesLost++;
  search.high = search.probeBytes - 1;
  search.probeBytes = 0;
  // It took the room of two.
  lx.window++;
}

function overhead(tcb: Tcb): number {
  return headerBytes(tcb) + (tcb.ts.enabled ? 12 : 0);
}
