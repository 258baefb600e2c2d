/** What a stack is told at its birth. */
import type { Random } from "../base/random.js";
import type { ConnectionConfig } from "../tcp/config.js";
import type { ConnectionObserver } from "../tcp/events.js";
import type { IpAddress } from "../wire/address.js";
import type { ChecksumPolicy } from "../wire/segment.js";

/** Reserves local ports outside the stack: from the kernel, so that no other program uses them and no kernel RST kills us. */
export interface PortHolder {
  /** Throws an error with a `code` (`EADDRINUSE`, `EACCES`, …) when the port cannot be had. */
  hold(address: IpAddress, port: number): void;
  release(address: IpAddress, port: number): void;
}

/**
 * When the answer to a SYN is a cookie (RFC 4987 §3.6), see `syn-cookies.ts`: "when-full", once the SYN queue of the listener is full
 * (Note: Linux does the same, net.ipv4.tcp_syncookies 1); "always" (2), for tests and lasting floods; "off" (0) drops the SYN.
 */
export type SynCookiePolicy = "off" | "when-full" | "always";

/**
 * What a segment for a port without a listener is answered with: RST, as RFC 9293 §3.10.7.1 has it; nothing if it is a SYN; or nothing
 * at all (FreeBSD: net.inet.tcp.blackhole).
 */
export type ClosedPortPolicy = "reset" | "silent-to-syn" | "silent";

/** What may change while the stack runs. */
export type StackChanges = Partial<
  Pick<StackConfig, "synCookies" | "closedPorts" | "challengeAcksPerSecond" | "fastOpenKey" | "ephemeralPorts">
>;

export interface StackConfig {
  /** Secrets, initial sequence numbers and ports come from here. */
  readonly random: Random;
  /**
   * Key of the timestamp offsets (RFC 7323 §7.1). Processes of one host that share it, and a clock, may use each other's
   * ports again while a peer is in TIME-WAIT (RFC 6191). Default: drawn from `random`.
   */
  readonly timestampKey?: readonly [number, number, number, number];
  /** Defaults for every connection; `connect` and `listen` may override. */
  readonly connection?: Partial<ConnectionConfig>;
  readonly checksums?: ChecksumPolicy;
  /**
   * The addresses are the stack's alone (simulation, TUN): segments for closed ports are answered with RST. Otherwise the
   * kernel shares them, and only ports that the stack holds are spoken for.
   */
  readonly ownsAddresses?: boolean;
  /** The addresses that are ours; segments to others are dropped. Default: whatever the device delivers. */
  readonly addresses?: readonly IpAddress[];
  /** Default "when-full". */
  readonly synCookies?: SynCookiePolicy;
  /** Default "reset". */
  readonly closedPorts?: ClosedPortPolicy;
  /** Challenge ACKs a second of all connections together (RFC 5961 §7). Default 1000. */
  readonly challengeAcksPerSecond?: number;
  /**
   * Key of Fast Open cookies, 16 bytes, or 32 with the one before it (RFC 7413 §4.1.2; Linux: net.ipv4.tcp_fastopen_key). Default: drawn
   * from `random`, and changed daily.
   */
  readonly fastOpenKey?: Uint8Array;
  readonly ports?: PortHolder;
  /** Range of ephemeral ports, both ends included. Default: 49152–65535 (RFC 6335 §6). */
  readonly ephemeralPorts?: readonly [number, number];
  /** Watches every connection. */
  readonly observer?: ConnectionObserver;
}
