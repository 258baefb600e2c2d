/** The worlds that need no rights. */
import * as net from "node:net";
import { createNet } from "../../../src/net/index.js";
import { simulatedStack } from "../../../src/net/stacks.js";
import type { Net, World } from "./harness.js";

/** Ours over a wire inside the process. */
function simulated(): Net {
  return createNet(simulatedStack({ seed: 1 })) as unknown as Net;
}

const ours = simulated();

export const WORLDS: readonly World[] = [
  { name: "node:net", client: net, server: net, host: "127.0.0.1" },
  { name: "simulated", client: ours, server: ours, host: "127.0.0.1" },
];
