/**
 * Captures frames with libpcap, through the add-on `cap`: the side of an interface that a program at work does not see.
 *
 * Five habits of cap 0.2 are answered here. It aborts the process when its socket fails, as when the interface goes down. It keeps no reference to the buffer that it writes into, so that a collection
 * would free it. Its handle stays in the event loop's list after close, so that collecting the object would corrupt the loop.
 * Its descriptors are inherited by programs that are started. It finds libpcap's immediate mode only where the name libpcap.so exists, which comes with the development package.
 */

import { readdirSync, readlinkSync } from "node:fs";
import { createRequire } from "node:module";
import { RawTcpError } from "../base/errors.js";
import { attachFilter } from "../kernel/bpf.js";
import {
  AF_INET,
  AF_PACKET,
  bind,
  close,
  duplicate,
  getsockname,
  getsockoptInt,
  ifNameToIndex,
  isLibcAvailable,
  SO_DOMAIN,
  SOCK_DGRAM,
  SOL_SOCKET,
  sendto,
  setCloseOnExec,
  socket,
  watchReadable,
} from "../kernel/libc.js";
import { sockaddrOf } from "../kernel/sockaddr.js";

/** LINKTYPE_ values of pcap and pcapng: 1 Ethernet, 101 raw IP, 113 Linux cooked (the device "any"). */
export type LinkTypeNumber = number;
export const LINKTYPE_ETHERNET = 1;
export const LINKTYPE_RAW = 101;
export const LINKTYPE_LINUX_SLL = 113;

/** Receives one frame, `bytes[offset, offset + length)`, lent for the call only: copy before keeping. */
export type FrameHandler = (bytes: Uint8Array, offset: number, length: number, linkType: LinkTypeNumber) => void;

export interface CaptureOptions {
  /** The interface, or "any" for all. */
  readonly device: string;
  /** A filter in libpcap's language (pcap-filter(7)); "" takes everything. */
  readonly filter: string;
  readonly onFrame: FrameHandler;
  /** The interface went down or away: the capture is over, as after `close`. Silent when left out. */
  readonly onFailure?: (error: CaptureError) => void;
  /** Size of the ring, 32 MiB by default. cap's ring has a slot of 64 KiB a frame: that is 500 frames. */
  readonly bufferBytes?: number;
}

/** A running capture. It keeps the process alive until `close`: cap has no way around that. */
export interface Capture {
  readonly linkType: LinkTypeNumber;
  /** Replaces the filter with a classic BPF program for frames; false where that cannot be done (see `kernel/bpf`). */
  setProgram(program: Uint8Array): boolean;
  /** Sends `frame[0, length)` as it is. Returns "" or libpcap's reason. */
  inject(frame: Uint8Array, length: number): string;
  /** Later calls do nothing. */
  close(): void;
}

/** The capture cannot be had. `code`: ERR_CAP_MISSING, EPERM, ENODEV, ERR_FILTER, ETIMEDOUT; the message says what mends it. */
export class CaptureError extends RawTcpError {
  constructor(code: string, message: string) {
    super(code, message);
    this.name = "CaptureError";
  }
}

/** Whether the add-on cap can be loaded. Never throws. */
export function isCaptureAvailable(): boolean {
  try {
    loadCap();
    return true;
  } catch {
    return false;
  }
}

/** Starts a capture. Throws CaptureError. */
export function openCapture(options: CaptureOptions): Capture {
  const { Cap } = loadCap();
  // libpcap would find that out too, but cap first prints a warning of its own to stderr.
  if (options.device !== "any" && isLibcAvailable() && ifNameToIndex(options.device) === 0) throw noSuchDevice(options.device);
  const buffer = Buffer.alloc(FRAME_BYTES);
  // Handlers copy with `slice`, which on a Buffer would share the memory that the next frame overwrites.
  const bytes = new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.length);
  const cap = new Cap();
  neverCollected.push({ cap, buffer });
  const before = openDescriptors();
  let linkName: string;
  try {
    linkName = cap.open(options.device, options.filter, options.bufferBytes ?? RING_BYTES, buffer);
  } catch (error) {
    throw captureError(options, error);
  }
  const fd = adoptDescriptors(before);
  const linkType = linkTypeOf(linkName);
  let isOpen = true;
  const finish = () => {
    isOpen = false;
    failureWatch?.close();
    cap.close();
  };
  const failureWatch =
    fd < 0
      ? undefined
      : watchFailure(fd, () => {
          if (!isOpen) return;
          finish();
          options.onFailure?.(new CaptureError("ENETDOWN", `the interface ${options.device} went down: its capture is over`));
        });
  cap.on("packet", (length) => {
    if (isOpen) options.onFrame(bytes, 0, length, linkType);
  });
  return {
    linkType,
    setProgram(program) {
      if (fd < 0 || !isOpen) return false;
      attachFilter(fd, program);
      return true;
    },
    inject(frame, length) {
      if (!isOpen) return "closed";
      try {
        cap.send(frame, length);
        return "";
      } catch (error) {
        return error instanceof Error ? error.message : String(error);
      }
    },
    close() {
      if (isOpen) finish();
    },
  };
}

/**
 * Measures how long after its sending a datagram on loopback is shown by a capture, in microseconds. Tens of microseconds mean
 * immediate mode; up to a second means that libpcap collects frames first (install libpcap-dev). Rejects with CaptureError.
 */
export function captureLatency(): Promise<number> {
  return new Promise((resolve, reject) => {
    const receiver = socket(AF_INET, SOCK_DGRAM, 0);
    bind(receiver, "127.0.0.1", 0);
    const { port } = getsockname(receiver);
    let startedAt = 0;
    let capture: Capture | undefined;
    const finish = (settle: () => void) => {
      clearTimeout(timer);
      capture?.close();
      close(receiver);
      settle();
    };
    const timer = setTimeout(() => {
      finish(() => reject(new CaptureError("ETIMEDOUT", `no frame was captured on lo within ${LATENCY_LIMIT_MS} ms`)));
    }, LATENCY_LIMIT_MS);
    try {
      const onFrame = () => finish(() => resolve(Math.round((performance.now() - startedAt) * 1000)));
      capture = openCapture({ device: "lo", filter: `udp and dst port ${port}`, onFrame, bufferBytes: 1 << 20 });
    } catch (error) {
      finish(() => reject(error));
      return;
    }
    // Sent from the next turn of the event loop on, in which the capture is already being polled.
    setImmediate(() => {
      startedAt = performance.now();
      sendto(receiver, new Uint8Array(1), 1, 0, sockaddrOf("127.0.0.1", port));
    });
  });
}

/** libpcap's snapshot length in cap is 65,535 bytes, link header included. */
const FRAME_BYTES = 65536;
const RING_BYTES = 32 << 20;
/** libpcap's read timeout in cap is one second. */
const LATENCY_LIMIT_MS = 2000;

interface CapObject {
  open(device: string, filter: string, bufferSize: number, buffer: Uint8Array): string;
  on(event: "packet", listener: (length: number, truncated: boolean) => void): void;
  send(frame: Uint8Array, length: number): void;
  close(): boolean;
}
interface CapAddon {
  Cap: new () => CapObject;
}

/** See the head of this file: neither the buffer nor the object may be collected, closed or not. */
const neverCollected: { cap: CapObject; buffer: Uint8Array }[] = [];

let loadedCap: CapAddon | undefined;

function loadCap(): CapAddon {
  if (loadedCap === undefined) {
    try {
      loadedCap = createRequire(import.meta.url)("cap") as CapAddon;
    } catch (error) {
      const reason = error instanceof Error ? (error.message.split("\n")[0] ?? "") : String(error);
      throw new CaptureError("ERR_CAP_MISSING", `cap cannot be loaded (${reason}): apt install libpcap-dev && npm install cap`);
    }
  }
  return loadedCap;
}

function captureError(options: CaptureOptions, error: unknown): CaptureError {
  const text = error instanceof Error ? error.message : String(error);
  const { device, filter } = options;
  if (/permi/i.test(text)) {
    return new CaptureError(
      "EPERM",
      `capture on ${device} is not permitted: run with sudo, or give node cap_net_raw with setcap`,
    );
  }
  if (/no such device/i.test(text)) return noSuchDevice(device);
  if (/syntax error|parse|filter|unknown|expression/i.test(text)) {
    return new CaptureError("ERR_FILTER", `capture filter "${filter}": ${text}`);
  }
  return new CaptureError("EIO", `capture on ${device}: ${text}`);
}

function noSuchDevice(device: string): CaptureError {
  return new CaptureError("ENODEV", `no interface ${device}: see "ip link"`);
}

function linkTypeOf(name: string): LinkTypeNumber {
  if (name === "ETHERNET") return LINKTYPE_ETHERNET;
  if (name === "RAW") return LINKTYPE_RAW;
  if (name === "LINKTYPE_LINUX_SLL") return LINKTYPE_LINUX_SLL;
  if (name === "NULL") return 0;
  return Number(/\d+$/.exec(name)?.[0] ?? -1); // "Unknown linktype 276"
}

/**
 * Calls back when the socket fails, before cap learns of it: cap answers an error with abort(3), which ends the process. epoll
 * reports what was added last first, so a second descriptor of the same socket, watched for the same events, comes before cap's
 * own; once cap is closed in that call, libuv drops what it still had to report to it.
 */
function watchFailure(fd: number, onFailure: () => void): { close(): void } {
  const copy = duplicate(fd);
  const watch = watchReadable(copy, () => {}, onFailure);
  watch.setRef(false);
  let isOpen = true;
  return {
    close() {
      if (!isOpen) return;
      isOpen = false;
      watch.close();
      // Not within its own event: libuv lets go of a descriptor at the end of the turn.
      setImmediate(() => close(copy));
    },
  };
}

/** The descriptors of this process; none where they cannot be used anyway. */
function openDescriptors(): Set<number> {
  const found = new Set<number>();
  if (!isLibcAvailable()) return found;
  for (const entry of readdirSync("/proc/self/fd")) {
    try {
      readlinkSync(`/proc/self/fd/${entry}`);
      found.add(Number(entry));
    } catch {
      // the directory's own descriptor, closed since
    }
  }
  return found;
}

/**
 * cap does not tell which descriptors it has opened, but opens them within one synchronous call: they are those that were not
 * there before. It leaves them to every program that this process starts; here they are kept from those. Returns the packet
 * socket among them, -1 when it is not clear which.
 */
function adoptDescriptors(before: ReadonlySet<number>): number {
  const packetSockets: number[] = [];
  for (const fd of openDescriptors()) {
    if (before.has(fd)) continue;
    setCloseOnExec(fd);
    try {
      if (getsockoptInt(fd, SOL_SOCKET, SO_DOMAIN) === AF_PACKET) packetSockets.push(fd);
    } catch {
      // no socket: what wakes libpcap up
    }
  }
  return packetSockets.length === 1 ? (packetSockets[0] ?? -1) : -1;
}
