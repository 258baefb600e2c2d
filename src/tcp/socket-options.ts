/**
 * The options that a user may change while a connection lives, by the names of the socket options. A connection's `config` may be
 * shared with others: each change puts a changed copy in its place. What a caller does wrong throws RawTcpError `EINVAL`.
 */
import { RawTcpError } from "../base/errors.js";
import { type Micros, NEVER } from "../base/time.js";
import type { ConnectionConfig } from "./config.js";
import { congestionByName } from "./congestion-controls.js";
import { startKeepAlive } from "./keep-alive.js";
import { useCongestion } from "./linux-choice.js";
import { askForAck } from "./output.js";
import { tellWritable } from "./send-space.js";
import type { Tcb } from "./tcb.js";
import { hastenTimers } from "./user-timeout.js";
import { windowUpdateDue } from "./window.js";

/** TCP_NODELAY: turns the Nagle algorithm off (RFC 9293 MUST-17). */
export function setNoDelay(tcb: Tcb, on: boolean): void {
  change(tcb, { noDelay: on });
  // Note: Linux does the same: what is held back goes, corked or not.
  if (on && tcb.linuxSender !== undefined) tcb.corkOverdue = true;
}

/**
 * SO_KEEPALIVE, TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT (RFC 9293 MUST-24, MUST-27). Times in µs; what is left out stays as it
 * is. Throws `EINVAL` for a time or count that is not positive.
 */
export function setKeepAlive(
  tcb: Tcb,
  on: boolean,
  now: Micros,
  idleUs: Micros = tcb.config.keepAliveIdleUs,
  intervalUs: Micros = tcb.config.keepAliveIntervalUs,
  count: number = tcb.config.keepAliveCount,
): void {
  checkTime("keep-alive idle time", idleUs);
  checkTime("keep-alive interval", intervalUs);
  checkInteger("keep-alive count", count, 1, 127);
  change(tcb, { keepAlive: on, keepAliveIdleUs: idleUs, keepAliveIntervalUs: intervalUs, keepAliveCount: count });
  startKeepAlive(tcb, now);
}

/** TCP_USER_TIMEOUT in µs; NEVER for none. Throws `EINVAL` unless positive. */
export function setUserTimeout(tcb: Tcb, timeoutUs: Micros): void {
  checkTime("user time-out", timeoutUs);
  change(tcb, { userTimeoutUs: timeoutUs });
  hastenTimers(tcb);
}

/** TCP_RTO_MIN_US and TCP_RTO_MAX_MS, both in µs: bounds of the retransmission time-out from the next measurement on. */
export function setTimeoutBounds(tcb: Tcb, rtoMinUs: Micros, rtoMaxUs: Micros): void {
  checkTime("least retransmission time-out", rtoMinUs);
  checkTime("largest retransmission time-out", rtoMaxUs);
  change(tcb, { rtoMinUs, rtoMaxUs });
  tcb.rtt.bound(rtoMinUs, rtoMaxUs);
}

/** TCP_DELACK_MAX_US in µs: the longest that an ACK is delayed. Throws `EINVAL` unless positive. */
export function setDelayedAckMax(tcb: Tcb, delayedAckMaxUs: Micros): void {
  checkTime("longest delay of an ACK", delayedAckMaxUs);
  change(tcb, { delayedAckMaxUs });
}

/** TCP_THIN_LINEAR_TIMEOUTS: whether the time-out of a thin stream doubles at first. */
export function setThinLinearTimeouts(tcb: Tcb, thinLinearTimeouts: boolean): void {
  change(tcb, { thinLinearTimeouts });
}

/** Takes changes of the host's options that hold for what is connected too; values are taken as they are. */
export function adopt(tcb: Tcb, changes: Partial<ConnectionConfig>): void {
  change(tcb, changes);
  tcb.sack.tellsDuplicates = tcb.config.dsack;
}

/** SO_LINGER in µs: what CLOSE waits before it gives up with RST; 0 does so at once, NEVER not at all. Throws `EINVAL` if negative. */
export function setLinger(tcb: Tcb, lingerUs: Micros): void {
  if (lingerUs !== 0) checkTime("linger time", lingerUs);
  change(tcb, { lingerUs });
}

/** TCP_LINGER2 in µs: how long FIN-WAIT-2 lasts after CLOSE; NEVER for no limit, 0 for not at all. Throws `EINVAL` if negative. */
export function setLinger2(tcb: Tcb, finWait2Us: Micros): void {
  if (finWait2Us !== 0) checkTime("FIN-WAIT-2 time", finWait2Us);
  change(tcb, { finWait2Us });
}

/** IP_TTL or the hop limit (RFC 9293 MUST-49), 1 to 255. Throws `EINVAL` for any other. */
export function setTtl(tcb: Tcb, ttl: number): void {
  checkInteger("TTL", ttl, 1, 255);
  change(tcb, { ttl });
}

/**
 * IP_TOS or the traffic class, 0 to 255: the Diffserv field for all segments from now on (RFC 9293 MUST-48, SHLD-21). Its two
 * lowest bits belong to ECN and are not the user's. Throws `EINVAL` for any other.
 */
export function setTos(tcb: Tcb, tos: number): void {
  checkInteger("TOS", tos, 0, 255);
  change(tcb, { tos: tos & 0xfc });
}

/** TCP_MAXSEG before OPEN: bounds the MSS both ways. Throws `EINVAL` outside of 88 to 65,495, `EISCONN` after OPEN. */
export function setMaxSegment(tcb: Tcb, mssBytes: number): void {
  // Note: Linux has the same lower bound (TCP_MIN_MSS): a header full of options and a few bytes.
  checkInteger("maximum segment size", mssBytes, 88, 65_495);
  if (tcb.state !== "CLOSED" && tcb.state !== "LISTEN") {
    throw new RawTcpError("EISCONN", "the maximum segment size is told in the SYN: too late to change it");
  }
  change(tcb, { mssBytes });
}

/** SO_SNDBUF in bytes; what is queued already stays. Throws `EINVAL` unless a positive integer. */
export function setSendBuffer(tcb: Tcb, bytes: number): void {
  checkInteger("send buffer", bytes, 1, LARGEST_BUFFER);
  change(tcb, { sendBufferBytes: bytes });
  tellWritable(tcb);
}

/**
 * SO_RCVBUF in bytes, fixed from now on: it tunes itself no more. A window that was advertised is not taken back (RFC 9293
 * SHLD-14), and after OPEN the window scale that was told bounds what more can be. Throws `EINVAL` unless a positive integer.
 */
export function setReceiveBuffer(tcb: Tcb, bytes: number): void {
  checkInteger("receive buffer", bytes, 1, LARGEST_BUFFER);
  change(tcb, { receiveBufferBytes: bytes, receiveBufferMaxBytes: 0 });
  tcb.receiveBufferBytes = bytes;
  tcb.linux?.fix(bytes);
  if (tcb.linux === undefined && mayStillReceive(tcb) && windowUpdateDue(tcb))
    askForAck(tcb, "window update: the buffer has grown");
}

/** TCP_NOTSENT_LOWAT in bytes: SEND takes nothing while as much was never sent; NEVER for no mark. Throws `EINVAL` unless positive. */
export function setNotSentLowWater(tcb: Tcb, bytes: number): void {
  if (bytes !== NEVER) checkInteger("low-water mark of what is not sent", bytes, 1, LARGEST_BUFFER);
  change(tcb, { notSentLowWaterBytes: bytes });
  tellWritable(tcb);
}

/** SO_MAX_PACING_RATE in bytes a second: from now on segments are paced, at this rate at the most; NEVER ends it. Throws `EINVAL` unless positive. */
export function setMaxPacingRate(tcb: Tcb, bytesPerSecond: number): void {
  if (bytesPerSecond !== NEVER) checkInteger("pacing rate", bytesPerSecond, 1, Number.MAX_SAFE_INTEGER);
  change(tcb, { pacing: bytesPerSecond !== NEVER, maxPacingRate: bytesPerSecond });
}

/**
 * TCP_CONGESTION: goes on with another congestion control, which takes over the window and the threshold of the present one.
 * Throws UnknownCongestionControlError.
 */
export function setCongestionControl(tcb: Tcb, name: string): void {
  const congestion = congestionByName(name);
  change(tcb, { congestion });
  const { cwnd, ssthresh } = tcb.congestion;
  useCongestion(tcb, congestion, cwnd, ssthresh);
  // The reduction that might be taken back was the other one's.
  tcb.recovery.undoPossible = false;
}

/** 1 GiB: what window scaling can express (RFC 7323 §2.3). */
const LARGEST_BUFFER = 2 ** 30;

function change(tcb: Tcb, changes: Partial<ConnectionConfig>): void {
  tcb.config = { ...tcb.config, ...changes };
}

function mayStillReceive(tcb: Tcb): boolean {
  return tcb.state === "ESTABLISHED" || tcb.state === "FIN-WAIT-1" || tcb.state === "FIN-WAIT-2";
}

function checkInteger(what: string, value: number, least: number, most: number): void {
  if (Number.isInteger(value) && value >= least && value <= most) return;
  throw new RawTcpError("EINVAL", `${what}: ${value} is not an integer from ${least} to ${most}`);
}

function checkTime(what: string, us: Micros): void {
  if (us === NEVER || (Number.isInteger(us) && us > 0)) return;
  throw new RawTcpError("EINVAL", `${what}: ${us} is not a positive number of µs`);
}
