/**
 * The search for a larger path MTU as Linux has it (tcp_output.c: tcp_mtu_probe, tcp_mtup_probe_success; tcp_timer.c: tcp_mtu_probing),
 * in the place of what `mtu-probing.ts` does by RFC 4821 and RFC 8899. Its state is `tcb.mtuSearch`; sizes are those of IP packets.
 */
import { seqAdd, seqLe } from "../base/seq.js";
import { MILLISECOND, type Micros, SECOND } from "../base/time.js";
import { headerBytes } from "./emit.js";
import type { LinuxControl } from "./linux-control.js";
import { linuxFlight } from "./linux-loss.js";
import { sendMss } from "./path-mtu.js";
import type { Tcb } from "./tcb.js";

/** TCP_RTO_MIN, by which it is reckoned how long some time-outs take. */
const RTO_MIN: Micros = 200 * MILLISECOND;
/** net.ipv4.tcp_mtu_probe_floor and tcp_min_snd_mss. */
const LEAST_MSS = 48;
/** net.ipv4.tcp_probe_threshold: what is not worth a probe. */
const THRESHOLD = 8;
/** net.ipv4.tcp_probe_interval. */
const INTERVAL: Micros = 600 * SECOND;
/** Segments of congestion window that a probe needs. */
const LEAST_WINDOW = 11;

/** The handshake is done (tcp_mtup_init). A client cuts its segments small from the start, a server not before a probe has told something. */
export function beginLinuxSearch(tcb: Tcb): void {
  const { config, mtuSearch: search, pathMtu } = tcb;
  search.active = config.mtuProbing === 2;
  search.high = Math.min(pathMtu.peerMss, config.mssBytes) + headerBytes(tcb);
  search.low = config.mtuBaseMss + overhead(tcb);
  search.probeBytes = 0;
  // By the headers of the SYN, whose timestamps the peer may not want.
  const synOverhead = headerBytes(tcb) + (config.timestamps ? 12 : 0);
  if (search.active && !tcb.passive) search.bound = config.mtuBaseMss + synOverhead;
}

/** The payload of a probe that is due; 0 for none; -1 if all has to wait for one. */
export function linuxProbeDue(tcb: Tcb, lx: LinuxControl, queued: number, room: number, now: Micros): number {
  const { mtuSearch: search, snd } = tcb;
  if (lx.sentNow > 0 || search.probeBytes > 0 || lx.state !== "open" || lx.window < LEAST_WINDOW) return 0;
  if (tcb.outOfOrder.size > 0 || tcb.sack.dsackDue) return 0;
  const length = ((search.high + search.low) >>> 1) - overhead(tcb);
  if (length > search.high - overhead(tcb) || search.high - search.low < THRESHOLD) {
    searchAnew(tcb, now);
    return 0;
  }
  const needed = length + (lx.reordering + 1) * snd.mss;
  if (queued < needed || snd.wnd < needed) return 0;
  if (room < needed) return -1;
  const flight = linuxFlight(tcb, lx);
  if (flight + 2 > lx.window) return flight === 0 ? 0 : -1;
  return length;
}

/** New data from `seq` on leaves as a probe, which stands for two segments. */
export function linuxProbeSent(tcb: Tcb, lx: LinuxControl, seq: number, length: number): void {
  const { mtuSearch: search } = tcb;
  search.probeBytes = length + overhead(tcb);
  search.probeSeq = seq;
  search.probeEnd = seqAdd(seq, length);
  search.probes++;
  lx.window--;
  if (search.bound > 0) useBound(tcb);
}

/** SND.UNA has moved: whether that covers the probe, which has passed then. */
export function linuxProbeAcked(tcb: Tcb, lx: LinuxControl, now: Micros): void {
  const { mtuSearch: search, snd } = tcb;
  if (search.probeBytes === 0 || !seqLe(search.probeEnd, snd.una)) return;
  lx.priorThreshold = lx.presentThreshold;
  lx.window = Math.max(1, Math.floor((lx.window * (snd.mss + overhead(tcb))) / search.probeBytes));
  lx.clearCount();
  lx.usedAt = now;
  lx.threshold = lx.presentThreshold;
  search.low = search.probeBytes;
  search.probeBytes = 0;
  useBound(tcb);
}

/** The probe is lost, and nothing else. */
export function linuxProbeLost(tcb: Tcb): void {
  const { mtuSearch: search } = tcb;
  search.probesLost++;
  search.high = search.probeBytes - 1;
  search.probeBytes = 0;
}

/** A time-out: after some of them the size may be the reason. */
export function linuxMtuAfterTimeout(tcb: Tcb, lx: LinuxControl, now: Micros): void {
  const { config, mtuSearch: search } = tcb;
  if (config.mtuProbing === 0 || lx.repeatedAt < 0) return;
  if (now - lx.repeatedAt < ((2 << Math.min(config.r1Retries, 9)) - 1) * RTO_MIN) return;
  if (!search.active) {
    search.active = true;
    search.searchedAt = now;
  } else {
    const half = (search.low - overhead(tcb)) >>> 1;
    search.low = Math.max(LEAST_MSS, Math.min(config.mtuBaseMss, half)) + overhead(tcb);
  }
  useBound(tcb);
}

function searchAnew(tcb: Tcb, now: Micros): void {
  const { config, mtuSearch: search, pathMtu, snd } = tcb;
  if (now - search.searchedAt < INTERVAL) return;
  search.high = Math.min(pathMtu.peerMss, config.mssBytes) + headerBytes(tcb);
  search.low = snd.mss + overhead(tcb);
  search.searchedAt = now;
}

/** What is known to pass bounds the segments (tcp_sync_mss). */
function useBound(tcb: Tcb): void {
  tcb.mtuSearch.bound = tcb.mtuSearch.low;
  tcb.snd.mss = sendMss(tcb);
  tcb.congestion.onMss(tcb.snd.mss);
}

function overhead(tcb: Tcb): number {
  return headerBytes(tcb) + (tcb.ts.enabled ? 12 : 0);
}
