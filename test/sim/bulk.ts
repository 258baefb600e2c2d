/** Bulk transfers that are measured: one way, several flows on one link if wanted, bytes counted and not looked at. */
import { type Micros, SECOND } from "../../src/base/time.js";
import type { ConnectionUser } from "../../src/sim/host.js";
import type { ConnectionConfig } from "../../src/tcp/config.js";
import type { Connection } from "../../src/tcp/connection.js";
import { PORT, type World } from "./worlds.js";

/** A sender that never stops until it has sent `total` bytes (Infinity: never), and what the other end got of it. */
export interface Flow {
  readonly connection: Connection;
  /** The accepted end; undefined until it is established. */
  peer: Connection | undefined;
  received: number;
  /** When the last byte of `total` was read, -1 before. */
  doneAt: Micros;
}

const CHUNK = new Uint8Array(65_536);

/** Opens a flow from host "a" to host "b" now. `port` tells flows apart. */
export function startFlow(world: World, port = PORT, total = Infinity, connection: Partial<ConnectionConfig> = {}): Flow {
  const { sim, a, b } = world;
  let left = total;
  const pump = (sender: Connection): void => {
    while (left > 0) {
      const wanted = Math.min(left, CHUNK.length);
      const taken = sender.send(CHUNK, 0, wanted);
      left -= taken;
      if (taken < wanted) return;
    }
    sender.shutdown(sim.now);
  };
  const source: ConnectionUser = (sender, event) => {
    if (event === "established" || event === "writable") pump(sender);
    else if (event === "failed") throw new Error(`a flow failed: ${sender.failure}`);
  };
  const target = new Uint8Array(65_536);
  b.listen(port, (peer) => {
    flow.peer = peer;
    return (receiver) => {
      for (let count = receiver.read(target); count > 0; count = receiver.read(target)) flow.received += count;
      if (flow.received >= total && flow.doneAt < 0) flow.doneAt = sim.now;
      if (receiver.endOfData && receiver.state === "CLOSE-WAIT") receiver.shutdown(sim.now);
    };
  });
  const flow: Flow = { connection: a.connect(b, port, source, connection), peer: undefined, received: 0, doneAt: -1 };
  return flow;
}

/** Lets `us` of virtual time pass. */
export function pass(world: World, us: Micros): void {
  world.sim.run({ until: world.sim.now + us });
}

/** Jain's fairness index of shares: 1 when all are equal, 1/n when one has it all. */
export function jain(shares: readonly number[]): number {
  const sum = shares.reduce((total, share) => total + share, 0);
  const squares = shares.reduce((total, share) => total + share * share, 0);
  return squares === 0 ? 0 : (sum * sum) / (shares.length * squares);
}

/** Bytes over microseconds as Mbit/s. */
export function mbps(bytes: number, us: Micros): number {
  return (bytes * 8 * SECOND) / Math.max(1, us) / 1e6;
}
