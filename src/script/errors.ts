/** Why a script cannot be read or run. */
import { RawTcpError } from "../base/errors.js";

/** A place in a script, both counted from 1. */
export interface Place {
  readonly line: number;
  readonly column: number;
}

/** The text is no script: names the place and what was expected there. */
export class ScriptSyntaxError extends RawTcpError {
  readonly place: Place;

  constructor(place: Place, message: string) {
    super("ERR_SCRIPT_SYNTAX", `line ${place.line}, column ${place.column}: ${message}`);
    this.place = place;
  }
}

/** The script asks for what we do not have; `feature` says what in a few words. */
export class UnsupportedError extends RawTcpError {
  readonly feature: string;

  constructor(feature: string) {
    super("ERR_SCRIPT_UNSUPPORTED", `not supported: ${feature}`);
    this.feature = feature;
  }
}

/** What happened is not what the script says. */
export class ScriptFailure extends RawTcpError {
  readonly expected: string;
  readonly got: string;

  constructor(message: string, expected = "", got = "") {
    super("ERR_SCRIPT_FAILED", message);
    this.expected = expected;
    this.got = got;
  }
}
