/**
 * Counts the RSTs that the kernel sends in our name. A capture sees every RST on an interface; a device innermost in the
 * session sees which of them we sent ourselves. What is left and comes from one of our ports, the kernel has sent.
 */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { openCapture } from "../../src/device/capture.js";
import { formatEndpoint } from "../../src/wire/address.js";
import { getU32, putU32 } from "../../src/wire/bytes.js";
import { IpPacket, PROTOCOL_TCP, parseIpPacket } from "../../src/wire/ip-packet.js";
import type { PacketDevice } from "../../src/wire/packet-device.js";
import { parseSegment, Segment } from "../../src/wire/segment.js";
import { RST } from "../../src/wire/tcp-flags.js";

const ETHERNET_HEADER_BYTES = 14;
/** A datagram to this port marks the present in the captures. */
const MARK_PORT = 4242;
/** Where its number stands in the frame: behind the headers of Ethernet, IPv4 and UDP. */
const MARK_OFFSET = ETHERNET_HEADER_BYTES + 20 + 8;

/** RSTs of one or more interfaces. */
export class RstWatch {
  /** Endpoints that packets of ours came from. */
  readonly #ours = new Set<string>();
  /** RSTs that we sent, each once a sending. */
  #sent: string[] = [];
  #captured: Captured[] = [];
  readonly #places: Place[] = [];
  readonly #packet = new IpPacket();
  readonly #segment = new Segment();

  /** Watches an interface; `address` is one that the kernel reaches through it. */
  watch(device: string, address: string): void {
    // libpcap's `tcp[…]` is IPv4's alone: in IPv6 the flags stand 13 bytes behind the header of 40.
    const resets = "tcp[tcpflags] & tcp-rst != 0 or (ip6 proto 6 and ip6[53] & tcp-rst != 0)";
    const filter = `${resets} or (ip and udp and dst port ${MARK_PORT})`;
    const shown = new Map<number, () => void>();
    const capture = openCapture({
      device,
      filter,
      onFrame: (bytes, offset, length) => {
        const key = this.#read(bytes, offset + ETHERNET_HEADER_BYTES, length - ETHERNET_HEADER_BYTES);
        if (key !== undefined) this.#captured.push(key);
        else if (length >= MARK_OFFSET + 4) shown.get(getU32(bytes, offset + MARK_OFFSET))?.();
      },
    });
    this.#places.push({ address, shown, close: () => capture.close() });
  }

  /** Wraps the link of a session, so that its RSTs are known for ours. */
  counting(inner: PacketDevice): PacketDevice {
    return {
      get name() {
        return inner.name;
      },
      get mtuBytes() {
        return inner.mtuBytes;
      },
      send: (bytes, offset, length, note) => {
        const found = this.#read(bytes, offset, length);
        if (found !== undefined) {
          this.#ours.add(found.from);
          if ((this.#segment.flags & RST) !== 0) this.#sent.push(found.key);
        }
        return inner.send(bytes, offset, length, note);
      },
      start: (onPacket, onBatchEnd) => inner.start(onPacket, onBatchEnd),
      setPorts: (ports) => inner.setPorts(ports),
      setRef: (keepAlive) => inner.setRef(keepAlive),
      close: () => inner.close(),
    };
  }

  /** The RSTs so far that came from our ports and not from us, and how many of ours were seen; then counts anew. */
  async take(): Promise<{ readonly kernel: readonly string[]; readonly ours: number }> {
    await Promise.all(this.#places.map(mark));
    const taken = this.#judge(this.#captured.splice(0), this.#sent.splice(0));
    this.#ours.clear();
    return taken;
  }

  /**
   * The same for one endpoint of ours, `formatEndpoint` of it, whatever the others do meanwhile; from then on it is no longer
   * ours. To be asked before the port is given back to the kernel.
   */
  async takeFrom(endpoint: string): Promise<{ readonly kernel: readonly string[]; readonly ours: number }> {
    await Promise.all(this.#places.map(mark));
    const isOf = (key: string) => key.startsWith(`${endpoint} `);
    const taken = this.#judge(
      this.#captured.filter(({ from }) => from === endpoint),
      this.#sent.filter(isOf),
    );
    this.#captured = this.#captured.filter(({ from }) => from !== endpoint);
    this.#sent = this.#sent.filter((key) => !isOf(key));
    this.#ours.delete(endpoint);
    return taken;
  }

  close(): void {
    for (const place of this.#places) place.close();
  }

  #judge(captured: readonly Captured[], ourRsts: readonly string[]): { kernel: string[]; ours: number } {
    const sent = new Map<string, number>();
    for (const key of ourRsts) sent.set(key, (sent.get(key) ?? 0) + 1);
    let ours = 0;
    const kernel: string[] = [];
    for (const { from, key } of captured) {
      if (!this.#ours.has(from)) continue;
      const left = sent.get(key) ?? 0;
      if (left > 0) {
        ours++;
        sent.set(key, left - 1);
      } else {
        kernel.push(key);
      }
    }
    return { kernel, ours };
  }

  #read(bytes: Uint8Array, offset: number, length: number): { from: string; key: string } | undefined {
    const packet = this.#packet;
    if (parseIpPacket(packet, bytes, offset, length, false) !== "" || packet.protocol !== PROTOCOL_TCP) return undefined;
    const segment = this.#segment;
    if (parseSegment(segment, bytes, packet.payloadOffset, packet.payloadLength) !== "") return undefined;
    const from = formatEndpoint(packet.source, segment.sourcePort);
    const to = formatEndpoint(packet.destination, segment.destinationPort);
    return { from, key: `${from} > ${to} flags ${segment.flags} seq ${segment.seq} ack ${segment.ack}` };
  }
}

/** An interface that is watched. */
interface Place {
  readonly address: string;
  /** By the number in the datagram. */
  readonly shown: Map<number, () => void>;
  close(): void;
}

interface Captured {
  readonly from: string;
  readonly key: string;
}

let lastMark = 0;

/** Sends a datagram and waits until the capture shows it: then it has shown all that went before. */
async function mark(place: Place): Promise<void> {
  const socket = createSocket("udp4");
  socket.on("error", () => {}); // nobody listens there: ICMP may say so
  const number = ++lastMark;
  const shown = new Promise<void>((resolve) => place.shown.set(number, resolve));
  const datagram = new Uint8Array(4);
  putU32(datagram, 0, number);
  socket.send(datagram, MARK_PORT, place.address);
  await shown;
  place.shown.delete(number);
  const closed = once(socket, "close");
  socket.close();
  await closed;
}
