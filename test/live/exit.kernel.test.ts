/** A process that ends in mid-session, in its own time or by kill -9, leaves nothing behind. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { hostState, prepareFirewalls } from "../kernel/host-state.js";
import { type CompiledSources, compileSources, enterPrivateNamespace, eventually } from "../kernel/support.js";
import { KernelPeer, spawnHere } from "./kernel-peer.js";

/**
 * Opens a client's session and a listener, both with data under way, says on which ports, and then does as it is told on its
 * standard input: "exit" ends the process with everything open, "close" closes the session first.
 */
const PROGRAM = `
import { once } from "node:events";
import { openSession, TcpServer, TcpStream } from "./index.js";
const [guard, port] = process.argv.slice(2);
const session = await openSession({ guard, target: "127.0.0.1" });
const { driver, local, target } = session;
const server = new TcpServer(driver).listen({ address: local });
const stream = TcpStream.connect(driver, { local, remote: target, remotePort: Number(port) });
stream.on("error", () => {});
await once(stream, "connect");
stream.write(Buffer.alloc(1 << 20));
console.log(server.listener.port, stream.connection.tcb.localPort);
process.stdin.once("data", (word) => {
  if (String(word) === "close") session.close();
  process.exit();
});
`;

vi.setConfig({ testTimeout: 20_000 });

let sources: CompiledSources;
let peer: KernelPeer;
let child: ChildProcess | undefined;
beforeAll(() => {
  enterPrivateNamespace();
  prepareFirewalls();
  sources = compileSources();
  writeFileSync(join(sources.folder, "session.js"), PROGRAM);
  peer = new KernelPeer(spawnHere);
}, 60_000);
afterEach(() => {
  child?.kill("SIGKILL");
});
afterAll(async () => {
  await peer.close();
  sources.remove();
});

describe.each(["bpf", "nft", "iptables"] as const)("guard %s", (guard) => {
  it.each(["close", "exit", "SIGTERM", "SIGINT", "SIGKILL"] as const)("ended by %s: the host is as before", async (way) => {
    const kernelPort = await peer.listen("127.0.0.1", { paused: true });
    const before = hostState();
    const started = spawn(process.execPath, [join(sources.folder, "session.js"), guard, String(kernelPort)], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    child = started;
    const [line] = (await once(createInterface({ input: started.stdout }), "line")) as [string];
    const ports = line.split(" ");
    expect(ports).toHaveLength(2);
    // While it lives, something is there to be left behind.
    const during = hostState();
    if (guard === "bpf") for (const port of ports) expect(during["listeners"]).toContain(`127.0.0.1:${port} `);
    else expect(during[guard]).toMatch(new RegExp(`rawtcp_${started.pid}_`));
    expect(during["processes"]).not.toBe(before["processes"]);

    const gone = once(started, "exit");
    if (way === "close" || way === "exit") started.stdin.write(way);
    else started.kill(way);
    await gone;
    expect(await eventually(() => JSON.stringify(hostState()), JSON.stringify(before))).toBe(JSON.stringify(before));
  });
});
