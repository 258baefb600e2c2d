/**
 * One connection: a value that time and bytes are pushed into and that packets, events and a deadline are pulled out of. It
 * reads no clock and owns no timer; after any input the owner drains `pollTransmit` and `pollEvent`. Extra calls do nothing.
 */
import type { Micros } from "../base/time.js";
import type { IpAddress } from "../wire/address.js";
import type { IcmpError } from "../wire/icmp.js";
import type { Segment } from "../wire/segment.js";
import type { ChallengeBudget } from "./challenge-ack.js";
import type { ConnectionConfig } from "./config.js";
import { setCork } from "./cork.js";
import { setQuickAck } from "./delayed-ack.js";
import { EVENT_ORDER } from "./event-bits.js";
import type { ConnectionEvent, ConnectionObserver, Failure } from "./events.js";
import { icmpArrives } from "./icmp-arrives.js";
import { type TcpInfo, tcpInfo } from "./info.js";
import type { OutgoingPacket } from "./outgoing-packet.js";
import { pollTransmit } from "./output.js";
import { segmentArrives } from "./segment-arrives.js";
import { sendSpace } from "./send-space.js";
import * as options from "./socket-options.js";
import type { State } from "./state.js";
import { type Status, snapshot } from "./status.js";
import { Tcb } from "./tcb.js";
import { yieldTimeWait } from "./time-wait.js";
import { handleTimeout, nextTimeout } from "./timeouts.js";
import * as calls from "./user-calls.js";

/** Asked before a half-open connection becomes ESTABLISHED: a listener whose accept queue is full says no. */
export interface EstablishGate {
  mayEstablish(connection: Connection, now: Micros): boolean;
  /** The connection is over. */
  ended?(connection: Connection, now: Micros): void;
}

export class Connection {
  readonly tcb: Tcb;
  /** Number of the connection in its stack, from 1; stands in every trace. */
  readonly id: number;
  gate: EstablishGate | undefined;
  /** What the connections of one stack share; without it only the connection's own limit counts. */
  challengeBudget: ChallengeBudget | undefined;
  /** For the user: whatever it wants to find again from a connection. */
  context: unknown;
  /** Called after every user call that may have made something due; the stack drains the connection then. */
  wake: (() => void) | undefined;

  constructor(
    id: number,
    config: ConnectionConfig,
    local: IpAddress,
    localPort: number,
    remote: IpAddress,
    remotePort: number,
    seed: { readonly tsOffset: number; readonly ipId: number },
  ) {
    this.id = id;
    this.tcb = new Tcb(this, config, local, localPort, remote, remotePort, seed.ipId);
    this.tcb.ts.offset = seed.tsOffset;
  }

  get state(): State {
    return this.tcb.state;
  }

  /** Why the connection failed; undefined while it has not. */
  get failure(): Failure | undefined {
    return this.tcb.failure;
  }

  /** The last soft error (RFC 9293 MUST-47); undefined when there was none. */
  get softError(): Failure | undefined {
    return this.tcb.softError;
  }

  set observer(observer: ConnectionObserver | undefined) {
    this.tcb.observer = observer;
  }

  /** Active OPEN with the given initial send sequence number; `data` is the first to be sent, and must fit in the send buffer. */
  openActive(iss: number, now: Micros, data?: Uint8Array): void {
    calls.openActive(this.tcb, iss, now, data);
    this.wake?.();
  }

  /** Passive OPEN for the one SYN that `receive` is given next. */
  openPassive(iss: number, now: Micros): void {
    calls.openPassive(this.tcb, iss, now);
  }

  /** SEND: queues a copy, returns the bytes taken. Throws RawTcpError `EPIPE`, `ENOTCONN`. See `user-calls.ts`. */
  send(data: Uint8Array, offset = 0, length = data.length - offset, urgent = false): number {
    const taken = calls.send(this.tcb, data, offset, length, urgent);
    if (taken > 0) this.wake?.();
    return taken;
  }

  /** RECEIVE: copies received bytes into `target`, returns how many. */
  read(target: Uint8Array, offset = 0, length = target.length - offset): number {
    const count = calls.receive(this.tcb, target, offset, length);
    if (this.tcb.pending.ack) this.wake?.();
    return count;
  }

  /** Bytes that `read` would give now. */
  get readableBytes(): number {
    return this.tcb.receiveQueue.length;
  }

  /** Bytes of the send buffer that are free. */
  get writableBytes(): number {
    return sendSpace(this.tcb);
  }

  /** Nothing is there and nothing will come. */
  get endOfData(): boolean {
    return calls.endOfData(this.tcb);
  }

  /** CLOSE of our direction; receiving goes on. */
  shutdown(now: Micros): void {
    calls.shutdown(this.tcb, now);
    this.wake?.();
  }

  /** CLOSE by a user that will not read any more. */
  close(now: Micros): void {
    calls.close(this.tcb, now);
    this.wake?.();
  }

  /** ABORT: RST. */
  abort(now: Micros): void {
    calls.abort(this.tcb, now);
    this.wake?.();
  }

  /** The listener is no more, and nobody has accepted: RST. */
  orphan(now: Micros): void {
    calls.orphan(this.tcb, now);
    this.wake?.();
  }

  /** TCP_NODELAY. */
  setNoDelay(on: boolean): void {
    options.setNoDelay(this.tcb, on);
    this.wake?.();
  }

  /** TCP_CORK: holds back what does not fill a segment, for 200 ms at the most. Switching it off lets go of it. */
  setCork(on: boolean): void {
    setCork(this.tcb, on);
    this.wake?.();
  }

  /** TCP_QUICKACK: acknowledges at once for now, or delays again. */
  setQuickAck(on: boolean): void {
    setQuickAck(this.tcb, on);
    this.wake?.();
  }

  /** SO_KEEPALIVE and its times in µs; what is left out stays. Throws RawTcpError `EINVAL`. See `socket-options.ts`, also for the others. */
  setKeepAlive(on: boolean, now: Micros, idleUs?: Micros, intervalUs?: Micros, count?: number): void {
    options.setKeepAlive(this.tcb, on, now, idleUs, intervalUs, count);
    this.wake?.();
  }

  /** TCP_USER_TIMEOUT in µs; NEVER for none. Throws RawTcpError `EINVAL`. */
  setUserTimeout(timeoutUs: Micros): void {
    options.setUserTimeout(this.tcb, timeoutUs);
    this.wake?.();
  }

  /** SO_LINGER in µs; 0 makes CLOSE send RST, NEVER lets it take its time. Throws RawTcpError `EINVAL`. */
  setLinger(lingerUs: Micros): void {
    options.setLinger(this.tcb, lingerUs);
  }

  /** TCP_LINGER2 in µs: how long FIN-WAIT-2 lasts after CLOSE. Throws RawTcpError `EINVAL`. */
  setLinger2(finWait2Us: Micros): void {
    options.setLinger2(this.tcb, finWait2Us);
  }

  /** TTL or hop limit. Throws RawTcpError `EINVAL`. */
  setTtl(ttl: number): void {
    options.setTtl(this.tcb, ttl);
  }

  /** What its host was told to do from now on, as `sysctl` does. */
  adopt(changes: Partial<ConnectionConfig>): void {
    options.adopt(this.tcb, changes);
  }

  /** TOS or traffic class without its ECN bits (Diffserv). Throws RawTcpError `EINVAL`. */
  setTos(tos: number): void {
    options.setTos(this.tcb, tos);
  }

  /** TCP_MAXSEG, before OPEN. Throws RawTcpError `EINVAL`, `EISCONN`. */
  setMaxSegment(mssBytes: number): void {
    options.setMaxSegment(this.tcb, mssBytes);
  }

  /** SO_SNDBUF in bytes. Throws RawTcpError `EINVAL`. */
  setSendBuffer(bytes: number): void {
    options.setSendBuffer(this.tcb, bytes);
    this.wake?.();
  }

  /** SO_RCVBUF in bytes. Throws RawTcpError `EINVAL`. */
  setReceiveBuffer(bytes: number): void {
    options.setReceiveBuffer(this.tcb, bytes);
    this.wake?.();
  }

  /** SO_MAX_PACING_RATE in bytes a second; NEVER ends pacing. Throws RawTcpError `EINVAL`. */
  setMaxPacingRate(bytesPerSecond: number): void {
    options.setMaxPacingRate(this.tcb, bytesPerSecond);
    this.wake?.();
  }

  /** TCP_NOTSENT_LOWAT in bytes; NEVER for none. Throws RawTcpError `EINVAL`. */
  setNotSentLowWater(bytes: number): void {
    options.setNotSentLowWater(this.tcb, bytes);
    this.wake?.();
  }

  /** TCP_CONGESTION: "cubic", "reno", "newreno". Throws UnknownCongestionControlError. */
  setCongestionControl(name: string): void {
    options.setCongestionControl(this.tcb, name);
    this.wake?.();
  }

  /** An ICMP error about a segment of this connection. Returns what was made of it. */
  receiveIcmp(error: IcmpError, now: Micros): string {
    return icmpArrives(this.tcb, error, now);
  }

  /**
   * Whether a SYN may begin a new incarnation out of TIME-WAIT (RFC 9293 MAY-2, RFC 6191); if so this one is CLOSED now. `hasRoom`:
   * somebody listens, and can take one more.
   */
  yieldTimeWait(segment: Segment, now: Micros, hasRoom = true): boolean {
    return yieldTimeWait(this.tcb, segment, now, hasRoom);
  }

  /** STATUS. */
  status(): Status {
    return snapshot(this.tcb);
  }

  /** TCP_INFO: as `status`, with the fields of Linux. */
  info(now: Micros): TcpInfo {
    return tcpInfo(this.tcb, now);
  }

  /** A segment for this connection; lent for the call. Returns what was made of it, in a few words. */
  receive(segment: Segment, now: Micros): string {
    return segmentArrives(this.tcb, segment, now);
  }

  handleTimeout(now: Micros): void {
    handleTimeout(this.tcb, now);
  }

  /** The time of the next timer, NEVER when none runs. */
  nextTimeout(): Micros {
    return nextTimeout(this.tcb);
  }

  /** Writes the next packet that is due; false when there is none. */
  pollTransmit(now: Micros, out: OutgoingPacket): boolean {
    return pollTransmit(this.tcb, now, out);
  }

  /** The next user event; undefined when all have been told. */
  pollEvent(): ConnectionEvent | undefined {
    const events = this.tcb.events;
    if (events === 0) return undefined;
    for (const [bit, name] of EVENT_ORDER) {
      if ((events & bit) !== 0) {
        this.tcb.events = events & ~bit;
        return name;
      }
    }
    return undefined;
  }

  /** For the TCB: whether SYN-RECEIVED may be left for ESTABLISHED. */
  mayEstablish(now: Micros): boolean {
    return this.gate?.mayEstablish(this, now) ?? true;
  }
}
