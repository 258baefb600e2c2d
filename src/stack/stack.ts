/**
 * Many connections over one device: demultiplexing, listeners, ports, timers and the order of sending. Sans-IO like the
 * connections: packets and time go in, packets, events and a deadline come out. Two small loops drive it, the simulator's
 * and the real driver's.
 */
import { RawTcpError } from "../base/errors.js";
import { seqAdd, seqLe } from "../base/seq.js";
import type { Micros } from "../base/time.js";
import { ChallengeBudget } from "../tcp/challenge-ack.js";
import { type ConnectionConfig, DEFAULT_CONFIG } from "../tcp/config.js";
import { Connection } from "../tcp/connection.js";
import type { OutgoingPacket } from "../tcp/outgoing-packet.js";
import type { IpAddress } from "../wire/address.js";
import { IcmpError, parseIcmpError } from "../wire/icmp.js";
import { IpPacket, isOneHost, PROTOCOL_ICMP, PROTOCOL_ICMPV6, PROTOCOL_TCP, parseIpPacket } from "../wire/ip-packet.js";
import { parseSegment, Segment, verifyChecksum } from "../wire/segment.js";
import { ACK, RST, SYN } from "../wire/tcp-flags.js";
import type { StackChanges, StackConfig } from "./config.js";
import { ConnectionTable } from "./connection-table.js";
import { CookieAnswers } from "./cookie-answers.js";
import { Entry } from "./entry.js";
import { FastOpenCache } from "./fast-open-cache.js";
import { FastOpenCookies } from "./fast-open-cookies.js";
import { judgeFastOpen } from "./fast-open-server.js";
import { Listener, type ListenerHost, type ListenOptions } from "./listener.js";
import { PathMtuCache } from "./path-mtu-cache.js";
import { addressInUse, PortRegistry } from "./port-registry.js";
import { ResetQueue } from "./reset-queue.js";
import { Secrets } from "./secrets.js";
import { rebuildSyn, SynCookies } from "./syn-cookies.js";
import { TimerHeap } from "./timer-heap.js";

export interface ConnectOptions {
  readonly local: IpAddress;
  /** 0 or absent chooses an ephemeral port (RFC 6056). */
  readonly localPort?: number;
  readonly remote: IpAddress;
  readonly remotePort: number;
  /**
   * The first data: with Fast Open (RFC 7413) as much of it as fits goes with the SYN, once a cookie of the server is known; else
   * after the handshake. Whoever gives it must bear that the server may take it twice (§6.1). Not more than the send buffer.
   */
  readonly data?: Uint8Array;
  readonly connection?: Partial<ConnectionConfig>;
}

export class Stack implements ListenerHost {
  readonly counters = { packetsIn: 0, badPackets: 0, badChecksums: 0, notOurs: 0, resetsSent: 0 };
  /** Called when a user call has made something due: the owner should drain soon. */
  onWake: (() => void) | undefined;
  #config: StackConfig;
  readonly #secrets: Secrets;
  readonly #table: ConnectionTable;
  readonly #listeners: Listener[] = [];
  readonly #ports: PortRegistry;
  readonly #timers = new TimerHeap();
  readonly #resets: ResetQueue;
  readonly #cookies: SynCookies;
  readonly #cookieAnswers = new CookieAnswers();
  readonly #pathMtus = new PathMtuCache();
  /** What Fast Open has learned of servers. */
  readonly fastOpenCache = new FastOpenCache();
  /** Makes the cookies of listeners that have no key of their own. */
  readonly fastOpenCookies: FastOpenCookies;
  readonly #challenges: ChallengeBudget;
  /** Connections to drain, in order; `#readyHead` is the next. */
  #ready: Entry[] = [];
  #readyHead = 0;
  #eventful: (Entry | Listener)[] = [];
  #lastId = 0;
  // Scratch objects: one packet is parsed at a time.
  readonly #packet = new IpPacket();
  readonly #segment = new Segment();
  readonly #icmp = new IcmpError();
  readonly #syn = new Segment();

  constructor(config: StackConfig) {
    this.#config = config;
    this.#secrets = new Secrets(config.random, config.timestampKey);
    this.#table = new ConnectionTable(config.random.u32());
    this.#ports = new PortRegistry(config.ports);
    this.#resets = new ResetQueue(config.closedPorts);
    this.#cookies = new SynCookies(config.random, config.connection?.receiver === "linux" ? "linux" : "own");
    this.fastOpenCookies = new FastOpenCookies(config.random);
    if (config.fastOpenKey !== undefined) this.fastOpenCookies.setKeys(config.fastOpenKey);
    this.#challenges = new ChallengeBudget(config.challengeAcksPerSecond ?? 1000, config.random);
  }

  /** Changes how the stack behaves from now on, as `sysctl` does with a host. Throws RawTcpError `EINVAL` for a key of another length. */
  reconfigure(changes: StackChanges): void {
    this.#config = { ...this.#config, ...changes };
    const { fastOpenKey, synCookies, closedPorts, challengeAcksPerSecond } = changes;
    if (fastOpenKey !== undefined) this.fastOpenCookies.setKeys(fastOpenKey);
    if (closedPorts !== undefined) this.#resets.policy = closedPorts;
    if (challengeAcksPerSecond !== undefined) this.#challenges.perSecond = challengeAcksPerSecond;
    if (synCookies !== undefined) for (const listener of this.#listeners) listener.synCookies = synCookies;
  }

  /** The same for what listens and for what is connected. */
  adopt(listening: Partial<ConnectionConfig>, connected: Partial<ConnectionConfig>): void {
    for (const listener of this.#listeners) listener.config = { ...listener.config, ...listening };
    for (const connection of this.connections()) connection.adopt(connected);
  }

  /** Connections of every state, half-open ones and TIME-WAIT included. */
  get connectionCount(): number {
    return this.#table.size;
  }

  /** Those of this moment: the caller may end connections as it goes. */
  *connections(): IterableIterator<Connection> {
    for (const entry of [...this.#table]) yield entry.connection;
  }

  /** Number of the connection with this four-tuple, 0 when there is none. */
  connectionId(local: IpAddress, localPort: number, remote: IpAddress, remotePort: number): number {
    return this.#table.find(local, localPort, remote, remotePort)?.connection.id ?? 0;
  }

  /** The connection with these endpoints; undefined when there is none. */
  connection(local: IpAddress, localPort: number, remote: IpAddress, remotePort: number): Connection | undefined {
    return this.#table.find(local, localPort, remote, remotePort)?.connection;
  }

  /** Challenge ACKs that the limit of the whole stack held back (RFC 5961 §7). */
  get challengeAcksHeld(): number {
    return this.#challenges.held;
  }

  listeners(): readonly Listener[] {
    return this.#listeners;
  }

  /** Local ports in use, a set that lives; `portChanges` tells cheaply whether it has changed. */
  ports(): ReadonlySet<number> {
    return this.#ports.ports();
  }

  get portChanges(): number {
    return this.#ports.changes;
  }

  /**
   * Active OPEN (RFC 9293 §3.10.1). Throws RawTcpError: `EADDRINUSE`, `EADDRNOTAVAIL` (no free port, or a local address that
   * is not one host's), `EINVAL` (port out of range, families that differ), `ENETUNREACH` for a broadcast or multicast target
   * (MUST-46), `EMSGSIZE` for data beyond the send buffer, or what the port holder throws.
   */
  connect(options: ConnectOptions, now: Micros): Connection {
    const { local, remote, remotePort } = options;
    if (remote.isMulticast() || remote.isBroadcast() || remote.isUnspecified()) {
      throw new RawTcpError("ENETUNREACH", `cannot connect to ${remote}: not the address of one host`);
    }
    if (local.isMulticast() || local.isBroadcast() || local.isUnspecified()) {
      throw new RawTcpError("EADDRNOTAVAIL", `cannot connect from ${local}: not the address of one host`);
    }
    if (!this.#isOurs(local)) throw new RawTcpError("EADDRNOTAVAIL", `cannot connect from ${local}: not one of our addresses`);
    if (local.family !== remote.family)
      throw new RawTcpError("EINVAL", `cannot connect from ${local} to ${remote}: different families`);
    if (!isPort(remotePort)) throw new RawTcpError("EINVAL", `not a port to connect to: ${remotePort}`);
    const { data } = options;
    const { sendBufferBytes } = { ...this.defaults, ...options.connection };
    if (data !== undefined && data.length > sendBufferBytes)
      throw new RawTcpError("EMSGSIZE", `${data.length} bytes with the SYN are more than the send buffer of ${sendBufferBytes}`);
    const [localPort, portKey] = this.#choosePort(local, options.localPort ?? 0, remote, remotePort);
    const { connection } = this.#open(options.connection, local, localPort, remote, remotePort, undefined, portKey, now);
    if (data !== undefined) this.fastOpenCache.prepare(connection.tcb, now);
    connection.openActive(this.#secrets.isn(local, localPort, remote, remotePort, now), now, data);
    return connection;
  }

  /** Passive OPEN that stays. Throws RawTcpError `EADDRINUSE`, `EINVAL` (port out of range, a bad Fast Open key), or what the port holder throws. */
  listen(options: ListenOptions): Listener {
    const { address, fastOpenKey } = options;
    const cookies = fastOpenKey && FastOpenCookies.withKeys(fastOpenKey);
    let port = options.port ?? 0;
    let portKey: string;
    if (port === 0) {
      [port, portKey] = this.#choosePort(address, 0, address, 0);
    } else {
      if (!isPort(port)) throw new RawTcpError("EINVAL", `not a port to listen on: ${port}`);
      if (this.#listeners.some((other) => other.port === port && overlaps(other.address, address)))
        throw addressInUse(address, port);
      portKey = this.#ports.take(address, port);
    }
    const config = { ...DEFAULT_CONFIG, ...this.#config.connection, ...options.connection };
    const listener = new Listener(this, options, port, config, portKey, this.#config.synCookies);
    listener.fastOpenCookies = cookies;
    this.#listeners.push(listener);
    return listener;
  }

  /** What a connection begins with when nothing else is asked for. */
  get defaults(): ConnectionConfig {
    return { ...DEFAULT_CONFIG, ...this.#config.connection };
  }

  /**
   * Reserves a local port before anything is opened on it (POSIX: bind); 0 chooses one. Returns it with the key for `unbind`.
   * Throws RawTcpError `EADDRINUSE` when it is listened on, or in use and `reuse` is not set; `EADDRNOTAVAIL`, `EINVAL` as `connect`.
   */
  bind(address: IpAddress, port: number, reuse: boolean): { readonly port: number; readonly key: string } {
    if (address.isMulticast() || address.isBroadcast() || !(address.isUnspecified() || this.#isOurs(address)))
      throw new RawTcpError("EADDRNOTAVAIL", `cannot bind to ${address}: not an address of ours`);
    if (port === 0) {
      const [chosen, key] = this.#choosePort(address, 0, address, 0);
      return { port: chosen, key };
    }
    if (!isPort(port)) throw new RawTcpError("EINVAL", `not a port to bind to: ${port}`);
    if (this.#listeners.some((other) => other.port === port && overlaps(other.address, address)))
      throw addressInUse(address, port);
    if (!reuse && this.#ports.overlaps(address, port)) throw addressInUse(address, port);
    return { port, key: this.#ports.take(address, port) };
  }

  /** Gives back what `bind` reserved. */
  unbind(key: string): void {
    this.#ports.release(key);
    this.onWake?.();
  }

  /** One IP packet, lent for the call. Returns what was made of it, in a few constant words. */
  receive(bytes: Uint8Array, offset: number, length: number, now: Micros): string {
    this.counters.packetsIn++;
    const packet = this.#packet;
    const problem = parseIpPacket(packet, bytes, offset, length, this.#config.ownsAddresses === true);
    if (problem !== "") {
      this.counters.badPackets++;
      return problem;
    }
    if (packet.protocol === PROTOCOL_TCP) return this.#receiveTcp(packet, bytes, now);
    if (packet.protocol === PROTOCOL_ICMP || packet.protocol === PROTOCOL_ICMPV6) return this.#receiveIcmp(packet, bytes, now);
    return "not TCP";
  }

  /** Runs every timer that is due. */
  handleTimeout(now: Micros): void {
    for (;;) {
      const entry = this.#timers.popDue(now);
      if (entry === undefined) return;
      entry.connection.handleTimeout(now);
      this.#afterInput(entry);
    }
  }

  /** The earliest time at which `handleTimeout` may have something to do; NEVER when nothing is. */
  nextTimeout(): Micros {
    return this.#timers.next;
  }

  /** Writes the next packet that is due; call until false after every input. */
  pollTransmit(now: Micros, out: OutgoingPacket): boolean {
    if (this.#resets.pollTransmit(out)) {
      this.counters.resetsSent++;
      return true;
    }
    if (this.#cookieAnswers.pollTransmit(out)) return true;
    while (this.#readyHead < this.#ready.length) {
      const entry = this.#ready[this.#readyHead];
      if (entry?.connection.pollTransmit(now, out)) return true;
      this.#readyHead++;
      if (entry !== undefined) this.#settle(entry, now);
    }
    if (this.#readyHead > 0) {
      this.#ready = [];
      this.#readyHead = 0;
    }
    return false;
  }

  /** Whether `pollEventful` has something to give. */
  get hasEvents(): boolean {
    return this.#eventful.length > 0;
  }

  /** The next connection with events, or listener with connections to accept; undefined when there is none. */
  pollEventful(): Connection | Listener | undefined {
    const next = this.#eventful.shift();
    if (next === undefined || next instanceof Listener) return next;
    next.eventful = false;
    return next.connection;
  }

  // ListenerHost

  /** @internal */
  accepted(connection: Connection): void {
    const { local, localPort, remote, remotePort } = connection.tcb;
    // One that ended in the accept queue is in no table any more, but its user is to learn what became of it.
    const found = this.#table.find(local, localPort, remote, remotePort);
    const entry = found?.connection === connection ? found : new Entry(connection, undefined, "");
    entry.embryonic = false;
    entry.listener = undefined;
    this.#tell(entry);
  }

  /** @internal */
  listenerReady(listener: Listener): void {
    if (!this.#eventful.includes(listener)) this.#eventful.push(listener);
  }

  /** @internal */
  listenerClosed(listener: Listener, now: Micros): void {
    const at = this.#listeners.indexOf(listener);
    if (at >= 0) this.#listeners.splice(at, 1);
    const orphans = [...listener.synQueue, ...listener.acceptQueue];
    // Out of the queues first: these handshakes did not fail.
    listener.synQueue.clear();
    listener.acceptQueue.length = 0;
    listener.fastOpenPending.clear();
    for (const connection of orphans) connection.orphan(now);
    this.#ports.release(listener.portKey);
    this.onWake?.();
  }

  // Receiving

  #receiveTcp(packet: IpPacket, bytes: Uint8Array, now: Micros): string {
    const segment = this.#segment;
    const problem = parseSegment(segment, bytes, packet.payloadOffset, packet.payloadLength);
    if (problem !== "") {
      this.counters.badPackets++;
      return problem;
    }
    segment.ecn = packet.tos & 3;
    segment.ttl = packet.ttl;
    const entry = this.#table.find(packet.destination, segment.destinationPort, packet.source, segment.sourcePort);
    // MUST-57, MUST-63: nothing is answered to or from an address that is not one host's.
    if (entry === undefined && !isOneHost(packet)) return "dropped: not from or to one host";
    if (entry === undefined && !this.#isOurs(packet.destination)) {
      this.counters.notOurs++;
      return "dropped: not to an address of ours";
    }
    const policy = this.#config.checksums ?? "partial-ok";
    if (policy !== "off") {
      const verdict = verifyChecksum(
        packet.source,
        packet.destination,
        bytes,
        packet.payloadOffset,
        packet.payloadLength,
        policy,
      );
      if (verdict === "bad") {
        this.counters.badChecksums++;
        return "dropped: bad TCP checksum";
      }
    }
    // Note: Linux does so where no key was agreed on (tcp_inbound_hash); TIME-WAIT alone does not look.
    if (segment.hasMd5 && this.#config.connection?.receiver === "linux" && entry?.connection.state !== "TIME-WAIT")
      return "dropped: a signature that nobody has asked for (RFC 2385)";
    if (entry === undefined) return this.#noConnection(packet, segment, now);
    if (entry.connection.state === "TIME-WAIT" && (segment.flags & SYN) !== 0) {
      const listener = this.#findListener(packet.destination, segment.destinationPort);
      // Without room for the new incarnation the old one stays: its wait must not be cut short for nothing.
      if (entry.connection.yieldTimeWait(segment, now, listener?.hasRoom === true)) {
        this.#settle(entry, now);
        return this.#noConnection(packet, segment, now, entry.connection.tcb.snd.max);
      }
    }
    const note = entry.connection.receive(segment, now);
    this.#afterInput(entry);
    return note;
  }

  /** CLOSED and LISTEN (RFC 9293 §3.10.7.1, §3.10.7.2). `lastSeq`: SND.MAX of the incarnation that makes way. */
  #noConnection(packet: IpPacket, segment: Segment, now: Micros, lastSeq?: number): string {
    const listener = this.#findListener(packet.destination, segment.destinationPort);
    if (listener === undefined) {
      if (this.#config.ownsAddresses !== true && !this.#ports.speaksFor(packet.destination, segment.destinationPort)) {
        this.counters.notOurs++;
        return "not ours";
      }
      return this.#resets.refuse(packet.destination, packet.source, segment);
    }
    if ((segment.flags & RST) !== 0) return "RST in LISTEN: ignored";
    if ((segment.flags & ACK) !== 0) {
      const recalled = this.#recall(listener, packet, segment, now);
      if (recalled !== "") return recalled;
      this.#resets.answer(packet.destination, packet.source, segment);
      return "ACK in LISTEN: answered with RST";
    }
    if ((segment.flags & SYN) === 0) return "dropped: no SYN in LISTEN";
    const admitted = listener.admit(segment.flags);
    if (admitted === "dropped") return "SYN dropped: a queue of the listener is full, or it has FIN";
    // A cookie cannot keep clear of the numbers of the last incarnation. Note: Linux does the same.
    if (admitted === "cookie" && lastSeq === undefined) return this.#sendCookie(listener, packet, segment, now);
    return this.#openHalf(listener, packet, segment, now, lastSeq);
  }

  #openHalf(listener: Listener, packet: IpPacket, segment: Segment, now: Micros, lastSeq: number | undefined): string {
    const local = packet.destination.clone();
    const remote = packet.source.clone();
    const entry = this.#openFor(listener, local, remote, segment.sourcePort, now);
    const { connection } = entry;
    let iss = this.#secrets.isn(local, listener.port, remote, segment.sourcePort, now);
    // RFC 9293 MAY-2: beyond all that the last incarnation used; it may have sent faster than the clock of the ISN runs.
    if (lastSeq !== undefined && seqLe(iss, seqAdd(lastSeq, LARGEST_UNSCALED_WINDOW))) {
      iss = seqAdd(lastSeq, LARGEST_UNSCALED_WINDOW + 1);
    }
    if (listener.config.reflectsTos) connection.setTos(packet.tos);
    connection.openPassive(iss, now);
    judgeFastOpen(listener, listener.fastOpenCookies ?? this.fastOpenCookies, connection, segment, now);
    const note = connection.receive(segment, now);
    if (connection.tcb.fastOpen.accepted) listener.acceptFastOpen(connection);
    this.#afterInput(entry);
    return note;
  }

  /** A half-open connection in the SYN queue of its listener. */
  #openFor(listener: Listener, local: IpAddress, remote: IpAddress, remotePort: number, now: Micros): Entry {
    this.#ports.share(listener.portKey);
    const entry = this.#open(undefined, local, listener.port, remote, remotePort, listener, listener.portKey, now);
    entry.connection.gate = listener;
    listener.synQueue.add(entry.connection);
    return entry;
  }

  /** RFC 4987 §3.6: the SYN-ACK remembers what we do not. */
  #sendCookie(listener: Listener, packet: IpPacket, segment: Segment, now: Micros): string {
    const local = packet.destination.clone();
    const remote = packet.source.clone();
    const tuple = { local, localPort: listener.port, remote, remotePort: segment.sourcePort };
    const tsOffset = this.#secrets.timestampOffset(local, remote);
    if (!this.#cookieAnswers.answer(this.#cookies, listener.config, tuple, segment, tsOffset, now)) {
      return "SYN dropped: too many at once even for cookies";
    }
    listener.counters.cookiesSent++;
    return "SYN: answered with a cookie, nothing is kept";
  }

  /** A third segment whose SYN was not kept. Returns "" when it is none. */
  #recall(listener: Listener, packet: IpPacket, segment: Segment, now: Micros): string {
    if ((segment.flags & SYN) !== 0 || !this.#cookies.expects(now)) return "";
    const local = packet.destination;
    const remote = packet.source;
    const tuple = { local, localPort: listener.port, remote, remotePort: segment.sourcePort };
    const remembered = this.#cookies.check(tuple, segment, now, this.#secrets.timestampOffset(local, remote));
    if (remembered === undefined) {
      listener.counters.cookiesFailed++;
      return "";
    }
    if (!listener.mayRecall()) return "dropped: the accept queue is full";
    listener.counters.cookiesReceived++;
    const entry = this.#openFor(listener, local.clone(), remote.clone(), segment.sourcePort, now);
    const { connection } = entry;
    connection.openPassive((segment.ack - 1) >>> 0, now);
    // Nothing holds it back: no SYN-ACK can be repeated whose answer would count. Note: Linux does the same.
    connection.tcb.deferAccept.timeouts = 0;
    rebuildSyn(this.#syn, segment, remembered);
    connection.receive(this.#syn, now);
    this.#cookieAnswers.swallow(connection, now);
    connection.receive(segment, now);
    this.#afterInput(entry);
    return "third segment with a cookie: connected";
  }

  #receiveIcmp(packet: IpPacket, bytes: Uint8Array, now: Micros): string {
    const { source, destination, payloadOffset, payloadLength, version } = packet;
    const error = this.#icmp;
    const problem = parseIcmpError(error, bytes, payloadOffset, payloadLength, version, source, destination);
    if (problem !== "") return problem;
    const entry = this.#table.find(
      error.quotedSource,
      error.quotedSourcePort,
      error.quotedDestination,
      error.quotedDestinationPort,
    );
    if (entry === undefined) return "ICMP error for no connection";
    const note = entry.connection.receiveIcmp(error, now);
    this.#afterInput(entry);
    return note;
  }

  #findListener(address: IpAddress, port: number): Listener | undefined {
    let wildcard: Listener | undefined;
    for (const listener of this.#listeners) {
      if (listener.port !== port) continue;
      if (listener.address.equals(address)) return listener;
      if (listener.address.isUnspecified() && listener.address.family === address.family) wildcard = listener;
    }
    return wildcard;
  }

  // Connections

  #open(
    overrides: Partial<ConnectionConfig> | undefined,
    local: IpAddress,
    localPort: number,
    remote: IpAddress,
    remotePort: number,
    listener: Listener | undefined,
    portKey: string,
    now: Micros,
  ): Entry {
    const config = listener?.config ?? { ...DEFAULT_CONFIG, ...this.#config.connection, ...overrides };
    const seed = { tsOffset: this.#secrets.timestampOffset(local, remote), ipId: this.#config.random.u32() & 0xffff };
    const connection = new Connection(++this.#lastId, config, local, localPort, remote, remotePort, seed);
    const entry = new Entry(connection, listener, portKey);
    entry.embryonic = listener !== undefined;
    connection.observer = this.#config.observer;
    connection.challengeBudget = this.#challenges;
    const known = this.#pathMtus.find(remote, now);
    if (known !== undefined) connection.tcb.pathMtu.adopt(known.mtu, known.until);
    connection.wake = () => {
      this.#schedule(entry);
      this.onWake?.();
    };
    this.#table.add(entry);
    return entry;
  }

  /**
   * Something may be due, and something to tell. An owner that tells events before it transmits lets the user's answer and
   * the acknowledgment share a segment.
   */
  #afterInput(entry: Entry): void {
    this.#schedule(entry);
    if (!entry.embryonic) this.#tell(entry);
  }

  /** What one connection has learned of its path serves the next (RFC 8201 §5.2). */
  #learnPathMtu(connection: Connection): void {
    const { pathMtu, remote } = connection.tcb;
    pathMtu.learned = false;
    this.#pathMtus.learn(remote, pathMtu.bytes, pathMtu.raiseAt);
  }

  /** Whether an address is one of those that we speak for, if we were told which. */
  #isOurs(address: IpAddress): boolean {
    return this.#config.addresses?.some((ours) => ours.equals(address)) ?? true;
  }
  #schedule(entry: Entry): void {
    // A connection that is gone may still have events for its user (read after the end frees its buffer, and no more).
    if (entry.queued || entry.removed) return;
    entry.queued = true;
    this.#ready.push(entry);
  }

  /** After all is sent: timers, events, and farewell to a connection that is over. */
  #settle(entry: Entry, now: Micros): void {
    entry.queued = false;
    if (entry.removed) return;
    const { connection } = entry;
    if (connection.tcb.pathMtu.learned) this.#learnPathMtu(connection);
    if (connection.tcb.fastOpen.learned) this.fastOpenCache.learn(connection.tcb, now);
    if (connection.state === "CLOSED" || connection.state === "LISTEN") this.#remove(entry, now);
    else this.#timers.schedule(entry, connection.nextTimeout());
    if (!entry.embryonic) this.#tell(entry);
  }

  #tell(entry: Entry): void {
    if (entry.eventful || entry.connection.tcb.events === 0) return;
    entry.eventful = true;
    this.#eventful.push(entry);
  }

  #remove(entry: Entry, now: Micros): void {
    const { connection, listener } = entry;
    entry.removed = true;
    this.#timers.remove(entry);
    this.#table.remove(entry);
    if (listener?.synQueue.delete(connection)) listener.counters.handshakesFailed++;
    connection.gate?.ended?.(connection, now);
    if (connection.state === "LISTEN") connection.abort(now);
    this.#ports.release(entry.portKey);
  }

  // Ports

  /** The port that was asked for, or an ephemeral one by the hash-based algorithm of RFC 6056 §3.3.3. */
  #choosePort(local: IpAddress, wanted: number, remote: IpAddress, remotePort: number): [number, string] {
    if (wanted !== 0) {
      if (!isPort(wanted)) throw new RawTcpError("EINVAL", `not a port: ${wanted}`);
      if (this.#table.find(local, wanted, remote, remotePort) !== undefined) throw addressInUse(local, wanted);
      return [wanted, this.#ports.take(local, wanted)];
    }
    const offset = this.#secrets.portOffset(local, remote, remotePort);
    return this.#ports.takeFree(local, this.#config.ephemeralPorts ?? [49_152, 65_535], offset);
  }
}

/** What an old duplicate may be off by. Note: Linux leaves the same room. */
const LARGEST_UNSCALED_WINDOW = 0xffff;

function isPort(port: number): boolean {
  return Number.isInteger(port) && port > 0 && port < 65_536;
}

function overlaps(a: IpAddress, b: IpAddress): boolean {
  return a.family === b.family && (a.isUnspecified() || b.isUnspecified() || a.equals(b));
}
