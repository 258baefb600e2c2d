/**
 * The one event stream of rawtcp. Tracing devices, connections and the kernel observer write it; the text line, the
 * ladder, JSON Lines and capture comments are printed from it. The JSON form is documented in `src/observe/README.md`.
 */
import type { State } from "../tcp/state.js";

/** Times are integer microseconds since the trace began; `conn` numbers the connections of a trace from 1 (0 = none). */
interface EventBase {
  readonly t: number;
  readonly conn: number;
}

/** A segment that went out or came in. `seq` and `ack` are absolute; `relSeq` and `relAck` count from the initial ones where these are known. */
export interface SegmentEvent extends EventBase {
  readonly type: "segment";
  readonly dir: "out" | "in";
  /** "127.0.0.1:40001", "[::1]:80" */
  readonly src: string;
  readonly dst: string;
  /** tcpdump's letters in tcpdump's order: F S R P . U E W e, "none" when no flag is set. */
  readonly flags: string;
  readonly seq: number;
  readonly ack: number;
  readonly relSeq: number | null;
  readonly relAck: number | null;
  readonly len: number;
  /** The window field as it stands in the header. */
  readonly win: number;
  /** The window in bytes, scaled where the scale is known. */
  readonly winBytes: number;
  /** tcpdump's form: "mss 65495,sackOK,TS val 1 ecr 0,nop,wscale 7"; "" when there is none. SACK edges count like `relAck`. */
  readonly options: string;
  readonly checksum: "ok" | "partial" | "bad";
  /** The printable start of the payload, other bytes as "."; "" when there is none or the tracer was not asked to show it. */
  readonly payload: string;
  /** It left us but is known not to arrive: a fault injector took it, or the device refused it. Always false for "in". */
  readonly lost: boolean;
  /** Why it was sent, or what was made of it. */
  readonly reason: string;
}

/** Our connection changed its state (RFC 9293 §3.3.2). */
export interface StateEvent extends EventBase {
  readonly type: "state";
  readonly from: State;
  readonly to: State;
  readonly reason: string;
}

/** The peer kernel's state of the same connection, sampled after something happened. Kernel names are mapped to the RFC's. */
export interface PeerEvent extends EventBase {
  readonly type: "peer";
  readonly state: State | "unknown";
  /** Where it was read: "sock_diag" or "proc". */
  readonly source: string;
}

/** A timer of our connection was started, ran out or was stopped. */
export interface TimerEvent extends EventBase {
  readonly type: "timer";
  readonly timer:
    | "retransmission"
    | "persist"
    | "delayed-ack"
    | "time-wait"
    | "keep-alive"
    | "user-timeout"
    | "fin-wait-2"
    | "syn-ack"
    | "cork"
    | "linger";
  readonly action: "start" | "expire" | "stop";
  /** Delay in µs for "start", else 0. */
  readonly delayUs: number;
  /** "RTO 1 s, try 2 of 6" */
  readonly reason: string;
}

/** Our end discarded a segment that it had received. */
export interface DropEvent extends EventBase {
  readonly type: "drop";
  readonly reason: string;
}

/** The port guard, which keeps the kernel from answering our peer with a RST of its own. */
export interface GuardEvent extends EventBase {
  readonly type: "guard";
  readonly action: "hold" | "release" | "self-test";
  /** "bpf", "nft", "iptables", "none" */
  readonly method: string;
  readonly port: number;
  readonly reason: string;
}

/**
 * A packet met with a fault on its way: one that was injected, or "refusal": the device did not take it (full queue, no route).
 * Rules that bend a session may also change a packet, or make one ("injection").
 */
export interface FaultEvent extends EventBase {
  readonly type: "fault";
  readonly dir: "out" | "in";
  readonly fault: "loss" | "duplication" | "reordering" | "corruption" | "delay" | "refusal" | "change" | "injection";
  /** Which rule or probability, and for "in" also which packet. */
  readonly reason: string;
}

/** A packet that is not TCP, as ICMP, or that cannot be read. */
export interface PacketEvent extends EventBase {
  readonly type: "packet";
  readonly dir: "out" | "in";
  /** The packet on one line, as `wire/print.ts` describes it. */
  readonly text: string;
  readonly reason: string;
}

/** Everything that a trace can hold; told apart by `type`. */
export type TraceEvent = SegmentEvent | StateEvent | PeerEvent | TimerEvent | DropEvent | GuardEvent | FaultEvent | PacketEvent;

/** Where events go. Whoever emits tests for the sink before it formats anything: a trace that is off costs nothing. */
export type TraceSink = (event: TraceEvent) => void;
