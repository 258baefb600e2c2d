/**
 * The numbered requirements of RFC 9293 (Appendix B), each in a few words of our own, in the order of its sections. Which test
 * shows which is read from the titles of the tests, see `scan.ts`.
 */
export interface Requirement {
  /** "MUST-13", as in RFC 9293. */
  readonly id: string;
  readonly text: string;
  /** Why no test shows it: it does not apply, or is an option that was not taken. */
  readonly reason?: string;
}

export interface Chapter {
  readonly title: string;
  readonly requirements: readonly Requirement[];
}

export const RFC9293: readonly Chapter[] = [
  {
    title: "§3.1 Header format",
    requirements: [
      { id: "MUST-1", text: "The window field is an unsigned number." },
      { id: "REC-1", text: "Windows are kept as 32-bit numbers." },
      { id: "MUST-2", text: "The sender fills in the checksum of every segment." },
      { id: "MUST-3", text: "The receiver verifies the checksum and drops what is bad." },
      { id: "MUST-69", text: "Header padding is zeros." },
    ],
  },
  {
    title: "§3.1–3.2 Options",
    requirements: [
      { id: "MUST-4", text: "EOL, NOP and MSS are understood." },
      { id: "MUST-5", text: "Options are accepted on any segment." },
      { id: "MUST-6", text: "Unknown options are skipped by their length, without an error." },
      { id: "MUST-7", text: "Illegal option lengths do no harm." },
      { id: "MUST-64", text: "Options are parsed whatever their alignment." },
      { id: "MUST-68", text: "Every option but EOL and NOP carries its length." },
    ],
  },
  {
    title: "§3.4 Sequence numbers and reset",
    requirements: [
      { id: "MUST-8", text: "The initial sequence number has a part that a clock drives." },
      { id: "MUST-9", text: "The initial sequence number cannot be computed by outsiders." },
      { id: "SHLD-1", text: "The initial sequence number comes from a pseudo-random function." },
      { id: "SHLD-2", text: "A RST that carries data is accepted." },
    ],
  },
  {
    title: "§3.5 Opening",
    requirements: [
      { id: "MUST-10", text: "Simultaneous open works." },
      { id: "MUST-11", text: "SYN-RECEIVED remembers whether it came from LISTEN or SYN-SENT." },
      { id: "MUST-41", text: "A passive OPEN does not disturb existing connections." },
      { id: "MUST-42", text: "LISTEN works on a port that other connections use." },
    ],
  },
  {
    title: "§3.6 Closing",
    requirements: [
      { id: "MUST-12", text: "The application can tell an abort from a normal close." },
      { id: "SHLD-3", text: "A close with unread data, or data after it, sends RST." },
      { id: "MAY-1", text: "Half-duplex close: after CLOSE nothing can be received any more." },
      { id: "MUST-13", text: "The side that closes first stays in TIME-WAIT for twice the MSL." },
      { id: "MAY-2", text: "A new SYN may end TIME-WAIT." },
      { id: "SHLD-4", text: "Timestamps decide whether a SYN may end TIME-WAIT." },
    ],
  },
  {
    title: "§3.7 Segmentation",
    requirements: [
      { id: "MUST-14", text: "The MSS option is sent and honoured." },
      { id: "SHLD-5", text: "MSS is sent in every SYN unless it equals the default." },
      { id: "MAY-3", text: "MSS is always sent." },
      { id: "MUST-15", text: "Without the option the send MSS is 536 in IPv4, 1220 in IPv6." },
      { id: "MUST-16", text: "The effective send size counts the peer's MSS, the path and option bytes." },
      { id: "MUST-65", text: "The MSS option stands on no segment without SYN." },
      { id: "MUST-67", text: "The announced MSS comes from what IP can carry to us." },
      { id: "SHLD-6", text: "The send size follows a path MTU that changes." },
      { id: "SHLD-7", text: "The Nagle algorithm is there." },
      { id: "MUST-17", text: "The application can turn Nagle off." },
    ],
  },
  {
    title: "§3.8.1–3.8.2 Retransmission and congestion",
    requirements: [
      { id: "MUST-18", text: "The retransmission time-out is that of RFC 6298, with Karn's rule." },
      { id: "MUST-19", text: "Exponential back-off, slow start and congestion avoidance are there." },
      { id: "MAY-18", text: "Another conformant congestion control." },
      {
        id: "MAY-4",
        text: "A repeated segment may bear the same IP identification.",
        reason: "Not done: every packet has an identification of its own, so that a capture tells a repetition from a duplicate.",
      },
      { id: "SHLD-8", text: "ECN is supported." },
    ],
  },
  {
    title: "§3.8.3 Connection failures",
    requirements: [
      { id: "MUST-20", text: "At R1 the layer above is told, at R2 the connection is closed." },
      { id: "MUST-21", text: "The application can set R2." },
      { id: "SHLD-9", text: "The application is told between R1 and R2." },
      { id: "SHLD-10", text: "R1 is at least 3 repetitions." },
      { id: "SHLD-11", text: "R2 is at least 100 s." },
      { id: "MUST-22", text: "The same scheme holds for SYN." },
      { id: "MUST-23", text: "R2 for a SYN is at least 3 minutes." },
    ],
  },
  {
    title: "§3.8.4 Keep-alive",
    requirements: [
      { id: "MAY-5", text: "There is a keep-alive." },
      { id: "MUST-24", text: "It is switched for each connection." },
      { id: "MUST-25", text: "It is off by default." },
      { id: "MUST-26", text: "It is sent only when nothing has arrived for the interval." },
      { id: "MUST-27", text: "The interval can be set." },
      { id: "MUST-28", text: "The default interval is at least two hours." },
      { id: "MUST-29", text: "One unanswered probe is no dead connection." },
      { id: "SHLD-12", text: "A probe carries no data." },
      { id: "MAY-6", text: "A probe with one garbage octet.", reason: "Not done: peers of today answer the empty probe." },
    ],
  },
  {
    title: "§3.8.5 Urgent data",
    requirements: [
      { id: "SHLD-13", text: "New applications do not use it.", reason: "Advice to applications, not to a TCP." },
      { id: "MUST-30", text: "The urgent mechanism is there." },
      { id: "MUST-31", text: "Urgent data may have any length." },
      { id: "MUST-62", text: "The urgent pointer names the byte after the urgent data." },
      { id: "MUST-32", text: "The application is told of urgent data asynchronously." },
      { id: "MUST-33", text: "The application can learn how much urgent data is left." },
    ],
  },
  {
    title: "§3.8.6 Windows",
    requirements: [
      { id: "SHLD-14", text: "The receiver does not shrink the window." },
      { id: "MUST-34", text: "The sender copes with a window that shrinks." },
      { id: "SHLD-15", text: "Then no new data is sent beyond it." },
      { id: "SHLD-16", text: "Then what lies inside is repeated as usual." },
      { id: "SHLD-17", text: "Then data beyond it does not end the connection." },
      {
        id: "MAY-7",
        text: "Then data beyond it may be repeated.",
        reason: "Not done: nothing is sent beyond the window but a probe's byte.",
      },
      { id: "MUST-35", text: "A zero window is probed." },
      { id: "MUST-36", text: "The probes go on while the window stays closed." },
      { id: "MAY-8", text: "The receiver may keep its window closed for ever." },
      { id: "MUST-37", text: "The connection stays as long as the probes are answered." },
      { id: "SHLD-29", text: "The first probe comes after one time-out." },
      { id: "SHLD-30", text: "The probes' interval grows exponentially." },
      { id: "MUST-66", text: "RST and URG count at a closed window." },
      { id: "MUST-38", text: "The sender avoids silly windows." },
      { id: "MUST-39", text: "The receiver avoids silly windows." },
      { id: "SHLD-28", text: "Segments are as large as possible." },
      { id: "SHLD-18", text: "ACKs are delayed." },
      { id: "MUST-40", text: "The delay is less than 0.5 s." },
      { id: "SHLD-19", text: "Every second full segment is acknowledged." },
      { id: "MUST-58", text: "ACKs are aggregated where possible." },
      { id: "MUST-59", text: "All that has arrived is processed before the ACK." },
    ],
  },
  {
    title: "§3.9.1 User interface",
    requirements: [
      { id: "MUST-43", text: "OPEN takes a local address." },
      { id: "MUST-44", text: "Otherwise IP is asked for one." },
      { id: "MUST-45", text: "That local address stays for the connection." },
      { id: "MUST-46", text: "OPEN to broadcast or multicast is refused." },
      { id: "MAY-14", text: "A FLUSH call.", reason: "Not done, as in today's socket interfaces." },
      { id: "MAY-15", text: "PUSH as a parameter of SEND.", reason: "Not done: see MUST-60 and MUST-61." },
      { id: "MAY-16", text: "Data without PUSH may be queued.", reason: "Not done: see MUST-60." },
      {
        id: "MAY-17",
        text: "The receiver may be told of PSH.",
        reason: "Not done: received data is readable at once, with PSH or without.",
      },
      { id: "MUST-60", text: "Without PUSH in SEND, data is not held for ever." },
      { id: "MUST-61", text: "Without PUSH in SEND, PSH stands on the last queued segment." },
      { id: "SHLD-27", text: "Successive PSH bits collapse into one." },
      { id: "MUST-47", text: "Soft errors reach the application asynchronously." },
      { id: "SHLD-20", text: "The application may do without these reports." },
      { id: "MUST-48", text: "The application can set the Diffserv field." },
      { id: "SHLD-21", text: "The Diffserv field can be changed during the connection." },
      { id: "SHLD-22", text: "The Diffserv field is passed to IP as it is." },
      {
        id: "SHLD-23",
        text: "The Diffserv field is better left alone during the connection.",
        reason: "Advice to applications, not to a TCP.",
      },
      { id: "MAY-9", text: "The received Diffserv field is told to the application.", reason: "Not done." },
      { id: "MUST-49", text: "TTL or hop limit can be set." },
    ],
  },
  {
    title: "§3.9.2 Interface to IP",
    requirements: [
      { id: "MUST-50", text: "IP options that are not understood are ignored." },
      { id: "MAY-10", text: "The Timestamp option of IP.", reason: "Not done: no IP options are sent." },
      { id: "MAY-11", text: "The Record Route option of IP.", reason: "Not done: no IP options are sent." },
      {
        id: "MUST-51",
        text: "The application can give a source route.",
        reason:
          "Source routes of IPv4 are deprecated (RFC 7126 §4.3: routers and hosts drop them); IP options of ours are never sent.",
      },
      { id: "MUST-52", text: "That source route comes before one of a datagram.", reason: "No source routes, see MUST-51." },
      {
        id: "MUST-53",
        text: "The passive side answers along a received source route.",
        reason: "No source routes, see MUST-51: answers go the way that the routing table names.",
      },
      { id: "SHLD-24", text: "A later source route comes before an earlier one.", reason: "No source routes, see MUST-51." },
      { id: "MUST-54", text: "ICMP errors are acted on." },
      { id: "MUST-55", text: "Source quench is dropped in silence." },
      { id: "MUST-56", text: "Soft ICMP errors end no connection." },
      { id: "SHLD-25", text: "Soft ICMP errors reach the application." },
      { id: "SHLD-26", text: "Hard ICMP errors end the attempt to connect." },
      { id: "MUST-57", text: "A SYN to broadcast or multicast is dropped in silence." },
      { id: "MUST-63", text: "A SYN from an invalid source address is ignored." },
    ],
  },
  {
    title: "§3.10 Event processing",
    requirements: [
      { id: "MAY-12", text: "ACKs outside the range of RFC 5961 §5 are dropped." },
      { id: "MAY-13", text: "Out-of-order segments are acknowledged at once." },
      { id: "SHLD-31", text: "Out-of-order segments are kept." },
    ],
  },
];
