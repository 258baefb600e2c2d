import { expect, it } from "vitest";
import { keepFreedMemory } from "../../src/kernel/allocator.js";

/** Set by Node where the C library is glibc; musl has no mallopt. */
const glibc = (process.report.getReport() as { header: { glibcVersionRuntime?: string } }).header.glibcVersionRuntime;

it("leaves an allocator that the user has set up by the environment as it is", () => {
  for (const name of ["MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TOP_PAD_", "GLIBC_TUNABLES"]) {
    expect(keepFreedMemory({ [name]: "131072" }), name).toBe(false);
  }
});

it("is taken by glibc, once for the process", () => {
  expect(keepFreedMemory({})).toBe(glibc !== undefined);
  expect(keepFreedMemory({})).toBe(false);
});
