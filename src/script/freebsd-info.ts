/** What code of a script may ask for on FreeBSD: its tcp_info, and its numbers of states (netinet/tcp.h, netinet/tcp_fsm.h). */
import { NEVER } from "../base/time.js";
import type { Connection } from "../tcp/connection.js";
import { tcpInfo } from "../tcp/info.js";
import { isSynchronized, type State } from "../tcp/state.js";

/** Names of states, as packetdrill's FreeBSD port has them. */
export const FREEBSD_STATES = {
  TCPI_CLOSED: 0,
  TCPI_LISTEN: 1,
  TCPI_SYN_SENT: 2,
  TCPI_SYN_RECEIVED: 3,
  TCPI_ESTABLISHED: 4,
  TCPI_CLOSE_WAIT: 5,
  TCPI_FIN_WAIT_1: 6,
  TCPI_CLOSING: 7,
  TCPI_LAST_ACK: 8,
  TCPI_FIN_WAIT_2: 9,
  TCPI_TIME_WAIT: 10,
} as const;

const STATES: Readonly<Record<State, number>> = {
  CLOSED: FREEBSD_STATES.TCPI_CLOSED,
  LISTEN: FREEBSD_STATES.TCPI_LISTEN,
  "SYN-SENT": FREEBSD_STATES.TCPI_SYN_SENT,
  "SYN-RECEIVED": FREEBSD_STATES.TCPI_SYN_RECEIVED,
  ESTABLISHED: FREEBSD_STATES.TCPI_ESTABLISHED,
  "CLOSE-WAIT": FREEBSD_STATES.TCPI_CLOSE_WAIT,
  "FIN-WAIT-1": FREEBSD_STATES.TCPI_FIN_WAIT_1,
  CLOSING: FREEBSD_STATES.TCPI_CLOSING,
  "LAST-ACK": FREEBSD_STATES.TCPI_LAST_ACK,
  "FIN-WAIT-2": FREEBSD_STATES.TCPI_FIN_WAIT_2,
  "TIME-WAIT": FREEBSD_STATES.TCPI_TIME_WAIT,
};

/** TCP_MAXWIN << TCP_MAX_WINSHIFT: windows before there are any. */
const LARGEST_WINDOW = 65_535 * 2 ** 14;
const TIMESTAMPS_BYTES = 12;
/** TIMESTAMPS, SACK, WSCALE and ECN are those of Linux; accurate ECN has one of its own. */
const COMMON_OPTIONS = 0xf;
const OPTION_ACE = 0x40;

/** tcp_info of a connection (tcp_fill_info): windows in bytes, times in microseconds, the MSS with its options. */
export function freeBsdInfo({ tcb }: Connection, now: number): Readonly<Record<string, number>> {
  const info = tcpInfo(tcb, now);
  const { snd, rcv, congestion } = tcb;
  const isOpen = isSynchronized(tcb.state);
  const mss = snd.mss + (tcb.ts.enabled ? TIMESTAMPS_BYTES : 0);
  const isAccurate = tcb.ecn.accurate !== undefined;
  const options = info.tcpi_options & COMMON_OPTIONS;
  return {
    ...FREEBSD_STATES,
    tcpi_state: STATES[tcb.state],
    tcpi_options: isAccurate ? (options & ~8) | OPTION_ACE : options,
    tcpi_snd_wscale: info.tcpi_snd_wscale,
    tcpi_rcv_wscale: info.tcpi_rcv_wscale,
    tcpi_rto: info.tcpi_rto,
    tcpi_snd_mss: mss,
    tcpi_rcv_mss: mss,
    tcpi_last_data_recv: info.tcpi_last_data_recv,
    tcpi_rtt: info.tcpi_rtt,
    tcpi_rttvar: info.tcpi_rttvar,
    tcpi_snd_ssthresh: congestion.ssthresh === NEVER ? LARGEST_WINDOW : congestion.ssthresh,
    tcpi_snd_cwnd: isOpen ? congestion.cwnd : LARGEST_WINDOW,
    tcpi_rcv_space: Math.max(info.tcpi_rcv_wnd, tcb.receiveBufferBytes - tcb.receiveQueue.length),
    tcpi_snd_wnd: info.tcpi_snd_wnd,
    tcpi_snd_bwnd: 0,
    tcpi_snd_nxt: snd.nxt,
    tcpi_rcv_nxt: rcv.nxt,
    tcpi_toe_tid: 0,
    tcpi_snd_rexmitpack: info.tcpi_total_retrans,
    tcpi_rcv_ooopack: info.tcpi_rcv_ooopack,
  };
}

/** Of a socket without a connection: it listens, or does not. */
export function freeBsdInfoWithout(isListening: boolean): Readonly<Record<string, number>> {
  return { ...FREEBSD_STATES, tcpi_state: isListening ? FREEBSD_STATES.TCPI_LISTEN : FREEBSD_STATES.TCPI_CLOSED };
}
