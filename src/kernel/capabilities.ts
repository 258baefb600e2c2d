/** What this process may do: the capabilities that raw sockets and packet filters need (capabilities(7)). */

import { readFileSync } from "node:fs";

export interface Capabilities {
  /** CAP_NET_RAW: raw and packet sockets. */
  readonly netRaw: boolean;
  /** CAP_NET_ADMIN: TUN devices, firewall rules, SO_RCVBUFFORCE. */
  readonly netAdmin: boolean;
}

/** The effective capabilities, from the line CapEff of `status` (default: this process). None where the line is missing. */
export function readCapabilities(status: string = readStatus()): Capabilities {
  const missing = missingCapabilities(["CAP_NET_RAW", "CAP_NET_ADMIN"], status);
  return { netRaw: !missing.includes("CAP_NET_RAW"), netAdmin: !missing.includes("CAP_NET_ADMIN") };
}

/** Those of the capabilities that are not in effect, by the line CapEff of `status`; all where the line is missing. */
export function missingCapabilities(wanted: readonly CapabilityName[], status: string = readStatus()): CapabilityName[] {
  const effective = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? "0"}`);
  return wanted.filter((name) => ((effective >> BITS[name]) & 1n) === 0n);
}

/** What is missing and the command that mends it, in one line; "" when nothing is missing. */
export function capabilityAdvice(capabilities: Capabilities = readCapabilities()): string {
  const missing = [...(capabilities.netRaw ? [] : ["CAP_NET_RAW"]), ...(capabilities.netAdmin ? [] : ["CAP_NET_ADMIN"])];
  if (missing.length === 0) return "";
  const file = `cap_net_raw,cap_net_admin+ep`;
  const docker = "--cap-add NET_ADMIN --cap-add NET_RAW";
  return `missing ${missing.join(" and ")}: run with sudo, or once "sudo setcap ${file} $(readlink -f $(which node))", in Docker ${docker}`;
}

/** include/uapi/linux/capability.h */
const BITS = { CAP_NET_ADMIN: 12n, CAP_NET_RAW: 13n, CAP_SYS_ADMIN: 21n } as const;
export type CapabilityName = keyof typeof BITS;

function readStatus(): string {
  return readFileSync("/proc/self/status", "utf8");
}
