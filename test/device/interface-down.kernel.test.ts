/**
 * The interface under a capture goes down or away. The add-on cap would abort the process, which here would be the end of this
 * test file's worker.
 */
import { afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type Capture, type CaptureError, openCapture } from "../../src/device/capture.js";
import { openPcapDevice, type PcapDevice } from "../../src/device/pcap-device.js";
import { enterPrivateNamespace, ipv4Packet, RST, run } from "../kernel/support.js";

beforeAll(() => enterPrivateNamespace());
beforeEach(() => {
  run("ip", "link", "add", "here0", "type", "veth", "peer", "name", "there0");
  run("ip", "addr", "add", "10.78.0.1/24", "dev", "here0");
  for (const name of ["here0", "there0"]) run("ip", "link", "set", name, "up");
  run("ip", "neigh", "add", "10.78.0.2", "lladdr", "02:00:00:00:00:02", "dev", "here0");
});
let open: { close(): void } | undefined;
afterEach(() => {
  open?.close();
  try {
    run("ip", "link", "del", "here0");
  } catch {
    // the test did
  }
});

const WAYS = [
  ["goes down", ["link", "set", "here0", "down"]],
  ["goes away", ["link", "del", "here0"]],
] as const;
const packet = ipv4Packet({ source: "10.78.0.1", destination: "10.78.0.2", from: 1, to: 2, flags: RST });

/** Turns of the event loop. A descriptor that is to be watched is with epoll from the second on. */
async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve));
}

describe.each(WAYS)("the interface %s", (_, command) => {
  it.each([
    ["in silence", 0],
    ["with frames that were not read yet", 40],
  ])("%s: the capture ends and says so once", async (_name, frames) => {
    const errors: CaptureError[] = [];
    let heard: () => void = () => {};
    const failed = new Promise<void>((resolve) => {
      heard = resolve;
    });
    const capture: Capture = openCapture({
      device: "here0",
      filter: "",
      onFrame() {},
      onFailure(error) {
        errors.push(error);
        heard();
      },
    });
    open = capture;
    await turns(2);
    const frame = new Uint8Array(14 + packet.length);
    frame.set([0x08, 0x00], 12);
    frame.set(packet, 14);
    for (let i = 0; i < frames; i++) expect(capture.inject(frame, frame.length)).toBe("");
    run("ip", ...command);
    await failed;
    // Whatever the loop still has to report is reported in the next turns.
    await turns(3);
    expect(errors).toMatchObject([{ code: "ENETDOWN" }]);
    expect(capture.inject(frame, frame.length)).toBe("closed");
    capture.close();
  });

  it("the pcap link refuses packets with ENETDOWN", async () => {
    const device: PcapDevice = await openPcapDevice({ interface: "here0", target: "10.78.0.2" });
    open = device;
    device.start(
      () => "",
      () => {},
    );
    const send = () => device.send(packet, 0, packet.length, "");
    expect(send()).toBe(true);
    await turns(2);
    run("ip", ...command);
    while (send()) await turns(1);
    await turns(3);
    const { sendErrors } = device.stats;
    sendErrors.clear();
    expect(send()).toBe(false);
    expect([...sendErrors]).toEqual([["ENETDOWN", 1]]);
  });
});
