/** What `rawtcp run` hands to the programs that it starts, and which of their connections become ours. */
import type { GuardMethod } from "../kernel/port-guard.js";
import type { ProfileName } from "../tcp/profiles.js";

/** The variable of the environment that carries it, as JSON. */
export const RUN_VARIABLE = "RAWTCP_RUN";

export interface RunOptions {
  /** Only connections that the program opens, or only servers; both when left out. */
  readonly only?: "connect" | "listen";
  /** Ports, as ranges with both ends included; all when left out. */
  readonly ports?: readonly (readonly [number, number])[];
  /** Names or addresses as the program gives them; all when left out. */
  readonly hosts?: readonly string[];
  /** Inside the process, without rights. */
  readonly simulated?: boolean;
  readonly guard?: GuardMethod;
  readonly allowRemote?: boolean;
  readonly profile?: ProfileName;
  readonly congestion?: string;
  /** Settings of every connection, over those of the profile; those that JSON can carry. */
  readonly connection?: Readonly<Record<string, number | boolean | string>>;
  /** Bend rules as text. */
  readonly bend?: string;
  /** File for the capture, and for the events as JSON Lines ("-": standard error). */
  readonly pcap?: string;
  readonly json?: string;
  /** No line at the end. */
  readonly quiet?: boolean;
}

/** Reads the variable; undefined when it is not set. Throws an Error that names what is wrong with it. */
export function readRunOptions(text: string | undefined): RunOptions | undefined {
  if (text === undefined || text === "") return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    value = undefined;
  }
  if (typeof value !== "object" || value === null) throw new Error(`${RUN_VARIABLE} is no JSON object: ${text}`);
  return value as RunOptions;
}

/** Whether a connection or a server is to be ours. `host` is what the program named: a name or an address. */
export function isWanted(options: RunOptions, kind: "connect" | "listen", host: string, port: number): boolean {
  if (options.only !== undefined && options.only !== kind) return false;
  if (options.ports !== undefined && !options.ports.some(([first, last]) => port >= first && port <= last)) return false;
  return options.hosts === undefined || options.hosts.includes(host);
}
