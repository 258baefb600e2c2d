/** A kernel without IPv6 (ipv6.disable=1): socket(2) knows no such family. The raw link must carry IPv4 all the same. */
import { beforeAll, expect, it, vi } from "vitest";
import type * as Libc from "../../src/kernel/libc.js";

vi.mock("../../src/kernel/libc.js", async (load) => {
  const libc = await load<typeof Libc>();
  return {
    ...libc,
    socket(family: number, type: number, protocol: number) {
      if (family === libc.AF_INET6) throw new libc.LibcError("socket", libc.errnoNumber("EAFNOSUPPORT"));
      return libc.socket(family, type, protocol);
    },
  };
});

const { openRawSocketDevice } = await import("../../src/device/raw-socket-device.js");
const { enterPrivateNamespace, eventually, ipv4Packet, ipv6Packet, RST } = await import("../kernel/support.js");

beforeAll(enterPrivateNamespace);

it("IPv4 works, IPv6 gives one clear line", async () => {
  const device = openRawSocketDevice();
  let received = 0;
  device.setPorts([50_001]);
  device.start(
    () => {
      received++;
      return "";
    },
    () => {},
  );
  const refusal = expect.objectContaining({
    code: "EAFNOSUPPORT",
    message: "raw socket: this host has no IPv6: its kernel runs without it",
  });
  expect(() => device.openIpv6()).toThrow(refusal);
  const six = ipv6Packet("::1", "::1", { from: 1, to: 50_001, flags: RST });
  expect(device.send(six, 0, six.length, "")).toBe(false);
  expect(Object.fromEntries(device.stats.sendErrors)).toEqual({ EAFNOSUPPORT: 1 });
  const four = ipv4Packet({ from: 1, to: 50_001, flags: RST });
  expect(device.send(four, 0, four.length, "")).toBe(true);
  expect(await eventually(() => received, 1)).toBe(1);
  device.setPorts([50_002]);
  device.close();
});
