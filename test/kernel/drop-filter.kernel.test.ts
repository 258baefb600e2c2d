import { readdirSync, readFileSync } from "node:fs";
import { afterEach, describe, expect, it } from "vitest";
import { attachedFilterLength } from "../../src/kernel/bpf.js";
import { openDropFilter } from "../../src/kernel/drop-filter.js";
import {
  AF_INET,
  bind,
  close,
  connect,
  getsockname,
  MSG_DONTWAIT,
  recv,
  SOCK_DGRAM,
  sendto,
  socket,
} from "../../src/kernel/libc.js";

const open: number[] = [];
afterEach(() => {
  for (const fd of open.splice(0)) close(fd);
});

function udpSocket(): number {
  const fd = socket(AF_INET, SOCK_DGRAM, 0);
  open.push(fd);
  bind(fd, "127.0.0.1", 0);
  return fd;
}

/** Whether a datagram reaches the socket; on loopback it is there, or dropped, when sendto(2) returns. */
function receives(fd: number): boolean {
  const sender = udpSocket();
  connect(sender, "127.0.0.1", getsockname(fd).port);
  expect(sendto(sender, Uint8Array.of(1), 1, 0, null)).toBe(1);
  return recv(fd, new Uint8Array(16), MSG_DONTWAIT) === 1;
}

/** CAP_SYS_ADMIN and CAP_BPF, and no filter of system calls: then the kernel must take an eBPF program. */
function mayLoadPrograms(): boolean {
  const status = readFileSync("/proc/self/status", "utf8");
  const capabilities = BigInt(`0x${/^CapEff:\s*(\w+)/m.exec(status)?.[1]}`);
  return /^Seccomp:\s*0$/m.test(status) && (capabilities & (1n << 21n)) !== 0n && (capabilities & (1n << 39n)) !== 0n;
}

describe.each(["ebpf", "classic"] as const)("a %s filter", (kind) => {
  it("drops what comes for every socket that it is attached to, and for no other", () => {
    const filter = openDropFilter(kind);
    if (kind === "classic" || mayLoadPrograms()) expect(filter.kind).toBe(kind);
    const [one, two, free] = [udpSocket(), udpSocket(), udpSocket()];
    filter.attach(one);
    filter.attach(two);
    expect([receives(one), receives(two), receives(free)]).toEqual([false, false, true]);
    filter.close();
  });

  it("stays with its sockets when it is closed, and leaves no descriptor", () => {
    const before = readdirSync("/proc/self/fd").length;
    const filter = openDropFilter(kind);
    const fd = udpSocket();
    filter.attach(fd);
    filter.close();
    filter.close();
    expect(readdirSync("/proc/self/fd").length).toBe(before + 1);
    expect(receives(fd)).toBe(false);
  });
});

it("a classic filter is one instruction, as the kernel tells", () => {
  const fd = udpSocket();
  openDropFilter("classic").attach(fd);
  expect(attachedFilterLength(fd)).toBe(1);
});
