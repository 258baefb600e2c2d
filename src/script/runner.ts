/**
 * Runs a script on a stack of ours in virtual time. Each event in its turn: packets of the script are put in, calls are made, and what the
 * stack sends has to be what the script says, when it says so.
 */
import { SeededRandom } from "../base/random.js";
import { seqAdd } from "../base/seq.js";
import { MINUTE, type Micros, SECOND } from "../base/time.js";
import { craft } from "../craft/build.js";
import type { ConnectionConfig } from "../tcp/config.js";
import type { ProfileName } from "../tcp/profiles.js";
import { buildIcmpError } from "../wire/icmp.js";
import { PROTOCOL_ICMP } from "../wire/ip-packet.js";
import { ACK, FIN, PSH, SYN } from "../wire/tcp-flags.js";
import type { EventTime, IcmpEvent, IpMarks, PacketEvent, Script, ScriptEvent } from "./ast.js";
import { CODE_CONSTANTS } from "./constants.js";
import { profileOfScript } from "./dialect.js";
import { ScriptFailure, UnsupportedError } from "./errors.js";
import { type Names, runCode } from "./evaluator.js";
import type { CallResult, PassedPacket, PendingCall, ScriptHost, ScriptHostFactory } from "./host.js";
import type { Step } from "./ladder.js";
import { formatSeen, joined, mismatch, type Numbers, portsOf, type SeenSegment, seeSegment, toWire } from "./match.js";
import { readSettings, type ScriptEnds, type Settings } from "./settings.js";
import { numberOf } from "./values.js";
import { openVirtualHost } from "./virtual-host.js";

export interface RunOptions {
  /** Of initial sequence numbers and ports. Default 1. */
  readonly seed?: number;
  /** Default: what the script itself tells, see `dialect.ts`, else "linux". */
  readonly profile?: ProfileName | undefined;
  /** A packet that the script does not expect, within its time or after it, is a failure. */
  readonly strict?: boolean;
  /** The order of options, padding and the window are not checked. */
  readonly tolerant?: boolean;
  /** Options of the command line, as option lines name them. */
  readonly options?: Readonly<Record<string, string>>;
  /** Takes what code prints. */
  readonly print?: (text: string) => void;
  /** Changes of the stack under test, for those who test the scripts themselves. */
  readonly connection?: Partial<ConnectionConfig>;
  /** Addresses and ports in place of the script's. */
  readonly ends?: Partial<ScriptEnds>;
  /** What the script runs on. Default: a stack of ours in virtual time. */
  readonly host?: ScriptHostFactory;
}

/** What passed until the script ended. */
export interface RunRecord {
  readonly packets: readonly PassedPacket[];
  readonly steps: readonly Step[];
  /** What differed and was tolerated. */
  readonly tolerated: readonly string[];
  /** The event that was being run. */
  readonly event: ScriptEvent | undefined;
  /** The profile that the stack had. */
  readonly profile: ProfileName;
}

/** Time zero of a script on the clock of the stack: not 0, for what is to be long ago must have been. */
export const START: Micros = 10 * MINUTE;
/** How long `*` waits for a packet. */
const ANY_TIME: Micros = 10 * MINUTE;
/** After the end of a strict script, packets are waited for so long. */
const STRICT_AFTER: Micros = 10 * SECOND;

interface Waiting {
  readonly event: ScriptEvent;
  readonly call: PendingCall;
  readonly from: Micros;
  /** When it has to return. */
  readonly until: Micros;
}

/** The connection whose packets the script speaks of. */
interface Flow {
  kind: "none" | "listening" | "child" | "active";
  remotePort: number;
  /** Our initial sequence number was seen. */
  isLearned: boolean;
  /** The number of the peer's last SYN; -1 before. */
  peerSyn: number;
}

export class Runner {
  readonly #script: Script;
  readonly #options: RunOptions;
  readonly #settings: Settings;
  #host: ScriptHost | undefined;
  /** What was to be configured before there was a host. */
  readonly #commands: string[] = [];
  readonly #random: SeededRandom;
  readonly #names: Names = new Map(Object.entries(CODE_CONSTANTS));
  #base: Micros = START;
  #waiting: Waiting | undefined;
  #flow: Flow = { kind: "none", remotePort: 0, isLearned: false, peerSyn: -1 };
  #numbers: Numbers = { ourOffset: 0, stampOffset: null };
  #stamps = new Map<number, number>();
  #event: ScriptEvent | undefined;
  readonly #steps: Step[] = [];
  readonly #tolerated: string[] = [];

  /** Throws ScriptSyntaxError or UnsupportedError for option lines that cannot be had. */
  constructor(script: Script, options: RunOptions = {}) {
    this.#script = script;
    this.#options = { ...options, profile: options.profile ?? profileOfScript(script) ?? "linux" };
    this.#settings = { ...readSettings(script.options, options.options), ...options.ends };
    const { local, family } = this.#settings;
    if (local.family !== family) throw new UnsupportedError(`--ip_version=ipv${family} at ${local}`);
    this.#random = new SeededRandom(options.seed ?? 1);
  }

  get record(): RunRecord {
    // What was sent and never matched belongs into the picture, too.
    const left = (this.#host?.world.sent ?? []).map(({ at, bytes }): Step => {
      const seen = seeSegment(bytes, at, this.#numbers);
      return { at, kind: "out", text: seen === undefined ? "no TCP segment" : formatSeen(seen) };
    });
    return {
      steps: [...this.#steps, ...left],
      tolerated: this.#tolerated,
      packets: this.#host?.world.passed ?? [],
      event: this.#event,
      profile: this.#options.profile ?? "linux",
    };
  }

  /** Runs to the end. Throws ScriptFailure, UnsupportedError. */
  run(): void {
    try {
      this.#run();
    } finally {
      this.#host?.close();
    }
  }

  #run(): void {
    for (const event of this.#script.events) {
      this.#event = event;
      this.#runEvent(event);
    }
    if (this.#waiting !== undefined) this.#finishWaiting();
    if (this.#options.strict === true) this.#expectSilence();
  }

  /** Microseconds of the script. */
  #scriptTime(at: Micros): string {
    return `${((at - START) / SECOND).toFixed(6)} s`;
  }

  #timeOf({ relative, us }: EventTime): Micros {
    if (us === null) return Math.max(this.#base, this.#host?.world.now ?? START);
    return (relative ? this.#base : START) + us;
  }

  #runEvent(event: ScriptEvent): void {
    const { action, time } = event;
    const at = this.#timeOf(time);
    switch (action.kind) {
      case "command":
        this.#configure(action.command);
        break;
      case "unsupported":
        // Told by whoever reads the verdict.
        this.#unsupported(action.feature);
        break;
      case "code":
        this.#advance(at);
        this.#runCode(action.code);
        break;
      case "call":
        this.#runCall(event, at);
        break;
      case "icmp":
        if (action.icmp.direction === "out") this.#unsupported("ICMP that the stack sends");
        this.#advance(at);
        this.#inject(event, this.#icmpPacket(action.icmp));
        this.#poke();
        break;
      case "packet":
        if (action.packet.direction === "in") {
          this.#advance(at);
          this.#inject(event, this.#inboundPacket(action.packet));
          this.#poke();
        } else {
          this.#base = this.#expectPacket(event, action.packet, at);
          return;
        }
    }
    this.#base = at;
  }

  #inject(event: ScriptEvent, bytes: Uint8Array): void {
    const { world } = this.#need();
    this.#steps.push({ at: world.now, kind: "in", text: event.text.slice(event.text.indexOf("<") + 1).trim() });
    world.inject(bytes);
  }

  #unsupported(feature: string): never {
    throw new UnsupportedError(feature);
  }

  // The host

  #configure(command: string): void {
    if (this.#host === undefined) this.#commands.push(command);
    else this.#host.configure(command);
  }

  /** The host begins with the first event that needs it: what is configured before holds for all of it. */
  #need(): ScriptHost {
    this.#host ??= (this.#options.host ?? openVirtualHost)({
      settings: this.#settings,
      options: this.#options,
      commands: this.#commands,
      random: this.#random,
      start: START,
      watcher: { listening: () => this.#startFlow("listening"), connecting: () => this.#startFlow("active") },
    });
    return this.#host;
  }

  #startFlow(kind: "listening" | "active" | "child"): void {
    const { ends } = this.#options;
    const remotePort =
      kind === "active" ? this.#settings.remotePort : (ends?.remotePort ?? 32_768 + (this.#random.u32() % 28_000));
    this.#flow = { kind, remotePort, isLearned: false, peerSyn: -1 };
    this.#host?.world.openPort(remotePort);
    this.#numbers = { ourOffset: 0, stampOffset: null };
    this.#stamps.clear();
  }

  // Time

  get #toleranceUs(): Micros {
    return this.#settings.toleranceUs ?? this.#need().world.toleranceUs;
  }

  /** How late something may be that a timer does after so long. */
  #lateUs(intervalUs: Micros): Micros {
    return this.#toleranceUs + Math.ceil(Math.max(0, intervalUs) * this.#need().world.timerSlack);
  }

  #advance(until: Micros, isEnough: () => boolean = () => false): void {
    const { world } = this.#need();
    if (world.passed.length === 0) world.settle(until);
    const look = (): boolean => {
      this.#poke();
      return isEnough();
    };
    // A call whose time is up returns though nothing happens.
    const returns = this.#waiting?.until ?? until;
    if (returns > world.now && returns < until) world.advance(returns, look);
    if (!isEnough()) world.advance(until, look);
  }

  /** Asks a call that waits whether it is done. */
  #poke(): void {
    const waiting = this.#waiting;
    if (waiting === undefined) return;
    const result = waiting.call();
    if (result === undefined) return;
    this.#waiting = undefined;
    const { now } = this.#need().world;
    this.#need().world.drain();
    this.#checkResult(waiting.event, result);
    const lateUs = this.#lateUs(waiting.until - waiting.from);
    if (now < waiting.until - this.#toleranceUs || now > waiting.until + lateUs) {
      throw new ScriptFailure("the call returned at another time", this.#scriptTime(waiting.until), this.#scriptTime(now));
    }
  }

  #finishWaiting(): void {
    const waiting = this.#waiting;
    if (waiting === undefined) return;
    this.#advance(waiting.until + this.#lateUs(waiting.until - waiting.from), () => this.#waiting === undefined);
    if (this.#waiting !== undefined)
      throw new ScriptFailure("the call does not return", this.#scriptTime(waiting.until), "it still waits");
  }

  // Calls and code

  #runCall(event: ScriptEvent, at: Micros): void {
    const { action, time } = event;
    if (action.kind !== "call") return;
    if (this.#waiting !== undefined) this.#finishWaiting();
    this.#advance(at);
    const { world, calls } = this.#need();
    const call = calls.begin(action.call);
    const result = call();
    world.drain();
    const until = time.returnsUs === undefined ? at : at + time.returnsUs - (time.us ?? 0);
    if (result === undefined) {
      this.#waiting = { event, call, from: at, until };
      if (time.returnsUs === undefined) this.#finishWaiting();
      return;
    }
    this.#checkResult(event, result);
    if (until - at > this.#toleranceUs)
      throw new ScriptFailure("the call did not wait", this.#scriptTime(until), this.#scriptTime(world.now));
  }

  #checkResult(event: ScriptEvent, result: CallResult): void {
    if (event.action.kind !== "call") return;
    const { result: wanted, errno } = event.action.call;
    const got = result.errno === "" ? String(result.value) : `-1 ${result.errno}`;
    const { text } = event;
    const called = text.slice(text.search(/[A-Za-z_]\w*\s*\(/), text.lastIndexOf(" = ")).trim();
    this.#steps.push({ at: this.#need().world.now, kind: "call", text: `${called} = ${got}` });
    if (wanted === null) return;
    const value = numberOf(wanted);
    const expected = errno === "" ? String(value) : `${value} ${errno}`;
    const isSame = value === result.value && (errno === "" ? result.value !== -1 || value === -1 : errno === result.errno);
    if (!isSame) throw new ScriptFailure(`${event.action.call.name} returned ${got}`, expected, got);
  }

  #runCode(code: string): void {
    const info = this.#need().calls.info();
    for (const [name, value] of Object.entries(info ?? {})) this.#names.set(name, Number.isFinite(value) ? value : 0xffff_ffff);
    for (const [name, value] of this.#settings.definitions) this.#names.set(name, /^-?\d+$/.test(value) ? Number(value) : value);
    runCode(code, this.#names, this.#options.print ?? (() => undefined));
  }

  // Packets in

  #inboundPacket(packet: PacketEvent): Uint8Array {
    const isSyn = (packet.flags & (SYN | ACK)) === SYN;
    if (isSyn && this.#flow.kind === "listening") this.#startFlow("child");
    // Another SYN may begin a new incarnation; if it is answered by one, its numbers are learned anew.
    if (isSyn && packet.seq !== this.#flow.peerSyn) this.#flow.isLearned = false;
    if (isSyn) this.#flow.peerSyn = packet.seq;
    const numbers = this.#numbers;
    const ack = packet.ack ?? 0;
    const options = (packet.options ?? []).map((option) => {
      if (option.kind === "ts" && option.ecr !== null && this.#stamps.has(option.ecr))
        return { kind: "timestamps", tsVal: option.val ?? 0, tsEcr: this.#stamps.get(option.ecr) ?? 0 } as const;
      return toWire(option, numbers);
    });
    const { bytes } = craft({
      ip: this.#ipHeader(packet.ip),
      tcp: {
        sourcePort: this.#flow.remotePort,
        destinationPort: this.#ourPort(),
        seq: packet.seq,
        ack: (packet.flags & ACK) !== 0 ? (ack + numbers.ourOffset) >>> 0 : ack,
        flags: packet.flags,
        window: packet.window ?? 0,
        urgentPointer: packet.urgent ?? 0,
        options,
      },
      payload: new Uint8Array(packet.length),
    });
    return bytes;
  }

  #ipHeader(marks: IpMarks): NonNullable<Parameters<typeof craft>[0]["ip"]> {
    const { local, remote, family } = this.#settings;
    const ecn = typeof marks.ecn === "number" ? marks.ecn : 0;
    const tos = (marks.tos ?? 0) | ecn;
    const ends = { source: remote, destination: local };
    if (family === 6)
      return { family: 6, ...ends, trafficClass: tos, hopLimit: marks.ttl ?? 64, flowLabel: marks.flowLabel ?? 0 };
    return { family: 4, ...ends, tos, ttl: marks.ttl ?? 64 };
  }

  #ourPort(): number {
    if (this.#flow.kind !== "active") return this.#settings.localPort;
    return this.#host?.calls.localPort() ?? this.#settings.localPort;
  }

  #icmpPacket(icmp: IcmpEvent): Uint8Array {
    const { local, remote, family } = this.#settings;
    if (family === 6) this.#unsupported("ICMPv6 packets");
    const { bytes: quoted } = craft({
      ip: { family: 4, source: local, destination: remote },
      tcp: {
        sourcePort: this.#ourPort(),
        destinationPort: this.#flow.remotePort,
        seq: (icmp.seq + this.#numbers.ourOffset) >>> 0,
        flags: ACK,
      },
      payload: new Uint8Array(icmp.length),
    });
    const payload = buildIcmpError(icmp.type, icmp.code, icmp.mtu ?? 0, quoted, remote, local);
    return craft({ ip: { family: 4, source: remote, destination: local, protocol: PROTOCOL_ICMP }, payload }).bytes;
  }

  // Packets out

  /** Waits for the next packet and compares. Returns the time from which the next event counts. */
  #expectPacket(event: ScriptEvent, expected: PacketEvent, at: Micros): Micros {
    const { world } = this.#need();
    const { strictSegments } = this.#settings;
    const isAnyTime = event.time.us === null;
    const latest = isAnyTime ? at + ANY_TIME : at + ((event.time.untilUs ?? event.time.us ?? 0) - (event.time.us ?? 0));
    const lateUs = this.#lateUs(at - this.#base);
    this.#advance(latest + lateUs, () => world.sent.length > 0);
    const first = this.#next();
    if (first === undefined) throw new ScriptFailure("no packet was sent", `at ${this.#scriptTime(at)}`, "nothing");
    this.#learn(expected, first);
    let seen = this.#cut(first, expected, this.#see(first));
    while (!strictSegments && seen.length > 0 && seen.length < expected.length) {
      this.#advance(latest + lateUs, () => world.sent.length > 0);
      const [next] = world.sent;
      const together = next === undefined ? undefined : joined(seen, this.#see(next));
      if (together === undefined || together.length > expected.length) break;
      world.sent.shift();
      seen = together;
    }
    this.#steps.push({ at: first.at, kind: "out", text: formatSeen(seen) });
    const wrong = this.#wrongWith(event, expected, seen);
    if (wrong !== "") throw new ScriptFailure(wrong, event.text, formatSeen(seen));
    this.#checkStamps(expected, first);
    if (isAnyTime) return first.at;
    if (first.at < at - this.#toleranceUs || first.at > latest + lateUs) {
      const early = first.at < at ? "early" : "late";
      throw new ScriptFailure(`the packet came too ${early}`, this.#scriptTime(at), this.#scriptTime(first.at));
    }
    return event.time.untilUs === undefined ? at : first.at;
  }

  /** What is wrong with a segment; what may be tolerated is noted, and is none. */
  #wrongWith(event: ScriptEvent, expected: PacketEvent, seen: SeenSegment): string {
    const wrong = mismatch(expected, seen, { tolerant: false });
    if (wrong === "" || this.#options.tolerant !== true) return wrong;
    const stillWrong = mismatch(expected, seen, { tolerant: true });
    if (stillWrong === "") this.#tolerated.push(`line ${event.place.line}: ${wrong}`);
    return stillWrong;
  }

  /** A host may hand out segments joined: what goes beyond the expected one is the next. */
  #cut(packet: PassedPacket, expected: PacketEvent, seen: SeenSegment): SeenSegment {
    const { world } = this.#need();
    if (!world.joinsSegments || this.#settings.strictSegments || expected.length === 0 || seen.length <= expected.length)
      return seen;
    world.sent.unshift({ ...packet, skipped: (packet.skipped ?? 0) + expected.length });
    return { ...seen, length: expected.length, flags: seen.flags & ~(FIN | PSH) };
  }

  /** The next packet of the connection that the script speaks of. */
  #next(): PassedPacket | undefined {
    return this.#need().world.sent.shift();
  }

  #see(packet: PassedPacket): SeenSegment {
    const seen = seeSegment(packet.bytes, packet.at, this.#numbers);
    if (seen === undefined) throw new ScriptFailure("the stack sent what is no TCP segment");
    const { skipped = 0 } = packet;
    return skipped === 0 ? seen : { ...seen, seq: seqAdd(seen.seq, skipped), length: seen.length - skipped };
  }

  /** Our initial sequence number and our first timestamp lie where the script says. */
  #learn(expected: PacketEvent, packet: PassedPacket): void {
    const ports = portsOf(packet.bytes);
    if (ports === undefined) return;
    if (!this.#flow.isLearned && (ports.flags & SYN) !== 0) {
      this.#flow.isLearned = true;
      this.#numbers = { ...this.#numbers, ourOffset: (ports.seq - expected.seq) >>> 0 };
    }
    const wanted = expected.options?.find((option) => option.kind === "ts");
    const found = this.#see(packet).options.find((option) => option.kind === "timestamps");
    if (wanted?.kind !== "ts" || wanted.val === null || found?.kind !== "timestamps") return;
    const live = (found.tsVal + (this.#numbers.stampOffset ?? 0)) >>> 0;
    if (this.#numbers.stampOffset === null) this.#numbers = { ...this.#numbers, stampOffset: (live - wanted.val) >>> 0 };
    this.#stamps.set(wanted.val, live);
  }

  #checkStamps(expected: PacketEvent, packet: PassedPacket): void {
    const { tickUs } = this.#settings;
    const wanted = expected.options?.find((option) => option.kind === "ts");
    if (tickUs === 0 || wanted?.kind !== "ts" || wanted.val === null) return;
    const found = this.#see(packet).options.find((option) => option.kind === "timestamps");
    if (found?.kind !== "timestamps") return;
    const apart = Math.abs((found.tsVal - wanted.val) | 0) * 1000;
    if (apart > Math.max(this.#toleranceUs, tickUs))
      throw new ScriptFailure("the timestamp does not tell the time", `TS val ${wanted.val}`, `TS val ${found.tsVal}`);
  }

  #expectSilence(): void {
    const { world } = this.#need();
    if (world.sent.length === 0) this.#advance(world.now + STRICT_AFTER, () => world.sent.length > 0);
    const [packet] = world.sent;
    if (packet === undefined) return;
    throw new ScriptFailure(
      `a packet that the script does not know, at ${this.#scriptTime(packet.at)}`,
      "nothing",
      formatSeen(this.#see(packet)),
    );
  }
}
