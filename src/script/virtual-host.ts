/** A stack of ours in virtual time, configured as the script asks. */
import type { StackConfig } from "../stack/config.js";
import type { ConnectionConfig } from "../tcp/config.js";
import { profileByName } from "../tcp/profiles.js";
import { Calls } from "./calls.js";
import { UnsupportedError } from "./errors.js";
import type { HostRequest, ScriptHost } from "./host.js";
import { type HostChanges, readCommand } from "./sysctl.js";
import { VirtualWorld } from "./virtual-world.js";

/** Throws UnsupportedError for a command that asks for what we do not have. */
export function openVirtualHost({ settings, options, commands, random, start, watcher }: HostRequest): ScriptHost {
  const connection: { -readonly [Name in keyof ConnectionConfig]?: ConnectionConfig[Name] } = {
    ...profileByName(options.profile ?? "linux"),
    mtuBytes: settings.mtuBytes,
    // Linux's tcp_rmem and tcp_wmem: 131072 at first, and no more than 6 MiB and 4 MiB.
    receiveBufferBytes: 131_072,
    receiveBufferMaxBytes: 6_291_456,
    sendBufferBytes: 4_194_304,
    // tcp_mtu_probing 0.
    mtuProbing: 0,
    ...(options.profile === "rfc" ? {} : { zeroWindowProbe: "old-number" }),
    ...options.connection,
  };
  const apply = (command: string): HostChanges["stack"] => {
    const changes = readCommand(command);
    Object.assign(connection, changes.connection);
    return changes.stack;
  };
  const stack: Partial<StackConfig> = Object.assign({}, ...commands.map(apply));
  const world = new VirtualWorld({ connection, ...stack }, random, start);
  return {
    world,
    calls: new Calls(world, settings, watcher),
    configure(command) {
      if (Object.keys(apply(command)).length > 0)
        throw new UnsupportedError("a sysctl of the whole stack in the middle of a script");
    },
    close() {},
  };
}
