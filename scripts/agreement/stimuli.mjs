/**
 * Scripts without expectations: a peer that opens a connection with some options, and then data, gaps, ACKs, SACKs, windows, FINs and
 * calls of a user, at random and with a seed. What they make a stack do is written down and compared elsewhere.
 */

/** @typedef {{ u32(): number }} Random */
/** @typedef {"receive" | "send"} Kind */

const HANDSHAKE = [
  "0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3",
  "+0 setsockopt(3, SOL_SOCKET, SO_REUSEADDR, [1], 4) = 0",
  "+0 bind(3, ..., ...) = 0",
  "+0 listen(3, 1) = 0",
];

/**
 * One script.
 * @param {Kind} kind whose side is looked at
 * @param {Random} random
 * @returns {string}
 */
export function stimulus(kind, random) {
  const script = new Stimulus(random);
  const steps = 3 + script.below(6);
  for (let i = 0; i < steps; i++) {
    script.wait();
    if (kind === "receive") script.receiveStep();
    else script.sendStep();
  }
  return script.end();
}

class Stimulus {
  /** @param {Random} random */
  constructor(random) {
    this.random = random;
    /** @type {string[]} */
    this.lines = [];
    this.delay = 0;
    this.sack = this.chance(75);
    this.stamps = this.chance(50);
    this.shift = this.pick([-1, 7, 0, 2]);
    this.mss = this.pick([1000, 1000, 1460, 536]);
    // Small ones only where they are scaled, for the most part.
    this.window = this.pick(this.shift > 2 || this.chance(15) ? [257, 1000, 32_792] : [20_000, 32_792, 65_535]);
    /** What the peer has sent, what the user has written, and what of it is acknowledged: sequence numbers that come next. */
    this.received = 1;
    this.written = 1;
    this.acked = 1;
    this.stamp = 1000;
    this.isShut = false;
    if (this.chance(50)) this.lines.push('`sysctl -q net.ipv4.tcp_rmem="4096 540000 15728640"`');
    if (this.chance(30)) this.lines.push("`sysctl -q net.ipv4.tcp_congestion_control=reno`");
    const options = [`mss ${this.mss}`];
    if (this.sack) options.push("sackOK");
    if (this.stamps) options.push("TS val 1000 ecr 0");
    if (this.shift >= 0) options.push("nop", `wscale ${this.shift}`);
    this.lines.push(...HANDSHAKE, `+0 < S 0:0(0) win 32792 <${options.join(",")}>`, "+0 > S. 0:0(0) ack 1 <...>");
    this.delay = this.pick([0.02, 0.05, 0.1]);
    this.packet(".", 1, 0);
    this.lines.push("+0 accept(3, ..., ...) = 4", "+0 fcntl(4, F_SETFL, O_RDWR|O_NONBLOCK) = 0");
  }

  /** @param {number} n */
  below(n) {
    return this.random.u32() % n;
  }

  /** @param {number} percent */
  chance(percent) {
    return this.below(100) < percent;
  }

  /**
   * @template T
   * @param {readonly T[]} items
   * @returns {T}
   */
  pick(items) {
    return /** @type {T} */ (items[this.below(items.length)]);
  }

  wait() {
    this.delay = this.chance(6) ? this.pick([0.5, 1.2]) : this.pick([0, 0, 0.005, 0.01, 0.02, 0.05, 0.05, 0.1, 0.25]);
  }

  /** @param {string} event */
  add(event) {
    this.stamp += Math.round(this.delay * 1000);
    this.lines.push(`+${this.delay} ${event}`);
    this.delay = 0;
  }

  /**
   * @param {string} flags
   * @param {number} seq
   * @param {number} length
   * @param {string[]} options beside timestamps
   */
  packet(flags, seq, length, options = []) {
    const stamp = this.stamp + Math.round(this.delay * 1000);
    const all = [...(this.stamps ? ["nop", "nop", `TS val ${stamp} ecr 0`] : []), ...options];
    const text = all.length === 0 ? "" : ` <${all.join(",")}>`;
    this.add(`< ${flags} ${seq}:${seq + length}(${length}) ack ${this.acked} win ${this.window}${text}`);
  }

  /** @param {readonly number[]} sizes */
  write(sizes) {
    const size = this.pick(sizes);
    this.add(`write(4, ..., ${size}) = ...`);
    this.written += size;
  }

  receiveStep() {
    const { mss } = this;
    const dice = this.below(100);
    if (dice < 45) {
      const length = this.pick([1, 10, 100, mss, mss, mss]);
      this.packet(this.pick(["P.", "."]), this.received, length);
      this.received += length;
    } else if (dice < 60) this.packet(".", this.received + this.pick([1, 100, mss, 2 * mss]), this.pick([10, 100, mss]));
    else if (dice < 66) {
      const from = Math.max(1, this.received - this.pick([1, 10, mss]));
      const length = this.pick([5, 10, mss]);
      this.packet(".", from, length);
      this.received = Math.max(this.received, from + length);
    } else if (dice < 78) this.add(`read(4, ..., ${this.pick([1, 100, 1000, 100_000])}) = ...`);
    else if (dice < 84) {
      if (!this.isShut) this.write([1, 100]);
    } else if (dice < 90) {
      this.acked = this.written;
      this.packet(".", this.received, 0);
    } else if (dice < 93) this.packet("F.", this.received++, 0);
    else if (dice < 95) this.add(`< S ${this.received}:${this.received}(0) win 1000 <mss 1000>`);
    else if (dice < 97) {
      const seq = this.received + this.pick([0, 5, 70_000]);
      this.add(`< R ${seq}:${seq}(0) win 0`);
    } else if (dice < 98) this.add(`setsockopt(4, SOL_TCP, TCP_QUICKACK, [${this.below(2)}], 4) = 0`);
    else this.shut();
  }

  sendStep() {
    const { mss } = this;
    const dice = this.below(100);
    const outstanding = this.written - this.acked;
    if (dice < 35) {
      if (!this.isShut) this.write([1, 100, mss, mss + 1, 2 * mss, 5 * mss, 10 * mss, 20 * mss, 30 * mss + 7]);
    } else if (dice < 62) {
      if (outstanding === 0) return;
      const amount = this.pick([mss, mss, 2 * mss, 3 * mss, outstanding, outstanding, Math.max(1, outstanding >> 1)]);
      this.acked = Math.min(this.written, this.acked + amount);
      this.packet(".", this.received, 0);
    } else if (dice < 80) {
      if (outstanding <= mss) return;
      const count = 1 + this.below(4);
      for (let i = 0; i < count; i++) {
        const left = this.acked + mss * (1 + this.below(3));
        const right = Math.min(this.written, left + mss * (1 + this.below(3)));
        this.packet(".", this.received, 0, this.sack && left < right ? ["nop", "nop", `sack ${left}:${right}`] : []);
      }
    } else if (dice < 85) {
      this.window = this.pick([0, this.shift > 2 ? 10 : 1000, 257, 1000, 5000, 32_792]);
      this.packet(".", this.received, 0);
    } else if (dice < 89) {
      const length = this.pick([1, mss]);
      this.packet("P.", this.received, length);
      this.received += length;
    } else if (dice < 92)
      this.add(`setsockopt(4, SOL_TCP, ${this.pick(["TCP_NODELAY, [1]", "TCP_CORK, [1]", "TCP_CORK, [0]"])}, 4) = 0`);
    else if (dice < 94) this.shut();
    else if (dice < 95) this.packet("F.", this.received++, 0);
  }

  shut() {
    if (!this.isShut) this.add("shutdown(4, SHUT_WR) = ...");
    this.isShut = true;
  }

  /** Time for what is late, and something that changes nothing. */
  end() {
    this.delay = this.pick([0.3, 0.6, 1]);
    this.add("setsockopt(3, SOL_SOCKET, SO_REUSEADDR, [1], 4) = 0");
    return `${this.lines.join("\n")}\n`;
  }
}
