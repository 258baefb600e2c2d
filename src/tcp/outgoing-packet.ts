/** Where `pollTransmit` writes: one IP packet, headers included, in memory that is used again for the next. */

export class OutgoingPacket {
  /** Large enough for any IP packet. */
  readonly bytes = new Uint8Array(65_536);
  length = 0;
  /** Why it goes out, in a few words. */
  note = "";
}
