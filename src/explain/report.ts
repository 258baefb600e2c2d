/** A followed connection in words, as a ladder, and as JSON (documented in `README.md` beside this file). */
import { formatDuration, type Micros } from "../base/time.js";
import { Ladder, type LadderOptions } from "../observe/ladder.js";
import { count } from "../observe/phrases.js";
import type { RttStatistics, Way } from "./analysis.js";
import type { FollowedConnection } from "./connection.js";
import { labelOf } from "./connection.js";
import type { Explainer } from "./explainer.js";
import { type Handshake, negotiated, type SynOffer } from "./handshake.js";
import { INCIDENT_KINDS } from "./incident.js";

/** One line for the list of connections. */
export function listLine(connection: FollowedConnection): string {
  const { number, names, segments, ways, handshake, close, ends } = connection;
  const [a, b] = ways;
  const trouble = ([0, 1] as const).reduce<number>((sum, i) => sum + (connection.counts[i].kinds.get("retransmission") ?? 0), 0);
  const pieces = [
    `${names[0]} > ${names[1]}`,
    count(segments, "segment"),
    `${a.goodBytes} + ${count(b.goodBytes, "byte")}`,
    formatDuration(connection.lastAt - connection.firstAt),
    `opened: ${handshake.name}`,
    `closed: ${close.name(ends)}`,
  ];
  if (trouble > 0) pieces.push(count(trouble, "retransmission"));
  return `${String(number).padStart(4)}  ${pieces.join(", ")}`;
}

/** What became of the connection, a few lines. */
export function summaryLines(connection: FollowedConnection): string[] {
  const { number, names, incarnation, handshake, close, ends, ways } = connection;
  const lines = [
    `connection ${number}: ${names[0]} > ${names[1]}${incarnation > 1 ? ` (number ${incarnation} of these addresses and ports)` : ""}`,
    `  frames from ${connection.firstFrame}, ${count(connection.segments, "segment")} in ${formatDuration(connection.lastAt - connection.firstAt)}`,
    `  opened: ${openingText(handshake)}`,
  ];
  for (const i of [0, 1] as const) {
    const offer = handshake.offers[i];
    if (offer !== null) lines.push(`    ${names[i]} offered ${offerText(offer)}`);
  }
  lines.push(`  closed: ${closingText(connection)}`);
  if (close.reset !== null) lines.push(`  reset by ${names[close.reset.by]} in frame ${close.reset.frame}: ${close.reset.cause}`);
  for (const i of [0, 1] as const) {
    const end = ends[i];
    const guess = end.isAssumed ? " (its opening was not captured)" : "";
    lines.push(`  ${names[i]}: ${end.history.join(" > ") || end.state}${guess}`);
    lines.push(`    ${wayText(ways[i], connection)}`);
    const counts = countTexts(connection, i);
    if (counts.length > 0) lines.push(`    ${counts.join(", ")}`);
  }
  if (connection.cutSegments > 0)
    lines.push(`  ${count(connection.cutSegments, "segment")} cut by the capture's snapshot length`);
  return lines;
}

/** The drawing, a line at a time. Where the limit left segments out, a line says how many. */
export function drawLadder(connection: FollowedConnection, options: LadderOptions, write: (line: string) => void): void {
  const { head, omitted, tail } = connection.drawing;
  const isOpener = connection.handshake.name !== "not captured";
  const titles = isOpener ? { ourTitle: "client", peerTitle: "server" } : { ourTitle: "seen first", peerTitle: "the other" };
  const ladder = new Ladder({ ...titles, ...options, conn: connection.number }, write);
  for (const step of head) for (const event of step) ladder.event(event);
  if (omitted > 0) {
    const t = tail[0]?.[0]?.t ?? 0;
    const reason = `${count(omitted, "segment")} left out here: --limit 0 draws all`;
    ladder.event({ t, conn: connection.number, type: "packet", dir: "in", text: "…", reason });
  }
  for (const step of tail) for (const event of step) ladder.event(event);
  ladder.end();
}

/** The capture as a whole, for JSON; keys as `README.md` documents them. */
export function captureJson(explainer: Explainer): object {
  const { format, packets, segments, connections, error } = explainer;
  return {
    type: "capture",
    format,
    packets,
    segments,
    connections: connections.length,
    unfollowed: Object.fromEntries(explainer.unfollowed),
    error: error === null ? null : { message: error.message, offset: error.offset },
  };
}

/** A connection for JSON; keys as `README.md` documents them. Times are µs, sizes bytes. */
export function connectionJson(connection: FollowedConnection): object {
  const { number, names, incarnation, handshake, close, ends } = connection;
  return {
    type: "connection",
    connection: number,
    incarnation,
    firstFrame: connection.firstFrame,
    startUs: connection.firstAt,
    durationUs: connection.lastAt - connection.firstAt,
    segments: connection.segments,
    cutSegments: connection.cutSegments,
    handshake: {
      name: handshake.name,
      rttUs: orNull(handshake.rttUs),
      repeats: handshake.repeats,
      agreed: negotiated(handshake),
    },
    close: { name: close.name(ends), first: close.first === null ? null : names[close.first], reset: resetJson(connection) },
    ends: ([0, 1] as const).map((i) => endJson(connection, i)),
    incidents: connection.incidents.map((incident) => ({ ...incident, end: names[incident.end], label: labelOf(incident) })),
    untoldIncidents: connection.untoldIncidents,
  };
}

function resetJson({ close: { reset }, names }: FollowedConnection): object | null {
  return reset === null ? null : { by: names[reset.by], frame: reset.frame, cause: reset.cause };
}

function endJson(connection: FollowedConnection, i: 0 | 1): object {
  const end = connection.ends[i];
  const way = connection.ways[i];
  const { kinds, causes } = connection.counts[i];
  const { rtt } = way;
  const hasRtt = rtt.samples > 0;
  return {
    address: connection.names[i],
    state: end.state,
    states: end.history,
    assumed: end.isAssumed,
    offered: connection.handshake.offers[i],
    segments: way.segments,
    payloadBytes: way.payloadBytes,
    newBytes: way.goodBytes,
    largestPayload: way.largestPayload,
    goodputBps: goodputOf(way),
    rtt: {
      samples: rtt.samples,
      minUs: hasRtt ? rtt.minUs : null,
      avgUs: hasRtt ? Math.round(rtt.sumUs / rtt.samples) : null,
      maxUs: hasRtt ? rtt.maxUs : null,
    },
    counts: Object.fromEntries(INCIDENT_KINDS.map((kind) => [kind, kinds.get(kind) ?? 0])),
    retransmissions: { ...Object.fromEntries(causes), spurious: way.spurious },
  };
}

function openingText(handshake: Handshake): string {
  const { name, repeats, rttUs } = handshake;
  const pieces: string[] = [OPENING_TEXT[name]];
  if (rttUs >= 0) pieces.push(`${formatDuration(rttUs)} from SYN to the last ACK`);
  if (repeats > 0) pieces.push(`${count(repeats, "SYN")} sent again`);
  const agreed = negotiated(handshake);
  if (agreed !== null) {
    const on = [
      agreed.windowScaling ? "window scaling" : "",
      agreed.sack ? "SACK" : "",
      agreed.timestamps ? "timestamps" : "",
      agreed.ecn ? "ECN" : "",
    ].filter((text) => text !== "");
    pieces.push(`agreed: ${on.join(", ") || "nothing"}`);
  }
  return pieces.join("; ");
}

const OPENING_TEXT: Readonly<Record<Handshake["name"], string>> = {
  "three-way": "three-way handshake",
  "Fast Open": "Fast Open: the SYN's data was taken (RFC 7413)",
  simultaneous: "simultaneous open: both ends sent a SYN",
  split: "split handshake: SYN and ACK of the answer came apart",
  refused: "refused: the SYN was answered by RST",
  unanswered: "unanswered: nothing but SYNs",
  incomplete: "incomplete: SYN+ACK, and no ACK of it",
  "not captured": "not captured: picked up in the middle",
};

function closingText({ close, ends, names }: FollowedConnection): string {
  const first = close.first === null ? "" : `, ${names[close.first]} first`;
  const name = close.name(ends);
  switch (name) {
    case "four-segment":
      return `four-segment close${first}`;
    case "merged three-segment":
      return `three-segment close, the ACK of the first FIN goes with the second${first}`;
    case "simultaneous":
      return "simultaneous close: the FINs crossed";
    case "half-close":
      return `half-close: one FIN${first}`;
    case "unacknowledged":
      return `FINs of both ends, not all acknowledged${first}`;
    case "abort":
      return "abort (RST)";
    case "refused":
      return "never open";
    default:
      return "still open at the end of the capture";
  }
}

function offerText(offer: SynOffer): string {
  const pieces = [`ISN ${offer.isn}`, offer.mss < 0 ? "no MSS" : `MSS ${offer.mss}`];
  if (offer.windowScale >= 0) pieces.push(`wscale ${offer.windowScale}`);
  if (offer.sackPermitted) pieces.push("SACK");
  if (offer.timestamps) pieces.push("timestamps");
  if (offer.ecn) pieces.push("ECN");
  if (offer.fastOpenCookie >= 0) pieces.push(offer.fastOpenCookie === 0 ? "asks for a Fast Open cookie" : "a Fast Open cookie");
  return pieces.join(", ");
}

function wayText(way: Way, { handshake }: FollowedConnection): string {
  const pieces = [count(way.segments, "segment"), `${count(way.goodBytes, "byte")} of data`];
  const repeated = way.payloadBytes - way.goodBytes;
  if (repeated > 0) pieces.push(`${repeated} sent again`);
  const goodput = goodputOf(way);
  if (goodput !== null) pieces.push(`goodput ${rateText(goodput)}`);
  const { rtt } = way;
  if (rtt.samples > 0) pieces.push(`RTT ${rttText(rtt)}`);
  const mss = handshake.offers[way.end === 0 ? 1 : 0]?.mss ?? -1;
  if (mss > 0 && way.largestPayload > mss)
    pieces.push(`packets of up to ${way.largestPayload} bytes: captured where the device cuts or joins segments`);
  return pieces.join(", ");
}

function rttText({ minUs, maxUs, sumUs, samples }: RttStatistics): string {
  return `min/avg/max ${formatDuration(minUs)} / ${formatDuration(Math.round(sumUs / samples))} / ${formatDuration(maxUs)}`;
}

/** Bits a second between the first and the last data; null where there is no span. */
function goodputOf(way: Way): number | null {
  const span: Micros = way.lastDataAt - way.firstDataAt;
  return way.firstDataAt < 0 || span <= 0 ? null : Math.round((way.goodBytes * 8 * 1e6) / span);
}

function rateText(bps: number): string {
  if (bps >= 1e9) return `${(bps / 1e9).toFixed(2)} Gbit/s`;
  if (bps >= 1e6) return `${(bps / 1e6).toFixed(2)} Mbit/s`;
  return `${(bps / 1e3).toFixed(2)} kbit/s`;
}

function countTexts(connection: FollowedConnection, i: 0 | 1): string[] {
  const { kinds, causes } = connection.counts[i];
  const texts: string[] = [];
  for (const kind of INCIDENT_KINDS) {
    const n = kinds.get(kind) ?? 0;
    if (n === 0) continue;
    const name = kind
      .replaceAll("-", " ")
      .replace(/\back\b/, "ACK")
      .replace("d sack", "D-SACK");
    if (kind !== "retransmission") texts.push(`${name}: ${n}`);
    else {
      const by = [...causes].map(([cause, m]) => `${m} ${cause === "unclear" ? "of unclear cause" : cause.toUpperCase()}`);
      const { spurious } = connection.ways[i];
      if (spurious > 0) by.push(`${spurious} spurious`);
      texts.push(`${name}: ${n} (${by.join(", ")})`);
    }
  }
  return texts;
}

function orNull(us: Micros): Micros | null {
  return us < 0 ? null : us;
}
