import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type CompiledSources, compileSources, run } from "./support.js";

let compiled: CompiledSources;
beforeAll(() => {
  compiled = compileSources();
});
afterAll(() => compiled.remove());

/** Runs a script in a process that has only these capabilities; it prints the code and message of what an action throws. */
function runWith(capabilities: string[], script: string): string[] {
  const load = (path: string) => `await import(${JSON.stringify(join(compiled.folder, path))})`;
  const preamble = `
    const { openRawSocketDevice } = ${load("device/raw-socket-device.js")};
    const { openCapture } = ${load("device/capture.js")};
    const { createPortGuard } = ${load("kernel/port-guard.js")};
    const { readCapabilities } = ${load("kernel/capabilities.js")};
    const { createPeerObserver } = ${load("kernel/peer-state.js")};
    const { routeTo } = ${load("kernel/route.js")};
    const show = (action) => { try { console.log(action()); } catch (error) { console.log(error.code + ": " + error.message); } };`;
  const sets = ["-all", ...capabilities.map((name) => `+${name}`)].join(",");
  const node = [process.execPath, "--input-type=module", "-e", preamble + script];
  return run("setpriv", `--bounding-set=${sets}`, `--inh-caps=${sets}`, ...node)
    .trimEnd()
    .split("\n");
}

it("without capabilities each thing that needs one says which, in one line with the command", () => {
  const lines = runWith(
    [],
    `show(() => JSON.stringify(readCapabilities()));
     show(() => openRawSocketDevice({ backend: "raw-socket" }));
     show(() => openRawSocketDevice({ backend: "koffi" }));
     show(() => createPortGuard("nft"));
     show(() => createPortGuard("iptables"));
     show(() => openCapture({ device: "lo", filter: "", onFrame() {} }));`,
  );
  const [capabilities, ...errors] = lines;
  expect(capabilities).toBe('{"netRaw":false,"netAdmin":false}');
  expect(errors).toHaveLength(5);
  for (const error of errors) expect(error).toMatch(/^EPERM: .*setcap/);
});

it("without capabilities routes and the peer's state can still be read", () => {
  const lines = runWith(
    [],
    `show(() => routeTo("127.0.0.1").interface);
     show(() => createPeerObserver("sock_diag").query("127.0.0.1", 1, "127.0.0.1", 2));`,
  );
  expect(lines).toEqual(["lo", "CLOSED"]);
});

it("CAP_NET_RAW is enough for the raw device, whose buffer is then as large as the host allows", () => {
  const lines = runWith(
    ["net_raw"],
    `for (const backend of ["raw-socket", "koffi"]) show(() => { const d = openRawSocketDevice({ backend }); d.close(); return d.backend; });`,
  );
  expect(lines).toEqual(["raw-socket", "koffi"]);
});

it("CAP_NET_ADMIN is enough for guard bpf to hold a port", () => {
  const lines = runWith(
    ["net_admin"],
    `show(() => { const g = createPortGuard("bpf"); const held = g.hold("127.0.0.1", 0).port > 0; g.close(); return held; });`,
  );
  expect(lines).toEqual(["true"]);
});
