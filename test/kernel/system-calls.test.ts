/** System calls as scripts make them, and the structures that go with them. */
import { describe, expect, it } from "vitest";
import { errnoName } from "../../src/kernel/libc.js";
import { loadSystemCalls, pollfdsOf, readyEvents, timespecOf } from "../../src/kernel/system-calls.js";
import { tcpInfoFields } from "../../src/kernel/tcp-info.js";

const onLinux = process.platform === "linux";

describe.runIf(onLinux)("system calls", () => {
  it("give -errno where the kernel refuses, and never throw", () => {
    const calls = loadSystemCalls();
    expect(errnoName(-calls.close(-1))).toBe("EBADF");
    expect(errnoName(-calls.socket(99, 1, 0))).toBe("EAFNOSUPPORT");
    expect(errnoName(-calls.open("/no/such/file", 0))).toBe("ENOENT");
  });

  it("a non-blocking connect is EINPROGRESS, which libuv has no name for", () => {
    expect(errnoName(115)).toBe("EINPROGRESS");
  });

  it("poll tells of each descriptor: one that is none has POLLNVAL, an eventfd-like epoll without events nothing", () => {
    const calls = loadSystemCalls();
    const epoll = calls.epoll_create1(0);
    const pollfds = pollfdsOf([
      { fd: 0x7fff_fff0, events: 1 },
      { fd: epoll, events: 1 },
    ]);
    expect(calls.poll(pollfds, 2, 0)).toBe(1);
    expect([readyEvents(pollfds, 0), readyEvents(pollfds, 1)]).toEqual([0x20, 0]);
    expect(calls.ppoll(pollfdsOf([{ fd: epoll, events: 1 }]), 1, timespecOf(0))).toBe(0);
    expect(calls.close(epoll)).toBe(0);
  });

  it("timespecOf: whole seconds and nanoseconds", () => {
    const view = new DataView(timespecOf(1_500_007).buffer);
    expect([view.getBigInt64(0, true), view.getBigInt64(8, true)]).toEqual([1n, 500_007_000n]);
  });
});

describe("tcpInfoFields", () => {
  const bytes = Uint8Array.from({ length: 248 }, (_, i) => i);

  it("every field at its place in struct tcp_info (include/uapi/linux/tcp.h)", () => {
    const fields = tcpInfoFields(new DataView(bytes.buffer));
    expect(fields).toMatchObject({
      tcpi_state: 0,
      tcpi_options: 5,
      tcpi_snd_wscale: 6,
      tcpi_rcv_wscale: 0,
      tcpi_delivery_rate_app_limited: 1,
      tcpi_fastopen_client_fail: 3,
      tcpi_rto: 0x0b0a0908,
      tcpi_total_retrans: 0x67666564,
      tcpi_pacing_rate: Number(0x6f6e6d6c6b6a6968n),
      tcpi_delivered: 0xc3c2c1c0,
      tcpi_snd_wnd: 0xe7e6e5e4,
      tcpi_total_rto: 0xf1f0,
      tcpi_total_rto_time: 0xf7f6f5f4,
    });
  });

  it("what an older kernel does not have is absent", () => {
    const fields = tcpInfoFields(new DataView(bytes.buffer, 0, 104));
    expect(fields["tcpi_total_retrans"]).toBeDefined();
    expect(fields["tcpi_pacing_rate"]).toBeUndefined();
  });
});
