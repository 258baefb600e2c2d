import { executionAsyncId } from "node:async_hooks";
import { constants } from "node:os";
import { describe, expect, it } from "vitest";
import {
  AF_INET,
  bind,
  close,
  connect,
  errnoName,
  errnoNumber,
  getsockname,
  getsockoptInt,
  ifNameToIndex,
  ioctl,
  LibcError,
  listen,
  MSG_DONTWAIT,
  POLLIN,
  POLLOUT,
  poll,
  recv,
  SO_REUSEADDR,
  SOCK_DGRAM,
  SOCK_STREAM,
  SOL_SOCKET,
  sendto,
  setsockopt,
  socket,
  watchReadable,
} from "../../src/kernel/libc.js";
import { sockaddrOf } from "../../src/kernel/sockaddr.js";

/** A UDP socket on a loopback port that the kernel chose. */
function udpSocket(): { fd: number; port: number } {
  const fd = socket(AF_INET, SOCK_DGRAM, 0);
  bind(fd, "127.0.0.1", 0);
  return { fd, port: getsockname(fd).port };
}

describe("libc", () => {
  it("sends, waits and receives", () => {
    const { fd, port } = udpSocket();
    expect(poll(fd, POLLIN, 0)).toBe(0);
    expect(poll(fd, POLLIN | POLLOUT, 0)).toBe(POLLOUT);
    const into = new Uint8Array(8);
    expect(recv(fd, into, MSG_DONTWAIT)).toBe(-constants.errno.EAGAIN);
    expect(sendto(fd, new Uint8Array([1, 2, 3, 4]), 3, 0, sockaddrOf("127.0.0.1", port))).toBe(3);
    expect(poll(fd, POLLIN, 1000)).toBe(POLLIN);
    expect(recv(fd, into, MSG_DONTWAIT)).toBe(3);
    expect([...into]).toEqual([1, 2, 3, 0, 0, 0, 0, 0]);
    connect(fd, "127.0.0.1", port);
    expect(sendto(fd, new Uint8Array(5), 5, 0, null)).toBe(5);
    close(fd);
  });

  it("sets and reads options", () => {
    const fd = socket(AF_INET, SOCK_STREAM, 0);
    expect(getsockoptInt(fd, SOL_SOCKET, SO_REUSEADDR)).toBe(0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    expect(getsockoptInt(fd, SOL_SOCKET, SO_REUSEADDR)).toBe(1);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, new Uint8Array(4));
    expect(getsockoptInt(fd, SOL_SOCKET, SO_REUSEADDR)).toBe(0);
    close(fd);
  });

  it("throws LibcError with the errno's name, the call and one line", () => {
    const { fd, port } = udpSocket();
    const other = socket(AF_INET, SOCK_DGRAM, 0);
    const failing: [() => void, string, string][] = [
      [() => bind(other, "127.0.0.1", port), "bind", "EADDRINUSE"],
      [() => bind(other, "192.0.2.9", 0), "bind", "EADDRNOTAVAIL"],
      [() => listen(fd, 1), "listen", "ENOTSUP"],
      [() => setsockopt(fd, SOL_SOCKET, 9999, 1), "setsockopt", "ENOPROTOOPT"],
      [() => ioctl(fd, 0x5401, new Uint8Array(64)), "ioctl", "ENOTTY"],
      [() => socket(AF_INET, 77, 0), "socket", "EINVAL"],
      [() => close(-1), "close", "EBADF"],
    ];
    for (const [action, syscall, code] of failing) {
      try {
        action();
        expect.unreachable(`${syscall} succeeded`);
      } catch (error) {
        expect(error).toBeInstanceOf(LibcError);
        expect(error).toMatchObject({ name: "LibcError", syscall, code, errno: errnoNumber(code) });
        expect(String(error)).toContain(syscall);
        expect(String(error)).not.toContain("\n");
      }
    }
    close(other);
    close(fd);
  });

  it("names errnos both ways", () => {
    expect(errnoName(98)).toBe("EADDRINUSE");
    expect(errnoNumber("EADDRINUSE")).toBe(98);
    expect(errnoName(4000)).toBe("E4000");
    expect(errnoNumber("ENOTHING")).toBe(0);
  });

  it("knows the index of an interface", () => {
    expect(ifNameToIndex("lo")).toBeGreaterThan(0);
    expect(ifNameToIndex("nowhere0")).toBe(0);
  });
});

describe("watchReadable", () => {
  it("calls back while there is something to read, and no more after close", async () => {
    const { fd, port } = udpSocket();
    const into = new Uint8Array(1);
    let calls = 0;
    await new Promise<void>((resolve) => {
      const watch = watchReadable(fd, () => {
        calls++;
        expect(recv(fd, into, MSG_DONTWAIT)).toBe(1); // one a call: level-triggered, so the next call follows by itself
        if (calls < 3) return;
        watch.close();
        watch.close();
        sendto(fd, into, 1, 0, sockaddrOf("127.0.0.1", port));
        setTimeout(resolve, 20);
      });
      for (let i = 0; i < 3; i++) sendto(fd, into, 1, 0, sockaddrOf("127.0.0.1", port));
    });
    expect(calls).toBe(3);
    expect(poll(fd, POLLIN, 0)).toBe(POLLIN);
    close(fd);
  });

  it("calls back within a callback scope of Node's, as its own events are", async () => {
    const { fd, port } = udpSocket();
    const scope = await new Promise<number>((resolve) => {
      const watch = watchReadable(fd, () => {
        watch.close();
        resolve(executionAsyncId());
      });
      sendto(fd, new Uint8Array(1), 1, 0, sockaddrOf("127.0.0.1", port));
    });
    expect(scope).not.toBe(0);
    close(fd);
  });
});
