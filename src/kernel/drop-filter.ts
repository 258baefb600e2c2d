/**
 * A socket filter that drops everything, for very many sockets: the port guard needs one a connection. A classic program is
 * copied, checked and compiled by the kernel for each socket anew (10 µs); an eBPF program is loaded once and shared (1 µs), but
 * loading one takes CAP_BPF or CAP_SYS_ADMIN, and a container may forbid bpf(2) altogether.
 */
import { attachedFilterLength, attachFilter, dropAllFilter } from "./bpf.js";
import { addressOf, bpf, close, HOST_LITTLE_ENDIAN, LibcError, SO_ATTACH_BPF, SOL_SOCKET, setsockopt } from "./libc.js";

/** EPERM of include/uapi/asm-generic/errno-base.h. */
const EPERM = 1;

export type DropFilterKind = "ebpf" | "classic";

export interface DropFilter {
  readonly kind: DropFilterKind;
  /** Lets nothing in to a socket from now on. Throws LibcError (EPERM where the kernel only seems to take the filter). */
  attach(fd: number): void;
  /** Frees the program; sockets that have it keep it. Later calls do nothing. */
  close(): void;
}

/** Opens the filter: shared where that is permitted, else, or where `wanted` says so, classic. */
export function openDropFilter(wanted: DropFilterKind = "ebpf"): DropFilter {
  const program = wanted === "ebpf" ? loadDropAll() : -1;
  return program < 0 ? classicFilter() : sharedFilter(program);
}

function sharedFilter(program: number): DropFilter {
  let isOpen = true;
  return {
    kind: "ebpf",
    attach: (fd) => setsockopt(fd, SOL_SOCKET, SO_ATTACH_BPF, program),
    close() {
      if (!isOpen) return;
      isOpen = false;
      close(program);
    },
  };
}

function classicFilter(): DropFilter {
  const instructions = dropAllFilter();
  let isProven = false;
  return {
    kind: "classic",
    attach(fd) {
      attachFilter(fd, instructions);
      if (isProven) return;
      if (attachedFilterLength(fd) !== 1) throw new LibcError("setsockopt", EPERM, "took the socket filter but does not hold it");
      isProven = true;
    },
    close() {},
  };
}

// include/uapi/linux/bpf.h
const BPF_PROG_LOAD = 5;
const BPF_PROG_TYPE_SOCKET_FILTER = 1;
/** `r0 = 0; exit`: no byte of the packet is kept. The register stands in the lower half of its byte, whatever the byte order. */
const DROP_ALL = Uint8Array.of(0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0);
/** Asked for only by helper functions, of which none is called. */
const LICENSE = Uint8Array.of(0);

/** The descriptor of the program, close-on-exec as all of bpf(2), or -errno. */
function loadDropAll(): number {
  const attributes = new Uint8Array(48); // union bpf_attr up to and with kern_version, zero for what is not asked for
  const view = new DataView(attributes.buffer);
  view.setUint32(0, BPF_PROG_TYPE_SOCKET_FILTER, HOST_LITTLE_ENDIAN);
  view.setUint32(4, DROP_ALL.length / 8, HOST_LITTLE_ENDIAN);
  view.setBigUint64(8, addressOf(DROP_ALL), HOST_LITTLE_ENDIAN);
  view.setBigUint64(16, addressOf(LICENSE), HOST_LITTLE_ENDIAN);
  return bpf(BPF_PROG_LOAD, attributes);
}
