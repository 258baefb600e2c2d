/**
 * Writes one segment with its IP header into an outgoing packet. Fields come from the TCB; what is not asked for stays
 * off. The crafter in `craft` is the place for wrong fields, not this.
 */
import { seqDiff } from "../base/seq.js";
import { MILLISECOND, type Micros } from "../base/time.js";
import { getU16, putU16, putU32 } from "../wire/bytes.js";
import { addBytes, finish } from "../wire/checksum.js";
import { PROTOCOL_TCP } from "../wire/ip-packet.js";
import { OPTION_MSS, OPTION_NOP, OPTION_SACK_PERMITTED, OPTION_TIMESTAMPS, OPTION_WINDOW_SCALE } from "../wire/segment.js";
import { ACK, RST, SYN } from "../wire/tcp-flags.js";
import { aceFlags, isBareAck } from "./accurate-ecn.js";
import { type OptionPlan, optionSent, planOptions, planSynAck, putAccurateEcn } from "./accurate-ecn-option.js";
import { ecnFlags } from "./ecn.js";
import { ECT_0 } from "./ecn-codepoints.js";
import { fastOpenOptionBytes, putFastOpen } from "./fast-open.js";
import type { OutgoingPacket } from "./outgoing-packet.js";
import type { Tcb } from "./tcb.js";

/** The value of our timestamp clock: milliseconds from a random start (RFC 7323 §5.4: 1 ms to 1 s a tick). */
export function timestampNow(tcb: Tcb, now: Micros): number {
  return (Math.floor(now / MILLISECOND) + tcb.ts.offset) >>> 0;
}

/** Bytes of IP and TCP header without options. */
export function headerBytes(tcb: Tcb): number {
  return tcb.local.family === 4 ? 40 : 60;
}

/**
 * Writes a segment. `wnd` is the window field as it shall stand; `dataOffset` and `dataLength` name the payload by its
 * distance from the head of the send queue.
 */
export function emitSegment(
  tcb: Tcb,
  out: OutgoingPacket,
  now: Micros,
  flags: number,
  seq: number,
  ack: number,
  wnd: number,
  dataOffset: number,
  dataLength: number,
  note: string,
): void {
  const bytes = out.bytes;
  let { tos } = tcb.config;
  const { accurate } = tcb.ecn;
  if (accurate !== undefined) {
    // Everything but SYN and what answers a stranger, bare ACKs too (RFC 9768 §3.2.2). Note: Linux does the same.
    if ((flags & SYN) === 0 && (flags & ACK) !== 0) {
      flags |= aceFlags(accurate, isBareAck(flags, dataLength));
      if (accurate.capable) tos |= ECT_0;
    }
  } else if (tcb.ecn.enabled && (flags & (SYN | RST)) === 0) {
    flags |= ecnFlags(tcb.ecn);
    // New data alone: the mark of a repetition could not be told from an attacker's (RFC 3168 §6.1.5).
    if (tcb.ecn.newData && dataLength > 0) tos |= ECT_0;
  }
  const tcp = tcb.local.family === 4 ? 20 : 40;
  let at = tcp + 20;
  if ((flags & SYN) !== 0) at = putSynOptions(tcb, bytes, at, (flags & ACK) !== 0, now);
  else {
    if (tcb.ts.enabled && !tcb.pending.strayResetIsPlain) at = putTimestamps(tcb, bytes, at, (flags & ACK) !== 0, now);
    if ((flags & (ACK | RST)) === ACK) at = putFeedback(tcb, bytes, at, now);
  }
  tcb.sendQueue.copyOut(dataOffset, bytes, at, dataLength);
  const length = at + dataLength;
  putU16(bytes, tcp, tcb.localPort);
  putU16(bytes, tcp + 2, tcb.remotePort);
  putU32(bytes, tcp + 4, seq);
  putU32(bytes, tcp + 8, ack);
  putU16(bytes, tcp + 12, ((at - tcp) << 10) | flags);
  putU16(bytes, tcp + 14, wnd);
  putU16(bytes, tcp + 16, 0);
  putU16(bytes, tcp + 18, 0);
  putU16(bytes, tcp + 16, finish(out.addBytes(tcb.pseudoSum + length - tcp, bytes, tcp, length - tcp)));
  putIpHeader(tcb, bytes, length, tos);
  out.length = length;
  out.note = note;
  const { counters } = tcb;
  counters.segmentsOut++;
  if (dataLength > 0) {
    counters.dataSegmentsOut++;
    counters.bytesSent += dataLength;
    tcb.lastDataSentAt = now;
  }
}

/** Sets the urgent pointer of a segment that `emitSegment` has just written, and mends its checksum (RFC 1624). */
export function setUrgentPointer(tcb: Tcb, out: OutgoingPacket, seq: number): void {
  const tcp = tcb.local.family === 4 ? 20 : 40;
  const pointer = Math.min(seqDiff(tcb.snd.up, seq), 0xffff);
  const oldFlags = getU16(out.bytes, tcp + 12);
  const flags = oldFlags | 0x20;
  const sum = (~getU16(out.bytes, tcp + 16) & 0xffff) + (~oldFlags & 0xffff) + flags + pointer;
  putU16(out.bytes, tcp + 12, flags);
  putU16(out.bytes, tcp + 16, finish(sum));
  putU16(out.bytes, tcp + 18, pointer);
}

/** SACK blocks, and the counters of accurate ECN before them. */
function putFeedback(tcb: Tcb, bytes: Uint8Array, at: number, now: Micros): number {
  const { accurate } = tcb.ecn;
  if (accurate === undefined) {
    const blocks = tcb.sack.blocksDue(tcb);
    return blocks > 0 ? tcb.sack.put(tcb, bytes, at, blocks) : at;
  }
  const plan = planOptions(tcb);
  const besideDsack = tcb.sack.dsackDue;
  const start = at;
  at += plan.bytes;
  if (plan.blocks > 0) at = tcb.sack.put(tcb, bytes, at, plan.blocks);
  if (plan.fields >= 0) {
    putAccurateEcn(accurate, bytes, start, plan, true);
    optionSent(accurate, besideDsack, now);
  }
  return at;
}

/** Options of SYN and SYN-ACK, in the order in which Linux writes them. A SYN-ACK repeats only what the SYN offered. */
function putSynOptions(tcb: Tcb, bytes: Uint8Array, at: number, answer: boolean, now: Micros): number {
  if (tcb.config.optionLayout === "none") return at;
  if (tcb.config.optionLayout === "bsd") return putBsdSynOptions(tcb, bytes, at, answer, now);
  bytes[at] = OPTION_MSS;
  bytes[at + 1] = 4;
  putU16(bytes, at + 2, announcedMss(tcb));
  at += 4;
  // Note: in a simultaneous open Linux sends its own SYN once more, with ACK.
  const repeats = answer && (tcb.passive || tcb.linux === undefined);
  const sack = repeats ? tcb.sack.enabled : tcb.config.sack;
  const stamped = repeats ? tcb.ts.enabled : tcb.config.timestamps;
  const scaled = repeats ? tcb.scaling : tcb.config.windowScaling;
  if (stamped) {
    at = putTimestamps(tcb, bytes, at, answer, now);
    // SACK-permitted takes the place of the two NOPs before the timestamps.
    if (sack) putSackPermitted(bytes, at - 12);
  }
  const counters = at;
  const plan = answer ? planSynAckOption(tcb, sack, stamped, scaled) : undefined;
  if (plan !== undefined) at += plan.bytes;
  if (sack && !stamped) {
    bytes[at] = OPTION_NOP;
    bytes[at + 1] = OPTION_NOP;
    at = putSackPermitted(bytes, at + 2);
  }
  if (scaled) {
    bytes[at] = OPTION_NOP;
    bytes[at + 1] = OPTION_WINDOW_SCALE;
    bytes[at + 2] = 3;
    bytes[at + 3] = repeats ? tcb.rcv.windShift : offeredShift(tcb);
    at += 4;
  }
  const { accurate } = tcb.ecn;
  if (answer && accurate !== undefined) {
    if (plan !== undefined) putAccurateEcn(accurate, bytes, counters, plan, false);
    accurate.synAckSent = true;
  }
  return putFastOpen(tcb.fastOpen, bytes, at);
}

/** The first SYN-ACK has the option with the counters' first values, none that is repeated (RFC 9768 §3.2.3.2.2). */
function planSynAckOption(tcb: Tcb, sack: boolean, stamped: boolean, scaled: boolean): OptionPlan | undefined {
  if (tcb.ecn.accurate === undefined || tcb.config.accurateEcnOption === "off" || tcb.ecn.accurate.synAckSent) return undefined;
  const sackAlone = sack && !stamped;
  const used = 4 + (stamped ? 12 : 0) + (sackAlone ? 4 : 0) + (scaled ? 4 : 0) + fastOpenOptionBytes(tcb.fastOpen);
  const plan = planSynAck(used, sackAlone ? 2 : scaled ? 1 : 0);
  return plan.fields < 0 ? undefined : plan;
}

/**
 * MSS, window scale, SACK-permitted and timestamps, with NOPs before what would begin at the wrong place, and zeros at the end. Note:
 * FreeBSD does so (tcp_addoptions).
 */
function putBsdSynOptions(tcb: Tcb, bytes: Uint8Array, start: number, answer: boolean, now: Micros): number {
  let at = start;
  bytes[at] = OPTION_MSS;
  bytes[at + 1] = 4;
  putU16(bytes, at + 2, announcedMss(tcb));
  at += 4;
  if (answer ? tcb.scaling : tcb.config.windowScaling) {
    bytes[at] = OPTION_NOP;
    bytes[at + 1] = OPTION_WINDOW_SCALE;
    bytes[at + 2] = 3;
    bytes[at + 3] = answer ? tcb.rcv.windShift : offeredShift(tcb);
    at += 4;
  }
  if (answer ? tcb.sack.enabled : tcb.config.sack) at = putSackPermitted(bytes, at);
  if (answer ? tcb.ts.enabled : tcb.config.timestamps) {
    // Its two numbers are to be aligned: `putTimestamps` has two NOPs of its own for that, whose place SACK-permitted can take.
    const behindSack = (at - start) % 4 === 2;
    const from = behindSack ? at - 2 : at;
    at = putTimestamps(tcb, bytes, from, answer, now);
    if (behindSack) putSackPermitted(bytes, from);
  }
  while ((at - start) % 4 !== 0) bytes[at++] = 0;
  return putFastOpen(tcb.fastOpen, bytes, at);
}

function putSackPermitted(bytes: Uint8Array, at: number): number {
  bytes[at] = OPTION_SACK_PERMITTED;
  bytes[at + 1] = 2;
  return at + 2;
}

function putTimestamps(tcb: Tcb, bytes: Uint8Array, at: number, echo: boolean, now: Micros): number {
  bytes[at] = OPTION_NOP;
  bytes[at + 1] = OPTION_NOP;
  bytes[at + 2] = OPTION_TIMESTAMPS;
  bytes[at + 3] = 10;
  putU32(bytes, at + 4, timestampNow(tcb, now));
  putU32(bytes, at + 8, echo ? tcb.ts.recent : 0);
  return at + 12;
}

/** The MSS that we announce: what IP can carry to us, less fixed headers (RFC 9293 MUST-67, RFC 6691). */
export function announcedMss(tcb: Tcb): number {
  const { config, pathMtu } = tcb;
  // Note: to Linux what passes one way is the measure for the other (ipv4_default_advmss).
  const mtu = tcb.linux === undefined ? config.mtuBytes : Math.min(config.mtuBytes, pathMtu.bytes);
  return Math.min(config.mssBytes, mtu - headerBytes(tcb), 65_535);
}

/** The smallest shift that lets the 16-bit field express the largest receive buffer (RFC 7323 §2.3: at most 14). */
export function offeredShift(tcb: Tcb): number {
  if (tcb.linux !== undefined) return tcb.linux.shift;
  let shift = 0;
  const { receiveBufferMaxBytes, scaleForBytes } = tcb.config;
  const largest = Math.max(tcb.receiveBufferBytes, receiveBufferMaxBytes, scaleForBytes);
  while (shift < 14 && largest > 0xffff * 2 ** shift) shift++;
  return shift;
}

function putIpHeader(tcb: Tcb, bytes: Uint8Array, length: number, tos: number): void {
  if (tcb.local.family === 4) {
    bytes[0] = 0x45;
    bytes[1] = tos;
    putU16(bytes, 2, length);
    tcb.ipId = (tcb.ipId + 1) & 0xffff;
    putU16(bytes, 4, tcb.ipId);
    // Don't Fragment: path MTU discovery (RFC 1191).
    putU16(bytes, 6, tcb.pathMtu.mayFragment ? 0 : 0x4000);
    bytes[8] = tcb.config.ttl;
    bytes[9] = PROTOCOL_TCP;
    putU16(bytes, 10, 0);
    tcb.local.write(bytes, 12);
    tcb.remote.write(bytes, 16);
    putU16(bytes, 10, finish(addBytes(0, bytes, 0, 20)));
  } else {
    putU32(bytes, 0, (6 << 28) | (tos << 20));
    putU16(bytes, 4, length - 40);
    bytes[6] = PROTOCOL_TCP;
    bytes[7] = tcb.config.ttl;
    tcb.local.write(bytes, 8);
    tcb.remote.write(bytes, 24);
  }
}
