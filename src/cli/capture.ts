/** `rawtcp capture`: packets of an interface or a file, shown or saved. */
import { statSync } from "node:fs";
import { RawTcpError } from "../base/errors.js";
import { readCaptureFile } from "../device/capture-file.js";
import { type LiveCapture, openLiveCapture } from "../device/live-capture.js";
import { wallClockNs } from "../driver/clock.js";
import { listInterfaces } from "../kernel/interfaces.js";
import { compileFilter, type PacketFilter } from "../kernel/libpcap.js";
import type { CaptureInterface, CapturePacket } from "../pcapng/capture.js";
import { CaptureReader } from "../pcapng/reader.js";
import { LINKTYPE, LinkHeader, readLinkHeader } from "../wire/link-layer.js";
import { CaptureFormat } from "./capture-format.js";
import { type CaptureOptions, filterOf } from "./capture-options.js";
import { CaptureWriter } from "./capture-writer.js";
import { EXIT, judge, SUCCESS, type Verdict } from "./exit-codes.js";
import { tell, writeAll } from "./output.js";
import { watchForStop } from "./run.js";

/** Returns the exit code. */
export async function capture(options: CaptureOptions): Promise<number> {
  const stop = watchForStop();
  let output: Output | undefined;
  let verdict: Verdict;
  try {
    if (options.write === undefined) output = new Output(options, undefined);
    else if (options.read !== undefined && isSameFile(options.read, options.write))
      throw new RawTcpError("ERR_PCAP_FILE", `-w ${options.write} is the file that -r reads: choose another`);
    else if (options.read === undefined) output = new Output(options, new CaptureWriter(options.write));
    else output = new Output(options, undefined, options.write);
    verdict = await (options.read === undefined
      ? captureLive(options, output, stop.interrupted)
      : captureFile(options, options.read, output, stop.interrupted));
  } catch (error) {
    verdict = judge(error);
  } finally {
    output?.close();
    stop.close();
  }
  if (verdict.message !== "") tell(verdict.message);
  return verdict.exitCode;
}

function isSameFile(read: string, write: string): boolean {
  if (read === "-" || write === "-") return false;
  const [one, other] = [statSync(read, { throwIfNoEntry: false }), statSync(write, { throwIfNoEntry: false })];
  return one?.isFile() === true && one.ino === other?.ino && one.dev === other.dev;
}

/** Where packets go, and how many have. */
class Output {
  count = 0;
  /** Enough were asked for, or the reader has gone. */
  isFull = false;
  readonly #options: CaptureOptions;
  readonly #format: CaptureFormat;
  readonly #later: string | undefined;
  #writer: CaptureWriter | undefined;
  #text = "";

  /** `later` is a file that is opened with the first packet or at the end: the file that is read may be the same by mistake. */
  constructor(options: CaptureOptions, writer: CaptureWriter | undefined, later?: string) {
    this.#options = options;
    this.#format = new CaptureFormat(options);
    this.#writer = writer;
    this.#later = later;
  }

  get writer(): CaptureWriter | undefined {
    if (this.#writer === undefined && this.#later !== undefined) this.#writer = new CaptureWriter(this.#later);
    return this.#writer;
  }

  packet(packet: CapturePacket, from: CaptureInterface, interfaceName: string): void {
    if (this.isFull) return;
    this.count++;
    const { writer } = this;
    if (writer !== undefined) writer.packet(packet, from);
    else {
      const lines = this.#format.lines({ number: this.count, packet, from, interfaceName });
      this.#text += `${lines.join("\n")}\n`;
      if (this.#text.length > FLUSH_CHARACTERS) this.flush();
    }
    if (this.count === this.#options.count) this.isFull = true;
  }

  flush(): void {
    const { writer } = this;
    const isTaken = writer === undefined ? this.#text === "" || writeAll(1, this.#text) : writer.flush();
    this.#text = "";
    if (!isTaken) this.isFull = true;
  }

  close(): void {
    this.#writer?.close();
  }
}

const FLUSH_CHARACTERS = 1 << 16;

async function captureFile(
  options: CaptureOptions,
  path: string,
  output: Output,
  interrupted: Promise<Verdict>,
): Promise<Verdict> {
  const expression = filterOf(options);
  const filters = new Map<number, PacketFilter>();
  // A filter that cannot be read is told before the file is.
  if (expression !== "") filters.set(LINKTYPE.ETHERNET, compileFilter(expression, LINKTYPE.ETHERNET));
  const reader = new CaptureReader();
  const names = new InterfaceNames(false);
  let signal: Verdict | undefined;
  void interrupted.then((verdict) => {
    signal = verdict;
  });
  try {
    for await (const packets of readCaptureFile(path, reader)) {
      for (const packet of packets) {
        const from = reader.interfaces[packet.interfaceIndex];
        if (from === undefined || output.isFull) continue;
        if (expression !== "" && !compiledFor(filters, expression, from.linkType).matches(packet.data, packet.originalLength))
          continue;
        output.packet(cut(packet, options.snaplen), from, names.of(packet, from, reader.interfaces.length > 1));
      }
      output.flush();
      if (output.isFull || signal !== undefined) break;
    }
  } catch (error) {
    // All that was readable is there before the damage is told; what cannot be opened leaves no empty file.
    if (reader.format !== "unknown") output.flush();
    throw error;
  }
  output.flush();
  return signal ?? SUCCESS;
}

function compiledFor(filters: Map<number, PacketFilter>, expression: string, linkType: number): PacketFilter {
  let filter = filters.get(linkType);
  if (filter === undefined) {
    filter = compileFilter(expression, linkType);
    filters.set(linkType, filter);
  }
  return filter;
}

function cut(packet: CapturePacket, snapLength: number): CapturePacket {
  if (snapLength === 0 || packet.data.length <= snapLength) return packet;
  return { ...packet, data: packet.data.subarray(0, snapLength) };
}

async function captureLive(options: CaptureOptions, output: Output, interrupted: Promise<Verdict>): Promise<Verdict> {
  const filter = filterOf(options);
  const names = new InterfaceNames(true);
  let finish: (verdict: Verdict) => void = () => undefined;
  const finished = new Promise<Verdict>((resolve) => {
    finish = resolve;
  });
  const snapLength = options.snaplen === 0 ? 262_144 : options.snaplen;
  let from: CaptureInterface | undefined;
  const live = openLiveCapture({
    device: options.interface,
    filter,
    snapLength,
    promiscuous: options.promiscuous && options.p !== true,
    immediate: options.write === undefined || options.write === "-",
    now: wallClockNs(),
    onPackets: (packets) => {
      if (from === undefined) return;
      try {
        for (const { timeNs, data, originalLength } of packets) {
          const packet = { interfaceIndex: 0, timeNs, data, originalLength, direction: null, comments: [], offset: 0 };
          output.packet(packet, from, names.of(packet, from, false));
        }
        output.flush();
      } catch (error) {
        finish(judge(error));
      }
      if (output.isFull) finish(SUCCESS);
    },
    onFailure: (error) => finish(judge(error)),
  });
  from = liveInterface(options.interface, live.linkType, snapLength, filter);
  try {
    // The head of a file is there from the start: Wireshark at the end of a pipe waits for it.
    output.writer?.interface(from);
    output.flush();
    const note = live.isExact ? "" : "; without koffi times are those of reading, and losses are not known";
    tell(`listening on ${options.interface}, link type ${live.linkType}, snapshot length ${snapLength} bytes${note}`);
    const verdict = await Promise.race([finished, interrupted]);
    if (!output.isFull && live.settleMs > 0) {
      await new Promise((resolve) => setTimeout(resolve, live.settleMs));
      live.drain();
    }
    end(live, output, from);
    // Ctrl-C is how a capture ends.
    return verdict.exitCode === EXIT.interrupted ? SUCCESS : verdict;
  } finally {
    live.close();
  }
}

/** The counts, into the file and to the user. */
function end(live: LiveCapture, output: Output, from: CaptureInterface): void {
  const counts = live.counts();
  if (counts !== undefined) {
    const { received, dropped } = counts;
    output.writer?.statistics(from, { timeNs: wallClockNs()(), received: BigInt(received), osDropped: BigInt(dropped) });
  }
  output.flush();
  const captured = `${output.count} ${output.count === 1 ? "packet" : "packets"} captured`;
  const rest =
    counts === undefined
      ? ""
      : `, ${counts.received} received by the filter, ${counts.dropped} dropped by the kernel${counts.droppedByInterface > 0 ? `, ${counts.droppedByInterface} by the interface` : ""}`;
  tell(captured + rest);
}

function liveInterface(name: string, linkType: number, snapLen: number, filter: string): CaptureInterface {
  const nothing = {
    section: -1,
    description: "",
    os: "",
    comments: [],
    unitsPerSecond: 1_000_000_000n,
    tsOffset: 0n,
    fcsLength: 0,
  };
  return { ...nothing, name, linkType, snapLen, filter };
}

/** What an interface is called, where it does not go without saying: in frames of "any" and in files of several interfaces. */
class InterfaceNames {
  /** Interface indices are those of this host: in a file of another one they would name the wrong one. */
  readonly #isLive: boolean;
  readonly #link = new LinkHeader();
  #byIndex = new Map<number, string>();

  constructor(isLive: boolean) {
    this.#isLive = isLive;
  }

  of(packet: CapturePacket, from: CaptureInterface, areSeveral: boolean): string {
    const { data } = packet;
    if (from.linkType === LINKTYPE.LINUX_SLL2 && readLinkHeader(this.#link, data, 0, data.length, from.linkType) === "")
      return this.#nameOf(this.#link.interfaceIndex);
    if (!areSeveral) return "";
    return from.name === "" ? `#${packet.interfaceIndex}` : from.name;
  }

  #nameOf(index: number): string {
    const known = this.#byIndex.get(index);
    if (known !== undefined) return known;
    if (this.#isLive) {
      try {
        for (const { index: other, name } of listInterfaces()) this.#byIndex.set(other, name);
      } catch {
        // The index is told instead.
      }
    }
    const name = this.#byIndex.get(index) ?? `if${index}`;
    this.#byIndex.set(index, name);
    return name;
  }
}
