/**
 * What carries whole IP packets: the contract between the stack's loop and everything below it.
 * Tracing, fault injection and capture files are devices that wrap a device.
 */

/**
 * Receives one IP packet, `bytes[offset, offset + length)`. The bytes are lent for the call only: copy before keeping.
 * Returns, in a few words, what the receiver made of it ("" when there is nothing to say), for traces and packet comments.
 */
export type PacketHandler = (bytes: Uint8Array, offset: number, length: number) => string;

export interface PacketDevice {
  /** For logs: "raw", "pcap:veth0". */
  readonly name: string;
  /** Largest IP packet, headers included. */
  readonly mtuBytes: number;
  /**
   * Sends one IP packet now; the bytes are lent for the call only. `note` says why the packet goes out ("" = nothing to say).
   * Returns false when the packet was not taken (full queue, no route): TCP repeats it in its own time.
   */
  send(bytes: Uint8Array, offset: number, length: number, note: string): boolean;
  /** Starts receiving. `onBatchEnd` follows each batch of packets, so that a batch is acknowledged once (RFC 9293 MUST-59). */
  start(onPacket: PacketHandler, onBatchEnd: () => void): void;
  /**
   * Names the local TCP ports whose packets are wanted; a device that cannot filter may deliver more. A Set may be kept, not
   * copied: who gives one may change it, and then calls again. With thousands of connections a copy for each would cost most.
   */
  setPorts(ports: Iterable<number>): void;
  /** Keeps the process alive (`true`, the default) or lets it end. */
  setRef(keepAlive: boolean): void;
  /** Stops receiving and frees what the device holds. Later calls do nothing. */
  close(): void;
}
