/** Exit codes of the command line, and the one line that goes with each failure. */
import { networkInterfaces } from "node:os";
import { capabilityAdvice } from "../kernel/capabilities.js";

export const EXIT = {
  success: 0,
  /** Anything that has no code of its own. */
  failure: 1,
  /** The command line is wrong, or names what does not exist. */
  usage: 2,
  /** The peer answered our SYN with RST. */
  refused: 3,
  /** No answer in time. */
  timedOut: 4,
  /** The peer ended the connection with RST. */
  reset: 5,
  /** No route, or ICMP said so. */
  unreachable: 6,
  /** Rights, libraries or the port guard are missing. */
  environment: 7,
  /** The local port is taken. */
  portTaken: 8,
  /** 128 + the signal's number, as shells have it: SIGHUP, SIGINT (Ctrl-C), SIGTERM. */
  hungUp: 129,
  interrupted: 130,
  terminated: 143,
} as const;

/** For `--help`. */
export const EXIT_HELP =
  "Exit codes: 0 success, 1 failure, 2 wrong command line, 3 refused, 4 timed out, 5 reset by the peer, 6 unreachable, 7 rights or libraries missing, 8 port taken, 130 Ctrl-C, 143 SIGTERM.";

/** How a command ended: what the user is told ("" for nothing), and the exit code. */
export interface Verdict {
  readonly message: string;
  readonly exitCode: number;
}

export const SUCCESS: Verdict = { message: "", exitCode: EXIT.success };

const CODES: Readonly<Record<string, number>> = {
  ECONNREFUSED: EXIT.refused,
  ETIMEDOUT: EXIT.timedOut,
  ECONNRESET: EXIT.reset,
  EPIPE: EXIT.reset,
  EHOSTUNREACH: EXIT.unreachable,
  ENETUNREACH: EXIT.unreachable,
  EPERM: EXIT.environment,
  EACCES: EXIT.environment,
  EGUARD: EXIT.environment,
  ENOENT: EXIT.environment,
  ERR_CAP_MISSING: EXIT.environment,
  ERR_RAW_SOCKET_MISSING: EXIT.environment,
  ERR_KOFFI_MISSING: EXIT.environment,
  EAFNOSUPPORT: EXIT.environment,
  EADDRINUSE: EXIT.portTaken,
  ENOTFOUND: EXIT.usage,
  EADDRNOTAVAIL: EXIT.usage,
  EINVAL: EXIT.usage,
  ERR_REMOTE_TARGET: EXIT.usage,
  ERR_SPOOFED_SOURCE: EXIT.usage,
  ERR_RATE: EXIT.usage,
  ERR_CRAFT_FIELD: EXIT.usage,
  ERR_CRAFT_LAYERS: EXIT.usage,
  ERR_CRAFT_OPTIONS: EXIT.usage,
  ERR_CRAFT_TEMPLATE: EXIT.usage,
  ERR_CRAFT_FRAGMENT: EXIT.usage,
  ERR_SEND_FILE: EXIT.usage,
  ERR_INVALID_ADDRESS: EXIT.usage,
  ERR_LINK_TYPE: EXIT.usage,
  ERR_PCAP_FILE: EXIT.usage,
  ERR_CAPTURE_FILE: EXIT.usage,
  ERR_FILTER: EXIT.usage,
  ENODEV: EXIT.usage,
  ERR_LIBPCAP_MISSING: EXIT.environment,
};

/** One clear line for an error of any origin. */
export function judge(error: unknown): Verdict {
  if (!(error instanceof Error)) return { message: oneLine(String(error)), exitCode: EXIT.failure };
  const code = "code" in error && typeof error.code === "string" ? error.code : "";
  const mend = mendFor(code, error.message);
  return {
    message: `${oneLine(error.message)}${mend === "" ? "" : ` (${mend})`}`,
    exitCode: CODES[code] ?? EXIT.failure,
  };
}

/** What mends it, where the message itself does not say so. */
function mendFor(code: string, message: string): string {
  switch (code) {
    case "EPERM":
    case "EACCES":
      return message.includes("CAP_NET_") ? "" : capabilityAdvice();
    case "EADDRINUSE":
      return "choose another port, or see who holds it: ss -ltnp";
    case "EADDRNOTAVAIL":
      return `this host has: ${ownAddresses()}`;
    case "ECONNREFUSED":
      return "nobody listens there: see ss -ltn";
    case "ETIMEDOUT":
      return "no answer: a firewall, or nobody at that address";
    case "ECONNRESET":
      return "the peer ended the connection with RST";
    default:
      return "";
  }
}

function ownAddresses(): string {
  const list = Object.values(networkInterfaces()).flatMap((entries) => (entries ?? []).map((entry) => entry.address));
  return list.join(", ") || "no address";
}

function oneLine(text: string): string {
  return text.replace(/\s*\n\s*/g, " ").trim();
}
