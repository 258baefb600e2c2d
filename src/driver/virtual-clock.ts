/**
 * Time that leaps: whenever the event loop has nothing else to do at the present moment, the clock goes on to the next timer. A
 * minute of TIME-WAIT takes a turn of the event loop, and what the program itself does takes no time at all.
 */
import type { Micros } from "../base/time.js";
import { EventQueue } from "../sim/event-queue.js";
import type { Clock, ClockTimer } from "./clock.js";

export class VirtualClock implements Clock {
  readonly #queue = new EventQueue();
  #now: Micros;
  /** Timers that keep the process alive. */
  #referenced = 0;
  #turn: NodeJS.Immediate | undefined;

  /** Begins at `start` µs; not at 0, for timestamps of the first moment must not be 0. */
  constructor(start: Micros = 1_000_000) {
    this.#now = start;
  }

  now(): Micros {
    return this.#now;
  }

  startTimer(at: Micros, action: () => void): ClockTimer {
    let waits = true;
    let keepsAlive = true;
    this.#referenced++;
    const release = (): void => {
      if (keepsAlive) this.#referenced--;
      waits = false;
    };
    this.#queue.push(Math.max(at, this.#now), () => {
      if (!waits) return;
      release();
      action();
    });
    this.#wait();
    return {
      stop: () => {
        if (waits) release();
      },
      setRef: (keepAlive) => {
        if (!waits || keepAlive === keepsAlive) return;
        keepsAlive = keepAlive;
        this.#referenced += keepAlive ? 1 : -1;
        this.#setRef();
      },
    };
  }

  #wait(): void {
    this.#turn ??= setImmediate(this.#leap);
    this.#setRef();
  }

  #setRef(): void {
    if (this.#referenced > 0) this.#turn?.ref();
    else this.#turn?.unref();
  }

  /** All that is due at the next moment, then a turn for the rest of the program. */
  readonly #leap = (): void => {
    this.#turn = undefined;
    const at = this.#queue.nextTime;
    try {
      while (this.#queue.nextTime === at) {
        const action = this.#queue.pop();
        if (action === undefined) return;
        this.#now = at;
        action();
      }
    } finally {
      if (Number.isFinite(this.#queue.nextTime)) this.#wait();
    }
  };
}
