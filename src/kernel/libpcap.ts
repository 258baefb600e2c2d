/**
 * libpcap called through koffi: its compiler for filters on packets of a file, and live capture with what the add-on `cap` does
 * not pass on: the kernel's time stamps, the length on the wire, what was dropped, a snapshot length, Linux cooked v2.
 *
 * A handle is an address of libpcap's; the structures that it fills are read from memory of ours. Source: pcap(3PCAP).
 */
import { createRequire } from "node:module";
import type * as Koffi from "koffi";
import { RawTcpError } from "../base/errors.js";
import { HOST_LITTLE_ENDIAN, setCloseOnExec } from "./libc.js";

/** A filter in libpcap's language, compiled for one link type. */
export interface PacketFilter {
  /** Whether it takes the packet that begins with its link header; `wireLength` is its length before it was cut. */
  matches(bytes: Uint8Array, wireLength: number): boolean;
}

/** Libpcap cannot be had or does not do what is asked. `code`: ERR_LIBPCAP_MISSING, ERR_FILTER, EPERM, ENODEV, ENETDOWN, EIO. */
export class LibpcapError extends RawTcpError {
  constructor(code: string, message: string) {
    super(code, message);
    this.name = "LibpcapError";
  }
}

/** Whether koffi and libpcap can be loaded. Never throws. */
export function isLibpcapAvailable(): boolean {
  try {
    functions();
    return true;
  } catch {
    return false;
  }
}

/**
 * Compiles `expression` (pcap-filter(7)) for packets of `linkType` (the number in the file). Throws LibpcapError `ERR_FILTER`
 * with libpcap's reason, or `ERR_LIBPCAP_MISSING`.
 */
export function compileFilter(expression: string, linkType: number): PacketFilter {
  const { pcap } = functions();
  const handle = pcap.openDead(dltOf(linkType), MOST_SNAP_LENGTH);
  try {
    const program = compile(handle, expression);
    return { matches: (bytes, wireLength) => pcap.filter(program, bytes, wireLength, bytes.length) !== 0 };
  } finally {
    pcap.close(handle);
  }
}

export interface LiveOptions {
  /** The interface, or "any" for all. */
  readonly device: string;
  /** A filter in libpcap's language; "" takes everything. */
  readonly filter: string;
  /** Most bytes kept of a packet. */
  readonly snapLength: number;
  readonly promiscuous: boolean;
  /** Each packet at once, where otherwise the kernel collects them for up to `BATCH_MS`: quicker to be seen, easier to be lost. */
  readonly immediate: boolean;
  /** Bytes of the kernel's ring. */
  readonly bufferBytes: number;
}

/** What the capture has seen. */
export interface LiveCounts {
  /** Packets that passed the filter. */
  readonly received: number;
  /** Packets lost because the ring was full. */
  readonly dropped: number;
  /** Packets that the interface or its driver lost. */
  readonly droppedByInterface: number;
}

/** How long the kernel collects packets where `immediate` is false. */
export const BATCH_MS = 100;
/** libpcap's bound (MAXIMUM_SNAPLEN), and tcpdump's default. */
export const MOST_SNAP_LENGTH = 262_144;

/** An open capture. Every call but `close` throws after `close`. */
export class LibpcapCapture {
  /** The link type as files have it. */
  readonly linkType: number;
  /** Becomes readable when packets have come; it is libpcap's to close. */
  readonly fd: number;
  /** Of the packet that `next` has read: nanoseconds since 1970. */
  timeNs = 0n;
  /** Its length on the wire. */
  wireLength = 0;
  readonly #device: string;
  readonly #snapLength: number;
  readonly #isNanoseconds: boolean;
  readonly #header = new Uint8Array(PACKET_HEADER);
  readonly #headerView = new DataView(this.#header.buffer);
  readonly #pointers = new BigUint64Array(2);
  readonly #headerCell = this.#pointers.subarray(0, 1);
  readonly #dataCell = this.#pointers.subarray(1, 2);
  #handle: Handle;

  /** Throws LibpcapError. */
  constructor(options: LiveOptions) {
    const { device, filter } = options;
    const { pcap } = functions();
    this.#device = device;
    this.#snapLength = options.snapLength;
    this.#handle = pcap.create(device, errorText);
    if (isNull(this.#handle)) throw new LibpcapError("EIO", `capture on ${device}: ${textOf(errorText)}`);
    try {
      pcap.setSnapLength(this.#handle, Math.min(MOST_SNAP_LENGTH, options.snapLength + SLACK));
      pcap.setPromiscuous(this.#handle, options.promiscuous ? 1 : 0);
      pcap.setImmediate(this.#handle, options.immediate ? 1 : 0);
      pcap.setTimeout(this.#handle, BATCH_MS);
      pcap.setBufferSize(this.#handle, options.bufferBytes);
      this.#isNanoseconds = pcap.setPrecision(this.#handle, PRECISION_NANO) === 0;
      const status = pcap.activate(this.#handle);
      if (status < 0) throw this.#activationError(status);
      // The device "any" has two forms of link header; the newer one tells the interface. An old libpcap lacks it.
      if (device === "any") pcap.setDatalink(this.#handle, DLT_LINUX_SLL2);
      this.linkType = linkTypeOf(pcap.datalink(this.#handle));
      if (filter !== "") {
        const program = new Uint8Array(PROGRAM_BYTES);
        if (pcap.compile(this.#handle, program, filter, 1, NETMASK_UNKNOWN) !== 0)
          throw filterError(filter, pcap.errorOf(this.#handle));
        const attached = pcap.setFilter(this.#handle, program);
        pcap.freeCode(program);
        if (attached !== 0) throw filterError(filter, pcap.errorOf(this.#handle));
      }
      if (pcap.setNonBlocking(this.#handle, 1, errorText) !== 0)
        throw new LibpcapError("EIO", `capture on ${device}: ${textOf(errorText)}`);
      this.fd = pcap.selectableFd(this.#handle);
      setCloseOnExec(this.fd);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** The next packet in memory of its own, with `timeNs` and `wireLength`; undefined when there is none yet. Throws LibpcapError. */
  next(): Uint8Array | undefined {
    const { pcap, memcpy } = functions();
    const result = pcap.next(this.#handle, this.#headerCell, this.#dataCell);
    if (result === 0) return undefined;
    if (result < 0) {
      const reason = pcap.errorOf(this.#handle);
      const isDown = /went down|disappear|not running|network is down/i.test(reason);
      throw new LibpcapError(
        isDown ? "ENETDOWN" : "EIO",
        isDown ? `the interface ${this.#device} went down: its capture is over` : `capture on ${this.#device}: ${reason}`,
      );
    }
    memcpy(this.#header, this.#pointers[0] ?? 0n, PACKET_HEADER);
    const seconds = this.#headerView.getBigInt64(0, HOST_LITTLE_ENDIAN);
    const fraction = this.#headerView.getBigInt64(8, HOST_LITTLE_ENDIAN);
    this.timeNs = seconds * 1_000_000_000n + (this.#isNanoseconds ? fraction : fraction * 1000n);
    const bytes = new Uint8Array(Math.min(this.#snapLength, this.#headerView.getUint32(16, HOST_LITTLE_ENDIAN)));
    this.wireLength = this.#headerView.getUint32(20, HOST_LITTLE_ENDIAN);
    if (bytes.length > 0) memcpy(bytes, this.#pointers[1] ?? 0n, bytes.length);
    return bytes;
  }

  /** Counts since the capture began. */
  counts(): LiveCounts {
    const statistics = new Uint32Array(3); // struct pcap_stat { u_int ps_recv, ps_drop, ps_ifdrop; }
    functions().pcap.stats(this.#handle, statistics);
    const [received = 0, dropped = 0, droppedByInterface = 0] = statistics;
    return { received, dropped, droppedByInterface };
  }

  /** Later calls do nothing. */
  close(): void {
    if (isNull(this.#handle)) return;
    functions().pcap.close(this.#handle);
    this.#handle = 0n;
  }

  #activationError(status: number): LibpcapError {
    const device = this.#device;
    const reason = functions().pcap.errorOf(this.#handle);
    switch (status) {
      case PCAP_ERROR_PERM_DENIED:
        return new LibpcapError("EPERM", `capture on ${device} is not permitted`);
      case PCAP_ERROR_NO_SUCH_DEVICE:
        return new LibpcapError("ENODEV", `no interface ${device}: see "ip link"`);
      case PCAP_ERROR_IFACE_NOT_UP:
        return new LibpcapError("ENETDOWN", `the interface ${device} is down: ip link set ${device} up`);
      default:
        return new LibpcapError("EIO", `capture on ${device}: ${reason}`);
    }
  }
}

/** An address; koffi gives null or 0n for none. */
type Handle = bigint | null;

interface PcapFunctions {
  readonly openDead: (dlt: number, snapLength: number) => Handle;
  readonly create: (device: string, error: Uint8Array) => Handle;
  readonly setSnapLength: (handle: Handle, bytes: number) => number;
  readonly setPromiscuous: (handle: Handle, on: number) => number;
  readonly setImmediate: (handle: Handle, on: number) => number;
  readonly setTimeout: (handle: Handle, ms: number) => number;
  readonly setBufferSize: (handle: Handle, bytes: number) => number;
  readonly setPrecision: (handle: Handle, precision: number) => number;
  readonly activate: (handle: Handle) => number;
  readonly datalink: (handle: Handle) => number;
  readonly setDatalink: (handle: Handle, dlt: number) => number;
  readonly setNonBlocking: (handle: Handle, on: number, error: Uint8Array) => number;
  readonly selectableFd: (handle: Handle) => number;
  readonly compile: (handle: Handle, program: Uint8Array, text: string, optimise: number, netmask: number) => number;
  readonly setFilter: (handle: Handle, program: Uint8Array) => number;
  readonly freeCode: (program: Uint8Array) => void;
  readonly filter: (program: Uint8Array, bytes: Uint8Array, wireLength: number, length: number) => number;
  readonly next: (handle: Handle, header: BigUint64Array, data: BigUint64Array) => number;
  readonly stats: (handle: Handle, statistics: Uint32Array) => number;
  readonly errorOf: (handle: Handle) => string;
  readonly close: (handle: Handle) => void;
}

interface Functions {
  readonly pcap: PcapFunctions;
  readonly memcpy: (into: Uint8Array, from: bigint, length: number) => void;
}

/** struct pcap_pkthdr { struct timeval ts; bpf_u_int32 caplen, len; } with a timeval of two 64-bit words. */
const PACKET_HEADER = 24;
/** struct bpf_program { u_int bf_len; struct bpf_insn *bf_insns; } */
const PROGRAM_BYTES = 16;
const INSTRUCTION_BYTES = 8;
const NETMASK_UNKNOWN = 0xffff_ffff;
const PRECISION_NANO = 1;
const DLT_LINUX_SLL2 = 276;
/** libpcap's own number of raw IP on Linux; in files it is 101. */
const DLT_RAW = 12;
const LINKTYPE_RAW = 101;
// pcap/pcap.h
const PCAP_ERROR_NO_SUCH_DEVICE = -5;
const PCAP_ERROR_PERM_DENIED = -8;
const PCAP_ERROR_IFACE_NOT_UP = -9;

/** libpcap's ring has slots that are some bytes too short for the snapshot length, by the alignment of what stands before a frame. */
const SLACK = 64;

const errorText = new Uint8Array(256); // PCAP_ERRBUF_SIZE
/** The development package's name first, then Debian's, then that of the others. */
const NAMES = ["libpcap.so", "libpcap.so.0.8", "libpcap.so.1"];

let loaded: Functions | undefined;

/** Loads libpcap on the first call. */
function functions(): Functions {
  loaded ??= load();
  return loaded;
}

function load(): Functions {
  let koffi: typeof Koffi;
  try {
    koffi = createRequire(import.meta.url)("koffi") as typeof Koffi;
  } catch {
    throw new LibpcapError("ERR_LIBPCAP_MISSING", "libpcap is called through koffi, which cannot be loaded: npm install koffi");
  }
  // The size of a timeval tells whether the layouts above are those of this machine.
  const library = koffi.sizeof("long") === 8 ? open(koffi) : undefined;
  if (library === undefined) throw new LibpcapError("ERR_LIBPCAP_MISSING", "libpcap cannot be loaded: apt install libpcap0.8");
  const call = <T>(declaration: string): T => library.func(declaration) as unknown as T;
  const pcap: PcapFunctions = {
    openDead: call("void *pcap_open_dead(int, int)"),
    create: call("void *pcap_create(const char *, void *)"),
    setSnapLength: call("int pcap_set_snaplen(void *, int)"),
    setPromiscuous: call("int pcap_set_promisc(void *, int)"),
    setImmediate: call("int pcap_set_immediate_mode(void *, int)"),
    setTimeout: call("int pcap_set_timeout(void *, int)"),
    setBufferSize: call("int pcap_set_buffer_size(void *, int)"),
    setPrecision: call("int pcap_set_tstamp_precision(void *, int)"),
    activate: call("int pcap_activate(void *)"),
    datalink: call("int pcap_datalink(void *)"),
    setDatalink: call("int pcap_set_datalink(void *, int)"),
    setNonBlocking: call("int pcap_setnonblock(void *, int, void *)"),
    selectableFd: call("int pcap_get_selectable_fd(void *)"),
    compile: call("int pcap_compile(void *, void *, const char *, int, uint32_t)"),
    setFilter: call("int pcap_setfilter(void *, void *)"),
    freeCode: call("void pcap_freecode(void *)"),
    filter: call("uint32_t bpf_filter(void *, void *, uint32_t, uint32_t)"),
    next: call("int pcap_next_ex(void *, void *, void *)"),
    stats: call("int pcap_stats(void *, void *)"),
    errorOf: call("const char *pcap_geterr(void *)"),
    close: call("void pcap_close(void *)"),
  };
  return { pcap, memcpy: koffi.load(null).func("void *memcpy(void *, uintptr_t, size_t)") as Functions["memcpy"] };
}

function open(koffi: typeof Koffi): ReturnType<typeof Koffi.load> | undefined {
  for (const name of NAMES) {
    try {
      return koffi.load(name);
    } catch {
      // the next name
    }
  }
  return undefined;
}

/** The instructions of a compiled filter, in memory of ours. */
function compile(handle: Handle, expression: string): Uint8Array {
  const { pcap, memcpy } = functions();
  const program = new Uint8Array(PROGRAM_BYTES);
  if (pcap.compile(handle, program, expression, 1, NETMASK_UNKNOWN) !== 0) throw filterError(expression, pcap.errorOf(handle));
  const view = new DataView(program.buffer);
  const instructions = new Uint8Array(view.getUint32(0, HOST_LITTLE_ENDIAN) * INSTRUCTION_BYTES);
  memcpy(instructions, view.getBigUint64(8, HOST_LITTLE_ENDIAN), instructions.length);
  pcap.freeCode(program);
  return instructions;
}

function filterError(expression: string, reason: string): LibpcapError {
  return new LibpcapError("ERR_FILTER", `capture filter "${expression}": ${reason}; see man pcap-filter`);
}

function dltOf(linkType: number): number {
  return linkType === LINKTYPE_RAW || linkType === 14 ? DLT_RAW : linkType;
}

function linkTypeOf(dlt: number): number {
  return dlt === DLT_RAW ? LINKTYPE_RAW : dlt;
}

function isNull(handle: Handle): boolean {
  return handle === null || handle === 0n;
}

function textOf(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return Buffer.from(bytes.subarray(0, end < 0 ? bytes.length : end)).toString();
}
