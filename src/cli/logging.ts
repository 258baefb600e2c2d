/** Where events of a command go: a ladder, lines, or JSON Lines, and the pcapng file. */
import { closeSync, openSync, writeSync } from "node:fs";
import { RawTcpError } from "../base/errors.js";
import type { TraceEvent, TraceSink } from "../observe/events.js";
import { formatJson } from "../observe/jsonl.js";
import { Ladder } from "../observe/ladder.js";
import { Summary } from "../observe/summary.js";
import { formatEvent } from "../observe/text.js";
import type { CommonOptions } from "./options.js";

export interface Log {
  /** Undefined with --quiet: then nothing is traced at all. */
  readonly sink: TraceSink | undefined;
  /** The last lines: the summary. */
  end(): void;
}

/** A log that is written to `fd`, synchronously: what happened before a crash or Ctrl-C is on the screen. */
export function openLog(options: CommonOptions, fd: 1 | 2): Log {
  if (options.quiet) return { sink: undefined, end: () => undefined };
  const write = (line: string): void => writeAll(fd, `${line}\n`);
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
  readonly write: (bytes: Uint8Array) => void;
  close(): void;
}

/** Opens the file of --pcap, "-" for standard output. Throws RawTcpError naming the file. */
export function openCaptureFile(path: string): CaptureFile {
  if (path === "-") return { write: (bytes) => writeAll(1, bytes), close: () => undefined };
  let fd: number;
  try {
    fd = openSync(path, "w");
  } catch (error) {
    throw new RawTcpError(
      "ERR_PCAP_FILE",
      `cannot write the capture file ${path}: ${error instanceof Error ? error.message : error}`,
    );
  }
  return { write: (bytes) => writeAll(fd, bytes), close: () => closeSync(fd) };
}

/** Writes all of it, also into a pipe that is full for a moment. A reader that has gone is no reason to fail. */
function writeAll(fd: number, data: string | Uint8Array): void {
  let bytes = typeof data === "string" ? Buffer.from(data) : data;
  while (bytes.length > 0) {
    try {
      bytes = bytes.subarray(writeSync(fd, bytes));
    } catch (error) {
      const code = error instanceof Error && "code" in error ? error.code : "";
      if (code === "EPIPE") return;
      if (code !== "EAGAIN") throw error;
      Atomics.wait(PAUSE, 0, 0, 1);
    }
  }
}

const PAUSE = new Int32Array(new SharedArrayBuffer(4));
