/** Which connection a segment belongs to: by addresses and ports, and by incarnation where these are used again. */
import { seqAdd } from "../base/seq.js";
import { ACK, SYN } from "../wire/tcp-flags.js";
import type { CapturedSegment } from "./captured-segment.js";
import { FollowedConnection } from "./connection.js";

/** More connections than these are counted and not followed: a scan of a network must not fill the memory. */
export const MAX_CONNECTIONS = 65_536;

/** Follows all connections of a capture. */
export class Tracker {
  /** In order of their first segments. */
  readonly connections: FollowedConnection[] = [];
  /** Segments of connections beyond MAX_CONNECTIONS. */
  unfollowed = 0;
  readonly #limit: number;
  readonly #current = new Map<string, FollowedConnection>();

  /** `limit`: segments drawn and incidents listed of a connection, 0 for all. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Takes the next segment of the capture. */
  segment(captured: CapturedSegment): void {
    const { source, destination } = captured;
    const key = source < destination ? `${source} ${destination}` : `${destination} ${source}`;
    let found = this.#current.get(key);
    if (found === undefined || beginsAnother(found, captured)) {
      if (this.connections.length >= MAX_CONNECTIONS) {
        this.unfollowed++;
        return;
      }
      found = this.#open(captured, found);
      this.#current.set(key, found);
    }
    found.segment(captured, source === found.names[0] ? 0 : 1);
  }

  #open(captured: CapturedSegment, before: FollowedConnection | undefined): FollowedConnection {
    const { source, destination, tcp } = captured;
    // A SYN+ACK comes from the end that was opened to.
    const names = (tcp.flags & (SYN | ACK)) === (SYN | ACK) ? ([destination, source] as const) : ([source, destination] as const);
    const incarnation = (before?.incarnation ?? 0) + 1;
    const made = new FollowedConnection(this.connections.length + 1, names, incarnation, captured, this.#limit);
    this.connections.push(made);
    return made;
  }
}

/** A SYN with a new number after the end of the last connection; or the answer to one that came into a connection that held. */
function beginsAnother(connection: FollowedConnection, { tcp, source }: CapturedSegment): boolean {
  const from = source === connection.names[0] ? 0 : 1;
  const end = connection.ends[from];
  const kind = tcp.flags & (SYN | ACK);
  if (kind === SYN) return end.iss !== tcp.seq && end.sndNxt !== null && (connection.isOver || end.state === "SYN-SENT");
  if (kind !== (SYN | ACK)) return false;
  const stray = connection.strayedSyn;
  return stray !== null && stray.by !== from && tcp.ack === seqAdd(stray.seq, 1) && end.iss !== tcp.seq;
}
