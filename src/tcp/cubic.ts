/**
 * CUBIC (RFC 9438), with HyStart++ (RFC 9406) for the first slow start.
 *
 * ```
 *   cwnd                                          ╱   convex: probes for more
 *   cwndPrior ┐                                  ╱
 *   wMax ─────┼──────────────────── ▁▁▄▄▄▄▄▄▄▀▀▀
 *             │           ▁▄▄▀▀▀▀▀▀            concave: back to where the loss was, then careful
 *             │      ▄▀▀
 *   cwndEpoch └───▀
 *             └── K ───────────────►
 * ```
 *
 * Windows are bytes and may be fractions inside: near the plateau an ACK adds less than one. The formulas of the RFC count
 * in segments and seconds, so C is multiplied by the segment size here and time is divided by 10⁶.
 */
import { type Micros, NEVER, SECOND } from "../base/time.js";
import {
  type AckSample,
  afterIdle,
  afterPartialAck,
  afterRecovery,
  type CongestionControl,
  idleSsthresh,
  MAX_WINDOW,
} from "./congestion.js";
import { CSS_GROWTH_DIVISOR, HyStart } from "./hystart.js";

export interface CubicOptions {
  /** Gives way to new flows by a lower wMax when losses come closer together (RFC 9438 §4.7). On unless told otherwise. */
  readonly fastConvergence?: boolean;
  /** Segments are spread over time, so an ACK for many need not be bounded in slow start (RFC 9406 §4.3). Off unless told otherwise. */
  readonly paced?: boolean;
}

/** Where the window grows (RFC 9438 §4.3–4.5, §4.10; RFC 9406 §4.2), as of the last ACK. */
export type CubicPhase = "slow-start" | "css" | "reno-friendly" | "concave" | "convex" | "recovery";

export function cubic(mss: number, initialWindow: number, ssthresh = NEVER): Cubic {
  return new Cubic(mss, initialWindow, {}, ssthresh);
}

/** CUBIC with other than the usual choices. */
export function cubicWith(options: CubicOptions): (mss: number, initialWindow: number, ssthresh?: number) => Cubic {
  return (mss, initialWindow, ssthresh = NEVER) => new Cubic(mss, initialWindow, options, ssthresh);
}

export class Cubic implements CongestionControl {
  readonly name = "cubic";
  readonly #fastConvergence: boolean;
  readonly #paced: boolean;
  readonly #hystart = new HyStart();
  #mss: number;
  #phase: CubicPhase = "slow-start";
  #state: State;
  /** The state before the last loss, for `onUndo`. */
  #prior: State | undefined = undefined;

  constructor(mss: number, initialWindow: number, options: CubicOptions, ssthresh = NEVER) {
    this.#mss = mss;
    this.#fastConvergence = options.fastConvergence ?? true;
    this.#paced = options.paced ?? false;
    this.#state = initialState(initialWindow, ssthresh);
  }

  get cwnd(): number {
    return Math.floor(this.#state.cwnd);
  }

  get ssthresh(): number {
    return this.#state.ssthresh;
  }

  get phase(): CubicPhase {
    return this.#phase;
  }

  /** The plateau: the window at the last reduction, lower after fast convergence; 0 as long as there is none. */
  get wMax(): number {
    return this.#state.wMax;
  }

  /** What Reno's window would be; 0 before the first congestion avoidance. */
  get wEst(): number {
    return this.#state.wEst;
  }

  /** Seconds from the start of this congestion avoidance to the plateau. */
  get k(): number {
    return this.#state.k;
  }

  /** The window when this congestion avoidance began; 0 before the first one. */
  get cwndEpoch(): number {
    return this.#state.cwndEpoch;
  }

  onAck(sample: AckSample): void {
    if (this.#state.cwnd < this.#state.ssthresh) this.#slowStart(sample);
    else this.#avoidCongestion(sample);
  }

  onEnterRecovery(flightSize: number): void {
    this.#prior = this.#beforeLoss();
    this.#reduce(flightSize, BETA);
    // NewReno's inflation: three segments have left the network, they brought the duplicate ACKs. CUBIC leaves it as it is (§4.1).
    this.#state.cwnd = this.#state.ssthresh + 3 * this.#mss;
    this.#phase = "recovery";
  }

  onDuplicateAck(): void {
    this.#state.cwnd = Math.min(this.#state.cwnd + this.#mss, MAX_WINDOW);
  }

  onPartialAck(ackedBytes: number): void {
    this.#state.cwnd = afterPartialAck(this.#state.cwnd, ackedBytes, this.#mss);
  }

  onExitRecovery(flightSize: number): void {
    this.#state.cwnd = afterRecovery(this.#state.ssthresh, flightSize, this.#mss);
    this.#phase = "slow-start";
  }

  onTimeout(flightSize: number, first: boolean): void {
    if (first) {
      this.#prior = this.#beforeLoss();
      this.#reduce(flightSize, BETA);
    }
    this.#state.cwnd = this.#mss;
    // What congestion avoidance starts from is found by slow start (§4.8).
    this.#state.epochStart = NEVER;
    this.#state.plateauKnown = false;
    this.#phase = "slow-start";
  }

  onEcn(flightSize: number): void {
    const reduced = this.#reduce(flightSize, BETA_ECN);
    // One segment is the least (§4.6); below that the retransmission timer slows the sender.
    this.#state.cwnd = Math.min(this.#state.cwnd, Math.max(reduced, this.#mss));
    // A mark is no mistake: the loss before it can no longer be taken back alone.
    this.#prior = undefined;
    this.#phase = "slow-start";
  }

  onUndo(): void {
    const prior = this.#prior;
    if (prior === undefined) return;
    this.#prior = undefined;
    const cwnd = this.#deflated();
    this.#phase = "slow-start";
    if (cwnd < prior.cwnd) {
      this.#state = prior;
      // The segment size may have changed since.
      this.onMss(this.#mss);
      // The rounds of the first slow start were not counted meanwhile.
      if (prior.ssthresh === NEVER) this.#hystart.restart();
    } else {
      this.#state.cwnd = cwnd;
    }
  }

  onIdle(idleUs: Micros, rtoUs: Micros, initialWindow: number): void {
    const state = this.#state;
    // The cubic does not rise while nobody sends (§5.8). Without a stage both stay NEVER.
    state.epochStart += idleUs;
    state.ackedAt += idleUs;
    const cwnd = afterIdle(state.cwnd, idleUs, rtoUs, initialWindow);
    if (cwnd === state.cwnd) return;
    state.ssthresh = idleSsthresh(state.ssthresh, state.cwnd);
    state.cwnd = cwnd;
    state.epochStart = NEVER;
  }

  onMss(mss: number): void {
    this.#mss = mss;
    const state = this.#state;
    // The least that either may be is counted in segments of the size that goes from now on (RFC 5681 §3.1).
    state.cwnd = Math.max(state.cwnd, mss);
    state.ssthresh = Math.max(state.ssthresh, 2 * mss);
    // Else they stay what they are in bytes; the way up to the plateau is another in segments.
    if (state.epochStart !== NEVER) state.k = timeToPlateau(state, mss);
  }

  /** RFC 9438 §4.10: HyStart++ as long as no threshold is known, standard slow start from then on (RFC 9406 §4.3). */
  #slowStart(sample: AckSample): void {
    const state = this.#state;
    let divisor = 1;
    this.#phase = "slow-start";
    if (state.ssthresh === NEVER) {
      this.#hystart.onAck(sample);
      switch (this.#hystart.phase) {
        case "done":
          state.ssthresh = Math.floor(state.cwnd);
          this.#avoidCongestion(sample);
          return;
        case "css":
          this.#phase = "css";
          divisor = CSS_GROWTH_DIVISOR;
      }
    }
    if (!sample.limited) return;
    const acked = this.#paced ? sample.ackedBytes : Math.min(sample.ackedBytes, L * this.#mss);
    state.cwnd = Math.min(state.cwnd + acked / divisor, state.ssthresh, MAX_WINDOW);
  }

  /** RFC 9438 §4.2–4.5. */
  #avoidCongestion(sample: AckSample): void {
    const state = this.#state;
    const { now, limited } = sample;
    if (state.epochStart === NEVER) {
      if (!limited) return;
      startEpoch(state, this.#mss, now);
    }
    // Time in which the window could not grow does not count in t (§4.2).
    if (!limited) state.epochStart += now - state.ackedAt;
    state.ackedAt = now;
    if (!limited) return;

    const cwnd = state.cwnd;
    // An ACK's share of the window in flight; a window grows once a round trip, however its ACKs are bundled.
    const share = Math.min(sample.ackedBytes / cwnd, 1);
    // Past the window of the last loss it must probe as fast as Reno does (§4.3).
    state.wEst += (state.wEst < state.cwndPrior ? ALPHA : 1) * this.#mss * share;

    const t = now - state.epochStart;
    if (cubicWindow(state, t, this.#mss) < state.wEst) {
      // What the cubic has reached before stays: an ACK never lowers the window.
      state.cwnd = Math.min(Math.max(cwnd, state.wEst), MAX_WINDOW);
      this.#phase = "reno-friendly";
      return;
    }
    const target = Math.min(Math.max(cubicWindow(state, t + sample.srttUs, this.#mss), cwnd), 1.5 * cwnd);
    state.cwnd = Math.min(cwnd + (target - cwnd) * share, MAX_WINDOW);
    this.#phase = cwnd < state.wMax ? "concave" : "convex";
  }

  /**
   * Multiplicative decrease of the threshold and the plateau (§4.6, §4.7). Returns β · FlightSize in whole bytes, from which the
   * caller sets the window.
   */
  #reduce(flightSize: number, beta: number): number {
    const state = this.#state;
    const cwnd = this.#deflated();
    state.wMax = this.#fastConvergence && cwnd < state.wMax ? (cwnd * (1 + beta)) / 2 : cwnd;
    state.plateauKnown = true;
    state.cwndPrior = cwnd;
    state.epochStart = NEVER;
    // Limited transmit sends beyond the window, and those segments do not count (RFC 5681 §3.2 step 2).
    const reduced = Math.floor(Math.min(flightSize, cwnd) * beta);
    state.ssthresh = Math.max(reduced, 2 * this.#mss);
    return reduced;
  }

  /** A copy to come back to: a reduction inside recovery goes back to the window that recovery aims at. */
  #beforeLoss(): State {
    return { ...this.#state, cwnd: this.#deflated() };
  }

  /** The window without the inflation of recovery, which stands for segments that have left the network. */
  #deflated(): number {
    const { cwnd, ssthresh } = this.#state;
    return this.#phase === "recovery" ? Math.min(cwnd, ssthresh) : cwnd;
  }
}

/** All that a reduction changes and `onUndo` brings back (RFC 9438 §4.9). */
interface State {
  cwnd: number;
  ssthresh: number;
  wMax: number;
  /** wMax came from a loss since the last time-out; otherwise congestion avoidance starts on the plateau (§4.8, §4.10). */
  plateauKnown: boolean;
  k: number;
  wEst: number;
  cwndEpoch: number;
  /** The window at the last reduction, without fast convergence; 0 before the first. */
  cwndPrior: number;
  /** When this congestion avoidance began, moved by what does not count in t; NEVER before its first ACK. */
  epochStart: Micros;
  /** The last ACK of this congestion avoidance. */
  ackedAt: Micros;
}

function initialState(initialWindow: number, ssthresh: number): State {
  return {
    cwnd: initialWindow,
    ssthresh,
    wMax: 0,
    plateauKnown: false,
    k: 0,
    wEst: 0,
    cwndEpoch: 0,
    cwndPrior: 0,
    epochStart: NEVER,
    ackedAt: NEVER,
  };
}

/** A stage of congestion avoidance begins (RFC 9438 §4.2). */
function startEpoch(state: State, mss: number, now: Micros): void {
  state.epochStart = now;
  state.ackedAt = now;
  state.cwndEpoch = state.cwnd;
  state.wEst = state.cwnd;
  // No plateau is known, or slow start has carried us over it: then it is here, and what follows is convex.
  if (!state.plateauKnown || state.wMax < state.cwnd) state.wMax = state.cwnd;
  state.plateauKnown = true;
  state.k = timeToPlateau(state, mss);
}

/** K in seconds (RFC 9438 §4.2, figure 2). */
function timeToPlateau({ wMax, cwndEpoch }: State, mss: number): number {
  return Math.cbrt((wMax - cwndEpoch) / mss / C);
}

/** W_cubic(t) in bytes (RFC 9438 §4.2, figure 1). */
function cubicWindow(state: State, t: Micros, mss: number): number {
  const fromPlateau = t / SECOND - state.k;
  return C * mss * fromPlateau * fromPlateau * fromPlateau + state.wMax;
}

/** Segments per second³ (RFC 9438 §5.1). */
const C = 0.4;
/** What is left of the window after a loss (RFC 9438 §4.6). */
const BETA = 0.7;
/** And after an ECN mark: queues that mark are short, so less has to drain (RFC 8511 §3.1). */
const BETA_ECN = 0.85;
/** Growth in segments per round trip that with BETA gives Reno's mean window (RFC 9438 §4.3). */
const ALPHA = (3 * (1 - BETA)) / (1 + BETA);
/** Segments that one ACK may add in slow start when sending is not paced (RFC 9406 §4.3). */
const L = 8;
