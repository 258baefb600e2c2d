/**
 * ICMP errors about our TCP segments, for the raw link: the kernel hands a TCP raw socket TCP alone. Errors about other
 * programs' packets stay out: by type in the kernel, by the quoted port here.
 */
import {
  AF_INET,
  close,
  HOST_LITTLE_ENDIAN,
  IPPROTO_TCP,
  MSG_DONTWAIT,
  type ReadableWatch,
  recv,
  SOCK_NONBLOCK,
  SOCK_RAW,
  setsockopt,
  socket,
  watchReadable,
} from "../kernel/libc.js";
import type { PacketHandler } from "../wire/packet-device.js";

export interface IcmpSocket {
  /** Delivers whole IP packets that carry an ICMP error about a segment from one of the ports. */
  start(onPacket: PacketHandler, onBatchEnd: () => void): void;
  setPorts(ports: ReadonlySet<number>): void;
  setRef(keepAlive: boolean): void;
  close(): void;
}

const IPPROTO_ICMP = 1;
// include/uapi/linux/icmp.h: SOL_RAW, ICMP_FILTER; a set bit keeps the type out.
const SOL_RAW = 255;
const ICMP_FILTER = 1;
/** Destination unreachable, source quench, time exceeded, parameter problem (RFC 792). */
const ERROR_TYPES = (1 << 3) | (1 << 4) | (1 << 11) | (1 << 12);
/** An error quotes at the most 576 bytes in all (RFC 1812 §4.3.2.3); more is cut. */
const BUFFER_BYTES = 2048;
/** Packets handled before the event loop gets its turn: an ICMP flood must not hold up TCP. */
const BATCH_PACKETS = 64;

/** Opens the socket. Throws LibcError (EPERM without CAP_NET_RAW). */
export function openIcmpSocket(): IcmpSocket {
  const fd = socket(AF_INET, SOCK_RAW | SOCK_NONBLOCK, IPPROTO_ICMP);
  const filter = new Uint8Array(4);
  new DataView(filter.buffer).setUint32(0, ~ERROR_TYPES >>> 0, HOST_LITTLE_ENDIAN);
  setsockopt(fd, SOL_RAW, ICMP_FILTER, filter);
  const buffer = new Uint8Array(BUFFER_BYTES);
  let ports: ReadonlySet<number> = new Set();
  let watching: ReadableWatch | undefined;
  let keepAlive = true;
  let isOpen = true;
  return {
    start(onPacket, onBatchEnd) {
      if (!isOpen || watching !== undefined) return;
      watching = watchReadable(fd, () => {
        let delivered = 0;
        for (let count = 0; count < BATCH_PACKETS && isOpen; count++) {
          const length = recv(fd, buffer, MSG_DONTWAIT);
          if (length <= 0) break;
          if (!ports.has(quotedSourcePort(buffer, length))) continue;
          delivered++;
          onPacket(buffer, 0, length);
        }
        if (delivered > 0 && isOpen) onBatchEnd();
      });
      watching.setRef(keepAlive);
    },
    setPorts(wanted) {
      ports = wanted;
    },
    setRef(keep) {
      keepAlive = keep;
      watching?.setRef(keep);
    },
    close() {
      if (!isOpen) return;
      isOpen = false;
      watching?.close();
      close(fd);
    },
  };
}

/** The source port of the TCP segment that the error quotes, -1 when it quotes none. What is wrong in it the stack finds. */
function quotedSourcePort(bytes: Uint8Array, length: number): number {
  const quote = headerBytes(bytes, 0) + 8;
  if (quote + 20 > length || bytes[quote + 9] !== IPPROTO_TCP) return -1;
  const tcp = quote + headerBytes(bytes, quote);
  if (tcp + 2 > length) return -1;
  return ((bytes[tcp] ?? 0) << 8) | (bytes[tcp + 1] ?? 0);
}

function headerBytes(bytes: Uint8Array, at: number): number {
  return ((bytes[at] ?? 0) & 15) << 2;
}
