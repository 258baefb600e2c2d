/**
 * Runs a script on a stack of ours in virtual time. Each event in its turn: packets of the script are put in, calls are made, and what the
 * stack sends has to be what the script says, when it says so.
 */
import { SeededRandom } from "../base/random.js";
import { seqAdd } from "../base/seq.js";
import { MINUTE, type Micros, SECOND } from "../base/time.js";
import type { ConnectionConfig } from "../tcp/config.js";
import type { ProfileName } from "../tcp/profiles.js";
import { FIN, PSH } from "../wire/tcp-flags.js";
import { type Action, directionOf, type PacketEvent, type Script, type ScriptEvent } from "./ast.js";
import { CODE_CONSTANTS, ERRNOS } from "./constants.js";
import { profileOfScript } from "./dialect.js";
import { ScriptFailure, UnsupportedError } from "./errors.js";
import { type Names, runCode } from "./evaluator.js";
import { Flow, type FlowKind } from "./flow.js";
import type { CallResult, PassedPacket, PendingCall, ScriptHost, ScriptHostFactory } from "./host.js";
import { icmpPacket, type Ports, tcpPacket } from "./inbound.js";
import type { Step } from "./ladder.js";
import { factsOf, formatSeen, joined, mismatch, type SeenSegment, seeSegment } from "./match.js";
import { readSettings, type ScriptEnds, type Settings } from "./settings.js";
import { commandTime } from "./sysctl.js";
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
  /** What timestamps echo is compared too, which packetdrill does not. Default: when strict. */
  readonly echoes?: boolean;
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
/** How long a call is waited for that has no end in the script: longer than a connect that fails. */
const CALL_TIME: Micros = 3 * MINUTE;
/** After the end of a strict script, packets are waited for so long. */
const STRICT_AFTER: Micros = 10 * SECOND;

interface Waiting {
  readonly event: ScriptEvent;
  readonly call: PendingCall;
  readonly from: Micros;
  /** When it has to return. */
  readonly until: Micros;
  /** How far from that; null when the script does not say when it returns. */
  readonly toleranceUs: Micros | null;
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
  /** How far from its time the present event may be. */
  #toleranceUs: Micros = 0;
  #waiting: Waiting | undefined;
  /** When the event before was to happen. */
  #lastAt: Micros = START;
  /** The event before was a packet that went in. */
  #wasInbound = false;
  readonly #flow = new Flow();
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
      const seen = seeSegment(bytes, at, this.#flow.numbers);
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
    if (this.#settings.isDry) return;
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

  /** Times count from now, those of packets that go in one after another from when the one before was to go. */
  #timeOf({ time, action }: ScriptEvent): Micros {
    const now = this.#host?.world.now ?? this.#lastAt;
    if (time.us === null) return now;
    const isAnchored = this.#wasInbound && isInbound(action);
    return (time.relative ? (isAnchored ? this.#lastAt : now) : START) + time.us;
  }

  #runEvent(event: ScriptEvent): void {
    const at = this.#timeOf(event);
    this.#toleranceUs = this.#toleranceOver(at - this.#lastAt);
    this.#act(event, at);
    this.#lastAt = at;
    this.#wasInbound = isInbound(event.action);
  }

  /** A kernel's timers are off by a part of their time, so the tolerance grows with the time since the event before. */
  #toleranceOver(us: Micros): Micros {
    return Math.max(this.#fixedToleranceUs, Math.ceil((us * this.#settings.tolerancePercent) / 100));
  }

  get #fixedToleranceUs(): Micros {
    return this.#settings.toleranceUs ?? this.#host?.world.toleranceUs ?? 0;
  }

  #act(event: ScriptEvent, at: Micros): void {
    const { action } = event;
    switch (action.kind) {
      case "command":
        if (this.#host !== undefined) this.#advance(at);
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
      case "udp":
        this.#unsupported("udp packets");
        break;
      default:
        if (isInbound(action)) {
          this.#advance(at);
          this.#inject(event);
        } else if (action.kind === "packet") this.#expectPacket(event, action.packet, at);
        else this.#unsupported("ICMP that the stack sends");
    }
  }

  #unsupported(feature: string): never {
    throw new UnsupportedError(feature);
  }

  // The host

  #configure(command: string): void {
    if (this.#host === undefined) this.#commands.push(command);
    else {
      this.#host.configure(command);
      const us = commandTime(command);
      if (us > 0) this.#advance(this.#host.world.now + us);
    }
  }

  /** The host begins with the first event that needs it: what is configured before holds for all of it. */
  #need(): ScriptHost {
    this.#host ??= (this.#options.host ?? openVirtualHost)({
      settings: this.#settings,
      options: this.#options,
      commands: this.#commands,
      random: this.#random,
      start: START,
      watcher: {
        opened: () => this.#beginFlow("new", 0),
        listening: () => {
          // A backlog that is changed leaves the connection alone.
          if (this.#flow.kind !== "child") this.#beginFlow("listening", this.#somePort());
        },
        connecting: () => this.#beginFlow("active", this.#settings.remotePort),
      },
    });
    return this.#host;
  }

  /** Tells a flow whose packets come next, and the wire which port they have. */
  #beginFlow(kind: FlowKind, remotePort: number): void {
    this.#flow.begin(kind, remotePort);
    if (kind !== "new") this.#host?.world.openPort(remotePort);
  }

  /** A port of the peer that nobody used. */
  #somePort(): number {
    return this.#options.ends?.remotePort ?? 32_768 + (this.#random.u32() % 28_000);
  }

  // Time

  #advance(until: Micros, isEnough: () => boolean = () => false): void {
    const { world } = this.#need();
    if (world.passed.length === 0) world.settle(until);
    const look = (): boolean => {
      this.#poke();
      return isEnough();
    };
    // A call whose time is up returns though nothing happens.
    const waiting = this.#waiting;
    const returns = waiting === undefined ? until : Math.min(waiting.until, waiting.call.deadline ?? until);
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
    const { toleranceUs } = waiting;
    if (toleranceUs === null) return;
    if (now < waiting.until - toleranceUs || now > waiting.until + toleranceUs) {
      throw new ScriptFailure("the call returned at another time", this.#scriptTime(waiting.until), this.#scriptTime(now));
    }
  }

  #finishWaiting(): void {
    const waiting = this.#waiting;
    if (waiting === undefined) return;
    this.#advance(waiting.until + (waiting.toleranceUs ?? 0), () => this.#waiting === undefined);
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
    if (time.returnsUs === undefined) {
      if (result !== undefined) this.#checkResult(event, result);
      else {
        this.#waiting = { event, call, from: at, until: at + CALL_TIME, toleranceUs: null };
        this.#finishWaiting();
      }
      return;
    }
    const until = at + time.returnsUs - (time.us ?? 0);
    const toleranceUs = this.#toleranceOver(until - at);
    if (result === undefined) {
      this.#waiting = { event, call, from: at, until, toleranceUs };
      return;
    }
    this.#checkResult(event, result);
    if (until - at > toleranceUs)
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
    const isErrno = errno === result.errno || (ERRNOS[errno] !== undefined && ERRNOS[errno] === ERRNOS[result.errno]);
    const isSame = value === result.value && (errno === "" ? result.value !== -1 || value === -1 : isErrno);
    if (!isSame) throw new ScriptFailure(`${event.action.call.name} returned ${got}`, expected, got);
  }

  #runCode(code: string): void {
    const info = this.#need().calls.info();
    for (const [name, value] of Object.entries(info ?? {})) this.#names.set(name, Number.isFinite(value) ? value : 0xffff_ffff);
    for (const [name, value] of Object.entries(this.#settings.definitions))
      this.#names.set(name, /^-?\d+$/.test(value) ? Number(value) : value.replace(/^(["`])(.*)\1$/s, "$2"));
    runCode(code, this.#names, this.#options.print ?? (() => undefined));
  }

  // Packets in

  #inject(event: ScriptEvent): void {
    const { action, text } = event;
    const flow = this.#flow;
    const ports = (): Ports => ({ local: this.#ourPort(), remote: flow.remotePort || this.#settings.remotePort });
    const { world } = this.#need();
    this.#steps.push({ at: world.now, kind: "in", text: text.slice(text.indexOf("<") + 1).trim() });
    if (action.kind === "packet") {
      const isFirst = flow.kind === "listening" || flow.kind === "none";
      if (isFirst) this.#beginFlow("child", this.#somePort());
      flow.learnInbound(action.packet, isFirst);
      world.inject(tcpPacket(action.packet, flow, ports(), this.#settings));
    } else if (action.kind === "icmp") world.inject(icmpPacket(action.icmp, flow, ports(), this.#settings));
    this.#poke();
  }

  #ourPort(): number {
    const { kind, localPort } = this.#flow;
    if (localPort !== 0) return localPort;
    if (kind !== "active") return this.#settings.localPort;
    return this.#host?.calls.localPort() ?? this.#settings.localPort;
  }

  // Packets out

  /** Waits for the next packet of the flow and compares. */
  #expectPacket(event: ScriptEvent, expected: PacketEvent, at: Micros): void {
    const { world } = this.#need();
    const toleranceUs = this.#toleranceUs;
    const isAnyTime = event.time.us === null;
    const latest = isAnyTime ? at + ANY_TIME : at + ((event.time.untilUs ?? event.time.us ?? 0) - (event.time.us ?? 0));
    this.#advance(latest + toleranceUs, () => this.#peek() !== undefined);
    const first = this.#next();
    if (first === undefined) throw new ScriptFailure("no packet was sent", `at ${this.#scriptTime(at)}`, "nothing");
    this.#learn(expected, first);
    const { seen, at: lastAt } = this.#gather(first, expected, latest + toleranceUs);
    this.#steps.push({ at: first.at, kind: "out", text: formatSeen(seen) });
    const wrong = this.#wrongWith(event, expected, seen);
    if (wrong !== "") throw new ScriptFailure(wrong, event.text, formatSeen(seen));
    this.#checkStamps(expected, first);
    world.drain();
    if (isAnyTime) return;
    if (lastAt < at - toleranceUs || lastAt > latest + toleranceUs) {
      const early = lastAt < at ? "early" : "late";
      throw new ScriptFailure(`the packet came too ${early}`, this.#scriptTime(at), this.#scriptTime(lastAt));
    }
  }

  /** Segments that together are as long as the expected one count as one, unless the script is strict about them. */
  #gather(first: PassedPacket, expected: PacketEvent, until: Micros): { readonly seen: SeenSegment; readonly at: Micros } {
    const { world } = this.#need();
    let seen = this.#cut(first, expected, this.#see(first));
    let { at } = first;
    let { length } = seen;
    while (!this.#settings.strictSegments && seen.length < expected.length) {
      this.#advance(until, () => this.#peek() !== undefined);
      const next = this.#peek();
      const segment = next === undefined ? undefined : this.#see(next);
      const together = segment === undefined ? undefined : joined(seen, segment, length, expected.length);
      if (next === undefined || segment === undefined || together === undefined) break;
      world.sent.shift();
      length = segment.length;
      at = next.at;
      seen = together;
    }
    return { seen, at };
  }

  /** What is wrong with a segment; what may be tolerated is noted, and is none. */
  #wrongWith(event: ScriptEvent, expected: PacketEvent, seen: SeenSegment): string {
    const { strict = false, echoes = strict } = this.#options;
    const wrong = mismatch(expected, seen, { tolerant: false, echoes });
    if (wrong === "" || this.#options.tolerant !== true) return wrong;
    const stillWrong = mismatch(expected, seen, { tolerant: true, echoes });
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

  /** The next packet of the flow; those of others are passed over, unless the run is strict. */
  #peek(): PassedPacket | undefined {
    const { sent } = this.#need().world;
    while (sent[0] !== undefined && this.#options.strict !== true) {
      const facts = factsOf(sent[0].bytes);
      if (facts !== undefined && this.#flow.owns(facts)) break;
      sent.shift();
    }
    return sent[0];
  }

  #next(): PassedPacket | undefined {
    const next = this.#peek();
    this.#need().world.sent.shift();
    return next;
  }

  #see(packet: PassedPacket): SeenSegment {
    const seen = seeSegment(packet.bytes, packet.at, this.#flow.numbers);
    if (seen === undefined) throw new ScriptFailure("the stack sent what is no TCP segment");
    const { skipped = 0 } = packet;
    return skipped === 0
      ? seen
      : { ...seen, seq: seqAdd(seen.seq, skipped), wireSeq: seqAdd(seen.wireSeq, skipped), length: seen.length - skipped };
  }

  /** Our initial sequence number and our timestamps lie where the script says. */
  #learn(expected: PacketEvent, packet: PassedPacket): void {
    const facts = factsOf(packet.bytes);
    if (facts === undefined) return;
    this.#flow.learnOutbound(expected, facts);
    const wanted = expected.options?.find((option) => option.kind === "ts");
    const found = this.#see(packet).options.find((option) => option.kind === "timestamps");
    if (wanted?.kind !== "ts" || wanted.val === null || found?.kind !== "timestamps") return;
    this.#flow.learnStamp(wanted.val, seqAdd(found.tsVal, this.#flow.numbers.stampOffset ?? 0));
  }

  #checkStamps(expected: PacketEvent, packet: PassedPacket): void {
    const { tickUs } = this.#settings;
    const toleranceUs = this.#fixedToleranceUs;
    const wanted = expected.options?.find((option) => option.kind === "ts");
    if (tickUs === 0 || wanted?.kind !== "ts" || wanted.val === null) return;
    const found = this.#see(packet).options.find((option) => option.kind === "timestamps");
    if (found?.kind !== "timestamps") return;
    if (Math.abs((found.tsVal - wanted.val) | 0) * tickUs > toleranceUs)
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

function isInbound(action: Action): boolean {
  return directionOf(action) === "in";
}
