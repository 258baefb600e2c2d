/** Writes of one connection in their order: into the send buffer as far as it takes them, the rest waits. */
import type { Connection } from "../tcp/connection.js";
import { codeOf } from "./errors.js";
import { errnoOf, type Request } from "./internals.js";

/** A write that may not be all in the send buffer yet. */
export interface Write {
  readonly request: Request;
  readonly chunks: readonly Uint8Array[];
  index: number;
  offset: number;
  /** The request of a C++ stream above us. */
  readonly isNative: boolean;
}

export class WriteQueue {
  readonly #writes: Write[] = [];

  get isEmpty(): boolean {
    return this.#writes.length === 0;
  }

  /** Bytes that are not in the send buffer yet. */
  get bytes(): number {
    let bytes = 0;
    for (const { chunks, index, offset } of this.#writes) {
      for (let i = index; i < chunks.length; i++) bytes += chunks[i]?.length ?? 0;
      bytes -= offset;
    }
    return bytes;
  }

  /** Returns libuv's errno when the connection takes nothing any more; see `isDone` for the rest. */
  add(connection: Connection, write: Write): number {
    const status = this.isEmpty ? send(connection, write) : 0;
    if (status === 0 && !isDone(write)) this.#writes.push(write);
    return status;
  }

  /** There is room in the send buffer again: the next write that is over, and its status; undefined when none is. */
  next(connection: Connection): { readonly write: Write; readonly status: number } | undefined {
    const write = this.#writes[0];
    if (write === undefined) return undefined;
    const status = send(connection, write);
    if (status === 0 && !isDone(write)) return undefined;
    this.#writes.shift();
    return { write, status };
  }

  /** Takes out all that wait. */
  clear(): Write[] {
    return this.#writes.splice(0);
  }
}

/** Whether all of it is in the send buffer. */
export function isDone(write: Write): boolean {
  return write.index >= write.chunks.length;
}

function send(connection: Connection, write: Write): number {
  const { chunks } = write;
  try {
    while (write.index < chunks.length) {
      const chunk = chunks[write.index];
      const left = (chunk?.length ?? 0) - write.offset;
      const taken = chunk === undefined || left === 0 ? 0 : connection.send(chunk, write.offset, left);
      if (taken < left) {
        write.offset += taken;
        return 0;
      }
      write.index++;
      write.offset = 0;
    }
    return 0;
  } catch (error) {
    return errnoOf(codeOf(error));
  }
}
