/** `rawtcp send HOST`: packets with any field, and what answers them. */
import { craft } from "../craft/build.js";
import { fragment } from "../craft/fragments.js";
import type { PacketSpec } from "../craft/spec.js";
import { wallClockNs } from "../driver/clock.js";
import { type Exchange, type SendReceiveOptions, sendReceive } from "../driver/send-receive.js";
import { enhancedPacketBlock, interfaceDescriptionBlock, sectionHeaderBlock } from "../pcapng/writer.js";
import { parseAddress } from "../wire/address.js";
import { formatExchange, viewAnswer } from "./answer-format.js";
import { EXIT, judge, type Verdict } from "./exit-codes.js";
import { type CaptureFile, openCaptureFile } from "./logging.js";
import { tell, writeAll } from "./output.js";
import { printPacket } from "./print-packet.js";
import { resolveHost, watchForStop } from "./run.js";
import { scan } from "./scan.js";
import type { SendOptions } from "./send-options.js";
import { packetsOf } from "./send-spec.js";
import { SendStatistics } from "./send-statistics.js";
import { traceroute } from "./traceroute.js";

/** What each mode of the command works with. */
export interface SendJob {
  readonly options: SendOptions;
  /** The target's address. */
  readonly target: string;
  readonly family: 4 | 6;
  /** For `sendReceive`; its signal is Ctrl-C. */
  readonly live: SendReceiveOptions;
  print(line: string): void;
}

/** Returns the exit code. */
export async function send(options: SendOptions): Promise<number> {
  const stop = watchForStop();
  const abort = new AbortController();
  let signal: Verdict | undefined;
  let file: CaptureFile | undefined;
  const isGone = { value: false };
  try {
    const target = await resolveHost(options.host);
    const { family } = parseAddress(target);
    const print = (line: string): void => {
      if (!isGone.value && !writeAll(1, `${line}\n`)) {
        isGone.value = true;
        abort.abort();
      }
    };
    stop.interrupted.then((verdict) => {
      signal = verdict;
      abort.abort();
    });
    if (options.print) return printAll(options, target, family, print);
    if (options.pcap !== undefined) file = openCaptureFile(options.pcap);
    const job: SendJob = {
      options,
      target,
      family,
      print,
      live: { ...liveOptions(options, target, file), signal: abort.signal },
    };
    const exitCode =
      options.scan !== undefined ? await scan(job) : options.traceroute ? await traceroute(job) : await sendAll(job);
    // Ctrl-C is how a sending without end ends: the statistics have been told, and the answers count.
    return signal !== undefined && signal.exitCode !== EXIT.interrupted ? signal.exitCode : exitCode;
  } catch (error) {
    const verdict = judge(error);
    tell(verdict.message);
    return verdict.exitCode;
  } finally {
    file?.close();
    stop.close();
  }
}

async function sendAll(job: SendJob): Promise<number> {
  const { options, print } = job;
  const statistics = new SendStatistics();
  const sequence = new SequenceNumbers();
  if (options.badsumIp && job.family === 4) tell(NOTE_FRAMES);
  for await (const exchange of sendReceive(packetsOf(options, job.family), job.live)) {
    statistics.count(exchange);
    const isTold = exchange.answer !== undefined || exchange.problem !== "" || options.verbose > 0 || options.format === "json";
    if (!options.quiet && isTold)
      print(
        options.Q
          ? (sequence.line(exchange) ?? formatExchange(exchange, options.format))
          : formatExchange(exchange, options.format),
      );
  }
  if (options.format === "json") print(JSON.stringify(statistics.json(job.target)));
  else for (const line of statistics.lines(job.target)) print(line);
  return statistics.received > 0 ? EXIT.success : EXIT.failure;
}

const NOTE_FRAMES =
  "--badsum-ip: the kernel mends IP checksums of raw sockets, so the packet goes out as a frame on the link layer";

/** How far apart packets are, ms: hping's second when there are several rounds, else as fast as answers come. */
function intervalMs(options: SendOptions): number | undefined {
  if (options.rate !== undefined) return 1000 / options.rate;
  if (options.interval !== undefined) return options.interval / 1000;
  return options.count === 1 ? undefined : 1000;
}

function liveOptions(options: SendOptions, target: string, file: CaptureFile | undefined): SendReceiveOptions {
  const pace = intervalMs(options);
  return {
    target,
    source: options.sourceIp,
    sourcePort: options.sourcePort?.kind === "list" ? options.sourcePort.ports[0] : undefined,
    allowRemote: options.allowRemote,
    guard: options.guard,
    kind: options.template === undefined ? "tcp" : "any",
    timeoutMs: options.timeout * 1000,
    retries: options.retries ?? 0,
    resetOpened: options.reset,
    fragmentBytes: options.mtu,
    ...(pace === undefined ? {} : { intervalMs: pace }),
    ...(file === undefined ? {} : { onPacket: captureTo(file) }),
  };
}

/** Writes packets to a capture file. */
function captureTo(file: CaptureFile): NonNullable<SendReceiveOptions["onPacket"]> {
  const now = wallClockNs();
  file.write(sectionHeaderBlock({ userAppl: "rawtcp send" }));
  file.write(interfaceDescriptionBlock({ name: "rawtcp" }));
  return (direction, bytes, offset, length) => {
    const ns = now();
    const stamp = { tsHigh: Number(ns >> 32n), tsLow: Number(ns & 0xffff_ffffn) };
    file.write(
      enhancedPacketBlock({
        interfaceId: 0,
        ...stamp,
        bytes,
        offset,
        length,
        direction: direction === "out" ? "outbound" : "inbound",
      }),
    );
  };
}

/** Shows what would be sent. Unset source fields are shown as the defaults of `craft`, for the kernel is not asked. */
function printAll(options: SendOptions, target: string, family: 4 | 6, print: (line: string) => void): number {
  const loopback = family === 4 ? "127.0.0.1" : "::1";
  let count = 0;
  for (const spec of packetsOf({ ...options, count: 1 }, family)) {
    if (count++ === MOST_PRINTED) {
      tell(`--print: only the first ${MOST_PRINTED} packets are shown`);
      break;
    }
    const ip = { source: parseAddress(loopback), destination: parseAddress(target), ...spec.ip };
    const whole: PacketSpec = { ...spec, ip: ip as NonNullable<PacketSpec["ip"]> };
    const packet = craft(whole);
    if (count > 1) print("");
    for (const line of printPacket(whole, packet)) print(line);
    if (options.mtu !== undefined)
      for (const piece of fragment(packet.bytes, options.mtu)) print(`  fragment of ${piece.length} bytes`);
  }
  return EXIT.success;
}

const MOST_PRINTED = 100;

/** -Q: the numbers of the peer's SYN-ACKs and how they differ, by which its generator is judged (RFC 6528). */
class SequenceNumbers {
  #last = -1;

  line(exchange: Exchange): string | undefined {
    const tcp = exchange.answer === undefined ? undefined : viewAnswer(exchange.answer)?.tcp;
    if (tcp === undefined) return undefined;
    const difference = this.#last < 0 ? "" : ` +${(tcp.seq - this.#last) >>> 0}`;
    this.#last = tcp.seq;
    return `${tcp.seq}${difference}`;
  }
}
