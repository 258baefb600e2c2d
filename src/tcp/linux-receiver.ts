/**
 * The receive window as Linux chooses it (tcp_output.c: tcp_select_window; tcp_input.c: tcp_grow_window, tcp_rcv_space_adjust). The buffer
 * counts memory, see `linux-memory.ts`; how much of it is payload is measured, and what is promised beyond the first window grows only
 * with segments that are worth their memory.
 *
 *     buffer ──ratio──► full space ──► window clamp
 *                       free space ──► at most `threshold` of it is advertised
 */
import { seqAdd, seqDiff, seqLe, seqLt } from "../base/seq.js";
import { MILLISECOND, type Micros } from "../base/time.js";
import type { Segment } from "../wire/segment.js";
import { ACK, FIN, PSH, RST, SYN, URG } from "../wire/tcp-flags.js";
import { announcedMss, headerBytes, timestampNow } from "./emit.js";
import { LinuxAcks } from "./linux-acks.js";
import { bufferBytes, ReceiveMemory } from "./linux-memory.js";
import type { Tcb } from "./tcb.js";

/** TCP_MSS_DEFAULT, TCP_MIN_MSS. */
const MSS_DEFAULT = 536;
const MSS_MIN = 88;
/** TCP_INIT_CWND: the peer's initial window in segments. */
const INITIAL_WINDOW = 10;
const LARGEST_FIELD = 0xffff;
/** net.core.rmem_max, which the window scale counts with. */
const RMEM_MAX = 4 << 20;

export class LinuxReceiver {
  readonly memory = new ReceiveMemory();
  readonly acks = new LinuxAcks(this);
  /** An ICMP error waits in the socket's error queue. */
  hasErrorQueued = false;
  /** The buffer in bytes of memory (sk_rcvbuf); fixed by the user, or it may grow. */
  buffer = 0;
  isFixed = false;
  /** Payload in 256 bytes of memory (scaling_ratio). */
  ratio = 128;
  /** The largest window that may be advertised (window_clamp), and the largest at present (rcv_ssthresh). */
  clamp = LARGEST_FIELD << 14;
  threshold = 0;
  /** What the SYN or SYN-ACK told. */
  firstWindow = 0;
  /** The window that was advertised last (rcv_wnd), and RCV.NXT at that time (rcv_wup). */
  window = 0;
  windowAt = 0;
  /** The window scale that we offer. */
  shift = 0;
  /** What the peer's full segments seem to carry (rcv_mss). */
  mss = MSS_MIN;
  #lastSize = 0;
  /** The next segment in order takes the short way, if it tells this window (pred_flags). */
  isPredicting = false;
  predictedWindow = 0;
  /** The receiver's round-trip time, eightfold (rcv_rtt_est). */
  rttUs8 = 0;
  #rttAt: Micros = -1;
  #rttSeq = 0;
  #lastEcr = -1;
  /** What the user reads in a round trip (rcvq_space). */
  readBytes = 0;
  #readAt: Micros = 0;
  #readBefore = 0;

  /** OPEN, or a SYN has come (tcp_select_initial_window). */
  begin(tcb: Tcb): void {
    const { config } = tcb;
    this.isFixed = config.receiveBufferMaxBytes <= 0;
    this.buffer = this.isFixed ? linuxBuffer(tcb.receiveBufferBytes) : tcb.receiveBufferBytes;
    const mss = announcedMss(tcb) - (tcb.ts.enabled ? 12 : 0);
    let space = this.#inPayload(this.buffer);
    if (config.windowClampBytes > 0) this.clamp = config.windowClampBytes;
    if (this.isFixed) this.clamp = Math.min(this.clamp, space);
    space = Math.min(space, this.clamp);
    if (space > mss) space -= space % mss;
    // Since Linux 6.10 more than the field of a SYN can tell (rcv_wnd).
    const first = config.initialReceiveSegments;
    this.window = first > 0 ? Math.min(space, first * mss) : space;
    this.firstWindow = this.window;
    this.threshold = this.window;
    const largest = Math.min(Math.max(space, config.receiveBufferMaxBytes, RMEM_MAX), this.clamp);
    this.shift = config.windowScaling ? Math.min(Math.max(Math.floor(Math.log2(Math.max(largest, 1))) - 15, 0), 14) : 0;
    this.clamp = Math.min(this.clamp, LARGEST_FIELD * 2 ** this.shift);
  }

  /** A cookie has brought the SYN back: the window is whole segments of the peer's MSS, as far as that is remembered (cookie_v4_check). */
  recall(tcb: Tcb): void {
    const mss = tcb.pathMtu.peerMss;
    const space = Math.min(this.#inPayload(this.buffer), this.clamp);
    this.window = space > mss ? space - (space % mss) : space;
    this.firstWindow = this.window;
    this.threshold = this.window;
    tcb.rcv.adv = seqAdd(tcb.rcv.nxt, this.window);
  }

  /** The handshake is done (tcp_init_buffer_space). */
  established(tcb: Tcb, now: Micros): void {
    if (!tcb.scaling) this.clamp = Math.min(this.clamp, LARGEST_FIELD);
    const most = this.#inPayload(this.buffer);
    const mss = segmentMss(tcb);
    if (this.clamp >= most) this.clamp = most;
    // One segment is kept back for the user.
    if (this.clamp > 2 * mss && this.clamp + mss > most) this.clamp = Math.max(2 * mss, most - mss);
    this.threshold = Math.min(this.threshold, this.clamp);
    this.isPredicting = true;
    this.predictedWindow = tcb.snd.wnd >>> tcb.snd.windShift;
    this.readBytes = Math.min(this.threshold, this.window, INITIAL_WINDOW * mss);
    this.#readAt = now;
    this.#readBefore = readTotal(tcb);
    const half = tcb.snd.maxWnd > MSS_DEFAULT ? tcb.snd.maxWnd >>> 1 : tcb.snd.maxWnd;
    const theirs = Math.min(tcb.snd.mss, Math.max(half, 68 - 20));
    this.mss = Math.max(Math.min(mss, theirs, this.window >>> 1, MSS_DEFAULT), MSS_MIN);
  }

  /** SO_RCVBUF. */
  fix(bytes: number): void {
    this.buffer = linuxBuffer(bytes);
    this.isFixed = true;
  }

  /** TCP_WINDOW_CLAMP while connected. */
  bound(bytes: number): void {
    this.#setClamp(bytes);
  }

  /** What was advertised and has not come. */
  offered(tcb: Tcb): number {
    return Math.max(0, this.window - seqDiff(tcb.rcv.nxt, this.windowAt));
  }

  /** Chooses the window that the next segment tells, and gives its field (tcp_select_window). */
  advertise(tcb: Tcb, shift: number): number {
    if (this.acks.isOutOfMemory) {
      this.window = 0;
    } else {
      const offered = this.offered(tcb);
      const wanted = this.select(tcb);
      // A window is never taken back, unless the user wants it so (net.ipv4.tcp_shrink_window).
      const mayShrink = tcb.config.shrinksWindow && shift > 0;
      this.window = wanted < offered && !mayShrink ? roundUp(offered, 2 ** shift) : wanted;
    }
    if (this.window === 0) this.isPredicting = false;
    this.windowAt = tcb.rcv.nxt;
    tcb.rcv.adv = seqAdd(tcb.rcv.nxt, this.window);
    return Math.floor(Math.min(this.window, LARGEST_FIELD * 2 ** shift) / 2 ** shift);
  }

  /** The window that there is room for (__tcp_select_window). */
  select(tcb: Tcb): number {
    const unit = 2 ** tcb.rcv.windShift;
    const allowed = this.#inPayload(this.buffer);
    const full = Math.min(this.clamp, allowed);
    let free = this.#inPayload(this.buffer - this.memory.used);
    const mss = Math.min(this.mss, full);
    if (mss <= 0) return 0;
    if (tcb.config.shrinksWindow && unit > 1) {
      free -= mod(free, unit);
      if (free < full >>> 1) {
        this.acks.quick = 0;
        if (free < allowed >>> 4 || free < mss || free < unit) return 0;
      }
      return free > this.threshold ? roundUp(this.threshold, unit) : free;
    }
    if (free < full >>> 1) {
      this.acks.quick = 0;
      free -= mod(free, unit);
      if (free < allowed >>> 4 || free < mss) return 0;
    }
    free = Math.min(free, this.threshold);
    if (unit > 1) return roundUp(free, unit);
    const { window } = this;
    if (window <= free - mss || window > free) return free - (free % mss);
    return mss === full && free > window + (full >>> 1) ? free : window;
  }

  /**
   * Whether there is memory for a segment, if need be after small ones were copied together, or what is ahead of it was dropped
   * (tcp_try_rmem_schedule, tcp_prune_queue).
   */
  canTake(tcb: Tcb, seg: Segment): boolean {
    const { memory } = this;
    const truesize = bufferBytes(packetBytesOf(tcb, seg));
    const hasRoom = (): boolean => memory.used <= this.buffer;
    const takes = hasRoom() || this.#makeRoom(tcb, seg, hasRoom);
    if (takes) memory.schedule(truesize);
    return takes;
  }

  #makeRoom(tcb: Tcb, seg: Segment, hasRoom: () => boolean): boolean {
    const { memory } = this;
    if (memory.used === 0) return false;
    this.acks.quick = 0;
    if (!this.isFixed) this.buffer = Math.max(this.buffer, Math.min(memory.used, tcb.config.receiveBufferMaxBytes));
    if (memory.used > this.buffer) this.threshold = Math.min(this.clamp, 2 * segmentMss(tcb));
    if (hasRoom()) return true;
    const worth = (cost: number): number => this.#inPayload(cost);
    memory.collapseAhead(worth, this.buffer >>> 3);
    memory.collapse(seqAdd(tcb.rcv.nxt, -tcb.receiveQueue.length), worth);
    if (hasRoom()) return true;
    const end = memory.prune(seg.seq, this.buffer >>> 3, hasRoom);
    if (end !== undefined) forgetAhead(tcb, end);
    if (hasRoom()) return true;
    this.isPredicting = false;
    return false;
  }

  /** Whether a segment takes the short way, which asks for no memory (tcp_rcv_established). */
  isPredicted(tcb: Tcb, seg: Segment): boolean {
    const { memory } = this;
    const isPlain = (seg.flags & (SYN | FIN | URG | RST | ACK)) === ACK && seg.headerLength === (tcb.ts.enabled ? 32 : 20);
    if (!this.isPredicting || !isPlain || tcb.state !== "ESTABLISHED" || seg.seq !== tcb.rcv.nxt) return false;
    if (seg.wnd !== this.predictedWindow || seg.payloadLength > this.offered(tcb)) return false;
    return bufferBytes(packetBytesOf(tcb, seg)) <= memory.reserve;
  }

  /** After a segment in order: whether the next may take the short way (tcp_fast_path_check). */
  predict(tcb: Tcb): void {
    if (tcb.outOfOrder.size > 0 || this.window === 0 || this.memory.used >= this.buffer || tcb.urgentIn) return;
    this.isPredicting = true;
    this.predictedWindow = tcb.snd.wnd >>> tcb.snd.windShift;
  }

  /** The size of a segment after a hole counts too. */
  measureAhead(tcb: Tcb, seg: Segment): void {
    this.#measureSize(tcb, seg);
  }

  /** Payload has come in order: what it tells of the peer's segments (tcp_event_data_recv). */
  received(tcb: Tcb, seg: Segment, now: Micros): void {
    this.#measureSize(tcb, seg);
    this.#measureByWindow(tcb, now);
    this.acks.received(tcb, now);
    if (seg.payloadLength >= 128) this.grow(tcb, seg);
  }

  /** More may be advertised if segments like this one are worth their memory (tcp_grow_window). */
  grow(tcb: Tcb, seg: Segment): void {
    const room = Math.min(this.clamp, this.#inPayload(this.buffer - this.memory.used)) - this.threshold;
    if (room <= 0) return;
    const length = seg.payloadLength;
    let step = 0;
    const cost = bufferBytes(packetBytesOf(tcb, seg));
    if (this.#inPayload(cost) <= length) step = 2 * segmentMss(tcb);
    else {
      let half = this.#inPayload(cost) >>> 1;
      let window = this.#inPayload(Math.max(tcb.config.receiveBufferMaxBytes, this.buffer)) >>> 1;
      for (; this.threshold <= window && step === 0; half >>>= 1, window >>>= 1) if (half <= length) step = 2 * this.mss;
    }
    if (step === 0) return;
    this.threshold += Math.min(room, Math.max(step, 2 * length));
    this.acks.quick |= 1;
  }

  /** With timestamps the echo tells the round-trip time (tcp_rcv_rtt_measure_ts). */
  measureByEcho(tcb: Tcb, seg: Segment, now: Micros): void {
    if (!tcb.ts.enabled || !seg.hasTimestamps || seg.tsEcr === this.#lastEcr) return;
    this.#lastEcr = seg.tsEcr;
    if (seg.payloadLength < this.mss) return;
    const elapsed = seqDiff(timestampNow(tcb, now), seg.tsEcr);
    if (elapsed >= 0 && elapsed < 2_000_000) this.#updateRtt(tcb, Math.max(elapsed, 1) * MILLISECOND, false);
  }

  /** The user has read `count` bytes; only the first segment of them counts, for the rest no time has passed (tcp_rcv_space_adjust). */
  read(tcb: Tcb, count: number, now: Micros): void {
    const waits = tcb.receiveQueue.length;
    const start = seqAdd(tcb.rcv.nxt, -waits - count);
    const first = Math.min(count, this.memory.firstBytes(start));
    this.memory.read(seqAdd(tcb.rcv.nxt, -waits));
    if (count === 0 || this.rttUs8 === 0 || now - this.#readAt < this.rttUs8 >>> 3) return;
    const total = readTotal(tcb) - count + first;
    const read = total - this.#readBefore - (waits + count - first);
    if (read > this.readBytes) this.growBuffer(tcb, read);
    this.#readBefore = total;
    this.#readAt = now;
  }

  /** Twice what is read in a round trip, and more while that grows (tcp_rcvbuf_grow). */
  growBuffer(tcb: Tcb, read: number): void {
    const before = this.readBytes;
    this.readBytes = read;
    if (this.isFixed || before === 0 || !tcb.config.tunesReceiveBuffer) return;
    let wanted = 2 * read;
    wanted += 2 * Math.floor((wanted * (read - before)) / before);
    const { outOfOrder, rcv } = tcb;
    if (outOfOrder.size > 0) wanted += seqDiff(outOfOrder.end(outOfOrder.size - 1), rcv.nxt);
    const bytes = Math.min(Math.floor((wanted * 256) / this.ratio), tcb.config.receiveBufferMaxBytes);
    if (bytes <= this.buffer) return;
    this.buffer = bytes;
    this.clamp = this.#inPayload(bytes);
  }

  #inPayload(bytes: number): number {
    return Math.floor((bytes * this.ratio) / 256);
  }

  /** tcp_set_window_clamp. */
  #setClamp(bytes: number): void {
    const before = this.clamp;
    this.clamp = Math.max(1152, bytes);
    if (this.clamp < before) this.threshold = Math.min(this.threshold, this.clamp);
    else if (this.clamp > before) this.threshold = Math.max(this.threshold, Math.min(this.window, this.clamp));
  }

  /** tcp_measure_rcv_mss. */
  #measureSize(tcb: Tcb, seg: Segment): void {
    const { acks } = this;
    const before = this.#lastSize;
    this.#lastSize = 0;
    const length = seg.payloadLength;
    if (length >= this.mss) {
      if (length !== this.mss) this.#measureRatio(tcb, seg);
      this.mss = Math.min(length, segmentMss(tcb));
      if ((seg.flags & PSH) !== 0) acks.isPushed = true;
      return;
    }
    const whole = length + seg.headerLength;
    const isFull = (seg.flags & (FIN | URG | SYN | PSH)) === 0;
    if (whole >= MSS_DEFAULT + 20 || (whole >= MSS_MIN + 20 && isFull)) {
      const size = whole - (tcb.ts.enabled ? 32 : 20);
      this.#lastSize = size;
      if (size === before) {
        this.mss = size;
        return;
      }
    }
    if (acks.isPushed) acks.isPushedTwice = true;
    acks.isPushed = true;
  }

  #measureRatio(tcb: Tcb, seg: Segment): void {
    const before = this.ratio;
    this.ratio = Math.max(1, Math.floor((seg.payloadLength * 256) / bufferBytes(packetBytesOf(tcb, seg))) & 0xff);
    if (this.ratio === before) return;
    this.#setClamp(this.#inPayload(this.buffer));
    this.readBytes = Math.min(this.readBytes, this.clamp);
  }

  /** Without timestamps: a whole window takes a round trip at least (tcp_rcv_rtt_measure). */
  #measureByWindow(tcb: Tcb, now: Micros): void {
    const { rcv } = tcb;
    if (this.#rttAt >= 0) {
      if (seqLt(rcv.nxt, this.#rttSeq)) return;
      this.#updateRtt(tcb, Math.max(1, now - this.#rttAt), true);
    }
    this.#rttSeq = seqAdd(rcv.nxt, this.window);
    this.#rttAt = now;
  }

  #updateRtt(tcb: Tcb, sample: Micros, byWindow: boolean): void {
    const old = this.rttUs8;
    if (old === 0 || sample * 8 < old) this.rttUs8 = sample * 8;
    else if (!byWindow && tcb.receiveQueue.length === 0) this.rttUs8 = old - (old >>> 3) + sample;
  }
}

/** What was ahead of `end` is gone, and all that SACK told (tcp_sack_reset). */
function forgetAhead({ outOfOrder, rcv, sack }: Tcb, end: number): void {
  outOfOrder.trimAfter(end);
  sack.forget();
  if (rcv.finSeen && seqLe(end, rcv.fin)) rcv.finSeen = false;
}

/** The memory of SO_RCVBUF: Linux doubles what the user asks for, who means payload. */
export function linuxBuffer(bytes: number): number {
  return Math.max(2 * bytes, 2304);
}

/** The whole packet of a segment. */
export function packetBytesOf(tcb: Tcb, seg: Segment): number {
  return headerBytes(tcb) - 20 + seg.headerLength + seg.payloadLength;
}

/** Our MSS, options taken off (advmss). */
function segmentMss(tcb: Tcb): number {
  return announcedMss(tcb) - (tcb.ts.enabled ? 12 : 0);
}

/** Payload that the user has read. */
function readTotal(tcb: Tcb): number {
  return tcb.counters.bytesReceived - tcb.receiveQueue.length;
}

function roundUp(value: number, unit: number): number {
  return Math.ceil(value / unit) * unit;
}

function mod(value: number, unit: number): number {
  return ((value % unit) + unit) % unit;
}
