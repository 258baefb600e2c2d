/** What the tests do with our end of a connection. */
import { createHash } from "node:crypto";
import { once } from "node:events";
import type { TcpStream } from "../../src/net/tcp-stream.js";

/** What came in on a stream, hashed as it comes. */
export interface Intake {
  readonly bytes: number;
  /** Resolves at the peer's FIN with the sha256 of all of it; rejects when the connection fails. */
  readonly done: Promise<string>;
  /** Resolves once that many bytes are here. */
  until(bytes: number): Promise<void>;
}

/** Reads a stream to its end. */
export function intake(stream: TcpStream): Intake {
  const hash = createHash("sha256");
  let bytes = 0;
  stream.on("data", (chunk: Buffer) => {
    hash.update(chunk);
    bytes += chunk.length;
  });
  const done = new Promise<string>((resolve, reject) => {
    stream.on("end", () => resolve(hash.digest("hex")));
    stream.on("error", reject);
  });
  done.catch(() => {}); // who does not ask for it does not want to hear of it
  return {
    get bytes() {
      return bytes;
    },
    done,
    async until(wanted) {
      while (bytes < wanted) await once(stream, "data");
    },
  };
}

/** The code with which a stream fails; `""` when it closes in peace. */
export function failure(stream: TcpStream): Promise<string> {
  return new Promise((resolve) => {
    stream.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    stream.on("close", () => resolve(""));
  });
}
