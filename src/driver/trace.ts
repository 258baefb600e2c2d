/** The engine's doings as events of the one stream. */
import { type Micros, NEVER } from "../base/time.js";
import type { TraceSink } from "../observe/events.js";
import type { Connection } from "../tcp/connection.js";
import type { ConnectionObserver } from "../tcp/events.js";

/** An observer that writes state, timer and drop events; `start` is the time from which events count. */
export function traceConnections(sink: TraceSink, start: Micros): ConnectionObserver {
  return {
    state: (connection, from, to, reason, now) => sink({ type: "state", t: now - start, conn: connection.id, from, to, reason }),
    timer: (connection, timer, action, delayUs, reason, now) =>
      sink({
        type: "timer",
        t: now - start,
        conn: connection.id,
        timer,
        action,
        delayUs: delayUs === NEVER ? 0 : delayUs,
        reason,
      }),
    drop: (connection: Connection, reason, now) => sink({ type: "drop", t: now - start, conn: connection.id, reason }),
  };
}
