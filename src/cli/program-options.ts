/** What `rawtcp run` takes from the command line. */
import type { Argv } from "yargs";
import type { BendRule } from "../bend/ast.js";
import type { GuardMethod } from "../kernel/port-guard.js";
import { EXIT_HELP } from "./exit-codes.js";
import { bendFile, bendRules, GUARDS } from "./options.js";
import { type TcpChoices, withTcpChoices } from "./tcp-choices.js";
import { oneOf, shown, words } from "./values.js";

export interface ProgramOptions extends TcpChoices {
  only: "connect" | "listen" | undefined;
  ports: readonly (readonly [number, number])[] | undefined;
  hosts: readonly string[] | undefined;
  simulated: boolean;
  guard: GuardMethod;
  allowRemote: boolean;
  bend: readonly BendRule[] | undefined;
  bendFile: readonly BendRule[] | undefined;
  pcap: string | undefined;
  json: string | undefined;
  quiet: boolean;
}

const ONLY: readonly ("connect" | "listen")[] = ["connect", "listen"];

export function programOptions(argv: Argv): Argv<ProgramOptions> {
  const group = "Which connections:";
  const log = "Log and capture:";
  const link = "Link:";
  const own = withTcpChoices(argv, "TCP:")
    .option("only", {
      group,
      coerce: (typed: unknown) => (typed === undefined ? undefined : oneOf("--only", ONLY)(typed)),
      requiresArg: true,
      describe: "connect: only connections that the program opens; listen: only its servers",
    })
    .option("ports", {
      group,
      requiresArg: true,
      coerce: portList,
      describe: "only these ports: 80,8000-8999",
    })
    .option("hosts", {
      group,
      requiresArg: true,
      coerce: hostList,
      describe: "only these names or addresses, as the program gives them: localhost,127.0.0.1",
    })
    .option("simulated", {
      group: link,
      type: "boolean",
      default: false,
      describe: "inside each process: no rights, but only its own servers can be reached",
    })
    .option("guard", {
      group: link,
      choices: GUARDS,
      default: "bpf" as const,
      coerce: oneOf("--guard", GUARDS),
      describe: "what keeps the kernel from sending RST for our ports",
    })
    .option("allow-remote", { group: link, type: "boolean", default: false, describe: "allow peers beyond this host" })
    .option("bend", {
      group: link,
      type: "string",
      requiresArg: true,
      coerce: bendRules,
      describe: "bend every session by a rule; may be given again (see the README)",
    })
    .option("bend-file", {
      group: link,
      type: "string",
      requiresArg: true,
      coerce: bendFile,
      describe: "bend every session by the rules of this file, one a line",
    })
    .option("pcap", {
      group: log,
      type: "string",
      requiresArg: true,
      coerce: words("--pcap", "file name"),
      describe: "write a pcapng file; a second process of the program adds its number to the name",
    })
    .option("json", {
      group: log,
      type: "string",
      requiresArg: true,
      coerce: words("--json", "file name"),
      describe: "write every event to this file as JSON Lines; - is standard error",
    })
    .option("quiet", { group: log, alias: "q", type: "boolean", default: false, describe: "no line at the end" })
    .example("sudo $0 run -- node server.js", "every connection and server of the program over our TCP")
    .example("$0 run --simulated -- node test.js", "without rights: clients and servers of one process find each other")
    .example("sudo $0 run --only connect --ports 5432 --pcap db.pcapng -- npm start", "only the database connections")
    .example("sudo $0 run --bend 'drop out data 3' -- node client.js", "lose the third segment of data")
    .epilogue(
      `The program is whatever stands behind --: node, npm, npx or anything that starts node. TCP of Node's net, http, https, tls and http2 becomes ours; pipes, UDP and what is not Node stay the kernel's. The exit code is the program's. ${EXIT_HELP}`,
    );
  // As in options.ts.
  return own as unknown as Argv<ProgramOptions>;
}

function portList(typed: unknown): [number, number][] | undefined {
  if (typed === undefined) return undefined;
  return String(typed)
    .split(",")
    .map((part) => {
      const [, from, to] = /^(\d+)(?:-(\d+))?$/.exec(part.trim()) ?? [];
      const first = Number(from);
      const last = to === undefined ? first : Number(to);
      if (first >= 0 && last <= 65_535 && first <= last) return [first, last];
      throw new Error(`--ports: "${shown(part)}" is no port or range of ports, such as 80 or 8000-8999`);
    });
}

function hostList(typed: unknown): string[] | undefined {
  if (typed === undefined) return undefined;
  return String(typed)
    .split(",")
    .map((part) => words("--hosts", "name or address")(part.trim()));
}
