/** What a host looks like from outside, for tests that nothing stays behind. */
import { readdirSync, readlinkSync } from "node:fs";
import { run } from "./support.js";

/** Once a namespace: the tables that iptables makes on first use stay, empty. Let them be there before. */
export function prepareFirewalls(): void {
  for (const tool of ["iptables", "ip6tables"]) {
    run(tool, "-I", "OUTPUT", "-j", "ACCEPT");
    run(tool, "-D", "OUTPUT", "-j", "ACCEPT");
  }
}

/** Everything in our network namespace that a session changes. */
export function hostState(): Record<string, string> {
  return {
    nft: run("nft", "list", "ruleset"),
    iptables: run("iptables-save").replace(/^#.*$/gm, ""),
    ip6tables: run("ip6tables-save").replace(/^#.*$/gm, ""),
    routes: run("ip", "route", "show", "table", "all"),
    rules: run("ip", "rule", "show"),
    links: run("ip", "-o", "link", "show"),
    listeners: run("ss", "-Hltn"),
    rawSockets: run("ss", "-Hwn"),
    processes: processes().join(" "),
  };
}

/** Processes in our network namespace, by number; those that are just ending are left out. */
function processes(): string[] {
  const here = readlinkSync("/proc/self/ns/net");
  return readdirSync("/proc").filter((entry) => {
    if (!/^\d+$/.test(entry)) return false;
    try {
      return readlinkSync(`/proc/${entry}/ns/net`) === here;
    } catch {
      return false;
    }
  });
}
