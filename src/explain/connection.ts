/** One connection of a capture as its segments tell it: both ends, both directions, its opening and end, and what stands out. */
import { seqAdd } from "../base/seq.js";
import type { Micros } from "../base/time.js";
import type { SegmentEvent, TraceEvent } from "../observe/events.js";
import { ACK, FIN, formatFlags, RST, SYN } from "../wire/tcp-flags.js";
import { decodeTcpOptions, formatTcpOptions, type TcpOption } from "../wire/tcp-options.js";
import { analyse, Way } from "./analysis.js";
import type { CapturedSegment } from "./captured-segment.js";
import { Close } from "./close.js";
import { End, type StateChange } from "./end.js";
import { Handshake } from "./handshake.js";
import type { Incident, IncidentKind, RetransmissionCause } from "./incident.js";

/** What is drawn of one segment: the states that it shows, itself, the states that follow. */
export type LadderStep = readonly TraceEvent[];

/** Counts of one end's incidents; of retransmissions also by cause. */
export interface EndCounts {
  readonly kinds: Map<IncidentKind, number>;
  readonly causes: Map<RetransmissionCause, number>;
}

export class FollowedConnection {
  /** From 1, in order of their first segments. */
  readonly number: number;
  /** "10.0.0.1:40000" and the like; end 0 opened the connection, or was seen first. */
  readonly names: readonly [string, string];
  /** Which connection of the same addresses and ports it is, from 1. */
  readonly incarnation: number;
  readonly ends: readonly [End, End] = [new End(), new End()];
  readonly ways: readonly [Way, Way] = [new Way(0), new Way(1)];
  readonly handshake = new Handshake();
  readonly close = new Close();
  readonly counts: readonly [EndCounts, EndCounts] = [newCounts(), newCounts()];
  /** The first `limit` of them. */
  readonly incidents: Incident[] = [];
  untoldIncidents = 0;
  firstAt: Micros;
  lastAt: Micros;
  firstFrame: number;
  segments = 0;
  cutSegments = 0;
  /** A SYN that fits no number of this connection: the peer's answer decides whether it began another one. */
  strayedSyn: { readonly by: 0 | 1; readonly seq: number } | null = null;

  readonly #limit: number;
  readonly #head: LadderStep[] = [];
  readonly #tail: LadderStep[] = [];
  #omitted = 0;

  constructor(number: number, names: readonly [string, string], incarnation: number, first: CapturedSegment, limit: number) {
    this.number = number;
    this.names = names;
    this.incarnation = incarnation;
    this.firstAt = first.t;
    this.lastAt = first.t;
    this.firstFrame = first.frame;
    this.#limit = limit === 0 ? Number.POSITIVE_INFINITY : limit;
  }

  /** Takes the next segment, sent by end `from`. */
  segment(captured: CapturedSegment, from: 0 | 1): void {
    const { tcp, t, frame } = captured;
    const to = from === 0 ? 1 : 0;
    const [own, peer] = [this.ends[from], this.ends[to]];
    const [way, back] = [this.ways[from], this.ways[to]];
    this.segments++;
    this.lastAt = t;
    if (captured.optionsCut || captured.capturedPayload < tcp.payloadLength) this.cutSegments++;
    const notes: string[] = [];
    const sink = (incident: Incident): void => this.#take(incident, notes);
    const steps: TraceEvent[] = [];
    if (captured.checksum === "bad" && way.sawGoodChecksum) {
      const text = "a wrong checksum: the receiver drops it";
      sink(newIncident(captured, from, "bad-checksum", text));
      steps.push(this.#event(captured, from, notes));
      this.#keep(steps);
      return;
    }
    if (captured.checksum === "ok") way.sawGoodChecksum = true;
    if (this.#isStray(captured, from)) {
      this.strayedSyn = { by: from, seq: tcp.seq };
      sink(
        newIncident(
          captured,
          from,
          "stray-syn",
          "a SYN with a number of its own in a connection that holds: an old one, or its sender was restarted",
        ),
      );
      steps.push(this.#event(captured, from, notes));
      this.#keep(steps);
      return;
    }
    const before = own.state;
    const changes: StateChange[] = [];
    own.sends(tcp, peer, changes);
    if ((tcp.flags & SYN) === 0 && (tcp.flags & RST) === 0 && peer.sndNxt === null && peer.iss === null && !peer.isAssumed)
      this.#assumePeer(tcp.flags, own, peer);
    this.#states(changes, from, t, steps);
    if ((tcp.flags & SYN) !== 0) this.#takeSyn(captured, from, to);
    this.handshake.segment(tcp, from, t);
    analyse(captured, way, back, this.handshake.rttUs, sink);
    const cause = this.close.segment(tcp, from, frame, this.ends, before);
    if (cause !== null) sink(newIncident(captured, from, "reset", RESET_TEXT[cause]));
    steps.push(this.#event(captured, from, notes));
    changes.length = 0;
    peer.receives(tcp, own, changes);
    this.#states(changes, to, t, steps);
    this.#keep(steps);
  }

  /** Whether it is over, so that a SYN of the same addresses begins another one (RFC 9293 §3.6.1: also out of TIME-WAIT). */
  get isOver(): boolean {
    return this.ends.every((end) => end.state === "CLOSED" || end.state === "TIME-WAIT" || end.sndNxt === null);
  }

  /** What is to be drawn, with the number of segments left out in the middle. */
  get drawing(): { readonly head: readonly LadderStep[]; readonly omitted: number; readonly tail: readonly LadderStep[] } {
    return { head: this.#head, omitted: this.#omitted, tail: this.#tail };
  }

  #take(incident: Incident, notes: string[]): void {
    notes.push(`${labelOf(incident)}: ${incident.text}`);
    const { kinds, causes } = this.counts[incident.end];
    kinds.set(incident.kind, (kinds.get(incident.kind) ?? 0) + 1);
    if (incident.cause !== null) causes.set(incident.cause, (causes.get(incident.cause) ?? 0) + 1);
    if (this.incidents.length < this.#limit) this.incidents.push(incident);
    else this.untoldIncidents++;
  }

  /** A SYN+ACK that came first tells of the SYN before it. */
  #takeSyn({ tcp }: CapturedSegment, from: 0 | 1, to: 0 | 1): void {
    const [way, back] = [this.ways[from], this.ways[to]];
    way.shift ??= tcp.windowScale;
    way.sack ??= tcp.sackPermitted;
    const peer = this.ends[to];
    if ((tcp.flags & ACK) === 0 || peer.iss !== null || peer.sndNxt !== null) return;
    peer.iss = seqAdd(tcp.ack, -1);
    peer.sentSyn = true;
    peer.sndNxt = tcp.ack;
    peer.assume("SYN-SENT");
    back.base = peer.iss;
    back.next = tcp.ack;
    back.reach = tcp.ack;
  }

  /** The capture begins in the middle: what the first segment says of the other end. */
  #assumePeer(flags: number, own: End, peer: End): void {
    if (own.isAssumed) peer.assume((flags & FIN) !== 0 && own.state === "LAST-ACK" ? "FIN-WAIT-2" : "ESTABLISHED");
  }

  #isStray({ tcp }: CapturedSegment, from: 0 | 1): boolean {
    const own = this.ends[from];
    return (tcp.flags & (SYN | ACK)) === SYN && own.iss !== tcp.seq && (own.iss !== null || own.sndNxt !== null);
  }

  #states(changes: readonly StateChange[], end: 0 | 1, t: Micros, steps: TraceEvent[]): void {
    const base = { t: t - this.firstAt, conn: this.number };
    for (const { from, to, reason } of changes) {
      if (end === 0) steps.push({ ...base, type: "state", from, to, reason });
      else steps.push({ ...base, type: "peer", state: to, source: "" });
    }
  }

  #event(captured: CapturedSegment, from: 0 | 1, notes: readonly string[]): SegmentEvent {
    const { tcp, ip, frame } = captured;
    const [own, other] = from === 0 ? this.ways : [this.ways[1], this.ways[0]];
    const scaled = (tcp.flags & SYN) === 0 && (own.shift ?? -1) >= 0 && (other.shift ?? -1) >= 0;
    const cut = tcp.payloadLength - captured.capturedPayload;
    const reasons = [`frame ${frame}`, ...notes];
    if (cut > 0) reasons.push(`${cut} bytes not kept in the capture`);
    return {
      t: captured.t - this.firstAt,
      conn: this.number,
      type: "segment",
      dir: from === 0 ? "out" : "in",
      src: this.names[from],
      dst: this.names[from === 0 ? 1 : 0],
      flags: formatFlags(tcp.flags),
      seq: tcp.seq,
      ack: tcp.ack,
      relSeq: own.base === null ? null : seqAdd(tcp.seq, -own.base),
      relAck: other.base === null || (tcp.flags & ACK) === 0 ? null : seqAdd(tcp.ack, -other.base),
      len: tcp.payloadLength,
      win: tcp.wnd,
      winBytes: scaled ? tcp.wnd * 2 ** Math.min(own.shift ?? 0, 14) : tcp.wnd,
      options: captured.optionsCut ? "" : optionsText(tcp.bytes, ip.payloadOffset + 20, tcp.payloadOffset, other.base),
      checksum: captured.checksum === "bad" && own.sawGoodChecksum ? "bad" : captured.checksum === "ok" ? "ok" : "partial",
      payload: "",
      lost: false,
      reason: reasons.join("; "),
    };
  }

  /** Half of the limit for the beginning, the other half for the end: the close is what one looks for. */
  #keep(step: LadderStep): void {
    const half = Math.ceil(this.#limit / 2);
    if (this.#head.length < half) this.#head.push(step);
    else {
      this.#tail.push(step);
      if (this.#tail.length > this.#limit - half) {
        this.#tail.shift();
        this.#omitted++;
      }
    }
  }
}

/** "retransmission, fast"; the kind's name with spaces. */
export function labelOf({ kind, cause }: Incident): string {
  const name = kind === "d-sack" ? "duplicate" : kind.replaceAll("-", " ").replace(/\back\b/, "ACK");
  return cause === null || cause === "unclear" ? name : `${CAUSE_NAMES[cause]} ${name}`;
}

const CAUSE_NAMES: Readonly<Record<Exclude<RetransmissionCause, "unclear">, string>> = {
  rto: "RTO",
  fast: "fast",
  tlp: "TLP",
  duplicated: "doubled packet,",
};

const RESET_TEXT = {
  refused: "nobody listens there",
  abort: "it gives up the connection, or closed it with data unread",
  "data after close": "answers a segment that came after it had closed: nobody is left to read it",
  "half-open": "answers a segment of a connection that it knows nothing of",
  "time-out": "gives up after segments that nobody answered",
} as const;

function newCounts(): EndCounts {
  return { kinds: new Map(), causes: new Map() };
}

function newIncident({ frame, t }: CapturedSegment, end: 0 | 1, kind: IncidentKind, text: string): Incident {
  return { frame, t, end, kind, text, cause: null, of: null, alreadyAcked: false, spurious: false };
}

/** The options in tcpdump's form, SACK edges relative to `base`. */
function optionsText(bytes: Uint8Array, at: number, end: number, base: number | null): string {
  if (at >= end) return "";
  const list = decodeTcpOptions(bytes, at, end - at);
  if (base === null) return formatTcpOptions(list);
  const options = list.options.map((option): TcpOption => {
    if (option.kind !== "sack") return option;
    const blocks = option.blocks.map(({ left, right }) => ({ left: seqAdd(left, -base), right: seqAdd(right, -base) }));
    return { kind: "sack", blocks };
  });
  return formatTcpOptions({ options, trailing: list.trailing });
}
