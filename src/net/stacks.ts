/** The stacks that sockets can be given: live over raw sockets, and simulated inside the process. */
import {
  type Faults,
  type HostSessionOptions,
  type LoopSessionOptions,
  openHostSession,
  openLoopSession,
} from "../driver/host-session.js";
import { VirtualClock } from "../driver/virtual-clock.js";
import type { ConnectionConfig } from "../tcp/config.js";
import { congestionByName } from "../tcp/congestion-controls.js";
import { type ProfileName, profileByName } from "../tcp/profiles.js";
import { NetStack } from "./net-stack.js";

/** What may be asked of any stack. */
export interface StackChoices {
  /** "linux" (default) or "rfc": see `tcp/profiles.ts`. */
  readonly profile?: ProfileName;
  /** "cubic" (default), "reno" or "newreno". */
  readonly congestion?: string;
  /** Single settings, over those of the profile. */
  readonly connection?: Partial<ConnectionConfig>;
  /** Packets meet these: `{ loss: 0.01, seed: 7 }`. */
  readonly faults?: Faults;
}

export interface LiveStackOptions extends StackChoices, Omit<HostSessionOptions, "connection" | "faults" | "onState"> {}

export interface SimulatedStackOptions
  extends StackChoices,
    Omit<LoopSessionOptions, "connection" | "faults" | "clock" | "onState"> {
  /** "real" (default), or "virtual": time leaps to the next timer whenever the program waits. */
  readonly time?: "real" | "virtual";
}

/**
 * A TCP stack over raw sockets, for all addresses of this host. Opened by the first socket that needs it, which then throws what opening
 * throws: `EPERM` without rights, in one line that names the mend.
 */
export function liveStack(options: LiveStackOptions = {}): NetStack {
  const config = configOf(options);
  return new NetStack("live", config, (onState) => openHostSession({ ...options, connection: config, onState }));
}

/**
 * A TCP stack whose wire runs inside the process: no rights, no kernel. Clients and servers of the same stack find each other at
 * 127.0.0.0/8, ::1 and whatever `addresses` adds.
 */
export function simulatedStack(options: SimulatedStackOptions = {}): NetStack {
  const config = configOf(options);
  return new NetStack("simulated", config, (onState) =>
    openLoopSession({
      ...options,
      connection: config,
      onState,
      ...(options.time === "virtual" ? { clock: new VirtualClock() } : {}),
    }),
  );
}

/** Throws RawTcpError for a profile or congestion control that does not exist. */
function configOf({ profile, congestion, connection }: StackChoices): Partial<ConnectionConfig> {
  return {
    ...(profile === undefined ? {} : profileByName(profile)),
    ...(congestion === undefined ? {} : { congestion: congestionByName(congestion) }),
    ...connection,
  };
}
