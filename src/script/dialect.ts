/**
 * For which system a script was written. packetdrill's scripts do not say: they run on the system under test. What they do tells it.
 */
import type { ProfileName } from "../tcp/profiles.js";
import { SYN } from "../wire/tcp-flags.js";
import type { CallEvent, Expression, PacketEvent, Script, ScriptEvent } from "./ast.js";

/**
 * The profile that a script asks for by what only FreeBSD has: its sysctls and modules, its socket options, or the order and padding in
 * which its first SYN or SYN-ACK has its options; where that order is not Linux's, also by names of states that only packetdrill's FreeBSD
 * port has. undefined when nothing tells.
 */
export function profileOfScript({ events }: Script): ProfileName | undefined {
  let isFirstSyn = true;
  let hasLinuxOrder = false;
  let namesStates = false;
  for (const { action } of events) {
    if (action.kind === "command" && FREEBSD_COMMAND.test(action.command)) return "freebsd";
    if (action.kind === "call" && namesFreeBsd(action.call)) return "freebsd";
    if (action.kind === "code") namesStates ||= FREEBSD_STATE.test(action.code);
    if (!isFirstSyn || !isOurSyn(action)) continue;
    isFirstSyn = false;
    if (hasBsdOrder(action.packet)) return "freebsd";
    hasLinuxOrder = action.packet.options?.some(({ kind }) => kind === "window-scale") === true;
  }
  return namesStates && !hasLinuxOrder ? "freebsd" : undefined;
}

/**
 * Takes from a text what is for other systems: parts between `#ifdef FreeBSD` (Linux, OpenBSD, NetBSD) and `#endif`, as packetdrill's
 * FreeBSD port has them. Without a profile such parts choose FreeBSD if one of them is for it. Lines keep their numbers.
 */
export function textForProfile(text: string, profile?: ProfileName): { readonly text: string; readonly profile?: ProfileName } {
  const systems = [...text.matchAll(CONDITIONAL)].map(([, system = ""]) => system.toLowerCase());
  const chosen = profile ?? (systems.includes("freebsd") ? "freebsd" : undefined);
  const wanted = chosen === "freebsd" ? "freebsd" : "linux";
  const kept = text.replace(CONDITIONAL, (_all, system: string, body: string) =>
    system.toLowerCase() === wanted ? body : body.replace(/[^\n]/g, ""),
  );
  return chosen === undefined ? { text: kept } : { text: kept, profile: chosen };
}

const CONDITIONAL = /#ifdef +(FreeBSD|Linux|OpenBSD|NetBSD|Darwin)\b([\s\S]*?)#endif/gi;

const FREEBSD_COMMAND = /\b(?:net\.inet6?\.|kern\.(?:ipc|features|conftxt|timecounter|eventtimer)\b|kldload\b|kldstat\b)/;

const FREEBSD_STATE =
  /\bTCPI_(?:CLOSED|LISTEN|SYN_SENT|SYN_RECEIVED|ESTABLISHED|CLOSE_WAIT|FIN_WAIT_[12]|CLOSING|LAST_ACK|TIME_WAIT)\b/;

const FREEBSD_NAME =
  /^(?:TCP_(?:FUNCTION_BLK|FUNCTION_ALIAS|LOG|LOGBUF|LOGID|LOGID_TAG|LOGID_CNT|LOGDUMP|LOGDUMPID|NOOPT|NOPUSH|KEEPINIT|REMOTE_UDP_ENCAPS_PORT|RACK_\w+|BBR_\w+|MAXUNACKTIME|IDLE_REDUCE|DATA_AFTER_CLOSE|USE_CMP_ACKS|PERF_INFO|STATS)|SO_(?:NOSIGPIPE|ACCEPTFILTER|LISTENQLIMIT|LISTENQLEN|LISTENINCQLEN|USELOOPBACK|NO_DDP|NO_OFFLOAD|USER_COOKIE|SETFIB)|MSG_(?:EOF|NBIO|NOTIFICATION)|FIONWRITE|FIONSPACE)$/;

function namesFreeBsd({ args }: CallEvent): boolean {
  return args.some((argument) => names(argument));
}

function names(expression: Expression): boolean {
  switch (expression.kind) {
    case "name":
      return FREEBSD_NAME.test(expression.name);
    case "binary":
      return names(expression.left) || names(expression.right);
    case "list":
      return expression.items.some(names);
    case "struct":
      return expression.fields.some(({ value }) => names(value));
    default:
      return false;
  }
}

function isOurSyn(action: ScriptEvent["action"]): action is { readonly kind: "packet"; readonly packet: PacketEvent } {
  return action.kind === "packet" && action.packet.direction === "out" && (action.packet.flags & SYN) !== 0;
}

/** FreeBSD: mss, nop, wscale, sackOK, TS, padded with eol. Linux: mss, sackOK, TS, nop, wscale, and never an eol. */
function hasBsdOrder({ options }: PacketEvent): boolean {
  if (options === null) return false;
  const at = (kind: string): number => options.findIndex((option) => option.kind === kind);
  if (at("eol") >= 0) return true;
  const scale = at("window-scale");
  if (scale < 0) return false;
  return [at("sack-permitted"), at("ts")].some((other) => other > scale);
}
