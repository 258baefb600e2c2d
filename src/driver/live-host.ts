/**
 * A kernel as the host of a script: in a network namespace of the calling thread, behind a TUN device, with sysctls of its own. Everything
 * waits in the calling thread, which should be one for scripts alone.
 */
import { close, LibcError } from "../kernel/libc.js";
import { enterNetworkNamespace, openTun, readSysctl, writeSysctl } from "../kernel/network-namespace.js";
import { type Route, routeTo } from "../kernel/route.js";
import { loadSystemCalls, type SystemCalls } from "../kernel/system-calls.js";
import { UnsupportedError } from "../script/errors.js";
import { USUAL_KEY } from "../script/fast-open-key.js";
import type { HostRequest, ScriptHost } from "../script/host.js";
import type { RunOptions } from "../script/runner.js";
import { sysctlsOf } from "../script/sysctl.js";
import { parseAddress } from "../wire/address.js";
import { AbsentCalls } from "./absent-calls.js";
import { LiveCalls } from "./live-calls.js";
import { openLiveLink } from "./live-link.js";
import { type LiveWire, LiveWorld } from "./live-world.js";

/** What scripts take for granted of a host (see `virtual-host.ts`), whatever the host at hand was set to. */
const SYSCTLS: Readonly<Record<string, string>> = {
  "net.ipv4.tcp_rmem": "4096 131072 6291456",
  "net.ipv4.tcp_wmem": "4096 16384 4194304",
  "net.ipv4.tcp_ecn": "2",
  "net.ipv4.tcp_timestamps": "1",
  "net.ipv4.tcp_sack": "1",
  "net.ipv4.tcp_mtu_probing": "0",
  "net.ipv4.tcp_no_metrics_save": "1",
  "net.ipv4.tcp_fastopen_key": USUAL_KEY,
};

/** The kernel's sysctls that belong to all namespaces, and that scripts set to what they are anyway. */
const SHARED = /^net\.(core\.|ipv4\.(tcp_mem$|tcp_low_latency|tcp_available|tcp_allowed))/;

/** The name of the kernel in a namespace of its own, beside the addresses of others. */
export const NAMESPACE = "namespace";

/** A kernel to speak to: `NAMESPACE`, or an IP address. */
export interface LiveTarget {
  readonly kernel: string;
  /** Tells scripts that run at the same time apart: their ports. */
  readonly slot: number;
  /** The port of a server at a kernel elsewhere; the scripts' own otherwise. */
  readonly port?: number;
}

/** What a run takes for a target. Throws LibcError for an address without a route. */
export function liveRun({ kernel, slot, port }: LiveTarget): Pick<RunOptions, "host" | "ends"> {
  if (kernel === NAMESPACE) return { host: openNamespaceHost };
  const route = routeTo(kernel);
  const isHere = route.isOwnAddress;
  const [local, remote] = [parseAddress(kernel), parseAddress(isHere ? kernel : route.source)];
  const first = FIRST_PORT + ((2 * slot) % PORTS);
  const ports = { remotePort: first + 1, ...(isHere ? { localPort: first } : {}) };
  return {
    host: (request) => openAddressHost(request, kernel, route),
    ends: { local, remote, ...ports, ...(port === undefined ? {} : { localPort: port }) },
  };
}

/** Below the ports that kernels choose themselves. */
const FIRST_PORT = 10_000;
const PORTS = 20_000;

/**
 * Opens a host for one script in a namespace of its own, for each its own. Throws RawTcpError where the rights are missing, UnsupportedError
 * for a command that cannot be followed.
 */
export function openNamespaceHost(request: HostRequest): ScriptHost {
  enterNetworkNamespace();
  const { settings, commands, start, watcher } = request;
  const calls = loadSystemCalls();
  for (const [name, value] of Object.entries(SYSCTLS)) writeSysctl(name, value);
  let congestion = "cubic";
  const configure = (command: string): void => {
    for (const [name, value] of sysctlsOf(command)) {
      // A namespace cannot make an algorithm its default, but a socket may have it.
      if (name === "net.ipv4.tcp_congestion_control") congestion = value;
      else if (!writeSysctl(name, value) && !SHARED.test(name) && readSysctl(name) !== value)
        throw new UnsupportedError(`sysctl ${name}=${value} on this kernel`);
    }
  };
  for (const command of commands) configure(command);
  const device = openTun({ name: "tun0", mtuBytes: settings.mtuBytes, addresses: [String(settings.local)] });
  const wire = tunWire(device, calls);
  const world = new LiveWorld(wire, calls, start);
  const liveCalls = new LiveCalls(calls, world, settings, watcher, () => ({ congestion, mss: 0 }));
  return {
    world,
    calls: liveCalls,
    configure,
    close() {
      liveCalls.close();
      wire.close();
    },
  };
}

/** A kernel at an address: with system calls where it is this host's own, without where it is another's. */
function openAddressHost(request: HostRequest, kernel: string, route: Route): ScriptHost {
  const { settings, commands, start, watcher } = request;
  const calls = loadSystemCalls();
  let congestion = "cubic";
  // A host that others use is left as it is.
  const configure = (command: string): void => {
    for (const [name, value] of sysctlsOf(command)) {
      if (name === "net.ipv4.tcp_congestion_control") congestion = value;
      else if (!route.isOwnAddress) throw new UnsupportedError(`sysctl ${name}=${value} at ${kernel}`);
      else if (readSysctl(name).replace(/\s+/g, " ") !== value.replace(/\s+/g, " "))
        throw new UnsupportedError(
          `sysctl ${name}=${value}: it is ${readSysctl(name) || "not there"}, and --live ${NAMESPACE} would set it`,
        );
    }
  };
  for (const command of commands) configure(command);
  const wire = openLiveLink({ kernel, own: String(settings.remote), route }, calls);
  const world = new LiveWorld(wire, calls, start);
  const headers = settings.family === 6 ? 60 : 40;
  const mss = route.mtuBytes > settings.mtuBytes ? settings.mtuBytes - headers : 0;
  const liveCalls = route.isOwnAddress ? new LiveCalls(calls, world, settings, watcher, () => ({ congestion, mss })) : undefined;
  return {
    world,
    calls: liveCalls ?? new AbsentCalls(kernel, watcher),
    configure,
    close() {
      liveCalls?.close();
      wire.close();
    },
  };
}

function tunWire(fd: number, calls: SystemCalls): LiveWire {
  const buffer = new Uint8Array(65_536);
  return {
    fd,
    joinsSegments: false,
    // Nobody else has the script's address.
    openPort() {},
    send(bytes) {
      const written = calls.write(fd, bytes, bytes.length);
      if (written < 0) throw new LibcError("write", -written, `of ${bytes.length} bytes to the TUN device`);
    },
    receive() {
      for (;;) {
        const length = calls.read(fd, buffer, buffer.length);
        if (length <= 0) return undefined;
        if (isOfInterest(buffer)) return buffer.slice(0, length);
      }
    },
    close: () => close(fd),
  };
}

/** TCP and ICMP errors; the kernel's reports of multicast groups are none of the script's. */
function isOfInterest(packet: Uint8Array): boolean {
  const isFour = (packet[0] ?? 0) >> 4 === 4;
  const protocol = packet[isFour ? 9 : 6];
  const type = packet[40] ?? 0;
  return protocol === 6 || protocol === 17 || protocol === 1 || (!isFour && protocol === 58 && type < 128);
}
