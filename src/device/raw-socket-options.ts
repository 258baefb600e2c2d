/** What the raw sockets of both families are set to. */
import {
  LibcError,
  SO_BINDTODEVICE,
  SO_MARK,
  SO_RCVBUF,
  SO_RCVBUFFORCE,
  SO_SNDBUF,
  SO_SNDBUFFORCE,
  SOL_SOCKET,
  setsockopt,
} from "../kernel/libc.js";

export interface RawSocketOptions {
  /** The mark of our packets, which the port guard's rules let pass (PortGuard.mark). */
  readonly mark?: number | undefined;
  /** Sends and receives on this interface only. */
  readonly bindToDevice?: string | undefined;
}

/** 32 MiB held bursts of 200,000 packets without loss; the kernel's default of 208 KiB holds three of loopback's size. */
const RECEIVE_BUFFER_BYTES = 32 << 20;
const SEND_BUFFER_BYTES = 4 << 20;

/** Mark, interface and buffers. Throws LibcError (ENODEV for an unknown interface). */
export function setRawSocketOptions(fd: number, options: RawSocketOptions): void {
  const { mark, bindToDevice } = options;
  if (mark !== undefined) setsockopt(fd, SOL_SOCKET, SO_MARK, mark);
  if (bindToDevice !== undefined) {
    setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, new TextEncoder().encode(`${bindToDevice}\0`));
  }
  setBufferSize(fd, SO_RCVBUFFORCE, SO_RCVBUF, RECEIVE_BUFFER_BYTES);
  setBufferSize(fd, SO_SNDBUFFORCE, SO_SNDBUF, SEND_BUFFER_BYTES);
}

/** The size as asked with CAP_NET_ADMIN, else as much as the host's limit allows. */
function setBufferSize(fd: number, forceOption: number, option: number, bytes: number): void {
  try {
    setsockopt(fd, SOL_SOCKET, forceOption, bytes);
  } catch (error) {
    if (!(error instanceof LibcError)) throw error;
    setsockopt(fd, SOL_SOCKET, option, bytes);
  }
}
