/**
 * Packets of an interface as they pass, with the kernel's time stamps and counts, through libpcap itself; where koffi cannot be
 * loaded, through the add-on `cap`, which passes on neither.
 */

import { watchReadable } from "../kernel/libc.js";
import { BATCH_MS, isLibpcapAvailable, LibpcapCapture, type LiveCounts } from "../kernel/libpcap.js";
import { openCapture } from "./capture.js";

/** One packet, with its link header, in memory of its own. */
export interface LivePacket {
  /** Nanoseconds since 1970. */
  readonly timeNs: bigint;
  readonly data: Uint8Array;
  /** Length on the wire; more than `data.length` when the packet was cut. */
  readonly originalLength: number;
}

export interface LiveCaptureOptions {
  /** The interface, or "any" for all. */
  readonly device: string;
  /** A filter in libpcap's language (pcap-filter(7)); "" takes everything. */
  readonly filter: string;
  /** Most bytes kept of a packet. */
  readonly snapLength: number;
  readonly promiscuous: boolean;
  /** Packets are to be seen at once, not in batches of up to a tenth of a second, which lose less. */
  readonly immediate: boolean;
  /** The wall clock, nanoseconds since 1970: for the stamps where the kernel's cannot be had. */
  readonly now: () => bigint;
  /** Called with what has come at once: a packet or many. */
  readonly onPackets: (packets: readonly LivePacket[]) => void;
  /** The capture is over: the interface went down, or libpcap failed. */
  readonly onFailure: (error: Error) => void;
}

/** A running capture. It keeps the process alive until `close`. */
export interface LiveCapture {
  /** The link type as files have it. */
  readonly linkType: number;
  /** Whether stamps are the kernel's, lengths those on the wire, and counts known. */
  readonly isExact: boolean;
  /** Undefined where they cannot be had. */
  counts(): LiveCounts | undefined;
  /** How long after `drain` is of use: what the kernel still collects is then there, ms. */
  readonly settleMs: number;
  /** Hands on what has come but was not yet looked at. */
  drain(): void;
  /** Later calls do nothing. */
  close(): void;
}

/** Starts a capture. Throws LibpcapError or CaptureError: `EPERM`, `ENODEV`, `ENETDOWN`, `ERR_FILTER`, `ERR_CAP_MISSING`. */
export function openLiveCapture(options: LiveCaptureOptions): LiveCapture {
  return isLibpcapAvailable() ? openWithLibpcap(options) : openWithCap(options);
}

/** Of the kernel's ring: 32 MiB holds a quarter of a second of a full gigabit. */
const BUFFER_BYTES = 32 << 20;
/** Packets read before the event loop gets its turn. */
const MOST_AT_ONCE = 512;

function openWithLibpcap(options: LiveCaptureOptions): LiveCapture {
  const capture = new LibpcapCapture({ ...options, bufferBytes: BUFFER_BYTES });
  let isOpen = true;
  const close = (): void => {
    if (!isOpen) return;
    isOpen = false;
    watch.close();
    // libuv lets go of a descriptor at the end of the turn.
    setImmediate(() => capture.close());
  };
  const read = (most: number): void => {
    const packets: LivePacket[] = [];
    let failure: Error | undefined;
    try {
      while (packets.length < most) {
        const data = capture.next();
        if (data === undefined) break;
        packets.push({ timeNs: capture.timeNs, data, originalLength: capture.wireLength });
      }
    } catch (error) {
      failure = error instanceof Error ? error : new Error(String(error));
    }
    if (packets.length > 0) options.onPackets(packets);
    if (failure === undefined || !isOpen) return;
    close();
    options.onFailure(failure);
  };
  const onReadable = (): void => {
    if (isOpen) read(MOST_AT_ONCE);
  };
  const watch = watchReadable(capture.fd, onReadable, onReadable);
  return {
    linkType: capture.linkType,
    isExact: true,
    counts: () => (isOpen ? capture.counts() : undefined),
    settleMs: options.immediate ? 0 : BATCH_MS + 50,
    drain: () => {
      if (isOpen) read(Number.POSITIVE_INFINITY);
    },
    close,
  };
}

function openWithCap(options: LiveCaptureOptions): LiveCapture {
  const { device, filter, snapLength, onFailure } = options;
  const capture = openCapture({
    device,
    filter,
    onFailure,
    onFrame: (bytes, offset, length) => {
      const data = bytes.slice(offset, offset + Math.min(length, snapLength));
      options.onPackets([{ timeNs: options.now(), data, originalLength: length }]);
    },
  });
  const { linkType } = capture;
  return { linkType, isExact: false, counts: () => undefined, settleMs: 0, drain: () => undefined, close: () => capture.close() };
}
