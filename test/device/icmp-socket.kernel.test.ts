import { afterEach, describe, expect, it } from "vitest";
import { openRawSocketDevice, type RawSocketDevice } from "../../src/device/raw-socket-device.js";
import { AF_INET, close, SOCK_RAW, sendto, socket } from "../../src/kernel/libc.js";
import { sockaddrOf } from "../../src/kernel/sockaddr.js";
import { parseAddress } from "../../src/wire/address.js";
import { buildIcmpError } from "../../src/wire/icmp.js";
import { describePacket } from "../../src/wire/print.js";

const HERE = parseAddress("127.0.0.1");
let device: RawSocketDevice | undefined;

afterEach(() => device?.close());

/** An IPv4 packet with the first bytes of a TCP segment, as an error quotes it. */
function quoted(sourcePort: number): Uint8Array {
  const bytes = new Uint8Array(40);
  bytes.set([0x45, 0, 0, 40, 0, 1, 0x40, 0, 64, 6, 0, 0, 127, 0, 0, 1, 127, 0, 0, 1]);
  bytes.set([sourcePort >> 8, sourcePort & 255, 0, 80, 0, 0, 0, 7, 0, 0, 0, 0, 0x50, 2], 20);
  return bytes;
}

/** Sends an ICMP error about a segment from `sourcePort` to this host, from this host. */
function sendError(type: number, code: number, sourcePort: number): void {
  const fd = socket(AF_INET, SOCK_RAW, 1);
  const message = buildIcmpError(type, code, 0, quoted(sourcePort), HERE, HERE);
  const sent = sendto(fd, message, message.length, 0, sockaddrOf("127.0.0.1", 0));
  close(fd);
  expect(sent).toBe(message.length);
}

describe("ICMP errors on the raw link", () => {
  it("delivers those about our ports and no others", async () => {
    const link = openRawSocketDevice();
    device = link;
    const seen: string[] = [];
    const arrived = new Promise<void>((resolve) => {
      link.start((bytes, offset, length) => {
        seen.push(describePacket(bytes, offset, length));
        return "";
      }, resolve);
    });
    link.setPorts([51_111]);
    sendError(3, 1, 52_222);
    sendError(0, 0, 51_111); // an echo reply quotes nothing
    sendError(3, 13, 51_111);
    await arrived;
    expect(seen).toHaveLength(1);
    expect(seen[0]).toContain("ICMP admin-prohibited");
    expect(seen[0]).toContain("127.0.0.1:51111 > 127.0.0.1:80");
  });

  it("is silent once closed", async () => {
    const link = openRawSocketDevice();
    let count = 0;
    link.start(
      () => {
        count++;
        return "";
      },
      () => undefined,
    );
    link.setPorts([51_112]);
    link.close();
    sendError(3, 3, 51_112);
    // A second device on the same port shows that the error has come through.
    const other = openRawSocketDevice();
    device = other;
    const arrived = new Promise<void>((resolve) => other.start(() => "", resolve));
    other.setPorts([51_112]);
    sendError(3, 3, 51_112);
    await arrived;
    expect(count).toBe(0);
  });
});
