/** `rawtcp doctor`: what this machine lacks for rawtcp, and the command that mends each thing. */
import type { Argv } from "yargs";
import { captureLatency, isCaptureAvailable } from "../device/capture.js";
import { openRawSocketDevice } from "../device/raw-socket-device.js";
import { readCapabilities } from "../kernel/capabilities.js";
import { listInterfaces, readOffloads } from "../kernel/interfaces.js";
import { isLibcAvailable } from "../kernel/libc.js";
import { createPeerObserver } from "../kernel/peer-state.js";
import { createPortGuard, type GuardMethod } from "../kernel/port-guard.js";
import { judge } from "./exit-codes.js";

export interface DoctorCommand {
  json: boolean;
}

export function doctorOptions(argv: Argv): Argv<DoctorCommand> {
  return argv
    .option("json", { type: "boolean", default: false, describe: "one JSON object a line" })
    .example("$0 doctor", "each line says ok, or what mends it")
    .epilogue(
      "Exit code 0 when everything needed is there (lines marked - are optional), else 7.",
    ) as unknown as Argv<DoctorCommand>;
}

/** One line of the report. `optional`: things go on without it. */
interface Check {
  readonly name: string;
  readonly ok: boolean;
  readonly optional: boolean;
  readonly detail: string;
  /** The command that mends it; "" when ok. */
  readonly mend: string;
}

export async function doctor(options: DoctorCommand): Promise<number> {
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
  tell(checkPeerState());
  tell(await checkCapture());
  for (const line of checkInterfaces()) tell(line);
  return missing ? 7 : 0;
}

function good(name: string, detail: string): Check {
  return { name, ok: true, optional: false, detail, mend: "" };
}

function bad(name: string, error: unknown, optional: boolean, mend: string): Check {
  return { name, ok: false, optional, detail: judge(error).message, mend };
}

function checkNode(): Check {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  const ok = (major === 20 && minor >= 19) || (major > 20 && major < 25);
  return { name: "node", ok, optional: false, detail: process.version, mend: ok ? "" : "install Node 20.19 to 24" };
}

function checkKoffi(): Check {
  if (isLibcAvailable()) return good("koffi", "libc functions can be called");
  return { name: "koffi", ok: false, optional: false, detail: "cannot be loaded", mend: "npm install koffi" };
}

function checkRight(name: string, ok: boolean, optional: boolean): Check {
  const mend = ok ? "" : "sudo rawtcp …, or in Docker --cap-add NET_ADMIN --cap-add NET_RAW";
  return { name, ok, optional, detail: ok ? "held" : "missing", mend };
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
    return bad("raw sockets", error, false, "sudo, or --cap-add NET_RAW");
  }
}

function checkGuard(method: GuardMethod): Check {
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
    const mend =
      method === "bpf" ? "sudo, or --cap-add NET_ADMIN" : `apt-get install ${method === "nft" ? "nftables" : "iptables"}`;
    return bad(name, error, optional, mend);
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
