/**
 * Rules that bend a live session, as values. A rule is read aloud: "drop out ack 1", "set out synack win=0", "inject RST
 * seq=rcv.nxt after in data 1". How they are written is in `parser.ts`, what they do in `bender.ts`.
 */
import type { Micros } from "../base/time.js";
import type { State } from "../tcp/state.js";

/** From us to the peer, or from the peer to us. */
export type Direction = "out" | "in";

/** Kinds of segments: an "ack" carries nothing else, a "fin" may carry data. */
export type SegmentKind = "any" | "syn" | "synack" | "ack" | "data" | "fin" | "rst" | "psh" | "urg";

/** Which of the segments that match, counted from 1 for each connection; every `every`th of them. */
export interface Ordinals {
  readonly first: number;
  /** Infinity: without end. */
  readonly last: number;
  readonly every: number;
}

/** A number that may depend on the segment and its connection. */
export type Expression =
  | { readonly kind: "number"; readonly value: number }
  | { readonly kind: "name"; readonly name: VariableName }
  | { readonly kind: "sum"; readonly left: Expression; readonly right: Expression; readonly sign: 1 | -1 };

/** Our TCB (RFC 9293 §3.3.1), the peer's next expected number as far as we know it, and the segment itself. */
export const VARIABLES = [
  "snd.una",
  "snd.nxt",
  "snd.max",
  "snd.wnd",
  "rcv.nxt",
  "rcv.wnd",
  "iss",
  "irs",
  "peer.rcv.nxt",
  "seg.seq",
  "seg.ack",
  "seg.len",
  "seg.wnd",
  "ts.val",
  "ts.ecr",
] as const;
export type VariableName = (typeof VARIABLES)[number];

export type Comparison = "=" | "!=" | "<" | "<=" | ">" | ">=";

/** What a segment must be beside its kind. Sequence numbers count from the initial one of their sender, unless `absolute`. */
export type Condition =
  | {
      readonly kind: "range";
      readonly field: string;
      readonly from: Expression;
      readonly to: Expression;
      readonly absolute: boolean;
    }
  | {
      readonly kind: "compare";
      readonly field: string;
      readonly comparison: Comparison;
      readonly value: Expression;
      readonly absolute: boolean;
    }
  | { readonly kind: "payload"; readonly bytes: Uint8Array }
  | { readonly kind: "state"; readonly state: State; readonly not: boolean }
  /** Since the connection's first segment. */
  | { readonly kind: "time"; readonly comparison: Comparison; readonly value: Micros };

/** Segments that a rule is about. */
export interface Selector {
  readonly direction: Direction;
  readonly kind: SegmentKind;
  readonly ordinals: Ordinals;
  readonly where: readonly Condition[];
}

/** A change of one field. `value` is text for options and payload, flags are a number. */
export interface Assignment {
  readonly field: string;
  readonly operator: "=" | "+=" | "-=";
  readonly value: Expression | string | Uint8Array;
}

/** A segment that is made: its flags and what else is not as usual. */
export interface MadeSegment {
  readonly flags: number;
  readonly assignments: readonly Assignment[];
  readonly badChecksum: boolean;
}

export type Action =
  | { readonly kind: "drop" }
  | { readonly kind: "delay"; readonly byUs: Micros }
  | { readonly kind: "duplicate"; readonly times: number; readonly afterUs: Micros }
  /** Overtaken by so many segments of its direction. */
  | { readonly kind: "reorder"; readonly behind: number }
  | { readonly kind: "hold"; readonly until: Release }
  /** The byte counts from the start of the payload, or of the TCP header when there is none. */
  | { readonly kind: "corrupt"; readonly byte: number; readonly xor: number }
  | { readonly kind: "set"; readonly assignments: readonly Assignment[]; readonly badChecksum: boolean }
  | { readonly kind: "inject"; readonly place: "before" | "after"; readonly direction: Direction; readonly segment: MadeSegment }
  | { readonly kind: "answer"; readonly segment: MadeSegment }
  | { readonly kind: "split"; readonly parts: readonly MadeSegment[] };

/** What lets a held segment go. */
export type Release =
  | { readonly kind: "time"; readonly atUs: Micros }
  | { readonly kind: "segment"; readonly selector: Selector }
  | { readonly kind: "state"; readonly state: State };

/** One rule. */
export interface BendRule {
  /** As it was written, for messages. */
  readonly text: string;
  readonly selector: Selector;
  readonly action: Action;
}
