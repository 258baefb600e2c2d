/** No program that this process starts inherits a socket of ours: a raw one would let it read and send any packet. */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { afterAll, beforeAll, expect, it } from "vitest";
import { openCapture } from "../../src/device/capture.js";
import { openPcapDevice } from "../../src/device/pcap-device.js";
import { openRawSocketDevice } from "../../src/device/raw-socket-device.js";
import { createPeerObserver } from "../../src/kernel/peer-state.js";
import { createPortGuard } from "../../src/kernel/port-guard.js";
import { enterPrivateNamespace, type FarNamespace, openFarNamespace } from "../kernel/support.js";

let far: FarNamespace;
beforeAll(async () => {
  enterPrivateNamespace();
  far = await openFarNamespace();
});
afterAll(() => far.close());

const O_CLOEXEC = 0o2000000;

/** What each descriptor of this process is, and whether a program that is started would have it. */
function descriptors(): Map<string, boolean> {
  const found = new Map<string, boolean>();
  for (const fd of readdirSync("/proc/self/fd")) {
    try {
      const flags = /^flags:\s+([0-7]+)/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, "utf8"))?.[1] ?? "0";
      found.set(`${fd} ${readlinkSync(`/proc/self/fd/${fd}`)}`, (Number.parseInt(flags, 8) & O_CLOEXEC) === 0);
    } catch {
      // the directory's own descriptor, closed since
    }
  }
  return found;
}

interface Closable {
  close(): void;
}
const openers: readonly (readonly [string, () => Closable | Promise<Closable>])[] = [
  ["the raw link by the add-on", () => openRawSocketDevice({ backend: "raw-socket" })],
  ["the raw link by koffi", () => openRawSocketDevice({ backend: "koffi" })],
  ["the pcap link on a veth", () => openPcapDevice({ interface: "near0", target: "10.77.0.2" })],
  ["the pcap link on loopback", () => openPcapDevice({ interface: "lo", target: "127.0.0.1" })],
  ["a capture", () => openCapture({ device: "lo", filter: "", onFrame() {} })],
  ["an observer of the kernel's sockets", () => createPeerObserver("sock_diag")],
  ...(["bpf", "nft", "iptables"] as const).map((method) => {
    const open = () => {
      const guard = createPortGuard(method);
      guard.hold("127.0.0.1", 0);
      return guard;
    };
    return [`the port guard ${method}`, open] as const;
  }),
];

it.each(openers)("%s: all its descriptors are close-on-exec", async (_, open) => {
  const before = descriptors();
  const opened = await open();
  try {
    const added = [...descriptors()].filter(([name]) => !before.has(name));
    expect(added.length).toBeGreaterThan(0);
    expect(added.filter(([, inherited]) => inherited)).toEqual([]);
  } finally {
    opened.close();
  }
});
