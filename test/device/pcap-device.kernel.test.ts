import { once } from "node:events";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type Capture, CaptureError, captureLatency, LINKTYPE_ETHERNET, openCapture } from "../../src/device/capture.js";
import { openPcapDevice, type PcapDevice } from "../../src/device/pcap-device.js";
import { openRawSocketDevice } from "../../src/device/raw-socket-device.js";
import { portFilter } from "../../src/kernel/bpf.js";
import { findInterface } from "../../src/kernel/interfaces.js";
import { createPortGuard, type PortGuard } from "../../src/kernel/port-guard.js";
import {
  ACK,
  enterPrivateNamespace,
  eventually,
  type FarNamespace,
  ipv4Packet,
  ipv6Packet,
  openFarNamespace,
  type ReadPacket,
  RST,
  readIpv4Packet,
  run,
  SYN,
} from "../kernel/support.js";

let far: FarNamespace;
let guard: PortGuard;
beforeAll(async () => {
  enterPrivateNamespace();
  far = await openFarNamespace(1400);
  guard = createPortGuard("bpf");
});
afterAll(async () => {
  guard.close();
  await far.close();
});

const FAR = { source: "10.77.0.1", destination: "10.77.0.2" };

describe("openCapture", () => {
  let capture: Capture | undefined;
  afterEach(() => capture?.close());

  it("shows the frames that the filter lets through, with their link type", async () => {
    const frames: { bytes: Uint8Array; linkType: number }[] = [];
    capture = openCapture({
      device: "lo",
      filter: "tcp dst port 4321",
      onFrame: (bytes, offset, length, linkType) => frames.push({ bytes: bytes.slice(offset, offset + length), linkType }),
    });
    expect(capture.linkType).toBe(LINKTYPE_ETHERNET);
    const raw = openRawSocketDevice();
    const other = ipv4Packet({ from: 1, to: 4322, flags: RST });
    const wanted = ipv4Packet({ from: 1, to: 4321, flags: RST, seq: 7 });
    raw.send(other, 0, other.length, "");
    raw.send(wanted, 0, wanted.length, "");
    raw.close();
    expect(await eventually(() => frames.length, 1)).toBe(1);
    expect(frames[0]?.linkType).toBe(LINKTYPE_ETHERNET);
    expect([...(frames[0]?.bytes.subarray(14 + 20) ?? [])]).toEqual([...wanted.subarray(20)]); // the kernel writes the IP header
    capture.close();
    capture.close();
    expect(capture.setProgram(portFilter([], "ethernet"))).toBe(false);
    expect(capture.inject(wanted, wanted.length)).toBe("closed");
  });

  it.each([
    ["nowhere0", "", "ENODEV"],
    ["lo", "tcp and and", "ERR_FILTER"],
  ])("on %s with filter %j fails with %s in one line", (device, filter, code) => {
    try {
      openCapture({ device, filter, onFrame() {} });
      expect.unreachable();
    } catch (error) {
      expect(error).toBeInstanceOf(CaptureError);
      expect(error).toMatchObject({ code });
      expect(String(error)).not.toContain("\n");
    }
  });

  it("measures its own lateness", async () => {
    const latencyUs = await captureLatency();
    expect(latencyUs).toBeGreaterThan(0);
    console.log(`capture latency ${latencyUs} us`);
  });
});

describe("pcap device", () => {
  let device: PcapDevice;
  let received: ReadPacket[] = [];
  let batches = 0;
  afterEach(() => {
    device.close();
    device.close();
    received = [];
    batches = 0;
  });

  function start(): void {
    device.start(
      (bytes, offset, length) => {
        received.push(readIpv4Packet(bytes, offset, length));
        return "";
      },
      () => batches++,
    );
  }
  const send = (packet: Uint8Array) => device.send(packet, 0, packet.length, "");

  it("finds the neighbour's Ethernet address and speaks to the far kernel", async () => {
    run("ip", "neigh", "flush", "dev", "near0");
    device = await openPcapDevice({ interface: "near0", target: "10.77.0.2" });
    expect(device).toMatchObject({ name: "pcap:near0", peerMac: far.farMac, mtuBytes: 1400 });
    const { port } = guard.hold("10.77.0.1", 0);
    device.setPorts([port]);
    start();
    expect(send(ipv4Packet({ ...FAR, from: port, to: 9, flags: SYN, seq: 0xffffffff }))).toBe(true);
    expect(await eventually(() => received.length, 1)).toBe(1);
    // The far kernel has no listener. Its 40 bytes are padded on a real Ethernet; either way the length is the packet's.
    expect(received).toMatchObject([{ from: 9, to: port, flags: RST | ACK, ack: 0, length: 40 }]);
    expect(await eventually(() => batches, 1)).toBe(1);
    expect(device.stats).toMatchObject({ sentPackets: 1, sentBytes: 40, receivedPackets: 1, receivedBytes: 40 });
  });

  it("hears only the wanted ports, and not what this host sends", async () => {
    device = await openPcapDevice({ interface: "near0", target: "10.77.0.2" });
    const [one, two] = [guard.hold("10.77.0.1", 0).port, guard.hold("10.77.0.1", 0).port];
    device.setPorts([one]);
    start();
    send(ipv4Packet({ ...FAR, from: two, to: 9, flags: SYN, seq: 1 }));
    send(ipv4Packet({ ...FAR, from: one, to: one, flags: SYN, seq: 2 })); // its destination port too is a wanted one
    expect(await eventually(() => received.length, 1)).toBe(1);
    device.setPorts([one, two]);
    send(ipv4Packet({ ...FAR, from: two, to: 9, flags: SYN, seq: 3 }));
    await eventually(() => received.at(-1)?.ack, 4);
    expect(received.map(({ to, ack, flags }) => [to, ack, flags])).toEqual([
      [one, 3, RST | ACK],
      [two, 4, RST | ACK],
    ]);
  });

  it("sends an IP checksum that is wrong as it is: the far kernel drops the packet", async () => {
    device = await openPcapDevice({ interface: "near0", target: "10.77.0.2" });
    const { port } = guard.hold("10.77.0.1", 0);
    device.setPorts([port]);
    start();
    const broken = ipv4Packet({ ...FAR, from: port, to: 9, flags: SYN, seq: 1 });
    broken[10] = (broken[10] ?? 0) ^ 0xff;
    send(broken);
    send(ipv4Packet({ ...FAR, from: port, to: 9, flags: SYN, seq: 2 }));
    await eventually(() => received.length, 1);
    expect(received.map(({ ack }) => ack)).toEqual([3]);
  });

  it("sends to the router when the target lies behind it", async () => {
    run("ip", "route", "replace", "198.51.100.0/24", "via", "10.77.0.2");
    device = await openPcapDevice({ interface: "near0", target: "198.51.100.7" });
    expect(device.peerMac).toBe(far.farMac);
  });

  it("refuses what is no packet or too large", async () => {
    device = await openPcapDevice({ interface: "near0", target: "10.77.0.2" });
    expect(send(ipv4Packet({ ...FAR, from: 1, to: 2, payload: new Uint8Array(1361) }))).toBe(false);
    expect(send(new Uint8Array(40))).toBe(false);
    expect(Object.fromEntries(device.stats.sendErrors)).toEqual({ EMSGSIZE: 1, EINVAL: 1 });
    expect(send(ipv4Packet({ ...FAR, from: 1, to: 2, flags: RST, payload: new Uint8Array(1360) }))).toBe(true);
    device.close();
    expect(send(ipv4Packet({ ...FAR, from: 1, to: 2 }))).toBe(false);
  });

  it("speaks IPv6 as well", async () => {
    run("ip", "-6", "addr", "add", "2001:db8:77::1/64", "dev", "near0", "nodad");
    far.run("ip", "-6", "addr", "add", "2001:db8:77::2/64", "dev", "far0", "nodad");
    device = await openPcapDevice({ interface: "near0", target: "2001:db8:77::2" });
    expect(device.peerMac).toBe(far.farMac);
    const { port } = guard.hold("2001:db8:77::1", 0);
    device.setPorts([port]);
    const answers: number[] = [];
    device.start(
      (bytes, offset, length) => {
        expect((bytes[offset] ?? 0) >> 4).toBe(6);
        expect(length).toBe(60);
        answers.push(bytes[offset + 40 + 13] ?? 0);
        return "";
      },
      () => {},
    );
    expect(send(ipv6Packet("2001:db8:77::1", "2001:db8:77::2", { from: port, to: 9, flags: SYN }))).toBe(true);
    await eventually(() => answers.length, 1);
    expect(answers).toEqual([RST | ACK]);
  });

  it("on loopback it sends through a raw socket and says so", async () => {
    device = await openPcapDevice({ interface: "lo", target: "127.0.0.1" });
    expect(device.name).toBe("pcap:lo (sends by raw socket)");
    expect(device.peerMac).toBe("");
    expect(device.mtuBytes).toBe(65521);
    const { port } = guard.hold("127.0.0.1", 0);
    device.setPorts([port]);
    start();
    expect(send(ipv4Packet({ from: port, to: 9, flags: SYN, seq: 0xffffffff }))).toBe(true);
    expect(await eventually(() => received.length, 1)).toBe(1);
    expect(received).toMatchObject([{ from: 9, to: port, flags: RST | ACK, ack: 0 }]);
  });

  it("hears a kernel that speaks at length", async () => {
    device = await openPcapDevice({ interface: "near0", target: "10.77.0.2" });
    const { port } = guard.hold("10.77.0.1", 0);
    device.setPorts([port]);
    start();
    const server = far.spawn("ncat", "--listen", "10.77.0.2", "7");
    await eventually(() => far.run("ss", "-Htln", "sport = :7").includes(":7"), true);
    send(ipv4Packet({ ...FAR, from: port, to: 7, flags: SYN, seq: 0xffffffff }));
    await eventually(() => received.some((packet) => packet.flags === (SYN | ACK)), true);
    const answer = received.find((packet) => packet.flags === (SYN | ACK));
    send(ipv4Packet({ ...FAR, from: port, to: 7, flags: ACK, seq: 0, ack: ((answer?.seq ?? 0) + 1) >>> 0 }));
    server.stdin?.write("x".repeat(3000));
    // Ten segments of the default MSS, 536; each counted whole.
    const payload = () =>
      received.filter((packet) => packet.flags & ACK && !(packet.flags & SYN)).reduce((sum, p) => sum + p.length - 40, 0);
    await eventually(() => payload() >= 3000, true);
    expect(payload()).toBeGreaterThanOrEqual(3000);
    server.kill("SIGKILL");
    await once(server, "exit");
  });

  describe("cannot be opened", () => {
    const failing = (options: Parameters<typeof openPcapDevice>[0], code: string) =>
      expect(openPcapDevice(options)).rejects.toMatchObject({ code });

    it("on an interface that does not exist or carries no Ethernet", async () => {
      run("ip", "tuntap", "add", "mode", "tun", "name", "tunny0");
      expect(findInterface("tunny0")?.linkType).toBe("tun");
      await failing({ interface: "nowhere0", target: "10.77.0.2" }, "ENODEV");
      await failing({ interface: "tunny0", target: "10.77.0.2" }, "ERR_LINK_TYPE");
    });

    it("to a neighbour that does not answer, or without a route, which is tried as a neighbour", async () => {
      await failing({ interface: "near0", target: "10.77.0.99", neighbourTimeoutMs: 30 }, "EHOSTUNREACH");
      await failing({ interface: "near0", target: "192.0.2.1", neighbourTimeoutMs: 30 }, "EHOSTUNREACH");
    });
  });
});
