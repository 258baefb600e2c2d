/** Every behaviour of the suite. */
import abortSignal from "./abort-signal.js";
import accept from "./accept.js";
import addresses from "./addresses.js";
import wrongArguments from "./arguments.js";
import backPressure from "./back-pressure.js";
import byteCounts from "./byte-counts.js";
import connect from "./connect.js";
import context from "./context.js";
import destroy from "./destroy.js";
import emitter from "./emitter.js";
import end from "./end.js";
import halfOpen from "./half-open.js";
import type { Behaviour } from "./harness.js";
import helpers from "./helpers.js";
import httpExchange from "./http.js";
import http2Exchange from "./http2-exchange.js";
import instances from "./instances.js";
import largeWrites from "./large-writes.js";
import lists from "./lists.js";
import many from "./many.js";
import options from "./options.js";
import pauseResume from "./pause-resume.js";
import protocols from "./protocols.js";
import reads from "./reads.js";
import refuse from "./refuse.js";
import reset from "./reset.js";
import scheduling from "./scheduling.js";
import serverClose from "./server-close.js";
import serverConnections from "./server-connections.js";
import serverLimits from "./server-limits.js";
import serverListen from "./server-listen.js";
import serverOptions from "./server-options.js";
import streams from "./streams.js";
import timeouts from "./timeouts.js";
import tlsExchange from "./tls-exchange.js";

export const behaviours: Readonly<Record<string, Behaviour>> = {
  "abort-signal": abortSignal,
  accept: accept,
  addresses: addresses,
  arguments: wrongArguments,
  "back-pressure": backPressure,
  "byte-counts": byteCounts,
  connect: connect,
  context: context,
  destroy: destroy,
  emitter: emitter,
  end: end,
  "half-open": halfOpen,
  helpers: helpers,
  "http2-exchange": http2Exchange,
  http: httpExchange,
  instances: instances,
  "large-writes": largeWrites,
  lists: lists,
  many: many,
  options: options,
  "pause-resume": pauseResume,
  protocols: protocols,
  reads: reads,
  refuse: refuse,
  reset: reset,
  scheduling: scheduling,
  "server-close": serverClose,
  "server-connections": serverConnections,
  "server-limits": serverLimits,
  "server-listen": serverListen,
  "server-options": serverOptions,
  streams: streams,
  timeouts: timeouts,
  "tls-exchange": tlsExchange,
};
