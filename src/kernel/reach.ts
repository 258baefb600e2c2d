/** How far away a target is: what may be sent where, without being asked twice. */
import { existsSync, readFileSync } from "node:fs";
import type { Route } from "./route.js";

/**
 * "own": an address of this host. "namespace": at the other end of a veth pair, without a router between: a network namespace
 * of this host. "remote": anything else.
 */
export type Reach = "own" | "namespace" | "remote";

/** How far the target of a route is. */
export function reachOf(route: Route): Reach {
  if (route.isOwnAddress) return "own";
  return route.gateway === undefined && isVeth(route.interface) ? "namespace" : "remote";
}

/** A pair's interface names the other end, which is in another namespace; it has no device, and no interface below it. */
function isVeth(name: string): boolean {
  const folder = `/sys/class/net/${name}`;
  try {
    const own = readFileSync(`${folder}/ifindex`, "utf8");
    const other = readFileSync(`${folder}/iflink`, "utf8");
    return own !== other && !existsSync(`${folder}/device`) && !existsSync(`/proc/net/vlan/${name}`);
  } catch {
    // No such interface here, or no sysfs: then nothing is known of it.
    return false;
  }
}
