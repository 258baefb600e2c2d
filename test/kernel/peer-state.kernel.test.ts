import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { createPeerObserver, type PeerObserver, stateOfKernel } from "../../src/kernel/peer-state.js";
import { createPortGuard } from "../../src/kernel/port-guard.js";
import type { State } from "../../src/tcp/state.js";
import { RawPeer } from "./raw-peer.js";
import { ACK, enterPrivateNamespace, eventually, RST, SYN } from "./support.js";

beforeAll(enterPrivateNamespace);

/** TCP_ESTABLISHED … of include/net/tcp_states.h. */
it("names the kernel's states as the RFC does", () => {
  expect(Array.from({ length: 15 }, (_, number) => stateOfKernel(number))).toEqual([
    undefined,
    "ESTABLISHED",
    "SYN-SENT",
    "SYN-RECEIVED",
    "FIN-WAIT-1",
    "FIN-WAIT-2",
    "TIME-WAIT",
    "CLOSED",
    "CLOSE-WAIT",
    "LAST-ACK",
    "LISTEN",
    "CLOSING",
    "SYN-RECEIVED",
    "CLOSED",
    undefined,
  ]);
});

describe.each(["sock_diag", "proc"] as const)("the peer's state from %s", (source) => {
  let observer: PeerObserver;
  let server: Server;
  let port: number;
  let peer: RawPeer;
  let accepted: Promise<Socket>;

  beforeEach(async () => {
    observer = createPeerObserver(source);
    // allowHalfOpen: the test says when the kernel's side closes. It listens on ::, so its sockets are IPv6 with mapped addresses.
    server = createServer({ allowHalfOpen: true }).listen(0);
    await once(server, "listening");
    port = (server.address() as AddressInfo).port;
    accepted = once(server, "connection").then(([socket]: Socket[]) => {
      if (socket === undefined) throw new Error("no socket");
      socket.on("error", () => {}); // the RSTs of this test
      return socket.resume();
    });
    peer = new RawPeer(port);
  });
  afterEach(() => {
    peer.send(RST);
    peer.close();
    server.close();
    observer.close();
  });

  const state = (): State | undefined => observer.query("127.0.0.1", port, "127.0.0.1", peer.port);
  const becomes = async (wanted: State) => expect(await eventually(state, wanted)).toBe(wanted);

  it("says which source it reads", () => {
    expect(observer.source).toBe(source);
  });

  it("tells a listener only when one is asked for", () => {
    expect(state()).toBe("CLOSED");
    expect(observer.query("127.0.0.1", port, "127.0.0.1", 0)).toBe("LISTEN");
    expect(observer.query("::1", port, "::1", 0)).toBe("LISTEN");
    expect(observer.query("127.0.0.1", peer.port ^ 1, "127.0.0.1", 0)).toBe("CLOSED");
    expect(observer.listening(port)).toBe(true);
    expect(observer.listening(port ^ 1)).toBe(false);
  });

  it("SYN-RECEIVED, then ESTABLISHED", async () => {
    peer.send(SYN);
    await becomes("SYN-RECEIVED");
    await peer.next(SYN | ACK);
    peer.send(RST, (peer.seq + 1) >>> 0);
    await becomes("CLOSED");
    await peer.handshake();
    await becomes("ESTABLISHED");
    expect(observer.query("::ffff:127.0.0.1", port, "::ffff:127.0.0.1", peer.port)).toBe("ESTABLISHED");
  });

  it("SYN-SENT", async () => {
    const guard = createPortGuard("bpf");
    const silent = guard.hold("127.0.0.1", 0);
    const spare = guard.hold("127.0.0.1", 0);
    spare.release();
    const client = connect({ port: silent.port, host: "127.0.0.1", localPort: spare.port });
    client.on("error", () => {});
    const ask = () => observer.query("127.0.0.1", spare.port, "127.0.0.1", silent.port);
    expect(await eventually(ask, "SYN-SENT")).toBe("SYN-SENT");
    client.destroy();
    guard.close();
  });

  it("FIN-WAIT-1, FIN-WAIT-2, TIME-WAIT when the kernel closes first", async () => {
    await peer.handshake();
    (await accepted).end();
    await peer.receiveFin();
    await becomes("FIN-WAIT-1");
    peer.acknowledgeFin();
    await becomes("FIN-WAIT-2");
    peer.sendFin();
    await becomes("TIME-WAIT");
  });

  it("FIN-WAIT-2 of a socket that its program has closed, which the kernel keeps as a small one", async () => {
    await peer.handshake();
    (await accepted).destroy();
    await peer.receiveFin();
    await becomes("FIN-WAIT-1");
    peer.acknowledgeFin();
    await becomes("FIN-WAIT-2");
    expect(observer.tcpInfo("127.0.0.1", port, "127.0.0.1", peer.port)).toBeUndefined();
  });

  it("CLOSING when both FINs cross", async () => {
    await peer.handshake();
    (await accepted).end();
    await peer.receiveFin();
    peer.sendFin();
    await becomes("CLOSING");
    peer.acknowledgeFin();
    await becomes("TIME-WAIT");
  });

  it("CLOSE-WAIT, LAST-ACK, CLOSED when we close first", async () => {
    await peer.handshake();
    await accepted;
    peer.sendFin();
    await becomes("CLOSE-WAIT");
    (await accepted).end();
    await peer.receiveFin();
    await becomes("LAST-ACK");
    peer.acknowledgeFin();
    await becomes("CLOSED");
  });
});

describe("tcp_info", () => {
  it("tells what the kernel measured and agreed on", async () => {
    const server = createServer((socket) => socket.pipe(socket)).listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const client = connect(port, "127.0.0.1");
    const observer = createPeerObserver("sock_diag");
    client.write(new Uint8Array(100_000));
    let echoed = 0;
    client.on("data", (data) => {
      echoed += data.length;
    });
    await eventually(() => echoed, 100_000);
    const info = observer.tcpInfo("127.0.0.1", client.localPort ?? 0, "127.0.0.1", port);
    expect(info).toMatchObject({
      options: { timestamps: true, sack: true, windowScale: true },
      bytesReceived: 100_000,
      unacked: 0,
      lost: 0,
      totalRetrans: 0,
      pmtu: 65535,
    });
    // bytes_acked counts the SYN too.
    expect(info?.bytesAcked).toBe(100_001);
    expect(info?.rtoUs).toBeGreaterThanOrEqual(200_000);
    expect(info?.rttUs).toBeGreaterThan(0);
    expect(info?.sndCwnd).toBeGreaterThanOrEqual(10);
    expect(info?.sndMss).toBeGreaterThan(30_000);
    expect(info?.segsOut).toBeGreaterThan(1);
    expect(info?.delivered).toBeGreaterThan(0);
    expect(info?.sndWnd).toBeGreaterThan(30_000);
    expect(info?.sndWscale).toBe(info?.rcvWscale);
    expect(observer.tcpInfo("127.0.0.1", port, "127.0.0.1", 1)).toBeUndefined();
    observer.close();
    client.destroy();
    server.close();
  });
});

describe("IPv6", () => {
  it.each(["sock_diag", "proc"] as const)("is told by %s", async (source) => {
    const server = createServer().listen(0, "::1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const client = connect(port, "::1");
    await once(client, "connect");
    const observer = createPeerObserver(source);
    expect(observer.query("::1", port, "::1", client.localPort ?? 0)).toBe("ESTABLISHED");
    expect(observer.query("::1", client.localPort ?? 0, "::1", port)).toBe("ESTABLISHED");
    expect(observer.query("127.0.0.1", port, "127.0.0.1", client.localPort ?? 0)).toBe("CLOSED");
    expect(observer.listening(port)).toBe(true);
    observer.close();
    client.destroy();
    server.close();
  });
});

/** Printed, not asserted: a figure for the notes. */
const costs: string[] = [];
it.each(["sock_diag", "proc"] as const)("cost of a query (%s)", async (source) => {
  const observer = createPeerObserver(source);
  const rounds = source === "proc" ? 20 : 2000;
  const startedAt = performance.now();
  for (let i = 0; i < rounds; i++) expect(observer.query("127.0.0.1", 1, "127.0.0.1", 2)).toBe("CLOSED");
  costs.push(`${source} ${(((performance.now() - startedAt) / rounds) * 1000).toFixed(1)} us`);
  observer.close();
});
afterAll(() => console.log(`cost of a peer state query: ${costs.join(", ")}`));
