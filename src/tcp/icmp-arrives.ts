/** ICMP errors passed up by IP (RFC 9293 §3.9.2.2, RFC 5461, RFC 5927). */
import { seqGe, seqLt } from "../base/seq.js";
import type { Micros } from "../base/time.js";
import type { IcmpError, IcmpErrorKind } from "../wire/icmp.js";
import { EVENT_TROUBLE } from "./event-bits.js";
import type { Failure } from "./events.js";
import { linuxIcmp } from "./linux-icmp.js";
import { packetTooBig } from "./path-mtu.js";
import { fail } from "./set-state.js";
import type { Tcb } from "./tcb.js";

/**
 * Acts on an error whose quote names this connection. The quoted sequence number must be of something outstanding, or it is a
 * guess (RFC 5927 §4.1). Hard errors end a connection attempt alone: a synchronized connection treats them as soft
 * (RFC 5461 §4.1, RFC 5927 §5.2; RFC 9293 SHLD-26 in later practice. Note: Linux does the same).
 */
export function icmpArrives(tcb: Tcb, error: IcmpError, now: Micros): string {
  if (tcb.state === "CLOSED" || tcb.state === "LISTEN" || tcb.state === "TIME-WAIT") return "ICMP error: nothing is outstanding";
  if (tcb.linux !== undefined) return linuxIcmp(tcb, tcb.linux, error, now);
  if (!(seqGe(error.quotedSeq, tcb.snd.una) && seqLt(error.quotedSeq, tcb.snd.max))) {
    return "ICMP error dropped: it quotes nothing that is outstanding";
  }
  // MUST-55, RFC 6633.
  if (error.kind === "source-quench") return "ICMP source quench dropped";
  if (error.kind === "packet-too-big") return packetTooBig(tcb, error, now);
  if (tcb.config.arrivalRules === "bsd") return bsdIcmp(tcb, error, now);
  const failure = FAILURES[error.kind];
  if (failure === undefined) return "ICMP error noted";
  tcb.softError = failure;
  tcb.events |= EVENT_TROUBLE;
  const opening = tcb.state === "SYN-SENT" || (tcb.state === "SYN-RECEIVED" && !tcb.passive);
  if (!opening || !HARD.has(error.kind)) return "ICMP error noted as soft (MUST-56)";
  fail(tcb, failure, `ICMP ${error.kind}`, now);
  return "ICMP error ends the attempt to connect";
}

/**
 * As FreeBSD has it (tcp_ctlinput, icmp_errmap, tcp_notify): what says that nobody is there ends SYN-SENT, all else only a connection
 * that is not open after the fourth repetition, and when it is not the first error.
 */
function bsdIcmp(tcb: Tcb, error: IcmpError, now: Micros): string {
  const failure = bsdFailure(error);
  if (failure === undefined) return "ICMP error dropped";
  const ends = failure === "ECONNREFUSED" || error.kind === "time-exceeded";
  if (ends && tcb.config.icmpEndsSynSent) {
    if (tcb.state !== "SYN-SENT") return "ICMP error dropped: the peer has answered";
    fail(tcb, failure, `ICMP ${error.kind}`, now);
    return "ICMP error ends the attempt to connect";
  }
  if (tcb.state === "SYN-RECEIVED" && tcb.passive) return "ICMP error noted";
  if (tcb.state === "ESTABLISHED" && failure === "EHOSTUNREACH") return "ICMP error dropped: the connection is open";
  const isOpening = tcb.state === "SYN-SENT" || tcb.state === "SYN-RECEIVED";
  if (isOpening && tcb.backoffs > BSD_PATIENCE && tcb.softError !== undefined) {
    fail(tcb, failure, `ICMP ${error.kind}`, now);
    return "ICMP error ends the attempt to connect, for it is not the first";
  }
  tcb.softError = failure;
  tcb.events |= EVENT_TROUBLE;
  return "ICMP error noted as soft (MUST-56)";
}

const BSD_PATIENCE = 3;

function bsdFailure(error: IcmpError): Failure | undefined {
  const { family, code, kind } = error;
  if (kind === "time-exceeded") return code === 0 ? "EHOSTUNREACH" : undefined;
  if (kind === "parameter-problem")
    return family === 6 && code === 1 ? "ECONNREFUSED" : code < 2 || family === 6 ? "ENOPROTOOPT" : undefined;
  if (!isUnreachable(error)) return undefined;
  if (family === 4) return [2, 3, 9, 10, 13].includes(code) ? "ECONNREFUSED" : code < 16 ? "EHOSTUNREACH" : undefined;
  // icmp6_errmap.
  if (code === 1 || code === 4) return "ECONNREFUSED";
  if (code === 2) return "ENOPROTOOPT";
  return code < 4 ? "EHOSTUNREACH" : undefined;
}

function isUnreachable({ family, type }: IcmpError): boolean {
  return type === (family === 4 ? 3 : 1);
}

const FAILURES: Readonly<Partial<Record<IcmpErrorKind, Failure>>> = {
  "network-unreachable": "ENETUNREACH",
  "host-unreachable": "EHOSTUNREACH",
  "protocol-unreachable": "ECONNREFUSED",
  "port-unreachable": "ECONNREFUSED",
  "admin-prohibited": "EHOSTUNREACH",
  "time-exceeded": "EHOSTUNREACH",
  "parameter-problem": "EHOSTUNREACH",
};

/** RFC 9293 SHLD-26: unreachable codes 2 to 4 and what means the same. */
const HARD: ReadonlySet<IcmpErrorKind> = new Set(["protocol-unreachable", "port-unreachable", "admin-prohibited"]);
