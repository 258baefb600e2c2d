import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { type CompiledSources, compileSources, run } from "../kernel/support.js";

const compiled: CompiledSources[] = [];
afterAll(() => {
  for (const sources of compiled) sources.remove();
});

/** Runs a script against sources that can load only these packages. Returns what it printed. */
function runWith(packages: string[], script: string): string {
  const sources = compileSources(packages);
  compiled.push(sources);
  const load = (path: string) => `await import(${JSON.stringify(join(sources.folder, path))})`;
  const preamble = `
    const { openRawSocketDevice } = ${load("device/raw-socket-device.js")};
    const { openCapture, isCaptureAvailable } = ${load("device/capture.js")};
    const { createPortGuard } = ${load("kernel/port-guard.js")};
    const { isLibcAvailable } = ${load("kernel/libc.js")};
    const errorOf = (action) => { try { action(); return "none"; } catch (error) { return error.code + ": " + error.message; } };`;
  return run(process.execPath, "--input-type=module", "-e", preamble + script).trimEnd();
}

describe("without the optional add-ons", () => {
  it("koffi steps in for raw-socket, and a capture says which command mends it", () => {
    const output = runWith(
      ["koffi", "@koromix"],
      `const device = openRawSocketDevice();
       console.log(device.backend, isLibcAvailable(), isCaptureAvailable());
       device.close();
       console.log(errorOf(() => openRawSocketDevice({ backend: "raw-socket" })));
       console.log(errorOf(() => openCapture({ device: "lo", filter: "", onFrame() {} })));`,
    );
    const [backends, raw, capture, ...rest] = output.split("\n");
    expect(backends).toBe("koffi true false");
    expect(raw).toMatch(/^ERR_RAW_SOCKET_MISSING: .*npm install raw-socket$/);
    expect(capture).toMatch(/^ERR_CAP_MISSING: .*npm install cap$/);
    expect(rest).toEqual([]);
  });
});

describe("without koffi", () => {
  it("whatever needs the C library gives one clear error", () => {
    const output = runWith(
      [],
      `console.log(isLibcAvailable());
       console.log(errorOf(() => openRawSocketDevice()));
       console.log(errorOf(() => createPortGuard("bpf").hold("127.0.0.1", 0)));`,
    );
    const [available, device, guard, ...rest] = output.split("\n");
    expect(available).toBe("false");
    expect(device).toMatch(/^ERR_KOFFI_MISSING: koffi cannot be loaded .*npm install koffi$/);
    expect(guard).toMatch(/^ERR_KOFFI_MISSING: koffi cannot be loaded .*npm install koffi$/);
    expect(rest).toEqual([]);
  });
});
