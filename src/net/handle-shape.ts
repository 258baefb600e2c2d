/** What every TCP handle of libuv has, and needs nothing of ours. */
import { errnoOf, JSStream, type Request } from "./internals.js";

export abstract class HandleShape extends JSStream {
  /** Kept by the socket above. */
  reading = false;
  bytesRead = 0;
  bytesWritten = 0;

  abstract writeBuffer(request: Request, data: Uint8Array): number;

  get fd(): number {
    return -1;
  }

  /** A descriptor of the kernel cannot become a connection of ours. */
  open(_fd: number): number {
    return errnoOf("ENOTSUP");
  }

  setBlocking(): number {
    return 0;
  }

  setSimultaneousAccepts(): number {
    return 0;
  }

  writeUtf8String(request: Request, text: string): number {
    return this.writeBuffer(request, Buffer.from(text, "utf8"));
  }

  writeAsciiString(request: Request, text: string): number {
    return this.writeBuffer(request, Buffer.from(text, "latin1"));
  }

  writeLatin1String(request: Request, text: string): number {
    return this.writeBuffer(request, Buffer.from(text, "latin1"));
  }

  writeUcs2String(request: Request, text: string): number {
    return this.writeBuffer(request, Buffer.from(text, "utf16le"));
  }
}

/** What `writev` is given: buffers, or pairs of a chunk and its encoding. */
export function buffersOf(chunks: unknown[], allBuffers: boolean): Uint8Array[] {
  if (allBuffers) return chunks as Uint8Array[];
  const buffers: Uint8Array[] = [];
  for (let i = 0; i < chunks.length; i += 2) {
    const chunk = chunks[i] as Uint8Array | string;
    buffers.push(typeof chunk === "string" ? Buffer.from(chunk, chunks[i + 1] as BufferEncoding) : chunk);
  }
  return buffers;
}

/** Bytes of all. */
export function totalOf(buffers: readonly Uint8Array[]): number {
  let total = 0;
  for (const buffer of buffers) total += buffer.length;
  return total;
}
