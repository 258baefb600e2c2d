/**
 * One end's states (RFC 9293 §3.3.2), rebuilt from the segments alone.
 *
 * What an end has sent is certain. What has reached it is not: a captured segment may be lost behind the place of the capture.
 * So a segment that the end will answer counts as arrived when the answer shows it:
 *
 *      SYN, SYN+ACK, FIN            with the first segment that acknowledges it
 *      ACK of SYN, ACK of FIN       at once: nobody answers these. Should the SYN+ACK or FIN come again, it had not arrived,
 *                                   and the end is put back into the state that it was in.
 *      RST                          at once, where its sequence number is acceptable (RFC 5961 §3.2)
 */
import { seqAdd, seqGe, seqGt } from "../base/seq.js";
import type { State } from "../tcp/state.js";
import type { Segment } from "../wire/segment.js";
import { ACK, FIN, RST, SYN } from "../wire/tcp-flags.js";

/** A state that an end has entered; for a correction `from` is a state that it was never in. */
export interface StateChange {
  readonly from: State;
  readonly to: State;
  readonly reason: string;
}

/** See the top of the file. */
export class End {
  state: State = "CLOSED";
  /** The states entered, in order, with corrections as entries of their own; at most 32 are kept. */
  readonly history: State[] = [];
  /** It was not seen to open: its state before the first segment is a guess. */
  isAssumed = false;
  /** Initial sequence number; null while unknown. */
  iss: number | null = null;
  /** The number behind the highest sequence number that was sent; null before the first segment. */
  sndNxt: number | null = null;
  /** The number behind its FIN; null before. */
  fin: number | null = null;
  /** The highest acknowledgment number that it has sent; null before. */
  rcvNxt: number | null = null;
  sentSyn = false;
  sentSynAck = false;
  sentReset = false;
  /** RSTs that came in and were acceptable. */
  wasReset = false;

  /** It has been in a synchronized state (RFC 9293 §3.5.2), as far as is known. */
  get wasSynchronized(): boolean {
    return this.history.some(isSynchronized);
  }

  /** What it shows of itself by sending `tcp`; told before the segment. */
  sends(tcp: Segment, peer: End, told: StateChange[]): void {
    const { flags, seq, ack } = tcp;
    if ((flags & RST) !== 0) {
      this.sentReset = true;
      if (peer.sentSyn || this.sndNxt !== null) this.#enter("CLOSED", told, "sends RST");
      return;
    }
    if ((flags & SYN) !== 0) this.#sendsSyn(tcp, told);
    else if (this.sndNxt === null && this.state === "CLOSED" && this.iss === null) this.assume("ESTABLISHED");
    if ((flags & ACK) !== 0) {
      this.#shows(ack, peer, told, (flags & SYN) !== 0);
      if (this.rcvNxt === null || seqGt(ack, this.rcvNxt)) this.rcvNxt = ack;
    }
    if ((flags & FIN) !== 0) this.#sendsFin(tcp, peer, told);
    const end = seqAdd(seq, tcp.len);
    if (this.sndNxt === null || seqGt(end, this.sndNxt)) this.sndNxt = end;
  }

  /** What happens to it when `tcp` arrives; told after the segment. */
  receives(tcp: Segment, peer: End, told: StateChange[]): void {
    const { flags, ack } = tcp;
    if ((flags & RST) !== 0) {
      if (this.#acceptsReset(tcp, peer)) {
        this.wasReset = true;
        this.#enter("CLOSED", told, "RST came");
      }
      return;
    }
    if ((flags & ACK) === 0) return;
    const synAcked = this.iss !== null && seqGe(ack, seqAdd(this.iss, 1));
    if (this.state === "SYN-RECEIVED" && synAcked) this.#enter("ESTABLISHED", told, "its SYN is acknowledged");
    if (this.fin === null || !seqGe(ack, this.fin)) return;
    if (this.state === "FIN-WAIT-1") this.#enter("FIN-WAIT-2", told, "its FIN is acknowledged");
    else if (this.state === "CLOSING") this.#enter("TIME-WAIT", told, "its FIN is acknowledged");
    else if (this.state === "LAST-ACK") this.#enter("CLOSED", told, "its FIN is acknowledged");
  }

  /** The capture begins in the middle: it must have been in `state`. */
  assume(state: State): void {
    this.isAssumed = true;
    this.state = state;
    this.#note(state);
  }

  /** A SYN, with or without ACK: the first one opens, a later one shows that the answer had not arrived. */
  #sendsSyn(tcp: Segment, told: StateChange[]): void {
    const isAnswer = (tcp.flags & ACK) !== 0;
    const isAgain = this.iss === tcp.seq && (isAnswer ? this.sentSynAck : this.sentSyn);
    this.iss ??= tcp.seq;
    if (isAnswer) {
      if (isAgain && this.state === "ESTABLISHED" && this.fin === null)
        this.#enter("SYN-RECEIVED", told, "still: its SYN+ACK comes again, the ACK had not arrived or was put off");
      else if (!this.sentSynAck && this.state === "SYN-SENT")
        this.#enter("SYN-RECEIVED", told, "a SYN came while its own was on the way");
      else if (!this.sentSynAck && this.state === "CLOSED") {
        this.#enter("LISTEN", told, "it answers a SYN");
        this.#enter("SYN-RECEIVED", told, "SYN came");
      }
      this.sentSynAck = true;
    } else {
      if (isAgain && this.state === "ESTABLISHED" && this.fin === null && !this.sentSynAck)
        this.#enter("SYN-SENT", told, "still: its SYN comes again, the SYN+ACK had not arrived");
      else if (!this.sentSyn && this.state === "CLOSED") this.#enter("SYN-SENT", told, "active open");
      this.sentSyn = true;
    }
  }

  #sendsFin(tcp: Segment, peer: End, told: StateChange[]): void {
    const fin = seqAdd(tcp.seq, tcp.len);
    if (this.fin === null) {
      this.fin = fin;
      if (this.state === "ESTABLISHED" || this.state === "SYN-RECEIVED") this.#enter("FIN-WAIT-1", told, "close");
      else if (this.state === "CLOSE-WAIT") this.#enter("LAST-ACK", told, "close");
      return;
    }
    if (fin !== this.fin) return;
    const hasFin = peer.fin !== null && this.rcvNxt !== null && seqGe(this.rcvNxt, peer.fin);
    const why = "still: its FIN comes again, the ACK had not arrived";
    if (this.state === "FIN-WAIT-2") this.#enter("FIN-WAIT-1", told, why);
    else if (this.state === "TIME-WAIT") this.#enter(hasFin ? "CLOSING" : "FIN-WAIT-1", told, why);
    else if (this.state === "CLOSED" && !this.wasReset && !this.sentReset) this.#enter("LAST-ACK", told, why);
  }

  /** What an acknowledgment that it sends shows to have arrived: the peer's SYN and FIN. */
  #shows(ack: number, peer: End, told: StateChange[], isSyn: boolean): void {
    if (this.state === "SYN-SENT" && !isSyn && peer.iss !== null && seqGe(ack, seqAdd(peer.iss, 1))) {
      if (peer.sentSynAck) this.#enter("ESTABLISHED", told, "SYN+ACK came");
      else this.#enter("SYN-RECEIVED", told, "a SYN came while its own was on the way");
    }
    if (peer.fin === null || !seqGe(ack, peer.fin)) return;
    if (this.state === "ESTABLISHED" || this.state === "SYN-RECEIVED") this.#enter("CLOSE-WAIT", told, "FIN came");
    else if (this.state === "FIN-WAIT-1") this.#enter("CLOSING", told, "FIN came before the ACK of its own");
    else if (this.state === "FIN-WAIT-2") this.#enter("TIME-WAIT", told, "FIN came");
  }

  /** RFC 9293 §3.10.7.3 in SYN-SENT, RFC 5961 §3.2 later: the number must be the next one expected, as far as that is known. */
  #acceptsReset(tcp: Segment, peer: End): boolean {
    if (this.state === "CLOSED") return false;
    if (this.state === "SYN-SENT") return (tcp.flags & ACK) !== 0 && this.iss !== null && seqGt(tcp.ack, this.iss);
    return tcp.seq === this.rcvNxt || this.rcvNxt === null || tcp.seq === peer.sndNxt;
  }

  #enter(to: State, told: StateChange[], reason: string): void {
    const from = this.state;
    if (from === to) return;
    this.state = to;
    this.#note(to);
    told.push({ from, to, reason });
  }

  #note(state: State): void {
    if (this.history.length < MAX_HISTORY) this.history.push(state);
  }
}

const MAX_HISTORY = 32;

/** RFC 9293 §3.5.2: both sides know each other's sequence numbers. */
function isSynchronized(state: State): boolean {
  return state !== "CLOSED" && state !== "LISTEN" && state !== "SYN-SENT" && state !== "SYN-RECEIVED";
}
