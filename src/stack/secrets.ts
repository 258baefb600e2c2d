/** Numbers that outsiders must not be able to guess: initial sequence numbers (RFC 6528) and ephemeral ports (RFC 6056). */
import type { Random } from "../base/random.js";
import { SipHash } from "../base/siphash.js";
import type { Micros } from "../base/time.js";
import type { IpAddress } from "../wire/address.js";

export class Secrets {
  readonly #isn: SipHash;
  readonly #port: SipHash;
  readonly #table: SipHash;
  readonly #timestamps: SipHash;
  readonly #words = new Int32Array(11);

  constructor(random: Random, timestampKey?: readonly [number, number, number, number]) {
    const key = (): SipHash => new SipHash([random.u32(), random.u32(), random.u32(), random.u32()]);
    this.#isn = key();
    this.#port = key();
    this.#table = key();
    this.#timestamps = timestampKey === undefined ? key() : new SipHash(timestampKey);
  }

  /** ISN = M + F(local, remote, secret), M a clock of 4 µs (RFC 9293 §3.4.1, MUST-8, MUST-9). */
  isn(local: IpAddress, localPort: number, remote: IpAddress, remotePort: number, now: Micros): number {
    return (Math.floor(now / 4) + this.#isn.hash(this.#fill(local, localPort, remote, remotePort))) >>> 0;
  }

  /** Where the search for an ephemeral port begins, the same for the same peer (RFC 6056 §3.3.3). */
  portOffset(local: IpAddress, remote: IpAddress, remotePort: number): number {
    return this.#port.hash(this.#fill(local, 0, remote, remotePort));
  }

  /** Hash of a connection's four-tuple for tables, so that a peer cannot choose collisions. */
  tableHash(local: IpAddress, localPort: number, remote: IpAddress, remotePort: number): number {
    return this.#table.hash(this.#fill(local, localPort, remote, remotePort));
  }

  /** Offset of the timestamp clock, the same for the same peer, so that RFC 6191 can compare (RFC 7323 §7.1). */
  timestampOffset(local: IpAddress, remote: IpAddress): number {
    return this.#timestamps.hash(this.#fill(local, 0, remote, 0));
  }

  #fill(local: IpAddress, localPort: number, remote: IpAddress, remotePort: number): Int32Array {
    const w = this.#words;
    w[0] = local.w3;
    w[1] = remote.w3;
    w[2] = (localPort << 16) | remotePort;
    w[3] = local.family;
    if (local.family === 4) return this.#short;
    w[4] = local.w0;
    w[5] = local.w1;
    w[6] = local.w2;
    w[7] = remote.w0;
    w[8] = remote.w1;
    w[9] = remote.w2;
    return w;
  }

  readonly #short = this.#words.subarray(0, 4);
}
