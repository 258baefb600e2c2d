/**
 * From a captured packet to a TCP segment: link header, IP header, TCP header, each as far as it was captured. The result is a
 * scratch object that is reused for every packet of a file.
 */
import type { Micros } from "../base/time.js";
import type { CaptureInterface, CapturePacket } from "../pcapng/capture.js";
import { formatEndpoint } from "../wire/address.js";
import { parseCapturedIp } from "../wire/captured-ip.js";
import { IpPacket, PROTOCOL_TCP } from "../wire/ip-packet.js";
import { LinkHeader, locateIp, readLinkHeader } from "../wire/link-layer.js";
import { type ChecksumVerdict, parseSegment, Segment, verifyChecksum } from "../wire/segment.js";

/** Why a packet of a capture is no segment that can be followed; "" when it is one. */
export type UnfollowedReason =
  | ""
  | "unknown link type"
  | "not IP"
  | "not TCP"
  | "IP fragment"
  | "damaged IP header"
  | "damaged TCP header"
  | "cut before the end of the TCP header";

/** A segment as it was captured; see the top of the file. */
export class CapturedSegment {
  /** Number of the packet in the file, from 1, as Wireshark counts. */
  frame = 0;
  /** µs since the first packet of the file; of a packet without a stamp, that of the packet before it. */
  t: Micros = 0;
  readonly ip = new IpPacket();
  readonly tcp = new Segment();
  /** "unknown" where bytes are missing from the capture. */
  checksum: ChecksumVerdict | "unknown" = "unknown";
  /** The payload's bytes that were captured, from `tcp.payloadOffset` on. */
  capturedPayload = 0;
  /** The header's options were cut off, and are as if there were none. */
  optionsCut = false;

  #startNs: bigint | null = null;
  readonly #header = new Uint8Array(20);

  get source(): string {
    return formatEndpoint(this.ip.source, this.tcp.sourcePort);
  }

  get destination(): string {
    return formatEndpoint(this.ip.destination, this.tcp.destinationPort);
  }

  /** Takes the next packet of the file. With a reason other than "", the fields mean nothing but `frame` and `t`. Never throws. */
  read(packet: CapturePacket, from: CaptureInterface | undefined): UnfollowedReason {
    this.frame++;
    if (packet.timeNs !== null) {
      this.#startNs ??= packet.timeNs;
      this.t = Number((packet.timeNs - this.#startNs) / 1000n);
    }
    const { data, originalLength } = packet;
    const linkType = from?.linkType ?? -1;
    const at = locateIp(data, 0, data.length, linkType);
    if (at < 0)
      return readLinkHeader(link, data, 0, data.length, linkType) === "unknown link type" ? "unknown link type" : "not IP";
    const wireLength = Math.max(originalLength, data.length) - at;
    const problem = parseCapturedIp(this.ip, data, at, data.length - at, wireLength);
    if (problem === "IP fragment") return problem;
    if (problem === "cut inside the IP header") return "cut before the end of the TCP header";
    if (problem !== "") return "damaged IP header";
    if (this.ip.protocol !== PROTOCOL_TCP) return "not TCP";
    return this.#readTcp(data);
  }

  #readTcp(data: Uint8Array): UnfollowedReason {
    const { payloadOffset, payloadLength, source, destination } = this.ip;
    const captured = data.length - payloadOffset;
    if (payloadLength < 20) return "damaged TCP header";
    if (captured < 20) return "cut before the end of the TCP header";
    const headerLength = ((data[payloadOffset + 12] ?? 0) >>> 4) << 2;
    this.optionsCut = headerLength > captured && headerLength <= payloadLength;
    if (this.optionsCut) {
      // As if the header ended after its fixed part: half an option would be read as a wrong one.
      this.#header.set(data.subarray(payloadOffset, payloadOffset + 20));
      this.#header[12] = 0x50 | ((this.#header[12] ?? 0) & 15);
      if (parseSegment(this.tcp, this.#header, 0, payloadLength - headerLength + 20) !== "") return "damaged TCP header";
    } else if (parseSegment(this.tcp, data, payloadOffset, payloadLength) !== "") return "damaged TCP header";
    this.capturedPayload = Math.max(0, Math.min(this.tcp.payloadLength, captured - headerLength));
    this.tcp.ecn = this.ip.tos & 3;
    this.tcp.ttl = this.ip.ttl;
    this.checksum =
      captured < payloadLength
        ? "unknown"
        : verifyChecksum(source, destination, data, payloadOffset, payloadLength, "partial-ok");
    return "";
  }
}

const link = new LinkHeader();
