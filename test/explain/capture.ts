/** Captures of simulated connections, made at one of the two hosts as tcpdump would, with the true states beside them. */
import { Explainer, type Explainer as ExplainerType } from "../../src/explain/explainer.js";
import { enhancedPacketBlock, interfaceDescriptionBlock, sectionHeaderBlock } from "../../src/pcapng/writer.js";
import type { Simulation } from "../../src/sim/simulation.js";
import { LINKTYPE } from "../../src/wire/link-layer.js";

const START_NS = 1_700_000_000_000_000_000n;

/** Bytes joined to one array. */
export function joined(blocks: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(blocks.reduce((sum, block) => sum + block.length, 0));
  let at = 0;
  for (const block of blocks) {
    all.set(block, at);
    at += block.length;
  }
  return all;
}

/** Writes down what host `at` sends and what reaches it; returns the file so far. */
export function captureAt(sim: Simulation, at: string, snapLength = 65_535): () => Uint8Array {
  const blocks = [sectionHeaderBlock(), interfaceDescriptionBlock({ linkType: LINKTYPE.RAW })];
  const others = sim.witness;
  sim.witness = (t, from, to, fate, bytes, note) => {
    others?.(t, from, to, fate, bytes, note);
    if (!((fate === "sent" && from === at) || (fate === "arrived" && to === at))) return;
    const ns = START_NS + BigInt(Math.round(t)) * 1000n;
    const length = Math.min(bytes.length, snapLength);
    blocks.push(
      enhancedPacketBlock({
        interfaceId: 0,
        tsHigh: Number(ns >> 32n),
        tsLow: Number(ns & 0xffff_ffffn),
        bytes: bytes.slice(),
        offset: 0,
        length,
        originalLength: bytes.length,
      }),
    );
  };
  return () => joined(blocks);
}

export function explainBytes(bytes: Uint8Array, limit = 0): ExplainerType {
  const explainer = new Explainer({ limit });
  explainer.push(bytes);
  explainer.end();
  return explainer;
}
