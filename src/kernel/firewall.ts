/**
 * The port guard's rules in nftables and iptables, and the watchdog that removes them when this process dies.
 *
 * A rule drops the kernel's RSTs from a held port in OUTPUT: there, behind the raw sockets' copy of what comes in, nothing
 * is lost to us. Our own RSTs pass because our raw socket marks its packets (SO_MARK).
 */

import { execFileSync, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import type { Socket } from "node:net";
import { RawTcpError } from "../base/errors.js";
import { isWildcard } from "./sockaddr.js";

/** nft or iptables is missing (ENOENT), may not be used (EPERM) or refused a rule (EIO); the message holds its own words. */
export class FirewallError extends RawTcpError {
  constructor(code: string, message: string) {
    super(code, message);
    this.name = "FirewallError";
  }
}

/** Rules for one process. */
export interface Firewall {
  /** The table or chain that holds our rules: it names this process and a random part, and is ours alone. */
  readonly name: string;
  /** Drops the kernel's RSTs from this address and port. Throws FirewallError. */
  add(address: string, port: number): void;
  /** Takes that back. Does nothing after close. */
  remove(address: string, port: number): void;
  /** Removes the rules and the table. */
  close(): void;
}

/**
 * Makes an empty table or chain, with the watchdog started before it exists. Takes 5 to 10 ms, as each later change does:
 * a program is started for it. Throws FirewallError.
 */
export function openFirewall(method: "nft" | "iptables", mark: number): Firewall {
  const name = `rawtcp_${process.pid}_${randomBytes(3).toString("hex")}`;
  const dialect = method === "nft" ? nftDialect(name, mark) : iptablesDialect(name, mark);
  const watchdog = startWatchdog(dialect.cleanUp);
  let isOpen = true;
  try {
    dialect.open();
  } catch (error) {
    watchdog.runNow();
    throw error;
  }
  return {
    name,
    add: (address, port) => dialect.add(withoutZone(address), port),
    remove(address, port) {
      if (isOpen) dialect.remove(withoutZone(address), port);
    },
    close() {
      if (!isOpen) return;
      isOpen = false;
      dialect.close();
      watchdog.dismiss();
    },
  };
}

/** Rules know no zone: "fe80::1%eth0" is matched on every interface. */
function withoutZone(address: string): string {
  return address.split("%")[0] ?? "";
}

interface Dialect {
  /** Shell commands that remove everything, whatever state it is in. */
  readonly cleanUp: string;
  open(): void;
  add(address: string, port: number): void;
  remove(address: string, port: number): void;
  close(): void;
}

/** One table with four sets (address and port, or port alone; IPv4 and IPv6): a port is an element, not a rule. */
function nftDialect(name: string, mark: number): Dialect {
  const isKernelReset = `tcp flags & rst == rst meta mark != ${mark}`;
  const element = (address: string, port: number) => {
    const family = address.includes(":") ? 6 : 4;
    return isWildcard(address) ? `any${family} { ${port} }` : `held${family} { ${address} . ${port} }`;
  };
  const table = `inet ${name}`;
  return {
    cleanUp: `nft delete table ${table}`,
    open() {
      nft(`table ${table} {
        set held4 { type ipv4_addr . inet_service; }
        set held6 { type ipv6_addr . inet_service; }
        set any4 { type inet_service; }
        set any6 { type inet_service; }
        chain output {
          type filter hook output priority 0; policy accept;
          ip saddr . tcp sport @held4 ${isKernelReset} drop
          ip6 saddr . tcp sport @held6 ${isKernelReset} drop
          meta nfproto ipv4 tcp sport @any4 ${isKernelReset} drop
          meta nfproto ipv6 tcp sport @any6 ${isKernelReset} drop
        }
      }`);
    },
    add: (address, port) => nft(`add element ${table} ${element(address, port)}`),
    remove: (address, port) => nft(`delete element ${table} ${element(address, port)}`),
    close: () => nft(`delete table ${table}`),
  };
}

/** A chain of our own that OUTPUT jumps to, in iptables and, from the first IPv6 port on, in ip6tables. */
function iptablesDialect(name: string, mark: number): Dialect {
  const opened = new Set<string>();
  const rule = (address: string, port: number) => [
    name,
    ...(isWildcard(address) ? [] : ["-s", address]),
    ...["-p", "tcp", "--sport", String(port), "--tcp-flags", "RST", "RST"],
    ...["-m", "mark", "!", "--mark", String(mark), "-j", "DROP"],
  ];
  const toolFor = (address: string) => (address.includes(":") ? "ip6tables" : "iptables");
  const openTool = (tool: string) => {
    if (opened.has(tool)) return;
    run(tool, ["-w", "-N", name]);
    opened.add(tool);
    run(tool, ["-w", "-I", "OUTPUT", "-j", name]);
  };
  const cleanUpOf = (tool: string) => `${tool} -w -D OUTPUT -j ${name}; ${tool} -w -F ${name}; ${tool} -w -X ${name}`;
  return {
    cleanUp: `${cleanUpOf("iptables")}; ${cleanUpOf("ip6tables")}`,
    open: () => openTool("iptables"),
    add(address, port) {
      openTool(toolFor(address));
      run(toolFor(address), ["-w", "-A", ...rule(address, port)]);
    },
    remove: (address, port) => run(toolFor(address), ["-w", "-D", ...rule(address, port)]),
    close() {
      for (const tool of opened) {
        run(tool, ["-w", "-D", "OUTPUT", "-j", name]);
        run(tool, ["-w", "-F", name]);
        run(tool, ["-w", "-X", name]);
      }
    },
  };
}

interface Watchdog {
  /** Ends the watchdog; it removes nothing. */
  dismiss(): void;
  /** Lets it remove the rules now. */
  runNow(): void;
}

/**
 * A shell that reads from a pipe whose other end only this process holds. When this process ends, however it ends, the pipe
 * closes, the shell reads the end of file and removes the rules. It stands in a session of its own, so that Ctrl-C, which
 * reaches the whole process group, does not end it first; it is silent and does not keep the event loop alive.
 */
function startWatchdog(cleanUp: string): Watchdog {
  const script = `trap '' HUP INT TERM; read -r word; [ "$word" = dismissed ] || { ${cleanUp}; }`;
  const child = spawn("/bin/sh", ["-c", script], {
    cwd: "/",
    env: TOOL_ENVIRONMENT,
    detached: true,
    stdio: ["pipe", "ignore", "ignore"],
  });
  const pipe = child.stdin as Socket;
  child.on("error", () => {}); // without a shell the rules are still removed by close()
  pipe.on("error", () => {});
  child.unref();
  pipe.unref();
  return {
    dismiss: () => void pipe.end("dismissed\n"),
    runNow: () => void pipe.end(),
  };
}

const { PATH = "" } = process.env;
/** Debian and others keep the tools in sbin, which an ordinary user's PATH lacks. */
const TOOL_ENVIRONMENT = { PATH: `${PATH}:/usr/sbin:/sbin:/usr/bin:/bin`, LC_ALL: "C" };

function nft(commands: string): void {
  run("nft", ["-f", "-"], commands);
}

function run(tool: string, args: readonly string[], input = ""): void {
  try {
    execFileSync(tool, args, { input, env: TOOL_ENVIRONMENT, stdio: ["pipe", "ignore", "pipe"] });
  } catch (error) {
    const { code, stderr } = error as { code?: string; stderr?: Uint8Array };
    if (code === "ENOENT") {
      const packageName = tool === "nft" ? "nftables" : "iptables";
      throw new FirewallError("ENOENT", `${tool} is not installed: apt install ${packageName}, or use --guard bpf`);
    }
    const said = new TextDecoder().decode(stderr).trim().split("\n")[0] ?? "";
    const denied = /not permitted|permission denied|must be root/i.test(said);
    throw new FirewallError(denied ? "EPERM" : "EIO", `${tool}: ${said}`);
  }
}
