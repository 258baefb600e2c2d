/** What the stack keeps beside a connection. */
import { type Micros, NEVER } from "../base/time.js";
import type { Connection } from "../tcp/connection.js";
import type { Listener } from "./listener.js";

export class Entry {
  readonly connection: Connection;
  /** The listener whose queue it is in; undefined for active opens and after accept. */
  listener: Listener | undefined;
  /** Key of the port reservation that it shares. */
  readonly portKey: string;
  hash = 0;
  nextInBucket: Entry | undefined;
  /** In the list of connections to drain. */
  queued = false;
  /** In the list of connections with events for the user. */
  eventful = false;
  /** Nobody asks for its events: it waits in a listener's queue. */
  embryonic = false;
  /** Where it stands in the timer heap, -1 when it does not, and for what time. */
  heapIndex = -1;
  wakeAt: Micros = NEVER;
  removed = false;

  constructor(connection: Connection, listener: Listener | undefined, portKey: string) {
    this.connection = connection;
    this.listener = listener;
    this.portKey = portKey;
  }
}
