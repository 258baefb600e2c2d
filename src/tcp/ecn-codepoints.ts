/** Codepoints of the IP header's ECN field (RFC 3168 §5). */

/** The sender cannot be told of congestion by marks. */
export const NOT_ECT = 0;
/** ECN-capable; also the identifier of L4S (RFC 9331). */
export const ECT_1 = 1;
/** ECN-capable. */
export const ECT_0 = 2;
/** A router marked it: congestion experienced. */
export const CE = 3;
