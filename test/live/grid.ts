/**
 * The world of the fault grid: the kernel on this host's loopback and across a veth pair, and cells. A cell is one connection
 * with one kind of fault in one direction that carries data both ways at once; many run side by side, since what costs time in
 * them is waiting for time-outs.
 */
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { FaultInjector, type FaultKind, type FaultRates } from "../../src/device/fault-injector.js";
import { openSession } from "../../src/driver/session.js";
import { TcpServer, TcpStream } from "../../src/net/tcp-stream.js";
import type { PacketDevice } from "../../src/wire/packet-device.js";
import { enterPrivateNamespace, type FarNamespace, openFarNamespace, run } from "../kernel/support.js";
import { completingChecksums } from "./complete-checksums.js";
import { KernelPeer, type KernelSocket, spawnHere } from "./kernel-peer.js";
import { pattern, sha256 } from "./pattern.js";
import { RstWatch } from "./rst-watch.js";
import { failure, type Intake, intake } from "./streams.js";

/** A way to the kernel, and the largest segments that go there. */
export interface GridPath {
  readonly name: string;
  readonly kernel: string;
  readonly ours: string;
  readonly mssBytes: number;
}

export const GRID_PATHS: readonly GridPath[] = [
  { name: "lo, MSS 65495", kernel: "127.0.0.1", ours: "127.0.0.1", mssBytes: 65_495 },
  { name: "lo, MSS 1460", kernel: "127.0.0.1", ours: "127.0.0.1", mssBytes: 1460 },
  { name: "veth, MSS 1460", kernel: "10.77.0.2", ours: "10.77.0.1", mssBytes: 1460 },
];

/** One cell of the grid. */
export interface Cell {
  readonly path: GridPath;
  /** Ours. The client closes first. */
  readonly role: "client" | "server";
  /** Of what meets the fault, as we see it. */
  readonly direction: "out" | "in";
  readonly kind: FaultKind;
  /** Of the packets in `direction` that meet the fault. */
  readonly share: number;
  /** Each way. */
  readonly bytes: number;
  /** Of the faults and of the data. */
  readonly seed: number;
}

/** What became of a cell. */
export interface Outcome {
  /** "" when both ends have every byte; else what went wrong, an error's code or how the transfer stood when its time was over. */
  readonly problem: string;
  readonly ms: number;
  readonly faults: number;
  /** In the direction of the faults. */
  readonly packets: number;
  /** RSTs that the kernel sent in our name. */
  readonly resets: readonly string[];
  /** Segments repeated by us and by the kernel, and our retransmission time-outs. */
  readonly ourRetransmits: number;
  readonly ourTimeouts: number;
  readonly kernelRetransmits: number;
}

/** The namespaces and the kernel's ends; one a process. */
export class Grid {
  readonly #resets = new RstWatch();
  readonly #here: KernelPeer;
  readonly #beyond: KernelPeer;
  readonly #far: FarNamespace;
  readonly #ports = new Map<GridPath, number>();

  static async open(): Promise<Grid> {
    enterPrivateNamespace();
    // The kernel's clients and our connections never take the same port, so a port tells whose an RST is.
    writeFileSync("/proc/sys/net/ipv4/ip_local_port_range", "20000 40000");
    const far = await openFarNamespace();
    // What the kernel learnt of a bad path in one cell would slow its time-outs in the next.
    const metrics = "/proc/sys/net/ipv4/tcp_no_metrics_save";
    writeFileSync(metrics, "1");
    far.run("sh", "-c", `echo 1 > ${metrics}`);
    // The kernel's segments come as they would on a wire; without it a fault hits up to 44 of them as one packet.
    far.run("ip", "link", "set", "far0", "gso_max_segs", "1");
    const grid = new Grid(far);
    for (const path of GRID_PATHS) grid.#ports.set(path, await grid.#peer(path).listen(path.kernel));
    return grid;
  }

  private constructor(far: FarNamespace) {
    this.#far = far;
    this.#here = new KernelPeer(spawnHere);
    this.#beyond = new KernelPeer(far.spawn);
    this.#resets.watch("lo", "127.0.0.1");
    this.#resets.watch("near0", "10.77.0.2");
  }

  /** Runs a cell to its end, which comes after `deadlineMs` at the latest. */
  async run(cell: Cell, deadlineMs: number): Promise<Outcome> {
    const { path, direction, kind, share, seed } = cell;
    const rates: FaultRates = { [kind]: share };
    let injector: FaultInjector | undefined;
    const session = await openSession({
      target: path.kernel,
      source: path.ours,
      allowRemote: true,
      checksums: "strict",
      connection: { mssBytes: path.mssBytes, mslUs: MSL_US },
      wrap: (device: PacketDevice) => {
        injector = new FaultInjector(completingChecksums(this.#resets.counting(device)), {
          seed,
          [direction]: rates,
          // One fault is sure: a megabyte in segments of 64 KiB is so few that chance may spare all of them.
          rules: [{ dir: direction, fault: kind, nth: SURE_FAULT }],
          schedule: (delayUs, action) => void setTimeout(action, delayUs / 1000).unref(),
        });
        return injector;
      },
    });
    const started = performance.now();
    const ends: Ends = { kernelRetransmits: 0, resets: [] };
    let late: NodeJS.Timeout | undefined;
    const transfer = async (): Promise<string> => {
      if (cell.role === "client") {
        const remotePort = this.#ports.get(path) ?? 0;
        ends.stream = TcpStream.connect(session.driver, { local: session.local, remote: session.target, remotePort });
      } else {
        const server = new TcpServer(session.driver).listen({ address: session.local });
        const connection = once(server, "connection");
        ends.kernel = await this.#peer(path).connect(path.ours, server.listener?.port ?? 0);
        [ends.stream] = (await connection) as [TcpStream];
      }
      const failed = failure(ends.stream).then((code) => code || untilNever);
      const problem = await Promise.race([this.#exchange(cell, ends, ends.stream), failed]);
      if (problem === "") await session.driver.whenIdle();
      return problem;
    };
    const deadline = new Promise<string>((resolve) => {
      late = setTimeout(() => resolve(`hangs: ${this.#standing(cell, ends)}`), deadlineMs);
    });
    try {
      const problem = await Promise.race([transfer(), deadline]);
      const counts = injector?.counts[direction];
      const { retransmits = 0, timeouts = 0 } = ends.stream?.connection.status().counters ?? {};
      return {
        problem,
        ms: performance.now() - started,
        faults: counts?.[kind] ?? 0,
        packets: counts?.packets ?? 0,
        resets: ends.resets,
        ourRetransmits: retransmits,
        ourTimeouts: timeouts,
        kernelRetransmits: ends.kernelRetransmits,
      };
    } finally {
      clearTimeout(late);
      ends.stream?.on("error", () => {});
      session.close();
    }
  }

  async close(): Promise<void> {
    this.#resets.close();
    await this.#here.close();
    await this.#beyond.close();
    await this.#far.close();
  }

  /** Data both ways at once; the client's FIN rides on its last data, the server closes when it has all of it. */
  async #exchange(cell: Cell, ends: Ends, stream: TcpStream): Promise<string> {
    const { bytes, seed, role, path } = cell;
    const received = intake(stream);
    ends.received = received;
    const ours = pattern(2 * seed, bytes);
    if (role === "client") stream.end(ours);
    else stream.write(ours);
    const kernel = ends.kernel ?? (await this.#peer(path).accept(stream));
    ends.kernel = kernel;
    await kernel.write(2 * seed + 1, bytes);
    if (role === "server") await kernel.end();
    await Promise.all([received.until(bytes), kernel.untilBytes(bytes)]);
    // Before the kernel's end is over, for then it forgets.
    ends.kernelRetransmits = Number(/\bretrans:\d+\/(\d+)/.exec(this.#socketInfo(cell, stream))?.[1] ?? 0);
    if (role === "client") await kernel.end();
    else stream.end();
    const [here] = await Promise.all([received.done, kernel.until("end")]);
    // Now, for after TIME-WAIT the port is the kernel's, and so is the answer to what still comes for it.
    ends.resets = (await this.#resets.takeFrom(stream.connection.status().local)).kernel;
    if (here !== sha256(pattern(2 * seed + 1, bytes))) return "our end has other bytes than the kernel sent";
    return kernel.sha256 === sha256(ours) ? "" : "the kernel has other bytes than we sent";
  }

  #standing(cell: Cell, { stream, kernel, received }: Ends): string {
    if (stream === undefined)
      return `no connection; the kernel's client: ${[...(kernel?.seen ?? [])].join(" ")} ${kernel?.error}`;
    const read = `we read ${received?.bytes ?? 0} bytes, the kernel ${kernel?.bytes ?? 0} ${kernel?.error ?? ""}`;
    return `${read}; ours: ${JSON.stringify(stream.connection.status())}; the kernel's: ${this.#socketInfo(cell, stream)}`;
  }

  /** What `ss` tells of the kernel's end. */
  #socketInfo({ path }: Cell, stream: TcpStream): string {
    const { localPort, remotePort } = stream.connection.tcb;
    const there = this.#peer(path) === this.#here ? run : this.#far.run;
    return there("ss", "-tinHO", "sport", "=", `:${remotePort}`, "and", "dport", "=", `:${localPort}`).trim();
  }

  #peer(path: GridPath): KernelPeer {
    return path.kernel === "127.0.0.1" ? this.#here : this.#beyond;
  }
}

/** What a cell knows so far. */
interface Ends {
  stream?: TcpStream;
  kernel?: KernelSocket;
  received?: Intake;
  kernelRetransmits: number;
  resets: readonly string[];
}

/** Long enough for the kernel's FIN to come again when our ACK of it was lost. */
const MSL_US = 500_000;
/** The packet, counted from 1, that meets a fault in any case. */
const SURE_FAULT = 8;

/** For a stream that closed in peace: the exchange says how it went. */
const untilNever = new Promise<string>(() => {});
