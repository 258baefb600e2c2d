/** The schema of the JSON Lines as data: what every key of every event may hold. The README is held to this table by a test. */
import type { State } from "../tcp/state.js";
import type { TraceEvent } from "./events.js";

/** What a value may be: a list is the strings allowed; "u16", "u32" and "count" are integers, "count" up to 2^53. */
export type FieldKind = "string" | "boolean" | "u16" | "u32" | "count" | "count or null" | readonly string[];

/** One key of an event; none may be missing. */
export interface Field {
  readonly kind: FieldKind;
}

const STATES: readonly State[] = [
  "CLOSED",
  "LISTEN",
  "SYN-SENT",
  "SYN-RECEIVED",
  "ESTABLISHED",
  "FIN-WAIT-1",
  "FIN-WAIT-2",
  "CLOSE-WAIT",
  "CLOSING",
  "LAST-ACK",
  "TIME-WAIT",
];

/** The keys that every event has, in the order in which they are written. */
export const COMMON_FIELDS = {
  t: { kind: "count" },
  type: { kind: ["segment", "state", "peer", "timer", "drop", "guard", "fault", "packet"] },
  conn: { kind: "count" },
} as const satisfies Record<string, Field>;

/** The further keys of each type, in the order in which they are written. */
export const EVENT_FIELDS = {
  segment: {
    dir: { kind: ["out", "in"] },
    src: { kind: "string" },
    dst: { kind: "string" },
    flags: { kind: "string" },
    seq: { kind: "u32" },
    ack: { kind: "u32" },
    relSeq: { kind: "count or null" },
    relAck: { kind: "count or null" },
    len: { kind: "u16" },
    win: { kind: "u16" },
    winBytes: { kind: "count" },
    options: { kind: "string" },
    checksum: { kind: ["ok", "partial", "bad"] },
    payload: { kind: "string" },
    lost: { kind: "boolean" },
    reason: { kind: "string" },
  },
  state: { from: { kind: STATES }, to: { kind: STATES }, reason: { kind: "string" } },
  peer: { state: { kind: [...STATES, "unknown"] }, source: { kind: "string" } },
  timer: {
    timer: {
      kind: [
        "retransmission",
        "persist",
        "delayed-ack",
        "time-wait",
        "keep-alive",
        "user-timeout",
        "fin-wait-2",
        "syn-ack",
        "cork",
        "linger",
      ],
    },
    action: { kind: ["start", "expire", "stop"] },
    delayUs: { kind: "count" },
    reason: { kind: "string" },
  },
  drop: { reason: { kind: "string" } },
  guard: {
    action: { kind: ["hold", "release", "self-test"] },
    method: { kind: "string" },
    port: { kind: "u16" },
    reason: { kind: "string" },
  },
  fault: {
    dir: { kind: ["out", "in"] },
    fault: { kind: ["loss", "duplication", "reordering", "corruption", "delay", "refusal", "change", "injection"] },
    reason: { kind: "string" },
  },
  packet: { dir: { kind: ["out", "in"] }, text: { kind: "string" }, reason: { kind: "string" } },
} as const satisfies { readonly [T in TraceEvent["type"]]: FieldsOf<Extract<TraceEvent, { type: T }>> };

/** What is wrong with a parsed line, or null when it is a sound event. */
export function checkEvent(value: unknown): string | null {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return "not an object";
  const object = value as Readonly<Record<string, unknown>>;
  const common = checkFields(object, COMMON_FIELDS);
  if (common !== null) return common;
  const { type } = value as { readonly type: TraceEvent["type"] };
  const fields: Readonly<Record<string, Field>> = EVENT_FIELDS[type];
  for (const key of Object.keys(object))
    if (!Object.hasOwn(COMMON_FIELDS, key) && !Object.hasOwn(fields, key)) return `unknown key "${key}"`;
  return checkFields(object, fields);
}

/** Makes the compiler refuse an event key that the table forgets, or a table key that no event has. */
type FieldsOf<E> = { readonly [K in Exclude<keyof E, "t" | "type" | "conn">]-?: Field };

function checkFields(object: Readonly<Record<string, unknown>>, fields: Readonly<Record<string, Field>>): string | null {
  for (const [key, field] of Object.entries(fields)) {
    if (!Object.hasOwn(object, key)) return `"${key}" is missing`;
    if (!fits(object[key], field.kind)) return `"${key}" cannot be ${JSON.stringify(object[key])}`;
  }
  return null;
}

function fits(value: unknown, kind: FieldKind): boolean {
  if (typeof kind !== "string") return typeof value === "string" && kind.includes(value);
  switch (kind) {
    case "string":
      return typeof value === "string";
    case "boolean":
      return typeof value === "boolean";
    case "u16":
      return isCount(value) && value <= 0xffff;
    case "u32":
      return isCount(value) && value <= 0xffffffff;
    case "count":
      return isCount(value);
    case "count or null":
      return value === null || isCount(value);
  }
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}
