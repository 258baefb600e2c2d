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
import type { Status } from "../../src/tcp/status.js";
import type { PacketDevice } from "../../src/wire/packet-device.js";
import { enterPrivateNamespace, type FarNamespace, openFarNamespace } from "../kernel/support.js";
import { completingChecksums } from "./complete-checksums.js";
import { KernelPeer, type KernelSocket, spawnHere } from "./kernel-peer.js";
import { pattern, sha256 } from "./pattern.js";
import { RstWatch } from "./rst-watch.js";
import { failure, intake } from "./streams.js";

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
  { name: "veth", kernel: "10.77.0.2", ours: "10.77.0.1", mssBytes: 1460 },
];

/** One cell of the grid. */
export interface Cell {
  readonly path: GridPath;
  readonly role: "client" | "server";
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
  readonly packets: number;
  readonly status: Status | undefined;
}

/** The namespaces and the kernel's ends; one a process. */
export class Grid {
  readonly resets = new RstWatch();
  readonly #here: KernelPeer;
  readonly #beyond: KernelPeer;
  readonly #far: FarNamespace;
  readonly #ports = new Map<string, number>();

  static async open(): Promise<Grid> {
    enterPrivateNamespace();
    // The kernel's clients and our connections never take the same port, so a port tells whose an RST is.
    writeFileSync("/proc/sys/net/ipv4/ip_local_port_range", "20000 40000");
    const far = await openFarNamespace();
    const metrics = "/proc/sys/net/ipv4/tcp_no_metrics_save";
    writeFileSync(metrics, "1");
    far.run("sh", "-c", `echo 1 > ${metrics}`);
    // The kernel's segments come as they would on a wire; without it a fault hits up to 44 of them as one packet.
    far.run("ip", "link", "set", "far0", "gso_max_segs", "1");
    const grid = new Grid(far);
    for (const path of GRID_PATHS) grid.#ports.set(path.name, await grid.#peer(path).listen(path.kernel));
    return grid;
  }

  private constructor(far: FarNamespace) {
    this.#far = far;
    this.#here = new KernelPeer(spawnHere);
    this.#beyond = new KernelPeer(far.spawn);
    this.resets.watch("lo", "127.0.0.1");
    this.resets.watch("near0", "10.77.0.2");
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
      connection: { mssBytes: path.mssBytes, mslUs: 20_000 },
      wrap: (device: PacketDevice) => {
        injector = new FaultInjector(completingChecksums(this.resets.counting(device)), {
          seed,
          [direction]: rates,
          // One fault is sure: 10 MiB in segments of 64 KiB are few enough for chance to spare all of them.
          rules: [{ dir: direction, fault: kind, nth: SURE_FAULT }],
          schedule: (delayUs, action) => void setTimeout(action, delayUs / 1000).unref(),
        });
        return injector;
      },
    });
    const started = performance.now();
    let stream: TcpStream | undefined;
    let kernel: KernelSocket | undefined;
    let late: NodeJS.Timeout | undefined;
    try {
      const end = async (): Promise<string> => {
        if (cell.role === "client") {
          const remotePort = this.#ports.get(path.name) ?? 0;
          stream = TcpStream.connect(session.driver, { local: session.local, remote: session.target, remotePort });
        } else {
          const server = new TcpServer(session.driver).listen({ address: session.local });
          const connection = once(server, "connection");
          kernel = await this.#peer(path).connect(path.ours, server.listener?.port ?? 0);
          [stream] = (await connection) as [TcpStream];
        }
        const failed = failure(stream);
        const received = intake(stream);
        const ours = pattern(2 * seed, cell.bytes);
        stream.end(ours);
        const exchange = async (open: TcpStream): Promise<string> => {
          kernel ??= await this.#peer(path).accept(open);
          const written = kernel.write(2 * seed + 1, cell.bytes);
          await written;
          await kernel.end();
          const [here] = await Promise.all([received.done, kernel.until("end")]);
          if (here !== sha256(pattern(2 * seed + 1, cell.bytes))) return "our end has other bytes than the kernel sent";
          return kernel.sha256 === sha256(ours) ? "" : "the kernel has other bytes than we sent";
        };
        const problem = await Promise.race([exchange(stream), failed.then((code) => code || untilNever)]);
        if (problem === "") await session.driver.whenIdle();
        return problem;
      };
      const deadline = new Promise<string>((resolve) => {
        late = setTimeout(() => resolve(`hangs: ${standing(stream, kernel)}`), deadlineMs);
      });
      const problem = await Promise.race([end(), deadline]);
      const counts = injector?.counts[direction];
      return {
        problem,
        ms: performance.now() - started,
        faults: counts?.[kind] ?? 0,
        packets: counts?.packets ?? 0,
        status: stream?.connection.status(),
      };
    } finally {
      clearTimeout(late);
      stream?.on("error", () => {});
      session.close();
    }
  }

  async close(): Promise<void> {
    this.resets.close();
    await this.#here.close();
    await this.#beyond.close();
    await this.#far.close();
  }

  #peer(path: GridPath): KernelPeer {
    return path.kernel === "127.0.0.1" ? this.#here : this.#beyond;
  }
}

/** The packet, counted from 1, that meets a fault in any case. */
const SURE_FAULT = 20;

/** For a stream that closed in peace: the exchange says how it went. */
const untilNever = new Promise<string>(() => {});

function standing(stream: TcpStream | undefined, kernel: KernelSocket | undefined): string {
  const status = stream === undefined ? "no connection" : JSON.stringify(stream.connection.status());
  return `${status}; the kernel read ${kernel?.bytes ?? 0} bytes ${kernel?.error ?? ""}`;
}
