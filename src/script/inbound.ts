/** Packets of the script that go in, as bytes. */
import { seqAdd } from "../base/seq.js";
import { craft } from "../craft/build.js";
import type { IpAddress } from "../wire/address.js";
import { addBytes, finish, pseudoHeaderSum } from "../wire/checksum.js";
import { buildIcmpError, encodeIcmp, icmpChecksum } from "../wire/icmp.js";
import { PROTOCOL_ICMP, PROTOCOL_ICMPV6 } from "../wire/ip-packet.js";
import { ACK } from "../wire/tcp-flags.js";
import type { IcmpEvent, IpMarks, PacketEvent, UdpEvent } from "./ast.js";
import { UnsupportedError } from "./errors.js";
import type { Flow } from "./flow.js";
import { icmpCode, icmpType } from "./icmp-names.js";
import type { Settings } from "./settings.js";

/** Ports of the connection, ours first. */
export interface Ports {
  readonly local: number;
  readonly remote: number;
}

export function tcpPacket(packet: PacketEvent, flow: Flow, ports: Ports, settings: Settings): Uint8Array {
  return craft({
    ip: ipHeader(packet.ip, settings),
    tcp: {
      sourcePort: packet.ports?.source || ports.remote,
      destinationPort: packet.ports?.destination || ports.local,
      flags: packet.flags,
      window: packet.window ?? 0,
      urgentPointer: packet.urgent ?? 0,
      ...flow.toWire(packet),
    },
    payload: new Uint8Array(packet.length),
  }).bytes;
}

export function udpPacket(udp: UdpEvent, ports: Ports, settings: Settings): Uint8Array {
  const { local, remote, family } = settings;
  const source = udp.ports?.source || ports.remote;
  const destination = udp.ports?.destination || ports.local;
  const payload = udpDatagram(source, destination, udp.length, local, remote);
  return craft({ ip: { ...ipHeader(udp.ip, settings), ...carrying(family, PROTOCOL_UDP) }, payload }).bytes;
}

/** Throws UnsupportedError for types and codes that are not known. */
export function icmpPacket(icmp: IcmpEvent, flow: Flow, ports: Ports, settings: Settings): Uint8Array {
  const { local, remote, family } = settings;
  const type = icmpType(family, icmp.type);
  const code = type === undefined ? undefined : icmpCode(family, type, icmp.code);
  if (type === undefined || code === undefined) throw new UnsupportedError(`ICMP ${icmp.type} ${icmp.code}`.trim());
  const { quoted } = icmp;
  const ip = { ...ipHeader(icmp.ip, settings), ...carrying(family, family === 4 ? PROTOCOL_ICMP : PROTOCOL_ICMPV6) };
  if (quoted.protocol === "raw") {
    const message = {
      family,
      type,
      code,
      checksum: 0,
      rest: icmp.id * 0x1_0000,
      body: new Uint8Array(Math.max(0, quoted.length - 8)),
    };
    return craft({ ip, payload: encodeIcmp({ ...message, checksum: icmpChecksum(message, remote, local) }) }).bytes;
  }
  const about = { family, source: local, destination: remote };
  const { bytes } =
    quoted.protocol === "udp"
      ? craft({
          ip: { ...about, ...carrying(family, PROTOCOL_UDP) },
          payload: udpDatagram(ports.local, ports.remote, quoted.length, local, remote),
        })
      : craft({
          ip: about,
          tcp: {
            sourcePort: ports.local,
            destinationPort: ports.remote,
            seq: seqAdd(quoted.seq, flow.numbers.ourIsn),
            flags: ACK,
          },
          payload: new Uint8Array(quoted.length),
        });
  return craft({ ip, payload: buildIcmpError(type, code, icmp.mtu ?? icmp.id * 0x1_0000, bytes, remote, local) }).bytes;
}

const PROTOCOL_UDP = 17;

function ipHeader(marks: IpMarks, { local, remote, family }: Settings): NonNullable<Parameters<typeof craft>[0]["ip"]> {
  const ecn = typeof marks.ecn === "number" ? marks.ecn : 0;
  const tos = (marks.tos ?? 0) | ecn;
  const ends = { source: remote, destination: local };
  if (family === 6) return { family: 6, ...ends, trafficClass: tos, hopLimit: marks.ttl ?? 64, flowLabel: marks.flowLabel ?? 0 };
  return { family: 4, ...ends, tos, ttl: marks.ttl ?? 64 };
}

/** What says in the IP header what comes behind it. */
function carrying(family: 4 | 6, protocol: number): { family: 4; protocol: number } | { family: 6; nextHeader: number } {
  return family === 4 ? { family, protocol } : { family, nextHeader: protocol };
}

/** A UDP header with zeros behind it (RFC 768). */
function udpDatagram(source: number, destination: number, length: number, local: IpAddress, remote: IpAddress): Uint8Array {
  const bytes = new Uint8Array(8 + length);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, source);
  view.setUint16(2, destination);
  view.setUint16(4, bytes.length);
  const sum = finish(addBytes(pseudoHeaderSum(remote, local, PROTOCOL_UDP, bytes.length), bytes, 0, bytes.length));
  view.setUint16(6, sum === 0 ? 0xffff : sum);
  return bytes;
}
