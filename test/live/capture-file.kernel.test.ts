/** Another program reads the capture files of live sessions: tshark finds nothing wrong with what we sent. */
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { matchSegment } from "../../src/device/fault-injector.js";
import { type Live, type LiveOptions, PATHS, type Path, World } from "./live.js";
import { failure, intake } from "./streams.js";

vi.setConfig({ testTimeout: 20_000 });

let world: World;
let folder: string;
beforeAll(async () => {
  world = await World.open();
  folder = mkdtempSync(join(tmpdir(), "rawtcp-capture-"));
});
afterEach(() => world.closeSessions());
afterAll(async () => {
  rmSync(folder, { recursive: true, force: true });
  await world.close();
});

interface Row {
  readonly fromUs: boolean;
  readonly flags: number;
  readonly bytes: number;
  /** tshark's words: "Good", "Bad", "Unverified". */
  readonly checksum: string;
  readonly ipChecksum: string;
  readonly malformed: string;
  readonly comment: string;
}

const FIELDS = ["tcp.srcport", "tcp.flags", "tcp.len", "tcp.checksum.status", "ip.checksum.status", "_ws.malformed"];

/** Reads a capture file with tshark; fails when tshark does, or has anything to complain of. */
function dissect(chunks: readonly Uint8Array[], ourPort: number): Row[] {
  const file = join(folder, `${ourPort}.pcapng`);
  writeFileSync(file, Buffer.concat(chunks));
  const checks = ["-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE"];
  const fields = [...FIELDS, "frame.comment"].flatMap((field) => ["-e", field]);
  // Standard error must stay empty: a file that is cut short, or a block that cannot be read, is told there.
  const text = execFileSync("sh", ["-c", 'exec 2>&1; exec tshark "$@"', "sh", "-r", file, ...checks, "-T", "fields", ...fields], {
    encoding: "utf8",
  });
  const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("Running as user"));
  return lines.map((line) => {
    const [port = "", flags = "", bytes = "", checksum = "", ipChecksum = "", malformed = "", comment = ""] = line.split("\t");
    return {
      fromUs: Number(port) === ourPort,
      flags: Number(flags),
      bytes: Number(bytes),
      checksum,
      ipChecksum,
      malformed,
      comment,
    };
  });
}

/** A session whose capture is kept, and the port of its one connection. */
async function recorded(path: Path, options: LiveOptions, act: (live: Live) => Promise<number>): Promise<Row[]> {
  const chunks: Uint8Array[] = [];
  const live = await world.session(path, { ...options, capture: (bytes) => chunks.push(bytes) });
  const ourPort = await act(live);
  live.close();
  return dissect(chunks, ourPort);
}

function expectSound(rows: readonly Row[]): void {
  expect(rows.length).toBeGreaterThan(1);
  expect(rows.filter((row) => row.malformed !== "")).toEqual([]);
  const ours = rows.filter((row) => row.fromUs);
  expect(new Set(ours.map((row) => row.checksum))).toEqual(new Set([GOOD]));
  expect(new Set(ours.map((row) => row.ipChecksum))).toEqual(new Set([GOOD]));
}

const GOOD = "1";

describe.each(PATHS)("$name", (path) => {
  it("a whole session: every frame is read, all our checksums are good, comments tell why (MUST-2)", async () => {
    // A probe for a tail that is only late would send it twice.
    const rows = await recorded(path, { connection: { tailLossProbe: false } }, async (live) => {
      const peer = world.peer(path);
      const stream = live.connect(await peer.listen(path.kernel));
      const received = intake(stream);
      stream.end(Buffer.alloc(100_001, "odd"));
      const kernel = await peer.accept(stream);
      await kernel.until("end");
      await kernel.write(1, 100_000);
      await kernel.end();
      await received.done;
      await live.session.driver.whenIdle();
      return stream.connection.tcb.localPort;
    });
    expectSound(rows);
    const sum = (fromUs: boolean) => rows.filter((row) => row.fromUs === fromUs).reduce((total, row) => total + row.bytes, 0);
    expect([sum(true), sum(false)]).toEqual([100_001, 100_000]);
    const [syn, synAck] = rows;
    expect([syn?.flags, syn?.comment]).toEqual([0x002, "open: tells our initial sequence number"]);
    expect([synAck?.flags, synAck?.comment]).toEqual([0x012, "SYN,ACK: connected"]);
    expect(rows.map((row) => row.comment)).toContain("FIN: the last segment of the peer");
  });

  it("an abort, a refusal, and repetitions", async () => {
    const aborted = await recorded(path, {}, async (live) => {
      const stream = live.connect(await world.peer(path).listen(path.kernel));
      await once(stream, "connect");
      stream.abort();
      return stream.connection.tcb.localPort;
    });
    expectSound(aborted);
    expect(aborted.at(-1)).toMatchObject({
      fromUs: true,
      flags: 0x014,
      comment: "abort: the connection ends at once, both ways",
    });

    const refused = await recorded(path, {}, async (live) => {
      const stream = live.connect(9);
      expect(await failure(stream)).toBe("ECONNREFUSED");
      return stream.connection.tcb.localPort;
    });
    expectSound(refused);
    expect(refused.at(-1)).toMatchObject({ fromUs: false, flags: 0x014, comment: "connection refused" });

    const lossy: LiveOptions = {
      connection: { rtoInitialUs: 30_000, rtoMinUs: 30_000 },
      rules: [{ dir: "in", fault: "loss", nth: 1, count: 3, match: matchSegment((segment) => segment.payloadLength === 0) }],
    };
    const repeated = await recorded(path, lossy, async (live) => {
      const peer = world.peer(path);
      const stream = live.connect(await peer.listen(path.kernel));
      const received = intake(stream);
      stream.end("hello");
      const kernel = await peer.accept(stream);
      await kernel.until("end");
      await kernel.end();
      await received.done;
      await live.session.driver.whenIdle();
      return stream.connection.tcb.localPort;
    });
    expectSound(repeated);
    expect(repeated.map((row) => row.comment)).toContain("SYN again: no answer yet");
  });
});
