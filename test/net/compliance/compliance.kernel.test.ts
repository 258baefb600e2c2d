/** The compliance suite over the real lo: ours against a kernel's socket in either role, and ours to ours. */
import * as net from "node:net";
import { afterAll } from "vitest";
import { createNet, liveStack } from "../../../src/net/index.js";
import { behaviours } from "./behaviours.js";
import { type Net, runCompliance } from "./harness.js";

const stack = liveStack();
const ours = createNet(stack) as unknown as Net;
afterAll(() => stack.close());

runCompliance(
  [
    { name: "ours to the kernel", client: ours, server: net, host: "127.0.0.1" },
    { name: "the kernel to ours", client: net, server: ours, host: "127.0.0.1" },
    { name: "ours to ours", client: ours, server: ours, host: "127.0.0.1" },
  ],
  behaviours,
);
