/**
 * A world for live sessions: a private network namespace with loopback and a veth pair into a second one, a kernel peer on
 * either side, a watch for RSTs of the kernel's, and sessions with their trace and faults. All of it ends with the process.
 */
import { EventEmitter, once } from "node:events";
import { writeFileSync } from "node:fs";
import { FaultInjector, type FaultRates, type FaultRule, matchSegment } from "../../src/device/fault-injector.js";
import { openSession, type Session, type SessionOptions } from "../../src/driver/session.js";
import { TcpServer, TcpStream } from "../../src/net/tcp-stream.js";
import type { SegmentEvent, TraceEvent } from "../../src/observe/events.js";
import type { ListenOptions } from "../../src/stack/listener.js";
import type { ConnectOptions } from "../../src/stack/stack.js";
import { FIN } from "../../src/wire/tcp-flags.js";
import { enterPrivateNamespace, type FarNamespace, openFarNamespace, run } from "../kernel/support.js";
import { KernelPeer, spawnHere } from "./kernel-peer.js";
import { RstWatch } from "./rst-watch.js";

/** A way to the kernel that the tests take. */
export interface Path {
  readonly name: string;
  readonly link: "raw" | "pcap";
  /** The kernel's address, and ours. */
  readonly kernel: string;
  readonly ours: string;
}

export const LOOPBACK: Path = { name: "raw link on loopback", link: "raw", kernel: "127.0.0.1", ours: "127.0.0.1" };
export const VETH: Path = { name: "raw link across a veth pair", link: "raw", kernel: "10.77.0.2", ours: "10.77.0.1" };
export const VETH_PCAP: Path = { name: "pcap link across a veth pair", link: "pcap", kernel: "10.77.0.2", ours: "10.77.0.1" };
/** For the tests that ask for it. */
export const VETH_IPV6: Path = {
  name: "pcap link across a veth pair, IPv6",
  link: "pcap",
  kernel: "2001:db8:77::2",
  ours: "2001:db8:77::1",
};
export const LOOPBACK_RAW_IPV6: Path = { name: "raw link on loopback, IPv6", link: "raw", kernel: "::1", ours: "::1" };
export const VETH_RAW_IPV6: Path = { ...VETH_IPV6, name: "raw link across a veth pair, IPv6", link: "raw" };
export const PATHS = [LOOPBACK, VETH, VETH_PCAP];

/** 2 MSL in the tests, unless they ask for another. */
export const SHORT_MSL_US = 20_000;

export interface LiveOptions extends Pick<SessionOptions, "guard" | "connection" | "capture" | "bend"> {
  readonly rules?: readonly FaultRule[];
  readonly rates?: { readonly in: FaultRates; readonly out: FaultRates };
  /** Default true. Without a trace a session is faster. */
  readonly trace?: boolean;
}

export class World {
  readonly resets = new RstWatch();
  readonly #here: KernelPeer;
  readonly #beyond: KernelPeer;
  readonly #far: FarNamespace;
  readonly #open = new Set<Live>();

  /** Moves this process into its own network namespace; once a process. */
  static async open(): Promise<World> {
    enterPrivateNamespace();
    // The kernel's clients and our connections never take the same port, so a port tells whose an RST is.
    writeFileSync("/proc/sys/net/ipv4/ip_local_port_range", "20000 40000");
    const far = await openFarNamespace();
    // What the kernel learnt of a bad path in one test would slow its time-outs in the next.
    const metrics = "/proc/sys/net/ipv4/tcp_no_metrics_save";
    writeFileSync(metrics, "1");
    far.run("sh", "-c", `echo 1 > ${metrics}`);
    // Without duplicate address detection, which would take a second.
    run("ip", "-6", "addr", "add", `${VETH_IPV6.ours}/64`, "dev", "near0", "nodad");
    far.run("ip", "-6", "addr", "add", `${VETH_IPV6.kernel}/64`, "dev", "far0", "nodad");
    return new World(far);
  }

  private constructor(far: FarNamespace) {
    this.#far = far;
    this.#here = new KernelPeer(spawnHere);
    this.#beyond = new KernelPeer(far.spawn);
    this.resets.watch("lo", "127.0.0.1");
    this.resets.watch("near0", "10.77.0.2");
  }

  /** The kernel at the other end of a path. */
  peer(path: Path): KernelPeer {
    return path.kernel === path.ours ? this.#here : this.#beyond;
  }

  /** Runs a program in the far namespace to its end. */
  far(program: string, ...args: string[]): string {
    return this.#far.run(program, ...args);
  }

  /** Opens a session towards the kernel. It is closed by `closeSessions` if the test did not. */
  async session(path: Path, options: LiveOptions = {}): Promise<Live> {
    const live = await Live.open(this, path, options);
    this.#open.add(live);
    return live;
  }

  closeSessions(): void {
    for (const live of this.#open) live.close();
    this.#open.clear();
  }

  async close(): Promise<void> {
    this.closeSessions();
    this.resets.close();
    await this.#here.close();
    await this.#beyond.close();
    await this.#far.close();
  }
}

/** One session with all that a test asks of it. */
export class Live {
  readonly trace = new Trace();
  readonly path: Path;
  readonly #world: World;
  #session: Session | undefined;
  #holding: "in" | "out" | "fin" | "" = "";
  #held: (() => void)[] = [];
  readonly #news = new EventEmitter();

  static async open(world: World, path: Path, options: LiveOptions): Promise<Live> {
    const live = new Live(world, path);
    await live.#start(options);
    return live;
  }

  private constructor(world: World, path: Path) {
    this.#world = world;
    this.path = path;
  }

  get session(): Session {
    if (this.#session === undefined) throw new Error("the session is not open");
    return this.#session;
  }

  get stack(): Session["driver"]["stack"] {
    return this.session.driver.stack;
  }

  /** Connects to a port of the kernel's. */
  connect(remotePort: number, options: Partial<ConnectOptions> = {}): TcpStream {
    const { driver, local, target } = this.session;
    return TcpStream.connect(driver, { local, remote: target, remotePort, ...options });
  }

  /** Listens at our address, for clients of the kernel's. */
  listen(options: Partial<ListenOptions> = {}): { readonly server: TcpServer; readonly port: number } {
    const server = new TcpServer(this.session.driver).listen({ address: this.session.local, ...options });
    return { server, port: server.listener?.port ?? 0 };
  }

  /** From now on holds back packets: all that come in, all that go out, or what comes in from the peer's first FIN on. */
  hold(what: "in" | "out" | "fin"): void {
    this.#holding = what;
  }

  /** Resolves once so many packets are being held back. */
  async untilHeld(packets: number): Promise<void> {
    while (this.#held.length < packets) await once(this.#news, "held");
  }

  /** Lets go what was held back, in its order. */
  release(): void {
    this.#holding = "";
    for (const action of this.#held.splice(0)) action();
  }

  close(): void {
    this.#session?.close();
  }

  async #start(options: LiveOptions): Promise<void> {
    const { rules = [], rates, trace = true, connection, ...rest } = options;
    const { link, kernel, ours } = this.path;
    this.#session = await openSession({
      link,
      target: kernel,
      source: ours,
      allowRemote: true,
      connection: { mslUs: SHORT_MSL_US, ...connection },
      ...(trace ? { sink: this.trace.take } : {}),
      wrap: (device, events, now) =>
        new FaultInjector(this.#world.resets.counting(device), {
          seed: 1,
          ...rates,
          rules: [...rules, this.#holdRule("in"), this.#holdRule("out")],
          schedule: (delayUs, action) => {
            if (delayUs !== HELD) return void setTimeout(action, delayUs / 1000).unref();
            this.#held.push(action);
            this.#news.emit("held");
          },
          events,
          now,
        }),
      ...rest,
    });
  }

  #holdRule(dir: "in" | "out"): FaultRule {
    const isFin = matchSegment((segment) => (segment.flags & FIN) !== 0);
    return {
      dir,
      fault: "delay",
      delayUs: HELD,
      nth: 1,
      count: Number.POSITIVE_INFINITY,
      reason: "held back",
      match: (bytes, offset, length) => {
        if (dir === "in" && this.#holding === "fin" && isFin(bytes, offset, length)) this.#holding = "in";
        return this.#holding === dir;
      },
    };
  }
}

/** The delay of packets that wait for `release`. */
const HELD = Number.MAX_SAFE_INTEGER;

/**
 * Whether each time comes after the one before by twice the last interval, the first being `firstUs`. A timer is never early;
 * the trace may stamp a segment later than the timer was set, hence the margin.
 */
export function doubles(times: readonly number[], firstUs: number): boolean {
  return times.slice(1).every((t, i) => t - (times[i] ?? 0) > 0.7 * firstUs * 2 ** i);
}

/** Every event of a session, kept and waited for. */
export class Trace {
  readonly events: TraceEvent[] = [];
  #waiting: { readonly wanted: (event: TraceEvent) => boolean; readonly resolve: (event: TraceEvent) => void }[] = [];

  readonly take = (event: TraceEvent): void => {
    this.events.push(event);
    const met = this.#waiting.filter(({ wanted }) => wanted(event));
    if (met.length === 0) return;
    this.#waiting = this.#waiting.filter((waiter) => !met.includes(waiter));
    for (const { resolve } of met) resolve(event);
  };

  /** The first event of the kind, past or to come. */
  until(wanted: (event: TraceEvent) => boolean): Promise<TraceEvent> {
    const found = this.events.find(wanted);
    if (found !== undefined) return Promise.resolve(found);
    return new Promise((resolve) => this.#waiting.push({ wanted, resolve }));
  }

  /** Our connection enters a state. */
  untilState(to: string): Promise<TraceEvent> {
    return this.until((event) => event.type === "state" && event.to === to);
  }

  /** The kernel's end is seen in a state. */
  untilPeer(state: string): Promise<TraceEvent> {
    return this.until((event) => event.type === "peer" && event.state === state);
  }

  /** The states that a connection of ours entered, in order. */
  states(conn = 1): string[] {
    return this.events.flatMap((event) => (event.type === "state" && event.conn === conn ? [event.to] : []));
  }

  /** The states in which the kernel's end was seen, in order. */
  peerStates(): string[] {
    return this.events.flatMap((event) => (event.type === "peer" ? [event.state] : []));
  }

  segments(dir: "out" | "in", flags?: string): SegmentEvent[] {
    const isWanted = (event: TraceEvent): event is SegmentEvent =>
      event.type === "segment" && event.dir === dir && (flags === undefined || event.flags === flags);
    return this.events.filter(isWanted);
  }
}
