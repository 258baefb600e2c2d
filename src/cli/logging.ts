/** Where the events of a command go: a ladder, lines, or JSON Lines, and the pcapng file. */
import { closeSync, openSync } from "node:fs";
import { RawTcpError } from "../base/errors.js";
import type { TraceEvent, TraceSink } from "../observe/events.js";
import { formatJson } from "../observe/jsonl.js";
import { Ladder } from "../observe/ladder.js";
import { Summary } from "../observe/summary.js";
import { formatEvent } from "../observe/text.js";
import type { CommonOptions } from "./options.js";
import { tell, writeAll } from "./output.js";

export interface Log {
  /** Undefined with --quiet: then nothing is traced at all. */
  readonly sink: TraceSink | undefined;
  /** The last lines: the summary. */
  end(): void;
}

/** A log that is written to `fd`, synchronously: what happened before a crash or Ctrl-C is on the screen. */
export function openLog(options: CommonOptions, fd: 1 | 2): Log {
  if (options.quiet) return { sink: undefined, end: () => undefined };
  const write = untilItFails((line: string) => writeAll(fd, `${line}\n`));
  if (options.json) return { sink: (event) => write(formatJson(event)), end: () => undefined };
  const summary = new Summary();
  const draw = options.log === "text" ? textLog(write, options) : ladderLog(write, options, fd);
  return {
    sink: (event) => {
      summary.event(event);
      draw.event(event);
    },
    end: () => {
      draw.end();
      for (const paragraph of summary.paragraphs()) write(paragraph);
    },
  };
}

interface Drawing {
  event(event: TraceEvent): void;
  end(): void;
}

function textLog(write: (line: string) => void, options: CommonOptions): Drawing {
  return {
    event: (event) => {
      if (event.type !== "timer" || options.verbose > 0 || event.action === "expire") write(formatEvent(event));
    },
    end: () => undefined,
  };
}

function ladderLog(write: (line: string) => void, options: CommonOptions, fd: 1 | 2): Drawing {
  const stream = fd === 1 ? process.stdout : process.stderr;
  return new Ladder(
    {
      width: options.width ?? (stream.isTTY ? stream.columns : 120),
      colour: stream.isTTY === true && process.env["NO_COLOR"] === undefined,
      timers: options.verbose > 0 ? "all" : "expire",
      allOptions: options.verbose > 1,
    },
    write,
  );
}

export interface CaptureFile {
  /** Never throws: a disk that fills up ends the capture, not the connection. */
  readonly write: (bytes: Uint8Array) => void;
  close(): void;
}

/** Opens the file of --pcap, "-" for standard output. Throws RawTcpError `ERR_PCAP_FILE` naming the file. */
export function openCaptureFile(path: string): CaptureFile {
  const fd = openForCapture(path, "--pcap");
  return {
    write: untilItFails((bytes: Uint8Array) => writeAll(fd, bytes), `the capture ${path} ends here`),
    close: () => {
      if (fd !== 1) closeSync(fd);
    },
  };
}

/** The descriptor of a capture file to be written, 1 for "-"; `option` is its name in messages. Throws RawTcpError `ERR_PCAP_FILE`. */
export function openForCapture(path: string, option: string): number {
  return path === "-" ? openStandardOutput(option) : openFile(path, option);
}

function openStandardOutput(option: string): 1 {
  if (process.stdout.isTTY !== true) return 1;
  throw new RawTcpError("ERR_PCAP_FILE", `${option} -: standard output is a terminal; append | wireshark -k -i -`);
}

function openFile(path: string, option: string): number {
  try {
    return openSync(path, "w");
  } catch (error) {
    const reason = error instanceof Error ? error.message.replace(/, open .*/, "") : String(error);
    throw new RawTcpError(
      "ERR_PCAP_FILE",
      `cannot write the capture file ${path}: ${reason}; choose another with ${option} FILE`,
    );
  }
}

/** `write` until it fails or its reader has gone; a failure is told once, if there is something to call it. */
function untilItFails<T>(write: (data: T) => boolean, what = ""): (data: T) => void {
  let isGood = true;
  return (data) => {
    if (!isGood) return;
    try {
      isGood = write(data);
    } catch (error) {
      isGood = false;
      if (what !== "") tell(`${what}: ${error instanceof Error ? error.message : String(error)}`);
    }
  };
}
