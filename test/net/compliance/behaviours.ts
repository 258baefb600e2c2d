/** Every behaviour of the suite. */
import abortSignal from "./abort-signal.js";
import addresses from "./addresses.js";
import backPressure from "./back-pressure.js";
import byteCounts from "./byte-counts.js";
import connect from "./connect.js";
import context from "./context.js";
import destroy from "./destroy.js";
import end from "./end.js";
import halfOpen from "./half-open.js";
import type { Behaviour } from "./harness.js";
import helpers from "./helpers.js";
import instances from "./instances.js";
import largeWrites from "./large-writes.js";
import many from "./many.js";
import options from "./options.js";
import pauseResume from "./pause-resume.js";
import protocols from "./protocols.js";
import reads from "./reads.js";
import refuse from "./refuse.js";
import reset from "./reset.js";
import serverClose from "./server-close.js";
import serverLimits from "./server-limits.js";
import serverListen from "./server-listen.js";
import serverOptions from "./server-options.js";
import timeouts from "./timeouts.js";

export const behaviours: Readonly<Record<string, Behaviour>> = {
  "abort-signal": abortSignal,
  addresses: addresses,
  "back-pressure": backPressure,
  "byte-counts": byteCounts,
  connect: connect,
  context: context,
  destroy: destroy,
  end: end,
  "half-open": halfOpen,
  helpers: helpers,
  instances: instances,
  "large-writes": largeWrites,
  many: many,
  options: options,
  "pause-resume": pauseResume,
  protocols: protocols,
  reads: reads,
  refuse: refuse,
  reset: reset,
  "server-close": serverClose,
  "server-limits": serverLimits,
  "server-listen": serverListen,
  "server-options": serverOptions,
  timeouts: timeouts,
};
