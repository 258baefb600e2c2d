/**
 * The connection that a script speaks of: its ports, and how its numbers lie to those of the wire. As with packetdrill it is that of the
 * socket that was made last, and behind a listener the first peer whose packet comes.
 */
import { seqAdd } from "../base/seq.js";
import { ACK, SYN } from "../wire/tcp-flags.js";
import type { PacketEvent, PacketOption } from "./ast.js";
import { type Numbers, ourOffset, peerOffset, type SegmentFacts, toWire, unknownNumbers } from "./match.js";

/** "new": a socket that neither listens nor connects; "child": of a listener. */
export type FlowKind = "none" | "new" | "listening" | "child" | "active";

export class Flow {
  kind: FlowKind = "none";
  remotePort = 0;
  /** Ours; 0 before a packet has told it. */
  localPort = 0;
  numbers: Numbers = unknownNumbers();
  /** Our initial sequence number was seen. */
  #isLearned = false;
  /** The peer's last SYN. */
  #peerSyn = 0;
  /** Our timestamps as they went out, by those of the script. */
  readonly #stamps = new Map<number, number>();

  begin(kind: FlowKind, remotePort: number): void {
    this.kind = kind;
    this.remotePort = remotePort;
    this.localPort = 0;
    this.numbers = unknownNumbers();
    this.#isLearned = false;
    this.#stamps.clear();
  }

  /** A packet of the script is about to go in; `isFirst` when it is the first that a listener's child gets. */
  learnInbound({ flags, seq }: PacketEvent, isFirst: boolean): void {
    if ((flags & SYN) !== 0) this.#peerSyn = seq;
    const isAnswer = this.kind === "active" && (flags & (SYN | ACK)) === (SYN | ACK);
    if (isFirst || isAnswer) this.numbers.peerIsn = seq;
  }

  /** A segment of ours is about to be compared with one of the script: our numbers lie where the script says. */
  learnOutbound(expected: PacketEvent, seen: SegmentFacts): void {
    if ((seen.flags & SYN) === 0 || (expected.flags & SYN) === 0) return;
    const isExpected = this.#isLearned && seen.seq === seqAdd(expected.seq, ourOffset(this.numbers, SYN));
    if (isExpected) return;
    // Another SYN of ours is that of another incarnation, which the peer's has begun.
    if (this.#isLearned && this.kind === "child") this.numbers.peerIsn = this.#peerSyn;
    this.#isLearned = true;
    this.localPort = seen.localPort;
    this.numbers.ourIsn = seen.seq;
    this.numbers.scriptIsn = expected.seq;
  }

  /** Our timestamp of the script went out as `live`; the first one tells how the clocks lie. */
  learnStamp(script: number, live: number): void {
    this.numbers.stampOffset ??= (live - script) >>> 0;
    this.#stamps.set(script, live);
  }

  /** Whether a packet of ours belongs to it, as far as that is known. */
  owns({ localPort, remotePort }: SegmentFacts): boolean {
    if (this.kind !== "child" && this.kind !== "active") return true;
    return remotePort === this.remotePort && (this.localPort === 0 || localPort === this.localPort);
  }

  /** The numbers of a packet of the script for the wire. */
  toWire(packet: PacketEvent): { readonly seq: number; readonly ack: number; readonly options: ReturnType<typeof toWire>[] } {
    const { numbers } = this;
    const { flags, seq } = packet;
    const ack = packet.ack ?? 0;
    return {
      seq: packet.seqRule === "absolute" ? seq : seqAdd(seq, peerOffset(numbers, flags)),
      ack: (flags & ACK) !== 0 ? seqAdd(ack, ourOffset(numbers, flags)) : ack,
      options: (packet.options ?? []).map((option) => this.#optionToWire(option, flags)),
    };
  }

  /** What is echoed is what went out, where that is known. */
  #optionToWire(option: PacketOption, flags: number): ReturnType<typeof toWire> {
    const echoed =
      option.kind === "ts" && option.ecr !== null && option.isAbsolute !== true ? this.#stamps.get(option.ecr) : undefined;
    if (option.kind === "ts" && echoed !== undefined) return { kind: "timestamps", tsVal: option.val ?? 0, tsEcr: echoed };
    return toWire(option, this.numbers, flags);
  }
}
