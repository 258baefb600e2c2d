/** `rawtcp send HOST --scan PORTS`: a SYN to each port, and what its answer says of it. */
import { product, Variants } from "../craft/product.js";
import { type Exchange, sendReceive } from "../driver/send-receive.js";
import { RST, SYN } from "../wire/tcp-flags.js";
import { milliseconds, viewAnswer } from "./answer-format.js";
import { EXIT } from "./exit-codes.js";
import type { SendJob } from "./send.js";
import { baseSpec } from "./send-spec.js";

/** "open": SYN-ACK. "closed": RST. "filtered": nothing, or ICMP says that it may not be (nmap's words). */
export type PortState = "open" | "closed" | "filtered";

/** What the answer to a SYN says. */
export function portState(exchange: Exchange): { state: PortState; reason: string } {
  const view = exchange.answer === undefined ? undefined : viewAnswer(exchange.answer);
  if (view === undefined) return { state: "filtered", reason: exchange.problem === "" ? "no answer" : exchange.problem };
  if (view.tcp === undefined) return { state: "filtered", reason: `${view.icmp} from ${view.from}` };
  if ((view.tcp.flags & RST) !== 0) return { state: "closed", reason: "RST" };
  return (view.tcp.flags & SYN) !== 0
    ? { state: "open", reason: "SYN-ACK" }
    : { state: "filtered", reason: "an ACK of something else" };
}

/** Returns the exit code: success when something answered. */
export async function scan(job: SendJob): Promise<number> {
  const { options, family, live, print } = job;
  const plan = options.scan;
  const ports = plan?.kind === "list" ? plan.ports : [];
  const base = baseSpec({ ...options, destPort: undefined }, family);
  const destinationPort = new Variants(ports.length, (i) => ports[i] ?? 0);
  const specs = product({ ...base, tcp: { ...base.tcp, flags: SYN, destinationPort } });
  const counts: Record<PortState, number> = { open: 0, closed: 0, filtered: 0 };
  let answers = 0;
  for await (const exchange of sendReceive(specs, { ...live, retries: options.retries ?? 1, inFlight: 256 })) {
    const { state, reason } = portState(exchange);
    counts[state]++;
    if (exchange.answer !== undefined) answers++;
    const port = exchange.spec.tcp?.destinationPort ?? 0;
    const rtt = exchange.rttUs < 0 ? "" : `, ${milliseconds(exchange.rttUs)} ms`;
    if (options.format === "json")
      print(JSON.stringify({ type: "port", port, state, reason, rtt: exchange.rttUs < 0 ? null : exchange.rttUs / 1000 }));
    else if (!options.quiet && (state === "open" || options.verbose > 0))
      print(`${String(port).padStart(5)}/tcp ${state} (${reason}${rtt})`);
  }
  const { open, closed, filtered } = counts;
  if (options.format === "json") print(JSON.stringify({ type: "scan", host: job.target, ...counts }));
  else print(`--- ${job.target}: ${open + closed + filtered} ports, ${open} open, ${closed} closed, ${filtered} filtered`);
  return answers > 0 ? EXIT.success : EXIT.failure;
}
