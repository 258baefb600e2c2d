/** A hand-driven TCP peer over a raw socket: just enough to lead the kernel's own TCP into any of its states. */

import { openRawSocketDevice, type RawSocketDevice } from "../../src/device/raw-socket-device.js";
import { createPortGuard, type HeldPort, type PortGuard } from "../../src/kernel/port-guard.js";
import { ACK, FIN, ipv4Packet, type ReadPacket, readIpv4Packet, SYN } from "./support.js";

/** Initial sequence numbers in tests wrap. */
const ISS = 0xffffffff;

export class RawPeer {
  readonly #device: RawSocketDevice;
  readonly #guard: PortGuard;
  readonly #held: HeldPort;
  readonly #kernelPort: number;
  readonly #inbox: ReadPacket[] = [];
  #wake: (() => void) | undefined;
  /** Our next sequence number, and the kernel's. */
  seq = ISS;
  kernelSeq = 0;

  constructor(kernelPort: number) {
    this.#kernelPort = kernelPort;
    this.#guard = createPortGuard("bpf");
    this.#held = this.#guard.hold("127.0.0.1", 0);
    this.#device = openRawSocketDevice({ backend: "koffi" });
    this.#device.setPorts([this.port]);
    this.#device.start(
      (bytes, offset, length) => {
        this.#inbox.push(readIpv4Packet(bytes, offset, length));
        this.#wake?.();
        return "";
      },
      () => {},
    );
  }

  get port(): number {
    return this.#held.port;
  }

  send(flags: number, seq = this.seq, ack = this.kernelSeq): void {
    const packet = ipv4Packet({ from: this.port, to: this.#kernelPort, seq, ack: flags & ACK ? ack : 0, flags });
    if (!this.#device.send(packet, 0, packet.length, "")) throw new Error("the kernel did not take the packet");
  }

  /** The next packet that carries all of these flags; earlier ones are thrown away. */
  async next(flags: number): Promise<ReadPacket> {
    for (;;) {
      const packet = this.#inbox.shift();
      if (packet !== undefined && (packet.flags & flags) === flags) return packet;
      if (packet === undefined) await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  async handshake(): Promise<void> {
    this.send(SYN);
    this.kernelSeq = ((await this.next(SYN | ACK)).seq + 1) >>> 0;
    this.seq = (this.seq + 1) >>> 0;
    this.send(ACK);
  }

  /** Waits for the kernel's FIN; `acknowledgeFin` answers it. */
  async receiveFin(): Promise<void> {
    const fin = await this.next(FIN);
    this.finSeq = fin.seq;
  }
  finSeq = 0;

  acknowledgeFin(): void {
    this.kernelSeq = (this.finSeq + 1) >>> 0;
    this.send(ACK);
  }

  sendFin(): void {
    this.send(FIN | ACK);
    this.seq = (this.seq + 1) >>> 0;
  }

  close(): void {
    this.#device.close();
    this.#guard.close();
  }
}
