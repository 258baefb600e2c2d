/**
 * When Linux acknowledges (tcp_input.c: __tcp_ack_snd_check, tcp_event_data_recv; tcp_output.c: tcp_send_delayed_ack; tcp.c:
 * tcp_cleanup_rbuf). At once: two full segments, the quick phase at the start and after trouble, what fills a hole; when the user
 * has read all that came; else delayed, by a time that follows the peer's pace.
 */
import { seqDiff } from "../base/seq.js";
import { MILLISECOND, type Micros, NEVER } from "../base/time.js";
import type { LinuxReceiver } from "./linux-receiver.js";
import { askForAck } from "./output.js";
import type { Tcb } from "./tcb.js";

/** TCP_ATO_MIN and TCP_DELACK_MIN, TCP_DELACK_MAX; the longest where nothing was pushed (HZ / 2). */
const DELAY_MIN: Micros = 40 * MILLISECOND;
const DELAY_MAX: Micros = 200 * MILLISECOND;
const DELAY_UNPUSHED: Micros = 500 * MILLISECOND;
const TICK: Micros = MILLISECOND;
/** TCP_MAX_QUICKACKS. */
const MOST_QUICK = 16;
/** TCP_FASTRETRANS_THRESH: duplicate ACKs that the sender needs are never held back. */
const NEEDED_DUPLICATES = 3;

export class LinuxAcks {
  /** ACKs that go at once. */
  quick = 0;
  /** The user answers what comes (pingpong mode). */
  isInteractive = false;
  /** The delay (ato); 0 before the first data. */
  delayUs: Micros = 0;
  lastDataAt: Micros = -1;
  /** An ACK is owed; it goes with the next occasion. */
  isScheduled = false;
  /** It must go now. */
  isNow = false;
  /** A segment that looks like the end of what the peer had to say; two of them. */
  isPushed = false;
  isPushedTwice = false;
  /** The next window is none: there was no memory for a segment. */
  isOutOfMemory = false;
  /** Duplicate ACKs sent for the present hole, and those that were held back since. */
  #duplicates = 0;
  #duplicatesAt = 0;
  #held = 0;
  readonly #receiver: LinuxReceiver;

  constructor(receiver: LinuxReceiver) {
    this.#receiver = receiver;
  }

  get isQuick(): boolean {
    return this.quick > 0 && !this.isInteractive;
  }

  /** Acknowledge the next segments at once: something is wrong (tcp_enter_quickack_mode). */
  enterQuick(most = MOST_QUICK): void {
    this.#addQuick(most);
    this.isInteractive = false;
    this.delayUs = DELAY_MIN;
  }

  /** Payload has come, in order. */
  received(tcb: Tcb, now: Micros): void {
    const pause = now - this.lastDataAt;
    if (this.delayUs === 0) {
      this.#addQuick(MOST_QUICK);
      this.delayUs = DELAY_MIN;
    } else if (pause <= DELAY_MIN / 2) this.delayUs = this.delayUs / 2 + DELAY_MIN / 2;
    else if (pause < this.delayUs) this.delayUs = Math.min(this.delayUs / 2 + pause, tcb.rtt.rto);
    else if (pause > tcb.rtt.rto) this.#addQuick(MOST_QUICK);
    this.lastDataAt = now;
  }

  /** Payload of ours leaves: soon after the peer's it is an answer. */
  answered(now: Micros): void {
    if (this.lastDataAt >= 0 && now - this.lastDataAt < this.delayUs) this.isInteractive = true;
  }

  /** A segment with ACK leaves. */
  sent(tcb: Tcb): void {
    this.#held = 0;
    tcb.timers.sackCompression = NEVER;
    if (this.quick > 0 && this.isScheduled) {
      this.quick--;
      if (this.quick === 0) this.delayUs = DELAY_MIN;
    }
    this.isScheduled = false;
    this.isNow = false;
    this.isPushed = false;
    this.isPushedTwice = false;
    this.isOutOfMemory = false;
  }

  /** After a segment: now, or later. */
  check(tcb: Tcb, now: Micros): void {
    const { rcv } = tcb;
    if (!this.isScheduled || tcb.state === "CLOSED") return;
    const receiver = this.#receiver;
    const isWaited = seqDiff(rcv.nxt, receiver.windowAt) > receiver.mss;
    const isDue = isWaited && (tcb.receiveQueue.length < 1 || receiver.select(tcb) >= receiver.window);
    if (isDue || this.isQuick || this.isNow || tcb.config.acknowledgesAtOnce) {
      askForAck(tcb, "");
    } else if (tcb.outOfOrder.size === 0) this.#delay(tcb, now);
    else this.#compress(tcb, now);
  }

  /** The user has read `count` bytes: an ACK that waited for that, or a window worth telling. */
  read(tcb: Tcb, count: number): void {
    this.#receiver.read(tcb, count, tcb.lastReceiveAt);
    this.#afterRead(tcb, count);
  }

  #afterRead(tcb: Tcb, count: number): void {
    const { rcv } = tcb;
    const receiver = this.#receiver;
    let isDue = false;
    if (this.isScheduled) {
      const isSmall = this.isPushedTwice || (this.isPushed && !this.isInteractive);
      isDue = seqDiff(rcv.nxt, receiver.windowAt) > receiver.mss || (count > 0 && isSmall && receiver.memory.used === 0);
    }
    if (isDue) askForAck(tcb, "the user has read what came");
    else if (count > 0 && mayStillReceive(tcb)) {
      const offered = receiver.offered(tcb);
      if (2 * offered > receiver.clamp) return;
      const wanted = receiver.select(tcb);
      if (wanted > 0 && wanted >= 2 * offered) askForAck(tcb, "window update: the user has read");
    }
  }

  /** TCP_QUICKACK. */
  set(tcb: Tcb, value: number): void {
    this.isInteractive = value === 0;
    if (value === 0 || !(tcb.state === "ESTABLISHED" || tcb.state === "CLOSE-WAIT") || !this.isScheduled) return;
    this.isPushed = true;
    this.#afterRead(tcb, 1);
    if ((value & 1) === 0) this.isInteractive = true;
  }

  /** The delayed ACK was not saved by an answer. */
  expire(tcb: Tcb): void {
    if (this.isInteractive) {
      this.isInteractive = false;
      this.delayUs = DELAY_MIN;
    } else this.delayUs = Math.min(this.delayUs * 2, tcb.rtt.rto);
  }

  /** Delays the third segment: the user will send at once (tcp_rcv_synsent_state_process). */
  delayHandshake(tcb: Tcb, now: Micros): void {
    this.isScheduled = true;
    this.enterQuick();
    tcb.timers.delayedAck = now + DELAY_MAX;
  }

  #addQuick(most: number): void {
    const receiver = this.#receiver;
    const half = Math.floor(receiver.window / (2 * receiver.mss)) || 2;
    this.quick = Math.max(this.quick, Math.min(half, most));
  }

  #delay(tcb: Tcb, now: Micros): void {
    let delay = this.delayUs;
    if (delay > DELAY_MIN) {
      let most = this.isInteractive || this.isPushed ? DELAY_MAX : DELAY_UNPUSHED;
      if (tcb.rtt.srtt > 0) most = Math.min(most, Math.max(tcb.rtt.srtt, DELAY_MIN));
      delay = Math.min(delay, most);
    }
    // A timer expires with a tick of the clock, at the next one at the earliest.
    delay = Math.max(TICK, Math.min(delay, DELAY_MAX, tcb.config.delayedAckMaxUs));
    const { timers } = tcb;
    if (timers.delayedAck !== NEVER && timers.delayedAck <= now + delay / 4) askForAck(tcb, "delayed ACK, all but due");
    else timers.delayedAck = Math.min(timers.delayedAck, now + delay);
  }

  /** A hole: the first duplicate ACKs at once, later ones a few at a time (tcp_comp_sack_*). */
  #compress(tcb: Tcb, now: Micros): void {
    const { config, rcv, timers } = tcb;
    if (this.#duplicatesAt !== rcv.nxt) {
      this.#duplicatesAt = rcv.nxt;
      this.#duplicates = 0;
    }
    const isFull = this.#held >= config.compressedAcks;
    if (!tcb.sack.enabled || isFull || this.#duplicates < NEEDED_DUPLICATES) {
      if (tcb.sack.enabled && !isFull) this.#duplicates++;
      askForAck(tcb, "duplicate ACK: something before it is missing");
      return;
    }
    this.#held++;
    if (timers.sackCompression !== NEVER) return;
    let rtt = this.#receiver.rttUs8 / 8;
    if (tcb.rtt.srtt > 0) rtt = Math.min(rtt, tcb.rtt.srtt);
    const delay = Math.min(config.ackCompressionUs, Math.floor(rtt / 20));
    // Where there is no round-trip time yet the timer expires at once.
    if (delay <= 0) askForAck(tcb, "duplicate ACK: something before it is missing");
    else timers.sackCompression = now + delay;
  }

  /** The timer of duplicate ACKs that were held back. */
  expireCompression(tcb: Tcb): void {
    askForAck(tcb, "duplicate ACKs, several in one");
  }
}

function mayStillReceive(tcb: Tcb): boolean {
  return tcb.state === "ESTABLISHED" || tcb.state === "FIN-WAIT-1" || tcb.state === "FIN-WAIT-2";
}
