/**
 * Explains a capture: its bytes go in as they come, what became of each connection comes out. Nothing in a file makes it throw.
 *
 *     const explainer = new Explainer();
 *     for (chunk of file) explainer.push(chunk);
 *     explainer.end();
 *     for (const connection of explainer.connections) for (const line of summaryLines(connection)) print(line);
 */
import type { CaptureError } from "../pcapng/blocks.js";
import type { CapturePacket } from "../pcapng/capture.js";
import { CaptureReader } from "../pcapng/reader.js";
import { CapturedSegment, type UnfollowedReason } from "./captured-segment.js";
import type { FollowedConnection } from "./connection.js";
import { Tracker } from "./tracker.js";

export interface ExplainOptions {
  /** Segments drawn and incidents listed of each connection; 200 when left out, 0 for all. Counts are always of all. */
  readonly limit?: number;
}

export class Explainer {
  /** Takes the bytes: through `push`, or by whoever reads the file and hands the packets to `follow`. */
  readonly reader = new CaptureReader();
  readonly #segment = new CapturedSegment();
  readonly #tracker: Tracker;
  readonly #unfollowed = new Map<UnfollowedReason, number>();
  #followed = 0;

  constructor(options: ExplainOptions = {}) {
    this.#tracker = new Tracker(options.limit ?? DEFAULT_LIMIT);
  }

  /** Takes the next bytes of the file; memory that is not written again. Never throws. */
  push(chunk: Uint8Array): void {
    this.follow(this.reader.push(chunk));
  }

  /** Takes the next packets that `reader` gave. Never throws. */
  follow(packets: readonly CapturePacket[]): void {
    for (const packet of packets) {
      const reason = this.#segment.read(packet, this.reader.interfaces[packet.interfaceIndex]);
      if (reason !== "") this.#unfollowed.set(reason, (this.#unfollowed.get(reason) ?? 0) + 1);
      else {
        this.#followed++;
        this.#tracker.segment(this.#segment);
      }
    }
  }

  /** The file has ended. */
  end(): void {
    this.reader.end();
  }

  /** In order of their first segments. */
  get connections(): readonly FollowedConnection[] {
    return this.#tracker.connections;
  }

  /** The first damage of the file, null where it was sound so far; what could be read was read. */
  get error(): CaptureError | null {
    return this.reader.error;
  }

  get format(): "pcapng" | "pcap" | "unknown" {
    return this.reader.format;
  }

  /** Packets of the file, of any kind. */
  get packets(): number {
    return this.#segment.frame;
  }

  /** TCP segments that were followed. */
  get segments(): number {
    return this.#followed - this.#tracker.unfollowed;
  }

  /** Packets that could not be followed, by reason. */
  get unfollowed(): ReadonlyMap<UnfollowedReason | "too many connections", number> {
    const { unfollowed } = this.#tracker;
    return unfollowed === 0 ? this.#unfollowed : new Map([...this.#unfollowed, ["too many connections" as const, unfollowed]]);
  }
}

const DEFAULT_LIMIT = 200;
