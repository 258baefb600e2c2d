/**
 * Classic BPF programs for SO_ATTACH_FILTER: what the kernel drops need not reach JavaScript.
 *
 * An instruction is `struct sock_filter { u16 code; u8 jt; u8 jf; u32 k; }`, a program at most 4096 of them (Linux
 * Documentation/networking/filter.rst). A program returns the bytes to keep, 0 to drop the packet.
 */

import { addressOf, getsockopt, HOST_LITTLE_ENDIAN, SO_ATTACH_FILTER, SO_GET_FILTER, SOL_SOCKET, setsockopt } from "./libc.js";

/** An inclusive range of ports. */
export interface PortRange {
  readonly first: number;
  readonly last: number;
}

/**
 * What the filtered socket's packets begin with: the IPv4 header (raw sockets of IPv4), the TCP header (those of IPv6) or an
 * Ethernet header (packet sockets).
 */
export type FilterLayer = "ipv4" | "tcp" | "ethernet";

/** The program `ret #0`: every packet is dropped. */
export function dropAllFilter(): Uint8Array {
  return encode([instruction(RET_K, 0, 0, DROP)]);
}

/**
 * The program "TCP to one of these ports".
 *
 * On layers "ipv4" and "tcp" the protocol is not looked at: the raw socket is already one for TCP. On layer "ethernet" both IPv4 and
 * IPv6 (without extension headers) are taken, and what this host itself sends is dropped. Fragments with an offset hold no
 * TCP header and are dropped. Throws RangeError when there are more than 100 ports and ranges: a filter is run for every
 * packet of the host, and conditional jumps reach 255 instructions.
 */
export function portFilter(ports: readonly (number | PortRange)[], layer: FilterLayer = "ipv4"): Uint8Array {
  if (ports.length > 100) throw new RangeError(`a port filter takes at most 100 ports and ranges, not ${ports.length}`);
  const ranges = ports.map((port) => (typeof port === "number" ? { first: port, last: port } : port));
  let left = ranges.reduce((count, range) => count + (range.first === range.last ? 1 : 2), 0);
  const program = layer === "ipv4" ? ipv4Header(left) : layer === "tcp" ? tcpHeader() : ethernetHeader(left);
  // Here A holds the destination port. Below the tests stand `ret drop` and, one further, `ret accept`.
  for (const { first, last } of ranges) {
    if (first === last) {
      program.push(instruction(JEQ_K, left, 0, first));
      left -= 1;
    } else {
      program.push(instruction(JGE_K, 0, 1, first)); // below the range: skip the upper test
      program.push(instruction(JGT_K, 0, left - 1, last));
      left -= 2;
    }
  }
  program.push(instruction(RET_K, 0, 0, DROP), instruction(RET_K, 0, 0, ACCEPT));
  return encode(program);
}

/** Attaches a program to a socket, in the place of the one that it had. Throws LibcError (EPERM, EINVAL). */
export function attachFilter(fd: number, program: Uint8Array): void {
  const fprog = new Uint8Array(16); // struct sock_fprog { u16 len; struct sock_filter *filter; }
  const view = new DataView(fprog.buffer);
  view.setUint16(0, program.length / INSTRUCTION_BYTES, HOST_LITTLE_ENDIAN);
  view.setBigUint64(8, addressOf(program), HOST_LITTLE_ENDIAN);
  // The kernel copies both before setsockopt returns.
  setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, fprog);
}

/** How many instructions the program attached to a socket has; 0 when there is none. Throws LibcError. */
export function attachedFilterLength(fd: number): number {
  return getsockopt(fd, SOL_SOCKET, SO_GET_FILTER, new Uint8Array(0), 0);
}

const INSTRUCTION_BYTES = 8;

// include/uapi/linux/bpf_common.h
const LD_W_ABS = 0x20;
const LD_H_ABS = 0x28;
const LD_B_ABS = 0x30;
const LD_H_IND = 0x48;
const LDX_W_IMM = 0x01;
const LDX_B_MSH = 0xb1;
const JA = 0x05;
const JEQ_K = 0x15;
const JGT_K = 0x25;
const JGE_K = 0x35;
const JSET_K = 0x45;
const RET_K = 0x06;

const DROP = 0;
/** More than any packet holds: keep it whole. */
const ACCEPT = 0x40000;
/** Any fragment offset (RFC 791 §3.1). */
const FRAGMENT_OFFSET_MASK = 0x1fff;
/** SKF_AD_OFF + SKF_AD_PKTTYPE of include/uapi/linux/filter.h, and PACKET_OUTGOING of if_packet.h. */
const PACKET_TYPE = 0xfffff004;
const PACKET_OUTGOING = 4;

type Instruction = readonly [code: number, jumpTrue: number, jumpFalse: number, k: number];

function instruction(code: number, jumpTrue: number, jumpFalse: number, k: number): Instruction {
  return [code, jumpTrue, jumpFalse, k];
}

/** Loads the destination port of the TCP segment in an IPv4 packet; `testCount` instructions and `ret drop` follow. */
function ipv4Header(testCount: number): Instruction[] {
  return [
    instruction(LD_H_ABS, 0, 0, 6),
    instruction(JSET_K, 2 + testCount, 0, FRAGMENT_OFFSET_MASK),
    instruction(LDX_B_MSH, 0, 0, 0), // X = 4 * IHL
    instruction(LD_H_IND, 0, 0, 2), // A = destination port
  ];
}

/** The same where the packet begins with the TCP header. What is too short to have ports, the kernel drops at the load. */
function tcpHeader(): Instruction[] {
  return [instruction(LD_H_ABS, 0, 0, 2)];
}

/** The same behind an Ethernet header of 14 bytes, for IPv4 and IPv6. */
function ethernetHeader(testCount: number): Instruction[] {
  const drop = (index: number) => 14 - index + testCount; // how far `ret drop` lies below the instruction after `index`
  return [
    /*  0 */ instruction(LD_W_ABS, 0, 0, PACKET_TYPE),
    /*  1 */ instruction(JEQ_K, drop(1), 0, PACKET_OUTGOING),
    /*  2 */ instruction(LD_H_ABS, 0, 0, 12), // EtherType
    /*  3 */ instruction(JEQ_K, 0, 4, 0x86dd), // not IPv6: to 8
    /*  4 */ instruction(LD_B_ABS, 0, 0, 14 + 6), // next header
    /*  5 */ instruction(JEQ_K, 0, drop(5), 6),
    /*  6 */ instruction(LDX_W_IMM, 0, 0, 40), // X = length of the IPv6 header
    /*  7 */ instruction(JA, 0, 0, 6), // to 14
    /*  8 */ instruction(JEQ_K, 0, drop(8), 0x0800),
    /*  9 */ instruction(LD_B_ABS, 0, 0, 14 + 9), // protocol
    /* 10 */ instruction(JEQ_K, 0, drop(10), 6),
    /* 11 */ instruction(LD_H_ABS, 0, 0, 14 + 6),
    /* 12 */ instruction(JSET_K, drop(12), 0, FRAGMENT_OFFSET_MASK),
    /* 13 */ instruction(LDX_B_MSH, 0, 0, 14), // X = 4 * IHL
    /* 14 */ instruction(LD_H_IND, 0, 0, 14 + 2), // A = destination port
  ];
}

function encode(program: readonly Instruction[]): Uint8Array {
  const bytes = new Uint8Array(program.length * INSTRUCTION_BYTES);
  const view = new DataView(bytes.buffer);
  program.forEach(([code, jumpTrue, jumpFalse, k], index) => {
    view.setUint16(8 * index, code, HOST_LITTLE_ENDIAN);
    view.setUint8(8 * index + 2, jumpTrue);
    view.setUint8(8 * index + 3, jumpFalse);
    view.setUint32(8 * index + 4, k >>> 0, HOST_LITTLE_ENDIAN);
  });
  return bytes;
}
