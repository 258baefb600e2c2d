/**
 * TCP Fast Open (RFC 7413) of one connection: what our SYN or SYN-ACK carries, and what became of it. Cookies are made, checked
 * and remembered by the stack, see `stack/fast-open-cookies.ts` and `stack/fast-open-cache.ts`.
 *
 *   client                                    server
 *   SYN, cookie asked for            ──►
 *                                    ◄──      SYN-ACK, cookie          the first time
 *   ─────────────────────────────────────────────────────────────
 *   SYN, cookie, data                ──►      data goes to the user    ever after
 *                                    ◄──      SYN-ACK of SYN and data, data
 */
import { seqAdd, seqDiff } from "../base/seq.js";
import { OPTION_EXPERIMENT, OPTION_FAST_OPEN, OPTION_NOP, type Segment } from "../wire/segment.js";
import { headerBytes } from "./emit.js";
import type { Tcb } from "./tcb.js";

/** For which role Fast Open may be used; Linux: net.ipv4.tcp_fastopen 0 to 3. */
export type FastOpenPolicy = "off" | "client" | "server" | "both";

/** `tcpi_fastopen_client_fail`: why data did not go, or was not taken, with a SYN. Note: the numbers are Linux's. */
export const FAST_OPEN_FAILURES = { NONE: 0, COOKIE_UNAVAILABLE: 1, DATA_NOT_ACKED: 2, SYN_RETRANSMITTED: 3 } as const;

/** What a connection knows of its Fast Open. */
export class FastOpen {
  /** The cookie of our SYN or SYN-ACK; empty in a SYN to ask for one; undefined: no option. */
  cookie: Uint8Array | undefined;
  /** The option is that of RFC 6994, with the experiment's number, as before RFC 7413 §4.1.1. */
  experimental = false;
  /** Client: data may go with the SYN. */
  dataOnSyn = false;
  /** Client: the largest payload that the server took, as it said the last time; 0 when nothing is known. */
  mss = 0;
  /** Client: payload that went with our SYN. */
  synBytes = 0;
  /** Client: Fast Open was tried, and the outcome is not known yet. */
  trying = false;
  /** Server: the SYN's data was taken, the user may use the connection before the handshake is done (§4.2.2). */
  accepted = false;
  /** Server: and has got it from `accept`. */
  handedOver = false;
  /** Server: RCV.NXT behind what the SYN has brought. */
  rcvNxt = 0;
  /** Client: our SYN's data, or a part of it, was acknowledged by the SYN-ACK; server: the SYN's data was taken. */
  synDataAcked = false;
  /** See FAST_OPEN_FAILURES. */
  clientFail = 0;
  /** Client: a SYN with Fast Open got no answer. */
  wasRepeated = false;
  /** Client: the SYN was answered, or given up; the stack has not learned from it yet. */
  learned = false;
  /** Client: the cookie that the SYN-ACK granted. */
  granted: Uint8Array | undefined;
  grantedExperimental = false;
}

/** Bytes of the option with its padding; 0 when there is none. */
export function fastOpenOptionBytes(fastOpen: FastOpen): number {
  const { cookie, experimental } = fastOpen;
  if (cookie === undefined) return 0;
  return (cookie.length + (experimental ? 4 : 2) + 3) & ~3;
}

/** Writes the option, padded with NOPs; returns where it ends. Note: Linux does the same, in this order. */
export function putFastOpen(fastOpen: FastOpen, bytes: Uint8Array, at: number): number {
  const { cookie, experimental } = fastOpen;
  if (cookie === undefined) return at;
  const size = cookie.length + (experimental ? 4 : 2);
  const end = at + fastOpenOptionBytes(fastOpen);
  bytes[at] = experimental ? OPTION_EXPERIMENT : OPTION_FAST_OPEN;
  bytes[at + 1] = size;
  at += 2;
  if (experimental) {
    bytes[at] = FAST_OPEN_EXPERIMENT >>> 8;
    bytes[at + 1] = FAST_OPEN_EXPERIMENT & 0xff;
    at += 2;
  }
  bytes.set(cookie, at);
  for (at += cookie.length; at < end; at++) bytes[at] = OPTION_NOP;
  return end;
}

/** The experiment's number (IANA, TCP Experimental Option Experiment Identifiers). */
const FAST_OPEN_EXPERIMENT = 0xf989;

/**
 * Room for payload in our SYN: what the server said to take the last time, or the default, and fits in one packet beside the options
 * (RFC 7413 §4.2.1, §4.1.3).
 */
export function synSpace(tcb: Tcb): number {
  const { fastOpen, local } = tcb;
  if (!fastOpen.dataOnSyn) return 0;
  const room = Math.min(tcb.config.mtuBytes, tcb.pathMtu.bytes) - headerBytes(tcb);
  // Note: Linux takes what the link allows where the server has told nothing.
  const unknown = tcb.linux !== undefined ? room : local.family === 4 ? 536 : 1220;
  const mss = fastOpen.mss > 0 ? fastOpen.mss : unknown;
  return Math.max(0, Math.min(mss, room) - SYN_OPTION_BYTES);
}

/** All that the options of a SYN can take: the MSS counts without them. Note: Linux does the same (MAX_TCP_OPTION_SPACE). */
const SYN_OPTION_BYTES = 40;

/**
 * Our SYN got no answer: whatever stands in the way lets a plain SYN pass, perhaps (RFC 7413 §4.1.3.1). Its data stays in the
 * send queue; a late answer to the first SYN still counts.
 */
export function synTimeout(tcb: Tcb): void {
  const { fastOpen } = tcb;
  if (fastOpen.cookie === undefined && !fastOpen.dataOnSyn) return;
  fastOpen.cookie = undefined;
  fastOpen.dataOnSyn = false;
  // Note: Linux waits with the verdict until the answer says whether the data is lost.
  if (tcb.config.sender !== "linux") fastOpen.clientFail = FAST_OPEN_FAILURES.SYN_RETRANSMITTED;
  fastOpen.wasRepeated = true;
  fastOpen.learned = true;
}

/** The SYN-ACK of our SYN: its cookie is for the stack to keep. It is lent, hence the copy. */
export function takeSynAck(tcb: Tcb, seg: Segment): void {
  const { fastOpen } = tcb;
  if (!fastOpen.trying) return;
  fastOpen.trying = false;
  fastOpen.learned = true;
  fastOpen.mss = seg.mss >= 0 ? seg.mss : 0;
  if (seg.fastOpenLength > 0) {
    const { fastOpenOffset, fastOpenLength } = seg;
    fastOpen.granted = seg.bytes.slice(fastOpenOffset, fastOpenOffset + fastOpenLength);
    fastOpen.grantedExperimental = seg.fastOpenExperimental;
  }
}

/**
 * Our SYN is acknowledged for the first time, with SND.UNA moved. What it carried and was not taken is as if it had never been
 * sent: SND.NXT and SND.MAX go back, and it leaves at once, without a time-out (RFC 7413 §4.2.1; RFC 9293 has the peer
 * acknowledge nothing later that it did not now).
 */
export function synAcknowledged(tcb: Tcb): void {
  const { fastOpen, snd } = tcb;
  if (fastOpen.synBytes === 0) return;
  const taken = seqDiff(snd.una, seqAdd(tcb.iss, 1));
  const left = fastOpen.synBytes - taken;
  snd.nxt = snd.una;
  snd.max = snd.una;
  // Note: to Linux it is all or nothing.
  const isLinux = tcb.config.sender === "linux";
  fastOpen.synDataAcked = isLinux ? left <= 0 : taken > 0;
  if (left <= 0) return;
  if (isLinux && fastOpen.wasRepeated) fastOpen.clientFail = FAST_OPEN_FAILURES.SYN_RETRANSMITTED;
  else if ((isLinux || taken === 0) && fastOpen.clientFail === 0) fastOpen.clientFail = FAST_OPEN_FAILURES.DATA_NOT_ACKED;
  tcb.counters.retransmits++;
  tcb.counters.bytesRetransmitted += left;
}
