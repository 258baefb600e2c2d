/**
 * What the rules do with the segments that pass. They are tried in their order: changes, corruption, duplicates and injected
 * segments add up; the first of drop, delay, hold, reorder, answer and split decides what becomes of the segment, and no later rule
 * sees it. Every rule counts the segments that reach it and match, one connection at a time.
 */
import type { Micros } from "../base/time.js";
import { isSynchronized } from "../tcp/state.js";
import type { IpAddress } from "../wire/address.js";
import { describePacket } from "../wire/print.js";
import { ACK, SYN } from "../wire/tcp-flags.js";
import type { BendRule, Direction, MadeSegment, Ordinals, Selector } from "./ast.js";
import { changed, corrupted, made, split } from "./change.js";
import { type ConnectionView, SegmentView, Track } from "./segment-view.js";

/** What a bend did, for a log. */
export interface BendReport {
  readonly direction: Direction;
  /** What became of the segment; "injection" is one that was made. */
  readonly effect: "loss" | "delay" | "duplication" | "reordering" | "corruption" | "change" | "injection";
  /** The rule as it was written. */
  readonly rule: string;
  /** What went in its place, or was made; "" when nothing did. */
  readonly instead: string;
  /** What would have gone. */
  readonly was: string;
}

export interface BenderHost {
  now(): Micros;
  schedule(delayUs: Micros, action: () => void): void;
  /** Our end of a connection; undefined when there is none. */
  connection(local: IpAddress, localPort: number, remote: IpAddress, remotePort: number): ConnectionView | undefined;
  /**
   * Hands a packet on: "out" to the network, "in" to our TCP. `rule` is the one that bent it, "" for none. A packet that depends on
   * what was handed on before it is made when its turn comes.
   */
  forward(direction: Direction, packet: Uint8Array | (() => Uint8Array), rule: string): void;
  /** Undefined: nobody wants to know. */
  readonly report?: ((report: BendReport) => void) | undefined;
}

/** Connections that are followed; the one unused for longest is forgotten first. */
const MOST_TRACKS = 4096;

interface Held {
  readonly direction: Direction;
  readonly packet: Uint8Array;
  readonly track: Track;
  readonly key: string;
  /** Segments that are still to pass before; 0 when something else lets it go. */
  behind: number;
  readonly selector: Selector | undefined;
  seen: number;
  readonly state: string | undefined;
  readonly rule: string;
}

/** Bends what passes. */
export class Bender {
  readonly #rules: readonly BendRule[];
  readonly #host: BenderHost;
  readonly #tracks = new Map<string, Track>();
  readonly #hits: number[];
  readonly #view = new SegmentView();
  #held: Held[] = [];

  constructor(rules: readonly BendRule[], host: BenderHost) {
    this.#rules = rules;
    this.#host = host;
    this.#hits = rules.map(() => 0);
  }

  /** Rules that never did anything, as they were written. */
  get unmatched(): readonly string[] {
    return this.#rules.filter((_, i) => this.#hits[i] === 0).map(({ text }) => text);
  }

  /**
   * A packet is about to pass; lent for the call. Returns true when it may go on as it is; false when the bender has seen to it:
   * `forward` was called with what goes in its place, or will be, or nothing goes.
   */
  pass(direction: Direction, bytes: Uint8Array, offset: number, length: number): boolean {
    const view = this.#view;
    if (!view.read(direction, bytes, offset, length)) return true;
    const key = view.key;
    const { local, localPort, remote, remotePort } = view.endpoints();
    view.now = this.#host.now();
    view.connection = this.#host.connection(local, localPort, remote, remotePort);
    view.track = this.#trackOf(key, view);
    const released = this.#releasable(view, key);
    const isWhole = this.#bend(view, key);
    if (isWhole || released.length === 0) {
      if (released.length > 0) {
        this.#host.forward(direction, bytes.slice(offset, offset + length), "");
        this.#release(released);
        return false;
      }
      return isWhole;
    }
    this.#release(released);
    return false;
  }

  /** Returns whether the packet goes on untouched. */
  #bend(view: SegmentView, key: string): boolean {
    const { direction, track } = view;
    const { bytes, offset, length } = view;
    let packet: Uint8Array | undefined;
    const current = (): Uint8Array => packet ?? bytes.slice(offset, offset + length);
    const before: [Direction, Uint8Array | (() => Uint8Array), string][] = [];
    const after: [Direction, Uint8Array | (() => Uint8Array), string][] = [];
    let fate: (() => void) | undefined;
    let isGone = false;
    let changedBy = "";
    for (const [i, { action, selector, text }] of this.#rules.entries()) {
      if (isGone || !view.matches(selector)) continue;
      const nth = (track.counts[i] ?? 0) + 1;
      track.counts[i] = nth;
      if (!isChosen(selector.ordinals, nth)) continue;
      this.#hits[i] = (this.#hits[i] ?? 0) + 1;
      const was = this.#describe(current());
      switch (action.kind) {
        case "set":
          changedBy = text;
          packet = changed(view, action.assignments, action.badChecksum);
          this.#report(direction, "change", text, this.#describe(packet), was);
          view.read(direction, packet, 0, packet.length);
          break;
        case "corrupt":
          changedBy = text;
          packet = corrupted(view, action.byte, action.xor);
          this.#report(direction, "corruption", text, this.#describe(packet), was);
          break;
        case "duplicate": {
          const copy = current().slice();
          for (let n = 0; n < action.times; n++) {
            if (action.afterUs > 0) this.#host.schedule(action.afterUs, () => this.#host.forward(direction, copy, text));
            else after.push([direction, copy, text]);
          }
          this.#report(direction, "duplication", text, this.#describe(copy), was);
          break;
        }
        case "inject": {
          const forge = this.#forger(view, action.direction, action.segment, text);
          (action.place === "before" ? before : after).push([action.direction, forge, text]);
          break;
        }
        case "drop":
          isGone = true;
          this.#report(direction, "loss", text, "", was);
          break;
        case "answer": {
          const back = direction === "out" ? "in" : "out";
          isGone = true;
          this.#report(direction, "loss", text, "", was);
          const forge = this.#forger(view, back, action.segment, text);
          fate = () => this.#host.forward(back, forge, text);
          break;
        }
        case "split": {
          const parts = split(view, action.parts);
          isGone = true;
          this.#report(direction, "change", text, parts.map((part) => this.#describe(part)).join(" and "), was);
          fate = () => {
            for (const part of parts) this.#host.forward(direction, part, text);
          };
          break;
        }
        case "delay": {
          const copy = current();
          isGone = true;
          this.#report(direction, "delay", text, "", was);
          this.#host.schedule(action.byUs, () => this.#host.forward(direction, copy, text));
          break;
        }
        case "reorder":
          isGone = true;
          this.#report(direction, "reordering", text, "", was);
          this.#hold({
            direction,
            packet: current(),
            track,
            key,
            behind: action.behind,
            selector: undefined,
            seen: 0,
            state: undefined,
            rule: text,
          });
          break;
        case "hold": {
          isGone = true;
          this.#report(direction, "delay", text, "", was);
          this.#holdUntil(view, key, current(), action.until, text);
          break;
        }
      }
    }
    const rest = { direction, before, after, isGone, rule: changedBy };
    if (packet === undefined && !isGone && before.length === 0 && after.length === 0) {
      this.#remember(track, direction, bytes, offset, length);
      return true;
    }
    this.#send(rest, packet ?? bytes.slice(offset, offset + length), track, fate);
    return false;
  }

  /** Makes a segment when its turn comes, with the numbers that the connection has then. */
  #forger(view: SegmentView, direction: Direction, wanted: MadeSegment, rule: string): () => Uint8Array {
    const { track, connection, now, direction: from } = view;
    const pattern = view.bytes.slice(view.offset, view.offset + view.length);
    return () => {
      const later = new SegmentView();
      later.read(from, pattern, 0, pattern.length);
      Object.assign(later, { track, connection, now });
      const packet = made(later, direction, wanted);
      this.#report(direction, "injection", rule, this.#describe(packet), "");
      return packet;
    };
  }

  #send(
    rest: {
      direction: Direction;
      before: readonly [Direction, Uint8Array | (() => Uint8Array), string][];
      after: readonly [Direction, Uint8Array | (() => Uint8Array), string][];
      isGone: boolean;
      rule: string;
    },
    packet: Uint8Array,
    track: Track,
    fate: (() => void) | undefined,
  ): void {
    for (const [direction, bytes, rule] of rest.before) this.#host.forward(direction, bytes, rule);
    if (rest.isGone) fate?.();
    else {
      this.#remember(track, rest.direction, packet, 0, packet.length);
      this.#host.forward(rest.direction, packet, rest.rule);
    }
    for (const [direction, bytes, rule] of rest.after) this.#host.forward(direction, bytes, rule);
  }

  #holdUntil(
    view: SegmentView,
    key: string,
    packet: Uint8Array,
    until: Extract<BendRule["action"], { kind: "hold" }>["until"],
    rule: string,
  ): void {
    const { direction, track } = view;
    const held: Held = {
      direction,
      packet,
      track,
      key,
      behind: 0,
      selector: until.kind === "segment" ? until.selector : undefined,
      seen: 0,
      state: until.kind === "state" ? until.state : undefined,
      rule,
    };
    if (until.kind === "time") {
      const wait = Math.max(0, track.since + until.atUs - view.now);
      this.#host.schedule(wait, () => this.#host.forward(direction, packet, rule));
    } else this.#hold(held);
    if (until.kind === "state") this.#watch(held, view, STATE_CHECKS);
  }

  /** A state may come while nothing passes: it is looked for now and then, for a minute. */
  #watch(held: Held, view: SegmentView, left: number): void {
    const { local, localPort, remote, remotePort } = view.endpoints();
    const look = (more: number): void => {
      if (more === 0 || !this.#held.includes(held)) return;
      const state = this.#host.connection(local, localPort, remote, remotePort)?.state ?? "CLOSED";
      if (state !== held.state) this.#host.schedule(STATE_CHECK_INTERVAL, () => look(more - 1));
      else {
        this.#held = this.#held.filter((other) => other !== held);
        this.#release([held]);
      }
    };
    this.#host.schedule(STATE_CHECK_INTERVAL, () => look(left));
  }

  #hold(held: Held): void {
    this.#held.push(held);
    // Nobody may come by any more: what waits to be overtaken goes on after a while.
    if (held.behind > 0) {
      this.#host.schedule(OVERTAKING_LIMIT, () => {
        if (!this.#held.includes(held)) return;
        this.#held = this.#held.filter((other) => other !== held);
        this.#host.forward(held.direction, held.packet, held.rule);
      });
    }
  }

  /** What this packet lets go once it has passed. */
  #releasable(view: SegmentView, key: string): Held[] {
    const released: Held[] = [];
    for (const held of this.#held) {
      if (held.key !== key) continue;
      if (held.behind > 0 && held.direction === view.direction && --held.behind === 0) released.push(held);
      else if (held.selector !== undefined && view.matches(held.selector)) {
        held.seen++;
        if (isChosen(held.selector.ordinals, held.seen)) released.push(held);
      } else if (held.state !== undefined && view.connection?.state === held.state) released.push(held);
    }
    if (released.length > 0) this.#held = this.#held.filter((held) => !released.includes(held));
    return released;
  }

  #release(released: readonly Held[]): void {
    for (const { direction, packet, rule } of released) this.#host.forward(direction, packet, rule);
  }

  /** Of this incarnation of the connection: a SYN with another number begins a new one. */
  #trackOf(key: string, view: SegmentView): Track {
    const { segment, direction, now } = view;
    let track = this.#tracks.get(key);
    if ((segment.flags & SYN) !== 0 && track !== undefined) {
      const known = direction === "out" ? track.iss : track.irs;
      // A SYN of the peer's on a connection that lives is a stray one.
      const lives =
        view.connection !== undefined && isSynchronized(view.connection.state) && view.connection.state !== "TIME-WAIT";
      const isNew = known !== null && known !== segment.seq && (segment.flags & ACK) === 0 && (direction === "out" || !lives);
      if (isNew) track = undefined;
    }
    if (track === undefined) {
      track = new Track(now);
      this.#tracks.delete(key);
      this.#tracks.set(key, track);
      if (this.#tracks.size > MOST_TRACKS)
        for (const oldest of this.#tracks.keys()) {
          this.#tracks.delete(oldest);
          break;
        }
    }
    if ((segment.flags & SYN) !== 0) {
      if (direction === "out") track.iss ??= segment.seq;
      else track.irs ??= segment.seq;
    }
    return track;
  }

  #remember(track: Track, direction: Direction, bytes: Uint8Array, offset: number, length: number): void {
    // Headers are what is wanted of it.
    track.last[direction] = bytes.slice(offset, offset + Math.min(length, 160));
  }

  #describe(packet: Uint8Array): string {
    return this.#host.report === undefined ? "" : describePacket(packet, 0, packet.length);
  }

  #report(direction: Direction, effect: BendReport["effect"], rule: string, instead: string, was: string): void {
    this.#host.report?.({ direction, effect, rule, instead, was });
  }
}

const OVERTAKING_LIMIT: Micros = 1_000_000;
const STATE_CHECK_INTERVAL: Micros = 10_000;
const STATE_CHECKS = 6_000;

function isChosen({ first, last, every }: Ordinals, nth: number): boolean {
  return nth >= first && nth <= last && nth % every === 0;
}
