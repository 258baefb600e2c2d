/** `rawtcp doctor`: what this machine lacks for rawtcp, and the command that mends each thing. */
import { captureLatency, isCaptureAvailable } from "../device/capture.js";
import { openRawSocketDevice } from "../device/raw-socket-device.js";
import { readCapabilities } from "../kernel/capabilities.js";
import { listInterfaces, readOffloads } from "../kernel/interfaces.js";
import { requireIpv6 } from "../kernel/ipv6.js";
import { isLibcAvailable } from "../kernel/libc.js";
import { createPeerObserver } from "../kernel/peer-state.js";
import { createPortGuard, type GuardMethod } from "../kernel/port-guard.js";
import { EXIT } from "./exit-codes.js";
import type { DoctorOptions } from "./options.js";

/** One line of the report. `optional`: things go on without it. */
interface Check {
  readonly name: string;
  readonly ok: boolean;
  readonly optional: boolean;
  readonly detail: string;
  /** The command that mends it; "" when ok. */
  readonly mend: string;
}

export async function doctor(options: DoctorOptions): Promise<number> {
  let missing = false;
  const tell = (check: Check): void => {
    if (!check.ok && !check.optional) missing = true;
    if (options.json) {
      process.stdout.write(`${JSON.stringify(check)}\n`);
    } else {
      const mark = check.ok ? "ok" : check.optional ? "- " : "NO";
      const mend = check.mend === "" ? "" : `  =>  ${check.mend}`;
      process.stdout.write(`${mark}  ${check.name.padEnd(22)} ${check.detail}${mend}\n`);
    }
  };
  tell(checkNode());
  tell(checkKoffi());
  const rights = readCapabilities();
  tell(checkRight("CAP_NET_RAW", rights.netRaw, false));
  tell(checkRight("CAP_NET_ADMIN", rights.netAdmin, false));
  tell(checkRawSocket());
  for (const method of ["bpf", "nft", "iptables"] as const) tell(checkGuard(method));
  tell(checkIpv6());
  tell(checkPeerState());
  tell(await checkCapture());
  for (const line of checkInterfaces()) tell(line);
  return missing ? EXIT.environment : EXIT.success;
}

function good(name: string, detail: string): Check {
  return { name, ok: true, optional: false, detail, mend: "" };
}

/** What rights lack is mended alike everywhere; `mend` is for all else. */
function bad(name: string, error: unknown, optional: boolean, mend: string): Check {
  const message = error instanceof Error ? error.message : String(error);
  const code = error instanceof Error && "code" in error ? error.code : "";
  const cure = code === "EPERM" || code === "EACCES" ? MORE_RIGHTS : code === "ERR_KOFFI_MISSING" ? INSTALL_KOFFI : mend;
  // The whole advice about rights would stand on every line.
  const detail = (message.split(/[;:] (?:missing CAP_|run with sudo)/)[0] ?? "").replace(/\s+/g, " ").trim();
  return { name, ok: false, optional, detail, mend: cure };
}

const MORE_RIGHTS = "sudo rawtcp doctor; in Docker: --cap-add NET_ADMIN --cap-add NET_RAW";
const INSTALL_KOFFI = "npm install koffi";

function checkNode(): Check {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  const ok = (major === 20 && minor >= 19) || (major > 20 && major < 25);
  return { name: "node", ok, optional: false, detail: process.version, mend: ok ? "" : "install Node 20.19 to 24" };
}

function checkKoffi(): Check {
  if (isLibcAvailable()) return good("koffi", "libc functions can be called");
  return { name: "koffi", ok: false, optional: false, detail: "cannot be loaded", mend: INSTALL_KOFFI };
}

function checkRight(name: string, ok: boolean, optional: boolean): Check {
  return { name, ok, optional, detail: ok ? "held" : "missing", mend: ok ? "" : MORE_RIGHTS };
}

function checkRawSocket(): Check {
  try {
    const device = openRawSocketDevice();
    const { backend } = device;
    device.close();
    return good(
      "raw sockets",
      backend === "raw-socket" ? "add-on raw-socket" : "koffi (the add-on raw-socket is not built; fine, a little slower)",
    );
  } catch (error) {
    return bad("raw sockets", error, false, "npm install raw-socket");
  }
}

type TestedGuard = Exclude<GuardMethod, "none">;

const GUARD_MENDS: Readonly<Record<TestedGuard, string>> = {
  bpf: "rawtcp … --guard nft",
  nft: "apt-get install nftables",
  iptables: "apt-get install iptables",
};

function checkGuard(method: TestedGuard): Check {
  const name = `guard ${method}`;
  const optional = method !== "bpf";
  try {
    const guard = createPortGuard(method);
    try {
      return good(name, guard.selfTest("127.0.0.1").detail);
    } finally {
      guard.close();
    }
  } catch (error) {
    return bad(name, error, optional, GUARD_MENDS[method]);
  }
}

/** The sockets of its own that IPv6 has, and the guard in the other family. */
function checkIpv6(): Check {
  const name = "IPv6";
  try {
    requireIpv6("::1");
    const device = openRawSocketDevice();
    try {
      device.openIpv6();
    } finally {
      device.close();
    }
    const guard = createPortGuard("bpf");
    try {
      return good(name, `at ::1, guard bpf: ${guard.selfTest("::1").detail}`);
    } finally {
      guard.close();
    }
  } catch (error) {
    return bad(name, error, true, "IPv4 works without it");
  }
}

function checkPeerState(): Check {
  const observer = createPeerObserver();
  const { source } = observer;
  observer.close();
  return good(
    "kernel's states",
    source === "sock_diag" ? "sock_diag, microseconds a query" : "/proc/net/tcp (sock_diag is not to be had)",
  );
}

/** Above this libpcap collects frames before it shows them. */
const IMMEDIATE_US = 50_000;

async function checkCapture(): Promise<Check> {
  const name = "libpcap";
  const mend = "apt-get install libpcap-dev && npm rebuild cap";
  if (!isCaptureAvailable()) return { name, ok: false, optional: true, detail: "the add-on cap cannot be loaded", mend };
  try {
    const latencyUs = await captureLatency();
    const ok = latencyUs < IMMEDIATE_US;
    return {
      name,
      ok,
      optional: true,
      detail: `a frame is shown after ${(latencyUs / 1000).toFixed(2)} ms`,
      mend: ok ? "" : "apt-get install libpcap-dev",
    };
  } catch (error) {
    return bad(name, error, true, mend);
  }
}

function checkInterfaces(): Check[] {
  try {
    return listInterfaces()
      .filter((link) => link.isUp)
      .map((link) => {
        const offloads = readOffloads(link.name);
        const on = Object.entries(offloads).flatMap(([key, value]) => (value === true ? [key] : []));
        const addresses = link.addresses.map((entry) => entry.address).join(" ");
        return good(
          `interface ${link.name}`,
          `MTU ${link.mtuBytes}, ${addresses || "no address"}, offloads: ${on.join(" ") || "none"}`,
        );
      });
  } catch (error) {
    return [bad("interfaces", error, true, "")];
  }
}
