/** `rawtcp explain FILE`: every connection of a capture that anyone made, from the segments alone. */
import { RawTcpError } from "../base/errors.js";
import { readCaptureFile } from "../device/capture-file.js";
import { Explainer } from "../explain/explainer.js";
import { captureJson, connectionJson, drawLadder, listLine, summaryLines } from "../explain/report.js";
import { CaptureError } from "../pcapng/blocks.js";
import { EXIT } from "./exit-codes.js";
import type { ExplainCliOptions } from "./explain-options.js";
import { tell, writeAll } from "./output.js";

/** Explains the file. Returns the exit code: 0 when all of it was sound, 1 when part of it could not be read. */
export async function explain(options: ExplainCliOptions): Promise<number> {
  const explainer = new Explainer({ limit: options.limit });
  const damage = await readInto(explainer, options.file);
  if (damage !== undefined && damage.exitCode === EXIT.usage) {
    tell(damage.message);
    return damage.exitCode;
  }
  const problem = damage?.message;
  const { connections } = explainer;
  const chosen = options.connection === undefined ? connections : connections.slice(options.connection - 1, options.connection);
  const out = new Lines();
  if (options.json) {
    out.write(JSON.stringify(captureJson(explainer)));
    for (const connection of chosen) out.write(JSON.stringify(connectionJson(connection)));
  } else if (options.summary) {
    for (const connection of chosen) for (const line of summaryLines(connection)) out.write(line);
  } else if (chosen.length > 1) {
    for (const connection of chosen) out.write(listLine(connection));
    out.write("");
    out.write("one of them in full: --connection N; what became of each: --summary");
  } else {
    const [one] = chosen;
    if (one !== undefined) {
      const ladder = { width: options.width ?? process.stdout.columns ?? 120, allOptions: options.verbose > 0 };
      const colour = process.stdout.isTTY === true && process.env["NO_COLOR"] === undefined;
      drawLadder(one, { ...ladder, colour }, (line) => out.write(line));
      out.write("");
      for (const line of summaryLines(one)) out.write(line);
    }
  }
  out.end();
  for (const [reason, n] of explainer.unfollowed)
    if (!options.json) tell(`${n} of ${explainer.packets} packets not followed: ${reason}`);
  if (problem !== undefined) {
    tell(`${options.file}: ${problem}; ${explainer.packets} packets before it were read`);
    return EXIT.failure;
  }
  if (options.connection !== undefined && chosen.length === 0) {
    tell(`--connection: there is no ${options.connection}, the capture has ${connections.length}`);
    return EXIT.usage;
  }
  if (connections.length === 0 && !options.json) tell(`${options.file}: no TCP segment in ${explainer.packets} packets`);
  return EXIT.success;
}

/** Reads the file, gzipped or not, to its end or to where it is damaged; says what was wrong. */
async function readInto(explainer: Explainer, file: string): Promise<{ message: string; exitCode: number } | undefined> {
  try {
    for await (const packets of readCaptureFile(file, explainer.reader)) explainer.follow(packets);
    return undefined;
  } catch (error) {
    if (!(error instanceof RawTcpError)) throw error;
    return { message: error.message, exitCode: error instanceof CaptureError ? EXIT.failure : EXIT.usage };
  }
}

/** Lines to standard output, many at a time; stops when the reader has gone. */
class Lines {
  #text = "";
  #isOpen = true;

  write(line: string): void {
    this.#text += `${line}\n`;
    if (this.#text.length > 65_536) this.end();
  }

  end(): void {
    if (this.#isOpen && this.#text !== "") this.#isOpen = writeAll(1, this.#text);
    this.#text = "";
  }
}
