/** Rules that bend what a simulated host sends and gets. */
import { Bender, type BendReport } from "../bend/bender.js";
import { parseBend } from "../bend/parser.js";
import type { SimHost } from "./host.js";
import type { Simulation } from "./simulation.js";

/**
 * Bends the segments of `host`, "out" being what it sends, from now on. Throws BendSyntaxError. The bender tells which rules never
 * did anything.
 */
export function bendHost(sim: Simulation, host: SimHost, rules: string, report?: (report: BendReport) => void): Bender {
  const bender = new Bender(parseBend(rules), {
    now: () => sim.now,
    schedule: (delayUs, action) => sim.schedule(sim.now + delayUs, action),
    connection: (local, localPort, remote, remotePort) => host.stack.connection(local, localPort, remote, remotePort)?.tcb,
    forward: (direction, packet, rule) => {
      const take = (): Uint8Array => (packet instanceof Uint8Array ? packet : packet());
      // Not in the middle of what our TCP is doing now.
      if (direction === "in") sim.schedule(sim.now, () => host.accept(take()));
      else {
        const bytes = take();
        host.transmit(bytes, bytes.length, rule === "" ? "" : `bent: ${rule}`);
      }
    },
    report,
  });
  host.bender = bender;
  return bender;
}
