/** Error classes with a stable `code`. What a peer sends never throws; what a caller does wrong throws one of these. */

/** Anything that rawtcp throws; `code` is stable, the message is not. */
export class RawTcpError extends Error {
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.name = "RawTcpError";
    this.code = code;
  }
}

/** An invariant of the engine does not hold: a defect of ours, never the doing of a peer or a caller. */
export class InvariantError extends RawTcpError {
  constructor(message: string) {
    super("ERR_INVARIANT", message);
    this.name = "InvariantError";
  }
}

/** Throws InvariantError unless `condition` holds. */
export function invariant(condition: boolean, message: string): asserts condition {
  if (!condition) throw new InvariantError(message);
}
