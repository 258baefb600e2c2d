/** Congestion controls by name. */
import { expect, test } from "vitest";
import { RawTcpError } from "../../../src/base/errors.js";
import { CONGESTION_CONTROLS, congestionByName, UnknownCongestionControlError } from "../../../src/tcp/congestion-controls.js";

test("every name gives its control, with the first window that was asked for", () => {
  const made = Object.keys(CONGESTION_CONTROLS).map((name) => {
    const control = congestionByName(name)(1_000, 10_000);
    return [name, control.name, control.cwnd];
  });
  expect(made).toEqual([
    ["cubic", "cubic", 10_000],
    ["newreno", "newreno", 10_000],
    ["reno", "newreno", 10_000],
  ]);
});

test.each(["bbr", "", "Cubic", "constructor", "toString"])("%j is none: the error names those there are", (name) => {
  let error: unknown;
  try {
    congestionByName(name);
  } catch (thrown) {
    error = thrown;
  }
  expect(error).toBeInstanceOf(UnknownCongestionControlError);
  expect(error).toBeInstanceOf(RawTcpError);
  expect(error).toMatchObject({
    code: "ERR_UNKNOWN_CONGESTION_CONTROL",
    name: "UnknownCongestionControlError",
    requested: name,
    message: `no congestion control "${name}"; there are: cubic, newreno, reno`,
  });
});
