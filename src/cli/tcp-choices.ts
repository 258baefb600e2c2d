/** Options of the live commands that choose how our TCP behaves: profile, congestion control, ECN, timers, header fields. */
import type { Argv } from "yargs";
import type { ConnectionConfig } from "../tcp/config.js";
import { CONGESTION_CONTROLS, type CongestionName, congestionByName } from "../tcp/congestion-controls.js";
import { ECN_POLICIES, type EcnPolicy } from "../tcp/ecn.js";
import { PROFILES, type ProfileName, profileByName } from "../tcp/profiles.js";
import { oneOf, seconds, wholeNumber } from "./values.js";

export interface TcpChoices {
  profile: ProfileName;
  congestion: CongestionName | undefined;
  ecn: EcnPolicy | undefined;
  sack: boolean;
  /** Seconds. */
  keepAlive: number | undefined;
  /** Seconds. */
  userTimeout: number | undefined;
  /** Bytes. */
  sendBuffer: number | undefined;
  ttl: number | undefined;
  tos: number | undefined;
}

const PROFILE_NAMES = Object.keys(PROFILES) as ProfileName[];
const CONGESTION_NAMES = Object.keys(CONGESTION_CONTROLS) as CongestionName[];

/** Adds the options to a command, under the heading `group`. */
export function withTcpChoices<T>(argv: Argv<T>, group: string): Argv<T & TcpChoices> {
  const chosen = argv
    .option("profile", {
      group,
      choices: PROFILE_NAMES,
      default: "linux" as const,
      coerce: oneOf("--profile", PROFILE_NAMES),
      describe: "behave on the wire as Linux does, as FreeBSD, or as the RFCs plainly say",
    })
    .option("congestion", {
      group,
      choices: CONGESTION_NAMES,
      coerce: optional(oneOf("--congestion", CONGESTION_NAMES)),
      describe: "congestion control (default: the profile's)",
    })
    .option("ecn", {
      group,
      choices: ECN_POLICIES,
      coerce: optional(oneOf("--ecn", ECN_POLICIES)),
      describe:
        "explicit congestion notification: never, where the peer asks, or ask for it; accurate: count every mark (default: the profile's)",
    })
    .option("sack", { group, type: "boolean", default: true, describe: "offer selective acknowledgments; --no-sack does not" })
    .option("keep-alive", {
      group,
      requiresArg: true,
      coerce: optional(seconds("--keep-alive", 1, 32_767)),
      describe: "seconds of silence after which the peer is probed (default: never)",
    })
    .option("user-timeout", {
      group,
      requiresArg: true,
      coerce: optional(seconds("--user-timeout", 0.1, 86_400)),
      describe: "seconds that data may stay unacknowledged (RFC 5482)",
    })
    .option("send-buffer", {
      group,
      requiresArg: true,
      coerce: optional(wholeNumber("--send-buffer", 1, 2 ** 30)),
      describe: "bytes taken from the input and not acknowledged yet, at the most",
    })
    .option("ttl", {
      group,
      requiresArg: true,
      coerce: optional(wholeNumber("--ttl", 1, 255)),
      describe: "TTL or hop limit (default 64)",
    })
    .option("tos", {
      group,
      requiresArg: true,
      coerce: optional(wholeNumber("--tos", 0, 255)),
      describe: "TOS or traffic class; its ECN bits are not yours",
    });
  // yargs' types cannot follow a generic T through the chain.
  return chosen as unknown as Argv<T & TcpChoices>;
}

/** The part of the choices that a connection is made with: the profile, and over it what was asked for by name. */
export function configOfChoices(options: TcpChoices): Partial<ConnectionConfig> {
  const { profile, congestion } = options;
  return {
    ...profileByName(profile),
    ...(congestion === undefined ? {} : { congestion: congestionByName(congestion) }),
    ...settingsOfChoices(options),
  };
}

/** What was asked for by name beside profile and congestion control: numbers and words, which can be handed to another process. */
export function settingsOfChoices(options: TcpChoices): Partial<ConnectionConfig> {
  const { ecn, sack, keepAlive, userTimeout, sendBuffer, ttl, tos } = options;
  return {
    ...(sack ? {} : { sack }),
    ...(ecn === undefined ? {} : { ecn }),
    ...(keepAlive === undefined ? {} : { keepAlive: true, keepAliveIdleUs: micros(keepAlive) }),
    ...(userTimeout === undefined ? {} : { userTimeoutUs: micros(userTimeout) }),
    ...(sendBuffer === undefined ? {} : { sendBufferBytes: sendBuffer }),
    ...(ttl === undefined ? {} : { ttl }),
    ...(tos === undefined ? {} : { tos: tos & 0xfc }),
  };
}

function micros(value: number): number {
  return Math.round(value * 1_000_000);
}

/** Reads what was typed; an option that is absent stays so. */
function optional<T>(read: (typed: unknown) => T): (typed: unknown) => T | undefined {
  return (typed) => (typed === undefined ? undefined : read(typed));
}
