/** The compliance suite where no rights are needed: `node:net` itself, and ours over the simulated stack. */
import { behaviours } from "./behaviours.js";
import { runCompliance } from "./harness.js";
import { WORLDS } from "./worlds.js";

runCompliance(WORLDS, behaviours);
