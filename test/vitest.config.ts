/**
 * Two projects. `unit` is everything that needs no privilege (unit, simulation and architecture tests) and runs in
 * parallel. `kernel` (`*.kernel.test.ts`) speaks to the real kernel as root; its files run one after another, after
 * `unit`, because they share the host's ports, rules and CPUs.
 */
import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const root = fileURLToPath(new URL("..", import.meta.url));
const kernelTests = "test/**/*.kernel.test.ts";

export default defineConfig({
  root,
  test: {
    // `raw-socket` and `cap` poll on a process's default event loop, so they do not work in worker threads.
    pool: "forks",
    coverage: { provider: "v8", include: ["src/**/*.ts"], reportsDirectory: "coverage" },
    projects: [
      {
        extends: true,
        test: {
          name: "unit",
          include: ["test/**/*.test.ts"],
          exclude: [kernelTests],
          sequence: { groupOrder: 0 },
          testTimeout: 20_000,
        },
      },
      {
        extends: true,
        test: {
          name: "kernel",
          include: [kernelTests],
          sequence: { groupOrder: 1 },
          fileParallelism: false,
          testTimeout: 60_000,
          hookTimeout: 30_000,
        },
      },
    ],
  },
});
