/**
 * Whole IPv6 packets from a raw IPv6 socket. The kernel hands such a socket what stands behind the IPv6 header and its
 * extension headers (RFC 3542 §3); the source comes as the message's address, the other fields as ancillary data (recvmsg(2)). From
 * these the header is written again, so that the layers above see an IPv6 packet like any other. Extension headers are lost.
 */
import {
  addressOf,
  HOST_LITTLE_ENDIAN,
  IPPROTO_IPV6,
  IPV6_FLOWINFO,
  IPV6_HOPLIMIT,
  IPV6_PKTINFO,
  IPV6_RECVHOPLIMIT,
  IPV6_RECVPKTINFO,
  MSG_DONTWAIT,
  recvmsg,
  setsockopt,
} from "./libc.js";

const HEADER_BYTES = 40;

// struct msghdr { void *name; u32 namelen; struct iovec *iov; size_t iovlen; void *control; size_t controllen; int flags; },
// struct iovec { void *base; size_t len; }, sockaddr_in6 and the ancillary data, one behind the other in one piece of memory.
const NAME_LENGTH_AT = 8;
const CONTROL_LENGTH_AT = 40;
const IOVEC_AT = 56;
const NAME_AT = 72;
const NAME_BYTES = 28;
const CONTROL_AT = 104;
/** PKTINFO takes 40, the other two 24 each. */
const CONTROL_BYTES = 128;
/** struct cmsghdr { size_t len; int level; int type; }; each begins at a multiple of 8. */
const CONTROL_HEADER_BYTES = 16;
/** Which half of a size_t counts: no length here needs the other. */
const LOW = HOST_LITTLE_ENDIAN ? 0 : 1;

/** Reads the packets of one raw IPv6 socket. */
export class Ipv6Receiver {
  /** The packet that was read last, from the first byte on; used again for the next. */
  readonly bytes: Uint8Array;
  readonly #fd: number;
  readonly #nextHeader: number;
  readonly #message = new Uint8Array(CONTROL_AT + CONTROL_BYTES);
  readonly #words = new Uint32Array(this.#message.buffer);
  readonly #packetWords: Uint32Array;

  /**
   * `nextHeader` is the protocol that the socket was opened for, `mostBytes` the longest part behind the header that is kept. Sets
   * the socket's options. Throws LibcError.
   */
  constructor(fd: number, nextHeader: number, mostBytes = 65_535) {
    this.#fd = fd;
    this.#nextHeader = nextHeader;
    this.bytes = new Uint8Array(HEADER_BYTES + mostBytes);
    this.#packetWords = new Uint32Array(this.bytes.buffer, 0, HEADER_BYTES / 4);
    for (const option of [IPV6_RECVPKTINFO, IPV6_RECVHOPLIMIT, IPV6_FLOWINFO]) setsockopt(fd, IPPROTO_IPV6, option, 1);
    const view = new DataView(this.#message.buffer);
    const at = addressOf(this.#message);
    const put = (offset: number, value: bigint) => view.setBigUint64(offset, value, HOST_LITTLE_ENDIAN);
    put(0, at + BigInt(NAME_AT));
    put(16, at + BigInt(IOVEC_AT));
    put(24, 1n);
    put(32, at + BigInt(CONTROL_AT));
    put(IOVEC_AT, addressOf(this.bytes) + BigInt(HEADER_BYTES));
    put(IOVEC_AT + 8, BigInt(mostBytes));
  }

  /** Reads one packet into `bytes`; returns its length, 0 when there is none. */
  receive(): number {
    const words = this.#words;
    // The kernel writes over both what it has used.
    words[NAME_LENGTH_AT / 4] = NAME_BYTES;
    words[CONTROL_LENGTH_AT / 4 + LOW] = CONTROL_BYTES;
    const length = recvmsg(this.#fd, this.#message, MSG_DONTWAIT);
    if (length < 0) return 0;
    this.#writeHeader(length);
    return HEADER_BYTES + length;
  }

  /** Whole words go as they are: both sides hold them in network order. */
  #writeHeader(payloadLength: number): void {
    const packet = this.#packetWords;
    const { bytes } = this;
    packet[0] = 0;
    bytes[4] = payloadLength >>> 8;
    bytes[5] = payloadLength;
    bytes[6] = this.#nextHeader;
    bytes[7] = 0;
    this.#copyAddress(2, NAME_AT + 8);
    this.#readControl();
    bytes[0] = 0x60 | (bytes[0] ?? 0);
  }

  #readControl(): void {
    const words = this.#words;
    const end = CONTROL_AT + (words[CONTROL_LENGTH_AT / 4 + LOW] ?? 0);
    let at = CONTROL_AT;
    while (at + CONTROL_HEADER_BYTES <= end) {
      const length = words[at / 4 + LOW] ?? 0;
      if (length < CONTROL_HEADER_BYTES) return;
      const data = at + CONTROL_HEADER_BYTES;
      if (words[at / 4 + 2] === IPPROTO_IPV6) {
        const type = words[at / 4 + 3];
        // struct in6_pktinfo begins with the destination; a flowinfo has the version's four bits zero.
        if (type === IPV6_PKTINFO) this.#copyAddress(6, data);
        else if (type === IPV6_HOPLIMIT) this.bytes[7] = words[data / 4] ?? 0;
        else if (type === IPV6_FLOWINFO) this.#packetWords[0] = words[data / 4] ?? 0;
      }
      at += (length + 7) & ~7;
    }
  }

  #copyAddress(word: number, from: number): void {
    for (let i = 0; i < 4; i++) this.#packetWords[word + i] = this.#words[from / 4 + i] ?? 0;
  }
}
