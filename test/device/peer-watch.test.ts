/** The kernel's end of our connections as the watch tells of it, packet by packet; the kernel is a list of answers. */
import { describe, expect, test } from "vitest";
import { PeerWatch } from "../../src/device/peer-watch.js";
import type { PeerObserver } from "../../src/kernel/peer-state.js";
import type { PeerEvent } from "../../src/observe/events.js";
import type { State } from "../../src/tcp/state.js";
import { ACK, FIN, RST, SYN } from "../../src/wire/tcp-flags.js";
import { TestDevice, tcpPacket } from "./packets.js";

/** A watch over a kernel whose state the test sets; we are port 1000, the kernel's listener is port 80. */
function bench(kernel: { listens: boolean; isOwn?: boolean }) {
  const inner = new TestDevice();
  const told: PeerEvent["state"][] = [];
  const end: { state: State | undefined; closed: boolean } = { state: "CLOSED", closed: false };
  const observer: PeerObserver = {
    source: "sock_diag",
    query: () => end.state,
    tcpInfo: () => undefined,
    listening: (port) => kernel.listens && port === 80,
    close: () => {
      end.closed = true;
    },
  };
  const watch = new PeerWatch(inner, {
    observer,
    sink: (event) => event.type === "peer" && told.push(event.state),
    now: () => 0,
    connOf: () => 1,
    isOwn: () => kernel.isOwn ?? true,
  });
  watch.start(
    () => "",
    () => {},
  );
  return {
    watch,
    told,
    end,
    /** A packet of ours, after which the kernel is in the state. */
    send(flags: number, after: State | undefined): void {
      inner.onSend = () => {
        end.state = after;
      };
      const packet = tcpPacket({ sourcePort: 1000, destinationPort: 80, flags });
      watch.send(packet, 0, packet.length, "");
    },
    /** A packet of the kernel's, which is in the state by then. */
    receive(flags: number, state: State | undefined): void {
      end.state = state;
      inner.deliver(tcpPacket({ sourcePort: 80, destinationPort: 1000, flags }));
    },
  };
}

describe("as a client", () => {
  test("SYN to a listener: LISTEN, then each state once", () => {
    const { send, receive, told } = bench({ listens: true });
    send(SYN, "SYN-RECEIVED");
    receive(SYN | ACK, "SYN-RECEIVED");
    send(ACK, "ESTABLISHED");
    send(FIN | ACK, "CLOSE-WAIT");
    receive(FIN | ACK, "LAST-ACK");
    send(ACK, "CLOSED");
    expect(told).toEqual(["LISTEN", "SYN-RECEIVED", "ESTABLISHED", "CLOSE-WAIT", "LAST-ACK", "CLOSED"]);
  });

  test.each([
    ["our ACK again", ACK],
    ["our RST", RST],
    ["our FIN again", FIN | ACK],
  ])("after CLOSED, %s: silence, though the listener is still there", (_, flags) => {
    const { send, receive, told } = bench({ listens: true });
    send(SYN, "SYN-RECEIVED");
    send(RST, "CLOSED");
    const before = told.length;
    expect(told.at(-1)).toBe("CLOSED");
    send(flags, "CLOSED");
    receive(RST, "CLOSED");
    receive(FIN | ACK, "CLOSED");
    expect(told).toHaveLength(before);
  });

  test("after CLOSED, a new SYN from the same port begins with LISTEN again", () => {
    const { send, told } = bench({ listens: true });
    send(SYN, "SYN-RECEIVED");
    send(RST, "CLOSED");
    send(SYN, "SYN-RECEIVED");
    expect(told.slice(3)).toEqual(["LISTEN", "SYN-RECEIVED"]);
  });

  test("SYN that is lost: LISTEN is told once, and the next SYN goes on from there", () => {
    const { send, told } = bench({ listens: true });
    send(SYN, "CLOSED");
    send(SYN, "SYN-RECEIVED");
    expect(told).toEqual(["LISTEN", "SYN-RECEIVED"]);
  });

  test("SYN to a port without a listener: silence", () => {
    const { send, receive, told } = bench({ listens: false });
    send(SYN, "CLOSED");
    receive(RST | ACK, "CLOSED");
    expect(told).toEqual([]);
  });

  test("a kernel that does not tell: unknown, once", () => {
    const { send, told, end } = bench({ listens: true });
    end.state = undefined;
    send(SYN, undefined);
    send(ACK, undefined);
    expect(told).toEqual(["unknown"]);
  });
});

test("as a server: the kernel's client is never said to listen", () => {
  const { send, receive, told } = bench({ listens: true });
  receive(SYN, "SYN-SENT");
  send(SYN | ACK, "ESTABLISHED");
  send(RST, "CLOSED");
  receive(ACK, "CLOSED");
  expect(told).toEqual(["SYN-SENT", "ESTABLISHED", "CLOSED"]);
});

test("a peer on another host: nobody is asked", () => {
  const { send, told } = bench({ listens: true, isOwn: false });
  send(SYN, "SYN-RECEIVED");
  expect(told).toEqual([]);
});

test("closing the watch closes the device and the observer", () => {
  const { watch, end } = bench({ listens: true });
  watch.close();
  expect(end.closed).toBe(true);
});
