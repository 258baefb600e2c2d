/** How far away a target is: what may be sent where, without being asked twice. */
import { findInterface } from "./interfaces.js";
import type { Route } from "./route.js";

/**
 * "own": an address of this host. "namespace": at the other end of a veth pair, without a router between: a network namespace
 * of this host. "remote": anything else.
 */
export type Reach = "own" | "namespace" | "remote";

/** How far the target of a route is. Throws LibcError. */
export function reachOf(route: Route): Reach {
  if (route.isOwnAddress) return "own";
  return route.gateway === undefined && findInterface(route.interface)?.kind === "veth" ? "namespace" : "remote";
}
