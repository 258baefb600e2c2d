/** Every behaviour of the suite. */
import connect from "./connect.js";
import type { Behaviour } from "./harness.js";

export const behaviours: Readonly<Record<string, Behaviour>> = {
  connect,
};
