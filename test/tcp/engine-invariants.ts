/**
 * What must hold of the sender's books whenever everything due has been sent: the list of what was sent against a recount, its
 * two orders, the congestion window, and that nothing taken for lost is forgotten. Throws with the connection's status.
 */
import { seqDiff, seqLe } from "../../src/base/seq.js";
import { NEVER } from "../../src/base/time.js";
import type { Connection } from "../../src/tcp/connection.js";
import type { SentSegment } from "../../src/tcp/sent-list.js";
import { isSynchronized } from "../../src/tcp/state.js";

/** Ranges that a receiver keeps at the most, whatever the peer sends; one more may come while a segment is taken in. */
export const MOST_RANGES = 4_096;

/** After any input and a drain. */
export function checkEngine(connection: Connection): void {
  const { tcb } = connection;
  if (tcb.state === "CLOSED" || tcb.state === "LISTEN") {
    check(tcb.sent.length === 0 && tcb.outOfOrder.size === 0, connection, "a closed connection keeps lists");
    return;
  }
  recount(connection);
  transmissionOrder(connection);
  nothingForgotten(connection);
  const { snd, congestion } = tcb;
  const open = isSynchronized(tcb.state);
  check(!open || congestion.cwnd >= Math.min(snd.mss, 536), connection, `cwnd ${congestion.cwnd} is less than a segment`);
  check(!Number.isNaN(congestion.cwnd) && !Number.isNaN(congestion.ssthresh), connection, "cwnd is no number");
  check(Number.isFinite(congestion.cwnd), connection, "cwnd without bound");
  check(tcb.outOfOrder.size <= MOST_RANGES, connection, `${tcb.outOfOrder.size} ranges are kept`);
  checkRanges(connection);
}

/** The list is without gaps from SND.UNA to SND.NXT, and its sums are what a recount gives. */
function recount(connection: Connection): void {
  const { tcb } = connection;
  const { sent, snd } = tcb;
  const sums = { inFlightBytes: 0, sackedBytes: 0, lostBytes: 0, sackedSegments: 0, lostSegments: 0, retransmittedSegments: 0 };
  let previous: SentSegment | undefined;
  for (let i = 0; i < sent.length; i++) {
    const segment = sent.at(i);
    if (segment === undefined) throw new Error(`no segment ${i} of ${sent.length}`);
    check(segment.length > 0, connection, `segment ${i} is empty`);
    check(previous === undefined || previous.end === segment.seq, connection, `a gap before segment ${i}`);
    check(!(segment.sacked && segment.lost), connection, `segment ${i} is both SACKed and lost`);
    check(segment.transmissions >= 1, connection, `segment ${i} never left`);
    if (segment.sacked) {
      sums.sackedBytes += segment.length;
      sums.sackedSegments++;
    } else if (segment.lost) {
      sums.lostBytes += segment.length;
      sums.lostSegments++;
    } else {
      sums.inFlightBytes += segment.length;
      if (segment.retransmitted) sums.retransmittedSegments++;
    }
    previous = segment;
  }
  for (const [name, value] of Object.entries(sums)) {
    const told = sent[name as keyof typeof sums];
    check(told === value, connection, `${name} is ${told}, a recount gives ${value}`);
  }
  const { first, last } = sent;
  if (first === undefined || last === undefined) return;
  // A Fast Open server has sent data beyond a SYN-ACK that waits for its acknowledgment; the SYN itself is in no list.
  const { dataStart, iss, synAcked } = connection.tcb;
  check(first.seq === dataStart, connection, `the list begins ${seqDiff(first.seq, dataStart)} from the data`);
  check(seqLe(last.end, snd.max), connection, "the list goes beyond SND.MAX");
  // SND.NXT is ISS while the SYN-ACK is due again.
  const due = !synAcked && snd.nxt === iss;
  check(due || last.end === snd.nxt, connection, `the list ends ${seqDiff(last.end, snd.nxt)} from SND.NXT`);
}

/** Exactly what is in flight stands in the order of transmission, oldest first. */
function transmissionOrder(connection: Connection): void {
  const { sent } = connection.tcb;
  let inFlight = 0;
  for (let i = 0; i < sent.length; i++) if (sent.at(i)?.inFlight) inFlight++;
  let count = 0;
  let older: SentSegment | undefined;
  for (let segment = sent.oldest; segment !== undefined; segment = segment.newer) {
    count++;
    check(count <= inFlight, connection, "the order of transmission holds more than is in flight");
    check(segment.inFlight, connection, "what is not in flight stands in the order of transmission");
    check(segment.older === older, connection, "the order of transmission is broken");
    check(older === undefined || older.sentAt <= segment.sentAt, connection, "the order of transmission is not one of time");
    older = segment;
  }
  check(count === inFlight, connection, `${inFlight} in flight, ${count} in the order of transmission`);
}

/** Something will bring every lost segment out again, and what timed out has left at once (RFC 6298 §5.4). */
function nothingForgotten(connection: Connection): void {
  const { tcb } = connection;
  const { sent, timers, snd, recovery } = tcb;
  if (tcb.state === "TIME-WAIT" || sent.length === 0) return;
  const armed = timers.retransmission !== NEVER || timers.persist !== NEVER;
  check(sent.lostSegments === 0 || armed, connection, "lost, and no timer");
  const { first } = sent;
  if (first === undefined || !recovery.loss || tcb.backoffs === 0 || snd.wnd < first.length || timers.persist !== NEVER) return;
  check(first.sacked || first.sentAt >= tcb.lastTimeoutAt, connection, "a time-out did not send the first segment again");
}

/** The ranges after a hole are in order, apart, and inside the window. */
function checkRanges(connection: Connection): void {
  const { outOfOrder, rcv } = connection.tcb;
  let edge = rcv.nxt;
  for (let i = 0; i < outOfOrder.size; i++) {
    check(seqDiff(outOfOrder.start(i), edge) > 0, connection, `range ${i} touches what is before it`);
    check(seqDiff(outOfOrder.end(i), outOfOrder.start(i)) > 0, connection, `range ${i} is empty`);
    edge = outOfOrder.end(i);
  }
  // The receiver "linux" takes what begins in the window.
  const isInside = seqLe(edge, rcv.adv) || connection.tcb.linux !== undefined;
  check(isInside || outOfOrder.size === 0, connection, "a range lies beyond the window");
}

function check(holds: boolean, connection: Connection, what: string): void {
  if (!holds) throw new Error(`${what}: ${JSON.stringify(connection.status())}`);
}
