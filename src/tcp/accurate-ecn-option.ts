/**
 * The option of accurate ECN that we send (RFC 9768 §3.2.3): which segments carry it, how many of its fields fit beside timestamps and
 * SACK blocks, and its bytes. Always kind 174, with E1B, CEB and E0B in this order. Note: Linux does the same, in the same places.
 */
import type { Micros } from "../base/time.js";
import { OPTION_ACC_ECN_1, OPTION_NOP } from "../wire/segment.js";
import type { AccurateEcn } from "./accurate-ecn.js";
import { bytesOf, OPTION_FAIL_SEND, OPTION_NOT_SEEN } from "./accurate-ecn.js";
import { CE, ECT_0, ECT_1 } from "./ecn-codepoints.js";
import type { Tcb } from "./tcb.js";

/**
 * When the option goes: "off" never, "minimum" on a change and as a beacon, "full" on every segment with room for it, "persist" even
 * when it seems to be lost on the way (Linux: net.ipv4.tcp_ecn_option 0 to 3).
 */
export type AccurateEcnOption = "off" | "minimum" | "full" | "persist";

/** Bytes of options that a TCP header can have. */
const OPTION_SPACE = 40;
/** Kind and length; and each of the three fields. */
const BASE = 2;
const FIELD = 3;
const FIELDS = 3;
const SACK_BASE = 4;
const SACK_BLOCK = 8;
/** A SACK block is given up for the option only where so many stay. */
const FEWEST_BLOCKS = 2;

/** What fits into one header; see `planOptions`. */
export interface OptionPlan {
  /** SACK blocks, and fields of the option; -1 for no option. */
  blocks: number;
  fields: number;
  /** Bytes of the option that it does not share with padding of what follows it. */
  bytes: number;
}

const plan: OptionPlan = { blocks: 0, fields: -1, bytes: 0 };

/** Time for a beacon? Asked before anything is cut to size, so that the segment has room for it (RFC 9768 §3.2.3.3). */
export function noteBeacon(tcb: Tcb, accurate: AccurateEcn, now: Micros): void {
  const { accurateEcnBeacon } = tcb.config;
  accurate.beaconDue = accurateEcnBeacon > 0 && (now - accurate.optionSentAt) * accurateEcnBeacon >= tcb.rtt.srtt;
}

/** Fits SACK blocks and the option into the header of a segment beyond the handshake. The answer is lent until the next call. */
export function planOptions(tcb: Tcb): OptionPlan {
  const blocks = tcb.sack.blocksDue(tcb);
  plan.blocks = blocks;
  plan.fields = -1;
  plan.bytes = 0;
  const { accurate } = tcb.ecn;
  if (accurate === undefined || !optionDue(tcb, accurate)) return plan;
  const used = (tcb.ts.enabled ? 12 : 0) + (blocks > 0 ? SACK_BASE + SACK_BLOCK * blocks : 0);
  fitOption(OPTION_SPACE - used, accurate.fieldsNeeded, blocks > 0 ? 2 : 0);
  return plan;
}

/** Fits the option into a SYN-ACK of which `used` bytes are taken; `sharable`: NOPs behind its place that it may take. */
export function planSynAck(used: number, sharable: number): OptionPlan {
  plan.blocks = 0;
  plan.fields = -1;
  plan.bytes = 0;
  if (OPTION_SPACE - used >= BASE) fitOption(OPTION_SPACE - used, 0, sharable);
  return plan;
}

/** Bytes that `planOptions` takes in all, timestamps apart. */
export function plannedBytes({ blocks, bytes }: OptionPlan): number {
  return bytes + (blocks > 0 ? SACK_BASE + SACK_BLOCK * blocks : 0);
}

function optionDue(tcb: Tcb, accurate: AccurateEcn): boolean {
  const { accurateEcnOption } = tcb.config;
  // A peer that sends none may have something on its way that drops it.
  if (accurateEcnOption === "off" || accurate.optionSeen === OPTION_NOT_SEEN) return false;
  if (accurateEcnOption === "persist") return true;
  if ((accurate.failures & OPTION_FAIL_SEND) !== 0) return false;
  return accurateEcnOption === "full" || accurate.optionDemand > 0 || accurate.beaconDue;
}

/** As many fields as there is room for, `needed` at the least, at the price of a SACK block or two. */
function fitOption(room: number, needed: number, sharable: number): void {
  const { blocks } = plan;
  for (let given = 0; given === 0 || (needed > 0 && blocks - given >= FEWEST_BLOCKS); given++) {
    for (let fields = FIELDS; fields >= needed; fields--) {
      const size = BASE + FIELD * fields;
      const shared = size & 3;
      const bytes = shared <= sharable ? size - shared : (size + 3) & ~3;
      if (bytes > room + SACK_BLOCK * given) continue;
      plan.blocks = blocks - given;
      plan.fields = fields;
      plan.bytes = bytes;
      return;
    }
  }
}

/**
 * Writes the option at `at`, after what may follow it has been written: bytes that it shares stand there as NOPs. `counted`: with the
 * counters as they are, else with their first values, as on a SYN-ACK.
 */
export function putAccurateEcn(
  accurate: AccurateEcn,
  bytes: Uint8Array,
  at: number,
  { fields, bytes: planned }: OptionPlan,
  counted: boolean,
): void {
  const { receivedBytes } = accurate;
  const size = BASE + FIELD * fields;
  bytes[at] = OPTION_ACC_ECN_1;
  bytes[at + 1] = size;
  for (let i = 0; i < fields; i++) {
    const ecn = i === 0 ? ECT_1 : i === 1 ? CE : ECT_0;
    const value = (counted ? bytesOf(receivedBytes, ecn) : 0) + (ecn === CE ? 0 : 1);
    const field = at + BASE + FIELD * i;
    bytes[field] = value >>> 16;
    bytes[field + 1] = value >>> 8;
    bytes[field + 2] = value;
  }
  for (let i = size; i < planned; i++) bytes[at + i] = OPTION_NOP;
}

/** The option has left. */
export function optionSent(accurate: AccurateEcn, besideDsack: boolean, now: Micros): void {
  accurate.fieldsNeeded = 0;
  accurate.optionSentAt = now;
  accurate.optionBesideDsack = besideDsack;
  accurate.beaconDue = false;
  if (accurate.optionDemand > 0) accurate.optionDemand--;
}

/**
 * `[start, end)` has come again, before that is noted for a D-SACK. If a D-SACK beside an option has told of it already, such options
 * do not pass (RFC 9768 §3.2.3.2.2).
 */
export function duplicateCame(tcb: Tcb, start: number, end: number): void {
  const { accurate } = tcb.ecn;
  if (accurate === undefined || !accurate.optionBesideDsack) return;
  if (tcb.sack.dsackStart === start && tcb.sack.dsackEnd === end) accurate.failures |= OPTION_FAIL_SEND;
}
