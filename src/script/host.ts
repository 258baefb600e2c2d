/** What scripts run on: a stack of ours in virtual time, or a kernel. The runner knows no more of either than stands here. */
import type { Random } from "../base/random.js";
import type { Micros } from "../base/time.js";
import type { CallEvent } from "./ast.js";
import type { RunOptions } from "./runner.js";
import type { Settings } from "./settings.js";

/** A packet that passed; `bytes` are its own. */
export interface PassedPacket {
  readonly direction: "in" | "out";
  readonly at: Micros;
  readonly bytes: Uint8Array;
  /** Why it was sent, or what was made of it. */
  readonly note: string;
  /** Bytes of its payload that were matched as a segment before this one. */
  readonly skipped?: number;
}

/** The wire and the clock. */
export interface ScriptWorld {
  /** On the clock that begins with the request's `start`. */
  readonly now: Micros;
  /** What was sent and is not matched yet, oldest first. */
  readonly sent: PassedPacket[];
  /** Everything that passed. */
  readonly passed: readonly PassedPacket[];
  /** Segments may come joined, as with segmentation offload. */
  readonly joinsSegments: boolean;
  /** How far from its time a packet may come if the script does not say. */
  readonly toleranceUs: Micros;
  /** The script's end will use this port. */
  openPort(port: number): void;
  /** Who is late before anything has passed sets the clock to the time that it ought to be. */
  settle(at: Micros): void;
  /** A packet arrives now. */
  inject(bytes: Uint8Array): void;
  /** Takes up what was sent until now. */
  drain(): void;
  /** Lets time pass up to `until`, or until `isEnough` says so after something has happened. */
  advance(until: Micros, isEnough?: () => boolean): void;
}

/** What a call gave: its result, and the name of the errno when that is -1. */
export interface CallResult {
  readonly value: number;
  readonly errno: string;
}

/** A call under way: undefined as long as it waits. */
export interface PendingCall {
  (): CallResult | undefined;
  /** When it is to be asked again though nothing has happened: its time is up. */
  readonly deadline?: Micros;
}

/** A call that gives up at `deadline`. */
export function withDeadline(deadline: Micros | undefined, call: () => CallResult | undefined): PendingCall {
  return deadline === undefined ? call : Object.assign(call, { deadline });
}

/** The system calls. */
export interface ScriptCalls {
  /** Begins a call. Throws UnsupportedError, and ScriptFailure where what it hands back is not what the script says. */
  begin(call: CallEvent): PendingCall;
  /** tcp_info of the socket that a call last spoke of; undefined without one. */
  info(): Readonly<Record<string, number>> | undefined;
  /** The port of that socket. */
  localPort(): number | undefined;
}

/** Told of what decides whose packets come next. */
export interface CallWatcher {
  /** There is a new socket. */
  opened(): void;
  listening(): void;
  connecting(): void;
}

export interface ScriptHost {
  readonly world: ScriptWorld;
  readonly calls: ScriptCalls;
  /** Does what a command of the script asks for. Throws UnsupportedError. */
  configure(command: string): void;
  /** Gives everything back. */
  close(): void;
}

export interface HostRequest {
  readonly settings: Settings;
  readonly options: RunOptions;
  /** Commands of the script before its first event. */
  readonly commands: readonly string[];
  readonly random: Random;
  readonly start: Micros;
  readonly watcher: CallWatcher;
}

/** Makes a host for one script. Throws UnsupportedError. */
export type ScriptHostFactory = (request: HostRequest) => ScriptHost;
