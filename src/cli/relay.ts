/**
 * Standard input to a connection, and the connection to standard output.
 *
 * The two directions end apart. Once one has ended, the other goes on for as long as something moves in it; after a while of
 * silence it is ended too, unless the user asked for a half-close.
 */
import type { TcpStream } from "../net/tcp-stream.js";
import { judge, SUCCESS, type Verdict } from "./exit-codes.js";

export interface RelayOptions {
  /** Neither FIN limits how long the other direction may last. */
  readonly halfClose: boolean;
  /** RST at the end of input. */
  readonly abort: boolean;
  /** Standard output is taken (--pcap -): what the peer sends is received and thrown away. */
  readonly discard: boolean;
}

/** How long a peer may be silent after our FIN. */
const PEER_SILENCE_MS = 10_000;
/** How long input may be silent after the peer's FIN: an upload goes on, a program that only holds its end open does not hold us. */
const INPUT_SILENCE_MS = 1000;

/** Joins an established connection with standard input and output. A failure of standard input destroys the stream. */
export function relay(stream: TcpStream, options: RelayOptions): void {
  const input = process.stdin;
  input.on("error", (error) => stream.destroy(new Error(`standard input: ${error.message}`)));
  input.pipe(stream, { end: !options.abort });
  if (options.abort) input.on("end", () => abortWhenSent(stream));
  discardOrPrint(stream, options.discard);
  stream.on("end", () => {
    if (options.halfClose) return;
    const endOurs = (): void => {
      // The pipe would write after the end.
      input.unpipe(stream);
      stream.end();
    };
    if (input.isTTY) endOurs();
    else whenSilent(stream, INPUT_SILENCE_MS, endOurs);
  });
  stream.on("finish", () => {
    if (!options.halfClose) whenSilent(stream, PEER_SILENCE_MS, () => stream.destroy());
  });
}

/** What the peer sends goes to standard output, which stays open. */
export function discardOrPrint(stream: TcpStream, discard: boolean): void {
  if (discard) stream.resume();
  else stream.pipe(process.stdout, { end: false });
}

/** How a connection ended; resolves when nothing of it will come any more. */
export function outcome(stream: TcpStream): Promise<Verdict> {
  return new Promise((resolve) => {
    stream.on("error", (error) => resolve(judge(error)));
    stream.on("close", () => resolve(SUCCESS));
  });
}

/** RST drops what is still queued: what the user typed must have arrived first. */
function abortWhenSent(stream: TcpStream): void {
  const { sendQueueBytes, state } = stream.connection.status();
  if (state === "CLOSED") return;
  if (sendQueueBytes + stream.writableLength === 0) stream.abort();
  else setTimeout(abortWhenSent, SENT_POLL_MS, stream);
}

const SENT_POLL_MS = 10;

/** Acts when nothing has moved for at least `ms` and nothing waits to be moved; never once the stream has closed. */
function whenSilent(stream: TcpStream, ms: number, act: () => void): void {
  let before = progress(stream);
  const timer = setInterval(() => {
    const now = progress(stream);
    if (now === before && !isBusy(stream)) {
      clearInterval(timer);
      act();
    }
    before = now;
  }, ms);
  stream.once("close", () => clearInterval(timer));
}

function progress(stream: TcpStream): string {
  const { snd, rcv } = stream.connection.status();
  return `${snd.una} ${rcv.nxt}`;
}

/** A peer whose window is closed, or a reader of standard output that takes its time, is not silence. */
function isBusy(stream: TcpStream): boolean {
  const { sendQueueBytes, receiveQueueBytes } = stream.connection.status();
  return sendQueueBytes + receiveQueueBytes + stream.writableLength + stream.readableLength > 0;
}
