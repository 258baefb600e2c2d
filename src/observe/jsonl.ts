/** JSON Lines: one object a line, keys always in the same order. `README.md` beside this file documents it. */
import type { TraceEvent } from "./events.js";

/**
 * An event as one line of JSON, without a newline. Every key of the event is written, in the order that `schema.ts` gives,
 * and nothing else: two equal traces are equal byte for byte.
 */
export function formatJson(event: TraceEvent): string {
  return JSON.stringify(ordered(event));
}

function ordered(event: TraceEvent): object {
  const { t, type, conn } = event;
  switch (event.type) {
    case "segment": {
      const { dir, src, dst, flags, seq, ack, relSeq, relAck, len, win, winBytes, options, checksum, payload, lost, reason } =
        event;
      return {
        t,
        type,
        conn,
        dir,
        src,
        dst,
        flags,
        seq,
        ack,
        relSeq,
        relAck,
        len,
        win,
        winBytes,
        options,
        checksum,
        payload,
        lost,
        reason,
      };
    }
    case "state":
      return { t, type, conn, from: event.from, to: event.to, reason: event.reason };
    case "peer":
      return { t, type, conn, state: event.state, source: event.source };
    case "timer":
      return { t, type, conn, timer: event.timer, action: event.action, delayUs: event.delayUs, reason: event.reason };
    case "drop":
      return { t, type, conn, reason: event.reason };
    case "fault":
      return { t, type, conn, dir: event.dir, fault: event.fault, reason: event.reason };
    case "packet":
      return { t, type, conn, dir: event.dir, text: event.text, reason: event.reason };
    case "guard":
      return { t, type, conn, action: event.action, method: event.method, port: event.port, reason: event.reason };
  }
}
