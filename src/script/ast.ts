/** A script as it was read: options, and events in their order. The language is packetdrill's. */
import type { Micros } from "../base/time.js";
import type { TcpOption } from "../wire/tcp-options.js";
import type { Place } from "./errors.js";

export interface Script {
  /** `--name=value` lines and `-D NAME=value`, in their order. */
  readonly options: readonly ScriptOption[];
  readonly events: readonly ScriptEvent[];
}

export interface ScriptOption {
  readonly name: string;
  readonly value: string;
  readonly place: Place;
}

/** When something happens: times count from the start of the script, or from the event before; null is `*`, any time. */
export interface EventTime {
  readonly relative: boolean;
  readonly us: Micros | null;
  /** The end of a range `a~b`, in which a packet may come. */
  readonly untilUs?: Micros;
  /** The end of a call that blocks, `a...b`. */
  readonly returnsUs?: Micros;
}

export interface ScriptEvent {
  readonly place: Place;
  readonly time: EventTime;
  /** The event as it was written, on one line. */
  readonly text: string;
  readonly action: Action;
}

/** Microseconds from the first event to the last, as far as the script says. */
export function scriptDuration({ events }: Script): Micros {
  let [at, last] = [0, 0];
  for (const { time } of events) {
    const from = time.relative ? at : 0;
    at = from + (time.us ?? 0);
    last = Math.max(last, at, from + (time.untilUs ?? 0), from + (time.returnsUs ?? 0));
  }
  return last;
}

export type Action =
  | { readonly kind: "packet"; readonly packet: PacketEvent }
  | { readonly kind: "icmp"; readonly icmp: IcmpEvent }
  | { readonly kind: "udp"; readonly udp: UdpEvent }
  | { readonly kind: "call"; readonly call: CallEvent }
  | { readonly kind: "command"; readonly command: string }
  | { readonly kind: "code"; readonly code: string }
  | { readonly kind: "unsupported"; readonly feature: string };

/** Of a packet; undefined for what is none. */
export function directionOf(action: Action): PacketDirection | undefined {
  if (action.kind === "packet") return action.packet.direction;
  if (action.kind === "icmp") return action.icmp.direction;
  return action.kind === "udp" ? action.udp.direction : undefined;
}

/** "in": `<`, the script sends it; "out": `>`, the stack must. */
export type PacketDirection = "in" | "out";

/** Marks of the IP header; what is absent is not checked, and sent as the default. */
export interface IpMarks {
  /** 0 noecn, 1 ect1, 2 ect0, 3 ce; "ect01" is either. */
  readonly ecn?: 0 | 1 | 2 | 3 | "ect01";
  readonly tos?: number;
  readonly ttl?: number;
  readonly flowLabel?: number;
}

export interface PacketEvent {
  readonly direction: PacketDirection;
  readonly ip: IpMarks;
  /** Where the script names them; 0 leaves a port to the connection. */
  readonly ports?: { readonly source: number; readonly destination: number };
  /** Control bits. */
  readonly flags: number;
  readonly seq: number;
  /** "absolute", `1:1(0)!`: it is that of the wire; "any", `...(0)`: it is not looked at. Default: it counts from the SYN. */
  readonly seqRule?: "absolute" | "any";
  /** Bytes of payload. */
  readonly length: number;
  readonly ack: number | null;
  readonly window: number | null;
  readonly urgent: number | null;
  /** Null is `<...>`: any. */
  readonly options: readonly PacketOption[] | null;
}

/** An option as it stands in the script; of timestamps a side may be left out. `ecr 1!` is that of the wire. `wscale *` is any shift. */
export type PacketOption =
  | TcpOption
  | { readonly kind: "any-scale" }
  | { readonly kind: "ts"; readonly val: number | null; readonly ecr: number | null; readonly isAbsolute?: boolean };

export interface UdpEvent {
  readonly direction: PacketDirection;
  readonly ip: IpMarks;
  readonly ports?: { readonly source: number; readonly destination: number };
  /** Bytes of payload. */
  readonly length: number;
}

export interface IcmpEvent {
  readonly direction: PacketDirection;
  readonly ip: IpMarks;
  /** Names: what they stand for depends on the family (`icmp-names.ts`). No code is "". */
  readonly type: string;
  readonly code: string;
  readonly mtu: number | null;
  /** Of an echo. */
  readonly id: number;
  readonly quoted: IcmpQuote;
}

/** What an ICMP error quotes: the sequence number of TCP, and the bytes of payload. "raw" quotes nothing. */
export interface IcmpQuote {
  readonly protocol: "tcp" | "udp" | "raw";
  readonly seq: number;
  readonly length: number;
}

export interface CallEvent {
  readonly name: string;
  readonly args: readonly Expression[];
  /** What it returns; null is `...`, anything. */
  readonly result: Expression | null;
  /** The name of the errno, "" for none. */
  readonly errno: string;
}

export type Expression =
  | { readonly kind: "number"; readonly value: number }
  | { readonly kind: "text"; readonly value: string }
  | { readonly kind: "name"; readonly name: string }
  | { readonly kind: "any" }
  | { readonly kind: "binary"; readonly operator: string; readonly left: Expression; readonly right: Expression }
  | { readonly kind: "list"; readonly items: readonly Expression[] }
  | { readonly kind: "struct"; readonly fields: readonly Field[] }
  | { readonly kind: "call"; readonly name: string; readonly args: readonly Expression[] };

/** `name=value`, `name(length)=value`, or a bare value without a name. */
export interface Field {
  readonly name: string;
  readonly length: Expression | null;
  readonly value: Expression;
}
