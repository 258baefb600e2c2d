/** What must hold of every connection after every event, whatever the network and the users do. */
import { seqDiff, seqGe, seqLe } from "../../src/base/seq.js";
import { NEVER } from "../../src/base/time.js";
import type { SimHost } from "../../src/sim/host.js";
import type { Connection } from "../../src/tcp/connection.js";
import type { Sent } from "../stack/rig.js";
import { checkEngine } from "../tcp/engine-invariants.js";

/** Watches the connections of one host. Every method throws when an invariant does not hold. */
export class Watch {
  readonly #host: SimHost;
  /** The furthest right edge that a connection advertised, in its variables and on the wire. */
  readonly #advertised = new Map<Connection, { own: number; wire: number | undefined }>();
  /** The furthest right edge that it was given. */
  readonly #granted = new Map<Connection, number>();

  constructor(host: SimHost) {
    this.#host = host;
  }

  /** After an event, when everything due has been sent. */
  afterEvent(): void {
    for (const connection of this.#host.stack.connections()) {
      checkOrder(connection);
      checkTimers(connection);
      checkReceiver(connection);
      checkEngine(connection);
      this.#checkEdges(connection);
      check(this.#host.stack.nextTimeout() <= connection.nextTimeout(), connection, "the stack sleeps longer than a timer");
    }
  }

  /** A segment that this host has just sent. */
  sent(segment: Sent): void {
    const connection = [...this.#host.stack.connections()].find(
      ({ tcb }) => tcb.localPort === segment.fromPort && tcb.remotePort === segment.toPort,
    );
    if (connection === undefined || segment.flags.includes("R")) return;
    const { tcb } = connection;
    this.#checkEdges(connection);
    if (!segment.flags.includes("S")) {
      // On the wire the edge is rounded to the scale factor (RFC 7323 §2.4); by less than one unit it may seem to go back.
      const unit = 2 ** tcb.rcv.windShift;
      const edge = (segment.ack + segment.window * unit) >>> 0;
      const known = this.#advertised.get(connection);
      const retreat = known?.wire === undefined ? 0 : seqDiff(known.wire, edge);
      check(retreat < unit, connection, `the advertised right edge went back by ${retreat}`);
      if (known !== undefined && retreat <= 0) known.wire = edge;
      check(segment.ack === tcb.rcv.nxt, connection, "the acknowledgment is not RCV.NXT");
    }
    const length = segment.payload.length + (segment.flags.includes("F") ? 1 : 0);
    const beyond = seqDiff((segment.seq + length) >>> 0, this.#granted.get(connection) ?? 0);
    const isProbe = length === 1 && segment.seq === tcb.snd.una && tcb.snd.wnd === 0;
    check(length === 0 || beyond <= 0 || isProbe, connection, `sent ${beyond} bytes beyond the peer's window`);
    const limit = tcb.config.mtuBytes;
    check(segment.bytes.length <= limit, connection, `a packet of ${segment.bytes.length} bytes on a path of ${limit}`);
  }

  #checkEdges(connection: Connection): void {
    const { tcb } = connection;
    const { snd, rcv } = tcb;
    if (tcb.state === "CLOSED" || tcb.state === "LISTEN") return;
    const edge = (snd.una + snd.wnd) >>> 0;
    const granted = this.#granted.get(connection);
    if (granted === undefined || seqGe(edge, granted)) this.#granted.set(connection, edge);
    if (tcb.state === "SYN-SENT") return;
    const known = this.#advertised.get(connection);
    if (known === undefined) {
      this.#advertised.set(connection, { own: rcv.adv, wire: undefined });
    } else {
      check(seqGe(rcv.adv, known.own), connection, "RCV.ADV went back");
      known.own = rcv.adv;
    }
  }
}

function checkOrder(connection: Connection): void {
  const { tcb } = connection;
  const { snd, congestion, rtt, config } = tcb;
  check(seqLe(tcb.iss, snd.una), connection, "SND.UNA before ISS");
  check(seqLe(snd.una, snd.nxt) && seqLe(snd.nxt, snd.max), connection, "not UNA ≤ NXT ≤ MAX");
  const last = (tcb.dataEnd + (tcb.finQueued ? 1 : 0)) >>> 0;
  const open = tcb.state !== "SYN-SENT" && tcb.state !== "SYN-RECEIVED" && tcb.state !== "CLOSED";
  check(!open || tcb.sendQueue.length === 0 || seqLe(snd.max, last), connection, "sent more than there is");
  check(congestion.cwnd >= 1, connection, "no congestion window at all");
  check(rtt.rto >= config.rtoMinUs && rtt.rto <= config.rtoMaxUs, connection, `RTO ${rtt.rto} out of bounds`);
  check(tcb.sendQueue.length <= config.sendBufferBytes, connection, "send buffer beyond its size");
}

/** Without one of these timers a lost segment would be the end of all. */
function checkTimers(connection: Connection): void {
  const { tcb } = connection;
  const { state, timers, snd } = tcb;
  if (state === "CLOSED" || state === "LISTEN") {
    check(connection.nextTimeout() === NEVER, connection, "a closed connection has a timer");
    return;
  }
  const armed = timers.retransmission !== NEVER || timers.persist !== NEVER;
  const outstanding = snd.max !== snd.una;
  check(!outstanding || state === "TIME-WAIT" || armed, connection, "outstanding, and no timer");
  const unsent = tcb.sendQueue.length > 0 || (tcb.finQueued && snd.una !== (tcb.dataEnd + 1) >>> 0);
  const finished = state === "FIN-WAIT-2" || state === "TIME-WAIT";
  check(!unsent || finished || armed, connection, "something to send, and no timer");
  check(state !== "TIME-WAIT" || timers.timeWait !== NEVER, connection, "TIME-WAIT without its timer");
}

function checkReceiver(connection: Connection): void {
  const { tcb } = connection;
  const { rcv, outOfOrder, config, state } = tcb;
  if (state === "CLOSED" || state === "LISTEN" || state === "SYN-SENT") return;
  const window = seqDiff(rcv.adv, rcv.nxt);
  const unit = 2 ** rcv.windShift;
  check(window >= 0, connection, "RCV.NXT beyond what was advertised");
  // An edge is a multiple of the scale factor away, and a FIN takes a place of its own.
  const most = config.receiveBufferBytes + 2 * unit + 1;
  check(window + tcb.receiveQueue.length <= most, connection, `promised ${window} over ${tcb.receiveQueue.length} unread`);
  for (let i = 0; i < outOfOrder.size; i++) {
    const [start, end] = [outOfOrder.start(i), outOfOrder.end(i)];
    check(seqDiff(start, rcv.nxt) > 0 && seqDiff(end, start) > 0, connection, "an out-of-order range is not ahead");
    check(seqLe(end, rcv.adv), connection, "an out-of-order range lies beyond the window");
  }
}

function check(holds: boolean, connection: Connection, what: string): void {
  if (!holds) throw new Error(`${what}: ${JSON.stringify(connection.status())}`);
}
