/**
 * ICMP errors as Linux takes them (tcp_v4_err, tcp_v6_err, icmp_err_convert, icmpv6_err_convert): any error ends an attempt to connect,
 * an open connection takes it for a soft one, and which errno it is goes by the code.
 */
import { seqDiff } from "../base/seq.js";
import type { Micros } from "../base/time.js";
import type { IcmpError } from "../wire/icmp.js";
import { EVENT_TROUBLE } from "./event-bits.js";
import type { Failure } from "./events.js";
import type { LinuxReceiver } from "./linux-receiver.js";
import { packetTooBig } from "./path-mtu.js";
import { fail, setState } from "./set-state.js";
import type { Tcb } from "./tcb.js";
import { withinPatience } from "./user-timeout.js";

/** Acts on an error whose quote names this connection. Returns what was made of it. */
export function linuxIcmp(tcb: Tcb, linux: LinuxReceiver, error: IcmpError, now: Micros): string {
  const { fastOpen, snd } = tcb;
  if (tcb.state === "SYN-RECEIVED" && tcb.passive && !fastOpen.accepted) return halfOpen(tcb, error, now);
  // SND.NXT itself is taken too, though nothing that has left begins there. A Fast Open server has its SYN-ACK outstanding.
  const oldest = tcb.state === "SYN-RECEIVED" ? tcb.iss : snd.una;
  const distance = seqDiff(error.quotedSeq, oldest);
  if (distance < 0 || distance > seqDiff(snd.max, oldest)) return "ICMP error dropped: it quotes nothing that is outstanding";
  if (error.kind === "packet-too-big") return packetTooBig(tcb, error, now);
  const failure = failureOf(error);
  if (failure === undefined) return "ICMP error noted";
  // A Fast Open connection that the user has is as good as open.
  if (tcb.state === "SYN-SENT" || (tcb.state === "SYN-RECEIVED" && !(fastOpen.accepted && fastOpen.handedOver))) {
    linux.hasErrorQueued = true;
    fail(tcb, failure, `ICMP ${error.kind}`, now);
    return "ICMP error ends the attempt to connect";
  }
  if (isWithoutRoute(error)) takeBackDoubling(tcb, error.quotedSeq, now);
  tcb.softError = failure;
  tcb.events |= EVENT_TROUBLE;
  return "ICMP error noted as soft (MUST-56)";
}

/** A half-open connection of a listener is forgotten, if the error is one of the hard ones (tcp_req_err). */
function halfOpen(tcb: Tcb, error: IcmpError, now: Micros): string {
  if (error.quotedSeq !== tcb.iss || !isFatal(error)) return "ICMP error noted";
  setState(tcb, "LISTEN", `ICMP ${error.kind}`, now);
  return "ICMP error: half-open connection forgotten";
}

/** In IPv4 what says that no packet arrives, in IPv6 what says that no port or no permission is there. */
function isFatal(error: IcmpError): boolean {
  const { family, code, kind } = error;
  if (kind === "parameter-problem") return true;
  if (family === 4) return (kind === "time-exceeded" && code !== REASSEMBLY) || (isUnreachable(error) && code < 2);
  return isUnreachable(error) && code !== NO_ROUTE && code !== NOT_NEIGHBOUR && code !== ADDRESS_UNREACHABLE;
}

/**
 * A router says that the path is broken: it was no congestion that lost the segment, so the last doubling of the time-out is taken back
 * (RFC 6069). What would have been due by that goes at once.
 */
function takeBackDoubling(tcb: Tcb, quotedSeq: number, now: Micros): void {
  const { linuxSender, sent } = tcb;
  const { first } = sent;
  if (linuxSender === undefined || first === undefined || quotedSeq !== tcb.snd.una) return;
  if (tcb.backoffs === 0 || linuxSender.backoff === 0) return;
  linuxSender.backoff--;
  const due = Math.max(now, first.sentAt + tcb.rtt.backedOff(linuxSender.backoff));
  tcb.timers.retransmission = withinPatience(tcb, due);
}

/** What RFC 6069 calls a connectivity disruption: no route to the network, or to the host. */
function isWithoutRoute(error: IcmpError): boolean {
  return isUnreachable(error) && error.code < (error.family === 4 ? 2 : 1);
}

function isUnreachable({ family, type }: IcmpError): boolean {
  return type === (family === 4 ? 3 : 1);
}

/** Codes of time exceeded, and of unreachable in IPv6. */
const REASSEMBLY = 1;
const NO_ROUTE = 0;
const NOT_NEIGHBOUR = 2;
const ADDRESS_UNREACHABLE = 3;

function failureOf(error: IcmpError): Failure | undefined {
  const { family, code, kind } = error;
  if (isUnreachable(error)) return family === 4 ? UNREACHABLE_4[code] : (UNREACHABLE_6[code] ?? "EPROTO");
  if (kind === "time-exceeded") return family === 4 && code === REASSEMBLY ? undefined : "EHOSTUNREACH";
  return kind === "parameter-problem" ? "EPROTO" : undefined;
}

const UNREACHABLE_4: readonly Failure[] = [
  ...(["ENETUNREACH", "EHOSTUNREACH", "ENOPROTOOPT", "ECONNREFUSED", "EHOSTUNREACH", "EOPNOTSUPP", "ENETUNREACH"] as const),
  ...(["EHOSTDOWN", "ENONET", "ENETUNREACH", "EHOSTUNREACH", "ENETUNREACH", "EHOSTUNREACH", "EHOSTUNREACH"] as const),
  ...(["EHOSTUNREACH", "EHOSTUNREACH"] as const),
];
const UNREACHABLE_6: readonly Failure[] = [
  ...(["ENETUNREACH", "EACCES", "EHOSTUNREACH", "EHOSTUNREACH", "ECONNREFUSED", "EACCES", "EACCES"] as const),
];
