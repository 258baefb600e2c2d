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
