/** `--fast-open` of both commands, one against the other: the first data is on the SYN, and answered in SYN-RECEIVED. */
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import type { SegmentEvent, TraceEvent } from "../../src/observe/events.js";
import { enterPrivateNamespace } from "../kernel/support.js";
import { type Build, buildCli, endProcesses, freePort, start } from "./support.js";

let build: Build;
beforeAll(() => {
  enterPrivateNamespace();
  build = buildCli();
});
afterEach(endProcesses);
afterAll(() => build.remove());

it.each([
  ["from standard input", [], "hello\n", "hello\n"],
  ["of --data, then standard input", ["--data", "one "], "two\n", "one two\n"],
])("the first data, %s, goes with the SYN (RFC 7413 §4.2)", async (_, options, input, answer) => {
  const port = await freePort();
  const server = start(process.execPath, [build.main, "listen", port, "--msl", "0", "--fast-open", "--echo", "--keep", "-q"]);
  await server.sees(/listening on/);
  const client = start(process.execPath, [
    build.main,
    "connect",
    "127.0.0.1",
    port,
    "--msl",
    "0",
    "--fast-open",
    "--json",
    ...options,
  ]);
  client.input(input);
  const { code, stdout, stderr } = await client.ended;
  expect([code, stdout]).toEqual([0, answer]);
  const segments = stderr
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as TraceEvent)
    .filter((event): event is SegmentEvent => event.type === "segment");
  const syns = segments.filter(({ flags }) => flags === "S").map(({ len }) => len);
  expect(syns).toEqual([0, Math.min(answer.length, options.length > 0 ? 4 : 6)]);
  server.child.kill("SIGINT");
  expect((await server.ended).code).toBe(0);
});
