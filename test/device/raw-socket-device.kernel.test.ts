import { spawn } from "node:child_process";
import { readdirSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { isRawSocketAvailable } from "../../src/device/raw-backend.js";
import { openRawSocketDevice, type RawSocketDevice } from "../../src/device/raw-socket-device.js";
import { createPortGuard, type PortGuard } from "../../src/kernel/port-guard.js";
import {
  type CompiledSources,
  compileSources,
  enterPrivateNamespace,
  eventually,
  type FarNamespace,
  ipv4Packet,
  openFarNamespace,
  type ReadPacket,
  readIpv4Packet,
  run,
} from "../kernel/support.js";

let far: FarNamespace;
let guard: PortGuard;
beforeAll(async () => {
  enterPrivateNamespace();
  far = await openFarNamespace();
  guard = createPortGuard("bpf");
});
afterAll(async () => {
  guard.close();
  await far.close();
});

it("raw-socket is installed here, so that both backends are tested", () => {
  expect(isRawSocketAvailable()).toBe(true);
  const device = openRawSocketDevice();
  expect(device.backend).toBe("raw-socket");
  device.close();
});

describe.each(["raw-socket", "koffi"] as const)("raw device over %s", (backend) => {
  let device: RawSocketDevice;
  let received: ReadPacket[] = [];
  let batches: number[] = [];
  afterEach(() => {
    device.close();
    device.close();
    received = [];
    batches = [];
  });

  function start(): void {
    device.start(
      (bytes, offset, length) => {
        received.push(readIpv4Packet(bytes, offset, length));
        return "";
      },
      () => batches.push(received.length),
    );
  }
  const send = (packet: Uint8Array) => device.send(packet, 0, packet.length, "");
  const arrived = (count: number) => eventually(() => received.length, count);
  const port = (address = "127.0.0.1") => guard.hold(address, 0).port;

  it("sends and receives whole packets up to 65,535 bytes", async () => {
    device = openRawSocketDevice({ backend });
    expect(device).toMatchObject({ name: "raw", backend, mtuBytes: 65536 });
    const to = port();
    device.setPorts([to]);
    start();
    const sizes = [0, 1, 1460, 65495];
    for (const size of sizes) expect(send(ipv4Packet({ from: 1, to, seq: size, payload: new Uint8Array(size) }))).toBe(true);
    expect(await arrived(4)).toBe(4);
    expect(received.map(({ from, to: port, seq, length }) => [from, port, seq, length])).toEqual(
      sizes.map((size) => [1, to, size, size + 40]),
    );
    const bytes = sizes.reduce((sum, size) => sum + size + 40, 0);
    expect(device.stats).toMatchObject({ sentPackets: 4, sentBytes: bytes, receivedPackets: 4, receivedBytes: bytes });
    expect(device.stats.sendErrors.size).toBe(0);
  });

  it("sends from an offset, to the address in the header, and follows a change of address", async () => {
    device = openRawSocketDevice({ backend });
    const to = port();
    device.setPorts([to]);
    start();
    for (const destination of ["127.0.0.1", "127.0.0.2", "127.0.0.1"]) {
      const packet = ipv4Packet({ from: 1, to, destination });
      const padded = new Uint8Array(packet.length + 30).fill(0xee);
      padded.set(packet, 17);
      expect(device.send(padded, 17, packet.length, "")).toBe(true);
    }
    expect(await arrived(3)).toBe(3);
    expect(received.every((packet) => packet.length === 40)).toBe(true);
  });

  it("delivers only packets to the wanted ports, before the first setPorts none, and what was waiting is not lost", async () => {
    device = openRawSocketDevice({ backend });
    const [one, two] = [port(), port()];
    start();
    expect(send(ipv4Packet({ from: 1, to: one, seq: 1 }))).toBe(true);
    device.setPorts([one]);
    expect(send(ipv4Packet({ from: 1, to: two, seq: 2 }))).toBe(true);
    expect(send(ipv4Packet({ from: 1, to: one, seq: 3 }))).toBe(true);
    device.setPorts([one, two]);
    expect(send(ipv4Packet({ from: 1, to: two, seq: 4 }))).toBe(true);
    device.setPorts([two]);
    expect(send(ipv4Packet({ from: 1, to: one, seq: 5 }))).toBe(true);
    expect(send(ipv4Packet({ from: 1, to: two, seq: 6 }))).toBe(true);
    await eventually(() => received.at(-1)?.seq, 6);
    expect(received.map(({ seq }) => seq)).toEqual([3, 4, 6]);
  });

  it("both ends on one device: the packets of both directions come", async () => {
    device = openRawSocketDevice({ backend });
    const [one, two] = [port(), port()];
    device.setPorts([one, two]);
    start();
    send(ipv4Packet({ from: one, to: two }));
    send(ipv4Packet({ from: two, to: one }));
    await arrived(2);
    expect(received.map(({ from }) => from)).toEqual([one, two]);
  });

  it("with many ports one filter serves all", async () => {
    device = openRawSocketDevice({ backend, localPorts: { first: 40000, last: 49999 } });
    const many = Array.from({ length: 1000 }, (_, i) => 40000 + i);
    device.setPorts(many);
    start();
    guard.hold("0.0.0.0", 40000).release();
    send(ipv4Packet({ from: 1, to: 40999, flags: 4 }));
    send(ipv4Packet({ from: 1, to: 49999, flags: 4 })); // not wanted yet, but within the range: more may come
    send(ipv4Packet({ from: 1, to: 39999, flags: 4 }));
    device.setPorts([...many, 39999]);
    send(ipv4Packet({ from: 2, to: 39999, flags: 4 }));
    await eventually(() => received.at(-1)?.to, 39999);
    expect(received.map(({ from, to }) => [from, to])).toEqual([
      [1, 40999],
      [1, 49999],
      [2, 39999],
    ]);
  });

  it("ends a batch after at most 512 packets and lets the event loop turn between batches", async () => {
    device = openRawSocketDevice({ backend });
    const to = port();
    device.setPorts([to]);
    for (let i = 0; i < 1100; i++) expect(send(ipv4Packet({ from: 1, to, seq: i }))).toBe(true);
    let turns = 0;
    const turn = () => {
      turns++;
      if (received.length < 1100) setImmediate(turn);
    };
    setImmediate(turn);
    start();
    expect(await arrived(1100)).toBe(1100);
    expect(batches).toEqual([512, 1024, 1100]);
    expect(turns).toBeGreaterThan(1);
    expect(received.map(({ seq }) => seq)).toEqual(Array.from({ length: 1100 }, (_, i) => i));
  });

  it("counts what the kernel does not take", () => {
    device = openRawSocketDevice({ backend, mtuBytes: 60000 });
    const large = ipv4Packet({ from: 1, to: 2, payload: new Uint8Array(60000) });
    expect(send(large)).toBe(false); // larger than this device's MTU
    expect(
      send(ipv4Packet({ from: 1, to: 2, source: "10.77.0.1", destination: "10.77.0.2", payload: new Uint8Array(1461) })),
    ).toBe(false);
    expect(send(ipv4Packet({ from: 1, to: 2, destination: "192.0.2.1" }))).toBe(false);
    expect(send(new Uint8Array(19))).toBe(false);
    expect(send(new Uint8Array(40).fill(0x50))).toBe(false); // neither IPv4 nor IPv6
    const beyond = new Uint8Array(65536);
    beyond[0] = 0x45;
    const wide = openRawSocketDevice({ backend });
    expect(wide.send(beyond, 0, beyond.length, "")).toBe(false); // the field of the total length does not hold it
    expect(Object.fromEntries(wide.stats.sendErrors)).toEqual({ EMSGSIZE: 1 });
    wide.close();
    run("nft", "add table ip deaf { chain o { type filter hook output priority 0; tcp dport 9 drop; }; }");
    expect(send(ipv4Packet({ from: 1, to: 9 }))).toBe(false);
    run("nft", "delete table ip deaf");
    expect(Object.fromEntries(device.stats.sendErrors)).toEqual({ EMSGSIZE: 2, ENETUNREACH: 1, EINVAL: 2, EPERM: 1 });
    expect(device.stats.sentPackets).toBe(0);
    device.close();
    expect(send(ipv4Packet({ from: 1, to: 2 }))).toBe(false);
    expect(device.stats.sendErrors.get("EBADF")).toBe(1);
  });

  it("bound to an interface it hears that one alone", async () => {
    device = openRawSocketDevice({ backend, bindToDevice: "near0" });
    const to = guard.hold("0.0.0.0", 0).port;
    device.setPorts([to]);
    start();
    const unbound = openRawSocketDevice({ backend });
    const local = ipv4Packet({ from: 1, to });
    expect(unbound.send(local, 0, local.length, "")).toBe(true);
    unbound.close();
    const client = far.spawn("bash", "-c", `exec 3<>/dev/tcp/10.77.0.1/${to}`);
    expect(await eventually(() => received.length > 0, true)).toBe(true);
    client.kill("SIGKILL");
    expect(received.every((packet) => packet.from !== 1)).toBe(true);
    expect(() => openRawSocketDevice({ backend, bindToDevice: "nowhere0" })).toThrow(expect.objectContaining({ code: "ENODEV" }));
  });

  it("may be closed while it delivers", async () => {
    device = openRawSocketDevice({ backend });
    const to = port();
    device.setPorts([to]);
    for (let i = 0; i < 5; i++) send(ipv4Packet({ from: 1, to }));
    let count = 0;
    let ended = 0;
    device.start(
      () => {
        count++;
        device.close();
        return "";
      },
      () => ended++,
    );
    await eventually(() => count, 1);
    await new Promise((resolve) => setImmediate(resolve));
    expect([count, ended]).toEqual([1, 0]);
    device.setPorts([1]);
    device.setRef(false);
  });

  it("leaves no descriptor open", async () => {
    const sockets = () => readdirSync("/proc/self/fd").filter(isSocket).length;
    const before = sockets();
    device = openRawSocketDevice({ backend });
    start();
    // One for TCP, one for ICMP.
    expect(sockets()).toBe(before + 2);
    device.close();
    expect(await eventually(sockets, before)).toBe(before);
  });
});

/** Whether an entry of /proc/self/fd is a socket. One that is gone by now (the directory's own) is none. */
function isSocket(entry: string): boolean {
  try {
    return readlinkSync(`/proc/self/fd/${entry}`).startsWith("socket:");
  } catch {
    return false;
  }
}

describe("keeping the process alive", () => {
  let compiled: CompiledSources;
  beforeAll(() => {
    compiled = compileSources();
  });
  afterAll(() => compiled.remove());

  it.each(["raw-socket", "koffi"])(
    "setRef(false) over %s lets it end and still receives, setRef(true) takes it back",
    async (backend) => {
      const at = (path: string) => JSON.stringify(join(compiled.folder, path));
      const packet = JSON.stringify([...ipv4Packet({ from: 1, to: 40123, flags: 4 })]);
      const script = `
      const { openRawSocketDevice } = await import(${at("device/raw-socket-device.js")});
      const device = openRawSocketDevice({ backend: ${JSON.stringify(backend)} });
      const packet = new Uint8Array(${packet});
      let count = 0;
      device.setPorts([40123]);
      device.setRef(false);
      device.start(() => { count++; return ""; }, () => {
        console.log("received", count);
        if (count === 1) { device.setRef(true); clearInterval(alive); setImmediate(send); }
        else device.setRef(false);
      });
      const send = () => device.send(packet, 0, packet.length, "");
      const alive = setInterval(() => {}, 1000);
      send();
      process.on("exit", () => console.log("ended", count));`;
      const child = spawn(process.execPath, ["--input-type=module", "-e", script], {
        stdio: ["ignore", "pipe", "inherit"],
        timeout: 5000,
      });
      const output = await text(child.stdout);
      expect(output).toBe("received 1\nreceived 2\nended 2\n");
    },
  );
});
