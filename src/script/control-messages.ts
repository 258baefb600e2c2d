/** Control messages of `recvmsg` and `sendmsg`, as scripts write them: `msg_control=[{cmsg_level=…, cmsg_type=…, cmsg_data=…}]`. */
import type { Micros } from "../base/time.js";
import { type QueuedError, type SentStamp, type SentStats, SOF_TIMESTAMPING } from "../stack/error-queue.js";
import type { Expression } from "./ast.js";
import { CONSTANTS, ERRNOS, SOCKET_OPTIONS } from "./constants.js";
import { ScriptFailure, UnsupportedError } from "./errors.js";
import { fieldOf, itemsOf, numberOf, optionalNumber } from "./values.js";

/** What struct sock_extended_err says. */
interface ExtendedError {
  readonly ee_errno: number;
  readonly ee_origin: number;
  readonly ee_type: number;
  readonly ee_code: number;
  readonly ee_info: number;
  readonly ee_data: number;
}

export interface ControlMessage {
  readonly level: number;
  readonly type: number;
  readonly data:
    | { readonly kind: "number"; readonly value: number }
    | { readonly kind: "stamp"; readonly at: Micros }
    | { readonly kind: "error"; readonly error: ExtendedError }
    | { readonly kind: "stats"; readonly stats: Partial<SentStats> };
}

const SOL_SOCKET = 1;
const SOL_TCP = 6;
const [, TCP_INQ] = SOCKET_OPTIONS["TCP_INQ"] ?? [0, 0];
const SCM_TIMESTAMPING = CONSTANTS["SCM_TIMESTAMPING"] ?? 0;
const SCM_OPT_STATS = CONSTANTS["SCM_TIMESTAMPING_OPT_STATS"] ?? 0;

/** TCP_CM_INQ. */
export function leftMessage(bytes: number): ControlMessage {
  return { level: SOL_TCP, type: TCP_INQ, data: { kind: "number", value: bytes } };
}

/** When data came, for those who asked with SO_TIMESTAMPING. */
export function arrivalMessage(at: Micros): ControlMessage {
  return { level: SOL_SOCKET, type: SCM_TIMESTAMPING, data: { kind: "stamp", at } };
}

/** What an item of the error queue of a socket of this family comes with; `timestamping` are the bits of SO_TIMESTAMPING. */
export function errorMessages(item: QueuedError, family: 4 | 6, timestamping: number): ControlMessage[] {
  const about = family === 4 ? { level: 0, type: 11 } : { level: 41, type: 25 };
  if (item.origin === "zerocopy") {
    const origin = CONSTANTS["SO_EE_ORIGIN_ZEROCOPY"] ?? 0;
    const error = { ee_errno: 0, ee_origin: origin, ee_type: 0, ee_code: 1, ee_info: item.low, ee_data: item.high };
    return [{ ...about, data: { kind: "error", error } }];
  }
  const error = {
    ee_errno: ERRNOS["ENOMSG"] ?? 0,
    ee_origin: CONSTANTS["SO_EE_ORIGIN_TIMESTAMPING"] ?? 0,
    ee_type: 0,
    ee_code: 0,
    ee_info: STAMPS[item.what],
    ee_data: item.id,
  };
  const told: ControlMessage[] = [];
  if ((timestamping & SOF_TIMESTAMPING.SOFTWARE) !== 0) {
    told.push(arrivalMessage(item.at));
    if (item.stats !== undefined)
      told.push({ level: SOL_SOCKET, type: SCM_OPT_STATS, data: { kind: "stats", stats: item.stats } });
  }
  return [...told, { ...about, data: { kind: "error", error } }];
}

const STAMPS: Readonly<Record<SentStamp["what"], number>> = { SND: 0, SCHED: 1, ACK: 2 };

/** Of `sendmsg`: bits of SO_TIMESTAMPING for this data alone; undefined without. Throws UnsupportedError for other messages. */
export function stampsAskedFor(control: Expression | undefined): number | undefined {
  let stamps: number | undefined;
  for (const item of control === undefined || control.kind === "any" ? [] : itemsOf(control)) {
    const level = numberOf(fieldOf(item, "cmsg_level")?.value ?? NONE);
    const type = numberOf(fieldOf(item, "cmsg_type")?.value ?? NONE);
    if (level !== SOL_SOCKET || type !== SCM_TIMESTAMPING)
      throw new UnsupportedError(`control messages ${level}, ${type} of sendmsg`);
    stamps = numberOf(fieldOf(item, "cmsg_data")?.value ?? NONE);
  }
  return stamps;
}

/** Compares what came with what the script says. `start` is the script's time 0. Throws ScriptFailure. */
export function checkControl(
  wanted: readonly Expression[],
  found: readonly ControlMessage[],
  start: Micros,
  toleranceUs: Micros,
): void {
  if (wanted.length !== found.length)
    throw new ScriptFailure(
      "recvmsg: msg_control",
      `${wanted.length} messages`,
      `${found.length}: ${found.map(show).join(", ")}`,
    );
  for (const [i, message] of found.entries()) {
    const item = wanted[i] ?? NONE;
    const level = optionalNumber(fieldOf(item, "cmsg_level")?.value ?? NONE);
    const type = optionalNumber(fieldOf(item, "cmsg_type")?.value ?? NONE);
    if (level !== message.level || type !== message.type)
      throw new ScriptFailure(`recvmsg: message ${i}`, `level ${level}, type ${type}`, show(message));
    const data = fieldOf(item, "cmsg_data")?.value ?? NONE;
    const wrong = data.kind === "any" ? "" : wrongData(data, message, start, toleranceUs);
    if (wrong !== "") throw new ScriptFailure(`recvmsg: message ${i}: ${wrong}`, "", show(message));
  }
}

function wrongData(data: Expression, { data: found }: ControlMessage, start: Micros, toleranceUs: Micros): string {
  const field = (name: string): number | undefined => optionalNumber(fieldOf(data, name)?.value ?? NONE);
  switch (found.kind) {
    case "number": {
      const expected = optionalNumber(data);
      return expected === undefined || expected === found.value ? "" : `is ${found.value}, expected ${expected}`;
    }
    case "stamp": {
      const at = (field("scm_sec") ?? 0) * 1_000_000 + Math.floor((field("scm_nsec") ?? 0) / 1000);
      // 0 asks for none in particular.
      if (at === 0 || Math.abs(found.at - start - at) <= toleranceUs) return "";
      return `stamp of ${(found.at - start) / 1e6} s, expected ${at / 1e6} s`;
    }
    case "error": {
      const names = Object.keys(found.error) as (keyof ExtendedError)[];
      const name = names.find((one) => field(one) !== undefined && field(one) !== found.error[one]);
      return name === undefined ? "" : `${name} is ${found.error[name]}, expected ${field(name)}`;
    }
    case "stats":
      return wrongStats(data, found.stats, toleranceUs);
  }
}

/** Names of SCM_TIMESTAMPING_OPT_STATS, in the order of their numbers in Linux, of which the first is 1. */
const STATS: readonly (readonly [string, keyof SentStats])[] = [
  ["TCP_NLA_BUSY", "tcpi_busy_time"],
  ["TCP_NLA_RWND_LIMITED", "tcpi_rwnd_limited"],
  ["TCP_NLA_SNDBUF_LIMITED", "tcpi_sndbuf_limited"],
  ["TCP_NLA_DATA_SEGS_OUT", "tcpi_data_segs_out"],
  ["TCP_NLA_TOTAL_RETRANS", "tcpi_total_retrans"],
  ["TCP_NLA_PACING_RATE", "tcpi_pacing_rate"],
  ["TCP_NLA_DELIVERY_RATE", "tcpi_delivery_rate"],
  ["TCP_NLA_SND_CWND", "tcpi_snd_cwnd"],
  ["TCP_NLA_REORDERING", "tcpi_reordering"],
  ["TCP_NLA_MIN_RTT", "tcpi_min_rtt"],
  ["TCP_NLA_RECUR_RETRANS", "tcpi_retransmits"],
  ["TCP_NLA_DELIVERY_RATE_APP_LMT", "tcpi_delivery_rate_app_limited"],
  ["TCP_NLA_SNDQ_SIZE", "queued"],
  ["TCP_NLA_CA_STATE", "tcpi_ca_state"],
  ["TCP_NLA_SND_SSTHRESH", "tcpi_snd_ssthresh"],
  ["TCP_NLA_DELIVERED", "tcpi_delivered"],
  ["TCP_NLA_DELIVERED_CE", "tcpi_delivered_ce"],
  ["TCP_NLA_BYTES_SENT", "tcpi_bytes_sent"],
  ["TCP_NLA_BYTES_RETRANS", "tcpi_bytes_retrans"],
  ["TCP_NLA_DSACK_DUPS", "tcpi_dsack_dups"],
  ["TCP_NLA_REORD_SEEN", "tcpi_reord_seen"],
  ["TCP_NLA_SRTT", "tcpi_rtt"],
];
/** Times, which may be off. */
const TIMES: ReadonlySet<string> = new Set(["TCP_NLA_BUSY", "TCP_NLA_RWND_LIMITED", "TCP_NLA_SNDBUF_LIMITED"]);

/** What the statistic of that number in Linux (TCP_NLA_BUSY is 1) is here. */
export function statisticOf(number: number): keyof SentStats | undefined {
  return STATS[number - 1]?.[1];
}

function wrongStats(data: Expression, stats: Partial<SentStats>, toleranceUs: Micros): string {
  if (data.kind !== "struct") throw new UnsupportedError("statistics that are no {TCP_NLA_…=value}");
  for (const { name, value } of data.fields) {
    const known = STATS.find(([one]) => one === name);
    if (known === undefined) throw new UnsupportedError(`the statistic ${name}`);
    const expected = optionalNumber(value);
    const found = stats[known[1]];
    const slack = TIMES.has(name) && expected !== 0 ? toleranceUs : 0;
    if (expected !== undefined && (found === undefined || Math.abs(found - expected) > slack))
      return `${name} is ${found}, expected ${expected}`;
  }
  return "";
}

function show({ level, type, data }: ControlMessage): string {
  const head = `level ${level}, type ${type}`;
  if (data.kind === "number") return `${head}: ${data.value}`;
  if (data.kind === "stamp") return `${head}: a stamp`;
  return data.kind === "stats" ? `${head}: statistics` : `${head}: ${JSON.stringify(data.error)}`;
}

const NONE: Expression = { kind: "any" };
