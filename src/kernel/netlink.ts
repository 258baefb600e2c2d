/**
 * Netlink, asked and answered synchronously (netlink(7)): how Linux tells of links, addresses, routes, neighbours and sockets.
 * The kernel answers within the call that sends the request, so the answer is there at once and nothing blocks.
 */

import {
  AF_NETLINK,
  close,
  HOST_LITTLE_ENDIAN,
  LibcError,
  MSG_DONTWAIT,
  POLLIN,
  poll,
  recv,
  SOCK_RAW,
  sendto,
  socket,
} from "./libc.js";

/** Netlink families: include/uapi/linux/netlink.h. */
export const NETLINK_ROUTE = 0;
export const NETLINK_SOCK_DIAG = 4;
export const NLM_F_REQUEST = 0x1;
/** Ask for the whole table (NLM_F_ROOT | NLM_F_MATCH). */
export const NLM_F_DUMP = 0x300;
/** Bytes of struct nlmsghdr. */
export const NLMSGHDR_BYTES = 16;

/** One message of an answer; `body` is lent until the next request. */
export interface NetlinkMessage {
  readonly type: number;
  readonly body: DataView;
}

/** A netlink socket in the network namespace in which it was opened. */
export interface NetlinkSocket {
  /**
   * Sends one request and calls `onMessage` for every message of the answer. Throws LibcError with the errno that the kernel
   * answers (ENOENT, ENETUNREACH, EPERM).
   */
  request(type: number, flags: number, body: Uint8Array, onMessage: (message: NetlinkMessage) => void): void;
  /** The same, but returns the errno that the kernel answers (0: none): an exception would cost more than the question. */
  ask(type: number, flags: number, body: Uint8Array, onMessage: (message: NetlinkMessage) => void): number;
  close(): void;
}

/** Opens a netlink socket for one family. Throws LibcError (EPROTONOSUPPORT where the kernel lacks the family). */
export function openNetlink(family: number): NetlinkSocket {
  const fd = socket(AF_NETLINK, SOCK_RAW, family);
  // A dump comes in pieces of up to 32 KiB (NLMSG_GOODSIZE); an exact answer is far smaller.
  const inbox = new Uint8Array(32768);
  const inboxView = new DataView(inbox.buffer);
  let outbox = new Uint8Array(128);
  let sequence = 0;
  let open = true;

  function send(type: number, flags: number, body: Uint8Array): void {
    const length = NLMSGHDR_BYTES + body.length;
    if (outbox.length < length) outbox = new Uint8Array(length);
    const header = new DataView(outbox.buffer);
    header.setUint32(0, length, HOST_LITTLE_ENDIAN);
    header.setUint16(4, type, HOST_LITTLE_ENDIAN);
    header.setUint16(6, flags | NLM_F_REQUEST, HOST_LITTLE_ENDIAN);
    sequence = (sequence + 1) >>> 0;
    header.setUint32(8, sequence, HOST_LITTLE_ENDIAN);
    header.setUint32(12, 0, HOST_LITTLE_ENDIAN);
    outbox.set(body, NLMSGHDR_BYTES);
    const sent = sendto(fd, outbox, length, 0, null);
    if (sent < 0) throw new LibcError("sendto", -sent, "(netlink)");
  }

  /** Reads one datagram and hands on its messages. Returns the errno answered (0: none), or MORE when the answer goes on. */
  function readDatagram(isDump: boolean, onMessage: (message: NetlinkMessage) => void): number {
    let received = recv(fd, inbox, MSG_DONTWAIT);
    if (received < 0) {
      // The answer should be queued already. The bound is for a kernel that never answers: an error, not a frozen program.
      if (poll(fd, POLLIN, ANSWER_TIMEOUT_MS) === 0) throw new LibcError("recv", ETIMEDOUT, "(netlink)");
      received = recv(fd, inbox, MSG_DONTWAIT);
      if (received < 0) throw new LibcError("recv", -received, "(netlink)");
    }
    let offset = 0;
    let complete = !isDump;
    while (offset + NLMSGHDR_BYTES <= received) {
      const length = inboxView.getUint32(offset, HOST_LITTLE_ENDIAN);
      const type = inboxView.getUint16(offset + 4, HOST_LITTLE_ENDIAN);
      if (length < NLMSGHDR_BYTES || offset + length > received) break;
      const isOurs = inboxView.getUint32(offset + 8, HOST_LITTLE_ENDIAN) === sequence;
      const body = new DataView(inbox.buffer, offset + NLMSGHDR_BYTES, length - NLMSGHDR_BYTES);
      offset += (length + 3) & ~3;
      if (!isOurs) {
        complete = false; // what is left of an earlier answer
        continue;
      }
      if (type === NLMSG_ERROR) {
        return -body.getInt32(0, HOST_LITTLE_ENDIAN);
      }
      if (type === NLMSG_DONE) return 0;
      onMessage({ type, body });
    }
    return complete ? 0 : MORE;
  }

  function ask(type: number, flags: number, body: Uint8Array, onMessage: (message: NetlinkMessage) => void): number {
    send(type, flags, body);
    const isDump = (flags & NLM_F_DUMP) === NLM_F_DUMP;
    let result = MORE;
    while (result === MORE) result = readDatagram(isDump, onMessage);
    return result;
  }

  return {
    ask,
    request(type, flags, body, onMessage) {
      const errno = ask(type, flags, body, onMessage);
      if (errno !== 0) throw new LibcError("netlink", errno);
    },
    close() {
      if (open) close(fd);
      open = false;
    },
  };
}

/** Asks one question and closes the socket. Errors as in NetlinkSocket.request. */
export function requestNetlink(
  family: number,
  type: number,
  flags: number,
  body: Uint8Array,
  onMessage: (message: NetlinkMessage) => void,
): void {
  const netlink = openNetlink(family);
  try {
    netlink.request(type, flags, body, onMessage);
  } finally {
    netlink.close();
  }
}

/** Calls `onAttribute` with the type and the payload of every attribute in `body` from `offset` on (struct rtattr). */
export function forEachAttribute(body: DataView, offset: number, onAttribute: (type: number, payload: DataView) => void): void {
  let at = offset;
  while (at + 4 <= body.byteLength) {
    const length = body.getUint16(at, HOST_LITTLE_ENDIAN);
    if (length < 4 || at + length > body.byteLength) return;
    const type = body.getUint16(at + 2, HOST_LITTLE_ENDIAN) & NLA_TYPE_MASK;
    onAttribute(type, new DataView(body.buffer, body.byteOffset + at + 4, length - 4));
    at += (length + 3) & ~3;
  }
}

/** The bytes of an attribute's payload, copied. */
export function payloadBytes(payload: DataView): Uint8Array {
  return new Uint8Array(payload.buffer, payload.byteOffset, payload.byteLength).slice();
}

/** The text of an attribute's payload up to its zero byte. */
export function payloadText(payload: DataView): string {
  const bytes = payloadBytes(payload);
  const end = bytes.indexOf(0);
  return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
}

/** A fixed header followed by attributes, as a request body. An attribute's value is an unsigned 32-bit number or bytes. */
export function bodyWithAttributes(
  header: Uint8Array,
  attributes: readonly (readonly [number, Uint8Array | number])[],
): Uint8Array {
  const parts = attributes.map(([type, value]) => [type, typeof value === "number" ? uint32(value) : value] as const);
  const length = parts.reduce((sum, [, bytes]) => sum + 4 + ((bytes.length + 3) & ~3), header.length);
  const body = new Uint8Array(length);
  const view = new DataView(body.buffer);
  body.set(header);
  let at = header.length;
  for (const [type, bytes] of parts) {
    view.setUint16(at, 4 + bytes.length, HOST_LITTLE_ENDIAN);
    view.setUint16(at + 2, type, HOST_LITTLE_ENDIAN);
    body.set(bytes, at + 4);
    at += 4 + ((bytes.length + 3) & ~3);
  }
  return body;
}

/** No errno: the answer goes on in the next datagram. */
const MORE = -1;
const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
/** Without the flags NLA_F_NESTED and NLA_F_NET_BYTEORDER. */
const NLA_TYPE_MASK = 0x3fff;
const ANSWER_TIMEOUT_MS = 1000;
const ETIMEDOUT = 110;

function uint32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value, HOST_LITTLE_ENDIAN);
  return bytes;
}
