/**
 * Does what a network card does for the kernel: finishes the TCP checksum of packets that loopback and veth bring unfinished.
 * Damage that a fault injector above does is then found by the checksum, as on a wire; an unfinished sum covers no payload.
 */

import { getU16, putU16 } from "../../src/wire/bytes.js";
import { addBytes, finish, fold, pseudoHeaderSum } from "../../src/wire/checksum.js";
import { IpPacket, PROTOCOL_TCP, parseIpPacket } from "../../src/wire/ip-packet.js";
import type { PacketDevice } from "../../src/wire/packet-device.js";

/** The device with whole checksums on all that comes in. */
export function completingChecksums(inner: PacketDevice): PacketDevice {
  const packet = new IpPacket();
  const complete = (bytes: Uint8Array, offset: number, length: number): void => {
    if (parseIpPacket(packet, bytes, offset, length, false) !== "" || packet.protocol !== PROTOCOL_TCP) return;
    const { payloadOffset, payloadLength } = packet;
    if (payloadLength < 20) return;
    const pseudo = pseudoHeaderSum(packet.source, packet.destination, PROTOCOL_TCP, payloadLength);
    const at = payloadOffset + 16;
    if (getU16(bytes, at) !== fold(pseudo)) return;
    putU16(bytes, at, 0);
    putU16(bytes, at, finish(addBytes(pseudo, bytes, payloadOffset, payloadLength)));
  };
  return {
    get name() {
      return inner.name;
    },
    get mtuBytes() {
      return inner.mtuBytes;
    },
    send: (bytes, offset, length, note) => inner.send(bytes, offset, length, note),
    start: (onPacket, onBatchEnd) =>
      inner.start((bytes, offset, length) => {
        complete(bytes, offset, length);
        return onPacket(bytes, offset, length);
      }, onBatchEnd),
    setPorts: (ports) => inner.setPorts(ports),
    setRef: (keepAlive) => inner.setRef(keepAlive),
    close: () => inner.close(),
  };
}
