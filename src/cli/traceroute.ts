/** `rawtcp send HOST --traceroute`: the same packet with TTL 1, 2, 3 …, and who answers. */
import type { PacketSpec } from "../craft/spec.js";
import { sendReceive } from "../driver/send-receive.js";
import { parseAddress } from "../wire/address.js";
import { milliseconds, viewAnswer } from "./answer-format.js";
import { EXIT } from "./exit-codes.js";
import type { SendJob } from "./send.js";
import { packetsOf } from "./send-spec.js";

const DEFAULT_MAX_TTL = 30;
/** As traceroute's three. */
const PROBES_PER_HOP = 3;

/** Returns the exit code: success when the target itself answered. */
export async function traceroute(job: SendJob): Promise<number> {
  const { options, family, target, print } = job;
  const { maxTtl = DEFAULT_MAX_TTL, ttl: firstTtl = 1 } = options;
  const [base] = packetsOf({ ...options, count: 1 }, family);
  if (base === undefined) return EXIT.failure;
  const own = parseAddress(target).toString();
  for (let ttl = firstTtl; ttl <= maxTtl && job.live.signal?.aborted !== true; ttl++) {
    const hop = await probeHop(job, withTtl(base, ttl));
    if (options.format === "json") print(JSON.stringify({ type: "hop", ttl, answers: hop.answers }));
    else print(`${String(ttl).padStart(2)}  ${hop.text}`);
    if (hop.answers.some(({ from }) => from === own)) return EXIT.success;
    if (hop.isEnd) break;
  }
  return EXIT.failure;
}

interface Hop {
  readonly answers: { readonly from: string; readonly rtt: number; readonly answer: string }[];
  readonly text: string;
  /** A router said that there is no way on. */
  readonly isEnd: boolean;
}

async function probeHop(job: SendJob, spec: PacketSpec): Promise<Hop> {
  const answers: Hop["answers"] = [];
  const parts: string[] = [];
  let last = "";
  let isEnd = false;
  const specs = Array.from({ length: PROBES_PER_HOP }, () => spec);
  for await (const { answer, rttUs } of sendReceive(specs, { ...job.live, kind: "any" })) {
    const view = answer === undefined ? undefined : viewAnswer(answer);
    if (view === undefined) {
      parts.push("*");
      continue;
    }
    const { from } = view;
    answers.push({ from, rtt: rttUs / 1000, answer: view.tcp === undefined ? view.icmp : "TCP" });
    parts.push(
      `${from === last ? "" : `${from}  `}${milliseconds(rttUs)} ms${view.icmp === "" || view.icmp === "time-exceeded" ? "" : ` !${view.icmp}`}`,
    );
    last = from;
    if (view.icmp !== "" && view.icmp !== "time-exceeded") isEnd = true;
  }
  return { answers, text: parts.join("  "), isEnd };
}

function withTtl(spec: PacketSpec, ttl: number): PacketSpec {
  const { ip } = spec;
  if (ip === undefined) return spec;
  return { ...spec, ip: ip.family === 4 ? { ...ip, ttl } : { ...ip, hopLimit: ttl } };
}
