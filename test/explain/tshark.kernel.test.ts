/** Captures of simulated connections on bad paths, at either host: our analysis and tshark's, frame by frame. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { SECOND } from "../../src/base/time.js";
import { streamUser } from "../../src/sim/apps.js";
import { twoHosts } from "../sim/worlds.js";
import { captureAt, explainBytes } from "./capture.js";
import { differences, framesOf, tsharkFlags } from "./tshark.js";

const folder = mkdtempSync(join(tmpdir(), "rawtcp-explain-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const seeds = Array.from({ length: 20 }, (_, i) => i + 1);

describe("retransmissions, duplicate ACKs, zero windows, gaps", () => {
  it.each(seeds)("are those of tshark on a path with faults, seed %i", (seed) => {
    const link = {
      delayUs: 5000,
      jitterUs: seed % 3 === 0 ? 2000 : 0,
      loss: [0.02, 0.05, 0.1][seed % 3] ?? 0,
      reorder: seed % 2 === 0 ? 0 : 0.05,
      duplicate: seed % 4 === 0 ? 0.03 : 0,
    };
    const { sim, a, b } = twoHosts(seed, link);
    const file = captureAt(sim, seed % 4 < 2 ? "a" : "b");
    const now = () => sim.now;
    const client = streamUser({ now, sendBytes: 150_000, sendSalt: 1, receiveSalt: 2 });
    b.listen(80, () => streamUser({ now, sendBytes: 30_000, sendSalt: 2, receiveSalt: 1 }).user);
    a.connect(b, 80, client.user);
    sim.run({ until: 100 * SECOND });
    const name = join(folder, `${seed}.pcapng`);
    writeFileSync(name, file());
    const ours = explainBytes(file());
    expect(framesOf(ours, ({ kind }) => kind === "retransmission" || kind === "out-of-order").length).toBeGreaterThan(0);
    expect(differences(ours, tsharkFlags(name))).toEqual([]);
  });
});
