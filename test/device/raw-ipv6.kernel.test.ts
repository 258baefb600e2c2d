/** The IPv6 half of the raw link by itself, at ::1. */
import { readdirSync } from "node:fs";
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import { openRawSocketDevice, type RawSocketDevice } from "../../src/device/raw-socket-device.js";
import { ipv6Absence, requireIpv6 } from "../../src/kernel/ipv6.js";
import { AF_INET6, close, IPPROTO_ICMPV6, SOCK_RAW, sendto, socket } from "../../src/kernel/libc.js";
import { addressBytes, sockaddrOf } from "../../src/kernel/sockaddr.js";
import { parseAddress } from "../../src/wire/address.js";
import { buildIcmpError } from "../../src/wire/icmp.js";
import { describePacket } from "../../src/wire/print.js";
import { enterPrivateNamespace, eventually, ipv6Packet, type PacketFields, RST, run } from "../kernel/support.js";

let device: RawSocketDevice;
let received: Uint8Array[] = [];
let batches: number[] = [];
beforeAll(enterPrivateNamespace);
afterEach(() => {
  device.close();
  device.close();
  received = [];
  batches = [];
});

/** To a port of nobody's. An RST, which the kernel answers with nothing. */
const packet = (fields: Partial<PacketFields> = {}) => ipv6Packet("::1", "::1", { from: 1, to: 50_001, flags: RST, ...fields });
const send = (bytes: Uint8Array) => device.send(bytes, 0, bytes.length, "");
const arrived = (count: number) => eventually(() => received.length, count);
function start(): void {
  device.start(
    (bytes, offset, length) => {
      received.push(bytes.slice(offset, offset + length));
      return "";
    },
    () => batches.push(received.length),
  );
}

/** A packet of `length` bytes with a segment of zeros behind its TCP header. */
function long(length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  bytes.set(packet());
  new DataView(bytes.buffer).setUint16(4, length - 40);
  return bytes;
}

describe("a packet comes as it was sent", () => {
  it("with traffic class, flow label, hop limit and both addresses", async () => {
    run("ip", "-6", "addr", "add", "2001:db8:5::1/128", "dev", "lo", "nodad");
    // The kernel makes the route to it a little later.
    expect(await eventually(() => run("ip", "-6", "route", "show", "table", "local").includes("2001:db8:5::1"), true)).toBe(true);
    device = openRawSocketDevice();
    device.setPorts([50_001]);
    device.openIpv6();
    start();
    const sent = [
      ipv6Packet("2001:db8:5::1", "::1", { from: 1, to: 50_001, flags: RST }),
      ipv6Packet("::1", "2001:db8:5::1", { from: 2, to: 50_001, flags: RST }),
      packet({ from: 3 }),
      packet({ from: 4 }),
    ];
    sent[1]?.set([0x6a, 0xbc, 0xde, 0xf1]); // class 0xab, label 0xcdef1
    sent[2]?.set([0x60, 0x00, 0x00, 0x01]);
    sent[3]?.set([1], 7); // hop limit
    for (const bytes of sent) expect(send(bytes)).toBe(true);
    expect(await arrived(4)).toBe(4);
    expect(received).toEqual(sent);
  });

  it("of 60 to 65,536 bytes; above, loopback does not take it", async () => {
    device = openRawSocketDevice();
    expect(device.mtuBytes).toBe(65_536);
    device.setPorts([50_001]);
    device.openIpv6();
    start();
    const sizes = [60, 61, 1500, 65_535, 65_536];
    for (const size of sizes) expect(send(long(size))).toBe(true);
    expect(send(long(65_537))).toBe(false);
    expect(send(packet().subarray(0, 39))).toBe(false);
    expect(await arrived(sizes.length)).toBe(sizes.length);
    expect(received.map(({ length }) => length)).toEqual(sizes);
    expect(received).toEqual(sizes.map(long));
    const bytes = sizes.reduce((sum, size) => sum + size, 0);
    expect(device.stats).toMatchObject({ sentPackets: 5, sentBytes: bytes, receivedPackets: 5, receivedBytes: bytes });
    expect(Object.fromEntries(device.stats.sendErrors)).toEqual({ EMSGSIZE: 1, EINVAL: 1 });
  });

  it("less its extension headers, which the kernel keeps, and whatever the checksum", async () => {
    device = openRawSocketDevice();
    device.setPorts([50_001]);
    device.openIpv6();
    start();
    const plain = packet();
    plain[56] = (plain[56] ?? 0) ^ 0xff;
    const optioned = new Uint8Array(68);
    optioned.set(plain.subarray(0, 40));
    optioned.set([6, 0, 1, 4, 0, 0, 0, 0], 40); // destination options: one that pads
    optioned.set(plain.subarray(40), 48);
    optioned[5] = 28;
    optioned[6] = 60;
    expect(send(optioned)).toBe(true);
    expect(await arrived(1)).toBe(1);
    expect(received[0]).toEqual(plain);
  });
});

it("from an offset, for the address in the header", async () => {
  device = openRawSocketDevice();
  device.setPorts([50_001]);
  device.openIpv6();
  start();
  const padded = new Uint8Array(90).fill(0xee);
  padded.set(packet(), 17);
  expect(device.send(padded, 17, 60, "")).toBe(true);
  expect(await arrived(1)).toBe(1);
  expect(received).toEqual([packet()]);
});

it("only the wanted ports come; IPv4 and IPv6 have the same", async () => {
  device = openRawSocketDevice();
  start();
  device.setPorts([50_002]);
  device.openIpv6();
  send(packet({ to: 50_001 }));
  send(packet({ to: 50_002, seq: 1 }));
  device.setPorts([50_001]);
  send(packet({ to: 50_002 }));
  send(packet({ to: 50_001, seq: 2 }));
  device.setPorts([]);
  send(packet({ to: 50_001 }));
  device.setPorts([50_003]);
  send(packet({ to: 50_003, seq: 3 }));
  expect(await arrived(3)).toBe(3);
  expect(received.map((bytes) => bytes[47])).toEqual([1, 2, 3]);
});

it("a batch ends after at most 512 packets and the event loop turns between batches", async () => {
  device = openRawSocketDevice();
  device.setPorts([50_001]);
  device.openIpv6();
  for (let i = 0; i < 1100; i++) expect(send(packet({ seq: i }))).toBe(true);
  start();
  expect(await arrived(1100)).toBe(1100);
  expect(batches).toEqual([512, 1024, 1100]);
});

it("`poll` reads without the event loop", () => {
  device = openRawSocketDevice();
  device.setPorts([50_001]);
  device.openIpv6();
  start();
  expect(device.poll()).toBe(false);
  send(packet());
  expect(device.poll()).toBe(true);
  expect(received).toEqual([packet()]);
});

it("may be closed while it delivers", async () => {
  device = openRawSocketDevice();
  device.setPorts([50_001]);
  device.openIpv6();
  for (let i = 0; i < 5; i++) send(packet());
  let count = 0;
  device.start(
    () => {
      count++;
      device.close();
      return "";
    },
    () => batches.push(0),
  );
  await eventually(() => count, 1);
  await new Promise((resolve) => setImmediate(resolve));
  expect([count, batches]).toEqual([1, []]);
  device.openIpv6();
  expect(send(packet())).toBe(false);
  expect(device.stats.sendErrors.get("EBADF")).toBe(1);
});

it("its sockets are opened by the first packet, not before, and all are closed", async () => {
  const descriptors = () => readdirSync("/proc/self/fd").length;
  const none = descriptors();
  device = openRawSocketDevice();
  start();
  device.setPorts([50_001]);
  const ipv4Only = descriptors();
  expect(send(packet())).toBe(true);
  expect(await arrived(1)).toBe(1); // no earlier than its own socket: the filter was there
  // One for TCP, one for ICMPv6.
  expect(descriptors()).toBe(ipv4Only + 2);
  device.openIpv6();
  expect(descriptors()).toBe(ipv4Only + 2);
  device.close();
  expect(await eventually(descriptors, none)).toBe(none);
});

describe("ICMPv6 errors", () => {
  const HERE = parseAddress("::1");

  /** From this host to this host, about `quoted`. */
  function sendError(type: number, code: number, quoted: Uint8Array): void {
    const fd = socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6);
    const message = buildIcmpError(type, code, 1280, quoted, HERE, HERE);
    const sent = sendto(fd, message, message.length, 0, sockaddrOf("::1", 0));
    close(fd);
    expect(sent).toBe(message.length);
  }

  it("come whole when they quote a segment from a port of ours, and no others do", async () => {
    device = openRawSocketDevice();
    device.setPorts([50_001]);
    device.openIpv6();
    start();
    const about = (from: number) => ipv6Packet("::1", "2001:db8::9", { from, to: 80, seq: 7 });
    sendError(1, 4, about(50_002));
    sendError(129, 0, about(50_001)); // an echo reply quotes nothing
    const udp = about(50_001);
    udp[6] = 17;
    sendError(1, 4, udp);
    sendError(2, 0, about(50_001));
    const optioned = new Uint8Array(68);
    optioned.set(about(50_001).subarray(0, 40));
    optioned.set([6, 0, 1, 4, 0, 0, 0, 0], 40);
    optioned.set(about(50_001).subarray(40), 48);
    optioned[6] = 60;
    sendError(3, 0, optioned);
    expect(await arrived(2)).toBe(2);
    const [tooBig = new Uint8Array(0), exceeded = new Uint8Array(0)] = received;
    expect(tooBig.subarray(8, 24)).toEqual(addressBytes("::1"));
    expect([tooBig[6], tooBig[40], exceeded[40]]).toEqual([58, 2, 3]);
    expect(describePacket(tooBig, 0, tooBig.length)).toContain("[::1]:50001 > [2001:db8::9]:80");
    expect(batches.length).toBeGreaterThan(0);
  });
});

describe("IPv6 switched off", () => {
  it("is told in one line, with what mends it", () => {
    device = openRawSocketDevice();
    expect(ipv6Absence()).toBe("");
    requireIpv6("::1");
    run("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1");
    try {
      const mend = "it is switched off: sudo sysctl -w net.ipv6.conf.all.disable_ipv6=0";
      expect(ipv6Absence()).toBe(mend);
      expect(() => requireIpv6("::1")).toThrow(
        expect.objectContaining({ code: "EAFNOSUPPORT", message: `::1: this host has no IPv6: ${mend}` }),
      );
      expect(send(packet())).toBe(false);
      run("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=0");
      run("ip", "link", "set", "lo", "down");
      expect(ipv6Absence()).toBe("no interface that is up has an address");
    } finally {
      run("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=0");
      run("ip", "link", "set", "lo", "up");
    }
    expect(ipv6Absence()).toBe("");
  });
});
