/** What is left of a trace when it is over: a short paragraph for each connection. */
import { seqAdd, seqGe, seqGt, seqLt } from "../base/seq.js";
import { formatDuration } from "../base/time.js";
import type { SegmentEvent, TraceEvent } from "./events.js";
import { count, hasFlag, printable, sequenceLength } from "./phrases.js";

/** Connections that are told of; later ones are only counted. */
const MAX_CONNECTIONS = 1000;
/** States kept for each end: a connection has no more than eight, a misbehaving observer might report without end. */
const MAX_STATES = 32;

/** Collects events and tells, at the end, what became of each connection. */
export class Summary {
  readonly #connections = new Map<number, Connection>();
  #untold = 0;
  #lastUntold = 0;

  /** Takes note of an event; those of no connection are passed over. */
  event(event: TraceEvent): void {
    if (event.conn === 0) return;
    let connection = this.#connections.get(event.conn);
    if (connection === undefined) {
      if (this.#connections.size >= MAX_CONNECTIONS) {
        if (event.conn > this.#lastUntold) {
          this.#lastUntold = event.conn;
          this.#untold++;
        }
        return;
      }
      connection = new Connection(event.conn, event.t);
      this.#connections.set(event.conn, connection);
    }
    connection.event(event);
  }

  /** A paragraph for each connection, in the order in which they appeared. */
  paragraphs(): string[] {
    const list = [...this.#connections.values()].map((connection) => printable(connection.paragraph()));
    if (this.#untold > 0) list.push(`${count(this.#untold, "further connection")} not listed.`);
    return list;
  }
}

/** One direction of a connection. */
interface Way {
  segments: number;
  bytes: number;
  /** Segments that begin before what was already sent. */
  repeated: number;
  lost: number;
  /** The sequence number after everything seen; null until a segment is. */
  next: number | null;
  sawSyn: boolean;
  /** The number after its FIN. */
  finEnd: number | null;
  finAcked: boolean;
}

class Connection {
  readonly #number: number;
  readonly #start: number;
  #end: number;
  #local = "";
  #peer = "";
  readonly #ourStates: string[] = [];
  readonly #peerStates: string[] = [];
  readonly #out: Way = newWay();
  readonly #in: Way = newWay();
  #opened = "";
  #firstFin: "out" | "in" | null = null;
  #reset: "out" | "in" | null = null;
  #drops = 0;

  constructor(number: number, start: number) {
    this.#number = number;
    this.#start = start;
    this.#end = start;
  }

  event(event: TraceEvent): void {
    this.#end = event.t;
    if (event.type === "segment") this.#segment(event);
    else if (event.type === "drop") this.#drops++;
    else if (event.type === "peer") pushState(this.#peerStates, event.state);
    else if (event.type === "state") {
      if (this.#ourStates.length === 0) this.#ourStates.push(event.from);
      pushState(this.#ourStates, event.to);
    }
  }

  paragraph(): string {
    const name =
      this.#local === "" ? `Connection ${this.#number}` : `Connection ${this.#number}, ${this.#local} to ${this.#peer}`;
    const sentences = [`${name}, ${formatDuration(this.#end - this.#start)}.`, this.#openedText()];
    if (this.#ourStates.length > 0) sentences.push(`Our states: ${this.#ourStates.join(", ")}.`);
    if (this.#peerStates.length > 0) sentences.push(`The peer's: ${this.#peerStates.join(", ")}.`);
    sentences.push(`Sent ${wayText(this.#out, "sent again")}; received ${wayText(this.#in, "seen again or out of order")}.`);
    if (this.#drops > 0) sentences.push(`${count(this.#drops, "segment")} discarded.`);
    sentences.push(this.#closedText());
    return sentences.join(" ");
  }

  #segment(event: SegmentEvent): void {
    const [way, other] = event.dir === "out" ? [this.#out, this.#in] : [this.#in, this.#out];
    if (this.#local === "") [this.#local, this.#peer] = event.dir === "out" ? [event.src, event.dst] : [event.dst, event.src];
    way.segments++;
    way.bytes += event.len;
    if (event.lost) way.lost++;
    const length = sequenceLength(event);
    const end = seqAdd(event.seq, length);
    if (length > 0 && way.next !== null && seqLt(event.seq, way.next)) way.repeated++;
    if (length > 0 && (way.next === null || seqGt(end, way.next))) way.next = end;
    if (hasFlag(event, "S")) this.#syn(event, way, other);
    if (hasFlag(event, "F")) {
      way.finEnd = end;
      this.#firstFin ??= event.dir;
    }
    if (hasFlag(event, "R")) this.#reset ??= event.dir;
    if (hasFlag(event, ".") && other.finEnd !== null && seqGe(event.ack, other.finEnd)) other.finAcked = true;
  }

  #syn(event: SegmentEvent, way: Way, other: Way): void {
    way.sawSyn = true;
    if (hasFlag(event, ".")) return;
    if (other.sawSyn && !this.#opened.startsWith("Both")) {
      if (way.segments === 1) this.#opened = "Both ends opened at once (simultaneous open).";
    } else if (this.#opened === "") {
      this.#opened = event.dir === "out" ? "Opened by us (active open)." : "Opened by the peer (passive open).";
    }
  }

  #openedText(): string {
    if (this.#opened === "") return "Its opening was not seen.";
    return this.#out.sawSyn && this.#in.sawSyn ? this.#opened : `${this.#opened} It was never answered with a SYN.`;
  }

  #closedText(): string {
    const who = (dir: "out" | "in"): string => (dir === "out" ? "us" : "the peer");
    if (this.#reset !== null) return `Ended by a RST from ${who(this.#reset)}.`;
    if (this.#firstFin === null) return "Not closed.";
    const [first, second] = this.#firstFin === "out" ? [this.#out, this.#in] : [this.#in, this.#out];
    if (second.finEnd === null)
      return `Half closed: FIN from ${who(this.#firstFin)}${first.finAcked ? "" : ", not acknowledged"}.`;
    const missing = first.finAcked && second.finAcked ? "both FINs acknowledged" : "not every FIN acknowledged";
    return `Closed by ${who(this.#firstFin)} first, ${missing}.`;
  }
}

function newWay(): Way {
  return { segments: 0, bytes: 0, repeated: 0, lost: 0, next: null, sawSyn: false, finEnd: null, finAcked: false };
}

function pushState(list: string[], state: string): void {
  if (list.at(-1) !== state && list.length < MAX_STATES) list.push(state);
}

function wayText(way: Way, repeated: string): string {
  const notes: string[] = [];
  if (way.repeated > 0) notes.push(`${way.repeated} ${repeated}`);
  if (way.lost > 0) notes.push(`${way.lost} lost`);
  const text = `${count(way.segments, "segment")} with ${count(way.bytes, "byte")} of payload`;
  return notes.length === 0 ? text : `${text} (${notes.join(", ")})`;
}
