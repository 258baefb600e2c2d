/** What `rawtcp send` counts, and its last lines. */
import type { Exchange } from "../driver/send-receive.js";
import { milliseconds } from "./answer-format.js";

export class SendStatistics {
  sent = 0;
  received = 0;
  repeated = 0;
  #refused = 0;
  #min = Number.POSITIVE_INFINITY;
  #max = 0;
  #sum = 0;
  #squares = 0;

  /** An exchange is done. */
  count(exchange: Exchange): void {
    if (exchange.problem === "") this.sent += exchange.attempts;
    else {
      // Earlier attempts went out.
      this.sent += exchange.attempts - 1;
      this.#refused++;
    }
    if (exchange.answer === undefined) return;
    const { rttUs } = exchange;
    this.received++;
    this.#min = Math.min(this.#min, rttUs);
    this.#max = Math.max(this.#max, rttUs);
    this.#sum += rttUs;
    this.#squares += rttUs * rttUs;
  }

  /** Percent of the packets that got no answer. */
  get loss(): number {
    return this.sent === 0 ? 0 : (100 * Math.max(0, this.sent - this.received)) / this.sent;
  }

  /** Ping's lines. */
  lines(host: string): string[] {
    const extra = [
      ...(this.repeated > 0 ? [`+${this.repeated} repeated`] : []),
      ...(this.#refused > 0 ? [`${this.#refused} not sent`] : []),
    ];
    const counts = `${this.sent} ${this.sent === 1 ? "packet" : "packets"} sent, ${[`${this.received} answered`, ...extra].join(", ")}, ${trimmed(this.loss)}% loss`;
    const lines = [`--- ${host}: ${counts}`];
    if (this.received > 0) {
      const { min, avg, max, mdev } = this.rtt();
      lines.push(`rtt min/avg/max/mdev = ${[min, avg, max, mdev].map(milliseconds).join("/")} ms`);
    }
    return lines;
  }

  /** The same as an object; times in milliseconds, null without an answer. */
  json(host: string): object {
    const { sent, received, repeated } = this;
    const inMs = ([name, us]: [string, number]): [string, number] => [name, us / 1000];
    const rtt = received === 0 ? null : Object.fromEntries(Object.entries(this.rtt()).map(inMs));
    return { type: "statistics", host, sent, received, repeated, notSent: this.#refused, loss: this.loss, rtt };
  }

  /** Microseconds. */
  rtt(): { min: number; avg: number; max: number; mdev: number } {
    const avg = this.#sum / this.received;
    return { min: this.#min, avg, max: this.#max, mdev: Math.sqrt(Math.max(0, this.#squares / this.received - avg * avg)) };
  }
}

function trimmed(percent: number): string {
  return String(Math.round(percent * 10) / 10);
}
