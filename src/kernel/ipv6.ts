/** Whether this host (network namespace) has IPv6. */
import { existsSync, readFileSync } from "node:fs";
import { RawTcpError } from "../base/errors.js";
import { listInterfaces } from "./interfaces.js";

const SETTINGS = "/proc/sys/net/ipv6";

/** Why there is no IPv6 here, with what mends it; "" where there is. */
export function ipv6Absence(): string {
  // Switched off, IPv6 has no address anywhere, ::1 included.
  const hasAddress = listInterfaces().some(({ addresses }) => addresses.some(({ address }) => address.includes(":")));
  if (hasAddress) return "";
  if (!existsSync(SETTINGS)) return "its kernel runs without it (ipv6.disable=1, or built so)";
  const isDisabled = readFileSync(`${SETTINGS}/conf/all/disable_ipv6`, "utf8").trim() === "1";
  if (isDisabled) return `it is switched off: sudo sysctl -w net.ipv6.conf.all.disable_ipv6=0`;
  return "no interface that is up has an address";
}

/** Throws RawTcpError `EAFNOSUPPORT` in one line where `ipv6Absence` finds a reason. `what` is the address that was asked for. */
export function requireIpv6(what: string): void {
  const reason = ipv6Absence();
  if (reason !== "") throw new RawTcpError("EAFNOSUPPORT", `${what}: this host has no IPv6: ${reason}`);
}
