/**
 * What goes out and when: SYN and FIN in their place in the sequence space, new data as far as the peer's window, the
 * congestion window, Nagle and silly-window avoidance allow (RFC 9293 §3.8.6.2.1), repetitions, probes, and last the bare ACK.
 */
import { seqAdd, seqDiff, seqGe, seqGt, seqLt, seqMax } from "../base/seq.js";
import { type Micros, NEVER } from "../base/time.js";
import { ACK, FIN, PSH, RST, SYN } from "../wire/tcp-flags.js";
import { noteBeacon, plannedBytes, planOptions } from "./accurate-ecn-option.js";
import { corkSent, holdsBack } from "./cork.js";
import { noteAnswer } from "./delayed-ack.js";
import { synAckEcnFlags, synEcnFlags } from "./ecn.js";
import { emitSegment, setUrgentPointer } from "./emit.js";
import { synSpace } from "./fast-open.js";
import { restartAfterIdle } from "./initial-window.js";
import {
  batched,
  batchedLength,
  batchSent,
  cutAnew,
  isOfRepeatedBatch,
  joinsSmall,
  noteWindowUse,
  pushes,
  recordEnd,
  repeatsBatch,
  separateLast,
} from "./linux-batch.js";
import type { LinuxControl } from "./linux-control.js";
import { ackedBefore, awaitsThird, synAckDeadline } from "./linux-fast-open.js";
import { linuxProbeDue, linuxProbeSent } from "./linux-mtu-probing.js";
import { congestionWindow, flight, noteRepetition, rtoOfHead, startTlp, tlpDue } from "./loss-recovery.js";
import { mtuProbeDue, mtuProbeRepeated, mtuProbeSent } from "./mtu-probing.js";
import type { OutgoingPacket } from "./outgoing-packet.js";
import { isPaced, pace } from "./pacing.js";
import { raisePathMtu } from "./path-mtu.js";
import { noteSendLimit } from "./send-limits.js";
import { tellWritable } from "./send-space.js";
import type { SentSegment } from "./sent-list.js";
import type { Tcb } from "./tcb.js";
import { windowPatienceEnd, withinPatience } from "./user-timeout.js";
import { advertise, windowOfAnswer } from "./window.js";

/** Writes the next segment that is due into `out`; false when there is none. Call until false after every input. */
export function pollTransmit(tcb: Tcb, now: Micros, out: OutgoingPacket): boolean {
  if (sendNext(tcb, now, out)) return true;
  tcb.wasIdle = false;
  return false;
}

function sendNext(tcb: Tcb, now: Micros, out: OutgoingPacket): boolean {
  const pending = tcb.pending;
  if (tcb.ecn.accurate !== undefined) noteBeacon(tcb, tcb.ecn.accurate, now);
  if (pending.rst) return sendReset(tcb, now, out);
  if (pending.strayReset) return sendStrayReset(tcb, now, out);
  if (pending.synAck) return sendSyn(tcb, now, out);
  switch (tcb.state) {
    case "CLOSED":
    case "LISTEN":
      return false;
    case "SYN-SENT":
    case "SYN-RECEIVED":
      if (tcb.snd.nxt === tcb.iss) return sendSyn(tcb, now, out);
      if (!tcb.fastOpen.accepted) break;
      // RFC 7413 §4.2.2: a server may answer before the handshake is done. Lost data waits for its end, as the SYN-ACK does not, unless
      // it was too large for the path.
      if (tcb.sent.lostSegments > 0 && sendLost(tcb, now, out)) return true;
      if (seqDiff(tcb.dataEnd, tcb.snd.nxt) > 0 && sendNewData(tcb, now, out)) return true;
      if (tcb.linuxSender !== undefined) noteWindowUse(tcb, tcb.linuxSender, now);
      break;
    case "TIME-WAIT":
    case "FIN-WAIT-2":
      tcb.limits.set("idle", now);
      break;
    default:
      if (pending.probe && sendProbe(tcb, now, out)) return true;
      if (tcb.linuxSender !== undefined && newDataFirst(tcb, tcb.linuxSender) && sendNewData(tcb, now, out)) return true;
      if (sendLost(tcb, now, out)) return true;
      if (pending.tlp && sendTailLossProbe(tcb, now, out)) return true;
      if (sendNewData(tcb, now, out)) return true;
      noteSendLimit(tcb, now);
      if (tcb.linuxSender !== undefined) {
        noteWindowUse(tcb, tcb.linuxSender, now);
        tcb.linuxSender.repetition = "none";
      }
  }
  if (pending.keepAlive && sendKeepAlive(tcb, now, out)) return true;
  return pending.ack && sendAck(tcb, now, out);
}

/** Asks for an ACK at the next `pollTransmit`; a segment that goes out anyway carries it. */
export function askForAck(tcb: Tcb, reason: string): void {
  if (!tcb.pending.ack) tcb.pending.ackReason = reason;
  tcb.pending.ack = true;
}

/** Starts the retransmission timer with the present back-off (RFC 6298 §5.1, 5.3, 5.5); it expires when R2 is over at the latest. */
export function startRetransmission(tcb: Tcb, now: Micros): void {
  if (tcb.backoffs === 0) tcb.backoffSince = now;
  if (tcb.state === "SYN-SENT" && tcb.config.synLinearTimeouts > 0) {
    // Note: Linux looks at a SYN's time when a repetition is due, and not in between.
    const times = Math.max(0, tcb.backoffs - tcb.config.synLinearTimeouts);
    tcb.timers.retransmission = Math.min(now + tcb.rtt.backedOff(times), tcb.backoffSince + tcb.config.userTimeoutUs);
    return;
  }
  tcb.timers.retransmission = withinPatience(tcb, now + tcb.rtt.backedOff(doublings(tcb)));
}

/** How often the time-out has doubled. Linux forgets that with a measurement only, not with every ACK (Karn). */
export function doublings(tcb: Tcb): number {
  return tcb.linuxSender !== undefined && tcb.synAcked ? tcb.linuxSender.backoff : tcb.backoffs;
}

function sendSyn(tcb: Tcb, now: Micros, out: OutgoingPacket): boolean {
  const repeated = tcb.snd.max !== tcb.iss;
  const answer = tcb.state !== "SYN-SENT";
  const field = tcb.linux === undefined ? advertise(tcb, 0) : Math.min(tcb.linux.firstWindow, 0xffff);
  tcb.pending.synAck = false;
  const data = answer || repeated ? 0 : Math.min(tcb.sendQueue.length, synSpace(tcb));
  if (data > 0) tcb.fastOpen.synBytes = data;
  const end = seqAdd(tcb.iss, 1 + data);
  // What a Fast Open server has sent beyond its SYN-ACK stays sent.
  tcb.snd.nxt = tcb.sent.last?.end ?? end;
  tcb.snd.max = seqMax(tcb.snd.max, end);
  tcb.synSentAt = now;
  const note = answer
    ? repeated
      ? NOTE_SYN_ACK_AGAIN
      : NOTE_SYN_ACK
    : repeated
      ? NOTE_SYN_AGAIN
      : data > 0
        ? NOTE_SYN_DATA
        : NOTE_SYN;
  const flags = answer ? SYN | ACK | synAckEcnFlags(tcb) : SYN | synEcnFlags(tcb, repeated);
  const ack = answer ? (tcb.fastOpen.accepted ? tcb.fastOpen.rcvNxt : tcb.rcv.nxt) : 0;
  emitSegment(tcb, out, now, flags, tcb.iss, ack, field, 0, data, note);
  acknowledged(tcb);
  notOfConnection(tcb);
  tcb.transmitMarks?.noteSent(tcb, now);
  // To Linux the SYN-ACK of a simultaneous open is no repetition.
  if (repeated && (tcb.config.sender !== "linux" || !answer || tcb.passive)) tcb.counters.retransmits++;
  if (awaitsThird(tcb)) {
    if (tcb.timers.retransmission === NEVER) tcb.timers.retransmission = synAckDeadline(tcb, now);
    return true;
  }
  // Note: in a simultaneous open Linux lets the timer of its SYN run on.
  const runsOn = tcb.linux !== undefined && answer && !tcb.passive && tcb.timers.retransmission > now;
  if (!runsOn || tcb.timers.retransmission === NEVER) startRetransmission(tcb, now);
  return true;
}

/** Linux counts what a half-open connection sends with its listener. */
function notOfConnection(tcb: Tcb): void {
  if (tcb.linuxSender !== undefined && tcb.passive && !tcb.synAcked) tcb.counters.segmentsOut--;
}

const NOTE_SYN = "open: tells our initial sequence number";
const NOTE_SYN_DATA = "open, with the first data: Fast Open saves it a round trip";
const NOTE_SYN_AGAIN = "SYN again: no answer yet";
const NOTE_SYN_ACK = "takes the SYN and opens our direction in the same segment";
const NOTE_SYN_ACK_AGAIN = "SYN-ACK again: the third segment has not come";

/** F-RTO: new data goes before repetitions; if there is none that may go, these go after all (RFC 5682 §2.1 step 2b). */
function newDataFirst(tcb: Tcb, lx: LinuxControl): boolean {
  if (lx.repetition !== "new-first") return false;
  const canSend = seqGt(tcb.dataEnd, tcb.snd.nxt) && flight(tcb) < congestionWindow(tcb);
  if (canSend) return true;
  if (!seqGt(tcb.snd.max, lx.highSeq)) {
    lx.frto = false;
    lx.repetition = "lost";
  } else lx.repetition = "none";
  return false;
}

/** What Linux sends again: when its states say so, or the one segment of a time-out. */
function sendLostAsLinux(tcb: Tcb, lx: LinuxControl, now: Micros, out: OutgoingPacket): boolean {
  const { sent, snd } = tcb;
  const isHead = lx.headDue;
  if (!isHead && (lx.repetition !== "lost" || flight(tcb) >= congestionWindow(tcb))) return false;
  lx.headDue = false;
  const index = isHead ? 0 : sent.nextLost();
  const segment = index < 0 ? undefined : sent.at(index);
  if (segment === undefined) return false;
  // A window that was taken back holds back all but the head, which asks for it.
  const room = snd.wnd - seqDiff(segment.seq, snd.una);
  if (room <= 0 && segment.seq !== snd.una) return false;
  cutAnew(tcb, segment, segmentBytes(tcb));
  if (room > 0 && segment.length > room) sent.split(segment, room);
  const isFirst = segment === sent.first;
  const isBegun = isOfRepeatedBatch(tcb, segment);
  if (!isHead && !isBegun && isPaced(tcb, now)) return false;
  const push = repeatsBatch(tcb, lx, segment, isHead);
  const note = lx.state === "loss" ? NOTE_TIMEOUT : NOTE_FAST;
  if (isFirst && !isHead && tcb.timers.rack === NEVER) {
    tcb.timers.retransmission = NEVER;
    tcb.timers.tlp = NEVER;
  }
  const { againEnd } = tcb.batch;
  const paced = isBegun ? 0 : againEnd === -1 ? segment.length : seqDiff(againEnd, segment.seq);
  return sendAgain(tcb, now, out, segment, note, push, false, paced);
}

/** Sends again the first segment that is taken for lost, as far as the congestion window allows. */
function sendLost(tcb: Tcb, now: Micros, out: OutgoingPacket): boolean {
  const { sent, snd, recovery } = tcb;
  if (tcb.linuxSender !== undefined) return sendLostAsLinux(tcb, tcb.linuxSender, now, out);
  // A closed window is probed, see the persist timer.
  if (sent.lostSegments === 0 || snd.wnd === 0) return false;
  const index = sent.nextLost();
  const segment = sent.at(index);
  if (segment === undefined) return false;
  // NewReno sends the one segment that it knows of at once; the pipe is only known with SACK or when all is lost.
  const piped = tcb.sack.enabled || recovery.loss || sent.lostSegments > 1;
  // What has timed out goes at once, though younger segments may fill the pipe (RFC 6298 §5.4).
  const timedOut = recovery.loss && tcb.backoffs > 0 && segment.seq === snd.una && segment.sentAt < tcb.lastTimeoutAt;
  const full = sent.inFlightBytes > 0 && sent.inFlightBytes + Math.min(segment.length, segmentBytes(tcb)) > congestionWindow(tcb);
  if (piped && full && !timedOut) return false;
  if (!timedOut && isPaced(tcb, now)) return false;
  // SHLD-16: inside the window as it is now.
  if (seqDiff(segment.end, snd.una) > snd.wnd) {
    if (index > 0) return false;
    sent.split(segment, snd.wnd);
  }
  return sendAgain(tcb, now, out, segment, recovery.loss ? NOTE_TIMEOUT : recovery.active ? NOTE_FAST : NOTE_CUT_ANEW);
}

const NOTE_TIMEOUT = "retransmission after time-out";
const NOTE_FAST = "fast retransmission: later data has arrived";
const NOTE_CUT_ANEW = "again: it was too large for the path, or for the window";

/** One probe for a lost tail: new data if there is some, else the last segment again (RFC 8985 §7.3). */
function sendTailLossProbe(tcb: Tcb, now: Micros, out: OutgoingPacket): boolean {
  const { recovery, snd, sent } = tcb;
  tcb.pending.tlp = false;
  const { last } = sent;
  if (last === undefined || !tlpDue(tcb)) return false;
  if (tcb.linuxSender !== undefined && last.seq !== snd.una && seqDiff(last.seq, snd.una) >= snd.wnd) {
    // It would not fit in the window; then the time-out is due as the first segment left.
    tcb.timers.retransmission = Math.max(now + 1, rtoOfHead(tcb, sent.first ?? last));
    return false;
  }
  recovery.tlpActive = true;
  tcb.counters.tailLossProbes++;
  const queued = Math.min(seqDiff(tcb.dataEnd, snd.nxt), recordEnd(tcb));
  const room = Math.min(queued, snd.wnd - seqDiff(snd.nxt, snd.una), segmentBytes(tcb));
  // FIN, too, is new.
  const isFin = room === 0 && tcb.linuxSender !== undefined && isFinAlone(tcb);
  recovery.tlpRetransmitted = room <= 0 && !isFin;
  if (room > 0 || isFin) sendData(tcb, now, out, room, "tail loss probe with new data");
  else {
    if (tcb.linuxSender !== undefined) separateLast(tcb, last);
    sendAgain(tcb, now, out, last, "tail loss probe: the last segment again", last.push, true);
  }
  recovery.tlpEndSeq = snd.nxt;
  if (tcb.linuxSender !== undefined) tcb.timers.tlp = NEVER;
  startRetransmission(tcb, now);
  return true;
}

/** Of what was queued FIN alone has not left, and the window has room for it. */
function isFinAlone({ dataEnd, finQueued, snd }: Tcb): boolean {
  return finQueued && snd.nxt === dataEnd && seqDiff(snd.nxt, snd.una) < snd.wnd;
}

/** Payload that fits beside the options that are due now (RFC 9293 MUST-16). */
function segmentBytes(tcb: Tcb): number {
  const options = tcb.ecn.accurate === undefined ? tcb.sack.optionBytes(tcb) : plannedBytes(planOptions(tcb));
  return Math.max(1, tcb.snd.mss - options);
}

/** Sends what lies between SND.NXT and the end of the queue, FIN included, if one of the conditions to send holds. */
function sendNewData(tcb: Tcb, now: Micros, out: OutgoingPacket): boolean {
  const snd = tcb.snd;
  const queued = seqDiff(tcb.dataEnd, snd.nxt);
  // Beyond the data only FIN is left; beyond FIN nothing.
  if (queued < 0 || (queued === 0 && !tcb.finQueued)) return false;
  const room = snd.wnd - seqDiff(snd.nxt, ackedBefore(tcb));
  if (now >= tcb.pathMtu.raiseAt) raisePathMtu(tcb, queued, room, now);
  const unused = congestionWindow(tcb) - flight(tcb);
  if (tcb.mtuSearch.active) {
    const lx = tcb.linuxSender;
    const probe = lx === undefined ? mtuProbeDue(tcb, queued, room, unused) : linuxProbeDue(tcb, lx, queued, room, now);
    if (probe > 0) return !isPaced(tcb, now) && sendMtuProbe(tcb, now, out, probe);
    if (probe < 0) {
      tcb.recovery.limitedUntil = snd.max;
      return false;
    }
  }
  if (tcb.linuxSender !== undefined) return sendBatch(tcb, tcb.linuxSender, queued, room, now, out);
  const allowed = Math.min(room, unused);
  const length = Math.min(queued, allowed, segmentBytes(tcb));
  if (unused < queued && unused < segmentBytes(tcb)) tcb.recovery.limitedUntil = snd.max;
  const fin = tcb.finQueued && length === queued && room > queued;
  if (length <= 0 && !fin) {
    if (room <= 0) startPersist(tcb, now);
    return false;
  }
  if (length === queued && !fin && length < segmentBytes(tcb) && holdsBack(tcb, now)) return false;
  if (!mayShip(tcb, length, queued, fin)) {
    if (length < queued) startPersist(tcb, now);
    return false;
  }
  if (isPaced(tcb, now)) return false;
  return sendData(tcb, now, out, length, "");
}

/** The next segment as Linux cuts them. */
function sendBatch(tcb: Tcb, lx: LinuxControl, queued: number, room: number, now: Micros, out: OutgoingPacket): boolean {
  const { batch, snd } = tcb;
  const isBegun = batch.isOpen && seqLt(snd.nxt, batch.end);
  // What leaves as one batch is paced as one.
  if (!isBegun && isPaced(tcb, now)) return false;
  const length = batchedLength(tcb, lx, queued, room, segmentBytes(tcb), now);
  if (length < 0) {
    startPersist(tcb, now);
    return false;
  }
  return sendData(tcb, now, out, length, "", isBegun ? 0 : seqDiff(batch.end, snd.nxt));
}

/** A segment larger than those that are known to pass (RFC 4821 §7.3). */
function sendMtuProbe(tcb: Tcb, now: Micros, out: OutgoingPacket, length: number): boolean {
  if (tcb.linuxSender === undefined) {
    mtuProbeSent(tcb, tcb.snd.nxt, length);
    return sendData(tcb, now, out, length, NOTE_MTU_PROBE);
  }
  linuxProbeSent(tcb, tcb.linuxSender, tcb.snd.nxt, length);
  // Smaller than others it may be, but it is no small segment to Nagle.
  const { hasSmall, smallEnd } = tcb.batch;
  sendData(tcb, now, out, length, NOTE_MTU_PROBE);
  Object.assign(tcb.batch, { hasSmall, smallEnd });
  return true;
}

/** Also what tells a probe from a segment that is too large by mistake. */
export const NOTE_MTU_PROBE = "path MTU probe: does a packet of this size pass?";

/** Silly-window avoidance of the sender and Nagle (RFC 9293 §3.8.6.2.1, §3.7.4). */
function mayShip(tcb: Tcb, length: number, queued: number, fin: boolean): boolean {
  const snd = tcb.snd;
  if (length >= segmentBytes(tcb) || fin) return true;
  // A SYN-ACK that waits for its acknowledgment holds back no answer of a Fast Open server.
  const isEmpty = snd.nxt === (tcb.synAcked ? snd.una : tcb.dataStart);
  const idle = isEmpty || (tcb.wasIdle && tcb.config.windowRule === "bsd");
  if (length === queued && (idle || tcb.config.noDelay)) return true;
  // Note: FreeBSD does not ask whether it is idle, nor whether it is the last (tcp_output).
  if (tcb.config.windowRule === "bsd") return length >= snd.maxWnd >>> 1;
  return length < queued && (idle || tcb.config.noDelay) && length * 2 >= snd.maxWnd;
}

/** Sends `length` new bytes from SND.NXT, with FIN when they reach it, and lets `paced` bytes count for pacing. */
function sendData(tcb: Tcb, now: Micros, out: OutgoingPacket, length: number, note: string, paced = length): boolean {
  const { snd } = tcb;
  const seq = snd.nxt;
  const data = Math.min(length, seqDiff(tcb.dataEnd, seq));
  if (tcb.sent.length === 0) {
    restartAfterIdle(tcb, now);
    tcb.wasIdle = true;
  }
  tcb.ecn.newData = data > 0;
  const end = emitData(tcb, now, out, seq, data, note);
  tcb.ecn.newData = false;
  if (data > 0) noteAnswer(tcb, now);
  corkSent(tcb);
  const segment = tcb.sent.push(seq, end, now);
  if (tcb.linuxSender !== undefined) batched(tcb, segment, data > 0);
  tcb.rate.sent(segment, tcb.sent.length === 1, now);
  // A probe is no small segment, whatever its size.
  const full = note === NOTE_MTU_PROBE ? data : segmentBytes(tcb);
  if (tcb.linuxSender !== undefined) batchSent(tcb, tcb.linuxSender, end, data, full, now);
  else if (tcb.recovery.active) tcb.recovery.prr.sent(seqDiff(end, seq));
  snd.nxt = end;
  snd.max = seqMax(snd.max, end);
  tcb.transmitMarks?.noteSent(tcb, now);
  if (paced > 0) pace(tcb, paced, now);
  if (tcb.timers.retransmission === NEVER) startRetransmission(tcb, now);
  tcb.timers.persist = NEVER;
  startTlp(tcb, now, true);
  // Of a low-water mark less is unsent now than when the last ACK came.
  tellWritable(tcb);
  return true;
}

/** Sends a segment once more, as it was cut the first time if it still fits. */
function sendAgain(
  tcb: Tcb,
  now: Micros,
  out: OutgoingPacket,
  segment: SentSegment,
  note: string,
  push = segment.push,
  isProbe = false,
  paced?: number,
): boolean {
  // Whatever leaves again, Linux hears nothing of a probe any more.
  if (tcb.linuxSender !== undefined) tcb.mtuSearch.probeBytes = 0;
  else if (tcb.mtuSearch.probeBytes > 0) mtuProbeRepeated(tcb, segment, now);
  const most = segmentBytes(tcb);
  const { end } = segment;
  if (segment.length > most + 1 || (segment.length > most && seqDiff(tcb.dataEnd, segment.seq) > most))
    tcb.sent.split(segment, most);
  if (tcb.linuxSender !== undefined && segment.length < most) push = joinsSmall(tcb, segment, most) || push;
  // FIN at its end is no byte of the queue.
  const data = Math.min(segment.length, Math.max(0, seqDiff(tcb.dataEnd, segment.seq)));
  // Note: Linux takes no FIN along that left behind it.
  if (tcb.linuxSender === undefined) emitData(tcb, now, out, segment.seq, data, note);
  else emitData(tcb, now, out, segment.seq, data, note, push && seqGe(segment.end, end), segment.length > data);
  tcb.sent.resend(segment, now, isProbe);
  if (paced !== 0) pace(tcb, paced ?? segment.length, now);
  tcb.rate.sent(segment, false, now);
  tcb.counters.retransmits++;
  tcb.counters.bytesRetransmitted += data;
  if (!isProbe || tcb.linuxSender === undefined) noteRepetition(tcb, segment, now);
  if (tcb.recovery.active && tcb.linuxSender === undefined) tcb.recovery.prr.sent(segment.length);
  if (tcb.timers.retransmission === NEVER) startRetransmission(tcb, now);
  tcb.timers.persist = NEVER;
  return true;
}

/** Writes a segment of data, with FIN if it reaches the end of the queue and FIN is due. Returns where it ends. */
function emitData(
  tcb: Tcb,
  now: Micros,
  out: OutgoingPacket,
  seq: number,
  data: number,
  note: string,
  push?: boolean,
  mayEnd = true,
): number {
  const offset = seqDiff(seq, tcb.dataStart);
  const last = offset + data >= tcb.sendQueue.length;
  const fin = mayEnd && tcb.finQueued && last && finMayGo(tcb, seq, data);
  let flags = ACK;
  if (fin) flags |= FIN;
  if (push === true && data === 0) flags |= PSH;
  if (data > 0 && (push ?? (tcb.linuxSender === undefined ? last : pushes(tcb, seqAdd(seq, data), last)))) flags |= PSH;
  if (note === "") note = data === 0 ? NOTE_FIN : fin ? NOTE_DATA_FIN : "";
  emitSegment(tcb, out, now, flags, seq, tcb.rcv.nxt, advertise(tcb, tcb.rcv.windShift), offset, data, note);
  if (tcb.urgentOut && seqGt(tcb.snd.up, seq)) setUrgentPointer(tcb, out, seq);
  acknowledged(tcb);
  return seqAdd(seq, data + (fin ? 1 : 0));
}

const NOTE_FIN = "close: no more data from us";
const NOTE_DATA_FIN = "the last data, and no more from us";

/** FIN takes a place in the window like any byte (RFC 9293 §3.4); one that was sent before may be sent again. */
function finMayGo(tcb: Tcb, seq: number, data: number): boolean {
  if (tcb.state === "ESTABLISHED" || tcb.state === "CLOSE-WAIT" || tcb.state === "SYN-RECEIVED") return false;
  const fin = seqAdd(seq, data);
  // A repetition takes none along that SND.MAX does not count yet: its acknowledgment would be one of what was never sent.
  if (seqLt(seq, tcb.snd.nxt)) return seqLt(fin, tcb.snd.max);
  return seqLt(fin, tcb.snd.max) || seqDiff(fin, tcb.snd.una) < tcb.snd.wnd;
}

/** One byte (or FIN) beyond the window, to hear of its reopening (RFC 9293 §3.8.6.1). SND.NXT stays where it is. */
function sendProbe(tcb: Tcb, now: Micros, out: OutgoingPacket): boolean {
  tcb.pending.probe = false;
  const snd = tcb.snd;
  // A window too small to be worth a segment of its own was waited out long enough: fill it (the override time-out).
  const room = Math.min(snd.wnd, segmentBytes(tcb), seqDiff(tcb.dataEnd, snd.nxt));
  if (room > 0 && tcb.sent.length === 0) {
    tcb.backoffs = 0;
    return wakesUp(tcb, now, out, room);
  }
  const offset = seqDiff(snd.una, tcb.dataStart);
  const data = Math.min(1, tcb.sendQueue.length - offset);
  if (data <= 0 && !tcb.finQueued) return false;
  if (tcb.config.zeroWindowProbe === "old-number") {
    emitSegment(tcb, out, now, ACK, seqAdd(snd.una, -1), tcb.rcv.nxt, advertise(tcb, tcb.rcv.windShift), 0, 0, NOTE_PROBE);
    acknowledged(tcb);
    tcb.counters.zeroWindowProbes++;
    return true;
  }
  const flags = data > 0 ? ACK : ACK | FIN;
  emitSegment(tcb, out, now, flags, snd.una, tcb.rcv.nxt, advertise(tcb, tcb.rcv.windShift), offset, data, NOTE_PROBE);
  if (tcb.urgentOut && seqGt(snd.up, snd.una)) setUrgentPointer(tcb, out, snd.una);
  acknowledged(tcb);
  snd.max = seqMax(snd.max, seqAdd(snd.una, 1));
  tcb.counters.zeroWindowProbes++;
  return true;
}

/** What was held back for a window, or by the user, has waited long enough. Linux sets PSH, and sends no tail loss probe for it. */
function wakesUp(tcb: Tcb, now: Micros, out: OutgoingPacket, length: number): boolean {
  const { batch, linuxSender } = tcb;
  const note = "fills a small window after waiting";
  if (linuxSender === undefined) return sendData(tcb, now, out, length, note);
  batch.isOpen = true;
  batch.isLarge = true;
  batch.end = seqAdd(tcb.snd.nxt, length);
  batch.holdsNow = false;
  sendData(tcb, now, out, length, note);
  if (tcb.sent.last !== undefined) tcb.sent.last.push = true;
  tcb.timers.tlp = NEVER;
  return true;
}

const NOTE_PROBE = "zero-window probe: is there room again?";

/** A number that the peer has acknowledged already, which it must answer with where it is (RFC 9293 §3.8.4, SHLD-12). */
function sendKeepAlive(tcb: Tcb, now: Micros, out: OutgoingPacket): boolean {
  tcb.pending.keepAlive = false;
  const { snd } = tcb;
  // Data has left meanwhile: its acknowledgment tells as much.
  if (snd.una !== snd.max) return false;
  const field = tcb.config.windowRule === "bsd" ? windowOfAnswer(tcb) : advertise(tcb, tcb.rcv.windShift);
  emitSegment(tcb, out, now, ACK, seqAdd(snd.nxt, -1), tcb.rcv.nxt, field, 0, 0, NOTE_KEEP_ALIVE);
  acknowledged(tcb);
  return true;
}

const NOTE_KEEP_ALIVE = "keep-alive probe: is the peer still there?";

function sendAck(tcb: Tcb, now: Micros, out: OutgoingPacket): boolean {
  // A bare ACK carries SND.NXT; after a time-out SND.MAX, or the peer takes it for an old one. While the window is being
  // probed SND.NXT again: a peer with a closed window accepts its RCV.NXT alone, and the probe's byte did not move that.
  let seq = tcb.timers.persist === NEVER ? tcb.snd.max : tcb.snd.nxt;
  if (tcb.linuxSender !== undefined) seq = acceptableSeq(tcb);
  if (tcb.linux !== undefined && tcb.state === "SYN-RECEIVED" && tcb.passive) {
    // It is the request that answers, with the window that its SYN-ACK told.
    const window = Math.min(tcb.linux.firstWindow, 0xffff) >>> tcb.rcv.windShift;
    emitSegment(tcb, out, now, ACK, seq, tcb.rcv.nxt, window, 0, 0, tcb.pending.ackReason);
    acknowledged(tcb);
    notOfConnection(tcb);
    return true;
  }
  const field = tcb.pending.ackIsAnswer ? windowOfAnswer(tcb) : advertise(tcb, tcb.rcv.windShift);
  emitSegment(tcb, out, now, ACK, seq, tcb.rcv.nxt, field, 0, 0, tcb.pending.ackReason);
  acknowledged(tcb);
  return true;
}

/** A number that the peer takes though it has shrunk its window (Linux: tcp_acceptable_seq). */
function acceptableSeq({ snd, rcv, scaling }: Tcb): number {
  const beyond = seqDiff(snd.nxt, seqAdd(snd.una, snd.wnd));
  return beyond <= 0 || (scaling && beyond < 1 << rcv.windShift) ? snd.nxt : seqAdd(snd.una, snd.wnd);
}

/** RST of ABORT (RFC 9293 §3.10.5), or because data came that nobody will read (SHLD-3). */
function sendReset(tcb: Tcb, now: Micros, out: OutgoingPacket): boolean {
  const { rstIsBare, rstReason } = tcb.pending;
  tcb.pending.rst = false;
  // It must hit the peer's RCV.NXT (RFC 5961 §3): with a closed window a probe's byte was not taken.
  const seq = tcb.snd.wnd === 0 && tcb.synAcked ? tcb.snd.una : tcb.snd.max;
  if (rstIsBare) emitSegment(tcb, out, now, RST, seq, 0, 0, 0, 0, rstReason);
  // Note: Linux tells its window in a RST too.
  else
    emitSegment(tcb, out, now, RST | ACK, seq, tcb.rcv.nxt, tcb.linux?.advertise(tcb, tcb.rcv.windShift) ?? 0, 0, 0, rstReason);
  return true;
}

function sendStrayReset(tcb: Tcb, now: Micros, out: OutgoingPacket): boolean {
  const { pending } = tcb;
  pending.strayReset = false;
  if (pending.strayResetHasAck) emitSegment(tcb, out, now, RST | ACK, 0, pending.strayResetSeq, 0, 0, 0, NOTE_STRANGER);
  else emitSegment(tcb, out, now, RST, pending.strayResetSeq, 0, 0, 0, 0, NOTE_STRAY);
  // Note: Linux sends it by another socket.
  if (tcb.config.sender === "linux") tcb.counters.segmentsOut--;
  pending.strayResetIsPlain = false;
  pending.strayResetHasAck = false;
  return true;
}

const NOTE_STRAY = "it acknowledges what we never sent";
const NOTE_STRANGER = "it belongs to no connection of ours";

/** Every segment with ACK tells all there is to tell. */
function acknowledged(tcb: Tcb): void {
  tcb.pending.ack = false;
  tcb.pending.ackIsAnswer = false;
  tcb.pending.ackReason = "";
  tcb.timers.delayedAck = NEVER;
  tcb.unackedBytes = 0;
  tcb.linux?.acks.sent(tcb);
  tcb.ts.lastAckSent = tcb.rcv.nxt;
}

/**
 * Something waits, nothing is outstanding that a retransmission timer watches: the persist timer probes the window, or
 * overrides silly-window avoidance (RFC 9293 §3.8.6.1, SHLD-29: the first after one RTO).
 */
function startPersist(tcb: Tcb, now: Micros): void {
  const timers = tcb.timers;
  if (timers.persist !== NEVER || timers.retransmission !== NEVER) return;
  tcb.backoffSince = now;
  const delay = persistDelay(tcb);
  timers.persist = Math.min(now + delay, windowPatienceEnd(tcb));
  tcb.observer?.timer(tcb.owner, "persist", "start", delay, "the peer's window is too small to send", now);
}

/** How long until the next zero-window probe: the RTO with its back-off, within the bounds that were set. */
export function persistDelay(tcb: Tcb): Micros {
  const { persistMinUs, persistMaxUs } = tcb.config;
  const former = tcb.linuxSender?.backoff ?? 0;
  if (persistMinUs === 0) return Math.min(tcb.rtt.backedOff(former + tcb.backoffs), persistMaxUs);
  return Math.min(Math.max(tcb.rtt.persistBase * 2 ** Math.min(tcb.backoffs, 9), persistMinUs), persistMaxUs);
}
