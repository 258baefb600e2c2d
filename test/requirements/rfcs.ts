/**
 * The RFCs besides 9293 by which the engine goes, section by section as far as they ask something of it, in a few words of our
 * own. A test that names "RFC 5961 §3.2" shows that row, and so does one that names a subsection of it.
 */
export interface Section {
  /** "3.2" */
  readonly section: string;
  readonly text: string;
  /** Why no test shows it. */
  readonly reason?: string;
}

export interface Rfc {
  readonly number: string;
  readonly title: string;
  readonly sections: readonly Section[];
}

export const RFCS: readonly Rfc[] = [
  {
    number: "1191",
    title: "Path MTU discovery for IPv4",
    sections: [
      { section: "3", text: "the IP header carries Don't Fragment; the send size follows the path" },
      { section: "6", text: "stale estimates are dropped; TCP repeats what was too large" },
      { section: "7", text: "routers that tell no MTU: plateaus; increases are detected" },
    ],
  },
  {
    number: "8201",
    title: "Path MTU discovery for IPv6",
    sections: [
      { section: "4", text: "packet too big lowers the send size, never below 1280 bytes" },
      { section: "5", text: "the transport repeats what was too large, without a congestion response" },
    ],
  },
  {
    number: "4821",
    title: "Packetization-layer path MTU discovery",
    sections: [
      { section: "7", text: "a blackhole is found without ICMP" },
      { section: "7.4", text: "when a probe may be sent: enough data behind it to tell of its loss" },
      { section: "7.5", text: "the search begins anew after a while" },
      { section: "7.6", text: "what a probe's arrival and its loss mean; a lost probe is no congestion" },
    ],
  },
  {
    number: "8899",
    title: "Datagram packetization-layer path MTU discovery",
    sections: [
      { section: "5.1.2", text: "MAX_PROBES: several losses of one size are a verdict" },
      { section: "5.3", text: "the search for a larger path MTU, and again later" },
    ],
  },
  { number: "1337", title: "TIME-WAIT hazards", sections: [{ section: "3", text: "RST does not end TIME-WAIT (fix F1)" }] },
  {
    number: "2018",
    title: "Selective acknowledgment",
    sections: [
      { section: "2", text: "SACK-permitted in SYN and SYN-ACK" },
      { section: "3", text: "the form of the option, how many blocks fit" },
      { section: "4", text: "the receiver: the most recent block first, earlier ones repeated" },
      { section: "5", text: "the sender keeps what was reported and repeats only what is missing" },
      { section: "8", text: "the sender may not rely on reported data before it is acknowledged: a time-out forgets it" },
    ],
  },
  {
    number: "2883",
    title: "D-SACK",
    sections: [
      { section: "4", text: "the receiver reports a duplicate in the first block, once" },
      { section: "5", text: "the sender tells a D-SACK from a SACK" },
    ],
  },
  {
    number: "3042",
    title: "Limited transmit",
    sections: [{ section: "2", text: "the first two duplicate ACKs let new data out" }],
  },
  {
    number: "3168",
    title: "ECN",
    sections: [
      { section: "6.1.1", text: "negotiation in SYN and SYN-ACK" },
      { section: "6.1.1.1", text: "a SYN that is not answered is repeated without ECN" },
      { section: "6.1.2", text: "the sender: a reduction at most once a window, CWR" },
      { section: "6.1.3", text: "the receiver: ECE until CWR" },
      { section: "6.1.5", text: "no ECT on retransmissions" },
      { section: "6.1.6", text: "no ECT on window probes" },
    ],
  },
  { number: "5482", title: "User time-out", sections: [{ section: "3", text: "the local user time-out replaces R2" }] },
  {
    number: "5681",
    title: "Congestion control",
    sections: [
      { section: "2", text: "what a duplicate ACK is" },
      { section: "3.1", text: "slow start and congestion avoidance, a time-out" },
      { section: "3.2", text: "fast retransmit and fast recovery" },
      { section: "4.1", text: "restart after idle" },
      { section: "4.2", text: "when ACKs are generated" },
    ],
  },
  {
    number: "5927",
    title: "ICMP attacks",
    sections: [
      { section: "4.1", text: "the quoted sequence number is checked" },
      { section: "5.2", text: "hard errors are soft once synchronized" },
      { section: "7", text: "a forged packet too big does no harm" },
    ],
  },
  {
    number: "5961",
    title: "Blind in-window attacks",
    sections: [
      { section: "3", text: "RST: exact, or challenged" },
      { section: "4", text: "SYN: challenged" },
      { section: "5", text: "ACK: within the largest window" },
      { section: "7", text: "challenge ACKs are limited" },
    ],
  },
  { number: "6056", title: "Port randomization", sections: [{ section: "3.3", text: "ephemeral ports are chosen by a secret" }] },
  {
    number: "6191",
    title: "TIME-WAIT and timestamps",
    sections: [{ section: "2", text: "a later timestamp in a SYN ends TIME-WAIT" }],
  },
  {
    number: "6298",
    title: "Retransmission timer",
    sections: [
      { section: "2", text: "SRTT, RTTVAR and RTO from the samples; bounds" },
      { section: "3", text: "Karn's rule" },
      { section: "5.1", text: "the timer starts with data" },
      { section: "5.2", text: "all acknowledged: it stops" },
      { section: "5.3", text: "new data acknowledged: it starts anew" },
      { section: "5.4", text: "the earliest segment is repeated" },
      { section: "5.5", text: "the time-out doubles" },
      { section: "5.6", text: "the timer starts with it" },
      { section: "5.7", text: "after a repeated SYN the time-out is 3 s" },
    ],
  },
  {
    number: "6528",
    title: "Initial sequence numbers",
    sections: [{ section: "3", text: "a clock plus a keyed function of the four-tuple" }],
  },
  {
    number: "6582",
    title: "NewReno",
    sections: [
      { section: "3.2", text: "entry, partial ACKs, exit" },
      { section: "4", text: "no entry for the duplicates after a time-out" },
    ],
  },
  {
    number: "6675",
    title: "Recovery with SACK",
    sections: [
      { section: "4", text: "update, IsLost, SetPipe, NextSeg" },
      { section: "5", text: "the algorithm: one reduction, the pipe limits" },
    ],
  },
  { number: "6928", title: "Initial window", sections: [{ section: "2", text: "ten segments" }] },
  {
    number: "6937",
    title: "Proportional rate reduction",
    sections: [
      { section: "3", text: "what is sent in recovery follows what is delivered" },
      { section: "5", text: "the window comes down evenly, without a silence and a burst" },
    ],
  },
  {
    number: "7323",
    title: "Window scale, timestamps, PAWS",
    sections: [
      { section: "2", text: "the option in SYN and SYN-ACK, whose own windows are not scaled" },
      { section: "2.3", text: "shift of at most 14" },
      { section: "2.4", text: "a window that rounding retracts" },
      { section: "3", text: "timestamps on every segment once negotiated" },
      { section: "4.1", text: "round-trip times from echoes" },
      { section: "4.3", text: "which timestamp is echoed" },
      { section: "5", text: "PAWS" },
      { section: "5.5", text: "outdated timestamps after 24 days" },
      { section: "7.1", text: "the clock's start is no secret of the host" },
    ],
  },
  {
    number: "7413",
    title: "Fast Open",
    sections: [
      { section: "4.1", text: "the option, experimental form included" },
      { section: "4.1.2", text: "the server's cookies: bound to the address, key changed, the last one still good" },
      { section: "4.1.3", text: "what the client caches: cookie, MSS, and that SYNs got lost" },
      { section: "4.2", text: "a cookie is asked for, then used" },
      { section: "4.2.1", text: "the client: what the SYN-ACK does not acknowledge is sent again at once" },
      { section: "4.2.2", text: "the server: data before the handshake is done, or a plain handshake with a cookie" },
      { section: "5.1", text: "a limit of pending connections, in which those that were reset count for a while" },
      { section: "8.2", text: "data without a cookie where that was asked for" },
    ],
  },
  {
    number: "8985",
    title: "RACK-TLP",
    sections: [
      { section: "6.2", text: "loss by time: what was sent long enough before something delivered" },
      { section: "6.3", text: "the time-out marks what is lost" },
      { section: "7.2", text: "the probe is scheduled" },
      { section: "7.3", text: "the probe is sent" },
      { section: "7.4", text: "the loss that a probe repairs is found" },
    ],
  },
  { number: "9406", title: "HyStart++", sections: [{ section: "4.2", text: "rounds, CSS, leaving slow start" }] },
  {
    number: "9438",
    title: "CUBIC",
    sections: [
      { section: "4.2", text: "the window increase function" },
      { section: "4.3", text: "the Reno-friendly region" },
      { section: "4.6", text: "multiplicative decrease" },
      { section: "4.7", text: "fast convergence" },
      { section: "4.8", text: "time-out" },
      { section: "4.9", text: "spurious reductions are undone" },
      { section: "4.10", text: "slow start with HyStart++" },
    ],
  },
  {
    number: "9768",
    title: "Accurate ECN",
    sections: [
      { section: "3.1.1", text: "negotiation in SYN and SYN-ACK" },
      { section: "3.1.2", text: "peers of other kinds: classic, none, broken" },
      { section: "3.1.3", text: "values that are reserved" },
      { section: "3.1.4", text: "a path that lets no such SYN pass" },
      { section: "3.1.4.1", text: "SYNs that are repeated" },
      { section: "3.1.5", text: "what AccECN mode implies: ECT on every packet, no CWR, the last SYN counts" },
      { section: "3.2.2", text: "ACE counts marked packets" },
      { section: "3.2.2.1", text: "ACE of the third segment" },
      { section: "3.2.2.2", text: "the sender takes the count and answers" },
      { section: "3.2.2.3", text: "an ECN field that is overwritten on the way" },
      { section: "3.2.2.5.1", text: "ACKs that a change or a count asks for" },
      { section: "3.2.2.5.2", text: "a count that may have wrapped" },
      { section: "3.2.3", text: "the option: byte counters in both orders and four lengths" },
      { section: "3.2.3.2", text: "no option where none comes" },
      { section: "3.2.3.2.2", text: "an option that does not pass" },
      { section: "3.2.3.2.4", text: "an option that is wiped" },
      { section: "3.2.3.3", text: "which segments have the option" },
    ],
  },
];
