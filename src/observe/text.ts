/** One event, one line: the form of tcpdump where it has one, so that the two can be read side by side. */
import { formatDuration } from "../base/time.js";
import type { SegmentEvent, TimerEvent, TraceEvent } from "./events.js";
import { ackText, printable, seqText } from "./phrases.js";

/**
 * The line of an event, without a newline.
 *
 *     0.000031 #1 127.0.0.1:40001 > 127.0.0.1:80: Flags [S], seq 0, win 65535, options [mss 65495], length 0 -- opens
 *     0.000113 #1 ESTABLISHED (was SYN-SENT) -- our SYN is acknowledged
 */
export function formatEvent(event: TraceEvent): string {
  const conn = event.conn === 0 ? "" : ` #${event.conn}`;
  return printable(`${(event.t / 1_000_000).toFixed(6)}${conn} ${bodyOf(event)}`);
}

function bodyOf(event: TraceEvent): string {
  switch (event.type) {
    case "segment":
      return segmentBody(event);
    case "state":
      return `${event.to} (was ${event.from})${because(event.reason)}`;
    case "peer":
      return `peer ${event.state} (${event.source})`;
    case "timer":
      return timerBody(event);
    case "drop":
      return `dropped${because(event.reason)}`;
    case "fault":
      return `fault: ${event.fault} on the way ${event.dir}${because(event.reason)}`;
    case "packet":
      return `${event.dir} ${event.text}${because(event.reason)}`;
    case "guard":
      return `guard ${event.action} port ${event.port} by ${event.method}${because(event.reason)}`;
  }
}

function segmentBody(event: SegmentEvent): string {
  const fields = [`Flags [${event.flags}]`];
  if (event.checksum === "bad") fields.push("bad checksum");
  const seq = seqText(event);
  const ack = ackText(event);
  if (seq !== "") fields.push(seq);
  if (ack !== "") fields.push(ack);
  fields.push(`win ${event.winBytes}`);
  if (event.options !== "") fields.push(`options [${event.options}]`);
  fields.push(`length ${event.len}`);
  if (event.payload !== "") fields.push(JSON.stringify(event.payload));
  if (event.lost) fields.push("LOST");
  return `${event.src} > ${event.dst}: ${fields.join(", ")}${because(event.reason)}`;
}

function timerBody(event: TimerEvent): string {
  const what =
    event.action === "start" ? `started, ${formatDuration(event.delayUs)}` : event.action === "expire" ? "expired" : "stopped";
  return `${event.timer} timer ${what}${because(event.reason)}`;
}

function because(reason: string): string {
  return reason === "" ? "" : ` -- ${reason}`;
}
