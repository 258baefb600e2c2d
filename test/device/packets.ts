/** Packets and a device for the tests of the wrapping devices. */
import { IpAddress } from "../../src/wire/address.js";
import { putU16, putU32 } from "../../src/wire/bytes.js";
import { addBytes, finish, pseudoHeaderSum } from "../../src/wire/checksum.js";
import type { PacketDevice, PacketHandler } from "../../src/wire/packet-device.js";

export interface TcpFields {
  readonly sourcePort?: number;
  readonly destinationPort?: number;
  readonly seq?: number;
  readonly ack?: number;
  /** 1 FIN, 2 SYN, 4 RST, 8 PSH, 16 ACK */
  readonly flags?: number;
  readonly window?: number;
  readonly options?: readonly number[];
  readonly payload?: readonly number[];
}

const LOCALHOST = new IpAddress(4, 0, 0, 0, 0x7f000001);

/** An IPv4 packet from and to 127.0.0.1 with sound checksums. Options must fill whole words. */
export function tcpPacket(fields: TcpFields): Uint8Array {
  const { sourcePort = 1, destinationPort = 2, seq = 0, ack = 0, flags = 16, window = 1000, options = [], payload = [] } = fields;
  const headerLength = 20 + options.length;
  const bytes = new Uint8Array(20 + headerLength + payload.length);
  bytes.set([0x45, 0]);
  putU16(bytes, 2, bytes.length);
  bytes.set([64, 6], 8);
  LOCALHOST.write(bytes, 12);
  LOCALHOST.write(bytes, 16);
  putU16(bytes, 10, finish(addBytes(0, bytes, 0, 20)));
  putU16(bytes, 20, sourcePort);
  putU16(bytes, 22, destinationPort);
  putU32(bytes, 24, seq);
  putU32(bytes, 28, ack);
  putU16(bytes, 32, (headerLength << 10) | flags);
  putU16(bytes, 34, window);
  bytes.set(options, 40);
  bytes.set(payload, 20 + headerLength);
  const length = headerLength + payload.length;
  putU16(bytes, 36, finish(addBytes(pseudoHeaderSum(LOCALHOST, LOCALHOST, 6, length), bytes, 20, length)));
  return bytes;
}

/** A device whose other end is the test: what was sent lies in `sent`, `deliver` brings a packet in. */
export class TestDevice implements PacketDevice {
  readonly name = "test0";
  readonly mtuBytes = 1500;
  readonly sent: Uint8Array[] = [];
  readonly notes: string[] = [];
  /** What was asked for besides sending. */
  readonly calls: string[] = [];
  /** What `send` answers. */
  takes = true;
  onSend: () => void = () => {};
  batchEnds = 0;
  #onPacket: PacketHandler | undefined;
  #onBatchEnd: () => void = () => {};

  send(bytes: Uint8Array, offset: number, length: number, note: string): boolean {
    if (this.takes) {
      this.sent.push(bytes.slice(offset, offset + length));
      this.notes.push(note);
    }
    this.onSend();
    return this.takes;
  }

  start(onPacket: PacketHandler, onBatchEnd: () => void): void {
    this.#onPacket = onPacket;
    this.#onBatchEnd = onBatchEnd;
  }

  setPorts(ports: Iterable<number>): void {
    this.calls.push(`ports ${[...ports].join(",")}`);
  }

  setRef(keepAlive: boolean): void {
    this.calls.push(`ref ${keepAlive}`);
  }

  close(): void {
    this.calls.push("close");
  }

  /** Brings packets in as one batch, each in the same lent memory at an offset; returns what was made of each. */
  deliver(...packets: readonly Uint8Array[]): string[] {
    if (this.#onPacket === undefined) throw new Error("the device was not started");
    const notes: string[] = [];
    const lent = new Uint8Array(2048);
    for (const packet of packets) {
      lent.fill(0xee).set(packet, 16);
      notes.push(this.#onPacket(lent, 16, packet.length));
    }
    lent.fill(0xdd);
    this.batchEnds++;
    this.#onBatchEnd();
    return notes;
  }
}
