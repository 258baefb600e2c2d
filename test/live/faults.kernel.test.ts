/** Lost, repeated and reordered segments on the way to and from the kernel: everything arrives all the same. */
import { once } from "node:events";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { type FaultRule, matchSegment } from "../../src/device/fault-injector.js";
import type { TcpStream } from "../../src/net/tcp-stream.js";
import type { Segment } from "../../src/wire/segment.js";
import { ACK, FIN, SYN } from "../../src/wire/tcp-flags.js";
import type { KernelSocket } from "./kernel-peer.js";
import { type Live, type LiveOptions, LOOPBACK, VETH, VETH_PCAP, World } from "./live.js";
import { pattern, sha256 } from "./pattern.js";
import { intake } from "./streams.js";

vi.setConfig({ testTimeout: 20_000 });

let world: World;
beforeAll(async () => {
  world = await World.open();
});
afterEach(async () => {
  world.closeSessions();
  expect((await world.resets.take()).kernel).toEqual([]);
});
afterAll(() => world.close());

/** Repetitions come soon; segments of Ethernet's size, so that a megabyte is many of them. */
const QUICK = { rtoInitialUs: 30_000, rtoMinUs: 30_000, mssBytes: 1460 };
const MEGABYTE = 1 << 20;

function lose(dir: "in" | "out", match: (segment: Readonly<Segment>) => boolean, nth = 1, count = 1): FaultRule {
  return { dir, fault: "loss", nth, count, match: matchSegment(match) };
}
const isFin = (segment: Readonly<Segment>) => (segment.flags & FIN) !== 0;
const hasData = (segment: Readonly<Segment>) => segment.payloadLength > 0;
const isSyn = (segment: Readonly<Segment>) => (segment.flags & SYN) !== 0;
const isBareAck = (segment: Readonly<Segment>) => segment.flags === ACK && segment.payloadLength === 0;

async function connected(options: LiveOptions, path = LOOPBACK) {
  const live = await world.session(path, { ...options, connection: { ...QUICK, ...options.connection } });
  const peer = world.peer(path);
  const stream = live.connect(await peer.listen(path.kernel));
  await once(stream, "connect");
  return { live, stream, peer };
}

/** A megabyte each way, our FIN first; every byte is proved. */
async function exchange(live: Live, stream: TcpStream, kernel: KernelSocket): Promise<void> {
  const received = intake(stream);
  stream.end(pattern(1, MEGABYTE));
  const written = kernel.write(2, MEGABYTE);
  await kernel.until("end");
  await written;
  await kernel.end();
  expect(kernel.sha256).toBe(sha256(pattern(1, MEGABYTE)));
  expect(await received.done).toBe(sha256(pattern(2, MEGABYTE)));
  await live.session.driver.whenIdle();
}

const cases: readonly (readonly [string, readonly FaultRule[]])[] = [
  ["our SYN is lost", [lose("out", isSyn)]],
  ["the kernel's SYN-ACK is lost", [lose("in", isSyn)]],
  ["our data is lost", [lose("out", hasData, 5), lose("out", hasData, 40, 3)]],
  [
    "the last segment of our data is lost, and its repetition",
    [lose("out", (segment) => hasData(segment) && isFin(segment), 1, 2)],
  ],
  ["the kernel's data is lost", [lose("in", hasData, 3), lose("in", hasData, 10, 2)]],
  ["our FIN is lost", [lose("out", isFin)]],
  ["the kernel's FIN is lost", [lose("in", isFin)]],
  ["the kernel's acknowledgments are lost", [lose("in", isBareAck, 3, 5)]],
  ["our segments come twice", [{ dir: "out", fault: "duplication", nth: 1, count: 400 }]],
  ["the kernel's segments come twice", [{ dir: "in", fault: "duplication", nth: 1, count: 400 }]],
  ["our segments come out of order", [{ dir: "out", fault: "reordering", nth: 20, count: 7, match: matchSegment(hasData) }]],
  [
    "the kernel's segments come out of order",
    [{ dir: "in", fault: "reordering", nth: 5, count: 3, match: matchSegment(hasData) }],
  ],
  ["our segments come late", [{ dir: "out", fault: "delay", delayUs: 20_000, nth: 10, count: 5, match: matchSegment(hasData) }]],
];

describe.each([LOOPBACK, VETH])("a megabyte each way, $name", (path) => {
  it.each(cases)("%s", async (_name, rules) => {
    const { live, stream, peer } = await connected({ rules }, path);
    await exchange(live, stream, await peer.accept(stream));
    // The fault did take place.
    const faults = new Set(live.trace.events.flatMap((event) => (event.type === "fault" ? [`${event.dir} ${event.fault}`] : [])));
    expect(faults).toEqual(new Set(rules.map((rule) => `${rule.dir} ${rule.fault}`)));
  });
});

it.each([LOOPBACK, VETH])("our acknowledgments are lost, $name: the kernel's data arrives", async (path) => {
  const { live, stream, peer } = await connected({ rules: [lose("out", isBareAck, 3, 2)] }, path);
  const kernel = await peer.accept(stream);
  const received = intake(stream);
  await kernel.write(1, MEGABYTE);
  await kernel.end();
  expect(await received.done).toBe(sha256(pattern(1, MEGABYTE)));
  expect(live.trace.segments("out").filter((segment) => segment.lost)).toHaveLength(2);
  stream.end();
  await live.session.driver.whenIdle();
});

describe.each([LOOPBACK, VETH, VETH_PCAP])("a bad path, $name", (path) => {
  it("loss, duplication, reordering, delay and corruption at once, both ways", async () => {
    const rates = { loss: 0.01, duplication: 0.03, reordering: 0.03, delay: 0.03, delayMaxUs: 5000 };
    // What comes from the kernel here has no checksum yet, so that corruption could not be told.
    const { live, stream, peer } = await connected({ rates: { out: { ...rates, corruption: 0.01 }, in: rates } }, path);
    await exchange(live, stream, await peer.accept(stream));
    const count = (dir: string) => live.trace.events.filter((event) => event.type === "fault" && event.dir === dir).length;
    expect(count("out")).toBeGreaterThan(10);
    expect(count("in")).toBeGreaterThan(3);
  });
});

describe("the handshake", () => {
  it("our third segment is lost: the kernel repeats its SYN-ACK and is answered", async () => {
    const { live, stream, peer } = await connected({ rules: [lose("out", isBareAck)] });
    const kernel = await peer.accept(stream); // comes of the second third segment
    expect(live.trace.segments("in", "S.")).toHaveLength(2);
    expect(stream.connection.state).toBe("ESTABLISHED");
    const received = intake(stream);
    stream.end();
    await kernel.end();
    await received.done;
  });

  it("our third segment is lost, but data follows: nothing has to be repeated", async () => {
    const { live, stream, peer } = await connected({ rules: [lose("out", isBareAck)] });
    stream.write("x");
    const kernel = await peer.accept(stream);
    await kernel.untilBytes(1);
    expect(live.trace.segments("in", "S.")).toHaveLength(1);
    stream.end();
    await kernel.until("end");
  });
});

describe("the close", () => {
  it("our last ACK is lost: the kernel's FIN again finds TIME-WAIT, which begins anew (MUST-13)", async () => {
    let ackAfterFin = false;
    const rules = [
      // Counts what follows the kernel's FIN: our next bare ACK is the last of the connection.
      lose("in", (segment) => {
        ackAfterFin ||= isFin(segment);
        return false;
      }),
      lose("out", (segment) => ackAfterFin && isBareAck(segment)),
    ];
    // TIME-WAIT must outlast the kernel's time-out of at least 200 ms.
    const { live, stream, peer } = await connected({ rules, connection: { mslUs: 1_000_000 } });
    const kernel = await peer.accept(stream);
    const received = intake(stream);
    stream.end();
    await kernel.until("end");
    await kernel.end();
    await received.done;
    await live.trace.untilPeer("CLOSED");
    const starts = live.trace.events.filter(
      (event) => event.type === "timer" && event.timer === "time-wait" && event.action === "start",
    );
    expect(starts).toHaveLength(2);
    expect(live.trace.segments("in").filter((segment) => segment.flags.includes("F"))).toHaveLength(2);
    expect(stream.connection.state).toBe("TIME-WAIT");
    expect(live.trace.peerStates().slice(-2)).toEqual(["LAST-ACK", "CLOSED"]);
  });

  it("the kernel's last ACK is lost: our FIN again finds its TIME-WAIT", async () => {
    let finsOut = 0;
    const rules = [
      lose("out", (segment) => {
        if (isFin(segment)) finsOut++;
        return false;
      }),
      lose("in", (segment) => finsOut > 0 && isBareAck(segment)),
    ];
    const { live, stream, peer } = await connected({ rules });
    const kernel = await peer.accept(stream);
    const received = intake(stream);
    await kernel.end();
    await received.done;
    stream.end();
    await live.session.driver.whenIdle();
    expect(finsOut).toBe(2);
    expect(live.trace.states().slice(-3)).toEqual(["CLOSE-WAIT", "LAST-ACK", "CLOSED"]);
    expect(live.trace.peerStates().at(-1)).toBe("TIME-WAIT");
  });

  it("the kernel's last data is lost and its FIN is not: it waits for the hole to be filled", async () => {
    const rules: FaultRule[] = [lose("in", hasData)];
    const { live, stream, peer } = await connected({ rules });
    const kernel = await peer.accept(stream);
    const received = intake(stream);
    await kernel.write(3, 1000);
    await kernel.end();
    expect(await received.done).toBe(sha256(pattern(3, 1000)));
    stream.end();
    await live.session.driver.whenIdle();
    expect(live.trace.states().slice(-3)).toEqual(["CLOSE-WAIT", "LAST-ACK", "CLOSED"]);
  });
});
