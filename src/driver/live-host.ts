/**
 * A kernel as the host of a script: in a network namespace of the calling thread, behind a TUN device, with sysctls of its own. Everything
 * waits in the calling thread, which should be one for scripts alone.
 */
import { close, LibcError } from "../kernel/libc.js";
import { enterNetworkNamespace, openTun, readSysctl, writeSysctl } from "../kernel/network-namespace.js";
import { loadSystemCalls, type SystemCalls } from "../kernel/system-calls.js";
import { UnsupportedError } from "../script/errors.js";
import type { HostRequest, ScriptHost, ScriptHostFactory } from "../script/host.js";
import { sysctlsOf } from "../script/sysctl.js";
import { LiveCalls } from "./live-calls.js";
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
};

/** The kernel's sysctls that belong to all namespaces, and that scripts set to what they are anyway. */
const SHARED = /^net\.(core\.|ipv4\.(tcp_mem$|tcp_low_latency|tcp_available|tcp_allowed))/;

/** The name of the kernel in a namespace of its own, beside the addresses of others. */
export const NAMESPACE = "namespace";

/** A maker of hosts by the name or the address of the kernel. */
export function openLiveHost(_kernel: string): ScriptHostFactory {
  return openNamespaceHost;
}

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

function tunWire(fd: number, calls: SystemCalls): LiveWire {
  const buffer = new Uint8Array(65_536);
  return {
    fd,
    joinsSegments: false,
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
