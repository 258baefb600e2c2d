/** A stack of ours in virtual time, configured as the script asks. */
import { SECOND } from "../base/time.js";
import type { StackChanges } from "../stack/config.js";
import type { ConnectionConfig } from "../tcp/config.js";
import { type ProfileName, profileByName } from "../tcp/profiles.js";
import { Calls } from "./calls.js";
import { parseFastOpenKey, USUAL_KEY } from "./fast-open-key.js";
import { FreeBsdCalls } from "./freebsd-calls.js";
import type { HostRequest, ScriptHost } from "./host.js";
import { type HostChanges, readCommand } from "./sysctl.js";
import { VirtualWorld } from "./virtual-world.js";

/** tcp_rmem and tcp_wmem: 131072 at first, and no more than 6 MiB and 4 MiB; tcp_mtu_probing 0. */
const LINUX = {
  receiveBufferBytes: 131_072,
  receiveBufferMaxBytes: 6_291_456,
  sendBufferBytes: 4_194_304,
  mtuProbing: 0,
} as const;

/** What belongs to a host, as a freshly started one of each kind has it. */
const SIZES: Readonly<Record<ProfileName, Partial<ConnectionConfig>>> = {
  // Also where an RFC says otherwise: scripts for Linux expect it. tcp_syn_retries 6, tcp_syn_linear_timeouts.
  linux: {
    ...LINUX,
    zeroWindowProbe: "old-number",
    sender: "linux",
    receiver: "linux",
    synLinearTimeouts: 4,
    synTimeoutUs: 127 * SECOND,
  },
  rfc: LINUX,
  // net.inet.tcp.recvspace; the send buffer grows with what is written up to sendbuf_max.
  freebsd: { receiveBufferBytes: 65_536, receiveBufferMaxBytes: 0, sendBufferBytes: 2 << 20 },
};

/** Throws UnsupportedError for a command that asks for what we do not have. */
export function openVirtualHost({ settings, options, commands, random, start, watcher }: HostRequest): ScriptHost {
  const { profile = "linux" } = options;
  const connection: { -readonly [Name in keyof ConnectionConfig]?: ConnectionConfig[Name] } = {
    ...profileByName(profile),
    mtuBytes: settings.mtuBytes,
    ...SIZES[profile],
    ...options.connection,
  };
  const apply = (command: string): HostChanges => {
    const changes = readCommand(command);
    Object.assign(connection, changes.connection);
    return changes;
  };
  const stack: StackChanges = Object.assign(
    { fastOpenKey: parseFastOpenKey(USUAL_KEY) },
    ...commands.map((command) => apply(command).stack),
  );
  const world = new VirtualWorld({ connection, ...stack }, random, start);
  const toleranceUs = settings.toleranceUs ?? world.toleranceUs;
  const calls = new Calls(world, { ...settings, start, toleranceUs, doublesBuffers: profile === "linux" }, watcher);
  return {
    world,
    calls: profile === "freebsd" ? new FreeBsdCalls(calls, (changes) => Object.assign(connection, changes)) : calls,
    configure(command) {
      const changes = apply(command);
      world.stack.reconfigure(changes.stack);
      const present = only(changes.connection, PRESENT);
      world.stack.adopt({ ...present, ...only(changes.connection, AT_SYN) }, present);
      if (changes.forgetsPeers) world.stack.fastOpenCache.clear();
    },
    close() {},
  };
}

/** What a listener looks up when a SYN comes. */
const AT_SYN: ReadonlySet<string> = new Set([
  ...["timestamps", "sack", "windowScaling", "ecn", "ecnFallback", "accurateEcnOption", "accurateEcnBeacon", "fastOpen"],
  ...["fastOpenWithoutCookie", "synAckRetries", "reflectsTos", "reorderingSegments", "initialWindowSegments", "leastPeerMss"],
]);
/** What Linux looks up whenever it needs it, so that it holds for connections that are there. */
const PRESENT: ReadonlySet<string> = new Set([
  ...[
    "restartAfterIdle",
    "tailLossProbe",
    "rack",
    "dsack",
    "tunesReceiveBuffer",
    "forwardRto",
    "thinLinearTimeouts",
    "finWait2Us",
  ],
  ...[
    "r1Retries",
    "r2Us",
    "orphanTimeoutUs",
    "challengeAckIntervalUs",
    "timeWaitIgnoresReset",
    "resetsOverflow",
    "shrinksWindow",
  ],
  ...["compressedAcks", "ackCompressionUs", "acknowledgesAtOnce"],
]);

function only(changes: Partial<ConnectionConfig>, names: ReadonlySet<string>): Partial<ConnectionConfig> {
  return Object.fromEntries(Object.entries(changes).filter(([name]) => names.has(name)));
}
