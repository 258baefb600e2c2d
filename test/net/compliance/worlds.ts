/** The worlds that need no rights. */
import * as net from "node:net";
import type { World } from "./harness.js";

export const WORLDS: readonly World[] = [{ name: "node:net", client: net, server: net, host: "127.0.0.1" }];
