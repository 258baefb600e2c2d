import { describe, expect, it } from "vitest";
import { RawTcpError } from "../../src/base/errors.js";
import { EXIT, EXIT_HELP, judge } from "../../src/cli/exit-codes.js";

describe("judge", () => {
  it.each([
    ["ECONNREFUSED", EXIT.refused],
    ["ETIMEDOUT", EXIT.timedOut],
    ["ECONNRESET", EXIT.reset],
    ["EPIPE", EXIT.reset],
    ["EHOSTUNREACH", EXIT.unreachable],
    ["EPERM", EXIT.environment],
    ["EGUARD", EXIT.environment],
    ["ERR_KOFFI_MISSING", EXIT.environment],
    ["EADDRINUSE", EXIT.portTaken],
    ["EADDRNOTAVAIL", EXIT.usage],
    ["ERR_REMOTE_TARGET", EXIT.usage],
    ["ERR_PCAP_FILE", EXIT.usage],
    ["ESOMETHING", EXIT.failure],
  ])("%s", (code, exitCode) => {
    expect(judge(new RawTcpError(code, "what happened")).exitCode).toBe(exitCode);
  });

  it("keeps the message, on one line, and adds what mends it", () => {
    expect(judge(new RawTcpError("EADDRINUSE", "port 80\n  is taken")).message).toMatch(/^port 80 is taken \(.*ss -ltnp\)$/);
    expect(judge(new RawTcpError("EADDRNOTAVAIL", "no")).message).toMatch(/^no \(this host has: .*127\.0\.0\.1/);
    expect(judge(new Error("plain"))).toEqual({ message: "plain", exitCode: EXIT.failure });
    expect(judge("thrown\ntext")).toEqual({ message: "thrown text", exitCode: EXIT.failure });
  });

  it("does not repeat the advice about rights where the message has it", () => {
    expect(judge(new RawTcpError("EPERM", "missing CAP_NET_RAW: sudo")).message).toBe("missing CAP_NET_RAW: sudo");
  });
});

it("--help tells every exit code, each a number of its own", () => {
  const numbers = Object.values(EXIT);
  expect(new Set(numbers).size).toBe(numbers.length);
  const untold = numbers.filter((number) => number !== EXIT.hungUp && !new RegExp(`\\b${number} `).test(EXIT_HELP));
  expect(untold).toEqual([]);
});
