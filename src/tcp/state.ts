/**
 * The states of a connection and the transitions between them (RFC 9293 §3.3.2). The table is the only truth: `setState`
 * checks against it, the diagram in `src/README.md` is drawn from it, and the exhaustive test walks it.
 */

export const STATES = [
  "CLOSED",
  "LISTEN",
  "SYN-SENT",
  "SYN-RECEIVED",
  "ESTABLISHED",
  "FIN-WAIT-1",
  "FIN-WAIT-2",
  "CLOSE-WAIT",
  "CLOSING",
  "LAST-ACK",
  "TIME-WAIT",
] as const;

export type State = (typeof STATES)[number];

export interface Transition {
  readonly from: State;
  readonly to: State;
  /** What makes it happen, as the RFC's figure 5 words it. */
  readonly event: string;
  /** What is sent, or "". */
  readonly action: string;
  /** Not drawn in figure 5 of the RFC, but in its text. */
  readonly inTextOnly?: true;
}

export const TRANSITIONS: readonly Transition[] = [
  { from: "CLOSED", to: "LISTEN", event: "passive OPEN", action: "" },
  { from: "CLOSED", to: "SYN-SENT", event: "active OPEN", action: "SYN" },
  { from: "LISTEN", to: "SYN-RECEIVED", event: "rcv SYN", action: "SYN,ACK" },
  { from: "LISTEN", to: "SYN-SENT", event: "SEND", action: "SYN" },
  { from: "LISTEN", to: "CLOSED", event: "CLOSE", action: "" },
  { from: "SYN-SENT", to: "SYN-RECEIVED", event: "rcv SYN", action: "SYN,ACK" },
  { from: "SYN-SENT", to: "ESTABLISHED", event: "rcv SYN,ACK", action: "ACK" },
  { from: "SYN-SENT", to: "CLOSED", event: "CLOSE, RST or time-out", action: "" },
  { from: "SYN-RECEIVED", to: "ESTABLISHED", event: "rcv ACK of SYN", action: "" },
  { from: "SYN-RECEIVED", to: "FIN-WAIT-1", event: "CLOSE", action: "FIN" },
  { from: "SYN-RECEIVED", to: "LISTEN", event: "rcv RST after passive OPEN", action: "" },
  { from: "SYN-RECEIVED", to: "CLOSED", event: "RST, ABORT or time-out", action: "", inTextOnly: true },
  { from: "ESTABLISHED", to: "FIN-WAIT-1", event: "CLOSE", action: "FIN" },
  { from: "ESTABLISHED", to: "CLOSE-WAIT", event: "rcv FIN", action: "ACK" },
  { from: "ESTABLISHED", to: "CLOSED", event: "RST, ABORT or time-out", action: "", inTextOnly: true },
  { from: "FIN-WAIT-1", to: "FIN-WAIT-2", event: "rcv ACK of FIN", action: "" },
  { from: "FIN-WAIT-1", to: "CLOSING", event: "rcv FIN", action: "ACK" },
  { from: "FIN-WAIT-1", to: "CLOSED", event: "RST, ABORT or time-out", action: "", inTextOnly: true },
  { from: "FIN-WAIT-2", to: "TIME-WAIT", event: "rcv FIN", action: "ACK" },
  { from: "FIN-WAIT-2", to: "CLOSED", event: "RST, ABORT or time-out", action: "", inTextOnly: true },
  { from: "CLOSE-WAIT", to: "LAST-ACK", event: "CLOSE", action: "FIN" },
  { from: "CLOSE-WAIT", to: "CLOSED", event: "RST, ABORT or time-out", action: "", inTextOnly: true },
  { from: "CLOSING", to: "TIME-WAIT", event: "rcv ACK of FIN", action: "" },
  { from: "CLOSING", to: "CLOSED", event: "RST, ABORT or time-out", action: "", inTextOnly: true },
  { from: "LAST-ACK", to: "CLOSED", event: "rcv ACK of FIN", action: "" },
  { from: "TIME-WAIT", to: "CLOSED", event: "2MSL time-out", action: "" },
];

const ALLOWED: ReadonlyMap<State, ReadonlySet<State>> = new Map(
  STATES.map((from) => [from, new Set(TRANSITIONS.filter((t) => t.from === from).map((t) => t.to))]),
);

export function isTransition(from: State, to: State): boolean {
  return ALLOWED.get(from)?.has(to) === true;
}

/** The synchronized states (RFC 9293 §3.5.2): both sides know each other's sequence numbers. */
export function isSynchronized(state: State): boolean {
  return state !== "CLOSED" && state !== "LISTEN" && state !== "SYN-SENT" && state !== "SYN-RECEIVED";
}
