/** RSTs for segments that belong to no connection (RFC 9293 §3.10.7.1), a bounded number at a time. */

import type { OutgoingPacket } from "../tcp/outgoing-packet.js";
import type { IpAddress } from "../wire/address.js";
import { putU16, putU32 } from "../wire/bytes.js";
import { addBytes, finish, pseudoHeaderSum } from "../wire/checksum.js";
import { PROTOCOL_TCP } from "../wire/ip-packet.js";
import type { Segment } from "../wire/segment.js";
import { ACK, FIN, RST, SYN } from "../wire/tcp-flags.js";
import type { ClosedPortPolicy } from "./config.js";

/** More at once is a flood, and answering all of it makes us its tool. */
const CAPACITY = 64;

interface Reset {
  readonly local: IpAddress;
  readonly remote: IpAddress;
  readonly localPort: number;
  readonly remotePort: number;
  readonly seq: number;
  readonly ack: number;
  readonly flags: number;
}

export class ResetQueue {
  readonly #queue: Reset[] = [];
  dropped = 0;
  policy: ClosedPortPolicy;

  constructor(policy: ClosedPortPolicy = "reset") {
    this.policy = policy;
  }

  /** What is made of a segment to a port where nobody listens, in a few words. */
  refuse(local: IpAddress, remote: IpAddress, seg: Segment): string {
    if (this.policy === "silent" || (this.policy === "silent-to-syn" && (seg.flags & SYN) !== 0))
      return "no such connection: ignored, as was asked for";
    return this.answer(local, remote, seg) ? "no such connection: answered with RST" : "RST for no connection: ignored";
  }

  /** Queues the answer to a segment, unless it is itself a RST: false then. */
  answer(local: IpAddress, remote: IpAddress, seg: Segment): boolean {
    if ((seg.flags & RST) !== 0) return false;
    if (this.#queue.length >= CAPACITY) {
      this.dropped++;
      return true;
    }
    const hasAck = (seg.flags & ACK) !== 0;
    const length = seg.payloadLength + (seg.flags & SYN ? 1 : 0) + (seg.flags & FIN ? 1 : 0);
    this.#queue.push({
      local: local.clone(),
      remote: remote.clone(),
      localPort: seg.destinationPort,
      remotePort: seg.sourcePort,
      seq: hasAck ? seg.ack : 0,
      ack: hasAck ? 0 : (seg.seq + length) >>> 0,
      flags: hasAck ? RST : RST | ACK,
    });
    return true;
  }

  pollTransmit(out: OutgoingPacket): boolean {
    const reset = this.#queue.shift();
    if (reset === undefined) return false;
    const { bytes } = out;
    const tcp = reset.local.family === 4 ? 20 : 40;
    bytes.fill(0, 0, tcp + 20);
    putU16(bytes, tcp, reset.localPort);
    putU16(bytes, tcp + 2, reset.remotePort);
    putU32(bytes, tcp + 4, reset.seq);
    putU32(bytes, tcp + 8, reset.ack);
    putU16(bytes, tcp + 12, (5 << 12) | reset.flags);
    putU16(bytes, tcp + 16, finish(addBytes(pseudoHeaderSum(reset.local, reset.remote, PROTOCOL_TCP, 20), bytes, tcp, 20)));
    if (tcp === 20) {
      bytes[0] = 0x45;
      putU16(bytes, 2, 40);
      putU16(bytes, 6, 0x4000);
      bytes[8] = 64;
      bytes[9] = PROTOCOL_TCP;
      reset.local.write(bytes, 12);
      reset.remote.write(bytes, 16);
      putU16(bytes, 10, finish(addBytes(0, bytes, 0, 20)));
    } else {
      bytes[0] = 0x60;
      putU16(bytes, 4, 20);
      bytes[6] = PROTOCOL_TCP;
      bytes[7] = 64;
      reset.local.write(bytes, 8);
      reset.remote.write(bytes, 24);
    }
    out.length = tcp + 20;
    out.note = "no connection here: reset";
    return true;
  }
}
