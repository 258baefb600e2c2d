import { describe, expect, it } from "vitest";
import { InvariantError, invariant, RawTcpError } from "../../src/base/errors.js";

describe("errors", () => {
  it("carry a stable code", () => {
    const error = new RawTcpError("ERR_SOMETHING", "it went wrong");
    expect(error).toBeInstanceOf(Error);
    expect(error).toMatchObject({ name: "RawTcpError", code: "ERR_SOMETHING", message: "it went wrong" });
  });

  it("tell an invariant that holds from one that does not", () => {
    expect(() => invariant(true, "unused")).not.toThrow();
    expect(() => invariant(false, "broken")).toThrow(InvariantError);
    expect(new InvariantError("broken")).toMatchObject({ name: "InvariantError", code: "ERR_INVARIANT", message: "broken" });
  });
});
