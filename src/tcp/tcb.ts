/**
 * The transmission control block (RFC 9293 §3.3.1): all that one connection knows. Data only; what is done with it stands in
 * `user-calls.ts`, `segment-arrives.ts`, `timeouts.ts` and `output.ts`.
 *
 *       acknowledged │    outstanding    │  may be sent  │ not yet allowed
 *   ─────────────────┼───────────────────┼───────────────┼────────────────
 *                 SND.UNA             SND.NXT      SND.UNA+SND.WND
 *
 *   SND.MAX is one ahead of SND.NXT while a zero-window probe's byte is out, else the same: UNA ≤ NXT ≤ MAX.
 */
import { ByteRing } from "../base/byte-ring.js";
import { RangeSet } from "../base/range-set.js";
import { seqAdd, seqDiff } from "../base/seq.js";
import { type Micros, NEVER } from "../base/time.js";
import type { IpAddress } from "../wire/address.js";
import type { ConnectionConfig } from "./config.js";
import type { CongestionControl } from "./congestion.js";
import type { Connection } from "./connection.js";
import { DeferAccept } from "./defer-accept.js";
import { DelayedAckVariables } from "./delayed-ack.js";
import { DeliveryRate } from "./delivery-rate.js";
import { EcnVariables } from "./ecn.js";
import type { ConnectionObserver, Failure } from "./events.js";
import { FastOpen } from "./fast-open.js";
import { KeepAliveVariables } from "./keep-alive.js";
import { SegmentBatch } from "./linux-batch.js";
import type { LinuxControl } from "./linux-control.js";
import { LinuxReceiver } from "./linux-receiver.js";
import { LinuxRttEstimator } from "./linux-rtt.js";
import { MtuSearch } from "./mtu-probing.js";
import { PathMtu } from "./path-mtu.js";
import { ProportionalRateReduction } from "./prr.js";
import { Rack } from "./rack.js";
import { ReceiveTuning } from "./receive-tuning.js";
import { RttEstimator } from "./rtt.js";
import { SackBlocks } from "./sack-blocks.js";
import { SendLimits } from "./send-limits.js";
import { SentList } from "./sent-list.js";
import type { State } from "./state.js";
import type { TransmitMarks } from "./transmit-marks.js";

export class SendVariables {
  una = 0;
  nxt = 0;
  /** In bytes, scaled. */
  wnd = 0;
  up = 0;
  wl1 = 0;
  wl2 = 0;
  max = 0;
  /** Effective send size (RFC 9293 MUST-16): payload bytes a segment, options already taken off. */
  mss = 536;
  windShift = 0;
  /** Max(SND.WND) of RFC 9293 §3.8.6.2.1. */
  maxWnd = 0;
}

export class ReceiveVariables {
  nxt = 0;
  up = 0;
  /** The right edge that was advertised: RCV.NXT + RCV.WND as the peer knows it. Never goes back (SHLD-14). */
  adv = 0;
  windShift = 0;
  /** Sequence number of the peer's FIN, valid when `finSeen`. */
  fin = 0;
  finSeen = false;
}

export class TimestampVariables {
  enabled = false;
  recent = 0;
  /** When `recent` was set, for the 24-day rule (RFC 7323 §5.5). */
  recentAt: Micros = 0;
  lastAckSent = 0;
  /** Added to the clock, so that a timestamp does not tell the uptime (RFC 7323 §7.1). */
  offset = 0;
}

/** Loss recovery (RFC 6582, 6675, 8985). */
export class RecoveryVariables {
  /** Fast recovery. */
  active = false;
  /** Recovery after a time-out. */
  loss = false;
  dupAcks = 0;
  /** SND.MAX when recovery began: it ends when this is acknowledged. */
  recover = 0;
  /** SND.MAX when the congestion window last kept data back; not ahead of SND.MAX. */
  limitedUntil = 0;
  /** A first partial ACK restarts the retransmission timer, later ones do not (RFC 6582 §3.2 step 3). */
  partialSeen = false;
  readonly prr = new ProportionalRateReduction();
  /** A tail loss probe is out (TLP.end_seq, TLP.is_retrans). */
  tlpActive = false;
  tlpEndSeq = 0;
  tlpRetransmitted = false;
  /** The last reduction can be taken back; `undoRetransmits` repetitions are not proven needless yet. */
  undoPossible = false;
  undoRetransmits = 0;
  /** What was sent again in this recovery. */
  readonly repeated = new RangeSet();
  undoTs = 0;
  /** The last D-SACK. */
  dsackStart = 0;
  dsackEnd = 0;
}

/** Deadlines in µs; NEVER when not running. */
export class Timers {
  retransmission: Micros = NEVER;
  persist: Micros = NEVER;
  delayedAck: Micros = NEVER;
  /** RACK's reordering timer. */
  rack: Micros = NEVER;
  /** Tail loss probe. */
  tlp: Micros = NEVER;
  timeWait: Micros = NEVER;
  finWait2: Micros = NEVER;
  keepAlive: Micros = NEVER;
  /** CLOSE with a time-out (SO_LINGER). */
  linger: Micros = NEVER;
  /** Held back by TCP_CORK until then. */
  cork: Micros = NEVER;
  /** The next segment may leave. */
  pacing: Micros = NEVER;
  /** Duplicate ACKs that were held back. */
  sackCompression: Micros = NEVER;
}

/** What the next calls of `pollTransmit` have to send besides new data. */
export class Pending {
  ack = false;
  ackReason = "";
  rst = false;
  /** It answers a segment, and has no ACK. */
  rstIsBare = false;
  /** RST for a segment of another incarnation; the connection itself lives on. */
  strayReset = false;
  /** The SYN-ACK of a Fast Open server once more. */
  synAck = false;
  strayResetSeq = 0;
  /** It goes out as if there were no connection: without options. */
  strayResetIsPlain = false;
  /** Its number is the acknowledgment: the segment had none. */
  strayResetHasAck = false;
  /** The ACK answers a segment that was not taken, and promises no window beyond what is free (FreeBSD: tcp_respond). */
  ackIsAnswer = false;
  /** Tail loss probe. */
  tlp = false;
  /** Zero-window probe. */
  probe = false;
  keepAlive = false;
  /** Why the RST goes out. */
  rstReason = "";
}

export class Counters {
  segmentsIn = 0;
  segmentsOut = 0;
  /** Payload bytes handed to the user or waiting for it. */
  bytesReceived = 0;
  /** Payload bytes that the peer acknowledged. */
  bytesAcked = 0;
  retransmits = 0;
  /** Payload bytes sent, repetitions included, and those of the repetitions alone. */
  bytesSent = 0;
  bytesRetransmitted = 0;
  /** Segments with payload. */
  dataSegmentsIn = 0;
  dataSegmentsOut = 0;
  /** D-SACKs received. */
  dsacksIn = 0;
  /** Segments delivered after later ones though they were sent only once. */
  reorderings = 0;
  timeouts = 0;
  fastRetransmits = 0;
  dupAcksIn = 0;
  outOfOrder = 0;
  challengeAcks = 0;
  pawsDrops = 0;
  zeroWindowProbes = 0;
  tailLossProbes = 0;
  /** Reductions of the congestion window that were taken back as spurious. */
  undos = 0;
}

export class Tcb {
  state: State = "CLOSED";
  /** Came to SYN-RECEIVED from LISTEN (RFC 9293 MUST-11). */
  passive = false;
  readonly owner: Connection;
  /** What holds now: a setter of `socket-options.ts` puts a changed copy in its place, connections may share the first. */
  config: ConnectionConfig;
  readonly local: IpAddress;
  readonly localPort: number;
  readonly remote: IpAddress;
  readonly remotePort: number;
  /** The part of the pseudo-header's sum that never changes. */
  readonly pseudoSum: number;
  observer: ConnectionObserver | undefined;

  iss = 0;
  irs = 0;
  readonly snd = new SendVariables();
  readonly rcv = new ReceiveVariables();
  readonly ts = new TimestampVariables();
  readonly recovery = new RecoveryVariables();
  readonly timers = new Timers();
  readonly pending = new Pending();
  readonly counters = new Counters();
  readonly rtt: RttEstimator;
  congestion: CongestionControl;
  /** `congestion`, where it is Linux's sender; undefined else. */
  linuxSender: LinuxControl | undefined = undefined;
  readonly batch = new SegmentBatch();

  readonly sendQueue = new ByteRing();
  /** Where the user wants to know what becomes of sent data; undefined as long as nobody asks. */
  transmitMarks: TransmitMarks | undefined;
  readonly receiveQueue = new ByteRing();
  readonly outOfOrder = new RangeSet();
  readonly sent = new SentList();
  readonly rack = new Rack();
  readonly rate = new DeliveryRate();
  readonly limits = new SendLimits();
  readonly tuning = new ReceiveTuning();
  readonly sack = new SackBlocks();
  /** Where `config.receiver` is "linux". */
  readonly linux: LinuxReceiver | undefined;
  readonly pathMtu = new PathMtu();
  readonly mtuSearch = new MtuSearch();

  /** Our SYN is acknowledged. Not to be told from SND.UNA: every 4 GiB it equals ISS again. */
  synAcked = false;
  /** The user has said that no more data will come: FIN follows the last byte. */
  finQueued = false;
  /** The user will not receive any more (CLOSE, not just SHUTDOWN): new data is answered with RST (SHLD-3). */
  readerGone = false;
  /** The user reads no more, but has not closed (POSIX: shutdown SHUT_RD). */
  readerShut = false;
  /** SEND took less than was offered; "writable" is owed. */
  writeBlocked = false;
  /** SND.UP is ahead of SND.UNA: urgent data is on its way. */
  urgentOut = false;
  /** RCV.UP is ahead of what the user has read. */
  urgentIn = false;
  /** The user holds back what does not fill a segment (TCP_CORK); `corkOverdue` when it has done so for too long. */
  corked = false;
  corkOverdue = false;
  /** When the next segment may leave; only pacing looks at it. */
  pacedUntil: Micros = 0;
  /** Nothing was outstanding when the present burst began. Note: FreeBSD's Nagle asks for that, once a burst (tcp_output). */
  wasIdle = false;
  /** Since when nothing is outstanding. */
  idleSince: Micros = 0;
  readonly ackDelay = new DelayedAckVariables();
  readonly keepAlive = new KeepAliveVariables();
  readonly fastOpen = new FastOpen();
  readonly ecn = new EcnVariables();
  readonly deferAccept = new DeferAccept();
  /** Both sides sent the window scale option. */
  scaling = false;

  /** Expiries of the retransmission timer (or persist timer) in a row. */
  backoffs = 0;
  /** When the first of them was started, for R2. */
  backoffSince: Micros = 0;
  /** When the first and the last of them came. */
  firstTimeoutAt: Micros = 0;
  lastTimeoutAt: Micros = 0;
  /** A SYN was repeated: RFC 6298 §5.7 applies when the handshake is done. */
  synRepeated = false;
  /** When our SYN last left; NEVER when nobody remembers (SYN cookies). */
  synSentAt: Micros = 0;
  /** Payload bytes received since the last ACK went out. */
  unackedBytes = 0;
  /** The largest payload received: the peer's full segment, as far as we can know it. */
  largestIn = 0;
  /** Present size of the receive buffer: `config.receiveBufferBytes`, and more as `tuning` finds it of use. */
  receiveBufferBytes: number;
  lastChallengeAt: Micros = -NEVER;
  lastReceiveAt: Micros = 0;
  /** When payload last left and came, and when the last ACK came; 0 before that. */
  lastDataSentAt: Micros = 0;
  lastDataReceivedAt: Micros = 0;
  lastAckReceivedAt: Micros = 0;
  ipId: number;

  /** Bits of `event-bits.ts` that the user has not pulled yet. */
  events = 0;
  failure: Failure | undefined;
  softError: Failure | undefined;

  constructor(
    owner: Connection,
    config: ConnectionConfig,
    local: IpAddress,
    localPort: number,
    remote: IpAddress,
    remotePort: number,
    ipId: number,
  ) {
    this.owner = owner;
    this.config = config;
    this.local = local;
    this.localPort = localPort;
    this.remote = remote;
    this.remotePort = remotePort;
    this.pseudoSum = local.wordSum() + remote.wordSum() + 6;
    this.ipId = ipId;
    this.receiveBufferBytes = config.receiveBufferBytes;
    this.sack.tellsDuplicates = config.dsack;
    const { rtoInitialUs, rtoMinUs, rtoMaxUs, rtoSlopUs } = config;
    this.rtt =
      config.sender === "linux"
        ? new LinuxRttEstimator(rtoInitialUs, rtoMinUs, rtoMaxUs, this.snd)
        : new RttEstimator(rtoInitialUs, rtoMinUs, rtoMaxUs, rtoSlopUs);
    this.linux = config.receiver === "linux" ? new LinuxReceiver() : undefined;
    this.congestion = config.congestion(536, 536);
  }

  /** RCV.WND: what the peer may still send, as far as it has been told. */
  get receiveWindow(): number {
    return seqDiff(this.rcv.adv, this.rcv.nxt);
  }

  /** Sequence number of the first byte in `sendQueue`. */
  get dataStart(): number {
    return this.synAcked ? this.snd.una : seqAdd(this.snd.una, 1);
  }

  /** One past the last byte in `sendQueue`: where FIN stands if it is queued. */
  get dataEnd(): number {
    return seqAdd(this.dataStart, this.sendQueue.length);
  }

  /** FlightSize (RFC 5681 §2): sent and not acknowledged. */
  get flightSize(): number {
    return seqDiff(this.snd.max, this.snd.una);
  }

  /** Bytes up to the end of urgent data that the user has not read yet (RFC 9293 MUST-33); 0 or less when there is none. */
  get urgentBytes(): number {
    return this.urgentIn ? seqDiff(this.rcv.up, this.rcv.nxt) + this.receiveQueue.length : 0;
  }

  /** Free bytes of the receive buffer. */
  get receiveSpace(): number {
    return Math.max(0, this.receiveBufferBytes - this.receiveQueue.length);
  }
}
