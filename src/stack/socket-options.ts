/**
 * Socket options by their Linux names. Before there is a connection they are changes of its configuration, afterwards setters
 * of the engine. Units are those of Linux: seconds, or milliseconds for TCP_USER_TIMEOUT. Sizes of buffers are told as they were
 * set: Linux doubles them for its own book-keeping, which this stack does not have.
 */
import { RawTcpError } from "../base/errors.js";
import { MILLISECOND, type Micros, NEVER, SECOND } from "../base/time.js";
import type { ConnectionConfig } from "../tcp/config.js";
import { congestionByName } from "../tcp/congestion-controls.js";
import type { Connection } from "../tcp/connection.js";
import { setCork } from "../tcp/cork.js";
import { timeOf, timeoutsWithin } from "../tcp/defer-accept.js";
import { setQuickAck } from "../tcp/delayed-ack.js";
import { linuxBuffer } from "../tcp/linux-receiver.js";
import * as live from "../tcp/socket-options.js";
import type { Tcb } from "../tcp/tcb.js";
import { SOF_TIMESTAMPING } from "./error-queue.js";

/** l_onoff and l_linger (seconds) of SO_LINGER. */
export interface Linger {
  readonly on: boolean;
  readonly seconds: number;
}

/** Options whose value is a number; switches are 0 and 1. */
export type NumberOption =
  | "SO_REUSEADDR"
  | "SO_KEEPALIVE"
  | "SO_OOBINLINE"
  | "SO_SNDBUF"
  | "SO_RCVBUF"
  | "SO_MAX_PACING_RATE"
  | "TCP_NODELAY"
  | "TCP_CORK"
  | "TCP_QUICKACK"
  | "TCP_MAXSEG"
  | "TCP_KEEPIDLE"
  | "TCP_KEEPINTVL"
  | "TCP_KEEPCNT"
  | "TCP_USER_TIMEOUT"
  | "TCP_LINGER2"
  | "TCP_SYNCNT"
  | "TCP_WINDOW_CLAMP"
  | "TCP_NOTSENT_LOWAT"
  | "TCP_RTO_MIN_US"
  | "TCP_RTO_MAX_MS"
  | "TCP_DELACK_MAX_US"
  | "TCP_THIN_LINEAR_TIMEOUTS"
  | "TCP_DEFER_ACCEPT"
  | "TCP_FASTOPEN"
  | "TCP_FASTOPEN_CONNECT"
  | "TCP_FASTOPEN_NO_COOKIE"
  | "TCP_KEEPINIT"
  | "TCP_NOOPT"
  | "SO_RCVLOWAT"
  | "SO_ZEROCOPY"
  | "SO_TIMESTAMPING"
  | "IP_TTL"
  | "IP_TOS"
  | "IPV6_UNICAST_HOPS"
  | "IPV6_TCLASS";

/** What a socket remembers of its options; the source of what a connection begins with. */
export class SocketOptions {
  /** Changes of the configuration, by the options that were set. */
  config: Partial<ConnectionConfig> = {};
  reuseAddress = false;
  outOfBandInline = false;
  corked = false;
  /** Pending Fast Open connections of a listener. */
  fastOpenQueue = 0;
  fastOpenKey: Uint8Array | undefined;
  /** `connect` waits for the first data. */
  fastOpenConnect = false;
  quickAck: boolean | undefined;
  /** SO_RCVLOWAT: bytes below which the socket is not readable. */
  receiveLowWater = 1;
  /** SO_ZEROCOPY: MSG_ZEROCOPY counts. */
  zerocopy = false;
  /** Bits of SO_TIMESTAMPING, and the sequence number from which the ids of stamps count. */
  timestamping = 0;
  stampBase = 0;
  synRetries = 0;
  linger: Linger = { on: false, seconds: 0 };
  congestionName: string | undefined;

  /** For an accepted connection: it inherits all. */
  clone(): SocketOptions {
    return Object.assign(new SocketOptions(), this, { config: { ...this.config } });
  }

  /** A number as `getsockopt` gives it; `config` is what holds now. */
  get(name: NumberOption, config: ConnectionConfig, connection: Connection | undefined): number {
    switch (name) {
      case "SO_REUSEADDR":
        return Number(this.reuseAddress);
      case "SO_OOBINLINE":
        return Number(this.outOfBandInline);
      case "SO_RCVLOWAT":
        return this.receiveLowWater;
      case "SO_ZEROCOPY":
        return Number(this.zerocopy);
      case "SO_TIMESTAMPING":
        return this.timestamping;
      case "TCP_SYNCNT":
        // Note: Linux has 6 (net.ipv4.tcp_syn_retries).
        return this.synRetries || 6;
      case "SO_KEEPALIVE":
        return Number(config.keepAlive);
      case "SO_SNDBUF":
        return config.sendBufferBytes;
      case "SO_RCVBUF":
        if (connection !== undefined) return connection.tcb.linux?.buffer ?? connection.tcb.receiveBufferBytes;
        return config.receiver === "linux" && config.receiveBufferMaxBytes <= 0
          ? linuxBuffer(config.receiveBufferBytes)
          : config.receiveBufferBytes;
      case "TCP_NODELAY":
        return Number(config.noDelay);
      case "TCP_CORK":
        return Number(this.corked);
      case "TCP_QUICKACK":
        return Number(this.quickAck ?? true);
      case "TCP_MAXSEG":
        // Note: Linux does the same: the effective size once connected, what was asked for before.
        return connection?.tcb.synAcked ? connection.tcb.snd.mss : config.mssBytes;
      case "TCP_KEEPIDLE":
        return whole(config.keepAliveIdleUs, SECOND);
      case "TCP_KEEPINTVL":
        return whole(config.keepAliveIntervalUs, SECOND);
      case "TCP_KEEPCNT":
        return config.keepAliveCount;
      case "TCP_USER_TIMEOUT":
        return config.userTimeoutUs === NEVER ? 0 : whole(config.userTimeoutUs, MILLISECOND);
      case "TCP_WINDOW_CLAMP":
        return connection?.tcb.linux?.clamp ?? config.windowClampBytes;
      case "TCP_LINGER2":
        return config.finWait2Us === NEVER || config.finWait2Us === 0 ? -1 : whole(config.finWait2Us, SECOND);
      case "SO_MAX_PACING_RATE":
        return config.maxPacingRate === NEVER ? 0xffff_ffff : config.maxPacingRate;
      case "TCP_RTO_MIN_US":
        return config.rtoMinUs;
      case "TCP_RTO_MAX_MS":
        return whole(config.rtoMaxUs, MILLISECOND);
      case "TCP_DELACK_MAX_US":
        return config.delayedAckMaxUs;
      case "TCP_THIN_LINEAR_TIMEOUTS":
        return Number(config.thinLinearTimeouts);
      case "TCP_NOTSENT_LOWAT":
        return config.notSentLowWaterBytes === NEVER ? 0xffff_ffff : config.notSentLowWaterBytes;
      case "TCP_DEFER_ACCEPT": {
        // Note: Linux does the same: what the time was rounded up to.
        const { deferAcceptUs, rtoInitialUs, rtoMaxUs } = config;
        return whole(timeOf(timeoutsWithin(deferAcceptUs, rtoInitialUs, rtoMaxUs), rtoInitialUs, rtoMaxUs), SECOND);
      }
      case "TCP_FASTOPEN":
        return this.fastOpenQueue;
      case "TCP_FASTOPEN_CONNECT":
        return Number(this.fastOpenConnect);
      case "TCP_FASTOPEN_NO_COOKIE":
        return Number(config.fastOpenWithoutCookie === true);
      case "TCP_KEEPINIT":
        return whole(config.synTimeoutUs, SECOND);
      case "TCP_NOOPT":
        return Number(config.optionLayout === "none");
      case "IP_TTL":
      case "IPV6_UNICAST_HOPS":
        return config.ttl;
      case "IP_TOS":
      case "IPV6_TCLASS":
        return config.tos;
      default:
        throw unknownOption(name);
    }
  }

  /**
   * Sets a number; `connection` gets it too. Throws RawTcpError `EINVAL` for a value out of range, `ENOPROTOOPT` for an option
   * that there is none of.
   */
  set(name: NumberOption, value: number, connection: Connection | undefined, now: Micros, doubles = false): void {
    if (!Number.isInteger(value)) throw invalid(name, value);
    const tcb = connection?.tcb;
    const on = value !== 0;
    switch (name) {
      case "SO_REUSEADDR":
        this.reuseAddress = on;
        return;
      case "SO_OOBINLINE":
        this.outOfBandInline = on;
        return;
      case "SO_RCVLOWAT":
        // Note: Linux does the same: a negative mark is none, and 0 is 1.
        this.receiveLowWater = value < 0 ? 0x7fff_ffff : Math.max(1, value);
        return;
      case "SO_ZEROCOPY":
        inRange(name, value, 0, 1);
        this.zerocopy = on;
        return;
      case "SO_TIMESTAMPING":
        this.#setTimestamping(value, tcb);
        return;
      case "SO_KEEPALIVE":
        this.#change({ keepAlive: on });
        if (tcb !== undefined) live.setKeepAlive(tcb, on, now);
        return;
      case "SO_SNDBUF": {
        const bytes = clamp(value, LEAST_BUFFER, LARGEST_BUFFER);
        this.#change({ sendBufferBytes: bytes });
        if (tcb !== undefined) live.setSendBuffer(tcb, bytes);
        return;
      }
      case "SO_RCVBUF": {
        // Note: Linux doubles it later.
        const bytes = clamp(value, doubles ? LEAST_BUFFER / 2 : LEAST_BUFFER, LARGEST_BUFFER);
        this.#change({ receiveBufferBytes: bytes, receiveBufferMaxBytes: 0 });
        if (tcb !== undefined) live.setReceiveBuffer(tcb, bytes);
        return;
      }
      case "TCP_NODELAY":
        this.#change({ noDelay: on });
        if (tcb !== undefined) live.setNoDelay(tcb, on);
        return;
      case "TCP_CORK":
        this.corked = on;
        if (tcb !== undefined) setCork(tcb, on);
        return;
      case "TCP_QUICKACK":
        this.quickAck = on;
        // Even numbers leave the user who answers what it is: one that answers. Note: Linux does the same.
        if (tcb !== undefined) setQuickAck(tcb, value);
        return;
      case "TCP_MAXSEG":
        if (value === 0 && tcb === undefined) {
          const { mssBytes, ...others } = this.config;
          this.config = others;
          return;
        }
        inRange(name, value, 88, 32_767);
        this.#change({ mssBytes: value });
        if (tcb !== undefined) live.setMaxSegment(tcb, value);
        return;
      case "TCP_KEEPIDLE":
        inRange(name, value, 1, 32_767);
        this.#change({ keepAliveIdleUs: value * SECOND });
        if (tcb !== undefined) live.setKeepAlive(tcb, tcb.config.keepAlive, now, value * SECOND);
        return;
      case "TCP_KEEPINTVL":
        inRange(name, value, 1, 32_767);
        this.#change({ keepAliveIntervalUs: value * SECOND });
        if (tcb !== undefined) live.setKeepAlive(tcb, tcb.config.keepAlive, now, undefined, value * SECOND);
        return;
      case "TCP_KEEPCNT":
        inRange(name, value, 1, 127);
        this.#change({ keepAliveCount: value });
        if (tcb !== undefined) live.setKeepAlive(tcb, tcb.config.keepAlive, now, undefined, undefined, value);
        return;
      case "TCP_USER_TIMEOUT": {
        inRange(name, value, 0, 0x7fff_ffff);
        const us = on ? value * MILLISECOND : NEVER;
        this.#change({ userTimeoutUs: us });
        if (tcb !== undefined) live.setUserTimeout(tcb, us);
        return;
      }
      case "TCP_LINGER2": {
        // Note: Linux does the same: a negative value ends FIN-WAIT-2 at once, one above 120 s counts as 120 s.
        inRange(name, value, -0x8000_0000, 0x7fff_ffff);
        const us = Math.min(Math.max(value, 0), 120) * SECOND;
        if (value === 0) {
          const { finWait2Us, ...others } = this.config;
          this.config = others;
          return;
        }
        this.#change({ finWait2Us: us });
        if (tcb !== undefined) live.setLinger2(tcb, us);
        return;
      }
      case "SO_MAX_PACING_RATE": {
        const rate = value <= 0 || value >= 0xffff_ffff ? NEVER : value;
        this.#change({ pacing: rate !== NEVER, maxPacingRate: rate });
        if (tcb !== undefined) live.setMaxPacingRate(tcb, rate);
        return;
      }
      case "TCP_NOTSENT_LOWAT": {
        const bytes = value <= 0 || value === 0xffff_ffff ? NEVER : Math.min(value, LARGEST_BUFFER);
        this.#change({ notSentLowWaterBytes: bytes });
        if (tcb !== undefined) live.setNotSentLowWater(tcb, bytes);
        return;
      }
      case "TCP_WINDOW_CLAMP":
        // Note: Linux does the same: half the least buffer at least, and 0 for none before there is a connection.
        if (value === 0 && tcb === undefined) {
          this.#change({ windowClampBytes: 0 });
          return;
        }
        inRange(name, value, -LARGEST_BUFFER, LARGEST_BUFFER);
        if (value === 0) throw invalid(name, value);
        this.#change({ windowClampBytes: Math.max(value, LEAST_BUFFER / 2) });
        tcb?.linux?.bound(value);
        return;
      case "TCP_RTO_MIN_US":
        // Note: Linux has the same bounds: two ticks of its clock, and TCP_RTO_MIN.
        inRange(name, value, 1001, 200_000);
        this.#change({ rtoMinUs: value });
        if (tcb !== undefined) live.setTimeoutBounds(tcb, value, tcb.config.rtoMaxUs);
        return;
      case "TCP_RTO_MAX_MS":
        inRange(name, value, 1000, 120_000);
        this.#change({ rtoMaxUs: value * MILLISECOND });
        if (tcb !== undefined) live.setTimeoutBounds(tcb, tcb.config.rtoMinUs, value * MILLISECOND);
        return;
      case "TCP_DELACK_MAX_US":
        inRange(name, value, 1001, 200_000);
        this.#change({ delayedAckMaxUs: value });
        if (tcb !== undefined) live.setDelayedAckMax(tcb, value);
        return;
      case "TCP_THIN_LINEAR_TIMEOUTS":
        inRange(name, value, 0, 1);
        this.#change({ thinLinearTimeouts: on });
        if (tcb !== undefined) live.setThinLinearTimeouts(tcb, on);
        return;
      case "TCP_SYNCNT":
        inRange(name, value, 1, 127);
        this.synRetries = value;
        this.#change({ synTimeoutUs: (2 ** (value + 1) - 1) * SECOND });
        return;
      case "TCP_DEFER_ACCEPT":
        this.#change({ deferAcceptUs: Math.max(0, value) * SECOND });
        return;
      case "TCP_FASTOPEN":
        if (connection !== undefined) throw invalid(name, value);
        inRange(name, value, 0, 0x7fff_ffff);
        this.fastOpenQueue = value;
        return;
      case "TCP_FASTOPEN_CONNECT":
        if (connection !== undefined) throw invalid(name, value);
        inRange(name, value, 0, 1);
        this.fastOpenConnect = on;
        return;
      case "TCP_FASTOPEN_NO_COOKIE":
        if (connection !== undefined) throw invalid(name, value);
        inRange(name, value, 0, 1);
        this.#change({ fastOpenWithoutCookie: on });
        return;
      case "TCP_KEEPINIT":
        // FreeBSD: how long a connection may take to be open.
        inRange(name, value, 1, 32_767);
        this.#change({ synTimeoutUs: value * SECOND });
        return;
      case "TCP_NOOPT":
        // FreeBSD: no options at all, neither ours nor the peer's.
        if (on) this.#change({ optionLayout: "none", timestamps: false, sack: false, windowScaling: false });
        else if (this.config.optionLayout === "none") this.#forgetOptions();
        return;
      case "IP_TTL":
      case "IPV6_UNICAST_HOPS":
        inRange(name, value, 1, 255);
        this.#change({ ttl: value });
        if (tcb !== undefined) live.setTtl(tcb, value);
        return;
      case "IP_TOS":
      case "IPV6_TCLASS":
        inRange(name, value, 0, 255);
        this.#change({ tos: value & 0xfc });
        if (tcb !== undefined) live.setTos(tcb, value);
        return;
      default:
        throw unknownOption(name);
    }
  }

  /** Note: Linux does the same: ids count from what is not acknowledged when they are asked for, or (OPT_ID_TCP) from what is written. */
  #setTimestamping(value: number, tcb: Tcb | undefined): void {
    const { OPT_ID, OPT_STATS, OPT_TSONLY, OPT_ID_TCP, ALL } = SOF_TIMESTAMPING;
    const isBad = (value & ~ALL) !== 0 || ((value & OPT_STATS) !== 0 && (value & OPT_TSONLY) === 0);
    const isNew = (value & OPT_ID) !== 0 && (this.timestamping & OPT_ID) === 0;
    if (isBad || (isNew && (tcb === undefined || tcb.state === "CLOSED"))) throw invalid("SO_TIMESTAMPING", value);
    if (isNew && tcb !== undefined) this.stampBase = (value & OPT_ID_TCP) !== 0 ? tcb.dataEnd : tcb.dataStart;
    this.timestamping = value;
  }

  /** SO_LINGER. Note: like Linux with `seconds` 0, CLOSE resets at once; else what is not delivered by then is given up with RST. */
  setLinger(linger: Linger, connection: Connection | undefined): void {
    inRange("SO_LINGER", linger.seconds, 0, 0x7fff_ffff);
    this.linger = linger;
    const lingerUs = linger.on ? linger.seconds * SECOND : NEVER;
    this.#change({ lingerUs });
    if (connection !== undefined) live.setLinger(connection.tcb, lingerUs);
  }

  /** TCP_CONGESTION. Throws RawTcpError `ENOENT` for a name that there is none of, as Linux does. */
  setCongestion(name: string, connection: Connection | undefined): void {
    try {
      this.#change({ congestion: congestionByName(name) });
    } catch {
      throw new RawTcpError("ENOENT", `TCP_CONGESTION: no congestion control "${name}"`);
    }
    this.congestionName = name;
    if (connection !== undefined) live.setCongestionControl(connection.tcb, name);
  }

  /** Brings what was set to a connection that began without it: one that was accepted, or has just been opened. */
  apply(connection: Connection, now: Micros): void {
    const { tcb } = connection;
    tcb.config = { ...tcb.config, ...this.config };
    if (this.config.receiveBufferBytes !== undefined) tcb.receiveBufferBytes = this.config.receiveBufferBytes;
    if (this.config.keepAlive !== undefined) live.setKeepAlive(tcb, this.config.keepAlive, now);
    if (this.corked) setCork(tcb, true);
    if (this.quickAck !== undefined) setQuickAck(tcb, this.quickAck);
  }

  #forgetOptions(): void {
    const { optionLayout: _layout, timestamps: _timestamps, sack: _sack, windowScaling: _scaling, ...left } = this.config;
    this.config = left;
  }

  #change(changes: Partial<ConnectionConfig>): void {
    this.config = { ...this.config, ...changes };
  }
}

/** Below this a buffer would hold less than one segment. Note: Linux has the same bound (SOCK_MIN_RCVBUF). */
const LEAST_BUFFER = 2_304;
const LARGEST_BUFFER = 2 ** 30;

/** ENOPROTOOPT. */
export function unknownOption(name: string): RawTcpError {
  return new RawTcpError("ENOPROTOOPT", `no socket option ${name}`);
}

function invalid(name: string, value: number): RawTcpError {
  return new RawTcpError("EINVAL", `${name}: ${value} is out of range`);
}

function inRange(name: string, value: number, least: number, most: number): void {
  if (!Number.isInteger(value) || value < least || value > most) throw invalid(name, value);
}

function clamp(value: number, least: number, most: number): number {
  return Math.min(Math.max(value, least), most);
}

function whole(us: Micros, unit: Micros): number {
  return Math.floor(us / unit);
}
