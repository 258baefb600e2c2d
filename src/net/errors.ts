/** Codes of errors, ours and the system's. */
import { RawTcpError } from "../base/errors.js";

/** The code of an error; "EINVAL" where it has none. */
export function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "EINVAL";
}

/** What TCP over raw IP cannot give. */
export function notTcp(what: string): RawTcpError {
  return new RawTcpError("ERR_RAWTCP_NOT_TCP", `rawtcp/net has no ${what}: it carries TCP connections alone; use node:net`);
}
