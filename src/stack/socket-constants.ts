/** Numbers of the socket calls, as Linux has them. */

/** Flags of `send` and `recv`. MSG_DONTWAIT, MSG_WAITALL and MSG_NOSIGNAL change nothing: no call here waits or signals. */
export const MSG_OOB = 0x1;
export const MSG_EOR = 0x80;
export const MSG_PEEK = 0x2;
export const MSG_DONTWAIT = 0x40;
export const MSG_WAITALL = 0x100;
export const MSG_NOSIGNAL = 0x4000;
/** Of `recvmsg`: takes from the error queue. */
export const MSG_ERRQUEUE = 0x2000;
export const MSG_MORE = 0x8000;
/** Tells when the data is no longer needed, where SO_ZEROCOPY is on. */
export const MSG_ZEROCOPY = 0x400_0000;
/** Of `sendto`: connects and sends at once (RFC 7413). */
export const MSG_FASTOPEN = 0x2000_0000;

/** Bits of `poll`. */
export const POLLIN = 0x1;
export const POLLPRI = 0x2;
export const POLLOUT = 0x4;
export const POLLERR = 0x8;
export const POLLHUP = 0x10;
export const POLLRDHUP = 0x2000;

/** "POLLIN|POLLOUT" for a mask; "0" for none. */
export function formatPoll(mask: number): string {
  const names = POLL_NAMES.filter(([bit]) => (mask & bit) !== 0).map(([, name]) => name);
  return names.length === 0 ? "0" : names.join("|");
}

const POLL_NAMES: readonly (readonly [number, string])[] = [
  [POLLIN, "POLLIN"],
  [POLLPRI, "POLLPRI"],
  [POLLOUT, "POLLOUT"],
  [POLLERR, "POLLERR"],
  [POLLHUP, "POLLHUP"],
  [POLLRDHUP, "POLLRDHUP"],
];

/** net.core.somaxconn of Linux: no accept queue is longer. */
export const SOMAXCONN = 4096;
