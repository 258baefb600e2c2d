/**
 * How Linux cuts what is to be sent: into batches that an adapter with segmentation offload would take as one, each with PSH at its
 * end, small or large as the rate asks (net/ipv4/tcp_output.c: tcp_write_xmit, tcp_tso_autosize, tcp_tso_should_defer); and its
 * variant of Nagle, which waits for small segments only (Minshall).
 */
import { seqAdd, seqDiff, seqGe, seqGt, seqLe, seqLt } from "../base/seq.js";
import { MILLISECOND, type Micros, NEVER, SECOND } from "../base/time.js";
import { GSO_MAX, type LinuxControl } from "./linux-control.js";
import { linuxFlight } from "./linux-loss.js";
import type { SentSegment } from "./sent-list.js";
import type { Tcb } from "./tcb.js";

export class SegmentBatch {
  /** The batch that is being sent ends here; it is of one segment, or of more. */
  end = 0;
  isLarge = false;
  isOpen = false;
  /** One past the last segment that was not full (snd_sml). */
  smallEnd = 0;
  hasSmall = false;
  /** When data last left in a batch. */
  sentAt: Micros = -NEVER;
  /** The last write said that more would follow at once (MSG_MORE): its end is no reason for PSH. */
  isUnfinished = false;
  /** And so what does not fill a segment waits, until something else happens. */
  holdsNow = false;
  /** A batch waits for the next ACK or write; that time passes is no reason to send it. */
  isDeferred = false;
  /** A write has filled a whole buffer of the largest size: what it fills goes at once. */
  isFilled = false;
  /** Numbers that a segment must not reach across: ends of records (MSG_EOR), oldest first. */
  readonly records: number[] = [];
  /** Where the batch ends that is being sent again; -1 for none. */
  againEnd = -1;
}

/** No more than this of a batch depends on the rate (net.ipv4.tcp_min_tso_segs). */
const LEAST_BATCH = 2;
/** A part of the window that is worth a batch (net.ipv4.tcp_tso_win_divisor). */
const WINDOW_DIVISOR = 3;

/** How many bytes the next segment has, of `queued`; the peer's window has `room`. -1 when nothing may be sent now. */
export function batchedLength(tcb: Tcb, lx: LinuxControl, queued: number, room: number, full: number, now: Micros): number {
  const { batch, snd } = tcb;
  if (batch.isOpen && seqLt(snd.nxt, batch.end)) return Math.min(full, seqDiff(batch.end, snd.nxt));
  batch.isOpen = false;
  const free = lx.window - linuxFlight(tcb, lx);
  if (free <= 0) return -1;
  const most = largestBatch(tcb, lx, full);
  const quota = Math.min(free, Math.max(lx.window >>> 1, 1), most);
  const length = Math.min(queued, recordEnd(tcb));
  const isEnd = length === queued;
  const hasFin = tcb.finQueued && isEnd;
  const first = Math.min(length, full);
  // What does not fit as it is waits for the window, or for the persist timer.
  if (first + (hasFin && length <= full ? 1 : 0) > room) return -1;
  const isPartialHeld = isEnd && !hasFin && !tcb.urgentOut && nagle(tcb);
  let cut: number;
  if (length <= full) {
    if (length < full && isPartialHeld) return -1;
    cut = length;
  } else {
    if (waitsForMore(tcb, lx, length, isEnd, room, free, most, now)) {
      lx.deferredNow = true;
      batch.isDeferred = true;
      return -1;
    }
    const needed = Math.min(length, room);
    cut = tcb.urgentOut ? full : Math.min(quota * full, needed);
    if (cut === needed && cut % full !== 0 && !hasFin && nagle(tcb)) cut -= cut % full;
  }
  batch.isOpen = true;
  batch.end = seqAdd(snd.nxt, cut);
  batch.isLarge = cut > full;
  return Math.min(cut, full);
}

/** A segment of new data has left. */
export function batchSent(tcb: Tcb, lx: LinuxControl, end: number, data: number, full: number, now: Micros): void {
  const { batch } = tcb;
  lx.sentNow++;
  if (lx.isReducing) lx.prrOut++;
  batch.sentAt = now;
  if (data < full) {
    batch.hasSmall = true;
    batch.smallEnd = end;
  }
  for (let [first] = batch.records; first !== undefined && seqLe(first, end); [first] = batch.records) batch.records.shift();
}

/** Notes of which batch a segment is, and whether PSH is its own: that of a batch's end is set anew whenever it leaves. */
export function batched(tcb: Tcb, segment: SentSegment, hasData: boolean): void {
  const { batch } = tcb;
  segment.batchEnd = batch.isOpen ? batch.end : segment.end;
  const isLast = seqDiff(tcb.dataEnd, segment.end) <= 0;
  segment.endsRecord = batch.records.length > 0 && segment.end === batch.records[0];
  segment.push = (hasData && isLast && !batch.isUnfinished) || (batch.records.length > 0 && segment.end === batch.records[0]);
}

/** A batch is one buffer in Linux: where its first segment is too large by now, or was cut by an ACK, what is left is cut anew. */
export function cutAnew({ sent }: Tcb, segment: SentSegment, full: number): void {
  if (segment.length === full) return;
  const { batchEnd } = segment;
  while (segment.end !== batchEnd) {
    const next = sent.at(sent.indexOf(segment) + 1);
    if (next === undefined || next.sacked || next.lost !== segment.lost || next.batchEnd !== batchEnd) break;
    sent.joinNext(segment);
  }
  segment.batchEnd = batchEnd;
  for (let rest: SentSegment | undefined = segment; rest !== undefined && rest.length > full; ) {
    sent.split(rest, full);
    rest = sent.at(sent.indexOf(rest) + 1);
  }
}

/** The last segment goes as a probe: its batch ends before it. */
export function separateLast({ sent }: Tcb, last: SentSegment): void {
  for (let i = sent.length - 2; i >= 0; i--) {
    const before = sent.at(i);
    if (before?.batchEnd !== last.batchEnd) break;
    before.batchEnd = last.seq;
  }
  last.batchEnd = last.end;
}

/** A segment is sent again with those of its batch that may leave with it. Returns whether it has PSH. */
export function repeatsBatch(tcb: Tcb, lx: LinuxControl, segment: SentSegment, isHead: boolean): boolean {
  const { sent, batch } = tcb;
  if (isOfRepeatedBatch(tcb, segment)) return segment.push || segment.end === batch.againEnd;
  const free = isHead ? 1 : Math.min(lx.window - linuxFlight(tcb, lx), largestBatch(tcb, lx, lx.mss));
  const from = sent.indexOf(segment);
  let count = 0;
  let end = segment.seq;
  for (; count < free; count++) {
    const next = sent.at(from + count);
    if (!next?.lost || next.seq !== end || next.batchEnd !== segment.batchEnd) break;
    end = next.end;
  }
  for (let i = 0; i < count; i++) {
    const next = sent.at(from + i);
    if (next !== undefined) next.batchEnd = end;
  }
  batch.againEnd = count > 1 ? end : -1;
  return segment.push;
}

/** Whether a segment belongs to the batch of which others were just sent again. */
export function isOfRepeatedBatch({ batch }: Tcb, segment: SentSegment): boolean {
  return batch.againEnd !== -1 && segment.batchEnd === batch.againEnd && seqLe(segment.end, batch.againEnd);
}

/** Small segments behind one that is sent again go with it (tcp_retrans_try_collapse). Returns whether the last of them had PSH. */
export function joinsSmall(tcb: Tcb, segment: SentSegment, most: number): boolean {
  const { sent, snd } = tcb;
  let push = false;
  for (;;) {
    const next = sent.at(sent.indexOf(segment) + 1);
    // FIN alone: a buffer of its own, without a byte.
    const isFin = next !== undefined && next.length === 1 && next.seq === tcb.dataEnd;
    if (next === undefined || next.sacked || segment.endsRecord || (next.batchEnd !== next.end && !isFin)) return push;
    const length = segment.length + (isFin ? 0 : next.length);
    if (length > most || seqDiff(next.end, snd.una) > snd.wnd + (isFin ? 1 : 0)) return push;
    push = isFin ? segment.push || push : next.push;
    sent.joinNext(segment);
    segment.push = push;
  }
}

/** What the flags of `send` say: more follows at once (MSG_MORE), a record ends (MSG_EOR). */
export function noteWrite(tcb: Tcb, isUnfinished: boolean, endsRecord: boolean): void {
  const { batch } = tcb;
  batch.isUnfinished = isUnfinished;
  batch.holdsNow = isUnfinished;
  if (endsRecord) batch.records.push(tcb.dataEnd);
  batch.isFilled = seqDiff(tcb.dataEnd, tcb.snd.nxt) >= sizeGoal(tcb);
}

/** Bytes that SEND puts in one buffer: the largest batch, but not more than half of the window (tcp_xmit_size_goal). */
export function sizeGoal({ snd }: Tcb): number {
  const most = snd.maxWnd > 536 ? Math.min(GSO_MAX, snd.maxWnd >>> 1) : GSO_MAX;
  return Math.max(1, Math.floor(most / snd.mss)) * snd.mss;
}

/**
 * Bytes that SEND takes now: a buffer is begun while less is held than the send buffer's size, and then filled; what leaves meanwhile
 * makes room in it (tcp_sendmsg). Linux counts a buffer's own memory too, and doubles what the user asks for.
 */
export function linuxSendSpace(tcb: Tcb, lx: LinuxControl): number {
  const { snd, sendQueue, sent, config } = tcb;
  const goal = sizeGoal(tcb);
  const unsent = Math.max(0, seqDiff(tcb.dataEnd, snd.nxt));
  const open = unsent % goal;
  const free = Math.max(0, Math.min((lx.window - linuxFlight(tcb, lx)) * snd.mss, snd.wnd - seqDiff(snd.nxt, snd.una)) - unsent);
  const held = heldBytes(tcb, sent.length, Math.ceil(unsent / goal));
  let space = open > 0 ? goal - open : 0;
  const limit = 2 * config.sendBufferBytes;
  if (open > 0 || held < limit) space += free;
  for (let buffers = 0; held + space + buffers * BUFFER_OVERHEAD < limit; buffers++) space += goal;
  return Math.min(space, MOST_SPACE - sendQueue.length);
}

/** What is held of the send buffer, buffers' own memory included (sk_wmem_queued). */
export function linuxHeld(tcb: Tcb): number {
  return heldBytes(tcb, tcb.sent.length, Math.ceil(Math.max(0, seqDiff(tcb.dataEnd, tcb.snd.nxt)) / sizeGoal(tcb)));
}

function heldBytes(tcb: Tcb, segments: number, unsentBuffers: number): number {
  return tcb.sendQueue.length + (Math.ceil(segments / LEAST_BATCH) + unsentBuffers) * BUFFER_OVERHEAD;
}

/** A struct sk_buff with its head, roughly. */
const BUFFER_OVERHEAD = 1280;
const MOST_SPACE = 2 ** 30;

/** Whether the segment that ends at `end`, the last of the queue or not, has PSH. */
export function pushes(tcb: Tcb, end: number, isLast: boolean): boolean {
  const { batch } = tcb;
  if (batch.isOpen && batch.isLarge && end === batch.end) return true;
  if (batch.records.length > 0 && end === batch.records[0]) return true;
  return isLast && !batch.isUnfinished;
}

/** Whether a partial segment has to wait: for a small one that is out already, or because the user holds it back. */
function nagle(tcb: Tcb): boolean {
  // New data that is to show whether a time-out was needed goes whatever its size.
  if (tcb.linuxSender?.repetition === "new-first") return false;
  if ((tcb.corked && !tcb.corkOverdue) || tcb.batch.holdsNow) return true;
  if (tcb.config.noDelay || tcb.corkOverdue || tcb.sent.length === 0) return false;
  const { batch, snd } = tcb;
  return batch.hasSmall && seqGt(batch.smallEnd, snd.una) && seqLe(batch.smallEnd, snd.nxt);
}

/** Segments in the largest batch (tcp_tso_segs): what leaves in a millisecond, and more where the path is short. */
function largestBatch(tcb: Tcb, lx: LinuxControl, full: number): number {
  let bytes = lx.pacingRate === NEVER ? GSO_MAX : lx.pacingRate / 1024;
  const { min } = tcb.rtt;
  const halvings = min === NEVER ? 0 : Math.floor(min / 512);
  if (halvings < 32) bytes += GSO_MAX / 2 ** halvings;
  return Math.max(Math.floor(Math.min(bytes, GSO_MAX) / full), LEAST_BATCH);
}

/** A batch that could be larger waits for the next ACK, if that is near (tcp_tso_should_defer). */
function waitsForMore(
  tcb: Tcb,
  lx: LinuxControl,
  length: number,
  isTail: boolean,
  room: number,
  free: number,
  most: number,
  now: Micros,
): boolean {
  const { mss } = lx;
  if (lx.state === "recovery" || lx.state === "loss" || tcb.batch.isFilled) return false;
  if (tcb.batch.isDeferred) return true;
  if (now - tcb.batch.sentAt > MILLISECOND) return false;
  const limit = Math.min(room, free * mss);
  if (limit >= most * mss) return false;
  if (!isTail && limit >= length) return false;
  if (limit >= Math.floor(Math.min(tcb.snd.wnd, lx.window * mss) / WINDOW_DIVISOR)) return false;
  const { first } = tcb.sent;
  const { srtt } = tcb.rtt;
  if (first === undefined || first.sentAt + srtt - now > Math.min(srtt / 2, MILLISECOND)) return false;
  if (free * mss < room ? free * mss <= length : room <= length) return true;
  return !tcb.finQueued;
}

/** Bytes from SND.NXT to the next end of a record. */
export function recordEnd(tcb: Tcb): number {
  const [first] = tcb.batch.records;
  return first === undefined ? Number.POSITIVE_INFINITY : seqDiff(first, tcb.snd.nxt);
}

/** What pacing would allow, which decides over the size of batches (tcp_update_pacing_rate). */
export function updatePacingRate(tcb: Tcb, lx: LinuxControl): void {
  const { srtt } = tcb.rtt;
  if (srtt === 0) return;
  const ratio = lx.window < Math.floor(lx.threshold / 2) ? 2 : 1.2;
  lx.pacingRate = Math.min(
    tcb.config.maxPacingRate,
    Math.floor((ratio * Math.max(lx.window, tcb.sent.length) * lx.mss * SECOND) / srtt),
  );
}

/** Nothing more leaves now: was it the window that kept the rest back (tcp_cwnd_validate, RFC 7661 in spirit)? */
export function noteWindowUse(tcb: Tcb, lx: LinuxControl, now: Micros): void {
  const { sent, snd } = tcb;
  const isLimited = lx.deferredNow || linuxFlight(tcb, lx) >= lx.window;
  const hasSent = lx.sentNow > 0;
  lx.sentNow = 0;
  lx.deferredNow = false;
  tcb.batch.isFilled = false;
  if (!hasSent && !(isLimited && seqGt(tcb.dataEnd, snd.nxt))) return;
  const packets = sent.length;
  if (seqGe(snd.una, lx.usageSeq) || isLimited || (!lx.isLimited && packets > lx.maxOut)) {
    lx.isLimited = isLimited;
    lx.maxOut = packets;
    lx.usageSeq = snd.max;
  }
  if (lx.mayGrow) {
    lx.used = 0;
    lx.usedAt = now;
    return;
  }
  if (packets > lx.used) lx.used = packets;
  if (!tcb.config.restartAfterIdle || now - lx.usedAt < tcb.rtt.rto) return;
  if (lx.state === "open" && !tcb.writeBlocked) {
    const used = Math.max(lx.used, tcb.config.initialWindowSegments);
    if (used < lx.window) {
      lx.threshold = lx.presentThreshold;
      lx.window = (lx.window + used) >>> 1;
    }
    lx.used = 0;
  }
  lx.usedAt = now;
}
