/** `kill -9` in the middle of a command: no rule, socket or process of it is left, with each guard. */
import { once } from "node:events";
import { connect } from "node:net";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { hostState, prepareFirewalls } from "../kernel/host-state.js";
import { enterPrivateNamespace, eventually } from "../kernel/support.js";
import { type Build, buildCli, endProcesses, freePort, type KernelServer, kernelServer, type Running, start } from "./support.js";

let build: Build;
let server: KernelServer;
beforeAll(async () => {
  enterPrivateNamespace();
  prepareFirewalls();
  build = buildCli();
  server = await kernelServer((socket) => socket.resume());
});
afterEach(endProcesses);
afterAll(() => {
  server.close();
  build.remove();
});

const rawtcp = (...args: string[]): Running => start(process.execPath, [build.main, ...args]);

/** Each command in the middle of its work. */
const COMMANDS: readonly (readonly [string, (guard: string) => Promise<Running>])[] = [
  [
    "connect with data under way",
    async (guard) => {
      const running = rawtcp("connect", "127.0.0.1", server.port, "--guard", guard);
      running.input("x".repeat(100_000), "more");
      await running.sees("ESTABLISHED");
      return running;
    },
  ],
  [
    "listen with a client whose command runs",
    async (guard) => {
      const port = await freePort();
      const running = rawtcp("listen", port, "--guard", guard, "--exec", "echo begun; exec cat");
      await running.sees("listening on");
      const client = connect(Number(port), "127.0.0.1");
      client.on("error", () => client.destroy());
      await once(client, "data");
      return running;
    },
  ],
  [
    "demo in TIME-WAIT",
    async (guard) => {
      const running = rawtcp("demo", "--msl", "60", "--guard", guard);
      await running.sees("TIME-WAIT", "stdout");
      return running;
    },
  ],
];

describe.each(["bpf", "nft", "iptables"])("guard %s", (guard) => {
  it.each(COMMANDS)("%s: the host is as before", async (_, begin) => {
    const before = JSON.stringify(hostState());
    const running = await begin(guard);
    // While it lives, something is there to be left behind.
    const during = hostState();
    expect(JSON.stringify({ ...during, processes: "" })).not.toBe(JSON.stringify({ ...JSON.parse(before), processes: "" }));
    if (guard !== "bpf") expect(during[guard]).toMatch(new RegExp(`rawtcp_${running.child.pid}_`));
    running.child.kill("SIGKILL");
    expect((await running.ended).code).toBe("SIGKILL");
    expect(await eventually(() => JSON.stringify(hostState()), before)).toBe(before);
  });
});
