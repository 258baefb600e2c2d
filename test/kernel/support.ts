/** What the kernel tests share: private network namespaces, packets built by hand, waiting for the kernel. */

import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type * as Koffi from "koffi";
import { addressBytes } from "../../src/kernel/sockaddr.js";

/**
 * Moves this test's process into a network namespace of its own with loopback up. It vanishes with the process, so that
 * rules, routes and ports of a test that is killed cannot stay behind.
 */
export function enterPrivateNamespace(): void {
  const koffi = createRequire(import.meta.url)("koffi") as typeof Koffi;
  const unshare = koffi.load(null).func("int unshare(int)") as (flags: number) => number;
  const CLONE_NEWNET = 0x40000000;
  if (unshare(CLONE_NEWNET) !== 0) throw new Error(`unshare failed with errno ${koffi.errno()}`);
  run("ip", "link", "set", "lo", "up");
}

/** Runs a program and returns what it printed. */
export function run(program: string, ...args: string[]): string {
  return execFileSync(program, args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
}

/** A second namespace behind a veth pair: "near0" with 10.77.0.1 here, "far0" with 10.77.0.2 there. */
export interface FarNamespace {
  readonly nearMac: string;
  readonly farMac: string;
  /** Runs a program there to its end. */
  run(program: string, ...args: string[]): string;
  /** Starts a program there; it is ended with the namespace. */
  spawn(program: string, ...args: string[]): ChildProcess;
  close(): Promise<void>;
}

/** Needs `enterPrivateNamespace` first. The far namespace lives as long as its first process, which ends with this one. */
export async function openFarNamespace(mtu = 1500): Promise<FarNamespace> {
  // cat waits for the end of its input: when this process dies, so does the namespace.
  const keeper = spawn("unshare", ["--net", "sh", "-c", "echo ready; exec cat"], { stdio: ["pipe", "pipe", "inherit"] });
  await once(keeper.stdout, "data");
  const pid = String(keeper.pid);
  const inside = ["--net", "--target", pid, "--"];
  const children: ChildProcess[] = [];
  run("ip", "link", "add", "near0", "type", "veth", "peer", "name", "far0", "netns", pid);
  run("ip", "addr", "add", "10.77.0.1/24", "dev", "near0");
  run("ip", "link", "set", "near0", "mtu", String(mtu), "up");
  const far = (program: string, ...args: string[]) => run("nsenter", ...inside, program, ...args);
  far("ip", "addr", "add", "10.77.0.2/24", "dev", "far0");
  far("ip", "link", "set", "far0", "mtu", String(mtu), "up");
  far("ip", "link", "set", "lo", "up");
  const macOf = (text: string) => /link\/ether ([0-9a-f:]+)/.exec(text)?.[1] ?? "";
  return {
    nearMac: macOf(run("ip", "link", "show", "near0")),
    farMac: macOf(far("ip", "link", "show", "far0")),
    run: far,
    spawn(program, ...args) {
      const child = spawn("nsenter", [...inside, program, ...args], { stdio: ["pipe", "pipe", "inherit"] });
      children.push(child);
      return child;
    },
    async close() {
      for (const child of children) child.kill("SIGKILL");
      const gone = once(keeper, "exit");
      keeper.stdin.end();
      await gone;
    },
  };
}

/** Asks until the answer is the one wanted or 3 seconds are over; returns the last answer. */
export async function eventually<T>(ask: () => T, wanted: T): Promise<T> {
  const deadline = performance.now() + 3000;
  let answer = ask();
  while (answer !== wanted && performance.now() < deadline) {
    await new Promise((resolve) => setImmediate(resolve));
    answer = ask();
  }
  return answer;
}

/** The sources compiled to JavaScript, for tests that need a process of their own. */
export interface CompiledSources {
  readonly folder: string;
  remove(): void;
}

/**
 * `packages` are the only ones that the compiled sources can load; without it they find all that are installed.
 * The caller removes what it made.
 */
export function compileSources(packages?: readonly string[]): CompiledSources {
  const root = resolve(import.meta.dirname, "../..");
  const folder = mkdtempSync(join(packages === undefined ? join(root, "node_modules") : tmpdir(), "rawtcp-test-"));
  writeFileSync(join(folder, "package.json"), `{ "type": "module" }`);
  if (packages !== undefined) mkdirSync(join(folder, "node_modules"));
  for (const name of packages ?? []) symlinkSync(join(root, "node_modules", name), join(folder, "node_modules", name));
  const tsc = join(root, "node_modules", ".bin", "tsc");
  run(tsc, "-p", join(root, "tsconfig.json"), "--noCheck", "--outDir", folder);
  return { folder, remove: () => rmSync(folder, { recursive: true, force: true }) };
}

export const FIN = 0x01;
export const SYN = 0x02;
export const RST = 0x04;
export const ACK = 0x10;

export interface PacketFields {
  readonly source?: string;
  readonly destination?: string;
  readonly from: number;
  readonly to: number;
  readonly seq?: number;
  readonly ack?: number;
  readonly flags?: number;
  readonly payload?: Uint8Array;
  /** Length of the IP header in bytes, 20 or more. */
  readonly headerBytes?: number;
  /** Fragment offset in units of 8 bytes. */
  readonly fragmentOffset?: number;
}

/** An IPv4 packet with a TCP segment in it, both with right checksums. */
export function ipv4Packet(fields: PacketFields): Uint8Array {
  const ihl = fields.headerBytes ?? 20;
  const payload = fields.payload ?? new Uint8Array(0);
  const packet = new Uint8Array(ihl + 20 + payload.length);
  const view = new DataView(packet.buffer);
  packet[0] = 0x40 | (ihl / 4);
  view.setUint16(2, packet.length);
  view.setUint16(6, fields.fragmentOffset ?? 0);
  packet[8] = 64;
  packet[9] = 6;
  packet.set((fields.source ?? "127.0.0.1").split(".").map(Number), 12);
  packet.set((fields.destination ?? "127.0.0.1").split(".").map(Number), 16);
  packet.fill(1, 20, ihl); // option "no operation"
  view.setUint16(ihl, fields.from);
  view.setUint16(ihl + 2, fields.to);
  view.setUint32(ihl + 4, fields.seq ?? 0);
  view.setUint32(ihl + 8, fields.ack ?? 0);
  packet[ihl + 12] = 0x50;
  packet[ihl + 13] = fields.flags ?? ACK;
  view.setUint16(ihl + 14, 65535);
  packet.set(payload, ihl + 20);
  view.setUint16(10, ~onesSum(packet.subarray(0, ihl), 0) & 0xffff);
  const pseudo = onesSum(packet.subarray(12, 20), 6 + packet.length - ihl);
  view.setUint16(ihl + 16, ~onesSum(packet.subarray(ihl), pseudo) & 0xffff);
  return packet;
}

/** An IPv6 packet with a bare TCP header in it. */
export function ipv6Packet(source: string, destination: string, fields: PacketFields): Uint8Array {
  const packet = new Uint8Array(60);
  const view = new DataView(packet.buffer);
  packet[0] = 0x60;
  view.setUint16(4, 20);
  packet[6] = 6;
  packet[7] = 64;
  packet.set(addressBytes(source), 8);
  packet.set(addressBytes(destination), 24);
  view.setUint16(40, fields.from);
  view.setUint16(42, fields.to);
  view.setUint32(44, fields.seq ?? 0);
  view.setUint32(48, fields.ack ?? 0);
  packet[52] = 0x50;
  packet[53] = fields.flags ?? ACK;
  view.setUint16(56, ~onesSum(packet.subarray(40), onesSum(packet.subarray(8, 40), 6 + 20)) & 0xffff);
  return packet;
}

/** The fields of a received IPv4 packet that tests look at. */
export interface ReadPacket {
  readonly from: number;
  readonly to: number;
  readonly seq: number;
  readonly ack: number;
  readonly flags: number;
  readonly length: number;
}

export function readIpv4Packet(bytes: Uint8Array, offset: number, length: number): ReadPacket {
  const view = new DataView(bytes.buffer, bytes.byteOffset + offset, length);
  const tcp = (view.getUint8(0) & 0xf) * 4;
  return {
    from: view.getUint16(tcp),
    to: view.getUint16(tcp + 2),
    seq: view.getUint32(tcp + 4),
    ack: view.getUint32(tcp + 8),
    flags: view.getUint8(tcp + 13),
    length,
  };
}

function onesSum(bytes: Uint8Array, start: number): number {
  let sum = start;
  for (let i = 0; i < bytes.length; i += 2) sum += ((bytes[i] ?? 0) << 8) | (bytes[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return sum;
}
