/** TCP_INFO: every field follows what happens on the wire, in Linux's units. */
import { describe, expect, it, test } from "vitest";
import { MILLISECOND, SECOND } from "../../src/base/time.js";
import { TCP_CA_STATES, TCP_STATE_NUMBERS, TCPI_OPTIONS, type TcpInfo } from "../../src/tcp/info.js";
import { STATES } from "../../src/tcp/state.js";
import type { TcpOption } from "../../src/wire/tcp-options.js";
import { Harness, PEER_MSS, PEER_WND, reach, WORLDS, WRAPPING } from "./harness.js";

function info(h: Harness): TcpInfo {
  return h.conn.info(h.now);
}

/** SACK for `[start, end)`, relative to ISS. */
function sack(h: Harness, ...blocks: readonly (readonly [number, number])[]): TcpOption[] {
  const absolute = (n: number) => (h.world.iss + n) >>> 0;
  return [{ kind: "sack", blocks: blocks.map(([start, end]) => ({ left: absolute(start), right: absolute(end) })) }];
}

/** Connected with SACK, the handshake taking 20 ms. */
function withSack(config = {}, world = WRAPPING): Harness {
  const h = new Harness(world, { quickAckSegments: 0, ...config });
  h.openActive();
  h.now += 20 * MILLISECOND;
  h.rcv({ flags: "S.", seq: 0, ack: 1, wnd: 60_000, options: [{ kind: "mss", mss: PEER_MSS }, { kind: "sack-permitted" }] });
  return h;
}

describe("state", () => {
  test.each(STATES)("%s has the number of Linux", (state) => {
    const h = state === "CLOSED" ? new Harness() : reach(state);
    expect(info(h).tcpi_state).toBe(TCP_STATE_NUMBERS[state]);
  });

  it("the numbers are those of include/net/tcp_states.h", () => {
    const order = ["ESTABLISHED", "SYN-SENT", "SYN-RECEIVED", "FIN-WAIT-1", "FIN-WAIT-2", "TIME-WAIT", "CLOSED", "CLOSE-WAIT"];
    const names = [...order, "LAST-ACK", "LISTEN", "CLOSING"] as (keyof typeof TCP_STATE_NUMBERS)[];
    expect(names.map((name) => TCP_STATE_NUMBERS[name])).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
  });
});

describe("what was agreed on", () => {
  it("options, shifts and sizes", () => {
    const h = new Harness(WRAPPING, { timestamps: true, windowScaling: true, receiveBufferBytes: 1 << 20, mtuBytes: 1_500 });
    h.peerTs = 1;
    const options: TcpOption[] = [{ kind: "mss", mss: 1_460 }, { kind: "window-scale", shift: 3 }, { kind: "sack-permitted" }];
    h.connect({ options, wnd: 5_000 });
    expect(info(h)).toMatchObject({
      tcpi_options: TCPI_OPTIONS.TIMESTAMPS | TCPI_OPTIONS.SACK | TCPI_OPTIONS.WSCALE,
      tcpi_snd_wscale: 3,
      tcpi_rcv_wscale: 5,
      tcpi_snd_mss: 1_448,
      tcpi_advmss: 1_448,
      tcpi_rcv_mss: 536,
      tcpi_pmtu: 1_500,
      tcpi_snd_cwnd: 10,
      tcpi_snd_ssthresh: 0x7fff_ffff,
      tcpi_rcv_ssthresh: 1 << 20,
      tcpi_snd_wnd: 5_000,
    });
  });

  it("none of them", () => {
    const h = new Harness().connect();
    expect(info(h)).toMatchObject({ tcpi_options: 0, tcpi_snd_wscale: 0, tcpi_rcv_wscale: 0, tcpi_snd_mss: 1_000 });
  });
});

describe.each(WORLDS)("sending, $name", (world) => {
  it("counts segments and bytes on their way out, and the SYN as Linux does", () => {
    const h = new Harness(world);
    h.openActive();
    expect(info(h)).toMatchObject({
      tcpi_unacked: 1,
      tcpi_delivered: 0,
      tcpi_bytes_acked: 0,
      tcpi_segs_out: 1,
      tcpi_min_rtt: 0xffff_ffff,
    });
    h.now += 20 * MILLISECOND;
    h.rcv({ flags: "S.", seq: 0, ack: 1, wnd: PEER_WND, options: [{ kind: "mss", mss: PEER_MSS }] });
    expect(info(h)).toMatchObject({
      tcpi_unacked: 0,
      tcpi_delivered: 1,
      tcpi_bytes_acked: 1,
      tcpi_rtt: 20_000,
      tcpi_rttvar: 10_000,
    });
    expect(info(h)).toMatchObject({ tcpi_min_rtt: 20_000, tcpi_rto: h.tcb.rtt.rto, tcpi_segs_in: 1, tcpi_data_segs_out: 0 });
    h.send(12_500);
    expect(info(h)).toMatchObject({
      tcpi_unacked: 10,
      tcpi_notsent_bytes: 2_500,
      tcpi_bytes_sent: 10_000,
      tcpi_data_segs_out: 10,
    });
    h.now += 10 * MILLISECOND;
    expect(info(h)).toMatchObject({ tcpi_last_data_sent: 10, tcpi_last_ack_recv: 10, tcpi_last_data_recv: 0 });
    h.rcv({ flags: ".", ack: 4_001 });
    expect(info(h)).toMatchObject({ tcpi_bytes_acked: 4_001, tcpi_delivered: 5, tcpi_last_ack_recv: 0, tcpi_min_rtt: 10_000 });
  });

  it("FIN counts one, both ways", () => {
    const h = new Harness(world).connect();
    h.send(10);
    h.shutdown();
    h.rcv({ flags: ".", ack: 12 });
    expect(info(h)).toMatchObject({ tcpi_state: 5, tcpi_bytes_acked: 12, tcpi_bytes_sent: 10 });
    h.rcv({ flags: "F.", data: 5 });
    expect(info(h)).toMatchObject({ tcpi_state: 6, tcpi_bytes_received: 6 });
  });
});

describe("receiving", () => {
  it("counts payload, and what came out of order", () => {
    const h = new Harness().accept();
    h.rcv({ flags: ".", data: 600 });
    h.now += 5 * MILLISECOND;
    h.rcv({ flags: ".", data: 100, seq: 1_001 });
    expect(info(h)).toMatchObject({
      tcpi_bytes_received: 600,
      tcpi_data_segs_in: 2,
      tcpi_rcv_ooopack: 1,
      tcpi_rcv_mss: 600,
      tcpi_last_data_recv: 0,
      // A passive open does not count its SYN.
      tcpi_bytes_acked: 0,
      tcpi_delivered: 1,
    });
  });
});

describe("loss", () => {
  it("Open, Disorder, Recovery, and Open again; what is SACKed, lost and sent again", () => {
    const h = withSack();
    h.send(10_000);
    expect(info(h)).toMatchObject({ tcpi_ca_state: TCP_CA_STATES.Open, tcpi_unacked: 10 });
    h.now += 20 * MILLISECOND;
    h.rcv({ flags: ".", ack: 1, wnd: 60_000, options: sack(h, [1_001, 2_001]) });
    expect(info(h)).toMatchObject({ tcpi_ca_state: TCP_CA_STATES.Disorder, tcpi_sacked: 1, tcpi_lost: 0 });
    h.now += 10 * MILLISECOND;
    h.rcv({ flags: ".", ack: 1, wnd: 60_000, options: sack(h, [1_001, 5_001]) });
    expect(info(h)).toMatchObject({
      tcpi_ca_state: TCP_CA_STATES.Recovery,
      tcpi_sacked: 4,
      tcpi_lost: 1,
      tcpi_retrans: 1,
      tcpi_total_retrans: 1,
      tcpi_bytes_retrans: 1_000,
      tcpi_bytes_sent: 11_000,
      tcpi_delivered: 5,
    });
    expect(info(h).tcpi_snd_ssthresh).toBeLessThan(10);
    h.now += 20 * MILLISECOND;
    h.rcv({ flags: ".", ack: 10_001, wnd: 60_000 });
    expect(info(h)).toMatchObject({ tcpi_ca_state: TCP_CA_STATES.Open, tcpi_unacked: 0, tcpi_lost: 0, tcpi_retrans: 0 });
    expect(info(h)).toMatchObject({ tcpi_delivered: 11, tcpi_bytes_acked: 10_001, tcpi_reord_seen: 0 });
  });

  it("without SACK duplicate ACKs stand for what has arrived", () => {
    const h = new Harness().connect({ wnd: 60_000 });
    h.send(5_000);
    h.rcv({ flags: ".", ack: 1, wnd: 60_000 });
    h.rcv({ flags: ".", ack: 1, wnd: 60_000 });
    expect(info(h)).toMatchObject({ tcpi_ca_state: TCP_CA_STATES.Disorder, tcpi_sacked: 2 });
  });

  it("time-outs: Loss, and the time-out with its back-off", () => {
    const h = withSack({ tailLossProbe: false });
    h.send(3_000);
    const { tcpi_rto } = info(h);
    h.nextTimer();
    expect(info(h)).toMatchObject({
      tcpi_ca_state: TCP_CA_STATES.Loss,
      tcpi_retransmits: 1,
      tcpi_backoff: 1,
      tcpi_rto: 2 * tcpi_rto,
    });
    h.nextTimer();
    expect(info(h)).toMatchObject({
      tcpi_retransmits: 2,
      tcpi_backoff: 2,
      tcpi_total_rto: 2,
      tcpi_rto: 4 * tcpi_rto,
      tcpi_probes: 0,
    });
    expect(info(h)).toMatchObject({ tcpi_snd_cwnd: 1, tcpi_lost: 3 });
  });

  it("a D-SACK and reordering are counted", () => {
    const h = withSack();
    h.send(4_000);
    h.now += 20 * MILLISECOND;
    h.rcv({ flags: ".", ack: 1, wnd: 60_000, options: sack(h, [1_001, 2_001]) });
    h.rcv({ flags: ".", ack: 2_001, wnd: 60_000 });
    expect(info(h)).toMatchObject({ tcpi_reord_seen: 1, tcpi_dsack_dups: 0 });
    h.rcv({ flags: ".", ack: 2_001, wnd: 60_000, options: sack(h, [1, 1_001]) });
    expect(info(h)).toMatchObject({ tcpi_reord_seen: 1, tcpi_dsack_dups: 1 });
  });
});

describe("what holds the sender back", () => {
  it("the peer's window", () => {
    const h = new Harness().connect({ wnd: 2_000 });
    h.send(5_000);
    expect(info(h)).toMatchObject({ tcpi_busy_time: 0, tcpi_rwnd_limited: 0, tcpi_unacked: 2 });
    h.now += 7 * MILLISECOND;
    expect(info(h)).toMatchObject({ tcpi_busy_time: 7_000, tcpi_rwnd_limited: 7_000, tcpi_sndbuf_limited: 0 });
    h.rcv({ flags: ".", ack: 2_001, wnd: 20_000 });
    h.now += 5 * MILLISECOND;
    expect(info(h)).toMatchObject({ tcpi_busy_time: 12_000, tcpi_rwnd_limited: 7_000 });
    h.rcv({ flags: ".", ack: 5_001, wnd: 20_000 });
    h.now += SECOND;
    expect(info(h)).toMatchObject({ tcpi_busy_time: 12_000, tcpi_rwnd_limited: 7_000 });
  });

  it("its own send buffer", () => {
    const h = new Harness(WRAPPING, { sendBufferBytes: 3_000 }).connect({ wnd: 20_000 });
    h.send(9_000);
    h.now += 7 * MILLISECOND;
    expect(info(h)).toMatchObject({ tcpi_busy_time: 7_000, tcpi_rwnd_limited: 0, tcpi_sndbuf_limited: 7_000 });
  });

  it("the congestion window is neither", () => {
    const h = new Harness().connect({ wnd: 60_000 });
    h.send(30_000);
    h.now += 7 * MILLISECOND;
    expect(info(h)).toMatchObject({ tcpi_busy_time: 7_000, tcpi_rwnd_limited: 0, tcpi_sndbuf_limited: 0 });
  });

  it("a closed window is probed: probes, not retransmissions", () => {
    const h = new Harness().connect({ wnd: 0 });
    h.send(100);
    h.nextTimer();
    expect(info(h)).toMatchObject({ tcpi_probes: 1, tcpi_retransmits: 0, tcpi_backoff: 1, tcpi_ca_state: TCP_CA_STATES.Open });
  });
});

describe("rates", () => {
  it("delivery in the time that it took, and what pacing would allow", () => {
    const h = withSack();
    h.send(30_000);
    h.now += 20 * MILLISECOND;
    h.rcv({ flags: ".", ack: 10_001, wnd: 60_000 });
    // Ten segments of 1000 bytes in a round trip of 20 ms.
    // The connection was idle when the user began: the first sample may be its doing.
    expect(info(h)).toMatchObject({ tcpi_delivery_rate: 500_000, tcpi_delivery_rate_app_limited: 1, tcpi_rtt: 20_000 });
    expect(info(h)).toMatchObject({ tcpi_snd_cwnd: 18, tcpi_pacing_rate: 1_800_000 });
    h.now += 20 * MILLISECOND;
    h.rcv({ flags: ".", ack: 28_001, wnd: 60_000 });
    expect(info(h)).toMatchObject({ tcpi_delivery_rate: 900_000, tcpi_delivery_rate_app_limited: 0 });
  });

  it("a user that sends little proves nothing slow", () => {
    const h = withSack();
    h.send(10_000);
    h.now += 20 * MILLISECOND;
    h.rcv({ flags: ".", ack: 10_001, wnd: 60_000 });
    const before = info(h).tcpi_delivery_rate;
    h.send(1_000);
    h.now += 20 * MILLISECOND;
    h.rcv({ flags: ".", ack: 11_001, wnd: 60_000 });
    expect(before).toBe(500_000);
    expect(info(h).tcpi_delivery_rate).toBe(before);
  });
});
