/** SYN-ACKs with cookies: made at once, so that the timestamp is the one that holds the options, and a bounded number at a time. */
import { invariant } from "../base/errors.js";
import { MILLISECOND, type Micros, NEVER } from "../base/time.js";
import type { ConnectionConfig } from "../tcp/config.js";
import { Connection } from "../tcp/connection.js";
import { OutgoingPacket } from "../tcp/outgoing-packet.js";
import type { Segment } from "../wire/segment.js";
import { type FourTuple, type SynCookies, stripSyn, timestampShift } from "./syn-cookies.js";

/** More SYNs than this in one batch of input are dropped: their senders will repeat them. */
const CAPACITY = 256;

export class CookieAnswers {
  readonly #queue: Uint8Array[] = [];
  #scratch: OutgoingPacket | undefined;

  /**
   * Queues the SYN-ACK for a SYN; nothing is kept of either once it has left. A connection of a moment writes it, so that it is what
   * a half-open one would send. Returns whether there was room. `seg` is stripped of what a cookie cannot hold.
   */
  answer(cookies: SynCookies, config: ConnectionConfig, tuple: FourTuple, seg: Segment, tsOffset: number, now: Micros): boolean {
    if (this.#queue.length >= CAPACITY) return false;
    stripSyn(seg);
    const cookie = cookies.make(tuple, seg, now);
    const shift = seg.hasTimestamps ? timestampShift(seg, Math.floor(now / MILLISECOND)) : 0;
    const { local, localPort, remote, remotePort } = tuple;
    const seed = { tsOffset: (tsOffset + shift) >>> 0, ipId: cookie & 0xffff };
    const moment = new Connection(0, config, local, localPort, remote, remotePort, seed);
    moment.openPassive(cookie, now);
    moment.receive(seg, now);
    const scratch = this.#write(moment, now);
    this.#queue.push(scratch.bytes.slice(0, scratch.length));
    return true;
  }

  /** Lets a connection that is made from a cookie write its SYN-ACK to nowhere: the real one has left long ago. */
  swallow(connection: Connection, now: Micros): void {
    this.#write(connection, now);
    connection.tcb.linux?.recall(connection.tcb);
    // No round-trip time can be had from it.
    connection.tcb.synSentAt = NEVER;
  }

  pollTransmit(out: OutgoingPacket): boolean {
    const packet = this.#queue.shift();
    if (packet === undefined) return false;
    out.bytes.set(packet);
    out.length = packet.length;
    out.note = "SYN-ACK with a cookie: nothing is kept of the SYN";
    return true;
  }

  #write(connection: Connection, now: Micros): OutgoingPacket {
    this.#scratch ??= new OutgoingPacket();
    invariant(connection.pollTransmit(now, this.#scratch), "a half-open connection has its SYN-ACK to send");
    return this.#scratch;
  }
}
