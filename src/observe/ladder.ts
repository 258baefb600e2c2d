/**
 * The ladder diagram: our end at the left, the peer at the right, time running down. It prints as events come.
 *
 *                           │┄┄┄┄┄┄┄┄┄┄┄┄┄ establishing the connection ┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄│
 *     0.000 ms     SYN-SENT ●  active open                                            │
 *     0.031 ms              ├── SYN  seq 0  win 65535 ───────────────────────────────►│
 *                           │   asks for a connection                                 │
 *                           │   ISN 4294967290 <mss 65495,sackOK,wscale 7>            │
 *     0.058 ms              │                                                         ● SYN-RECEIVED
 *     0.066 ms              │◄──────────────────── SYN+ACK  seq 0  ack 1  win 65483 ──┤
 *
 * A dot on a lifeline is a state entered at that moment. An arrow that ends in X did not arrive.
 */
import { formatDuration } from "../base/time.js";
import type { FaultEvent, GuardEvent, PeerEvent, SegmentEvent, StateEvent, TimerEvent, TraceEvent } from "./events.js";
import { ackText, flagWords, hasFlag, printable, seqText, timeText } from "./phrases.js";

export interface LadderOptions {
  /** Columns; 120 when left out, and never less than 100 nor more than 160. No line is longer. */
  readonly width?: number;
  /** Box-drawing characters and arrows; true when left out. Without them the frame is plain ASCII (reasons are printed as they come). */
  readonly unicode?: boolean;
  /** ANSI colours; false when left out. */
  readonly colour?: boolean;
  /** Which timers to print: "expire" (when left out) shows those that run out, and the start of TIME-WAIT's. */
  readonly timers?: "none" | "expire" | "all";
  /** Print NOP and timestamp options on every segment, not on SYNs alone; false when left out. */
  readonly allOptions?: boolean;
  /** Say where establishing, data and closing begin; true when left out. */
  readonly phases?: boolean;
  /** Print this connection and nothing else; all when left out. */
  readonly conn?: number;
  /** Heads of the columns; "our state" and "peer's state" when left out. At most 20 characters are shown. */
  readonly ourTitle?: string;
  readonly peerTitle?: string;
}

/** Draws events as they come. `write` gets one line at a time, without a newline. */
export class Ladder {
  readonly #write: (line: string) => void;
  readonly #glyphs: Glyphs;
  readonly #colour: boolean;
  readonly #timers: "none" | "expire" | "all";
  readonly #allOptions: boolean;
  readonly #phases: boolean;
  readonly #only: number | undefined;
  readonly #ourTitle: string;
  readonly #peerTitle: string;
  readonly #width: number;
  /** Columns between the two lifelines. */
  readonly #inner: number;
  /** The connection that is being drawn; 0 before the first. */
  #conn = 0;
  #t = 0;
  readonly #lives = new Map<number, Life>();

  constructor(options: LadderOptions, write: (line: string) => void) {
    this.#write = write;
    this.#glyphs = options.unicode === false ? ASCII : UNICODE;
    this.#colour = options.colour === true;
    this.#timers = options.timers ?? "expire";
    this.#allOptions = options.allOptions === true;
    this.#phases = options.phases !== false;
    this.#only = options.conn;
    this.#ourTitle = printable(options.ourTitle ?? "our state").slice(0, 20);
    this.#peerTitle = printable(options.peerTitle ?? "peer's state").slice(0, 20);
    this.#width = Math.min(MAX_WIDTH, Math.max(MIN_WIDTH, Math.floor(options.width ?? DEFAULT_WIDTH)));
    this.#inner = this.#width - LEFT - RIGHT - 2;
  }

  /** Draws one event. */
  event(event: TraceEvent): void {
    if (this.#only !== undefined && event.conn !== this.#only && event.conn !== 0) return;
    if (event.type === "timer" && !this.#showsTimer(event)) return;
    const life = this.#lifeOf(event.conn);
    if (event.type === "peer" && life.peerState === event.state) return;
    if (event.conn !== 0 && event.conn !== this.#conn) this.#head(event.conn);
    this.#t = event.t;
    if (this.#phases) this.#phase(event, life);
    switch (event.type) {
      case "segment":
        this.#segment(event, life);
        break;
      case "state":
        this.#state(event, life);
        break;
      case "peer":
        this.#peer(event, life);
        break;
      case "timer":
        this.#aside(timerText(event), "timer", event.conn);
        break;
      case "drop":
        this.#aside(`${this.#glyphs.cross} discarded: ${event.reason}`, "bad", event.conn);
        break;
      case "fault":
        // The fault injector knows of no connections.
        this.#fault(event, event.conn === 0 ? this.#lifeOf(this.#conn) : life);
        break;
      case "packet":
        this.#aside(`(${event.dir}: ${event.text}${event.reason === "" ? "" : `: ${event.reason}`})`, "dim", event.conn);
        break;
      case "guard":
        this.#aside(guardText(event), "dim", event.conn);
        break;
    }
  }

  /** Closes the drawing. Later events begin a new one. */
  end(): void {
    if (this.#conn !== 0) this.#row("", "", this.#glyphs.foot, " ".repeat(this.#inner), this.#glyphs.foot, "", "plain");
    this.#conn = 0;
  }

  #showsTimer(event: TimerEvent): boolean {
    if (this.#timers !== "expire") return this.#timers === "all";
    return event.action === "expire" || (event.action === "start" && event.timer === "time-wait");
  }

  #lifeOf(conn: number): Life {
    let life = this.#lives.get(conn);
    if (life === undefined) {
      // A long trace of many short connections must not grow without bound: forget the oldest, it would only get a new head.
      if (this.#lives.size >= MAX_LIVES) this.#lives.delete(this.#lives.keys().next().value ?? 0);
      life = { ourState: "", peerState: "", peerSource: "", named: false, lostOut: false, phase: 0 };
      this.#lives.set(conn, life);
    }
    return life;
  }

  #head(conn: number): void {
    const isOnly = conn === this.#only || (conn === 1 && this.#conn === 0);
    if (this.#conn !== 0) this.end();
    this.#conn = conn;
    const life = this.#lifeOf(conn);
    const ours = this.#ourTitle.padStart(LEFT - TIME - 3);
    const title = center(isOnly ? "" : `connection ${conn}`, this.#inner);
    this.#line([
      ["time".padStart(TIME), "dim"],
      [`  ${ours} `, "dim"],
      [this.#glyphs.top, "plain"],
      [title, "dim"],
      [this.#glyphs.top, "plain"],
      [` ${this.#peerTitle}`, "dim"],
    ]);
    if (life.ourState !== "")
      this.#row("", life.ourState, this.#glyphs.bar, " ".repeat(this.#inner), this.#glyphs.bar, life.peerState, "plain");
  }

  /** A divider where a new phase of the connection begins. Phases only go forward: late data does not reopen one. */
  #phase(event: TraceEvent, life: Life): void {
    const phase = phaseOf(event);
    if (phase <= life.phase) return;
    life.phase = phase;
    const title = ` ${PHASES[phase] ?? ""} `;
    const before = Math.floor((this.#inner - title.length) / 2);
    const { dots } = this.#glyphs;
    this.#detail(`${dots.repeat(before)}${title}${dots.repeat(this.#inner - before - title.length)}`);
  }

  #state(event: StateEvent, life: Life): void {
    const { dotHollow, dot, bar } = this.#glyphs;
    if (life.ourState === "") this.#row("", event.from, dotHollow, " ".repeat(this.#inner), bar, "", "plain");
    life.ourState = event.to;
    const [first = "", ...rest] = wrap(printable(event.reason), this.#inner - 4);
    this.#row(timeText(event.t), event.to, dot, this.#left(first, 2), bar, "", "dim");
    for (const line of rest) this.#detail(this.#left(line, 2));
  }

  #peer(event: PeerEvent, life: Life): void {
    life.peerState = event.state;
    const source = life.peerSource === event.source ? "" : `read by ${event.source}`;
    life.peerSource = event.source;
    this.#row(timeText(event.t), "", this.#glyphs.bar, this.#right(printable(source), 2), this.#glyphs.dot, event.state, "dim");
  }

  #segment(event: SegmentEvent, life: Life): void {
    if (!life.named) this.#names(event, life);
    const { label, spill } = this.#label(event);
    const notes = [spill, printable(this.#optionText(event)), this.#payloadText(event)].filter((note) => note !== "");
    const reason = printable(event.reason);
    const { bar, tee, teeRight } = this.#glyphs;
    const time = timeText(event.t);
    life.lostOut = event.lost && event.dir === "out";
    if (event.dir === "out") {
      this.#row(time, "", tee, this.#arrowOut(label, event.lost), bar, "", event.lost ? "bad" : "out");
      for (const line of [reason, ...notes].flatMap((text) => wrap(text, this.#inner - 6))) this.#detail(this.#left(line, 3));
      return;
    }
    this.#row(time, "", bar, this.#arrowIn(label), teeRight, "", event.checksum === "bad" ? "bad" : "in");
    // What the segment carries stands at its sender, what we made of it at our end; on one line where both fit.
    const ours = wrap(reason, this.#inner - 6);
    const theirs = notes.flatMap((note) => wrap(note, this.#inner - 6));
    const [mine = "", carried = ""] = [ours[0], theirs[0]];
    if (ours.length === 1 && theirs.length > 0 && mine.length + carried.length + 9 <= this.#inner) {
      this.#detail(
        `${" ".repeat(3)}${mine}${" ".repeat(this.#inner - mine.length - carried.length - 6)}${carried}${" ".repeat(3)}`,
      );
      ours.shift();
      theirs.shift();
    }
    for (const line of theirs) this.#detail(this.#right(line, 3));
    for (const line of ours) this.#detail(this.#left(line, 3));
  }

  /** The two addresses, once, where the first segment makes them known. */
  #names(event: SegmentEvent, life: Life): void {
    life.named = true;
    const [ours, theirs] = event.dir === "out" ? [event.src, event.dst] : [event.dst, event.src];
    const gap = this.#inner - ours.length - theirs.length - 2;
    if (gap >= 4) this.#detail(` ${ours}${" ".repeat(gap)}${theirs} `);
    else {
      for (const line of wrap(ours, this.#inner - 2)) this.#detail(this.#left(line, 1));
      for (const line of wrap(theirs, this.#inner - 2)) this.#detail(this.#right(line, 1));
    }
  }

  /** What goes on the arrow, and what must go below it because the arrow is too short. */
  #label(event: SegmentEvent): { label: string; spill: string } {
    const pieces = [flagWords(event.flags), seqText(event), ackText(event), `win ${event.winBytes}`];
    if (event.len > 0) pieces.push(`len ${event.len}`);
    if (event.checksum === "bad") pieces.push("BAD CHECKSUM");
    const room = this.#inner - 9;
    let label = "";
    const spill: string[] = [];
    for (const piece of pieces.filter((text) => text !== "")) {
      if (spill.length > 0 || label.length + 2 + piece.length > room) spill.push(piece);
      else label += label === "" ? piece : `  ${piece}`;
    }
    return { label, spill: spill.map(unbroken).join("  ") };
  }

  #optionText(event: SegmentEvent): string {
    let options = event.options;
    if (!this.#allOptions && !hasFlag(event, "S")) {
      options = options
        .split(",")
        .filter((option) => option !== "nop" && option !== "eol" && !option.startsWith("TS "))
        .join(",");
    }
    // The initial number is worth a look where the numbers are relative.
    const isn = hasFlag(event, "S") && event.relSeq === 0 ? `ISN ${event.seq} ` : "";
    return options === "" ? isn.trim() : `${isn}<${unbroken(options)}>`;
  }

  /** The start of the payload, never more than a line. */
  #payloadText(event: SegmentEvent): string {
    if (event.payload === "") return "";
    const text = printable(event.payload);
    const room = this.#inner - 8;
    return text.length <= room ? `"${text}"` : `"${text.slice(0, room - 3)}"...`;
  }

  #arrowOut(label: string, lost: boolean): string {
    const { dash, head, cross } = this.#glyphs;
    const start = `${dash}${dash} ${label} `;
    if (!lost) return `${start}${dash.repeat(this.#inner - start.length - 1)}${head}`;
    const shaft = Math.max(2, Math.floor((this.#inner * 3) / 4) - start.length);
    return `${start}${dash.repeat(shaft)}${cross}`.padEnd(this.#inner);
  }

  #arrowIn(label: string): string {
    const { dash, tail } = this.#glyphs;
    const end = ` ${label} ${dash}${dash}`;
    return `${tail}${dash.repeat(this.#inner - end.length - 1)}${end}`;
  }

  #fault(event: FaultEvent, life: Life): void {
    const { cross, dash, bar, teeRight } = this.#glyphs;
    const reason = printable(event.reason);
    const lost = event.fault === "loss" || event.fault === "refusal";
    if (lost && event.dir === "out" && life.lostOut) {
      // The arrow above already ends in X.
      life.lostOut = false;
      for (const line of wrap(`${event.fault}: ${reason}`, this.#inner - 6)) this.#detail(this.#left(line, 3));
    } else if (lost && event.dir === "in" && this.#conn !== 0) {
      const shaft = dash.repeat(Math.floor(this.#inner / 4));
      this.#row(timeText(event.t), "", bar, `${cross}${shaft}`.padStart(this.#inner), teeRight, "", "bad");
      for (const line of wrap(`${event.fault}: ${reason}`, this.#inner - 6)) this.#detail(this.#right(line, 3));
    } else {
      this.#aside(`(${event.fault} on the way ${event.dir}: ${reason})`, "bad", event.conn);
    }
  }

  /** Something that is neither a segment nor a state: between the lifelines, or on a line of its own when it belongs to no connection. */
  #aside(text: string, style: Style, conn: number): void {
    const time = timeText(this.#t);
    const clean = printable(text);
    if (conn === 0 && this.#conn === 0) {
      const lines = wrap(clean, this.#width - TIME - 2);
      for (const [i, line] of lines.entries()) {
        this.#line([
          [(i === 0 ? time : "").padStart(TIME), "dim"],
          [`  ${line}`, style],
        ]);
      }
      return;
    }
    for (const [i, line] of wrap(clean, this.#inner - 4).entries()) {
      this.#row(i === 0 ? time : "", "", this.#glyphs.bar, this.#left(line, 2), this.#glyphs.bar, "", style);
    }
  }

  #detail(inner: string): void {
    this.#row("", "", this.#glyphs.bar, inner, this.#glyphs.bar, "", "dim");
  }

  #left(text: string, indent: number): string {
    return `${" ".repeat(indent)}${text}`.padEnd(this.#inner);
  }

  #right(text: string, indent: number): string {
    return `${text}${" ".repeat(indent)}`.padStart(this.#inner);
  }

  #row(time: string, ours: string, left: string, inner: string, right: string, theirs: string, style: Style): void {
    this.#line([
      [time.padStart(TIME), "dim"],
      [ours.padStart(LEFT - TIME - 1), "state"],
      [" ", "plain"],
      [left, ours === "" ? "plain" : "state"],
      [inner, style],
      [right, theirs === "" ? "plain" : "state"],
      [theirs === "" ? "" : ` ${theirs}`, "state"],
    ]);
  }

  #line(pieces: readonly (readonly [string, Style])[]): void {
    let line = "";
    for (const [text, style] of pieces) {
      const colour = this.#colour && text.trim() !== "" ? COLOURS[style] : "";
      line += colour === "" ? text : `${colour}${text}${RESET}`;
    }
    this.#write(line.trimEnd());
  }
}

const DEFAULT_WIDTH = 120;
const MIN_WIDTH = 100;
const MAX_WIDTH = 160;
/** Columns of the time, and of all that stands left of our lifeline and right of the peer's. */
const TIME = 11;
const LEFT = 26;
const RIGHT = 13;
const MAX_LIVES = 4096;

/** The order of RFC 9293 §3.5, §3.8 and §3.6. */
const PHASES = ["", "establishing the connection", "data", "closing the connection"];

/** The phase that an event shows to have begun, 0 for none. */
function phaseOf(event: TraceEvent): number {
  if (event.type === "segment") {
    if (hasFlag(event, "F")) return 3;
    if (hasFlag(event, "S")) return 1;
    return event.len > 0 ? 2 : 0;
  }
  if (event.type !== "state") return 0;
  if (event.to === "SYN-SENT") return 1;
  return event.to === "FIN-WAIT-1" || event.to === "LAST-ACK" ? 3 : 0;
}

/** What the drawing must remember of a connection. */
interface Life {
  ourState: string;
  peerState: string;
  peerSource: string;
  named: boolean;
  /** 0 before the opening, then the number of the phase in PHASES. */
  phase: number;
  /** The last segment went out and was lost: a fault that follows tells why. */
  lostOut: boolean;
}

interface Glyphs {
  readonly bar: string;
  readonly top: string;
  readonly foot: string;
  readonly tee: string;
  readonly teeRight: string;
  readonly dash: string;
  readonly head: string;
  readonly tail: string;
  readonly dot: string;
  readonly dotHollow: string;
  readonly cross: string;
  readonly dots: string;
}

const UNICODE: Glyphs = {
  bar: "│",
  top: "╷",
  foot: "╵",
  tee: "├",
  teeRight: "┤",
  dash: "─",
  head: "►",
  tail: "◄",
  dot: "●",
  dotHollow: "○",
  cross: "X",
  dots: "┄",
};

const ASCII: Glyphs = {
  bar: "|",
  top: ".",
  foot: "'",
  tee: "|",
  teeRight: "|",
  dash: "-",
  head: ">",
  tail: "<",
  dot: "*",
  dotHollow: "o",
  cross: "X",
  dots: ".",
};

type Style = "plain" | "dim" | "state" | "out" | "in" | "bad" | "timer";

const RESET = "\u001b[0m";
const COLOURS: Readonly<Record<Style, string>> = {
  plain: "",
  dim: "\u001b[2m",
  state: "\u001b[1;32m",
  out: "\u001b[36m",
  in: "\u001b[33m",
  bad: "\u001b[31m",
  timer: "\u001b[35m",
};

function timerText(event: TimerEvent): string {
  const what =
    event.action === "start" ? `starts, ${formatDuration(event.delayUs)}` : event.action === "expire" ? "has run out" : "stops";
  return `(${event.timer} timer ${what}${event.reason === "" ? "" : `: ${event.reason}`})`;
}

function guardText(event: GuardEvent): string {
  const what = { hold: "holds", release: "lets go of", "self-test": "was tested on" }[event.action];
  return `(port guard ${event.method} ${what} port ${event.port}${event.reason === "" ? "" : `: ${event.reason}`})`;
}

/** Breaks text at spaces, or else behind a comma, into lines of at most `width` characters; a longer word is cut. No line for "". */
function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let rest = text.trim();
  while (rest.length > width) {
    let at = rest.lastIndexOf(" ", width);
    const comma = rest.lastIndexOf(",", width - 1) + 1;
    if (at < width / 2 && comma > at) at = comma;
    if (at <= 0) at = width;
    lines.push(rest.slice(0, at).trimEnd());
    rest = rest.slice(at).trimStart();
  }
  if (rest !== "") lines.push(rest);
  return lines.map((line) => line.replaceAll(NO_BREAK, " "));
}

const NO_BREAK = "\u00a0";

/** Keeps "wscale 7" and the like together. */
function unbroken(text: string): string {
  return text.replaceAll(" ", NO_BREAK);
}

function center(text: string, width: number): string {
  const left = Math.floor((width - text.length) / 2);
  return `${" ".repeat(left)}${text}`.padEnd(width);
}
